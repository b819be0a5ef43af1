/*
 * fake-smtp: a growable byte buffer that is filled at one end and eaten at the other, and memory
 * that never fails.
 * Runs on: the one thread of fake-smtp. Fatal: no memory.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bytes are p[off] .. p[len - 1]. Zero-initialise it. */
struct buf {
	char *p; /* owned */
	size_t off, len, cap;
};

static inline char *buf_at(const struct buf *b)
{
	return b->off ? b->p + b->off : b->p; /* NULL + 0 is undefined */
}

static inline size_t buf_len(const struct buf *b)
{
	return b->len - b->off;
}

void buf_done(struct buf *b); /* frees; b is empty and usable again */
void buf_reset(struct buf *b); /* empty, keeps the memory */
void buf_shrink(struct buf *b, size_t keep); /* empty, gives memory beyond KEEP bytes back */
char *buf_room(struct buf *b, size_t n); /* where N more bytes may be written */
void buf_filled(struct buf *b, size_t n); /* N bytes were written there */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_adds(struct buf *b, const char *z);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_eat(struct buf *b, size_t n); /* forgets N bytes at the front */
const char *buf_z(struct buf *b); /* NUL-terminated, borrowed until the next change */
char *buf_take(struct buf *b); /* the caller owns the text; b is empty */

void *fake_alloc(size_t n); /* zeroed */
void *fake_grow(void *p, size_t n);
char *fake_strdup(const char *s); /* NULL stays NULL */

/* The whole of S as a decimal number of at most MAX. */
bool fake_number(const char *s, uint64_t max, uint64_t *ret);
