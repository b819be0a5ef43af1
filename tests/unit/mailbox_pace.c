/*
 * Pace: gaps, the rolling day, and what a restart or a clock that steps back must not grant.
 */
#include "mailbox/pace.h"

#include <check.h>
#include <stdlib.h>

#include "coldmail/clock.h"

#define T0 ((int64_t)1770732191000)

static struct mailbox_pace p;

static void setup(void)
{
	mailbox_pace_init(&p, 1);
	mailbox_pace_set(&p, 12 * CLOCK_MINUTE_MS, 24 * CLOCK_MINUTE_MS, 3);
}

static void teardown(void)
{
	mailbox_pace_done(&p);
}

START_TEST(a_gap_is_drawn_within_its_range)
{
	bool low = false, high = false;

	for (int i = 0; i < 1000; i++) {
		int64_t at = T0 + i * CLOCK_DAY_MS;

		mailbox_pace_add(&p, at);
		int64_t gap = p.not_before_ms - at;
		ck_assert_int_ge(gap, 12 * CLOCK_MINUTE_MS);
		ck_assert_int_le(gap, 24 * CLOCK_MINUTE_MS);
		low |= gap < 14 * CLOCK_MINUTE_MS;
		high |= gap > 22 * CLOCK_MINUTE_MS;
	}
	ck_assert(low && high);
}
END_TEST

START_TEST(the_day_is_any_24_hours)
{
	for (int i = 0; i < 3; i++)
		mailbox_pace_add(&p, T0 + i * CLOCK_HOUR_MS);
	int64_t now = T0 + 3 * CLOCK_HOUR_MS;
	ck_assert_uint_eq(mailbox_pace_used(&p, now), 3);
	ck_assert_int_eq(mailbox_pace_day_opens(&p, now, 3, 0), T0 + CLOCK_DAY_MS);
	ck_assert_uint_eq(mailbox_pace_used(&p, T0 + CLOCK_DAY_MS - 1), 3);
	ck_assert_uint_eq(mailbox_pace_used(&p, T0 + CLOCK_DAY_MS), 2);
	ck_assert_int_eq(mailbox_pace_day_opens(&p, T0 + CLOCK_DAY_MS, 3, 0), T0 + CLOCK_DAY_MS);
	/* One is under way: the next has to wait for the second oldest. */
	ck_assert_int_eq(mailbox_pace_day_opens(&p, T0 + CLOCK_DAY_MS, 3, 1),
		T0 + CLOCK_DAY_MS + CLOCK_HOUR_MS);
}
END_TEST

START_TEST(only_mails_under_way_are_in_the_way)
{
	ck_assert_int_eq(mailbox_pace_day_opens(&p, T0, 3, 3), CLOCK_NEVER_MS);
}
END_TEST

START_TEST(case_43_a_clock_that_steps_back_grants_nothing)
{
	for (int i = 0; i < 3; i++)
		mailbox_pace_add(&p, T0 + i);
	ck_assert_uint_eq(mailbox_pace_used(&p, T0 - CLOCK_HOUR_MS), 3);
	mailbox_pace_add(&p, T0 - CLOCK_HOUR_MS);
	ck_assert_int_ge(p.not_before_ms, T0 + 12 * CLOCK_MINUTE_MS);
}
END_TEST

START_TEST(new_limits_keep_what_was_counted)
{
	for (int i = 0; i < 3; i++)
		mailbox_pace_add(&p, T0 + i);
	mailbox_pace_set(&p, 0, 0, 10);
	ck_assert_uint_eq(mailbox_pace_used(&p, T0 + 10), 3);
	for (int i = 3; i < 12; i++)
		mailbox_pace_add(&p, T0 + i);
	mailbox_pace_set(&p, 0, 0, 2);
	ck_assert_uint_eq(mailbox_pace_used(&p, T0 + 12), 12);
	ck_assert_int_eq(mailbox_pace_day_opens(&p, T0 + 12, 2, 0), T0 + 10 + CLOCK_DAY_MS);
	mailbox_pace_add(&p, T0 + CLOCK_HOUR_MS);
	mailbox_pace_set(&p, 0, 0, 13);
	ck_assert_uint_eq(mailbox_pace_used(&p, T0 + CLOCK_HOUR_MS), 13);
	ck_assert_int_eq(mailbox_pace_day_opens(&p, T0 + CLOCK_HOUR_MS, 13, 0), T0 + CLOCK_DAY_MS);
}
END_TEST

START_TEST(days_that_are_over_take_no_room)
{
	mailbox_pace_set(&p, 0, 0, 40);
	for (int i = 0; i < 4000; i++)
		mailbox_pace_add(&p, T0 + i * CLOCK_HOUR_MS);
	ck_assert_uint_eq(p.n, 40);
	ck_assert_uint_le(p.cap, 64);
	ck_assert_uint_eq(mailbox_pace_used(&p, T0 + 3999 * CLOCK_HOUR_MS), 24);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mailbox_pace");
	TCase *t = tcase_create("pace");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_gap_is_drawn_within_its_range);
	tcase_add_test(t, the_day_is_any_24_hours);
	tcase_add_test(t, only_mails_under_way_are_in_the_way);
	tcase_add_test(t, case_43_a_clock_that_steps_back_grants_nothing);
	tcase_add_test(t, new_limits_keep_what_was_counted);
	tcase_add_test(t, days_that_are_over_take_no_room);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
