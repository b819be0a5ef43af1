/*
 * How an SMTP connection begins: which reply answers what, what is offered, and what a failure is
 * told with.
 */
#include <check.h>
#include <stdio.h>

#include "coldmail/err.h"
#include "coldmail/mem.h"
#include "mail/smtp_private.h"

#define COUNT(v) (sizeof(v) / sizeof *(v))

/* ---- the way to the first mail ----------------------------------------------------------------- */

#define CLEAR 0
#define TLS   1 /* STARTTLS */
#define LOGIN 2

START_TEST(hellos)
{
	static const struct {
		const char *lines[8];
		int code;
		enum mail_stage stage;
		bool is_open, pipelining;
	} cases[] = {
		{ { NULL }, 0, MAIL_STAGE_GREET, false, false },
		{ { "220 x" }, 220, MAIL_STAGE_EHLO, false, false },
		{ { "220-x", "220 y" }, 220, MAIL_STAGE_EHLO, false, false },
		{ { "421 x" }, 421, MAIL_STAGE_GREET, false, false },
		{ { "220 x", "250 y" }, 250, MAIL_STAGE_EHLO, true, false },
		{ { "220 x", "250-y", "250-SIZE 1", "250 PIPELINING" }, 250, MAIL_STAGE_EHLO, true,
			true },
		{ { "220 x", "250-y", "250-pipelining", "250 SIZE" }, 250, MAIL_STAGE_EHLO, true,
			true },
		/* Not offers: a name, a word that begins like it, a greeting, a HELO reply. */
		{ { "220 x", "250-PIPELINING", "250 SIZE" }, 250, MAIL_STAGE_EHLO, true, false },
		{ { "220 x", "250-y", "250 PIPELININGS" }, 250, MAIL_STAGE_EHLO, true, false },
		{ { "220-x", "220 PIPELINING", "250 y" }, 250, MAIL_STAGE_EHLO, true, false },
		{ { "220 x", "502 y", "250-z", "250 PIPELINING" }, 250, MAIL_STAGE_EHLO, true,
			false },
		{ { "220 x", "550-y", "550 PIPELINING" }, 550, MAIL_STAGE_EHLO, false, false },
		{ { "220 x", "502 y", "550 z" }, 550, MAIL_STAGE_EHLO, false, false },
		{ { "220 x", "250-y" }, 220, MAIL_STAGE_EHLO, false, false },
		{ { "220 x", "nonsense" }, 0, MAIL_STAGE_EHLO, false, false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct mail_hello hello;
		size_t n = 0;

		while (cases[i].lines[n])
			n++;
		mail_hello_read(cases[i].lines, n, (struct mail_hello_way){ 0 }, &hello);
		ck_assert_msg(hello.last.code == cases[i].code && hello.stage == cases[i].stage &&
				      hello.is_open == cases[i].is_open &&
				      hello.offers.pipelining == cases[i].pipelining,
			"case %zu: %d %s %d %d", i, hello.last.code, mail_stage_name(hello.stage),
			hello.is_open, hello.offers.pipelining);
	}
}
END_TEST

START_TEST(ways)
{
	static const struct {
		unsigned way;
		const char *lines[12];
		int code;
		enum mail_stage stage;
		bool is_open, is_logged_in;
	} cases[] = {
		{ LOGIN, { "220 x", "250 y" }, 250, MAIL_STAGE_AUTH, true },
		{ LOGIN, { "220 x", "250 y", "334 " }, 334, MAIL_STAGE_AUTH, false },
		{ LOGIN, { "220 x", "250 y", "334 ", "235 ok" }, 235, MAIL_STAGE_AUTH, true, true },
		{ LOGIN, { "220 x", "250 y", "334 a", "334 b", "235 ok" }, 235, MAIL_STAGE_AUTH,
			true, true },
		{ LOGIN, { "220 x", "250 y", "334 ", "250 ok" }, 250, MAIL_STAGE_AUTH },
		{ LOGIN, { "220 x", "250 y", "334 ", "235 ok", "535 no" }, 535, MAIL_STAGE_AUTH },
		/* A yes that nobody asked for, and what comes behind it. */
		{ LOGIN, { "235 x", "250 y" }, 235, MAIL_STAGE_GREET },
		{ LOGIN, { "220 x", "235 y" }, 235, MAIL_STAGE_EHLO },
		{ LOGIN, { "220-x", "235 y", "250 z" }, 0, MAIL_STAGE_GREET },
		{ LOGIN, { "220 x", "250-y", "235 z" }, 0, MAIL_STAGE_EHLO },
		{ LOGIN, { "250 x", "250 y", "334 ", "235 z" }, 250, MAIL_STAGE_GREET },
		{ TLS | LOGIN, { "220 x", "250 y", "235 z", "250 y" }, 235, MAIL_STAGE_EHLO },
		{ LOGIN, { "220 x", "250 y", "334 ", "535-5.7.8 no", "535 5.7.8 no" }, 535,
			MAIL_STAGE_AUTH, false },
		{ LOGIN, { "220 x", "502 y", "250 z" }, 250, MAIL_STAGE_AUTH, true },
		{ TLS, { "220 x", "250 y" }, 250, MAIL_STAGE_EHLO, false },
		{ TLS, { "220 x", "250 y", "454 no" }, 454, MAIL_STAGE_EHLO, false },
		{ TLS, { "220 x", "250 y", "220 go" }, 220, MAIL_STAGE_EHLO, false },
		{ TLS, { "220 x", "250 y", "220 go", "250 y" }, 250, MAIL_STAGE_EHLO, true },
		{ TLS, { "220 x", "250 y", "220 go", "550 y" }, 550, MAIL_STAGE_EHLO, false },
		{ TLS, { "220 x", "250 y", "220 go", "502 y", "250 z" }, 250, MAIL_STAGE_EHLO,
			true },
		{ TLS | LOGIN, { "220 x", "250 y", "220 go", "250 y" }, 250, MAIL_STAGE_AUTH,
			true },
		{ TLS | LOGIN, { "220 x", "250 y", "220 go", "250 y", "454 later" }, 454,
			MAIL_STAGE_AUTH, false },
		{ TLS | LOGIN, { "220 x", "250 y", "220 go", "250 y", "334 ", "nonsense" }, 0,
			MAIL_STAGE_AUTH, false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct mail_hello_way way = {
			.starttls = cases[i].way & TLS,
			.login = cases[i].way & LOGIN,
		};
		struct mail_hello h;
		size_t n = 0;

		while (cases[i].lines[n])
			n++;
		mail_hello_read(cases[i].lines, n, way, &h);
		ck_assert_msg(h.last.code == cases[i].code && h.stage == cases[i].stage &&
				      h.is_open == cases[i].is_open &&
				      h.is_logged_in == cases[i].is_logged_in,
			"case %zu: %d %s %d %d", i, h.last.code, mail_stage_name(h.stage),
			h.is_open, h.is_logged_in);
	}
}
END_TEST

START_TEST(offers)
{
	static const struct {
		const char *line;
		struct mail_offers want;
	} cases[] = {
		{ "250 SIZE", { .size = true } },
		{ "250 SIZE 0", { .size = true } },
		{ "250 size 1000", { .size = true, .size_max = 1000 } },
		{ "250 SIZE 99999999999999999999", { .size = true } },
		{ "250 SIZE -5", { .size = true } },
		{ "250 SIZE=1000", { 0 } },
		{ "250 8BITMIME", { .eightbit = true } },
		{ "250 DSN", { .dsn = true } },
		{ "250 DSNX", { 0 } },
		{ "250 PIPELINING", { .pipelining = true } },
		{ "250", { 0 } },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		/* What was offered in the clear is forgotten, what a login adds is none. */
		const char *const lines[] = { "220 x", "250-y", "250-DSN", "250-SIZE 5",
			"250 STARTTLS", "220 go", "250-y", cases[i].line, "235-ok", "235 DSN" };
		const struct mail_hello_way way = { .starttls = true, .login = true };
		const struct mail_offers *want = &cases[i].want;
		struct mail_hello h;

		mail_hello_read(lines, COUNT(lines), way, &h);
		ck_assert(h.is_open);
		ck_assert_msg(h.offers.pipelining == want->pipelining &&
				      h.offers.eightbit == want->eightbit &&
				      h.offers.dsn == want->dsn && h.offers.size == want->size &&
				      h.offers.size_max == want->size_max,
			"case %zu: %s", i, cases[i].line);
	}
}
END_TEST

/* ---- commands ---------------------------------------------------------------------------------- */

START_TEST(commands)
{
	const struct mail_offers all = { .eightbit = true, .dsn = true, .size = true };
	const struct mail_offers none = { .pipelining = true };
	char id[102], from[] = "a@b", to[] = "c+d=e@f";
	struct mail_wire w = { .from = from, .to = to, .id = id, .size = 12, .is_8bit = true };
	struct str out = STR_INIT;

	snprintf(id, sizeof id, "a b+c=d@e");
	mail_add_mail_from(&out, &all, &w);
	mail_add_rcpt_to(&out, &all, &w);
	mail_add_mail_from(&out, &none, &w);
	mail_add_rcpt_to(&out, &none, &w);
	ck_assert_str_eq(str_z(&out),
		"MAIL FROM:<a@b> SIZE=12 BODY=8BITMIME RET=HDRS ENVID=a+20b+2Bc+3Dd@e\r\n"
		"RCPT TO:<c+d=e@f> NOTIFY=FAILURE,DELAY ORCPT=rfc822;c+2Bd+3De@f\r\n"
		"MAIL FROM:<a@b>\r\nRCPT TO:<c+d=e@f>\r\n");

	/* A name that is too long for ENVID, or none, is left out; so is what needs no 8 bits. */
	w.is_8bit = false;
	memset(id, 'x', 101);
	id[101] = '\0';
	str_reset(&out);
	mail_add_mail_from(&out, &all, &w);
	w.id = NULL;
	mail_add_mail_from(&out, &all, &w);
	ck_assert_str_eq(str_z(&out),
		"MAIL FROM:<a@b> SIZE=12 RET=HDRS\r\nMAIL FROM:<a@b> SIZE=12 RET=HDRS\r\n");
	str_done(&out);
}
END_TEST

/* ---- remedies ---------------------------------------------------------------------------------- */

#define APP_PASSWORD "https://myaccount.google.com/apppasswords"
#define PORT_2525    "try 2525"

START_TEST(remedies)
{
	static const struct {
		const char *url;
		struct mail_verdict v;
		const char *remedy; /* NULL: none */
		const char *token_url; /* NULL: none */
	} cases[] = {
		{ "smtps://smtp.gmail.com:465",
			{ .stage = MAIL_STAGE_AUTH,
				.code = 535,
				.enhanced = "5.7.8",
				.text = "no" },
			APP_PASSWORD },
		{ "smtp://relay.example:587",
			{ .stage = MAIL_STAGE_AUTH,
				.code = 535,
				.text = "Username and Password not accepted. For more information, "
					"go "
					"to https://support.google.com/mail/?p=BadCredentials" },
			APP_PASSWORD },
		{ "smtp://relay.example:587",
			{ .stage = MAIL_STAGE_AUTH,
				.code = 534,
				.text = "Application-specific password required. "
					"https://support.google.com/mail/?p=InvalidSecondFactor" },
			APP_PASSWORD },
		{ "smtps://smtp.gmail.com:465",
			{ .stage = MAIL_STAGE_AUTH,
				.code = 454,
				.text = "Too many login attempts" },
			"later" },
		{ "smtp://relay.example:587",
			{ .stage = MAIL_STAGE_AUTH, .code = 535, .text = "no" }, "password_file" },
		{ "smtp://smtp.office365.com:587",
			{ .stage = MAIL_STAGE_AUTH,
				.code = 535,
				.enhanced = "5.7.139",
				.text = "Authentication unsuccessful, SmtpClientAuthentication is "
					"disabled for the Tenant." },
			"https://aka.ms/smtp_auth_disabled" },
		{ "smtp://relay.example:587",
			{ .stage = MAIL_STAGE_AUTH,
				.err = CM_EAUTH,
				.text = "the server offers no login by PLAIN or LOGIN" },
			"587" },
		{ "smtp://relay.example:587",
			{ .stage = MAIL_STAGE_AUTH,
				.err = CM_EAUTH,
				.text = "the server offers no login by PLAIN or LOGIN, but by "
					"XOAUTH2" },
			"with oauth" },
		{ "smtp://relay.example:25", { .stage = MAIL_STAGE_CONNECT, .err = CM_ETIMEDOUT },
			PORT_2525 },
		{ "smtps://relay.example:465", { .stage = MAIL_STAGE_CONNECT, .err = CM_ETIMEDOUT },
			PORT_2525 },
		{ "smtp://[2001:db8::1]:587", { .stage = MAIL_STAGE_CONNECT, .err = CM_ETIMEDOUT },
			"2525 if '[2001:db8::1]'" },
		{ "smtp://relay.example:465", { .stage = MAIL_STAGE_CONNECT, .err = CM_ETIMEDOUT },
			"smtps://" },
		/* Past the greeting nobody blocks a port. */
		{ "smtp://relay.example:587", { .stage = MAIL_STAGE_DOT, .err = CM_ETIMEDOUT },
			NULL },
		{ "smtp://relay.example:2525", { .stage = MAIL_STAGE_CONNECT, .err = CM_ETIMEDOUT },
			NULL },
		{ "smtps://relay.example:465",
			{ .err = CM_ETLS,
				.text = "SSL: no alternative certificate subject name matches "
					"target "
					"host name 'relay.example'" },
			"for 'relay.example'" },
		{ "smtps://relay.example:465",
			{ .err = CM_ETLS,
				.text = "SSL certificate problem: certificate has expired" },
			"new certificate" },
		{ "smtps://relay.example:465",
			{ .err = CM_ETLS,
				.text = "SSL certificate problem: self-signed certificate" },
			"ca_file" },
		{ "smtps://relay.example:587",
			{ .err = CM_ETLS, .text = "OpenSSL/3: error:0A:SSL: wrong version number" },
			"try smtp://" },
		{ "smtp://relay.example:2525",
			{ .err = CM_ETLS, .text = "the server offers no STARTTLS" },
			"try smtps://" },
		{ "smtp://relay.example:587", { .code = 550, .text = "certificate" }, NULL },
		{ "", { .err = CM_EPROTO, .text = "garbage" }, NULL },
		/* Who shows a token has no password to check. */
		{ "smtp://smtp.office365.com:587",
			{ .stage = MAIL_STAGE_AUTH,
				.code = 535,
				.text = "Authentication unsuccessful [x.prod.outlook.com]" },
			"SMTP.Send", "https://tokens.example" },
		{ "smtp://smtp.gmail.com:587",
			{ .stage = MAIL_STAGE_AUTH,
				.code = 535,
				.text = "https://support.google.com/mail/?p=BadCredentials" },
			"https://mail.google.com/", "https://tokens.example" },
		{ "smtp://smtp.office365.com:587",
			{ .stage = MAIL_STAGE_AUTH,
				.code = 535,
				.text = "SmtpClientAuthentication is disabled for the Tenant." },
			"https://aka.ms/smtp_auth_disabled", "https://tokens.example" },
		{ "smtp://relay.example:587",
			{ .stage = MAIL_STAGE_AUTH,
				.err = CM_EAUTH,
				.text = "the server refused the token: {\"status\":\"400\"}" },
			"does not take this token", "https://tokens.example" },
		/* What is wrong at the token server is not the mail server's. */
		{ "smtps://relay.example:465",
			{ .stage = MAIL_STAGE_AUTH,
				.err = CM_ETLS,
				.at_token_server = true,
				.text = "the token server: certificate has expired" },
			"'tokens.example' needs", "https://tokens.example/a:b" },
		{ "smtps://relay.example:465",
			{ .stage = MAIL_STAGE_AUTH,
				.err = CM_ETLS,
				.at_token_server = true,
				.text = "subject name does not match target host name" },
			"'[::1]', the name in token_url", "https://[::1]?a" },
		{ "smtps://relay.example:465",
			{ .stage = MAIL_STAGE_AUTH, .err = CM_ETIMEDOUT, .at_token_server = true },
			"'tokens.example' at port 443", "https://tokens.example" },
		{ "smtps://relay.example:465",
			{ .stage = MAIL_STAGE_AUTH, .err = CM_ECONN, .at_token_server = true },
			"'127.0.0.1' at port 81", "http://127.0.0.1:81/t" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *token_url = cases[i].token_url ? cases[i].token_url : "";
		char *said = mail_explain(&cases[i].v, cases[i].url, token_url);
		const char *remedy = strstr(said, " - ");

		ck_assert_msg(strstr(said, cases[i].v.text), "case %zu: %s", i, said);
		ck_assert_msg(cases[i].remedy ? remedy && strstr(remedy, cases[i].remedy) : !remedy,
			"case %zu: %s", i, said);
		free(said);
	}
}
END_TEST

START_TEST(told_in_full)
{
	const struct mail_verdict v = {
		.stage = MAIL_STAGE_AUTH, .code = 535, .enhanced = "5.7.8", .text = "Wrong"
	};
	char *said = mail_explain(&v, "smtp://relay.example:587", "");

	ck_assert_str_eq(said, "535 5.7.8 Wrong - check user and password_file; with two factors, "
			       "providers want an app password");
	free(said);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("smtp_hello");
	TCase *tc = tcase_create("smtp_hello");
	const TTest *const tests[] = { hellos, ways, offers, commands, remedies, told_in_full };

	for (size_t i = 0; i < COUNT(tests); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
