/*
 * QUICK_CHECK: SQLite's own look at the file, one table a slice; then at the suppressions, whether each
 * of them can be found.
 * Runs on: the bulk lane, on a connection of its own. Never repairs.
 */
#include "store_sqlite.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"

static const char *const tables[] = { "meta", "controls", "tally", "do_not_contact", "leads",
	"emails", "attempts" };

struct check {
	struct store_db db;
	size_t table;
	struct store_patterns patterns;
};

#define N_TABLES       (sizeof tables / sizeof *tables)
#define SUPPRESSED_MAX 1000

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

static void tell(struct store_req *r, const struct store_odd_pattern *o)
{
	if (r->u.quick_check.n == SUPPRESSED_MAX)
		return;
	r->u.quick_check.v = store_grown(
		&r->arena, r->u.quick_check.v, r->u.quick_check.n, sizeof *r->u.quick_check.v);
	r->u.quick_check.v[r->u.quick_check.n++] =
		(struct store_idle_suppression){ mem_arena_dup(&r->arena, o->shown),
			"expected " STORE_PATTERN_EXPECTED, store_pattern_remedy(&r->arena, o) };
}

/* True: there is more to look at. */
static bool look_at_patterns(struct store_req *r, struct check *c)
{
	int64_t until_us = clock_raw_us() + STORE_SLICE_US;
	bool more = true;

	while (more && clock_raw_us() < until_us) {
		struct mem_arena page = { 0 };

		more = store_patterns_look(&c->db, &page, &c->patterns);
		for (size_t i = 0; i < c->patterns.n_odd; i++)
			tell(r, &c->patterns.odd[i]);
		store_db_release(&c->db);
		mem_arena_done(&page);
	}
	if (c->db.err)
		r->err = store_refuse(r, c->db.err, c->db.why);
	return more && !c->db.err;
}

/* True: there is more to do. */
static bool go_on(struct store_req *r, struct check *c)
{
	if (c->table == N_TABLES)
		return look_at_patterns(r, c);
	r->err = check_table(r, &c->db, tables[c->table++]);
	return !r->err;
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
	if (!r->err && go_on(r, c))
		return false;
	store_patterns_done(&c->patterns);
	store_db_close(&c->db);
	free(c);
	r->u.quick_check.state = NULL;
	return true;
}
