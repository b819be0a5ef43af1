/*
 * DNS: does a domain take mail? Asks for MX, and for addresses where there is no MX (RFC 5321 5.1),
 * through c-ares on the loop. Knows what was answered, not what it means for a lead, nor when it is time
 * to ask again whoever gave no answer.
 * Runs on: loop. Never blocks. A domain is asked for once at a time, and its answer is remembered.
 */
#pragma once

#include <stdint.h>

int dns_init(void) __attribute__((warn_unused_result));
void dns_done(void); /* no callback comes any more */

/* The resolvers: addresses, each with an optional port ("127.0.0.1:5353,[::1]:53"), separated by
 * commas; "": the system's (resolv.conf), read now. What is being asked ends UNKNOWN if the resolvers
 * are others than before. CM_EINVAL: none that can be used, the ones before stay. */
int dns_configure(const char *servers) __attribute__((warn_unused_result));

#define DNS_MXS(X)                                                                                 \
	/* a host for its mail: an MX, or an address without any MX */                             \
	X(OK, "ok")                                                                                \
	/* certainly no mail: NXDOMAIN, null MX (RFC 7505), or neither MX nor address */           \
	X(NONE, "none")                                                                            \
	/* no answer to rely on: SERVFAIL, time-out, no resolver. Says nothing about the domain */ \
	X(UNKNOWN, "unknown")
enum dns_mx {
#define X(name, text) DNS_MX_##name,
	DNS_MXS(X)
#undef X
};

struct dns_answer {
	enum dns_mx mx;
	const char *detail; /* for people: "no such domain (NXDOMAIN)"; valid in the same turn */
	int64_t at_ms; /* boot: when it came */
	int failures; /* UNKNOWN: so many in a row, with this one */
};

/* ID as given to dns_ask(). Called in a later turn. */
typedef void dns_fn(uint64_t id, const struct dns_answer *answer);

/* What is remembered: an answer while it holds, UNKNOWN until DOMAIN is asked for again; NULL: nothing, or
 * it is being asked for. Borrowed, for this turn. */
const struct dns_answer *dns_known(const char *domain);
/* Asks, or waits with who has asked. What is said at once is returned (as above), or NULL: then FN is
 * called once. DOMAIN is copied. */
const struct dns_answer *dns_ask(const char *domain, dns_fn *fn, uint64_t id);
