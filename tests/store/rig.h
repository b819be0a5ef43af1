/*
 * A real store for a test: the real loop, the real front, the real lanes, a backend from the table
 * at the end of this file. Each request is asked and waited for; its answer stays readable until the
 * test ends. Included once by each program under tests/store.
 */
#pragma once

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/loop.h"
#include "coldmail/mem.h"
#include "coldmail/store.h"
#include "coldmail/str.h"

#define UNUSED __attribute__((unused))

#define NOW     ((int64_t)1770000000000) /* 2026-02-02 */
#define MAILBOX "ali@example.com"
#define OTHER   "bea@example.com"

/* What a backend must offer to be tested. */
struct rig_backend {
	const char *name;
	/* Fills CONF for a store that lives in DIR. */
	void (*conf)(const char *dir, struct store_conf *conf);
	/* Puts VALUE (an SQL literal) into a field of the rows of TABLE that fit WHERE (SQL), behind
	 * the store's back. */
	void (*poke)(const char *table, const char *field, const char *value, const char *where);
	/* Counts rows: TABLE, and a condition in SQL. */
	int64_t (*count)(const char *table, const char *where);
};

static struct {
	const struct rig_backend *backend;
	char dir[64];
	char path[128];
	struct store_req *kept[100000]; /* answers */
	size_t n_kept, waiting;
	int64_t now_ms;
} rig;

/* ---- asking ------------------------------------------------------------------------------------ */

static void rig_on_done(struct store_req *r)
{
	struct store_req *mine = xmemdup(r, sizeof *r);

	r->arena.head = NULL; /* the copy owns it */
	ck_assert_uint_lt(rig.n_kept, sizeof rig.kept / sizeof *rig.kept);
	rig.kept[rig.n_kept++] = mine;
	*(struct store_req **)r->arg = mine;
	if (--rig.waiting == 0)
		loop_stop();
}

static struct store_req *rig_new(enum store_op op)
{
	struct store_req *r = store_req_new(op, rig_on_done, 0, NULL);

	r->now_ms = rig.now_ms;
	return r;
}

/* Sends without waiting; *RET is the answer after rig_wait(). */
static void rig_send(struct store_req *r, struct store_req **ret)
{
	r->arg = ret;
	rig.waiting++;
	store_send(r);
}

static void rig_wait(void)
{
	if (rig.waiting)
		loop_run();
	ck_assert_uint_eq(rig.waiting, 0);
}

static struct store_req *rig_ask(struct store_req *r)
{
	struct store_req *answer = NULL;

	rig_send(r, &answer);
	rig_wait();
	ck_assert_ptr_nonnull(answer);
	return answer;
}

#define rig_ok(r)                                                                                  \
	do {                                                                                       \
		const struct store_req *rig_r = (r);                                               \
		ck_assert_msg(rig_r->err == CM_OK, "%s (%s)", cm_strerror(rig_r->err),             \
			rig_r->why ? rig_r->why : "");                                             \
	} while (0)

/* ---- life -------------------------------------------------------------------------------------- */

static void rig_init(void)
{
	struct store_conf conf = { .instance = "test:1:a", .timeout_ms = 2000 };

	rig.backend->conf(rig.dir, &conf);
	snprintf(rig.path, sizeof rig.path, "%s", conf.path);
	ck_assert_int_eq(loop_init(), CM_OK);
	ck_assert_int_eq(store_init(&conf), CM_OK);
}

static void rig_done(void)
{
	store_done_all();
	loop_done();
}

static void rig_forget(void)
{
	while (rig.n_kept) {
		struct store_req *r = rig.kept[--rig.n_kept];

		mem_arena_done(&r->arena);
		free(r);
	}
}

static void rig_make_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(rig.dir, sizeof rig.dir, "%s/cm-store-XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(rig.dir));
	rig.now_ms = NOW;
}

static int rig_remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st, (void)flag, (void)f;
	return remove(path);
}

static void rig_remove_dir(void)
{
	ck_assert_int_eq(nftw(rig.dir, rig_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

UNUSED static void rig_setup(void)
{
	rig_make_dir();
	rig_init();
	rig_ok(rig_ask(rig_new(STORE_OPEN)));
}

UNUSED static void rig_teardown(void)
{
	rig_done();
	rig_forget();
	rig_remove_dir();
}

/* As after a restart. */
UNUSED static void rig_reopen(void)
{
	rig_done();
	rig_init();
	rig_ok(rig_ask(rig_new(STORE_OPEN)));
}

/* ---- the usual requests ------------------------------------------------------------------------ */

UNUSED static struct store_import_row rig_row(
	struct store_req *r, const char *email, const char *campaign)
{
	char person[LEAD_PERSON];

	store_person(email, person);
	return (struct store_import_row){ .line = 2,
		.email = mem_arena_dup(&r->arena, email),
		.person = mem_arena_dup(&r->arena, person),
		.campaign = mem_arena_dup(&r->arena, campaign),
		.first_step = "intro",
		.recontact_since_ms = INT64_MIN };
}

UNUSED static struct store_import_row rig_import_vars(
	const char *email, const char *campaign, struct lead_var *vars, size_t n, int64_t since)
{
	struct store_req *r = rig_new(STORE_IMPORT);

	r->u.import.rows = mem_arena_get(&r->arena, sizeof *r->u.import.rows);
	r->u.import.rows[0] = rig_row(r, email, campaign);
	r->u.import.rows[0].vars = vars;
	r->u.import.rows[0].n_vars = n;
	r->u.import.rows[0].recontact_since_ms = since;
	r->u.import.n = 1;
	r = rig_ask(r);
	rig_ok(r);
	return r->u.import.rows[0];
}

UNUSED static struct store_import_row rig_import(const char *email, const char *campaign)
{
	return rig_import_vars(email, campaign, NULL, 0, INT64_MIN);
}

UNUSED static struct store_req *rig_claim_of(
	const char *campaign, enum lead_stage stage, const char *mailbox, size_t max)
{
	struct store_req *r = rig_new(STORE_CLAIM);

	r->u.claim.campaign = campaign;
	r->u.claim.stage = stage;
	r->u.claim.mailbox = mailbox;
	r->u.claim.max = max;
	r->u.claim.stopped_steps = "";
	r->u.claim.before_ms = rig.now_ms;
	r->u.claim.instance = "test:1:a";
	r->u.claim.recontact_since_ms = INT64_MIN;
	r = rig_ask(r);
	rig_ok(r);
	return r;
}

/* When the next lead is due, as a claim's answer tells it. */
UNUSED static int64_t rig_next_due(const struct store_req *claim)
{
	int64_t next = CLOCK_NEVER_MS;

	for (size_t i = 0; i < claim->u.claim.n_left; i++)
		if (claim->u.claim.left[i].due_ms < next)
			next = claim->u.claim.left[i].due_ms;
	return next;
}

UNUSED static struct store_claimed *rig_claim(enum lead_stage stage)
{
	struct store_req *r =
		rig_claim_of("founders", stage, stage == LEAD_STAGE_SEND ? MAILBOX : NULL, 1);

	ck_assert_uint_eq(r->u.claim.n, 1);
	return &r->u.claim.v[0];
}

/* A lead's step, as the test speaks of it. */
struct rig_step {
	struct lead lead;
	const char *step;
	char key[128];
	int64_t date_ms;
};

UNUSED static struct rig_step rig_step_of(const struct store_claimed *c)
{
	struct rig_step s = { .lead = c->lead, .step = c->lead.step, .date_ms = rig.now_ms };

	snprintf(s.key, sizeof s.key, "%s/%s/%s", c->lead.campaign, c->lead.person, s.step);
	return s;
}

UNUSED static struct store_req *rig_draft_new(const struct rig_step *s, bool replace)
{
	struct store_req *r = rig_new(STORE_DRAFT);

	r->u.draft.email = (struct store_email){ .key = s->key,
		.lead_id = s->lead.id,
		.campaign = s->lead.campaign,
		.person = s->lead.person,
		.step = s->step,
		.followup_number = str_eq(s->step, "intro") ? 0 : 1,
		.to = s->lead.email,
		.mailbox = "",
		.subject = "Hello",
		.body = "Body\n",
		.draft_hash = "h1",
		.renderer = 1,
		.message_id = "",
		.in_reply_to = "",
		.references = "",
		.error = "" };
	r->u.draft.to = (struct store_lead_to){
		.state = LEAD_QUEUED, .stage = LEAD_STAGE_SEND, .step = s->step, .due_ms = -1
	};
	r->u.draft.replace = replace;
	return r;
}

UNUSED static struct store_req *rig_draft(const struct rig_step *s, bool replace)
{
	return rig_ask(rig_draft_new(s, replace));
}

/* Not sent yet: a test may change it. */
UNUSED static struct store_req *rig_reserve_new(const struct rig_step *s, int n)
{
	struct store_req *r = rig_new(STORE_RESERVE);

	r->u.reserve.key = s->key;
	r->u.reserve.n = n;
	r->u.reserve.lead_id = s->lead.id;
	r->u.reserve.to = s->lead.email;
	r->u.reserve.campaign = s->lead.campaign;
	r->u.reserve.step = s->step;
	r->u.reserve.mailbox = MAILBOX;
	r->u.reserve.message_id = "<1@example.com>";
	r->u.reserve.sha256 = "00";
	r->u.reserve.date_ms = s->date_ms;
	r->u.reserve.renderer = 1;
	r->u.reserve.instance = "test:1:a";
	r->u.reserve.recontact_since_ms = INT64_MIN;
	return r;
}

UNUSED static struct store_req *rig_reserve(const struct rig_step *s, int n)
{
	return rig_ask(rig_reserve_new(s, n));
}

UNUSED static struct store_req *rig_slot_new(const struct rig_step *s, int n, const char *nonce)
{
	struct store_req *r = rig_new(STORE_SLOT);

	r->u.slot.key = s->key;
	r->u.slot.n = n;
	r->u.slot.instance = "test:1:a";
	r->u.slot.nonce = nonce;
	return r;
}

UNUSED static struct store_req *rig_slot(const struct rig_step *s, int n)
{
	return rig_ask(rig_slot_new(s, n, "nonce"));
}

UNUSED static struct store_req *rig_void_new(const struct rig_step *s, int n, const char *reason)
{
	struct store_req *r = rig_new(STORE_VOID);

	r->u.void_.key = s->key;
	r->u.void_.n = n;
	r->u.void_.reason = reason;
	return r;
}

UNUSED static struct store_req *rig_outcome_new(
	const struct rig_step *s, int n, enum store_attempt_state state)
{
	bool out = state == STORE_ATTEMPT_SENT || state == STORE_ATTEMPT_UNCERTAIN;
	struct store_req *r = rig_new(STORE_OUTCOME);

	r->u.outcome.key = s->key;
	r->u.outcome.n = n;
	r->u.outcome.state = state;
	r->u.outcome.class = "";
	r->u.outcome.text = "2.0.0 Ok: queued as A1";
	r->u.outcome.queue_id = "A1";
	r->u.outcome.code = 250;
	r->u.outcome.email_state = out ? STORE_EMAIL_DONE : STORE_EMAIL_READY;
	r->u.outcome.email_outcome = state == STORE_ATTEMPT_SENT        ? STORE_OUTCOME_SENT
				     : state == STORE_ATTEMPT_UNCERTAIN ? STORE_OUTCOME_UNCERTAIN
									: STORE_OUTCOME_NONE;
	r->u.outcome.lead_id = s->lead.id;
	r->u.outcome.to = (struct store_lead_to){
		.state = LEAD_QUEUED, .stage = LEAD_STAGE_SEND, .due_ms = -1
	};
	if (state == STORE_ATTEMPT_SENT)
		r->u.outcome.to = (struct store_lead_to){ .state = LEAD_QUEUED,
			.stage = LEAD_STAGE_DRAFT,
			.step = "second",
			.last_step = s->step,
			.due_ms = rig.now_ms + CLOCK_DAY_MS,
			.mailbox = MAILBOX };
	if (state == STORE_ATTEMPT_UNCERTAIN)
		r->u.outcome.to = (struct store_lead_to){ .state = LEAD_HELD,
			.reason = LEAD_REASON_SEND_UNCERTAIN,
			.until_ms = CLOCK_NEVER_MS,
			.stage = LEAD_STAGE_SEND,
			.due_ms = -1 };
	return r;
}

UNUSED static struct store_req *rig_outcome(
	const struct rig_step *s, int n, enum store_attempt_state state)
{
	return rig_ask(rig_outcome_new(s, n, state));
}

/* From the CSV to just before the reservation. */
UNUSED static struct rig_step rig_ready(const char *email)
{
	rig_import(email, "founders");
	struct rig_step s = rig_step_of(rig_claim(LEAD_STAGE_DRAFT));

	rig_ok(rig_draft(&s, false));
	struct rig_step t = rig_step_of(rig_claim(LEAD_STAGE_SEND));
	ck_assert_str_eq(t.lead.email, email);
	return t;
}

/* … and with an open attempt. */
UNUSED static struct rig_step rig_reserved(const char *email)
{
	struct rig_step s = rig_ready(email);

	rig_ok(rig_reserve(&s, 1));
	return s;
}

/* … and its mail accepted. */
UNUSED static struct rig_step rig_sent(const char *email)
{
	struct rig_step s = rig_reserved(email);

	rig_ok(rig_slot(&s, 1));
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_SENT));
	return s;
}

UNUSED static struct store_req *rig_get(const char *email)
{
	struct store_req *r = rig_new(STORE_LEAD_GET);
	char person[LEAD_PERSON];

	store_person(email, person);
	r->u.get.email = mem_arena_dup(&r->arena, email);
	r->u.get.email_person = mem_arena_dup(&r->arena, person);
	return rig_ask(r);
}

UNUSED static struct store_req *rig_act(const char *email, int act, enum lead_reason reason)
{
	struct store_req *r = rig_new(STORE_LEAD_ACT);

	r->u.act.email = email;
	r->u.act.act = act;
	r->u.act.reason = reason;
	r->u.act.source = "test";
	return rig_ask(r);
}

UNUSED static struct store_req *rig_suppress_new(enum store_op op, const char *pattern)
{
	struct store_req *r = rig_new(op);

	r->u.suppress.v = mem_arena_get(&r->arena, sizeof *r->u.suppress.v);
	r->u.suppress.v[0] = (struct store_suppression){
		.pattern = pattern, .reason = "operator", .source = "test"
	};
	r->u.suppress.n = 1;
	return r;
}

UNUSED static struct store_req *rig_suppress(const char *pattern)
{
	return rig_ask(rig_suppress_new(STORE_SUPPRESS_ADD, pattern));
}

UNUSED static int64_t rig_tally(
	const char *campaign, enum lead_state state, enum lead_reason reason)
{
	struct store_req *r = rig_ask(rig_new(STORE_TALLY));
	int64_t n = 0;

	rig_ok(r);
	for (size_t i = 0; i < r->u.tally.n; i++)
		if (str_eq(r->u.tally.v[i].campaign, campaign) && r->u.tally.v[i].state == state &&
			r->u.tally.v[i].reason == reason)
			n += r->u.tally.v[i].n;
	return n;
}

UNUSED static struct store_req *rig_audit(bool fix)
{
	struct store_req *r = rig_new(STORE_AUDIT);

	r->u.audit.fix = fix;
	r = rig_ask(r);
	rig_ok(r);
	return r;
}

/* Both views agree (cases 10 and 11). */
UNUSED static void rig_agrees(void)
{
	struct store_req *r = rig_audit(false);

	ck_assert_msg(!r->u.audit.n_findings, "%zu findings, the first: %s", r->u.audit.n_findings,
		r->u.audit.n_findings ? r->u.audit.findings[0] : "");
}

/* ---- SQLite, behind the store's back ----------------------------------------------------------- */

static void rig_sqlite_conf(const char *dir, struct store_conf *conf)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/store.db", dir);
	conf->path = path;
}

static sqlite3 *rig_sqlite_shell(void)
{
	sqlite3 *h = NULL;

	ck_assert_int_eq(sqlite3_open_v2(rig.path, &h, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	sqlite3_busy_timeout(h, 2000);
	return h;
}

UNUSED static void rig_sqlite_exec(const char *sql)
{
	sqlite3 *h = rig_sqlite_shell();
	char *why = NULL;
	int rc = sqlite3_exec(h, sql, NULL, NULL, &why);

	ck_assert_msg(rc == SQLITE_OK, "%s: %s", sql, why ? why : "");
	sqlite3_close(h);
}

static void rig_sqlite_poke(
	const char *table, const char *field, const char *value, const char *where)
{
	char *sql = xasprintf("UPDATE %s SET \"%s\" = %s WHERE %s", table, field, value, where);

	rig_sqlite_exec(sql);
	free(sql);
}

static int64_t rig_sqlite_count(const char *table, const char *where)
{
	char *sql = xasprintf("SELECT count(*) FROM %s WHERE %s", table, where);
	sqlite3 *h = rig_sqlite_shell();
	sqlite3_stmt *st = NULL;

	ck_assert_msg(sqlite3_prepare_v2(h, sql, -1, &st, NULL) == SQLITE_OK, "%s", sql);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(h);
	free(sql);
	return n;
}

static const struct rig_backend rig_backends[] = {
	{ "sqlite", rig_sqlite_conf, rig_sqlite_poke, rig_sqlite_count },
};
#define RIG_BACKENDS (sizeof rig_backends / sizeof *rig_backends)

/* Runs the suites that MAKE builds, one for each backend. */
static int rig_main(Suite *(*make)(const char *backend))
{
	int failed = 0;

	for (size_t i = 0; i < RIG_BACKENDS; i++) {
		rig.backend = &rig_backends[i];
		SRunner *r = srunner_create(make(rig.backend->name));

		srunner_run_all(r, CK_NORMAL);
		failed += srunner_ntests_failed(r);
		srunner_free(r);
	}
	return failed != 0;
}
