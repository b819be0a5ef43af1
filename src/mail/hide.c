/*
 * Secrets of ours in a stranger's words: a server that repeats a login, whole or decoded, would put it
 * into the log, into answers and into the store. What shows a secret, in any form in which we send it,
 * becomes ***. Pure.
 * Runs on: loop. Called by smtp.c and oauth.c for each text that comes in.
 * Never: finds what a server has made another text of. A secret of less than HIDE_MIN bytes is left
 * where it stands bare, for it stands in any sentence, and a sentence with a hole tells what it is; of
 * its encoded forms nothing is left.
 */
#include "hide_private.h"

#include <ctype.h>
#include <glib.h>
#include <string.h>

#include "coldmail/http.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#define HIDE_MIN 4
/* A shorter one is hidden as a word only: "mail" as a password is no reason to touch "mailbox". */
#define HIDE_INSIDE 8
#define FORMS_MAX   32

struct form {
	char *text; /* owned; wiped */
	size_t n;
	bool is_base64; /* all of the base64 around it is hidden, too */
	bool is_word; /* only where no letter or digit is beside it */
};

struct mail_hide {
	struct form forms[FORMS_MAX];
	size_t n;
	bool is_first[256]; /* a form begins with this byte */
};

/* ---- forms ------------------------------------------------------------------------------------- */

/* TEXT becomes H's, or is gone. */
static void add(struct mail_hide *h, char *text, size_t min, bool is_base64)
{
	const size_t n = strlen(text);

	if (n < min || h->n == FORMS_MAX) {
		mem_free_secret(text);
		return;
	}
	h->forms[h->n++] = (struct form){ text, n, is_base64, !is_base64 && n < HIDE_INSIDE };
	h->is_first[(unsigned char)*text] = true;
	if (is_base64 && *text == '+')
		h->is_first['-'] = true;
	if (is_base64 && *text == '/')
		h->is_first['_'] = true;
}

static char *base64(const void *p, size_t n)
{
	gchar *coded = g_base64_encode(p, n);
	char *ret = xstrdup(coded);

	mem_wipe(coded, strlen(coded));
	g_free(coded);
	ret[strcspn(ret, "=")] = '\0'; /* not everybody fills up */
	return ret;
}

/* What is in the base64 of any text that has SECRET in it, with SHIFT bytes (or 3 more, …) before it: the
 * characters that nothing but SECRET decides. */
static void add_inside(struct mail_hide *h, const char *secret, size_t shift)
{
	const size_t n = strlen(secret), skip = (shift * 8 + 5) / 6, end = (shift + n) * 8 / 6;
	char *whole = xcalloc(1, shift + n + 1);

	memcpy(whole + shift, secret, n);
	char *coded = base64(whole, shift + n);

	if (end > skip)
		add(h, xstrndup(coded + skip, end - skip), HIDE_INSIDE, true);
	mem_wipe(whole, shift + n);
	free(whole);
	mem_free_secret(coded);
}

/* RFC 4616: NUL user NUL password. */
static void add_plain(struct mail_hide *h, const char *user, const char *password)
{
	struct str text = STR_INIT;

	str_reserve(&text, strlen(user) + strlen(password) + 3);
	str_addc(&text, '\0');
	str_adds(&text, user);
	str_addc(&text, '\0');
	str_adds(&text, password);
	add(h, base64(text.p, text.len), 1, true);
	mem_wipe(text.p, text.len);
	str_done(&text);
}

static void add_secret(struct mail_hide *h, const char *user, const char *secret)
{
	if (str_is_empty(secret))
		return;
	add(h, xstrdup(secret), HIDE_MIN, false);
	/* What changes nothing is twice the same, and no harm. */
	add(h, http_form_value(secret), HIDE_MIN, false);
	add(h, str_printable(secret, strlen(secret), 4 * strlen(secret)), HIDE_MIN, false);
	for (size_t shift = 0; shift < 3; shift++)
		add_inside(h, secret, shift);
	if (strlen(secret) >= HIDE_INSIDE)
		return; /* the forms inside are in these, too */
	add(h, base64(secret, strlen(secret)), 1, true);
	if (user)
		add_plain(h, user, secret);
}

struct mail_hide *mail_hide_new(const char *user, const char *const *secrets, size_t n)
{
	struct mail_hide *h = NULL;

	for (size_t i = 0; i < n; i++) {
		if (str_is_empty(secrets[i]))
			continue;
		if (!h)
			h = xcalloc(1, sizeof *h);
		add_secret(h, user, secrets[i]);
	}
	return h;
}

void mail_hide_free(struct mail_hide *h)
{
	for (size_t i = 0; h && i < h->n; i++)
		mem_free_secret(h->forms[i].text);
	free(h);
}

/* ---- hiding ------------------------------------------------------------------------------------ */

/* RFC 4648 4 and 5: the same, for who compares. */
static char folded(char c)
{
	return c == '-' ? '+' : c == '_' ? '/' : c;
}

static bool is_base64(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("+/-_=", c));
}

static size_t common(const struct form *f, const char *p)
{
	size_t n = 0;

	while (n < f->n && p[n] &&
		(p[n] == f->text[n] || (f->is_base64 && folded(p[n]) == folded(f->text[n]))))
		n++;
	return n;
}

/* F begins at P, in a text that begins at START; RET_END is where it is over. In a text that was CUT
 * its beginning is enough. */
static bool begins(
	const struct form *f, const char *start, const char *p, bool cut, const char **ret_end)
{
	const size_t n = common(f, p);
	const bool is_rest = cut && n >= HIDE_MIN && !p[n + strspn(p + n, ".")];

	if (n < f->n && !is_rest)
		return false;
	if (f->is_word &&
		((p > start && isalnum((unsigned char)p[-1])) || isalnum((unsigned char)p[n])))
		return false;
	/* "no" in base64 is a word of four letters. */
	if (f->is_base64 && f->n < HIDE_INSIDE &&
		((p > start && is_base64(p[-1])) || (is_base64(p[n]) && p[n] != '=')))
		return false;
	*ret_end = p + n;
	return true;
}

/* Where the first secret of a text is; NULL: nowhere. */
static const char *find(
	const struct mail_hide *h, const char *start, bool cut, const char **ret_end)
{
	for (const char *p = start; *p; p++) {
		const char *from = p, *to = NULL, *end;

		for (size_t i = 0; h->is_first[(unsigned char)*p] && i < h->n; i++) {
			if (!begins(&h->forms[i], start, p, cut, &end))
				continue;
			while (h->forms[i].is_base64 && is_base64(*end))
				end++;
			while (h->forms[i].is_base64 && from > start && is_base64(from[-1]))
				from--;
			if (!to || end > to)
				to = end;
		}
		if (!to)
			continue;
		*ret_end = to;
		return from;
	}
	return NULL;
}

char *mail_hide(const struct mail_hide *h, const char *text, bool cut)
{
	struct str out = STR_INIT;
	const char *at, *end;

	while (h && (at = find(h, text, cut, &end))) {
		str_add(&out, text, (size_t)(at - text));
		str_adds(&out, "***");
		text = end;
	}
	str_adds(&out, text);
	return str_take(&out);
}

void mail_hide_in(const struct mail_hide *h, char *text, size_t size)
{
	const bool cut = strlen(text) + 8 >= size;
	const char *end;

	if (!h || !find(h, text, cut, &end))
		return;
	char *clean = mail_hide(h, text, cut);
	const size_t n = str_utf8_cut(clean, strlen(clean), size - 1);

	memcpy(text, clean, n);
	text[n] = '\0';
	free(clean);
}
