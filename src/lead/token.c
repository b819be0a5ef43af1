/*
 * Unsubscribe tokens: they name a person to whoever holds the key, and nobody to anybody else. Nothing
 * about them is stored, so they work for as long as the key is kept, after the address was forgotten,
 * too.
 * Runs on: any. Called when a mail is composed and when a link is followed: bytes of unknown origin.
 */
#include "coldmail/lead.h"

#include <glib.h>
#include <string.h>

#include "coldmail/str.h"

#define HALF 16 /* bytes of the person, and of its seal */

static void person_bytes(const char *person, uint8_t ret[HALF])
{
	for (size_t i = 0; i < HALF; i++)
		ret[i] = (uint8_t)(16 * g_ascii_xdigit_value(person[2 * i]) +
				   g_ascii_xdigit_value(person[2 * i + 1]));
}

static void seal(const uint8_t secret[32], const char *person, uint8_t ret[HALF])
{
	/* The key has other uses, each with a word of its own before its text. */
	char *text = xasprintf("unsubscribe\n%s", person);
	GHmac *hmac = g_hmac_new(G_CHECKSUM_SHA256, secret, 32);
	uint8_t digest[32];
	gsize n = sizeof digest;

	g_hmac_update(hmac, (const guchar *)text, -1);
	g_hmac_get_digest(hmac, digest, &n);
	g_hmac_unref(hmac);
	free(text);
	memcpy(ret, digest, HALF);
}

/* RFC 4648 5, without padding. */
static void encode(const uint8_t bytes[2 * HALF], char ret[LEAD_TOKEN])
{
	char *text = g_base64_encode(bytes, 2 * HALF);

	memcpy(ret, text, LEAD_TOKEN - 1);
	ret[LEAD_TOKEN - 1] = '\0';
	g_free(text);
	for (char *p = ret; *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
}

/* false: not as long as a token, or in other characters. */
static bool decode(const char *token, uint8_t ret[2 * HALF])
{
	char text[LEAD_TOKEN + 1];
	gsize n = 0;

	if (strlen(token) != LEAD_TOKEN - 1 ||
		strspn(token, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-_") != LEAD_TOKEN - 1)
		return false;
	memcpy(text, token, LEAD_TOKEN - 1);
	memcpy(text + LEAD_TOKEN - 1, "=", 2);
	for (char *p = text; *p; p++)
		*p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
	guchar *bytes = g_base64_decode(text, &n);
	if (n == (gsize)2 * HALF)
		memcpy(ret, bytes, n);
	g_free(bytes);
	return n == (gsize)2 * HALF;
}

/* Takes as long wherever the first difference is: no byte of a seal can be found by the clock. */
static bool is_same(const char *a, const char *b)
{
	unsigned char differences = 0;

	for (size_t i = 0; i < LEAD_TOKEN; i++)
		differences |= (unsigned char)(a[i] ^ b[i]);
	return !differences;
}

void lead_token(const uint8_t secret[32], const char *person, char ret[LEAD_TOKEN])
{
	uint8_t bytes[2 * HALF];

	person_bytes(person, bytes);
	seal(secret, person, bytes + HALF);
	encode(bytes, ret);
}

bool lead_token_person(const uint8_t secret[32], const char *token, char ret[LEAD_PERSON])
{
	uint8_t bytes[2 * HALF];
	char person[LEAD_PERSON], expected[LEAD_TOKEN];

	if (!decode(token, bytes))
		return false;
	str_hex(bytes, HALF, person);
	lead_token(secret, person, expected);
	if (!is_same(token, expected))
		return false;
	memcpy(ret, person, LEAD_PERSON);
	return true;
}
