/*
 * Keys that a running daemon cannot change under itself (CONF_RESTART): in a reload they keep the value
 * that it runs with, and whoever changed one is told so.
 * Runs on: loop. Called by conf.c once the new file is read. All of them are members of struct conf.
 */
#include "conf_private.h"

#include "coldmail/err.h"

static bool is_text(const struct conf_key *k)
{
	return k->type == CONF_STRING || k->type == CONF_PATH;
}

static bool is_same(const struct conf_key *k, const void *a, const void *b)
{
	if (is_text(k))
		return str_eq(*(const char *const *)a, *(const char *const *)b);
	if (k->type == CONF_DURATION)
		return *(const int64_t *)a == *(const int64_t *)b;
	bug_if(k->type != CONF_CHOICE, "key %s cannot be kept", k->name);
	return *(const int *)a == *(const int *)b;
}

static void take(struct conf_load *l, const struct conf_key *k, void *to, const void *from)
{
	if (is_text(k))
		*(const char **)to = mem_arena_dup(&l->arena, *(const char *const *)from);
	else if (k->type == CONF_DURATION)
		*(int64_t *)to = *(const int64_t *)from;
	else
		*(int *)to = *(const int *)from;
}

static struct conf_place place_of(struct conf_load *l, const struct conf_key *k)
{
	const struct conf_node *section =
		k->in == CONF_TOP ? l->root : conf_node_find(l->root, conf_sections[k->in].name);

	return conf_place_of(section ? section : l->root, k->name);
}

static void keep(struct conf_load *l, const struct conf_key *k)
{
	const void *old = (const char *)l->running + k->at;
	void *new = (char *)l->conf + k->at;
	struct str wanted = STR_INIT, kept = STR_INIT;

	if (is_same(k, old, new))
		return;
	conf_value_show(k, l->conf, &wanted);
	conf_value_show(k, l->running, &kept);
	conf_warning(l, place_of(l, k),
		"%s = %s counts from the next start on; until then it stays %s, expected a restart "
		"of coldmail",
		k->name, str_z(&wanted), str_z(&kept));
	take(l, k, new, old);
	str_done(&wanted);
	str_done(&kept);
}

void conf_keep_running(struct conf_load *l)
{
	for (const struct conf_key *k = conf_keys; k < conf_keys + conf_n_keys; k++)
		if (k->flags & CONF_RESTART && !(k->flags & CONF_LATER))
			keep(l, k);
	l->conf->store_path = mem_arena_dup(&l->arena, l->running->store_path);
}
