/*
 * AUDIT: does everything that is derived agree with the ledger, and the ledger with itself? Reads one
 * state of the store (a read transaction on a connection of its own) in slices, so that nothing
 * waits for it and nothing moves under it.
 * Runs on: lane 0, between groups.
 * With FIX, repairs what is derived, on the state of now: the projections of attempts in emails, of
 * emails in leads, and the tally (by the difference, which is right whatever happened meanwhile; a
 * number that is none is counted anew); and writes suppressions as they are looked up. Fields of a wrong
 * type: sqlite_fields.c.
 * Then it looks a second time: what is not found any more was repaired, and nothing else.
 * Never changes an attempt: what no try says is a finding for people.
 */
#include "sqlite_audit.h"

#include <inttypes.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"

#define FINDINGS_MAX 1000

/* How long a try may be open after its lead was stopped: its sender is about to end it. */
#define OPEN_GRACE_MS CLOCK_HOUR_MS

void store_audit_find(struct audit *a, const char *line)
{
	a->n_seen++;
	if (a->is_second || a->r->u.audit.n_findings == FINDINGS_MAX)
		return;
	a->r->u.audit.findings = store_grown(&a->r->arena, a->r->u.audit.findings,
		a->r->u.audit.n_findings, sizeof *a->r->u.audit.findings);
	a->r->u.audit.findings[a->r->u.audit.n_findings++] = line;
}

void store_audit_fix(struct audit *a, struct fix fix)
{
	if (!a->r->u.audit.fix || a->is_second)
		return;
	a->fixes = store_grown(&a->page, a->fixes, a->n_fixes, sizeof *a->fixes);
	a->fixes[a->n_fixes++] = fix;
}

/* ---- emails ------------------------------------------------------------------------------------ */

struct email {
	const char *key, *lead_id, *person, *state, *outcome, *status;
	int64_t n_sent, n_uncertain;
};

/* The outcome that the tries imply; NONE: they imply none. */
static enum store_outcome implied(const struct email *e)
{
	return e->n_sent        ? STORE_OUTCOME_SENT
	       : e->n_uncertain ? STORE_OUTCOME_UNCERTAIN
				: STORE_OUTCOME_NONE;
}

static void check_email(struct audit *a, const struct email *e)
{
	enum store_outcome outcome, by_tries = implied(e);
	enum store_email_state state;
	bool is_known = store_email_parse(e->state, &state);

	if (e->n_sent + e->n_uncertain > 1)
		FIND(a, "emails %s: %" PRId64 " tries say that it went out", e->key,
			e->n_sent + e->n_uncertain);
	if (!store_outcome_parse(e->outcome, &outcome) || !is_known) {
		FIND(a, "emails %s: state \"%s\" or outcome \"%s\" is not known", e->key, e->state,
			e->outcome);
		outcome = STORE_OUTCOME_NONE;
	}
	if (by_tries && (by_tries != outcome || !is_known || state != STORE_EMAIL_DONE)) {
		FIND(a, "emails %s: %s %s, but its try was %s", e->key, e->state, e->outcome,
			store_outcome_name(by_tries));
		store_audit_fix(a, (struct fix){ .what = FIX_EMAIL,
					   .key = e->key,
					   .lead_id = e->lead_id,
					   .person = e->person,
					   .outcome = by_tries });
	} else if (!by_tries && str_eq(store_status_of(outcome), "sent")) {
		FIND(a, "emails %s: %s, but no try says so", e->key, e->outcome);
	} else if (!str_eq(e->status, store_status_of(outcome))) {
		FIND(a, "emails %s: status is \"%s\", its outcome implies %s", e->key, e->status,
			store_status_of(outcome));
		store_audit_fix(
			a, (struct fix){ .what = FIX_STATUS, .key = e->key, .outcome = outcome });
	}
}

/* Each part looks at a page and says whether there was one. */
static bool look_at_emails(struct audit *a)
{
	sqlite3_stmt *st =
		store_db_find(&a->snap, STORE_SQL_AUDIT_EMAILS, SQL_I(a->row), SQL_I(AUDIT_PAGE));

	if (!st)
		return false;
	for (bool more = true; more; more = store_db_next(&a->snap, st)) {
		struct store_row row = { .st = st, .arena = &a->page, .col = 1 };
		struct email e = { store_row_text(&row) };

		a->row = sqlite3_column_int64(st, 0);
		a->r->u.audit.checked_emails++;
		if (!*e.key)
			continue; /* an older system's */
		e.lead_id = store_row_text(&row);
		e.person = store_row_text(&row);
		e.state = store_row_text(&row);
		e.outcome = store_row_text(&row);
		e.status = store_row_text(&row);
		e.n_sent = store_row_int(&row, 0);
		e.n_uncertain = store_row_int(&row, 0);
		a->n_first += store_row_int(&row, 0);
		check_email(a, &e);
	}
	return true;
}

/* ---- attempts ---------------------------------------------------------------------------------- */

struct attempt {
	const char *id, *state, *slot;
	int64_t at_ms;
	bool has_email, has_before, has_lead, has_try;
};

static void check_slot(struct audit *a, const struct attempt *t)
{
	if (!str_eq(t->state, "transmitting") && !str_eq(t->state, "void"))
		FIND(a, "attempts %s: state \"%s\" is not known", t->id, t->state);
	if (!t->has_try)
		FIND(a, "attempts %s: a slot without its try", t->id);
}

static void check_try(struct audit *a, const struct attempt *t)
{
	bool is_taken = str_eq(t->slot, "transmitting");
	enum store_attempt_state s;

	if (!t->has_email)
		FIND(a, "attempts %s: there is no such step in emails", t->id);
	if (!t->has_before)
		FIND(a, "attempts %s: the try before it is missing", t->id);
	if (!store_attempt_parse(t->state, &s)) {
		FIND(a, "attempts %s: state \"%s\" is not known", t->id, t->state);
		return;
	}
	if (s == STORE_ATTEMPT_RESERVED && !t->has_lead && t->at_ms < a->r->now_ms - OPEN_GRACE_MS)
		FIND(a, "attempts %s: open, but its lead is not in flight", t->id);
	if ((s == STORE_ATTEMPT_SENT || s == STORE_ATTEMPT_UNCERTAIN) && !is_taken)
		FIND(a, "attempts %s: %s without a slot", t->id, t->state);
	if (s == STORE_ATTEMPT_RELEASED && is_taken)
		FIND(a, "attempts %s: released, but its slot was taken", t->id);
}

static bool look_at_attempts(struct audit *a)
{
	sqlite3_stmt *st =
		store_db_find(&a->snap, STORE_SQL_AUDIT_ATTEMPTS, SQL_I(a->row), SQL_I(AUDIT_PAGE));

	if (!st)
		return false;
	for (bool more = true; more; more = store_db_next(&a->snap, st)) {
		struct store_row row = { .st = st, .arena = &a->page, .col = 1 };
		struct attempt t = { .id = store_row_text(&row) };
		bool is_slot = str_ends(t.id, "!"); /* its column may hold anything */

		row.col++;

		t.state = store_row_text(&row);
		t.slot = store_row_text(&row);
		t.at_ms = store_row_int(&row, 0);
		t.has_email = store_row_int(&row, 0);
		t.has_before = store_row_int(&row, 0);
		t.has_lead = store_row_int(&row, 0);
		t.has_try = store_row_int(&row, 0);
		a->row = sqlite3_column_int64(st, 0);
		a->r->u.audit.checked_attempts += !is_slot;
		if (!*t.id)
			FIND(a, "attempts, row %" PRId64 ": its _id is not readable", a->row);
		else if (is_slot)
			check_slot(a, &t);
		else
			check_try(a, &t);
	}
	return true;
}

/* ---- leads and the tally ------------------------------------------------------------------------ */

static void count(struct audit *a, struct store_tally_key key, int64_t n)
{
	size_t i = 0;

	while (i < a->n_counts && !(str_eq(a->counts[i].key.campaign, key.campaign) &&
					  str_eq(a->counts[i].key.state, key.state) &&
					  str_eq(a->counts[i].key.reason, key.reason)))
		i++;
	if (i == a->n_counts) {
		a->counts = store_grown(&a->arena, a->counts, i, sizeof *a->counts);
		a->counts[a->n_counts++] =
			(struct count){ { mem_arena_dup(&a->arena, key.campaign),
						mem_arena_dup(&a->arena, key.state),
						mem_arena_dup(&a->arena, key.reason) },
				0 };
	}
	a->counts[i].n += n;
}

struct audited_lead {
	const char *id, *email, *person, *status;
	struct store_tally_key key;
	int64_t n_sent, last_sent_ms, ledger_n, ledger_last_ms;
};

static void check_lead(struct audit *a, const struct audited_lead *l)
{
	enum lead_reason reason = lead_reason_parse(l->key.reason);
	enum lead_state state = LEAD_HELD;

	if (!lead_state_parse(l->key.state, &state))
		FIND(a, "leads %s: state \"%s\" is not known", l->email, l->key.state);
	const char *status = lead_status(state, reason, l->ledger_n);
	bool status_differs = !str_eq(l->status, status), n_differs = l->n_sent != l->ledger_n,
	     last_differs = l->last_sent_ms != l->ledger_last_ms;
	if (status_differs)
		FIND(a, "leads %s: the ledger implies the status %s, not \"%s\"", l->email, status,
			l->status);
	if (n_differs)
		FIND(a, "leads %s: the ledger implies n_sent %" PRId64 ", not %" PRId64, l->email,
			l->ledger_n, l->n_sent);
	if (last_differs)
		FIND(a, "leads %s: the ledger implies last_sent_at %" PRId64 ", not %" PRId64,
			l->email, l->ledger_last_ms, l->last_sent_ms);
	if (!status_differs && !n_differs && !last_differs)
		return;
	store_audit_fix(a, (struct fix){ .what = FIX_LEAD, .lead_id = l->id, .person = l->person });
}

static bool is_reached(const char *status)
{
	return str_eq(status, "sent") || str_eq(status, "replied") || str_eq(status, "bounced") ||
	       str_eq(status, "unsubscribed");
}

static bool look_at_leads(struct audit *a)
{
	sqlite3_stmt *st =
		store_db_find(&a->snap, STORE_SQL_AUDIT_LEADS, SQL_I(a->row), SQL_I(AUDIT_PAGE));

	if (!st)
		return false;
	for (bool more = true; more; more = store_db_next(&a->snap, st)) {
		struct store_row row = { .st = st, .arena = &a->page, .col = 1 };
		struct audited_lead l = { .id = store_row_text(&row) };

		l.email = store_row_text(&row);
		l.person = store_row_text(&row);
		l.key.campaign = store_row_text(&row);
		l.key.state = store_row_text(&row);
		l.key.reason = store_row_text(&row);
		l.n_sent = store_row_int(&row, -1);
		l.last_sent_ms = store_row_int(&row, -1);
		l.status = store_row_text(&row);
		l.ledger_n = store_row_int(&row, 0);
		l.ledger_last_ms = store_row_int(&row, 0);
		a->row = sqlite3_column_int64(st, 0);
		a->r->u.audit.checked_leads++;
		a->n_reached += is_reached(l.status);
		count(a, l.key, 1);
		if (*l.person) /* else the ledger cannot be asked, and that has been told */
			check_lead(a, &l);
	}
	return true;
}

/* What the tally says there is no number, and is counted anew (sqlite_fields.c). */
static void leave_out(struct audit *a, struct store_tally_key key)
{
	count(a, key, 0);
	for (size_t i = 0; i < a->n_counts; i++)
		if (str_eq(a->counts[i].key.campaign, key.campaign) &&
			str_eq(a->counts[i].key.state, key.state) &&
			str_eq(a->counts[i].key.reason, key.reason))
			a->counts[i].n = 0;
}

/* The tally is taken off the recount: what is left over is wrong. Done in one page. */
static bool look_at_tally(struct audit *a)
{
	sqlite3_stmt *st = store_db_find(&a->snap, STORE_SQL_TALLY);

	for (bool more = st; more; more = store_db_next(&a->snap, st)) {
		struct store_row row = { .st = st, .arena = &a->page };
		struct store_tally_key key = { store_row_text(&row) };

		key.state = store_row_text(&row);
		key.reason = store_row_text(&row);
		if (store_audit_is_count(st, row.col))
			count(a, key, -store_row_int(&row, 0));
		else
			leave_out(a, key);
	}
	for (size_t i = 0; i < a->n_counts; i++) {
		const struct count *c = &a->counts[i];

		if (!c->n)
			continue;
		FIND(a, "tally %s/%s/%s: off by %" PRId64, c->key.campaign, c->key.state,
			c->key.reason, -c->n);
		store_audit_fix(a, (struct fix){ .what = FIX_TALLY, .tally = c->key, .n = c->n });
	}
	return false;
}

static bool look_at_totals(struct audit *a)
{
	if (a->n_first != a->n_reached)
		FIND(a,
			"totals: %" PRId64 " first steps went out, but %" PRId64
			" leads are sent, replied, bounced or unsubscribed",
			a->n_first, a->n_reached);
	return false;
}

/* ---- suppressions ------------------------------------------------------------------------------ */

static bool look_at_patterns(struct audit *a)
{
	bool more = store_patterns_look(&a->snap, &a->page, &a->patterns);

	for (size_t i = 0; i < a->patterns.n_odd; i++) {
		const struct store_odd_pattern *o = &a->patterns.odd[i];

		FIND(a, "do_not_contact %s: pattern is \"%s\", expected %s: %s",
			o->meant ? o->meant : o->shown, o->shown, STORE_PATTERN_EXPECTED,
			store_pattern_remedy(&a->page, o));
		if (o->meant)
			store_audit_fix(a, (struct fix){ .what = FIX_PATTERN, .pattern = o });
	}
	return more;
}

/* ---- repairs ----------------------------------------------------------------------------------- */

static void apply(struct audit *a, const struct fix *f)
{
	struct store_db *db = a->writer;

	switch (f->what) {
	case FIX_EMAIL:
		store_db_run(db, STORE_SQL_FIX_EMAIL, SQL_T(f->key),
			SQL_T(store_email_name(STORE_EMAIL_DONE)),
			SQL_T(store_outcome_name(f->outcome)), SQL_T(store_status_of(f->outcome)),
			SQL_I(a->r->now_ms));
		if (*f->person)
			store_lead_recount(db, f->lead_id, f->person);
		break;
	case FIX_STATUS:
		store_db_run(db, STORE_SQL_FIX_STATUS, SQL_T(f->key),
			SQL_T(store_status_of(f->outcome)));
		break;
	case FIX_LEAD:
		store_lead_recount(db, f->lead_id, f->person);
		break;
	case FIX_TALLY:
		store_db_run(db, STORE_SQL_FIX_TALLY, SQL_T(f->tally.campaign),
			SQL_T(f->tally.state), SQL_T(f->tally.reason), SQL_I(f->n));
		break;
	case FIX_FIELD:
		store_field_fix(db, f);
		break;
	case FIX_PATTERN:
		store_pattern_fix(db, a->r, f->pattern);
		break;
	}
}

static void apply_all(struct audit *a)
{
	struct store_db *db = a->writer;

	if (!a->n_fixes)
		return;
	store_db_run(db, STORE_SQL_BEGIN_WRITE);
	for (size_t i = 0; i < a->n_fixes; i++)
		apply(a, &a->fixes[i]);
	store_db_release(db);
	store_db_run(db, STORE_SQL_COMMIT);
	if (!db->err)
		a->n_applied += a->n_fixes;
}

/* ---- AUDIT ------------------------------------------------------------------------------------- */

static bool (*const parts[])(struct audit *a) = { store_field_emails, store_field_attempts,
	store_field_leads, store_field_suppressions, store_field_small, look_at_emails,
	look_at_attempts, look_at_leads, look_at_tally, look_at_totals, look_at_patterns };
#define N_PARTS (sizeof parts / sizeof *parts)

static void take_snapshot(struct audit *a, const char *path)
{
	a->row = INT64_MIN;
	if (store_db_open(&a->snap, path, STORE_DB_READER, STORE_BUSY_MS))
		return;
	store_db_run(&a->snap, STORE_SQL_BEGIN_READ);
	store_db_int(&a->snap, 0, STORE_SQL_TALLY); /* the snapshot is taken by a read */
}

static struct audit *begin(const char *path, struct store_req *r)
{
	struct audit *a = xcalloc(1, sizeof *a);

	r->u.audit.state = a;
	take_snapshot(a, path);
	return a;
}

static void end_look(struct audit *a)
{
	store_db_close(&a->snap);
	store_patterns_done(&a->patterns);
	mem_arena_done(&a->page);
	mem_arena_done(&a->arena);
}

/* What was repaired is what is not found any more. */
static bool needs_second_look(const struct audit *a)
{
	return a->part == N_PARTS && a->n_applied && !a->is_second && !a->snap.err &&
	       !a->writer->err && !a->r->job.cancelled;
}

static void look_again(struct audit *a, const char *path)
{
	const struct audit first = *a;

	end_look(a);
	*a = (struct audit){ .writer = first.writer,
		.r = first.r,
		.is_second = true,
		.n_applied = first.n_applied,
		.n_seen_first = first.n_seen };
	a->r->u.audit.checked_emails = a->r->u.audit.checked_attempts =
		a->r->u.audit.checked_leads = 0;
	take_snapshot(a, path);
}

static bool may_go_on(const struct audit *a)
{
	return a->part < N_PARTS && !a->snap.err && !a->writer->err && !a->r->job.cancelled;
}

static void look_at_page(struct audit *a)
{
	bool more = parts[a->part](a);

	store_db_release(&a->snap);
	if (!more) {
		a->part++;
		a->row = INT64_MIN;
	}
	apply_all(a);
	a->fixes = NULL;
	a->n_fixes = 0;
	mem_arena_done(&a->page);
}

static bool finish(struct audit *a)
{
	struct store_req *r = a->r;

	if (r->job.cancelled)
		r->err = store_refuse(r, CM_ECANCELED, "the daemon stops");
	else if (a->snap.err)
		r->err = store_refuse(r, a->snap.err, a->snap.why);
	else if (a->writer->err)
		r->err = store_refuse(r, a->writer->err, a->writer->why);
	if (a->is_second && a->n_seen_first > a->n_seen)
		r->u.audit.n_fixed = a->n_seen_first - a->n_seen;
	end_look(a);
	free(a);
	r->u.audit.state = NULL;
	return true;
}

bool store_slice_audit(struct store_db *writer, const char *path, struct store_req *r)
{
	int64_t until_us = clock_raw_us() + STORE_SLICE_US;
	struct audit *a = r->u.audit.state ? r->u.audit.state : begin(path, r);

	a->r = r;
	a->writer = writer;
	writer->err = CM_OK;
	while (may_go_on(a)) {
		look_at_page(a);
		if (clock_raw_us() > until_us)
			break;
	}
	if (needs_second_look(a))
		look_again(a, path);
	return may_go_on(a) ? false : finish(a);
}
