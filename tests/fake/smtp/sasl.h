/*
 * fake-smtp: what a client says to log in, by PLAIN (RFC 4616), LOGIN or XOAUTH2.
 * Runs on: any. Knows nobody's secret: session.c asks what was said, verbs.c compares it.
 */
#pragma once

#include "buf.h"

enum sasl_mechanism {
	SASL_NONE, /* nobody is logging in */
	SASL_PLAIN,
	SASL_LOGIN,
	SASL_XOAUTH2,
};

/* A login under way. Zero-initialise it. */
struct sasl {
	enum sasl_mechanism mechanism;
	char *user, *secret; /* owned; as far as they were said */
	bool refused; /* XOAUTH2: the reason was told, and the client's answer to it is due */
};

enum sasl_result {
	SASL_MORE, /* one more line, after a 334 with the challenge */
	SASL_COMPLETE, /* user and secret are known */
	SASL_CANCELLED,
	SASL_MALFORMED,
};

/* The mechanism of NAME, N characters; SASL_NONE: none that is known. */
enum sasl_mechanism sasl_find(const char *name, size_t n);
/* Takes the client's LINE, or NULL when none came with AUTH. CHALLENGE gets the text of the 334. */
enum sasl_result sasl_take(struct sasl *s, const char *line, struct buf *challenge);
/* The text of a 334 with which XOAUTH2 says no; after any line then, the login has failed. */
const char *sasl_refusal(struct sasl *s);
void sasl_reset(struct sasl *s);
