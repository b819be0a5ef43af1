/*
 * Suppression patterns, and the two keys made of an address: the person (a keyed hash that outlives
 * the address itself) and the ledger key.
 * Runs on: any. Called by suppression at import, at the gate and by coldmailctl. Stored patterns may
 * be any text. Never decides what a match means.
 */
#include "coldmail/lead.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/err.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#include "lead_private.h"

static const char *add_person(const char *hex, struct str *out)
{
	if (strlen(hex) != LEAD_PERSON - 1 || strspn(hex, "0123456789abcdefABCDEF") != strlen(hex))
		return "person: is followed by 32 hex digits";
	str_addf(out, LEAD_PERSON_PREFIX "%s", hex);
	str_lower(out->p);
	return NULL;
}

static const char *add_address(const char *raw, struct str *out)
{
	char *address = NULL;
	const char *why = NULL;

	if (lead_address_canonical(raw, &address, &why))
		return why;
	str_adds(out, address);
	free(address);
	return NULL;
}

static const char *add_domain(const char *raw, struct str *out)
{
	if (!str_is_utf8(raw, strlen(raw)))
		return "bytes that are not UTF-8 text";
	if (str_starts(raw, "*.") || str_starts(raw, "."))
		return "write the domain alone: it covers its subdomains";
	return lead_domain_canonical(raw, out);
}

static const char *pattern(const char *raw, struct str *out)
{
	if (!*raw)
		return "an empty pattern: expected an address, a domain or *@domain";
	if (str_istarts(raw, LEAD_PERSON_PREFIX))
		return add_person(raw + strlen(LEAD_PERSON_PREFIX), out);
	if (str_starts(raw, "*@")) {
		str_adds(out, "*@");
		return add_domain(raw + 2, out);
	}
	if (*raw == '@') /* an address that lost its beginning, or everybody there */
		return "nothing before the @; write *@domain for everybody there";
	return strchr(raw, '@') ? add_address(raw, out) : add_domain(raw, out);
}

int lead_pattern_canonical(const char *raw, char **ret, const char **ret_why)
{
	struct str out = STR_INIT;
	char *copy = xstrdup(raw ? raw : "");
	const char *why = pattern(str_trim(copy), &out);

	free(copy);
	if (why) {
		str_done(&out);
		*ret_why = why;
		return CM_EINVAL;
	}
	*ret = str_take(&out);
	return 0;
}

static bool is_domain_or_under(const char *domain, const char *top)
{
	size_t n = strlen(domain), n_top = strlen(top);

	return n_top && n >= n_top && !strcmp(domain + n - n_top, top) &&
	       (n == n_top || domain[n - n_top - 1] == '.');
}

bool lead_pattern_covers(const char *pattern, const char *address, const char *person)
{
	if (str_starts(pattern, LEAD_PERSON_PREFIX))
		return str_eq(pattern + strlen(LEAD_PERSON_PREFIX), person);
	if (str_starts(pattern, "*@"))
		return str_eq(pattern + 2, lead_address_domain(address));
	if (strchr(pattern, '@'))
		return str_eq(pattern, address);
	return is_domain_or_under(lead_address_domain(address), pattern);
}

size_t lead_patterns_of(
	struct mem_arena *a, const char *of, const char *person, const char **ret, size_t max)
{
	const char *domain = strchr(of, '@') ? lead_address_domain(of) : of;
	size_t n = 0;

	bug_if(max < LEAD_PATTERNS_MAX, "room for %zu patterns, an opt-out could be missed", max);
	if (person) {
		ret[n++] = mem_arena_dup(a, of);
		ret[n++] = mem_arena_printf(a, LEAD_PERSON_PREFIX "%s", person);
	} else if (str_starts(of, LEAD_PERSON_PREFIX)) {
		ret[n++] = mem_arena_dup(a, of);
		return n;
	}
	ret[n++] = mem_arena_printf(a, "*@%s", domain);
	for (; strchr(domain, '.') && n < max; domain = strchr(domain, '.') + 1)
		ret[n++] = mem_arena_dup(a, domain);
	return n;
}

void lead_person(const uint8_t secret[32], const char *canonical, char ret[LEAD_PERSON])
{
	char *hex = g_compute_hmac_for_string(G_CHECKSUM_SHA256, secret, 32, canonical, -1);

	memcpy(ret, hex, LEAD_PERSON - 1);
	ret[LEAD_PERSON - 1] = '\0';
	g_free(hex);
}

char *lead_key(const char *campaign, const char *person, const char *step)
{
	return xasprintf("%s/%s/%s", campaign, person, step);
}
