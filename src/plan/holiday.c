/*
 * The federal holidays of the United States, computed for any year.
 * Runs on: any. Called by calendar.c. Pure.
 * A holiday on a Saturday is observed on the Friday before, one on a Sunday on the Monday after; both
 * days are closed. Inauguration Day, a holiday of one city, is none.
 */
#include "plan_private.h"

#include <glib.h>

/* 1970-01-01 as GDate counts. */
#define EPOCH_JULIAN 719163
#define LAST_WEEK    5 /* of the month, for `week` */

static const struct rule {
	int month;
	int day; /* 0: see weekday */
	GDateWeekday weekday;
	int week; /* the how manieth of the month */
	const char *name, *observed;
} rules[] = {
	{ 1, 1, 0, 0, "New Year's Day", "New Year's Day (observed)" },
	{ 1, 0, G_DATE_MONDAY, 3, "Birthday of Martin Luther King, Jr.", NULL },
	{ 2, 0, G_DATE_MONDAY, 3, "Washington's Birthday", NULL },
	{ 5, 0, G_DATE_MONDAY, LAST_WEEK, "Memorial Day", NULL },
	{ 6, 19, 0, 0, "Juneteenth", "Juneteenth (observed)" },
	{ 7, 4, 0, 0, "Independence Day", "Independence Day (observed)" },
	{ 9, 0, G_DATE_MONDAY, 1, "Labor Day", NULL },
	{ 10, 0, G_DATE_MONDAY, 2, "Columbus Day", NULL },
	{ 11, 11, 0, 0, "Veterans Day", "Veterans Day (observed)" },
	{ 11, 0, G_DATE_THURSDAY, 4, "Thanksgiving Day", NULL },
	{ 12, 25, 0, 0, "Christmas Day", "Christmas Day (observed)" },
};

static bool is_week(const GDate *d, int week)
{
	const int day = g_date_get_day(d);

	if (week == LAST_WEEK)
		return day + 7 > g_date_get_days_in_month(g_date_get_month(d), g_date_get_year(d));
	return (day - 1) / 7 + 1 == week;
}

/* The rule that makes DAY what it is; NULL: none. */
static const struct rule *rule_of(int64_t day)
{
	GDate d;

	g_date_clear(&d, 1);
	g_date_set_julian(&d, (guint32)(day + EPOCH_JULIAN));
	for (const struct rule *r = rules; r < rules + G_N_ELEMENTS(rules); r++) {
		if ((int)g_date_get_month(&d) != r->month)
			continue;
		if (r->day ? g_date_get_day(&d) == r->day
			   : g_date_get_weekday(&d) == r->weekday && is_week(&d, r->week))
			return r;
	}
	return NULL;
}

const char *plan_us_holiday(int64_t day)
{
	const int64_t weekday = (day + 3) % 7; /* 0: Monday; 1970 began on a Thursday */
	const struct rule *r = rule_of(day), *beside = NULL;

	if (r)
		return r->name;
	if (weekday == 4)
		beside = rule_of(day + 1);
	else if (weekday == 0 && day)
		beside = rule_of(day - 1);
	return beside ? beside->observed : NULL;
}
