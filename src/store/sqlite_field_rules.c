/*
 * AUDIT, the rules: what each field of each table has to be, and who can put it right if it is not. A
 * column of SQLite takes anything; what the corridor cannot use it holds or never finds.
 * Runs on: lane 0. Called by sqlite_fields.c. Pure: reads the row in hand and writes nothing.
 */
#include "sqlite_audit.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"

/* The last moment that a date can be written of (9999-12-31). */
#define LAST_MS   INT64_C(253402300799999)
#define COUNT_MAX (INT64_C(1) << 53)

/* ---- what has to be where ----------------------------------------------------------------------- */

#define ELSEWHERE    STORE_SQL_BEGIN_READ
#define COLUMN(name) { "leads", #name, KIND_TEXT, BY_NULL },
static const struct store_field fields[] = {
	{ "leads", "_id", KIND_NAME, BY_IMPORT },
	{ "leads", "email", KIND_ADDRESS, BY_IMPORT },
	{ "leads", "person", KIND_NAME, BY_FIX, STORE_SQL_FIX_PERSON },
	{ "leads", "campaign", KIND_TEXT, BY_IMPORT },
	{ "leads", "state", KIND_NAME, BY_IMPORT },
	{ "leads", "reason", KIND_TEXT, BY_NULL },
	{ "leads", "until", KIND_END, BY_RELEASE },
	{ "leads", "stage", KIND_TEXT, BY_IMPORT },
	{ "leads", "step", KIND_TEXT, BY_IMPORT },
	{ "leads", "last_step", KIND_TEXT, BY_IMPORT },
	{ "leads", "due", KIND_TIME, BY_RELEASE },
	{ "leads", "mailbox", KIND_TEXT, BY_IMPORT },
	{ "leads", "zone", KIND_TEXT, BY_IMPORT },
	{ "leads", "n_sent", KIND_COUNT, BY_FIX, ELSEWHERE },
	{ "leads", "last_sent_at", KIND_TIME, BY_FIX, ELSEWHERE },
	{ "leads", "status", KIND_TEXT, BY_FIX, ELSEWHERE },
	{ "leads", "claimed_by", KIND_TEXT, BY_NULL },
	{ "leads", "created_at", KIND_TIME, BY_NULL },
	{ "leads", "error_message", KIND_TEXT, BY_NULL },
	{ "leads", "extra", KIND_JSON, BY_NULL },
	LEAD_COLUMNS(COLUMN)

		{ "emails", "key", KIND_NAME, BY_BACKUP },
	{ "emails", "lead_id", KIND_TEXT, BY_BACKUP },
	{ "emails", "campaign_id", KIND_NAME, BY_FIX, STORE_SQL_FIX_EMAIL_KEY },
	{ "emails", "person", KIND_NAME, BY_FIX, STORE_SQL_FIX_EMAIL_KEY },
	{ "emails", "step", KIND_NAME, BY_FIX, STORE_SQL_FIX_EMAIL_KEY },
	{ "emails", "followup_number", KIND_NUMBERED, BY_FIX, STORE_SQL_FIX_FOLLOWUP },
	{ "emails", "email_type", KIND_TEXT, BY_NULL },
	{ "emails", "to_email", KIND_TEXT, BY_BACKUP },
	{ "emails", "from_email", KIND_TEXT, BY_BACKUP },
	{ "emails", "subject", KIND_TEXT, BY_BACKUP },
	{ "emails", "body", KIND_TEXT, BY_BACKUP },
	{ "emails", "draft_hash", KIND_TEXT, BY_BACKUP },
	{ "emails", "renderer", KIND_COUNT, BY_BACKUP },
	{ "emails", "message_id", KIND_TEXT, BY_BACKUP },
	{ "emails", "in_reply_to", KIND_TEXT, BY_BACKUP },
	{ "emails", "references", KIND_TEXT, BY_BACKUP },
	{ "emails", "date", KIND_TIME, BY_BACKUP },
	{ "emails", "identity", KIND_TEXT, BY_BACKUP },
	{ "emails", "state", KIND_TEXT, BY_BACKUP },
	{ "emails", "outcome", KIND_TEXT, BY_BACKUP },
	{ "emails", "status", KIND_TEXT, BY_FIX, ELSEWHERE },
	{ "emails", "created_at", KIND_TIME, BY_NULL },
	{ "emails", "sent_at", KIND_TIME, BY_FIX, STORE_SQL_FIX_SENT_AT },
	{ "emails", "replied_at", KIND_TIME, BY_NULL },
	{ "emails", "error_message", KIND_TEXT, BY_NULL },

	{ "attempts", "_id", KIND_NAME, BY_BACKUP },
	{ "attempts", "key", KIND_NAME, BY_FIX, STORE_SQL_FIX_TRY },
	{ "attempts", "n", KIND_COUNT, BY_FIX, STORE_SQL_FIX_TRY },
	{ "attempts", "slot", KIND_COUNT, BY_FIX, STORE_SQL_FIX_TRY },
	{ "attempts", "state", KIND_NAME, BY_BACKUP },
	{ "attempts", "at", KIND_TIME, BY_BACKUP },
	{ "attempts", "person", KIND_TEXT, BY_FIX, STORE_SQL_FIX_TRY },
	{ "attempts", "domain", KIND_TEXT, BY_NULL },
	{ "attempts", "campaign", KIND_TEXT, BY_BACKUP },
	{ "attempts", "lead_id", KIND_TEXT, BY_BACKUP },
	{ "attempts", "step", KIND_TEXT, BY_BACKUP },
	{ "attempts", "to_email", KIND_TEXT, BY_BACKUP },
	{ "attempts", "mailbox", KIND_TEXT, BY_BACKUP },
	{ "attempts", "message_id", KIND_TEXT, BY_BACKUP },
	{ "attempts", "sha256", KIND_TEXT, BY_NULL },
	{ "attempts", "renderer", KIND_COUNT, BY_NULL },
	{ "attempts", "instance", KIND_TEXT, BY_NULL },
	{ "attempts", "nonce", KIND_TEXT, BY_NULL },
	{ "attempts", "why", KIND_TEXT, BY_NULL },
	{ "attempts", "class", KIND_TEXT, BY_NULL },
	{ "attempts", "code", KIND_COUNT, BY_NULL },
	{ "attempts", "text", KIND_TEXT, BY_NULL },
	{ "attempts", "queue_id", KIND_TEXT, BY_NULL },
	{ "attempts", "server_message_id", KIND_TEXT, BY_NULL },
	{ "attempts", "ended_at", KIND_TIME, BY_NULL },
	{ "attempts", "delay_connect", KIND_NUMBER, BY_NULL },
	{ "attempts", "delay_envelope", KIND_NUMBER, BY_NULL },
	{ "attempts", "delay_dot", KIND_NUMBER, BY_NULL },

	{ "do_not_contact", "reason", KIND_TEXT, BY_SUPPRESS },
	{ "do_not_contact", "evidence", KIND_TEXT, BY_SUPPRESS },
	{ "do_not_contact", "source", KIND_TEXT, BY_SUPPRESS },
	{ "do_not_contact", "created_at", KIND_TIME, BY_SUPPRESS },
	{ "do_not_contact", "until", KIND_END, BY_SUPPRESS },

	{ "mailboxes", "_id", KIND_NAME, BY_DELETE },
	{ "mailboxes", "state", KIND_TEXT, BY_RESUME },
	{ "mailboxes", "why", KIND_TEXT, BY_RESUME },
	{ "mailboxes", "until", KIND_END, BY_RESUME },
	{ "mailboxes", "backoff", KIND_COUNT, BY_RESUME },
	{ "mailboxes", "refused_logins", KIND_COUNT, BY_RESUME },
	{ "mailboxes", "lowered", KIND_COUNT, BY_RESUME },
	{ "mailboxes", "lowered_until", KIND_END, BY_RESUME },
	{ "mailboxes", "back_at", KIND_TIME, BY_RESUME },
	{ "mailboxes", "updated_at", KIND_TIME, BY_RESUME },

	{ "controls", "name", KIND_NAME, BY_DELETE },
	{ "controls", "value", KIND_TEXT, BY_CONTROL },
	{ "controls", "at", KIND_TIME, BY_CONTROL },

	{ "tally", "campaign", KIND_TEXT, BY_DELETE },
	{ "tally", "state", KIND_TEXT, BY_DELETE },
	{ "tally", "reason", KIND_TEXT, BY_DELETE },
	{ "tally", "n", KIND_COUNT, BY_FIX, STORE_SQL_FIX_COUNT },

	{ "test_slots", "mailbox", KIND_NAME, BY_DELETE },
	{ "test_slots", "at", KIND_TIME, BY_DELETE },
};
#undef COLUMN

const struct store_field *store_field_find(const char *table, const char *name)
{
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (str_eq(fields[i].name, name) && str_eq(fields[i].table, table))
			return &fields[i];
	return NULL; /* somebody else's */
}

/* ---- is it so ------------------------------------------------------------------------------------ */

/* Text of the column, in A; NULL: it is none that can be used. */
const char *store_field_text(struct mem_arena *a, sqlite3_stmt *st, int col)
{
	struct store_row row = { .st = st, .arena = a, .col = col, .ok = true };
	const char *text = store_row_text(&row);

	return row.ok ? text : NULL;
}

bool store_field_is_address(const char *text)
{
	char *canonical = NULL;
	const char *why;
	bool is = !lead_address_canonical(text, &canonical, &why) && str_eq(canonical, text);

	free(canonical);
	return is;
}

static bool is_object(const char *text)
{
	cJSON *o = *text ? cJSON_Parse(text) : NULL;
	bool is = !*text || cJSON_IsObject(o);

	cJSON_Delete(o);
	return is;
}

static bool is_within(sqlite3_stmt *st, int col, int64_t max)
{
	int64_t v = sqlite3_column_int64(st, col);

	return sqlite3_column_type(st, col) == SQLITE_INTEGER && v >= 0 && v <= max;
}

bool store_audit_is_count(sqlite3_stmt *st, int col)
{
	return sqlite3_column_type(st, col) == SQLITE_NULL || is_within(st, col, COUNT_MAX);
}

bool store_field_is_sound(struct mem_arena *a, sqlite3_stmt *st, int col, enum field_kind kind)
{
	int type = sqlite3_column_type(st, col);
	bool is_null = type == SQLITE_NULL;
	const char *text = NULL;

	if (kind == KIND_TEXT || kind == KIND_NAME || kind == KIND_ADDRESS || kind == KIND_JSON)
		text = store_field_text(a, st, col);
	switch (kind) {
	case KIND_TEXT:
		return text;
	case KIND_NAME:
		return text && *text;
	case KIND_ADDRESS:
		return text && store_field_is_address(text);
	case KIND_JSON:
		return text && is_object(text);
	case KIND_COUNT:
		return store_audit_is_count(st, col);
	case KIND_NUMBERED:
		return !is_null && store_audit_is_count(st, col);
	case KIND_TIME:
		return is_null || is_within(st, col, LAST_MS);
	case KIND_END:
		return is_null || is_within(st, col, CLOCK_NEVER_MS);
	case KIND_NUMBER:
		return is_null || type == SQLITE_FLOAT || type == SQLITE_INTEGER;
	}
	return true;
}

/* ---- telling ------------------------------------------------------------------------------------- */

/* What stands there, for people. */
const char *store_field_shown(struct mem_arena *a, sqlite3_stmt *st, int col)
{
	int n = sqlite3_column_bytes(st, col);
	char *safe;
	const char *text;

	switch (sqlite3_column_type(st, col)) {
	case SQLITE_INTEGER:
		return mem_arena_printf(a, "%" PRId64, (int64_t)sqlite3_column_int64(st, col));
	case SQLITE_FLOAT:
		return mem_arena_printf(a, "the number %g", sqlite3_column_double(st, col));
	case SQLITE_BLOB:
		return mem_arena_printf(a, "a BLOB of %d byte%s", n, str_plural(n));
	case SQLITE_NULL:
		return "NULL";
	}
	text = (const char *)sqlite3_column_text(st, col);
	safe = str_printable(text ? text : "", (size_t)n, 40);
	text = mem_arena_printf(a, "the text \"%s\"", safe);
	free(safe);
	return text;
}

const char *store_field_remedy(
	struct mem_arena *a, const struct store_field *f, const struct field_place *p)
{
	enum field_remedy by = f->remedy == BY_RELEASE && !p->id ? BY_IMPORT : f->remedy;

	switch (by) {
	case BY_FIX:
		return "coldmailctl audit --fix";
	case BY_RELEASE:
		return mem_arena_printf(a,
			"coldmailctl leads release %s makes it due at once, leads stop %s ends it",
			p->name, p->name);
	case BY_IMPORT:
		return mem_arena_printf(a,
			"stop coldmail, in sqlite3: DELETE FROM %s WHERE %s; then import the lead "
			"again: what was sent to it is not sent again",
			p->table, p->where);
	case BY_NULL:
		return mem_arena_printf(a,
			"stop coldmail, in sqlite3: UPDATE %s SET \"%s\" = NULL WHERE %s", p->table,
			f->name, p->where);
	case BY_BACKUP:
		return mem_arena_printf(a,
			"no machine can know it, and what cannot be read is not sent again: put in "
			"what a backup has, %s WHERE %s",
			p->table, p->where);
	case BY_RESUME:
		return mem_arena_printf(
			a, "coldmailctl resume mailbox %s writes all of it anew", p->name);
	case BY_SUPPRESS:
		return mem_arena_printf(a,
			"coldmailctl suppress remove %s --reason TEXT, then suppress add it again: "
			"it holds until then",
			p->name);
	case BY_CONTROL:
		return "the command that set it (start, pause, resume) sets it anew";
	case BY_DELETE:
		break;
	}
	return mem_arena_printf(a,
		"it has no effect: stop coldmail, in sqlite3: DELETE FROM %s WHERE %s", p->table,
		p->where);
}

const char *store_field_expected(enum field_kind kind)
{
	static const char *const texts[] = {
#define X(name, text) [KIND_##name] = (text),
		FIELD_KINDS(X)
#undef X
	};

	return texts[kind];
}
