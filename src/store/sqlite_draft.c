/*
 * DRAFT: a step's row gets its words, and the lead goes on to be sent, at once or in its turn.
 * Runs on: lane 0, inside a group's transaction.
 * Words that a reservation has fixed are never changed: a mail with them may be on its way.
 */
#include "store_sqlite.h"

#include "coldmail/err.h"

/* NULL, or why the row that is there stays as it is. */
static const char *check(const struct store_email *now, bool replace)
{
	if (now->state == STORE_EMAIL_DONE)
		return "the step is done";
	if (now->date_ms)
		return "the words were fixed by a reservation";
	if (now->state == STORE_EMAIL_READY && !replace)
		return "there is a draft already";
	return NULL;
}

void store_email_put(struct store_db *db, const struct store_email *e, int64_t now_ms)
{
	char id[STORE_ID];

	store_new_id(now_ms, id);
	store_db_run(db, STORE_SQL_EMAIL_PUT, SQL_T(id), SQL_T(e->key), SQL_T(e->lead_id),
		SQL_T(e->campaign), SQL_T(e->person), SQL_T(e->step), SQL_I(e->followup_number),
		SQL_T(e->followup_number ? "followup" : "initial"), SQL_T(e->to), SQL_T(e->mailbox),
		SQL_T(e->subject), SQL_T(e->body), SQL_T(e->draft_hash), SQL_I(e->renderer),
		SQL_T(e->in_reply_to), SQL_T(e->references), SQL_I(now_ms));
}

/* The answer: what is stored now. */
static void answer(struct store_email *e, int64_t created_ms)
{
	e->state = STORE_EMAIL_READY;
	e->outcome = STORE_OUTCOME_NONE;
	e->message_id = e->error = "";
	e->date_ms = e->sent_ms = 0;
	e->created_ms = created_ms;
}

int store_op_draft(struct store_db *db, struct store_req *r)
{
	struct store_email *e = &r->u.draft.email, now = { .created_ms = r->now_ms };
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_EMAIL_BY_KEY, SQL_T(e->key));

	if (st) {
		if (!store_row_email(st, &r->arena, &now))
			return store_refuse(r, CM_ESTATE, "the step's row is not readable");
		const char *why = check(&now, r->u.draft.replace);
		if (why) {
			*e = now;
			return store_refuse(r, CM_EEXIST, why);
		}
	}
	if (!store_db_find(db, STORE_SQL_LEAD_KEY, SQL_T(e->lead_id)))
		return store_refuse(r, CM_ESTATE, "the lead is not there any more");
	store_email_put(db, e, r->now_ms);
	answer(e, now.created_ms);
	if (r->u.draft.to.state != LEAD_IN_FLIGHT)
		(void)store_lead_move(db, e->lead_id, LEAD_IN_FLIGHT, &r->u.draft.to,
			store_claim_of(r->u.draft.claim), NULL);
	return CM_OK;
}
