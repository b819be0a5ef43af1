/*
 * What a reload changes, for people: one line a change, by the rows of the schema.
 * Runs on: loop. Called by the daemon when it swaps generations. Changes nothing.
 */
#include "coldmail/conf.h"

#include "value_private.h"

struct diff {
	char **lines; /* owned, and each of them */
	size_t n, cap;
};

static void add(struct diff *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct diff *d, const char *fmt, ...)
{
	struct str line = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&line, fmt, ap);
	va_end(ap);
	mem_grow(d->lines, d->cap, d->n + 2);
	d->lines[d->n++] = str_take(&line);
	d->lines[d->n] = NULL;
}

/* The file that both name holds something else now, or a URL that looks the same is another. What, is
 * nobody's business here. */
static bool is_rewritten(const struct conf_key *k, const void *old, const void *new)
{
	if (k->type == CONF_STRING)
		return !str_eq(*(const char *const *)conf_field(old, k->at),
			*(const char *const *)conf_field(new, k->at));
	const struct conf_file *a = (const void *)((const char *)old + k->at);
	const struct conf_file *b = (const void *)((const char *)new + k->at);

	return (k->type == CONF_PEM || k->type == CONF_TEXT || k->type == CONF_SECRET) &&
	       !str_eq(a->text, b->text);
}

/* The keys of IN. WHERE: "mailbox x: ", or "" for the top level. */
static void diff_keys(
	struct diff *d, enum conf_in in, const char *where, const void *old, const void *new)
{
	for (const struct conf_key *k = conf_keys; k < conf_keys + conf_n_keys; k++) {
		struct str a = STR_INIT, b = STR_INIT;

		if (k->in != in || k->flags & CONF_LATER)
			continue;
		conf_value_show(k, old, &a);
		conf_value_show(k, new, &b);
		if (!str_eq(str_z(&a), str_z(&b)))
			add(d, "~ %s%s %s -> %s", where, k->name, str_z(&a), str_z(&b));
		else if (is_rewritten(k, old, new))
			add(d, "~ %s%s %s has another content", where, k->name, str_z(&b));
		str_done(&a);
		str_done(&b);
	}
}

/* ---- mailboxes ------------------------------------------------------------------------------- */

static void diff_mailbox(struct diff *d, const char *where, const struct conf_mailbox *a,
	const struct conf_mailbox *b)
{
	diff_keys(d, CONF_MAILBOX, where, a, b);
	diff_keys(d, CONF_OAUTH, where, &a->oauth, &b->oauth);
}

static void diff_mailboxes(struct diff *d, const struct conf *old, const struct conf *new)
{
	for (size_t i = 0; i < old->n_mailboxes; i++)
		if (!conf_find_mailbox(new, old->mailboxes[i].address))
			add(d, "- mailbox %s", old->mailboxes[i].address);
	for (size_t i = 0; i < new->n_mailboxes; i++) {
		const struct conf_mailbox *b = &new->mailboxes[i];
		const struct conf_mailbox *a = conf_find_mailbox(old, b->address);
		char *where = xasprintf("mailbox %s: ", b->address);

		if (a)
			diff_mailbox(d, where, a, b);
		else
			add(d, "+ mailbox %s", b->address);
		free(where);
	}
}

/* ---- campaigns ------------------------------------------------------------------------------- */

static char *step_names(const struct conf_campaign *c)
{
	struct str names = STR_INIT;

	for (size_t i = 0; i < c->n_steps; i++)
		str_addf(&names, "%s%s", i ? ", " : "", c->steps[i].name);
	return str_take(&names);
}

static void diff_step(
	struct diff *d, const char *campaign, const struct conf_step *a, const struct conf_step *b)
{
	char *where = xasprintf("campaign %s, step %s: ", campaign, b->name);

	diff_keys(d, CONF_STEP, where, a, b);
	if (!str_eq(a->template_source, b->template_source) &&
		str_eq(a->template_path, b->template_path))
		add(d, "~ %stemplate \"%s\" has another text", where, b->template_path);
	free(where);
}

/* The list that both name has other days now, or calls them otherwise. */
static bool is_list_rewritten(const struct conf_campaign *a, const struct conf_campaign *b)
{
	if (!str_eq(a->holidays, b->holidays))
		return false;
	bool same = a->n_closed == b->n_closed;
	for (size_t i = 0; same && i < a->n_closed; i++)
		same = a->closed[i].from_day == b->closed[i].from_day &&
		       str_eq(a->closed[i].name, b->closed[i].name);
	return !same;
}

static void diff_campaign(
	struct diff *d, const struct conf_campaign *a, const struct conf_campaign *b)
{
	char *where = xasprintf("campaign %s: ", b->name);
	char *old_steps = step_names(a), *new_steps = step_names(b);

	diff_keys(d, CONF_CAMPAIGN, where, a, b);
	diff_keys(d, CONF_IDENTITY, where, &a->identity, &b->identity);
	if (is_list_rewritten(a, b))
		add(d, "~ %sholidays \"%s\" has another content", where, b->holidays);
	if (!str_eq(old_steps, new_steps))
		add(d, "~ %ssteps %s -> %s", where, old_steps, new_steps);
	for (size_t i = 0; i < b->n_steps; i++) {
		int was = conf_find_step(a, b->steps[i].name);

		if (was >= 0)
			diff_step(d, b->name, &a->steps[was], &b->steps[i]);
	}
	free(where);
	free(old_steps);
	free(new_steps);
}

static void diff_campaigns(struct diff *d, const struct conf *old, const struct conf *new)
{
	for (size_t i = 0; i < old->n_campaigns; i++)
		if (!conf_find_campaign(new, old->campaigns[i].name))
			add(d, "- campaign %s", old->campaigns[i].name);
	for (size_t i = 0; i < new->n_campaigns; i++) {
		const struct conf_campaign *b = &new->campaigns[i];
		const struct conf_campaign *a = conf_find_campaign(old, b->name);

		if (a)
			diff_campaign(d, a, b);
		else
			add(d, "+ campaign %s", b->name);
	}
}

char **conf_diff(const struct conf *old, const struct conf *new)
{
	struct diff d = { .lines = xcalloc(1, sizeof *d.lines), .cap = 1 };

	diff_keys(&d, CONF_TOP, "", old, new);
	diff_keys(&d, CONF_LOG, "log: ", old, new);
	diff_keys(&d, CONF_HTTP, "http: ", old, new);
	diff_keys(&d, CONF_CONTROL, "control: ", old, new);
	diff_keys(&d, CONF_VERIFY, "verify: ", old, new);
	diff_keys(&d, CONF_WATCH, "watch: ", old, new);
	diff_keys(&d, CONF_IDENTITY, "identity: ", &old->identity, &new->identity);
	diff_mailboxes(&d, old, new);
	diff_campaigns(&d, old, new);
	return d.lines;
}

void conf_diff_free(char **lines)
{
	for (char **line = lines; line && *line; line++)
		free(*line);
	free(lines);
}
