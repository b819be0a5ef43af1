/*
 * What the store knows of mailboxes: when each sent, which the ledger tells, and what a server did to
 * it, which a restart must not forget.
 * Runs on: lane; MAILBOX_USE on lane 1, the rest on lane 0.
 * A row of unknown origin is harmless: who reads it holds it against what there can be.
 */
#include "store_sqlite.h"

#include "coldmail/err.h"

/* ---- what is remembered ------------------------------------------------------------------------ */

int store_op_mailbox_set(struct store_db *db, struct store_req *r)
{
	const struct store_mailbox *k = &r->u.mailbox.kept;

	store_db_run(db, STORE_SQL_MAILBOX_PUT, SQL_T(r->u.mailbox.address), SQL_T(k->state),
		SQL_T(k->why), SQL_I(k->until_ms), SQL_I(k->backoff_ms), SQL_I(k->refused_logins),
		SQL_I(k->lowered), SQL_I(k->lowered_until_ms), SQL_I(k->back_ms), SQL_I(r->now_ms));
	return CM_OK;
}

/* A number that an int does not hold is none of ours. */
static int small(struct store_row *row)
{
	int64_t n = store_row_int(row, 0);

	return n < 0 || n > INT32_MAX ? 0 : (int)n;
}

static const struct store_mailbox *read_kept(struct store_db *db, struct store_req *r)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_MAILBOX_GET, SQL_T(r->u.use.mailbox));
	struct store_row row = { .st = st, .arena = &r->arena };

	if (!st)
		return NULL;
	struct store_mailbox *k = mem_arena_get(&r->arena, sizeof *k);
	k->state = store_row_text(&row);
	k->why = store_row_text(&row);
	k->until_ms = store_row_int(&row, 0);
	k->backoff_ms = store_row_int(&row, 0);
	k->refused_logins = small(&row);
	k->lowered = small(&row);
	k->lowered_until_ms = store_row_int(&row, 0);
	k->back_ms = store_row_int(&row, 0);
	return k;
}

/* ---- tests --------------------------------------------------------------------------------------- */

int store_op_test_slot(struct store_db *db, struct store_req *r)
{
	const char *by =
		store_fact_suppressed(db, &r->arena, r->u.test.to, r->u.test.to_person, r->now_ms);

	if (by)
		return store_refuse(r, CM_ESTATE,
			mem_arena_printf(&r->arena, "%s is suppressed (%s)", r->u.test.to, by));
	store_db_run(db, STORE_SQL_TEST_SLOT, SQL_T(r->u.test.mailbox), SQL_I(r->now_ms));
	return CM_OK;
}

/* ---- when it sent ------------------------------------------------------------------------------ */

static int64_t newest_use(struct store_db *db, const char *mailbox)
{
	return store_db_int(
		db, 0, STORE_SQL_MAILBOX_USE, SQL_T(mailbox), SQL_I(INT64_MIN), SQL_I(1));
}

int store_op_mailbox_use(struct store_db *db, struct store_req *r)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_MAILBOX_USE, SQL_T(r->u.use.mailbox),
		SQL_I(r->u.use.since_ms), SQL_I(r->u.use.max));
	int64_t *v = NULL;
	size_t n = 0;

	for (bool more = st; more; more = store_db_next(db, st)) {
		v = store_grown(&r->arena, v, n, sizeof *v);
		v[n++] = sqlite3_column_int64(st, 0);
	}
	for (size_t i = 0; i < n / 2; i++) {
		int64_t newer = v[i];

		v[i] = v[n - 1 - i];
		v[n - 1 - i] = newer;
	}
	r->u.use.kept = read_kept(db, r);
	r->u.use.at_ms = v;
	r->u.use.n = n;
	r->u.use.first_ms = store_db_int(db, 0, STORE_SQL_MAILBOX_FIRST, SQL_T(r->u.use.mailbox));
	r->u.use.tried_ms = store_db_int(
		db, 0, STORE_SQL_MAILBOX_TRIED, SQL_T(r->u.use.mailbox), SQL_I(r->u.use.since_ms));
	r->u.use.last_ms = n ? v[n - 1] : newest_use(db, r->u.use.mailbox);
	return CM_OK;
}
