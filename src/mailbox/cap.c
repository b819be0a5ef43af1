/*
 * What a mailbox's day may hold (cap.h): its limit, the ramp of its first weeks, the days after a
 * block, and what the provider itself said was too much; and which day it is where the mailbox lives.
 * Runs on: loop. Called by pool.c and state.c. Pure: knows no clock, no ledger.
 * A clock that stepped back finds the ramp where it was or earlier, never later.
 */
#include "cap.h"

#include <limits.h>

#include "coldmail/clock.h"
#include "coldmail/mem.h"

#define DAYS_A_WEEK 7

/* Mails on the first days after a provider's block (mail.md). */
static const int back_ramp[] = { 3, 5, 10 };
#define N_BACK ((int64_t)(sizeof back_ramp / sizeof *back_ramp))

void mailbox_cap_init(struct mailbox_cap *c)
{
	*c = (struct mailbox_cap){ .zone = g_time_zone_new_utc() };
}

void mailbox_cap_done(struct mailbox_cap *c)
{
	g_time_zone_unref(c->zone);
	free(c->ramp);
}

void mailbox_cap_configure(struct mailbox_cap *c, const struct conf_mailbox *conf)
{
	GTimeZone *zone = g_time_zone_new_identifier(conf->timezone);

	g_time_zone_unref(c->zone);
	c->zone = zone ? zone : g_time_zone_new_utc();
	c->today = (struct mailbox_day){ 0 };
	if (conf->daily_limit != c->daily_limit)
		c->lowered = 0; /* somebody thought about it */
	c->daily_limit = conf->daily_limit;
	c->since_ms = conf->ramp_since_ms;
	free(c->ramp);
	c->ramp = conf->n_ramp ? xmemdup(conf->ramp, conf->n_ramp * sizeof *conf->ramp) : NULL;
	c->n_ramp = conf->n_ramp;
}

/* ---- days ------------------------------------------------------------------------------------- */

/* The end of the year 9999. A stored time may be anything, and never is CLOCK_NEVER_MS. */
#define LAST_MS ((int64_t)253402300799 * CLOCK_SECOND_MS)

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t day_number(GTimeZone *zone, int64_t at_ms)
{
	int64_t s = floor_div(CLAMP(at_ms, 0, LAST_MS), CLOCK_SECOND_MS);
	int interval = g_time_zone_find_interval(zone, G_TIME_TYPE_UNIVERSAL, s);

	return floor_div(s + g_time_zone_get_offset(zone, interval), CLOCK_DAY_MS / 1000);
}

/* Where midnight comes twice, the earlier is that of summer time; one that is skipped is moved to the
 * end of the gap. */
static int64_t midnight(GTimeZone *zone, int64_t day)
{
	gint64 local = day * (CLOCK_DAY_MS / 1000);
	int interval = g_time_zone_adjust_time(zone, G_TIME_TYPE_DAYLIGHT, &local);

	return (local - g_time_zone_get_offset(zone, interval)) * CLOCK_SECOND_MS;
}

struct mailbox_day mailbox_cap_day(struct mailbox_cap *c, int64_t at_ms)
{
	at_ms = CLAMP(at_ms, 0, LAST_MS);
	if (at_ms < c->today.begins_ms || at_ms >= c->today.ends_ms) {
		int64_t number = day_number(c->zone, at_ms);

		c->today = (struct mailbox_day){ number, midnight(c->zone, number),
			midnight(c->zone, number + 1) };
	}
	return c->today;
}

/* ---- the cap ---------------------------------------------------------------------------------- */

/* Whole days from one day to another; one that is still to come counts as today. */
static int64_t days_between(int64_t from, int64_t to)
{
	return from > to ? 0 : to - from;
}

/* What the ramp allows on day TODAY. A date is a day of the mailbox's own zone. */
static int ramp_limit(const struct mailbox_cap *c, int64_t today)
{
	int64_t first = today;

	if (!c->n_ramp)
		return INT_MAX;
	if (c->since_ms != CLOCK_NEVER_MS)
		first = floor_div(c->since_ms, CLOCK_DAY_MS);
	else if (c->first_ms)
		first = day_number(c->zone, c->first_ms);
	int64_t week = days_between(first, today) / DAYS_A_WEEK;

	return week < (int64_t)c->n_ramp ? c->ramp[week] : INT_MAX;
}

static int back_limit(const struct mailbox_cap *c, int64_t today)
{
	if (!c->back_ms)
		return INT_MAX;
	int64_t day = days_between(day_number(c->zone, c->back_ms), today);

	return day < N_BACK ? back_ramp[day] : INT_MAX;
}

int mailbox_cap_at(
	struct mailbox_cap *c, int64_t at_ms, const char **ret_gate, const char **ret_why)
{
	int64_t today = mailbox_cap_day(c, at_ms).number;
	const struct {
		int limit;
		const char *gate, *why;
	} bounds[] = {
		{ c->daily_limit, "mailbox_daily_limit", "" },
		{ c->lowered && at_ms < c->lowered_until_ms ? c->lowered : INT_MAX,
			"mailbox_daily_limit", "its provider took no more in a day" },
		{ ramp_limit(c, today), "mailbox_ramp", "the ramp of its first weeks" },
		{ back_limit(c, today), "mailbox_ramp", "it came back from a block" },
	};
	size_t least = 0;

	for (size_t i = 1; i < sizeof bounds / sizeof *bounds; i++)
		if (bounds[i].limit < bounds[least].limit)
			least = i;
	if (ret_gate)
		*ret_gate = bounds[least].gate;
	if (ret_why)
		*ret_why = bounds[least].why;
	return bounds[least].limit;
}
