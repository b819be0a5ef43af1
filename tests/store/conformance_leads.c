/*
 * What every backend must do, part 2: leads, controls. Import and its rules, claims,
 * holds and their end, words about one address, lists, the tally.
 */
#include "rig.h"

/* ---- import ------------------------------------------------------------------------------------- */

static const char *var_of(const struct lead *l, const char *name)
{
	const char *v = lead_get(l, name);

	return v ? v : "";
}

START_TEST(import_adds_and_keeps_every_field)
{
	struct lead_var vars[] = { { "first_name", "Bob" }, { "company", "X \"Y\" Öl" },
		{ "favourite colour", "blue" }, { "title", "" } };
	struct store_import_row row = rig_import_vars("bob@x.com", "founders", vars, 4, INT64_MIN);
	struct lead l = rig_get("bob@x.com")->u.get.lead;
	char person[LEAD_PERSON];

	ck_assert_int_eq(row.result, STORE_ROW_ADDED);
	store_person("bob@x.com", person);
	ck_assert_str_eq(l.person, person);
	ck_assert_int_eq(l.state, LEAD_QUEUED);
	ck_assert_int_eq(l.stage, LEAD_STAGE_DRAFT);
	ck_assert_str_eq(l.step, "intro");
	ck_assert_int_eq(l.due_ms, NOW);
	ck_assert_int_eq(l.created_ms, NOW);
	ck_assert_str_eq(l.status, "pending");
	ck_assert_uint_eq(l.n_vars, 3);
	ck_assert_str_eq(var_of(&l, "first_name"), "Bob");
	ck_assert_str_eq(var_of(&l, "company"), "X \"Y\" Öl");
	ck_assert_str_eq(var_of(&l, "favourite colour"), "blue");
}
END_TEST

START_TEST(import_twice_changes_nothing)
{
	struct lead_var first[] = { { "first_name", "Bob" }, { "city", "Rome" } };
	struct lead_var empty[] = { { "first_name", "" }, { "city", "n/a" } };
	struct lead_var better[] = { { "first_name", "Robert" } };

	rig_import_vars("bob@x.com", "founders", first, 2, INT64_MIN);
	ck_assert_int_eq(rig_import_vars("bob@x.com", "founders", first, 2, INT64_MIN).result,
		STORE_ROW_DUPLICATE);
	ck_assert_int_eq(
		rig_import_vars("bob@x.com", "", empty, 2, INT64_MIN).result, STORE_ROW_DUPLICATE);
	ck_assert_int_eq(rig_import_vars("bob@x.com", "founders", better, 1, INT64_MIN).result,
		STORE_ROW_UPDATED);
	struct lead l = rig_get("bob@x.com")->u.get.lead;
	ck_assert_str_eq(var_of(&l, "first_name"), "Robert");
	ck_assert_str_eq(var_of(&l, "city"), "Rome");
	ck_assert_str_eq(l.campaign, "founders");
	ck_assert_int_eq(rig.backend->count("leads", "1"), 1);
}
END_TEST

START_TEST(import_sees_its_own_rows)
{
	struct store_req *r = rig_new(STORE_IMPORT);

	r->u.import.n = 3;
	r->u.import.rows = mem_arena_get(&r->arena, 3 * sizeof *r->u.import.rows);
	r->u.import.rows[0] = rig_row(r, "bob@x.com", "founders");
	r->u.import.rows[1] = rig_row(r, "bob@x.com", "founders");
	r->u.import.rows[2] = rig_row(r, "eve@x.com", "founders");
	r = rig_ask(r);
	rig_ok(r);
	ck_assert_int_eq(r->u.import.rows[0].result, STORE_ROW_ADDED);
	ck_assert_int_eq(r->u.import.rows[1].result, STORE_ROW_DUPLICATE);
	ck_assert_int_eq(r->u.import.rows[2].result, STORE_ROW_ADDED);
	ck_assert_int_eq(rig_tally("founders", LEAD_QUEUED, LEAD_REASON_NONE), 2);
}
END_TEST

START_TEST(import_as_a_dry_run_answers_and_stores_nothing)
{
	struct lead_var city[] = { { "city", "Bonn" } };
	struct store_req *r = rig_new(STORE_IMPORT), *real = rig_new(STORE_IMPORT);

	rig_import("known@x.com", "founders");
	rig_ok(rig_suppress("quiet.com"));
	r->u.import.n = 5;
	r->u.import.dry_run = true;
	r->u.import.rows = mem_arena_get(&r->arena, 5 * sizeof *r->u.import.rows);
	r->u.import.rows[0] = rig_row(r, "bob@x.com", "founders");
	r->u.import.rows[1] = rig_row(r, "bob@x.com", "founders");
	r->u.import.rows[2] = rig_row(r, "known@x.com", "founders");
	r->u.import.rows[2].vars = city;
	r->u.import.rows[2].n_vars = 1;
	r->u.import.rows[3] = rig_row(r, "a@quiet.com", "founders");
	r->u.import.rows[4] = rig_row(r, "known@x.com", "other");
	/* beside one that is meant, in one group */
	real->u.import.n = 1;
	real->u.import.rows = mem_arena_get(&real->arena, sizeof *real->u.import.rows);
	real->u.import.rows[0] = rig_row(real, "eve@x.com", "founders");
	rig_send(r, &r);
	rig_send(real, &real);
	rig_wait();
	rig_ok(r);
	rig_ok(real);
	ck_assert_int_eq(r->u.import.rows[0].result, STORE_ROW_ADDED);
	ck_assert_int_eq(r->u.import.rows[1].result, STORE_ROW_DUPLICATE);
	ck_assert_int_eq(r->u.import.rows[2].result, STORE_ROW_UPDATED);
	ck_assert_int_eq(r->u.import.rows[3].result, STORE_ROW_SUPPRESSED);
	ck_assert_int_eq(r->u.import.rows[4].result, STORE_ROW_DUPLICATE);
	ck_assert_int_eq(real->u.import.rows[0].result, STORE_ROW_ADDED);
	ck_assert_int_eq(rig.backend->count("leads", "1"), 2);
	ck_assert_int_eq(rig_tally("founders", LEAD_QUEUED, LEAD_REASON_NONE), 2);
	ck_assert_int_eq(rig_get("known@x.com")->u.get.lead.n_vars, 0);
}
END_TEST

START_TEST(import_without_campaign_waits_for_one)
{
	ck_assert_int_eq(rig_import("bob@x.com", "").result, STORE_ROW_ADDED);
	ck_assert_int_eq(rig_tally("", LEAD_HELD, LEAD_REASON_NO_CAMPAIGN), 1);
	ck_assert_int_eq(
		rig_act("bob@x.com", STORE_LEAD_RELEASE, LEAD_REASON_NONE)->err, CM_ESTATE);
	ck_assert_int_eq(rig_import("bob@x.com", "founders").result, STORE_ROW_UPDATED);
	ck_assert_int_eq(rig_tally("", LEAD_HELD, LEAD_REASON_NO_CAMPAIGN), 0);
	ck_assert_str_eq(rig_claim(LEAD_STAGE_DRAFT)->lead.email, "bob@x.com");
}
END_TEST

START_TEST(import_never_unsuppresses)
{
	rig_ok(rig_suppress("x.com"));
	ck_assert_int_eq(rig_import("bob@sub.x.com", "founders").result, STORE_ROW_SUPPRESSED);
	struct lead l = rig_get("bob@sub.x.com")->u.get.lead;
	ck_assert_int_eq(l.state, LEAD_ENDED);
	ck_assert_int_eq(l.reason, LEAD_REASON_SUPPRESSED);
	ck_assert_str_eq(l.status, "failed");
	ck_assert_int_eq(rig_import("bob@sub.x.com", "founders").result, STORE_ROW_DUPLICATE);
	ck_assert_int_eq(rig_import("bob@sub.x.com", "other").result, STORE_ROW_DUPLICATE);
	ck_assert_int_eq(rig_get("bob@sub.x.com")->u.get.lead.state, LEAD_ENDED);
}
END_TEST

START_TEST(import_moves_who_has_not_begun)
{
	rig_import("bob@x.com", "founders");
	struct store_import_row row = rig_import("bob@x.com", "other");

	/* recontact_after = never keeps each lead where it is */
	ck_assert_int_eq(row.result, STORE_ROW_DUPLICATE);
	ck_assert_str_eq(row.other, "founders");
	row = rig_import_vars("bob@x.com", "other", NULL, 0, rig.now_ms);
	ck_assert_int_eq(row.result, STORE_ROW_UPDATED);
	ck_assert_str_eq(row.other, "founders");
	ck_assert_str_eq(rig_get("bob@x.com")->u.get.lead.campaign, "other");
	ck_assert_int_eq(rig_tally("founders", LEAD_QUEUED, LEAD_REASON_NONE), 0);
	ck_assert_int_eq(rig_tally("other", LEAD_QUEUED, LEAD_REASON_NONE), 1);
}
END_TEST

static void complete(const struct rig_step *s)
{
	rig.now_ms += CLOCK_DAY_MS;
	struct store_req *r = rig_new(STORE_LEAD_SET);

	rig_claim(LEAD_STAGE_DRAFT);
	r->u.lead_set.lead_id = s->lead.id;
	r->u.lead_set.to = (struct store_lead_to){
		.state = LEAD_ENDED, .reason = LEAD_REASON_COMPLETED, .due_ms = -1
	};
	rig_ok(rig_ask(r));
}

/* Whom a campaign wrote to is not written to by another, until recontact_after allows it. */
START_TEST(import_does_not_mail_anybody_again)
{
	struct rig_step s = rig_sent("bob@x.com");
	int64_t sent = rig.now_ms;

	struct store_import_row row = rig_import("bob@x.com", "other");
	ck_assert_int_eq(row.result, STORE_ROW_DUPLICATE);
	ck_assert_str_eq(row.other, "founders");
	complete(&s);
	ck_assert_int_eq(rig_import("bob@x.com", "other").result, STORE_ROW_DUPLICATE);
	ck_assert_int_eq(
		rig_import_vars("bob@x.com", "other", NULL, 0, sent).result, STORE_ROW_DUPLICATE);
	ck_assert_int_eq(
		rig_import_vars("bob@x.com", "other", NULL, 0, sent + 1).result, STORE_ROW_UPDATED);
	struct lead l = rig_get("bob@x.com")->u.get.lead;
	ck_assert_str_eq(l.campaign, "other");
	ck_assert_int_eq(l.n_sent, 1);
	ck_assert_str_eq(l.status, "sent");
	rig_agrees();
}
END_TEST

/* The ledger outlives the lead. */
START_TEST(import_of_a_forgotten_lead_goes_by_the_ledger)
{
	rig_sent("bob@x.com");
	rig_sqlite_exec("DELETE FROM leads");
	ck_assert_int_eq(rig_tally("founders", LEAD_QUEUED, LEAD_REASON_NONE), 0);
	struct store_import_row row = rig_import("bob@x.com", "other");
	ck_assert_int_eq(row.result, STORE_ROW_CONTACTED);
	ck_assert_str_eq(row.other, "founders");
	struct lead l = rig_get("bob@x.com")->u.get.lead;
	ck_assert_int_eq(l.state, LEAD_ENDED);
	ck_assert_int_eq(l.reason, LEAD_REASON_ALREADY_CONTACTED);

	rig_sqlite_exec("DELETE FROM leads");
	ck_assert_int_eq(rig_import("bob@x.com", "founders").result, STORE_ROW_ADDED);
	l = rig_get("bob@x.com")->u.get.lead;
	ck_assert_str_eq(l.step, "");
	ck_assert_str_eq(l.last_step, "intro");
	ck_assert_str_eq(l.mailbox, MAILBOX);
	ck_assert_int_eq(l.n_sent, 1);
	struct store_claimed *c = rig_claim(LEAD_STAGE_DRAFT);
	ck_assert(!c->has_email);
	ck_assert(c->has_prev);
}
END_TEST

START_TEST(import_queues_who_lacked_a_field)
{
	struct lead_var vars[] = { { "first_name", "Bob" } };
	struct store_req *r = rig_new(STORE_LEAD_SET);

	rig_import("bob@x.com", "founders");
	r->u.lead_set.lead_id = rig_claim(LEAD_STAGE_DRAFT)->lead.id;
	r->u.lead_set.to = (struct store_lead_to){ .state = LEAD_HELD,
		.reason = LEAD_REASON_MISSING_FIELD,
		.until_ms = CLOCK_NEVER_MS,
		.due_ms = -1 };
	rig_ok(rig_ask(r));
	ck_assert_int_eq(rig_import("bob@x.com", "founders").result, STORE_ROW_DUPLICATE);
	ck_assert_int_eq(rig_tally("founders", LEAD_HELD, LEAD_REASON_MISSING_FIELD), 1);
	ck_assert_int_eq(rig_import_vars("bob@x.com", "founders", vars, 1, INT64_MIN).result,
		STORE_ROW_UPDATED);
	ck_assert_str_eq(rig_claim(LEAD_STAGE_DRAFT)->lead.email, "bob@x.com");
}
END_TEST

/* ---- claims ------------------------------------------------------------------------------------- */

static void import_at(const char *email, const char *campaign, int64_t due)
{
	int64_t now = rig.now_ms;

	rig.now_ms = due;
	rig_import(email, campaign);
	rig.now_ms = now;
}

START_TEST(a_claim_takes_the_first_that_are_due)
{
	import_at("late@x.com", "founders", NOW + 5000);
	import_at("third@x.com", "founders", NOW - 1);
	import_at("first@x.com", "founders", NOW - 3);
	import_at("second@x.com", "founders", NOW - 2);
	import_at("elsewhere@x.com", "other", NOW - 9);

	struct store_req *r = rig_claim_of("founders", LEAD_STAGE_DRAFT, NULL, 2);
	ck_assert_uint_eq(r->u.claim.n, 2);
	ck_assert_str_eq(r->u.claim.v[0].lead.email, "first@x.com");
	ck_assert_str_eq(r->u.claim.v[1].lead.email, "second@x.com");
	ck_assert_int_eq(r->u.claim.v[0].lead.state, LEAD_IN_FLIGHT);
	ck_assert_int_eq(rig_next_due(r), NOW - 1);
	r = rig_claim_of("founders", LEAD_STAGE_DRAFT, NULL, 100);
	ck_assert_uint_eq(r->u.claim.n, 1);
	ck_assert_int_eq(rig_next_due(r), NOW + 5000);
	r = rig_claim_of("nobody", LEAD_STAGE_DRAFT, NULL, 100);
	ck_assert_uint_eq(r->u.claim.n, 0);
	ck_assert_int_eq(rig_next_due(r), CLOCK_NEVER_MS);
	ck_assert_int_eq(rig_tally("founders", LEAD_IN_FLIGHT, LEAD_REASON_NONE), 3);
}
END_TEST

static void ready_for(const char *email, const char *mailbox, int64_t due)
{
	struct store_req *r = rig_new(STORE_LEAD_SET);

	rig_import(email, "founders");
	r->u.lead_set.lead_id = rig_claim(LEAD_STAGE_DRAFT)->lead.id;
	r->u.lead_set.to = (struct store_lead_to){
		.state = LEAD_QUEUED, .stage = LEAD_STAGE_SEND, .due_ms = due, .mailbox = mailbox
	};
	rig_ok(rig_ask(r));
}

START_TEST(a_claim_to_send_merges_its_mailbox_with_the_unbound)
{
	ready_for("bound2@x.com", MAILBOX, NOW - 2);
	ready_for("free3@x.com", "", NOW - 1);
	ready_for("free1@x.com", "", NOW - 3);
	ready_for("other@x.com", OTHER, NOW - 9);
	struct store_req *r = rig_claim_of("founders", LEAD_STAGE_SEND, MAILBOX, 10);

	ck_assert_uint_eq(r->u.claim.n, 3);
	ck_assert_str_eq(r->u.claim.v[0].lead.email, "free1@x.com");
	ck_assert_str_eq(r->u.claim.v[1].lead.email, "bound2@x.com");
	ck_assert_str_eq(r->u.claim.v[2].lead.email, "free3@x.com");
}
END_TEST

START_TEST(a_claim_brings_the_facts)
{
	rig_sent("bob@x.com");
	rig_sqlite_exec("UPDATE leads SET campaign = 'other', due = 0, step = 'intro', "
			"last_step = ''");
	rig_ok(rig_suppress("*@x.com"));
	struct store_req *r = rig_claim_of("other", LEAD_STAGE_DRAFT, NULL, 1);
	ck_assert_uint_eq(r->u.claim.n, 1);
	ck_assert_str_eq(r->u.claim.v[0].suppressed_by, "*@x.com");
	ck_assert_str_eq(r->u.claim.v[0].contacted_by, "founders");
	ck_assert(!r->u.claim.v[0].has_email);
}
END_TEST

/* Nobody's word puts a lead where the table of moves has no way to. */
START_TEST(case_18_a_lead_goes_no_way_that_there_is_not)
{
	rig_import("bob@x.com", "founders");
	struct rig_step s = rig_step_of(rig_claim(LEAD_STAGE_DRAFT));
	struct store_req *r = rig_new(STORE_LEAD_SET);
	r->u.lead_set.lead_id = s.lead.id;
	r->u.lead_set.error = "a word";
	r->u.lead_set.to = (struct store_lead_to){ .state = LEAD_IN_FLIGHT, .due_ms = -1 };
	r = rig_ask(r);
	ck_assert_int_eq(r->err, CM_ESTATE);
	ck_assert_str_eq(r->why, "a lead may not go from in_flight to in_flight");
	rig_ok(rig_act("bob@x.com", STORE_LEAD_END, LEAD_REASON_STOPPED));
	ck_assert_int_eq(
		rig_act("bob@x.com", STORE_LEAD_HOLD, LEAD_REASON_OPERATOR)->err, CM_ESTATE);
	/* A reason that says more than the first one. */
	rig_ok(rig_act("bob@x.com", STORE_LEAD_END, LEAD_REASON_OPTED_OUT));
	ck_assert_int_eq(rig_get("bob@x.com")->u.get.lead.reason, LEAD_REASON_OPTED_OUT);
	rig_ok(rig_act("bob@x.com", STORE_LEAD_RELEASE, LEAD_REASON_NONE));
	ck_assert_int_eq(rig_get("bob@x.com")->u.get.lead.state, LEAD_QUEUED);
}
END_TEST

/* What became of the mail is written down all the same. */
START_TEST(case_18_an_outcome_survives_a_lead_that_cannot_go_there)
{
	struct rig_step s = rig_reserved("bob@x.com");

	rig_ok(rig_slot(&s, 1));
	struct store_req *r = rig_outcome_new(&s, 1, STORE_ATTEMPT_SENT);
	r->u.outcome.to.state = LEAD_IN_FLIGHT;
	rig_ok(rig_ask(r));
	ck_assert_int_eq(rig.backend->count("attempts", "state = 'sent'"), 1);
	ck_assert_int_eq(rig.backend->count("leads", "due = 0 OR step = 'second'"), 0);
}
END_TEST

START_TEST(a_claimed_lead_is_given_back_once)
{
	struct store_req *r;

	rig_import("bob@x.com", "founders");
	struct rig_step s = rig_step_of(rig_claim(LEAD_STAGE_DRAFT));
	rig_ok(rig_draft(&s, false));
	s = rig_step_of(rig_claim(LEAD_STAGE_SEND));
	for (int i = 0; i < 2; i++) {
		r = rig_new(STORE_LEAD_SET);
		r->u.lead_set.lead_id = s.lead.id;
		r->u.lead_set.cancel = STORE_OUTCOME_CANCELLED;
		r->u.lead_set.error = "too old";
		r->u.lead_set.to = (struct store_lead_to){
			.state = LEAD_ENDED, .reason = LEAD_REASON_OVERDUE_EXPIRED, .due_ms = -1
		};
		ck_assert_int_eq(rig_ask(r)->err, i ? CM_ESTATE : CM_OK);
	}
	r = rig_get("bob@x.com");
	ck_assert_int_eq(r->u.get.emails[0].outcome, STORE_OUTCOME_CANCELLED);
	ck_assert_str_eq(r->u.get.emails[0].error, "too old");
	ck_assert_int_eq(r->u.get.lead.reason, LEAD_REASON_OVERDUE_EXPIRED);
	rig_agrees();
}
END_TEST

/* ---- holds -------------------------------------------------------------------------------------- */

static struct store_req *wake(size_t max)
{
	struct store_req *r = rig_new(STORE_WAKE);

	r->u.wake.max = max;
	r = rig_ask(r);
	rig_ok(r);
	return r;
}

static void hold_until(const char *email, int64_t until)
{
	struct store_req *r = rig_new(STORE_LEAD_SET);

	rig_import(email, "founders");
	r->u.lead_set.lead_id = rig_claim(LEAD_STAGE_DRAFT)->lead.id;
	r->u.lead_set.to = (struct store_lead_to){ .state = LEAD_HELD,
		.reason = LEAD_REASON_SMTP_DEFERRED,
		.until_ms = until,
		.due_ms = -1 };
	rig_ok(rig_ask(r));
}

START_TEST(a_hold_ends_when_its_time_has_come)
{
	hold_until("a@x.com", NOW + 1000);
	hold_until("b@x.com", NOW + 2000);
	hold_until("c@x.com", NOW + 3000);
	hold_until("d@x.com", CLOCK_NEVER_MS);
	struct store_req *r = wake(10);
	ck_assert_uint_eq(r->u.wake.n, 0);
	ck_assert_int_eq(r->u.wake.next_ms, NOW + 1000);
	rig.now_ms = NOW + 2000;
	r = wake(1);
	ck_assert_uint_eq(r->u.wake.n, 1);
	ck_assert_int_eq(r->u.wake.next_ms, NOW + 2000);
	ck_assert_uint_eq(wake(1)->u.wake.n, 1);
	r = wake(1);
	ck_assert_uint_eq(r->u.wake.n, 0);
	ck_assert_int_eq(r->u.wake.next_ms, NOW + 3000);
	rig.now_ms = NOW + CLOCK_DAY_MS;
	r = wake(10);
	ck_assert_uint_eq(r->u.wake.n, 1);
	ck_assert_int_eq(r->u.wake.next_ms, CLOCK_NEVER_MS);
	ck_assert_int_eq(rig_tally("founders", LEAD_QUEUED, LEAD_REASON_NONE), 3);
	ck_assert_int_eq(rig_tally("founders", LEAD_HELD, LEAD_REASON_SMTP_DEFERRED), 1);
}
END_TEST

START_TEST(an_operator_holds_and_releases)
{
	struct store_req *r;

	rig_import("bob@x.com", "founders");
	ck_assert_int_eq(
		rig_act("eve@x.com", STORE_LEAD_HOLD, LEAD_REASON_OPERATOR)->err, CM_ENOENT);
	r = rig_act("bob@x.com", STORE_LEAD_HOLD, LEAD_REASON_OPERATOR);
	rig_ok(r);
	ck_assert_int_eq(r->u.act.lead.state, LEAD_HELD);
	ck_assert_int_eq(r->u.act.lead.until_ms, CLOCK_NEVER_MS);
	rig_ok(rig_act("bob@x.com", STORE_LEAD_HOLD, LEAD_REASON_OPERATOR));
	r = rig_act("bob@x.com", STORE_LEAD_RELEASE, LEAD_REASON_NONE);
	ck_assert_int_eq(r->u.act.lead.state, LEAD_QUEUED);
	rig_ok(rig_act("bob@x.com", STORE_LEAD_RELEASE, LEAD_REASON_NONE));
	ck_assert_uint_eq(rig_claim_of("founders", LEAD_STAGE_DRAFT, NULL, 9)->u.claim.n, 1);
}
END_TEST

START_TEST(a_word_about_an_address_stops_what_is_under_way)
{
	struct rig_step open = rig_reserved("open@x.com"), gone = rig_reserved("gone@x.com");
	struct store_req *r;

	rig_ok(rig_slot(&gone, 1));
	r = rig_act("open@x.com", STORE_LEAD_END, LEAD_REASON_OPTED_OUT);
	rig_ok(r);
	ck_assert_uint_eq(r->u.act.voids.voided, 1);
	ck_assert_uint_eq(r->u.act.voids.transmitting, 0);
	r = rig_act("gone@x.com", STORE_LEAD_END, LEAD_REASON_LEAD_REPLIED);
	ck_assert_uint_eq(r->u.act.voids.voided, 0);
	ck_assert_uint_eq(r->u.act.voids.transmitting, 1);
	ck_assert_str_eq(r->u.act.voids.taken[0], mem_arena_printf(&r->arena, "%s#1", gone.key));
	ck_assert_int_eq(rig_slot(&open, 1)->err, CM_EEXIST);
	rig_ok(rig_outcome(&open, 1, STORE_ATTEMPT_RELEASED));
	rig_ok(rig_outcome(&gone, 1, STORE_ATTEMPT_SENT));
	/* The outcome counts; the lead stays where it was put. */
	struct lead l = rig_get("gone@x.com")->u.get.lead;
	ck_assert_int_eq(l.state, LEAD_ENDED);
	ck_assert_int_eq(l.n_sent, 1);
	ck_assert_str_eq(l.status, "replied");
	l = rig_get("open@x.com")->u.get.lead;
	ck_assert_str_eq(l.status, "failed");
	rig_agrees();
}
END_TEST

START_TEST(who_opted_out_stays_so)
{
	rig_sent("bob@x.com");
	struct store_req *r = rig_new(STORE_LEAD_ACT);

	r->u.act.email = "bob@x.com";
	r->u.act.act = STORE_LEAD_END;
	r->u.act.reason = LEAD_REASON_OPTED_OUT;
	r->u.act.suppress = true;
	r->u.act.source = "leads stop";
	rig_ok(rig_ask(r));
	rig_ok(rig_act("bob@x.com", STORE_LEAD_END, LEAD_REASON_LEAD_REPLIED));
	r = rig_get("bob@x.com");
	ck_assert_int_eq(r->u.get.lead.reason, LEAD_REASON_OPTED_OUT);
	ck_assert_str_eq(r->u.get.lead.status, "unsubscribed");
	ck_assert_uint_eq(r->u.get.n_suppressions, 1);
	ck_assert_str_eq(r->u.get.suppressions[0].source, "leads stop");
	ck_assert_int_eq(rig.backend->count("emails", "replied_at IS NOT NULL"), 1);
	ck_assert_int_eq(
		rig_act("bob@x.com", STORE_LEAD_HOLD, LEAD_REASON_OPERATOR)->err, CM_ESTATE);
	rig_agrees();
}
END_TEST

START_TEST(a_dry_run_changes_nothing)
{
	struct rig_step s = rig_reserved("bob@x.com");
	struct store_req *r = rig_new(STORE_LEAD_ACT);

	r->u.act.email = "bob@x.com";
	r->u.act.act = STORE_LEAD_END;
	r->u.act.reason = LEAD_REASON_OPTED_OUT;
	r->u.act.suppress = true;
	r->u.act.dry_run = true;
	r = rig_ask(r);
	rig_ok(r);
	ck_assert_int_eq(r->u.act.lead.state, LEAD_ENDED); /* as it would be */
	ck_assert_uint_eq(r->u.act.voids.voided, 1);
	r = rig_suppress_new(STORE_SUPPRESS_ADD, "x.com");
	r->u.suppress.dry_run = true;
	r = rig_ask(r);
	ck_assert_uint_eq(r->u.suppress.n_new, 1);
	ck_assert_uint_eq(r->u.suppress.voids.voided, 1);
	ck_assert_int_eq(rig_get("bob@x.com")->u.get.lead.state, LEAD_IN_FLIGHT);
	ck_assert_uint_eq(rig_get("bob@x.com")->u.get.n_suppressions, 0);
	rig_ok(rig_slot(&s, 1));
}
END_TEST

/* ---- controls ------------------------------------------------------------------------------------ */

static struct store_req *control(
	const char *name, const char *value, const char *void_campaign, const char *void_mailbox)
{
	struct store_req *r = rig_new(STORE_CONTROL_SET);

	r->u.control.v = mem_arena_get(&r->arena, sizeof *r->u.control.v);
	r->u.control.v[0] = (struct store_control){ .name = name, .value = value };
	r->u.control.n = 1;
	r->u.control.void_campaign = void_campaign;
	r->u.control.void_mailbox = void_mailbox;
	r = rig_ask(r);
	rig_ok(r);
	return r;
}

START_TEST(controls_survive_and_stop_mails)
{
	struct rig_step s = rig_reserved("bob@x.com");

	control("start/founders", "2026", NULL, NULL);
	ck_assert_uint_eq(
		control("pause/campaign/other", "x", "other", NULL)->u.control.voids.voided, 0);
	ck_assert_uint_eq(
		control("pause/mailbox/" OTHER, "x", NULL, OTHER)->u.control.voids.voided, 0);
	ck_assert_uint_eq(
		control("pause/mailbox/" MAILBOX, "x", NULL, MAILBOX)->u.control.voids.voided, 1);
	ck_assert_int_eq(rig_slot(&s, 1)->err, CM_EEXIST);
	control("pause/campaign/other", NULL, NULL, NULL);
	rig_reopen();
	struct store_req *r = rig_ask(rig_new(STORE_CONTROLS));
	rig_ok(r);
	ck_assert_uint_eq(r->u.controls.n, 3);
	ck_assert_int_eq(r->u.controls.n_attempts, 1);
	ck_assert_int_eq(r->u.controls.last_entry_ms, NOW);
	ck_assert_int_eq(rig.backend->count("campaigns",
				 "_id = 'founders' AND started_at IS NOT NULL AND leads = 1"),
		1);
	ck_assert_uint_eq(control("pause/all", "x", "*", NULL)->u.control.voids.voided, 1);
}
END_TEST

/* ---- lists --------------------------------------------------------------------------------------- */

START_TEST(leads_are_listed_in_pages)
{
	struct store_req *r = rig_new(STORE_LEAD_LIST);
	const enum lead_state ended = LEAD_ENDED;

	for (int i = 0; i < 5; i++) {
		char email[32];

		snprintf(email, sizeof email, "bob%d@x.com", i);
		rig_import(email, i == 4 ? "other" : "founders");
	}
	rig_ok(rig_suppress("bob1@x.com"));
	r->u.list.max = 3;
	r = rig_ask(r);
	ck_assert_uint_eq(r->u.list.n, 3);
	ck_assert_str_eq(r->u.list.v[2].email, "bob2@x.com");
	struct store_req *next = rig_new(STORE_LEAD_LIST);
	next->u.list.after = "bob2@x.com";
	next->u.list.campaign = "founders";
	next->u.list.max = 3;
	next = rig_ask(next);
	ck_assert_uint_eq(next->u.list.n, 1);
	r = rig_new(STORE_LEAD_LIST);
	r->u.list.state = &ended;
	r->u.list.reason = LEAD_REASON_SUPPRESSED;
	r->u.list.max = 9;
	r = rig_ask(r);
	ck_assert_uint_eq(r->u.list.n, 1);
	ck_assert_str_eq(r->u.list.v[0].email, "bob1@x.com");
}
END_TEST

START_TEST(a_person_without_a_lead_still_has_a_ledger)
{
	rig_sent("bob@x.com");
	rig_sqlite_exec("DELETE FROM leads");
	struct store_req *r = rig_get("bob@x.com");
	ck_assert_int_eq(r->err, CM_ENOENT);
	ck_assert_uint_eq(r->u.get.n_emails, 1);
	ck_assert_uint_eq(r->u.get.n_attempts, 1);
}
END_TEST

START_TEST(what_is_due_next)
{
	static const char *const mailboxes[] = { MAILBOX, OTHER };
	struct store_req *r = rig_new(STORE_NEXT_DUE);

	hold_until("held@x.com", NOW + 7000);
	ready_for("send1@x.com", MAILBOX, NOW - 5);
	ready_for("send2@x.com", OTHER, NOW - 6);
	ready_for("send3@x.com", "", NOW + 6);
	import_at("now@x.com", "founders", NOW - 1);
	import_at("later@x.com", "founders", NOW + 1);
	r->u.next_due.campaign = "founders";
	r->u.next_due.mailboxes = mailboxes;
	r->u.next_due.n_mailboxes = 2;
	r = rig_ask(r);
	rig_ok(r);
	ck_assert_int_eq(r->u.next_due.draft_ms, NOW - 1);
	ck_assert_int_eq(r->u.next_due.send_ms, NOW - 6);
	ck_assert_int_eq(r->u.next_due.wake_ms, NOW + 7000);
	ck_assert_int_eq(r->u.next_due.due_now, 3);
	ck_assert_uint_eq(r->u.next_due.n_strays, 0);
	r = rig_new(STORE_NEXT_DUE);
	r->u.next_due.campaign = "founders";
	r->u.next_due.mailboxes = mailboxes;
	r->u.next_due.n_mailboxes = 1;
	r = rig_ask(r);
	ck_assert_int_eq(r->u.next_due.send_ms, NOW - 5);
	ck_assert_int_eq(r->u.next_due.due_now, 2);
	ck_assert_uint_eq(r->u.next_due.n_strays, 1);
	ck_assert_str_eq(r->u.next_due.strays[0].mailbox, OTHER);
	ck_assert_int_eq(r->u.next_due.strays[0].n, 1);
	r = rig_new(STORE_NEXT_DUE);
	r->u.next_due.campaign = "nobody";
	r = rig_ask(r);
	ck_assert_int_eq(r->u.next_due.draft_ms, CLOCK_NEVER_MS);
	ck_assert_int_eq(r->u.next_due.send_ms, CLOCK_NEVER_MS);
	ck_assert_int_eq(r->u.next_due.wake_ms, CLOCK_NEVER_MS);
	ck_assert_int_eq(r->u.next_due.due_now, 0);
}
END_TEST

/* Drafted, and bound to MAILBOX. */
static void bound(const char *email, int64_t due)
{
	struct rig_step s = rig_ready(email);
	struct store_req *r = rig_new(STORE_LEAD_SET);

	r->u.lead_set.lead_id = s.lead.id;
	r->u.lead_set.to = (struct store_lead_to){
		.state = LEAD_QUEUED, .stage = LEAD_STAGE_SEND, .due_ms = due, .mailbox = MAILBOX
	};
	rig_ok(rig_ask(r));
}

static size_t unbind(size_t max, size_t *ret_calls)
{
	static const char *const mailboxes[] = { OTHER, "cem@example.com" };
	struct store_stray_place after = { 0 };
	size_t n = 0;

	for (*ret_calls = 0; !*ret_calls || after.mailbox; ++*ret_calls) {
		struct store_req *r = rig_new(STORE_UNBIND);

		r->u.unbind.campaign = "founders";
		r->u.unbind.mailboxes = mailboxes;
		r->u.unbind.n_mailboxes = 2;
		r->u.unbind.max = max;
		r->u.unbind.after = after;
		r = rig_ask(r);
		rig_ok(r);
		n += r->u.unbind.n;
		after = r->u.unbind.after;
		ck_assert_uint_lt(*ret_calls, 20);
	}
	return n;
}

static const char *mailbox_of(const char *email)
{
	return rig_get(email)->u.get.lead.mailbox;
}

START_TEST(leads_of_a_mailbox_that_is_gone_go_from_another)
{
	size_t calls;

	bound("answer@x.com", NOW + 1);
	rig_sqlite_exec("UPDATE emails SET in_reply_to = '<1@example.com>'");
	bound("a@x.com", NOW + 2);
	bound("b@x.com", NOW + 2);
	bound("c@x.com", NOW + 2);
	ready_for("other@x.com", OTHER, NOW + 2);
	ready_for("third@x.com", "zoe@example.com", NOW + 2);
	ck_assert_uint_eq(unbind(2, &calls), 4);
	ck_assert_uint_eq(calls, 3);
	ck_assert_str_eq(mailbox_of("answer@x.com"), MAILBOX);
	ck_assert_str_eq(mailbox_of("a@x.com"), "");
	ck_assert_str_eq(mailbox_of("c@x.com"), "");
	ck_assert_str_eq(mailbox_of("third@x.com"), "");
	ck_assert_str_eq(mailbox_of("other@x.com"), OTHER);
	rig.now_ms = NOW + 9;
	ck_assert_uint_eq(unbind(9, &calls), 0);
	ck_assert_uint_eq(rig_claim_of("founders", LEAD_STAGE_SEND, OTHER, 9)->u.claim.n, 5);
}
END_TEST

/* Its mail may be out: no other mailbox says it again. */
START_TEST(a_step_that_had_its_slot_stays_with_its_mailbox)
{
	struct rig_step s = rig_reserved("bob@x.com");
	struct store_req *r = rig_outcome_new(&s, 1, STORE_ATTEMPT_NOT_SENT);
	size_t calls;

	rig_ok(rig_slot(&s, 1));
	r->u.outcome.to.mailbox = MAILBOX;
	rig_ok(rig_ask(r));
	ck_assert_uint_eq(unbind(9, &calls), 0);
	ck_assert_str_eq(mailbox_of("bob@x.com"), MAILBOX);
}
END_TEST

static Suite *make(const char *backend)
{
	Suite *s = suite_create(backend);
	TCase *t = tcase_create("leads");

	tcase_add_checked_fixture(t, rig_setup, rig_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, import_adds_and_keeps_every_field);
	tcase_add_test(t, import_twice_changes_nothing);
	tcase_add_test(t, import_sees_its_own_rows);
	tcase_add_test(t, import_as_a_dry_run_answers_and_stores_nothing);
	tcase_add_test(t, import_without_campaign_waits_for_one);
	tcase_add_test(t, import_never_unsuppresses);
	tcase_add_test(t, import_moves_who_has_not_begun);
	tcase_add_test(t, import_does_not_mail_anybody_again);
	tcase_add_test(t, import_of_a_forgotten_lead_goes_by_the_ledger);
	tcase_add_test(t, import_queues_who_lacked_a_field);
	tcase_add_test(t, a_claim_takes_the_first_that_are_due);
	tcase_add_test(t, a_claim_to_send_merges_its_mailbox_with_the_unbound);
	tcase_add_test(t, a_claim_brings_the_facts);
	tcase_add_test(t, case_18_a_lead_goes_no_way_that_there_is_not);
	tcase_add_test(t, case_18_an_outcome_survives_a_lead_that_cannot_go_there);
	tcase_add_test(t, a_claimed_lead_is_given_back_once);
	tcase_add_test(t, a_hold_ends_when_its_time_has_come);
	tcase_add_test(t, an_operator_holds_and_releases);
	tcase_add_test(t, a_word_about_an_address_stops_what_is_under_way);
	tcase_add_test(t, who_opted_out_stays_so);
	tcase_add_test(t, a_dry_run_changes_nothing);
	tcase_add_test(t, controls_survive_and_stop_mails);
	tcase_add_test(t, leads_are_listed_in_pages);
	tcase_add_test(t, a_person_without_a_lead_still_has_a_ledger);
	tcase_add_test(t, what_is_due_next);
	tcase_add_test(t, leads_of_a_mailbox_that_is_gone_go_from_another);
	tcase_add_test(t, a_step_that_had_its_slot_stays_with_its_mailbox);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return rig_main(make);
}
