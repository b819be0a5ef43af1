/*
 * What is hidden of a stranger's words, and what is left of them.
 */
#include <check.h>
#include <string.h>

#include "coldmail/mem.h"
#include "coldmail/str.h"
#include "mail/hide_private.h"

#define COUNT(v) (sizeof(v) / sizeof *(v))

struct sample {
	const char *secret, *text, *want;
	bool cut;
};

static void expect_all(const struct sample *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct mail_hide *h = mail_hide_new("ali", &v[i].secret, 1);
		char *got = mail_hide(h, v[i].text, v[i].cut);

		ck_assert_msg(str_eq(got, v[i].want), "case %zu: %s", i, got);
		free(got);
		mail_hide_free(h);
	}
}

START_TEST(bare)
{
	static const struct sample v[] = {
		{ "hunter2-long", "535 for ali hunter2-long, no", "535 for ali ***, no" },
		{ "hunter2-long", "xhunter2-longx hunter2-long", "x***x ***" },
		{ "hunter2-long", "hunter2-lon hunter2", "hunter2-lon hunter2" },
		{ "hunter2-long", "HUNTER2-LONG", "HUNTER2-LONG" },
		/* A short one is a word of its own, or it is nothing. */
		{ "mail", "mailbox full: mail", "mailbox full: ***" },
		{ "mail", "pw=mail;x", "pw=***;x" },
		{ "no", "no such user", "no such user" },
		{ "", "no such user", "no such user" },
		{ NULL, "no such user", "no such user" },
		/* As a form has it, and as people are shown it. */
		{ "1//0a+b c%", "token=1%2F%2F0a%2Bb%20c%25&x", "token=***&x" },
		{ "tab\tbed-in", "for tab\\tbed-in", "for ***" },
	};

	expect_all(v, COUNT(v));
}
END_TEST

START_TEST(encoded)
{
	static const struct sample v[] = {
		/* AUTH PLAIN; LOGIN; without the filling; in the other alphabet. */
		{ "hunter2-long", "bad AGFsaQBodW50ZXIyLWxvbmc= here", "bad *** here" },
		{ "hunter2-long", "bad aHVudGVyMi1sb25n here", "bad *** here" },
		{ "hunter2-long", "AGFsaQBodW50ZXIyLWxvbmc", "***" },
		{ "a?~\xc3\xbf\xc3\xbe>>a?~", "x YT9-w7_Dvj4-YT9- y", "x *** y" },
		/* user=ali NUL auth=Bearer hunter2-long, one byte later, and two. */
		{ "hunter2-long",
			"334 dXNlcj1hbGkBYXV0aD1CZWFyZXIgaHVudGVyMi1sb25nAQE=", "334 ***" },
		{ "hunter2-long", "334 eHVzZXI9YWxpAWF1dGg9QmVhcmVyIGh1bnRlcjItbG9uZwEB",
			"334 ***" },
		{ "hunter2-long", "eHh1c2VyPWFsaQFhdXRoPUJlYXJlciBodW50ZXIyLWxvbmcBAQ==", "***" },
		/* Short ones, in the forms that are sent. */
		{ "no", "no: AGFsaQBubw==", "no: ***" },
		{ "no", "no: bm8=", "no: ***" },
		{ "no", "no: bm8x", "no: bm8x" },
		{ "no", "no: xbm8=", "no: xbm8=" },
	};

	expect_all(v, COUNT(v));
}
END_TEST

/* A reply has its limit, and may end within a secret. */
START_TEST(cut_off)
{
	static const struct sample v[] = {
		{ "hunter2-long", "for hunter2-l", "for ***", true },
		{ "hunter2-long", "for hunter2-l...", "for ***...", true },
		{ "hunter2-long", "for aHVudGVyMi1s", "for ***", true },
		{ "hunter2-long", "for hun", "for hun", true },
		{ "hunter2-long", "hunter2-l for", "hunter2-l for", true },
		{ "hunter2-long", "for hunter2-l", "for hunter2-l", false },
	};
	const char *secret = "hunter2-long";
	struct mail_hide *h = mail_hide_new(NULL, &secret, 1);
	char buf[24] = "0123456 hunter2-lo";

	expect_all(v, COUNT(v));
	mail_hide_in(h, buf, sizeof buf);
	ck_assert_str_eq(buf, "0123456 ***");
	mail_hide_in(NULL, buf, sizeof buf);
	ck_assert_str_eq(buf, "0123456 ***");
	mail_hide_free(h);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mail_hide");
	TCase *tc = tcase_create("mail_hide");
	const TTest *const tests[] = { bare, encoded, cut_off };

	for (size_t i = 0; i < COUNT(tests); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
