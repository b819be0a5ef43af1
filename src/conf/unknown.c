/*
 * What to say about an entry that a section does not have: that a later version brings it, that it
 * belongs elsewhere, or which name was meant.
 * Runs on: loop. Called by build.c and value.c. Decides nothing: an unknown entry is always an error.
 */
#include "conf_private.h"

/* What the language has, but this version not yet: keys and sections, by where they stand. A row
 * moves to keys.c when its feature is built. */
static const char *const later[CONF_N_SECTIONS] = {
	[CONF_TOP] = "spool|provider|model|llm|inbox|alert|breaker",
	[CONF_HTTP] = "listen",
	[CONF_WATCH] = "idle_after|stuck_after|summary|heartbeat_url_file",
	[CONF_MAILBOX] = "imap|reply_to|inbox|signature_file|sent_copy",
	[CONF_CAMPAIGN] = "freeze|daily_limit|facts|fallback|review|on_company_reply|company_pause|"
			  "countries_deny|countries_allow|low_water|adopts",
	[CONF_STEP] = "brief|max_words",
};

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

static bool is_later(enum conf_in in, const char *name)
{
	return conf_word_place(later[in], name) >= 0 || conf_word_place(later[CONF_TOP], name) >= 0;
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

	if (is_later(in, node->name))
		conf_error(l, node->at,
			"%s '%s' is not built yet in this version, expected no such %s", what, name,
			what);
	else if (home < CONF_N_SECTIONS)
		conf_error(l, node->at, "%s '%s' %s, expected it %s%s", what, name, where(l, in),
			where(l, home), home == CONF_TOP ? " (is a '}' missing before it?)" : "");
	else if (meant)
		conf_error(l, node->at, "unknown %s '%s' %s, did you mean '%s'?", what, name,
			where(l, in), meant);
	else
		conf_error(l, node->at, "unknown %s '%s' %s, expected one of coldmail.conf(5)",
			what, name, where(l, in));
}
