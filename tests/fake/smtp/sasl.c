/*
 * The logins of fake-smtp, taken apart: base64, and what is inside.
 * Runs on: any. Called by session.c for each line of a login.
 */
#include "sasl.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The base64 of "Username:", of "Password:" and of {"status":"401","schemes":"bearer"}. */
static const char ask_user[] = "VXNlcm5hbWU6", ask_secret[] = "UGFzc3dvcmQ6";
static const char bearer_refused[] = "eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIn0=";

enum sasl_mechanism sasl_find(const char *name, size_t n)
{
	static const char *const names[] = {
		[SASL_PLAIN] = "PLAIN", [SASL_LOGIN] = "LOGIN", [SASL_XOAUTH2] = "XOAUTH2"
	};

	for (size_t i = SASL_PLAIN; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == n && !strncasecmp(names[i], name, n))
			return (enum sasl_mechanism)i;
	}
	return SASL_NONE;
}

/* What TEXT is the base64 of, into RET; "=" alone is nothing at all (RFC 4954 4). */
static bool decode(const char *text, struct buf *ret)
{
	size_t n = strlen(text), padding = 0;
	int got;

	if (!strcmp(text, "="))
		return true;
	if (n % 4)
		return false;
	while (padding < 2 && padding < n && text[n - 1 - padding] == '=')
		padding++;
	got = EVP_DecodeBlock(
		(unsigned char *)buf_room(ret, n + 1), (const unsigned char *)text, (int)n);
	if (got < (int)padding)
		return false;
	buf_filled(ret, (size_t)got - padding);
	return true;
}

/* Behind PREFIX at *AT up to the byte END, as a text of its own; NULL: it is not like that. */
static char *take_part(const char **at, const char *limit, const char *prefix, char end)
{
	size_t skip = strlen(prefix);
	const char *start = *at + skip, *stop;
	char *part;

	if (limit < start || memcmp(*at, prefix, skip) != 0)
		return NULL;
	stop = memchr(start, end, (size_t)(limit - start));
	if (!stop)
		return NULL;
	part = fake_alloc((size_t)(stop - start) + 1);
	memcpy(part, start, (size_t)(stop - start));
	*at = stop + 1;
	return part;
}

/* [authzid] NUL user NUL secret. The buffer ends with one more NUL. */
static enum sasl_result take_plain(struct sasl *s, const char *at, const char *limit)
{
	char *on_behalf = take_part(&at, limit, "", '\0');

	free(on_behalf);
	if (!on_behalf)
		return SASL_MALFORMED;
	s->user = take_part(&at, limit, "", '\0');
	s->secret = s->user ? take_part(&at, limit + 1, "", '\0') : NULL;
	return s->secret && at == limit + 1 ? SASL_COMPLETE : SASL_MALFORMED;
}

/* user=USER ^A auth=Bearer SECRET ^A ^A, as Google and Microsoft describe it. */
static enum sasl_result take_bearer(struct sasl *s, const char *at, const char *limit)
{
	s->user = take_part(&at, limit, "user=", '\1');
	s->secret = s->user ? take_part(&at, limit, "auth=Bearer ", '\1') : NULL;
	return s->secret && limit - at == 1 && *at == '\1' ? SASL_COMPLETE : SASL_MALFORMED;
}

static enum sasl_result take_said(struct sasl *s, struct buf *said, struct buf *challenge)
{
	const char *at = buf_z(said), *limit = at + buf_len(said);

	switch (s->mechanism) {
	case SASL_PLAIN:
		return take_plain(s, at, limit);
	case SASL_XOAUTH2:
		return take_bearer(s, at, limit);
	case SASL_LOGIN:
		if (s->user) {
			s->secret = fake_strdup(at);
			return SASL_COMPLETE;
		}
		s->user = fake_strdup(at);
		buf_adds(challenge, ask_secret);
		return SASL_MORE;
	case SASL_NONE:
		break;
	}
	return SASL_MALFORMED;
}

enum sasl_result sasl_take(struct sasl *s, const char *line, struct buf *challenge)
{
	enum sasl_result got = SASL_MALFORMED;
	struct buf said = { 0 };

	if (s->refused)
		return SASL_COMPLETE;
	if (!line) {
		if (s->mechanism == SASL_LOGIN)
			buf_adds(challenge, ask_user);
		return SASL_MORE;
	}
	if (!strcmp(line, "*"))
		return SASL_CANCELLED;
	if (decode(line, &said))
		got = take_said(s, &said, challenge);
	buf_done(&said);
	return got;
}

const char *sasl_refusal(struct sasl *s)
{
	s->refused = true;
	return bearer_refused;
}

void sasl_reset(struct sasl *s)
{
	free(s->user);
	free(s->secret);
	*s = (struct sasl){ 0 };
}
