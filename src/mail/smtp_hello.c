/*
 * How an SMTP connection began: what libcurl asked in which order (line_curl.c has it do so), what
 * the server said to each, and what it offers. Pure.
 * Runs on: loop. Called by mail/smtp.c.
 * Never: judges a refusal; believes an offer that was made before TLS.
 */
#include "smtp_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The question that the next reply answers. */
enum asked { GREETING, EHLO, HELO, STARTTLS, AUTH };

static enum mail_stage stage_of(enum asked q)
{
	return q == GREETING ? MAIL_STAGE_GREET : q == AUTH ? MAIL_STAGE_AUTH : MAIL_STAGE_EHLO;
}

/* The code that says yes to Q (RFC 5321 4.3.2, RFC 3207 4, RFC 4954 6). libcurl takes any 2xx for
 * one, and goes on; we do not. */
static bool is_yes(enum asked q, int code)
{
	switch (q) {
	case GREETING:
	case STARTTLS:
		return code == 220;
	case EHLO:
	case HELO:
		return code == 250;
	case AUTH:
		break;
	}
	return code == 235;
}

/* What libcurl asks when Q was answered, YES or no. */
static enum asked next(enum asked q, bool yes, bool *starttls)
{
	switch (q) {
	case GREETING:
		return yes ? EHLO : GREETING;
	case EHLO:
		if (!yes)
			return HELO;
		break;
	case STARTTLS:
		*starttls = false;
		return yes ? EHLO : STARTTLS; /* after a no libcurl gives up */
	case HELO:
	case AUTH:
		break;
	}
	return *starttls ? STARTTLS : AUTH;
}

/* "250-KEYWORD parameters": the parameters, NULL: it is not KEYWORD. */
static const char *offer(const char *line, const char *keyword)
{
	const size_t n = strlen(keyword);

	if (strlen(line) < 4 + n || strncasecmp(line + 4, keyword, n) != 0)
		return NULL;
	line += 4 + n;
	return *line == ' ' ? line + 1 : *line ? NULL : line;
}

static void read_offer(const char *line, struct mail_offers *ret)
{
	const char *size = offer(line, "SIZE"), *auth = offer(line, "AUTH");
	int64_t n;

	ret->pipelining |= offer(line, "PIPELINING") != NULL;
	ret->eightbit |= offer(line, "8BITMIME") != NULL;
	ret->dsn |= offer(line, "DSN") != NULL;
	ret->size |= size != NULL;
	if (size && str_to_i64(size, &n) && n > 0)
		ret->size_max = n;
	if (auth && !*ret->auth) {
		char *shown = str_printable(auth, strlen(auth), sizeof ret->auth - 4);

		snprintf(ret->auth, sizeof ret->auth, "%s", shown);
		free(shown);
	}
}

/* Q was answered; returns the next question. Offers count when the reply is a yes. */
static enum asked answered(struct mail_hello *h, enum asked q, const struct mail_offers *offers,
	struct mail_hello_way *way)
{
	const bool yes = is_yes(q, h->last.code);
	const enum asked then = next(q, yes, &way->starttls);

	if (q != AUTH)
		h->offers = q == EHLO && yes ? *offers : (struct mail_offers){ 0 };
	h->is_open = yes && then == AUTH;
	h->is_logged_in = yes && q == AUTH;
	h->has_tried = q == AUTH;
	h->stage = stage_of(yes && (then != AUTH || way->login) ? then : q);
	return then;
}

void mail_hello_read(
	const char *const *lines, size_t n, struct mail_hello_way way, struct mail_hello *ret)
{
	struct mail_offers offers = { 0 };
	struct mail_reply r = { 0 };
	enum asked q = GREETING;

	*ret = (struct mail_hello){ .stage = MAIL_STAGE_GREET };
	for (size_t i = 0; i < n; i++) {
		/* The first line of the EHLO reply is the server's name. */
		if (r.lines && !r.is_done)
			read_offer(lines[i], &offers);
		enum mail_reply_feed got = mail_reply_feed(&r, lines[i], strlen(lines[i]));
		if (got == MAIL_REPLY_MORE)
			continue;
		ret->last = r;
		/* From a strange yes on we do not know what is answered. */
		if (got == MAIL_REPLY_GARBAGE || (r.code / 100 == 2 && !is_yes(q, r.code))) {
			ret->is_open = ret->is_logged_in = false;
			ret->stage = stage_of(q);
			return;
		}
		q = answered(ret, q, &offers, &way);
		offers = (struct mail_offers){ 0 };
	}
}
