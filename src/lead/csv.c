/*
 * The reader of leads files: CSV as RFC 4180 has it and as people's programs write it. One bad
 * record is one error with its line; the records around it are read.
 * Runs on: any. Called by the import, a slice at a time. The file may hold any bytes; memory and
 * time stay in proportion to it. Never judges a value: that is lead_address_canonical()'s, lead_get()'s.
 */
#include "coldmail/lead.h"

#include <stdlib.h>
#include <string.h>

#include "coldmail/err.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#define FIELD_MAX   ((size_t)64 * 1024)
#define COLUMNS_MAX 500

struct lead_reader {
	const char *data; /* borrowed: from the caller, until lead_reader_free() */
	size_t n, at;
	int64_t line; /* the line that starts at `at` */
	int64_t header_line;

	char *columns[COLUMNS_MAX]; /* owned */
	size_t n_columns;

	struct str text; /* the fields of the record in hand, each with a NUL */
	size_t starts[COLUMNS_MAX + 1]; /* where they begin there; one more than there are */
	size_t n_fields; /* may be more than are kept */

	struct lead_record record; /* what the caller sees */
	struct lead_var vars[COLUMNS_MAX];
	char *error; /* owned; what record.error points to */
};

/* Where a scan stands inside the data. */
struct cursor {
	const char *p, *end;
	int64_t line;
};

static bool is_line_end(char c)
{
	return c == '\n' || c == '\r';
}

/* LF, CRLF, or a CR alone (old spreadsheets). */
static void skip_line_end(struct cursor *c)
{
	if (c->p == c->end)
		return;
	if (*c->p == '\r' && c->p + 1 < c->end && c->p[1] == '\n')
		c->p++;
	c->p++;
	c->line++;
}

static void skip_blanks(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t'))
		c->p++;
}

static void skip_blank_lines(struct cursor *c)
{
	for (;;) {
		struct cursor ahead = *c;

		skip_blanks(&ahead);
		if (ahead.p < ahead.end && !is_line_end(*ahead.p))
			return;
		skip_line_end(&ahead);
		*c = ahead;
		if (c->p == c->end)
			return;
	}
}

static void skip_line(struct cursor *c)
{
	while (c->p < c->end && !is_line_end(*c->p))
		c->p++;
	skip_line_end(c);
}

static int64_t count_lines(const char *p, size_t n)
{
	int64_t lines = 0;

	for (size_t i = 0; i < n; i++)
		lines += p[i] == '\n' || (p[i] == '\r' && (i + 1 == n || p[i + 1] != '\n'));
	return lines;
}

/* What stands between quotes, from behind the first to behind the last. */
static const char *read_quoted(struct lead_reader *r, struct cursor *c)
{
	size_t start = r->text.len;

	for (;;) {
		size_t left = (size_t)(c->end - c->p);
		size_t window = FIELD_MAX + 1 - (r->text.len - start);
		const char *quote = memchr(c->p, '"', left < window ? left : window);

		if (!quote)
			return left < window
				       ? "a quote that is opened and never closed, expected "
					 "another one at the end of the value"
				       : "a quoted value of more than 64 KB, expected at most "
					 "64 KB: is its closing quote missing?";
		size_t n = (size_t)(quote - c->p);
		c->line += count_lines(c->p, n);
		str_add(&r->text, c->p, n);
		c->p = quote + 1;
		if (c->p == c->end || *c->p != '"')
			return NULL;
		str_addc(&r->text, '"');
		c->p++;
	}
}

static const char *read_field(struct lead_reader *r, struct cursor *c)
{
	skip_blanks(c);
	if (c->p < c->end && *c->p == '"') {
		c->p++;
		const char *why = read_quoted(r, c);
		if (why)
			return why;
		skip_blanks(c);
		if (c->p < c->end && *c->p != ',' && !is_line_end(*c->p))
			return "text behind a closing quote, expected a comma or the end of the "
			       "line: inside of a quoted value a quote is written twice";
		return NULL;
	}
	const char *start = c->p;

	while (c->p < c->end && *c->p != ',' && !is_line_end(*c->p))
		c->p++;
	if ((size_t)(c->p - start) > FIELD_MAX)
		return "a value of more than 64 KB, expected at most 64 KB: shorten it, or take it "
		       "out";
	str_add(&r->text, start, (size_t)(c->p - start));
	return NULL;
}

static bool is_white(char c)
{
	return c == ' ' || c == '\t' || is_line_end(c);
}

/* Ends the field that begins at START in r->text: white space around it goes, a NUL comes. */
static void end_field(struct lead_reader *r, size_t start)
{
	char *text = r->text.p;
	size_t from = start, end = r->text.len;

	while (end > from && is_white(text[end - 1]))
		end--;
	while (from < end && is_white(text[from]))
		from++;
	memmove(text + start, text + from, end - from);
	r->text.len = start + (end - from);
	if (r->n_fields++ < COLUMNS_MAX) {
		str_addc(&r->text, '\0');
		r->starts[r->n_fields] = r->text.len;
	} else {
		r->text.len = start;
	}
}

static const char *read_fields(struct lead_reader *r, struct cursor *c)
{
	str_reset(&r->text);
	str_reserve(&r->text, 1);
	r->n_fields = 0;
	r->starts[0] = 0;
	for (;;) {
		size_t start = r->text.len;
		const char *why = read_field(r, c);

		if (why)
			return why;
		end_field(r, start);
		if (c->p == c->end || *c->p != ',')
			return NULL;
		c->p++;
	}
}

static const char *field(const struct lead_reader *r, size_t i, size_t *ret_n)
{
	*ret_n = r->starts[i + 1] - r->starts[i] - 1;
	return r->text.p + r->starts[i];
}

/* For messages: field I, by its column's name where it has one; the caller owns it. */
static char *spoken_of(const struct lead_reader *r, size_t i)
{
	return i < r->n_columns ? xasprintf("field %.100s", r->columns[i])
				: xasprintf("field %zu", i + 1);
}

/* The field in hand with a NUL in it; the last one, if it is not kept. */
static size_t find_nul(const struct lead_reader *r)
{
	size_t n, kept = r->n_fields < COLUMNS_MAX ? r->n_fields : COLUMNS_MAX;

	for (size_t i = 0; i < kept; i++) {
		const char *text = field(r, i, &n);

		if (memchr(text, '\0', n))
			return i;
	}
	return r->n_fields - 1;
}

/* The next record's fields into r->text. NULL, or why they cannot be used (owned by the caller); then
 * reading goes on with the next line. */
static char *read_record(struct lead_reader *r)
{
	struct cursor c = { r->data + r->at, r->data + r->n, r->line };
	struct cursor retry = c;
	const char *why = read_fields(r, &c);
	size_t i = r->n_fields;

	if (why) {
		c = retry;
		skip_line(&c);
	} else {
		if (memchr(retry.p, '\0', (size_t)(c.p - retry.p))) {
			i = find_nul(r);
			why = "a NUL byte, expected text: take it out, or save the file as CSV in "
			      "UTF-8";
		}
		skip_line_end(&c);
	}
	r->at = (size_t)(c.p - r->data);
	r->line = c.line;
	if (!why)
		return NULL;
	char *name = spoken_of(r, i), *ret = xasprintf("%s: %s", name, why);
	free(name);
	return ret;
}

static bool skip_to_record(struct lead_reader *r)
{
	struct cursor c = { r->data + r->at, r->data + r->n, r->line };

	skip_blank_lines(&c);
	r->at = (size_t)(c.p - r->data);
	r->line = c.line;
	return r->at < r->n;
}

/* ---- the header ------------------------------------------------------------------------------- */

char *lead_column_name(const char *s)
{
	struct str name = STR_INIT;
	bool is_gap = false;

	for (; *s; s++) {
		bool is_word = (unsigned char)*s >= 0x80 || *s == '_' || (*s >= '0' && *s <= '9') ||
			       (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z');

		if (is_word && is_gap && name.len)
			str_addc(&name, '_');
		if (is_word)
			str_addc(&name, *s);
		is_gap = !is_word;
	}
	if (!name.len)
		return NULL;
	str_lower(name.p);
	return str_take(&name);
}

/* A column without a name can be spoken of all the same. */
static char *column_name(const char *heading, size_t i)
{
	char *name = lead_column_name(heading);

	return name ? name : xasprintf("column_%zu", i + 1);
}

static bool has_column(const struct lead_reader *r, const char *name)
{
	for (size_t i = 0; i < r->n_columns; i++)
		if (str_eq(r->columns[i], name))
			return true;
	return false;
}

/* What is wrong with a field that should name a column: NULL, or a reason owned by the caller. */
static char *why_no_name(const struct lead_reader *r, size_t i)
{
	size_t n;
	const char *raw = field(r, i, &n), *why;
	char *address = NULL;

	if (!str_is_utf8(raw, n))
		return xasprintf(
			"field %zu: not UTF-8 text, expected a file saved as CSV in UTF-8", i + 1);
	if (r->n_fields == 1 && strpbrk(raw, ";\t"))
		return xasprintf("columns separated by %s, expected commas: save the file as CSV "
				 "with commas",
			strchr(raw, ';') ? "';'" : "tabs");
	if (lead_address_canonical(raw, &address, &why))
		return NULL;
	free(address);
	return xasprintf("field %zu: an address, expected a first line that names the columns: "
			 "put one there, such as email,first_name",
		i + 1);
}

/* Names the columns from the record in hand; NULL, or what is wrong (owned by the caller). */
static char *name_columns(struct lead_reader *r)
{
	if (r->n_fields > COLUMNS_MAX)
		return xasprintf("%zu columns, expected at most %d: leave some out", r->n_fields,
			COLUMNS_MAX);
	for (size_t i = 0; i < r->n_fields; i++) {
		char *why = why_no_name(r, i);
		size_t n;

		if (why)
			return why;
		char *name = column_name(field(r, i, &n), i);
		if (has_column(r, name))
			why = xasprintf(
				"two columns named %.100s, expected each name once: rename one, or "
				"leave it out",
				name);
		if (why) {
			free(name);
			return why;
		}
		r->columns[r->n_columns++] = name;
	}
	return NULL;
}

static char *read_header(struct lead_reader *r)
{
	if (r->n >= 2 && (!memcmp(r->data, "\xFF\xFE", 2) || !memcmp(r->data, "\xFE\xFF", 2)))
		return xstrdup("UTF-16 text, expected a file saved as CSV in UTF-8");
	if (r->n >= 3 && !memcmp(r->data, "\xEF\xBB\xBF", 3))
		r->at = 3;
	if (!skip_to_record(r))
		return xstrdup("an empty file, expected a first line that names the columns, such "
			       "as email,first_name");
	r->header_line = r->line;
	char *why = read_record(r);
	return why ? why : name_columns(r);
}

int lead_reader_new(const char *data, size_t n, struct lead_reader **ret, char **ret_why)
{
	struct lead_reader *r = xcalloc(1, sizeof *r);

	r->data = data;
	r->n = n;
	r->line = r->header_line = 1;
	char *why = read_header(r);

	if (why) {
		*ret_why = xasprintf("%lld: %s", (long long)r->header_line, why);
		free(why);
		lead_reader_free(r);
		return CM_EINVAL;
	}
	*ret = r;
	return 0;
}

/* ---- records ---------------------------------------------------------------------------------- */

/* What is wrong with the fields in hand: NULL, or an error owned by the caller. */
static char *check_fields(const struct lead_reader *r)
{
	if (r->n_fields < r->n_columns)
		return xasprintf(
			"%zu field%s, expected %zu as in the first line: those from %.100s "
			"on are missing, and an empty one needs its comma, too",
			r->n_fields, str_plural((int64_t)r->n_fields), r->n_columns,
			r->columns[r->n_fields]);
	if (r->n_fields > r->n_columns)
		return xasprintf("%zu fields, expected %zu as in the first line, the last being "
				 "%.100s: a value with a comma in it is put in double quotes",
			r->n_fields, r->n_columns, r->columns[r->n_columns - 1]);
	for (size_t i = 0; i < r->n_fields; i++) {
		size_t n;
		const char *value = field(r, i, &n);

		if (!str_is_utf8(value, n))
			return xasprintf("field %.100s: not UTF-8 text, expected a file saved as "
					 "CSV in UTF-8",
				r->columns[i]);
	}
	return NULL;
}

const struct lead_record *lead_reader_next(struct lead_reader *r)
{
	if (!skip_to_record(r))
		return NULL;
	free(r->error);
	r->record = (struct lead_record){ .line = r->line };
	r->error = read_record(r);
	if (!r->error)
		r->error = check_fields(r);
	r->record.error = r->error;
	if (r->error)
		return &r->record;
	for (size_t i = 0; i < r->n_columns; i++)
		r->vars[i] = (struct lead_var){ r->columns[i], r->text.p + r->starts[i] };
	r->record.vars = r->vars;
	r->record.n_vars = r->n_columns;
	return &r->record;
}

size_t lead_reader_offset(const struct lead_reader *r)
{
	return r->at;
}

int64_t lead_reader_header_line(const struct lead_reader *r)
{
	return r->header_line;
}

const char *const *lead_reader_columns(const struct lead_reader *r, size_t *ret_n)
{
	*ret_n = r->n_columns;
	return (const char *const *)r->columns;
}

void lead_reader_free(struct lead_reader *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_columns; i++)
		free(r->columns[i]);
	str_done(&r->text);
	free(r->error);
	free(r);
}
