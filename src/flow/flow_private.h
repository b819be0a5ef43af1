/*
 * The corridor from inside: what its files share. One file per stage; a stage ends by calling
 * flow_advance(), stages never call each other.
 * Runs on: loop. Private to src/flow.
 */
#pragma once

#include <glib.h>

#include "coldmail/content.h"
#include "coldmail/dns.h"
#include "coldmail/flow.h"
#include "coldmail/list.h"
#include "coldmail/loop.h"
#include "coldmail/mail.h"
#include "coldmail/plan.h"

/* ---- one generation of configuration ---------------------------------------------------------- */

/* A configuration with its templates parsed; counted, work in flight keeps its own to the end. */
struct flow_plan {
	unsigned refs;
	const struct conf *conf; /* owned reference */
	struct content_template ***templates; /* owned: [campaign][step] */
	struct plan_calendar **calendars; /* owned: [campaign] */
	struct mail_classes *classes; /* owned */
};

/* ---- an item: one lead on its way -------------------------------------------------------------- */

/* name, text, function that enters it, longest stay in ms (0: the room below has its own) */
#define FLOW_STAGES(X)                                                                             \
	X(VERIFY, "verify", flow_verify_enter, 60000)                                              \
	X(DRAFT, "draft", flow_draft_enter, 60000)                                                 \
	X(CONNECT, "connect", flow_sender_connect, 0)                                              \
	X(RESERVE, "reserve", flow_send_reserve, 60000)                                            \
	X(WIRE, "wire", flow_sender_wire, 0)                                                       \
	X(SLOT, "slot", flow_send_slot, 60000)                                                     \
	X(DOT, "dot", flow_send_dot, 0)                                                            \
	X(RECORD, "record", flow_record_enter, 0)                                                  \
	X(GIVE_BACK, "give_back", flow_record_give_back, 0)
enum flow_stage {
#define X(name, text, enter, deadline) FLOW_STAGE_##name,
	FLOW_STAGES(X)
#undef X
};

/* How a stage ended. */
enum flow_verdict {
	FLOW_GO, /* on to the next stage */
	FLOW_RETURN, /* the lead goes to item->to; no attempt is open */
	FLOW_RECORDING, /* item->verdict is the attempt's fate */
};

/* The answer to one claim: its memory lives as long as an item of it. */
struct flow_batch {
	unsigned refs;
	const char *claim; /* names this claim in the store: its leads are nobody else's */
	struct mem_arena arena;
};

struct flow_sender;
struct flow_link;

/* trouble.c: what the end of an attempt adds to, beyond itself. Of UNKNOWN so many in a row, by as many
 * domains, pause the mailbox; from so many UNCERTAIN in a row, each is told; how many of the others are too
 * many is configured. */
enum flow_counts {
	FLOW_COUNTS_NOTHING, /* the mail was not judged */
	FLOW_COUNTS_REFUSAL, /* a no that ends a row of UNKNOWN */
	FLOW_COUNTS_SENT,
	FLOW_COUNTS_BOUNCE,
	FLOW_COUNTS_CONTENT,
	FLOW_COUNTS_UNKNOWN,
	FLOW_COUNTS_UNCERTAIN /* lost at the dot */
};
#define FLOW_TROUBLE_UNKNOWN_MAX   3
#define FLOW_TROUBLE_UNCERTAIN_MAX 3

struct flow_item {
	uint64_t id;
	enum flow_stage stage;
	struct list_node node; /* in the list of its stage */
	int64_t entered_ms; /* boot */
	bool overstayed; /* said so once */
	struct flow_batch *batch; /* owned reference */
	struct mem_arena arena; /* its own */
	struct flow_plan *plan; /* owned reference */
	const struct conf_campaign *campaign; /* borrowed from plan */
	size_t step; /* index in campaign */
	struct store_claimed *claimed; /* borrowed from batch */
	struct store_lead_to to; /* GIVE_BACK: where the lead goes */
	enum store_outcome cancel; /* GIVE_BACK: of the step's row */
	const char *error; /* for people; in arena */

	/* from RESERVE on */
	struct flow_sender *sender; /* borrowed: senders live as long as the process */
	struct list_node wait_node; /* in sender->waiting or sender->reserved */
	struct flow_link *link; /* borrowed; NULL: none */
	int attempt;
	int64_t date_ms;
	const char *message_id, *identity;
	struct str bytes;
	char sha256[65], nonce[33];
	bool was_asked; /* its dialogue began */
	bool asks_slot; /* it may be taken, whatever becomes of the connection */
	bool had_slot;
	bool unrecorded; /* the store did not take its end yet */
	const char *from; /* the sender's address, after it left the sender */
	int64_t slot_asked_ms; /* boot */
	const char *released; /* the attempt is released for this reason; NULL: see verdict */
	enum lead_reason
		released_to; /* a lead that ends or is held because of it; NONE: queued again */
	int64_t released_until_ms; /* wall: held until then; 0: it ends */
	struct mail_verdict verdict;
};

/* More between asking for the slot and the dot, and there is no dot (architecture, "The ledger"). */
#define FLOW_SLOT_TO_DOT_MAX_MS (10 * CLOCK_SECOND_MS)

/* ---- shared state ------------------------------------------------------------------------------ */

/* A campaign in this process. */
struct flow_campaign {
	char *name; /* owned */
	const struct conf_campaign
		*conf; /* borrowed from flow.plan; NULL: not configured any more */
	bool started, paused;
	bool drafting; /* a claim for drafts is under way */
	bool strays; /* there may be some (strays.c) */
	bool unbinding; /* they are being looked at */
	struct mailbox_guard guard;
	int64_t draft_after_ms; /* wall: nothing to draft before */
	uint64_t fed; /* counts what came in: a claim's "nothing more" may be out of date */
	GHashTable *feeds; /* owned: mailbox address -> struct flow_feed, owned */
	GHashTable *zones; /* owned: the zones its leads were seen to have, owned; a set */
};

/* One campaign's leads for one mailbox. */
struct flow_feed {
	int64_t send_after_ms; /* wall: nothing ready before */
};

/* A mailbox in this process: its connections and the items that wait for one. */
struct flow_sender {
	struct mailbox *mailbox; /* borrowed: from the pool */
	char *address; /* owned */
	struct list waiting; /* items in CONNECT, by wait_node */
	struct list reserved; /* items in WIRE that have no link yet, by wait_node */
	struct list links; /* of struct flow_link */
	int64_t more_links_ms; /* boot: its server took fewer than configured, no more before */
	struct mail_oauth *oauth; /* a reference; NULL: none, or not needed yet */
	const struct conf *oauth_conf; /* owned reference: what oauth was made of */
	bool asking; /* for its past: never twice, it would count twice */
	bool unkept; /* the store is to be told how it is */
	bool keeping; /* it is being told */
	bool claiming;
	size_t rotor; /* whose turn it is */
	/* Domains that refused its last mails, one after the other, for an unknown reason. */
	char *unknown[FLOW_TROUBLE_UNKNOWN_MAX]; /* owned */
	size_t n_unknown;
	int n_uncertain; /* of its last mails, one after the other */
};

/* One connection of a mailbox. */
struct flow_link {
	struct list_node node; /* in sender->links */
	struct flow_sender *sender;
	const struct conf *conf; /* owned reference: of its opening */
	const struct conf_mailbox *server; /* borrowed from conf: where it leads, and as who */
	struct mail_smtp *smtp; /* owned until its on_end */
	bool ready; /* may take a mail now, unless it has closed meanwhile */
	bool was_ready;
	bool is_leaving; /* takes no other mail */
	uint64_t item; /* the mail it works on; 0: none */
};

extern struct flow_state {
	enum flow_mode mode;
	bool fast_forward;
	char *instance; /* owned */
	char *unclean; /* owned: stats.unclean */
	void (*on_ready)(int err, const char *why);
	void (*on_finished)(void);
	bool opened, ready, draining, finished;
	bool store_down;
	struct flow_plan *plan; /* owned reference: the current generation */
	struct plan_zones *zones; /* owned */
	GPtrArray *campaigns; /* of struct flow_campaign, owned */
	GPtrArray *senders; /* of struct flow_sender, owned */
	GHashTable *controls; /* name -> value, owned: what CONTROL_SET stored */
	GHashTable *items; /* id -> struct flow_item, owned */
	struct list stages[FLOW_STAGE_GIVE_BACK + 1];
	uint64_t last_id;
	size_t claims, unbinding; /* under way */
	int64_t wake_ms; /* wall: the next held lead's time */
	bool waking;
	struct flow_stats stats;
} flow;

/* ---- flow.c ------------------------------------------------------------------------------------ */

struct flow_item *flow_item_new(enum flow_stage stage, struct flow_plan *plan, struct flow_batch *b,
	struct store_claimed *claimed);
struct flow_item *flow_item_find(uint64_t id); /* NULL: gone; drop the reply */
void flow_item_end(struct flow_item *it);
/* A stage is over. IT may be gone afterwards. */
void flow_advance(struct flow_item *it, enum flow_verdict v);
/* Enters the item's first stage. */
void flow_enter(struct flow_item *it);
void flow_check_drained(void);

/* ---- plan.c ------------------------------------------------------------------------------------ */

/* Parses every template of C; problems are appended to RET (NULL: they are known to be none). The
 * caller owns the one reference. */
struct flow_plan *flow_plan_new(const struct conf *c, struct str *ret_problems);
struct flow_plan *flow_plan_ref(struct flow_plan *p);
void flow_plan_unref(struct flow_plan *p);
/* Borrowed from P. */
const struct content_template *flow_plan_template(
	const struct flow_plan *p, const struct conf_campaign *c, size_t step);
/* Campaigns and mailboxes follow the current plan and the stored controls. */
void flow_plan_apply(void);
/* The value of the stored control PREFIX NAME; NULL: it is not set. Borrowed until the next turn. */
const char *flow_control(const char *prefix, const char *name);
/* Why KIND NAME (flow_pause) is paused, for people; NULL: it is not. Borrowed as above. */
const char *flow_pause_why(const char *kind, const char *name);
#define FLOW_YES     "yes" /* the value of a control that an operator set */
#define FLOW_CONTENT "content_rejected/" /* before CAMPAIGN/STEP: how often (refusals.c) */
#define FLOW_COUNTED "counted/" /* before a pause's control: since when (wall) bounces count */
void flow_campaigns_init(void);
struct flow_campaign *flow_campaign_find(const char *name); /* NULL: none */
bool flow_campaign_may_send(const struct flow_campaign *c);

/* ---- verbs.c ----------------------------------------------------------------------------------- */

/* Pauses KIND NAME because of WHY: from now on, and in the store when it takes it. */
void flow_pause_for(const char *kind, const char *name, const char *why);
/* A control of our own; likewise. */
void flow_control_put(const char *prefix, const char *name, const char *value);
void flow_controls_keep(void); /* the store is back: what it did not take of these */
void flow_controls_free(void);

/* ---- outage.c ---------------------------------------------------------------------------------- */

void flow_store_init(void);
void flow_store_open(void);
void flow_store_done(void);
bool flow_is_open_for_work(
	void); /* ready, not draining, store up and no copy, the clock believed */
/* The ledger has one more entry. */
void flow_store_seal_soon(void);
#define FLOW_TAKEOVER_REMEDY                                                                       \
	"make sure that nobody else sends from it, then: coldmailctl takeover (see coldmail(8))"
/* Why nothing new starts because of the store, and since when (wall; may be NULL); NULL: it is up. */
const char *flow_store_why(int64_t *ret_since_ms);
/* A write failed because of the store: nothing new starts until it answers again. */
void flow_store_failed(int err, const char *why);
bool flow_err_is_store(int err);

/* ---- wallclock.c ------------------------------------------------------------------------------ */

/* The store has told its controls, and the newest time in its ledger (wall; 0: empty). */
void flow_wallclock_opened(int64_t last_entry_ms);
void flow_wallclock_look(void); /* something may have changed: says so, and sees to what follows */
const char *flow_wallclock_why(void); /* why it is not believed; NULL: it is. Until the next turn */
#define FLOW_CLOCK_TRUSTED "trusted/clock" /* the control: wall ms at which an operator said so */
#define FLOW_CLOCK_REMEDY                                                                          \
	"let NTP set it (timedatectl), or if it is right: coldmailctl resume clock"

/* ---- mailboxes.c ------------------------------------------------------------------------------- */

void flow_mailboxes_init(void);
/* A mailbox sends nothing before the ledger has told what it sent; and that is not settled before
 * recovery is over. */
void flow_mailboxes_ask(void);
void flow_mailboxes_keep(void); /* the store is back: what it did not take */

/* ---- stages ------------------------------------------------------------------------------------ */

void flow_verify_enter(struct flow_item *it);
void flow_draft_enter(struct flow_item *it);
void flow_sender_connect(struct flow_item *it);
void flow_send_reserve(struct flow_item *it);
void flow_sender_wire(struct flow_item *it);
void flow_send_slot(struct flow_item *it);
void flow_send_dot(struct flow_item *it);
void flow_record_enter(struct flow_item *it);
void flow_record_give_back(struct flow_item *it);

#define FLOW_DOMAIN_FULL "its domain got as many mails in 24 hours as domain_daily_limit allows"

/* claim.c: takes the next N leads of C and sends each on its way. */
void flow_claim_drafts(struct flow_campaign *c, size_t n);
void flow_claim_sends(struct flow_campaign *c, struct flow_sender *s, size_t n);

/* verify.c */
size_t flow_verify_waiting(const struct conf_campaign *c); /* leads of C, for a name server */
void flow_verify_drain(void); /* nobody waits for a name server any more */
void flow_verify_configure(const struct conf *c);

/* draft.c: renders IT's step; false: it.to says where the lead goes instead. */
bool flow_draft_make(struct flow_item *it, struct store_email *ret);
/* IT's step as the store has it, else as it would be written now, which may fail as above. GOT: its
 * lead's LEAD_GET. */
bool flow_draft_find(struct flow_item *it, const struct store_req *got, struct store_email *ret);
void flow_draft_copy(struct mem_arena *a, struct store_email *to, const struct store_email *e);
/* it.to: held or ended for REASON; ERROR (copied; NULL: none) is for people. Returns false. */
bool flow_draft_hold(struct flow_item *it, enum lead_reason reason, const char *error);
bool flow_draft_end(struct flow_item *it, enum lead_reason reason, const char *error);

/* sender.c */
void flow_senders_init(void);
struct flow_sender *flow_sender_get(const char *address); /* made when missing */
/* The mailbox of C that goes first of those with room now (ADDRESS: only that one, "": any); NULL: none has any. One
 * whose claim is under way has promised its room. */
struct flow_sender *flow_sender_with_room(const struct conf_campaign *c, const char *address);
/* Gives ready links to waiting items; opens more, up to the mailbox's number; closes the links that
 * are to go and carry no mail. */
void flow_sender_feed(struct flow_sender *s);
/* IT is not under way at its mailbox any more. A link on which no mail was started may take another. */
void flow_sender_leave(struct flow_item *it);
/* IT leaves its sender and waits for its turn again: nothing was reserved. */
void flow_sender_turn_away(struct flow_item *it);
/* S's mailbox failed in the way F; V says how. */
void flow_sender_fault(struct flow_sender *s, enum mailbox_fault f, const struct mail_verdict *v);
void flow_senders_reconfigure(void); /* links follow the new generation */
void flow_senders_quit(
	void); /* every link goes, at once or after its mail; what waits is given back */
void flow_senders_drop(void); /* no more patience with links that carry no mail */
bool flow_senders_are_gone(void); /* no link is left */
void flow_link_free(struct flow_link *k);
void flow_senders_free(void); /* the end of the process */

/* identity.c */
struct flow_identity { /* never NULL; "" : none */
	const char *from_name, *opt_out_line, *organisation, *postal_address, *unsubscribe_url;
};
/* As the plan of IT has it for MAILBOX; borrowed from the plan. */
struct flow_identity flow_identity_now(const struct flow_item *it, const char *mailbox);
const char *flow_identity_text(struct mem_arena *a, const struct flow_identity *id);
/* false: TEXT is none. Strings are copied to A. */
bool flow_identity_parse(struct mem_arena *a, const char *text, struct flow_identity *ret);

/* server.c: where S's server is, and as whom; HELO holds our name. Borrowed from S, SERVER, HELO. */
#define FLOW_HELO 256
struct mail_smtp_conf flow_server_conf(
	struct flow_sender *s, const struct conf_mailbox *server, char helo[FLOW_HELO]);
void flow_server_forget(struct flow_sender *s); /* its tokens */

/* send.c */
void flow_send_wire(struct flow_item *it); /* IT has a link */
/* IT's attempt ends before its dot; WHY is copied. TO: the lead ends with it; NONE: queued again. */
void flow_send_release(struct flow_item *it, const char *why, enum lead_reason to);
void flow_send_drain(void); /* lets go of everything before its slot */
void flow_send_give_up(void); /* past the stop's patience: what is past its slot is uncertain */
/* The message of IT as it leaves from MAILBOX at DATE. CM_EINVAL: an address is unusable. */
int flow_send_compose(struct flow_item *it, const struct store_email *e, const char *mailbox,
	const char *message_id, int64_t date_ms, struct str *ret_bytes, char ret_sha256[65])
	__attribute__((warn_unused_result));
/* Of the rendering that begins with try N from MAILBOX. */
const char *flow_send_new_message_id(
	struct mem_arena *a, const struct store_email *e, const char *mailbox, int n);
const char *flow_send_message_id(
	struct mem_arena *a, const struct store_email *e, const char *mailbox);

/* record.c */
/* Where a lead goes after STEP of C went out at SENT_MS. */
struct store_lead_to flow_record_next(const struct conf_campaign *c, size_t step, int64_t sent_ms);
void flow_record_redo(void); /* the store is back: write what it did not take */
/* interfaces.md, "Log lines": one closing line per attempt, and only when OUTCOME, an OUTCOME that the
 * store took, says so, too. DELAYS NULL: nobody knows them any more. */
void flow_record_log(
	const struct store_attempt *a, const struct store_req *outcome, const char *delays);

/* recover.c */
void flow_recover(void (*then)(void)); /* settles every open attempt of an earlier process */
/* An open attempt nobody works on: void it, then write what that means. */
void flow_recover_settle(const struct store_attempt *a);
bool flow_recover_is_busy(void);
void flow_recover_redo(void); /* the store is back: go on where it did not take it */
void flow_recover_on_quick_check(struct store_req *r);

/* sched.c */
void flow_sched_init(void);
void flow_sched_done(void);
void flow_sched_soon(void); /* run the pumps at the end of this turn */
void flow_sched_feed(struct flow_campaign *c, const char *mailbox); /* "" : every mailbox */
void flow_sched_draft_at(struct flow_campaign *c, int64_t wall_ms); /* due for a draft then */
void flow_sched_held_until(int64_t wall_ms); /* a lead was held until then */
void flow_sched_in_vain(void); /* a mailbox found no server for what is due */
void flow_sched_reached(void); /* an attempt came to its end: there is one */
int64_t flow_sched_last_ms(void); /* boot: when the pumps were looked at last */
void flow_sched_status(struct str *ret); /* ", next 14:32 ali@…" */
struct flow_feed *flow_sched_feed_of(struct flow_campaign *c, const char *mailbox);

/* hours.c: windows, on the clock of the recipient. */
struct plan_state flow_hours_at(const struct flow_plan *p, const struct conf_campaign *c,
	const char *zone, int64_t wall_ms);
int64_t flow_hours_next(const struct flow_plan *p, const struct conf_campaign *c, const char *zone,
	int64_t from_ms);
/* Is the window of IT's campaign open now, as the current plan has it? */
struct plan_state flow_hours_of(const struct flow_item *it);
const char *flow_hours_reason(enum plan_gate g); /* as interfaces.md names it */
/* A claim for C is for leads whose window is open now. */
void flow_hours_restrict(struct flow_campaign *c, struct store_req *claim);
/* The moment at which the first of those that CLAIM left may go out; CLOCK_NEVER_MS: there is none. */
int64_t flow_hours_after(
	struct flow_campaign *c, const struct flow_plan *p, const struct store_req *claim);

/* strays.c: looks whether leads of C wait for a mailbox that it does not have. */
void flow_strays_look(struct flow_campaign *c);

/* why_ask.c */
void flow_why_free(void);

/* guard.c: watches bounces. A mail of CAMPAIGN from MAILBOX was taken or bounced. */
void flow_guard_saw(const char *mailbox, const char *campaign, bool bounced);
void flow_guard_ask(void); /* what the ledger says, once, before the mailboxes' past */
void flow_guard_forget(const char *pause); /* the control PAUSE was removed: count anew */

/* test_send.c: at the end of the process, as links are */
void flow_tests_quit(void);
bool flow_tests_are_over(void);
void flow_tests_drop(void);

/* why_gate.c: texts are in A or static. */
struct flow_reason flow_why_gate(
	struct mem_arena *a, const struct mailbox_info *m, const struct mailbox_gate *gate);

/* why_wait.c: value, limit and until of what S waits for; texts are in A or static. */
void flow_why_sender_waits(
	struct mem_arena *a, const struct flow_sender *s, struct flow_reason *ret);

/* refusals.c */
/* IT, an attempt from S, ended and counts like that (trouble.c). */
void flow_refusals_note(struct flow_sender *s, const struct flow_item *it, enum flow_counts counts);
void flow_refusals_forget(struct flow_sender *s);
/* NULL: the step may go out; else "COUNT times, the last: …": its content was refused. */
const char *flow_refusals_stopped(const struct conf_campaign *c, size_t step);

/* steps.c */
/* The gate that no mail of this step passes now; NULL: there is none. */
const char *flow_step_gate(const struct conf_campaign *c, size_t step);
/* The names of all steps with one, as a claim has it; in A. */
const char *flow_steps_stopped(const struct conf_campaign *c, struct mem_arena *a);

/* trouble.c: what a verdict means. The one place. */
enum flow_lead_next {
	FLOW_LEAD_NEXT,
	FLOW_LEAD_AGAIN,
	FLOW_LEAD_DEFER,
	FLOW_LEAD_HOLD,
	FLOW_LEAD_END
};
enum flow_suppress { FLOW_SUPPRESS_NOBODY, FLOW_SUPPRESS_ADDRESS, FLOW_SUPPRESS_DOMAIN };
struct flow_trouble {
	struct mail_ruling ruling; /* who is at fault (mail.md), and why */
	enum store_attempt_state attempt;
	enum store_outcome outcome; /* of the step; NONE: it is still to be sent */
	enum flow_lead_next lead;
	enum lead_reason reason; /* of DEFER, HOLD, END */
	int64_t wait_ms; /* DEFER: how long */
	bool has_fault; /* something is wrong with the mailbox */
	enum mailbox_fault fault; /* HAS_FAULT: what */
	enum flow_suppress suppress; /* who is not written to again */
	int64_t suppress_ms; /* DOMAIN: for how long */
};
/* Who is at fault for what became of a mail or a connection. */
struct mail_ruling flow_trouble_ruling(struct mail_classes *classes, const struct mail_verdict *v);
/* What broke when V ended a connection before its first mail. */
enum mailbox_fault flow_trouble_of_connecting(const struct mail_verdict *v, struct mail_ruling r);
/* What that means for M. */
struct mailbox_remedy flow_trouble_remedy(enum mailbox_fault f, const struct mailbox *m);
/* V is the fate of attempt number N of a step, R who is at fault; PAST: of the attempts before. */
struct flow_trouble flow_trouble_of(const struct mail_verdict *v, struct mail_ruling r, int n,
	const struct store_past *past, int64_t now_ms);
/* What a look-up of a lead's domain means for the lead, FAILURES of the name servers in a row. */
struct flow_trouble flow_trouble_of_lookup(enum dns_mx mx, int failures);
/* Toward what an attempt counts that ended in STATE with CLASS (its name) and CODE. */
enum flow_counts flow_trouble_counts(enum store_attempt_state state, const char *class, int code);
/* How long until the store is tried again, after FAILURES in a row. */
int64_t flow_trouble_store_wait_ms(unsigned failures);
