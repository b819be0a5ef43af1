/*
 * A campaign's calendar on a recipient's clock: open or closed, why, and when it opens.
 * Runs on: any. Called by flow. Pure.
 * Everything is asked of the local clock at an instant, never of local times: so what the clock skips
 * in spring or repeats in autumn needs no rule of its own.
 */
#include "plan_private.h"

#include <stdlib.h>

#include "coldmail/clock.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#define YEAR_S      (366 * PLAN_DAY_S)
#define MINUTE_S    60
#define DAYS_A_WEEK 7

struct plan_calendar {
	const struct conf_campaign *c; /* borrowed */
	bool has_us; /* the federal holidays of the United States */
};

struct plan_calendar *plan_calendar_new(const struct conf_campaign *c)
{
	struct plan_calendar *cal = xcalloc(1, sizeof *cal);

	cal->c = c;
	cal->has_us = str_eq(c->holidays, "us");
	return cal;
}

void plan_calendar_free(struct plan_calendar *cal)
{
	free(cal);
}

/* ---- days --------------------------------------------------------------------------------------- */

static int by_day(const void *key, const void *element)
{
	const int64_t day = *(const int64_t *)key;
	const struct conf_dates *d = element;

	return (day > d->from_day) - (day < d->from_day);
}

/* What DAY is called when it is a holiday or frozen; NULL: it is neither. */
static const char *holiday_of(const struct plan_calendar *cal, int64_t day)
{
	const struct conf_campaign *c = cal->c;
	const char *name = cal->has_us ? plan_us_holiday(day) : NULL;
	const struct conf_dates *listed =
		c->n_closed ? bsearch(&day, c->closed, c->n_closed, sizeof *c->closed, by_day)
			    : NULL;

	if (name || listed)
		return name ? name : listed->name;
	for (size_t i = 0; i < c->n_freeze; i++)
		if (day >= c->freeze[i].from_day && day <= c->freeze[i].to_day)
			return "freeze";
	return NULL;
}

/* Days of the week are asked first: a holiday at a weekend closes nothing that was open. */
static struct plan_state state_of_day(const struct plan_calendar *cal, int64_t day)
{
	const int64_t weekday = (day + 3) % DAYS_A_WEEK; /* 1970 began on a Thursday */
	const char *holiday;

	if (!(cal->c->days & 1U << weekday))
		return (struct plan_state){ PLAN_WINDOW_CLOSED, "" };
	holiday = holiday_of(cal, day);
	if (holiday)
		return (struct plan_state){ PLAN_HOLIDAY, holiday };
	return (struct plan_state){ PLAN_OPEN, "" };
}

/* ---- instants ----------------------------------------------------------------------------------- */

static int64_t seconds(int64_t utc_ms)
{
	return utc_ms < 0 ? 0 : utc_ms / CLOCK_SECOND_MS;
}

/* The second of the day, at or after L's, at which a window is open; PLAN_DAY_S: none is any more. */
static int64_t opens_in_day(const struct plan_calendar *cal, const struct plan_local *l)
{
	if (state_of_day(cal, l->day).gate != PLAN_OPEN)
		return PLAN_DAY_S;
	for (size_t i = 0; i < cal->c->n_windows; i++) {
		const struct conf_window *w = &cal->c->windows[i];

		if (l->second < w->from_min * MINUTE_S)
			return w->from_min * MINUTE_S;
		if (l->second < w->to_min * MINUTE_S)
			return l->second;
	}
	return PLAN_DAY_S;
}

struct plan_state plan_state_at(
	const struct plan_calendar *cal, const struct plan_zone *zone, int64_t utc_ms)
{
	const int64_t t = seconds(utc_ms);
	struct plan_state s = { PLAN_WINDOW_CLOSED, "" };

	if (t > PLAN_LAST_S)
		return s;
	const struct plan_local l = plan_zone_local(zone, t);
	s = state_of_day(cal, l.day);
	if (s.gate == PLAN_OPEN && opens_in_day(cal, &l) != l.second)
		s.gate = PLAN_WINDOW_CLOSED;
	return s;
}

bool plan_is_open(const struct plan_calendar *cal, const struct plan_zone *zone, int64_t utc_ms)
{
	return plan_state_at(cal, zone, utc_ms).gate == PLAN_OPEN;
}

int64_t plan_next_open(
	const struct plan_calendar *cal, const struct plan_zone *zone, int64_t utc_ms)
{
	const int64_t from = seconds(utc_ms), end = from + YEAR_S;

	if (plan_is_open(cal, zone, utc_ms))
		return utc_ms;
	for (int64_t t = from; t <= end && end <= PLAN_LAST_S;) {
		const struct plan_local l = plan_zone_local(zone, t);
		const int64_t opens = opens_in_day(cal, &l);

		if (opens == l.second)
			return t * CLOCK_SECOND_MS;
		/* As far as the clock goes on evenly; behind a jump it shows something else. */
		t = plan_zone_step(zone, t, t + opens - l.second, l.interval);
	}
	return CLOCK_NEVER_MS;
}
