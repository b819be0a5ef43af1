/*
 * FORGET: everything about a person is erased but its keyed hash, by which the ledger goes on guarding
 * it from a second mail and the suppression list from a first. SCRUB: the bytes leave the file.
 * Runs on: lane 0, inside a group's transaction (FORGET); the bulk lane, on a connection of its own
 * (SCRUB).
 */
#include "store_sqlite.h"

#include <sys/stat.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"

/* A store up to this size is rewritten in a second or two, and unasked. */
#define REWRITE_MAX     ((int64_t)128 << 20)
#define REWRITE_BUSY_MS (5 * CLOCK_SECOND_MS) /* for its turn among the writers */
#define CUT_BUSY_MS     500 /* the writer waits meanwhile */

/* ---- FORGET ------------------------------------------------------------------------------------- */

static bool is_under_way(struct store_db *db, struct store_req *r)
{
	struct lead lead;
	bool ok;

	if (store_db_find(db, STORE_SQL_OPEN_OF_PERSON, SQL_T(r->u.forget.email_person)))
		return true;
	return store_lead_find(
		       db, &r->arena, STORE_SQL_LEAD_BY_EMAIL, r->u.forget.email, &lead, &ok) &&
	       lead.state == LEAD_IN_FLIGHT;
}

static size_t erase(struct store_db *db, enum store_sql sql, const char *of)
{
	int n = store_db_run(db, sql, SQL_T(of));

	return n > 0 ? (size_t)n : 0;
}

/* Rows and keys stay, for they say what must not be sent again. */
static void forget_ledger(struct store_db *db, struct store_req *r)
{
	sqlite3_stmt *st =
		store_db_find(db, STORE_SQL_EMAIL_KEYS_OF_PERSON, SQL_T(r->u.forget.email_person));
	const char **keys = NULL;
	size_t n = 0;

	for (bool more = st; more; more = store_db_next(db, st)) {
		struct store_row row = { .st = st, .arena = &r->arena };

		keys = store_grown(&r->arena, keys, n, sizeof *keys);
		keys[n++] = store_row_text(&row);
	}
	for (size_t i = 0; i < n; i++) {
		store_db_run(db, STORE_SQL_EMAIL_CANCEL, SQL_T(keys[i]), SQL_T(NULL));
		r->u.forget.n_emails += erase(db, STORE_SQL_FORGET_EMAIL, keys[i]);
		r->u.forget.n_attempts += erase(db, STORE_SQL_FORGET_ATTEMPTS, keys[i]);
	}
}

/* The address goes, the person stays. */
static void forget_suppressions(struct store_db *db, struct store_req *r, const char *hash)
{
	r->u.forget.n_suppressions = erase(db, STORE_SQL_SUPPRESS_DROP, r->u.forget.email);
	store_db_run(db, STORE_SQL_FORGET_PERSON, SQL_T(hash), SQL_T(STORE_FORGOTTEN),
		SQL_T(r->u.forget.source), SQL_I(r->now_ms));
}

/* The reason of a pause, or how often a step was refused and what was said: all but the name stays. */
static void forget_controls(struct store_db *db, struct store_req *r)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_CONTROLS);
	struct store_control *v = NULL;
	size_t n = 0;

	for (bool more = st; more; more = store_db_next(db, st)) {
		struct store_row row = { .st = st, .arena = &r->arena };
		const char *name = store_row_text(&row), *value = store_row_text(&row);
		char *blotted = mem_arena_dup(&r->arena, value);

		if (!str_blot(blotted, r->u.forget.email))
			continue;
		v = store_grown(&r->arena, v, n, sizeof *v);
		v[n++] = (struct store_control){ name, blotted, store_row_int(&row, 0) };
	}
	for (size_t i = 0; i < n; i++)
		store_db_run(db, STORE_SQL_CONTROL_PUT, SQL_T(v[i].name), SQL_T(v[i].value),
			SQL_I(v[i].at_ms));
}

/* What a server said of its domain, or to a mailbox of ours, may name it. */
static void forget_words(struct store_db *db, struct store_req *r)
{
	const char *email = r->u.forget.email, *patterns[LEAD_PATTERNS_MAX];
	size_t n = lead_patterns_of(
		&r->arena, email, r->u.forget.email_person, patterns, LEAD_PATTERNS_MAX);

	for (size_t i = 0; i < n; i++)
		store_db_run(db, STORE_SQL_FORGET_EVIDENCE, SQL_T(patterns[i]), SQL_T(email));
	store_db_run(db, STORE_SQL_FORGET_FAULT, SQL_T(email));
	forget_controls(db, r);
}

int store_op_forget(struct store_db *db, struct store_req *r)
{
	const char *hash =
		mem_arena_printf(&r->arena, LEAD_PERSON_PREFIX "%s", r->u.forget.email_person);
	bool is_known = store_db_find(db, STORE_SQL_SUPPRESSION, SQL_T(hash), SQL_I(r->now_ms));

	if (is_under_way(db, r))
		return store_refuse(
			r, CM_EBUSY, "a mail to it is under way: try again when that has ended");
	r->u.forget.n_leads = erase(db, STORE_SQL_FORGET_LEAD, r->u.forget.email);
	forget_ledger(db, r);
	forget_suppressions(db, r, hash);
	forget_words(db, r);
	if (is_known || r->u.forget.n_leads || r->u.forget.n_emails || r->u.forget.n_attempts ||
		r->u.forget.n_suppressions)
		return CM_OK;
	return store_refuse(r, CM_ENOENT, "nothing is known of this address");
}

bool store_fact_is_forgotten(struct store_db *db, const char *person)
{
	return store_db_find(db, STORE_SQL_IS_FORGOTTEN, SQL_T(person), SQL_T(STORE_FORGOTTEN));
}

/* ---- SCRUB -------------------------------------------------------------------------------------- */

/* What is deleted is overwritten in its place (secure_delete). But SQLite moves rows from page to page as
 * they come, and leaves what it moved in the free part of a page: only a file that is written anew has
 * none of that. Its temporary copy is a file, so that a large store needs no memory. */
static int rewrite(struct store_req *r, struct store_db *db, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return store_refuse_os(r, "looking at", path);
	if (st.st_size > REWRITE_MAX && !r->u.scrub.at_any_size)
		return store_refuse(r, CM_ETOOBIG, "a store of this size is not rewritten unasked");
	int rc = sqlite3_exec(db->h, "PRAGMA temp_store = FILE; VACUUM", NULL, NULL, NULL);
	if (!rc)
		return CM_OK;
	return (rc & 0xff) == SQLITE_BUSY
		       ? store_refuse(r, CM_EBUSY, "somebody writes to the store")
		       : store_refuse(r, store_db_fail(db, rc, "rewriting the store"), db->why);
}

/* What a page was before is in the log until that is cut. */
static int cut_log(struct store_req *r, struct store_db *db)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db->h, "PRAGMA wal_checkpoint(TRUNCATE)", -1, &st, NULL);
	int err = CM_OK;

	if (!rc)
		rc = sqlite3_step(st);
	if (rc != SQLITE_ROW)
		err = store_refuse(r, store_db_fail(db, rc, "cutting the log"), db->why);
	else if (sqlite3_column_int(st, 0))
		err = store_refuse(r, CM_EBUSY, "somebody reads the store");
	sqlite3_finalize(st);
	return err;
}

bool store_slice_scrub(const char *path, struct store_req *r)
{
	struct store_db db = { 0 };

	if (store_db_open(&db, path, STORE_DB_WRITER, REWRITE_BUSY_MS)) {
		r->err = store_refuse(r, db.err, db.why);
	} else {
		int err = rewrite(r, &db, path);

		sqlite3_busy_timeout(db.h, CUT_BUSY_MS);
		r->err = cut_log(r, &db); /* in any case: most of it goes with this */
		r->err = r->err ? r->err : err;
	}
	store_db_close(&db);
	return true;
}
