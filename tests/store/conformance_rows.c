/*
 * What every backend must do, part 3: rows of unknown origin. Any field of any row may hold anything
 * (cases 1 to 4, 12): nothing crashes, the batch goes on, at worst one lead is held as bad_record;
 * and nothing is mailed twice because a row lied.
 */
#include "rig.h"

static const char *const junk[] = { "NULL", "7", "-3.5", "X'00ff'", "'nonsense'", "''",
	"'a' || char(0) || 'b'", "CAST(X'c328' AS TEXT)", "9223372036854775807",
	"'{\"a\":[1,null,{}]}'", "replace(hex(zeroblob(500000)), '0', 'x')" };
#define N_JUNK ((int)(sizeof junk / sizeof *junk))

static const char *const lead_fields[] = { "_id", "person", "campaign", "state", "reason", "until",
	"stage", "step", "last_step", "due", "mailbox", "zone", "n_sent", "last_sent_at", "status",
	"created_at", "error_message", "extra", "first_name", "company", "smtp_valid", "source" };
static const char *const email_fields[] = { "key", "lead_id", "campaign_id", "person", "step",
	"followup_number", "email_type", "to_email", "from_email", "subject", "body", "draft_hash",
	"renderer", "message_id", "in_reply_to", "references", "date", "state", "outcome", "status",
	"created_at", "sent_at", "replied_at", "error_message" };
static const char *const attempt_fields[] = { "key", "n", "slot", "state", "at", "person",
	"campaign", "lead_id", "step", "to_email", "mailbox", "message_id", "sha256", "renderer",
	"instance", "nonce", "why", "class", "code", "text", "queue_id", "ended_at",
	"delay_connect" };
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* _id and email may not be NULL, and _id is unique. */
static bool is_refused_by_schema(const char *field, const char *value)
{
	return str_eq(field, "_id") && str_eq(value, "NULL");
}

/* Everything that is ever asked, so that every row is read in every way. */
static void ask_everything(const char *email)
{
	static const enum store_op ops[] = { STORE_WAKE, STORE_UNBIND, STORE_TALLY, STORE_CONTROLS,
		STORE_OPEN_ATTEMPTS, STORE_SENDS, STORE_LEAD_LIST, STORE_NEXT_DUE,
		STORE_MAILBOX_USE, STORE_RECOVER, STORE_AUDIT };

	for (size_t i = 0; i < COUNT(ops); i++) {
		struct store_req *r = rig_new(ops[i]);

		switch ((int)ops[i]) {
		case STORE_WAKE:
			r->u.wake.max = 9;
			break;
		case STORE_UNBIND:
			r->u.unbind.campaign = "founders";
			r->u.unbind.max = 9;
			break;
		case STORE_RECOVER:
			r->u.recover.max = 9;
			break;
		case STORE_OPEN_ATTEMPTS:
			r->u.attempts.uncertain = true;
			r->u.attempts.max = 9;
			break;
		case STORE_SENDS:
			r->u.sends.before_ms = INT64_MAX;
			r->u.sends.max = 9;
			break;
		case STORE_LEAD_LIST:
			r->u.list.max = 9;
			break;
		case STORE_NEXT_DUE:
			r->u.next_due.campaign = "founders";
			break;
		case STORE_MAILBOX_USE:
			r->u.use.mailbox = MAILBOX;
			r->u.use.max = 9;
			break;
		case STORE_AUDIT:
			r->u.audit.fix = true;
			break;
		}
		rig_ok(rig_ask(r));
	}
	int err = rig_get(email)->err;
	ck_assert(err == CM_OK || err == CM_ENOENT);
}

/* A lead is somewhere people see it: in the hands of the corridor, or held with a reason. */
static void check_bad_lead_is_seen(const char *email)
{
	struct store_req *r = rig_get(email);

	if (r->err == CM_ENOENT)
		return;
	const struct lead *l = &r->u.get.lead;
	if (l->state == LEAD_HELD)
		ck_assert_msg(l->reason != LEAD_REASON_NONE, "%s is held for no reason", email);
	if (l->state == LEAD_QUEUED) /* of another campaign by now: its claims find it */
		ck_assert(*l->campaign);
}

/* One bad lead, one good one behind it: the good one is claimed, the bad one at worst held. */
START_TEST(case_01_no_field_of_a_lead_stops_the_batch)
{
	for (size_t f = 0; f < COUNT(lead_fields); f++) {
		char bad[32], good[32], where[64];

		if (is_refused_by_schema(lead_fields[f], junk[_i]))
			continue;
		snprintf(bad, sizeof bad, "bad%zu@x.com", f);
		snprintf(good, sizeof good, "good%zu@x.com", f);
		snprintf(where, sizeof where, "email = '%s'", bad);
		rig_import(bad, "founders");
		rig_import(good, "founders");
		if (str_eq(lead_fields[f], "_id")) /* unique */
			snprintf(where, sizeof where, "email = '%s' AND _id <> %s", bad, "'x'");
		rig.backend->poke("leads", lead_fields[f], junk[_i], where);
		struct store_req *r = rig_claim_of("founders", LEAD_STAGE_DRAFT, NULL, 9);
		bool found = false;
		for (size_t i = 0; i < r->u.claim.n; i++)
			found |= str_eq(r->u.claim.v[i].lead.email, good);
		ck_assert_msg(found, "%s = %s stopped the batch", lead_fields[f], junk[_i]);
		rig_claim_of("founders", LEAD_STAGE_SEND, MAILBOX, 9);
		ask_everything(bad);
		check_bad_lead_is_seen(bad);
		rig_import(bad, "founders");
		rig_ok(rig_act(bad, STORE_LEAD_END, LEAD_REASON_STOPPED));
		rig_ok(rig_act(good, STORE_LEAD_END, LEAD_REASON_STOPPED));
		rig.backend->poke("leads", "_id", "email", where);
	}
}
END_TEST

/* Whatever is in a step's row: no crash, and no second mail of a step that went out. */
START_TEST(case_12_no_field_of_a_step_mails_it_again)
{
	for (size_t f = 0; f < COUNT(email_fields); f++) {
		char email[32], where[300];

		snprintf(email, sizeof email, "bob%zu@x.com", f);
		struct rig_step s = rig_sent(email);
		snprintf(where, sizeof where, "key = '%s'", s.key);
		rig.backend->poke("emails", email_fields[f], junk[_i], where);
		ask_everything(email);
		ck_assert_int_eq(rig_reserve(&s, 1)->err, CM_ESTATE);
		ck_assert_int_eq(rig_reserve(&s, 2)->err, CM_ESTATE);
		rig_draft(&s, true);
		struct store_req *r = rig_reserve(&s, 2);
		ck_assert_msg(r->err, "emails.%s = %s mails twice", email_fields[f], junk[_i]);
		rig_ok(rig_act(email, STORE_LEAD_END, LEAD_REASON_STOPPED));
		snprintf(where, sizeof where, "to_email = '%s'", email);
		if (str_eq(email_fields[f], "key"))
			rig.backend->poke("emails", "key", "_id", where);
	}
}
END_TEST

/* Two ways to a second campaign: a lead that is new to it, and one that came over to it. */
static void check_other_campaigns_keep_off(const char *email, const char *what, const char *value)
{
	char sql[200];

	snprintf(sql, sizeof sql,
		"UPDATE leads SET campaign = 'other', state = 'queued', stage = 'draft', due = 0,"
		" step = 'intro', last_step = '' WHERE email = '%s'",
		email);
	rig_sqlite_exec(sql);
	const struct store_claimed *c = rig_claim_of("other", LEAD_STAGE_DRAFT, NULL, 1)->u.claim.v;
	ck_assert_str_eq(c->lead.email, email);
	ck_assert_msg(c->contacted_by, "emails.%s = %s: claimed by a second campaign", what, value);
	snprintf(sql, sizeof sql, "DELETE FROM leads WHERE email = '%s'", email);
	rig_sqlite_exec(sql);
	ck_assert_msg(
		rig_import_vars(email, "third", NULL, 0, NOW - 1).result == STORE_ROW_CONTACTED,
		"emails.%s = %s: imported into a third campaign", what, value);
}

/* One cell may hold anything: who was written to is not written to by another campaign. */
START_TEST(case_12_no_field_of_a_step_lets_another_campaign_write)
{
	static const char *const fields[] = { "key", "lead_id", "campaign_id", "step",
		"followup_number", "to_email", "state", "outcome", "status", "sent_at", "date" };

	for (size_t f = 0; f < COUNT(fields); f++) {
		char email[32], where[64];

		if (str_eq(fields[f], "sent_at") && str_eq(junk[_i], "7"))
			continue; /* 1970 is long ago, and no nonsense */
		snprintf(email, sizeof email, "bob%zu@x.com", f);
		rig_sent(email);
		snprintf(where, sizeof where, "to_email = '%s'", email);
		rig.backend->poke("emails", fields[f], junk[_i], where);
		check_other_campaigns_keep_off(email, fields[f], junk[_i]);
	}
}
END_TEST

/* A row that reads well and lies: the try that it is about says more. */
START_TEST(a_step_that_denies_its_mail_lets_no_other_campaign_write)
{
	static const struct {
		const char *state, *outcome;
	} lies[] = { { "'ready'", "''" }, { "'done'", "'refused'" }, { "'done'", "'sent '" },
		{ "'done'", "''" } };

	for (size_t i = 0; i < COUNT(lies); i++) {
		char email[32], where[64];

		snprintf(email, sizeof email, "bob%zu@x.com", i);
		rig_sent(email);
		snprintf(where, sizeof where, "to_email = '%s'", email);
		rig.backend->poke("emails", "state", lies[i].state, where);
		rig.backend->poke("emails", "outcome", lies[i].outcome, where);
		check_other_campaigns_keep_off(email, "outcome", lies[i].outcome);
	}
}
END_TEST

/* What certainly did not go out keeps nobody away. */
START_TEST(a_step_that_was_not_sent_keeps_no_other_campaign_away)
{
	struct rig_step s = rig_reserved("bob@x.com");

	rig_ok(rig_outcome(&s, 1, STORE_ATTEMPT_NOT_SENT));
	for (int i = 0; i < 2; i++) {
		rig_sqlite_exec("DELETE FROM leads");
		ck_assert_int_eq(
			rig_import("bob@x.com", i ? "third" : "other").result, STORE_ROW_ADDED);
		rig.backend->poke("emails", "state", "'done'", "1");
		rig.backend->poke("emails", "outcome", "'cancelled'", "1");
	}
}
END_TEST

START_TEST(no_field_of_a_try_mails_it_again)
{
	for (size_t f = 0; f < COUNT(attempt_fields); f++) {
		char email[32], where[300];

		snprintf(email, sizeof email, "bob%zu@x.com", f);
		struct rig_step s = rig_sent(email);
		snprintf(where, sizeof where, "_id >= '%s#' AND _id < '%s$'", s.key, s.key);
		rig.backend->poke("attempts", attempt_fields[f], junk[_i], where);
		ask_everything(email);
		ck_assert_int_ne(rig_slot(&s, 1)->err, CM_OK);
		ck_assert_int_ne(rig_reserve(&s, 2)->err, CM_OK);
		rig_suppress(email);
		rig_ask(rig_void_new(&s, 1, "x"));
		rig_outcome(&s, 1, STORE_ATTEMPT_RELEASED);
		ck_assert_int_ne(rig_reserve(&s, 2)->err, CM_OK);
	}
}
END_TEST

/* An open try whose row lies is still stopped by its opt-out, or said to be out. */
START_TEST(no_field_of_an_open_try_hides_it_from_an_opt_out)
{
	static const char *const fields[] = { "key", "n", "at", "campaign", "lead_id", "to_email",
		"mailbox", "person" };

	for (size_t f = 0; f < COUNT(fields); f++) {
		char email[32], where[300];

		snprintf(email, sizeof email, "bob%zu@x.com", f);
		struct rig_step s = rig_reserved(email);
		snprintf(where, sizeof where, "_id = '%s#1'", s.key);
		rig.backend->poke("attempts", fields[f], junk[_i], where);
		/* A nonsensical but readable address or person is somebody else's. */
		bool is_other = (str_eq(fields[f], "person") || str_eq(fields[f], "to_email")) &&
				strchr("7-'9r", junk[_i][0]);
		rig_ok(rig_suppress(email));
		if (!is_other)
			ck_assert_msg(rig_slot(&s, 1)->err == CM_EEXIST,
				"attempts.%s = %s slips through", fields[f], junk[_i]);
	}
}
END_TEST

/* A row that names another person, campaign or step than its key would be counted for the wrong one. */
START_TEST(a_step_that_does_not_fit_its_key_is_not_sent)
{
	static const char *const fields[] = { "person", "campaign_id", "step" };

	for (size_t f = 0; f < COUNT(fields); f++) {
		char email[32], where[300];

		snprintf(email, sizeof email, "bob%zu@x.com", f);
		struct rig_step s = rig_ready(email);
		snprintf(where, sizeof where, "key = '%s'", s.key);
		rig.backend->poke("emails", fields[f], "'other'", where);
		ck_assert_int_eq(rig_reserve(&s, 1)->err, CM_ESTATE);
	}
	ck_assert_int_eq(rig.backend->count("attempts", "1"), 0);
}
END_TEST

/* Case 4: an address in another case, put there by somebody else, is not a second person. */
START_TEST(case_04_an_address_that_is_not_canonical_is_held)
{
	rig_import("bob@x.com", "founders");
	rig.backend->poke("leads", "email", "'Bob@X.com'", "1");
	rig_import("eve@x.com", "founders");
	struct store_req *r = rig_claim_of("founders", LEAD_STAGE_DRAFT, NULL, 9);
	ck_assert_uint_eq(r->u.claim.n, 1);
	ck_assert_str_eq(r->u.claim.v[0].lead.email, "eve@x.com");
	ck_assert_int_eq(rig_tally("founders", LEAD_HELD, LEAD_REASON_BAD_RECORD), 1);
}
END_TEST

/* A state nobody knows is seen at once, and put right by the next waking. */
START_TEST(case_18_a_lead_in_no_state_is_found)
{
	rig_import("bob@x.com", "founders");
	rig.backend->poke("leads", "state", "'QUEUED'", "1");
	ck_assert_int_eq(rig_tally("founders", LEAD_HELD, LEAD_REASON_BAD_RECORD), 1);
	struct store_req *r = rig_new(STORE_WAKE);
	r->u.wake.max = 9;
	rig_ok(rig_ask(r));
	ck_assert_int_eq(rig_tally("founders", LEAD_HELD, LEAD_REASON_BAD_RECORD), 1);
	ck_assert_int_eq(
		rig.backend->count("leads", "state = 'held' AND reason = 'bad_record'"), 1);
	/* Importing it again repairs it. */
	ck_assert_int_eq(rig_import("bob@x.com", "founders").result, STORE_ROW_UPDATED);
	ck_assert_str_eq(rig_claim(LEAD_STAGE_DRAFT)->lead.email, "bob@x.com");
}
END_TEST

START_TEST(case_18_all_leads_in_no_state_are_found_a_few_at_a_time)
{
	size_t n = 0;

	rig_import("a@x.com", "founders");
	rig_import("b@x.com", "founders");
	rig_import("c@x.com", "founders");
	rig.backend->poke("leads", "stage", "'nowhere'", "1");
	for (size_t last = 2; last == 2; n += last) {
		struct store_req *r = rig_new(STORE_WAKE);

		r->u.wake.max = 2;
		last = rig_ask(r)->u.wake.n;
	}
	ck_assert_uint_eq(n, 3);
	ck_assert_int_eq(rig_tally("founders", LEAD_HELD, LEAD_REASON_BAD_RECORD), 3);
}
END_TEST

START_TEST(case_01_smtp_valid_may_be_anything)
{
	static const char *const values[] = { "NULL", "7", "'Invalid'", "'inconclusive'", "'[]'",
		"'{}'", "replace(hex(zeroblob(500000)), '0', 'x')" };

	for (size_t i = 0; i < COUNT(values); i++) {
		char email[32], where[64];

		snprintf(email, sizeof email, "bob%zu@x.com", i);
		snprintf(where, sizeof where, "email = '%s'", email);
		rig_import(email, "founders");
		rig.backend->poke("leads", "smtp_valid", values[i], where);
		ck_assert_str_eq(rig_claim(LEAD_STAGE_DRAFT)->lead.email, email);
	}
}
END_TEST

static Suite *make(const char *backend)
{
	Suite *s = suite_create(backend);
	TCase *t = tcase_create("rows");

	tcase_add_checked_fixture(t, rig_setup, rig_teardown);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, case_01_no_field_of_a_lead_stops_the_batch, 0, N_JUNK);
	tcase_add_loop_test(t, case_12_no_field_of_a_step_mails_it_again, 0, N_JUNK);
	tcase_add_loop_test(t, case_12_no_field_of_a_step_lets_another_campaign_write, 0, N_JUNK);
	tcase_add_test(t, a_step_that_denies_its_mail_lets_no_other_campaign_write);
	tcase_add_test(t, a_step_that_was_not_sent_keeps_no_other_campaign_away);
	tcase_add_loop_test(t, no_field_of_a_try_mails_it_again, 0, N_JUNK);
	tcase_add_loop_test(t, no_field_of_an_open_try_hides_it_from_an_opt_out, 0, N_JUNK);
	tcase_add_test(t, a_step_that_does_not_fit_its_key_is_not_sent);
	tcase_add_test(t, case_04_an_address_that_is_not_canonical_is_held);
	tcase_add_test(t, case_18_a_lead_in_no_state_is_found);
	tcase_add_test(t, case_18_all_leads_in_no_state_are_found_a_few_at_a_time);
	tcase_add_test(t, case_01_smtp_valid_may_be_anything);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return rig_main(make);
}
