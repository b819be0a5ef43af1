/*
 * What the files of room lead share with each other. Nobody else includes this.
 * Runs on: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coldmail/lead.h"
#include "coldmail/str.h"

/* Appends the canonical form of DOMAIN (UTF-8, no controls; case, IDN and one final dot are dealt
 * with here) to OUT. NULL, or a static text that says to a person what is wrong. */
const char *lead_domain_canonical(const char *domain, struct str *out)
	__attribute__((warn_unused_result));

/* ---- reading a file of leads: input.c gives text, csv.c or json.c takes records out of it ------- */

#define LEAD_RECORD_MAX  ((size_t)1 << 20)
#define LEAD_FIELD_MAX   ((size_t)64 * 1024)
#define LEAD_COLUMNS_MAX 500

/* What the file's text is written in, as far as it has been read. */
enum lead_encoding {
	LEAD_ASCII, /* nothing that would tell */
	LEAD_UTF8,
	LEAD_UTF16,
	LEAD_CP1252,
};

struct lead_input;

struct lead_reader {
	struct lead_input *in; /* owned */
	const char *memory; /* borrowed: what is left of a file in memory */
	size_t n_memory;

	/* The window: the text that is in memory, which lead_input_fill() moves on. */
	const char *data; /* borrowed: from in, until the next fill */
	size_t n, at;
	int64_t line; /* the line that starts at `at` */
	int64_t header_line;
	bool is_last; /* nothing comes behind it */
	const char *trouble; /* NULL, or why not: the file could not be read to its end */

	enum lead_encoding encoding;
	int64_t recoded_line; /* the first that is no UTF-8; 0: none */
	char *recoded; /* owned: how its text was read */

	struct lead_record record; /* what the caller sees */
	char *error; /* owned; what record.error points to */
	struct str text; /* the fields of the record in hand, each with a NUL */

	/* CSV */
	char separator; /* '\0': not CSV */
	char *columns[LEAD_COLUMNS_MAX], *headings[LEAD_COLUMNS_MAX]; /* owned */
	size_t n_columns;
	size_t starts[LEAD_COLUMNS_MAX + 1]; /* of the fields in text; one more than there are */
	size_t n_fields; /* may be more than are kept */
	struct lead_var vars[LEAD_COLUMNS_MAX];

	/* JSON */
	struct lead_json *json; /* owned; NULL: not JSON */
};

/* input.c. Opens the window on SOURCE. NULL, or why it cannot be read (owned by the caller). */
char *lead_input_open(struct lead_reader *r, const struct lead_source *source);
/* Moves the window on, until a record of LEAD_RECORD_MAX fits behind `at`, or the file is over. Text
 * of the window before is gone then. */
void lead_input_fill(struct lead_reader *r);
/* To the beginning of the next line, however far it is. */
void lead_input_skip_line(struct lead_reader *r);
int64_t lead_count_lines(const char *p, size_t n); /* ends of lines; CR, LF and CRLF are each one */
size_t lead_input_dropped(const struct lead_reader *r); /* bytes of text before the window */
bool lead_input_is_gzip(const struct lead_reader *r);
void lead_input_free(struct lead_input *in);

/* encoding.c. Is VALUE fit to be handed on? false: lead_text_recode() has to be asked. */
bool lead_text_is_fit(struct lead_reader *r, const char *value, size_t n);
/* Appends VALUE, which is not fit, to OUT as UTF-8. false: nobody can know what it says. */
bool lead_text_recode(struct lead_reader *r, const char *value, size_t n, struct str *out);
/* What is wrong with field NAME when that failed; owned by the caller. */
char *lead_text_unfit(const struct lead_reader *r, const char *name);

/* csv.c, json.c. NULL, or what is wrong with the beginning (owned by the caller). */
char *lead_csv_begin(struct lead_reader *r);
const struct lead_record *lead_csv_next(struct lead_reader *r);
void lead_json_begin(struct lead_reader *r);
const struct lead_record *lead_json_next(struct lead_reader *r);
void lead_json_free(struct lead_json *j);
