/*
 * What to say about an entry that a section does not have: that it belongs elsewhere, or which
 * name was meant.
 * Runs on: loop. Called by build.c. Decides nothing: an unknown entry is always an error.
 */
#include "conf_private.h"

/* Every name IN has: its keys and its sections. */
static size_t names_of(enum conf_in in, const char **ret, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < conf_n_keys && n < max; i++)
		if (conf_keys[i].in == in)
			ret[n++] = conf_keys[i].name;
	for (size_t i = CONF_TOP + 1; i < CONF_N_SECTIONS && n < max; i++)
		if (conf_sections[i].parents & 1U << in)
			ret[n++] = conf_sections[i].name;
	return n;
}

/* Another section that has NAME; CONF_N_SECTIONS: none. */
static enum conf_in home_of(const char *name)
{
	enum conf_in in = CONF_TOP;

	while (in < CONF_N_SECTIONS && !conf_key_find(in, name) && !conf_section_find(in, name))
		in++;
	return in;
}

static const char *where(struct conf_load *l, enum conf_in in)
{
	return in == CONF_TOP ? "at the top level"
			      : mem_arena_printf(&l->arena, "in %s", conf_sections[in].name);
}

void conf_unknown(struct conf_load *l, enum conf_in in, const struct conf_node *node)
{
	const char *what = node->is_section ? "section" : "key", *name = conf_shown(l, node->name);
	const char *names[CONF_N_SECTIONS + 32];
	const size_t n = names_of(in, names, sizeof names / sizeof *names);
	const char *meant = str_closest(node->name, names, n);
	const enum conf_in home = home_of(node->name);

	if (home < CONF_N_SECTIONS)
		conf_error(l, node->at, "%s '%s' %s, expected it %s%s", what, name, where(l, in),
			where(l, home), home == CONF_TOP ? " (is a '}' missing before it?)" : "");
	else if (meant)
		conf_error(l, node->at, "unknown %s '%s' %s, did you mean '%s'?", what, name,
			where(l, in), meant);
	else
		conf_error(l, node->at, "unknown %s '%s' %s, expected one of coldmail.conf(5)",
			what, name, where(l, in));
}
