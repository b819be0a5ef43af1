/*
 * The problems of one load: collected in the order of finding, handed over in the order in which a
 * person reads the files.
 * Runs on: loop. Called by every file of the room. Never prints.
 */
#include "conf_private.h"

#include <stdarg.h>
#include <stdio.h>

#define SHOWN_MAX 60

struct conf_report_item {
	struct conf_problem problem; /* text is owned */
	size_t rank, seq;
};

static void add(struct conf_load *l, bool is_warning, struct conf_place at, const char *fmt,
	va_list ap) __attribute__((format(printf, 4, 0)));

static void add(
	struct conf_load *l, bool is_warning, struct conf_place at, const char *fmt, va_list ap)
{
	struct str text = STR_INIT;

	if (l->gave_up)
		return;
	l->n_errors += !is_warning;
	l->gave_up = l->n_errors > CONF_PROBLEMS_MAX;
	if (l->gave_up)
		str_addf(&text, "more than %d problems: the rest is not shown", CONF_PROBLEMS_MAX);
	else
		str_vaddf(&text, fmt, ap);
	mem_grow(l->items, l->cap_items, l->n_items + 1);
	l->items[l->n_items] = (struct conf_report_item){
		.problem = { is_warning, at.src->name, at.line, str_take(&text) },
		.rank = at.src->rank,
		.seq = l->n_items,
	};
	l->n_items++;
}

void conf_error(struct conf_load *l, struct conf_place at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(l, false, at, fmt, ap);
	va_end(ap);
}

void conf_warning(struct conf_load *l, struct conf_place at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(l, true, at, fmt, ap);
	va_end(ap);
}

/* URLs carry secrets: who logs in stands before '@', keys stand behind '?'. A password may have any
 * mark of a URL in it, so that everything up to the last '@' is none of anybody's business. */
void conf_show_url(const char *text, struct str *out)
{
	const char *slashes = strstr(text, "://"), *at = strrchr(text, '@');
	const char *start = slashes ? slashes + 3 : text;
	const char *query;

	if (at && at >= start) {
		str_add(out, text, (size_t)(start - text));
		str_adds(out, "***");
		text = at;
	}
	query = slashes ? strchr(text, '?') : NULL;
	if (query && query[1]) {
		str_add(out, text, (size_t)(query + 1 - text));
		str_adds(out, "***");
	} else {
		str_adds(out, text);
	}
}

static const char *keep_shown(struct conf_load *l, const char *text)
{
	char *shown = str_printable(text, strlen(text), SHOWN_MAX);
	const char *kept = mem_arena_dup(&l->arena, shown);

	free(shown);
	return kept;
}

const char *conf_shown_url(struct conf_load *l, const char *text)
{
	struct str url = STR_INIT;
	const char *kept;

	conf_show_url(text, &url);
	kept = keep_shown(l, str_z(&url));
	str_done(&url);
	return kept;
}

const char *conf_shown(struct conf_load *l, const char *text)
{
	return strstr(text, "://") ? conf_shown_url(l, text) : keep_shown(l, text);
}

static int order(size_t a, size_t b)
{
	return (a > b) - (a < b);
}

static int compare(const void *x, const void *y)
{
	const struct conf_report_item *a = x, *b = y;
	int by = order(a->rank, b->rank);

	if (!by)
		by = (a->problem.line > b->problem.line) - (a->problem.line < b->problem.line);
	return by ? by : order(a->seq, b->seq);
}

void conf_report_finish(struct conf_load *l, struct conf_problems *ret)
{
	if (l->n_items)
		qsort(l->items, l->n_items, sizeof *l->items, compare);
	*ret = (struct conf_problems){
		.v = xcalloc(l->n_items, sizeof *ret->v),
		.n = l->n_items,
		.n_errors = l->n_errors,
	};
	for (size_t i = 0; i < l->n_items; i++) {
		ret->v[i] = l->items[i].problem;
		ret->v[i].file = xstrdup(ret->v[i].file);
	}
	free(l->items);
	l->items = NULL;
	l->n_items = l->cap_items = 0;
}

void conf_problems_done(struct conf_problems *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free((void *)(uintptr_t)p->v[i].file);
		free((void *)(uintptr_t)p->v[i].text);
	}
	free(p->v);
	*p = (struct conf_problems){ 0 };
}
