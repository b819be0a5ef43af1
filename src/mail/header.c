/*
 * Header lines: folding, encoded words, display names.
 * Runs on: loop. Called by message.c with checked values. Encodes by itself: GMime's encoder makes
 * encoded words of more than 75 characters (RFC 2047 2) and lets "=?…?=" in a value through, which
 * the reader's program would decode. Never writes a bare CR or LF, nor a line over 998 bytes.
 */
#include "header_private.h"

#include <glib.h>
#include <string.h>

#define LINE_MAX_BYTES 76 /* RFC 5322 2.1.1 asks for 78, RFC 2047 2 for 76 */
#define PLAIN_WORD_MAX 60 /* so that every line can be folded */
#define ENCODED_MAX    52 /* so that "Subject: " and an encoded word are one line */

void mail_header_add(struct str *out, const char *name, const char *value)
{
	size_t line = out->len, first = strlen(name) + 1;

	str_addf(out, "%s:", name);
	while (*value) {
		size_t n = strcspn(value, " "), used = out->len - line;

		if (used > first && used + 1 + n > LINE_MAX_BYTES) {
			str_adds(out, "\r\n");
			line = out->len;
			first = 0;
		}
		str_addc(out, ' ');
		str_add(out, value, n);
		value += n + (value[n] == ' ');
	}
	str_adds(out, "\r\n");
}

/* Printable ASCII that can be folded without loss and looks like nothing else. */
static bool is_plain(const char *s)
{
	size_t word = 0;

	if (strstr(s, "=?"))
		return false;
	for (; *s; s++) {
		if (*s < 0x20 || *s > 0x7E || word == PLAIN_WORD_MAX)
			return false;
		if (*s == ' ' && word == 0)
			return false; /* at the start, or two in a row */
		word = *s == ' ' ? 0 : word + 1;
	}
	return word > 0;
}

static void add_q(struct str *word, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (g_ascii_isalnum(p[i]) || (p[i] && strchr("!*+-/", p[i])))
			str_addc(word, p[i]); /* RFC 2047 5 (3): safe in a phrase, too */
		else if (p[i] == ' ')
			str_addc(word, '_');
		else
			str_addf(word, "=%02X", (unsigned char)p[i]);
	}
}

static void end_word(struct str *value, struct str *word)
{
	str_addf(value, "%s=?utf-8?Q?%s?=", value->len ? " " : "", str_z(word));
	str_reset(word);
}

/* TEXT as encoded words of whole characters, with spaces between that a reader drops (RFC 2047 5,
 * 6.2). Q, not B: GMime's own decoder loses what follows a padded word. */
static void add_encoded(struct str *value, const char *text)
{
	struct str word = STR_INIT, character = STR_INIT;

	while (*text) {
		size_t n = g_utf8_skip[(guchar)*text];

		str_reset(&character);
		add_q(&character, text, n);
		if (word.len + character.len > ENCODED_MAX)
			end_word(value, &word);
		str_add(&word, character.p, character.len);
		text += n;
	}
	end_word(value, &word);
	str_done(&word);
	str_done(&character);
}

void mail_header_add_text(struct str *out, const char *name, const char *text)
{
	struct str value = STR_INIT;

	if (is_plain(text))
		str_adds(&value, text);
	else
		add_encoded(&value, text);
	mail_header_add(out, name, str_z(&value));
	str_done(&value);
}

static bool is_atoms(const char *s)
{
	for (; *s; s++)
		if (!g_ascii_isalnum(*s) && !strchr(" !#$%&'*+-/=?^_`{|}~", *s))
			return false;
	return true;
}

/* RFC 5322 3.2.5: a phrase is atoms, or a quoted string, or encoded words. */
static void add_phrase(struct str *value, const char *display)
{
	if (!is_plain(display)) {
		add_encoded(value, display);
	} else if (is_atoms(display)) {
		str_adds(value, display);
	} else {
		str_addc(value, '"');
		for (; *display; display++) {
			if (*display == '"' || *display == '\\')
				str_addc(value, '\\');
			str_addc(value, *display);
		}
		str_addc(value, '"');
	}
}

void mail_header_add_mailbox(
	struct str *out, const char *name, const char *display, const char *address)
{
	struct str value = STR_INIT;

	if (str_is_empty(display)) {
		str_adds(&value, address);
	} else {
		add_phrase(&value, display);
		str_addf(&value, " <%s>", address);
	}
	mail_header_add(out, name, str_z(&value));
	str_done(&value);
}
