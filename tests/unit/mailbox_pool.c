/*
 * The pool: what a reload or the wall clock must not change about when a mailbox may send.
 */
#include "coldmail/mailbox.h"

#include <check.h>
#include <stdlib.h>

#include "coldmail/clock.h"
#include "flow/flow_private.h"

#define ALI "ali@send.example"

static struct conf_mailbox section;
static const struct conf conf = { .mailboxes = &section, .n_mailboxes = 1 };
static struct mailbox *m;

static void configure(int daily_limit)
{
	section.daily_limit = daily_limit;
	mailbox_configure(&conf);
	m = mailbox_find(ALI);
}

static void setup(void)
{
	section = (struct conf_mailbox){
		.address = ALI, .timezone = "UTC", .connections = 4, .ramp_since_ms = CLOCK_NEVER_MS
	};
	configure(20);
	mailbox_history(m, &(struct mailbox_past){ 0 });
}

static void send_one(void)
{
	mailbox_take(m);
	mailbox_slot(m);
	mailbox_give_back(m, true);
}

START_TEST(a_limit_that_falls_and_rises_again_grants_nothing)
{
	const char *reason = NULL;

	for (int i = 0; i < 20; i++)
		send_one();
	configure(1);
	ck_assert_uint_eq(mailbox_room(m, NULL, NULL), 0);
	configure(20);
	ck_assert_uint_eq(mailbox_room(m, &reason, NULL), 0);
	ck_assert_str_eq(reason, "mailbox_daily_limit");
	configure(22);
	ck_assert_uint_eq(mailbox_room(m, NULL, NULL), 2);
	ck_assert_int_eq(mailbox_info(m).sent_24h, 20);
}
END_TEST

/* What a fault means is said by flow/trouble.c, here as there. */
static void fault(struct mailbox *box, enum mailbox_fault f, const char *why)
{
	const struct mailbox_remedy r = flow_trouble_remedy(f, box);

	mailbox_fault(box, &r, why);
}

START_TEST(a_backoff_ends_whatever_the_wall_clock_says)
{
	int64_t wall = clock_wall_ms(), until = 0;

	fault(m, MAILBOX_FAULT_TRANSIENT, "421 later");
	clock_set_wall_ms(wall - 300 * CLOCK_DAY_MS);
	ck_assert_uint_eq(mailbox_room(m, NULL, &until), 0);
	ck_assert_int_le(until, clock_wall_ms() + CLOCK_MINUTE_MS);
	ck_assert_int_gt(until, clock_wall_ms());
	clock_set_wall_ms(wall + 300 * CLOCK_DAY_MS);
	ck_assert_uint_eq(mailbox_room(m, NULL, NULL), 0);
	clock_skip_ms(CLOCK_MINUTE_MS);
	ck_assert_uint_eq(mailbox_room(m, NULL, NULL), 1);
}
END_TEST

/* ---- faults ------------------------------------------------------------------------------------ */

/* M is closed by GATE for FOR_MS (CLOCK_NEVER_MS: without an end), and for READY sends again after. */
static void expect_closed(const char *gate, int64_t for_ms)
{
	const char *reason = NULL;
	int64_t until = 0;

	ck_assert_uint_eq(mailbox_room(m, &reason, &until), 0);
	ck_assert_str_eq(reason, gate);
	if (for_ms == CLOCK_NEVER_MS) {
		ck_assert_int_eq(until, CLOCK_NEVER_MS);
		return;
	}
	/* Time goes on between the fault and the question: much of it, under valgrind. */
	ck_assert_int_le(until, clock_wall_ms() + for_ms);
	ck_assert_int_gt(until, clock_wall_ms() + for_ms - CLOCK_MINUTE_MS);
}

START_TEST(a_fault_stops_a_mailbox_as_long_as_it_has_to)
{
	static const struct {
		enum mailbox_fault fault;
		const char *gate;
		int64_t for_ms;
	} v[] = {
		{ MAILBOX_FAULT_TRANSIENT, "mailbox_throttled", CLOCK_MINUTE_MS },
		{ MAILBOX_FAULT_RATE, "mailbox_throttled", CLOCK_MINUTE_MS },
		{ MAILBOX_FAULT_AUTH, "mailbox_throttled", CLOCK_MINUTE_MS },
		{ MAILBOX_FAULT_AUTH_LATER, "mailbox_auth", 30 * CLOCK_MINUTE_MS },
		{ MAILBOX_FAULT_TLS, "mailbox_tls", CLOCK_HOUR_MS },
		{ MAILBOX_FAULT_BLOCKED, "mailbox_blocked", CLOCK_DAY_MS },
	};

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		fault(m, v[i].fault, "no");
		expect_closed(v[i].gate, v[i].for_ms);
		ck_assert_str_eq(mailbox_info(m).why, "no");
		clock_skip_ms(v[i].for_ms);
		/* One finds out whether it works. */
		ck_assert_uint_eq(mailbox_room(m, NULL, NULL), 1);
		ck_assert_uint_eq(mailbox_connections(m), 1);
		mailbox_succeed(m);
		ck_assert_uint_eq(mailbox_connections(m), 4);
	}
}
END_TEST

START_TEST(a_login_is_tried_twice)
{
	fault(m, MAILBOX_FAULT_AUTH, "535 no");
	clock_skip_ms(CLOCK_MINUTE_MS);
	ck_assert_uint_eq(mailbox_room(m, NULL, NULL), 1);
	fault(m, MAILBOX_FAULT_AUTH, "535 no");
	expect_closed("mailbox_auth", CLOCK_NEVER_MS);
	clock_skip_ms(1000 * CLOCK_DAY_MS);
	expect_closed("mailbox_auth", CLOCK_NEVER_MS);
	mailbox_resume(m);
	ck_assert_uint_eq(mailbox_room(m, NULL, NULL), 1);
}
END_TEST

START_TEST(what_the_provider_took_is_a_day)
{
	for (int i = 0; i < 8; i++) {
		send_one();
		clock_skip_ms(CLOCK_HOUR_MS);
	}
	fault(m, MAILBOX_FAULT_DAILY_LIMIT, "5.4.5 daily limit");
	expect_closed("mailbox_throttled", 16 * CLOCK_HOUR_MS);
	ck_assert_int_eq(mailbox_info(m).cap, 8);
	clock_skip_ms(16 * CLOCK_HOUR_MS);
	ck_assert_uint_eq(mailbox_room(m, NULL, NULL), 1);
	clock_skip_ms(7 * CLOCK_DAY_MS);
	ck_assert_int_eq(mailbox_info(m).cap, 20);
}
END_TEST

START_TEST(what_stops_a_mailbox_is_not_made_better_by_less)
{
	fault(m, MAILBOX_FAULT_TRANSIENT, "421");
	fault(m, MAILBOX_FAULT_BLOCKED, "blocked");
	fault(m, MAILBOX_FAULT_TRANSIENT, "421");
	fault(m, MAILBOX_FAULT_AUTH_LATER, "454");
	expect_closed("mailbox_blocked", CLOCK_DAY_MS);
	ck_assert_str_eq(mailbox_info(m).why, "blocked");
}
END_TEST

START_TEST(after_a_block_a_mailbox_begins_again_small)
{
	fault(m, MAILBOX_FAULT_BLOCKED, "blocked");
	mailbox_resume(m);
	ck_assert_int_eq(mailbox_info(m).cap, 3);
	clock_skip_ms(CLOCK_DAY_MS);
	ck_assert_int_eq(mailbox_info(m).cap, 5);
	clock_skip_ms(2 * CLOCK_DAY_MS);
	ck_assert_int_eq(mailbox_info(m).cap, 20);
}
END_TEST

START_TEST(a_pause_outlives_what_it_covers)
{
	fault(m, MAILBOX_FAULT_BLOCKED, "blocked");
	mailbox_pause(m, "by me");
	expect_closed("mailbox_paused", CLOCK_NEVER_MS);
	ck_assert_str_eq(mailbox_info(m).why, "by me");
	clock_skip_ms(2 * CLOCK_DAY_MS);
	expect_closed("mailbox_paused", CLOCK_NEVER_MS);
	mailbox_pause(m, NULL);
	ck_assert_uint_eq(mailbox_room(m, NULL, NULL), 1);
}
END_TEST

START_TEST(a_mailbox_that_comes_back_is_what_it_was)
{
	static const struct conf none = { 0 };

	fault(m, MAILBOX_FAULT_BLOCKED, "blocked");
	mailbox_configure(&none);
	expect_closed("mailbox_paused", CLOCK_NEVER_MS);
	configure(20);
	expect_closed("mailbox_blocked", CLOCK_DAY_MS);
}
END_TEST

/* ---- a restart --------------------------------------------------------------------------------- */

static void restart(const struct store_mailbox *kept)
{
	mailbox_done_all();
	configure(20);
	mailbox_history(m, &(struct mailbox_past){ .kept = kept });
}

START_TEST(case_40_a_restart_goes_on_where_it_was)
{
	fault(m, MAILBOX_FAULT_BLOCKED, "550 blocked");
	struct store_mailbox kept = mailbox_kept(m);
	kept.why = "550 blocked"; /* what was borrowed ends with the mailbox */
	clock_skip_ms(5 * CLOCK_HOUR_MS);
	restart(&kept);
	expect_closed("mailbox_blocked", 19 * CLOCK_HOUR_MS);
	ck_assert_str_eq(mailbox_info(m).why, "550 blocked");
	/* It ended while nothing ran: it begins again small all the same. */
	clock_skip_ms(20 * CLOCK_HOUR_MS);
	restart(&kept);
	ck_assert_uint_eq(mailbox_room(m, NULL, NULL), 1);
	ck_assert_int_eq(mailbox_info(m).cap, 3);
}
END_TEST

START_TEST(a_restart_is_no_new_try_for_a_login)
{
	fault(m, MAILBOX_FAULT_AUTH, "535 no");
	struct store_mailbox kept = mailbox_kept(m);
	kept.why = "535 no";
	restart(&kept);
	clock_skip_ms(CLOCK_MINUTE_MS);
	ck_assert_uint_eq(mailbox_room(m, NULL, NULL), 1);
	fault(m, MAILBOX_FAULT_AUTH, "535 no");
	kept = mailbox_kept(m);
	kept.why = "535 no";
	restart(&kept);
	expect_closed("mailbox_auth", CLOCK_NEVER_MS);
}
END_TEST

START_TEST(whatever_was_kept_ends)
{
	static const char *const states[] = { "ready", "throttled", "blocked", "auth", "tls",
		"paused", "removed", "", "x" };
	static const int64_t times[] = { INT64_MIN, -1, 0, 1, INT64_MAX - 1, INT64_MAX };

	for (size_t s = 0; s < sizeof states / sizeof *states; s++)
		for (size_t t = 0; t < sizeof times / sizeof *times; t++) {
			const struct store_mailbox kept = { .state = states[s],
				.why = "",
				.until_ms = times[t],
				.backoff_ms = times[t],
				.refused_logins = INT32_MAX,
				.lowered = INT32_MAX,
				.lowered_until_ms = times[t],
				.back_ms = times[t] };

			restart(&kept);
			clock_skip_ms(CLOCK_DAY_MS);
			if (s == 3 && times[t] == CLOCK_NEVER_MS)
				expect_closed("mailbox_auth", CLOCK_NEVER_MS);
			else
				ck_assert_uint_ge(mailbox_room(m, NULL, NULL), 1);
			fault(m, MAILBOX_FAULT_TRANSIENT, "421");
		}
}
END_TEST

START_TEST(a_resume_before_the_past_is_known_holds)
{
	const struct store_mailbox kept = {
		.state = "auth", .why = "", .until_ms = CLOCK_NEVER_MS
	};

	mailbox_done_all();
	configure(20);
	mailbox_resume(m);
	mailbox_history(m, &(struct mailbox_past){ .kept = &kept });
	ck_assert_uint_ge(mailbox_room(m, NULL, NULL), 1);
}
END_TEST

/* ---- whose turn -------------------------------------------------------------------------------- */

START_TEST(the_one_with_more_of_its_day_left_goes_first)
{
	struct conf_mailbox two[] = { section, section };
	const struct conf both = { .mailboxes = two, .n_mailboxes = 2 };

	two[1].address = "bea@send.example";
	two[0].daily_limit = 40;
	mailbox_configure(&both);
	struct mailbox *bea = mailbox_find(two[1].address);
	mailbox_history(bea, &(struct mailbox_past){ 0 });
	send_one();
	ck_assert_int_gt(mailbox_compare(m, bea), 0);
	mailbox_take(bea);
	ck_assert_int_lt(mailbox_compare(m, bea), 0);
	mailbox_give_back(bea, false);
	fault(bea, MAILBOX_FAULT_TLS, "expired");
	ck_assert_int_lt(mailbox_compare(m, bea), 0);
}
END_TEST

/* ---- bounces ----------------------------------------------------------------------------------- */

START_TEST(case_38_percentages_are_of_fifty_mails)
{
	struct mailbox_guard g = { 0 };

	ck_assert(!mailbox_guard_is_over(&g, 1));
	mailbox_guard_add(&g, true);
	ck_assert(!mailbox_guard_is_over(&g, 3));
	mailbox_guard_add(&g, true);
	ck_assert(mailbox_guard_is_over(&g, 3) && !mailbox_guard_is_over(&g, 5));
	mailbox_guard_add(&g, true);
	ck_assert(mailbox_guard_is_over(&g, 5));
	for (int i = 0; i < 47; i++)
		mailbox_guard_add(&g, false);
	ck_assert_int_eq(mailbox_guard_bounces(&g), 3);
	mailbox_guard_add(&g, false);
	ck_assert_int_eq(mailbox_guard_bounces(&g), 2);
	for (int i = 0; i < 100; i++)
		mailbox_guard_add(&g, true);
	ck_assert_int_eq(mailbox_guard_bounces(&g), MAILBOX_GUARD_MAILS);
	ck_assert(mailbox_guard_is_over(&g, 100));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mailbox_pool");
	TCase *t = tcase_create("pool");

	tcase_add_checked_fixture(t, setup, mailbox_done_all);
	tcase_add_test(t, a_limit_that_falls_and_rises_again_grants_nothing);
	tcase_add_test(t, a_backoff_ends_whatever_the_wall_clock_says);
	tcase_add_test(t, a_fault_stops_a_mailbox_as_long_as_it_has_to);
	tcase_add_test(t, a_login_is_tried_twice);
	tcase_add_test(t, what_the_provider_took_is_a_day);
	tcase_add_test(t, what_stops_a_mailbox_is_not_made_better_by_less);
	tcase_add_test(t, after_a_block_a_mailbox_begins_again_small);
	tcase_add_test(t, a_pause_outlives_what_it_covers);
	tcase_add_test(t, a_mailbox_that_comes_back_is_what_it_was);
	tcase_add_test(t, case_40_a_restart_goes_on_where_it_was);
	tcase_add_test(t, a_restart_is_no_new_try_for_a_login);
	tcase_add_test(t, whatever_was_kept_ends);
	tcase_add_test(t, a_resume_before_the_past_is_known_holds);
	tcase_add_test(t, the_one_with_more_of_its_day_left_goes_first);
	tcase_add_test(t, case_38_percentages_are_of_fifty_mails);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
