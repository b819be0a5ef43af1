/*
 * States, legal moves, reasons, the derived status; fields that are not there and first names.
 */
#include "coldmail/lead.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(names_and_back)
{
	enum lead_state s = LEAD_QUEUED;

	ck_assert(lead_state_parse("in_flight", &s));
	ck_assert_int_eq(s, LEAD_IN_FLIGHT);
	ck_assert(!lead_state_parse("IN_FLIGHT", &s));
	ck_assert(!lead_state_parse(NULL, &s));
	ck_assert_int_eq(s, LEAD_IN_FLIGHT);
	ck_assert_str_eq(lead_state_name(LEAD_ENDED), "ended");
	ck_assert_str_eq(lead_stage_name(LEAD_STAGE_SEND), "send");
	ck_assert_str_eq(lead_reason_name(LEAD_REASON_NONE), "");
	ck_assert_int_eq(lead_reason_parse(""), LEAD_REASON_NONE);
	ck_assert_int_eq(lead_reason_parse(NULL), LEAD_REASON_NONE);
	ck_assert_int_eq(lead_reason_parse("whatever"), LEAD_REASON_NONE);
#define X(name, text, state, trouble)                                                              \
	ck_assert_int_eq(lead_reason_parse(text), LEAD_REASON_##name);                             \
	ck_assert_str_eq(lead_reason_name(LEAD_REASON_##name), text);                              \
	ck_assert_int_eq(lead_reason_is_trouble(LEAD_REASON_##name), trouble);
	LEAD_REASONS(X)
#undef X
}
END_TEST

/* The whole table, written as a person would draw it. */
START_TEST(legal_moves)
{
	static const char *const may[] = {
		/*             to: Q H F E */
		[LEAD_QUEUED] = "++++",
		[LEAD_HELD] = "++-+",
		[LEAD_IN_FLIGHT] = "++-+",
		[LEAD_ENDED] = "+--+",
	};
	static const enum lead_state order[] = { LEAD_QUEUED, LEAD_HELD, LEAD_IN_FLIGHT,
		LEAD_ENDED };

	for (size_t from = 0; from < 4; from++)
		for (size_t to = 0; to < 4; to++)
			ck_assert_msg(lead_state_may(order[from], order[to]) ==
					      (may[order[from]][to] == '+'),
				"%s -> %s", lead_state_name(order[from]),
				lead_state_name(order[to]));
}
END_TEST

START_TEST(case_11_status_follows_state_and_sends)
{
	static const struct {
		enum lead_state state;
		enum lead_reason reason;
		int64_t n_sent;
		const char *status;
	} t[] = {
		{ LEAD_QUEUED, LEAD_REASON_NONE, 0, "pending" },
		{ LEAD_HELD, LEAD_REASON_MISSING_FIELD, 0, "pending" },
		{ LEAD_IN_FLIGHT, LEAD_REASON_NONE, 0, "pending" },
		{ LEAD_ENDED, LEAD_REASON_BOUNCED, 0, "invalid" },
		{ LEAD_ENDED, LEAD_REASON_SUPPRESSED, 0, "failed" },
		{ LEAD_ENDED, LEAD_REASON_OPTED_OUT, 0, "failed" },
		{ LEAD_ENDED, LEAD_REASON_STOPPED, 0, "failed" },
		{ LEAD_ENDED, LEAD_REASON_ALREADY_CONTACTED, 0, "failed" },
		{ LEAD_ENDED, LEAD_REASON_OVERDUE_EXPIRED, 0, "failed" },
		{ LEAD_QUEUED, LEAD_REASON_NONE, 1, "sent" },
		{ LEAD_HELD, LEAD_REASON_SEND_UNCERTAIN, 1, "sent" },
		{ LEAD_IN_FLIGHT, LEAD_REASON_NONE, 2, "sent" },
		{ LEAD_ENDED, LEAD_REASON_COMPLETED, 3, "sent" },
		{ LEAD_ENDED, LEAD_REASON_STOPPED, 1, "sent" },
		{ LEAD_ENDED, LEAD_REASON_LEAD_REPLIED, 1, "replied" },
		{ LEAD_ENDED, LEAD_REASON_BOUNCED, 1, "bounced" },
		{ LEAD_ENDED, LEAD_REASON_OPTED_OUT, 1, "unsubscribed" },
		{ LEAD_ENDED, LEAD_REASON_SUPPRESSED, 1, "unsubscribed" },
		{ LEAD_ENDED, LEAD_REASON_OVERDUE_EXPIRED, 1, "sent" },
	};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		ck_assert_str_eq(lead_status(t[i].state, t[i].reason, t[i].n_sent), t[i].status);
}
END_TEST

START_TEST(case_02_null_like_values)
{
	static const char *const yes[] = { "", " ", "\t\n", "null", "NULL", " None ", "n/a", "N/A",
		"na", "NaN", "nil", "-", " - ", "undefined", "UNDEFINED" };
	static const char *const no[] = { "0", "Nan Goldin", "x", "null null", "--", ".", "nada",
		"n / a", "Nil." };

	ck_assert(lead_is_null_like(NULL));
	for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
		ck_assert_msg(lead_is_null_like(yes[i]), "'%s'", yes[i]);
	for (size_t i = 0; i < sizeof no / sizeof *no; i++)
		ck_assert_msg(!lead_is_null_like(no[i]), "'%s'", no[i]);
}
END_TEST

START_TEST(fields)
{
	struct lead_var vars[] = { { "company", "Acme" }, { "title", "null" } };
	struct lead l = { .email = "bob@x.com", .vars = vars, .n_vars = 2 };

	ck_assert_str_eq(lead_get(&l, "email"), "bob@x.com");
	ck_assert_str_eq(lead_get(&l, "company"), "Acme");
	ck_assert_ptr_null(lead_get(&l, "title"));
	ck_assert_ptr_null(lead_get(&l, "city"));
	ck_assert_ptr_null(lead_get(&(struct lead){ 0 }, "email"));
}
END_TEST

static const struct {
	const char *raw, *company, *want;
} first_names[] = {
	{ "Ada", "Acme", "Ada" },
	{ " ada ", NULL, "Ada" },
	{ "ROBERT", NULL, "Robert" },
	{ "JP", NULL, "JP" },
	{ "McKenzie", NULL, "McKenzie" },
	{ "DeShawn", NULL, "DeShawn" },
	{ "jean  luc", NULL, "Jean Luc" },
	{ "MARY-JANE", NULL, "Mary-Jane" },
	{ "d'arcy", NULL, "D'Arcy" },
	{ "ta'anai", NULL, "Ta'anai" },
	{ "Zoë", NULL, "Zoë" },
	{ "élodie", NULL, "Élodie" },
	{ "ÉLODIE", NULL, "Élodie" },
	{ "伟", NULL, "伟" },
	{ "\xE0\xA4\xB0\xE0\xA4\xBE\xE0\xA4\xAE", NULL, "\xE0\xA4\xB0\xE0\xA4\xBE\xE0\xA4\xAE" },
	{ "Ada", "Ada Byron & Co", "Ada" },
	/* the mail that began with "Hi in," */
	{ "in", NULL, NULL },
	{ "IN", NULL, NULL },
	{ "null", NULL, NULL },
	{ NULL, NULL, NULL },
	{ "Acme", "ACME!", NULL },
	{ "Blue Sky", "blue-sky", NULL },
	{ "Acme Inc", NULL, NULL },
	{ "Mr Smith", NULL, NULL },
	{ "Dr. Who", NULL, NULL },
	{ "J.", NULL, NULL },
	{ "J", NULL, NULL },
	{ "Mary J", NULL, NULL },
	{ "bob@x.com", NULL, NULL },
	{ "www.x.com", NULL, NULL },
	{ "Bob 2", NULL, NULL },
	{ "Head of Sales", NULL, NULL },
	{ "the founder", NULL, NULL },
	{ "Info", NULL, NULL },
	{ "[First Name]", NULL, NULL },
	{ "{{first_name}}", NULL, NULL },
	{ "Ada,", NULL, NULL },
	{ "-ada", NULL, NULL },
	{ "ada-", NULL, NULL },
	{ "Ada🎉", NULL, NULL },
	{ "Ad\xFF", NULL, NULL },
	{ "Ada\r\nBcc: x@y.z", NULL, NULL },
	{ "Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, NULL },
};

START_TEST(case_61_a_first_name_looks_like_one)
{
	struct mem_arena a = { 0 };
	struct lead_var vars[] = { { "first_name", first_names[_i].raw },
		{ "company", first_names[_i].company } };
	struct lead l = { .email = "bob@x.com", .vars = vars, .n_vars = 2 };
	const char *got = lead_first_name(&a, &l), *want = first_names[_i].want;

	ck_assert_msg(str_eq(got, want), "'%s': got '%s', want '%s'", first_names[_i].raw,
		got ? got : "(none)", want ? want : "(none)");
	mem_arena_done(&a);
}
END_TEST

START_TEST(case_01_a_field_of_a_megabyte)
{
	struct mem_arena a = { 0 };
	char *huge = malloc(1000001);

	memset(huge, 'a', 1000000);
	huge[1000000] = '\0';
	struct lead_var vars[] = { { "first_name", huge }, { "company", huge } };
	struct lead l = { .email = "bob@x.com", .vars = vars, .n_vars = 2 };

	ck_assert_ptr_null(lead_first_name(&a, &l));
	ck_assert_ptr_eq(lead_get(&l, "company"), huge);
	mem_arena_done(&a);
	free(huge);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lead_state");
	TCase *t = tcase_create("all");
	SRunner *runner = srunner_create(s);
	int n_failed;

	tcase_add_test(t, names_and_back);
	tcase_add_test(t, legal_moves);
	tcase_add_test(t, case_11_status_follows_state_and_sends);
	tcase_add_test(t, case_02_null_like_values);
	tcase_add_test(t, fields);
	tcase_add_loop_test(t, case_61_a_first_name_looks_like_one, 0,
		sizeof first_names / sizeof *first_names);
	tcase_add_test(t, case_01_a_field_of_a_megabyte);
	suite_add_tcase(s, t);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? 1 : 0;
}
