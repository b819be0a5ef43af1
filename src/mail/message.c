/*
 * Composing: one struct mail_message becomes the bytes of one message, always the same ones. They
 * are hashed into the attempt, and a retry must be the mail that was tried before.
 * Runs on: loop. Called by the corridor and by `preview`. Words and names come from leads and
 * templates: what could end a header line is refused, never repaired. Reads no clock, no locale, no
 * configuration, makes nothing up at random.
 */
#include "coldmail/mail.h"

#include <glib.h>
#include <gmime/gmime.h>
#include <string.h>

#include "coldmail/err.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#include "header_private.h"

#define ADDRESS_MAX 254
#define ID_MAX      500 /* with its header it stays within the 998 bytes of a line */
#define URL_MAX     900
#define TOKEN_MAX   64
#define PLAIN_LINE  78 /* RFC 5322 2.1.1 */
#define DATE_END    INT64_C(253402300800000) /* the year 10000 */

int mail_init(void)
{
	g_mime_init();
	return 0;
}

/* ---- what may go into a message ---------------------------------------------------------------- */

/* Text for one header line. */
static bool is_line(const char *s)
{
	for (const char *c = s; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7F)
			return false;
	return str_is_utf8(s, strlen(s));
}

static bool is_text(const char *s)
{
	return !str_is_empty(s) && str_is_utf8(s, strlen(s));
}

/* Printable ASCII without spaces and without any of EXCEPT. */
static bool is_token(const char *s, size_t n, const char *except)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] <= 0x20 || s[i] > 0x7E || strchr(except, s[i]))
			return false;
	return n > 0;
}

/* The length of the quoted string at S, with its quotes; 0: none. */
static size_t quoted_length(const char *s)
{
	size_t i = 1;

	while (s[i] && s[i] != '"') {
		if (s[i] == '\\' && s[i + 1])
			i++;
		if (s[i] < 0x20 || s[i] > 0x7E)
			return 0;
		i++;
	}
	return s[i] ? i + 1 : 0;
}

/* As lead_address_canonical() makes them, or the configuration. */
static bool is_address(const char *s)
{
	const char *at = s ? strrchr(s, '@') : NULL;
	const char *special = "()<>[]:;@\\,\"";

	if (!at || strlen(s) > ADDRESS_MAX || !is_token(at + 1, strlen(at + 1), special))
		return false;
	if (*s == '"')
		return quoted_length(s) == (size_t)(at - s);
	return is_token(s, (size_t)(at - s), special);
}

static bool is_id(const char *s, size_t n)
{
	return n > 4 && n <= ID_MAX && s[0] == '<' && s[n - 1] == '>' &&
	       is_token(s + 1, n - 2, "<>") && memchr(s, '@', n);
}

static bool is_ids(const char *s)
{
	for (;;) {
		size_t n = strcspn(s, " ");

		if (!is_id(s, n))
			return false;
		if (!s[n])
			return true;
		s += n + 1;
	}
}

/* RFC 8058 3.1: one-click needs https. */
static bool is_url(const char *s, const char *token)
{
	size_t n = strlen(s);

	return str_istarts(s, "https://") && n <= URL_MAX && is_token(s, n, "<>,\"") && token &&
	       strlen(token) <= TOKEN_MAX && is_token(token, strlen(token), "<>,\"%&/?#");
}

static bool is_usable(const struct mail_message *m)
{
	return is_address(m->from) && is_address(m->to) &&
	       (!m->reply_to || is_address(m->reply_to)) &&
	       (!m->from_name || is_line(m->from_name)) && !str_is_empty(m->subject) &&
	       is_line(m->subject) && is_text(m->body) && is_text(m->opt_out_line) &&
	       is_text(m->organisation) && is_text(m->postal_address) &&
	       (!m->unsubscribe_url || is_url(m->unsubscribe_url, m->unsubscribe_token)) &&
	       m->message_id && is_id(m->message_id, strlen(m->message_id)) &&
	       (!m->in_reply_to || is_id(m->in_reply_to, strlen(m->in_reply_to))) &&
	       (!m->references || is_ids(m->references)) && m->date_ms >= 0 &&
	       m->date_ms < DATE_END;
}

/* ---- headers ---------------------------------------------------------------------------------- */

static void add_date(struct str *out, int64_t date_ms)
{
	GDateTime *date = g_date_time_new_from_unix_utc(date_ms / 1000);
	char *text = g_mime_utils_header_format_date(date);

	mail_header_add(out, "Date", text);
	g_free(text);
	g_date_time_unref(date);
}

/* The URL first: that is the one List-Unsubscribe-Post speaks of (RFC 2369 2, RFC 8058 3.1). By mail, too,
 * the token says who it is: many write from another address than the one they are written to. */
static void add_unsubscribe(struct str *out, const struct mail_message *m)
{
	char *address = g_uri_escape_string(m->reply_to ? m->reply_to : m->from, "@", FALSE);
	char *value = xasprintf("<%s/%s>, <mailto:%s?subject=unsubscribe%%20%s>",
		m->unsubscribe_url, m->unsubscribe_token, address, m->unsubscribe_token);

	mail_header_add(out, "List-Unsubscribe", value);
	mail_header_add(out, "List-Unsubscribe-Post", "List-Unsubscribe=One-Click");
	free(value);
	g_free(address);
}

static void add_headers(struct str *out, const struct mail_message *m)
{
	add_date(out, m->date_ms);
	mail_header_add_mailbox(out, "From", m->from_name, m->from);
	if (m->reply_to)
		mail_header_add_mailbox(out, "Reply-To", NULL, m->reply_to);
	mail_header_add_mailbox(out, "To", NULL, m->to);
	mail_header_add(out, "Message-ID", m->message_id);
	mail_header_add_text(out, "Subject", m->subject);
	if (m->in_reply_to)
		mail_header_add(out, "In-Reply-To", m->in_reply_to);
	if (m->references)
		mail_header_add(out, "References", m->references);
	if (m->unsubscribe_url)
		add_unsubscribe(out, m);
	mail_header_add(out, "MIME-Version", "1.0");
	mail_header_add(out, "Content-Type", "text/plain; charset=utf-8");
}

/* ---- the body --------------------------------------------------------------------------------- */

/* Appends a paragraph: LF line ends, no empty lines at its end, an empty line before it. */
static void add_paragraph(struct str *text, const char *s)
{
	if (text->len)
		str_addc(text, '\n');
	for (; *s; s++) {
		if (s[0] == '\r' && s[1] == '\n')
			continue;
		str_addc(text, *s == '\r' ? '\n' : *s);
	}
	while (text->len && text->p[text->len - 1] == '\n')
		text->p[--text->len] = '\0';
	str_addc(text, '\n');
}

static void add_footer(struct str *text, const struct mail_message *m)
{
	char *sender = xasprintf("%s\n%s", m->organisation, m->postal_address);

	add_paragraph(text, m->opt_out_line);
	if (m->unsubscribe_url)
		str_addf(text, "%s/%s\n", m->unsubscribe_url, m->unsubscribe_token);
	add_paragraph(text, sender);
	free(sender);
}

/* ASCII in short lines needs no encoding. */
static bool is_7bit(const struct str *text)
{
	size_t column = 0;

	for (size_t i = 0; i < text->len; i++) {
		char c = text->p[i];

		if ((c < 0x20 || c > 0x7E) && c != '\n' && c != '\t')
			return false;
		column = c == '\n' ? 0 : column + 1;
		if (column > PLAIN_LINE)
			return false;
	}
	return true;
}

static void add_with_crlf(struct str *out, const char *p, size_t n)
{
	for (const char *end = p + n; p < end;) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));
		const char *stop = lf ? lf : end;

		str_add(out, p, (size_t)(stop - p));
		str_adds(out, "\r\n");
		p = stop + 1;
	}
}

static void add_quoted_printable(struct str *out, const struct str *text)
{
	GMimeEncoding state;

	g_mime_encoding_init_encode(&state, GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE);
	char *buf = xmalloc(g_mime_encoding_outlen(&state, text->len));
	size_t n = g_mime_encoding_flush(&state, text->p, text->len, buf);
	add_with_crlf(out, buf, n);
	free(buf);
}

static void add_body(struct str *out, const struct mail_message *m)
{
	struct str text = STR_INIT;

	add_paragraph(&text, m->body);
	add_footer(&text, m);
	bool is_plain = is_7bit(&text);
	mail_header_add(out, "Content-Transfer-Encoding", is_plain ? "7bit" : "quoted-printable");
	str_adds(out, "\r\n");
	if (is_plain)
		add_with_crlf(out, text.p, text.len);
	else
		add_quoted_printable(out, &text);
	str_done(&text);
}

/* ---- the message ------------------------------------------------------------------------------ */

int mail_compose(const struct mail_message *m, struct str *ret_bytes, char ret_sha256[65])
{
	if (!is_usable(m))
		return CM_EINVAL;
	str_reset(ret_bytes);
	add_headers(ret_bytes, m);
	add_body(ret_bytes, m);
	char *sum = g_compute_checksum_for_data(
		G_CHECKSUM_SHA256, (const guchar *)ret_bytes->p, ret_bytes->len);
	memcpy(ret_sha256, sum, 65);
	g_free(sum);
	return 0;
}

char *mail_message_id(const uint8_t secret[32], const char *key, const char *from)
{
	char *input = xasprintf("message-id\n%s\n%s", key, from);
	char *hex = g_compute_hmac_for_string(G_CHECKSUM_SHA256, secret, 32, input, -1);
	const char *at = strrchr(from, '@');
	char *id = xasprintf("<%.32s@%s>", hex, at ? at + 1 : from);

	g_free(hex);
	free(input);
	return id;
}
