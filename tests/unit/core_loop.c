/*
 * The loop: timers in order on our own clock, deferred work, virtual time that leaps only when nothing
 * is outstanding; lanes: groups, slices, the way back.
 */
#include "coldmail/loop.h"

#include <check.h>
#include <stdlib.h>
#include <unistd.h>

#include "coldmail/clock.h"
#include "coldmail/job.h"
#include "coldmail/mem.h"

#define TIMERS 500

static struct loop_timer timers[TIMERS];
static int64_t fired_at[TIMERS];
static size_t n_fired;

static void setup(void)
{
	ck_assert_int_eq(loop_init(), 0);
	n_fired = 0;
}

static void teardown(void)
{
	loop_set_fast_forward(false);
	loop_done();
}

static void on_fired(void *arg)
{
	struct loop_timer *t = arg;

	fired_at[n_fired++] = t->at_ms;
	ck_assert(!loop_timer_is_set(t));
	ck_assert_int_ge(clock_boot_ms(), t->at_ms);
}

static void stop(void *arg)
{
	(void)arg;
	loop_stop();
}

START_TEST(timers_fire_in_order)
{
	struct loop_timer last;
	int64_t boot = clock_boot_ms();
	unsigned seed = 42;

	for (size_t i = 0; i < TIMERS; i++) {
		loop_timer_init(&timers[i], on_fired, &timers[i]);
		loop_timer_at(&timers[i], boot + rand_r(&seed) % 1000000);
	}
	/* Every third is moved, every fifth cancelled: the heap must stay one. */
	for (size_t i = 0; i < TIMERS; i += 3)
		loop_timer_at(&timers[i], boot + rand_r(&seed) % 1000000);
	for (size_t i = 0; i < TIMERS; i += 5)
		loop_timer_cancel(&timers[i]);
	loop_timer_init(&last, stop, NULL);
	loop_timer_at(&last, boot + 2000000);
	loop_set_fast_forward(true);
	loop_run();
	ck_assert_uint_eq(n_fired, TIMERS - TIMERS / 5);
	for (size_t i = 1; i < n_fired; i++)
		ck_assert_int_ge(fired_at[i], fired_at[i - 1]);
	ck_assert_int_ge(clock_boot_ms(), boot + 2000000);
}
END_TEST

static uint64_t turns_at[5];

static void set_again(void *arg)
{
	turns_at[n_fired++] = loop_stats().turns;
	if (n_fired == sizeof turns_at / sizeof *turns_at)
		loop_stop();
	else
		loop_timer_in(arg, 0);
}

/* Whoever splits its work over turns can rely on it, however many timers there are. */
START_TEST(what_a_timer_sets_for_now_comes_in_the_next_turn)
{
	for (size_t i = 1; i < TIMERS; i++) {
		loop_timer_init(&timers[i], stop, NULL);
		loop_timer_in(&timers[i], CLOCK_HOUR_MS);
	}
	loop_timer_init(&timers[0], set_again, &timers[0]);
	loop_timer_in(&timers[0], 0);
	loop_run();
	ck_assert_uint_eq(n_fired, 5);
	for (size_t i = 1; i < n_fired; i++)
		ck_assert_uint_eq(turns_at[i], turns_at[i - 1] + 1);
}
END_TEST

static void on_numbered(void *arg)
{
	fired_at[n_fired++] = (int64_t)((struct loop_timer *)arg - timers);
}

START_TEST(of_timers_for_the_same_time_the_first_one_set_is_the_first)
{
	struct loop_timer last;
	int64_t boot = clock_boot_ms();

	for (size_t i = 0; i < TIMERS; i++) {
		loop_timer_init(&timers[i], on_numbered, &timers[i]);
		loop_timer_at(&timers[i], boot);
	}
	loop_timer_init(&last, stop, NULL);
	loop_timer_at(&last, boot + 1);
	loop_run();
	ck_assert_uint_eq(n_fired, TIMERS);
	for (size_t i = 0; i < TIMERS; i++)
		ck_assert_int_eq(fired_at[i], (int64_t)i);
}
END_TEST

START_TEST(a_far_timer_does_not_overflow)
{
	struct loop_timer t;

	loop_timer_init(&t, stop, NULL);
	loop_timer_in(&t, CLOCK_NEVER_MS - 5);
	ck_assert(!loop_timer_is_set(&t));
	loop_timer_at(&t, CLOCK_NEVER_MS);
	ck_assert(!loop_timer_is_set(&t));
}
END_TEST

static struct loop_defer again;
static int rounds;

static void defer_again(void *arg)
{
	if (++rounds < 5)
		loop_defer(&again, defer_again, arg);
	else
		loop_stop();
}

START_TEST(deferred_work_may_defer_itself)
{
	rounds = 0;
	loop_defer(&again, defer_again, NULL);
	loop_defer(&again, defer_again, NULL); /* once all the same */
	loop_run();
	ck_assert_int_eq(rounds, 5);
}
END_TEST

START_TEST(deferred_work_can_be_cancelled)
{
	struct loop_defer a = { 0 }, b = { 0 };

	rounds = 100;
	loop_defer(&a, defer_again, NULL);
	loop_defer(&b, stop, NULL);
	loop_defer_cancel(&a);
	loop_run();
	ck_assert_int_eq(rounds, 100);
}
END_TEST

/* ---- lanes ---------------------------------------------------------------------------------------- */

struct sum {
	struct job job;
	int in, out, slices;
};

static size_t largest_group, n_done;

static void sum_group(void *ctx, struct job **jobs, size_t n)
{
	(void)ctx;
	usleep(2000); /* so that more gather meanwhile */
	if (n > largest_group)
		largest_group = n;
	for (size_t i = 0; i < n; i++) {
		struct sum *s = (struct sum *)(void *)jobs[i];

		s->out = s->in * 2;
	}
}

static bool sum_slice(void *ctx, struct job *j)
{
	struct sum *s = (struct sum *)(void *)j;

	(void)ctx;
	s->slices++;
	return s->slices == 10 || j->cancelled;
}

static const struct job_lane_ops sum_ops = {
	.group = sum_group, .slice = sum_slice, .group_max = 16
};

static void on_summed(struct job *j)
{
	struct sum *s = (struct sum *)(void *)j;

	ck_assert(s->job.bulk ? s->slices == 10 : s->out == s->in * 2);
	free(s);
	if (++n_done == 101)
		loop_stop();
}

START_TEST(a_lane_gives_every_job_back_once)
{
	struct job_lane *lane = job_lane_new("sums", &sum_ops, NULL);
	int64_t boot = clock_boot_ms();
	struct loop_timer far;

	largest_group = n_done = 0;
	for (int i = 0; i <= 100; i++) {
		struct sum *s = xcalloc(1, sizeof *s);

		s->in = i;
		s->job.done = on_summed;
		s->job.bulk = i == 100;
		job_send(lane, &s->job);
	}
	ck_assert(loop_is_held());
	/* Virtual time stands still while jobs are out: the far timer must not end the run. */
	loop_timer_init(&far, stop, NULL);
	loop_timer_at(&far, boot + 1000 * CLOCK_HOUR_MS);
	loop_set_fast_forward(true);
	loop_run();
	ck_assert_uint_eq(n_done, 101);
	ck_assert_uint_gt(largest_group, 1);
	ck_assert_uint_le(largest_group, 16);
	ck_assert(!loop_is_held());
	ck_assert_int_lt(clock_boot_ms(), boot + CLOCK_HOUR_MS);
	loop_timer_cancel(&far);
	job_lane_free(lane);
}
END_TEST

static void on_late(struct job *j)
{
	n_done++;
	free((struct sum *)(void *)j);
}

START_TEST(a_lane_that_ends_finishes_what_it_has)
{
	struct job_lane *lane = job_lane_new("sums", &sum_ops, NULL);

	n_done = 0;
	for (int i = 0; i < 50; i++) {
		struct sum *s = xcalloc(1, sizeof *s);

		s->job.done = on_late;
		s->job.bulk = i % 2;
		job_send(lane, &s->job);
	}
	job_lane_free(lane);
	ck_assert_uint_eq(n_done, 50);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core_loop");
	TCase *t = tcase_create("loop");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, timers_fire_in_order);
	tcase_add_test(t, what_a_timer_sets_for_now_comes_in_the_next_turn);
	tcase_add_test(t, of_timers_for_the_same_time_the_first_one_set_is_the_first);
	tcase_add_test(t, a_far_timer_does_not_overflow);
	tcase_add_test(t, deferred_work_may_defer_itself);
	tcase_add_test(t, deferred_work_can_be_cancelled);
	tcase_add_test(t, a_lane_gives_every_job_back_once);
	tcase_add_test(t, a_lane_that_ends_finishes_what_it_has);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
