/*
 * What somebody can do about a failure: the remedy beside the message. One table, of which the first
 * row that fits has the word. Pure.
 * Runs on: loop. Called by flow, for the log and for `why`.
 * Never: decides anything; what a failure means for a mailbox is flow/trouble.c's.
 */
#include "coldmail/mail.h"

#include <stdio.h>
#include <string.h>

#include "coldmail/err.h"

#define GMAIL                                                                                      \
	"Gmail takes an app password here, not the account's own: "                                \
	"https://myaccount.google.com/apppasswords"
#define TOKEN                                                                                      \
	"the server does not take this token: user has to be the account that was authorised, "    \
	"for "                                                                                     \
	"sending mail over SMTP (Google: scope https://mail.google.com/, Microsoft: scope "        \
	"https://outlook.office.com/SMTP.Send); then replace refresh_token_file"
#define M365                                                                                       \
	"an administrator has to allow SMTP AUTH for this mailbox: "                               \
	"https://aka.ms/smtp_auth_disabled"

/* What a row names has to be so; what it leaves out may be anything. */
static const struct {
	bool at_connect; /* nobody has answered yet */
	int code, err;
	const char *host; /* how the server's name ends */
	const char *text; /* somewhere in the message */
	const char *scheme;
	const char *ports; /* one of these, with blanks around */
	bool at_token_server; /* said there */
	bool oauth; /* the login is by token */
	const char *advice; /* %h: the host, %p: the port, as configured; %k: by which key */
} rows[] = {
	/* ---- certificates and TLS */
	{ .err = CM_ETLS,
		.text = "target host name",
		.advice = "expected a certificate for '%h', the name in %k = ...: is it the "
			  "server's own?" },
	{ .err = CM_ETLS,
		.text = "certificate has expired",
		.advice = "'%h' needs a new certificate, unless this machine's clock is wrong" },
	{ .err = CM_ETLS,
		.text = "certificate is not yet valid",
		.advice = "is this machine's clock right?" },
	{ .err = CM_ETLS,
		.text = "certificate",
		.advice = "expected a certificate for '%h' from an authority that this machine "
			  "trusts; one of your own is named by ca_file" },
	{ .err = CM_ETLS,
		.text = "STARTTLS",
		.advice = "port %p of '%h' has no TLS: try smtps:// (TLS at once, port 465)" },
	{ .err = CM_ETLS,
		.text = "wrong version number",
		.scheme = "smtps:",
		.advice = "port %p does not begin with TLS: try smtp:// (STARTTLS, port 587)" },
	{ .err = CM_ETIMEDOUT,
		.at_connect = true,
		.scheme = "smtp:",
		.ports = " 465 ",
		.advice = "port 465 begins with TLS: smtps:// instead of smtp://; or the network "
			  "blocks it: try port 2525 if '%h' has it" },

	/* ---- logins */
	{ .code = 454, .advice = "too many logins, or it cannot check them now: later" },
	{ .text = "SmtpClientAuthentication is disabled", .advice = M365 },
	{ .code = 535, .oauth = true, .advice = TOKEN },
	{ .text = "refused the token", .oauth = true, .advice = TOKEN },
	{ .code = 530,
		.oauth = true,
		.advice = "the server wants a login, and offered none by XOAUTH2" },
	{ .text = "support.google.com/mail/?p=BadCredentials", .advice = GMAIL },
	{ .text = "support.google.com/mail/?p=InvalidSecondFactor", .advice = GMAIL },
	{ .code = 535, .host = ".gmail.com", .advice = GMAIL },
	{ .code = 535,
		.host = ".yahoo.com",
		.advice = "Yahoo takes an app password here, made in the account's security "
			  "settings" },
	{ .code = 535,
		.host = ".me.com",
		.advice = "iCloud takes an app-specific password here: https://account.apple.com" },
	{ .code = 535,
		.host = ".fastmail.com",
		.advice = "Fastmail takes an app password here, made under Privacy & Security" },
	{ .text = "Basic authentication is not supported",
		.advice = "Microsoft takes no password here any more, but a token: oauth" },
	{ .code = 535,
		.advice = "check user and password_file; with two factors, providers want an app "
			  "password" },
	{ .code = 530, .advice = "the server wants a login: user and password_file" },
	{ .err = CM_EAUTH,
		.text = ", but by ",
		.advice = "coldmail logs in by PLAIN or LOGIN with a password_file, by XOAUTH2 "
			  "with oauth" },
	{ .err = CM_EAUTH,
		.text = "offers no login",
		.advice = "is %p its port for submission (587, or 465 with smtps://)? A relay that "
			  "asks for no login wants no user" },

	/* ---- the way there */
	{ .err = CM_ETIMEDOUT,
		.at_token_server = true,
		.advice = "does this machine reach '%h' at port %p? coldmail uses no proxy" },
	{ .err = CM_ETIMEDOUT,
		.at_connect = true,
		.ports = " 25 465 587 ",
		.advice =
			"many hosts block port %p to the outside: try 2525 if '%h' has it, or ask "
			"yours to open it" },
	{ .err = CM_ECONN,
		.text = "Could not resolve",
		.advice = "is '%h' spelt right, and does this machine have a resolver?" },
	{ .err = CM_ECONN,
		.at_token_server = true,
		.advice = "does this machine reach '%h' at port %p? coldmail uses no proxy" },
};

struct server {
	const char *url, *key;
	char host[256], port[8];
};

/* URL is as conf has checked it: SCHEME://HOST[:PORT][/PATH], and KEY names it. */
static struct server split(const char *url, const char *key)
{
	struct server s = { .url = url, .key = key };
	const char *start = strstr(url, "//"), *colon;

	start = start ? start + 2 : url;
	const char *end = start + strcspn(start, "/?#");

	colon = memrchr(start, ':', (size_t)(end - start));
	if (!colon || memchr(colon, ']', (size_t)(end - colon)))
		colon = end;
	snprintf(s.host, sizeof s.host, "%.*s", (int)(colon - start), start);
	if (colon < end)
		snprintf(s.port, sizeof s.port, "%.*s", (int)(end - colon - 1), colon + 1);
	else if (str_istarts(url, "http"))
		snprintf(s.port, sizeof s.port, "%s", str_istarts(url, "https") ? "443" : "80");
	return s;
}

static bool is_one_of(const char *ports, const char *port)
{
	char word[16];

	snprintf(word, sizeof word, " %s ", port);
	return strstr(ports, word);
}

static bool fits(size_t i, const struct mail_verdict *v, const struct server *s, bool oauth)
{
	return (!rows[i].at_connect || v->stage == MAIL_STAGE_CONNECT) &&
	       (!rows[i].at_token_server || v->at_token_server) && (!rows[i].oauth || oauth) &&
	       (!rows[i].code || rows[i].code == v->code) &&
	       (!rows[i].err || rows[i].err == v->err) &&
	       (!rows[i].host || str_ends(s->host, rows[i].host)) &&
	       (!rows[i].text || strcasestr(v->text, rows[i].text)) &&
	       (!rows[i].scheme || str_istarts(s->url, rows[i].scheme)) &&
	       (!rows[i].ports || is_one_of(rows[i].ports, s->port));
}

static void fill_in(struct str *out, const char *advice, const struct server *s)
{
	for (const char *p = advice; *p; p++) {
		if (*p == '%') {
			p++;
			str_adds(out, *p == 'h' ? s->host : *p == 'p' ? s->port : s->key);
		} else
			str_addc(out, *p);
	}
}

char *mail_explain(const struct mail_verdict *v, const char *url, const char *token_url)
{
	const struct server s =
		v->at_token_server ? split(token_url, "token_url") : split(url, "smtp");
	struct str out = STR_INIT;

	if (v->code)
		str_addf(&out, "%d ", v->code);
	if (*v->enhanced)
		str_addf(&out, "%s ", v->enhanced);
	str_adds(&out, v->text);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (!fits(i, v, &s, *token_url))
			continue;
		str_adds(&out, " - ");
		fill_in(&out, rows[i].advice, &s);
		break;
	}
	return str_take(&out);
}
