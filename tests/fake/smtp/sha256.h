/*
 * fake-smtp: SHA-256 (FIPS 180-4), so that the list of accepted mails can be compared with what the
 * sender believes it sent, without a library.
 * Runs on: any. Pure.
 */
#pragma once

#include <stddef.h>

/* Lower-case hex of the hash of N bytes into RET (65 bytes). */
void sha256_hex(const void *data, size_t n, char *ret);
