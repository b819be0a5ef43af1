/*
 * The way from one schema to the next: a copy first, each step whole or not at all, nothing lost.
 */
#include "rig.h"

#include "store/store_sqlite.h"

/* Those of this version, and two that are to come. */
#define STEPS_MAX 32
static struct store_schema_step steps[STEPS_MAX];
static size_t now;

static void setup(void)
{
	rig_setup();
	rig_sent("bob@x.com");
	rig_done(); /* what follows is the only user of the file */
	now = store_schema_n;
	ck_assert_uint_le(now + 2, STEPS_MAX);
	memcpy(steps, store_schema_steps, now * sizeof *steps);
	steps[now].sql = "CREATE TABLE second (x); ALTER TABLE leads ADD COLUMN score INTEGER";
	steps[now + 1].sql = "CREATE TABLE third (x)";
}

static void teardown(void)
{
	rig_init();
	rig_teardown();
}

static int migrate(size_t n, char **ret_backup)
{
	struct store_db db = { 0 };

	ck_assert_int_eq(store_db_open(&db, rig.path, STORE_DB_WRITER, 1000), CM_OK);
	int err = store_schema_migrate(&db, rig.path, steps, n, ret_backup);
	store_db_close(&db);
	return err;
}

static int64_t ask(const char *path, const char *sql)
{
	sqlite3 *h = NULL;
	sqlite3_stmt *st = NULL;

	ck_assert_int_eq(sqlite3_open_v2(path, &h, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(h, sql, -1, &st, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	int64_t v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(h);
	return v;
}

#define VERSION "SELECT value FROM meta WHERE name = 'schema'"
#define TABLES  "SELECT count(*) FROM sqlite_schema WHERE name IN ('second', 'third')"

START_TEST(an_older_file_is_copied_and_brought_on)
{
	char *backup = NULL, *expected = xasprintf("%s.v%zu-backup", rig.path, now);
	struct stat st;

	ck_assert_int_eq(migrate(now + 2, &backup), CM_OK);
	ck_assert_str_eq(backup, expected);
	ck_assert_int_eq(stat(backup, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(ask(backup, VERSION), (int64_t)now);
	ck_assert_int_eq(ask(backup, TABLES), 0);
	ck_assert_int_eq(ask(backup, "SELECT count(*) FROM emails WHERE outcome = 'sent'"), 1);
	ck_assert_int_eq(ask(rig.path, VERSION), (int64_t)now + 2);
	ck_assert_int_eq(ask(rig.path, TABLES), 2);
	ck_assert_int_eq(ask(rig.path, "SELECT count(*) FROM emails WHERE outcome = 'sent'"), 1);
	free(backup);
	free(expected);
}
END_TEST

START_TEST(a_file_that_is_up_to_date_is_left_alone)
{
	char *backup = NULL;

	ck_assert_int_eq(migrate(now, &backup), CM_OK);
	ck_assert_ptr_null(backup);
	ck_assert_int_eq(ask(rig.path, VERSION), (int64_t)now);
}
END_TEST

START_TEST(a_step_that_fails_leaves_the_version_before)
{
	char *backup = NULL;

	steps[now + 1].sql = "CREATE TABLE third (x); CREATE TABLE third (y)";
	ck_assert_int_eq(migrate(now + 2, &backup), CM_ESTORE);
	ck_assert_ptr_null(backup);
	ck_assert_int_eq(ask(rig.path, VERSION), (int64_t)now + 1);
	ck_assert_int_eq(ask(rig.path, TABLES), 1);
	steps[now + 1].sql = "CREATE TABLE third (x)";
	ck_assert_int_eq(migrate(now + 2, &backup), CM_OK);
	ck_assert_int_eq(ask(backup, VERSION), (int64_t)now + 1);
	ck_assert_int_eq(ask(rig.path, VERSION), (int64_t)now + 2);
	free(backup);
}
END_TEST

START_TEST(without_a_copy_nothing_is_changed)
{
	char *backup = NULL, *in_the_way = xasprintf("%s.v%zu-backup.tmp", rig.path, now);

	ck_assert_int_eq(mkdir(in_the_way, 0700), 0);
	ck_assert_int_eq(migrate(now + 2, &backup), CM_EIO);
	ck_assert_int_eq(ask(rig.path, VERSION), (int64_t)now);
	ck_assert_int_eq(ask(rig.path, TABLES), 0);
	free(in_the_way);
}
END_TEST

START_TEST(a_newer_file_is_refused)
{
	char *backup = NULL;

	ck_assert_int_eq(migrate(now + 2, &backup), CM_OK);
	free(backup);
	backup = NULL;
	ck_assert_int_eq(migrate(now + 1, &backup), CM_EVERSION);
	ck_assert_ptr_null(backup);
	ck_assert_int_eq(ask(rig.path, VERSION), (int64_t)now + 2);
}
END_TEST

/* Leads from before they had a zone get theirs, and the claim's index is of it. */
START_TEST(schema_7_gives_leads_their_zone)
{
	char path[128], *backup = NULL;
	struct store_db db = { 0 };

	snprintf(path, sizeof path, "%s/old.db", rig.dir);
	ck_assert_int_eq(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
	ck_assert_int_eq(store_db_open(&db, path, STORE_DB_WRITER, 1000), CM_OK);
	ck_assert_int_eq(store_schema_migrate(&db, path, store_schema_steps, 6, &backup), CM_OK);
	ck_assert_int_eq(
		sqlite3_exec(db.h,
			"INSERT INTO leads (_id, email, campaign, state, stage, due, mailbox,"
			" timezone, country, region) VALUES"
			" ('1', 'a@x.com', 'c', 'queued', 'draft', 1, '', 'Asia/Tokyo', 'de', ''),"
			" ('2', 'b@x.com', 'c', 'queued', 'draft', 1, '', NULL, 'de', NULL),"
			" ('3', 'c@x.com', 'c', 'queued', 'draft', 1, '', 7, X'00ff', -1),"
			" ('4', 'd@x.com', 'c', 'ended', NULL, 1, '', NULL, 'us', 'ca')",
			NULL, NULL, NULL),
		SQLITE_OK);
	ck_assert_int_eq(store_schema_migrate(&db, path, store_schema_steps, now, &backup), CM_OK);
	store_db_close(&db);
	free(backup);
	ck_assert_int_eq(ask(path, VERSION), (int64_t)now);
	ck_assert_int_eq(ask(path, "SELECT count(*) FROM leads WHERE (email, zone) IN (VALUES"
				   " ('a@x.com', 'Asia/Tokyo'), ('b@x.com', 'Europe/Berlin'),"
				   " ('c@x.com', ''), ('d@x.com', 'America/Los_Angeles'))"),
		4);
	ck_assert_int_eq(ask(path, "SELECT count(*) FROM leads INDEXED BY leads_draft WHERE state"
				   " = 'queued' AND stage = 'draft' AND zone = 'Asia/Tokyo' AND"
				   " campaign = 'c'"),
		1);
}
END_TEST

static Suite *make(const char *backend)
{
	Suite *s = suite_create(backend);
	TCase *t = tcase_create("schema");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, an_older_file_is_copied_and_brought_on);
	tcase_add_test(t, a_file_that_is_up_to_date_is_left_alone);
	tcase_add_test(t, a_step_that_fails_leaves_the_version_before);
	tcase_add_test(t, without_a_copy_nothing_is_changed);
	tcase_add_test(t, a_newer_file_is_refused);
	tcase_add_test(t, schema_7_gives_leads_their_zone);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return rig_main(make);
}
