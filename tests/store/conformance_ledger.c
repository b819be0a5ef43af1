/*
 * What every backend must do, part 1: the ledger. Reservations, slots, outcomes, voids, recovery:
 * each arrow, each refusal, each request asked twice, and the race for the slot in every order.
 */
#include "rig.h"

/* ---- drafts ------------------------------------------------------------------------------------ */

START_TEST(a_draft_moves_its_lead_on)
{
	rig_import("bob@x.com", "founders");
	struct rig_step s = rig_step_of(rig_claim(LEAD_STAGE_DRAFT));
	struct store_req *r = rig_draft(&s, false);

	rig_ok(r);
	ck_assert_int_eq(r->u.draft.email.state, STORE_EMAIL_READY);
	struct store_claimed *c = rig_claim(LEAD_STAGE_SEND);
	ck_assert(c->has_email);
	ck_assert_str_eq(c->email.key, s.key);
	ck_assert_str_eq(c->email.subject, "Hello");
	ck_assert_str_eq(c->email.body, "Body\n");
	ck_assert_int_eq(c->email.created_ms, NOW);
	ck_assert_int_eq(c->last.n, 0);
}
END_TEST

START_TEST(a_draft_is_kept_unless_it_is_to_be_replaced)
{
	rig_import("bob@x.com", "founders");
	struct rig_step s = rig_step_of(rig_claim(LEAD_STAGE_DRAFT));

	rig_ok(rig_draft(&s, false));
	struct store_req *r = rig_draft(&s, false);
	ck_assert_int_eq(r->err, CM_EEXIST);
	ck_assert_str_eq(r->u.draft.email.body, "Body\n");
	rig_ok(rig_draft(&s, true));

	struct rig_step t = rig_step_of(rig_claim(LEAD_STAGE_SEND));
	rig_ok(rig_reserve(&t, 1));
	ck_assert_int_eq(rig_draft(&t, true)->err, CM_EEXIST);
	rig_ok(rig_slot(&t, 1));
	rig_ok(rig_outcome(&t, 1, STORE_ATTEMPT_SENT));
	r = rig_draft(&t, true);
	ck_assert_int_eq(r->err, CM_EEXIST);
	ck_assert_int_eq(r->u.draft.email.state, STORE_EMAIL_DONE);
	ck_assert_int_eq(r->u.draft.email.outcome, STORE_OUTCOME_SENT);
}
END_TEST

/* A draft made for a preview: the lead is in nobody's hands and stays where it is. */
START_TEST(a_draft_of_a_lead_that_is_not_in_flight_leaves_it)
{
	rig_import("bob@x.com", "founders");
	struct rig_step s = { .lead = rig_get("bob@x.com")->u.get.lead, .step = "intro" };

	snprintf(s.key, sizeof s.key, "founders/%s/intro", s.lead.person);
	rig_ok(rig_draft(&s, false));
	struct store_claimed *c = rig_claim(LEAD_STAGE_DRAFT);
	ck_assert(c->has_email);
	ck_assert_int_eq(c->email.state, STORE_EMAIL_READY);
}
END_TEST

/* A mailbox has room for it: nobody else may claim it in between. */
START_TEST(a_draft_that_goes_on_at_once_stays_with_its_claim)
{
	rig_import("bob@x.com", "founders");
	struct rig_step s = rig_step_of(rig_claim(LEAD_STAGE_DRAFT));
	struct store_req *r = rig_draft_new(&s, false);

	r->u.draft.to = (struct store_lead_to){ .state = LEAD_IN_FLIGHT };
	rig_ok(rig_ask(r));
	ck_assert_uint_eq(rig_claim_of("founders", LEAD_STAGE_SEND, MAILBOX, 9)->u.claim.n, 0);
	rig_ok(rig_reserve(&s, 1));
	rig_ok(rig_slot(&s, 1));
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_SENT));
}
END_TEST

/* ---- the way of one mail ----------------------------------------------------------------------- */

START_TEST(a_mail_that_is_sent)
{
	struct rig_step s = rig_ready("bob@x.com");
	struct store_req *r = rig_reserve(&s, 1);

	rig_ok(r);
	ck_assert_ptr_null(r->u.reserve.suppressed_by);
	ck_assert_ptr_null(r->u.reserve.contacted_by);
	ck_assert(!r->u.reserve.lead_moved);
	rig_ok(rig_slot(&s, 1));
	rig.now_ms += 1500;
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_SENT));

	r = rig_get("bob@x.com");
	rig_ok(r);
	ck_assert_uint_eq(r->u.get.n_emails, 1);
	ck_assert_int_eq(r->u.get.emails[0].state, STORE_EMAIL_DONE);
	ck_assert_int_eq(r->u.get.emails[0].outcome, STORE_OUTCOME_SENT);
	ck_assert_int_eq(r->u.get.emails[0].sent_ms, NOW + 1500);
	ck_assert_int_eq(r->u.get.emails[0].date_ms, NOW);
	ck_assert_str_eq(r->u.get.emails[0].mailbox, MAILBOX);
	ck_assert_str_eq(r->u.get.emails[0].message_id, "<1@example.com>");
	ck_assert_uint_eq(r->u.get.n_attempts, 1);
	ck_assert_int_eq(r->u.get.attempts[0].state, STORE_ATTEMPT_SENT);
	ck_assert_int_eq(r->u.get.attempts[0].slot, STORE_SLOT_TRANSMITTING);
	ck_assert_int_eq(r->u.get.attempts[0].code, 250);
	ck_assert_str_eq(r->u.get.attempts[0].queue_id, "A1");
	ck_assert_int_eq(r->u.get.lead.state, LEAD_QUEUED);
	ck_assert_str_eq(r->u.get.lead.step, "second");
	ck_assert_str_eq(r->u.get.lead.last_step, "intro");
	ck_assert_str_eq(r->u.get.lead.mailbox, MAILBOX);
	ck_assert_int_eq(r->u.get.lead.n_sent, 1);
	ck_assert_int_eq(r->u.get.lead.last_sent_ms, NOW + 1500);
	ck_assert_str_eq(r->u.get.lead.status, "sent");
	ck_assert_int_eq(
		rig.backend->count("emails", "status = 'sent' AND email_type = 'initial'"), 1);
	rig_agrees();
}
END_TEST

/* The next step answers the one before: it comes with the claim. */
START_TEST(a_follow_up_knows_its_thread)
{
	rig_sent("bob@x.com");
	ck_assert_uint_eq(rig_claim_of("founders", LEAD_STAGE_DRAFT, NULL, 9)->u.claim.n, 0);
	rig.now_ms += CLOCK_DAY_MS;
	struct store_claimed *c = rig_claim(LEAD_STAGE_DRAFT);

	ck_assert(!c->has_email);
	ck_assert(c->has_prev);
	ck_assert_str_eq(c->prev.message_id, "<1@example.com>");
	ck_assert_str_eq(c->prev.mailbox, MAILBOX);
	ck_assert_int_eq(c->prev.outcome, STORE_OUTCOME_SENT);
}
END_TEST

START_TEST(an_uncertain_mail_counts_as_sent)
{
	struct rig_step s = rig_reserved("bob@x.com");

	rig_ok(rig_slot(&s, 1));
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_UNCERTAIN));
	struct store_req *r = rig_get("bob@x.com");
	ck_assert_int_eq(r->u.get.emails[0].outcome, STORE_OUTCOME_UNCERTAIN);
	ck_assert_int_eq(r->u.get.lead.n_sent, 1);
	ck_assert_int_eq(r->u.get.lead.state, LEAD_HELD);
	ck_assert_str_eq(r->u.get.lead.status, "sent");
	ck_assert_int_eq(rig.backend->count("emails", "status = 'sent'"), 1);
	ck_assert_int_eq(rig_reserve(&s, 2)->err, CM_ESTATE);
	rig_agrees();
}
END_TEST

START_TEST(an_outcome_is_taken_once)
{
	struct rig_step s = rig_reserved("bob@x.com");

	rig_ok(rig_slot(&s, 1));
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_SENT));
	ck_assert_int_eq(rig_outcome(&s, 1, STORE_ATTEMPT_SENT)->err, CM_ESTATE);
	ck_assert_int_eq(rig_outcome(&s, 1, STORE_ATTEMPT_REFUSED)->err, CM_ESTATE);
	ck_assert_int_eq(rig_outcome(&s, 2, STORE_ATTEMPT_SENT)->err, CM_ENOENT);
	ck_assert_int_eq(rig_get("bob@x.com")->u.get.lead.n_sent, 1);
	rig_agrees();
}
END_TEST

START_TEST(a_refusal_for_good_ends_lead_and_address)
{
	struct rig_step s = rig_reserved("bob@x.com");
	struct store_req *r = rig_outcome_new(&s, 1, STORE_ATTEMPT_REFUSED);

	r->u.outcome.class = "recipient-permanent";
	r->u.outcome.code = 550;
	r->u.outcome.text = "5.1.1 no such user";
	r->u.outcome.email_state = STORE_EMAIL_DONE;
	r->u.outcome.email_outcome = STORE_OUTCOME_REFUSED;
	r->u.outcome.to = (struct store_lead_to){
		.state = LEAD_ENDED, .reason = LEAD_REASON_BOUNCED, .due_ms = -1
	};
	r->u.outcome.suppress = "bob@x.com";
	r->u.outcome.suppress_reason = "bounced";
	rig_ok(rig_ask(r));
	r = rig_get("bob@x.com");
	ck_assert_str_eq(r->u.get.lead.status, "invalid");
	ck_assert_int_eq(r->u.get.lead.n_sent, 0);
	ck_assert_str_eq(r->u.get.emails[0].error, "5.1.1 no such user");
	ck_assert_uint_eq(r->u.get.n_suppressions, 1);
	ck_assert_str_eq(r->u.get.suppressions[0].reason, "bounced");
	ck_assert_str_eq(r->u.get.suppressions[0].evidence, "550 5.1.1 no such user");
	ck_assert_int_eq(rig.backend->count("emails", "status = 'failed'"), 1);
	ck_assert_int_eq(rig_reserve(&s, 2)->err, CM_ESTATE);
	rig_agrees();
}
END_TEST

/* ---- who may follow ----------------------------------------------------------------------------- */

/* After which end of KEY#1 may there be a KEY#2? */
static const struct {
	enum store_attempt_state state;
	const char *class;
	bool slot, may_follow;
} ends[] = {
	{ STORE_ATTEMPT_RELEASED, "", false, true },
	{ STORE_ATTEMPT_NOT_SENT, "network", false, true },
	{ STORE_ATTEMPT_NOT_SENT, "network", true, true },
	{ STORE_ATTEMPT_REFUSED, "recipient-temporary", false, true },
	{ STORE_ATTEMPT_REFUSED, "mailbox", true, true },
	{ STORE_ATTEMPT_REFUSED, "recipient-permanent", false, false },
	{ STORE_ATTEMPT_SENT, "", true, false },
	{ STORE_ATTEMPT_UNCERTAIN, "", true, false },
};

START_TEST(the_end_of_a_try_decides_about_the_next)
{
	struct rig_step s = rig_reserved("bob@x.com");
	struct store_req *r = rig_outcome_new(&s, 1, ends[_i].state);

	ck_assert_int_eq(rig_reserve(&s, 2)->err, CM_ESTATE); /* while it is open */
	r->u.outcome.class = ends[_i].class;
	r->u.outcome.email_state = STORE_EMAIL_READY;
	r->u.outcome.email_outcome = STORE_OUTCOME_NONE;
	if (ends[_i].slot)
		rig_ok(rig_slot(&s, 1));
	rig_ok(rig_ask(r));
	ck_assert_int_eq(rig_reserve(&s, 1)->err, CM_ESTATE);
	ck_assert_int_eq(rig_reserve(&s, 3)->err, CM_ESTATE);
	ck_assert_int_eq(rig_reserve(&s, 2)->err, ends[_i].may_follow ? CM_OK : CM_ESTATE);
}
END_TEST

START_TEST(nothing_is_reserved_without_a_ready_draft)
{
	rig_import("bob@x.com", "founders");
	struct rig_step s = rig_step_of(rig_claim(LEAD_STAGE_DRAFT));
	struct store_req *r = rig_reserve(&s, 1);

	ck_assert_int_eq(r->err, CM_ESTATE);
	ck_assert_ptr_nonnull(r->why);
	ck_assert_int_eq(rig.backend->count("attempts", "1"), 0);
	rig_ok(rig_draft(&s, false));
	ck_assert_int_eq(rig_reserve(&s, 0)->err, CM_ESTATE);
	ck_assert_int_eq(rig_reserve(&s, 2)->err, CM_ESTATE);
	rig_ok(rig_reserve(&s, 1));
}
END_TEST

START_TEST(a_reservation_asked_twice_is_one)
{
	struct rig_step s = rig_reserved("bob@x.com");

	rig_ok(rig_reserve(&s, 1));
	ck_assert_int_eq(rig.backend->count("attempts", "1"), 1);
	struct store_req *r = rig_reserve_new(&s, 1);
	r->u.reserve.instance = "test:2:b";
	ck_assert_int_eq(rig_ask(r)->err, CM_EBUSY);
}
END_TEST

/* Two claims of one lead, as an operator's hold and release make them: each speaks for itself only. */
START_TEST(another_claim_has_no_say)
{
	struct rig_step s = rig_reserved("bob@x.com");
	struct store_req *r = rig_outcome_new(&s, 1, STORE_ATTEMPT_REFUSED);

	r->u.outcome.claim = "test:2:b";
	ck_assert_int_eq(rig_ask(r)->err, CM_ESTATE);
	ck_assert_int_eq(rig.backend->count("attempts", "state = 'reserved'"), 1);
	r = rig_new(STORE_LEAD_SET);
	r->u.lead_set.lead_id = s.lead.id;
	r->u.lead_set.claim = "test:2:b";
	r->u.lead_set.to = (struct store_lead_to){
		.state = LEAD_QUEUED, .stage = LEAD_STAGE_SEND, .due_ms = -1
	};
	ck_assert_int_eq(rig_ask(r)->err, CM_ESTATE);
	ck_assert_int_eq(rig.backend->count("leads", "state = 'in_flight'"), 1);
	r = rig_outcome_new(&s, 1, STORE_ATTEMPT_SENT);
	r->u.outcome.claim = "test:1:a";
	rig_ok(rig_ask(r));
	ck_assert_int_eq(rig.backend->count("leads", "state = 'in_flight'"), 0);
}
END_TEST

START_TEST(a_lead_whose_mail_is_under_way_is_not_queued_again)
{
	struct rig_step s = rig_reserved("bob@x.com");
	struct store_req *r = rig_new(STORE_LEAD_ACT);

	r->u.act.email = "bob@x.com";
	r->u.act.act = STORE_LEAD_HOLD;
	r->u.act.reason = LEAD_REASON_OPERATOR;
	rig_ok(rig_ask(r));
	for (int under_way = 1; under_way >= 0; under_way--) {
		r = rig_new(STORE_LEAD_ACT);
		r->u.act.email = "bob@x.com";
		r->u.act.act = STORE_LEAD_RELEASE;
		ck_assert_int_eq(rig_ask(r)->err, under_way ? CM_EBUSY : CM_OK);
		ck_assert_int_eq(rig_import_vars("bob@x.com", "other", NULL, 0, rig.now_ms).result,
			under_way ? STORE_ROW_DUPLICATE : STORE_ROW_UPDATED);
		if (under_way)
			rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_RELEASED));
	}
}
END_TEST

/* ---- the rendering ----------------------------------------------------------------------------- */

START_TEST(the_first_reservation_fixes_the_bytes)
{
	struct rig_step s = rig_reserved("bob@x.com");

	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_RELEASED));
	struct store_req *r = rig_reserve_new(&s, 2);
	r->u.reserve.date_ms++;
	ck_assert_int_eq(rig_ask(r)->err, CM_ESTATE);
	r = rig_reserve_new(&s, 2);
	r->u.reserve.sha256 = "01";
	ck_assert_int_eq(rig_ask(r)->err, CM_ESTATE);
	rig_ok(rig_reserve(&s, 2));
}
END_TEST

static struct store_req *reserve_elsewhere(const struct rig_step *s, int n)
{
	struct store_req *r = rig_reserve_new(s, n);

	r->u.reserve.mailbox = OTHER;
	r->u.reserve.message_id = "<2@example.com>";
	r->u.reserve.date_ms += 5000;
	return rig_ask(r);
}

static struct store_req *reserve_other_bytes(const struct rig_step *s, int n)
{
	struct store_req *r = rig_reserve_new(s, n);

	r->u.reserve.message_id = "<2@example.com>";
	r->u.reserve.sha256 = "01";
	r->u.reserve.date_ms += 5000;
	return rig_ask(r);
}

START_TEST(other_bytes_have_another_message_id)
{
	struct rig_step s = rig_reserved("bob@x.com");

	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_RELEASED));
	rig_ok(reserve_other_bytes(&s, 2));
	rig_ok(reserve_other_bytes(&s, 2)); /* its answer was lost */
	ck_assert_str_eq(rig_get("bob@x.com")->u.get.emails[0].message_id, "<2@example.com>");
	rig_ok(rig_slot(&s, 2));
	rig_ok(rig_outcome(&s, 2, STORE_ATTEMPT_NOT_SENT));
	rig_ok(reserve_other_bytes(&s, 3));
}
END_TEST

START_TEST(another_mailbox_is_another_rendering)
{
	struct rig_step s = rig_reserved("bob@x.com");

	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_RELEASED));
	rig_ok(reserve_elsewhere(&s, 2));
	struct store_email e = rig_get("bob@x.com")->u.get.emails[0];
	ck_assert_str_eq(e.mailbox, OTHER);
	ck_assert_str_eq(e.message_id, "<2@example.com>");
	ck_assert_int_eq(e.date_ms, NOW + 5000);
}
END_TEST

START_TEST(another_mailbox_is_refused_once_a_slot_was_taken)
{
	struct rig_step s = rig_reserved("bob@x.com");

	rig_ok(rig_slot(&s, 1));
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_NOT_SENT));
	ck_assert_int_eq(reserve_elsewhere(&s, 2)->err, CM_ESTATE);
	rig_ok(rig_reserve(&s, 2));
}
END_TEST

/* ---- slots -------------------------------------------------------------------------------------- */

START_TEST(the_slot_is_inserted_once)
{
	struct rig_step s = rig_ready("bob@x.com");

	ck_assert_int_eq(rig_slot(&s, 1)->err, CM_ESTATE); /* no such try */
	rig_ok(rig_reserve(&s, 1));
	rig_ok(rig_slot(&s, 1));
	rig_ok(rig_slot(&s, 1)); /* the same nonce: the answer was lost */
	struct store_req *r = rig_ask(rig_slot_new(&s, 1, "another"));
	ck_assert_int_eq(r->err, CM_EEXIST);
	ck_assert_ptr_nonnull(r->why);
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_SENT));
	ck_assert_int_eq(rig_slot(&s, 1)->err, CM_ESTATE);
}
END_TEST

START_TEST(a_void_wins_if_it_is_first)
{
	struct rig_step s = rig_reserved("bob@x.com");
	struct store_req *r = rig_ask(rig_void_new(&s, 1, "opted_out"));

	rig_ok(r);
	ck_assert_int_eq(r->u.void_.slot, STORE_SLOT_VOID);
	r = rig_slot(&s, 1);
	ck_assert_int_eq(r->err, CM_EEXIST);
	ck_assert_str_eq(r->why, "opted_out");
	ck_assert_int_eq(rig_ask(rig_void_new(&s, 1, "paused"))->u.void_.slot, STORE_SLOT_VOID);
	ck_assert_str_eq(rig_get("bob@x.com")->u.get.attempts[0].slot_why, "opted_out");
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_RELEASED));
	rig_ok(rig_reserve(&s, 2));
}
END_TEST

START_TEST(a_void_after_the_slot_says_so)
{
	struct rig_step s = rig_reserved("bob@x.com");

	rig_ok(rig_slot(&s, 1));
	struct store_req *r = rig_ask(rig_void_new(&s, 1, "opted_out"));
	rig_ok(r);
	ck_assert_int_eq(r->u.void_.slot, STORE_SLOT_TRANSMITTING);
	ck_assert_int_eq(rig_ask(rig_void_new(&s, 9, "x"))->err, CM_ENOENT);
	/* Nobody may call that one released: it may be out. */
	ck_assert_int_eq(rig_outcome(&s, 1, STORE_ATTEMPT_RELEASED)->err, CM_ESTATE);
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_UNCERTAIN));
}
END_TEST

/* One group, every order: slot, void, suppression. Whoever is first wins, and all say the same. */
START_TEST(the_race_for_the_slot)
{
	static const char orders[][4] = { "svp", "spv", "vsp", "vps", "psv", "pvs" };

	for (int round = 0; round < 60; round++) {
		const char *order = orders[round % 6];
		char email[32];

		snprintf(email, sizeof email, "bob%d@x.com", round);
		struct rig_step s = rig_reserved(email);
		struct store_req *slot = NULL, *void_ = NULL, *supp = NULL;
		for (const char *p = order; *p; p++) {
			if (*p == 's')
				rig_send(rig_slot_new(&s, 1, "nonce"), &slot);
			if (*p == 'v')
				rig_send(rig_void_new(&s, 1, "void"), &void_);
			if (*p == 'p')
				rig_send(rig_suppress_new(STORE_SUPPRESS_ADD,
						 mem_arena_dup(&rig.kept[0]->arena, email)),
					&supp);
		}
		rig_wait();
		bool taken = order[0] == 's';
		ck_assert_int_eq(slot->err, taken ? CM_OK : CM_EEXIST);
		ck_assert_int_eq(
			void_->u.void_.slot, taken ? STORE_SLOT_TRANSMITTING : STORE_SLOT_VOID);
		ck_assert_uint_eq(supp->u.suppress.voids.transmitting, taken);
		ck_assert_uint_eq(supp->u.suppress.voids.voided, !taken);
		rig_ok(rig_outcome(&s, 1, taken ? STORE_ATTEMPT_SENT : STORE_ATTEMPT_RELEASED));
	}
	rig_agrees();
}
END_TEST

/* ---- facts at the gate -------------------------------------------------------------------------- */

START_TEST(a_reservation_reads_what_forbids_it)
{
	struct rig_step s = rig_ready("bob@sub.x.com");

	rig_ok(rig_suppress("x.com"));
	struct store_req *r = rig_reserve(&s, 1);
	rig_ok(r);
	ck_assert_str_eq(r->u.reserve.suppressed_by, "x.com");
	ck_assert(!r->u.reserve.lead_moved);
	rig_ok(rig_suppress("bob@sub.x.com"));
	r = rig_reserve(&s, 1);
	ck_assert_str_eq(r->u.reserve.suppressed_by, "bob@sub.x.com");
	ck_assert(r->u.reserve.lead_moved);
}
END_TEST

/* ---- recovery ----------------------------------------------------------------------------------- */

static struct store_req *open_attempts(bool uncertain, const char *after, size_t max)
{
	struct store_req *r = rig_new(STORE_OPEN_ATTEMPTS);

	r->u.attempts.uncertain = uncertain;
	r->u.attempts.after = after;
	r->u.attempts.max = max;
	r = rig_ask(r);
	rig_ok(r);
	return r;
}

static size_t recover(size_t max)
{
	struct store_req *r = rig_new(STORE_RECOVER);

	r->u.recover.max = max;
	r = rig_ask(r);
	rig_ok(r);
	return r->u.recover.n;
}

START_TEST(recovery_after_a_crash)
{
	struct rig_step before = rig_reserved("before@x.com"), after = rig_reserved("after@x.com");

	rig_ok(rig_slot(&after, 1));
	rig_import("claimed@x.com", "founders");
	rig_claim(LEAD_STAGE_DRAFT);
	rig_reopen();

	/* In flight without an open attempt: queued again, where it was. */
	ck_assert_uint_eq(recover(10), 1);
	ck_assert_uint_eq(recover(10), 0);
	ck_assert_str_eq(rig_claim(LEAD_STAGE_DRAFT)->lead.email, "claimed@x.com");

	/* Each open attempt is voided: won ⇒ certainly not sent; the slot was taken ⇒ uncertain. */
	struct store_req *r = open_attempts(false, NULL, 10);
	ck_assert_uint_eq(r->u.attempts.n, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct store_attempt *a = &r->u.attempts.v[i];
		bool taken = str_eq(a->key, after.key);
		struct rig_step *s = taken ? &after : &before;
		struct store_req *v = rig_ask(rig_void_new(s, a->n, "recovery"));

		ck_assert_str_eq(a->lead_id, s->lead.id);
		ck_assert_int_eq(
			v->u.void_.slot, taken ? STORE_SLOT_TRANSMITTING : STORE_SLOT_VOID);
		rig_ok(rig_outcome(s, 1, taken ? STORE_ATTEMPT_UNCERTAIN : STORE_ATTEMPT_RELEASED));
	}
	ck_assert_uint_eq(open_attempts(false, NULL, 10)->u.attempts.n, 0);
	ck_assert_uint_eq(open_attempts(true, NULL, 10)->u.attempts.n, 1);
	ck_assert_str_eq(rig_claim(LEAD_STAGE_SEND)->lead.email, "before@x.com");
	rig_agrees();
}
END_TEST

START_TEST(open_attempts_come_in_pages)
{
	size_t seen = 0;
	char *after = NULL;

	for (int i = 0; i < 7; i++) {
		char email[32];

		snprintf(email, sizeof email, "bob%d@x.com", i);
		struct rig_step s = rig_reserved(email);
		if (i % 2) {
			rig_ok(rig_slot(&s, 1));
			rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_UNCERTAIN));
		}
	}
	ck_assert_uint_eq(open_attempts(false, NULL, 100)->u.attempts.n, 4);
	for (;;) {
		struct store_req *r = open_attempts(true, after, 2);

		if (!r->u.attempts.n)
			break;
		seen += r->u.attempts.n;
		ck_assert_uint_le(r->u.attempts.n, 2);
		const struct store_attempt *a = &r->u.attempts.v[r->u.attempts.n - 1];
		free(after);
		after = xasprintf("%s#%d", a->key, a->n);
	}
	free(after);
	ck_assert_uint_eq(seen, 7);
}
END_TEST

/* ---- resolving ---------------------------------------------------------------------------------- */

static struct store_req *resolve(const struct rig_step *s, bool sent, bool dry_run)
{
	struct store_req *r = rig_new(STORE_RESOLVE);

	r->u.resolve.key = s->key;
	r->u.resolve.n = 1;
	r->u.resolve.sent = sent;
	r->u.resolve.dry_run = dry_run;
	r->u.resolve.to = (struct store_lead_to){
		.state = LEAD_QUEUED, .stage = LEAD_STAGE_SEND, .step = "intro", .due_ms = -1
	};
	if (sent)
		r->u.resolve.to.step = "second";
	return rig_ask(r);
}

START_TEST(resolved_as_not_sent_it_is_due_again)
{
	struct rig_step s = rig_reserved("bob@x.com");

	ck_assert_int_eq(resolve(&s, false, false)->err, CM_ESTATE);
	rig_ok(rig_slot(&s, 1));
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_UNCERTAIN));
	rig_ok(resolve(&s, false, true)); /* dry run */
	ck_assert_int_eq(rig_get("bob@x.com")->u.get.attempts[0].state, STORE_ATTEMPT_UNCERTAIN);
	struct store_req *r = resolve(&s, false, false);
	rig_ok(r);
	ck_assert_int_eq(r->u.resolve.attempt.state, STORE_ATTEMPT_NOT_SENT);
	r = rig_get("bob@x.com");
	ck_assert_int_eq(r->u.get.emails[0].state, STORE_EMAIL_READY);
	ck_assert_int_eq(r->u.get.lead.n_sent, 0);
	ck_assert_str_eq(r->u.get.lead.status, "pending");
	ck_assert_int_eq(resolve(&s, false, false)->err, CM_ESTATE);
	struct rig_step t = rig_step_of(rig_claim(LEAD_STAGE_SEND));
	t.date_ms = NOW;
	rig_ok(rig_reserve(&t, 2));
	rig_agrees();
}
END_TEST

START_TEST(resolved_as_sent_it_goes_on)
{
	struct rig_step s = rig_reserved("bob@x.com");

	rig_ok(rig_slot(&s, 1));
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_UNCERTAIN));
	rig_ok(resolve(&s, true, false));
	struct store_req *r = rig_get("bob@x.com");
	ck_assert_int_eq(r->u.get.emails[0].outcome, STORE_OUTCOME_SENT);
	ck_assert_int_eq(r->u.get.lead.n_sent, 1);
	ck_assert_int_eq(r->u.get.lead.state, LEAD_QUEUED);
	ck_assert_str_eq(r->u.get.lead.step, "second");
	snprintf(s.key, sizeof s.key, "founders/nobody/intro");
	ck_assert_int_eq(resolve(&s, true, false)->err, CM_ENOENT);
	rig_agrees();
}
END_TEST

START_TEST(resolving_does_not_call_back_who_said_no)
{
	struct rig_step s = rig_reserved("bob@x.com");

	rig_ok(rig_slot(&s, 1));
	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_UNCERTAIN));
	rig_ok(rig_act("bob@x.com", STORE_LEAD_END, LEAD_REASON_OPTED_OUT));
	rig_ok(resolve(&s, false, false));
	struct lead l = rig_get("bob@x.com")->u.get.lead;
	ck_assert_int_eq(l.state, LEAD_ENDED);
	ck_assert_int_eq(l.reason, LEAD_REASON_OPTED_OUT);
	ck_assert_str_eq(l.status, "failed");
	rig_agrees();
}
END_TEST

/* ---- what is read of the ledger ----------------------------------------------------------------- */

START_TEST(sends_come_newest_first)
{
	struct store_req *r = rig_new(STORE_SENDS);

	for (int i = 0; i < 5; i++) {
		char email[32];

		snprintf(email, sizeof email, "bob%d@x.com", i);
		rig.now_ms = NOW + i;
		struct rig_step s = rig_reserved(email);
		rig_ok(rig_slot(&s, 1));
		rig_ok(rig_outcome(&s, 1, i == 2 ? STORE_ATTEMPT_UNCERTAIN : STORE_ATTEMPT_SENT));
	}
	r->u.sends.before_ms = INT64_MAX;
	r->u.sends.max = 2;
	r = rig_ask(r);
	ck_assert_uint_eq(r->u.sends.n, 2);
	ck_assert_str_eq(r->u.sends.v[0].to, "bob4@x.com");
	ck_assert_str_eq(r->u.sends.v[1].to, "bob3@x.com");
	ck_assert_int_eq(r->u.sends.v[1].slot, STORE_SLOT_TRANSMITTING);
	struct store_req *next = rig_new(STORE_SENDS);
	next->u.sends.before_ms = r->u.sends.v[1].reserved_ms;
	next->u.sends.before_id = mem_arena_printf(&next->arena, "%s#1", r->u.sends.v[1].key);
	next->u.sends.outcome = "sent";
	next->u.sends.campaign = "founders";
	next->u.sends.mailbox = MAILBOX;
	next->u.sends.max = 10;
	next = rig_ask(next);
	ck_assert_uint_eq(next->u.sends.n, 2);
	ck_assert_str_eq(next->u.sends.v[0].to, "bob1@x.com");
	ck_assert_str_eq(next->u.sends.v[1].to, "bob0@x.com");
}
END_TEST

static Suite *make(const char *backend)
{
	Suite *s = suite_create(backend);
	TCase *t = tcase_create("ledger");

	tcase_add_checked_fixture(t, rig_setup, rig_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_draft_moves_its_lead_on);
	tcase_add_test(t, a_draft_is_kept_unless_it_is_to_be_replaced);
	tcase_add_test(t, a_draft_of_a_lead_that_is_not_in_flight_leaves_it);
	tcase_add_test(t, a_draft_that_goes_on_at_once_stays_with_its_claim);
	tcase_add_test(t, a_mail_that_is_sent);
	tcase_add_test(t, a_follow_up_knows_its_thread);
	tcase_add_test(t, an_uncertain_mail_counts_as_sent);
	tcase_add_test(t, an_outcome_is_taken_once);
	tcase_add_test(t, a_refusal_for_good_ends_lead_and_address);
	tcase_add_loop_test(
		t, the_end_of_a_try_decides_about_the_next, 0, (int)(sizeof ends / sizeof *ends));
	tcase_add_test(t, nothing_is_reserved_without_a_ready_draft);
	tcase_add_test(t, a_reservation_asked_twice_is_one);
	tcase_add_test(t, another_claim_has_no_say);
	tcase_add_test(t, a_lead_whose_mail_is_under_way_is_not_queued_again);
	tcase_add_test(t, the_first_reservation_fixes_the_bytes);
	tcase_add_test(t, another_mailbox_is_another_rendering);
	tcase_add_test(t, other_bytes_have_another_message_id);
	tcase_add_test(t, another_mailbox_is_refused_once_a_slot_was_taken);
	tcase_add_test(t, the_slot_is_inserted_once);
	tcase_add_test(t, a_void_wins_if_it_is_first);
	tcase_add_test(t, a_void_after_the_slot_says_so);
	tcase_add_test(t, the_race_for_the_slot);
	tcase_add_test(t, a_reservation_reads_what_forbids_it);
	tcase_add_test(t, recovery_after_a_crash);
	tcase_add_test(t, open_attempts_come_in_pages);
	tcase_add_test(t, resolved_as_not_sent_it_is_due_again);
	tcase_add_test(t, resolved_as_sent_it_goes_on);
	tcase_add_test(t, resolving_does_not_call_back_who_said_no);
	tcase_add_test(t, sends_come_newest_first);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return rig_main(make);
}
