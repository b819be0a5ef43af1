/*
 * AUDIT, the fields: each is held against its rule (sqlite_field_rules.c), and what breaks it is told
 * with the row, the field and what to do. What the rest of the row says again (a person by the address,
 * a try by its id) is repaired.
 * Runs on: lane 0, between groups. Called by sqlite_audit.c.
 */
#include "sqlite_audit.h"

#include <inttypes.h>
#include <string.h>

#include "coldmail/err.h"

/* ---- telling ------------------------------------------------------------------------------------- */

static void tell(struct audit *a, sqlite3_stmt *st, int col, const struct store_field *f,
	const struct field_place *p)
{
	FIND(a, "%s %s: %s is %s, expected %s: %s", p->table, p->name, f->name,
		store_field_shown(&a->page, st, col), store_field_expected(f->kind),
		store_field_remedy(&a->page, f, p));
	if (f->remedy == BY_FIX && f->fix != FIELD_FIXED_ELSEWHERE)
		store_audit_fix(a,
			(struct fix){ .what = FIX_FIELD, .field = f, .row = p->row, .id = p->id });
}

/* ---- a row --------------------------------------------------------------------------------------- */

#define COLUMNS_MAX 64
#define KEY_SHOWN   60 /* bytes of a key, in SQL */

/* What the columns of ST are, once for a page. */
struct page {
	const char *table, *key; /* the key as SQL says it */
	const struct store_field *fields[COLUMNS_MAX]; /* NULL: nobody's here */
	int n;
	int id, due, state; /* columns; -1: there is none */
};

static struct page page_of(sqlite3_stmt *st, const char *table, const char *id)
{
	struct page p = { .table = table, .key = id, .id = -1, .due = -1, .state = -1 };

	/* The tally has a key of three columns. */
	if (str_eq(table, "tally"))
		p.key = "campaign || '/' || state || '/' || reason";
	p.n = sqlite3_column_count(st);
	p.n = p.n < COLUMNS_MAX ? p.n : COLUMNS_MAX;
	for (int i = 0; i < p.n; i++) {
		const char *name = sqlite3_column_name(st, i);

		p.fields[i] = store_field_find(table, name);
		if (str_eq(name, id))
			p.id = i;
		if (str_eq(name, "due"))
			p.due = i;
		if (str_eq(name, "state"))
			p.state = i;
	}
	bug_if(p.id < 0, "%s has no column %s", table, id);
	return p;
}

/* Of a table without rows' numbers; the key may be anything. */
static const char *where_key(struct mem_arena *a, sqlite3_stmt *st, const struct page *p)
{
	char hex[2 * KEY_SHOWN + 1];
	const void *key = sqlite3_column_blob(st, p->id);
	size_t n = (size_t)sqlite3_column_bytes(st, p->id);
	bool is_whole = n <= KEY_SHOWN;

	str_hex(key, is_whole ? n : KEY_SHOWN, hex);
	for (char *c = hex; *c; c++)
		*c = *c >= 'a' ? (char)(*c - 'a' + 'A') : *c;
	return mem_arena_printf(
		a, "hex(%s) %s '%s%s'", p->key, is_whole ? "=" : "LIKE", hex, is_whole ? "" : "%");
}

static struct field_place place_of(
	struct audit *a, sqlite3_stmt *st, const struct page *p, int64_t row)
{
	struct field_place place = { .table = p->table, .row = row };

	place.where = row ? mem_arena_printf(&a->page, "rowid = %" PRId64, row)
			  : where_key(&a->page, st, p);
	const char *id = store_field_text(&a->page, st, p->id);
	if (id && *id) {
		char *safe = str_printable(id, strlen(id), 200);

		place.id = id;
		place.name = mem_arena_dup(&a->page, safe);
		free(safe);
	} else {
		place.name = row ? mem_arena_printf(&a->page, "row %" PRId64, row)
				 : "(its key is not readable)";
	}
	return place;
}

/* ROW: its number; 0: the table has none. */
static void look_at_row(struct audit *a, sqlite3_stmt *st, const struct page *p, int64_t row)
{
	const struct field_place place = place_of(a, st, p, row);

	for (int i = 0; i < p->n; i++)
		if (p->fields[i] && !store_field_is_sound(&a->page, st, i, p->fields[i]->kind))
			tell(a, st, i, p->fields[i], &place);
	/* A queued lead without a time is never found. */
	if (p->due >= 0 && sqlite3_column_type(st, p->due) == SQLITE_NULL &&
		str_eq(store_field_text(&a->page, st, p->state), "queued"))
		tell(a, st, p->due, p->fields[p->due], &place);
}

/* ---- the tables ---------------------------------------------------------------------------------- */

static bool is_older(sqlite3_stmt *st, const struct page *p)
{
	return str_eq(p->table, "emails") && sqlite3_column_type(st, p->id) == SQLITE_NULL;
}

static bool look_at_rows(struct audit *a, enum store_sql sql, const char *table, const char *id)
{
	sqlite3_stmt *st = store_db_find(&a->snap, sql, SQL_I(a->row), SQL_I(AUDIT_PAGE));

	if (!st)
		return false;
	const struct page p = page_of(st, table, id);
	for (bool more = true; more; more = store_db_next(&a->snap, st)) {
		a->row = sqlite3_column_int64(st, 0);
		if (!is_older(st, &p))
			look_at_row(a, st, &p, a->row);
	}
	return true;
}

bool store_field_emails(struct audit *a)
{
	return look_at_rows(a, STORE_SQL_FIELDS_EMAILS, "emails", "key");
}

bool store_field_attempts(struct audit *a)
{
	return look_at_rows(a, STORE_SQL_FIELDS_ATTEMPTS, "attempts", "_id");
}

bool store_field_leads(struct audit *a)
{
	return look_at_rows(a, STORE_SQL_FIELDS_LEADS, "leads", "email");
}

/* The key in hand, to go on behind it: text or bytes, with whatever is in it. */
static void keep_place(struct audit *a, sqlite3_stmt *st)
{
	a->after_is_text = sqlite3_column_type(st, 0) == SQLITE_TEXT;
	const void *key = sqlite3_column_blob(st, 0);
	size_t n = (size_t)sqlite3_column_bytes(st, 0);
	void *kept = mem_arena_get(&a->arena, n + 1);

	if (n)
		memcpy(kept, key, n);
	a->after = kept;
	a->after_n = n;
}

/* The table is in the order of its key, of which the empty one is no pattern. */
bool store_field_suppressions(struct audit *a)
{
	const bool is_text = !a->after || a->after_is_text;
	sqlite3_stmt *st = store_db_find(&a->snap, STORE_SQL_FIELDS_SUPPRESSIONS,
		SQL_B(a->after ? a->after : "", a->after_n), SQL_I(AUDIT_PAGE), SQL_I(is_text));

	if (!st)
		return false;
	const struct page p = page_of(st, "do_not_contact", "pattern");
	int n = 0;
	for (bool more = true; more; more = store_db_next(&a->snap, st)) {
		look_at_row(a, st, &p, 0);
		if (++n == AUDIT_PAGE)
			keep_place(a, st);
	}
	return n == AUDIT_PAGE;
}

static void look_at_all(struct audit *a, enum store_sql sql, const char *table, const char *id)
{
	sqlite3_stmt *st = store_db_find(&a->snap, sql);

	if (!st)
		return;
	const struct page p = page_of(st, table, id);
	for (bool more = true; more; more = store_db_next(&a->snap, st))
		look_at_row(a, st, &p, 0);
}

bool store_field_small(struct audit *a)
{
	look_at_all(a, STORE_SQL_FIELDS_MAILBOXES, "mailboxes", "_id");
	look_at_all(a, STORE_SQL_CONTROLS, "controls", "name");
	look_at_all(a, STORE_SQL_FIELDS_TALLY, "tally", "name");
	look_at_all(a, STORE_SQL_FIELDS_TEST_SLOTS, "test_slots", "mailbox");
	return false;
}

/* ---- repairs ------------------------------------------------------------------------------------- */

static void fix_person(struct store_db *db, const struct fix *f)
{
	char person[LEAD_PERSON];

	if (!f->id || !store_field_is_address(f->id))
		return;
	lead_person(db->person_secret, f->id, person);
	store_db_run(db, STORE_SQL_FIX_PERSON, SQL_I(f->row), SQL_T(person));
}

/* CAMPAIGN/PERSON/STEP */
static void fix_email_key(struct store_db *db, const struct fix *f)
{
	const char *from = f->id ? strchr(f->id, '/') : NULL,
		   *to = f->id ? strrchr(f->id, '/') : NULL;

	if (!from || to == from)
		return;
	char *campaign = xstrndup(f->id, (size_t)(from - f->id));
	char *person = xstrndup(from + 1, (size_t)(to - from - 1));

	store_db_run(db, STORE_SQL_FIX_EMAIL_KEY, SQL_I(f->row), SQL_T(campaign), SQL_T(person),
		SQL_T(to + 1));
	free(campaign);
	free(person);
}

/* KEY#n, or KEY#n! of a slot */
static void fix_try(struct store_db *db, const struct fix *f)
{
	const char *hash = f->id ? strrchr(f->id, '#') : NULL;
	bool is_slot = hash && str_ends(hash, "!");
	char *digits = hash ? xstrndup(hash + 1, strlen(hash + 1) - is_slot) : NULL;
	int64_t n;

	if (hash && str_to_i64(digits, &n) && n > 0 && n <= INT32_MAX) {
		struct mem_arena a = { 0 };
		const char *key = mem_arena_ndup(&a, f->id, (size_t)(hash - f->id));

		store_db_run(db, STORE_SQL_FIX_TRY, SQL_I(f->row), SQL_T(key), SQL_I(n),
			SQL_I(is_slot), SQL_T(is_slot ? NULL : store_key_person(&a, key)));
		mem_arena_done(&a);
	}
	free(digits);
}

void store_field_fix(struct store_db *db, const struct fix *f)
{
	switch (f->field->fix) {
	case STORE_SQL_FIX_PERSON:
		fix_person(db, f);
		break;
	case STORE_SQL_FIX_EMAIL_KEY:
		fix_email_key(db, f);
		break;
	case STORE_SQL_FIX_TRY:
		fix_try(db, f);
		break;
	case STORE_SQL_FIX_SENT_AT:
		store_db_run(db, STORE_SQL_FIX_SENT_AT, SQL_I(f->row));
		break;
	case STORE_SQL_FIX_FOLLOWUP:
		store_db_run(db, STORE_SQL_FIX_FOLLOWUP, SQL_I(f->row));
		break;
	case STORE_SQL_FIX_COUNT:
		store_db_run(db, STORE_SQL_FIX_COUNT);
		break;
	default:
		bug("no repair of %s.%s", f->field->table, f->field->name);
	}
}
