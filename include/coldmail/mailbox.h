/*
 * Mailboxes: which one may send, when, and why not. Owns each mailbox's state, pace (gap, rolling
 * day, calendar day, ramp, connections) and backoff; knows no lead and opens no connection.
 * Runs on: loop. Counters come from the ledger (mailbox_history), so a restart grants nothing twice.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coldmail/clock.h"
#include "coldmail/conf.h"
#include "coldmail/store.h"

/* READY may send; THROTTLED and TLS failed and try again by themselves; BLOCKED by the provider, tries
 * again after a day, or when an operator says so; AUTH: the login is refused, waits for an operator
 * (or half an hour, when the server could not look); PAUSED waits for an operator; REMOVED is no longer
 * configured and only finishes its mails. name, text, the gate that is closed */
#define MAILBOX_STATES(X)                                                                          \
	X(READY, "ready", NULL)                                                                    \
	X(THROTTLED, "throttled", "mailbox_throttled")                                             \
	X(BLOCKED, "blocked", "mailbox_blocked")                                                   \
	X(AUTH, "auth", "mailbox_auth")                                                            \
	X(TLS, "tls", "mailbox_tls")                                                               \
	X(PAUSED, "paused", "mailbox_paused")                                                      \
	X(REMOVED, "removed", "mailbox_paused")
enum mailbox_state {
#define X(name, text, gate) MAILBOX_##name,
	MAILBOX_STATES(X)
#undef X
};
const char *mailbox_state_name(enum mailbox_state s);
/* Something failed: neither ready nor what somebody here wanted. */
bool mailbox_state_is_trouble(enum mailbox_state s);

struct mailbox;

/* Makes the pool agree with C: adds, updates, removes. Borrowed until the next call. */
void mailbox_configure(const struct conf *c);
void mailbox_done_all(void);

struct mailbox *mailbox_find(const char *address); /* NULL: none */
size_t mailbox_count(void);
struct mailbox *mailbox_at(size_t i);
const char *mailbox_name(const struct mailbox *m);

/* ---- what is remembered ----------------------------------------------------------------------- */

/* The longest calendar day, and an hour more. */
#define MAILBOX_PAST_MS (CLOCK_DAY_MS + 2 * CLOCK_HOUR_MS)

/* What the ledger says of a mailbox. Times (wall) at which slots were taken. */
struct mailbox_past {
	const int64_t *at_ms; /* of the last MAILBOX_PAST_MS, oldest first */
	size_t n;
	int64_t first_ms, last_ms; /* the oldest and the newest ever; 0: none */
	int64_t tried_ms; /* the newest try without a slot; 0: none of late */
	const struct store_mailbox *kept; /* what mailbox_kept() said last; NULL: nothing yet */
};
/* A mailbox has no room before it was told its past once. */
void mailbox_history(struct mailbox *m, const struct mailbox_past *past);
bool mailbox_has_history(const struct mailbox *m);
/* What a restart must not forget; strings are borrowed until the next turn. FN is called whenever
 * that has become something else. */
struct store_mailbox mailbox_kept(const struct mailbox *m);
void mailbox_on_change(void (*fn)(struct mailbox *m));
/* Nothing of what servers said to M names ADDRESS any more. */
void mailbox_forget(struct mailbox *m, const char *address);

/* ---- may it send ------------------------------------------------------------------------------ */

/* A closed gate: its name (interfaces.md), and the wall time at which it opens by itself
 * (CLOCK_NEVER_MS: needs an operator, or the end of a mail under way). */
struct mailbox_gate {
	const char *reason;
	int64_t until_ms;
};
#define MAILBOX_GATES_MAX 3
/* Those that are closed now, in the order in which they are asked. Returns their number. */
size_t mailbox_gates(struct mailbox *m, struct mailbox_gate ret[MAILBOX_GATES_MAX]);

/* How many more mails may be started now; each started one is mailbox_take()n. 0: *RET_REASON and
 * *RET_UNTIL_MS are of the first gate that is closed. Either may be NULL. */
size_t mailbox_room(struct mailbox *m, const char **ret_reason, int64_t *ret_until_ms);

/* The gate that turns back mails already started (paused, backing off); NULL: none does. */
const char *mailbox_closed(const struct mailbox *m);

/* How many mails may go out in a day at WALL_MS, as the ramp and the limits say; *RET_GATE (may be NULL)
 * is mailbox_ramp or mailbox_daily_limit, whichever binds. */
int mailbox_cap(struct mailbox *m, int64_t wall_ms, const char **ret_gate);

/* Connections it may have now: one while it is not known to work. */
size_t mailbox_connections(const struct mailbox *m);

/* Which of two with room goes first: the healthy one, then that with more of its day left, then that
 * which rested longer. < 0: A. */
int mailbox_compare(struct mailbox *a, struct mailbox *b);

void mailbox_take(struct mailbox *m); /* a mail is started */
void mailbox_slot(struct mailbox *m); /* its slot is taken: counts for gap and day */
void mailbox_tried(
	struct mailbox *m); /* its server was asked, and there was no slot: the gap counts */
void mailbox_test_slot(struct mailbox *m); /* of a test: the ramp does not begin with it */
/* It is over; a slot, if it had one, still counts. */
void mailbox_give_back(struct mailbox *m, bool had_slot);

/* ---- what happened to it ---------------------------------------------------------------------- */

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
/* What a fault means (flow/trouble.c decides): where M goes, and for how long. */
struct mailbox_remedy {
	enum mailbox_fault fault;
	enum mailbox_state to; /* THROTTLED, BLOCKED, AUTH or TLS */
	/* For so long, doubled with each fault up to the maximum until a mail succeeds; not less than
	 * what an earlier one has doubled it to. CLOCK_NEVER_MS: until somebody ends it. */
	int64_t wait_ms, wait_max_ms;
	int64_t believe_ms; /* for so long its day holds no more than was taken in this one; 0: it does */
};
/* M failed and leaves READY, unless something worse has stopped it already. WHY is for people (copied). */
void mailbox_fault(struct mailbox *m, const struct mailbox_remedy *r, const char *why);
int mailbox_refused_logins(const struct mailbox *m); /* one after the other, until now */
void mailbox_succeed(struct mailbox *m); /* it works: ends the backoff's growth */

/* WHY it is to be still, for people (copied); NULL: it is not (any more). */
void mailbox_pause(struct mailbox *m, const char *why);
/* An operator's word: whatever kept M from sending is over, but not its pace. */
void mailbox_resume(struct mailbox *m);
/* Its server or its login is configured otherwise: what was said of the old one is over, but for a
 * provider's block, which is about the address. */
void mailbox_renew(struct mailbox *m);

/* ---- bounces ----------------------------------------------------------------------------------- */

/* The last mails of a mailbox or a campaign, and which of them bounced. */
#define MAILBOX_GUARD_MAILS 50
struct mailbox_guard {
	uint64_t bounced; /* bit 0: the newest */
};
void mailbox_guard_add(struct mailbox_guard *g, bool bounced);
int mailbox_guard_bounces(const struct mailbox_guard *g); /* of the last MAILBOX_GUARD_MAILS */
/* PERCENT of them, even while fewer went out: one bounce in the first ten mails is no tenth of all
 * mails, but three of them are three too many. */
bool mailbox_guard_is_over(const struct mailbox_guard *g, int percent);
struct mailbox_guard *mailbox_guard_of(struct mailbox *m);

/* ---- for people ------------------------------------------------------------------------------- */

/* A snapshot; strings are borrowed until the next turn. */
struct mailbox_info {
	const char *address;
	enum mailbox_state state;
	const char *why; /* it is not READY; "" */
	int64_t until_ms; /* wall; CLOCK_NEVER_MS: none */
	int sent_today; /* calendar day in the mailbox's time zone */
	int sent_24h;
	int cap, daily_limit; /* of today; as configured */
	const char *cap_why; /* why the cap is below daily_limit; "" : it is not */
	int64_t gap_min_ms, gap_max_ms;
	int64_t last_sent_ms; /* wall; 0: never */
	size_t in_use;
	size_t connections; /* now */
	int bounces; /* of its last MAILBOX_GUARD_MAILS mails */
};
struct mailbox_info mailbox_info(struct mailbox *m);
