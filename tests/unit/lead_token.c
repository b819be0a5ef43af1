/*
 * Unsubscribe tokens: made and read back, and nothing else is taken for one.
 */
#include "coldmail/lead.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define PERSON "d12043394b73ec40360a3cc222d77aa2"
/* From another program: base64url of the person and the first half of HMAC-SHA-256 of
 * "unsubscribe", a line feed and the person in hex. */
#define TOKEN "0SBDOUtz7EA2CjzCItd6oik6_c735q_BVIkrvYM_Cts"

static const uint8_t secret[32] = "0123456789abcdef0123456789abcdef";

START_TEST(a_token_is_made_and_read_back)
{
	char token[LEAD_TOKEN], person[LEAD_PERSON];

	lead_token(secret, PERSON, token);
	ck_assert_str_eq(token, TOKEN);
	ck_assert(lead_token_person(secret, token, person));
	ck_assert_str_eq(person, PERSON);
}
END_TEST

/* Every character changed, one at a time: also those whose last bits say nothing. */
START_TEST(no_other_spelling_is_one)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=% .\x80";
	char token[LEAD_TOKEN] = TOKEN, person[LEAD_PERSON];

	for (size_t i = 0; token[i]; i++) {
		char was = token[i];

		for (const char *c = alphabet; *c; c++) {
			token[i] = *c;
			ck_assert_msg(lead_token_person(secret, token, person) == (*c == was), "%s",
				token);
		}
		token[i] = was;
	}
}
END_TEST

START_TEST(what_is_no_token)
{
	static const char *const samples[] = { "", "a", TOKEN "=", TOKEN "A", "../" TOKEN,
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" };
	static const uint8_t other[32] = { 1 };
	char person[LEAD_PERSON] = "untouched";

	for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
		ck_assert(!lead_token_person(secret, samples[i], person));
	ck_assert(!lead_token_person(other, TOKEN, person));
	ck_assert_str_eq(person, "untouched");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lead_token");
	TCase *t = tcase_create("all");
	SRunner *runner = srunner_create(s);
	int n_failed;

	tcase_add_test(t, a_token_is_made_and_read_back);
	tcase_add_test(t, no_other_spelling_is_one);
	tcase_add_test(t, what_is_no_token);
	suite_add_tcase(s, t);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? 1 : 0;
}
