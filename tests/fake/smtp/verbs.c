/*
 * What a good server does at each verb of a dialogue: where it has its place, what it changes, what
 * is said of it.
 * Runs on: the one thread of fake-smtp. Called by session.c, where the script lets it.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server.h"

static bool is_for_auth(const struct conn *c)
{
	switch (c->srv->auth_when) {
	case AUTH_TLS:
		return c->tls;
	case AUTH_CLEAR:
		return !c->tls;
	case AUTH_ALWAYS:
		break;
	}
	return true;
}

static void add_capabilities(const struct conn *c, struct buf *text)
{
	for (size_t i = 0; i < c->srv->caps.count; i++) {
		const char *cap = c->srv->caps.v[i];

		if ((cap_is(cap, "STARTTLS") && c->tls) || (cap_is(cap, "AUTH") && !is_for_auth(c)))
			continue;
		buf_addf(text, "\n%s", cap);
	}
}

static int take_hello(struct conn *c, struct buf *text)
{
	mail_reset(&c->mail);
	c->greeted = true;
	c->esmtp = c->verb == VERB_EHLO;
	buf_adds(text, "fake-smtp.localhost");
	if (c->esmtp)
		add_capabilities(c, text);
	return 250;
}

/* From here on nothing is known of the client (RFC 3207 4.2). */
static int take_starttls(struct conn *c, struct buf *text)
{
	if (!c->srv->tls) {
		buf_adds(text, "4.7.0 TLS is not available");
		return 454;
	}
	mail_reset(&c->mail);
	c->greeted = c->esmtp = false;
	free(c->user);
	c->user = NULL;
	c->due = VERB_TLS;
	buf_adds(text, "2.0.0 Ready to start TLS");
	return 220;
}

bool verb_knows_login(const struct conn *c)
{
	const struct sasl *s = &c->sasl;
	size_t n = strlen(s->user);

	for (size_t i = 0; i < c->srv->user_count; i++) {
		const char *user = c->srv->users[i];

		if (!strncmp(user, s->user, n) && user[n] == ':' &&
			!strcmp(user + n + 1, s->secret))
			return true;
	}
	return !c->srv->user_count;
}

static int take_auth(struct conn *c, struct buf *text)
{
	if (!verb_knows_login(c)) {
		buf_adds(text, "5.7.8 Username and password not accepted");
		return 535;
	}
	c->user = c->sasl.user;
	c->sasl.user = NULL;
	buf_adds(text, "2.7.0 Authentication successful");
	return 235;
}

static int take_mail(struct conn *c, struct buf *text)
{
	c->mail.from = fake_strdup(c->address);
	c->mail.parameters = fake_strdup(c->parameters);
	c->mail.user = fake_strdup(c->user);
	c->mail.tls = c->tls ? tls_version(c->tls) : NULL;
	buf_adds(text, "2.1.0 Ok");
	return 250;
}

static int take_recipient(struct conn *c, struct buf *text)
{
	mail_add_to(&c->mail, c->address, c->parameters);
	buf_adds(text, "2.1.5 Ok");
	return 250;
}

static int take_data(struct conn *c, struct buf *text)
{
	c->in_data = c->line_start = true;
	c->body_begun = c->too_big = false;
	c->body_bytes = 0;
	buf_adds(text, "End data with <CR><LF>.<CR><LF>");
	return 354;
}

static int take_dot(struct conn *c, struct buf *text)
{
	if (!c->mail.to_count) {
		buf_adds(text, "5.5.1 No valid recipients");
		return 554;
	}
	if (!record_mail(&c->srv->record, &c->mail)) {
		buf_adds(text, "4.3.0 This mail could not be written down");
		return 451;
	}
	buf_addf(text, "2.0.0 Ok: queued as %llu", (unsigned long long)c->srv->record.count);
	return 250;
}

int verb_take(struct conn *c, struct buf *text)
{
	c->taken = true;
	switch (c->verb) {
	case VERB_TLS:
		conn_secure(c);
		if (!c->open)
			c->due = VERB_CONNECT;
		break;
	case VERB_CONNECT:
		c->open = true;
		buf_adds(text, c->srv->banner);
		return 220;
	case VERB_EHLO:
	case VERB_HELO:
		return take_hello(c, text);
	case VERB_STARTTLS:
		return take_starttls(c, text);
	case VERB_AUTH:
		return take_auth(c, text);
	case VERB_MAIL:
		return take_mail(c, text);
	case VERB_RCPT:
		return take_recipient(c, text);
	case VERB_DATA:
		return take_data(c, text);
	case VERB_DOT:
		return take_dot(c, text);
	case VERB_RSET:
		mail_reset(&c->mail);
		buf_adds(text, "2.0.0 Ok");
		return 250;
	case VERB_NOOP:
		buf_adds(text, "2.0.0 Ok");
		return 250;
	case VERB_QUIT:
		buf_adds(text, "2.0.0 Bye");
		return 221;
	case VERB_BODY:
	case VERB_ANY:
		break;
	}
	return 0;
}

static const char *starttls_refused(const struct conn *c)
{
	if (!caps_find(&c->srv->caps, "STARTTLS"))
		return "502 5.5.1 STARTTLS was not offered";
	if (c->tls)
		return "503 5.5.1 TLS is in use already";
	return NULL;
}

static bool is_offered(const char *mechanisms, const char *name, size_t n)
{
	for (size_t len; *mechanisms; mechanisms += len + (mechanisms[len] == ' ')) {
		len = strcspn(mechanisms, " ");
		if (len == n && !strncasecmp(mechanisms, name, n))
			return true;
	}
	return false;
}

/* RFC 4954 4 and 6. */
static const char *auth_refused(const struct conn *c, const char *argument)
{
	const char *mechanisms = caps_find(&c->srv->caps, "AUTH");
	size_t n = strcspn(argument, " ");

	if (mechanisms && !c->tls && !is_for_auth(c))
		return "538 5.7.11 A login needs TLS";
	if (!mechanisms || !is_for_auth(c))
		return "503 5.5.1 AUTH was not offered";
	if (c->user)
		return "503 5.5.1 Logged in already";
	if (c->mail.from)
		return "503 5.5.1 A mail is under way";
	if (!is_offered(mechanisms, argument, n) || !sasl_find(argument, n))
		return "504 5.5.4 This mechanism was not offered";
	return NULL;
}

static const char *mail_refused(const struct conn *c)
{
	if (c->srv->user_count && !c->srv->auth_optional && !c->user)
		return "530 5.7.0 Authentication required";
	return c->mail.from ? "503 5.5.1 A mail is under way already" : NULL;
}

const char *verb_refused(const struct conn *c, const struct command *cmd)
{
	enum verb v = cmd->verb;

	if (!c->open && v != VERB_QUIT)
		return "503 5.5.1 No service here";
	if ((v == VERB_MAIL || v == VERB_AUTH || v == VERB_STARTTLS) && !c->greeted)
		return "503 5.5.1 Send EHLO or HELO first";
	if (v == VERB_STARTTLS)
		return starttls_refused(c);
	if (v == VERB_AUTH)
		return auth_refused(c, cmd->argument);
	if (v == VERB_MAIL)
		return mail_refused(c);
	if ((v == VERB_RCPT || v == VERB_DATA) && !c->mail.from)
		return "503 5.5.1 Send MAIL first";
	return NULL;
}
