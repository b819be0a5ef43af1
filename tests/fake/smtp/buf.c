/*
 * Bytes and memory of fake-smtp.
 * Runs on: the one thread of fake-smtp; called by all its files. Fatal: no memory.
 */
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BUF_MIN = 256,
};

static void *or_die(void *p)
{
	if (p)
		return p;
	fputs("fake-smtp: out of memory\n", stderr);
	abort();
}

void *fake_alloc(size_t n)
{
	return or_die(calloc(1, n));
}

void *fake_grow(void *p, size_t n)
{
	return or_die(realloc(p, n));
}

char *fake_strdup(const char *s)
{
	return s ? or_die(strdup(s)) : NULL;
}

void buf_done(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ 0 };
}

void buf_reset(struct buf *b)
{
	b->off = b->len = 0;
}

void buf_shrink(struct buf *b, size_t keep)
{
	if (b->cap > keep)
		buf_done(b);
	else
		buf_reset(b);
}

char *buf_room(struct buf *b, size_t n)
{
	size_t have = buf_len(b);

	if (b->cap - b->len >= n)
		return b->p + b->len;
	/* Moving what is left is worth it only when it is little: else front-eating would be
	 * quadratic. */
	if (b->off && have <= b->off && b->cap - have >= n) {
		memmove(b->p, buf_at(b), have);
		b->off = 0;
		b->len = have;
		return b->p + b->len;
	}
	b->cap = b->cap ? b->cap : BUF_MIN;
	while (b->cap - b->len < n)
		b->cap *= 2;
	b->p = fake_grow(b->p, b->cap);
	return b->p + b->len;
}

void buf_filled(struct buf *b, size_t n)
{
	b->len += n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	if (!n)
		return;
	memcpy(buf_room(b, n), p, n);
	b->len += n;
}

void buf_adds(struct buf *b, const char *z)
{
	buf_add(b, z, strlen(z));
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n > 0) {
		vsnprintf(buf_room(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
	va_end(ap);
}

void buf_eat(struct buf *b, size_t n)
{
	b->off += n;
	if (b->off == b->len)
		buf_reset(b);
}

const char *buf_z(struct buf *b)
{
	*buf_room(b, 1) = '\0';
	return buf_at(b);
}

char *buf_take(struct buf *b)
{
	char *text = fake_strdup(buf_z(b));

	buf_done(b);
	return text;
}

bool fake_number(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		uint64_t digit = (uint64_t)(unsigned char)*s - '0';

		if (digit > 9 || n > (max - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*ret = n;
	return true;
}
