/*
 * Who works with the store: a row in meta, written when a daemon opens it and dropped when that ends well.
 * One that is still there at the next start tells of an end that nobody ordered.
 * Runs on: lane 0, at OPEN and when the lane ends. Called by store_sqlite.c, and by a restore.
 * Says nothing of copies: what runs, or ended, is the store that they were made of.
 */
#include "store_sqlite.h"

#include <inttypes.h>
#include <string.h>

#include "coldmail/err.h"

/* "TIME INSTANCE", whatever else may stand there. */
static void read_row(struct store_req *r, const char *text)
{
	const char *blank = strchr(text, ' ');
	const char *time = blank ? mem_arena_ndup(&r->arena, text, (size_t)(blank - text)) : text;

	if (!str_to_i64(time, &r->u.open.unclean_since_ms) || r->u.open.unclean_since_ms < 0)
		r->u.open.unclean_since_ms = 0;
	r->u.open.unclean = blank ? mem_arena_dup(&r->arena, blank + 1) : "";
}

int store_running_begin(struct store_db *db, struct store_req *r, const char *instance)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_META_GET, SQL_T("running"));
	struct store_row row = { .st = st, .arena = &r->arena };

	if (st)
		read_row(r, store_row_text(&row));
	store_db_release(db);
	/* Opened a second time by the same process. */
	if (str_eq(r->u.open.unclean, instance))
		r->u.open.unclean = NULL;
	store_db_run(db, STORE_SQL_META_SET, SQL_T("running"),
		SQL_T(mem_arena_printf(&r->arena, "%" PRId64 " %s", r->now_ms, instance)));
	return db->err ? store_refuse(r, db->err, db->why) : CM_OK;
}

void store_running_end(struct store_db *db)
{
	db->err = CM_OK;
	store_db_run(db, STORE_SQL_META_DROP, SQL_T("running"));
}
