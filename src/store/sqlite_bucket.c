/*
 * Zone buckets: a campaign's queued leads by the clock they live by. One look into the index a bucket,
 * however many leads are in it.
 * Runs on: lane. Called by CLAIM and NEXT_DUE. Knows no calendar: which zones are open is the caller's.
 */
#include "store_sqlite.h"

#include <string.h>

size_t store_buckets(struct store_db *db, struct mem_arena *a, enum store_sql sql,
	const char *campaign, const char *mailbox, const char *stopped, struct store_bucket **ret)
{
	struct store_bucket *v = NULL;
	const char *from = "";
	size_t n = 0;

	for (;;) {
		sqlite3_stmt *st = store_db_find(
			db, sql, SQL_T(campaign), SQL_T(from), SQL_T(mailbox), SQL_T(stopped));
		struct store_row row = { .st = st, .arena = a, .ok = true };

		const char *zone = st ? (const char *)sqlite3_column_text(st, 0) : NULL;

		/* Something that is no text comes last, and again and again. */
		if (!zone || strcmp(zone, from) < 0)
			break;
		v = store_grown(a, v, n, sizeof *v);
		/* As it is, even where it is no text that could be shown: it names the bucket. */
		v[n] = (struct store_bucket){ .zone = mem_arena_dup(a, zone) };
		row.col = 1;
		v[n].due_ms = store_row_int(&row, 0);
		/* What begins with that name and a NUL byte is odd (STORE_LEAD_ODD), and passed over. */
		from = mem_arena_printf(a, "%s\x01", v[n++].zone);
	}
	*ret = v;
	return n;
}
