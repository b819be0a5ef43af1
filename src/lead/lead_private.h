/*
 * What the files of room lead share with each other. Nobody else includes this.
 * Runs on: any.
 */
#pragma once

#include "coldmail/str.h"

/* Appends the canonical form of DOMAIN (UTF-8, no controls; case, IDN and one final dot are dealt
 * with here) to OUT. NULL, or a static text that says to a person what is wrong. */
const char *lead_domain_canonical(const char *domain, struct str *out)
	__attribute__((warn_unused_result));
