/*
 * CARRY: what people said since a backup was made goes from the store that it replaces into the copy that
 * takes its place: suppressions, stops, replies, holds, erasures.
 * Runs on: lane 0. Called by a restore, before the copy gets the store's name.
 * Takes nothing off anybody, and never changes the old store; what cannot be read there is said, and does
 * not keep the backup from being restored.
 */
#include "store_sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"

struct carry {
	struct store_db old, db; /* from, to */
	struct store_req *r; /* borrowed: the restore */
	size_t unreadable;
};

/* ---- suppressions ------------------------------------------------------------------------------- */

static void carry_suppression(struct carry *c, sqlite3_stmt *st)
{
	struct store_suppression s;

	store_row_suppression(st, &c->r->arena, &s);
	if (!*s.pattern)
		c->unreadable++;
	else if (!s.until_ms || s.until_ms > c->r->now_ms)
		c->r->u.restore.n_suppressions += store_fact_suppress(&c->db, &s, c->r->now_ms);
}

static void carry_suppressions(struct carry *c)
{
	sqlite3_stmt *st = store_db_find(&c->old, STORE_SQL_SUPPRESS_PAGE, SQL_T(""), SQL_I(-1));

	for (bool more = st; more; more = store_db_next(&c->old, st))
		carry_suppression(c, st);
	store_db_release(&c->old);
}

/* ---- leads ------------------------------------------------------------------------------------- */

static void hold(struct carry *c, const struct lead *l, const char *note)
{
	const struct store_lead_to to = { .state = LEAD_HELD,
		.reason = LEAD_REASON_OPERATOR,
		.until_ms = CLOCK_NEVER_MS,
		.stage = l->stage,
		.due_ms = -1 };

	(void)store_lead_move(&c->db, l->id, l->state, &to, NULL, note);
}

/* An end says more than a hold, and who said no stays with that (store_lead_end). */
static void carry_lead(struct carry *c, sqlite3_stmt *st)
{
	struct store_row row = { .st = st, .arena = &c->r->arena };
	const char *email = store_row_text(&row), *state = store_row_text(&row);
	enum lead_reason reason = lead_reason_parse(store_row_text(&row));
	const char *note = store_row_text(&row);
	struct lead l;
	bool ok, is_end = str_eq(state, lead_state_name(LEAD_ENDED));

	if (!store_lead_find(&c->db, &c->r->arena, STORE_SQL_LEAD_BY_EMAIL, email, &l, &ok) ||
		(l.state == LEAD_ENDED && (!is_end || l.reason == reason)) ||
		(l.state == LEAD_HELD && l.reason == reason))
		return;
	if (is_end)
		store_lead_end(&c->db, &l, reason, note);
	else
		hold(c, &l, note);
	c->r->u.restore.n_leads++;
}

static void carry_leads(struct carry *c)
{
	sqlite3_stmt *st = store_db_find(&c->old, STORE_SQL_LEADS_STOPPED, SQL_I(INT64_MIN));

	for (bool more = st; more; more = store_db_next(&c->old, st)) {
		carry_lead(c, st);
		store_db_release(&c->db);
	}
	store_db_release(&c->old);
}

/* ---- who was forgotten -------------------------------------------------------------------------- */

/* Their words are in the backup; they go from its copy, too. One who is in the middle of a mail there is
 * left for people: he is suppressed. */
static void forget_again(struct carry *c, enum store_sql sql)
{
	sqlite3_stmt *st = store_db_find(&c->db, sql, SQL_I(INT64_MIN));
	struct {
		const char *email, *person;
	} *v = NULL;
	size_t n = 0;

	for (bool more = st; more; more = store_db_next(&c->db, st)) {
		struct store_row row = { .st = st, .arena = &c->r->arena };

		v = store_grown(&c->r->arena, v, n, sizeof *v);
		v[n].email = store_row_text(&row);
		v[n++].person = store_row_text(&row);
	}
	store_db_release(&c->db);
	for (size_t i = 0; i < n; i++) {
		struct store_req forget = { .op = STORE_FORGET, .now_ms = c->r->now_ms };

		forget.u.forget.email = v[i].email;
		forget.u.forget.email_person = v[i].person;
		forget.u.forget.source = "restore";
		c->r->u.restore.n_forgotten += store_op_forget(&c->db, &forget) == CM_OK;
		store_db_release(&c->db);
		mem_arena_done(&forget.arena);
	}
}

/* ---- CARRY ------------------------------------------------------------------------------------- */

static void carry_all(struct carry *c)
{
	store_db_run(&c->db, STORE_SQL_BEGIN_WRITE);
	carry_suppressions(c);
	carry_leads(c);
	forget_again(c, STORE_SQL_LEADS_FORGOTTEN);
	forget_again(c, STORE_SQL_EMAILS_FORGOTTEN);
	store_db_run(&c->db, STORE_SQL_COMMIT);
}

/* Only the file itself gets the store's name: nothing of it may be in its log. */
static int settle(struct carry *c, const char *copy)
{
	char *log = xasprintf("%s-wal", copy), *index = xasprintf("%s-shm", copy);
	int rc = c->db.err ? SQLITE_OK
			   : sqlite3_wal_checkpoint_v2(
				     c->db.h, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

	if (rc)
		store_db_fail(&c->db, rc, "carrying over what people said");
	int err = c->db.err ? store_refuse(c->r, c->db.err, c->db.why) : CM_OK;
	store_db_close(&c->db);
	unlink(log);
	unlink(index);
	free(log);
	free(index);
	return err;
}

static const char *what_is_missing(struct carry *c, const char *from)
{
	if (c->old.err)
		return access(from, F_OK) && errno == ENOENT
			       ? "there was no store"
			       : mem_arena_dup(&c->r->arena, c->old.why);
	return c->unreadable ? mem_arena_printf(&c->r->arena,
				       "%zu row%s of its suppression list %s not readable",
				       c->unreadable, str_plural((int64_t)c->unreadable),
				       c->unreadable == 1 ? "is" : "are")
			     : NULL;
}

int store_carry(struct store_req *r, const char *from, const char *copy)
{
	struct carry c = { .r = r };
	int err = store_db_open(&c.db, copy, STORE_DB_WRITER, STORE_BUSY_MS);

	/* The backup is as it was: no copy of the copy is needed. */
	if (!err)
		err = store_schema_migrate(&c.db, NULL, store_schema_steps, store_schema_n, NULL);
	if (!err)
		store_running_end(&c.db); /* who ran when the backup was made */
	if (err)
		err = store_refuse(r, err, c.db.why);
	else if (!store_db_open(&c.old, from, STORE_DB_READER, STORE_BUSY_MS))
		carry_all(&c);
	r->u.restore.not_carried = what_is_missing(&c, from);
	store_db_close(&c.old);
	return err ? (store_db_close(&c.db), err) : settle(&c, copy);
}
