/*
 * Strings: the growable buffer and small checks (coldmail/str.h).
 * Runs on: any. Called by every room. Never looks at the locale.
 */
#include "coldmail/str.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "coldmail/err.h"
#include "coldmail/mem.h"

void str_done(struct str *s)
{
	free(s->p);
	*s = STR_INIT;
}

void str_reset(struct str *s)
{
	s->len = 0;
	if (s->p)
		s->p[0] = '\0';
}

char *str_take(struct str *s)
{
	char *p = s->p ? s->p : xstrdup("");

	*s = STR_INIT;
	return p;
}

void str_reserve(struct str *s, size_t n)
{
	mem_grow(s->p, s->cap, s->len + n + 1);
	s->p[s->len] = '\0';
}

void str_add(struct str *s, const void *p, size_t n)
{
	str_reserve(s, n);
	if (n)
		memcpy(s->p + s->len, p, n);
	s->len += n;
	s->p[s->len] = '\0';
}

void str_adds(struct str *s, const char *z)
{
	if (z)
		str_add(s, z, strlen(z));
}

void str_addc(struct str *s, char c)
{
	str_add(s, &c, 1);
}

void str_vaddf(struct str *s, const char *fmt, va_list ap)
{
	va_list again;

	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	bug_if(n < 0, "bad format");
	str_reserve(s, (size_t)n);
	vsnprintf(s->p + s->len, (size_t)n + 1, fmt, again);
	s->len += (size_t)n;
	va_end(again);
}

void str_addf(struct str *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(s, fmt, ap);
	va_end(ap);
}

void str_drop(struct str *s, size_t n)
{
	bug_if(n > s->len, "dropping %zu of %zu bytes", n, s->len);
	if (!n)
		return;
	memmove(s->p, s->p + n, s->len - n + 1);
	s->len -= n;
}

const char *str_z(const struct str *s)
{
	return s->p ? s->p : "";
}

bool str_eq(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool str_ieq(const char *a, const char *b)
{
	return a && b ? strcasecmp(a, b) == 0 : a == b;
}

bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_istarts(const char *s, const char *prefix)
{
	return strncasecmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool str_is_empty(const char *s)
{
	return !s || !*s;
}

bool str_blot(char *s, const char *word)
{
	size_t n = strlen(word);
	bool found = false;

	for (s = s && n ? strcasestr(s, word) : NULL; s; s = strcasestr(s + n, word)) {
		memset(s, '*', n);
		found = true;
	}
	return found;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

char *str_trim(char *s)
{
	while (is_space(*s))
		s++;
	size_t n = strlen(s);
	while (n && is_space(s[n - 1]))
		n--;
	s[n] = '\0';
	return s;
}

void str_lower(char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
}

bool str_to_i64(const char *s, int64_t *ret)
{
	char *end;

	if (str_is_empty(s) || is_space(*s))
		return false;
	errno = 0;
	intmax_t v = strtoimax(s, &end, 10);
	if (errno || *end)
		return false;
	*ret = v;
	return true;
}

bool str_to_double(const char *s, double *ret)
{
	char *end;

	if (str_is_empty(s) || is_space(*s))
		return false;
	errno = 0;
	double v = strtod(s, &end);
	if (errno || *end || !isfinite(v))
		return false;
	*ret = v;
	return true;
}

/* Length of the valid UTF-8 sequence at P (N bytes left), 0 when there is none. */
static size_t utf8_len(const unsigned char *p, size_t n)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c = p[0];
	size_t len;

	if (c < 0x80)
		return 1;
	if (c >= 0xC2 && c < 0xE0)
		len = 2, c &= 0x1F;
	else if (c >= 0xE0 && c < 0xF0)
		len = 3, c &= 0x0F;
	else if (c >= 0xF0 && c < 0xF5)
		len = 4, c &= 0x07;
	else
		return 0;
	if (len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3F);
	}
	return c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) ? 0 : len;
}

/* How much of P is ASCII, in steps of eight bytes. */
static size_t ascii_len(const unsigned char *p, size_t n)
{
	uint64_t eight;
	size_t i = 0;

	for (; i + sizeof eight <= n; i += sizeof eight) {
		memcpy(&eight, p + i, sizeof eight);
		if (eight & 0x8080808080808080)
			break;
	}
	return i;
}

bool str_is_utf8(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;

	for (size_t i = ascii_len(p, n); i < n;) {
		size_t len = utf8_len(p + i, n - i);

		if (!len)
			return false;
		i += len;
		i += ascii_len(p + i, n - i);
	}
	return true;
}

size_t str_utf8_cut(const char *s, size_t n, size_t max)
{
	if (n <= max)
		return n;
	while (max && ((unsigned char)s[max] & 0xC0) == 0x80)
		max--;
	return max;
}

char *str_printable(const char *s, size_t n, size_t max)
{
	const unsigned char *p = (const unsigned char *)s;
	struct str out = STR_INIT;

	str_reserve(&out, n < max ? n : max);
	for (size_t i = 0; i < n;) {
		size_t len = utf8_len(p + i, n - i);

		if (out.len >= max) {
			str_adds(&out, "...");
			break;
		}
		if (len > 1 || (p[i] >= 0x20 && p[i] < 0x7F)) {
			str_add(&out, p + i, len);
		} else if (p[i] == '\n' || p[i] == '\r' || p[i] == '\t') {
			str_addf(&out, "\\%c", p[i] == '\n' ? 'n' : p[i] == '\r' ? 'r' : 't');
		} else {
			str_addf(&out, "\\x%02x", p[i]);
		}
		i += len ? len : 1;
	}
	return str_take(&out);
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Letters to change, add or drop between A and B. */
static size_t distance(const char *a, const char *b)
{
	enum { LONG = 64 }; /* longer words resemble nothing */
	const size_t n = strlen(b);
	size_t row[LONG + 1];

	if (strlen(a) > LONG || n > LONG)
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (; *a; a++) {
		size_t diagonal = row[0]++;

		for (size_t j = 1; j <= n; j++) {
			const size_t change = diagonal + (*a != b[j - 1]);

			diagonal = row[j];
			row[j] = least(change, least(row[j], row[j - 1]) + 1);
		}
	}
	return row[n];
}

const char *str_closest(const char *text, const char *const *words, size_t n)
{
	const char *best = NULL;
	size_t nearest = SIZE_MAX;

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(text, words[i]);

		if (d < nearest && d <= least((strlen(words[i]) + 1) / 3, 2)) {
			nearest = d;
			best = words[i];
		}
	}
	return best;
}

void str_hex(const void *p, size_t n, char *ret)
{
	static const char digit[] = "0123456789abcdef";
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++) {
		ret[2 * i] = digit[b[i] >> 4];
		ret[2 * i + 1] = digit[b[i] & 15];
	}
	ret[2 * n] = '\0';
}

const char *str_plural(int64_t n)
{
	return n == 1 ? "" : "s";
}

static void two_units(
	char *ret, size_t size, int64_t big, const char *big_unit, int64_t small, const char *unit)
{
	int n = snprintf(ret, size, "%" PRId64 "%s", big, big_unit);

	if (small && n > 0 && (size_t)n < size)
		snprintf(ret + n, size - (size_t)n, " %" PRId64 "%s", small, unit);
}

char *str_duration(int64_t ms, char *ret)
{
	int64_t s = ms / 1000, m = s / 60, h = m / 60, d = h / 24;
	const size_t size = 32;

	if (ms < 0 || ms == INT64_MAX)
		snprintf(ret, size, "%s", ms < 0 ? "now" : "never");
	else if (ms < 1000)
		snprintf(ret, size, "%" PRId64 "ms", ms);
	else if (s < 60)
		snprintf(ret, size, "%" PRId64 "s", s);
	else if (m < 60)
		two_units(ret, size, m, "min", s % 60, "s");
	else if (h < 24)
		two_units(ret, size, h, "h", m % 60, "min");
	else
		two_units(ret, size, d, "d", h % 24, "h");
	return ret;
}
