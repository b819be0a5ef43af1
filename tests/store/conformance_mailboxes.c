/*
 * What every backend must do, part 4: mailboxes. When each sent is read from the ledger; what a server
 * did to one is remembered as it was told, whatever else is in the row by now.
 */
#include "rig.h"

static struct store_req *ask_use(const char *mailbox)
{
	struct store_req *r = rig_new(STORE_MAILBOX_USE);

	r->u.use.mailbox = mailbox;
	r->u.use.max = 9;
	r = rig_ask(r);
	rig_ok(r);
	return r;
}

static void keep(const char *mailbox, const struct store_mailbox *kept)
{
	struct store_req *r = rig_new(STORE_MAILBOX_SET);

	r->u.mailbox.address = mailbox;
	r->u.mailbox.kept = *kept;
	rig_ok(rig_ask(r));
}

START_TEST(a_mailbox_counts_its_slots)
{
	struct store_req *r = rig_new(STORE_MAILBOX_USE);

	for (int i = 0; i < 5; i++) {
		char email[32];

		snprintf(email, sizeof email, "bob%d@x.com", i);
		rig.now_ms = NOW + i * 1000;
		struct rig_step s = rig_reserved(email);
		if (i == 1) { /* void: it did not use the mailbox */
			rig_ok(rig_ask(rig_void_new(&s, 1, "x")));
			rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_RELEASED));
			rig_ok(rig_act(s.lead.email, STORE_LEAD_HOLD, LEAD_REASON_OPERATOR));
		} else if (i < 4) {
			rig_ok(rig_slot(&s, 1));
			rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_SENT));
		}
	}
	r->u.use.mailbox = MAILBOX;
	r->u.use.since_ms = NOW + 1;
	r->u.use.max = 2;
	r = rig_ask(r);
	rig_ok(r);
	ck_assert_uint_eq(r->u.use.n, 2);
	ck_assert_int_eq(r->u.use.at_ms[0], NOW + 3000);
	ck_assert_int_eq(r->u.use.at_ms[1], NOW + 4000);
	ck_assert_int_eq(r->u.use.first_ms, NOW);
	ck_assert_int_eq(r->u.use.last_ms, NOW + 4000);
	r = rig_new(STORE_MAILBOX_USE);
	r->u.use.mailbox = MAILBOX;
	r->u.use.since_ms = NOW + CLOCK_DAY_MS;
	r->u.use.max = 100;
	r = rig_ask(r);
	ck_assert_uint_eq(r->u.use.n, 0);
	ck_assert_int_eq(r->u.use.last_ms, NOW + 4000);
}
END_TEST

static const struct store_mailbox blocked = { .state = "blocked",
	.why = "550 5.7.708 traffic not accepted",
	.until_ms = NOW + CLOCK_DAY_MS,
	.backoff_ms = 3600000,
	.refused_logins = 1,
	.lowered = 18,
	.lowered_until_ms = NOW + 7 * CLOCK_DAY_MS,
	.back_ms = NOW - 1 };

static void check_same(const struct store_mailbox *a, const struct store_mailbox *b)
{
	ck_assert_ptr_nonnull(a);
	ck_assert_str_eq(a->state, b->state);
	ck_assert_str_eq(a->why, b->why);
	ck_assert_int_eq(a->until_ms, b->until_ms);
	ck_assert_int_eq(a->backoff_ms, b->backoff_ms);
	ck_assert_int_eq(a->refused_logins, b->refused_logins);
	ck_assert_int_eq(a->lowered, b->lowered);
	ck_assert_int_eq(a->lowered_until_ms, b->lowered_until_ms);
	ck_assert_int_eq(a->back_ms, b->back_ms);
}

START_TEST(case_40_what_is_remembered_of_a_mailbox_outlives_a_restart)
{
	static const struct store_mailbox ready = {
		.state = "ready", .why = "", .until_ms = CLOCK_NEVER_MS, .backoff_ms = 60000
	};

	ck_assert_ptr_null(ask_use(MAILBOX)->u.use.kept);
	keep(MAILBOX, &blocked);
	keep(OTHER, &ready);
	rig_reopen();
	check_same(ask_use(MAILBOX)->u.use.kept, &blocked);
	check_same(ask_use(OTHER)->u.use.kept, &ready);
	keep(MAILBOX, &ready);
	keep(MAILBOX, &ready);
	check_same(ask_use(MAILBOX)->u.use.kept, &ready);
	ck_assert_int_eq(rig.backend->count("mailboxes", "1"), 2);
}
END_TEST

static struct store_req *test_slot(const char *to)
{
	struct store_req *r = rig_new(STORE_TEST_SLOT);
	char person[LEAD_PERSON];

	store_person(to, person);
	r->u.test.mailbox = MAILBOX;
	r->u.test.to = to;
	r->u.test.to_person = mem_arena_dup(&r->arena, person);
	return rig_ask(r);
}

START_TEST(a_test_counts_for_the_day_and_begins_no_ramp)
{
	rig_ok(test_slot("me@x.com"));
	rig.now_ms++;
	rig_ok(test_slot("me@x.com"));
	struct store_req *r = ask_use(MAILBOX);
	ck_assert_uint_eq(r->u.use.n, 2);
	ck_assert_int_eq(r->u.use.last_ms, NOW + 1);
	ck_assert_int_eq(r->u.use.first_ms, 0);
	ck_assert_uint_eq(ask_use(OTHER)->u.use.n, 0);
	rig_agrees();
}
END_TEST

START_TEST(a_test_goes_to_nobody_who_is_suppressed)
{
	rig_suppress("x.com");
	struct store_req *r = test_slot("me@x.com");
	ck_assert_int_eq(r->err, CM_ESTATE);
	ck_assert_ptr_nonnull(strstr(r->why, "x.com"));
	ck_assert_uint_eq(ask_use(MAILBOX)->u.use.n, 0);
}
END_TEST

START_TEST(a_row_of_unknown_origin_is_read_all_the_same)
{
	static const char *const fields[] = { "state", "why", "until", "backoff", "refused_logins",
		"lowered", "lowered_until", "back_at" };
	static const char *const junk[] = { "NULL", "-7", "9223372036854775807", "X'00ff'", "'x'",
		"replace(hex(zeroblob(500000)), '0', 'x')" };

	for (size_t f = 0; f < sizeof fields / sizeof *fields; f++)
		for (size_t j = 0; j < sizeof junk / sizeof *junk; j++) {
			keep(MAILBOX, &blocked);
			rig.backend->poke("mailboxes", fields[f], junk[j], "1");
			const struct store_mailbox *k = ask_use(MAILBOX)->u.use.kept;
			ck_assert(k && k->state && k->why);
			ck_assert_int_ge(k->refused_logins, 0);
			ck_assert_int_ge(k->lowered, 0);
		}
}
END_TEST

static Suite *make(const char *backend)
{
	Suite *s = suite_create(backend);
	TCase *t = tcase_create("mailboxes");

	tcase_add_checked_fixture(t, rig_setup, rig_teardown);
	tcase_add_test(t, a_mailbox_counts_its_slots);
	tcase_add_test(t, case_40_what_is_remembered_of_a_mailbox_outlives_a_restart);
	tcase_add_test(t, a_test_counts_for_the_day_and_begins_no_ramp);
	tcase_add_test(t, a_test_goes_to_nobody_who_is_suppressed);
	tcase_add_test(t, a_row_of_unknown_origin_is_read_all_the_same);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return rig_main(make);
}
