/*
 * Memory: allocation that cannot fail (coldmail/mem.h).
 * Runs on: any. Called by every room. Never returns NULL.
 * Fatal: out of memory. State is durable, so ending here loses nothing that was acknowledged.
 */
#include "coldmail/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "coldmail/err.h"

void *xmalloc(size_t n)
{
	void *p = malloc(n ? n : 1);

	bug_if(!p, "out of memory: %zu bytes", n);
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	bug_if(!p, "out of memory: %zu x %zu bytes", n, size);
	return p;
}

void *xrealloc(void *p, size_t n)
{
	void *q = realloc(p, n ? n : 1);

	bug_if(!q, "out of memory: %zu bytes", n);
	return q;
}

char *xstrdup(const char *s)
{
	return s ? xmemdup(s, strlen(s) + 1) : NULL;
}

char *xstrndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *p = xmalloc(len + 1);

	memcpy(p, s, len);
	p[len] = '\0';
	return p;
}

void *xmemdup(const void *p, size_t n)
{
	void *q = xmalloc(n);

	if (n)
		memcpy(q, p, n);
	return q;
}

char *xasprintf(const char *fmt, ...)
{
	char *p = NULL;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&p, fmt, ap);
	va_end(ap);
	bug_if(n < 0 || !p, "out of memory: vasprintf");
	return p;
}

size_t mem_grown(size_t cap, size_t need)
{
	size_t n = cap < 8 ? 8 : cap + cap / 2;

	return n < need ? need : n;
}

void mem_wipe(void *p, size_t n)
{
	explicit_bzero(p, n);
}

void mem_free_secret(char *z)
{
	if (z)
		mem_wipe(z, strlen(z));
	free(z);
}

/* ---- arena ----------------------------------------------------------------------------------- */

#define ARENA_BLOCK 4000

struct mem_block {
	struct mem_block *next;
	size_t used, size;
	_Alignas(max_align_t) char data[];
};

void *mem_arena_get(struct mem_arena *a, size_t n)
{
	struct mem_block *b = a->head;
	const size_t align = _Alignof(max_align_t);

	n = (n + align - 1) / align * align;
	if (!b || b->size - b->used < n) {
		size_t size = n > ARENA_BLOCK ? n : ARENA_BLOCK;

		b = xmalloc(sizeof *b + size);
		*b = (struct mem_block){ .next = a->head, .size = size };
		a->head = b;
	}
	void *p = b->data + b->used;
	b->used += n;
	return memset(p, 0, n);
}

char *mem_arena_ndup(struct mem_arena *a, const char *s, size_t n)
{
	char *p = mem_arena_get(a, n + 1);

	if (n)
		memcpy(p, s, n);
	return p;
}

char *mem_arena_dup(struct mem_arena *a, const char *s)
{
	return s ? mem_arena_ndup(a, s, strlen(s)) : NULL;
}

char *mem_arena_printf(struct mem_arena *a, const char *fmt, ...)
{
	char *heap = NULL;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&heap, fmt, ap);
	va_end(ap);
	bug_if(n < 0 || !heap, "out of memory: vasprintf");
	char *p = mem_arena_ndup(a, heap, (size_t)n);
	free(heap);
	return p;
}

void mem_arena_done(struct mem_arena *a)
{
	for (struct mem_block *b = a->head, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	a->head = NULL;
}

void mem_arena_wipe(struct mem_arena *a)
{
	for (struct mem_block *b = a->head; b; b = b->next)
		mem_wipe(b->data, b->used);
	mem_arena_done(a);
}
