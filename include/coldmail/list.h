/*
 * An intrusive doubly linked list with its length, for "a state is a list": moving an object
 * between lists is its change of state, and a count is a list's length.
 * Runs on: any (no locking). Header only.
 */
#pragma once

#include <stddef.h>

struct list_node {
	struct list_node *prev, *next; /* NULL: in no list */
};

struct list {
	struct list_node head;
	size_t n;
};

#define list_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))
#define list_each(it, list)                                                                        \
	for (struct list_node *it = (list)->head.next; it != &(list)->head; it = it->next)
/* The current node may be removed. */
#define list_each_safe(it, list)                                                                   \
	for (struct list_node *it = (list)->head.next, *it##_next = it->next; it != &(list)->head; \
		it = it##_next, it##_next = it->next)

static inline void list_init(struct list *l)
{
	l->head.prev = l->head.next = &l->head;
	l->n = 0;
}

static inline void list_push(struct list *l, struct list_node *node)
{
	node->prev = l->head.prev;
	node->next = &l->head;
	l->head.prev->next = node;
	l->head.prev = node;
	l->n++;
}

static inline void list_remove(struct list *l, struct list_node *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->prev = node->next = NULL;
	l->n--;
}

static inline struct list_node *list_first(const struct list *l)
{
	return l->n ? l->head.next : NULL;
}
