/*
 * Memory: allocation that cannot fail. Durable state makes an abort safe, so running out of
 * memory ends the process (systemd restarts it) instead of travelling through every caller.
 * Runs on: any.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* All return memory that the caller owns and ends with free(). They never return NULL; a size of
 * zero gives a pointer that can be freed. */
void *xmalloc(size_t n) __attribute__((malloc, warn_unused_result));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, warn_unused_result));
void *xrealloc(void *p, size_t n) __attribute__((warn_unused_result));
char *xstrdup(const char *s) __attribute__((malloc, warn_unused_result)); /* NULL gives NULL */
char *xstrndup(const char *s, size_t n) __attribute__((malloc, warn_unused_result));
void *xmemdup(const void *p, size_t n) __attribute__((malloc, warn_unused_result));
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), warn_unused_result));

/* Grows ARRAY (a pointer lvalue) so that it has room for NEED elements; CAP is its capacity. */
#define mem_grow(array, cap, need)                                                                 \
	do {                                                                                       \
		if ((size_t)(need) > (size_t)(cap)) {                                              \
			(cap) = mem_grown((cap), (need));                                          \
			(array) = xrealloc((array), (size_t)(cap) * sizeof *(array));              \
		}                                                                                  \
	} while (0)
size_t mem_grown(size_t cap, size_t need);

/* Overwrites memory that held a secret; the compiler may not drop it. */
void mem_wipe(void *p, size_t n);
void mem_free_secret(char *z); /* wiped, then freed; NULL is accepted */

/* An arena: many small allocations with one end. Zero-initialise it. Memory from it is never freed
 * singly; mem_arena_done() ends all of it. Not for two threads at once. */
struct mem_block;
struct mem_arena {
	struct mem_block *head; /* owned */
};
void *mem_arena_get(struct mem_arena *a, size_t n) __attribute__((warn_unused_result)); /* zeroed */
char *mem_arena_dup(struct mem_arena *a, const char *s); /* NULL gives NULL */
char *mem_arena_ndup(struct mem_arena *a, const char *s, size_t n); /* exactly N bytes and a NUL */
char *mem_arena_printf(struct mem_arena *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void mem_arena_done(struct mem_arena *a);
void mem_arena_wipe(struct mem_arena *a); /* the same, for one that held secrets */
