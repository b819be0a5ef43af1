/*
 * SMTP replies (RFC 5321 4.2): lines of a server in, code, enhanced code and text out. Pure.
 * Runs on: loop. Called by mail/smtp.c.
 * Never: judges what a reply means. Every byte is a stranger's: any of them may be anything.
 */
#include "smtp_private.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "coldmail/mem.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ---- one reply ------------------------------------------------------------------------------- */

/* The code of a line; 0: it has none, or one that no server may send to us here. */
static int line_code(const char *p, size_t n)
{
	if (n < 3 || !is_digit(p[0]) || !is_digit(p[1]) || !is_digit(p[2]))
		return 0;
	if (n > 3 && p[3] != ' ' && p[3] != '-')
		return 0;
	int code = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
	return code >= 200 && code <= 599 ? code : 0;
}

static size_t count_digits(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && is_digit(p[i]))
		i++;
	return i;
}

/* Length of an enhanced status code (RFC 3463: class.subject.detail) at P; 0: none. Its class is
 * the reply's own, or it is not one. */
static size_t enhanced_length(const char *p, size_t n, int code)
{
	if (n < 5 || p[0] != '0' + code / 100 || p[1] != '.')
		return 0;
	size_t subject = count_digits(p + 2, n - 2), at = 2 + subject;
	if (subject < 1 || subject > 3 || at >= n || p[at] != '.')
		return 0;
	size_t detail = count_digits(p + at + 1, n - at - 1);
	at += 1 + detail;
	if (detail < 1 || detail > 3 || (at < n && p[at] != ' '))
		return 0;
	return at;
}

static void add_text(struct mail_reply *r, const char *p, size_t n)
{
	const size_t max = sizeof r->text - 1;

	while (n && *p == ' ')
		p++, n--;
	if (!n || r->len + 1 >= max)
		return;
	char *clean = str_printable(p, n, max);
	size_t gap = r->len ? 1 : 0;
	size_t len = str_utf8_cut(clean, strlen(clean), max - r->len - gap);

	if (gap)
		r->text[r->len++] = ' ';
	memcpy(r->text + r->len, clean, len);
	r->len += len;
	r->text[r->len] = '\0';
	free(clean);
}

/* Every line of a reply may repeat the enhanced code (RFC 2034); it is kept once, the first. */
static void add_line(struct mail_reply *r, const char *p, size_t n)
{
	size_t len = enhanced_length(p, n, r->code);

	if (len && len < sizeof r->enhanced && !*r->enhanced) {
		memcpy(r->enhanced, p, len);
		r->enhanced[len] = '\0';
	}
	add_text(r, p + len, n - len);
}

static enum mail_reply_feed garbage(struct mail_reply *r, const char *text, size_t n)
{
	*r = (struct mail_reply){ .is_done = true };
	add_text(r, text, n);
	return MAIL_REPLY_GARBAGE;
}

enum mail_reply_feed mail_reply_feed(struct mail_reply *r, const char *text, size_t n)
{
	int code = line_code(text, n);

	if (r->is_done)
		*r = (struct mail_reply){ 0 };
	if (!code || (r->lines && code != r->code) || ++r->lines > MAIL_REPLY_LINES_MAX)
		return garbage(r, text, n);
	r->code = code;
	if (n > 4)
		add_line(r, text + 4, n - 4);
	if (n > 3 && text[3] == '-')
		return MAIL_REPLY_MORE;
	r->is_done = true;
	return MAIL_REPLY_DONE;
}

/* ---- what else a reply says ------------------------------------------------------------------ */

/* "<id@host>": of servers that give every mail a Message-ID of their own. */
static void message_id(const struct mail_reply *r, char ret[128])
{
	*ret = '\0';
	for (const char *p = r->text; (p = strchr(p, '<')); p++) {
		size_t n = strcspn(p, " >");

		if (p[n] != '>' || !memchr(p, '@', n) || n + 2 > 128)
			continue;
		memcpy(ret, p, n + 1);
		ret[n + 1] = '\0';
		return;
	}
}

static void queue_id(const struct mail_reply *r, char ret[64])
{
	/* Postfix and many; Exim; Exchange. */
	static const char *const before[] = { "queued as ", "id=", "InternalId=" };

	*ret = '\0';
	for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
		const char *p = strcasestr(r->text, before[i]);

		if (!p)
			continue;
		p += strlen(before[i]);
		size_t n = strcspn(p, " ,;>)]");
		if (n == 0 || n >= 64)
			continue;
		memcpy(ret, p, n);
		ret[n] = '\0';
		return;
	}
}

void mail_reply_ids(const struct mail_reply *r, char ret_queue_id[64], char ret_message_id[128])
{
	queue_id(r, ret_queue_id);
	message_id(r, ret_message_id);
}
