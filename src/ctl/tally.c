/*
 * What became of the rows of an import: counted, and those that were not stored named with their line.
 * Runs on: any. Called by leads import. A file of a million rows that are all wrong costs no more memory
 * than one of twenty.
 */
#include "ctl_private.h"

#include <inttypes.h>
#include <stdio.h>

#define SHOWN       20
#define SHOWN_KNOWN 5 /* rows that are in the store already, as they are: seldom a mistake */

static const char *const names[] = {
#define X(name, text) [CTL_RESULT_##name] = text,
	CTL_RESULTS(X)
#undef X
};

/* ---- what a check has seen ------------------------------------------------------------------------ */

/* Nothing is stored by a check, and what stands in the file twice is new to the store twice. By hashes:
 * of an address, and of what was said of it last. */
struct ctl_seen {
	struct seen {
		uint64_t address, content;
		int64_t batch; /* in which it was said */
	} * slots; /* owned; address 0: free */
	size_t n, size; /* size: a power of two */
	int64_t batch;
};

uint64_t ctl_hash(const char *text)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3u;
	return h ? h : 1;
}

static struct seen *slot_of(const struct ctl_seen *s, uint64_t address)
{
	size_t i = (size_t)(address * 0x9E3779B97F4A7C15u >> 20) & (s->size - 1);

	while (s->slots[i].address && s->slots[i].address != address)
		i = (i + 1) & (s->size - 1);
	return &s->slots[i];
}

static void make_room(struct ctl_seen *s)
{
	struct ctl_seen old = *s;

	if (s->size && s->n < s->size / 2)
		return;
	s->size = old.size ? old.size * 2 : 1024;
	s->slots = xcalloc(s->size, sizeof *s->slots);
	for (size_t i = 0; i < old.size; i++)
		if (old.slots[i].address)
			*slot_of(s, old.slots[i].address) = old.slots[i];
	free(old.slots);
}

/* What RESULT is, given what stands further up; the store has seen what does in the same batch. */
static enum ctl_result seen_result(
	struct ctl_seen *s, const char *email, uint64_t content, enum ctl_result result)
{
	make_room(s);
	struct seen *slot = slot_of(s, ctl_hash(email)), old = *slot;

	s->n += !old.address;
	*slot = (struct seen){ ctl_hash(email), content, s->batch };
	if (!old.address || old.batch == s->batch)
		return result;
	return old.content == content ? CTL_RESULT_DUPLICATE : CTL_RESULT_UPDATED;
}

/* ---- counting ------------------------------------------------------------------------------------- */

void ctl_tally_init(struct ctl_tally *t, const struct ctl *c, const char *file)
{
	*t = (struct ctl_tally){ .c = c, .file = file, .problems = cJSON_CreateArray() };
	if (c->dry_run)
		t->seen = xcalloc(1, sizeof *t->seen);
}

static void add_problem(struct ctl_tally *t, int64_t line, enum ctl_result result, const char *text)
{
	cJSON *o = ctl_new("file", t->file);

	cJSON_AddNumberToObject(o, "line", (double)line);
	cJSON_AddStringToObject(o, "result", names[result]);
	cJSON_AddStringToObject(o, "text", text);
	cJSON_AddItemToArray(t->problems, o);
	t->n_problems++;
}

/* A second import of a file of a million rows is a million times the same: the first tell it. */
static void add_known(struct ctl_tally *t, int64_t line, const char *email, bool is_stored)
{
	char *text;

	if (t->n_known++ >= SHOWN_KNOWN && !t->c->verbose)
		return;
	text = xasprintf("%s %s already, and nothing in this row is new", email,
		is_stored ? "is stored" : "stands further up");
	add_problem(t, line, CTL_RESULT_DUPLICATE, text);
	free(text);
}

void ctl_tally_add(struct ctl_tally *t, const cJSON *row, uint64_t content)
{
	const char *name = ctl_text(row, "result"), *text = ctl_text(row, "text");
	const char *email = ctl_text(row, "email");
	int64_t line = ctl_whole(row, "line");
	enum ctl_result said = 0, r;

	while (said < CTL_N_RESULTS && !str_eq(name, names[said]))
		said++;
	if (said == CTL_N_RESULTS)
		return;
	/* What is another campaign's stays there. */
	r = t->seen && *email && !(said == CTL_RESULT_DUPLICATE && *text)
		    ? seen_result(t->seen, email, content, said)
		    : said;
	t->counts[r]++;
	if (*text && r == said)
		add_problem(t, line, r, text);
	else if (r == CTL_RESULT_DUPLICATE)
		add_known(t, line, email, r == said);
}

void ctl_tally_invalid(struct ctl_tally *t, int64_t line, const char *why)
{
	t->counts[CTL_RESULT_INVALID]++;
	add_problem(t, line, CTL_RESULT_INVALID, why);
}

/* ---- showing -------------------------------------------------------------------------------------- */

static int by_line(const void *a, const void *b)
{
	int64_t x = ctl_whole(*(cJSON *const *)a, "line"),
		y = ctl_whole(*(cJSON *const *)b, "line");

	return (x > y) - (x < y);
}

static void tell(struct ctl_tally *t, const cJSON *p)
{
	if (t->c->json) {
		char *text = cJSON_PrintUnformatted(p);

		str_adds(&t->json, t->json.len ? "," : "");
		str_adds(&t->json, text);
		free(text);
	} else if (t->c->verbose || t->n_shown < SHOWN) {
		printf("%s:%" PRId64 ": %s: %s\n", t->file, ctl_whole(p, "line"),
			ctl_text(p, "result"), ctl_text(p, "text"));
		t->n_shown++;
	}
}

/* What the reader found comes before what the daemon did: both are put in the file's order. */
void ctl_tally_flush(struct ctl_tally *t)
{
	size_t n = (size_t)cJSON_GetArraySize(t->problems);

	if (t->seen)
		t->seen->batch++;
	cJSON **v = xcalloc(n, sizeof(cJSON *));

	for (size_t i = 0; i < n; i++)
		v[i] = cJSON_DetachItemFromArray(t->problems, 0);
	qsort(v, n, sizeof(cJSON *), by_line);
	for (size_t i = 0; i < n; i++) {
		tell(t, v[i]);
		cJSON_Delete(v[i]);
	}
	free(v);
}

void ctl_tally_print(const struct ctl_tally *t)
{
	const int64_t known =
		t->n_known > SHOWN_KNOWN && !t->c->verbose ? t->n_known - SHOWN_KNOWN : 0;
	const int64_t more = t->n_problems + known - t->n_shown;
	const char *separator = t->c->dry_run ? "It would be: " : "";

	if (more)
		printf("… and %" PRId64 " more such line%s (--verbose prints them)\n", more,
			str_plural(more));
	for (enum ctl_result r = 0; r < CTL_N_RESULTS; r++) {
		if (r == CTL_RESULT_CONTACTED && !t->counts[r])
			continue; /* it is rare */
		printf("%s%" PRId64 " %s", separator, t->counts[r], names[r]);
		separator = ", ";
	}
	putchar('\n');
}

void ctl_tally_json(struct ctl_tally *t, cJSON *o)
{
	char *problems = xasprintf("[%s]", str_z(&t->json));

	cJSON_AddNumberToObject(o, "rows", (double)t->n_rows);
	for (enum ctl_result r = 0; r < CTL_N_RESULTS; r++)
		cJSON_AddNumberToObject(o, names[r], (double)t->counts[r]);
	cJSON_AddRawToObject(o, "problems", problems);
	free(problems);
}

void ctl_tally_done(struct ctl_tally *t)
{
	cJSON_Delete(t->problems);
	str_done(&t->json);
	if (t->seen)
		free(t->seen->slots);
	free(t->seen);
}
