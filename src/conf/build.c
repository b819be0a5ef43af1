/*
 * From the tree of entries to struct conf, by the rows of keys.c: what is there is read, what is
 * missing gets its default or is an error, what is unknown, repeated or misplaced is told.
 * Runs on: loop. Called by conf.c. After an error the struct is still sound to look at (no pointer
 * is NULL that must not be), so that the rest is checked in the same run.
 */
#include "conf_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"

static void tell_again(
	struct conf_load *l, const struct conf_node *again, const struct conf_node *first)
{
	conf_error(l, again->at, "%s '%s' again, expected it once (first: %s:%d)",
		again->title ? again->name : "key",
		conf_shown(l, again->title ? again->title : again->name), first->at.src->name,
		first->at.line);
}

static void check_title(struct conf_load *l, enum conf_in in, const struct conf_node *section)
{
	const char *name = conf_sections[in].name;

	if (conf_sections[in].has_title && str_is_empty(section->title))
		conf_error(l, section->at, "section '%s' without a title, expected %s \"...\" {",
			name, name);
	else if (!conf_sections[in].has_title && section->title)
		conf_error(l, section->at, "section '%s' has a title, expected %s {", name, name);
}

/* ENTRY is no value of a key of IN: a section of it, or a mistake. */
static void check_entry(struct conf_load *l, enum conf_in in, const struct conf_node *entry)
{
	const struct conf_key *k = conf_key_find(in, entry->name);
	const enum conf_in inner = conf_section_find(in, entry->name);
	const bool is_bad = !entry->is_section && entry->value.kind == CONF_VALUE_BAD;

	if (entry->is_section && inner != CONF_TOP)
		check_title(l, inner, entry);
	else if (entry->is_section && k)
		conf_error(l, entry->at, "'%s' is a key, expected %s = ...", k->name, k->name);
	else if (!entry->is_section && inner != CONF_TOP && !is_bad)
		conf_error(
			l, entry->at, "'%s' is a section, expected %s {", entry->name, entry->name);
	else if (inner == CONF_TOP && !is_bad)
		conf_unknown(l, in, entry);
}

static bool is_nothing(const struct conf_value *v)
{
	return v->kind == CONF_VALUE_LIST ? !v->n : v->kind == CONF_VALUE_TEXT && !*v->text;
}

/* Says of ENTRY, which was read for the row K, what this version does not do about it: once for a
 * key, where it is set first. */
static void say_unbuilt(
	struct conf_load *l, const struct conf_key *k, const struct conf_node *entry)
{
	bool *is_warned = &l->is_warned[k - conf_keys];
	const bool is_word = k->later && conf_word_place(k->later, entry->value.text) >= 0;

	if (*is_warned)
		return;
	if (is_word)
		conf_warning(l, entry->at, "%s = %s is not built yet in this version%s%s", k->name,
			entry->value.text, k->instead ? ": " : "", k->instead ? k->instead : "");
	else if (k->flags & CONF_LATER && !k->later && !is_nothing(&entry->value))
		conf_warning(l, entry->at, "'%s' is not built yet in this version", k->name);
	else if (k->flags & CONF_UNENFORCED)
		conf_warning(l, entry->at, "'%s' parses, but is not enforced yet in this version",
			k->name);
	else
		return;
	*is_warned = true;
}

/* Reads ENTRY for the row K. A value that is refused counts as told from now on. */
static void fill_key(
	struct conf_load *l, const struct conf_key *k, struct conf_node *entry, void *base)
{
	if (!conf_value_read(l, k, &entry->value, base))
		entry->value.kind = CONF_VALUE_BAD;
	else
		say_unbuilt(l, k, entry);
}

static void fill_default(struct conf_load *l, const struct conf_key *k, void *base)
{
	const struct conf_value *v = &l->defaults[k - conf_keys];

	bug_if(!conf_value_read(l, k, v, base), "key %s has a bad default", k->name);
}

/* Where the value of K goes in a section whose struct is BASE. */
static void *base_of(struct conf_load *l, const struct conf_key *k, void *base)
{
	return k->flags & CONF_LATER ? &l->unbuilt : base;
}

/* Every key of IN into BASE, from SECTION (NULL: there is none, so all are defaults). */
static void fill(struct conf_load *l, enum conf_in in, struct conf_node *section, void *base)
{
	struct conf_node **seen =
		mem_arena_get(&l->arena, conf_n_keys * sizeof(struct conf_node *));

	for (const struct conf_key *k = conf_keys; k < conf_keys + conf_n_keys; k++)
		if (k->in == in && k->def)
			fill_default(l, k, base_of(l, k, base));
	for (struct conf_node *n = section ? section->first : NULL; n; n = n->next) {
		const struct conf_key *k = n->is_section ? NULL : conf_key_find(in, n->name);

		if (!k) {
			check_entry(l, in, n);
		} else if (seen[k - conf_keys]) {
			tell_again(l, n, seen[k - conf_keys]);
		} else {
			seen[k - conf_keys] = n;
			fill_key(l, k, n, base_of(l, k, base));
		}
	}
	for (const struct conf_key *k = conf_keys; section && k < conf_keys + conf_n_keys; k++)
		if (k->in == in && k->flags & CONF_REQUIRED && !conf_node_find(section, k->name) &&
			!conf_preset_has(l, section, k->name))
			conf_error(l, section->at, "%s '%s' has no '%s', expected %s = ... (%s)",
				section->name, conf_shown(l, section->title ? section->title : ""),
				k->name, k->name, k->help);
}

/* ---- sections -------------------------------------------------------------------------------- */

/* The next section of that name at or behind N. */
static struct conf_node *section_from(struct conf_node *n, enum conf_in in)
{
	while (n && !(n->is_section && str_eq(n->name, conf_sections[in].name)))
		n = n->next;
	return n;
}

#define each_section(it, parent, in)                                                               \
	for (struct conf_node *it = section_from((parent)->first, (in)); it;                       \
		it = section_from(it->next, (in)))

static size_t count_sections(struct conf_node *parent, enum conf_in in)
{
	size_t n = 0;

	each_section (it, parent, in)
		n++;
	return n;
}

/* A section with the same title before IT. Titles of mailboxes differ in more than their case. */
static void check_unique(struct conf_load *l, struct conf_node *parent, enum conf_in in,
	const struct conf_node *node)
{
	each_section (it, parent, in) {
		if (it == node)
			return;
		if (in == CONF_MAILBOX ? str_ieq(it->title, node->title)
				       : str_eq(it->title, node->title)) {
			tell_again(l, node, it);
			return;
		}
	}
}

static const struct conf_unbuilt no_unbuilt = {
	.url = "",
	.imap = "",
	.user = "",
	.inbox = "",
	.reply_to = "",
	.listen = "",
};

/* The sections IN of PARENT, which nothing uses yet: each is read, checked and forgotten. */
static void build_unbuilt(struct conf_load *l, struct conf_node *parent, enum conf_in in)
{
	each_section (it, parent, in) {
		if (!l->is_section_warned[in])
			conf_warning(l, it->at,
				"section '%s' is not built yet in this version: it is checked, and "
				"nothing else",
				it->name);
		l->is_section_warned[in] = true;
		if (conf_sections[in].has_title)
			check_unique(l, parent, in, it);
		l->unbuilt = no_unbuilt;
		fill(l, in, it, &l->unbuilt);
		conf_check_unbuilt(l, in, it);
	}
}

static const char *name_of(struct conf_load *l, const struct conf_node *section)
{
	if (!str_is_empty(section->title) && !conf_is_name(section->title))
		conf_error(l, section->at,
			"%s '%s': expected a name of at most 64 letters, digits and . _ -",
			section->name, conf_shown(l, section->title));
	return section->title ? section->title : "";
}

static void build_mailbox(struct conf_load *l, struct conf_node *section, struct conf_mailbox *ret)
{
	const char *address = section->title ? conf_address(l, section->title) : "";

	if (!address)
		conf_error(l, section->at,
			"mailbox '%s': expected an address such as \"ali@example.com\"",
			conf_shown(l, section->title));
	*ret = (struct conf_mailbox){
		.address = address ? address : "",
		.preset = "",
		.smtp = "",
		.ramp_since_ms = CLOCK_NEVER_MS,
		.oauth = { .token_url = "", .client_id = "", .refresh_token = { .path = "" } },
		.file = section->at.src->name,
		.line = section->at.line,
	};
	check_unique(l, l->root, CONF_MAILBOX, section);
	l->unbuilt = no_unbuilt;
	fill(l, CONF_MAILBOX, section, ret);
	conf_check_mailbox_unbuilt(l, section);
	conf_preset_fill(l, section, ret);
	fill(l, CONF_OAUTH, section_from(section->first, CONF_OAUTH), &ret->oauth);
	conf_check_mailbox(l, section, ret);
}

static void build_step(struct conf_load *l, struct conf_node *section, struct conf_step *ret)
{
	*ret = (struct conf_step){ .name = name_of(l, section), .template_path = "" };
	fill(l, CONF_STEP, section, ret);
	const struct conf_node *template = conf_node_find(section, "template");

	if (template && *ret->template_path)
		ret->template_source = conf_source_template(l, ret->template_path, template->at);
}

static void build_steps(struct conf_load *l, struct conf_node *section, struct conf_campaign *c)
{
	size_t i = 0;

	c->n_steps = count_sections(section, CONF_STEP);
	c->steps = mem_arena_get(&l->arena, c->n_steps * sizeof *c->steps);
	each_section (it, section, CONF_STEP) {
		check_unique(l, section, CONF_STEP, it);
		build_step(l, it, &c->steps[i]);
		conf_check_step(l, it, c, i);
		i++;
	}
}

static void build_identity(
	struct conf_load *l, struct conf_node *section, struct conf_identity *ret)
{
	fill(l, CONF_IDENTITY, section, ret);
	conf_check_unsubscribe(l, section, ret);
}

static void build_campaign(
	struct conf_load *l, struct conf_node *section, struct conf_campaign *ret)
{
	struct conf_node *identity = section_from(section->first, CONF_IDENTITY);

	*ret = (struct conf_campaign){
		.name = name_of(l, section),
		.identity = l->conf->identity,
		.file = section->at.src->name,
		.line = section->at.line,
	};
	check_unique(l, l->root, CONF_CAMPAIGN, section);
	ret->is_llm = section_from(l->root->first, CONF_MODEL);
	l->unbuilt = no_unbuilt;
	fill(l, CONF_CAMPAIGN, section, ret);
	conf_check_campaign_unbuilt(l, section);
	build_unbuilt(l, section, CONF_REVIEW);
	conf_check_writer(l, section, ret);
	conf_check_replies(l, section, ret);
	if (identity)
		build_identity(l, identity, &ret->identity);
	build_steps(l, section, ret);
	conf_check_campaign(l, section, ret);
}

void conf_build_defaults(struct conf_load *l)
{
	l->is_warned = mem_arena_get(&l->arena, conf_n_keys * sizeof *l->is_warned);
	l->defaults = mem_arena_get(&l->arena, conf_n_keys * sizeof *l->defaults);
	for (size_t i = 0; i < conf_n_keys; i++)
		if (conf_keys[i].def)
			l->defaults[i] = conf_parse_value(l, conf_keys[i].def);
}

void conf_build(struct conf_load *l)
{
	struct conf_node *root = l->root;
	struct conf *c = l->conf = mem_arena_get(&l->arena, sizeof *c);
	const size_t n_mailboxes = count_sections(root, CONF_MAILBOX);
	const size_t n_campaigns = count_sections(root, CONF_CAMPAIGN);
	struct conf_node *http = section_from(root->first, CONF_HTTP);
	struct conf_node *watch = section_from(root->first, CONF_WATCH);
	struct conf_node *verify = section_from(root->first, CONF_VERIFY);

	c->identity = (struct conf_identity){ "", "", "", "" };
	c->mailboxes = mem_arena_get(&l->arena, n_mailboxes * sizeof *c->mailboxes);
	c->campaigns = mem_arena_get(&l->arena, n_campaigns * sizeof *c->campaigns);
	l->unbuilt = no_unbuilt;
	fill(l, CONF_TOP, root, c);
	fill(l, CONF_LOG, section_from(root->first, CONF_LOG), c);
	fill(l, CONF_CONTROL, section_from(root->first, CONF_CONTROL), c);
	fill(l, CONF_VERIFY, verify, c);
	fill(l, CONF_WATCH, watch, c);
	conf_check_watch(l, watch);
	fill(l, CONF_HTTP, http, c);
	conf_check_http(l, http, c);
	build_identity(l, section_from(root->first, CONF_IDENTITY), &c->identity);
	conf_check_store(l);
	conf_check_verify(l, verify);
	for (enum conf_in in = CONF_TOP + 1; in < CONF_N_SECTIONS; in++)
		if (conf_sections[in].is_later && conf_sections[in].parents & 1U << CONF_TOP)
			build_unbuilt(l, root, in);
	each_section (it, root, CONF_MAILBOX)
		build_mailbox(l, it, &c->mailboxes[c->n_mailboxes++]);
	each_section (it, root, CONF_CAMPAIGN)
		build_campaign(l, it, &c->campaigns[c->n_campaigns++]);
	conf_check_sense(l);
}
