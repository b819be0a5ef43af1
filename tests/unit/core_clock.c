/*
 * When the wall clock is believed: what happens to it is told by a file, the time between by a skip of
 * both clocks.
 */
#include "coldmail/clock.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char file[] = "/tmp/coldmail-clock-XXXXXX";
static int n_told;

static void on_doubt(void)
{
	n_told++;
}

static void set(int64_t ahead_ms, bool is_synchronised)
{
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	fprintf(f, "%lld %ssynchronised\n", (long long)ahead_ms, is_synchronised ? "" : "un");
	fclose(f);
	clock_tick();
}

static void setup(void)
{
	int fd = mkstemp(file);

	ck_assert_int_ge(fd, 0);
	close(fd);
	setenv("COLDMAIL_CLOCK", file, 1);
	set(0, false);
	clock_trust();
	n_told = 0;
	clock_on_doubt(on_doubt);
}

static void teardown(void)
{
	clock_on_doubt(NULL);
	unlink(file);
}

START_TEST(a_leap_of_an_hour)
{
	set(CLOCK_HOUR_MS - 1000, false);
	ck_assert_ptr_null(clock_doubt());
	set(CLOCK_HOUR_MS + 1000, false);
	ck_assert_str_eq(clock_doubt(), "it leapt ahead by 1h");
	ck_assert_int_eq(n_told, 1);
	set(2 * CLOCK_HOUR_MS, false);
	ck_assert_str_eq(clock_doubt(), "it leapt ahead by 1h");
	set(30 * CLOCK_MINUTE_MS, false);
	ck_assert_ptr_null(clock_doubt());
	ck_assert_int_eq(n_told, 2);
}
END_TEST

START_TEST(leaps_add_up)
{
	set(50 * CLOCK_MINUTE_MS, false);
	ck_assert_ptr_null(clock_doubt());
	set(100 * CLOCK_MINUTE_MS, false);
	ck_assert_ptr_nonnull(clock_doubt());
}
END_TEST

/* 500 ppm, which is what adjtime(3) slews by: 43 s a day, an hour in 84 days. */
START_TEST(a_clock_that_runs_fast_does_not_leap)
{
	for (int64_t day = 1; day <= 400; day++) {
		clock_skip_ms(CLOCK_DAY_MS);
		set(day * 43200, false);
		ck_assert_ptr_null(clock_doubt());
	}
}
END_TEST

START_TEST(back_and_forth)
{
	set(-3 * CLOCK_HOUR_MS, false);
	ck_assert_ptr_null(clock_doubt());
	set(0, false);
	ck_assert_ptr_nonnull(clock_doubt());
}
END_TEST

START_TEST(what_ntp_says_is_believed)
{
	set(9 * CLOCK_HOUR_MS, true);
	ck_assert_ptr_null(clock_doubt());
	set(9 * CLOCK_HOUR_MS, false);
	ck_assert_ptr_null(clock_doubt());
	set(18 * CLOCK_HOUR_MS, false);
	ck_assert_ptr_nonnull(clock_doubt());
	set(18 * CLOCK_HOUR_MS, true);
	clock_skip_ms(2000); /* the kernel is asked once a second */
	ck_assert_ptr_null(clock_doubt());
}
END_TEST

START_TEST(a_machine_that_sleeps_does_not_leap)
{
	clock_skip_ms(300 * CLOCK_DAY_MS);
	ck_assert_ptr_null(clock_doubt());
}
END_TEST

START_TEST(distrust_ends_with_ntp_or_an_operator)
{
	clock_distrust("nobody set it");
	set(-CLOCK_HOUR_MS, false);
	ck_assert_str_eq(clock_doubt(), "nobody set it");
	clock_trust();
	ck_assert_ptr_null(clock_doubt());
	clock_distrust("nobody set it");
	set(-CLOCK_HOUR_MS, true);
	clock_skip_ms(2000);
	ck_assert_ptr_null(clock_doubt());
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core_clock");
	SRunner *sr = srunner_create(s);
	TCase *tc = tcase_create("trust");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_leap_of_an_hour);
	tcase_add_test(tc, leaps_add_up);
	tcase_add_test(tc, a_clock_that_runs_fast_does_not_leap);
	tcase_add_test(tc, back_and_forth);
	tcase_add_test(tc, what_ntp_says_is_believed);
	tcase_add_test(tc, a_machine_that_sleeps_does_not_leap);
	tcase_add_test(tc, distrust_ends_with_ntp_or_an_operator);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
