/*
 * What every backend must do, part 4: when things break. A kill at any commit, a second process, a
 * newer store, a full disk, a read-only directory, a file somebody else holds; copies, audits.
 */
#include "rig.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

/* ---- before and after -------------------------------------------------------------------------- */

START_TEST(nothing_is_answered_before_it_is_open)
{
	rig_make_dir();
	rig_init();
	struct store_req *r = rig_ask(rig_new(STORE_PING));
	ck_assert_int_eq(r->err, CM_ESTORE);
	ck_assert_ptr_nonnull(r->why);
	ck_assert(!store_stats().open);
	rig_ok(rig_ask(rig_new(STORE_OPEN)));
	rig_ok(rig_ask(rig_new(STORE_PING)));
	ck_assert(store_stats().open);
	ck_assert(!store_stats().down);
}
END_TEST

/* What was sent is finished and answered when the process ends. */
START_TEST(what_was_sent_is_answered_at_the_end)
{
	struct store_req *answers[50] = { NULL };

	rig_setup();
	for (size_t i = 0; i < 50; i++) {
		struct store_req *r = rig_suppress_new(STORE_SUPPRESS_ADD, "x.com");

		rig_send(r, &answers[i]);
	}
	store_done_all();
	ck_assert_uint_eq(rig.waiting, 0);
	for (size_t i = 0; i < 50; i++)
		ck_assert_int_eq(answers[i]->err, CM_OK);
	loop_done();
	rig_init();
}
END_TEST

START_TEST(keys_and_persons_stay_the_same)
{
	char before[LEAD_PERSON], after[LEAD_PERSON];
	uint8_t secret[32];

	rig_setup();
	store_person("bob@x.com", before);
	memcpy(secret, store_message_secret(), sizeof secret);
	rig_reopen();
	store_person("bob@x.com", after);
	ck_assert_str_eq(before, after);
	ck_assert_mem_eq(secret, store_message_secret(), sizeof secret);
}
END_TEST

START_TEST(files_are_their_owners_only)
{
	struct stat st;
	char path[200];

	umask(0);
	rig_setup();
	rig_import("bob@x.com", "founders");
	static const char *const names[] = { "", "-wal", "-shm", ".lock", ".seal" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s%s", rig.path, names[i]);
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_msg((st.st_mode & 0777) == 0600, "%s: %o", path, st.st_mode);
	}
}
END_TEST

/* ---- a kill at every commit --------------------------------------------------------------------- */

static const char *const points[] = { "store.before_commit", "store.after_commit",
	"import.before_commit", "claim.after_commit", "draft.before_commit", "draft.after_commit",
	"reserve.before_commit", "reserve.after_commit", "slot.before_commit", "slot.after_commit",
	"outcome.before_commit", "outcome.after_commit" };

/* The victim: this very program again, so that it reads its fail-point afresh. */
START_TEST(victim)
{
	snprintf(rig.dir, sizeof rig.dir, "%s", getenv("VICTIM_DIR"));
	rig.now_ms = NOW;
	rig_init();
	rig_ok(rig_ask(rig_new(STORE_OPEN)));
	rig_sent("bob@x.com");
}
END_TEST

static int run_killed(const char *point)
{
	char exe[4096] = "";
	int status = 0;

	ck_assert_int_gt(readlink("/proc/self/exe", exe, sizeof exe - 1), 0);
	pid_t pid = fork();
	if (!pid) {
		setenv("COLDMAIL_FAILPOINT", point, 1);
		setenv("VICTIM_BACKEND", rig.backend->name, 1);
		setenv("VICTIM_DIR", rig.dir, 1);
		setenv("CK_FORK", "no", 1);
		execl(exe, exe, (char *)NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

/* Whole or not at all; both views agree; what was in hand is found again. */
START_TEST(a_kill_at_a_commit_loses_and_doubles_nothing)
{
	rig_make_dir();
	int status = run_killed(points[_i]);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s is never passed",
		points[_i]);
	rig_init();
	rig_ok(rig_ask(rig_new(STORE_OPEN)));
	bool sent = str_eq(points[_i], "outcome.after_commit");
	bool slot = sent || str_starts(points[_i], "outcome.") ||
		    str_eq(points[_i], "slot.after_commit");
	bool reserved = slot || str_starts(points[_i], "slot.") ||
			str_eq(points[_i], "reserve.after_commit");
	ck_assert_int_eq(rig.backend->count("attempts", "slot = 0"), reserved);
	ck_assert_int_eq(rig.backend->count("attempts", "state = 'transmitting'"), slot);
	ck_assert_int_eq(rig.backend->count("emails", "outcome = 'sent'"), sent);
	ck_assert_int_eq(rig.backend->count("leads", "status = 'sent'"), sent);
	rig_agrees();
}
END_TEST

/* ---- a second process ---------------------------------------------------------------------------- */

START_TEST(a_second_process_is_refused)
{
	int up[2], status;
	char c;

	rig_make_dir();
	ck_assert_int_eq(pipe(up), 0);
	pid_t pid = fork();
	if (!pid) {
		rig_init();
		int err = rig_ask(rig_new(STORE_OPEN))->err;
		ck_assert_int_eq(write(up[1], err ? "n" : "y", 1), 1);
		pause();
	}
	ck_assert_int_eq(read(up[0], &c, 1), 1);
	ck_assert_int_eq(c, 'y');
	rig_init();
	struct store_req *r = rig_ask(rig_new(STORE_OPEN));
	ck_assert_int_eq(r->err, CM_ELOCKED);
	ck_assert(store_stats().down);
	ck_assert_ptr_nonnull(store_stats().why);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	rig_ok(rig_ask(rig_new(STORE_OPEN))); /* its lock ended with it */
	ck_assert(!store_stats().down);
}
END_TEST

/* Somebody's shell holds the file for longer than we wait. */
START_TEST(a_file_that_somebody_holds_is_an_outage_that_ends)
{
	rig_setup();
	sqlite3 *h = rig_sqlite_shell();
	ck_assert_int_eq(sqlite3_exec(h, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	struct store_req *r = rig_ask(rig_new(STORE_PING));
	ck_assert_int_eq(r->err, CM_ESTORE);
	ck_assert(store_stats().down);
	ck_assert_int_gt(store_stats().down_since_ms, 0);
	sqlite3_close(h);
	rig_ok(rig_ask(rig_new(STORE_PING)));
	ck_assert(!store_stats().down);
}
END_TEST

/* ---- files that are not ours ---------------------------------------------------------------------- */

static int open_again(void)
{
	rig_done();
	rig_init();
	return rig_ask(rig_new(STORE_OPEN))->err;
}

START_TEST(a_newer_store_is_refused)
{
	rig_setup();
	rig_sqlite_exec("UPDATE meta SET value = 99 WHERE name = 'schema'");
	ck_assert_int_eq(open_again(), CM_EVERSION);
	rig_sqlite_exec("UPDATE meta SET value = 'x' WHERE name = 'schema'");
	ck_assert_int_eq(open_again(), CM_ESTORE);
}
END_TEST

START_TEST(a_store_without_its_keys_is_refused)
{
	rig_setup();
	rig_sqlite_exec("UPDATE meta SET value = 'short' WHERE name = 'person_secret'");
	ck_assert_int_eq(open_again(), CM_ESTORE);
	rig_sqlite_exec("DELETE FROM meta WHERE name = 'person_secret'");
	ck_assert_int_eq(open_again(), CM_ESTORE);
}
END_TEST

static void write_file(const char *path, const char *bytes, size_t n, off_t at)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, n, at), (ssize_t)n);
	close(fd);
}

START_TEST(a_file_of_another_kind_is_refused)
{
	char text[8192];

	rig_make_dir();
	rig_init();
	memset(text, 'x', sizeof text);
	write_file(rig.path, text, sizeof text, 0);
	ck_assert_int_eq(rig_ask(rig_new(STORE_OPEN))->err, CM_EIO);
	ck_assert_int_eq(truncate(rig.path, 0), 0);
	rig_sqlite_exec("CREATE TABLE other (x)");
	ck_assert_int_eq(rig_ask(rig_new(STORE_OPEN))->err, CM_ESTORE);
	ck_assert_int_eq(unlink(rig.path), 0);
	rig_ok(rig_ask(rig_new(STORE_OPEN)));
}
END_TEST

START_TEST(a_damaged_page_is_told_and_never_fatal)
{
	char noise[4096];
	struct stat st;

	rig_setup();
	for (int i = 0; i < 200; i++) {
		char email[32];

		snprintf(email, sizeof email, "bob%d@x.com", i);
		rig_import(email, "founders");
	}
	rig_ok(rig_ask(rig_new(STORE_QUICK_CHECK)));
	rig_done();
	memset(noise, 0xA5, sizeof noise);
	ck_assert_int_eq(stat(rig.path, &st), 0);
	for (off_t at = 8192; at + 4096 < st.st_size; at += 4096 * 3)
		write_file(rig.path, noise, sizeof noise, at);
	rig_init();
	if (rig_ask(rig_new(STORE_OPEN))->err)
		return;
	struct store_req *r = rig_ask(rig_new(STORE_QUICK_CHECK));
	ck_assert_int_eq(r->err, CM_EIO);
	ck_assert_ptr_nonnull(r->why);
	for (int i = 0; i < 20; i++) { /* answers, whatever they are */
		r = rig_new(STORE_CLAIM);
		r->u.claim.campaign = "founders";
		r->u.claim.max = 64;
		r->u.claim.stopped_steps = "";
		r->u.claim.before_ms = NOW;
		r->u.claim.instance = "i";
		rig_ask(r);
	}
	r = rig_new(STORE_AUDIT);
	rig_ask(r);
	ck_assert_int_eq(r ? 0 : 1, 0);
}
END_TEST

/* ---- no room, no permission ----------------------------------------------------------------------- */

static void fill(struct store_req *r, size_t bytes)
{
	char *big = mem_arena_get(&r->arena, bytes + 1);

	memset(big, 'x', bytes);
	r->u.control.v = mem_arena_get(&r->arena, sizeof *r->u.control.v);
	r->u.control.v[0] = (struct store_control){ .name = "big", .value = big };
	r->u.control.n = 1;
}

static int write_much(size_t bytes)
{
	struct store_req *r = rig_new(STORE_CONTROL_SET);

	fill(r, bytes);
	return rig_ask(r)->err;
}

/* One group of many: all of them fail or none, and what was acknowledged before stays. */
static void check_all_fail(void)
{
	struct store_req *answers[8] = { NULL };

	for (size_t i = 0; i < 8; i++) {
		struct store_req *r = rig_new(STORE_CONTROL_SET);

		fill(r, 1 << 20);
		rig_send(r, &answers[i]);
	}
	rig_wait();
	for (size_t i = 0; i < 8; i++)
		ck_assert_int_ne(answers[i]->err, CM_OK);
	ck_assert(store_stats().down);
}

/* A file size limit is what a full disk is, without a disk. */
START_TEST(a_full_disk_is_an_outage_that_ends)
{
	struct rlimit full, old;

	rig_setup();
	struct rig_step s = rig_reserved("bob@x.com");
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	full = (struct rlimit){ .rlim_cur = 300000, .rlim_max = old.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &full), 0);
	ck_assert_int_eq(write_much(1 << 20), CM_EFULL);
	check_all_fail();
	ck_assert_ptr_nonnull(store_stats().why);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	rig_ok(rig_ask(rig_new(STORE_PING)));
	ck_assert(!store_stats().down);
	ck_assert_int_eq(write_much(1 << 20), CM_OK);
	rig_ok(rig_slot(&s, 1));
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_SENT));
	rig_agrees();
}
END_TEST

/* In a mount namespace of our own: it goes with the process, however that ends. */
static bool mount_small(void)
{
	return !geteuid() && !unshare(CLONE_NEWNS) &&
	       !mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) &&
	       !mount("tmpfs", rig.dir, "tmpfs", MS_NOSUID, "size=2m,mode=700");
}

START_TEST(a_really_full_disk)
{
	rig_make_dir();
	if (!mount_small()) {
		fprintf(stderr, "skipped: a tmpfs of its own needs root\n");
		rig_init();
		return;
	}
	rig_init();
	rig_ok(rig_ask(rig_new(STORE_OPEN)));
	struct rig_step s = rig_reserved("bob@x.com");
	char *ballast = xasprintf("%s/ballast", rig.dir), *room = xcalloc(1, 4096);
	int fd = open(ballast, O_WRONLY | O_CREAT, 0600);
	while (write(fd, room, 4096) > 0)
		;
	close(fd);
	check_all_fail();
	ck_assert_int_ne(rig_slot(&s, 1)->err, CM_OK);
	ck_assert_int_eq(unlink(ballast), 0);
	rig_ok(rig_slot(&s, 1));
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_SENT));
	rig_agrees();
	rig_done();
	ck_assert_int_eq(umount(rig.dir), 0);
	rig_init();
	free(ballast);
	free(room);
}
END_TEST

START_TEST(a_read_only_disk_is_an_outage_that_ends)
{
	rig_make_dir();
	if (!mount_small()) {
		fprintf(stderr, "skipped: a tmpfs of its own needs root\n");
		rig_init();
		return;
	}
	rig_init();
	rig_ok(rig_ask(rig_new(STORE_OPEN)));
	struct rig_step s = rig_reserved("bob@x.com");
	rig_done(); /* nothing may be open for writing */
	ck_assert_int_eq(mount("tmpfs", rig.dir, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), 0);
	rig_init();
	struct store_req *r = rig_ask(rig_new(STORE_OPEN));
	ck_assert_int_eq(r->err, CM_EIO);
	ck_assert_ptr_nonnull(r->why);
	ck_assert(store_stats().down);
	ck_assert_int_eq(mount("tmpfs", rig.dir, "tmpfs", MS_REMOUNT, NULL), 0);
	rig_ok(rig_ask(rig_new(STORE_OPEN)));
	rig_ok(rig_slot(&s, 1));
	rig_done();
	ck_assert_int_eq(umount(rig.dir), 0);
	rig_init();
}
END_TEST

START_TEST(a_directory_that_is_not_there_is_an_outage)
{
	rig_make_dir();
	rig_remove_dir();
	rig_init();
	ck_assert_int_eq(rig_ask(rig_new(STORE_OPEN))->err, CM_EIO);
	ck_assert_int_eq(mkdir(rig.dir, 0700), 0);
	rig_ok(rig_ask(rig_new(STORE_OPEN)));
}
END_TEST

/* One request of a group fails half-way: it alone is undone, the others are done. */
START_TEST(an_error_of_one_request_is_its_own)
{
	struct store_req *before = NULL, *bad = NULL, *after = NULL;

	rig_setup();
	rig_sqlite_exec("CREATE TRIGGER t BEFORE INSERT ON leads WHEN new.email = 'bad@x.com' "
			"BEGIN SELECT RAISE(ABORT, 'no'); END");
	rig_send(rig_suppress_new(STORE_SUPPRESS_ADD, "y.com"), &before);
	struct store_req *r = rig_new(STORE_IMPORT);
	r->u.import.n = 2;
	r->u.import.rows = mem_arena_get(&r->arena, 2 * sizeof *r->u.import.rows);
	r->u.import.rows[0] = rig_row(r, "good@x.com", "founders");
	r->u.import.rows[1] = rig_row(r, "bad@x.com", "founders");
	rig_send(r, &bad);
	rig_send(rig_suppress_new(STORE_SUPPRESS_ADD, "z.com"), &after);
	rig_wait();
	ck_assert_int_eq(bad->err, CM_EINVAL);
	ck_assert_ptr_nonnull(bad->why);
	rig_ok(before);
	rig_ok(after);
	ck_assert_uint_eq(
		before->u.suppress.n_new, 1); /* counted once, however often it was tried */
	ck_assert_uint_eq(after->u.suppress.n_new, 1);
	ck_assert(!store_stats().down);
	ck_assert_int_eq(rig.backend->count("leads", "1"), 0);
	ck_assert_int_eq(rig.backend->count("do_not_contact", "1"), 2);
	rig_agrees();
}
END_TEST

/* ---- copies ---------------------------------------------------------------------------------------- */

static struct store_req *backup_new(const char *name)
{
	struct store_req *r = rig_new(STORE_BACKUP);

	r->u.backup.path = mem_arena_printf(&r->arena, "%s/%s", rig.dir, name);
	return r;
}

static int64_t ask_file(const char *path, const char *sql)
{
	sqlite3 *h = NULL;
	sqlite3_stmt *st = NULL;

	ck_assert_int_eq(sqlite3_open_v2(path, &h, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(h, sql, -1, &st, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(h);
	return n;
}

/* The copy is of one moment, while the store is written to. */
START_TEST(a_backup_is_whole_while_mails_go_on)
{
	struct store_req *r = NULL;
	struct stat st;

	rig_setup();
	for (int i = 0; i < 8; i++)
		write_much(1 << 20);
	rig_sent("bob@x.com");
	rig_send(backup_new("copy.db"), &r);
	rig.waiting--; /* it is awaited below */
	for (int i = 0; i < 200 && !r; i++) {
		char email[32];

		snprintf(email, sizeof email, "eve%d@x.com", i);
		rig.waiting++;
		rig_import(email, "founders");
	}
	rig.waiting = !r;
	rig_wait();
	rig_ok(r);
	ck_assert_int_eq(stat(r->u.backup.path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(st.st_size, r->u.backup.bytes);
	ck_assert_int_eq(ask_file(r->u.backup.path, "SELECT count(*) FROM emails"), 1);
	ck_assert_int_eq(
		ask_file(r->u.backup.path,
			"SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
		1);
	ck_assert_int_eq(rig_ask(backup_new("copy.db"))->err, CM_EEXIST);
	ck_assert_int_eq(rig_ask(backup_new("nowhere/copy.db"))->err, CM_EIO);
	ck_assert(!store_stats().down);
}
END_TEST

START_TEST(a_backup_is_a_store)
{
	rig_setup();
	rig_sent("bob@x.com");
	struct store_req *r = rig_ask(backup_new("copy.db"));
	rig_ok(r);
	rig_done();
	ck_assert_int_eq(unlink(rig.path), 0);
	ck_assert_int_eq(rename(r->u.backup.path, rig.path), 0);
	rig_init();
	rig_ok(rig_ask(rig_new(STORE_OPEN)));
	ck_assert_int_eq(rig_get("bob@x.com")->u.get.lead.n_sent, 1);
	rig_agrees();
}
END_TEST

/* ---- audit ------------------------------------------------------------------------------------------ */

static const struct {
	const char *table, *field, *value;
	bool is_fixed;
} lies[] = {
	{ "leads", "n_sent", "0", true },
	{ "leads", "n_sent", "'x'", true },
	{ "leads", "last_sent_at", "5", true },
	{ "leads", "status", "'pending'", true }, /* case 11 */
	{ "emails", "status", "'pending'", true },
	{ "emails", "status", "NULL", true },
	{ "emails", "outcome", "''", true },
	{ "emails", "state", "'ready'", true }, /* case 10 */
	{ "emails", "state", "7", true },
	{ "tally", "n", "n + 3", true },
	{ "attempts", "state", "'nonsense'", false },
	{ "attempts", "key", "'gone'", false },
};

START_TEST(case_11_audit_finds_and_repairs)
{
	rig_setup();
	rig_sent("bob@x.com");
	rig_import("eve@x.com", "founders");
	rig_agrees();
	rig.backend->poke(lies[_i].table, lies[_i].field, lies[_i].value, "1");
	struct store_req *r = rig_audit(false);
	ck_assert_msg(r->u.audit.n_findings > 0, "%s.%s = %s is not found", lies[_i].table,
		lies[_i].field, lies[_i].value);
	ck_assert_uint_eq(r->u.audit.n_fixed, 0);
	ck_assert_int_eq(r->u.audit.checked_leads, 2);
	r = rig_audit(true);
	ck_assert_int_eq(r->u.audit.n_fixed > 0, lies[_i].is_fixed);
	if (lies[_i].is_fixed)
		rig_agrees();
	else
		ck_assert_uint_gt(rig_audit(false)->u.audit.n_findings, 0);
}
END_TEST

START_TEST(audit_tells_of_two_mails_of_one_step)
{
	rig_setup();
	struct rig_step s = rig_sent("bob@x.com");
	char *sql = xasprintf("INSERT INTO attempts (_id, key, n, slot, state) VALUES "
			      "('%s#2', '%s', 2, 0, 'sent')",
		s.key, s.key);
	rig_sqlite_exec(sql);
	free(sql);
	struct store_req *r = rig_audit(true);
	bool found = false;
	for (size_t i = 0; i < r->u.audit.n_findings; i++)
		found |= strstr(r->u.audit.findings[i], "2 tries say that it went out") != NULL;
	ck_assert(found);
}
END_TEST

static void teardown(void)
{
	rig_teardown();
}

static Suite *make(const char *backend)
{
	Suite *s = suite_create(backend);
	TCase *t = tcase_create("faults");

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, nothing_is_answered_before_it_is_open);
	tcase_add_test(t, what_was_sent_is_answered_at_the_end);
	tcase_add_test(t, keys_and_persons_stay_the_same);
	tcase_add_test(t, files_are_their_owners_only);
	tcase_add_loop_test(t, a_kill_at_a_commit_loses_and_doubles_nothing, 0,
		(int)(sizeof points / sizeof *points));
	tcase_add_test(t, a_second_process_is_refused);
	tcase_add_test(t, a_file_that_somebody_holds_is_an_outage_that_ends);
	tcase_add_test(t, a_newer_store_is_refused);
	tcase_add_test(t, a_store_without_its_keys_is_refused);
	tcase_add_test(t, a_file_of_another_kind_is_refused);
	tcase_add_test(t, a_damaged_page_is_told_and_never_fatal);
	tcase_add_test(t, a_full_disk_is_an_outage_that_ends);
	tcase_add_test(t, a_really_full_disk);
	tcase_add_test(t, a_read_only_disk_is_an_outage_that_ends);
	tcase_add_test(t, a_directory_that_is_not_there_is_an_outage);
	tcase_add_test(t, an_error_of_one_request_is_its_own);
	tcase_add_test(t, a_backup_is_whole_while_mails_go_on);
	tcase_add_test(t, a_backup_is_a_store);
	tcase_add_loop_test(
		t, case_11_audit_finds_and_repairs, 0, (int)(sizeof lies / sizeof *lies));
	tcase_add_test(t, audit_tells_of_two_mails_of_one_step);
	suite_add_tcase(s, t);
	return s;
}

static Suite *make_victim(const char *backend)
{
	Suite *s = suite_create(backend);
	TCase *t = tcase_create("victim");

	if (str_eq(backend, getenv("VICTIM_BACKEND")))
		tcase_add_test(t, victim);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return rig_main(getenv("VICTIM_DIR") ? make_victim : make);
}
