/*
 * The pool: what a reload or the wall clock must not change about when a mailbox may send.
 */
#include "coldmail/mailbox.h"

#include <check.h>
#include <stdlib.h>

#include "coldmail/clock.h"

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
	section = (struct conf_mailbox){ .address = ALI, .timezone = "UTC", .connections = 4 };
	configure(20);
	mailbox_history(m, NULL, 0, 0);
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

START_TEST(a_backoff_ends_whatever_the_wall_clock_says)
{
	int64_t wall = clock_wall_ms(), until = 0;

	mailbox_fault(m, MAILBOX_FAULT_TRANSIENT, "421 later");
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

int main(void)
{
	Suite *s = suite_create("mailbox_pool");
	TCase *t = tcase_create("pool");

	tcase_add_checked_fixture(t, setup, mailbox_done_all);
	tcase_add_test(t, a_limit_that_falls_and_rises_again_grants_nothing);
	tcase_add_test(t, a_backoff_ends_whatever_the_wall_clock_says);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
