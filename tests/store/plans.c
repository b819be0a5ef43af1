/*
 * Every statement of the SQLite backend against the indexes: what the corridor asks must cost the
 * same at any size. EXPLAIN QUERY PLAN tells: SEARCH finds rows, SCAN walks them.
 */
#include "rig.h"

#include "store/store_sqlite.h"

/* What may be walked: a subquery, an index that holds only what is in flight, small tables. */
static bool is_small(const char *line)
{
	static const char *const small[] = { "SCAN CONSTANT ROW", "INDEX attempts_open",
		"INDEX attempts_uncertain", "INDEX leads_in_flight", "INDEX leads_odd",
		"SCAN tally", "SCAN controls", "SCAN mailboxes", "SCAN test_slots",
		"SCAN counted_anew" /* the repair of a row that is damaged */ };

	for (size_t i = 0; i < sizeof small / sizeof *small; i++)
		if (strstr(line, small[i]))
			return true;
	return false;
}

/* NULL, or the line of the plan that is against the rules. */
static const char *offence(enum store_plan plan, const char *line)
{
	bool is_scan = str_starts(line, "SCAN"), is_sort = strstr(line, "TEMP B-TREE");

	switch (plan) {
	case STORE_PLAN_NONE:
	case STORE_PLAN_SEEK:
		return is_scan && !strstr(line, "CONSTANT ROW") ? line : NULL;
	case STORE_PLAN_SMALL:
		return is_scan && !is_small(line) ? line : NULL;
	case STORE_PLAN_PAGE: /* in the order of one index, never sorted as a whole */
		return (is_scan && !strstr(line, "INDEX attempts_tries")) || is_sort ? line : NULL;
	}
	return line;
}

static void check_plan(struct store_db *db, const struct store_sql_text *s)
{
	char *sql = xasprintf("EXPLAIN QUERY PLAN %s", s->text);
	sqlite3_stmt *st = NULL;

	ck_assert_msg(sqlite3_prepare_v2(db->h, sql, -1, &st, NULL) == SQLITE_OK, "%s: %s", s->name,
		sqlite3_errmsg(db->h));
	while (sqlite3_step(st) == SQLITE_ROW) {
		const char *line = (const char *)sqlite3_column_text(st, 3);

		ck_assert_msg(!offence(s->plan, line), "%s: %s", s->name, line);
	}
	sqlite3_finalize(st);
	free(sql);
}

START_TEST(every_statement_uses_its_index)
{
	struct store_db db = { 0 };

	ck_assert_int_eq(store_db_open(&db, rig.path, STORE_DB_WRITER, 1000), CM_OK);
	for (size_t i = 0; i < STORE_SQL_COUNT; i++)
		check_plan(&db, &store_sql_texts[i]);
	store_db_close(&db);
}
END_TEST

static bool plan_has(struct store_db *db, enum store_sql sql, const char *what)
{
	char *text = xasprintf("EXPLAIN QUERY PLAN %s", store_sql_texts[sql].text);
	sqlite3_stmt *st = NULL;
	bool found = false;

	ck_assert_int_eq(sqlite3_prepare_v2(db->h, text, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW)
		found |= strstr((const char *)sqlite3_column_text(st, 3), what) != NULL;
	sqlite3_finalize(st);
	free(text);
	return found;
}

START_TEST(a_claim_takes_the_heads_of_its_index)
{
	struct store_db db = { 0 };

	ck_assert_int_eq(store_db_open(&db, rig.path, STORE_DB_WRITER, 1000), CM_OK);
	ck_assert(plan_has(
		&db, STORE_SQL_CLAIM_DRAFT, "INDEX leads_draft (campaign=? AND zone=? AND due<?)"));
	ck_assert(plan_has(&db, STORE_SQL_CLAIM_SEND,
		"INDEX leads_send (campaign=? AND mailbox=? AND zone=? AND due<?)"));
	ck_assert(plan_has(&db, STORE_SQL_CLAIM_SEND, "MERGE (UNION ALL)"));
	ck_assert(!plan_has(&db, STORE_SQL_CLAIM_SEND, "TEMP B-TREE"));
	ck_assert(!plan_has(&db, STORE_SQL_CLAIM_DRAFT, "TEMP B-TREE"));
	ck_assert(
		plan_has(&db, STORE_SQL_DRAFT_BUCKET, "INDEX leads_draft (campaign=? AND zone>?)"));
	ck_assert(plan_has(&db, STORE_SQL_SEND_BUCKET,
		"INDEX leads_send (campaign=? AND mailbox=? AND zone>?)"));
	ck_assert(!plan_has(&db, STORE_SQL_DRAFT_BUCKET, "TEMP B-TREE"));
	ck_assert(!plan_has(&db, STORE_SQL_SEND_BUCKET, "TEMP B-TREE"));
	ck_assert(plan_has(&db, STORE_SQL_STRAYS, "INDEX leads_send (campaign=? AND mailbox=?"));
	ck_assert(!plan_has(&db, STORE_SQL_STRAYS, "TEMP B-TREE"));
	ck_assert(plan_has(&db, STORE_SQL_WAKE, "INDEX leads_held"));
	ck_assert(plan_has(&db, STORE_SQL_LEADS_ODD, "INDEX leads_odd"));
	store_db_close(&db);
}
END_TEST

/* Each costs as much as three rows written: IN over a list, INSERT from a SELECT of the same table,
 * ORDER BY off the index, all hide one, and so does the WHERE of an index that a row is held against. */
static size_t temporary_tables(struct store_db *db, enum store_sql sql)
{
	char *text = xasprintf("EXPLAIN %s", store_sql_texts[sql].text);
	sqlite3_stmt *st = NULL;
	size_t n = 0;

	ck_assert_int_eq(sqlite3_prepare_v2(db->h, text, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW)
		n += str_eq((const char *)sqlite3_column_text(st, 1), "OpenEphemeral");
	sqlite3_finalize(st);
	free(text);
	return n;
}

START_TEST(no_mail_builds_a_temporary_table)
{
	static const enum store_sql of_a_mail[] = { STORE_SQL_LEAD_INSERT, STORE_SQL_DRAFT_BUCKET,
		STORE_SQL_SEND_BUCKET, STORE_SQL_CLAIM_DRAFT, STORE_SQL_CLAIM_SEND,
		STORE_SQL_CLAIM_TAKE, STORE_SQL_LEAD_BY_ROW, STORE_SQL_SUPPRESSION,
		STORE_SQL_CONTACTED_BY, STORE_SQL_LAST_OF_CAMPAIGN, STORE_SQL_EMAIL_BY_KEY,
		STORE_SQL_EMAIL_PUT, STORE_SQL_LEAD_MOVE, STORE_SQL_RESERVE, STORE_SQL_EMAIL_FIX,
		STORE_SQL_SLOT_TAKE, STORE_SQL_ATTEMPTS_OF_KEY, STORE_SQL_ATTEMPT_END,
		STORE_SQL_EMAIL_END, STORE_SQL_SENT_OF_PERSON, STORE_SQL_LEAD_RECOUNT };
	struct store_db db = { 0 };

	ck_assert_int_eq(store_db_open(&db, rig.path, STORE_DB_WRITER, 1000), CM_OK);
	for (size_t i = 0; i < sizeof of_a_mail / sizeof *of_a_mail; i++)
		ck_assert_msg(!temporary_tables(&db, of_a_mail[i]), "%s",
			store_sql_texts[of_a_mail[i]].name);
	store_db_close(&db);
}
END_TEST

static Suite *make(const char *backend)
{
	Suite *s = suite_create(backend);
	TCase *t = tcase_create("plans");

	tcase_add_checked_fixture(t, rig_setup, rig_teardown);
	tcase_add_test(t, every_statement_uses_its_index);
	tcase_add_test(t, a_claim_takes_the_heads_of_its_index);
	tcase_add_test(t, no_mail_builds_a_temporary_table);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return rig_main(make);
}
