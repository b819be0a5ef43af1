/*
 * Reading a lead's fields: what counts as "not there", whatever a file or a database put in its
 * place, and when a first name is fit for a greeting.
 * Runs on: any. Called by content and import. Values may be any bytes of any length.
 * Never changes the record.
 */
#include "coldmail/lead.h"

#include <glib.h>
#include <string.h>
#include <strings.h>

#include "coldmail/str.h"

static const char white_space[] = " \t\r\n\v\f";

/* Is the span S[0..n) one of WORDS (in lower case, NULL-terminated), in any case? */
static bool is_one_of(const char *s, size_t n, const char *const *words)
{
	for (; *words; words++)
		if (strlen(*words) == n && !strncasecmp(s, *words, n))
			return true;
	return false;
}

bool lead_is_null_like(const char *value)
{
	static const char *const nothing[] = { "null", "none", "n/a", "na", "nan", "nil", "-",
		"undefined", NULL };

	if (!value)
		return true;
	value += strspn(value, white_space);
	size_t n = strcspn(value, white_space);
	if (value[n + strspn(value + n, white_space)])
		return false; /* more than one word */
	return n == 0 || is_one_of(value, n, nothing);
}

const char *lead_get(const struct lead *l, const char *name)
{
	const char *value = NULL;

	if (str_eq(name, "email"))
		value = l->email;
	for (size_t i = 0; i < l->n_vars && !value; i++)
		if (str_eq(l->vars[i].name, name))
			value = l->vars[i].value;
	return lead_is_null_like(value) ? NULL : value;
}

/* ---- first names ------------------------------------------------------------------------------ */

#define NAME_MAX_BYTES 64
#define NAME_MAX_WORDS 2
#define NAME_SHOUT     3 /* up to so many capitals are left alone: JP, AJ, ADA */

/* What stands in first-name columns and is none: fragments of sentences (a mail once began with
 * "Hi in,"), functions, titles, legal forms, and what people type to fill a form. */
static const char *const no_names[] = { "and", "at", "by", "for", "from", "in", "is", "my", "of",
	"on", "or", "our", "the", "to", "we", "with", "you", "your", "admin", "ceo", "contact",
	"cto", "customer", "founder", "hello", "help", "hi", "hr", "info", "mail", "manager",
	"marketing", "office", "owner", "sales", "service", "support", "team", "user", "webmaster",
	"dr", "frau", "herr", "miss", "mr", "mrs", "ms", "prof", "sir", "ag", "corp", "gmbh", "inc",
	"llc", "ltd", "firstname", "first", "lastname", "name", "test", "there", "unknown", "xxx",
	NULL };

/* The character at *P, which moves behind it. The text is valid UTF-8. */
static gunichar next_char(const char **p)
{
	gunichar c = g_utf8_get_char(*p);

	*p += g_utf8_skip[(guchar) * *p];
	return c;
}

static bool is_letter(gunichar c)
{
	return g_unichar_isalpha(c) || g_unichar_ismark(c);
}

/* Joins the parts of one name: Mary-Jane, D'Arcy, Zoe's typographic apostrophe. */
static bool is_joint(gunichar c)
{
	return c == '-' || c == '\'' || c == 0x2019;
}

/* A word of letters and, between them, joints; no fragment, function or title. */
static bool is_name_word(const char *word, size_t n)
{
	bool was_letter = false;
	size_t n_letters = 0;

	for (const char *p = word; p < word + n;) {
		gunichar c = next_char(&p);

		if (!is_letter(c) && !(is_joint(c) && was_letter))
			return false;
		was_letter = is_letter(c);
		n_letters += was_letter;
	}
	/* One Latin letter is an initial; one Han character is a name. */
	return was_letter && n > 1 && n_letters && !is_one_of(word, n, no_names);
}

/* Like lead_first_name(), before its case: the words of RAW with one space between them. */
static const char *name_words(struct mem_arena *a, const char *raw)
{
	char *name = mem_arena_get(a, strlen(raw) + 2);
	size_t n = 0, n_words = 0;

	for (const char *p = raw + strspn(raw, white_space); *p;) {
		size_t len = strcspn(p, white_space);

		if (++n_words > NAME_MAX_WORDS || !is_name_word(p, len))
			return NULL;
		if (n)
			name[n++] = ' ';
		memcpy(name + n, p, len);
		n += len;
		p += len + strspn(p + len, white_space);
	}
	return n ? name : NULL;
}

/* The next letter or digit, in lower case; 0 at the end. */
static gunichar next_alnum(const char **p)
{
	while (**p) {
		gunichar c = next_char(p);

		if (g_unichar_isalnum(c))
			return g_unichar_tolower(c);
	}
	return 0;
}

/* Are A and B the same letters, whatever case and punctuation they stand in? */
static bool is_same_letters(const char *a, const char *b)
{
	gunichar c;

	do {
		c = next_alnum(&a);
		if (c != next_alnum(&b))
			return false;
	} while (c);
	return true;
}

/* Only capitals (more than initials have) or none at all: somebody's keyboard, not their name. */
static bool has_wrong_case(const char *name)
{
	size_t n_upper = 0, n_lower = 0;

	while (*name) {
		gunichar c = next_char(&name);

		n_upper += g_unichar_isupper(c);
		n_lower += g_unichar_islower(c);
	}
	return (n_upper > NAME_SHOUT && !n_lower) || (n_lower && !n_upper);
}

/* Ada, Mary-Jane, D'Arcy: a capital at each start, and behind the apostrophe of a single letter. */
static const char *recased(struct mem_arena *a, const char *name)
{
	struct str out = STR_INIT;
	size_t n_letters = 0; /* since the last start */

	while (*name) {
		gunichar c = next_char(&name);
		bool is_start = n_letters == 0;
		char utf8[6];

		if (is_letter(c))
			n_letters++;
		else if (c == ' ' || c == '-' || n_letters == 1)
			n_letters = 0;
		c = is_start ? g_unichar_totitle(c) : g_unichar_tolower(c);
		str_add(&out, utf8, (size_t)g_unichar_to_utf8(c, utf8));
	}
	const char *ret = mem_arena_dup(a, str_z(&out));
	str_done(&out);
	return ret;
}

const char *lead_first_name(struct mem_arena *a, const struct lead *l)
{
	const char *raw = lead_get(l, "first_name"), *company = lead_get(l, "company");

	if (!raw || strnlen(raw, NAME_MAX_BYTES + 1) > NAME_MAX_BYTES ||
		!str_is_utf8(raw, strlen(raw)))
		return NULL;
	const char *name = name_words(a, raw);
	if (!name)
		return NULL;
	if (company && str_is_utf8(company, strlen(company)) && is_same_letters(name, company))
		return NULL;
	return has_wrong_case(name) ? recased(a, name) : name;
}
