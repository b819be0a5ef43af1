/*
 * JSON as lists of leads come in it: an object a line, objects one behind the other, or one array of
 * them. What lies within an object becomes fields of the lead beside the others.
 * Runs on: any. Called by reader.c. cJSON reads a record, which is looked for in the window that
 * input.c keeps; one that is none is one error with its line. Never judges a value.
 */
#include "lead_private.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 4 /* objects and lists around a value */
#define ITEMS_MAX 3 /* objects of a list */
#define NAME_LONG 64 /* as the daemon has it */
#define SHOWN     30
#define TOO_LONG  "a record of more than 1 MB, expected at most 1 MB"

struct lead_json {
	struct lead_reader *r; /* borrowed: it owns this */
	bool is_array, is_closed;
	bool is_told; /* that the array has no end */
	bool has_lines; /* a record goes over more than one of them */

	/* The record in hand. */
	struct mem_arena arena;
	struct lead_var *vars; /* owned; names and values in arena */
	size_t n, cap;
	const char *left_out; /* in arena */
	struct str name; /* of the field that is being read */
	const char *number, *end; /* its text, from its next number on */
	char *why; /* owned: what is wrong with it */
};

/* ---- values ------------------------------------------------------------------------------------- */

/* The next number as it is written: of one with many digits cJSON keeps only most. */
static void next_number(struct lead_json *j, struct str *out)
{
	bool is_quoted = false;
	const char *p = j->number;

	for (; p < j->end; p++) {
		if (is_quoted && *p == '\\' && p + 1 < j->end)
			p++;
		else if (*p == '"')
			is_quoted = !is_quoted;
		else if (!is_quoted && (*p == '-' || (*p >= '0' && *p <= '9')))
			break;
	}
	size_t n = p < j->end ? strspn(p, "0123456789+-.eE") : 0;
	str_add(out, p, n);
	j->number = p + n;
}

static void skip_numbers(struct lead_json *j, const cJSON *v)
{
	struct str ignored = STR_INIT;
	const cJSON *child;

	if (cJSON_IsNumber(v))
		next_number(j, &ignored);
	cJSON_ArrayForEach(child, v) skip_numbers(j, child);
	str_done(&ignored);
}

/* The first thing that is wrong is told. */
static void spoil(struct lead_json *j, char *why)
{
	if (j->why)
		free(why);
	else
		j->why = why;
}

/* Appends TEXT as UTF-8. */
static void add_text(struct lead_json *j, const char *text, struct str *out)
{
	size_t n = strlen(text);

	if (lead_text_is_fit(j->r, text, n))
		str_add(out, text, n);
	else if (!lead_text_recode(j->r, text, n, out))
		spoil(j, lead_text_unfit(j->r, str_z(&j->name)));
}

static void add_scalar(struct lead_json *j, const cJSON *v, struct str *out)
{
	if (cJSON_IsString(v))
		add_text(j, v->valuestring, out);
	else if (cJSON_IsNumber(v))
		next_number(j, out);
	else if (cJSON_IsBool(v))
		str_adds(out, cJSON_IsTrue(v) ? "true" : "false");
}

/* ---- fields ------------------------------------------------------------------------------------- */

static void leave_out(struct lead_json *j, const cJSON *v)
{
	if (!j->left_out)
		j->left_out = mem_arena_dup(&j->arena, str_z(&j->name));
	skip_numbers(j, v);
}

static void add_field(struct lead_json *j, const char *value)
{
	if (strlen(value) > LEAD_FIELD_MAX)
		spoil(j, xasprintf("field %.100s: a value of more than 64 KB, expected at most "
				   "64 KB: shorten it, or take it out",
				 str_z(&j->name)));
	else if (j->n == LEAD_COLUMNS_MAX)
		spoil(j, xasprintf("more than %d fields, expected at most so many: leave some out",
				 LEAD_COLUMNS_MAX));
	if (j->why)
		return;
	mem_grow(j->vars, j->cap, j->n + 1);
	j->vars[j->n++] = (struct lead_var){
		mem_arena_dup(&j->arena, str_z(&j->name)),
		mem_arena_dup(&j->arena, value),
	};
}

static bool has_nested(const cJSON *list)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, list) if (cJSON_IsObject(v) || cJSON_IsArray(v)) return true;
	return false;
}

static void add_value(struct lead_json *j, const cJSON *v, int depth);

/* V as a field of the name in hand with WORD behind it. */
static void add_member(struct lead_json *j, const char *word, const cJSON *v, int depth)
{
	size_t n = j->name.len;

	str_adds(&j->name, n ? "_" : "");
	str_adds(&j->name, word);
	if (depth > DEPTH_MAX || j->name.len > NAME_LONG)
		leave_out(j, v);
	else
		add_value(j, v, depth);
	j->name.len = n;
	str_reserve(&j->name, 1); /* and ends it there */
}

static void add_object(struct lead_json *j, const cJSON *o, int depth)
{
	struct str key = STR_INIT;
	const cJSON *v;
	int i = 0;

	cJSON_ArrayForEach(v, o)
	{
		i++;
		str_reset(&key);
		add_text(j, v->string, &key);
		char *word = lead_column_name(str_z(&key));
		if (!word)
			word = xasprintf("column_%d", i);
		add_member(j, word, v, depth + 1);
		free(word);
	}
	str_done(&key);
}

/* Values one behind the other; objects each under its number. */
static void add_list(struct lead_json *j, const cJSON *list, int depth)
{
	const bool is_plain = !has_nested(list);
	struct str text = STR_INIT;
	const cJSON *v;
	int i = 0;

	cJSON_ArrayForEach(v, list)
	{
		char number[16];

		if (is_plain) {
			str_adds(&text, text.len && !cJSON_IsNull(v) ? ", " : "");
			add_scalar(j, v, &text);
		} else if (++i > ITEMS_MAX) {
			leave_out(j, v);
		} else {
			snprintf(number, sizeof number, "%d", i);
			add_member(j, number, v, depth + 1);
		}
	}
	if (text.len)
		add_field(j, str_trim(text.p));
	str_done(&text);
}

/* What is null is not there. */
static void add_value(struct lead_json *j, const cJSON *v, int depth)
{
	struct str text = STR_INIT;

	if (cJSON_IsObject(v)) {
		add_object(j, v, depth);
	} else if (cJSON_IsArray(v)) {
		add_list(j, v, depth);
	} else if (!cJSON_IsNull(v)) {
		add_scalar(j, v, &text);
		add_field(j, text.p ? str_trim(text.p) : "");
	}
	str_done(&text);
}

/* ---- the provider's verdict ---------------------------------------------------------------------- */

static const char *find_field(const struct lead_json *j, const char *name)
{
	for (size_t i = 0; i < j->n; i++)
		if (str_eq(j->vars[i].name, name))
			return j->vars[i].value;
	return NULL;
}

static const char *address_in(const cJSON *o)
{
	static const char *const keys[] = { "email", "address", "value" };
	const char *address = NULL;

	for (size_t i = 0; i < sizeof keys / sizeof *keys && !address; i++)
		address = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, keys[i]));
	return address;
}

/* What raw_data.emails[] says about ADDRESS. Where that is not known, it is the first of them (columns.c
 * guesses so); a single entry without one is about this lead. */
static const char *find_verdict(const cJSON *record, const char *address)
{
	const cJSON *raw = cJSON_GetObjectItemCaseSensitive(record, "raw_data");
	const cJSON *emails = cJSON_GetObjectItemCaseSensitive(raw, "emails"), *o;
	const bool is_first = !address || cJSON_GetArraySize(emails) == 1;

	cJSON_ArrayForEach(o, emails)
	{
		const char *about = address_in(o);
		const cJSON *verdict = cJSON_GetObjectItemCaseSensitive(o, "smtp_valid");

		if (about && address ? str_ieq(about, address) : is_first)
			return cJSON_GetStringValue(verdict);
	}
	return NULL;
}

static void add_verdict(struct lead_json *j, const cJSON *record)
{
	const char *own = find_field(j, "smtp_valid");
	const char *verdict = find_verdict(record, find_field(j, "email"));
	struct str text = STR_INIT;

	if (!lead_is_null_like(own) || !verdict)
		return;
	for (size_t i = 0; own && i < j->n; i++) /* it says nothing */
		if (j->vars[i].value == own)
			j->vars[i] = j->vars[--j->n];
	str_reset(&j->name);
	str_adds(&j->name, "smtp_valid");
	add_text(j, verdict, &text);
	add_field(j, str_z(&text));
	str_done(&text);
}

/* ---- records ------------------------------------------------------------------------------------- */

/* "\u0000" ends a text too soon, as a NUL does. */
static bool has_nul(const char *p, size_t n)
{
	const char *end = p + n;

	for (const char *u = p; (u = memmem(u, (size_t)(end - u), "\\u0000", 6)); u += 6) {
		size_t n_before = 0;

		while ((size_t)(u - p) > n_before && u[-1 - (ptrdiff_t)n_before] == '\\')
			n_before++;
		if (n_before % 2 == 0)
			return true;
	}
	return memchr(p, '\0', n) != NULL;
}

/* The fields of V, which stands in the N bytes at P. NULL, or what is wrong (owned by the caller). */
static char *take(struct lead_json *j, const cJSON *v, const char *p, size_t n)
{
	if (n > LEAD_RECORD_MAX)
		return xstrdup(TOO_LONG);
	if (has_nul(p, n))
		return xstrdup("a NUL byte, expected text: take it out");
	if (!cJSON_IsObject(v))
		return xstrdup("no object, expected one with the lead's fields");
	j->number = p;
	j->end = p + n;
	add_object(j, v, 0);
	add_verdict(j, v);
	char *why = j->why;
	j->why = NULL;
	return why;
}

/* Does a record begin, or the array end, in the line at r->at, no further to the right than COLUMN? */
static bool is_beginning(const struct lead_reader *r, size_t column)
{
	size_t i = 0;

	while (i < r->n - r->at && (r->data[r->at + i] == ' ' || r->data[r->at + i] == '\t'))
		i++;
	if (i == r->n - r->at || i > column)
		return false;
	return r->data[r->at + i] == '{' || r->data[r->at + i] == ']';
}

/* On from a record that is none, which began at COLUMN: where records go over lines, its other lines are
 * not asked. */
static void resync(struct lead_reader *r, size_t column)
{
	do {
		lead_input_skip_line(r);
		lead_input_fill(r);
	} while (r->json->has_lines && r->at < r->n && !is_beginning(r, column));
}

/* What is not understood of the text at BAD, in the record that begins at r->at. */
static char *not_json(const struct lead_reader *r, const char *bad)
{
	size_t n = (size_t)(r->data + r->n - bad);

	if (!r->is_last && !memchr(r->data + r->at, '\n', LEAD_RECORD_MAX))
		return xstrdup(TOO_LONG);
	if (n <= 1)
		return xstrdup(
			r->is_last ? "a record without its end, expected a \"}\"" : TOO_LONG);
	const char *end = memchr(bad, '\n', n);
	n = end ? (size_t)(end - bad) : n;
	char *shown = str_printable(bad, n, SHOWN);
	char *why = xasprintf("no JSON from \"%s\" on, expected an object with the lead's fields%s",
		shown, memchr(bad, '{', n) ? "; the rest of the line is not read" : "");
	free(shown);
	return why;
}

/* The value that begins at r->at. false: it is cut off where the file could not be read any further. */
static bool read_value(struct lead_reader *r, size_t column, char **ret_why)
{
	const char *start = r->data + r->at, *end = start;
	cJSON *v = cJSON_ParseWithLengthOpts(start, r->n - r->at, &end, false);

	if (!v && r->trouble)
		return false;
	if (!v) {
		*ret_why = not_json(r, end);
		resync(r, column);
		return true;
	}
	int64_t lines = lead_count_lines(start, (size_t)(end - start));
	r->json->has_lines |= lines > 0;
	*ret_why = take(r->json, v, start, (size_t)(end - start));
	r->at += (size_t)(end - start);
	r->line += lines;
	cJSON_Delete(v);
	return true;
}

/* To the next value. *RET_COLUMN: how far to the right it begins. false: there is none. */
static bool skip_to_value(struct lead_reader *r, size_t *ret_column)
{
	struct lead_json *j = r->json;

	for (*ret_column = 0;; r->at++) {
		if (r->at == r->n)
			lead_input_fill(r);
		if (r->at == r->n)
			return false;
		char c = r->data[r->at];
		if (c == '\n' || c == '\r') {
			r->line += c == '\n' || r->at + 1 == r->n || r->data[r->at + 1] != '\n';
			*ret_column = 0;
		} else if (c == ' ' || c == '\t') {
			++*ret_column;
		} else if (c == ']' && j->is_array && !j->is_closed) {
			j->is_closed = true;
		} else if (c != ',') {
			lead_input_fill(r); /* a record of any length that is allowed is there */
			return true;
		}
	}
}

/* Is the end of the file nothing to be told of? */
static bool ends_well(struct lead_json *j)
{
	bool ok = j->is_closed || !j->is_array || j->is_told || j->r->trouble;

	j->is_told = true;
	return ok;
}

const struct lead_record *lead_json_next(struct lead_reader *r)
{
	struct lead_json *j = r->json;
	char *why = NULL;
	size_t column;
	bool is_there = skip_to_value(r, &column);

	mem_arena_done(&j->arena);
	j->n = 0;
	j->left_out = NULL;
	str_reset(&j->name);
	r->record = (struct lead_record){ .line = r->line };
	if (is_there ? !read_value(r, column, &why) : ends_well(j))
		return NULL;
	if (!is_there)
		why = xstrdup(
			"the array has no end, expected a \"]\": was the file copied as a whole?");
	free(r->error);
	r->error = why;
	r->record.error = why;
	r->record.left_out = j->left_out;
	if (!why) {
		r->record.vars = j->vars;
		r->record.n_vars = j->n;
	}
	return &r->record;
}

void lead_json_begin(struct lead_reader *r)
{
	struct lead_json *j = r->json = xcalloc(1, sizeof *j);
	size_t column;

	j->r = r;
	skip_to_value(r, &column);
	j->is_array = r->data[r->at] == '[';
	j->has_lines = j->is_array;
	r->at += j->is_array;
}

void lead_json_free(struct lead_json *j)
{
	if (!j)
		return;
	mem_arena_done(&j->arena);
	str_done(&j->name);
	free(j->vars);
	free(j->why);
	free(j);
}
