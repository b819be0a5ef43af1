/*
 * RESTORE: a backup in place of the store. It is copied beside it and verified there; then the store
 * that was there gets a dated name, and the copy its name, at once. What people said to it meanwhile goes
 * into the copy first (sqlite_carry.c).
 * Runs on: lane 0 of a daemon that schedules nothing, in one piece: nobody waits behind it.
 * Never changes the backup, and never loses the old store: it keeps all that it has, its log included.
 * What comes of it is another file than the one that was sealed: store_restored holds.
 */
#include "store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/fail.h"

#define KEPT_MAX 100 /* of one second */

/* ---- is it a backup of this store --------------------------------------------------------------- */

static int check_pages(struct store_req *r, struct store_db *db)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db->h, "PRAGMA integrity_check(1)", -1, &st, NULL);
	int err = CM_OK;

	if (!rc)
		rc = sqlite3_step(st);
	const char *said =
		rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : sqlite3_errmsg(db->h);
	if (!str_eq(said, "ok"))
		err = store_refuse(r, CM_EIO,
			mem_arena_printf(&r->arena, "it is damaged: %s", said ? said : ""));
	sqlite3_finalize(st);
	return err;
}

/* No lead, no try, no suppression: nobody would miss it. */
static bool is_empty(const char *path)
{
	struct store_db db = { 0 };
	bool empty = !store_db_open(&db, path, STORE_DB_READER, STORE_BUSY_MS) &&
		     !store_db_find(&db, STORE_SQL_TALLY) &&
		     !store_db_int(&db, 0, STORE_SQL_ENTRIES) &&
		     !store_db_find(&db, STORE_SQL_SUPPRESS_PAGE, SQL_T(""), SQL_I(1)) && !db.err;

	store_db_close(&db);
	return empty;
}

/* The store that belongs here: what is there says it; if that cannot be read, its seal. false: nobody
 * knows, or it would be no loss. */
static bool find_id(const char *path, char ret[33])
{
	struct store_db db = { 0 };
	struct store_keys keys;
	bool found = !store_db_open(&db, path, STORE_DB_READER, STORE_BUSY_MS) &&
		     !store_schema_keys(&db, &keys);

	if (found)
		memcpy(ret, keys.store_id, sizeof keys.store_id);
	store_db_close(&db);
	mem_wipe(&keys, sizeof keys);
	return found ? !is_empty(path) : store_seal_id(path, ret);
}

static int verify(struct store_req *r, const char *path, const char *copy, char ret_id[33])
{
	struct store_db db = { 0 };
	struct store_keys keys = { 0 };
	char id[33];
	int err = store_db_open(&db, copy, STORE_DB_READER, STORE_BUSY_MS);

	if (!err)
		err = store_schema_check(&db);
	if (!err)
		err = store_schema_keys(&db, &keys);
	if (err)
		store_refuse(r, err, db.why);
	else
		err = check_pages(r, &db);
	if (!err && find_id(path, id) && !str_eq(id, keys.store_id))
		err = store_refuse(r, CM_ESTATE,
			mem_arena_printf(&r->arena,
				"it is a backup of another store than the one that belongs here; "
				"if it is meant, move %s and its seal away first",
				path));
	memcpy(ret_id, keys.store_id, sizeof keys.store_id);
	store_db_close(&db);
	mem_wipe(&keys, sizeof keys);
	return err;
}

/* ---- putting it in place ------------------------------------------------------------------------ */

/* What is only in its log goes into the file that is kept, if it is sound enough for that. */
static void settle_log(struct store_db *db)
{
	if (db->h)
		sqlite3_wal_checkpoint_v2(db->h, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	store_db_close(db);
}

/* A second name for the file, which PATH keeps until the new file takes it. What is not there is not
 * kept. In the same second there may be another one. */
static int keep(struct store_req *r, const char *path)
{
	char stamp[CLOCK_STAMP];
	const char *name =
		mem_arena_printf(&r->arena, "%s.%s", path, clock_stamp(r->now_ms, stamp));

	r->u.restore.kept = name;
	for (int i = 2; link(path, r->u.restore.kept); i++) {
		if (errno == ENOENT)
			return CM_OK;
		if (errno != EEXIST || i > KEPT_MAX)
			return store_refuse_os(r, "keeping the old store as", r->u.restore.kept);
		r->u.restore.kept = mem_arena_printf(&r->arena, "%s-%d", name, i);
	}
	return CM_OK;
}

/* A log beside another file than its own would be read into that. */
static int move_log(struct store_req *r, const char *path, const char *kept)
{
	const char *log = mem_arena_printf(&r->arena, "%s-wal", path);
	const char *index = mem_arena_printf(&r->arena, "%s-shm", path);
	const char *kept_log = mem_arena_printf(&r->arena, "%s-wal", kept);

	if (rename(log, kept_log) && errno != ENOENT)
		return store_refuse_os(r, "keeping the old store's log as", kept_log);
	if (unlink(index) && errno != ENOENT)
		return store_refuse_os(r, "removing", index);
	return CM_OK;
}

static int replace(struct store_req *r, const char *path, const char *copy)
{
	int err = keep(r, path);

	fail_point("restore.kept");
	if (!err)
		err = move_log(r, path, r->u.restore.kept);
	fail_point("restore.cleared");
	if (!err && rename(copy, path))
		err = store_refuse_os(r, "naming", path);
	fail_point("restore.renamed");
	if (!err && !store_sync_dir_of(path))
		err = store_refuse_os(r, "writing the directory of", path);
	return err;
}

static bool is_itself(const char *path, const char *file)
{
	struct stat a, b;

	return !stat(path, &a) && !stat(file, &b) && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int put_in_place(
	struct store_db *writer, struct store_req *r, const char *path, const char *copy)
{
	char id[33], *why = NULL;
	int err = verify(r, path, copy, id);

	fail_point("restore.copied");
	if (err || r->u.restore.dry_run)
		return err;
	err = store_carry(r, path, copy);
	fail_point("restore.carried");
	if (err)
		return err;
	err = store_seal_keep(path, id, &why);
	if (err)
		store_refuse(r, err, why);
	free(why);
	if (err)
		return err;
	settle_log(writer);
	return replace(r, path, copy);
}

void store_restore(struct store_db *writer, const char *path, struct store_req *r)
{
	char *real = realpath(path, NULL), *why = NULL;
	const char *to = real ? real : path;
	char *copy = xasprintf("%s.restore", to);

	if (is_itself(to, r->u.restore.file))
		r->err = store_refuse(r, CM_EINVAL, "this is the store itself");
	else if ((r->err = store_copy_file(r->u.restore.file, copy, &why)))
		store_refuse(r, r->err, why);
	else
		r->err = put_in_place(writer, r, to, copy);
	unlink(copy);
	free(why);
	free(copy);
	free(real);
}
