/*
 * A reply's text as words (class_private.h), so that rows of the table are written once for all the
 * ways in which servers spell. Pure.
 * Runs on: loop. Called by class_rows.c for the phrases of the table and by classify.c for replies.
 * Never: judges, allocates. Every byte may be anything.
 */
#include "class_private.h"

#include <ctype.h>

/* U+00C0 to U+017F without their accents; a space: not a letter. */
static const char folded[] = "aaaaaaaceeeeiiiidnooooo ouuuuytsaaaaaaaceeeeiiiidnooooo ouuuuyty"
			     "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkklllllll"
			     "lllnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
_Static_assert(sizeof folded == 0x180 - 0xC0 + 1, "one letter for each character");

#define QUOTE '\''

struct reader {
	struct mail_words *out;
	size_t len; /* of out->text */
	bool is_in_word, is_name; /* NAME: of a host or in a URL */
	bool is_new_sentence;
};

static void end_word(struct reader *r)
{
	r->is_in_word = false;
}

static void end_sentence(struct reader *r)
{
	r->is_in_word = false;
	r->is_new_sentence = true;
}

static void put(struct reader *r, char c)
{
	if (r->len < sizeof r->out->text - 1)
		r->out->text[r->len++] = c;
}

static void begin_word(struct reader *r)
{
	struct mail_words *w = r->out;
	bool is_first = r->is_new_sentence || !w->n;

	if (w->n)
		put(r, is_first ? '\n' : ' ');
	w->at[w->n] = (uint16_t)r->len;
	w->sentence[w->n] = (uint16_t)(is_first ? w->n : w->sentence[w->n - 1]);
	w->n++;
	r->is_in_word = true;
	r->is_new_sentence = false;
	if (r->is_name)
		put(r, '/');
}

static void letter(struct reader *r, char c)
{
	if (!r->is_in_word) {
		/* Room for a word is room for the longest that a reply can hold. */
		if (r->out->n == MAIL_WORDS_MAX || r->len + 3 >= sizeof r->out->text)
			return;
		begin_word(r);
	}
	put(r, c);
}

/* ---- one character --------------------------------------------------------------------------- */

/* A character of Chinese, Japanese or Korean. They are written with no space between words, or with
 * endings behind them, so that each character is a word. */
static bool is_ideograph(const unsigned char *u)
{
	if ((u[0] & 0xF0) != 0xE0 || (u[1] & 0xC0) != 0x80 || (u[2] & 0xC0) != 0x80)
		return false;
	unsigned c = (u[0] & 0xFU) << 12 | (u[1] & 0x3FU) << 6 | (u[2] & 0x3FU);
	return (c >= 0x3040 && c <= 0x9FFF) || (c >= 0xAC00 && c <= 0xD7A3);
}

/* A Cyrillic letter: the two bytes of the small one in LOWER, U+0451 without its dots. */
static bool is_cyrillic(const unsigned char *u, char lower[2])
{
	if ((u[0] != 0xD0 && u[0] != 0xD1) || (u[1] & 0xC0) != 0x80)
		return false;
	unsigned c = (u[0] & 0x1FU) << 6 | (u[1] & 0x3FU);
	if (c < 0x430)
		c += c < 0x410 ? 0x50 : 0x20;
	if (c == 0x451)
		c = 0x435;
	lower[0] = (char)(0xC0 | c >> 6);
	lower[1] = (char)(0x80 | (c & 0x3F));
	return true;
}

/* How many bytes of P are its next character, and that without its accent in *RET: QUOTE for an
 * apostrophe, ' ' for what is no letter, 0: the bytes as they are. */
static size_t decode(const char *p, char *ret)
{
	const unsigned char *u = (const unsigned char *)p;

	*ret = 0;
	if (u[0] < 0x80) {
		*ret = isalnum(u[0]) ? (char)tolower(u[0]) : u[0] == '\'' ? QUOTE : ' ';
		return 1;
	}
	if (u[0] == 0xC2 && u[1]) { /* signs, and a space that does not break */
		*ret = ' ';
		return 2;
	}
	if (u[0] >= 0xC3 && u[0] <= 0xC5 && u[1] >= 0x80) {
		*ret = folded[(u[0] - 0xC3) * 64 + (u[1] & 0x3F)];
		return 2;
	}
	if (u[0] == 0xE2 && u[1] == 0x80) {
		*ret = u[2] == 0x99 ? QUOTE : ' ';
		return u[2] ? 3 : 2;
	}
	/* U+3000 and U+FF00 on: the marks between ideographs, and wide letters. */
	if (((u[0] == 0xE3 && u[1] == 0x80) || (u[0] == 0xEF && (u[1] == 0xBC || u[1] == 0xBD))) &&
		u[2]) {
		*ret = ' ';
		return 3;
	}
	return 1;
}

/* An apostrophe within a word: "doesn't" and "user's", but not "l'utilisateur". */
static bool is_joined(const char *after)
{
	size_t n = 0;

	while (isalpha((unsigned char)after[n]))
		n++;
	return n == 1 || n == 2;
}

/* "SendAsDenied", "SMTPAuth": does a word begin at P, inside of one? */
static bool is_hump(const char *start, const char *p)
{
	if (p == start || !isupper((unsigned char)*p))
		return false;
	return islower((unsigned char)p[-1]) ||
	       (isupper((unsigned char)p[-1]) && islower((unsigned char)p[1]) &&
		       islower((unsigned char)p[2]));
}

/* ---- one chunk: what stands between white space and brackets --------------------------------- */

enum chunk { CHUNK_PLAIN, CHUNK_ADDRESS, CHUNK_URL, CHUNK_HOST, CHUNK_NUMBER, CHUNK_IP };

/* "mx1.example.com": a dot within, and no capital behind it, which would start a sentence. */
static bool is_inner_dot(const char *p, size_t i, size_t n)
{
	return p[i] == '.' && i && i + 1 < n && isalnum((unsigned char)p[i - 1]) &&
	       isalnum((unsigned char)p[i + 1]) && !isupper((unsigned char)p[i + 1]);
}

static enum chunk chunk_of(const char *p, size_t n)
{
	bool has_at = false, has_other = false;
	size_t dots = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == ':' && n - i > 2 && p[i + 1] == '/' && p[i + 2] == '/')
			return CHUNK_URL;
		has_at |= p[i] == '@';
		dots += is_inner_dot(p, i, n);
		has_other |= p[i] != '.' && !isdigit((unsigned char)p[i]);
	}
	if (has_at && n > 1)
		return CHUNK_ADDRESS;
	if (!dots || has_other)
		return dots ? CHUNK_HOST : CHUNK_PLAIN;
	return dots == 3 ? CHUNK_IP : CHUNK_NUMBER;
}

static void letters(struct reader *r, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		letter(r, p[i]);
}

/* A character of another script at P, if it is one: how many bytes it has. */
static size_t read_foreign(struct reader *r, const char *p)
{
	char lower[2];

	if (is_cyrillic((const unsigned char *)p, lower)) {
		letters(r, lower, 2);
		return 2;
	}
	if (!is_ideograph((const unsigned char *)p))
		return 0;
	end_word(r);
	letters(r, p, 3);
	end_word(r);
	return 3;
}

static void read_plain(struct reader *r, const char *p, size_t n)
{
	const char *start = p, *end = p + n;

	while (p < end) {
		char c;
		size_t len = read_foreign(r, p);

		if (len) {
			p += len;
			continue;
		}
		len = decode(p, &c);

		if (c == QUOTE) {
			if (!r->is_in_word || !is_joined(p + len))
				end_word(r);
		} else if (*p == ';' || *p == '!' || *p == '?') {
			end_sentence(r);
		} else if (c == ' ') {
			end_word(r);
		} else {
			if (is_hump(start, p))
				end_word(r);
			if (c)
				letter(r, c);
			else
				letters(r, p, len);
		}
		p += len;
	}
}

static void read_name(struct reader *r, const char *p, size_t n)
{
	r->is_name = true;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (isalnum(c) || c >= 0x80)
			letter(r, (char)tolower(c));
		else
			end_word(r);
	}
	r->is_name = false;
}

static bool ends_sentence(char c)
{
	return c == '.' || c == '!' || c == '?';
}

static void read_chunk(struct reader *r, const char *p, size_t n)
{
	size_t body = n;

	/* What ends a sentence may stand behind an address or a name. */
	while (body && (ends_sentence(p[body - 1]) || p[body - 1] == ':' || p[body - 1] == QUOTE))
		body--;
	enum chunk chunk = chunk_of(p, body);
	if (chunk == CHUNK_URL)
		end_sentence(r);
	switch (chunk) {
	case CHUNK_PLAIN:
		read_plain(r, p, body);
		break;
	case CHUNK_ADDRESS:
		letter(r, '@');
		break;
	case CHUNK_URL:
	case CHUNK_HOST:
		read_name(r, p, body);
		break;
	case CHUNK_NUMBER:
		letters(r, p, body);
		break;
	case CHUNK_IP:
		letter(r, '#');
		break;
	}
	end_word(r);
	if (chunk == CHUNK_URL || ends_sentence(p[n - 1]))
		end_sentence(r);
}

static bool is_apart(char c)
{
	static const bool apart[256] = { [' '] = true,
		['\t'] = true,
		['\r'] = true,
		['\n'] = true,
		['<'] = true,
		['>'] = true,
		['('] = true,
		[')'] = true,
		['['] = true,
		[']'] = true,
		['{'] = true,
		['}'] = true,
		['"'] = true,
		[','] = true,
		[';'] = true,
		['|'] = true,
		['*'] = true,
		['='] = true };

	return apart[(unsigned char)c];
}

void mail_words_read(const char *text, struct mail_words *ret)
{
	struct reader r = { .out = ret };

	ret->n = 0;
	for (const char *p = text; *p;) {
		size_t n = 0;

		while (p[n] && !is_apart(p[n]))
			n++;
		if (n)
			read_chunk(&r, p, n);
		else if (*p == ';')
			end_sentence(&r);
		p += n ? n : 1;
	}
	ret->text[r.len] = '\0';
}
