/*
 * Rows of unknown origin: any column may hold any type, NULL or nonsense (an operator's shell, an
 * older system, a damaged page). What cannot be used is said, never crashed on; what stands in its
 * place is harmless.
 * Runs on: lane. Called by the operations when they read.
 */
#include "store_sqlite.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"

/* ---- columns ---------------------------------------------------------------------------------- */

/* Text without NUL bytes, valid UTF-8; numbers as SQLite writes them. NULL: not usable. */
static const char *usable_text(sqlite3_stmt *st, int col, struct mem_arena *a)
{
	if (sqlite3_column_type(st, col) == SQLITE_BLOB)
		return NULL;
	const char *s = (const char *)sqlite3_column_text(st, col);
	size_t n = (size_t)sqlite3_column_bytes(st, col);

	if (!s || memchr(s, '\0', n) || !str_is_utf8(s, n))
		return NULL;
	return mem_arena_ndup(a, s, n);
}

const char *store_row_text(struct store_row *row)
{
	int col = row->col++;

	if (sqlite3_column_type(row->st, col) == SQLITE_NULL)
		return "";
	const char *s = usable_text(row->st, col, row->arena);
	if (s)
		return s;
	row->ok = false;
	return "";
}

int64_t store_row_int(struct store_row *row, int64_t otherwise)
{
	int col = row->col++;

	switch (sqlite3_column_type(row->st, col)) {
	case SQLITE_INTEGER:
		return sqlite3_column_int64(row->st, col);
	case SQLITE_NULL:
		return otherwise;
	default:
		row->ok = false;
		return otherwise;
	}
}

double store_row_num(struct store_row *row)
{
	return sqlite3_column_double(row->st, row->col++);
}

/* An integer that is used as an int. */
static int small_int(struct store_row *row)
{
	int64_t v = store_row_int(row, 0);

	if (v >= INT32_MIN && v <= INT32_MAX)
		return (int)v;
	row->ok = false;
	return 0;
}

void *store_grown(struct mem_arena *a, void *v, size_t n, size_t size)
{
	if (n & (n - 1))
		return v;
	void *grown = mem_arena_get(a, (n ? 2 * n : 1) * size);
	if (n)
		memcpy(grown, v, n * size);
	return grown;
}

/* ---- leads ------------------------------------------------------------------------------------ */

#define COLUMN(name) #name,
static const char *const columns[] = { LEAD_COLUMNS(COLUMN) };
#undef COLUMN
#define N_COLUMNS (sizeof columns / sizeof *columns)

bool store_row_is_column(const char *name)
{
	for (size_t i = 0; i < N_COLUMNS; i++)
		if (str_eq(name, columns[i]))
			return true;
	return false;
}

char *store_row_extra(const struct lead_var *vars, size_t n)
{
	cJSON *o = cJSON_CreateObject();

	for (size_t i = 0; i < n; i++)
		if (!store_row_is_column(vars[i].name))
			cJSON_AddStringToObject(o, vars[i].name, vars[i].value);
	char *text = cJSON_PrintUnformatted(o);
	bug_if(!text, "out of memory: JSON");
	cJSON_Delete(o);
	char *mine = xstrdup(text);
	cJSON_free(text);
	return mine;
}

static void add_var(struct mem_arena *a, struct lead *l, const char *name, const char *value)
{
	l->vars = store_grown(a, l->vars, l->n_vars, sizeof *l->vars);
	l->vars[l->n_vars++] = (struct lead_var){ name, value };
}

/* The text of a JSON value; NULL: null. */
static const char *json_text(const cJSON *v, struct mem_arena *a)
{
	if (cJSON_IsNull(v))
		return NULL;
	if (cJSON_IsString(v))
		return mem_arena_dup(a, v->valuestring);
	char *text = cJSON_PrintUnformatted(v);
	const char *mine = mem_arena_dup(a, text ? text : "");

	cJSON_free(text);
	return mine;
}

static void read_extra(struct store_row *row, struct lead *l)
{
	const char *text = store_row_text(row);

	if (!*text)
		return;
	cJSON *o = cJSON_Parse(text);
	const cJSON *v;

	if (!cJSON_IsObject(o))
		row->ok = false;
	else
		cJSON_ArrayForEach(v, o)
		{
			const char *value = json_text(v, row->arena);

			if (value && v->string)
				add_var(row->arena, l, mem_arena_dup(row->arena, v->string), value);
		}
	cJSON_Delete(o);
}

static void read_columns(struct store_row *row, struct lead *l)
{
	for (size_t i = 0; i < N_COLUMNS; i++) {
		const char *value = store_row_text(row);

		if (*value)
			add_var(row->arena, l, columns[i], value);
	}
}

static enum lead_stage read_stage(struct store_row *row)
{
	const char *name = store_row_text(row);

	if (str_eq(name, lead_stage_name(LEAD_STAGE_SEND)))
		return LEAD_STAGE_SEND;
	if (!str_eq(name, lead_stage_name(LEAD_STAGE_DRAFT)))
		row->ok = false;
	return LEAD_STAGE_DRAFT;
}

static void read_state(struct store_row *row, struct lead *l)
{
	if (!lead_state_parse(store_row_text(row), &l->state))
		row->ok = false;
	const char *reason = store_row_text(row);
	l->reason = lead_reason_parse(reason);
	if (*reason && !l->reason)
		row->ok = false;
	l->until_ms = store_row_int(row, CLOCK_NEVER_MS);
}

bool store_row_lead(sqlite3_stmt *st, struct mem_arena *a, struct lead *ret)
{
	struct store_row row = { .st = st, .arena = a, .ok = true };

	*ret = (struct lead){ 0 };
	ret->id = store_row_text(&row);
	ret->email = store_row_text(&row);
	ret->person = store_row_text(&row);
	ret->campaign = store_row_text(&row);
	read_state(&row, ret);
	ret->stage = read_stage(&row);
	ret->step = store_row_text(&row);
	ret->last_step = store_row_text(&row);
	ret->due_ms = store_row_int(&row, 0);
	ret->mailbox = store_row_text(&row);
	ret->zone = store_row_text(&row);
	ret->n_sent = store_row_int(&row, 0);
	ret->last_sent_ms = store_row_int(&row, 0);
	ret->status = store_row_text(&row);
	ret->created_ms = store_row_int(&row, 0);
	read_extra(&row, ret);
	read_columns(&row, ret);
	bool ok = row.ok;
	ret->error = store_row_text(&row); /* nothing depends on it */
	row.ok = ok;
	if (!*ret->id || !*ret->email || !*ret->person)
		row.ok = false;
	if (!row.ok && ret->state != LEAD_ENDED) {
		ret->state = LEAD_HELD;
		ret->reason = LEAD_REASON_BAD_RECORD;
		ret->until_ms = CLOCK_NEVER_MS;
	}
	return row.ok;
}

/* ---- the ledger ------------------------------------------------------------------------------- */

/* A row that says another person or campaign than its key would be counted for the wrong one. */
static bool fits_its_key(const struct store_email *e)
{
	size_t campaign = strlen(e->campaign), person = strlen(e->person);

	return strlen(e->key) == campaign + person + strlen(e->step) + 2 &&
	       str_starts(e->key, e->campaign) && e->key[campaign] == '/' &&
	       str_starts(e->key + campaign + 1, e->person) &&
	       e->key[campaign + 1 + person] == '/' &&
	       str_eq(e->key + campaign + person + 2, e->step);
}

bool store_row_email(sqlite3_stmt *st, struct mem_arena *a, struct store_email *ret)
{
	struct store_row row = { .st = st, .arena = a, .ok = true };

	*ret = (struct store_email){ 0 };
	ret->key = store_row_text(&row);
	ret->lead_id = store_row_text(&row);
	ret->campaign = store_row_text(&row);
	ret->person = store_row_text(&row);
	ret->step = store_row_text(&row);
	ret->followup_number = small_int(&row);
	ret->to = store_row_text(&row);
	ret->mailbox = store_row_text(&row);
	ret->subject = store_row_text(&row);
	ret->body = store_row_text(&row);
	ret->draft_hash = store_row_text(&row);
	ret->renderer = small_int(&row);
	ret->message_id = store_row_text(&row);
	ret->in_reply_to = store_row_text(&row);
	ret->references = store_row_text(&row);
	ret->date_ms = store_row_int(&row, 0);
	ret->identity = store_row_text(&row);
	if (!store_email_parse(store_row_text(&row), &ret->state))
		row.ok = false;
	if (!store_outcome_parse(store_row_text(&row), &ret->outcome))
		row.ok = false;
	ret->created_ms = store_row_int(&row, 0);
	ret->sent_ms = store_row_int(&row, 0);
	ret->error = store_row_text(&row);
	return row.ok && fits_its_key(ret);
}

static enum store_slot read_slot(struct store_row *row)
{
	bool is_there = sqlite3_column_type(row->st, row->col) != SQLITE_NULL;
	const char *state = store_row_text(row);

	if (str_eq(state, "void"))
		return STORE_SLOT_VOID;
	/* A slot that cannot be read may have been used. */
	return is_there ? STORE_SLOT_TRANSMITTING : STORE_SLOT_NONE;
}

/* "KEY#n" is what makes it unique: its parts are taken from there. */
static void read_attempt_id(struct store_row *row, struct store_attempt *ret)
{
	const char *id = store_row_text(row), *hash = strrchr(id, '#');
	int64_t n;

	ret->key = hash ? mem_arena_ndup(row->arena, id, (size_t)(hash - id)) : id;
	ret->n = hash && str_to_i64(hash + 1, &n) && n > 0 && n <= INT32_MAX ? (int)n : 0;
}

void store_row_attempt(sqlite3_stmt *st, struct mem_arena *a, struct store_attempt *ret)
{
	struct store_row row = { .st = st, .arena = a, .ok = true };

	*ret = (struct store_attempt){ 0 };
	read_attempt_id(&row, ret);
	if (!store_attempt_parse(store_row_text(&row), &ret->state))
		ret->state = STORE_ATTEMPT_UNCERTAIN;
	ret->slot = read_slot(&row);
	ret->slot_why = store_row_text(&row);
	ret->campaign = store_row_text(&row);
	ret->lead_id = store_row_text(&row);
	ret->step = store_row_text(&row);
	ret->to = store_row_text(&row);
	ret->mailbox = store_row_text(&row);
	ret->message_id = store_row_text(&row);
	ret->class = store_row_text(&row);
	ret->reason = store_row_text(&row);
	ret->code = small_int(&row);
	ret->text = store_row_text(&row);
	ret->queue_id = store_row_text(&row);
	ret->server_message_id = store_row_text(&row);
	ret->sha256 = store_row_text(&row);
	ret->reserved_ms = store_row_int(&row, 0);
	ret->slot_ms = store_row_int(&row, 0);
	ret->ended_ms = store_row_int(&row, 0);
	for (size_t i = 0; i < 3; i++)
		ret->delays[i] = store_row_num(&row);
}

void store_row_suppression(sqlite3_stmt *st, struct mem_arena *a, struct store_suppression *ret)
{
	struct store_row row = { .st = st, .arena = a, .ok = true };

	ret->pattern = store_row_text(&row);
	ret->reason = store_row_text(&row);
	ret->evidence = store_row_text(&row);
	ret->source = store_row_text(&row);
	ret->at_ms = store_row_int(&row, 0);
	ret->until_ms = store_row_int(&row, 0);
	if (ret->until_ms < 0)
		ret->until_ms = 0;
}

/* ---- ids -------------------------------------------------------------------------------------- */

const char *store_attempt_id(struct mem_arena *a, const char *key, int n)
{
	return mem_arena_printf(a, "%s#%d", key, n);
}

const char *store_slot_id(struct mem_arena *a, const char *key, int n)
{
	return mem_arena_printf(a, "%s#%d!", key, n);
}

const char *store_key_person(struct mem_arena *a, const char *key)
{
	const char *from = strchr(key, '/'), *to = strrchr(key, '/');

	return from && to > from ? mem_arena_ndup(a, from + 1, (size_t)(to - from - 1)) : "";
}

void store_new_id(int64_t now_ms, char ret[STORE_ID])
{
	uint8_t bytes[12];

	for (size_t i = 0; i < 6; i++)
		bytes[i] = (uint8_t)((uint64_t)now_ms >> (40 - 8 * i));
	bug_if(getrandom(bytes + 6, 6, 0) != 6, "getrandom");
	str_hex(bytes, sizeof bytes, ret);
}
