/*
 * The door of the room: one file, with what it includes, becomes one immutable, counted generation;
 * all of it lives in one arena and goes with the last reference.
 * Runs on: loop (and both programs' start-up). Never prints, never changes a generation.
 */
#include "coldmail/conf.h"

#include "coldmail/err.h"

#include "conf_private.h"

struct generation {
	struct conf conf; /* first: what others see */
	struct mem_arena arena;
	unsigned refs;
};

static struct generation *generation_of(const struct conf *c)
{
	return (struct generation *)(uintptr_t)c;
}

static int keep(struct conf_load *l, const char *file, const struct conf **ret)
{
	static uint64_t last;
	struct generation *g = xcalloc(1, sizeof *g);

	*g = (struct generation){ .conf = *l->conf, .arena = l->arena, .refs = 1 };
	g->conf.file = mem_arena_dup(&g->arena, file);
	g->conf.generation = ++last;
	*ret = &g->conf;
	return 0;
}

int conf_load(const char *file, const struct conf **ret_conf, struct conf_problems *ret_problems)
{
	struct conf_load l = { 0 };

	conf_build_defaults(&l);
	const struct conf_source *src = conf_source_read(&l, file, NULL);
	if (src)
		conf_parse(&l, src);
	if (src && !l.gave_up)
		conf_build(&l);
	conf_report_finish(&l, ret_problems);
	if (!l.n_errors)
		return keep(&l, file, ret_conf);
	mem_arena_done(&l.arena);
	return CM_EINVAL;
}

const struct conf *conf_ref(const struct conf *c)
{
	generation_of(c)->refs++;
	return c;
}

void conf_unref(const struct conf *c)
{
	struct generation *g = generation_of(c);

	if (!g || --g->refs)
		return;
	mem_arena_done(&g->arena);
	free(g);
}

const struct conf_mailbox *conf_find_mailbox(const struct conf *c, const char *address)
{
	for (size_t i = 0; i < c->n_mailboxes; i++)
		if (str_eq(c->mailboxes[i].address, address))
			return &c->mailboxes[i];
	return NULL;
}

const struct conf_campaign *conf_find_campaign(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->n_campaigns; i++)
		if (str_eq(c->campaigns[i].name, name))
			return &c->campaigns[i];
	return NULL;
}

int conf_find_step(const struct conf_campaign *c, const char *name)
{
	for (size_t i = 0; i < c->n_steps; i++)
		if (str_eq(c->steps[i].name, name))
			return (int)i;
	return -1;
}

char *conf_find_socket(const char *file)
{
	struct conf_load l = { 0 };
	struct conf_problems told;
	char *found = NULL;
	const struct conf_source *src = conf_source_read(&l, file, NULL);

	if (src)
		conf_parse(&l, src);
	const struct conf_node *socket =
		conf_node_find(conf_node_find(l.root, "control"), "socket");
	const struct conf_key *k = conf_key_find(CONF_CONTROL, "socket");
	struct conf c;

	if (socket && !socket->is_section && conf_value_read(&l, k, &socket->value, &c))
		found = xstrdup(c.control_socket);
	conf_report_finish(&l, &told);
	conf_problems_done(&told);
	mem_arena_done(&l.arena);
	return found;
}
