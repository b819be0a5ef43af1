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
	struct mem_arena arena, secrets;
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

	*g = (struct generation){
		.conf = *l->conf, .arena = l->arena, .secrets = l->secrets, .refs = 1
	};
	g->conf.file = mem_arena_dup(&g->arena, file);
	g->conf.generation = ++last;
	*ret = &g->conf;
	return 0;
}

static int load(struct conf_load *l, const char *file, const struct conf **ret_conf,
	struct conf_problems *ret_problems)
{
	conf_build_defaults(l);
	const struct conf_source *src = conf_source_read(l, file, NULL);
	if (src)
		conf_parse(l, src);
	if (src && !l->gave_up)
		conf_build(l);
	if (l->running && !l->n_errors)
		conf_keep_running(l);
	conf_report_finish(l, ret_problems);
	if (!l->n_errors)
		return keep(l, file, ret_conf);
	mem_arena_wipe(&l->secrets);
	mem_arena_done(&l->arena);
	return CM_EINVAL;
}

int conf_load(const char *file, const struct conf **ret_conf, struct conf_problems *ret_problems)
{
	return conf_load_for(CONF_TO_RUN, file, ret_conf, ret_problems);
}

int conf_load_for(enum conf_use use, const char *file, const struct conf **ret_conf,
	struct conf_problems *ret_problems)
{
	struct conf_load l = { .use = use };

	return load(&l, file, ret_conf, ret_problems);
}

int conf_reload(const struct conf *running, const char *file, const struct conf **ret_conf,
	struct conf_problems *ret_problems)
{
	struct conf_load l = { .use = CONF_TO_RUN, .running = running };

	return load(&l, file, ret_conf, ret_problems);
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
	mem_arena_wipe(&g->secrets);
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

bool conf_has_mailbox(const struct conf_campaign *c, const char *address)
{
	for (size_t i = 0; i < c->n_mailboxes; i++)
		if (str_eq(c->mailboxes[i]->address, address))
			return true;
	return false;
}

const char **conf_mailbox_names(const struct conf_campaign *c, struct mem_arena *a)
{
	const char **names = mem_arena_get(a, c->n_mailboxes * sizeof *names);

	for (size_t i = 0; i < c->n_mailboxes; i++)
		names[i] = c->mailboxes[i]->address;
	return names;
}

int conf_find_step(const struct conf_campaign *c, const char *name)
{
	for (size_t i = 0; i < c->n_steps; i++)
		if (str_eq(c->steps[i].name, name))
			return (int)i;
	return -1;
}

bool conf_is_same_server(const struct conf_mailbox *a, const struct conf_mailbox *b)
{
	return str_eq(a->smtp, b->smtp) && a->tls_required == b->tls_required &&
	       str_eq(a->ca.text, b->ca.text) && str_eq(a->user, b->user) &&
	       str_eq(a->password.text, b->password.text) &&
	       str_eq(a->oauth.token_url, b->oauth.token_url) &&
	       str_eq(a->oauth.client_id, b->oauth.client_id) &&
	       str_eq(a->oauth.client_secret.text, b->oauth.client_secret.text) &&
	       str_eq(a->oauth.refresh_token.text, b->oauth.refresh_token.text) &&
	       str_eq(a->oauth.ca.text, b->oauth.ca.text);
}

/* The socket that the tree sets; NULL when it sets none, or (told) none that can be. */
static char *socket_of(struct conf_load *l)
{
	const struct conf_node *control = conf_node_find(l->root, "control"),
			       *socket = conf_node_find(control, "socket");
	struct conf c;

	if (!socket && (!control || control->is_section))
		return NULL;
	if (!socket || socket->is_section)
		conf_error(l, socket ? socket->at : control->at,
			"control { socket = PATH } was expected");
	else if (conf_value_read(l, conf_key_find(CONF_CONTROL, "socket"), &socket->value, &c))
		return xstrdup(c.control_socket);
	return NULL;
}

static char *first_error(const struct conf_problems *told)
{
	const struct conf_problem *p = told->v;

	while (p->is_warning)
		p++;
	return xasprintf("%s:%d: %s", p->file, p->line, p->text);
}

int conf_find_socket(const char *file, char **ret, char **ret_why)
{
	struct conf_load l = { 0 };
	struct conf_problems told;
	const struct conf_source *src = conf_source_read(&l, file, NULL);

	if (src)
		conf_parse(&l, src);
	char *found = socket_of(&l);
	conf_report_finish(&l, &told);
	const bool is_lost = !found && told.n_errors;
	if (is_lost)
		*ret_why = first_error(&told);
	else
		*ret = found ? found : xstrdup(CONF_DEFAULT_SOCKET);
	conf_problems_done(&told);
	mem_arena_done(&l.arena);
	return is_lost ? CM_EINVAL : 0;
}
