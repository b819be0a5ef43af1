/*
 * Flow: the corridor that a lead walks, and its two pumps. Everything that is decided about a mail is
 * decided here; everything that is read or pressed from outside goes through these verbs.
 * Runs on: loop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coldmail/conf.h"
#include "coldmail/mailbox.h"
#include "coldmail/mem.h"
#include "coldmail/store.h"

enum flow_mode {
	FLOW_SERVE, /* the daemon */
	FLOW_UNTIL_IDLE, /* end when the next moment is more than an hour away */
	FLOW_MAINTENANCE, /* store and control only, nothing is scheduled */
};

struct flow_conf {
	const struct conf *conf; /* a reference is taken */
	enum flow_mode mode;
	bool fast_forward;
	const char *instance; /* copied */
	/* The store answered for the first time, with success or not. Once. */
	void (*on_ready)(int err, const char *why);
	/* Drained, or idle (FLOW_UNTIL_IDLE): the loop may end. Once. */
	void (*on_finished)(void);
};

int flow_init(const struct flow_conf *fc) __attribute__((warn_unused_result));
/* Opens the store, recovers, starts the pumps. */
void flow_start(void);
/* Stops claiming; a mail before its slot is released without a dot; one past it is waited for,
 * stop_timeout at most, then written down as uncertain; then on_finished. */
void flow_drain(void);
void flow_done(void);

/* ---- configuration ---------------------------------------------------------------------------- */

const struct conf *flow_conf(void); /* borrowed until the next turn */
/* Checks what conf alone cannot (templates). Appends problems as "FILE:LINE: text" to RET; false when
 * there is one. */
bool flow_check(const struct conf *c, struct str *ret_problems);
/* Swaps to C (a reference is taken). Work in flight keeps its generation. */
void flow_reload(const struct conf *c);

/* ---- verbs ------------------------------------------------------------------------------------ */

/* Something outside changed what is due (an import, a release): the pumps look now. */
void flow_poke(void);

/* What servers said of ADDRESS is in reasons of pauses and of mailboxes: there it is blotted out. To be
 * called before the store forgets it, so that nothing brings it back there, and after. */
void flow_forget(const char *address);

/* The answer of a verb; VOIDS is never NULL (zero where it does not apply). */
typedef void flow_answer(void *arg, int err, const char *why, const struct store_voids *voids);

/* A campaign may send from now on (stored). CM_ENOENT: no such campaign; CM_EEXIST: it had started. */
void flow_start_campaign(const char *name, flow_answer *cb, void *arg);
/* KIND "all", "campaign" or "mailbox". Stored, then voids for open attempts, then the answer. */
void flow_pause(const char *kind, const char *name, bool paused, flow_answer *cb, void *arg);
bool flow_is_paused(const char *kind, const char *name);
bool flow_has_started(const struct conf_campaign *c);
/* Somebody writes its mails. */
bool flow_has_writer(const struct conf_campaign *c);
/* Nothing that is queued in it can go out, however long it waits, since its steps are stopped: a change
 * of the configuration or an operator's word has to come first. */
bool flow_is_stopped(const char *campaign);

/* Settles an uncertain attempt; ID is KEY#n. RET arrives with the attempt as it is now. */
typedef void flow_resolved(void *arg, int err, const char *why, const struct store_attempt *a);
void flow_resolve(const char *id, bool sent, bool dry_run, flow_resolved *cb, void *arg);

/* A store that is taken for a copy (store_restored) sends from here on, after each step that the copy may
 * have mailed since the ledger's last entry was put in doubt: it is uncertain, and `resolve` settles it.
 * ONLY_MOVED: nothing was mailed elsewhere, the operator says, and nothing is in doubt; CM_ESTATE if the
 * seal knows better, or if there is nothing to take over. DRY_RUN only counts. */
struct flow_takeover {
	int err;
	const char *why;
	const char *restored; /* why it was taken for a copy */
	int64_t since_ms; /* wall: the last entry; 0: there is none */
	size_t leads, steps; /* in doubt */
};
typedef void flow_taken_over(void *arg, const struct flow_takeover *t);
void flow_takeover(bool only_moved, bool dry_run, flow_taken_over *cb, void *arg);

/* The exact bytes that would be sent to ADDRESS (NULL: the next lead) as STEP (NULL: its next). From
 * and Date are provisional until the first reservation. The draft is kept and is the one that goes. */
struct flow_preview {
	int err;
	const char *why;
	const char *campaign, *step, *address, *mailbox;
	const char *subject;
	const char *bytes;
	size_t n;
};
typedef void flow_previewed(void *arg, const struct flow_preview *p);
void flow_preview(
	const char *campaign, const char *address, const char *step, flow_previewed *cb, void *arg);

/* One real mail: the first step of CAMPAIGN with the values of its next lead, marked as a test, to TO
 * instead. It is in no campaign's figures; a mailbox of the campaign has to have room for it, and it
 * uses that up. The answer comes with the server's word. */
struct flow_test {
	int err; /* CM_ESTATE: it cannot be sent now */
	const char *why; /* with err */
	const char *campaign, *mailbox, *to, *subject, *message_id;
	const char *outcome; /* a word of enum mail_outcome; "" : a dry run */
	int code;
	const char *reply; /* for people */
};
typedef void flow_tested(void *arg, const struct flow_test *t);
void flow_test_send(const char *campaign, const char *to, bool dry_run, flow_tested *cb, void *arg);

/* The first moment at or after FROM_MS at which the window of C, a campaign of flow_conf(), is open for
 * leads of ZONE ("" : C's own); CLOCK_NEVER_MS: it is not within a year. */
int64_t flow_next_open(const struct conf_campaign *c, const char *zone, int64_t from_ms);

/* ---- explaining -------------------------------------------------------------------------------- */

/* One reason why something is not going out now. */
struct flow_reason {
	const char *subject; /* "campaign founders", "mailbox ali@…", "lead x@y", "store" */
	const char *reason; /* a name of interfaces.md */
	bool trouble; /* the other kind is "expected" */
	const char *value; /* what is, for people; "" */
	const char *limit; /* what it is held against; "" */
	int64_t until_ms; /* wall; CLOCK_NEVER_MS: needs an operator */
	bool binds; /* the first that has to open */
};
/* SUBJECT: NULL (everything), a campaign, a mailbox or an address. REASONS live during the call;
 * err CM_ENOENT: nothing of that name. n = 0: nothing is in the way. */
typedef void flow_explained(
	void *arg, int err, const struct flow_reason *reasons, size_t n, const char *summary);
void flow_why(const char *subject, flow_explained *cb, void *arg);

struct flow_stats {
	bool ready; /* recovered, pumps run */
	bool draining;
	size_t in_flight; /* items in the corridor */
	int64_t last_tick_ms, next_due_ms; /* wall; CLOCK_NEVER_MS: nothing scheduled */
	int64_t last_sent_ms; /* wall; 0: never */
	uint64_t sent, refused, uncertain, held; /* since the start of the process */
	size_t unrecorded; /* outcomes the store has not taken yet */
	const char *unclean; /* the instance before this one, if that did not end well; else NULL */
	int64_t unclean_since_ms; /* when that began; 0: unknown */
	const char *store_why; /* why nothing new starts because of the store; NULL: nothing is
				  wrong with it, or it has not answered yet. Until the next turn */
	int64_t store_down_ms; /* wall: since then */
	const char *clock_doubt; /* why nothing is sent by it; NULL: it is believed. Likewise */
};
struct flow_stats flow_stats(void);
/* The pumps were looked at lately and no item overstays: for the watchdog. */
bool flow_is_alive(void);
/* One line for STATUS=: "sent 12 today, next 14:32 ali@…". RET is reset first. */
void flow_status_line(struct str *ret);
