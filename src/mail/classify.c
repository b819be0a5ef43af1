/*
 * Classification (coldmail/mail.h): what a reply says about whom. A text is read as words once; the
 * rows whose words it has are found in one pass, and the first of them by rank whose stage and code
 * fit decides.
 * Runs on: loop. Called by flow/trouble.c.
 * Never: acts on what it finds; the same reply has the same class always.
 */
#include "class_private.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "coldmail/err.h"
#include "coldmail/str.h"

/* config/reply_classes.tsv */
static const char built_in[] =
#include "reply_classes.inc"
	;
enum { TABLE_USER, TABLE_BUILT_IN };

const char *mail_class_name(enum mail_class c)
{
	static const char *const names[] = {
#define X(name, text) [MAIL_CLASS_##name] = (text),
		MAIL_CLASSES(X)
#undef X
	};

	return names[c];
}

/* ---- the table ------------------------------------------------------------------------------- */

static int by_rank(const void *a, const void *b, void *rows)
{
	uint64_t x = ((const struct mail_class_row *)rows)[*(const uint16_t *)a].rank;
	uint64_t y = ((const struct mail_class_row *)rows)[*(const uint16_t *)b].rank;

	return (x > y) - (x < y);
}

static void finish(struct mail_classes *t)
{
	t->order = xcalloc(t->n_rows, sizeof *t->order);
	for (size_t i = 0; i < t->n_rows; i++)
		t->order[i] = (uint16_t)i;
	qsort_r(t->order, t->n_rows, sizeof *t->order, by_rank, t->rows);
	t->hearing = mail_classes_listen(t);
}

int mail_classes_new(
	const char *name, const char *text, struct mail_classes **ret, struct str *ret_problems)
{
	struct mail_classes *t = xcalloc(1, sizeof *t);
	size_t before = ret_problems->len;

	mem_grow(t->nodes, t->cap_nodes, 1);
	mem_grow(t->said, t->cap_said, 1);
	mem_grow(t->elements, t->cap_elements, 1);
	t->nodes[0] = (struct mail_class_node){ 0 };
	t->n_nodes = t->n_said = t->n_elements = 1;
	/* A user's rows use our vocabulary, so that it is read first. */
	mail_classes_read(t, TABLE_BUILT_IN, "reply_classes.tsv", built_in, ret_problems);
	bug_if(ret_problems->len > before, "%s", str_z(ret_problems));
	if (text)
		mail_classes_read(t, TABLE_USER, name, text, ret_problems);
	if (ret_problems->len > before) {
		mail_classes_free(t);
		return CM_EINVAL;
	}
	finish(t);
	*ret = t;
	return CM_OK;
}

void mail_classes_free(struct mail_classes *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_rows; i++)
		if (t->rows[i].pattern) {
			regfree(t->rows[i].pattern);
			free(t->rows[i].pattern);
		}
	free(t->rows);
	free(t->order);
	free(t->nodes);
	free(t->said);
	free(t->terms);
	free(t->elements);
	mail_class_hearing_free(t->hearing);
	mem_arena_done(&t->arena);
	free(t);
}

/* ---- which row decides ----------------------------------------------------------------------- */

struct reply {
	int code;
	char digits[12]; /* of the code */
	char enhanced[12];
	const char *text;
};

static size_t digits(const char *p)
{
	size_t n = 0;

	while (n < 3 && isdigit((unsigned char)p[n]))
		n++;
	return n;
}

/* Some write the enhanced code elsewhere than in front: "(#5.1.1)", "#5.1.0". */
static void find_enhanced(struct reply *r)
{
	for (const char *p = r->text; (p = strpbrk(p, "#(["));) {
		size_t subject, detail;

		p++;
		if (p[0] != '0' + r->code / 100 || p[1] != '.' || !(subject = digits(p + 2)) ||
			p[2 + subject] != '.' || !(detail = digits(p + 3 + subject)))
			continue;
		snprintf(r->enhanced, sizeof r->enhanced, "%.*s", (int)(3 + subject + detail), p);
		return;
	}
}

/* The code CODE, or an enhanced one: N bytes at P of a row. */
static bool is_code(const struct reply *r, const char *p, size_t n)
{
	const char *is = n == 3 ? r->digits : r->enhanced;
	char any = n == 3 ? '.' : 'x';

	if (strlen(is) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (p[i] != is[i] && (p[i] != any || !isdigit((unsigned char)is[i])))
			return false;
	return true;
}

static bool has_code(const struct mail_class_row *row, const struct reply *r)
{
	for (const char *p = row->codes; *p;) {
		size_t n = strcspn(p, "|");

		if (is_code(r, p, n))
			return true;
		p += n + (p[n] == '|');
	}
	return false;
}

static bool has_pattern(const struct mail_class_row *row, const struct reply *r)
{
	char line[600];

	snprintf(line, sizeof line, "%d %s%s%s", r->code, r->enhanced, *r->enhanced ? " " : "",
		r->text);
	return !regexec(row->pattern, line, 0, NULL, 0);
}

struct mail_ruling mail_classify(struct mail_classes *t, enum mail_where where,
	enum mail_stage stage, int code, const char *enhanced, const char *text)
{
	unsigned bit = where == MAIL_WHERE_DSN ? MAIL_CLASS_DSN : 1U << stage;
	struct reply r = { .code = code, .text = text };

	if (code / 100 == 2)
		return (struct mail_ruling){ MAIL_CLASS_SENT, "" };
	snprintf(r.digits, sizeof r.digits, "%d", code);
	snprintf(r.enhanced, sizeof r.enhanced, "%s", enhanced);
	if (!*enhanced)
		find_enhanced(&r);
	mail_classes_hear(t, bit, code, text);
	for (size_t i = 0; i < t->n_rows; i++) {
		size_t at = t->order[i];
		const struct mail_class_row *row = &t->rows[at];

		if (!mail_class_is_open(row, bit, code) || !has_code(row, &r) ||
			!(row->pattern ? has_pattern(row, &r)
				       : row->is_any_text || mail_classes_is_heard(t, at)))
			continue;
		return (struct mail_ruling){ row->class, row->reason };
	}
	return (struct mail_ruling){ MAIL_CLASS_UNKNOWN, "unclassified" };
}
