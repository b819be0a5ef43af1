/*
 * What every backend must do, part 5: who is never written to, and who is forgotten.
 */
#include "rig.h"

/* ---- suppressions -------------------------------------------------------------------------------- */

static struct store_req *suppressions(const char *after, size_t max)
{
	struct store_req *r = rig_new(STORE_SUPPRESS_LIST);

	r->u.supp.after = after;
	r->u.supp.max = max;
	r = rig_ask(r);
	rig_ok(r);
	return r;
}

START_TEST(suppression_ends_leads_and_stops_mails)
{
	struct rig_step open = rig_reserved("open@sub.x.com");
	struct store_req *r;

	rig_import("bob@x.com", "founders");
	r = rig_suppress("bob@x.com");
	rig_ok(r);
	ck_assert_uint_eq(r->u.suppress.n_new, 1);
	ck_assert_uint_eq(rig_suppress("bob@x.com")->u.suppress.n_new, 0);
	ck_assert_int_eq(rig_tally("founders", LEAD_ENDED, LEAD_REASON_SUPPRESSED), 1);
	r = rig_suppress("*@x.com");
	ck_assert_uint_eq(r->u.suppress.voids.voided, 0); /* only x.com itself */
	r = rig_suppress("x.com");
	ck_assert_uint_eq(r->u.suppress.voids.voided, 1);
	ck_assert_int_eq(rig_slot(&open, 1)->err, CM_EEXIST);
}
END_TEST

START_TEST(suppression_by_person_stops_mails)
{
	struct rig_step s = rig_reserved("bob@x.com");
	char pattern[64];

	snprintf(pattern, sizeof pattern, "person:%s", s.lead.person);
	ck_assert_uint_eq(rig_suppress(pattern)->u.suppress.voids.voided, 1);
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_RELEASED));
	const struct store_req *r = rig_get("bob@x.com");
	ck_assert_str_eq(r->u.get.suppressions[0].pattern, pattern);
	ck_assert_int_eq(r->u.get.lead.reason, LEAD_REASON_SUPPRESSED);
}
END_TEST

static struct store_req *suppress_until(const char *pattern, const char *reason, int64_t until_ms)
{
	struct store_req *r = rig_suppress_new(STORE_SUPPRESS_ADD, pattern);

	r->u.suppress.v[0].reason = reason;
	r->u.suppress.v[0].evidence = "5.1.2 no such domain";
	r->u.suppress.v[0].until_ms = until_ms;
	r = rig_ask(r);
	rig_ok(r);
	return r;
}

/* An unsubscribe link knows nothing but the person, and what went out to it. */
START_TEST(an_opt_out_of_a_person_ends_the_lead)
{
	rig_sent("bob@x.com");
	char person[LEAD_PERSON], pattern[64];

	store_person("bob@x.com", person);
	snprintf(pattern, sizeof pattern, LEAD_PERSON_PREFIX "%s", person);
	struct store_req *r = suppress_until(pattern, "opted_out", 0);
	ck_assert_uint_eq(r->u.suppress.n_new, 1);
	const struct lead *l = &rig_get("bob@x.com")->u.get.lead;
	ck_assert_str_eq(r->u.suppress.lead_id, l->id);
	ck_assert_int_eq(l->state, LEAD_ENDED);
	ck_assert_int_eq(l->reason, LEAD_REASON_OPTED_OUT);
	ck_assert_str_eq(l->status, "unsubscribed");
	ck_assert_str_eq(rig_suppress(pattern)->u.suppress.lead_id, l->id);
	ck_assert_ptr_null(
		rig_suppress("person:00000000000000000000000000000000")->u.suppress.lead_id);
}
END_TEST

static const struct store_suppression *in_force(const char *email)
{
	const struct store_req *r = rig_get(email);

	return r->u.get.n_suppressions ? &r->u.get.suppressions[0] : NULL;
}

START_TEST(a_suppression_may_end_by_itself_but_never_sooner_than_was_said)
{
	rig_import("bob@x.com", "founders");
	ck_assert_uint_eq(suppress_until("x.com", "dead", NOW)->u.suppress.n_new, 1);
	ck_assert_ptr_null(in_force("bob@x.com"));
	ck_assert_ptr_null(rig_claim(LEAD_STAGE_DRAFT)->suppressed_by);
	ck_assert_uint_eq(suppress_until("x.com", "dead again", NOW + 2)->u.suppress.n_new, 1);
	ck_assert_str_eq(in_force("bob@x.com")->reason, "dead again");
	ck_assert_str_eq(in_force("bob@x.com")->evidence, "5.1.2 no such domain");
	ck_assert_int_eq(in_force("bob@x.com")->until_ms, NOW + 2);
	ck_assert_uint_eq(suppress_until("x.com", "shorter", NOW + 1)->u.suppress.n_new, 0);
	ck_assert_int_eq(in_force("bob@x.com")->until_ms, NOW + 2);
	ck_assert_uint_eq(suppress_until("x.com", "for good", 0)->u.suppress.n_new, 1);
	ck_assert_int_eq(in_force("bob@x.com")->until_ms, 0);
	ck_assert_uint_eq(suppress_until("x.com", "shorter", NOW + 3)->u.suppress.n_new, 0);
	ck_assert_str_eq(in_force("bob@x.com")->reason, "for good");
}
END_TEST

START_TEST(suppressions_are_checked_listed_removed)
{
	struct store_req *r = rig_new(STORE_SUPPRESS_CHECK);

	rig_ok(rig_suppress("bob@x.com"));
	rig_ok(rig_suppress("x.com"));
	rig_ok(rig_suppress("y.com"));
	char person[LEAD_PERSON];
	store_person("bob@x.com", person);
	r->u.supp.of = "bob@x.com";
	r->u.supp.of_person = person;
	r = rig_ask(r);
	rig_ok(r);
	ck_assert_uint_eq(r->u.supp.n, 2);
	ck_assert_str_eq(r->u.supp.v[0].pattern, "bob@x.com");
	ck_assert_str_eq(r->u.supp.v[0].reason, "operator");
	ck_assert_int_eq(r->u.supp.v[0].at_ms, NOW);
	r = suppressions(NULL, 2);
	ck_assert_uint_eq(r->u.supp.n, 2);
	r = suppressions(r->u.supp.v[1].pattern, 2);
	ck_assert_uint_eq(r->u.supp.n, 1);
	ck_assert_str_eq(r->u.supp.v[0].pattern, "y.com");
	r = rig_ask(rig_suppress_new(STORE_SUPPRESS_REMOVE, "y.com"));
	ck_assert_uint_eq(r->u.suppress.n_new, 1);
	ck_assert_uint_eq(
		rig_ask(rig_suppress_new(STORE_SUPPRESS_REMOVE, "y.com"))->u.suppress.n_new, 0);
	ck_assert_uint_eq(suppressions("x.com", 9)->u.supp.n, 0);
}
END_TEST

/* ---- persons that are forgotten ------------------------------------------------------------------ */

static struct store_req *forget(const char *email, bool dry_run)
{
	struct store_req *r = rig_new(STORE_FORGET);
	char person[LEAD_PERSON];

	store_person(email, person);
	r->u.forget.email = email;
	r->u.forget.email_person = mem_arena_dup(&r->arena, person);
	r->u.forget.source = "test";
	r->u.forget.dry_run = dry_run;
	return rig_ask(r);
}

START_TEST(who_is_forgotten_leaves_a_guarded_ledger)
{
	struct rig_step s = rig_sent("bob@x.com");

	rig_sent("eve@x.com");
	rig_ok(rig_suppress("bob@x.com"));
	struct store_req *r = forget("bob@x.com", false);
	rig_ok(r);
	ck_assert_uint_eq(r->u.forget.n_leads, 1);
	ck_assert_uint_eq(r->u.forget.n_emails, 1);
	ck_assert_uint_eq(r->u.forget.n_attempts, 1);
	ck_assert_uint_eq(r->u.forget.n_suppressions, 1);
	r = rig_get("bob@x.com");
	ck_assert_int_eq(r->err, CM_ENOENT);
	ck_assert_uint_eq(r->u.get.n_emails, 1);
	ck_assert_str_eq(r->u.get.emails[0].key, s.key);
	ck_assert_str_eq(r->u.get.emails[0].to, "");
	ck_assert_str_eq(r->u.get.emails[0].body, "");
	ck_assert_int_eq(r->u.get.emails[0].outcome, STORE_OUTCOME_SENT);
	ck_assert_str_eq(r->u.get.attempts[0].to, "");
	ck_assert_int_eq(r->u.get.attempts[0].state, STORE_ATTEMPT_SENT);
	ck_assert_uint_eq(r->u.get.n_suppressions, 1);
	ck_assert_str_eq(r->u.get.suppressions[0].reason, STORE_FORGOTTEN);
	ck_assert_int_eq(rig_reserve(&s, 2)->err, CM_ESTATE);
	ck_assert_int_eq(rig_get("eve@x.com")->err, CM_OK);
	rig_agrees();
}
END_TEST

START_TEST(who_is_forgotten_is_not_imported_again)
{
	rig_import("bob@x.com", "founders");
	rig_ok(forget("bob@x.com", false));
	ck_assert_int_eq(rig_import("bob@x.com", "founders").result, STORE_ROW_SUPPRESSED);
	ck_assert_int_eq(rig_get("bob@x.com")->err, CM_ENOENT);
	ck_assert_int_eq(rig.backend->count("leads", "1"), 0);
	rig_ok(forget("bob@x.com", false)); /* asked twice */
	ck_assert_int_eq(forget("eve@x.com", false)->err, CM_ENOENT);
	ck_assert_int_eq(rig.backend->count("do_not_contact", "1"), 1);
}
END_TEST

START_TEST(what_is_under_way_or_only_looked_at_is_not_forgotten)
{
	struct rig_step s = rig_reserved("bob@x.com");

	ck_assert_int_eq(forget("bob@x.com", false)->err, CM_EBUSY);
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_RELEASED));
	struct store_req *r = forget("bob@x.com", true);
	rig_ok(r);
	ck_assert_uint_eq(r->u.forget.n_leads, 1);
	ck_assert_str_eq(rig_get("bob@x.com")->u.get.lead.email, "bob@x.com");
	ck_assert_int_eq(rig.backend->count("do_not_contact", "1"), 0);
	rig_ok(forget("bob@x.com", false));
	ck_assert_int_eq(rig.backend->count("emails", "outcome = 'cancelled'"), 1);
	/* Words that were on their way here meanwhile do not bring it back. */
	ck_assert_int_eq(rig_draft(&s, true)->err, CM_EEXIST);
	rig_agrees();
}
END_TEST

START_TEST(words_of_somebody_who_is_gone_are_not_stored)
{
	rig_import("bob@x.com", "founders");
	struct rig_step s = rig_step_of(rig_claim(LEAD_STAGE_DRAFT));

	ck_assert_int_eq(forget("bob@x.com", false)->err, CM_EBUSY);
	rig_ok(rig_act("bob@x.com", STORE_LEAD_HOLD, LEAD_REASON_OPERATOR));
	rig_ok(forget("bob@x.com", false));
	ck_assert_int_eq(rig_draft(&s, false)->err, CM_ESTATE);
	ck_assert_int_eq(rig.backend->count("emails", "1"), 0);
	rig_ok(rig_ask(rig_new(STORE_SCRUB)));
}
END_TEST

static Suite *make(const char *backend)
{
	Suite *s = suite_create(backend);
	TCase *t = tcase_create("suppress");

	tcase_add_checked_fixture(t, rig_setup, rig_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, suppression_ends_leads_and_stops_mails);
	tcase_add_test(t, suppression_by_person_stops_mails);
	tcase_add_test(t, an_opt_out_of_a_person_ends_the_lead);
	tcase_add_test(t, a_suppression_may_end_by_itself_but_never_sooner_than_was_said);
	tcase_add_test(t, suppressions_are_checked_listed_removed);
	tcase_add_test(t, who_is_forgotten_leaves_a_guarded_ledger);
	tcase_add_test(t, who_is_forgotten_is_not_imported_again);
	tcase_add_test(t, what_is_under_way_or_only_looked_at_is_not_forgotten);
	tcase_add_test(t, words_of_somebody_who_is_gone_are_not_stored);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return rig_main(make);
}
