/*
 * Strings: a growable buffer, and the handful of checks that every boundary needs.
 * Runs on: any. Knows no encoding but UTF-8, no locale.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growable byte buffer. p is NUL-terminated whenever it is not NULL; len does not count that
 * NUL. Zero-initialise it: {0} or STR_INIT. */
struct str {
	char *p; /* owned */
	size_t len, cap;
};
#define STR_INIT ((struct str){ 0 })

void str_done(struct str *s); /* frees; s is STR_INIT again */
void str_reset(struct str *s); /* length 0, keeps the memory */
char *str_take(struct str *s); /* the caller owns the result ("" if empty); s is STR_INIT */
void str_add(struct str *s, const void *p, size_t n);
void str_adds(struct str *s, const char *z); /* NULL adds nothing */
void str_addc(struct str *s, char c);
void str_addf(struct str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void str_vaddf(struct str *s, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0), nonnull(2)));
void str_drop(struct str *s, size_t n); /* removes N bytes at the front */
void str_reserve(struct str *s, size_t n); /* room for N more bytes */
const char *str_z(const struct str *s); /* never NULL; borrowed until the next change */

bool str_eq(const char *a, const char *b); /* NULL equals NULL only */
bool str_ieq(const char *a, const char *b); /* ASCII case folded */
bool str_starts(const char *s, const char *prefix);
bool str_istarts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
bool str_is_empty(const char *s); /* NULL or "" */
char *str_trim(char *s); /* in place: ASCII white space at both ends; returns inside s */
void str_lower(char *s); /* in place, ASCII only */
/* Every WORD in S, in any case (ASCII), becomes as many '*'. false: there is none. S may be NULL. */
bool str_blot(char *s, const char *word);

/* Whole-string decimal parse. false: not a number, trailing bytes, or out of range. */
bool str_to_i64(const char *s, int64_t *ret);
bool str_to_double(const char *s, double *ret);

bool str_is_utf8(const char *s, size_t n); /* RFC 3629: no overlong forms, no surrogates */
size_t str_utf8_cut(
	const char *s, size_t n, size_t max); /* largest cut <= max between characters */

/* S with everything but printable characters as \n \r \t \xNN, cut at MAX bytes with "..."; for
 * showing bytes of unknown origin to a person. The caller owns the result. */
char *str_printable(const char *s, size_t n, size_t max);

/* Which of N words TEXT may have been meant to be: a slip or two away from it; NULL: none. */
const char *str_closest(const char *text, const char *const *words, size_t n);

/* Lower-case hex of N bytes into RET (2 n + 1 bytes). */
void str_hex(const void *p, size_t n, char *ret);

/* What makes a word that N things have a plural: "lead%s". */
const char *str_plural(int64_t n);

/* A duration for people: "850ms", "12s", "4min 5s", "3h 2min", "2d 4h". RET holds 32 bytes. */
char *str_duration(int64_t ms, char *ret);
