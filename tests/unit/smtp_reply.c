/*
 * The pure ends of the SMTP client: replies, greetings, addresses, the stuffed body.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mail/smtp_private.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static enum mail_reply_feed feed(struct mail_reply *r, const char *line)
{
	return mail_reply_feed(r, line, strlen(line));
}

/* ---- replies --------------------------------------------------------------------------------- */

START_TEST(replies)
{
	static const struct {
		const char *lines[4];
		int code;
		const char *enhanced, *text;
	} cases[] = {
		{ { "250 ok" }, 250, "", "ok" },
		{ { "250" }, 250, "", "" },
		{ { "250 " }, 250, "", "" },
		{ { "250-one", "250-two", "250 three" }, 250, "", "one two three" },
		{ { "250-one", "250" }, 250, "", "one" },
		{ { "550 5.1.1 <a@b>: no such user" }, 550, "5.1.1", "<a@b>: no such user" },
		{ { "550-5.1.1 no such", "550 5.1.1 user" }, 550, "5.1.1", "no such user" },
		{ { "550 5.1.1" }, 550, "5.1.1", "" },
		{ { "550 5.123.999 x" }, 550, "5.123.999", "x" },
		/* Not enhanced codes: another class, too long, a version, an address. */
		{ { "550 4.1.1 x" }, 550, "", "4.1.1 x" },
		{ { "550 5.1.1234 x" }, 550, "", "5.1.1234 x" },
		{ { "550 5.1.1.2 x" }, 550, "", "5.1.1.2 x" },
		{ { "550 5.1. x" }, 550, "", "5.1. x" },
		{ { "550 5..1 x" }, 550, "", "5..1 x" },
		{ { "550 5.1" }, 550, "", "5.1" },
		{ { "554  two  spaces" }, 554, "", "two  spaces" },
		{ { "550 tab\tbell\a \xFF \xC3\xBC" }, 550, "", "tab\\tbell\\x07 \\xff \xC3\xBC" },
		{ { "200 x" }, 200, "", "x" },
		{ { "599 x" }, 599, "", "x" },
	};
	const char *const *line = cases[_i].lines;
	struct mail_reply r = { 0 };

	for (; line[1]; line++)
		ck_assert_int_eq(feed(&r, *line), MAIL_REPLY_MORE);
	ck_assert_int_eq(feed(&r, *line), MAIL_REPLY_DONE);
	ck_assert_int_eq(r.code, cases[_i].code);
	ck_assert_str_eq(r.enhanced, cases[_i].enhanced);
	ck_assert_str_eq(r.text, cases[_i].text);
}
END_TEST
#define N_REPLIES 19

START_TEST(garbage)
{
	static const char *const cases[][2] = { { "" }, { "2" }, { "25" }, { "25a ok" },
		{ "250ok" }, { "250_ok" }, { " 250 ok" }, { "199 x" }, { "600 x" }, { "000 x" },
		{ "999" }, { "\x7f\x80" }, { "HTTP/1.1 400 Bad Request" }, { "250-a", "251 b" },
		{ "250-a", "nothing" }, { "250-a", "" } };
	struct mail_reply r = { 0 };

	if (cases[_i][1])
		ck_assert_int_eq(feed(&r, cases[_i][0]), MAIL_REPLY_MORE);
	ck_assert_int_eq(feed(&r, cases[_i][cases[_i][1] ? 1 : 0]), MAIL_REPLY_GARBAGE);
	ck_assert_int_eq(r.code, 0);
	/* It does not spoil the next one. */
	ck_assert_int_eq(feed(&r, "250 ok"), MAIL_REPLY_DONE);
	ck_assert_int_eq(r.code, 250);
	ck_assert_str_eq(r.text, "ok");
}
END_TEST
#define N_GARBAGE 16

START_TEST(limits)
{
	struct mail_reply r = { 0 };
	char line[2000];

	for (size_t n = 0; n < sizeof line - 1; n += 7) {
		memset(line, 'x', sizeof line);
		memcpy(line, "250 ", 4);
		/* A character of two bytes, at each place where the text may be cut. */
		memcpy(line + 4 + n % 600, "\xC3\xBC", 2);
		ck_assert_int_eq(mail_reply_feed(&r, line, n + 4 < sizeof line ? n + 4 : n),
			MAIL_REPLY_DONE);
		ck_assert_uint_eq(r.len, strlen(r.text));
		ck_assert_uint_lt(r.len, sizeof r.text);
		ck_assert(str_is_utf8(r.text, r.len));
	}
	for (int i = 0; i < MAIL_REPLY_LINES_MAX; i++)
		ck_assert_int_eq(feed(&r, "250-xxxxxxxxxx"), MAIL_REPLY_MORE);
	ck_assert_uint_lt(strlen(r.text), sizeof r.text);
	ck_assert_int_eq(feed(&r, "250 the last"), MAIL_REPLY_GARBAGE);
	ck_assert_int_eq(mail_reply_feed(&r, "250 a\0b", 7), MAIL_REPLY_DONE);
	ck_assert_str_eq(r.text, "a\\x00b");
}
END_TEST

START_TEST(ids)
{
	static const struct {
		const char *line, *queue_id, *message_id;
	} cases[] = {
		{ "250 2.0.0 Ok: queued as 4XyZ1abc", "4XyZ1abc", "" },
		{ "250 2.0.0 Ok: queued as 4XyZ1abc.", "4XyZ1abc.", "" },
		{ "250 OK id=1abCde-0001Ab-2C", "1abCde-0001Ab-2C", "" },
		{ "250 2.6.0 <m@x> [InternalId=123, Hostname=h] Queued mail for delivery", "123",
			"<m@x>" },
		{ "250 2.0.0 OK <AM0PR1@p.example> [Hostname=h]", "", "<AM0PR1@p.example>" },
		{ "250 <no id> <a b@c> <x@y", "", "" },
		{ "250 2.0.0 OK  1700000000 x12-20020a.7 - gsmtp", "", "" },
		{ "250 queued as ", "", "" },
		{ "250 ok", "", "" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct mail_reply r = { 0 };
		char queue_id[64], message_id[128];

		ck_assert_int_eq(feed(&r, cases[i].line), MAIL_REPLY_DONE);
		mail_reply_ids(&r, queue_id, message_id);
		ck_assert_str_eq(queue_id, cases[i].queue_id);
		ck_assert_str_eq(message_id, cases[i].message_id);
	}
}
END_TEST

/* ---- the wire -------------------------------------------------------------------------------- */

START_TEST(addresses)
{
	static const char *const good[] = { "a@b.example", "\"quoted\"@b.example", "a+b=c@d",
		"\"a b\"@c", "\"a> <b\\\" @x\"@c" };
	static const char *const bad[] = { "", "a b@c", "a@b\r\n", "a@b>", "<a@b", "a\t@b",
		"\x7f@b", "\xC3\xBC@b", "\"a b@c", "\"a\" b@c", "\"a\"@c> X=\"1\"", "\"a\r\nb\"@c",
		"\"a\\\n\"@c", "\"a\\", "\"a\\\"@c" };
	char endless[400];

	for (size_t i = 0; i < COUNT(good); i++)
		ck_assert(mail_is_wire_address(good[i]));
	for (size_t i = 0; i < COUNT(bad); i++)
		ck_assert(!mail_is_wire_address(bad[i]));
	memset(endless, 'a', sizeof endless);
	endless[sizeof endless - 1] = '\0';
	ck_assert(!mail_is_wire_address(endless));
	endless[320] = '\0';
	ck_assert(mail_is_wire_address(endless));
}
END_TEST

START_TEST(stuffed)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "" },
		{ "a", "a\r\n" },
		{ "a\r\n", "a\r\n" },
		{ "a\nb\rc\r\n", "a\r\nb\r\nc\r\n" },
		{ "\r\r\n\n\r", "\r\n\r\n\r\n\r\n" },
		{ ".", "..\r\n" },
		{ "..\n.a\na.\n", "...\r\n..a\r\na.\r\n" },
		{ "a\n.\nb", "a\r\n..\r\nb\r\n" },
		{ "a\r.\rb", "a\r\n..\r\nb\r\n" },
		{ "a\r\n.\n", "a\r\n..\r\n" },
		{ "a\n.\r", "a\r\n..\r\n" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct str out = STR_INIT;

		mail_dot_stuff(&out, cases[i].in, strlen(cases[i].in));
		ck_assert_str_eq(str_z(&out), cases[i].out);
		str_done(&out);
	}
}
END_TEST

/* Whatever the body: only CRLF, no lone dot, and a server that un-stuffs it has every line. */
START_TEST(stuffed_anything)
{
	static const char alphabet[] = ".\r\na\0.\r\n";
	struct str out = STR_INIT;

	srandom(3);
	for (int round = 0; round < 20000; round++) {
		char in[12];
		size_t n = (size_t)random() % sizeof in;

		for (size_t i = 0; i < n; i++)
			in[i] = alphabet[(size_t)random() % (sizeof alphabet - 1)];
		str_reset(&out);
		mail_dot_stuff(&out, in, n);
		for (size_t i = 0; i < out.len; i++) {
			bool starts_line = i == 0 || out.p[i - 1] == '\n';

			if (out.p[i] == '\r')
				ck_assert_int_eq(out.p[i + 1], '\n');
			if (out.p[i] == '\n')
				ck_assert(i > 0 && out.p[i - 1] == '\r');
			if (out.p[i] == '.' && starts_line)
				ck_assert_int_eq(out.p[i + 1], '.');
		}
		ck_assert(n == 0 || (out.len >= 2 && out.p[out.len - 1] == '\n'));
	}
	str_done(&out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("smtp_reply");
	TCase *tc = tcase_create("pure");
	SRunner *sr = srunner_create(s);

	tcase_add_loop_test(tc, replies, 0, N_REPLIES);
	tcase_add_loop_test(tc, garbage, 0, N_GARBAGE);
	tcase_add_test(tc, limits);
	tcase_add_test(tc, ids);
	tcase_add_test(tc, addresses);
	tcase_add_test(tc, stuffed);
	tcase_add_test(tc, stuffed_anything);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
