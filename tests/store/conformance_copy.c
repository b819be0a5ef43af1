/*
 * What every backend must do, part 5: when the store is a copy. Nothing is reserved until it is taken
 * over; what another copy may have mailed is put in doubt, and only that.
 */
#include "rig.h"

/* ---- the seal ---------------------------------------------------------------------------------- */

static void lose_seal(void)
{
	char path[200];

	rig_done();
	snprintf(path, sizeof path, "%s.seal", rig.path);
	ck_assert_int_eq(unlink(path), 0);
	rig_init();
}

static struct store_req *seal(bool take_over, bool only_moved)
{
	struct store_req *r = rig_new(STORE_SEAL);

	r->u.seal.take_over = take_over;
	r->u.seal.only_moved = only_moved;
	return rig_ask(r);
}

START_TEST(a_copy_reserves_nothing_until_it_is_taken_over)
{
	rig_setup();
	rig_sent("first@x.com");
	struct rig_step s = rig_ready("bob@x.com");
	lose_seal();
	struct store_req *r = rig_ask(rig_new(STORE_OPEN));
	rig_ok(r);
	ck_assert_ptr_nonnull(r->u.open.restored);
	ck_assert_str_eq(store_stats().restored, r->u.open.restored);
	ck_assert_int_eq(rig_reserve(&s, 1)->err, CM_ESTORE);
	ck_assert_int_eq(seal(false, false)->err, CM_EPERM);
	ck_assert_int_eq(seal(true, true)->err, CM_ESTATE);
	ck_assert_int_eq(rig_reserve(&s, 1)->err, CM_ESTORE);
	rig_ok(seal(true, false));
	ck_assert_ptr_null(store_stats().restored);
	rig_ok(rig_reserve(&s, 1));
	rig_reopen();
	ck_assert_ptr_null(store_stats().restored);
	ck_assert_int_eq(rig_reserve(&s, 2)->err, CM_ESTATE);
	rig_agrees();
}
END_TEST

START_TEST(a_store_that_never_mailed_needs_no_seal)
{
	rig_setup();
	struct rig_step s = rig_ready("bob@x.com");
	lose_seal();
	rig_ok(rig_ask(rig_new(STORE_OPEN)));
	ck_assert_ptr_null(store_stats().restored);
	rig_ok(rig_reserve(&s, 1));
}
END_TEST

/* ---- doubts ------------------------------------------------------------------------------------ */

#define SINCE (NOW - CLOCK_DAY_MS)

static struct store_req *doubt_new(const struct rig_step *s)
{
	struct store_req *r = rig_new(STORE_DOUBT), *draft = rig_draft_new(s, false);

	r->u.doubt.lead_id = s->lead.id;
	r->u.doubt.v = mem_arena_get(&r->arena, sizeof *r->u.doubt.v);
	r->u.doubt.v[0] = draft->u.draft.email;
	r->u.doubt.v[0].mailbox = MAILBOX;
	r->u.doubt.v[0].message_id = "<guess@example.com>";
	r->u.doubt.n = 1;
	r->u.doubt.since_ms = SINCE;
	r->u.doubt.instance = "test:1:a";
	mem_arena_done(&draft->arena);
	free(draft);
	return r;
}

static size_t doubt(const struct rig_step *s)
{
	struct store_req *r = rig_ask(doubt_new(s));

	rig_ok(r);
	return r->u.doubt.n_new;
}

/* Of N tries the last is uncertain, and the lead waits for somebody. */
static const struct store_attempt *check_doubt(const char *email, size_t n)
{
	const struct store_req *r = rig_get(email);
	const struct store_attempt *a = r->u.get.attempts;

	ck_assert_uint_eq(r->u.get.n_attempts, n);
	while (a->n != (int)n)
		a++;
	ck_assert_int_eq(a->state, STORE_ATTEMPT_UNCERTAIN);
	ck_assert_int_eq(a->slot, STORE_SLOT_TRANSMITTING);
	ck_assert_int_eq(r->u.get.emails[0].outcome, STORE_OUTCOME_UNCERTAIN);
	ck_assert_int_eq(r->u.get.lead.state, LEAD_HELD);
	ck_assert_int_eq(r->u.get.lead.reason, LEAD_REASON_SEND_UNCERTAIN);
	ck_assert_int_eq(r->u.get.lead.n_sent, 1);
	rig_agrees();
	return a;
}

START_TEST(a_step_without_a_row_gets_one)
{
	rig_import("bob@x.com", "founders");
	struct rig_step s = rig_step_of(rig_claim(LEAD_STAGE_DRAFT));
	ck_assert_uint_eq(doubt(&s), 1);
	const struct store_attempt *a = check_doubt("bob@x.com", 1);
	ck_assert_str_eq(a->message_id, "<guess@example.com>");
	ck_assert_int_eq(a->reserved_ms, SINCE);
}
END_TEST

START_TEST(asked_twice_it_is_one_doubt)
{
	struct rig_step s = rig_ready("bob@x.com");
	ck_assert_uint_eq(doubt(&s), 1);
	ck_assert_uint_eq(doubt(&s), 0);
	check_doubt("bob@x.com", 1);
	ck_assert_int_eq(rig.backend->count("attempts", "slot = 0"), 1);
}
END_TEST

START_TEST(an_open_try_is_the_one_in_doubt)
{
	struct rig_step s = rig_reserved("bob@x.com");
	ck_assert_uint_eq(doubt(&s), 1);
	ck_assert_str_eq(check_doubt("bob@x.com", 1)->message_id, "<1@example.com>");
}
END_TEST

START_TEST(so_is_one_whose_slot_was_taken)
{
	struct rig_step s = rig_reserved("bob@x.com");
	rig_ok(rig_slot(&s, 1));
	ck_assert_uint_eq(doubt(&s), 1);
	check_doubt("bob@x.com", 1);
}
END_TEST

/* It was void in the copy, too: the one after it may have gone, with the same bytes. */
START_TEST(a_void_one_is_released_and_the_next_is_in_doubt)
{
	struct rig_step s = rig_reserved("bob@x.com");
	rig_ok(rig_ask(rig_void_new(&s, 1, "paused")));
	ck_assert_uint_eq(doubt(&s), 1);
	const struct store_attempt *a = check_doubt("bob@x.com", 2);
	ck_assert_str_eq(a->message_id, "<1@example.com>");
	ck_assert_str_eq(a->sha256, "00");
	ck_assert_int_eq(rig.backend->count("attempts", "state = 'released'"), 1);
}
END_TEST

START_TEST(what_is_done_is_in_no_doubt)
{
	struct rig_step s = rig_sent("bob@x.com");
	ck_assert_uint_eq(doubt(&s), 0);
	const struct store_req *r = rig_get("bob@x.com");
	ck_assert_int_eq(r->u.get.emails[0].outcome, STORE_OUTCOME_SENT);
	rig_agrees();
}
END_TEST

START_TEST(a_hold_without_an_end_stays)
{
	struct rig_step s = rig_ready("bob@x.com");
	rig_ok(rig_act("bob@x.com", STORE_LEAD_HOLD, LEAD_REASON_OPERATOR));
	ck_assert_uint_eq(doubt(&s), 1);
	ck_assert_int_eq(rig_get("bob@x.com")->u.get.lead.reason, LEAD_REASON_OPERATOR);
	rig_agrees();
}
END_TEST

START_TEST(a_dry_run_doubts_nothing)
{
	struct rig_step s = rig_ready("bob@x.com");
	struct store_req *r = doubt_new(&s);
	r->u.doubt.dry_run = true;
	r = rig_ask(r);
	rig_ok(r);
	ck_assert_uint_eq(r->u.doubt.n_new, 1);
	ck_assert_int_eq(rig.backend->count("attempts", "slot = 0"), 0);
	ck_assert_int_eq(rig_get("bob@x.com")->u.get.lead.state, LEAD_IN_FLIGHT);
	rig_agrees();
}
END_TEST

static Suite *make(const char *backend)
{
	Suite *s = suite_create(backend);
	TCase *seals = tcase_create("seal"), *doubts = tcase_create("doubt");

	tcase_add_checked_fixture(seals, NULL, rig_teardown);
	tcase_add_test(seals, a_copy_reserves_nothing_until_it_is_taken_over);
	tcase_add_test(seals, a_store_that_never_mailed_needs_no_seal);
	suite_add_tcase(s, seals);
	tcase_add_checked_fixture(doubts, rig_setup, rig_teardown);
	tcase_add_test(doubts, a_step_without_a_row_gets_one);
	tcase_add_test(doubts, asked_twice_it_is_one_doubt);
	tcase_add_test(doubts, an_open_try_is_the_one_in_doubt);
	tcase_add_test(doubts, so_is_one_whose_slot_was_taken);
	tcase_add_test(doubts, a_void_one_is_released_and_the_next_is_in_doubt);
	tcase_add_test(doubts, what_is_done_is_in_no_doubt);
	tcase_add_test(doubts, a_hold_without_an_end_stays);
	tcase_add_test(doubts, a_dry_run_doubts_nothing);
	suite_add_tcase(s, doubts);
	return s;
}

int main(void)
{
	return rig_main(make);
}
