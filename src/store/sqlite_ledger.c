/*
 * The ledger: reservations, slots, outcomes. This file carries "at most once".
 * Runs on: lane 0, inside a group's transaction.
 *
 *   KEY#n   a try; inserted once, ended once (the update asks for 'reserved')
 *   KEY#n!  its slot; inserted once: transmitting by the sender, or void by whoever wants the mail
 *           not to go. The insert that comes second changes nothing and is told so.
 *
 * Rows that cannot be read are taken for the worst that they may be: a try for uncertain, a slot for
 * transmitting. Nothing here deletes.
 */
#include "store_sqlite.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"

/* ---- RESERVE ----------------------------------------------------------------------------------- */

/* May another try follow this one? Only when it is certain that no mail went out, and nobody said
 * that there is no such recipient. */
bool store_attempt_may_follow(enum store_attempt_state s, const char *class)
{
	switch (s) {
	case STORE_ATTEMPT_RELEASED:
	case STORE_ATTEMPT_NOT_SENT:
		return true;
	case STORE_ATTEMPT_REFUSED:
		return !str_eq(class, "recipient-permanent");
	case STORE_ATTEMPT_RESERVED:
	case STORE_ATTEMPT_SENT:
	case STORE_ATTEMPT_UNCERTAIN:
		break;
	}
	return false;
}

static bool may_follow(sqlite3_stmt *st)
{
	enum store_attempt_state s;

	return store_attempt_parse((const char *)sqlite3_column_text(st, 0), &s) &&
	       store_attempt_may_follow(s, (const char *)sqlite3_column_text(st, 1));
}

/* NULL, or why this try is not the next one. */
static const char *check_turn(struct store_db *db, struct store_req *r, const struct store_email *e)
{
	const char *key = r->u.reserve.key;
	int n = r->u.reserve.n;

	if (e->state != STORE_EMAIL_READY)
		return "the step is not ready to be sent";
	if (n > 1) {
		const char *before = store_attempt_id(&r->arena, key, n - 1);
		sqlite3_stmt *st = store_db_find(db, STORE_SQL_ATTEMPT_STATE, SQL_T(before));

		if (!st || !may_follow(st))
			return "the try before it has not ended so that another may follow";
	}
	return n < 1 ? "tries are counted from 1" : NULL;
}

/* One Message-ID, one mail: that of the try before, if it is the same one. */
static bool is_same_bytes(struct store_db *db, struct store_req *r)
{
	const char *before = store_attempt_id(&r->arena, r->u.reserve.key, r->u.reserve.n - 1);
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_ATTEMPT_STATE, SQL_T(before));

	return !st || !str_eq((const char *)sqlite3_column_text(st, 2), r->u.reserve.message_id) ||
	       str_eq((const char *)sqlite3_column_text(st, 3), r->u.reserve.sha256);
}

/* A reservation fixes mailbox, date, Message-ID and bytes. Another renderer makes a new rendering with a
 * Message-ID of its own: the tries before were certainly not accepted (check_turn). Another mailbox
 * makes one, too, but only while no try came as far as its slot. NULL: fine. */
static const char *check_rendering(
	struct store_db *db, struct store_req *r, const struct store_email *e)
{
	if (!e->date_ms)
		return NULL;
	if (str_eq(e->message_id, r->u.reserve.message_id))
		return e->date_ms == r->u.reserve.date_ms &&
				       str_eq(e->mailbox, r->u.reserve.mailbox) &&
				       is_same_bytes(db, r)
			       ? NULL
			       : "an earlier try had this Message-ID and other bytes";
	if (!str_eq(e->mailbox, r->u.reserve.mailbox) &&
		store_db_find(db, STORE_SQL_TRANSMITTED, SQL_T(r->u.reserve.key)))
		return "an earlier try came as far as its slot from another mailbox: only that one "
		       "may repeat it";
	return NULL;
}

/* The very same reservation is there: the answer to it was lost. */
static bool is_repeated(struct store_db *db, struct store_req *r, const char *id)
{
	return store_db_find(db, STORE_SQL_ATTEMPT_SAME, SQL_T(id), SQL_T(r->u.reserve.instance),
		SQL_T(r->u.reserve.mailbox), SQL_T(r->u.reserve.message_id),
		SQL_T(r->u.reserve.sha256));
}

static bool insert(
	struct store_db *db, struct store_req *r, const char *id, const struct store_email *e)
{
	const char *key = r->u.reserve.key;

	if (store_db_run(db, STORE_SQL_RESERVE, SQL_T(id), SQL_T(key), SQL_I(r->u.reserve.n),
		    SQL_I(r->now_ms), SQL_T(e->person), SQL_T(r->u.reserve.campaign),
		    SQL_T(r->u.reserve.lead_id), SQL_T(r->u.reserve.step), SQL_T(r->u.reserve.to),
		    SQL_T(r->u.reserve.mailbox), SQL_T(r->u.reserve.message_id),
		    SQL_T(r->u.reserve.sha256), SQL_I(r->u.reserve.renderer),
		    SQL_T(r->u.reserve.instance), SQL_T(r->u.reserve.domain)) != 1)
		return false;
	store_db_run(db, STORE_SQL_EMAIL_FIX, SQL_T(key), SQL_T(r->u.reserve.mailbox),
		SQL_I(r->u.reserve.date_ms), SQL_T(r->u.reserve.message_id),
		SQL_I(r->u.reserve.renderer), SQL_T(r->u.reserve.identity));
	return true;
}

/* What might forbid the mail; read after the insert. */
static void read_facts(struct store_db *db, struct store_req *r, const char *id, const char *person)
{
	r->u.reserve.domain_until_ms = store_fact_domain_until(
		db, r->u.reserve.domain, id, r->u.reserve.domain_limit, r->now_ms);
	r->u.reserve.suppressed_by =
		store_fact_suppressed(db, &r->arena, r->u.reserve.to, person, r->now_ms);
	r->u.reserve.contacted_by = store_fact_contacted(
		db, &r->arena, person, r->u.reserve.campaign, r->u.reserve.recontact_since_ms);
	r->u.reserve.lead_moved = !store_db_find(db, STORE_SQL_LEAD_IN_FLIGHT,
		SQL_T(r->u.reserve.lead_id), SQL_T(r->u.reserve.instance));
}

static int is_there(struct store_db *db, struct store_req *r, const char *id)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_ATTEMPT_STATE, SQL_T(id));
	const char *state = st ? (const char *)sqlite3_column_text(st, 0) : NULL;

	return str_eq(state, store_attempt_name(STORE_ATTEMPT_RESERVED))
		       ? store_refuse(r, CM_EBUSY, "another claim's try is under way")
		       : store_refuse(r, CM_ESTATE, "there is such a try already");
}

int store_op_reserve(struct store_db *db, struct store_req *r)
{
	const char *id = store_attempt_id(&r->arena, r->u.reserve.key, r->u.reserve.n);
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_EMAIL_BY_KEY, SQL_T(r->u.reserve.key));
	struct store_email e;

	if (!st || !store_row_email(st, &r->arena, &e))
		return store_refuse(r, CM_ESTATE, "the step has no readable row");
	const char *why = check_turn(db, r, &e);
	if (!why)
		why = check_rendering(db, r, &e);
	if (why)
		return store_refuse(r, CM_ESTATE, why);
	if (!insert(db, r, id, &e) && !is_repeated(db, r, id))
		return is_there(db, r, id);
	read_facts(db, r, id, e.person);
	return CM_OK;
}

/* ---- SLOT, VOID -------------------------------------------------------------------------------- */

/* There is a slot already: somebody else's, or that of this very request asked twice. */
static int slot_is_there(struct store_db *db, struct store_req *r, const char *slot_id)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_SLOT_BY_ID, SQL_T(slot_id));
	struct store_row row = { .st = st, .arena = &r->arena };

	if (!st)
		return CM_OK; /* the database has failed: db->err */
	bool is_taken = str_eq(store_row_text(&row), "transmitting");
	const char *why = store_row_text(&row);
	bool is_ours = str_eq(store_row_text(&row), r->u.slot.instance) &&
		       str_eq(store_row_text(&row), r->u.slot.nonce);
	if (is_ours && is_taken)
		return CM_OK;
	return store_refuse(r, CM_EEXIST, *why ? why : "somebody else transmits it");
}

int store_op_slot(struct store_db *db, struct store_req *r)
{
	const char *key = r->u.slot.key;
	const char *id = store_attempt_id(&r->arena, key, r->u.slot.n);
	const char *slot_id = store_slot_id(&r->arena, key, r->u.slot.n);
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_ATTEMPT_MAILBOX, SQL_T(id));
	const char *mailbox = st ? (const char *)sqlite3_column_text(st, 0) : NULL;

	if (!st)
		return store_refuse(r, CM_ESTATE,
			store_db_find(db, STORE_SQL_ATTEMPT_STATE, SQL_T(id))
				? "the try has ended"
				: "there is no such try");
	if (store_db_run(db, STORE_SQL_SLOT_TAKE, SQL_T(slot_id), SQL_T(key), SQL_I(r->u.slot.n),
		    SQL_I(r->now_ms), SQL_T(mailbox), SQL_T(r->u.slot.instance),
		    SQL_T(r->u.slot.nonce)) == 1)
		return CM_OK;
	return slot_is_there(db, r, slot_id);
}

int store_op_void(struct store_db *db, struct store_req *r)
{
	const char *id = store_attempt_id(&r->arena, r->u.void_.key, r->u.void_.n);

	r->u.void_.slot = store_fact_void(db, &r->arena, id, r->u.void_.reason, r->now_ms);
	return r->u.void_.slot == STORE_SLOT_NONE
		       ? store_refuse(r, CM_ENOENT, "there is no such try")
		       : CM_OK;
}

/* ---- OUTCOME ----------------------------------------------------------------------------------- */

static bool is_out(enum store_outcome o)
{
	return o == STORE_OUTCOME_SENT || o == STORE_OUTCOME_UNCERTAIN;
}

/* Released means: certainly not sent. Only recovery may judge a try whose slot was taken. */
static int check_release(struct store_db *db, struct store_req *r)
{
	if (r->u.outcome.state != STORE_ATTEMPT_RELEASED)
		return CM_OK;
	const char *slot = store_slot_id(&r->arena, r->u.outcome.key, r->u.outcome.n);
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_SLOT_BY_ID, SQL_T(slot));

	if (st && !str_eq((const char *)sqlite3_column_text(st, 0), "void"))
		return store_refuse(r, CM_ESTATE, "its slot was taken: it may have been sent");
	return CM_OK;
}

static int end_attempt(struct store_db *db, struct store_req *r, const char *id)
{
	int changed = store_db_run(db, STORE_SQL_ATTEMPT_END, SQL_T(id),
		SQL_T(store_attempt_name(r->u.outcome.state)), SQL_T(r->u.outcome.class),
		SQL_I(r->u.outcome.code), SQL_T(r->u.outcome.text), SQL_T(r->u.outcome.queue_id),
		SQL_I(r->now_ms), SQL_D(r->u.outcome.delays[0]), SQL_D(r->u.outcome.delays[1]),
		SQL_D(r->u.outcome.delays[2]), SQL_T(r->u.outcome.claim),
		SQL_T(r->u.outcome.reason), SQL_T(r->u.outcome.server_message_id));

	if (changed == 1)
		return CM_OK;
	return store_db_find(db, STORE_SQL_ATTEMPT_STATE, SQL_T(id))
		       ? store_refuse(r, CM_ESTATE, "the try has ended already, or is another's")
		       : store_refuse(r, CM_ENOENT, "there is no such try");
}

/* What the step and its lead show; NULL: all went well. */
static const char *error_of(const struct store_req *r)
{
	if (r->u.outcome.email_outcome == STORE_OUTCOME_SENT)
		return NULL;
	return r->u.outcome.error ? r->u.outcome.error : r->u.outcome.text;
}

static void end_email(struct store_db *db, struct store_req *r)
{
	enum store_outcome o = r->u.outcome.email_outcome;
	struct store_val at = SQL_I(r->now_ms), none = SQL_T(NULL);

	store_db_run(db, STORE_SQL_EMAIL_END, SQL_T(r->u.outcome.key),
		SQL_T(store_email_name(r->u.outcome.email_state)), SQL_T(store_outcome_name(o)),
		SQL_T(store_status_of(o)), is_out(o) ? at : none, SQL_T(error_of(r)));
}

static void suppress(struct store_db *db, struct store_req *r, const char *id, const char *person)
{
	const struct store_suppression s = { .pattern = r->u.outcome.suppress,
		.reason = r->u.outcome.suppress_reason,
		.evidence =
			mem_arena_printf(&r->arena, "%d %s", r->u.outcome.code, r->u.outcome.text),
		.source = id,
		.until_ms = r->u.outcome.suppress_until_ms };
	struct store_voids voids = { 0 };

	store_fact_suppress(db, &s, r->now_ms);
	store_fact_void_person(db, r, person, s.reason, &voids);
}

int store_op_outcome(struct store_db *db, struct store_req *r)
{
	const char *id = store_attempt_id(&r->arena, r->u.outcome.key, r->u.outcome.n);
	int err = check_release(db, r);

	if (!err)
		err = end_attempt(db, r, id);
	if (err)
		return err;
	end_email(db, r);
	const char *person = store_key_person(&r->arena, r->u.outcome.key);
	if (is_out(r->u.outcome.email_outcome))
		store_lead_recount(db, r->u.outcome.lead_id, person);
	/* Whatever becomes of the lead: what became of the mail is written down. */
	(void)store_lead_move(db, r->u.outcome.lead_id, LEAD_IN_FLIGHT, &r->u.outcome.to,
		store_claim_of(r->u.outcome.claim), error_of(r));
	if (r->u.outcome.suppress)
		suppress(db, r, id, person);
	return CM_OK;
}

/* ---- RESOLVE ----------------------------------------------------------------------------------- */

/* Who ended for a reason of his own is not queued again by what we learn of a mail. */
static bool may_be_moved(const struct lead *l)
{
	return (l->state == LEAD_HELD && l->reason == LEAD_REASON_SEND_UNCERTAIN) ||
	       (l->state == LEAD_ENDED && l->reason == LEAD_REASON_COMPLETED);
}

static int resolve_lead(struct store_db *db, struct store_req *r, const char *lead_id)
{
	struct lead lead;
	bool ok;

	if (!store_lead_find(db, &r->arena, STORE_SQL_LEAD_BY_ID, lead_id, &lead, &ok))
		return CM_OK;
	store_lead_recount(db, lead_id, lead.person);
	if (!may_be_moved(&lead))
		return CM_OK;
	int err = store_lead_check(r, lead.state, r->u.resolve.to.state);
	if (!err)
		(void)store_lead_move(db, lead_id, lead.state, &r->u.resolve.to, NULL, NULL);
	return err;
}

static void resolve_email(struct store_db *db, struct store_req *r, const struct store_attempt *a)
{
	bool sent = r->u.resolve.sent;
	enum store_outcome o = sent ? STORE_OUTCOME_SENT : STORE_OUTCOME_NONE;
	enum store_email_state state = sent ? STORE_EMAIL_DONE : STORE_EMAIL_READY;
	struct store_val at = SQL_I(a->ended_ms), none = SQL_T(NULL);

	store_db_run(db, STORE_SQL_EMAIL_END, SQL_T(a->key), SQL_T(store_email_name(state)),
		SQL_T(store_outcome_name(o)), SQL_T(store_status_of(o)), sent ? at : none,
		SQL_T(NULL));
}

int store_op_resolve(struct store_db *db, struct store_req *r)
{
	const char *id = store_attempt_id(&r->arena, r->u.resolve.key, r->u.resolve.n);
	enum store_attempt_state to =
		r->u.resolve.sent ? STORE_ATTEMPT_SENT : STORE_ATTEMPT_NOT_SENT;
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_ATTEMPT_BY_ID, SQL_T(id));

	if (!st)
		return store_refuse(r, CM_ENOENT, "there is no such try");
	store_row_attempt(st, &r->arena, &r->u.resolve.attempt);
	if (store_db_run(db, STORE_SQL_ATTEMPT_SETTLE, SQL_T(id), SQL_T(store_attempt_name(to))) !=
		1)
		return store_refuse(r, CM_ESTATE, "it is not uncertain");
	resolve_email(db, r, &r->u.resolve.attempt);
	r->u.resolve.attempt.state = to;
	return resolve_lead(db, r, r->u.resolve.attempt.lead_id);
}
