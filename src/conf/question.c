/*
 * What a reload may lose by mistake: campaigns and steps are known by their names, and a name that is
 * gone may be one that was written anew. Each is a question for people; nothing is decided here.
 * Runs on: loop. Called by ops at a reload.
 */
#include "coldmail/conf.h"

#include "conf_private.h"

struct questions {
	char **lines; /* owned, and each of them */
	size_t n, cap;
};

static void ask(struct questions *q, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void ask(struct questions *q, const char *fmt, ...)
{
	struct str line = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&line, fmt, ap);
	va_end(ap);
	mem_grow(q->lines, q->cap, q->n + 2);
	q->lines[q->n++] = str_take(&line);
	q->lines[q->n] = NULL;
}

/* ---- campaigns ------------------------------------------------------------------------------- */

static bool has_same_steps(const struct conf_campaign *a, const struct conf_campaign *b)
{
	bool same = a->n_steps == b->n_steps;

	for (size_t i = 0; same && i < a->n_steps; i++)
		same = str_eq(a->steps[i].name, b->steps[i].name);
	return same;
}

/* The campaign of NEW that C of OLD may have become: the only one that came, or the first of those
 * that have its steps. */
static const struct conf_campaign *become(
	const struct conf *old, const struct conf *new, const struct conf_campaign *c)
{
	const struct conf_campaign *only = NULL;
	size_t n = 0;

	for (size_t i = 0; i < new->n_campaigns; i++) {
		const struct conf_campaign *b = &new->campaigns[i];

		if (conf_find_campaign(old, b->name))
			continue;
		if (has_same_steps(c, b))
			return b;
		only = b;
		n++;
	}
	return n == 1 ? only : NULL;
}

static void ask_campaign(
	struct questions *q, const struct conf_campaign *gone, const struct conf_campaign *heir)
{
	if (heir)
		ask(q,
			"campaign \"%s\" is gone, and \"%s\" is new: was it renamed? Leads know "
			"their campaign by its name: those of \"%s\" wait (campaign_gone) until a "
			"campaign has that name again",
			gone->name, heir->name, gone->name);
	else
		ask(q,
			"campaign \"%s\" is gone: for good? Its leads wait (campaign_gone) until a "
			"campaign has that name again",
			gone->name);
}

/* ---- steps ------------------------------------------------------------------------------------ */

/* The step of NEW in the place of the Ith of OLD, if it is one that came. */
static const struct conf_step *step_become(
	const struct conf_campaign *old, const struct conf_campaign *new, size_t i)
{
	const struct conf_step *s = i < new->n_steps ? &new->steps[i] : NULL;

	return s && conf_find_step(old, s->name) < 0 ? s : NULL;
}

static void ask_steps(
	struct questions *q, const struct conf_campaign *old, const struct conf_campaign *new)
{
	for (size_t i = 0; i < old->n_steps; i++) {
		const char *gone = old->steps[i].name;
		const struct conf_step *heir = step_become(old, new, i);

		if (conf_find_step(new, gone) >= 0)
			continue;
		ask(q,
			"campaign \"%s\": step \"%s\" is gone%s%s%s: %s? The ledger knows steps by "
			"their names: leads that wait for \"%s\" will be held (bad_record) until "
			"they are released to a step of that name",
			new->name, gone, heir ? ", and \"" : "", heir ? heir->name : "",
			heir ? "\" is new" : "", heir ? "was it renamed" : "for good", gone);
	}
}

char **conf_questions(const struct conf *old, const struct conf *new)
{
	struct questions q = { .lines = xcalloc(1, sizeof *q.lines), .cap = 1 };

	for (size_t i = 0; i < old->n_campaigns; i++) {
		const struct conf_campaign *a = &old->campaigns[i];
		const struct conf_campaign *b = conf_find_campaign(new, a->name);

		if (b)
			ask_steps(&q, a, b);
		else
			ask_campaign(&q, a, become(old, new, a));
	}
	return q.lines;
}
