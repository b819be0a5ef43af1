/*
 * CSV as RFC 4180 has it and as people's programs write it, with commas, semicolons, tabs or bars
 * between fields. One bad record is one error with its line; the records around it are read.
 * Runs on: any. Called by reader.c. The file may hold any bytes; a record is looked for in the window
 * that input.c keeps. Never judges a value: that is lead_address_canonical()'s, lead_get()'s.
 */
#include "lead_private.h"

#include <string.h>

#define FIELD_MAX   LEAD_FIELD_MAX
#define COLUMNS_MAX LEAD_COLUMNS_MAX

static const char too_long[] =
	"a record of more than 1 MB, expected at most 1 MB: is a closing quote "
	"missing?";

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

static void skip_blanks(const struct lead_reader *r, struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t') && *c->p != r->separator)
		c->p++;
}

static void skip_blank_lines(struct cursor *c)
{
	for (;;) {
		struct cursor ahead = *c;

		while (ahead.p < ahead.end && (*ahead.p == ' ' || *ahead.p == '\t'))
			ahead.p++;
		if (ahead.p < ahead.end && !is_line_end(*ahead.p))
			return;
		skip_line_end(&ahead);
		*c = ahead;
		if (c->p == c->end)
			return;
	}
}

static struct cursor cursor_at(const struct lead_reader *r)
{
	return (struct cursor){ r->data + r->at, r->data + r->n, r->line };
}

static void move_to(struct lead_reader *r, const struct cursor *c)
{
	r->at = (size_t)(c->p - r->data);
	r->line = c->line;
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
		c->line += lead_count_lines(c->p, n);
		str_add(&r->text, c->p, n);
		c->p = quote + 1;
		if (c->p == c->end || *c->p != '"')
			return NULL;
		str_addc(&r->text, '"');
		c->p++;
	}
}

#define BEHIND(what)                                                                               \
	"text behind a closing quote, expected " what                                              \
	" or the end of the line: inside of a quoted value a quote is written twice"

static const char *behind_quote(char separator)
{
	switch (separator) {
	case ',':
		return BEHIND("a comma");
	case ';':
		return BEHIND("a semicolon");
	case '\t':
		return BEHIND("a tab");
	default:
		return BEHIND("a separator");
	}
}

static const char *read_field(struct lead_reader *r, struct cursor *c)
{
	skip_blanks(r, c);
	if (c->p < c->end && *c->p == '"') {
		c->p++;
		const char *why = read_quoted(r, c);
		if (why)
			return why;
		skip_blanks(r, c);
		if (c->p < c->end && *c->p != r->separator && !is_line_end(*c->p))
			return behind_quote(r->separator);
		return NULL;
	}
	const char *start = c->p;

	while (c->p < c->end && *c->p != r->separator && !is_line_end(*c->p))
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
		if ((size_t)(c->p - (r->data + r->at)) > LEAD_RECORD_MAX)
			return too_long;
		if (c->p == c->end || *c->p != r->separator)
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

/* The next record's fields into r->text. *RET_WHY: NULL, or why they cannot be used (owned by the
 * caller); then reading goes on with the next line. false: it is cut off where the file could not be read
 * any further. */
static bool read_record(struct lead_reader *r, char **ret_why)
{
	struct cursor c = cursor_at(r);
	const char *why = read_fields(r, &c);
	size_t i = r->n_fields;

	if (r->trouble && (why || c.p == c.end))
		return false;
	if (!why && c.p == c.end && !r->is_last)
		why = too_long;
	if (why) {
		lead_input_skip_line(r);
	} else {
		if (memchr(r->data + r->at, '\0', (size_t)(c.p - (r->data + r->at)))) {
			i = find_nul(r);
			why = "a NUL byte, expected text: take it out, or save the file as CSV in "
			      "UTF-8";
		}
		skip_line_end(&c);
		move_to(r, &c);
	}
	if (!why)
		return true;
	char *name = spoken_of(r, i);
	*ret_why = why == too_long ? xstrdup(why) : xasprintf("%s: %s", name, why);
	free(name);
	return true;
}

static bool skip_to_record(struct lead_reader *r)
{
	do {
		lead_input_fill(r);
		struct cursor c = cursor_at(r);
		skip_blank_lines(&c);
		move_to(r, &c);
	} while (r->at == r->n && !r->is_last);
	lead_input_fill(r); /* a record of any length that is allowed is in memory now */
	return r->at < r->n;
}

/* Makes UTF-8 of the fields in hand. false: field *RET_BAD cannot be. */
static bool make_fit(struct lead_reader *r, size_t *ret_bad)
{
	size_t kept = r->n_fields < COLUMNS_MAX ? r->n_fields : COLUMNS_MAX, i, n;
	struct str out = STR_INIT;

	for (i = 0; i < kept; i++) {
		const char *value = field(r, i, &n);

		if (!lead_text_is_fit(r, value, n))
			break;
	}
	if (i == kept)
		return true;
	for (i = 0; i < kept; i++) {
		const char *value = field(r, i, &n);
		size_t start = out.len;

		if (str_is_utf8(value, n))
			str_add(&out, value, n);
		else if (!lead_text_recode(r, value, n, &out))
			break;
		str_addc(&out, '\0');
		r->starts[i] = start; /* field() of the next one still needs its own end */
		if (i + 1 < kept)
			continue;
		r->starts[kept] = out.len;
		str_done(&r->text);
		r->text = out;
		return true;
	}
	str_done(&out);
	*ret_bad = i;
	return false;
}

/* ---- the header ------------------------------------------------------------------------------- */

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
	size_t bad, n;
	if (!make_fit(r, &bad))
		return xasprintf("field %zu: not UTF-8 text, expected a file saved as CSV in UTF-8",
			bad + 1);
	for (size_t i = 0; i < r->n_fields; i++) {
		char *why = why_no_name(r, i);

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
		r->headings[r->n_columns] = xstrdup(field(r, i, &n));
		r->columns[r->n_columns++] = name;
	}
	return NULL;
}

/* Separators in the record at C, outside of quotes. */
static size_t count_separators(struct cursor c, char separator)
{
	bool is_quoted = false;
	size_t n = 0;

	for (; c.p < c.end && (is_quoted || !is_line_end(*c.p)); c.p++) {
		if (*c.p == '"')
			is_quoted = !is_quoted;
		else if (!is_quoted && *c.p == separator)
			n++;
	}
	return n;
}

/* What stands most often between the names of columns; the comma where that decides nothing. */
static char find_separator(const struct lead_reader *r)
{
	static const char known[] = ",;\t|";
	char best = ',';
	size_t n_best = 0;

	for (const char *p = known; *p; p++) {
		size_t n = count_separators(cursor_at(r), *p);

		if (n > n_best) {
			n_best = n;
			best = *p;
		}
	}
	return best;
}

/* A first line "sep=;" is a word of Excel's to itself. */
static bool take_separator(struct lead_reader *r)
{
	struct cursor c = cursor_at(r);

	if (c.end - c.p < 6 || strncasecmp(c.p, "sep=", 4) != 0 || !is_line_end(c.p[5]))
		return false;
	r->separator = c.p[4];
	c.p += 5;
	skip_line_end(&c);
	move_to(r, &c);
	return true;
}

char *lead_csv_begin(struct lead_reader *r)
{
	char *why = NULL;

	skip_to_record(r);
	bool is_said = take_separator(r);
	if (!skip_to_record(r))
		return xstrdup("an empty file, expected a first line that names the columns, such "
			       "as email,first_name");
	if (!is_said)
		r->separator = find_separator(r);
	r->header_line = r->record.line = r->line;
	if (!read_record(r, &why))
		why = xstrdup(r->trouble);
	return why ? why : name_columns(r);
}

/* ---- records ---------------------------------------------------------------------------------- */

/* What is wrong with the fields in hand: NULL, or an error owned by the caller. */
static char *check_fields(struct lead_reader *r)
{
	const char *separator = r->separator == ','    ? "comma"
				: r->separator == ';'  ? "semicolon"
				: r->separator == '\t' ? "tab"
						       : "separator";
	size_t bad;

	if (r->n_fields < r->n_columns)
		return xasprintf(
			"%zu field%s, expected %zu as in the first line: those from %.100s "
			"on are missing, and an empty one needs its %s, too",
			r->n_fields, str_plural((int64_t)r->n_fields), r->n_columns,
			r->columns[r->n_fields], separator);
	if (r->n_fields > r->n_columns)
		return xasprintf("%zu fields, expected %zu as in the first line, the last being "
				 "%.100s: a value with a %s in it is put in double quotes",
			r->n_fields, r->n_columns, r->columns[r->n_columns - 1], separator);
	return make_fit(r, &bad) ? NULL : lead_text_unfit(r, r->columns[bad]);
}

/* What spreadsheets write of rows in which nothing stands. */
static bool is_blank(const struct lead_reader *r)
{
	return r->n_columns > 1 && r->n_fields == r->n_columns &&
	       r->starts[r->n_fields] == r->n_fields;
}

/* The text that the record in hand, which began so far into the file, was taken from. */
static void keep_raw(struct lead_reader *r, size_t began)
{
	size_t dropped = lead_input_dropped(r);

	if (began < dropped)
		return; /* it was longer than any record */
	r->record.raw = r->data + (began - dropped);
	r->record.n_raw = r->at - (began - dropped);
}

const struct lead_record *lead_csv_next(struct lead_reader *r)
{
	char *why;

	do {
		if (!skip_to_record(r))
			return NULL;
		size_t began = lead_reader_offset(r);
		r->record = (struct lead_record){ .line = r->line };
		why = NULL;
		if (!read_record(r, &why))
			return NULL;
		keep_raw(r, began);
	} while (!why && is_blank(r));
	free(r->error);
	r->error = why ? why : check_fields(r);
	r->record.error = r->error;
	if (r->error)
		return &r->record;
	for (size_t i = 0; i < r->n_columns; i++)
		r->vars[i] = (struct lead_var){ r->columns[i], r->text.p + r->starts[i] };
	r->record.vars = r->vars;
	r->record.n_vars = r->n_columns;
	return &r->record;
}
