/*
 * Facts that forbid mail: suppressions, mails of other campaigns, pauses; and the voids that carry
 * them to mails already under way.
 * Runs on: lane 0, inside a group's transaction. Called by claim, ledger and import, too.
 * The order is what makes an acknowledged opt-out hold: the fact is written first, then every open
 * attempt it is about loses its slot, then the answer goes out. A sender reads the facts after its
 * reservation, so one of the two always sees the other.
 */
#include "store_sqlite.h"

#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"

/* ---- reading ---------------------------------------------------------------------------------- */

const char *store_fact_suppressed(struct store_db *db, struct mem_arena *a, const char *address,
	const char *person, int64_t now_ms)
{
	const char *patterns[LEAD_PATTERNS_MAX];
	size_t n = lead_patterns_of(a, address, person, patterns, LEAD_PATTERNS_MAX);

	for (size_t i = 0; i < n; i++)
		if (store_db_find(db, STORE_SQL_SUPPRESSION, SQL_T(patterns[i]), SQL_I(now_ms)))
			return patterns[i];
	return NULL;
}

const char *store_fact_contacted(struct store_db *db, struct mem_arena *a, const char *person,
	const char *campaign, int64_t since_ms)
{
	if (since_ms == CLOCK_NEVER_MS)
		return NULL;
	sqlite3_stmt *st = store_db_find(
		db, STORE_SQL_CONTACTED_BY, SQL_T(person), SQL_T(campaign), SQL_I(since_ms));

	if (!st) /* a mail that may be at its dot counts, too */
		st = store_db_find(db, STORE_SQL_OPEN_ELSEWHERE, SQL_T(person), SQL_T(campaign));
	struct store_row row = { .st = st, .arena = a };
	return st ? store_row_text(&row) : NULL;
}

/* What is under way may come to nothing: ask again soon. */
#define UNDER_WAY_MS (5 * CLOCK_SECOND_MS)

int64_t store_fact_domain_until(
	struct store_db *db, const char *domain, const char *but, int limit, int64_t now_ms)
{
	/* What ended within the day was reserved within it, or a little before. */
	const int64_t since_ms = now_ms - CLOCK_DAY_MS - CLOCK_HOUR_MS;

	if (!limit || !domain)
		return 0;
	if (limit < 0)
		return now_ms + UNDER_WAY_MS;
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_DOMAIN_USE, SQL_T(domain), SQL_I(since_ms),
		SQL_T(but), SQL_I(limit - 1), SQL_I(now_ms));
	if (!st)
		return 0;
	if (sqlite3_column_int64(st, 0))
		return now_ms + UNDER_WAY_MS;
	int64_t leaves_ms = sqlite3_column_int64(st, 1) + CLOCK_DAY_MS;
	return leaves_ms > now_ms ? leaves_ms : 0;
}

/* ---- writing ---------------------------------------------------------------------------------- */

bool store_fact_suppress(struct store_db *db, const struct store_suppression *s, int64_t now_ms)
{
	const struct store_val until = SQL_I(s->until_ms), for_good = SQL_T(NULL);

	return store_db_run(db, STORE_SQL_SUPPRESS_PUT, SQL_T(s->pattern), SQL_T(s->reason),
		       SQL_T(s->evidence), SQL_T(s->source), SQL_I(s->at_ms ? s->at_ms : now_ms),
		       s->until_ms ? until : for_good) == 1;
}

enum store_slot store_fact_void(struct store_db *db, struct mem_arena *a, const char *attempt,
	const char *why, int64_t now_ms)
{
	if (store_db_run(db, STORE_SQL_SLOT_VOID, SQL_T(attempt), SQL_I(now_ms), SQL_T(why)) == 1)
		return STORE_SLOT_VOID;
	sqlite3_stmt *st =
		store_db_find(db, STORE_SQL_SLOT_BY_ID, SQL_T(mem_arena_printf(a, "%s!", attempt)));

	if (!st)
		return STORE_SLOT_NONE; /* there is no such attempt */
	/* A slot that cannot be read may have been used. */
	return str_eq((const char *)sqlite3_column_text(st, 0), "void") ? STORE_SLOT_VOID
									: STORE_SLOT_TRANSMITTING;
}

/* An open attempt. */
struct open {
	const char *id, *person, *campaign, *mailbox, *to;
};

static void void_one(struct store_db *db, struct store_req *r, const struct open *o,
	const char *why, struct store_voids *ret)
{
	enum store_slot slot = store_fact_void(db, &r->arena, o->id, why, r->now_ms);

	if (slot == STORE_SLOT_VOID)
		ret->voided++;
	if (slot != STORE_SLOT_TRANSMITTING)
		return;
	ret->taken = store_grown(&r->arena, ret->taken, ret->transmitting, sizeof *ret->taken);
	ret->taken[ret->transmitting++] = o->id;
}

void store_fact_void_person(struct store_db *db, struct store_req *r, const char *person,
	const char *why, struct store_voids *ret)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_OPEN_OF_PERSON, SQL_T(person));
	struct open *v = NULL;
	size_t n = 0;

	for (bool more = st; more; more = store_db_next(db, st)) {
		struct store_row row = { .st = st, .arena = &r->arena };

		v = store_grown(&r->arena, v, n, sizeof *v);
		v[n++].id = store_row_text(&row);
	}
	for (size_t i = 0; i < n; i++)
		void_one(db, r, &v[i], why, ret);
}

/* Everything in flight: never more than the mailboxes have connections. */
static struct open *all_open(struct store_db *db, struct mem_arena *a, size_t *ret_n)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_OPEN_ALL);
	struct open *v = NULL;
	size_t n = 0;

	for (bool more = st; more; more = store_db_next(db, st)) {
		struct store_row row = { .st = st, .arena = a };

		v = store_grown(a, v, n, sizeof *v);
		v[n].id = store_row_text(&row);
		v[n].person = store_row_text(&row);
		v[n].campaign = store_row_text(&row);
		v[n].mailbox = store_row_text(&row);
		v[n++].to = store_row_text(&row);
	}
	*ret_n = n;
	return v;
}

/* ---- SUPPRESS_ADD, SUPPRESS_REMOVE ------------------------------------------------------------- */

/* The lead that PATTERN names, if it names one. */
static bool find_lead_of(
	struct store_db *db, struct mem_arena *a, const char *pattern, struct lead *ret)
{
	bool ok;

	if (str_starts(pattern, LEAD_PERSON_PREFIX)) {
		const char *person = pattern + strlen(LEAD_PERSON_PREFIX);

		return store_lead_find(db, a, STORE_SQL_LEAD_OF_PERSON, person, ret, &ok) &&
		       str_eq(ret->person, person);
	}
	return strchr(pattern, '@') && !str_starts(pattern, "*@") &&
	       store_lead_find(db, a, STORE_SQL_LEAD_BY_EMAIL, pattern, ret, &ok);
}

static void end_lead_of(struct store_db *db, struct store_req *r, const struct store_suppression *s)
{
	bool is_opt_out = lead_reason_parse(s->reason) == LEAD_REASON_OPTED_OUT;
	struct lead lead;

	if (!find_lead_of(db, &r->arena, s->pattern, &lead))
		return;
	store_lead_end(db, &lead, is_opt_out ? LEAD_REASON_OPTED_OUT : LEAD_REASON_SUPPRESSED,
		is_opt_out ? s->source : s->pattern);
	r->u.suppress.lead_id = lead.id;
}

/* One of whom nothing can be read may be anybody's. */
static bool is_covered(const struct store_req *r, const struct open *o)
{
	if (!strchr(o->to, '@') || !*o->person)
		return true;
	for (size_t i = 0; i < r->u.suppress.n; i++)
		if (lead_pattern_covers(r->u.suppress.v[i].pattern, o->to, o->person))
			return true;
	return false;
}

int store_op_suppress_add(struct store_db *db, struct store_req *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->u.suppress.n; i++) {
		const struct store_suppression *s = &r->u.suppress.v[i];

		if (store_fact_suppress(db, s, r->now_ms))
			r->u.suppress.n_new++;
		end_lead_of(db, r, s);
	}
	struct open *open = all_open(db, &r->arena, &n);
	for (size_t i = 0; i < n; i++)
		if (is_covered(r, &open[i]))
			void_one(db, r, &open[i], "suppressed", &r->u.suppress.voids);
	return CM_OK;
}

int store_op_suppress_remove(struct store_db *db, struct store_req *r)
{
	for (size_t i = 0; i < r->u.suppress.n; i++)
		if (store_db_run(db, STORE_SQL_SUPPRESS_DROP, SQL_T(r->u.suppress.v[i].pattern)) ==
			1)
			r->u.suppress.n_new++;
	return CM_OK;
}

/* ---- CONTROL_SET ------------------------------------------------------------------------------- */

static bool is_meant(const char *wanted, const char *name)
{
	return wanted && (str_eq(wanted, "*") || str_eq(wanted, name));
}

int store_op_control_set(struct store_db *db, struct store_req *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->u.control.n; i++) {
		const struct store_control *c = &r->u.control.v[i];

		if (c->value)
			store_db_run(db, STORE_SQL_CONTROL_PUT, SQL_T(c->name), SQL_T(c->value),
				SQL_I(c->at_ms ? c->at_ms : r->now_ms));
		else
			store_db_run(db, STORE_SQL_CONTROL_DROP, SQL_T(c->name));
	}
	if (!r->u.control.void_campaign && !r->u.control.void_mailbox)
		return CM_OK;
	struct open *open = all_open(db, &r->arena, &n);
	for (size_t i = 0; i < n; i++)
		if (is_meant(r->u.control.void_campaign, open[i].campaign) ||
			is_meant(r->u.control.void_mailbox, open[i].mailbox))
			void_one(db, r, &open[i], "paused", &r->u.control.voids);
	return CM_OK;
}
