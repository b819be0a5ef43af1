/*
 * What an error means: the crash table of the ledger and the basic reply classes, row by row.
 */
#include "flow/flow_private.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"

static struct flow_trouble of(
	enum mail_outcome o, enum mail_stage stage, int code, const char *enhanced, int n)
{
	struct mail_verdict v = { .outcome = o, .stage = stage, .code = code };

	snprintf(v.enhanced, sizeof v.enhanced, "%s", enhanced);
	return flow_trouble_of(&v, n);
}

#define REFUSED(stage, code, enhanced)                                                             \
	of(MAIL_OUTCOME_REFUSED, MAIL_STAGE_##stage, (code), (enhanced), 1)

START_TEST(sent_goes_on)
{
	struct flow_trouble t = of(MAIL_OUTCOME_SENT, MAIL_STAGE_DOT, 250, "2.0.0", 1);

	ck_assert_str_eq(t.class, "sent");
	ck_assert_int_eq(t.attempt, STORE_ATTEMPT_SENT);
	ck_assert_int_eq(t.outcome, STORE_OUTCOME_SENT);
	ck_assert_int_eq(t.lead, FLOW_LEAD_NEXT);
	ck_assert(!t.throttle && !t.suppress);
}
END_TEST

START_TEST(case_08_doubt_is_held_never_tried_again)
{
	struct flow_trouble t = of(MAIL_OUTCOME_UNCERTAIN, MAIL_STAGE_DOT, 0, "", 1);

	ck_assert_int_eq(t.attempt, STORE_ATTEMPT_UNCERTAIN);
	ck_assert_int_eq(t.outcome, STORE_OUTCOME_UNCERTAIN);
	ck_assert_int_eq(t.lead, FLOW_LEAD_HOLD);
	ck_assert_int_eq(t.reason, LEAD_REASON_SEND_UNCERTAIN);
}
END_TEST

START_TEST(a_dead_address_is_suppressed)
{
	static const char *const codes[] = { "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10",
		"5.2.1" };

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		struct flow_trouble t = REFUSED(RCPT, 550, codes[i]);

		ck_assert_str_eq(t.class, "recipient-permanent");
		ck_assert_int_eq(t.lead, FLOW_LEAD_END);
		ck_assert_int_eq(t.outcome, STORE_OUTCOME_REFUSED);
		ck_assert(t.suppress && !t.throttle);
	}
}
END_TEST

START_TEST(case_36_an_unknown_no_blocks_and_suppresses_nobody)
{
	static const char *const codes[] = { "", "5.7.1", "5.0.0", "5.1.0", "5.1.11", "5.1" };

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		struct flow_trouble t = REFUSED(RCPT, 550, codes[i]);

		ck_assert_str_eq(t.class, "unknown");
		ck_assert_int_eq(t.lead, FLOW_LEAD_HOLD);
		ck_assert_int_eq(t.reason, LEAD_REASON_SMTP_UNKNOWN);
		ck_assert_int_eq(t.outcome, STORE_OUTCOME_NONE);
		ck_assert(!t.suppress && !t.throttle);
	}
}
END_TEST

START_TEST(case_37_a_temporary_no_waits)
{
	struct flow_trouble t = REFUSED(RCPT, 450, "4.7.1");

	ck_assert_int_eq(t.lead, FLOW_LEAD_DEFER);
	ck_assert_int_eq(t.reason, LEAD_REASON_SMTP_DEFERRED);
	ck_assert_int_eq(t.wait_ms, 5 * CLOCK_MINUTE_MS);
	ck_assert(!t.throttle);
	t = of(MAIL_OUTCOME_REFUSED, MAIL_STAGE_DOT, 451, "", 3);
	ck_assert_int_eq(t.wait_ms, CLOCK_HOUR_MS);
	t = of(MAIL_OUTCOME_REFUSED, MAIL_STAGE_DOT, 451, "", 1000);
	ck_assert_int_eq(t.wait_ms, 7 * CLOCK_DAY_MS);
}
END_TEST

START_TEST(what_concerns_our_side_leaves_the_lead_alone)
{
	static const enum mail_stage stages[] = { MAIL_STAGE_CONNECT, MAIL_STAGE_GREET,
		MAIL_STAGE_EHLO, MAIL_STAGE_MAIL };

	for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
		struct flow_trouble t = of(MAIL_OUTCOME_REFUSED, stages[i], 550, "5.1.1", 1);

		ck_assert_int_eq(t.lead, FLOW_LEAD_AGAIN);
		ck_assert(t.throttle && !t.suppress);
	}
	struct flow_trouble t = REFUSED(RCPT, 421, "4.7.0");
	ck_assert_int_eq(t.lead, FLOW_LEAD_AGAIN);
	ck_assert(t.throttle);
}
END_TEST

START_TEST(a_mail_that_keeps_breaking_steps_aside)
{
	struct flow_trouble t = of(MAIL_OUTCOME_NOT_SENT, MAIL_STAGE_BODY, 0, "", 1);

	ck_assert_int_eq(t.lead, FLOW_LEAD_AGAIN);
	ck_assert_int_eq(t.attempt, STORE_ATTEMPT_NOT_SENT);
	t = of(MAIL_OUTCOME_NOT_SENT, MAIL_STAGE_BODY, 0, "", 2);
	ck_assert_int_eq(t.lead, FLOW_LEAD_DEFER);
	t = of(MAIL_OUTCOME_NOT_SENT, MAIL_STAGE_CONNECT, 0, "", 9);
	ck_assert_int_eq(t.lead, FLOW_LEAD_AGAIN);
}
END_TEST

START_TEST(what_we_let_go_of_ourselves_blames_nobody)
{
	struct mail_verdict v = {
		.outcome = MAIL_OUTCOME_NOT_SENT, .stage = MAIL_STAGE_BODY, .err = CM_ECANCELED
	};

	for (int n = 1; n < 10; n++) {
		struct flow_trouble t = flow_trouble_of(&v, n);

		ck_assert_int_eq(t.attempt, STORE_ATTEMPT_NOT_SENT);
		ck_assert_int_eq(t.lead, FLOW_LEAD_AGAIN);
		ck_assert(!t.throttle && !t.suppress);
	}
}
END_TEST

START_TEST(every_verdict_has_a_meaning)
{
	for (int o = MAIL_OUTCOME_SENT; o <= MAIL_OUTCOME_UNCERTAIN; o++)
		for (int stage = MAIL_STAGE_CONNECT; stage <= MAIL_STAGE_QUIT; stage++)
			for (int code = 0; code < 600; code++)
				ck_assert_ptr_nonnull(of((enum mail_outcome)o,
					(enum mail_stage)stage, code, "5.1.1", 1)
							      .class);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow_trouble");
	TCase *t = tcase_create("trouble");

	tcase_add_test(t, sent_goes_on);
	tcase_add_test(t, case_08_doubt_is_held_never_tried_again);
	tcase_add_test(t, a_dead_address_is_suppressed);
	tcase_add_test(t, case_36_an_unknown_no_blocks_and_suppresses_nobody);
	tcase_add_test(t, case_37_a_temporary_no_waits);
	tcase_add_test(t, what_concerns_our_side_leaves_the_lead_alone);
	tcase_add_test(t, a_mail_that_keeps_breaking_steps_aside);
	tcase_add_test(t, what_we_let_go_of_ourselves_blames_nobody);
	tcase_add_test(t, every_verdict_has_a_meaning);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
