/*
 * CLAIM: the heads of the line become in flight, and with each comes every fact that the next stages
 * need, so that no stage asks again.
 * Runs on: lane 0, inside a group's transaction.
 * Its cost is that of what it takes, whatever the number of leads. A lead whose row cannot be worked
 * with is held as bad_record, and the batch goes on.
 */
#include "store_sqlite.h"

#include <stdlib.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"

struct head {
	int64_t row, due_ms;
};

/* ---- the line ----------------------------------------------------------------------------------- */

static int by_name(const void *key, const void *element)
{
	return strcmp(key, *(const char *const *)element);
}

static bool is_open(const struct store_req *r, const struct store_bucket *b)
{
	const char *const *zones = r->u.claim.zones;

	return !zones || (r->u.claim.n_zones && bsearch(b->zone, zones, r->u.claim.n_zones,
							sizeof *zones, by_name));
}

static int by_due(const void *a, const void *b)
{
	const struct store_bucket *x = a, *y = b;

	return (x->due_ms > y->due_ms) - (x->due_ms < y->due_ms);
}

/* All buckets into RET, the open ones first, and of those the earliest; returns how many are open. */
static size_t read_buckets(
	struct store_db *db, struct store_req *r, struct store_bucket **ret, size_t *ret_n)
{
	struct store_bucket *v;
	size_t n = store_buckets(db, &r->arena,
		r->u.claim.stage == LEAD_STAGE_SEND ? STORE_SQL_SEND_BUCKET
						    : STORE_SQL_DRAFT_BUCKET,
		r->u.claim.campaign, r->u.claim.mailbox, r->u.claim.stopped_steps, &v);
	size_t n_open = 0;

	for (size_t i = 0; i < n; i++) {
		const struct store_bucket b = v[i];

		if (!is_open(r, &b))
			continue;
		v[i] = v[n_open];
		v[n_open++] = b;
	}
	if (n_open)
		qsort(v, n_open, sizeof *v, by_due);
	*ret = v;
	*ret_n = n;
	return n_open;
}

/* The first MAX leads of ZONE that are due until BEFORE_MS, behind the N in V; returns how many there
 * are then. */
static size_t add_heads(struct store_db *db, struct store_req *r, const char *zone,
	int64_t before_ms, size_t max, struct head **v, size_t n)
{
	const bool is_send = r->u.claim.stage == LEAD_STAGE_SEND;
	sqlite3_stmt *st = store_db_find(db, is_send ? STORE_SQL_CLAIM_SEND : STORE_SQL_CLAIM_DRAFT,
		SQL_T(r->u.claim.campaign), SQL_I(before_ms), SQL_I(max),
		SQL_T(r->u.claim.stopped_steps), SQL_T(zone),
		{ .type = is_send ? STORE_VAL_TEXT : STORE_VAL_END, .u.t = r->u.claim.mailbox });

	for (bool more = st; more; more = store_db_next(db, st)) {
		*v = store_grown(&r->arena, *v, n, sizeof **v);
		(*v)[n++] =
			(struct head){ sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1) };
	}
	return n;
}

static int by_turn(const void *a, const void *b)
{
	const struct head *x = a, *y = b;

	return x->due_ms != y->due_ms ? (x->due_ms > y->due_ms) - (x->due_ms < y->due_ms)
				      : (x->row > y->row) - (x->row < y->row);
}

/* The first MAX in line of all the open buckets. A bucket that begins behind them is not looked into. */
static size_t heads(struct store_db *db, struct store_req *r, const struct store_bucket *b,
	size_t n_open, struct head **ret)
{
	const size_t max = r->u.claim.max;
	int64_t before = r->u.claim.before_ms;
	struct head *v = NULL;
	size_t n = 0;

	for (size_t i = 0; i < n_open && b[i].due_ms <= before; i++) {
		size_t was = n;

		n = add_heads(db, r, b[i].zone, before, max, &v, n);
		if (was && n > was)
			qsort(v, n, sizeof *v, by_turn);
		if (n < max)
			continue;
		n = max;
		if (!max || v[n - 1].due_ms == INT64_MIN)
			break;
		before = v[n - 1].due_ms - 1;
	}
	*ret = v;
	return n;
}

/* ---- the facts of one lead --------------------------------------------------------------------- */

static bool read_email(struct store_db *db, struct mem_arena *a, const struct lead *l,
	const char *step, struct store_email *ret, bool *ret_is_there)
{
	if (!*step)
		return true;
	const char *key = mem_arena_printf(a, "%s/%s/%s", l->campaign, l->person, step);
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_EMAIL_BY_KEY, SQL_T(key));

	*ret_is_there = st;
	return !st || store_row_email(st, a, ret);
}

static void add_past(struct store_past *p, const struct store_attempt *a)
{
	if (a->state != STORE_ATTEMPT_REFUSED)
		return;
	if (str_eq(a->class, "greylisted")) {
		if (!p->n_greylisted++ || a->ended_ms < p->greylisted_ms)
			p->greylisted_ms = a->ended_ms;
	} else if (str_eq(a->class, "recipient-transient")) {
		p->n_transient++;
		if (a->ended_ms > p->transient_ms[0]) {
			p->transient_ms[1] = p->transient_ms[0];
			p->transient_ms[0] = a->ended_ms;
		} else if (a->ended_ms > p->transient_ms[1]) {
			p->transient_ms[1] = a->ended_ms;
		}
	}
}

void store_attempt_last(struct store_db *db, struct mem_arena *a, const char *key,
	struct store_attempt *ret, struct store_past *ret_past)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_ATTEMPTS_OF_KEY, SQL_T(key));
	struct store_attempt v;

	for (bool more = st; more; more = store_db_next(db, st)) {
		store_row_attempt(st, a, &v);
		if (ret_past)
			add_past(ret_past, &v);
		if (v.n > ret->n)
			*ret = v;
	}
}

/* The person is computed again: one that does not fit the address would open a second ledger. */
static bool is_who_it_says(struct store_db *db, const struct lead *l)
{
	char person[LEAD_PERSON];

	lead_person(db->person_secret, l->email, person);
	return str_eq(person, l->person);
}

/* Those that this claim has taken already have their place. */
static int64_t domain_until(struct store_db *db, struct store_req *r, const struct store_claimed *c)
{
	const char *at = strrchr(c->lead.email, '@');
	int left = r->u.claim.domain_limit;

	if (!at || !left)
		return 0;
	for (size_t i = 0; i < r->u.claim.n; i++) {
		const struct store_claimed *before = &r->u.claim.v[i];
		const char *same = strrchr(before->lead.email, '@');

		left -= !before->domain_until_ms && same && str_eq(same, at);
	}
	return store_fact_domain_until(db, at + 1, "", left ? left : -1, r->now_ms);
}

/* NULL, or what about the record cannot be worked with. */
static const char *read_claimed(
	struct store_db *db, struct store_req *r, int64_t row, struct store_claimed *c)
{
	struct mem_arena *a = &r->arena;
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_LEAD_BY_ROW, SQL_I(row));

	if (!st || !store_row_lead(st, a, &c->lead))
		return "a field is not text, not a number or not JSON where it must be";
	if (!is_who_it_says(db, &c->lead))
		return "the address is not the one it was imported with";
	if (!read_email(db, a, &c->lead, c->lead.step, &c->email, &c->has_email))
		return "the step's row in emails is not readable";
	if (!read_email(db, a, &c->lead, c->lead.last_step, &c->prev, &c->has_prev))
		return "the last step's row in emails is not readable";
	if (c->has_email)
		store_attempt_last(db, a, c->email.key, &c->last, &c->past);
	c->domain_until_ms = domain_until(db, r, c);
	c->suppressed_by = store_fact_suppressed(db, a, c->lead.email, c->lead.person, r->now_ms);
	c->contacted_by = store_fact_contacted(
		db, a, c->lead.person, c->lead.campaign, r->u.claim.recontact_since_ms);
	return NULL;
}

/* ---- CLAIM ------------------------------------------------------------------------------------- */

static void claim_one(struct store_db *db, struct store_req *r, int64_t row)
{
	struct store_claimed *c = &r->u.claim.v[r->u.claim.n];
	const char *why = read_claimed(db, r, row, c);

	if (why) {
		store_db_run(db, STORE_SQL_LEAD_SPOIL, SQL_I(row), SQL_T(why));
		store_lead_log(db, c->lead.id, LEAD_QUEUED, LEAD_HELD, why);
		*c = (struct store_claimed){ 0 };
		return;
	}
	store_db_run(db, STORE_SQL_CLAIM_TAKE, SQL_I(row), SQL_T(r->u.claim.instance));
	store_lead_log(db, c->lead.id, LEAD_QUEUED, LEAD_IN_FLIGHT, "claimed");
	c->lead.state = LEAD_IN_FLIGHT;
	r->u.claim.n++;
}

/* Who is left: the first N_OPEN of the N buckets may have lost their heads, those due until BEFORE_MS. */
static void tell_left(
	struct store_db *db, struct store_req *r, struct store_bucket *b, size_t n_open, size_t n)
{
	size_t n_left = 0;

	for (size_t i = 0; i < n; i++) {
		struct head *v = NULL;

		if (i < n_open && b[i].due_ms <= r->u.claim.before_ms) {
			if (!add_heads(db, r, b[i].zone, CLOCK_NEVER_MS, 1, &v, 0))
				continue;
			b[i].due_ms = v[0].due_ms;
		}
		b[n_left++] = b[i];
	}
	r->u.claim.left = b;
	r->u.claim.n_left = n_left;
}

int store_op_claim(struct store_db *db, struct store_req *r)
{
	struct store_bucket *b;
	struct head *v;
	size_t n_buckets, n_open = read_buckets(db, r, &b, &n_buckets);
	size_t n = heads(db, r, b, n_open, &v);

	r->u.claim.v = mem_arena_get(&r->arena, n * sizeof *r->u.claim.v);
	for (size_t i = 0; i < n; i++)
		claim_one(db, r, v[i].row);
	tell_left(db, r, b, n_open, n_buckets);
	return CM_OK;
}
