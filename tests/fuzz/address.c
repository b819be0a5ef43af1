/* Fuzz: any bytes are a canonical address or refused; what a pattern covers is what is looked up. */
#include "coldmail/lead.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

typedef int canonical_fn(const char *raw, char **ret, const char **ret_why);

/* The canonical form of RAW, or NULL; the caller owns it. */
static char *canonical(canonical_fn *fn, const char *raw)
{
	char *once = NULL, *twice = NULL;
	const char *why = NULL;

	if (fn(raw, &once, &why)) {
		bug_if(once || !why, "refused without a reason");
		return NULL;
	}
	bug_if(fn(once, &twice, &why), "%s is refused: %s", once, why);
	bug_if(!str_eq(once, twice), "%s becomes %s", once, twice);
	for (const char *c = once; *c; c++)
		bug_if(*c < 0x20 || *c > 0x7E, "a byte that is not printable ASCII");
	free(twice);
	return once;
}

static bool is_looked_up(const char *pattern, const char *address, const char *person)
{
	struct mem_arena a = { 0 };
	const char *v[LEAD_PATTERNS_MAX];
	size_t n = lead_patterns_of(&a, address, person, v, LEAD_PATTERNS_MAX);
	bool is_found = false;

	for (size_t i = 0; i < n; i++)
		is_found = is_found || str_eq(v[i], pattern);
	mem_arena_done(&a);
	return is_found;
}

/* The first line is an address, the rest a pattern. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint8_t secret[32] = { 1 };
	char *raw = xstrndup((const char *)data, n);
	char *rest = strchr(raw, '\n');
	char *pattern = canonical(lead_pattern_canonical, rest ? rest + 1 : raw);
	char person[LEAD_PERSON];

	if (rest)
		*rest = '\0';
	char *address = canonical(lead_address_canonical, raw);
	if (address && pattern) {
		lead_person(secret, address, person);
		bug_if(lead_pattern_covers(pattern, address, person) !=
				is_looked_up(pattern, address, person),
			"%s covers %s in one way only", pattern, address);
	}
	free(address);
	free(pattern);
	free(raw);
	return 0;
}
