/*
 * Composing: the exact bytes, what is refused, and that no lead can put anything of its own into the
 * headers. Messages are read back with GMime's parser, which did not write them.
 */
#include "coldmail/mail.h"

#include <check.h>
#include <gmime/gmime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/content.h"
#include "coldmail/err.h"
#include "coldmail/lead.h"

static const struct mail_message plain = {
	.from_name = "Ali Example",
	.from = "ali@example.com",
	.to = "ada@x.com",
	.subject = "Question about Acme",
	.body = "Hi Ada,\n\nbye\n",
	.opt_out_line = "Not relevant? Reply \"no thanks\" and I will not write again.",
	.organisation = "Example Labs",
	.postal_address = "1 Example Street, Springfield",
	.unsubscribe_token = "TOKEN",
	.message_id = "<0123456789abcdef@example.com>",
	.date_ms = INT64_C(1770732191000),
};

static char *composed(const struct mail_message *m)
{
	struct str bytes = STR_INIT;
	char sha256[65];

	ck_assert_int_eq(mail_compose(m, &bytes, sha256), 0);
	char *sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *)bytes.p, bytes.len);
	ck_assert_str_eq(sum, sha256);
	g_free(sum);
	ck_assert_uint_eq(strlen(bytes.p), bytes.len);
	return str_take(&bytes);
}

/* The one header line NAME of BYTES, unfolded as RFC 5322 2.2.3 has it; the caller frees it. */
static char *header(const char *bytes, const char *name)
{
	struct str value = STR_INIT;
	char start[60];

	snprintf(start, sizeof start, "\r\n%s: ", name);
	const char *p = strstr(bytes, start);
	ck_assert_msg(p != NULL, "no %s in\n%s", name, bytes);
	for (p += strlen(start); *p && (p[0] != '\r' || p[2] == ' '); p++)
		if (*p != '\r' && *p != '\n')
			str_addc(&value, *p);
	return str_take(&value);
}

static GMimeMessage *parsed(const char *bytes, size_t n)
{
	GMimeStream *stream = g_mime_stream_mem_new_with_buffer(bytes, n);
	GMimeParser *parser = g_mime_parser_new_with_stream(stream);
	GMimeMessage *message = g_mime_parser_construct_message(parser, NULL);

	g_object_unref(parser);
	g_object_unref(stream);
	ck_assert_ptr_nonnull(message);
	return message;
}

/* The decoded body, with LF line ends; the caller frees it with g_free(). */
static char *body_of(GMimeMessage *message)
{
	GMimeObject *part = g_mime_message_get_mime_part(message);

	ck_assert(GMIME_IS_TEXT_PART(part));
	char *text = g_mime_text_part_get_text(GMIME_TEXT_PART(part));
	char *to = text;

	for (const char *from = text; *from; from++)
		if (*from != '\r')
			*to++ = *from;
	*to = '\0';
	return text;
}

static bool is_plain(char c)
{
	return (c >= 0x20 && c < 0x7F) || c == '\t';
}

/* CRLF only, no line over 998, header lines that are headers or foldings, all of it ASCII. */
static void check_wire(const char *bytes, size_t n)
{
	static const char *const names[] = { "Date", "From", "To", "Message-ID", "Subject",
		"MIME-Version", "Content-Type", "Content-Transfer-Encoding" };
	bool in_headers = true;
	size_t k = 0;

	for (size_t i = 0; i < n;) {
		const char *line = bytes + i, *end = memmem(line, n - i, "\r\n", 2);
		ck_assert_ptr_nonnull(end);
		size_t len = (size_t)(end - line);

		ck_assert_uint_le(len, in_headers ? 76 : 78);
		/* An assertion is a write to the runner: one a line, not one a byte. */
		size_t plain_len = 0;
		while (plain_len < len && is_plain(line[plain_len]))
			plain_len++;
		ck_assert_msg(plain_len == len, "byte %d in %.*s", line[plain_len], (int)len, line);
		if (in_headers && len && *line != ' ') {
			ck_assert_uint_lt(k, 8);
			ck_assert_uint_eq(strcspn(line, ":"), strlen(names[k]));
			ck_assert(str_starts(line, names[k++]));
		}
		in_headers = in_headers && len;
		i += len + 2;
	}
	ck_assert_uint_eq(k, 8);
	ck_assert(!in_headers);
}

START_TEST(bytes_of_a_plain_mail)
{
	char *bytes = composed(&plain);

	ck_assert_str_eq(bytes, "Date: Tue, 10 Feb 2026 14:03:11 +0000\r\n"
				"From: Ali Example <ali@example.com>\r\n"
				"To: ada@x.com\r\n"
				"Message-ID: <0123456789abcdef@example.com>\r\n"
				"Subject: Question about Acme\r\n"
				"MIME-Version: 1.0\r\n"
				"Content-Type: text/plain; charset=utf-8\r\n"
				"Content-Transfer-Encoding: 7bit\r\n"
				"\r\n"
				"Hi Ada,\r\n"
				"\r\n"
				"bye\r\n"
				"\r\n"
				"Not relevant? Reply \"no thanks\" and I will not write again.\r\n"
				"\r\n"
				"Example Labs\r\n"
				"1 Example Street, Springfield\r\n");
	free(bytes);
}
END_TEST

START_TEST(bytes_of_an_answer_with_everything)
{
	struct mail_message m = plain;

	m.from_name = "Ünal, Ali";
	m.reply_to = "replies@example.com";
	m.subject = "Re: Grüße";
	m.body = "Grüße \nFrom here\n.\n";
	m.in_reply_to = "<b@example.com>";
	m.references = "<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@example.com> "
		       "<bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb@example.com>";
	m.unsubscribe_url = "https://mail.example.com/u";
	char *bytes = composed(&m);

	ck_assert_str_eq(bytes, "Date: Tue, 10 Feb 2026 14:03:11 +0000\r\n"
				"From: =?utf-8?Q?=C3=9Cnal=2C_Ali?= <ali@example.com>\r\n"
				"Reply-To: replies@example.com\r\n"
				"To: ada@x.com\r\n"
				"Message-ID: <0123456789abcdef@example.com>\r\n"
				"Subject: =?utf-8?Q?Re=3A_Gr=C3=BC=C3=9Fe?=\r\n"
				"In-Reply-To: <b@example.com>\r\n"
				"References: <aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@example.com>\r\n"
				" <bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb@example.com>\r\n"
				"List-Unsubscribe: <https://mail.example.com/u/TOKEN>,\r\n"
				" <mailto:replies@example.com?subject=unsubscribe%20TOKEN>\r\n"
				"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
				"MIME-Version: 1.0\r\n"
				"Content-Type: text/plain; charset=utf-8\r\n"
				"Content-Transfer-Encoding: quoted-printable\r\n"
				"\r\n"
				"Gr=C3=BC=C3=9Fe=20\r\n"
				"From here\r\n"
				".\r\n"
				"\r\n"
				"Not relevant? Reply \"no thanks\" and I will not write again.\r\n"
				"https://mail.example.com/u/TOKEN\r\n"
				"\r\n"
				"Example Labs\r\n"
				"1 Example Street, Springfield\r\n");
	free(bytes);
}
END_TEST

START_TEST(same_struct_same_bytes)
{
	struct mail_message later = plain;
	char *a = composed(&plain), *b = composed(&plain);

	ck_assert_str_eq(a, b);
	free(b);
	later.date_ms += 1000;
	b = composed(&later);
	ck_assert_str_ne(a, b);
	free(a);
	free(b);
}
END_TEST

START_TEST(line_ends_become_crlf)
{
	struct mail_message m = plain;

	m.body = "a\r\nb\rc\n\n\r\n";
	char *bytes = composed(&m);
	ck_assert_ptr_nonnull(strstr(bytes, "\r\n\r\na\r\nb\r\nc\r\n\r\nNot relevant?"));
	check_wire(bytes, strlen(bytes));
	free(bytes);
}
END_TEST

/* 78 characters stand as they are, 79 do not. */
START_TEST(long_lines_are_encoded)
{
	char line[80] = "";
	struct mail_message m = plain;

	for (size_t n = 78; n < 80; n++) {
		memset(line, 'x', n);
		m.body = line;
		char *bytes = composed(&m);
		check_wire(bytes, strlen(bytes));
		ck_assert(!strstr(bytes, "quoted-printable") == (n == 78));
		GMimeMessage *message = parsed(bytes, strlen(bytes));
		char *body = body_of(message);
		ck_assert(str_starts(body, line));
		g_free(body);
		g_object_unref(message);
		free(bytes);
	}
}
END_TEST

static const struct {
	const char *name, *line;
} names[] = {
	{ "Ali Example", "Ali Example <ali@example.com>" },
	{ "Doe, Jane", "\"Doe, Jane\" <ali@example.com>" },
	{ "J. Doe", "\"J. Doe\" <ali@example.com>" },
	{ "Ali \"The\" \\ Ex", "\"Ali \\\"The\\\" \\\\ Ex\" <ali@example.com>" },
	{ "Ali <evil@x.com>", "\"Ali <evil@x.com>\" <ali@example.com>" },
	{ "", "ali@example.com" },
	{ NULL, "ali@example.com" },
	{ "=?utf-8?q?foo?=", "=?utf-8?Q?=3D=3Futf-8=3Fq=3Ffoo=3F=3D?= <ali@example.com>" },
};

START_TEST(display_names)
{
	struct mail_message m = plain;

	m.from_name = names[_i].name;
	char *bytes = composed(&m), *from = header(bytes, "From");
	ck_assert_str_eq(from, names[_i].line);
	check_wire(bytes, strlen(bytes));

	GMimeMessage *message = parsed(bytes, strlen(bytes));
	InternetAddressList *list = g_mime_message_get_from(message);
	ck_assert_int_eq(internet_address_list_length(list), 1);
	InternetAddress *a = internet_address_list_get_address(list, 0);
	ck_assert_str_eq(
		internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(a)), "ali@example.com");
	const char *name = internet_address_get_name(a);
	ck_assert_str_eq(name ? name : "", m.from_name ? m.from_name : "");
	g_object_unref(message);
	free(from);
	free(bytes);
}
END_TEST

static const char *const subjects[] = {
	"a",
	"Re: a",
	"a  b",
	" a",
	"a ",
	"=?utf-8?q?a=0D=0ABcc:_y@z.com?=",
	"=?",
	"€",
	"a € b 🎉",
	"one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen",
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語",
};

START_TEST(subjects_come_back)
{
	struct mail_message m = plain;

	m.subject = subjects[_i];
	char *bytes = composed(&m);
	check_wire(bytes, strlen(bytes));
	GMimeMessage *message = parsed(bytes, strlen(bytes));
	ck_assert_str_eq(g_mime_message_get_subject(message), m.subject);
	g_object_unref(message);
	free(bytes);
}
END_TEST

START_TEST(what_is_refused)
{
#define REFUSED(member, ...)                                                                       \
	do {                                                                                       \
		struct mail_message m = plain;                                                     \
		m.member = __VA_ARGS__;                                                            \
		struct str bytes = STR_INIT;                                                       \
		char sha256[65] = "untouched";                                                     \
		ck_assert_msg(                                                                     \
			mail_compose(&m, &bytes, sha256) == CM_EINVAL, #member " " #__VA_ARGS__);  \
		ck_assert_ptr_null(bytes.p);                                                       \
		ck_assert_str_eq(sha256, "untouched");                                             \
	} while (0)
	REFUSED(from_name, "Ali\r\nBcc: y@z.com");
	REFUSED(from_name, "Ali\x7F");
	REFUSED(from_name, "Ali\xFF");
	REFUSED(from, NULL);
	REFUSED(from, "ali");
	REFUSED(from, "ali@");
	REFUSED(from, "@example.com");
	REFUSED(to, "ada@x.com\r\nBcc: y@z.com");
	REFUSED(to, "ada@x.com, bob@x.com");
	REFUSED(to, "ada@x.com>");
	REFUSED(to, "a da@x.com");
	REFUSED(to, "\"ada\"x@x.com");
	REFUSED(to, "\"a\"<b@c>\"@x.com");
	REFUSED(to, "\"ada\\\"@x.com");
	REFUSED(to, "\"a\nb\"@x.com");
	REFUSED(to, "ä@x.com");
	REFUSED(to, "ada@ä.com");
	REFUSED(reply_to, "");
	REFUSED(reply_to, "x@y.com y");
	REFUSED(subject, NULL);
	REFUSED(subject, "");
	REFUSED(subject, "a\nb");
	REFUSED(subject, "a\tb");
	REFUSED(subject, "a\xFF");
	REFUSED(body, NULL);
	REFUSED(body, "");
	REFUSED(body, "K\xF6ln");
	REFUSED(opt_out_line, NULL);
	REFUSED(opt_out_line, "");
	REFUSED(organisation, "");
	REFUSED(postal_address, "");
	REFUSED(message_id, NULL);
	REFUSED(message_id, "a@b");
	REFUSED(message_id, "<a b@c>");
	REFUSED(message_id, "<a@b>\r\nBcc: y@z.com");
	REFUSED(in_reply_to, "");
	REFUSED(in_reply_to, "<a@b> <c@d>");
	REFUSED(references, "");
	REFUSED(references, "<a@b>  <c@d>");
	REFUSED(references, "<a@b> <c@d> ");
	REFUSED(references, "<a@b> x");
	REFUSED(unsubscribe_url, "http://x.com/u");
	REFUSED(unsubscribe_url, "https://x.com/u>, <mailto:y@z.com");
	REFUSED(unsubscribe_url, "https://x.com/\r\n");
	REFUSED(date_ms, -1);
	REFUSED(date_ms, INT64_MAX);
#undef REFUSED
}
END_TEST

START_TEST(an_unsubscribe_link_names_whose_it_is)
{
	static const char *const tokens[] = { NULL, "", "a/b", "a>", "a b", "a%41", "a?b" };
	struct mail_message m = plain;
	struct str bytes = STR_INIT;
	char sha256[65];

	m.unsubscribe_url = "https://x.com/u";
	for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
		m.unsubscribe_token = tokens[i];
		ck_assert_int_eq(mail_compose(&m, &bytes, sha256), CM_EINVAL);
	}
	m.unsubscribe_url = NULL; /* then it does not matter */
	free(composed(&m));
}
END_TEST

START_TEST(quoted_addresses)
{
	struct mail_message m = plain;

	m.to = "\"a \\\" <b>\"@x.com";
	char *bytes = composed(&m), *to = header(bytes, "To");
	ck_assert_str_eq(to, m.to);
	free(to);
	free(bytes);
}
END_TEST

START_TEST(message_ids)
{
	uint8_t secret[32] = { 1 }, other[32] = { 2 };
	char *ids[] = { mail_message_id(secret, "c/p/intro", "ali@example.com"),
		mail_message_id(secret, "c/p/intro", "ali@example.com"),
		mail_message_id(other, "c/p/intro", "ali@example.com"),
		mail_message_id(secret, "c/p/nudge", "ali@example.com"),
		mail_message_id(secret, "c/p/intro", "bob@example.com") };
	struct mail_message m = plain;

	ck_assert_str_eq(ids[0], ids[1]);
	for (size_t i = 2; i < 5; i++)
		ck_assert_str_ne(ids[0], ids[i]);
	ck_assert_uint_eq(strlen(ids[0]), 32 + strlen("<@example.com>"));
	ck_assert(str_ends(ids[0], "@example.com>"));
	m.message_id = ids[0];
	free(composed(&m));
	for (size_t i = 0; i < 5; i++)
		free(ids[i]);
}
END_TEST

/* ---- whatever a lead is made of ---------------------------------------------------------------- */

static unsigned seed = 3;

static unsigned dice(unsigned n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % n;
}

/* A value that tries: line ends, header names, encoded words, controls, all of Unicode. */
static char *random_value(void)
{
	static const char *const bits[] = { "\r\n", "\n", "\r", "\nBcc: y@z.com",
		"=?utf-8?q?=0A?=", "=?utf-8?B?Cg==?=", "\x01", "\x7F", "\xC2\x85", "\xE2\x80\xA8",
		"\xE2\x80\xAE", "ä", "日本", "🎉", " ", "  ", "\t", ".", "\n.\n", ",", "<", ">",
		"\"", "\\", ":", ";", "=", "a", "Acme", "x@y.com", "From ",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"{", "%s", "\xE0\xA4\xA8\xE2\x80\x8D" };
	struct str s = STR_INIT;

	for (unsigned n = dice(12); n; n--)
		str_adds(&s, bits[dice(sizeof bits / sizeof *bits)]);
	return str_take(&s);
}

static const char any_text[] = "Subject: {{company|a}} and {{title|b}}\n\n"
			       "Hi {{first_name|there}},\n{{#if city}}\n{{city}}\n{{/if}}\n"
			       "{{company|x}}\n\n{{title|y}}\n";

START_TEST(no_value_reaches_the_headers)
{
	static const char *const fields[] = { "company", "title", "city", "first_name" };
	struct content_template *t = NULL;
	char *problem = NULL;
	int n_mails = 0;

	ck_assert_int_eq(content_template_parse(any_text, "t", false, &t, &problem), 0);
	for (int round = 0; round < 5000; round++) {
		struct lead_var vars[4];
		struct lead l = { .email = "ada@x.com", .vars = vars, .n_vars = 4 };
		struct mem_arena a = { 0 };
		struct content_text text;
		const char *why = NULL;

		for (size_t i = 0; i < 4; i++)
			vars[i] = (struct lead_var){ fields[i], random_value() };
		if (content_template_render(t, &l, &a, &text, &why) == 0) {
			struct mail_message m = plain;

			m.subject = text.subject;
			m.body = text.body;
			m.from_name = *text.subject ? text.subject : NULL;
			char *bytes = composed(&m);
			check_wire(bytes, strlen(bytes));

			GMimeMessage *message = parsed(bytes, strlen(bytes));
			ck_assert_str_eq(g_mime_message_get_subject(message), text.subject);
			char *body = body_of(message);
			ck_assert_msg(str_starts(body, text.body), "%s\nfrom\n%s", body, text.body);
			ck_assert(str_ends(body, "\n1 Example Street, Springfield\n"));
			g_free(body);
			g_object_unref(message);
			free(bytes);
			n_mails++;
		}
		for (size_t i = 0; i < 4; i++)
			g_free((char *)(uintptr_t)vars[i].value);
		mem_arena_done(&a);
	}
	ck_assert_int_gt(n_mails, 3000);
	content_template_free(t);
}
END_TEST

/* 60 us a mail is what the pipeline can spare. */
START_TEST(composing_is_quick)
{
	struct mail_message m = plain;
	struct str body = STR_INIT, bytes = STR_INIT;
	const int rounds = 10000;
	char sha256[65];

	for (int i = 0; i < 12; i++)
		str_adds(&body, "I read about the änalytical engine and wonder, in short,\n");
	m.body = body.p;
	int64_t start = clock_raw_us();
	for (int i = 0; i < rounds; i++) {
		m.date_ms += 1000;
		ck_assert_int_eq(mail_compose(&m, &bytes, sha256), 0);
	}
	int64_t us = clock_raw_us() - start;
	printf("compose: %.2f us for %zu bytes\n", (double)us / rounds, bytes.len);
	ck_assert_int_lt(us / rounds, 1000);
	str_done(&body);
	str_done(&bytes);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mail_message");
	TCase *t = tcase_create("all");
	SRunner *runner = srunner_create(s);
	int n_failed;

	if (mail_init())
		return 1;
	tcase_add_test(t, bytes_of_a_plain_mail);
	tcase_add_test(t, bytes_of_an_answer_with_everything);
	tcase_add_test(t, same_struct_same_bytes);
	tcase_add_test(t, line_ends_become_crlf);
	tcase_add_test(t, long_lines_are_encoded);
	tcase_add_loop_test(t, display_names, 0, sizeof names / sizeof *names);
	tcase_add_loop_test(t, subjects_come_back, 0, sizeof subjects / sizeof *subjects);
	tcase_add_test(t, what_is_refused);
	tcase_add_test(t, an_unsubscribe_link_names_whose_it_is);
	tcase_add_test(t, quoted_addresses);
	tcase_add_test(t, message_ids);
	tcase_add_test(t, no_value_reaches_the_headers);
	tcase_add_test(t, composing_is_quick);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? 1 : 0;
}
