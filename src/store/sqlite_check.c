/*
 * QUICK_CHECK: SQLite's own look at the file, one table a slice.
 * Runs on: the bulk lane, on a connection of its own. Never repairs.
 */
#include "store_sqlite.h"

#include "coldmail/err.h"

static const char *const tables[] = { "meta", "controls", "tally", "do_not_contact", "leads",
	"emails", "attempts" };

struct check {
	struct store_db db;
	size_t table;
};

/* CM_EIO with what SQLite says about the first fault. */
static int check_table(struct store_req *r, struct store_db *db, const char *table)
{
	char *sql = sqlite3_mprintf("PRAGMA quick_check(%Q)", table);
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db->h, sql, -1, &st, NULL);
	int err = CM_OK;

	if (!rc)
		rc = sqlite3_step(st);
	if (rc != SQLITE_ROW)
		err = store_refuse(r, store_db_fail(db, rc, table), db->why);
	else if (!str_eq((const char *)sqlite3_column_text(st, 0), "ok"))
		err = store_refuse(r, CM_EIO, (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	sqlite3_free(sql);
	return err;
}

bool store_slice_quick_check(const char *path, struct store_req *r)
{
	struct check *c = r->u.quick_check.state;

	if (!c) {
		c = r->u.quick_check.state = xcalloc(1, sizeof *c);
		if (store_db_open(&c->db, path, STORE_DB_READER, STORE_BUSY_MS))
			r->err = store_refuse(r, c->db.err, c->db.why);
	}
	if (r->job.cancelled)
		r->err = store_refuse(r, CM_ECANCELED, "the daemon stops");
	if (!r->err)
		r->err = check_table(r, &c->db, tables[c->table++]);
	if (!r->err && c->table < sizeof tables / sizeof *tables)
		return false;
	store_db_close(&c->db);
	free(c);
	r->u.quick_check.state = NULL;
	return true;
}
