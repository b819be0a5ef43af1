/*
 * Leads: where they go. Given back (LEAD_SET), awake again (WAKE), recovered after a crash
 * (RECOVER), free of a mailbox that is gone (UNBIND), and what an operator or an event says about
 * one of them (LEAD_ACT).
 * Runs on: lane 0, inside a group's transaction.
 * store_lead_move() is the only place that gives a known lead another state, and only by the table of
 * legal moves (lead_state_may); those of many at once are written in their statements, and an import
 * writes the whole lead. leads.status and the
 * tally follow in the same transaction.
 */
#include "store_sqlite.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/log.h"

/* ---- shared ----------------------------------------------------------------------------------- */

const char *store_claim_of(const char *claim)
{
	return claim ? claim : "";
}

int store_lead_check(struct store_req *r, enum lead_state from, enum lead_state to)
{
	if (lead_state_may(from, to))
		return CM_OK;
	return store_refuse(r, CM_ESTATE,
		mem_arena_printf(&r->arena, "a lead may not go from %s to %s",
			lead_state_name(from), lead_state_name(to)));
}

void store_lead_log(const struct store_db *db, const char *lead_id, enum lead_state from,
	enum lead_state to, const char *why)
{
	if (!db->is_dry)
		log_event(LOG_DEBUG, "lead_state", LOG_S("lead", lead_id),
			LOG_S("from", lead_state_name(from)), LOG_S("to", lead_state_name(to)),
			LOG_S("why", why));
}

int store_lead_move(struct store_db *db, const char *lead_id, enum lead_state from,
	const struct store_lead_to *to, const char *claim, const char *error)
{
	struct store_val due = SQL_I(to->due_ms), unchanged = SQL_T(NULL);
	bool is_held = to->state == LEAD_HELD, has_reason = is_held || to->state == LEAD_ENDED;
	const char *reason = lead_reason_name(has_reason ? to->reason : LEAD_REASON_NONE);

	if (!lead_state_may(from, to->state)) {
		log_event(LOG_ERR, "lead_move_refused", LOG_S("lead", lead_id),
			LOG_S("from", lead_state_name(from)),
			LOG_S("to", lead_state_name(to->state)));
		return CM_ESTATE;
	}
	if (store_db_run(db, STORE_SQL_LEAD_MOVE, SQL_T(lead_id), SQL_T(lead_state_name(to->state)),
		    SQL_T(reason), SQL_I(is_held ? to->until_ms : CLOCK_NEVER_MS),
		    SQL_T(to->state == LEAD_ENDED ? NULL : lead_stage_name(to->stage)),
		    SQL_T(to->step), SQL_T(to->last_step), to->due_ms < 0 ? unchanged : due,
		    SQL_T(to->mailbox), SQL_T(error), SQL_T(claim)) != 1)
		return CM_ENOENT;
	store_lead_log(db, lead_id, from, to->state, *reason ? reason : error);
	return CM_OK;
}

/* Who said no stays with that: nothing that is said later makes less of it. */
static bool is_final(enum lead_reason r)
{
	return r == LEAD_REASON_OPTED_OUT || r == LEAD_REASON_SUPPRESSED;
}

void store_lead_end(
	struct store_db *db, const struct lead *l, enum lead_reason reason, const char *note)
{
	const struct store_lead_to to = { .state = LEAD_ENDED, .reason = reason, .due_ms = -1 };

	/* That nobody may write to it says less than why it ended. */
	if (l->state == LEAD_ENDED && (is_final(l->reason) || reason == LEAD_REASON_SUPPRESSED))
		return;
	(void)store_lead_move(db, l->id, l->state, &to, NULL, note);
}

void store_lead_recount(struct store_db *db, const char *lead_id, const char *person)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_SENT_OF_PERSON, SQL_T(person));

	if (st)
		store_db_run(db, STORE_SQL_LEAD_RECOUNT, SQL_T(lead_id),
			SQL_I(sqlite3_column_int64(st, 0)), SQL_I(sqlite3_column_int64(st, 1)));
}

bool store_lead_find(struct store_db *db, struct mem_arena *a, enum store_sql by, const char *value,
	struct lead *ret, bool *ret_ok)
{
	sqlite3_stmt *st = store_db_find(db, by, SQL_T(value));

	if (!st)
		return false;
	*ret_ok = store_row_lead(st, a, ret);
	return true;
}

/* ---- PING, LEAD_SET ---------------------------------------------------------------------------- */

/* Writes, so that a full or read-only disk cannot answer. */
int store_op_ping(struct store_db *db, struct store_req *r)
{
	store_db_run(db, STORE_SQL_META_SET, SQL_T("pinged_at"), SQL_I(r->now_ms));
	return CM_OK;
}

/* The ledger key of the step that the lead is at. */
static const char *key_of(struct store_db *db, struct mem_arena *a, const char *lead_id)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_LEAD_KEY, SQL_T(lead_id));
	struct store_row row = { .st = st, .arena = a };

	if (!st)
		return "";
	const char *campaign = store_row_text(&row);
	const char *person = store_row_text(&row);
	return mem_arena_printf(a, "%s/%s/%s", campaign, person, store_row_text(&row));
}

int store_op_lead_set(struct store_db *db, struct store_req *r)
{
	const char *id = r->u.lead_set.lead_id, *error = r->u.lead_set.error;
	bool cancel = r->u.lead_set.cancel == STORE_OUTCOME_CANCELLED;
	const char *key = cancel || error ? key_of(db, &r->arena, id) : NULL;

	int err = store_lead_check(r, LEAD_IN_FLIGHT, r->u.lead_set.to.state);
	if (err)
		return err;
	if (store_lead_move(db, id, LEAD_IN_FLIGHT, &r->u.lead_set.to,
		    store_claim_of(r->u.lead_set.claim), error))
		return store_refuse(r, CM_ESTATE, "the lead is not in flight any more");
	if (cancel)
		store_db_run(db, STORE_SQL_EMAIL_CANCEL, SQL_T(key), SQL_T(error));
	else if (error)
		store_db_run(db, STORE_SQL_EMAIL_NOTE, SQL_T(key), SQL_T(error));
	return CM_OK;
}

/* ---- RECOVER, WAKE ----------------------------------------------------------------------------- */

int store_op_recover(struct store_db *db, struct store_req *r)
{
	int n = store_db_run(db, STORE_SQL_RECOVER, SQL_I(r->u.recover.max));

	r->u.recover.n = n > 0 ? (size_t)n : 0;
	return CM_OK;
}

/* Also finds the leads that nothing else ever would: their row makes no sense. */
int store_op_wake(struct store_db *db, struct store_req *r)
{
	int odd = store_db_run(db, STORE_SQL_LEADS_ODD, SQL_I(r->u.wake.max));
	int n = store_db_run(
		db, STORE_SQL_WAKE, SQL_I(r->now_ms), SQL_I((int64_t)r->u.wake.max - odd));

	r->u.wake.n = odd > 0 ? (size_t)odd : 0;
	r->u.wake.n += n > 0 ? (size_t)n : 0;
	r->u.wake.next_ms =
		store_db_int(db, CLOCK_NEVER_MS, STORE_SQL_WAKE_NEXT, SQL_I(CLOCK_NEVER_MS));
	return CM_OK;
}

/* ---- UNBIND ------------------------------------------------------------------------------------ */

struct stray {
	int64_t row;
	const char *id;
};

/* The next strays bound to AFTER's mailbox, at most MAX; AFTER moves on. */
static size_t next_strays(struct store_db *db, struct store_req *r, size_t max, struct stray **ret)
{
	struct store_stray_place *after = &r->u.unbind.after;
	struct stray *v = NULL;
	size_t n = 0;
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_STRAYS, SQL_T(r->u.unbind.campaign),
		SQL_T(after->mailbox), SQL_T(after->zone ? after->zone : ""), SQL_I(after->due_ms),
		SQL_I(after->row), SQL_I(max));

	for (bool more = st; more; more = store_db_next(db, st)) {
		struct store_row row = { .st = st, .arena = &r->arena };

		v = store_grown(&r->arena, v, n, sizeof *v);
		v[n].row = after->row = store_row_int(&row, 0);
		after->due_ms = store_row_int(&row, 0);
		v[n++].id = store_row_text(&row);
		after->zone = store_row_text(&row);
	}
	*ret = v;
	return n;
}

/* What cannot be read may be an answer. */
static bool may_change_sender(struct store_db *db, struct mem_arena *a, const char *lead_id)
{
	const char *key = key_of(db, a, lead_id);
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_EMAIL_BY_KEY, SQL_T(key));
	struct store_email e;

	if (st && (!store_row_email(st, a, &e) || *e.in_reply_to))
		return false;
	return !store_db_find(db, STORE_SQL_TRANSMITTED, SQL_T(key));
}

/* To the next mailbox that is not the campaign's; false: there is none. */
static bool next_mailbox(struct store_db *db, struct store_req *r)
{
	struct store_stray_place *after = &r->u.unbind.after;
	const char *mailbox = store_stray_mailbox(db, &r->arena, r->u.unbind.campaign,
		after->mailbox ? after->mailbox : "", r->u.unbind.mailboxes,
		r->u.unbind.n_mailboxes);

	*after = (struct store_stray_place){ .mailbox = mailbox, .zone = "", .due_ms = INT64_MIN };
	return mailbox;
}

int store_op_unbind(struct store_db *db, struct store_req *r)
{
	bool more = r->u.unbind.after.mailbox || next_mailbox(db, r);
	size_t left = r->u.unbind.max;

	while (more && left) {
		struct stray *v;
		size_t n = next_strays(db, r, left, &v);

		for (size_t i = 0; i < n; i++)
			if (may_change_sender(db, &r->arena, v[i].id))
				r->u.unbind.n += store_db_run(db, STORE_SQL_LEAD_UNBIND,
							 SQL_I(v[i].row)) == 1;
		left -= n;
		if (!n)
			more = next_mailbox(db, r);
	}
	return CM_OK;
}

/* ---- LEAD_ACT ---------------------------------------------------------------------------------- */

/* The person is computed, here and below: the lead's row may not know it. */
static const char *suppressed_by(struct store_db *db, struct store_req *r)
{
	char person[LEAD_PERSON];

	lead_person(db->person_secret, r->u.act.email, person);
	return store_fact_suppressed(db, &r->arena, r->u.act.email, person, r->now_ms);
}

static void void_open(struct store_db *db, struct store_req *r)
{
	char person[LEAD_PERSON];

	lead_person(db->person_secret, r->u.act.email, person);
	store_fact_void_person(db, r, person, lead_reason_name(r->u.act.reason), &r->u.act.voids);
}

static int hold(struct store_db *db, struct store_req *r, const struct lead *l)
{
	const struct store_lead_to to = { .state = LEAD_HELD,
		.reason = r->u.act.reason,
		.until_ms = CLOCK_NEVER_MS,
		.stage = l->stage,
		.due_ms = -1 };

	if (!lead_state_may(l->state, LEAD_HELD))
		return store_refuse(r, CM_ESTATE, "the lead has ended");
	(void)store_lead_move(db, l->id, l->state, &to, NULL, r->u.act.source);
	void_open(db, r);
	return CM_OK;
}

static int release(struct store_db *db, struct store_req *r, const struct lead *l)
{
	const struct store_lead_to to = {
		.state = LEAD_QUEUED, .stage = LEAD_STAGE_DRAFT, .due_ms = -1
	};

	if (!*l->campaign)
		return store_refuse(r, CM_ESTATE, "the lead has no campaign: import it with one");
	const char *pattern = suppressed_by(db, r);
	if (pattern)
		return store_refuse(r, CM_ESTATE,
			mem_arena_printf(&r->arena,
				"suppressed by %s; if it may be written to after all, first: "
				"coldmailctl suppress remove %s --reason ...",
				pattern, pattern));
	/* Queued again, it would be claimed beside the mail that is still under way. */
	if (store_db_find(db, STORE_SQL_OPEN_OF_PERSON, SQL_T(l->person)))
		return store_refuse(
			r, CM_EBUSY, "a mail to it is under way: try again when that has ended");
	if (l->state == LEAD_HELD || l->state == LEAD_ENDED)
		(void)store_lead_move(db, l->id, l->state, &to, NULL, NULL);
	/* What is due at no time that there is would stay where it was. */
	store_db_run(db, STORE_SQL_LEAD_REDUE, SQL_T(l->id), SQL_I(r->now_ms));
	return CM_OK;
}

static void note_reply(struct store_db *db, struct store_req *r, const struct lead *l)
{
	const char *key =
		mem_arena_printf(&r->arena, "%s/%s/%s", l->campaign, l->person, l->last_step);

	store_db_run(db, STORE_SQL_EMAIL_REPLIED, SQL_T(key), SQL_I(r->now_ms));
}

static int end(struct store_db *db, struct store_req *r, const struct lead *l)
{
	const struct store_suppression s = { .pattern = l->email,
		.reason = lead_reason_name(r->u.act.reason),
		.source = r->u.act.source };

	if (r->u.act.suppress)
		store_fact_suppress(db, &s, r->now_ms);
	store_lead_end(db, l, r->u.act.reason, r->u.act.source);
	if (r->u.act.reason == LEAD_REASON_LEAD_REPLIED)
		note_reply(db, r, l);
	void_open(db, r);
	return CM_OK;
}

int store_op_lead_act(struct store_db *db, struct store_req *r)
{
	struct lead *l = &r->u.act.lead;
	const char *email = r->u.act.email;
	int err = CM_EINVAL;
	bool ok;

	if (!store_lead_find(db, &r->arena, STORE_SQL_LEAD_BY_EMAIL, email, l, &ok))
		return store_refuse(r, CM_ENOENT, "there is no such lead");
	switch (r->u.act.act) {
	case STORE_LEAD_HOLD:
		err = hold(db, r, l);
		break;
	case STORE_LEAD_RELEASE:
		err = release(db, r, l);
		break;
	case STORE_LEAD_END:
		err = end(db, r, l);
		break;
	}
	if (!err)
		store_lead_find(db, &r->arena, STORE_SQL_LEAD_BY_EMAIL, email, l, &ok);
	return err;
}
