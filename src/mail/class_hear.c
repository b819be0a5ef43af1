/*
 * Which rows' words are in a text (class_private.h): one walk over its words, however many rows there
 * are. An element of a sequence is listened for only once the one before it was heard, so that the
 * time is that of what a text says, not of what it might.
 * Runs on: loop. Called by classify.c. Pure but for its scratch.
 */
#include "class_private.h"

#include <string.h>

/* One bit for each word. */
typedef uint64_t word_set[MAIL_WORDS_MAX / 64];

struct mail_class_hearing {
	struct mail_words words;
	/* By term: was it said, and at which words to the end; the elements that wait for it. */
	bool *is_said;
	word_set *said_at;
	uint32_t *waiting; /* 0: none */
	/* By element: does it wait for its term, with whom, and at which words did it end. */
	bool *is_waiting;
	uint32_t *next_waiting; /* 0: none */
	word_set *ends;
	/* By row: may its words still come, and did they. */
	bool *is_awaited, *is_heard;
};

struct mail_class_hearing *mail_classes_listen(const struct mail_classes *t)
{
	struct mail_class_hearing *h = xcalloc(1, sizeof *h);

	h->is_said = xcalloc(t->n_terms, sizeof *h->is_said);
	h->said_at = xcalloc(t->n_terms, sizeof *h->said_at);
	h->waiting = xcalloc(t->n_terms, sizeof *h->waiting);
	h->is_waiting = xcalloc(t->n_elements, sizeof *h->is_waiting);
	h->next_waiting = xcalloc(t->n_elements, sizeof *h->next_waiting);
	h->ends = xcalloc(t->n_elements, sizeof *h->ends);
	h->is_awaited = xcalloc(t->n_rows, sizeof *h->is_awaited);
	h->is_heard = xcalloc(t->n_rows, sizeof *h->is_heard);
	return h;
}

void mail_class_hearing_free(struct mail_class_hearing *h)
{
	if (!h)
		return;
	free(h->is_said);
	free(h->said_at);
	free(h->waiting);
	free(h->is_waiting);
	free(h->next_waiting);
	free(h->ends);
	free(h->is_awaited);
	free(h->is_heard);
	free(h);
}

bool mail_class_is_open(const struct mail_class_row *row, unsigned where, int code)
{
	return row->where & where && row->digits & 1U << code / 100;
}

bool mail_classes_is_heard(const struct mail_classes *t, size_t row)
{
	return t->hearing->is_heard[row];
}

/* What is not cleared here is, when it is first used. */
static void begin(const struct mail_classes *t, unsigned where, int code, const char *text)
{
	struct mail_class_hearing *h = t->hearing;

	mail_words_read(text, &h->words);
	memset(h->is_said, 0, t->n_terms * sizeof *h->is_said);
	memset(h->waiting, 0, t->n_terms * sizeof *h->waiting);
	memset(h->is_waiting, 0, t->n_elements * sizeof *h->is_waiting);
	memset(h->is_heard, 0, t->n_rows * sizeof *h->is_heard);
	for (size_t i = 0; i < t->n_rows; i++)
		h->is_awaited[i] = mail_class_is_open(&t->rows[i], where, code);
}

/* ---- one term --------------------------------------------------------------------------------- */

static void mark(uint64_t *set, size_t at)
{
	set[at / 64] |= 1ULL << at % 64;
}

/* Is one of FROM to TO, both included and less than 64 apart, in SET? */
static bool has_any(const uint64_t *set, size_t from, size_t to)
{
	uint64_t window = set[from / 64] >> from % 64;

	if (from % 64 && from / 64 < to / 64)
		window |= set[to / 64] << (64 - from % 64);
	return window & (~0ULL >> (63 - (to - from)));
}

/* Did the sequence before E end where E, which begins at word FROM, can follow it? */
static bool can_follow(const struct mail_classes *t, size_t e, size_t from)
{
	const struct mail_class_hearing *h = t->hearing;
	const struct mail_class_element *before = &t->elements[e - 1];
	size_t sentence = h->words.sentence[from], first;

	if (from == sentence)
		return false;
	first = from - 1;
	if (t->elements[e].has_gap)
		first = from - sentence > MAIL_CLASS_GAP + 1 ? from - 1 - MAIL_CLASS_GAP : sentence;
	return has_any(
		before->is_first ? h->said_at[before->term] : h->ends[e - 1], first, from - 1);
}

/* Element E was heard: its row is, or the next element is listened for. */
static void go_on(struct mail_class_hearing *h, const struct mail_classes *t, size_t e)
{
	const struct mail_class_element *el = &t->elements[e];

	if (el->is_last) {
		h->is_heard[el->row] = true;
		h->is_awaited[el->row] = false;
		return;
	}
	if (h->is_waiting[++e])
		return;
	h->is_waiting[e] = true;
	memset(h->ends[e], 0, sizeof h->ends[e]);
	h->next_waiting[e] = h->waiting[t->elements[e].term];
	h->waiting[t->elements[e].term] = (uint32_t)e;
}

/* The words FROM to TO say TERM. */
static void hear_term(const struct mail_classes *t, size_t term, size_t from, size_t to)
{
	struct mail_class_hearing *h = t->hearing;

	if (!h->is_said[term]) {
		h->is_said[term] = true;
		memset(h->said_at[term], 0, sizeof h->said_at[term]);
		for (size_t e = t->terms[term].begins; e; e = t->elements[e].next)
			if (h->is_awaited[t->elements[e].row])
				go_on(h, t, e);
	}
	mark(h->said_at[term], to);
	for (size_t e = h->waiting[term]; e; e = h->next_waiting[e]) {
		if (!h->is_awaited[t->elements[e].row] || !can_follow(t, e, from))
			continue;
		mark(h->ends[e], to);
		go_on(h, t, e);
	}
}

/* ---- all of them ------------------------------------------------------------------------------ */

/* Every phrase that begins at word FROM. */
static void hear_from(const struct mail_classes *t, size_t from)
{
	const char *p = t->hearing->words.text + t->hearing->words.at[from];
	size_t node = t->starts[(unsigned char)*p], to = from;

	while (node) {
		p++;
		for (size_t s = t->nodes[node].terms; s; s = t->said[s].next)
			if (t->said[s].is_prefix || *p == ' ' || *p == '\n' || !*p)
				hear_term(t, t->said[s].term, from, to);
		to += *p == ' ';
		node = *p ? t->nodes[node].child : 0;
		while (node && t->nodes[node].byte != (unsigned char)*p)
			node = t->nodes[node].sibling;
	}
}

void mail_classes_hear(const struct mail_classes *t, unsigned where, int code, const char *text)
{
	begin(t, where, code, text);
	for (size_t i = 0; i < t->hearing->words.n; i++)
		hear_from(t, i);
}
