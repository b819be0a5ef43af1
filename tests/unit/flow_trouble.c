/*
 * What an error means: the crash table of the ledger and the classes of refusals, row by row.
 */
#include "flow/flow_private.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"

#define NOW (1000 * CLOCK_DAY_MS)

static const struct store_past none;

static struct flow_trouble of(
	enum mail_outcome o, enum mail_stage stage, int code, enum mail_class class, int n)
{
	struct mail_verdict v = { .outcome = o, .stage = stage, .code = code };

	return flow_trouble_of(&v, (struct mail_ruling){ class, "" }, n, &none, NOW);
}

static struct flow_trouble refused(enum mail_stage stage, int code, enum mail_class class,
	const char *reason, const struct store_past *past)
{
	struct mail_verdict v = { .outcome = MAIL_OUTCOME_REFUSED, .stage = stage, .code = code };

	return flow_trouble_of(&v, (struct mail_ruling){ class, reason }, 1, past, NOW);
}

START_TEST(sent_goes_on)
{
	struct flow_trouble t = of(MAIL_OUTCOME_SENT, MAIL_STAGE_DOT, 250, MAIL_CLASS_SENT, 1);

	ck_assert_int_eq(t.ruling.class, MAIL_CLASS_SENT);
	ck_assert_int_eq(t.attempt, STORE_ATTEMPT_SENT);
	ck_assert_int_eq(t.outcome, STORE_OUTCOME_SENT);
	ck_assert_int_eq(t.lead, FLOW_LEAD_NEXT);
	ck_assert(!t.has_fault && !t.suppress);
}
END_TEST

START_TEST(case_08_doubt_is_held_never_tried_again)
{
	struct flow_trouble t =
		of(MAIL_OUTCOME_UNCERTAIN, MAIL_STAGE_DOT, 0, MAIL_CLASS_UNKNOWN, 1);

	ck_assert_int_eq(t.attempt, STORE_ATTEMPT_UNCERTAIN);
	ck_assert_int_eq(t.outcome, STORE_OUTCOME_UNCERTAIN);
	ck_assert_int_eq(t.lead, FLOW_LEAD_HOLD);
	ck_assert_int_eq(t.reason, LEAD_REASON_SEND_UNCERTAIN);
}
END_TEST

START_TEST(a_loss_at_the_dot_is_the_mailboxs_trouble_but_for_our_own_stop)
{
	static const int errs[] = { CM_ECLOSED, CM_ETIMEDOUT, CM_EPROTO };
	struct mail_verdict v = { .outcome = MAIL_OUTCOME_UNCERTAIN, .stage = MAIL_STAGE_DOT };
	const struct mail_ruling r = { MAIL_CLASS_UNKNOWN, "no-answer" };

	for (size_t i = 0; i < sizeof errs / sizeof *errs; i++) {
		v.err = errs[i];
		struct flow_trouble t = flow_trouble_of(&v, r, 1, &none, NOW);

		ck_assert(t.has_fault);
		ck_assert_int_eq(t.fault, MAILBOX_FAULT_TRANSIENT);
		ck_assert_int_eq(t.lead, FLOW_LEAD_HOLD);
	}
	v.err = CM_ECANCELED;
	ck_assert(!flow_trouble_of(&v, r, 1, &none, NOW).has_fault);
}
END_TEST

START_TEST(case_36_an_address_of_no_use_is_its_leads_fault)
{
	struct mail_verdict v = {
		.outcome = MAIL_OUTCOME_NOT_SENT, .stage = MAIL_STAGE_RCPT, .err = CM_EINVAL
	};
	struct flow_trouble t =
		flow_trouble_of(&v, (struct mail_ruling){ MAIL_CLASS_UNKNOWN, "" }, 1, &none, NOW);

	ck_assert_int_eq(t.attempt, STORE_ATTEMPT_NOT_SENT);
	ck_assert_int_eq(t.lead, FLOW_LEAD_HOLD);
	ck_assert_int_eq(t.reason, LEAD_REASON_BAD_RECORD);
	ck_assert(!t.has_fault && !t.suppress);
}
END_TEST

START_TEST(a_dead_address_is_suppressed)
{
	struct flow_trouble t = refused(
		MAIL_STAGE_RCPT, 550, MAIL_CLASS_RECIPIENT_PERMANENT, "user-unknown", &none);

	ck_assert_int_eq(t.lead, FLOW_LEAD_END);
	ck_assert_int_eq(t.reason, LEAD_REASON_BOUNCED);
	ck_assert_int_eq(t.outcome, STORE_OUTCOME_REFUSED);
	ck_assert_int_eq(t.suppress, FLOW_SUPPRESS_ADDRESS);
	ck_assert(!t.has_fault);
	t = refused(MAIL_STAGE_RCPT, 550, MAIL_CLASS_RECIPIENT_PERMANENT, "domain-dead", &none);
	ck_assert_int_eq(t.suppress, FLOW_SUPPRESS_DOMAIN);
	ck_assert_int_eq(t.suppress_ms, 30 * CLOCK_DAY_MS);
}
END_TEST

START_TEST(case_36_an_unknown_no_blocks_and_suppresses_nobody)
{
	static const enum mail_stage stages[] = { MAIL_STAGE_MAIL, MAIL_STAGE_RCPT, MAIL_STAGE_DATA,
		MAIL_STAGE_DOT };

	for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
		struct flow_trouble t = refused(stages[i], 550, MAIL_CLASS_UNKNOWN, "", &none);

		ck_assert_int_eq(t.lead, FLOW_LEAD_HOLD);
		ck_assert_int_eq(t.reason, LEAD_REASON_SMTP_UNKNOWN);
		ck_assert_int_eq(t.outcome, STORE_OUTCOME_NONE);
		ck_assert(!t.suppress && !t.has_fault);
	}
}
END_TEST

START_TEST(case_37_an_address_that_takes_nothing_now_has_three_strikes)
{
	struct store_past past = none;
	struct flow_trouble t = refused(
		MAIL_STAGE_RCPT, 452, MAIL_CLASS_RECIPIENT_TRANSIENT, "mailbox-full", &past);

	ck_assert_int_eq(t.lead, FLOW_LEAD_DEFER);
	ck_assert_int_eq(t.reason, LEAD_REASON_SMTP_DEFERRED);
	ck_assert_int_eq(t.wait_ms, CLOCK_DAY_MS);
	ck_assert(!t.has_fault && !t.suppress);
	past = (struct store_past){ .n_transient = 1, .transient_ms = { NOW - CLOCK_DAY_MS } };
	t = refused(MAIL_STAGE_RCPT, 452, MAIL_CLASS_RECIPIENT_TRANSIENT, "", &past);
	ck_assert_int_eq(t.wait_ms, 3 * CLOCK_DAY_MS);
	/* The third within 30 days ends the sequence, not the address. */
	past = (struct store_past){ .n_transient = 2,
		.transient_ms = { NOW - 3 * CLOCK_DAY_MS, NOW - 30 * CLOCK_DAY_MS } };
	t = refused(MAIL_STAGE_DOT, 552, MAIL_CLASS_RECIPIENT_TRANSIENT, "", &past);
	ck_assert_int_eq(t.lead, FLOW_LEAD_END);
	ck_assert_int_eq(t.reason, LEAD_REASON_STOPPED);
	ck_assert_int_eq(t.outcome, STORE_OUTCOME_CANCELLED);
	ck_assert_int_eq(t.attempt, STORE_ATTEMPT_REFUSED);
	ck_assert(!t.suppress);
	past.transient_ms[1]--;
	t = refused(MAIL_STAGE_DOT, 552, MAIL_CLASS_RECIPIENT_TRANSIENT, "", &past);
	ck_assert_int_eq(t.lead, FLOW_LEAD_DEFER);
	ck_assert_int_eq(t.wait_ms, 7 * CLOCK_DAY_MS);
}
END_TEST

START_TEST(greylisting_is_waited_for_a_day)
{
	static const int64_t waits[] = { 5, 15, 60, 60 };
	struct store_past past = { .greylisted_ms = NOW - CLOCK_DAY_MS };
	struct flow_trouble t;

	for (int n = 0; n < 4; n++) {
		past.n_greylisted = n;
		t = refused(MAIL_STAGE_RCPT, 450, MAIL_CLASS_GREYLISTED, "", &past);
		ck_assert_int_eq(t.lead, FLOW_LEAD_DEFER);
		ck_assert_int_eq(t.wait_ms, waits[n] * CLOCK_MINUTE_MS);
		ck_assert(!t.has_fault && !t.suppress);
	}
	past.greylisted_ms--;
	t = refused(MAIL_STAGE_RCPT, 450, MAIL_CLASS_GREYLISTED, "", &past);
	ck_assert_int_eq(t.ruling.class, MAIL_CLASS_RECIPIENT_TRANSIENT);
	ck_assert_int_eq(t.wait_ms, CLOCK_DAY_MS);
}
END_TEST

START_TEST(what_concerns_our_side_leaves_the_lead_alone)
{
	static const struct {
		enum mail_class class;
		int code;
		const char *reason;
		enum mailbox_fault fault;
	} cases[] = {
		{ MAIL_CLASS_MAILBOX_THROTTLED, 421, "rate", MAILBOX_FAULT_RATE },
		{ MAIL_CLASS_MAILBOX_THROTTLED, 550, "daily-limit", MAILBOX_FAULT_DAILY_LIMIT },
		{ MAIL_CLASS_MAILBOX_BLOCKED, 554, "provider-block", MAILBOX_FAULT_BLOCKED },
		{ MAIL_CLASS_AUTH_FAILED, 530, "auth", MAILBOX_FAULT_AUTH },
		{ MAIL_CLASS_AUTH_FAILED, 454, "auth", MAILBOX_FAULT_AUTH_LATER },
		{ MAIL_CLASS_SERVER_TRANSIENT, 451, "", MAILBOX_FAULT_TRANSIENT },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (int s = MAIL_STAGE_CONNECT; s <= MAIL_STAGE_DOT; s++) {
			struct flow_trouble t = refused((enum mail_stage)s, cases[i].code,
				cases[i].class, cases[i].reason, &none);

			ck_assert_int_eq(t.lead, FLOW_LEAD_AGAIN);
			ck_assert_int_eq(t.outcome, STORE_OUTCOME_NONE);
			ck_assert(t.has_fault && !t.suppress);
			ck_assert_int_eq(t.fault, cases[i].fault);
		}
	struct flow_trouble t =
		refused(MAIL_STAGE_DOT, 554, MAIL_CLASS_CONTENT_REJECTED, "", &none);
	ck_assert_int_eq(t.lead, FLOW_LEAD_AGAIN);
	ck_assert(!t.has_fault && !t.suppress);
}
END_TEST

/* Whatever a row of the user's says: before MAIL nobody has spoken of a lead. */
START_TEST(before_a_mail_nothing_is_said_of_its_lead)
{
	for (int s = MAIL_STAGE_CONNECT; s <= MAIL_STAGE_IDLE; s++)
		for (int c = MAIL_CLASS_RECIPIENT_PERMANENT; c <= MAIL_CLASS_UNKNOWN; c++) {
			struct flow_trouble t =
				refused((enum mail_stage)s, 550, (enum mail_class)c, "", &none);

			ck_assert_int_eq(t.lead, FLOW_LEAD_AGAIN);
			ck_assert(t.has_fault && !t.suppress);
		}
}
END_TEST

START_TEST(case_36_a_mail_that_keeps_breaking_steps_aside)
{
	struct flow_trouble t =
		of(MAIL_OUTCOME_NOT_SENT, MAIL_STAGE_BODY, 0, MAIL_CLASS_SERVER_TRANSIENT, 1);

	ck_assert_int_eq(t.lead, FLOW_LEAD_AGAIN);
	ck_assert_int_eq(t.attempt, STORE_ATTEMPT_NOT_SENT);
	t = of(MAIL_OUTCOME_NOT_SENT, MAIL_STAGE_BODY, 0, MAIL_CLASS_SERVER_TRANSIENT, 2);
	ck_assert_int_eq(t.lead, FLOW_LEAD_DEFER);
	ck_assert_int_eq(t.wait_ms, 15 * CLOCK_MINUTE_MS);
	t = of(MAIL_OUTCOME_REFUSED, MAIL_STAGE_RCPT, 451, MAIL_CLASS_SERVER_TRANSIENT, 1000);
	ck_assert_int_eq(t.wait_ms, 7 * CLOCK_DAY_MS);
	t = of(MAIL_OUTCOME_NOT_SENT, MAIL_STAGE_CONNECT, 0, MAIL_CLASS_SERVER_TRANSIENT, 9);
	ck_assert_int_eq(t.lead, FLOW_LEAD_AGAIN);
}
END_TEST

START_TEST(what_we_let_go_of_ourselves_blames_nobody)
{
	struct mail_verdict v = {
		.outcome = MAIL_OUTCOME_NOT_SENT, .stage = MAIL_STAGE_BODY, .err = CM_ECANCELED
	};

	for (int n = 1; n < 10; n++) {
		struct flow_trouble t =
			flow_trouble_of(&v, flow_trouble_ruling(NULL, &v), n, &none, NOW);

		ck_assert_int_eq(t.attempt, STORE_ATTEMPT_NOT_SENT);
		ck_assert_int_eq(t.lead, FLOW_LEAD_AGAIN);
		ck_assert(!t.has_fault && !t.suppress);
	}
}
END_TEST

/* The ledger lets another try follow unless the class is recipient-permanent, or the step is over. */
START_TEST(every_verdict_has_a_meaning)
{
	for (int o = MAIL_OUTCOME_SENT; o <= MAIL_OUTCOME_UNCERTAIN; o++)
		for (int stage = MAIL_STAGE_CONNECT; stage <= MAIL_STAGE_QUIT; stage++)
			for (int c = MAIL_CLASS_SENT; c <= MAIL_CLASS_UNKNOWN; c++) {
				struct flow_trouble t = of((enum mail_outcome)o,
					(enum mail_stage)stage, 550, (enum mail_class)c, 1);

				ck_assert_int_eq(t.suppress != FLOW_SUPPRESS_NOBODY,
					t.outcome == STORE_OUTCOME_REFUSED);
				if (t.lead == FLOW_LEAD_AGAIN || t.lead == FLOW_LEAD_DEFER)
					ck_assert_int_eq(t.outcome, STORE_OUTCOME_NONE);
			}
}
END_TEST

START_TEST(case_55_name_servers_that_do_not_answer_say_nothing_of_a_lead)
{
	static const int64_t minutes[] = { 5, 15, 60, 60 };

	ck_assert_int_eq(flow_trouble_of_lookup(DNS_MX_OK, 0).lead, FLOW_LEAD_NEXT);
	ck_assert_int_eq(flow_trouble_of_lookup(DNS_MX_NONE, 0).lead, FLOW_LEAD_HOLD);
	ck_assert_int_eq(flow_trouble_of_lookup(DNS_MX_NONE, 0).reason, LEAD_REASON_VERIFY_INVALID);
	for (int i = 0; i < 4; i++) {
		struct flow_trouble t = flow_trouble_of_lookup(DNS_MX_UNKNOWN, i + 1);

		ck_assert_int_eq(t.lead, FLOW_LEAD_DEFER);
		ck_assert_int_eq(t.reason, LEAD_REASON_VERIFY_UNKNOWN);
		ck_assert_int_eq(t.wait_ms, minutes[i] * CLOCK_MINUTE_MS);
	}
}
END_TEST

START_TEST(what_an_attempt_counts_toward)
{
	static const struct {
		enum store_attempt_state state;
		const char *class;
		int code;
		enum flow_counts counts;
	} t[] = {
		{ STORE_ATTEMPT_SENT, "sent", 250, FLOW_COUNTS_SENT },
		{ STORE_ATTEMPT_REFUSED, "recipient-permanent", 550, FLOW_COUNTS_BOUNCE },
		{ STORE_ATTEMPT_REFUSED, "content-rejected", 550, FLOW_COUNTS_CONTENT },
		{ STORE_ATTEMPT_REFUSED, "unknown", 550, FLOW_COUNTS_UNKNOWN },
		{ STORE_ATTEMPT_REFUSED, "unknown", 450, FLOW_COUNTS_REFUSAL },
		{ STORE_ATTEMPT_REFUSED, "mailbox-blocked", 550, FLOW_COUNTS_REFUSAL },
		{ STORE_ATTEMPT_REFUSED, "of another version", 550, FLOW_COUNTS_REFUSAL },
		{ STORE_ATTEMPT_NOT_SENT, "server-transient", 0, FLOW_COUNTS_NOTHING },
		{ STORE_ATTEMPT_UNCERTAIN, "unknown", 550, FLOW_COUNTS_UNCERTAIN },
		{ STORE_ATTEMPT_RELEASED, "content_rejected", 0, FLOW_COUNTS_NOTHING },
	};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		ck_assert_int_eq(
			flow_trouble_counts(t[i].state, t[i].class, t[i].code), t[i].counts);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow_trouble");
	TCase *t = tcase_create("trouble");

	tcase_add_test(t, sent_goes_on);
	tcase_add_test(t, case_08_doubt_is_held_never_tried_again);
	tcase_add_test(t, case_36_an_address_of_no_use_is_its_leads_fault);
	tcase_add_test(t, a_loss_at_the_dot_is_the_mailboxs_trouble_but_for_our_own_stop);
	tcase_add_test(t, a_dead_address_is_suppressed);
	tcase_add_test(t, case_36_an_unknown_no_blocks_and_suppresses_nobody);
	tcase_add_test(t, case_37_an_address_that_takes_nothing_now_has_three_strikes);
	tcase_add_test(t, greylisting_is_waited_for_a_day);
	tcase_add_test(t, what_concerns_our_side_leaves_the_lead_alone);
	tcase_add_test(t, before_a_mail_nothing_is_said_of_its_lead);
	tcase_add_test(t, case_36_a_mail_that_keeps_breaking_steps_aside);
	tcase_add_test(t, what_we_let_go_of_ourselves_blames_nobody);
	tcase_add_test(t, every_verdict_has_a_meaning);
	tcase_add_test(t, what_an_attempt_counts_toward);
	tcase_add_test(t, case_55_name_servers_that_do_not_answer_say_nothing_of_a_lead);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
