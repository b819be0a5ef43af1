/*
 * What the files value*.c share: what a reader of a value is given, and the readers and writers that
 * the table of value.c names. A reader stores its value only when all of it is right.
 * Runs on: loop.
 */
#pragma once

#include "conf_private.h"

struct conf_reading {
	struct conf_load *load;
	const struct conf_key *key;
	const struct conf_value *value; /* not BAD; a LIST only for types that take one */
	void *base;
};

/* Tells that V is not what KEY takes, and what it takes. Always false. */
bool conf_refuse(const struct conf_reading *r, const struct conf_value *v, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A value and a list of values are read alike: the first item, and how many there are. */
const struct conf_value *conf_items(const struct conf_value *v, size_t *ret_n);

/* The one or two members of the section's struct that a row names. */
void *conf_member(const struct conf_reading *r);
void *conf_member2(const struct conf_reading *r);
const void *conf_field(const void *base, size_t at);

/* Headers and log lines are made of texts: no control character but '\n', and that only where lines
 * are meant. */
bool conf_has_control(const char *text, bool may_have_lines);
void conf_show_text(const char *text, struct str *out);

bool conf_read_path(const struct conf_reading *r);
bool conf_read_pem(const struct conf_reading *r);
bool conf_read_text(const struct conf_reading *r);
bool conf_read_secret(const struct conf_reading *r);
bool conf_read_int(const struct conf_reading *r);
bool conf_read_duration(const struct conf_reading *r);
bool conf_read_span(const struct conf_reading *r);
bool conf_read_numbers(const struct conf_reading *r);
bool conf_read_zone(const struct conf_reading *r);
bool conf_read_preset(const struct conf_reading *r);
bool conf_read_date(const struct conf_reading *r);
bool conf_read_days(const struct conf_reading *r);
bool conf_read_windows(const struct conf_reading *r);
bool conf_read_ranges(const struct conf_reading *r);
bool conf_read_time(const struct conf_reading *r);
bool conf_read_usd(const struct conf_reading *r);
bool conf_read_title(const struct conf_reading *r);
bool conf_read_list(const struct conf_reading *r);
bool conf_read_countries(const struct conf_reading *r);

void conf_show_file(const struct conf_key *k, const void *base, struct str *out);
void conf_show_int(const struct conf_key *k, const void *base, struct str *out);
void conf_show_duration(const struct conf_key *k, const void *base, struct str *out);
void conf_show_span(const struct conf_key *k, const void *base, struct str *out);
void conf_show_numbers(const struct conf_key *k, const void *base, struct str *out);
void conf_show_date(const struct conf_key *k, const void *base, struct str *out);
void conf_show_days(const struct conf_key *k, const void *base, struct str *out);
void conf_show_windows(const struct conf_key *k, const void *base, struct str *out);
void conf_show_ranges(const struct conf_key *k, const void *base, struct str *out);
