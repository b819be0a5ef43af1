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
	t->said_at = xcalloc(t->n_terms, sizeof *t->said_at);
	t->ends = xcalloc(t->n_elements, sizeof *t->ends);
	t->is_open = xcalloc(t->n_rows, sizeof *t->is_open);
	t->is_heard = xcalloc(t->n_rows, sizeof *t->is_heard);
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
	free(t->said_at);
	free(t->ends);
	free(t->is_open);
	free(t->is_heard);
	mem_arena_done(&t->arena);
	free(t);
}

/* ---- which rows' words are there ------------------------------------------------------------- */

/* Is a bit of FROM to TO, both included and less than 64 apart, in BITS? */
static bool has_bit(const uint64_t *bits, size_t from, size_t to)
{
	uint64_t window = bits[from / 64] >> from % 64;

	if (from % 64 && from / 64 < to / 64)
		window |= bits[to / 64] << (64 - from % 64);
	return window & (~0ULL >> (63 - (to - from)));
}

/* Did the sequence before E end where E, which begins at word FROM, can follow it? */
static bool can_follow(
	const struct mail_classes *t, const struct mail_words *w, size_t e, size_t from)
{
	const struct mail_class_element *before = &t->elements[e - 1];
	size_t sentence = w->sentence[from], first;

	if (from == sentence)
		return false;
	first = from - 1;
	if (t->elements[e].has_gap)
		first = from - sentence > MAIL_CLASS_GAP + 1 ? from - 1 - MAIL_CLASS_GAP : sentence;
	return has_bit(
		before->is_first ? t->said_at[before->term] : t->ends[e - 1], first, from - 1);
}

static void mark(uint64_t *bits, size_t at)
{
	bits[at / 64] |= 1ULL << at % 64;
}

/* The words FROM to TO say TERM. */
static void hear_term(
	struct mail_classes *t, const struct mail_words *w, size_t term, size_t from, size_t to)
{
	mark(t->said_at[term], to);
	for (size_t e = t->terms[term].uses; e; e = t->elements[e].next_use) {
		const struct mail_class_element *el = &t->elements[e];

		if (!t->is_open[el->row] || t->is_heard[el->row] ||
			(!el->is_first && !can_follow(t, w, e, from)))
			continue;
		mark(t->ends[e], to);
		if (el->is_last)
			t->is_heard[el->row] = true;
	}
}

/* Every phrase that begins at word FROM. */
static void hear_from(struct mail_classes *t, const struct mail_words *w, size_t from)
{
	const char *p = w->text + w->at[from];
	size_t node = t->starts[(unsigned char)*p], to = from;

	while (node) {
		p++;
		for (size_t s = t->nodes[node].terms; s; s = t->said[s].next)
			if (t->said[s].is_prefix || *p == ' ' || *p == '\n' || !*p)
				hear_term(t, w, t->said[s].term, from, to);
		to += *p == ' ';
		node = *p ? t->nodes[node].child : 0;
		while (node && t->nodes[node].byte != (unsigned char)*p)
			node = t->nodes[node].sibling;
	}
}

static void hear(struct mail_classes *t, const char *text)
{
	struct mail_words words;

	mail_words_read(text, &words);
	memset(t->said_at, 0, t->n_terms * sizeof *t->said_at);
	memset(t->ends, 0, t->n_elements * sizeof *t->ends);
	memset(t->is_heard, 0, t->n_rows * sizeof *t->is_heard);
	for (size_t i = 0; i < words.n; i++)
		hear_from(t, &words, i);
}

/* ---- which of them decides ------------------------------------------------------------------- */

struct reply {
	int code;
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
	char code[12];
	const char *is = n == 3 ? code : r->enhanced;
	char any = n == 3 ? '.' : 'x';

	snprintf(code, sizeof code, "%d", r->code);
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
	snprintf(r.enhanced, sizeof r.enhanced, "%s", enhanced);
	if (!*enhanced)
		find_enhanced(&r);
	for (size_t i = 0; i < t->n_rows; i++)
		t->is_open[i] = t->rows[i].where & bit && t->rows[i].digits & 1U << code / 100;
	hear(t, text);
	for (size_t i = 0; i < t->n_rows; i++) {
		size_t at = t->order[i];
		const struct mail_class_row *row = &t->rows[at];

		if (!t->is_open[at] || !(row->is_any_text || row->pattern || t->is_heard[at]) ||
			!has_code(row, &r) || (row->pattern && !has_pattern(row, &r)))
			continue;
		return (struct mail_ruling){ row->class, row->reason };
	}
	return (struct mail_ruling){ MAIL_CLASS_UNKNOWN, "unclassified" };
}
