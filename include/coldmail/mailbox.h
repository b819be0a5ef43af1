/*
 * Mailboxes: which one may send, when, and why not. Owns each mailbox's state, pace (gap, rolling
 * day, connections) and backoff; knows no lead and opens no connection.
 * Runs on: loop. Counters come from the ledger (mailbox_history), so a restart grants nothing twice.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coldmail/conf.h"

/* READY may send; THROTTLED failed and waits by itself; PAUSED waits for an operator; REMOVED is no
 * longer configured and only finishes its mails. */
#define MAILBOX_STATES(X)                                                                          \
	X(READY, "ready") X(THROTTLED, "throttled") X(PAUSED, "paused") X(REMOVED, "removed")
enum mailbox_state {
#define X(name, text) MAILBOX_##name,
	MAILBOX_STATES(X)
#undef X
};
const char *mailbox_state_name(enum mailbox_state s);

struct mailbox;

/* Makes the pool agree with C: adds, updates, removes. Borrowed until the next call. */
void mailbox_configure(const struct conf *c);
void mailbox_done_all(void);

struct mailbox *mailbox_find(const char *address); /* NULL: none */
size_t mailbox_count(void);
struct mailbox *mailbox_at(size_t i);
const char *mailbox_name(const struct mailbox *m);

/* A mailbox has no room before it was told its history once. Times (wall) at which slots were taken in the last 24 h, oldest first, and the newest ever (0). */
void mailbox_history(struct mailbox *m, const int64_t *at_ms, size_t n, int64_t last_ms);
bool mailbox_has_history(const struct mailbox *m);

/* How many more mails may be started now; each started one is mailbox_take()n. 0: *RET_REASON is the
 * gate's name (interfaces.md), *RET_UNTIL_MS the wall time at which it opens by itself
 * (CLOCK_NEVER_MS: needs an operator, or the end of a mail under way). Either may be NULL. */
size_t mailbox_room(struct mailbox *m, const char **ret_reason, int64_t *ret_until_ms);

/* The gate that turns back mails already started (paused, backing off); NULL: none does. */
const char *mailbox_closed(const struct mailbox *m);

void mailbox_take(struct mailbox *m); /* a mail is started */
void mailbox_slot(struct mailbox *m); /* its slot is taken: counts for gap and day */
/* It is over; a slot, if it had one, still counts. */
void mailbox_give_back(struct mailbox *m, bool had_slot);

/* What broke, when it was the mailbox's: a connection or its server's temporary no; "too fast"; the
 * provider's day is used up; the provider blocks it; its credential is refused, or cannot be looked
 * at now (454); no certificate to trust. */
#define MAILBOX_FAULTS(X)                                                                          \
	X(TRANSIENT, "transient")                                                                  \
	X(RATE, "rate")                                                                            \
	X(DAILY_LIMIT, "daily_limit")                                                              \
	X(BLOCKED, "blocked")                                                                      \
	X(AUTH, "auth")                                                                            \
	X(AUTH_LATER, "auth_later")                                                                \
	X(TLS, "tls")
enum mailbox_fault {
#define X(name, text) MAILBOX_FAULT_##name,
	MAILBOX_FAULTS(X)
#undef X
};
const char *mailbox_fault_name(enum mailbox_fault f);
/* M failed in the way F: it backs off 1 min doubling to 60 min. WHY is for people (copied). */
void mailbox_fault(struct mailbox *m, enum mailbox_fault f, const char *why);
void mailbox_succeed(struct mailbox *m); /* ends the backoff's growth */
void mailbox_pause(struct mailbox *m, bool paused);

/* A snapshot for people; strings are borrowed until the next turn. */
struct mailbox_info {
	const char *address;
	enum mailbox_state state;
	const char *why; /* of THROTTLED */
	int64_t until_ms; /* wall; CLOCK_NEVER_MS: none */
	int sent_today; /* calendar day in the mailbox's time zone */
	int sent_24h, daily_limit;
	int64_t gap_min_ms, gap_max_ms;
	int64_t last_sent_ms; /* wall; 0: never */
	size_t in_use;
	int connections;
};
struct mailbox_info mailbox_info(struct mailbox *m);
