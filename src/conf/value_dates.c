/*
 * Values that say when in the calendar: dates, ranges of them, and the list of holidays, a file with
 * one date a line.
 * Runs on: loop. Called through the table of value.c, and by check.c for the list.
 * A date is a day somewhere, in whatever zone it is asked about: no instant.
 */
#include "value_private.h"

#include <stdlib.h>

#include "coldmail/clock.h"

#define DATE "2026-01-05"

/* The calendar's: strptime() takes the 31st of any month. */
static bool scan_ms(const char *text, int64_t *ret_ms)
{
	char date[CONF_DATE_LEN + 1] = "", stamp[CLOCK_STAMP];

	strncat(date, text, CONF_DATE_LEN);
	return strlen(date) == CONF_DATE_LEN && clock_parse_stamp(date, ret_ms) &&
	       str_starts(clock_stamp(*ret_ms, stamp), date);
}

bool conf_scan_date(const char *text, int *ret_day)
{
	int64_t ms;

	if (!scan_ms(text, &ms))
		return false;
	*ret_day = (int)(ms / CLOCK_DAY_MS);
	return true;
}

bool conf_read_date(const struct conf_reading *r)
{
	const char *text = r->value->text;
	int64_t ms;

	if (strlen(text) != CONF_DATE_LEN || !scan_ms(text, &ms))
		return conf_refuse(r, r->value, "a date such as " DATE);
	*(int64_t *)conf_member(r) = ms;
	return true;
}

void conf_show_date(const struct conf_key *k, const void *base, struct str *out)
{
	const int64_t ms = *(const int64_t *)conf_field(base, k->at);
	char stamp[CLOCK_STAMP];

	if (ms == CLOCK_NEVER_MS)
		str_adds(out, "none");
	else
		str_add(out, clock_stamp(ms, stamp), CONF_DATE_LEN);
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* "2026-12-21/2027-01-03", or one day. */
static bool scan_range(const char *p, struct conf_dates *ret)
{
	*ret = (struct conf_dates){ .name = "" };
	if (!conf_scan_date(p, &ret->from_day))
		return false;
	ret->to_day = ret->from_day;
	p += CONF_DATE_LEN;
	if (*p == '/' && !conf_scan_date(p + 1, &ret->to_day))
		return false;
	p += *p == '/' ? 1 + CONF_DATE_LEN : 0;
	return !*p && ret->from_day <= ret->to_day;
}

bool conf_read_ranges(const struct conf_reading *r)
{
	size_t n, i = 0;
	const struct conf_value *v = conf_items(r->value, &n);
	struct conf_dates *ranges = mem_arena_get(&r->load->arena, n * sizeof *ranges);

	for (; v; v = v->next, i++)
		if (!scan_range(v->text, &ranges[i]))
			return conf_refuse(r, v,
				"from the first day to the last, such as 2026-12-21/2027-01-03");
	*(struct conf_dates **)conf_member(r) = ranges;
	*(size_t *)conf_member2(r) = n;
	return true;
}

static void show_day(int day, struct str *out)
{
	char stamp[CLOCK_STAMP];

	str_add(out, clock_stamp(day * CLOCK_DAY_MS, stamp), CONF_DATE_LEN);
}

void conf_show_ranges(const struct conf_key *k, const void *base, struct str *out)
{
	const struct conf_dates *v = *(struct conf_dates *const *)conf_field(base, k->at);
	const size_t n = *(const size_t *)conf_field(base, k->at2);

	str_addc(out, '{');
	for (size_t i = 0; i < n; i++) {
		str_adds(out, i ? ", " : "");
		show_day(v[i].from_day, out);
		str_addc(out, '/');
		show_day(v[i].to_day, out);
	}
	str_addc(out, '}');
}

/* ---- the list of holidays -------------------------------------------------------------------- */

/* LINE without what stands behind a '#', nor blanks at its ends; in the arena. */
static const char *content_of(struct conf_load *l, const char *line, size_t n)
{
	const char *hash = memchr(line, '#', n);

	n = hash ? (size_t)(hash - line) : n;
	for (; n && strchr(" \t\r", line[n - 1]); n--)
		;
	for (; n && strchr(" \t", *line); n--)
		line++;
	return mem_arena_ndup(&l->arena, line, n);
}

/* "2026-12-25 Christmas Day". */
static bool read_day(
	struct conf_load *l, struct conf_place at, const char *text, struct conf_dates *ret)
{
	const bool ok = conf_scan_date(text, &ret->from_day);
	const char *rest = ok ? text + CONF_DATE_LEN : text;

	if (!ok || !strchr(" \t", *rest) || conf_has_control(rest + strspn(rest, " \t"), false)) {
		conf_error(l, at,
			"'%s' in a list of holidays, expected a date such as " DATE
			", with or without a name behind it",
			conf_shown(l, text));
		return false;
	}
	ret->to_day = ret->from_day;
	ret->name = rest + strspn(rest, " \t");
	return true;
}

static int by_day(const void *a, const void *b)
{
	const struct conf_dates *x = a, *y = b;

	return (x->from_day > y->from_day) - (x->from_day < y->from_day);
}

void conf_read_holidays(
	struct conf_load *l, struct conf_place at, const char *path, struct conf_campaign *c)
{
	const struct conf_source *src = conf_source_read(l, path, &at);
	const char *p = src ? src->text : "";
	size_t n_lines = 1;

	for (const char *q = p; (q = strchr(q, '\n')); q++)
		n_lines++;
	c->closed = mem_arena_get(&l->arena, n_lines * sizeof *c->closed);
	for (struct conf_place here = { src, 1 }; *p; here.line++) {
		const size_t n = strcspn(p, "\n");
		const char *text = content_of(l, p, n);

		c->n_closed += *text && read_day(l, here, text, &c->closed[c->n_closed]);
		p += n + (p[n] == '\n');
	}
	qsort(c->closed, c->n_closed, sizeof *c->closed, by_day);
}
