/*
 * Caps: which day it is where a mailbox lives (cases 39, 42, 70), and what a day may hold.
 */
#include "mailbox/cap.h"

#include <check.h>
#include <stdlib.h>

#include "coldmail/clock.h"

static struct mailbox_cap cap;
static struct conf_mailbox section;
static int ramp[] = { 3, 7, 12, 20 };

static void live_in(const char *zone)
{
	section.timezone = zone;
	mailbox_cap_configure(&cap, &section);
}

static void setup(void)
{
	section = (struct conf_mailbox){ .timezone = "UTC",
		.daily_limit = 25,
		.ramp = ramp,
		.n_ramp = 4,
		.ramp_since_ms = CLOCK_NEVER_MS };
	mailbox_cap_init(&cap);
	mailbox_cap_configure(&cap, &section);
}

static void teardown(void)
{
	mailbox_cap_done(&cap);
}

static int64_t at(const char *stamp)
{
	int64_t ms;

	ck_assert_msg(clock_parse_stamp(stamp, &ms), "%s", stamp);
	return ms;
}

/* ---- days -------------------------------------------------------------------------------------- */

START_TEST(case_39_a_day_is_the_mailboxs_own)
{
	static const struct {
		const char *zone, *now, *begins, *ends;
	} v[] = {
		{ "UTC", "2026-03-04T12:00:00Z", "2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z" },
		{ "Asia/Kathmandu", "2026-03-04T18:14:59Z", "2026-03-03T18:15:00Z",
			"2026-03-04T18:15:00Z" },
		/* 23 and 25 hours */
		{ "America/New_York", "2026-03-08T12:00:00Z", "2026-03-08T05:00:00Z",
			"2026-03-09T04:00:00Z" },
		{ "America/New_York", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z",
			"2026-11-02T05:00:00Z" },
		/* half an hour */
		{ "Australia/Lord_Howe", "2026-04-04T20:00:00Z", "2026-04-04T13:00:00Z",
			"2026-04-05T13:30:00Z" },
		/* no midnight: the day begins at one; and midnight twice: at the first */
		{ "Africa/Cairo", "2026-04-24T12:00:00Z", "2026-04-23T22:00:00Z",
			"2026-04-24T21:00:00Z" },
		{ "America/Havana", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z",
			"2026-11-02T05:00:00Z" },
		/* a day that was left out */
		{ "Pacific/Apia", "2011-12-30T09:00:00Z", "2011-12-29T10:00:00Z",
			"2011-12-30T10:00:00Z" },
		/* before 1970, as a clock without a battery has it */
		{ "America/New_York", "1969-12-31T23:00:00Z", "1969-12-31T05:00:00Z",
			"1970-01-01T05:00:00Z" },
	};

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		live_in(v[i].zone);
		struct mailbox_day day = mailbox_cap_day(&cap, at(v[i].now));
		char begins[CLOCK_STAMP], ends[CLOCK_STAMP];

		ck_assert_msg(day.begins_ms == at(v[i].begins), "%s begins %s", v[i].zone,
			clock_stamp(day.begins_ms, begins));
		ck_assert_msg(day.ends_ms == at(v[i].ends), "%s ends %s", v[i].zone,
			clock_stamp(day.ends_ms, ends));
	}
}
END_TEST

/* Every hour of two years, in zones that do all there is: days follow each other without a gap. */
START_TEST(case_42_days_follow_each_other)
{
	static const char *const zones[] = { "UTC", "Europe/Berlin", "America/Sao_Paulo",
		"America/Havana", "Africa/Cairo", "Australia/Lord_Howe", "Asia/Gaza",
		"Africa/Casablanca" };

	for (size_t i = 0; i < sizeof zones / sizeof *zones; i++) {
		live_in(zones[i]);
		struct mailbox_day last = mailbox_cap_day(&cap, at("2025-01-01T12:00:00Z"));

		for (int64_t t = last.begins_ms; t < at("2027-01-01T12:00:00Z");
			t += CLOCK_HOUR_MS) {
			struct mailbox_day day = mailbox_cap_day(&cap, t);

			ck_assert(day.begins_ms <= t && t < day.ends_ms);
			if (day.number == last.number)
				continue;
			ck_assert_int_eq(day.number, last.number + 1);
			ck_assert_int_eq(day.begins_ms, last.ends_ms);
			last = day;
		}
	}
}
END_TEST

/* ---- the ramp ---------------------------------------------------------------------------------- */

static void expect(const char *now, int limit, const char *gate)
{
	const char *found = NULL, *why = NULL;

	ck_assert_int_eq(mailbox_cap_at(&cap, at(now), &found, &why), limit);
	ck_assert_str_eq(found, gate);
	ck_assert_int_eq(!*why, limit == section.daily_limit);
}

START_TEST(the_ramp_goes_by_weeks_from_the_first_mail)
{
	expect("2026-03-04T12:00:00Z", 3, "mailbox_ramp");
	cap.first_ms = at("2026-03-04T23:59:00Z");
	expect("2026-03-04T12:00:00Z", 3, "mailbox_ramp");
	expect("2026-03-10T23:59:59Z", 3, "mailbox_ramp");
	expect("2026-03-11T00:00:00Z", 7, "mailbox_ramp");
	expect("2026-03-18T00:00:00Z", 12, "mailbox_ramp");
	expect("2026-03-31T23:59:59Z", 20, "mailbox_ramp");
	expect("2026-04-01T00:00:00Z", 25, "mailbox_daily_limit");
	/* Where it lives the 4th had been over. */
	live_in("Asia/Tokyo");
	expect("2026-03-11T14:59:59Z", 3, "mailbox_ramp");
	expect("2026-03-11T15:00:00Z", 7, "mailbox_ramp");
}
END_TEST

START_TEST(a_date_says_when_the_ramp_began)
{
	section.ramp_since_ms = at("2026-03-02");
	live_in("America/New_York");
	cap.first_ms = at("2026-03-20T12:00:00Z");
	expect("2026-03-09T03:59:59Z", 3, "mailbox_ramp");
	expect("2026-03-09T04:00:00Z", 7, "mailbox_ramp");
	/* One that is still to come has not begun. */
	expect("2026-02-01T12:00:00Z", 3, "mailbox_ramp");
}
END_TEST

START_TEST(what_is_less_binds)
{
	section.daily_limit = 5;
	section.n_ramp = 0;
	live_in("UTC");
	expect("2026-03-04T12:00:00Z", 5, "mailbox_daily_limit");
	section.n_ramp = 4;
	live_in("UTC");
	cap.first_ms = at("2026-03-04");
	expect("2026-03-12T12:00:00Z", 5, "mailbox_daily_limit");
	cap.lowered = 4;
	cap.lowered_until_ms = at("2026-03-13");
	expect("2026-03-12T12:00:00Z", 4, "mailbox_daily_limit");
	expect("2026-03-13T00:00:00Z", 5, "mailbox_daily_limit");
	/* Another limit in the file is somebody's word. */
	section.daily_limit = 6;
	live_in("UTC");
	expect("2026-03-12T12:00:00Z", 6, "mailbox_daily_limit");
}
END_TEST

START_TEST(after_a_block_it_begins_again_small)
{
	cap.first_ms = at("2026-01-01");
	cap.back_ms = at("2026-03-04T18:00:00Z");
	expect("2026-03-04T18:00:00Z", 3, "mailbox_ramp");
	expect("2026-03-05T00:00:00Z", 5, "mailbox_ramp");
	expect("2026-03-06T00:00:00Z", 10, "mailbox_ramp");
	expect("2026-03-07T00:00:00Z", 25, "mailbox_daily_limit");
	/* A clock that steps back makes it no larger. */
	expect("2026-03-01T00:00:00Z", 3, "mailbox_ramp");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mailbox_cap");
	TCase *t = tcase_create("cap");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, case_39_a_day_is_the_mailboxs_own);
	tcase_add_test(t, case_42_days_follow_each_other);
	tcase_add_test(t, the_ramp_goes_by_weeks_from_the_first_mail);
	tcase_add_test(t, a_date_says_when_the_ramp_began);
	tcase_add_test(t, what_is_less_binds);
	tcase_add_test(t, after_a_block_it_begins_again_small);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
