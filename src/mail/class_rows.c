/*
 * The table that replies are judged by: its text becomes rows, and one tree of all the phrases in
 * them. The built-in one and a user's file have the same language (coldmail.conf(5)).
 * Runs on: loop. Called by classify.c.
 * A problem in a row is told with file, line, and what was expected, and costs that row only.
 */
#include "class_private.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "coldmail/str.h"

#define FIELDS 6
/* Indices are 16 bits wide. */
#define TERMS_MAX    4000
#define NODES_MAX    60000
#define ROWS_MAX     2000
#define ELEMENTS_MAX 20000

struct reading {
	struct mail_classes *t;
	unsigned table;
	const char *name;
	int line;
	struct str *problems;
	bool is_bad; /* the line has a problem */
};

__attribute__((format(printf, 2, 3))) static void refuse(struct reading *r, const char *fmt, ...)
{
	va_list ap;

	if (r->is_bad)
		return; /* one remedy a time */
	r->is_bad = true;
	str_addf(r->problems, "%s:%d: ", r->name, r->line);
	va_start(ap, fmt);
	str_vaddf(r->problems, fmt, ap);
	va_end(ap);
	str_addc(r->problems, '\n');
}

/* The next part of *P up to SEP, trimmed; NULL: there is none. */
static char *next_part(char **p, char sep)
{
	char *part = *p, *end = part ? strchr(part, sep) : NULL;

	if (!part)
		return NULL;
	if (end)
		*end = '\0';
	*p = end ? end + 1 : NULL;
	return str_trim(part);
}

/* ---- the tree of phrases --------------------------------------------------------------------- */

static size_t child_of(struct mail_classes *t, size_t node, unsigned char byte)
{
	size_t i = t->nodes[node].child;

	while (i && t->nodes[i].byte != byte)
		i = t->nodes[i].sibling;
	if (i)
		return i;
	mem_grow(t->nodes, t->cap_nodes, t->n_nodes + 1);
	t->nodes[t->n_nodes] =
		(struct mail_class_node){ .byte = byte, .sibling = t->nodes[node].child };
	t->nodes[node].child = (uint16_t)t->n_nodes;
	if (node == 0)
		t->starts[byte] = (uint16_t)t->n_nodes;
	return t->n_nodes++;
}

/* TEXT, as mail_words_read() would have it, says TERM. */
static void say(struct reading *r, size_t term, const char *text, bool is_prefix)
{
	struct mail_classes *t = r->t;
	size_t node = 0;

	if (t->n_nodes + strlen(text) > NODES_MAX) {
		refuse(r, "too many phrases, expected at most %d letters in all", NODES_MAX);
		return;
	}
	for (; *text; text++)
		node = child_of(t, node, (unsigned char)*text);
	mem_grow(t->said, t->cap_said, t->n_said + 1);
	t->said[t->n_said] = (struct mail_class_said){
		.term = (uint16_t)term, .is_prefix = is_prefix, .next = t->nodes[node].terms
	};
	t->nodes[node].terms = (uint32_t)t->n_said++;
}

/* A phrase of the table: words as in a reply, but for the marks that a reply cannot write. */
static void add_phrase(struct reading *r, size_t term, char *phrase)
{
	struct mail_words words;
	size_t n = strlen(phrase);
	bool is_prefix = n > 1 && phrase[n - 1] == '*';

	if (is_prefix)
		phrase[n - 1] = '\0';
	if (*phrase && strchr("/@#", *phrase)) {
		say(r, term, phrase, is_prefix);
		return;
	}
	mail_words_read(phrase, &words);
	if (words.n && !words.sentence[words.n - 1])
		say(r, term, words.text, is_prefix);
	else
		refuse(r, "'%s': expected words", phrase);
}

static size_t term_find(const struct mail_classes *t, const char *name)
{
	size_t i = t->n_terms;

	while (i && !str_eq(t->terms[i - 1].name, name))
		i--;
	return i; /* one more than its index */
}

static size_t term_new(struct mail_classes *t, const char *name)
{
	mem_grow(t->terms, t->cap_terms, t->n_terms + 1);
	t->terms[t->n_terms] = (struct mail_class_term){ .name = mem_arena_dup(&t->arena, name) };
	return t->n_terms++;
}

/* "=NAME<tab>phrase|phrase|…" */
static void read_vocabulary(struct reading *r, char *line)
{
	char *name = next_part(&line, '\t'), *phrase;

	if (!*name || !line) {
		refuse(r, "expected =NAME, a tab, and phrases with '|' between");
		return;
	}
	size_t found = term_find(r->t, name);
	size_t term = found ? found - 1 : term_new(r->t, name);
	while ((phrase = next_part(&line, '|')))
		add_phrase(r, term, phrase);
}

/* ---- what a reply has to say ----------------------------------------------------------------- */

static void add_element(struct reading *r, size_t term, bool has_gap, bool is_first)
{
	struct mail_classes *t = r->t;

	if (t->n_elements >= ELEMENTS_MAX || t->n_terms >= TERMS_MAX) {
		refuse(r, "too many rows");
		return;
	}
	mem_grow(t->elements, t->cap_elements, t->n_elements + 1);
	t->elements[t->n_elements++] = (struct mail_class_element){
		.term = (uint16_t)term,
		.row = (uint16_t)t->n_rows,
		.has_gap = has_gap,
		.is_first = is_first,
		.next = is_first ? t->terms[term].begins : 0,
	};
	if (is_first)
		t->terms[term].begins = (uint32_t)(t->n_elements - 1);
}

/* The term of the element at *P, which is moved behind it: {NAME}, or words of its own. */
static size_t read_term(struct reading *r, char **p)
{
	char *start = *p;
	bool is_named = *start == '{';
	size_t n = is_named ? strcspn(start, "}") : strcspn(start, "{~");
	bool has_end = start[n];
	char *text = mem_arena_ndup(&r->t->arena, start + is_named, n - is_named);

	/* A prefix ends its phrase. */
	char *star = is_named ? NULL : strchr(text, '*');
	if (star && star[1] == ' ') {
		n = (size_t)(star - text) + 1;
		text[n] = '\0';
	}
	*p = start + n + (is_named && has_end);
	if (!is_named) {
		size_t term = term_new(r->t, NULL);

		add_phrase(r, term, str_trim(text));
		return term;
	}
	size_t found = term_find(r->t, text);
	if (!found || !has_end)
		refuse(r, "{%s}: expected a name that a line =NAME above gives", text);
	return found ? found - 1 : 0;
}

/* "{recipient} ~ does not exist": terms that follow each other, or with a few words between. */
static void read_sequence(struct reading *r, char *p)
{
	bool is_first = true, has_gap = false;

	while (*(p += strspn(p, " ")) && !r->is_bad) {
		if (*p == '~') {
			has_gap = true;
			p++;
			continue;
		}
		size_t term = read_term(r, &p);

		if (!r->is_bad)
			add_element(r, term, has_gap, is_first);
		is_first = has_gap = false;
	}
	if (is_first || has_gap)
		refuse(r, "expected words on both sides of '~' and '|'");
	if (!r->is_bad)
		r->t->elements[r->t->n_elements - 1].is_last = true;
}

static void free_pattern(regex_t *re)
{
	if (re)
		regfree(re);
	free(re);
}

static void read_ere(struct reading *r, struct mail_class_row *row, const char *text)
{
	char why[128];
	int err;

	row->pattern = xcalloc(1, sizeof *row->pattern);
	err = regcomp(row->pattern, text, REG_EXTENDED | REG_ICASE | REG_NOSUB);
	if (!err)
		return;
	regerror(err, row->pattern, why, sizeof why);
	refuse(r, "text '%s': %s, expected words or a POSIX extended regular expression", text,
		why);
	free(row->pattern);
	row->pattern = NULL;
}

static void read_text(struct reading *r, struct mail_class_row *row, char *text)
{
	char *part;

	if (str_eq(text, ".")) {
		row->is_any_text = true;
	} else if (strpbrk(text, ".[]()^$?+\\")) {
		read_ere(r, row, text);
	} else {
		while ((part = next_part(&text, '|')) && !r->is_bad)
			read_sequence(r, part);
	}
}

/* ---- the other fields ------------------------------------------------------------------------ */

static int stage_find(const char *name)
{
	static const enum mail_stage stages[] = {
#define X(id, text) MAIL_STAGE_##id,
		MAIL_STAGES(X)
#undef X
	};

	for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
		if (str_eq(mail_stage_name(stages[i]), name))
			return (int)stages[i];
	return -1;
}

static void read_where(struct reading *r, struct mail_class_row *row, char *text)
{
	char *part;

	while ((part = next_part(&text, ','))) {
		int stage = stage_find(part);

		if (str_eq(part, "any"))
			row->where = ~0U;
		else if (str_eq(part, "sub"))
			row->where |= ~MAIL_CLASS_DSN;
		else if (str_eq(part, "dsn"))
			row->where |= MAIL_CLASS_DSN;
		else if (stage >= 0)
			row->where |= 1U << stage;
		else
			refuse(r,
				"where '%s': expected any, sub, dsn, or stages of connect greet "
				"ehlo auth idle mail rcpt data body dot rset quit",
				part);
	}
}

/* "550", "5..", or an enhanced code, in which x is any digit: "x.2.2", "5.7.7xx". */
static bool is_code(const char *p)
{
	size_t n = strlen(p), dots = 0;

	if (n != strspn(p, "0123456789.x"))
		return false;
	if (n == 3)
		return *p != '.' && *p != 'x' && !strchr(p, 'x');
	for (size_t i = 0; i < n; i++)
		dots += p[i] == '.';
	return n >= 5 && n < 12 && dots == 2 && p[1] == '.';
}

static void read_codes(struct reading *r, struct mail_class_row *row, char *text)
{
	char *copy = mem_arena_dup(&r->t->arena, text), *part;

	row->codes = mem_arena_dup(&r->t->arena, text);
	while ((part = next_part(&copy, '|'))) {
		row->digits |= isdigit((unsigned char)*part) ? 1U << (*part - '0') : ~0U;
		if (!str_eq(part, "...") && !is_code(part))
			refuse(r,
				"code '%s': expected codes such as 550, 5.. or 5.1.1 with '|' "
				"between, or ... for any",
				part);
	}
}

static void read_class(struct reading *r, struct mail_class_row *row, const char *text)
{
	struct str names = STR_INIT;

	for (int c = MAIL_CLASS_RECIPIENT_PERMANENT; c <= MAIL_CLASS_UNKNOWN; c++) {
		if (str_eq(mail_class_name((enum mail_class)c), text)) {
			row->class = (enum mail_class)c;
			str_done(&names);
			return;
		}
		str_addf(&names, " %s", mail_class_name((enum mail_class)c));
	}
	refuse(r, "class '%s': expected one of%s", text, str_z(&names));
	str_done(&names);
}

static void read_row(struct reading *r, char *line)
{
	struct mail_class_row row = { 0 };
	char *fields[FIELDS], *part;
	int64_t priority = -1;
	size_t n = 0;

	while ((part = next_part(&line, '\t')))
		if (n++ < FIELDS)
			fields[n - 1] = part;
	if (n != FIELDS) {
		refuse(r,
			"%zu fields, expected 6 with tabs between: priority, where, code, text, "
			"class, reason",
			n);
		return;
	}
	if (!str_to_i64(fields[0], &priority) || priority < 0 || priority > 9999)
		refuse(r, "priority '%s': expected a number from 0 to 9999", fields[0]);
	if (r->t->n_rows >= ROWS_MAX)
		refuse(r, "expected at most %d rows", ROWS_MAX);
	row.rank = (uint64_t)r->table << 48 | (uint64_t)priority << 32 | (uint64_t)r->line;
	row.reason = mem_arena_dup(&r->t->arena, fields[5]);
	read_where(r, &row, fields[1]);
	read_codes(r, &row, fields[2]);
	read_class(r, &row, fields[4]);
	read_text(r, &row, fields[3]);
	if (r->is_bad) {
		free_pattern(row.pattern);
		return;
	}
	mem_grow(r->t->rows, r->t->cap_rows, r->t->n_rows + 1);
	r->t->rows[r->t->n_rows++] = row;
}

void mail_classes_read(struct mail_classes *t, unsigned table, const char *name, const char *text,
	struct str *ret_problems)
{
	struct reading r = { .t = t, .table = table, .name = name, .problems = ret_problems };
	char *copy = xstrdup(text), *rest = copy, *line;

	while ((line = next_part(&rest, '\n'))) {
		r.line++;
		r.is_bad = false;
		if (*line == '=')
			read_vocabulary(&r, line + 1);
		else if (*line && *line != '#')
			read_row(&r, line);
	}
	free(copy);
}
