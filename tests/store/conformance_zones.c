/*
 * What every backend must do, part 6: leads by the clock they live by, and claims that take the heads
 * of those zones only whose window is open.
 */
#include "rig.h"

static void import_of(const char *email, const char *field, const char *value, int64_t due)
{
	int64_t now = rig.now_ms;

	rig.now_ms = due;
	rig_import_vars(email, "founders", &(struct lead_var){ field, value }, 1, INT64_MIN);
	rig.now_ms = now;
}

static const char *zone_of(const char *email)
{
	return rig_get(email)->u.get.lead.zone;
}

START_TEST(a_leads_zone_is_what_its_fields_decide)
{
	import_of("a@x.com", "timezone", "Asia/Tokyo", NOW);
	import_of("b@x.com", "country", "Germany", NOW);
	import_of("c@x.com", "country", "US", NOW);
	import_of("d@x.com", "timezone", "somewhere", NOW);
	ck_assert_str_eq(zone_of("a@x.com"), "Asia/Tokyo");
	ck_assert_str_eq(zone_of("b@x.com"), "Europe/Berlin");
	ck_assert_str_eq(zone_of("c@x.com"), "");
	ck_assert_str_eq(zone_of("d@x.com"), "");
	/* What is learned later moves it. */
	import_of("c@x.com", "region", "California", NOW);
	import_of("b@x.com", "timezone", "Europe/Lisbon", NOW);
	ck_assert_str_eq(zone_of("c@x.com"), "America/Los_Angeles");
	ck_assert_str_eq(zone_of("b@x.com"), "Europe/Lisbon");
}
END_TEST

static struct store_req *claim_in(
	enum lead_stage stage, const char *const *zones, size_t n_zones, size_t max)
{
	struct store_req *r = rig_new(STORE_CLAIM);

	r->u.claim.campaign = "founders";
	r->u.claim.stage = stage;
	r->u.claim.mailbox = stage == LEAD_STAGE_SEND ? MAILBOX : NULL;
	r->u.claim.max = max;
	r->u.claim.stopped_steps = "";
	r->u.claim.before_ms = rig.now_ms;
	r->u.claim.instance = "test:1:a";
	r->u.claim.recontact_since_ms = INT64_MIN;
	r->u.claim.zones = zones;
	r->u.claim.n_zones = n_zones;
	r = rig_ask(r);
	rig_ok(r);
	return r;
}

/* "ZONE due, …" by zone; due as it differs from NOW. */
static void left_are(const struct store_req *r, const char *expected)
{
	struct str found = STR_INIT;

	for (size_t k = 0; k < 4; k++) {
		static const char *const names[] = { "", "America/Los_Angeles", "Asia/Tokyo",
			"Europe/Berlin" };

		for (size_t i = 0; i < r->u.claim.n_left; i++)
			if (str_eq(r->u.claim.left[i].zone, names[k]))
				str_addf(&found, "%s%.3s %d", found.len ? ", " : "", names[k],
					(int)(r->u.claim.left[i].due_ms - NOW));
	}
	ck_assert_str_eq(str_z(&found), expected);
	str_done(&found);
}

static void claimed_are(const struct store_req *r, const char *emails)
{
	struct str found = STR_INIT;

	for (size_t i = 0; i < r->u.claim.n; i++)
		str_addf(&found, "%.1s", r->u.claim.v[i].lead.email);
	ck_assert_str_eq(str_z(&found), emails);
	str_done(&found);
}

START_TEST(case_21_a_claim_takes_the_first_of_the_open_zones_and_names_the_others)
{
	static const char *const none[1], *const east[] = { "", "Asia/Tokyo" },
						 *const west[] = { "America/Los_Angeles" };
	struct store_req *r;

	import_of("a@x.com", "timezone", "Asia/Tokyo", NOW - 9);
	import_of("b@x.com", "timezone", "America/Los_Angeles", NOW - 8);
	import_of("c@x.com", "timezone", "", NOW - 7);
	import_of("d@x.com", "timezone", "Asia/Tokyo", NOW - 6);
	import_of("e@x.com", "timezone", "", NOW + 5);
	import_of("f@x.com", "timezone", "Europe/Berlin", NOW + 6);
	r = claim_in(LEAD_STAGE_DRAFT, none, 0, 9);
	claimed_are(r, "");
	left_are(r, " -7, Ame -8, Asi -9, Eur 6");
	r = claim_in(LEAD_STAGE_DRAFT, east, 2, 2);
	claimed_are(r, "ac");
	left_are(r, " 5, Ame -8, Asi -6, Eur 6");
	r = claim_in(LEAD_STAGE_DRAFT, east, 2, 9);
	claimed_are(r, "d");
	left_are(r, " 5, Ame -8, Eur 6");
	r = claim_in(LEAD_STAGE_DRAFT, west, 1, 9);
	claimed_are(r, "b");
	left_are(r, " 5, Eur 6");
	rig.now_ms = NOW + 9;
	claimed_are(claim_in(LEAD_STAGE_DRAFT, NULL, 0, 9), "ef");
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

START_TEST(a_mailbox_finds_its_own_and_everybodys_leads_in_every_zone)
{
	static const char *const zones[] = { "Asia/Tokyo" };
	static const char *const mailboxes[] = { MAILBOX };
	struct store_req *r;

	ready_for("a@x.com", MAILBOX, NOW - 9);
	ready_for("b@x.com", "", NOW - 8);
	ready_for("c@x.com", MAILBOX, NOW - 7);
	ready_for("d@x.com", OTHER, NOW - 6);
	ready_for("e@x.com", "", NOW + 5);
	rig.backend->poke("leads", "zone", "'Asia/Tokyo'", "email < 'c'");
	rig.backend->poke("leads", "zone", "'Asia/Tokyo'", "email > 'd'");
	r = rig_new(STORE_NEXT_DUE);
	r->u.next_due.campaign = "founders";
	r->u.next_due.mailboxes = mailboxes;
	r->u.next_due.n_mailboxes = 1;
	r = rig_ask(r);
	rig_ok(r);
	ck_assert_int_eq(r->u.next_due.due_now, 3);
	ck_assert_int_eq(r->u.next_due.send_ms, NOW - 9);
	ck_assert_uint_eq(r->u.next_due.n_buckets, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct store_bucket *b = &r->u.next_due.buckets[i];

		ck_assert_int_eq(b->due_ms, *b->zone ? NOW - 9 : NOW - 7);
		ck_assert_int_eq(b->due_now, *b->zone ? 2 : 1);
	}
	ck_assert_int_eq(r->u.next_due.strays[0].n, 1);
	r = claim_in(LEAD_STAGE_SEND, zones, 1, 9);
	claimed_are(r, "ab");
	left_are(r, " -7, Asi 5");
}
END_TEST

/* Random leads, random open zones: what is claimed is what sorting them all would give. */
START_TEST(property_a_claim_is_the_head_of_a_sorted_list)
{
	static const char *const names[] = { "", "Africa/Cairo", "Asia/Tokyo", "Europe/Berlin" };
	unsigned seed = (unsigned)_i;
	struct {
		char email[32];
		size_t zone;
		int64_t due;
		bool gone;
	} v[40];

	for (size_t i = 0; i < 40; i++) {
		snprintf(v[i].email, sizeof v[i].email, "l%02zu@x.com", i);
		v[i].zone = (size_t)rand_r(&seed) % 4;
		v[i].due = NOW - 10 + rand_r(&seed) % 15;
		v[i].gone = false;
		import_of(v[i].email, "timezone", names[v[i].zone], v[i].due);
	}
	for (int round = 0; round < 12; round++) {
		const char *zones[4];
		unsigned open = (unsigned)rand_r(&seed) % 16;
		size_t n = 0, max = 1 + (size_t)rand_r(&seed) % 8, expected = 0;
		int64_t last = INT64_MIN;

		for (size_t i = 0; i < 4; i++)
			if (open & 1U << i)
				zones[n++] = names[i];
		struct store_req *r = claim_in(LEAD_STAGE_DRAFT, zones, n, max);
		for (size_t i = 0; i < r->u.claim.n; i++) {
			const char *email = r->u.claim.v[i].lead.email;
			size_t k = (size_t)((email[1] - '0') * 10 + email[2] - '0');

			ck_assert(open & 1U << v[k].zone && !v[k].gone && v[k].due <= NOW);
			ck_assert_int_ge(v[k].due, last);
			last = v[k].due;
			v[k].gone = true;
		}
		for (size_t k = 0; k < 40; k++) {
			bool waits = open & 1U << v[k].zone && !v[k].gone && v[k].due <= NOW;

			expected += waits;
			ck_assert(!waits || v[k].due >= last);
		}
		ck_assert(r->u.claim.n == max || !expected);
	}
}
END_TEST

static Suite *make(const char *backend)
{
	Suite *s = suite_create(backend);
	TCase *t = tcase_create("zones");

	tcase_add_checked_fixture(t, rig_setup, rig_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_leads_zone_is_what_its_fields_decide);
	tcase_add_test(t, case_21_a_claim_takes_the_first_of_the_open_zones_and_names_the_others);
	tcase_add_test(t, a_mailbox_finds_its_own_and_everybodys_leads_in_every_zone);
	tcase_add_loop_test(t, property_a_claim_is_the_head_of_a_sorted_list, 1, 40);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return rig_main(make);
}
