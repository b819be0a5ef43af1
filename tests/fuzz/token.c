/* Fuzz: any text is no token, or the one token of the person that it names. */
#include "coldmail/lead.h"

#include <stdint.h>
#include <stdlib.h>

#include "coldmail/err.h"
#include "coldmail/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint8_t secret[32] = "0123456789abcdef0123456789abcdef";
	char *text = xstrndup((const char *)data, n);
	char person[LEAD_PERSON], token[LEAD_TOKEN];

	if (lead_token_person(secret, text, person)) {
		lead_token(secret, person, token);
		bug_if(!str_eq(token, text), "%s is the token of %s, and so is %s", text, person,
			token);
	}
	free(text);
	return 0;
}
