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
