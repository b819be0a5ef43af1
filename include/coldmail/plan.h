/*
 * The calendar: when may a mail go out to somebody. Windows of the day, days of the week, holidays
 * and freezes of a campaign, all read on the clock of the place where the recipient is. Knows no lead,
 * no store and no now: the instant is the caller's.
 * Runs on: any; one thread at a time uses a struct plan_zones and the zones in it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "coldmail/conf.h"

/* ---- zones ------------------------------------------------------------------------------------ */

/* Zones by name, each read once, and what country and region say of them (config/zones.tsv). */
struct plan_zones;
struct plan_zones *plan_zones_new(void);
void plan_zones_free(struct plan_zones *zs); /* NULL is accepted */

/* A zone of the time zone database, with its rules of every year. */
struct plan_zone;
/* Borrowed from ZS; NULL: there is none of that name. */
const struct plan_zone *plan_zones_find(struct plan_zones *zs, const char *name);
const char *plan_zone_name(const struct plan_zone *z);
/* The zone of somebody about whom these are known (each may be NULL or nonsense): OWN when it is a
 * zone's name, else what country and region decide. "" : they do not, and nothing is guessed. A
 * OWN without a '/' is an abbreviation (EST, CST) and names no zone, but for UTC. Borrowed from
 * ZS. */
const char *plan_zone_of(
	struct plan_zones *zs, const char *own, const char *country, const char *region);

/* ---- calendars -------------------------------------------------------------------------------- */

/* What C says about days and hours; the caller owns it. C is borrowed until plan_calendar_free(). */
struct plan_calendar;
struct plan_calendar *plan_calendar_new(const struct conf_campaign *c);
void plan_calendar_free(struct plan_calendar *cal); /* NULL is accepted */

/* Why a calendar is closed; the names are reasons of interfaces.md. */
enum plan_gate {
	PLAN_OPEN,
	PLAN_WINDOW_CLOSED, /* the hour, or the day of the week */
	PLAN_HOLIDAY, /* the date: a holiday or a freeze */
};
struct plan_state {
	enum plan_gate gate;
	const char *holiday; /* HOLIDAY: what it is called; "" : the list has no name for it; static
	                        or the campaign's */
};
/* Instants are UTC milliseconds since 1970; any value is accepted. */
struct plan_state plan_state_at(
	const struct plan_calendar *cal, const struct plan_zone *zone, int64_t utc_ms);
bool plan_is_open(const struct plan_calendar *cal, const struct plan_zone *zone, int64_t utc_ms);
/* The first instant at or after UTC_MS at which it is open; CLOCK_NEVER_MS: it is not within a year. A
 * clock that jumps over a window (spring) does not open it; one that shows an hour twice (autumn) opens
 * it twice. */
int64_t plan_next_open(
	const struct plan_calendar *cal, const struct plan_zone *zone, int64_t utc_ms);

/* A federal holiday of the United States, or the weekday on which one at a weekend is observed:
 * 5 U.S.C. 6103 (as listed at opm.gov, "Federal Holidays"), Executive Order 11582 for Sundays. DAY:
 * days since 1970-01-01. NULL: it is none. */
const char *plan_us_holiday(int64_t day);
