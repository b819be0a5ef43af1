/*
 * Caps: how many mails the day of a mailbox may hold, and where that day begins and ends. Pure; every
 * time is given by the caller (wall, ms).
 * Runs on: loop. Private to src/mailbox.
 */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#include "coldmail/conf.h"

/* A calendar day in the mailbox's own zone; NUMBER: days since 1970-01-01. */
struct mailbox_day {
	int64_t number;
	int64_t begins_ms, ends_ms; /* the next one begins */
};

struct mailbox_cap {
	GTimeZone *zone; /* owned */
	struct mailbox_day today; /* the day asked for last */
	int daily_limit;
	int *ramp; /* owned: n_ramp */
	size_t n_ramp;
	int64_t since_ms; /* conf_mailbox's ramp_since_ms */
	int64_t first_ms; /* the first mail; 0: none went out yet */
	int64_t back_ms; /* when it came back from a block; 0: never */
	int lowered; /* the provider took no more until LOWERED_UNTIL_MS; 0: it did */
	int64_t lowered_until_ms;
};

void mailbox_cap_init(struct mailbox_cap *c);
void mailbox_cap_done(struct mailbox_cap *c);
void mailbox_cap_configure(struct mailbox_cap *c, const struct conf_mailbox *conf);

struct mailbox_day mailbox_cap_day(struct mailbox_cap *c, int64_t at_ms);

/* Mails a day at AT_MS, and what binds: the gate that closes when they are out, and why there are fewer
 * than configured ("" : there are not). Either may be NULL; static text. */
int mailbox_cap_at(
	struct mailbox_cap *c, int64_t at_ms, const char **ret_gate, const char **ret_why);
