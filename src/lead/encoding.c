/*
 * Text that is no UTF-8: programs on Windows write Windows-1252, older ones ISO-8859-1, which is a part
 * of it; and lists that were joined have both.
 * Runs on: any. Called by csv.c and json.c, a field at a time. UTF-8 is never read as anything else, and
 * where the file is UTF-8, what is not is an error: to guess there would put wrong letters into a mail.
 */
#include "lead_private.h"

#include <glib.h>
#include <string.h>

#define SHOWN 40

/* What the bytes 0x80 to 0x9F are; 0: nothing. The others are what they are in Unicode. */
static const uint16_t cp1252[32] = { 0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
	0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017D, 0, 0, 0x2018, 0x2019, 0x201C, 0x201D,
	0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0, 0x017E, 0x0178 };

static bool has_high(const char *s, size_t n)
{
	unsigned char all = 0;

	for (size_t i = 0; i < n; i++)
		all |= (unsigned char)s[i];
	return all & 0x80;
}

/* Bytes of the character at P; 0: it is none. */
static size_t char_len(const char *p, size_t n)
{
	for (size_t len = 2; len <= 4 && len <= n; len++)
		if (str_is_utf8(p, len))
			return len;
	return 0;
}

/* Characters of UTF-8 against bytes that are no part of any, in all that is in memory. */
static enum lead_encoding vote(const struct lead_reader *r)
{
	size_t n_chars = 0, n_bytes = 0;

	for (size_t i = 0; i < r->n;) {
		if (!(r->data[i] & 0x80)) {
			i++;
			continue;
		}
		size_t len = char_len(r->data + i, r->n - i);

		n_chars += len > 0;
		n_bytes += !len;
		i += len ? len : 1;
	}
	return n_chars >= n_bytes ? LEAD_UTF8 : LEAD_CP1252;
}

bool lead_text_is_fit(struct lead_reader *r, const char *value, size_t n)
{
	if (!has_high(value, n))
		return true;
	if (r->encoding == LEAD_ASCII)
		r->encoding = vote(r);
	return str_is_utf8(value, n);
}

bool lead_text_recode(struct lead_reader *r, const char *value, size_t n, struct str *out)
{
	size_t start = out->len;

	if (r->encoding != LEAD_CP1252)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)value[i];
		gunichar u = c < 0x80 || c >= 0xA0 ? c : cp1252[c - 0x80];
		char utf8[6];

		if (!u && c)
			return false;
		str_add(out, utf8, (size_t)g_unichar_to_utf8(u, utf8));
	}
	if (!r->recoded_line) {
		r->recoded_line = r->record.line ? r->record.line : r->line;
		r->recoded = str_printable(out->p + start, out->len - start, SHOWN);
	}
	return true;
}

char *lead_text_unfit(const struct lead_reader *r, const char *name)
{
	switch (r->encoding) {
	case LEAD_UTF16:
		return xasprintf("field %.100s: half a character of UTF-16, expected a file "
				 "saved as CSV in UTF-8",
			name);
	case LEAD_CP1252:
		return xasprintf("field %.100s: neither UTF-8 nor Windows-1252 text, expected a "
				 "file saved as CSV in UTF-8",
			name);
	case LEAD_ASCII:
	case LEAD_UTF8:
		break;
	}
	return xasprintf(
		"field %.100s: not UTF-8 text, expected a file saved as CSV in UTF-8", name);
}
