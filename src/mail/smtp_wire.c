/*
 * What the SMTP client puts on the wire: checked addresses, the commands before a mail, the stuffed
 * body. Pure.
 * Runs on: loop. Called by mail/smtp.c.
 * Never: changes a byte of a message but for line ends and leading dots.
 */
#include "smtp_private.h"

#include <string.h>

/* RFC 5321 4.5.3.1: 64 + 1 + 255. */
#define ADDRESS_MAX 320
#define ENVID_MAX   100 /* RFC 3461 4.4 */

bool mail_is_wire_address(const char *address)
{
	size_t n = strlen(address);
	bool in_quotes = false;

	if (n == 0 || n > ADDRESS_MAX)
		return false;
	for (const char *p = address; *p; p++) {
		if (*p < ' ' || *p >= 0x7F || (!in_quotes && strchr(" <>", *p)))
			return false;
		if (*p == '"')
			in_quotes = !in_quotes;
		else if (in_quotes && *p == '\\' && p[1] >= ' ' && p[1] < 0x7F)
			p++;
	}
	return !in_quotes;
}

bool mail_has_8bit(const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)bytes[i] >= 0x80)
			return true;
	return false;
}

/* RFC 3461 4: "+" and "=", and what is no printable ASCII, as +XX. */
static void add_xtext(struct str *out, const char *text)
{
	for (; *text; text++)
		if (*text > ' ' && *text < 0x7F && *text != '+' && *text != '=')
			str_addc(out, *text);
		else
			str_addf(out, "+%02X", (unsigned char)*text);
}

/* RET=HDRS: a bounce need not bring the whole mail back. */
static void add_envelope_id(struct str *out, const char *id)
{
	struct str xtext = STR_INIT;

	str_adds(out, " RET=HDRS");
	add_xtext(&xtext, id ? id : "");
	if (xtext.len && xtext.len <= ENVID_MAX)
		str_addf(out, " ENVID=%s", xtext.p);
	str_done(&xtext);
}

void mail_add_mail_from(
	struct str *out, const struct mail_offers *offers, const struct mail_wire *w)
{
	str_addf(out, "MAIL FROM:<%s>", w->from);
	if (offers->size)
		str_addf(out, " SIZE=%zu", w->size);
	if (offers->eightbit && w->is_8bit)
		str_adds(out, " BODY=8BITMIME");
	if (offers->dsn)
		add_envelope_id(out, w->id);
	str_adds(out, "\r\n");
}

/* No report of success is asked for: a mail that is delivered is silent. */
void mail_add_rcpt_to(struct str *out, const struct mail_offers *offers, const struct mail_wire *w)
{
	str_addf(out, "RCPT TO:<%s>", w->to);
	if (offers->dsn) {
		str_adds(out, " NOTIFY=FAILURE,DELAY ORCPT=rfc822;");
		add_xtext(out, w->to);
	}
	str_adds(out, "\r\n");
}

static size_t line_length(const char *p, size_t n)
{
	size_t len = 0;

	while (len < n && p[len] != '\r' && p[len] != '\n')
		len++;
	return len;
}

void mail_dot_stuff(struct str *out, const char *bytes, size_t n)
{
	str_reserve(out, n + n / 32 + 16);
	for (size_t at = 0; at < n;) {
		size_t len = line_length(bytes + at, n - at);

		if (bytes[at] == '.')
			str_addc(out, '.');
		str_add(out, bytes + at, len);
		str_add(out, "\r\n", 2);
		at += len;
		if (at < n)
			at += bytes[at] == '\r' && at + 1 < n && bytes[at + 1] == '\n' ? 2 : 1;
	}
}
