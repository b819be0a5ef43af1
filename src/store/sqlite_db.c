/*
 * A connection: opening it with the pragmas that durability and memory ask for, its statements
 * (prepared once, kept), and what an error code of SQLite means.
 * Runs on: lane. Called by the backend's other files; one lane uses a connection at a time.
 * Never retries: busy_timeout is the only waiting.
 */
#include "store_sqlite.h"

#include <errno.h>
#include <stdio.h>

#include "coldmail/err.h"
#include "coldmail/lead.h"
#include "coldmail/str.h"

const struct store_sql_text store_sql_texts[STORE_SQL_COUNT] = {
#define X(name, plan, sql) { #name, sql, STORE_PLAN_##plan },
	STORE_STATEMENTS(X)
#undef X
};

/* ---- errors ----------------------------------------------------------------------------------- */

/* An error of one operation's own data; everything else is the database's. */
static bool is_own(int rc)
{
	int primary = rc & 0xff;

	return primary == SQLITE_CONSTRAINT || primary == SQLITE_TOOBIG ||
	       primary == SQLITE_MISMATCH;
}

static int meaning(int rc, int os_errno)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return CM_EFULL;
	case SQLITE_IOERR:
		return os_errno == ENOSPC || os_errno == EDQUOT || os_errno == EFBIG ? CM_EFULL
										     : CM_EIO;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		return CM_EIO;
	case SQLITE_TOOBIG:
		return CM_ETOOBIG;
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
		return CM_EINVAL;
	default:
		return CM_ESTORE;
	}
}

int store_db_fail(struct store_db *db, int rc, const char *doing)
{
	int os_errno = db->h ? sqlite3_system_errno(db->h) : 0;

	/* SQLite does not keep the cause of a COMMIT that could not be written; errno still does. */
	if (!os_errno && (rc & 0xff) == SQLITE_IOERR)
		os_errno = errno;
	const char *text = db->h ? sqlite3_errmsg(db->h) : sqlite3_errstr(rc);

	if (db->err)
		return db->err;
	db->err = meaning(rc, os_errno);
	db->is_broken = !is_own(rc);
	snprintf(db->why, sizeof db->why, "%s: %s (%d%s%s)", doing, text, rc, os_errno ? ", " : "",
		os_errno ? strerrordesc_np(os_errno) : "");
	return db->err;
}

/* ---- opening ---------------------------------------------------------------------------------- */

/* lead_status(state, reason, n_sent): the predecessor's word, in our own statements only, so that
 * triggers work in any SQLite shell. */
static void sql_lead_status(sqlite3_context *ctx, int n, sqlite3_value **v)
{
	enum lead_state state;
	enum lead_reason reason = lead_reason_parse((const char *)sqlite3_value_text(v[1]));

	(void)n;
	if (!lead_state_parse((const char *)sqlite3_value_text(v[0]), &state))
		state = LEAD_HELD;
	sqlite3_result_text(
		ctx, lead_status(state, reason, sqlite3_value_int64(v[2])), -1, SQLITE_STATIC);
}

struct plan_zones *store_db_zones(struct store_db *db)
{
	if (!db->zones)
		db->zones = plan_zones_new();
	return db->zones;
}

/* lead_zone(timezone, country, region): see plan_zone_of(). */
static void sql_lead_zone(sqlite3_context *ctx, int n, sqlite3_value **v)
{
	const char *text[3];

	for (int i = 0; i < n; i++)
		text[i] = (const char *)sqlite3_value_text(v[i]);
	sqlite3_result_text(ctx,
		plan_zone_of(store_db_zones(sqlite3_user_data(ctx)), text[0], text[1], text[2]), -1,
		SQLITE_TRANSIENT);
}

/* FULL: each COMMIT is on the disk before its answer goes out. A WAL that grew behind a long read
 * is cut back; what was deleted is overwritten. */
static const char pragmas[] = "PRAGMA journal_mode = WAL;"
			      "PRAGMA synchronous = FULL;"
			      "PRAGMA cache_size = -4000;"
			      "PRAGMA wal_autocheckpoint = 4000;"
			      "PRAGMA journal_size_limit = 33554432;"
			      "PRAGMA secure_delete = ON;"
			      "PRAGMA temp_store = MEMORY;"
			      "PRAGMA trusted_schema = OFF;"
			      "PRAGMA cell_size_check = ON;";
static const char reader_pragmas[] = "PRAGMA cache_size = -2000;"
				     "PRAGMA temp_store = MEMORY;"
				     "PRAGMA trusted_schema = OFF;"
				     "PRAGMA cell_size_check = ON;"
				     "PRAGMA query_only = ON;";

static int setup(struct store_db *db, enum store_db_kind kind, int64_t timeout_ms)
{
	int rc = sqlite3_busy_timeout(db->h, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);

	if (!rc)
		rc = sqlite3_create_function(db->h, "lead_status", 3,
			SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, sql_lead_status, NULL, NULL);
	if (!rc)
		rc = sqlite3_create_function(
			db->h, "lead_zone", 3, SQLITE_UTF8, db, sql_lead_zone, NULL, NULL);
	/* A file that may not be written is opened all the same, silently. */
	if (!rc && sqlite3_db_readonly(db->h, "main") == 1)
		rc = SQLITE_READONLY;
	if (!rc)
		rc = sqlite3_exec(db->h, kind == STORE_DB_WRITER ? pragmas : reader_pragmas, NULL,
			NULL, NULL);
	return rc;
}

int store_db_open(
	struct store_db *db, const char *path, enum store_db_kind kind, int64_t timeout_ms)
{
	int rc = sqlite3_open_v2(path, &db->h,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);

	db->err = CM_OK;
	db->is_broken = false;
	if (!rc)
		rc = setup(db, kind, timeout_ms);
	if (!rc)
		return CM_OK;
	store_db_fail(db, rc, path);
	db->is_broken = true;
	store_db_close(db);
	return db->err;
}

void store_db_close(struct store_db *db)
{
	store_db_release(db);
	for (size_t i = 0; i < STORE_SQL_COUNT; i++) {
		sqlite3_finalize(db->stmts[i]);
		db->stmts[i] = NULL;
	}
	sqlite3_close(db->h); /* rolls back */
	db->h = NULL;
	plan_zones_free(db->zones);
	db->zones = NULL;
}

/* ---- statements ------------------------------------------------------------------------------- */

static int bind(sqlite3_stmt *st, const struct store_val *v)
{
	int rc = SQLITE_OK;

	for (int i = 1; v->type != STORE_VAL_END && !rc; i++, v++) {
		switch (v->type) {
		case STORE_VAL_TEXT:
			rc = sqlite3_bind_text(st, i, v->u.t, -1, SQLITE_STATIC);
			break;
		case STORE_VAL_INT:
			rc = sqlite3_bind_int64(st, i, v->u.i);
			break;
		case STORE_VAL_NUM:
			rc = sqlite3_bind_double(st, i, v->u.d);
			break;
		case STORE_VAL_BLOB:
			rc = sqlite3_bind_blob64(st, i, v->u.b, v->n, SQLITE_STATIC);
			break;
		case STORE_VAL_END:
			break;
		}
	}
	return rc;
}

static sqlite3_stmt *start(struct store_db *db, enum store_sql sql, const struct store_val *v)
{
	int rc = SQLITE_OK;

	if (db->err)
		return NULL;
	if (!db->stmts[sql])
		rc = sqlite3_prepare_v3(db->h, store_sql_texts[sql].text, -1,
			SQLITE_PREPARE_PERSISTENT, &db->stmts[sql], NULL);
	else
		sqlite3_reset(db->stmts[sql]);
	if (!rc)
		rc = bind(db->stmts[sql], v);
	if (!rc)
		return db->stmts[sql];
	store_db_fail(db, rc, store_sql_texts[sql].name);
	return NULL;
}

int store_db_run_v(struct store_db *db, enum store_sql sql, const struct store_val *v)
{
	sqlite3_stmt *st = start(db, sql, v);

	if (!st)
		return -1;
	errno = 0;
	int rc = sqlite3_step(st);
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		store_db_fail(db, rc, store_sql_texts[sql].name);
	int changed = sqlite3_changes(db->h);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return db->err ? -1 : changed;
}

sqlite3_stmt *store_db_find_v(struct store_db *db, enum store_sql sql, const struct store_val *v)
{
	sqlite3_stmt *st = start(db, sql, v);

	if (!st)
		return NULL;
	if (!db->in_use[sql])
		db->used[db->n_used++] = sql;
	db->in_use[sql] = true;
	return store_db_next(db, st) ? st : NULL;
}

bool store_db_next(struct store_db *db, sqlite3_stmt *st)
{
	if (db->err)
		return false;
	errno = 0;
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		return true;
	if (rc != SQLITE_DONE)
		store_db_fail(db, rc, "reading");
	return false;
}

int64_t store_db_int_v(
	struct store_db *db, int64_t otherwise, enum store_sql sql, const struct store_val *v)
{
	sqlite3_stmt *st = store_db_find_v(db, sql, v);

	return st ? sqlite3_column_int64(st, 0) : otherwise;
}

void store_db_release(struct store_db *db)
{
	while (db->n_used) {
		enum store_sql sql = db->used[--db->n_used];

		sqlite3_reset(db->stmts[sql]);
		sqlite3_clear_bindings(db->stmts[sql]);
		db->in_use[sql] = false;
	}
}
