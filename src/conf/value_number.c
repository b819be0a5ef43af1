/*
 * Values that count: numbers with k and m, durations, spans of durations, lists of numbers.
 * Runs on: loop. Called through the table of value.c.
 */
#include "value_private.h"

#include <ctype.h>
#include <inttypes.h>

#include "coldmail/clock.h"

/* Digits at *P, and past them. false: none, or more than an int64_t holds. */
static bool scan_digits(const char **p, int64_t *ret)
{
	int64_t n = 0;

	if (!isdigit((unsigned char)**p))
		return false;
	for (; isdigit((unsigned char)**p); ++*p)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, **p - '0', &n))
			return false;
	*ret = n;
	return true;
}

static bool scan_number(const char *p, int64_t *ret)
{
	int64_t n;

	if (!scan_digits(&p, &n))
		return false;
	const int64_t unit = *p == 'k' ? 1000 : *p == 'm' ? 1000000 : 1;

	return !p[unit > 1] && !__builtin_mul_overflow(n, unit, ret);
}

#define USD        1000000 /* what dollars are kept in */
#define USD_DIGITS 6

/* Dollars with or without cents and parts of them, such as 2, 2.0 or 0.075. */
static bool scan_usd(const char *p, int64_t *ret)
{
	int64_t whole, part = 0, unit = USD;

	if (!scan_digits(&p, &whole) || __builtin_mul_overflow(whole, USD, &whole))
		return false;
	if (*p == '.') {
		const char *start = ++p;

		if (!scan_digits(&p, &part) || p - start > USD_DIGITS)
			return false;
		for (; start < p; start++)
			unit /= 10;
	}
	return !*p && !__builtin_add_overflow(whole, part * unit, ret);
}

bool conf_read_usd(const struct conf_reading *r)
{
	int64_t n;

	if (!scan_usd(r->value->text, &n) || n < r->key->min * USD || n > r->key->max * USD)
		return conf_refuse(r, r->value,
			"dollars from %" PRId64 " to %" PRId64
			", such as 2.50, with at most %d decimals",
			r->key->min, r->key->max, USD_DIGITS);
	*(int64_t *)conf_member(r) = n;
	return true;
}

static const struct unit {
	const char *name;
	int64_t ms;
} units[] = {
	{ "d", CLOCK_DAY_MS },
	{ "h", CLOCK_HOUR_MS },
	{ "min", CLOCK_MINUTE_MS },
	{ "s", CLOCK_SECOND_MS },
	{ "ms", 1 },
};

/* A duration at *P up to END (a character or NUL). */
static bool scan_duration(const char **p, char end, int64_t *ret)
{
	int64_t n;

	if (!scan_digits(p, &n))
		return false;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		const size_t len = strlen(units[i].name);

		if (strncmp(*p, units[i].name, len) || ((*p)[len] && (*p)[len] != end))
			continue;
		*p += len;
		return !__builtin_mul_overflow(n, units[i].ms, ret);
	}
	return false;
}

static void show_duration(int64_t ms, struct str *out)
{
	const struct unit *u = units;

	if (ms == 0 || ms == CLOCK_NEVER_MS) {
		str_adds(out, ms ? "never" : "0s");
		return;
	}
	while (ms % u->ms)
		u++;
	str_addf(out, "%" PRId64 "%s", ms / u->ms, u->name);
}

bool conf_read_int(const struct conf_reading *r)
{
	int64_t n;

	if (!scan_number(r->value->text, &n) || n < r->key->min || n > r->key->max)
		return conf_refuse(r, r->value, "a number from %" PRId64 " to %" PRId64,
			r->key->min, r->key->max);
	*(int *)conf_member(r) = (int)n;
	return true;
}

void conf_show_int(const struct conf_key *k, const void *base, struct str *out)
{
	str_addf(out, "%d", *(const int *)conf_field(base, k->at));
}

bool conf_read_duration(const struct conf_reading *r)
{
	const char *p = r->value->text;
	const bool may_never = r->key->flags & CONF_NEVER;
	int64_t ms;

	if (may_never && str_eq(p, "never")) {
		*(int64_t *)conf_member(r) = CLOCK_NEVER_MS;
		return true;
	}
	if (scan_duration(&p, '\0', &ms) && ms >= r->key->min && ms <= r->key->max) {
		*(int64_t *)conf_member(r) = ms;
		return true;
	}
	struct str range = STR_INIT;

	show_duration(r->key->min, &range);
	str_adds(&range, " to ");
	show_duration(r->key->max, &range);
	conf_refuse(r, r->value, "%sa duration such as 90s, 12min or 3d, from %s",
		may_never ? "never, or " : "", str_z(&range));
	str_done(&range);
	return false;
}

void conf_show_duration(const struct conf_key *k, const void *base, struct str *out)
{
	show_duration(*(const int64_t *)conf_field(base, k->at), out);
}

bool conf_read_span(const struct conf_reading *r)
{
	const char *p = r->value->text;
	int64_t from, to;
	bool ok = scan_duration(&p, '-', &from);

	to = from;
	if (ok && *p == '-') {
		p++;
		ok = scan_duration(&p, '\0', &to);
	}
	if (!ok || from > to || to > r->key->max)
		return conf_refuse(r, r->value,
			"a duration or a range from small to large, such as 90s or 12min-24min");
	*(int64_t *)conf_member(r) = from;
	*(int64_t *)conf_member2(r) = to;
	return true;
}

void conf_show_span(const struct conf_key *k, const void *base, struct str *out)
{
	const int64_t from = *(const int64_t *)conf_field(base, k->at);
	const int64_t to = *(const int64_t *)conf_field(base, k->at2);

	show_duration(from, out);
	if (to == from)
		return;
	str_addc(out, '-');
	show_duration(to, out);
}

bool conf_read_numbers(const struct conf_reading *r)
{
	size_t n, i = 0;
	const struct conf_value *v = conf_items(r->value, &n);
	int *numbers = mem_arena_get(&r->load->arena, n * sizeof *numbers);

	for (; v; v = v->next) {
		int64_t number;

		if (!scan_number(v->text, &number) || number < r->key->min || number > r->key->max)
			return conf_refuse(r, v,
				"numbers from %" PRId64 " to %" PRId64 ", such as {3, 7}",
				r->key->min, r->key->max);
		numbers[i++] = (int)number;
	}
	*(int **)conf_member(r) = numbers;
	*(size_t *)conf_member2(r) = n;
	return true;
}

void conf_show_numbers(const struct conf_key *k, const void *base, struct str *out)
{
	const int *numbers = *(int *const *)conf_field(base, k->at);
	const size_t n = *(const size_t *)conf_field(base, k->at2);

	str_addc(out, '{');
	for (size_t i = 0; i < n; i++)
		str_addf(out, "%s%d", i ? ", " : "", numbers[i]);
	str_addc(out, '}');
}
