/*
 * What to say about an entry that a section does not have: that a later version brings it, that it
 * belongs elsewhere, or which name was meant.
 * Runs on: loop. Called by build.c and value.c. Decides nothing: an unknown entry is always an error.
 */
#include "conf_private.h"

#define FAR  99 /* no letter in common */
#define WORD 64 /* longer words resemble nothing */

/* What the language has, but this version not yet: keys and sections, by where they stand. A row
 * moves to keys.c when its feature is built. */
static const char *const later[CONF_N_SECTIONS] = {
	[CONF_TOP] = "spool|http|provider|model|llm|inbox|alert|watch|breaker|reply_classes",
	[CONF_IDENTITY] = "unsubscribe_url",
	[CONF_MAILBOX] = "preset|user|password_file|oauth|ca_file|imap|reply_to|inbox|ramp_since|"
			 "mails_per_connection|signature_file|sent_copy",
	[CONF_CAMPAIGN] = "freeze|daily_limit|facts|fallback|review|on_company_reply|company_pause|"
			  "countries_deny|countries_allow|content_rejected_stop|low_water|adopts",
	[CONF_STEP] = "brief|max_words",
};

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Letters to change, add or drop between A and B. */
static size_t distance(const char *a, const char *b)
{
	const size_t n = strlen(b);
	size_t row[WORD + 1];

	if (strlen(a) > WORD || n > WORD)
		return FAR;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (; *a; a++) {
		size_t diagonal = row[0]++;

		for (size_t j = 1; j <= n; j++) {
			const size_t change = diagonal + (*a != b[j - 1]);

			diagonal = row[j];
			row[j] = least(change, least(row[j], row[j - 1]) + 1);
		}
	}
	return row[n];
}

const char *conf_closest(const char *text, const char *const *words, size_t n)
{
	const char *best = NULL;
	size_t nearest = FAR;

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(text, words[i]);

		if (d < nearest && d <= (strlen(words[i]) + 1) / 3) {
			nearest = d;
			best = words[i];
		}
	}
	return best;
}

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
	const char *meant = conf_closest(node->name, names, n);
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
