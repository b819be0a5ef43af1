/*
 * DOUBT: steps that a copy of this store may have mailed become uncertain, as if they had been seen at
 * their dot: KEY#n with its slot taken and no word from the server.
 * Runs on: lane 0, inside a group's transaction. Called by a takeover, lead by lead.
 * Never ends a lead and never touches a step that is done: asked again, it changes nothing.
 */
#include "store_sqlite.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"

#define DOUBT "may have been mailed from a copy of this store"

/* KEY#n goes into the ledger open, or is there so. */
static void reserve(struct store_db *db, struct store_req *r, const struct store_email *e, int n,
	const char *sha256)
{
	store_db_run(db, STORE_SQL_RESERVE, SQL_T(store_attempt_id(&r->arena, e->key, n)),
		SQL_T(e->key), SQL_I(n), SQL_I(r->u.doubt.since_ms), SQL_T(e->person),
		SQL_T(e->campaign), SQL_T(e->lead_id), SQL_T(e->step), SQL_T(e->to),
		SQL_T(e->mailbox), SQL_T(e->message_id), SQL_T(sha256), SQL_I(e->renderer),
		SQL_T(r->u.doubt.instance));
}

static void end_attempt(struct store_db *db, struct store_req *r, const struct store_email *e,
	int n, enum store_attempt_state state)
{
	bool is_doubt = state == STORE_ATTEMPT_UNCERTAIN;

	store_db_run(db, STORE_SQL_ATTEMPT_END, SQL_T(store_attempt_id(&r->arena, e->key, n)),
		SQL_T(store_attempt_name(state)), SQL_T(is_doubt ? "unknown" : "recovery"),
		SQL_I(0), SQL_T(is_doubt ? DOUBT : "released: its slot was void"), SQL_T(""),
		SQL_I(r->now_ms), SQL_D(0), SQL_D(0), SQL_D(0), SQL_T(NULL),
		SQL_T(is_doubt ? "takeover" : ""), SQL_T(""));
}

/* The attempt that may have gone out: the open one; else the one that would have come next. A void
 * slot was void in the copy, too. 0: the ones before say that there can be none. */
static int find_attempt(struct store_db *db, struct store_req *r, const struct store_email *e)
{
	struct store_attempt last = { .state = STORE_ATTEMPT_RELEASED, .sha256 = "" };

	store_attempt_last(db, &r->arena, e->key, &last, NULL);
	if (last.state == STORE_ATTEMPT_RESERVED && last.slot != STORE_SLOT_VOID)
		return last.n;
	if (last.state == STORE_ATTEMPT_RESERVED)
		end_attempt(db, r, e, last.n, STORE_ATTEMPT_RELEASED);
	else if (!store_attempt_may_follow(last.state, last.class))
		return 0;
	/* The same mail again, if there was one. */
	reserve(db, r, e, last.n + 1, str_eq(last.message_id, e->message_id) ? last.sha256 : "");
	return last.n + 1;
}

static void take_slot(struct store_db *db, struct store_req *r, const struct store_email *e, int n)
{
	store_db_run(db, STORE_SQL_SLOT_TAKE, SQL_T(store_slot_id(&r->arena, e->key, n)),
		SQL_T(e->key), SQL_I(n), SQL_I(r->u.doubt.since_ms), SQL_T(e->mailbox),
		SQL_T(r->u.doubt.instance), SQL_T("takeover"));
}

/* What is known of the mail: the row's own words, and who it is from once a reservation fixed that. */
static bool find_email(struct store_db *db, struct store_req *r, const struct store_email *given,
	struct store_email *ret)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_EMAIL_BY_KEY, SQL_T(given->key));

	*ret = *given;
	if (!st)
		store_email_put(db, given, r->now_ms);
	else if (!store_row_email(st, &r->arena, ret) || ret->state == STORE_EMAIL_DONE)
		return false;
	if (ret->date_ms)
		return true;
	ret->mailbox = given->mailbox;
	ret->message_id = given->message_id;
	store_db_run(db, STORE_SQL_EMAIL_FIX, SQL_T(ret->key), SQL_T(ret->mailbox), SQL_I(0),
		SQL_T(ret->message_id), SQL_I(ret->renderer), SQL_T(ret->identity));
	return true;
}

static bool doubt(struct store_db *db, struct store_req *r, const struct store_email *given)
{
	struct store_email e;
	int n = find_email(db, r, given, &e) ? find_attempt(db, r, &e) : 0;

	if (!n)
		return false;
	take_slot(db, r, &e, n);
	end_attempt(db, r, &e, n, STORE_ATTEMPT_UNCERTAIN);
	store_db_run(db, STORE_SQL_EMAIL_END, SQL_T(e.key),
		SQL_T(store_email_name(STORE_EMAIL_DONE)),
		SQL_T(store_outcome_name(STORE_OUTCOME_UNCERTAIN)),
		SQL_T(store_status_of(STORE_OUTCOME_UNCERTAIN)), SQL_I(r->now_ms), SQL_T(DOUBT));
	return true;
}

/* A hold without an end stays: who released it would find the ledger's word. */
static bool would_go_on(const struct lead *l, int64_t now_ms)
{
	return l->state == LEAD_QUEUED || l->state == LEAD_IN_FLIGHT ||
	       (l->state == LEAD_HELD && l->until_ms <= now_ms);
}

int store_op_doubt(struct store_db *db, struct store_req *r)
{
	const struct store_lead_to to = { .state = LEAD_HELD,
		.reason = LEAD_REASON_SEND_UNCERTAIN,
		.until_ms = CLOCK_NEVER_MS,
		.stage = LEAD_STAGE_SEND,
		.step = r->u.doubt.n ? r->u.doubt.v[0].step : NULL,
		.due_ms = -1 };
	struct lead lead;
	bool ok;

	for (size_t i = 0; i < r->u.doubt.n; i++)
		r->u.doubt.n_new += doubt(db, r, &r->u.doubt.v[i]);
	if (!store_lead_find(db, &r->arena, STORE_SQL_LEAD_BY_ID, r->u.doubt.lead_id, &lead, &ok))
		return CM_OK; /* the ledger outlives the lead */
	store_lead_recount(db, lead.id, lead.person);
	if (would_go_on(&lead, r->now_ms))
		(void)store_lead_move(db, lead.id, lead.state, &to, NULL, DOUBT);
	return CM_OK;
}
