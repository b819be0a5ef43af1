/*
 * The schema: its versions as a list of steps, the way from one to the next, and the keys made with
 * a new store.
 * Runs on: lane 0, at OPEN. Each step is one transaction; a file that is not new is copied first.
 * Never guesses: a store without its keys, or of a newer version, is refused.
 */
#include "store_sqlite.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "coldmail/err.h"

/* SQL has a format of its own. */
/* clang-format off */

#define COLUMN(name) ", " #name " TEXT"
#define TALLY(row, n)                                                                              \
	"INSERT INTO tally (campaign, state, reason, n) VALUES (coalesce(" row ".campaign, ''),"   \
	" coalesce(" row ".state, ''), coalesce(" row ".reason, ''), " n ")"                       \
	" ON CONFLICT (campaign, state, reason) DO UPDATE SET n = n + excluded.n;"

/* As schema 1 had it; schema 7 makes the index anew. */
#define LEAD_ODD_1                                                                                 \
	"(state IS NULL OR (state <> 'queued' AND state <> 'held' AND state <> 'in_flight'"        \
	" AND state <> 'ended')"                                                                   \
	" OR (state = 'queued' AND (typeof(due) <> 'integer' OR typeof(campaign) <> 'text'"        \
	" OR campaign = '' OR typeof(mailbox) <> 'text'"                                           \
	" OR coalesce(stage, '') NOT IN ('draft', 'send'))))"

static const char schema_1[] =
"CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"

"CREATE TABLE leads (_id TEXT PRIMARY KEY NOT NULL, email TEXT UNIQUE NOT NULL, person TEXT,"
" campaign TEXT, state TEXT, reason TEXT, until INTEGER, stage TEXT, step TEXT, last_step TEXT,"
" due INTEGER, mailbox TEXT, n_sent INTEGER, last_sent_at INTEGER, status TEXT, claimed_by TEXT,"
" created_at INTEGER, error_message TEXT, extra TEXT" LEAD_COLUMNS(COLUMN) ");"
"CREATE INDEX leads_draft ON leads (campaign, due) WHERE state = 'queued' AND stage = 'draft';"
"CREATE INDEX leads_send ON leads (campaign, mailbox, due)"
" WHERE state = 'queued' AND stage = 'send';"
"CREATE INDEX leads_held ON leads (until) WHERE state = 'held';"
"CREATE INDEX leads_in_flight ON leads (person) WHERE state = 'in_flight';"
"CREATE INDEX leads_odd ON leads (email) WHERE " LEAD_ODD_1 ";"

"CREATE TABLE emails (_id TEXT PRIMARY KEY NOT NULL, key TEXT UNIQUE, lead_id TEXT,"
" campaign_id TEXT, person TEXT, step TEXT, followup_number INTEGER, email_type TEXT,"
" to_email TEXT, from_email TEXT, subject TEXT, body TEXT, draft_hash TEXT, renderer INTEGER,"
" message_id TEXT, in_reply_to TEXT, \"references\" TEXT, date INTEGER, state TEXT,"
" outcome TEXT, status TEXT, created_at INTEGER, sent_at INTEGER, replied_at INTEGER,"
" error_message TEXT);"
"CREATE INDEX emails_person ON emails (person);"

"CREATE TABLE attempts (_id TEXT PRIMARY KEY NOT NULL, key TEXT, n INTEGER, slot INTEGER,"
" state TEXT, at INTEGER, person TEXT, campaign TEXT, lead_id TEXT, step TEXT, to_email TEXT,"
" mailbox TEXT, message_id TEXT, sha256 TEXT, renderer INTEGER, instance TEXT, nonce TEXT,"
" why TEXT, class TEXT, code INTEGER, text TEXT, queue_id TEXT, ended_at INTEGER,"
" delay_connect REAL, delay_envelope REAL, delay_dot REAL);"
"CREATE INDEX attempts_open ON attempts (person) WHERE state = 'reserved';"
"CREATE INDEX attempts_uncertain ON attempts (at) WHERE state = 'uncertain';"
"CREATE INDEX attempts_tries ON attempts (at, _id) WHERE slot = 0;"
"CREATE INDEX attempts_slots ON attempts (mailbox, at) WHERE state = 'transmitting';"

"CREATE TABLE do_not_contact (pattern TEXT PRIMARY KEY NOT NULL, reason TEXT, source TEXT,"
" created_at INTEGER) WITHOUT ROWID;"
"CREATE TABLE controls (name TEXT PRIMARY KEY NOT NULL, value TEXT, at INTEGER) WITHOUT ROWID;"

/* How many leads are where: kept by the database itself, whoever writes. */
"CREATE TABLE tally (campaign TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,"
" n INTEGER NOT NULL, PRIMARY KEY (campaign, state, reason)) WITHOUT ROWID;"
"CREATE TRIGGER leads_tally_add AFTER INSERT ON leads BEGIN " TALLY("new", "1") "END;"
"CREATE TRIGGER leads_tally_move AFTER UPDATE OF campaign, state, reason ON leads"
" WHEN old.campaign IS NOT new.campaign OR old.state IS NOT new.state"
" OR old.reason IS NOT new.reason BEGIN " TALLY("old", "-1") TALLY("new", "1") "END;"
"CREATE TRIGGER leads_tally_drop AFTER DELETE ON leads BEGIN " TALLY("old", "-1") "END;"

/* For other people's scripts: one row a campaign, never out of step. */
"CREATE VIEW campaigns AS SELECT t.campaign AS _id, t.campaign AS name, sum(t.n) AS leads,"
" (SELECT c.at FROM controls c WHERE c.name = 'start/' || t.campaign) AS started_at"
" FROM tally t WHERE t.campaign <> '' GROUP BY t.campaign;";

#undef TALLY
#undef COLUMN

static const char schema_2[] =
"ALTER TABLE do_not_contact ADD COLUMN evidence TEXT;"
"ALTER TABLE do_not_contact ADD COLUMN until INTEGER;";

static const char schema_3[] =
"CREATE TABLE mailboxes (_id TEXT PRIMARY KEY NOT NULL, state TEXT, why TEXT, until INTEGER,"
" backoff INTEGER, refused_logins INTEGER, lowered INTEGER, lowered_until INTEGER,"
" back_at INTEGER, updated_at INTEGER) WITHOUT ROWID;";

static const char schema_4[] =
"ALTER TABLE emails ADD COLUMN identity TEXT;";

static const char schema_5[] =
"ALTER TABLE attempts ADD COLUMN server_message_id TEXT;";

static const char schema_6[] =
"CREATE TABLE test_slots (mailbox TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (mailbox, at))"
" WITHOUT ROWID;";

/* The heads of (campaign, zone, due), so that leads whose window is closed cost a claim nothing. */
static const char schema_7[] =
"ALTER TABLE leads ADD COLUMN zone TEXT DEFAULT '';"
"DROP INDEX leads_draft;"
"DROP INDEX leads_send;"
"DROP INDEX leads_odd;"
"UPDATE leads SET zone = lead_zone(timezone, country, region);"
"CREATE INDEX leads_draft ON leads (campaign, zone, due)"
" WHERE state = 'queued' AND stage = 'draft';"
"CREATE INDEX leads_send ON leads (campaign, mailbox, zone, due)"
" WHERE state = 'queued' AND stage = 'send';"
"CREATE INDEX leads_odd ON leads (email) WHERE " STORE_LEAD_ODD ";";

/* How many mails a domain got of late. Of those before, the last days count. */
static const char schema_8[] =
"ALTER TABLE attempts ADD COLUMN domain TEXT;"
"UPDATE attempts SET domain = lower(substr(to_email, instr(to_email, '@') + 1))"
" WHERE slot = 0 AND at > (strftime('%s', 'now') - 172800) * 1000;"
"CREATE INDEX attempts_domains ON attempts (domain, at) WHERE domain IS NOT NULL;";

/* clang-format on */

const struct store_schema_step store_schema_steps[] = { { schema_1 }, { schema_2 }, { schema_3 },
	{ schema_4 }, { schema_5 }, { schema_6 }, { schema_7 }, { schema_8 } };
const size_t store_schema_n = sizeof store_schema_steps / sizeof *store_schema_steps;

/* ---- versions --------------------------------------------------------------------------------- */

static int exec(struct store_db *db, const char *sql, const char *doing)
{
	int rc = sqlite3_exec(db->h, sql, NULL, NULL, NULL);

	return rc ? store_db_fail(db, rc, doing) : CM_OK;
}

static int refuse(struct store_db *db, int err, const char *why)
{
	db->err = err;
	db->is_broken = true;
	snprintf(db->why, sizeof db->why, "%s", why);
	return err;
}

/* One integer; -1: no such row, db->err: no such table, too. */
static int64_t ask(struct store_db *db, const char *sql)
{
	sqlite3_stmt *st = NULL;
	int64_t v = -1;
	int rc = sqlite3_prepare_v2(db->h, sql, -1, &st, NULL);

	if (!rc && (rc = sqlite3_step(st)) == SQLITE_ROW)
		v = sqlite3_column_type(st, 0) == SQLITE_INTEGER ? sqlite3_column_int64(st, 0) : -1;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		store_db_fail(db, rc, "reading the schema");
	sqlite3_finalize(st);
	return v;
}

/* 0: a new file. */
static int64_t version_of(struct store_db *db)
{
	if (ask(db, "SELECT count(*) FROM sqlite_schema") == 0)
		return 0;
	if (ask(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'") == 0)
		return refuse(db, CM_ESTORE, "this file is not a coldmail store"), -1;
	int64_t v = ask(db, "SELECT value FROM meta WHERE name = 'schema'");
	if (v <= 0 && !db->err)
		refuse(db, CM_ESTORE, "the store does not say its schema version");
	return v;
}

static void make_keys(struct store_db *db)
{
	uint8_t bytes[80];
	char id[33];

	bug_if(getrandom(bytes, sizeof bytes, 0) != sizeof bytes, "getrandom");
	str_hex(bytes + 64, 16, id);
	store_db_run(db, STORE_SQL_META_SET, SQL_T("person_secret"), SQL_B(bytes, 32));
	store_db_run(db, STORE_SQL_META_SET, SQL_T("message_secret"), SQL_B(bytes + 32, 32));
	store_db_run(db, STORE_SQL_META_SET, SQL_T("store_id"), SQL_T(id));
	mem_wipe(bytes, sizeof bytes);
}

static int take_step(struct store_db *db, const char *sql, int64_t to)
{
	if (exec(db, "BEGIN IMMEDIATE", "migrating") || exec(db, sql, "migrating"))
		return db->err;
	if (to == 1)
		make_keys(db);
	store_db_run(db, STORE_SQL_META_SET, SQL_T("schema"), SQL_I(to));
	return db->err ? db->err : exec(db, "COMMIT", "migrating");
}

static int copy_first(struct store_db *db, const char *path, int64_t version, char **ret)
{
	char *copy = xasprintf("%s.v%" PRId64 "-backup", path, version), *why = NULL;
	int err = store_copy_file(path, copy, &why);

	if (err) {
		refuse(db, err, why);
		free(copy);
	} else {
		*ret = copy;
	}
	free(why);
	return err;
}

int store_schema_check(struct store_db *db)
{
	int64_t version = version_of(db);

	if (!db->err && !version)
		refuse(db, CM_ESTORE, "this file is not a coldmail store");
	if (!db->err && version > (int64_t)store_schema_n)
		refuse(db, CM_EVERSION, "the store was made by a newer coldmail");
	return db->err;
}

int store_schema_migrate(struct store_db *db, const char *path,
	const struct store_schema_step *steps, size_t n, char **ret_backup)
{
	char *copy = NULL;
	int64_t version = version_of(db);

	if (!db->err && version > (int64_t)n)
		refuse(db, CM_EVERSION, "the store was made by a newer coldmail");
	if (path && !db->err && version && version < (int64_t)n)
		copy_first(db, path, version, &copy);
	for (; !db->err && version < (int64_t)n; version++)
		take_step(db, steps[version].sql, version + 1);
	if (db->err) {
		free(copy);
		return db->err;
	}
	if (path)
		*ret_backup = copy;
	return CM_OK;
}

/* ---- keys ------------------------------------------------------------------------------------- */

/* A key that is gone is not made again: every person would be a stranger, and be mailed again. */
static void read_key(struct store_db *db, const char *name, uint8_t ret[32])
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_META_GET, SQL_T(name));

	if (db->err)
		return;
	if (!st || sqlite3_column_type(st, 0) != SQLITE_BLOB || sqlite3_column_bytes(st, 0) != 32) {
		refuse(db, CM_ESTORE, "the store has lost its keys: restore a backup");
		return;
	}
	memcpy(ret, sqlite3_column_blob(st, 0), 32);
}

int store_schema_keys(struct store_db *db, struct store_keys *ret)
{
	read_key(db, "person_secret", ret->person_secret);
	read_key(db, "message_secret", ret->message_secret);
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_META_GET, SQL_T("store_id"));
	const char *id = st ? (const char *)sqlite3_column_text(st, 0) : NULL;

	if (!db->err && (!id || strlen(id) != 32))
		refuse(db, CM_ESTORE, "the store has lost its name: restore a backup");
	if (!db->err)
		memcpy(ret->store_id, id, 33);
	store_db_release(db);
	return db->err;
}
