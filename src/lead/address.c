/*
 * The canonical address: one form for one person, made at every boundary, so that Bob@X.com in a
 * file and bob@x.com in an answer are the same key everywhere.
 * Runs on: any. Called by import, configuration checks, suppression and whatever reads addresses
 * from outside. Input may be any bytes. Never looks anything up, never guesses a correction.
 */
#include "coldmail/lead.h"

#include <idn2.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/err.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#include "lead_private.h"

#define RAW_MAX    1000 /* with its wrapper; longer is no address, and not worth a copy */
#define LOCAL_MAX  64 /* RFC 5321 4.5.3.1.1 */
#define DOMAIN_MAX 253 /* RFC 1035 2.3.4, as text */
#define LABEL_MAX  63

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* RFC 5322 3.2.3 */
static bool is_atext(char c)
{
	return is_alnum(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool has_control(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7F)
			return true;
	return false;
}

static bool is_ascii(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s >= 0x80)
			return false;
	return true;
}

/* The first of CHARS outside of double quotes; NULL when there is none. */
static char *find_unquoted(char *s, const char *chars)
{
	bool in_quotes = false;

	for (; *s; s++) {
		if (in_quotes && *s == '\\' && s[1])
			s++;
		else if (*s == '"')
			in_quotes = !in_quotes;
		else if (!in_quotes && strchr(chars, *s))
			return s;
	}
	return NULL;
}

/* Takes "Name <…>" and "mailto:…?…" off *S. */
static const char *unwrap(char **s)
{
	char *open = find_unquoted(*s, "<");

	if (open) {
		char *end = *s + strlen(*s) - 1;

		if (*end != '>')
			return "a < without its > at the end";
		*end = '\0';
		if (find_unquoted(open + 1, "<>"))
			return "more than one address";
		*s = str_trim(open + 1);
	}
	if (str_istarts(*s, "mailto:")) {
		*s += strlen("mailto:");
		(*s)[strcspn(*s, "?")] = '\0';
		*s = str_trim(*s);
	}
	return NULL;
}

static bool is_dot_atom(const char *s)
{
	bool was_dot = true;

	for (; *s; s++) {
		bool is_dot = *s == '.';

		if (is_dot ? was_dot : !is_atext(*s))
			return false;
		was_dot = is_dot;
	}
	return !was_dot;
}

static const char *why_no_dot_atom(const char *local)
{
	for (const char *c = local; *c; c++) {
		if ((unsigned char)*c >= 0x80)
			return "letters outside of ASCII before the @ (needs SMTPUTF8, which is "
			       "not "
			       "supported)";
		if (*c == '@' || *c == ',' || *c == ';')
			return "more than one address, or more than one @";
		if (*c == ' ')
			return "white space inside the address";
		if (*c != '.' && !is_atext(*c))
			return "a character that is not allowed before the @";
	}
	return *local ? "a dot at the start or end of the part before the @, or two in a row"
		      : "nothing before the @";
}

/* Takes the quotes and backslashes off a quoted local part, in place (RFC 5321 4.1.2). */
static const char *unquote(char *local)
{
	const char *from = local + 1;
	char *to = local;

	for (; *from && *from != '"'; from++) {
		if (*from == '\\' && from[1])
			from++;
		if ((unsigned char)*from >= 0x80)
			return why_no_dot_atom(from);
		*to++ = *from;
	}
	if (*from != '"' || from[1])
		return "a quoted part before the @ that does not end with its quote";
	*to = '\0';
	return to == local ? "nothing before the @" : NULL;
}

static void add_quoted(struct str *out, const char *local)
{
	str_addc(out, '"');
	for (; *local; local++) {
		if (*local == '"' || *local == '\\')
			str_addc(out, '\\');
		str_addc(out, *local);
	}
	str_addc(out, '"');
}

static const char *add_local(struct str *out, char *local)
{
	bool is_quoted = local[0] == '"';
	const char *why = is_quoted ? unquote(local) : NULL;

	if (why)
		return why;
	str_lower(local);
	if (is_dot_atom(local))
		str_adds(out, local);
	else if (is_quoted)
		add_quoted(out, local);
	else
		return why_no_dot_atom(local);
	return out->len > LOCAL_MAX ? "more than 64 characters before the @" : NULL;
}

/* A domain in lower-case ASCII, label by label (RFC 1123 2.1): no underscores, no addresses. */
static const char *check_domain(const char *domain)
{
	size_t n_labels = 0;
	bool is_number = false;

	if (strlen(domain) > DOMAIN_MAX)
		return "a domain of more than 253 characters";
	for (const char *label = domain;; label += 1) {
		size_t n = strcspn(label, ".");

		if (n == 0)
			return "a domain with an empty part";
		if (n > LABEL_MAX)
			return "a part of more than 63 characters in the domain";
		if (label[0] == '-' || label[n - 1] == '-')
			return "a part of the domain that starts or ends with a hyphen";
		is_number = true;
		for (size_t i = 0; i < n; i++) {
			if (!is_alnum(label[i]) && label[i] != '-')
				return "a character that is not allowed in a domain";
			is_number = is_number && label[i] >= '0' && label[i] <= '9';
		}
		n_labels++;
		label += n;
		if (!*label)
			break;
	}
	if (is_number)
		return "an IP address where a domain is expected";
	return n_labels < 2 ? "a domain without a dot" : NULL;
}

/* Replaces *DOMAIN (owned) by its A-labels; what is one already is checked. */
static const char *to_a_labels(char **domain)
{
	uint8_t *idn = NULL;

	if (idn2_lookup_u8((const uint8_t *)*domain, &idn, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL))
		return "an international domain that is not valid (IDNA 2008)";
	free(*domain);
	*domain = xstrdup((const char *)idn);
	idn2_free(idn);
	return NULL;
}

const char *lead_domain_canonical(const char *domain, struct str *out)
{
	char *ascii = xstrdup(domain);
	const char *why = NULL;

	str_lower(ascii);
	if (ascii[0] == '[')
		why = "an IP address where a domain is expected";
	else if (!is_ascii(ascii) || strstr(ascii, "xn--"))
		why = to_a_labels(&ascii);
	if (!why) {
		size_t n = strlen(ascii);

		if (n && ascii[n - 1] == '.')
			ascii[--n] = '\0';
		why = n ? check_domain(ascii) : "no domain behind the @";
	}
	if (!why)
		str_adds(out, ascii);
	free(ascii);
	return why;
}

static const char *canonical(char *s, struct str *out)
{
	s = str_trim(s);
	if (!*s)
		return "no address";
	if (!str_is_utf8(s, strlen(s)))
		return "bytes that are not UTF-8 text";
	if (has_control(s))
		return "a control character in the address";
	const char *why = unwrap(&s);
	if (why)
		return why;
	char *at = strrchr(s, '@');
	if (!at)
		return "an address without @";
	*at = '\0';
	why = add_local(out, s);
	if (why)
		return why;
	str_addc(out, '@');
	why = lead_domain_canonical(at + 1, out);
	if (why)
		return why;
	return out->len > LEAD_ADDRESS_MAX ? "more than 254 characters" : NULL;
}

int lead_address_canonical(const char *raw, char **ret, const char **ret_why)
{
	struct str out = STR_INIT;
	const char *why = "far too long for an address";

	if (!raw || strnlen(raw, RAW_MAX + 1) <= RAW_MAX) {
		char *copy = xstrdup(raw ? raw : "");

		why = canonical(copy, &out);
		free(copy);
	}
	if (why) {
		str_done(&out);
		*ret_why = why;
		return CM_EINVAL;
	}
	*ret = str_take(&out);
	return 0;
}

const char *lead_address_domain(const char *canonical)
{
	const char *at = strrchr(canonical, '@');

	return at ? at + 1 : canonical + strlen(canonical);
}
