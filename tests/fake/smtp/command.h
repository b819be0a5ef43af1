/*
 * fake-smtp: the ESMTP capabilities on offer, and one command line of a client.
 * Runs on: any. Knows no state of a dialogue; that is session.c.
 */
#pragma once

#include "script.h"

enum {
	CAPS_MAX = 32,
	CAP_TEXT_MAX = 100,
};

/* What EHLO announces, as it is announced: "PIPELINING", "SIZE 10485760". */
struct caps {
	char v[CAPS_MAX][CAP_TEXT_MAX + 1];
	size_t count;
};

/* Words between blanks; "SIZE=1000" is announced as "SIZE 1000", "AUTH=PLAIN,LOGIN" as
 * "AUTH PLAIN LOGIN". False: too many or too long. */
bool caps_set(struct caps *c, const char *text);
bool caps_add(struct caps *c, const char *text, size_t n); /* one; false likewise */
bool caps_remove(struct caps *c, const char *name); /* false: was not among them */
bool cap_is(const char *announced, const char *name);
/* NULL: not offered; otherwise what is said behind the name, "" when nothing is. */
const char *caps_find(const struct caps *c, const char *name);

struct command {
	enum verb verb;
	char *address; /* borrowed from the line; mail, rcpt */
	char *parameters; /* borrowed likewise; what follows the address, "" without any */
	char *argument; /* borrowed likewise; auth: "MECHANISM [response]" */
	uint64_t size; /* mail: what SIZE= announced, or 0 */
};

/* Takes LINE (N bytes, its CR LF replaced by one NUL) apart; it is changed. NULL: good. Otherwise
 * the reply to give. Parameters that need a capability of which OFFERED has none are refused, as a
 * client must not use what it was not offered (RFC 5321 4.1.1.11). */
const char *command_parse(char *line, size_t n, const struct caps *offered, struct command *ret);
