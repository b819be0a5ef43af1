/*
 * The calendar: every minute of weeks with jumps against an oracle in another language
 * (tests/plan_oracle.py, random calendars), years of local clocks against the C library's, holidays
 * against the government's list, and the cases that people stumble over by name.
 */
#include "coldmail/plan.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coldmail/clock.h"
#include "coldmail/str.h"
#include "plan/plan_private.h"

static struct plan_zones *zones;
static struct conf_campaign section;
static struct conf_window windows[8];
static struct conf_dates closed[64], freezes[8];
static struct plan_calendar *cal;

/* From the file that the calendar is asked in to what is asked: once a test. */
static void setup(void)
{
	zones = plan_zones_new();
	windows[0] = (struct conf_window){ 9 * 60, 17 * 60 };
	section = (struct conf_campaign){ .days = 31,
		.windows = windows,
		.n_windows = 1,
		.holidays = "none",
		.closed = closed,
		.freeze = freezes };
	cal = plan_calendar_new(&section);
}

static void teardown(void)
{
	plan_calendar_free(cal);
	plan_zones_free(zones);
}

static void use_us(bool us)
{
	section.holidays = us ? "us" : "none";
	plan_calendar_free(cal);
	cal = plan_calendar_new(&section);
}

static const struct plan_zone *zone(const char *name)
{
	const struct plan_zone *z = plan_zones_find(zones, name);

	ck_assert_msg(z, "%s is not known", name);
	return z;
}

static int64_t at(const char *stamp)
{
	int64_t ms;

	ck_assert_msg(clock_parse_stamp(stamp, &ms), "%s", stamp);
	return ms;
}

static void opens(const char *zone_name, const char *from, const char *expected)
{
	char stamp[CLOCK_STAMP];
	int64_t ms = plan_next_open(cal, zone(zone_name), at(from));

	clock_stamp(ms, stamp);
	ck_assert_msg(str_eq(stamp, expected), "%s from %s: %s, expected %s", zone_name, from,
		stamp, expected);
}

/* ---- the oracle -------------------------------------------------------------------------------- */

struct words {
	char *p;
};

static int64_t number(struct words *w)
{
	int64_t v = strtoll(w->p, &w->p, 10);

	return v;
}

static size_t ranges(struct words *w, int64_t *v, size_t max)
{
	size_t n = (size_t)number(w);

	ck_assert_uint_le(n, max);
	for (size_t i = 0; i < 2 * n; i++)
		v[i] = number(w);
	return n;
}

#define OPEN_MAX 1000

/* Every minute of the line's weeks: open or not, and when next. */
static void check_minutes(
	const struct plan_zone *z, int64_t start_ms, int64_t n, const int64_t *open, size_t n_open)
{
	size_t k = 0;

	for (int64_t i = 0; i < n; i++) {
		int64_t ms = start_ms + i * CLOCK_MINUTE_MS;

		while (k < n_open && i >= open[2 * k + 1])
			k++;
		bool expected = k < n_open && i >= open[2 * k];
		/* An assertion of Check's costs a write each: only what fails is told. */
		if (plan_is_open(cal, z, ms) != expected)
			ck_abort_msg("%s at %lld", plan_zone_name(z), (long long)ms);
		if (k == n_open || i % 7)
			continue;
		int64_t right = expected ? ms : start_ms + open[2 * k] * CLOCK_MINUTE_MS;
		int64_t next = plan_next_open(cal, z, ms);
		if (next != right)
			ck_abort_msg("%s: next of %lld is %lld, expected %lld", plan_zone_name(z),
				(long long)ms, (long long)next, (long long)right);
	}
}

static void check_line(char *line)
{
	char *blank = strchr(line, ' ');
	int64_t v[2 * OPEN_MAX];
	struct words w = { blank + 1 };

	*blank = '\0';
	const struct plan_zone *z = zone(line);
	int64_t start_ms = number(&w) * CLOCK_SECOND_MS, n = number(&w);
	section.days = (unsigned)number(&w);
	bool us = number(&w);
	section.n_windows = ranges(&w, v, 8);
	for (size_t i = 0; i < section.n_windows; i++)
		windows[i] = (struct conf_window){ (int)v[2 * i], (int)v[2 * i + 1] };
	section.n_closed = (size_t)number(&w);
	ck_assert_uint_le(section.n_closed, 64);
	for (size_t i = 0; i < section.n_closed; i++) {
		int day = (int)number(&w);

		closed[i] = (struct conf_dates){ day, day, "" };
	}
	section.n_freeze = ranges(&w, v, 8);
	for (size_t i = 0; i < section.n_freeze; i++)
		freezes[i] = (struct conf_dates){ (int)v[2 * i], (int)v[2 * i + 1], "" };
	use_us(us);
	size_t n_open = ranges(&w, v, OPEN_MAX);
	check_minutes(z, start_ms, n, v, n_open);
}

START_TEST(property_every_minute_is_what_another_language_says)
{
	const char *repository = getenv("COLDMAIL_REPOSITORY"), *seed = getenv("COLDMAIL_SEED");
	char *command = xasprintf("/usr/bin/python3 '%s/tests/plan_oracle.py' %s 3",
		repository ? repository : ".", seed ? seed : "1");
	char *line = NULL;
	size_t size = 0, n = 0;
	FILE *f = popen(command, "r");

	ck_assert_ptr_nonnull(f);
	for (; getline(&line, &size, f) > 0; n++)
		check_line(line);
	ck_assert_int_eq(pclose(f), 0);
	ck_assert_uint_ge(n, 60);
	free(line);
	free(command);
}
END_TEST

/* ---- local clocks ------------------------------------------------------------------------------- */

static const char *const all_zones[] = { "UTC", "America/New_York", "Europe/Berlin",
	"Australia/Lord_Howe", "Asia/Kathmandu", "Asia/Kolkata", "America/St_Johns",
	"Pacific/Chatham", "Africa/Casablanca", "America/Sao_Paulo", "America/Mexico_City",
	"Europe/Istanbul", "Pacific/Apia", "Asia/Tehran", "America/Santiago",
	"Pacific/Kiritimati" };

static void check_clock(const struct plan_zone *z, const char *name, int64_t t)
{
	struct plan_local l = plan_zone_local(z, t);
	time_t seconds = (time_t)t;
	struct tm tm;

	localtime_r(&seconds, &tm);
	struct tm date = { .tm_year = tm.tm_year, .tm_mon = tm.tm_mon, .tm_mday = tm.tm_mday };
	if (l.day != timegm(&date) / PLAN_DAY_S ||
		l.second != tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec)
		ck_abort_msg("%s at %lld: day %lld, second %lld", name, (long long)t,
			(long long)l.day, (long long)l.second);
}

/* The C library reads the same files by its own way: hours of 27 years, minutes of one. */
START_TEST(years_of_local_clocks_are_the_c_librarys)
{
	const char *name = all_zones[_i];
	const struct plan_zone *z = zone(name);

	setenv("TZ", name, 1);
	tzset();
	for (int64_t t = at("2010-01-01") / 1000; t < at("2037-01-01") / 1000; t += 3600)
		check_clock(z, name, t);
	for (int64_t t = at("2026-01-01") / 1000; t < at("2027-01-01") / 1000; t += 60)
		check_clock(z, name, t);
}
END_TEST

/* ---- by name ------------------------------------------------------------------------------------ */

START_TEST(case_43_the_spring_gap_skips_a_window_and_autumn_opens_it_twice)
{
	section.days = 127;
	windows[0] = (struct conf_window){ 2 * 60, 3 * 60 };
	/* On March 8 there is no 02:00 in New York. */
	opens("America/New_York", "2026-03-07T08:00:00Z", "2026-03-09T06:00:00Z");
	windows[0] = (struct conf_window){ 2 * 60 + 30, 4 * 60 };
	opens("America/New_York", "2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z");
	/* On November 1 it is 01:30 twice. */
	windows[0] = (struct conf_window){ 60, 90 };
	opens("America/New_York", "2026-11-01T04:00:00Z", "2026-11-01T05:00:00Z");
	opens("America/New_York", "2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z");
	ck_assert(!plan_is_open(cal, zone("America/New_York"), at("2026-11-01T05:45:00Z")));
	ck_assert(plan_is_open(cal, zone("America/New_York"), at("2026-11-01T06:29:59Z")));
}
END_TEST

START_TEST(case_43_lord_howe_jumps_by_half_an_hour)
{
	section.days = 127;
	windows[0] = (struct conf_window){ 2 * 60, 2 * 60 + 15 };
	/* On October 4 the clock jumps from 02:00 to 02:30; on April 5 from 02:00 back to 01:30. */
	opens("Australia/Lord_Howe", "2026-10-03T15:00:00Z", "2026-10-04T15:00:00Z");
	windows[0] = (struct conf_window){ 90, 110 };
	opens("Australia/Lord_Howe", "2026-04-04T14:50:00Z", "2026-04-04T15:00:00Z");
}
END_TEST

START_TEST(case_42_the_offset_is_that_of_the_day_it_is_asked_for)
{
	opens("America/New_York", "2026-03-06T22:00:00Z", "2026-03-09T13:00:00Z");
	opens("America/New_York", "2026-10-30T21:00:00Z", "2026-11-02T14:00:00Z");
	/* Mexico gave summer time up, Apia left a Friday out. */
	opens("America/Mexico_City", "2023-06-05T00:00:00Z", "2023-06-05T15:00:00Z");
	opens("Pacific/Apia", "2011-12-30T05:00:00Z", "2012-01-01T19:00:00Z");
	opens("Asia/Kathmandu", "2026-06-05T11:15:00Z", "2026-06-08T03:15:00Z");
}
END_TEST

START_TEST(a_window_ends_before_its_last_minute_and_a_day_at_midnight)
{
	const struct plan_zone *utc = zone("UTC");

	ck_assert(plan_is_open(cal, utc, at("2026-03-04T16:59:59Z")));
	ck_assert(!plan_is_open(cal, utc, at("2026-03-04T17:00:00Z")));
	ck_assert(plan_is_open(cal, utc, at("2026-03-04T09:00:00Z")));
	ck_assert(!plan_is_open(cal, utc, at("2026-03-04T09:00:00Z") - 1));
	ck_assert_int_eq(plan_next_open(cal, utc, at("2026-03-04T09:00:00Z") - 1),
		at("2026-03-04T09:00:00Z"));
	ck_assert_int_eq(plan_next_open(cal, utc, at("2026-03-04T09:00:00Z") + 1),
		at("2026-03-04T09:00:00Z") + 1);
	windows[0] = (struct conf_window){ 0, 1440 };
	opens("UTC", "2026-03-06T23:59:59Z", "2026-03-06T23:59:59Z");
	opens("UTC", "2026-03-07T00:00:00Z", "2026-03-09T00:00:00Z");
}
END_TEST

static void is_closed(const char *when, enum plan_gate gate, const char *why)
{
	const struct plan_state s = plan_state_at(cal, zone("America/Chicago"), at(when));

	ck_assert_msg(
		s.gate == gate && str_eq(s.holiday, why), "%s: %d %s", when, s.gate, s.holiday);
}

START_TEST(it_says_why_it_is_closed)
{
	closed[0] = (struct conf_dates){ 20516, 20516, "Founders' Day" }; /* 2026-03-04 */
	freezes[0] = (struct conf_dates){ 20523, 20525, "" };
	section.n_closed = section.n_freeze = 1;
	use_us(true);
	is_closed("2026-03-03T16:00:00Z", PLAN_OPEN, "");
	is_closed("2026-03-03T13:00:00Z", PLAN_WINDOW_CLOSED, "");
	is_closed("2026-03-07T16:00:00Z", PLAN_WINDOW_CLOSED, "");
	is_closed("2026-03-04T16:00:00Z", PLAN_HOLIDAY, "Founders' Day");
	is_closed("2026-03-12T16:00:00Z", PLAN_HOLIDAY, "freeze");
	is_closed("2026-11-26T16:00:00Z", PLAN_HOLIDAY, "Thanksgiving Day");
	is_closed("2026-07-03T16:00:00Z", PLAN_HOLIDAY, "Independence Day (observed)");
	is_closed("2026-07-04T16:00:00Z", PLAN_WINDOW_CLOSED, "");
	opens("America/Chicago", "2026-03-11T23:00:00Z", "2026-03-16T14:00:00Z");
}
END_TEST

START_TEST(never_within_a_year_is_said)
{
	freezes[0] = (struct conf_dates){ 0, 200000, "" };
	section.n_freeze = 1;
	ck_assert_int_eq(
		plan_next_open(cal, zone("UTC"), at("2026-03-04T17:00:00Z")), CLOCK_NEVER_MS);
	section.n_freeze = 0;
	ck_assert_int_eq(plan_next_open(cal, zone("UTC"), INT64_MAX), CLOCK_NEVER_MS);
	ck_assert_int_eq(plan_next_open(cal, zone("UTC"), INT64_MIN), at("1970-01-01T09:00:00Z"));
	section.days = 0;
	ck_assert_int_eq(plan_next_open(cal, zone("UTC"), 0), CLOCK_NEVER_MS);
}
END_TEST

/* ---- holidays ----------------------------------------------------------------------------------- */

/* opm.gov, "Federal Holidays": the days on which they are observed. */
static const char *const federal[] = {
	"2021-01-01 2021-01-18 2021-02-15 2021-05-31 2021-06-18 2021-07-05 2021-09-06 2021-10-11 "
	"2021-11-11 2021-11-25 2021-12-24 2021-12-31",
	"2022-01-17 2022-02-21 2022-05-30 2022-06-20 2022-07-04 2022-09-05 2022-10-10 2022-11-11 "
	"2022-11-24 2022-12-26",
	"2023-01-02 2023-01-16 2023-02-20 2023-05-29 2023-06-19 2023-07-04 2023-09-04 2023-10-09 "
	"2023-11-10 2023-11-23 2023-12-25",
	"2026-01-01 2026-01-19 2026-02-16 2026-05-25 2026-06-19 2026-07-03 2026-09-07 2026-10-12 "
	"2026-11-11 2026-11-26 2026-12-25",
	"2027-01-01 2027-01-18 2027-02-15 2027-05-31 2027-06-18 2027-07-05 2027-09-06 2027-10-11 "
	"2027-11-11 2027-11-25 2027-12-24 2027-12-31",
};

START_TEST(federal_holidays_are_those_of_the_list)
{
	const char *list = federal[_i];
	int64_t first = at("2021-01-01") / CLOCK_DAY_MS;
	char year[5] = "", date[CLOCK_STAMP];

	strncat(year, list, 4);
	for (int64_t day = first; day < first + 10 * 366; day++) {
		clock_stamp(day * CLOCK_DAY_MS, date);
		date[10] = '\0';
		if (!str_starts(date, year) || (day + 3) % 7 >= 5)
			continue;
		ck_assert_msg(!plan_us_holiday(day) == !strstr(list, date), "%s", date);
	}
}
END_TEST

/* ---- zones -------------------------------------------------------------------------------------- */

START_TEST(a_zone_is_known_or_unknown)
{
	static const char *const none[] = { "", "Mars/Olympus", "../../etc/passwd",
		"/etc/localtime", "Europe/", "Europe/berlin ", "EST5EDT,M3.2.0", "+02:00",
		"America" };

	ck_assert_ptr_eq(zone("Europe/Berlin"), zone("Europe/Berlin"));
	for (size_t i = 0; i < sizeof none / sizeof *none; i++)
		for (int k = 0; k < 2; k++)
			ck_assert_msg(!plan_zones_find(zones, none[i]), "%s", none[i]);
	ck_assert_ptr_null(plan_zones_find(zones, NULL));
	for (int i = 0; i < 5000; i++) {
		char name[32];

		snprintf(name, sizeof name, "Mars/Crater_%d", i);
		ck_assert_ptr_null(plan_zones_find(zones, name));
	}
}
END_TEST

START_TEST(a_place_decides_its_zone_or_nothing_is_guessed)
{
	static const struct {
		const char *timezone, *country, *region, *zone;
	} v[] = {
		{ "Asia/Tokyo", "DE", "", "Asia/Tokyo" },
		{ " Asia/Tokyo ", NULL, NULL, "Asia/Tokyo" },
		{ "Mars/Olympus", "DE", NULL, "Europe/Berlin" },
		{ "EST", NULL, NULL, "" },
		{ "UTC", "us", "CA", "UTC" },
		{ NULL, "de", NULL, "Europe/Berlin" },
		{ NULL, "Germany", "Bayern", "Europe/Berlin" },
		{ NULL, " ÖSTERREICH ", NULL, "Europe/Vienna" },
		{ "", "U.S.A.", "calif", "" },
		{ "", "U.S.A.", "California", "America/Los_Angeles" },
		{ "n/a", "United  States", "new-york", "America/New_York" },
		{ NULL, "us", NULL, "" },
		{ NULL, "us", "TX", "" },
		{ NULL, "us", "Indiana", "" },
		{ NULL, NULL, "California", "" },
		{ NULL, "", "CA", "" },
		{ NULL, "ca", "AB", "America/Edmonton" },
		{ NULL, "Canada", "Ontario", "" },
		{ NULL, "AU", "VIC", "Australia/Melbourne" },
		{ NULL, "AU", "NSW", "" },
		{ NULL, "Brazil", "São Paulo", "America/Sao_Paulo" },
		{ NULL, "Brazil", "SAO PAULO", "America/Sao_Paulo" },
		{ NULL, "br", "AM", "" },
		{ NULL, "Georgia", "", "" },
		{ NULL, "es", "Madrid", "" },
		{ NULL, "*", "*", "" },
		{ NULL, "de\tx", "*", "" },
		{ NULL, "\xFF", "\xFF", "" },
	};

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		const char *found = plan_zone_of(zones, v[i].timezone, v[i].country, v[i].region);

		ck_assert_msg(str_eq(found, v[i].zone), "%s, %s, %s: %s", v[i].timezone,
			v[i].country, v[i].region, found);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("plan");
	TCase *t = tcase_create("plan");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, property_every_minute_is_what_another_language_says);
	tcase_add_loop_test(t, years_of_local_clocks_are_the_c_librarys, 0,
		sizeof all_zones / sizeof *all_zones);
	tcase_add_test(t, case_43_the_spring_gap_skips_a_window_and_autumn_opens_it_twice);
	tcase_add_test(t, case_43_lord_howe_jumps_by_half_an_hour);
	tcase_add_test(t, case_42_the_offset_is_that_of_the_day_it_is_asked_for);
	tcase_add_test(t, a_window_ends_before_its_last_minute_and_a_day_at_midnight);
	tcase_add_test(t, it_says_why_it_is_closed);
	tcase_add_test(t, never_within_a_year_is_said);
	tcase_add_loop_test(
		t, federal_holidays_are_those_of_the_list, 0, sizeof federal / sizeof *federal);
	tcase_add_test(t, a_zone_is_known_or_unknown);
	tcase_add_test(t, a_place_decides_its_zone_or_nothing_is_guessed);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
