/*
 * The store: leads, the ledger, suppressions, controls. A request goes to a lane and comes back with
 * its answer; nothing here blocks the loop. What an answer means is the caller's.
 * Runs on: loop. Knows no network but its own database, no campaign rules, no clock (every time in
 * it was given by the caller).
 *
 * Each request is durable before its callback, whole or not at all, and idempotent: asked twice, it
 * has one effect. No request needs a transaction over several persons; where one touches several
 * (SUPPRESS_ADD, CONTROL_SET) it is a list of effects of one person each, in the order written here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coldmail/job.h"
#include "coldmail/lead.h"
#include "coldmail/mem.h"

/* ---- what is stored --------------------------------------------------------------------------- */

/* A try, KEY#n. RESERVED is open; every other state is an end. */
#define STORE_ATTEMPTS(X)                                                                          \
	X(RESERVED, "reserved")                                                                    \
	X(RELEASED, "released")                                                                    \
	X(REFUSED, "refused") X(NOT_SENT, "not_sent") X(SENT, "sent") X(UNCERTAIN, "uncertain")
enum store_attempt_state {
#define X(name, text) STORE_ATTEMPT_##name,
	STORE_ATTEMPTS(X)
#undef X
};
const char *store_attempt_name(enum store_attempt_state s);

/* Its slot, KEY#n!: inserted exactly once. */
enum store_slot { STORE_SLOT_NONE, STORE_SLOT_TRANSMITTING, STORE_SLOT_VOID };

/* A step's row. */
#define STORE_EMAILS(X)                                                                            \
	X(PLANNED, "planned") X(DRAFTED, "drafted") X(READY, "ready") X(DONE, "done")
enum store_email_state {
#define X(name, text) STORE_EMAIL_##name,
	STORE_EMAILS(X)
#undef X
};
#define STORE_OUTCOMES(X)                                                                          \
	X(NONE, "")                                                                                \
	X(SENT, "sent") X(UNCERTAIN, "uncertain") X(REFUSED, "refused") X(CANCELLED, "cancelled")
enum store_outcome {
#define X(name, text) STORE_OUTCOME_##name,
	STORE_OUTCOMES(X)
#undef X
};
const char *store_outcome_name(enum store_outcome o);

/* All strings below: never NULL unless it says so, in the request's arena. */
struct store_email {
	const char *key, *lead_id, *campaign, *person, *step;
	int followup_number; /* index of the step: 0 is the first mail */
	const char *to;
	const char *mailbox; /* "" : not yet fixed by a reservation, nor by the thread */
	const char *subject, *body;
	const char *draft_hash; /* of template, brief and facts */
	int renderer;
	const char *message_id, *in_reply_to, *references;
	int64_t date_ms; /* 0: not yet fixed */
	const char *identity; /* what the sender added, fixed with the date; "" : not yet */
	enum store_email_state state;
	enum store_outcome outcome;
	int64_t created_ms, sent_ms;
	const char *error;
};

struct store_attempt {
	const char *key;
	int n; /* from 1; 0: there is none */
	enum store_attempt_state state;
	enum store_slot slot;
	const char *slot_why; /* of a void */
	const char *campaign, *lead_id, *step, *to, *mailbox, *message_id;
	const char *class; /* who is at fault: flow/trouble.c's word, e.g. "recipient-permanent" */
	const char *reason; /* and why it is: "user-unknown" */
	int code;
	const char *text, *queue_id;
	const char *server_message_id; /* another Message-ID that the server gave it; "" : none */
	const char *sha256; /* of its bytes */
	int64_t reserved_ms, slot_ms, ended_ms;
	double delays[3]; /* seconds: connect, envelope, dot */
};

/* Where a lead goes next. */
struct store_lead_to {
	enum lead_state state;
	enum lead_reason reason;
	int64_t until_ms; /* held: CLOCK_NEVER_MS without an end */
	enum lead_stage stage;
	const char *step, *last_step; /* NULL: unchanged */
	int64_t due_ms; /* wall time; -1: unchanged */
	const char *mailbox; /* NULL: unchanged */
};

/* ---- requests --------------------------------------------------------------------------------- */

/* name, side (W: a writer lane's group, R: a reader lane, S: slices between the writer's groups,
 * T: slices that no writer or reader waits for) */
#define STORE_OPS(X)                                                                               \
	X(OPEN, W)                                                                                 \
	X(PING, W)                                                                                 \
	X(IMPORT, W)                                                                               \
	X(CLAIM, W)                                                                                \
	X(DRAFT, W)                                                                                \
	X(LEAD_SET, W)                                                                             \
	X(RESERVE, W)                                                                              \
	X(SLOT, W)                                                                                 \
	X(OUTCOME, W)                                                                              \
	X(VOID, W)                                                                                 \
	X(RECOVER, W)                                                                              \
	X(WAKE, W)                                                                                 \
	X(UNBIND, W)                                                                               \
	X(LEAD_ACT, W)                                                                             \
	X(SUPPRESS_ADD, W)                                                                         \
	X(SUPPRESS_REMOVE, W)                                                                      \
	X(FORGET, W)                                                                               \
	X(CONTROL_SET, W)                                                                          \
	X(MAILBOX_SET, W)                                                                          \
	X(TEST_SLOT, W)                                                                            \
	X(RESOLVE, W)                                                                              \
	X(DOUBT, W)                                                                                \
	X(SEAL, R)                                                                                 \
	X(OPEN_ATTEMPTS, R)                                                                        \
	X(CONTROLS, R)                                                                             \
	X(MAILBOX_USE, R)                                                                          \
	X(TALLY, R)                                                                                \
	X(LEAD_GET, R)                                                                             \
	X(LEAD_LIST, R)                                                                            \
	X(SENDS, R)                                                                                \
	X(SUPPRESS_CHECK, R)                                                                       \
	X(SUPPRESS_LIST, R)                                                                        \
	X(NEXT_DUE, R)                                                                             \
	X(QUICK_CHECK, T)                                                                          \
	X(AUDIT, S)                                                                                \
	X(RESTORE, S)                                                                              \
	X(BACKUP, T)                                                                               \
	X(SCRUB, T)
enum store_op {
#define X(name, side) STORE_##name,
	STORE_OPS(X)
#undef X
};

/* One address of an import. */
struct store_import_row {
	int64_t line;
	const char *email, *person; /* canonical */
	const char *campaign; /* "" : none (held as no_campaign) */
	const char *first_step; /* of that campaign */
	int64_t recontact_since_ms; /* see store_claim */
	struct lead_var *vars;
	size_t n_vars;
	/* answer */
	enum {
		STORE_ROW_ADDED,
		STORE_ROW_UPDATED, /* same campaign, other values; a lead held as missing_field or
		                         bad_record is queued again, one without campaign gets one;
		                         or moved here from another (`other`) */
		STORE_ROW_DUPLICATE, /* nothing to change, or another campaign's (`other`) */
		STORE_ROW_SUPPRESSED, /* stored as ended(suppressed), so that it is seen; not
		                         stored if it is a forgotten person's */
		STORE_ROW_CONTACTED, /* another campaign (`other`) wrote: ended(already_contacted) */
	} result;
	const char *other;
};

/* What servers said before about a step that they refused. */
struct store_past {
	int n_transient; /* tries of class recipient-transient */
	int64_t transient_ms[2]; /* when the newest ended; 0: none */
	int n_greylisted; /* of class greylisted */
	int64_t greylisted_ms; /* when the first ended */
};

/* What a claim gives: the lead, and every fact the next stages need. */
struct store_claimed {
	struct lead lead; /* now in_flight */
	bool has_email; /* a row for lead.step is there */
	struct store_email email;
	struct store_attempt last; /* of that row; n = 0: none */
	struct store_past past; /* of that row */
	bool has_prev; /* lead.last_step's row: what a follow-up answers */
	struct store_email prev;
	const char *suppressed_by; /* the pattern that covers it; NULL: none */
	const char *
		contacted_by; /* another campaign that wrote since recontact_since_ms; NULL: none */
	int64_t domain_until_ms; /* its domain has no room before then (domain_limit); 0: it has */
};

/* The reason of who is to be forgotten: an import does not store such a person again. */
#define STORE_FORGOTTEN "forgotten"

struct store_control {
	const char *
		name; /* "start/CAMPAIGN", "pause/all", "pause/campaign/NAME", "pause/mailbox/NAME" */
	const char *value; /* NULL in a CONTROL_SET: remove */
	int64_t at_ms;
};

struct store_suppression {
	const char *pattern, *reason;
	const char *evidence; /* what was said or seen; NULL in a request: nothing */
	const char *source; /* who wrote it down: operator, one-click, a file, KEY#n */
	int64_t at_ms;
	int64_t until_ms; /* wall time at which it ends by itself; 0: it does not */
};

/* A row of unknown origin: nobody is looked up by it. */
struct store_idle_suppression {
	const char *pattern, *why, *remedy; /* for people */
};

/* What became of open attempts that were to be stopped. */
struct store_voids {
	size_t voided; /* certainly not sent */
	size_t transmitting; /* slot already taken: may be sent */
	const char **taken; /* "KEY#n" of those, in the arena */
};

/* What a restart must not forget of a mailbox; each as coldmail/mailbox.h has it. */
struct store_mailbox {
	const char *state, *why;
	int64_t until_ms; /* wall; CLOCK_NEVER_MS: without an end */
	int64_t backoff_ms;
	int refused_logins;
	int lowered; /* what its provider took in a day; 0: nothing is known */
	int64_t lowered_until_ms;
	int64_t back_ms; /* when it came back from a block; 0: never */
};

/* Leads that are due to be sent from one mailbox and no other, which their campaign does not have. */
struct store_stray {
	const char *mailbox;
	int64_t n;
};

/* One of them, in line; all 0: before the first. */
struct store_stray_place {
	const char *mailbox; /* NULL: before the first, or after the last */
	const char *zone;
	int64_t due_ms, row; /* ROW: the backend's */
};

/* A campaign's queued leads whose clock is the same. */
struct store_bucket {
	const char *zone; /* "" : the campaign's */
	int64_t due_ms; /* the earliest */
	int64_t due_now; /* how many are due (NEXT_DUE) */
};

struct store_tally {
	const char *campaign;
	enum lead_state state;
	enum lead_reason reason;
	int64_t n;
};

struct store_req;
typedef void store_done(struct store_req *r);

struct store_req {
	struct job job; /* the front's */
	struct mem_arena arena; /* inputs and outputs live here; ends after the callback */
	enum store_op op;
	store_done *done; /* loop side; R ends after it */
	uint64_t id; /* the caller's: an id, never a pointer across a wait */
	void *arg; /* for callers that live as long as the process */
	int64_t now_ms; /* wall time of the request; the front sets it when it is 0 */
	const char *person; /* the person it is about ("" : none): chooses the lane */
	int err; /* answer: CM_OK, or per request below; CM_ESTORE, CM_EFULL, CM_EIO:
	                            the store is down, nothing was done, ask again later */
	const char *why; /* with an error: text for people, in the arena; may be NULL */
	bool is_stored; /* with an error: it was done all the same, only the seal does not know of it */
	union {
		struct { /* OPEN: lock, migrate, read the keys. CM_ELOCKED: another process;
		            CM_EVERSION: a newer schema */
			uint8_t person_secret[32], message_secret[32];
			const char *store_id;
			int schema;
			const char *
				migrated_backup; /* path of the copy made before a migration; NULL */
			const char *restored; /* as store_stats().restored */
			const char *unclean; /* the instance that worked with it last, if that did
			                        not end well; NULL: it did, or it is a copy */
			int64_t unclean_since_ms; /* when that began; 0: unknown */
		} open;
		struct
		{ /* SEAL: what is beside the store and tells a copy from it (architecture.md) is
		            brought up to date. CM_EPERM: this is such a copy, and TAKE_OVER does not
		            say that it is to be the store from here on; CM_ESTATE: ONLY_MOVED was
		            said, and it is more than that */
			bool take_over, only_moved, dry_run;
		} seal;
		struct {
			struct store_import_row *rows;
			size_t n;
			bool dry_run; /* only what would become of them */
		} import;
		struct { /* CLAIM: the next leads of one campaign for one pump become in_flight */
			const char *campaign;
			enum lead_stage stage;
			const char *mailbox; /* SEND: leads bound to it or to none; DRAFT: NULL */
			size_t max;
			int64_t before_ms; /* due until then */
			const char *
				stopped_steps; /* leads at one of these stay where they are: "\nA\nB\n",
			                              "" : none */
			const char *const *zones; /* only leads of these zones, sorted by strcmp();
			                             NULL: of all */
			size_t n_zones;
			const char *instance; /* names this very claim: the leads are its until they
			                         are given back, and nobody else's word moves them */
			int64_t recontact_since_ms; /* another campaign's mail since then blocks; INT64_MIN:
			                               any mail ever; CLOCK_NEVER_MS: none does */
			int domain_limit; /* mails to one domain in any 24 hours; 0: any number */
			/* answer */
			struct store_claimed *v;
			size_t n;
			struct store_bucket *left; /* who waits after that, of all zones */
			size_t n_left;
		} claim;
		struct
		{ /* DRAFT: the row becomes READY (from nothing, PLANNED or DRAFTED; a READY one
		            only with REPLACE and before any reservation) and the lead, if it is in
		            flight, goes on (TO in_flight: it stays with its claim). Answer: email is what is stored now; CM_EEXIST: the row is
		            DONE, or kept as it was, and the lead, too; CM_ESTATE: it is unreadable */
			struct store_email email;
			struct store_lead_to to;
			const char *claim; /* as in LEAD_SET */
			bool replace;
		} draft;
		struct
		{ /* LEAD_SET: give a claimed lead back. CM_ESTATE: it is not in_flight any more
		            (somebody stopped it): nothing done */
			const char *lead_id;
			const char *claim; /* the claim's instance: if the lead is not its any more,
			                      nothing is moved; NULL: whoever claimed it */
			struct store_lead_to to;
			enum store_outcome
				cancel; /* CANCELLED: the row of its step is done(cancelled) */
			const char *error; /* for that row and for people; NULL */
		} lead_set;
		struct { /* RESERVE: insert KEY#n, then read what might forbid it. CM_EBUSY: another
		            claim's try is open; CM_ESTATE: not allowed (n is not the next, or the one
		            before ended in a way that ends the step; the try before had this
		            Message-ID and was another mail; another mailbox than before after a try
		            that came as far as its slot) */
			const char *key, *lead_id, *to, *campaign, *step;
			int n;
			const char *mailbox, *message_id, *sha256;
			int64_t date_ms;
			const char *identity; /* opaque: as store_email has it */
			int renderer;
			const char *instance; /* the claim's: the try is that claim's alone */
			int64_t recontact_since_ms;
			const char *domain; /* toward whose limit it counts; NULL: none */
			int domain_limit; /* as in CLAIM */
			/* answer: facts read after the insert */
			int64_t domain_until_ms; /* there was no room for this one before then; 0: there was */
			const char *suppressed_by, *contacted_by; /* NULL: no */
			bool lead_moved; /* the lead is not this claim's any more */
		} reserve;
		struct
		{ /* SLOT: insert KEY#n! as transmitting. CM_EEXIST: there is another one, `why` is
		            its reason (the same instance and nonce again: CM_OK); CM_ESTATE: KEY#n is
		            not open */
			const char *key;
			int n;
			const char *instance, *nonce;
		} slot;
		struct { /* OUTCOME: KEY#n ends, and what follows from it. CM_ESTATE: it has ended
		            already, is another claim's, or its slot was taken and it is not to be
		            called RELEASED: nothing done */
			const char *key;
			int n;
			const char *claim; /* the claim's instance; NULL (recovery): any */
			enum store_attempt_state state;
			const char *class, *reason, *text, *queue_id;
			const char *server_message_id; /* "" : none */
			const char *error; /* what the lead and its step show; NULL: TEXT */
			int code;
			double delays[3];
			enum store_email_state email_state;
			enum store_outcome email_outcome;
			const char *lead_id;
			struct store_lead_to
				to; /* applied if the lead is in_flight by that claim; n_sent and status
			                              always follow */
			const char *suppress; /* a pattern to add, NULL: none; code and text are
			                         its evidence */
			const char *suppress_reason;
			int64_t suppress_until_ms; /* as in store_suppression */
		} outcome;
		struct
		{ /* VOID: insert KEY#n! as void unless there is one; answer: the slot there is */
			const char *key;
			int n;
			const char *reason;
			enum store_slot slot;
		} void_;
		struct
		{ /* RECOVER: leads in_flight without an open attempt are queued again (at most
		            MAX a call; answer: n, call again while n == max) */
			size_t max, n;
		} recover;
		struct
		{ /* WAKE: held leads whose time has come are queued, and leads in no state that
		            anybody would ever look at (a row of unknown origin) become held as
		            bad_record; at most MAX of both a call. Answer: how many (call again
		            while n == max), and when the next one's time comes */
			size_t max, n;
			int64_t next_ms;
		} wake;
		struct
		{ /* UNBIND: strays of CAMPAIGN may be sent from any of its MAILBOXES; but not an
		            answer within a thread, nor a step of which a mail may have gone out.
		            Looks at MAX strays a call, from AFTER on. Answer: n of them, and in
		            AFTER where to go on (mailbox NULL: that were all) */
			const char *campaign;
			const char *const *mailboxes;
			size_t n_mailboxes;
			size_t max, n;
			struct store_stray_place after;
		} unbind;
		struct
		{ /* LEAD_ACT: an operator's or an event's word about one address: the fact first,
		            then voids for its open attempts. CM_ENOENT: no such lead; CM_ESTATE: it
		            has ended (HOLD), it has no campaign or is suppressed (RELEASE) */
			const char *email;
			enum { STORE_LEAD_HOLD, STORE_LEAD_RELEASE, STORE_LEAD_END } act;
			enum lead_reason reason; /* END: why; HOLD: OPERATOR */
			bool suppress; /* END: with a suppression of the address */
			const char *source; /* who says so */
			bool dry_run;
			struct lead lead; /* answer: as it is now; DRY_RUN: as it would be */
			struct store_voids voids;
		} act;
		struct
		{ /* SUPPRESS_ADD: the patterns; leads whose address or person is one of them end
		            (as opted_out where that is the reason); voids. What is there stays,
		            unless it would end before the new one. SUPPRESS_REMOVE: answer n
		            removed */
			struct store_suppression *v;
			size_t n;
			bool dry_run;
			size_t n_new; /* answer: how many were not there before, or were removed */
			const char *lead_id; /* answer: of the last address or person that is a
			                        lead; NULL: none is */
			struct store_voids voids;
		} suppress;
		struct { /* FORGET: the lead is gone, and with it every address, name and word about
		            this person; the ledger's keys stay, and a suppression of the person as
		            STORE_FORGOTTEN. What was not sent is cancelled. CM_EBUSY: a mail is under
		            way; CM_ENOENT: nothing is known */
			const char *email, *email_person; /* canonical, and its person */
			const char *source;
			bool dry_run;
			size_t n_leads, n_emails, n_attempts, n_suppressions; /* answer */
		} forget;
		struct
		{ /* SCRUB, after FORGET: the bytes are gone from the files, too. All is written
		            anew, and other writes wait: CM_ETOOBIG: not of a large store, but for
		            AT_ANY_SIZE; CM_EBUSY: not yet, somebody reads or writes */
			bool at_any_size;
		} scrub;
		struct { /* CONTROL_SET: then voids for the open attempts it is about (pauses) */
			struct store_control *v;
			size_t n;
			const char *void_campaign, *void_mailbox; /* NULL: none; "*": all */
			struct store_voids voids;
		} control;
		struct { /* MAILBOX_SET: in the place of what was remembered of it */
			const char *address;
			struct store_mailbox kept;
		} mailbox;
		struct
		{ /* TEST_SLOT: the dot of a mail that belongs to no campaign is about to leave;
		            it counts in MAILBOX_USE. CM_ESTATE: TO is suppressed, `why` by what;
		            nothing done */
			const char *mailbox, *to, *to_person;
		} test;
		struct
		{ /* RESOLVE: an uncertain KEY#n becomes sent or not_sent (a READY row again).
		            CM_ENOENT: no such attempt; CM_ESTATE: it is not uncertain */
			const char *key;
			int n;
			bool sent;
			bool dry_run;
			struct store_lead_to
				to; /* applied if the lead is held as send_uncertain, or has
				       ended as completed */
			struct store_attempt attempt; /* answer */
		} resolve;
		struct { /* DOUBT: steps of one lead that a copy of this store may have mailed since
		            SINCE. KEY#n of each, the open one or a new one, ends as uncertain with
		            its slot taken, its row as done(uncertain); but not that of a step which
		            is done. The lead is held as send_uncertain, unless it is held without an
		            end or has ended. Answer: n_new steps */
			const char *lead_id;
			struct store_email *v; /* as they would be without a row; in order */
			size_t n, n_new;
			int64_t since_ms;
			const char *instance;
			bool dry_run;
		} doubt;
		struct { /* OPEN_ATTEMPTS: without outcome, and uncertain ones when ASKED */
			bool uncertain;
			const char
				*after; /* "KEY#n" of the last page's last; NULL: from the start */
			size_t max;
			struct store_attempt *v;
			size_t n;
		} attempts;
		struct { /* CONTROLS */
			struct store_control *v;
			size_t n;
			int64_t last_entry_ms; /* newest time in the ledger; 0: empty */
			int64_t n_attempts;
		} controls;
		struct
		{ /* MAILBOX_USE: times at which slots were taken since SINCE, oldest first, at most
		            MAX newest; reserved ones without a slot count, too, and tests. Of FIRST
		            they do not: no campaign began with them */
			const char *mailbox;
			int64_t since_ms;
			size_t max;
			int64_t *at_ms;
			size_t n;
			int64_t first_ms, last_ms; /* oldest and newest ever; 0: none */
			int64_t tried_ms; /* newest since SINCE that ended without a slot */
			const struct store_mailbox *kept; /* what MAILBOX_SET left; NULL: nothing */
		} use;
		struct {
			struct store_tally *v;
			size_t n;
		} tally;
		struct
		{ /* LEAD_GET: CM_ENOENT when there is none; the ledger of that person comes all
		            the same (it outlives the lead) */
			const char *email, *email_person; /* canonical, and its person */
			struct lead lead;
			struct store_email *emails;
			size_t n_emails;
			struct store_attempt *attempts;
			size_t n_attempts;
			struct store_suppression *suppressions;
			size_t n_suppressions;
		} get;
		struct { /* LEAD_LIST: keyset pages ordered by email */
			const char *campaign; /* NULL: any */
			const enum lead_state *state; /* NULL: any */
			enum lead_reason reason; /* NONE: any */
			const char *after; /* email; NULL: from the start */
			size_t max;
			struct lead *v;
			size_t n;
		} list;
		struct { /* SENDS: attempts newest first, before (BEFORE_MS, BEFORE_ID) */
			const char *campaign, *mailbox,
				*outcome; /* NULL: any; outcome: an attempt's state */
			int64_t before_ms; /* INT64_MAX: from the newest */
			const char *before_id; /* "KEY#n" */
			size_t max;
			struct store_attempt *v;
			size_t n;
		} sends;
		struct { /* SUPPRESS_CHECK and SUPPRESS_LIST (keyset pages by pattern) */
			const char *of, *of_person; /* as lead_patterns_of() has them */
			const char *after;
			size_t max;
			struct store_suppression *v;
			size_t n;
		} supp;
		struct
		{ /* NEXT_DUE: per campaign, for people: earliest due of queued leads, and of held;
		            strays (bound to none of MAILBOXES) are counted apart */
			const char *campaign;
			const char *const *mailboxes;
			size_t n_mailboxes;
			/* answer */
			int64_t draft_ms, send_ms, wake_ms; /* CLOCK_NEVER_MS: none */
			int64_t due_now; /* queued leads due until now_ms */
			struct store_bucket *buckets; /* the same by zone, without strays */
			size_t n_buckets;
			struct store_stray *strays;
			size_t n_strays;
		} next_due;
		struct { /* QUICK_CHECK: CM_EIO with `why` when the file is damaged. Answer, too:
		            suppressions that are there and stop no mail, at most 1000 */
			struct store_idle_suppression *v;
			size_t n;
			void *state; /* the backend's, between slices */
		} quick_check;
		struct { /* AUDIT: what does not agree; FIX repairs what is derived */
			bool fix;
			int64_t checked_emails, checked_attempts, checked_leads;
			const char **findings; /* one line each, at most 1000; in the arena */
			size_t n_findings, n_fixed;
			void *state; /* the backend's, between slices */
		} audit;
		struct
		{ /* RESTORE: FILE, a backup, takes the store's place, after which the store is a
		            copy (store_stats().restored) once it is opened; for a process that
		            does nothing else, also before a successful OPEN. CM_EIO: FILE is damaged
		            or not readable; CM_EVERSION; CM_ESTATE: it is another store's; CM_ELOCKED:
		            OPEN could not get the store's lock */
			const char *file;
			bool dry_run; /* verify only */
			const char *kept; /* answer: what the store that was there is called now */
			/* answer: what people said to the store that was there goes into the backup's
			 * copy, too: suppressions, leads that were stopped or held, and who was
			 * forgotten */
			size_t n_suppressions, n_leads, n_forgotten;
			const char *not_carried; /* why that is not all of it; NULL: it is */
		} restore;
		struct
		{ /* BACKUP: a consistent copy at PATH, mode 0600, fsynced; CM_EEXIST: PATH exists;
		            CM_EINVAL: it is one of the store's own files */
			const char *path;
			bool dry_run; /* could it be? */
			int64_t bytes;
			void *state; /* the backend's, between slices */
		} backup;
	} u;
};

/* ---- the front -------------------------------------------------------------------------------- */

struct store_conf {
	const char *path; /* SQLite file, absolute; borrowed during store_init() */
	const char *instance; /* this process: "host:pid:random" */
	int64_t timeout_ms; /* deadline of a request */
	bool is_daemon; /* it works with the store: how it ends is remembered there */
};

/* Starts the lanes; opens nothing (send an OPEN). */
int store_init(const struct store_conf *conf) __attribute__((warn_unused_result));
/* Finishes what was sent, closes. Blocks: at the end of the process only. */
void store_done_all(void);

/* A new request; strings for it go into its arena (mem_arena_dup(&r->arena, …)). */
struct store_req *store_req_new(enum store_op op, store_done *done, uint64_t id, void *arg);
/* Takes R; exactly one done(R) follows in a later turn, then R is gone. Before a successful OPEN every
 * other request answers CM_ESTORE. */
void store_send(struct store_req *r);

/* The person of an address, by the store's own key; only after OPEN. */
void store_person(const char *canonical, char ret[LEAD_PERSON]);
const uint8_t *store_message_secret(void); /* 32 bytes */

struct store_stats {
	bool open, down;
	const char *why; /* of down; borrowed until the next answer */
	const char *restored; /* why it is taken for a copy: every RESERVE is refused until a SEAL
	                         takes over; NULL: it is not; borrowed as above */
	int64_t down_since_ms; /* wall time */
	uint64_t requests, groups;
	size_t pending;
	int64_t oldest_ms; /* age of the oldest unanswered request */
	int schema;
};
struct store_stats store_stats(void);
