/*
 * What only reads: for people, for start-up, for the mailboxes' counters.
 * Runs on: lane 1, on its own connection; a group sees one state of the store.
 * Pages are keysets: a page costs its rows, not the rows before it.
 */
#include "store_sqlite.h"

#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"

/* ---- attempts ---------------------------------------------------------------------------------- */

static size_t read_attempts(
	struct store_db *db, struct mem_arena *a, sqlite3_stmt *st, struct store_attempt **ret)
{
	struct store_attempt *v = NULL;
	size_t n = 0;

	for (bool more = st; more; more = store_db_next(db, st)) {
		v = store_grown(a, v, n, sizeof *v);
		store_row_attempt(st, a, &v[n++]);
	}
	*ret = v;
	return n;
}

int store_op_open_attempts(struct store_db *db, struct store_req *r)
{
	enum store_sql sql =
		r->u.attempts.uncertain ? STORE_SQL_UNSETTLED_PAGE : STORE_SQL_OPEN_PAGE;
	const char *after = r->u.attempts.after ? r->u.attempts.after : "";
	sqlite3_stmt *st = store_db_find(db, sql, SQL_T(after), SQL_I(r->u.attempts.max));

	r->u.attempts.n = read_attempts(db, &r->arena, st, &r->u.attempts.v);
	return CM_OK;
}

int store_op_sends(struct store_db *db, struct store_req *r)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_SENDS, SQL_I(r->u.sends.before_ms),
		SQL_T(r->u.sends.before_id ? r->u.sends.before_id : ""), SQL_T(r->u.sends.campaign),
		SQL_T(r->u.sends.mailbox), SQL_T(r->u.sends.outcome), SQL_I(r->u.sends.max));

	r->u.sends.n = read_attempts(db, &r->arena, st, &r->u.sends.v);
	return CM_OK;
}

/* ---- controls, tally, what is due --------------------------------------------------------------- */

int store_op_controls(struct store_db *db, struct store_req *r)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_CONTROLS);
	struct store_control *v = NULL;
	size_t n = 0;

	for (bool more = st; more; more = store_db_next(db, st)) {
		struct store_row row = { .st = st, .arena = &r->arena };

		v = store_grown(&r->arena, v, n, sizeof *v);
		v[n].name = store_row_text(&row);
		v[n].value = store_row_text(&row);
		v[n++].at_ms = store_row_int(&row, 0);
	}
	r->u.controls.v = v;
	r->u.controls.n = n;
	r->u.controls.last_entry_ms = store_db_int(db, 0, STORE_SQL_LAST_ENTRY);
	r->u.controls.n_attempts = store_db_int(db, 0, STORE_SQL_COUNT_ATTEMPTS);
	return CM_OK;
}

/* A state that nobody knows counts as what it is about to be: held as bad_record. */
int store_op_tally(struct store_db *db, struct store_req *r)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_TALLY);
	struct store_tally *v = NULL;
	size_t n = 0;

	for (bool more = st; more; more = store_db_next(db, st)) {
		struct store_row row = { .st = st, .arena = &r->arena };

		v = store_grown(&r->arena, v, n, sizeof *v);
		v[n].campaign = store_row_text(&row);
		bool is_known = lead_state_parse(store_row_text(&row), &v[n].state);
		v[n].reason = lead_reason_parse(store_row_text(&row));
		v[n].n = store_row_int(&row, 0);
		if (!is_known) {
			v[n].state = LEAD_HELD;
			v[n].reason = LEAD_REASON_BAD_RECORD;
		}
		n++;
	}
	r->u.tally.v = v;
	r->u.tally.n = n;
	return CM_OK;
}

/* Leads of B's zone that are due: for a draft, or (MAILBOX) to be sent from there; "" : from any. */
static int64_t due_of(struct store_db *db, const struct store_req *r, const struct store_bucket *b,
	const char *mailbox)
{
	const char *campaign = r->u.next_due.campaign;

	if (b->due_ms > r->now_ms)
		return 0;
	return mailbox ? store_db_int(db, 0, STORE_SQL_DUE_SEND, SQL_T(campaign), SQL_T(b->zone),
				 SQL_I(r->now_ms), SQL_T(mailbox))
		       : store_db_int(db, 0, STORE_SQL_DUE_DRAFT, SQL_T(campaign), SQL_T(b->zone),
				 SQL_I(r->now_ms));
}

static void add_bucket(struct store_req *r, const struct store_bucket *b)
{
	size_t i = 0, n = r->u.next_due.n_buckets;
	struct store_bucket *v;

	while (i < n && !str_eq(r->u.next_due.buckets[i].zone, b->zone))
		i++;
	if (i == n) {
		r->u.next_due.buckets = store_grown(&r->arena, r->u.next_due.buckets, n, sizeof *v);
		r->u.next_due.buckets[r->u.next_due.n_buckets++] = *b;
		return;
	}
	v = &r->u.next_due.buckets[i];
	v->due_now += b->due_now;
	if (b->due_ms < v->due_ms)
		v->due_ms = b->due_ms;
}

/* The buckets of drafts, or (MAILBOX) of mails from there; the earliest of them. */
static int64_t read_buckets(struct store_db *db, struct store_req *r, const char *mailbox)
{
	struct store_bucket *v;
	int64_t earliest = CLOCK_NEVER_MS;
	size_t n = store_buckets(db, &r->arena,
		mailbox ? STORE_SQL_SEND_BUCKET_OF : STORE_SQL_DRAFT_BUCKET, r->u.next_due.campaign,
		mailbox, "", &v);

	for (size_t i = 0; i < n; i++) {
		v[i].due_now = due_of(db, r, &v[i], mailbox);
		r->u.next_due.due_now += v[i].due_now;
		if (v[i].due_ms < earliest)
			earliest = v[i].due_ms;
		add_bucket(r, &v[i]);
	}
	return earliest;
}

static void read_send_due(struct store_db *db, struct store_req *r, const char *mailbox)
{
	int64_t due = read_buckets(db, r, mailbox);

	if (due < r->u.next_due.send_ms)
		r->u.next_due.send_ms = due;
}

/* Of a mailbox that the campaign does not have. */
static int64_t count_strays(struct store_db *db, struct store_req *r, const char *mailbox)
{
	struct store_bucket *v;
	int64_t due = 0;
	size_t n = store_buckets(
		db, &r->arena, STORE_SQL_SEND_BUCKET_OF, r->u.next_due.campaign, mailbox, "", &v);

	for (size_t i = 0; i < n; i++)
		due += due_of(db, r, &v[i], mailbox);
	return due;
}

static bool is_one_of(const char *mailbox, const char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(v[i], mailbox))
			return true;
	return false;
}

const char *store_stray_mailbox(struct store_db *db, struct mem_arena *a, const char *campaign,
	const char *mailbox, const char *const *v, size_t n)
{
	for (;;) {
		sqlite3_stmt *st =
			store_db_find(db, STORE_SQL_SEND_MAILBOX, SQL_T(campaign), SQL_T(mailbox));
		struct store_row row = { .st = st, .arena = a };
		const char *next = st ? store_row_text(&row) : "";

		/* A name with a NUL byte in it would come again and again. */
		if (strcmp(next, mailbox) <= 0)
			return NULL;
		if (!is_one_of(next, v, n))
			return next;
		mailbox = next;
	}
}

static void read_strays(struct store_db *db, struct store_req *r)
{
	struct store_stray *v = NULL;
	const char *mailbox = "";
	size_t n = 0;

	while ((mailbox = store_stray_mailbox(db, &r->arena, r->u.next_due.campaign, mailbox,
			r->u.next_due.mailboxes, r->u.next_due.n_mailboxes))) {
		v = store_grown(&r->arena, v, n, sizeof *v);
		v[n++] = (struct store_stray){ mailbox, count_strays(db, r, mailbox) };
	}
	r->u.next_due.strays = v;
	r->u.next_due.n_strays = n;
}

int store_op_next_due(struct store_db *db, struct store_req *r)
{
	const char *campaign = r->u.next_due.campaign;

	r->u.next_due.buckets = NULL;
	r->u.next_due.n_buckets = 0;
	r->u.next_due.due_now = 0;
	r->u.next_due.draft_ms = read_buckets(db, r, NULL);
	r->u.next_due.wake_ms = store_db_int(
		db, CLOCK_NEVER_MS, STORE_SQL_WAKE_NEXT_OF, SQL_I(CLOCK_NEVER_MS), SQL_T(campaign));
	r->u.next_due.send_ms = CLOCK_NEVER_MS;
	read_send_due(db, r, "");
	for (size_t i = 0; i < r->u.next_due.n_mailboxes; i++)
		read_send_due(db, r, r->u.next_due.mailboxes[i]);
	read_strays(db, r);
	return CM_OK;
}

/* ---- leads ------------------------------------------------------------------------------------- */

int store_op_lead_list(struct store_db *db, struct store_req *r)
{
	const enum lead_state *state = r->u.list.state;
	const char *reason = r->u.list.reason ? lead_reason_name(r->u.list.reason) : NULL;
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_LEAD_LIST,
		SQL_T(r->u.list.after ? r->u.list.after : ""), SQL_T(r->u.list.campaign),
		SQL_T(state ? lead_state_name(*state) : NULL), SQL_T(reason), SQL_I(r->u.list.max));
	struct lead *v = NULL;
	size_t n = 0;

	for (bool more = st; more; more = store_db_next(db, st)) {
		v = store_grown(&r->arena, v, n, sizeof *v);
		(void)store_row_lead(st, &r->arena, &v[n++]);
	}
	r->u.list.v = v;
	r->u.list.n = n;
	return CM_OK;
}

static size_t read_suppressions(struct store_db *db, struct store_req *r, const char *of,
	const char *person, struct store_suppression **ret)
{
	struct mem_arena *a = &r->arena;
	const char *patterns[LEAD_PATTERNS_MAX];
	size_t n_patterns = lead_patterns_of(a, of, person, patterns, LEAD_PATTERNS_MAX), n = 0;
	struct store_suppression *v = NULL;

	for (size_t i = 0; i < n_patterns; i++) {
		sqlite3_stmt *st = store_db_find(
			db, STORE_SQL_SUPPRESSION, SQL_T(patterns[i]), SQL_I(r->now_ms));

		if (!st)
			continue;
		v = store_grown(a, v, n, sizeof *v);
		store_row_suppression(st, a, &v[n++]);
	}
	*ret = v;
	return n;
}

static size_t read_emails(
	struct store_db *db, struct mem_arena *a, const char *person, struct store_email **ret)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_EMAILS_OF_PERSON, SQL_T(person));
	struct store_email *v = NULL;
	size_t n = 0;

	for (bool more = st; more; more = store_db_next(db, st)) {
		v = store_grown(a, v, n, sizeof *v);
		(void)store_row_email(st, a, &v[n++]);
	}
	*ret = v;
	return n;
}

int store_op_lead_get(struct store_db *db, struct store_req *r)
{
	const char *email = r->u.get.email, *person = r->u.get.email_person;
	struct mem_arena *a = &r->arena;
	bool ok;

	r->u.get.n_emails = read_emails(db, a, person, &r->u.get.emails);
	r->u.get.n_attempts = read_attempts(db, a,
		store_db_find(db, STORE_SQL_ATTEMPTS_OF_PERSON, SQL_T(person)), &r->u.get.attempts);
	r->u.get.n_suppressions = read_suppressions(db, r, email, person, &r->u.get.suppressions);
	if (store_lead_find(db, a, STORE_SQL_LEAD_BY_EMAIL, email, &r->u.get.lead, &ok))
		return CM_OK;
	return store_refuse(r, CM_ENOENT, "there is no such lead");
}

/* ---- suppressions ------------------------------------------------------------------------------ */

int store_op_suppress_check(struct store_db *db, struct store_req *r)
{
	r->u.supp.n = read_suppressions(db, r, r->u.supp.of, r->u.supp.of_person, &r->u.supp.v);
	return CM_OK;
}

int store_op_suppress_list(struct store_db *db, struct store_req *r)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_SUPPRESS_PAGE,
		SQL_T(r->u.supp.after ? r->u.supp.after : ""), SQL_I(r->u.supp.max));
	struct store_suppression *v = NULL;
	size_t n = 0;

	for (bool more = st; more; more = store_db_next(db, st)) {
		v = store_grown(&r->arena, v, n, sizeof *v);
		store_row_suppression(st, &r->arena, &v[n++]);
	}
	r->u.supp.v = v;
	r->u.supp.n = n;
	return CM_OK;
}
