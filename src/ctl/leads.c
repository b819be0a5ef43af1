/*
 * coldmailctl leads list, show, hold, release, stop, export.
 * Runs on: any.
 */
#include "ctl_private.h"

#include <inttypes.h>
#include <stdio.h>

#include "coldmail/err.h"
#include "coldmail/lead.h"

/* ---- pages -------------------------------------------------------------------------------------- */

/* Calls EACH for every lead that the options choose. 0 or the exit status. */
static int for_each_lead(const struct ctl *c, void (*each)(const cJSON *lead, void *arg), void *arg)
{
	char *after = NULL;
	int status = 0;

	do {
		cJSON *in = cJSON_CreateObject(), *answer = NULL;
		const cJSON *lead;

		ctl_put(in, "campaign", ctl_option(c, "campaign"));
		ctl_put(in, "state", ctl_option(c, "state"));
		ctl_put(in, "reason", ctl_option(c, "reason"));
		ctl_put(in, "after", after);
		free(after);
		after = NULL;
		status = ctl_ask(c, "leads/list", in, &answer);
		if (status)
			break;
		cJSON_ArrayForEach(lead, ctl_get(answer, "leads")) each(lead, arg);
		after = xstrdup(cJSON_GetStringValue(ctl_get(answer, "next")));
		cJSON_Delete(answer);
	} while (after);
	return status;
}

/* ---- list --------------------------------------------------------------------------------------- */

static void list_json(const cJSON *lead, void *arg)
{
	(void)arg;
	ctl_array_add(lead);
}

static void list_row(const cJSON *lead, void *arg)
{
	struct ctl_table *t = arg;
	struct str when = STR_INIT;
	const char *state = ctl_text(lead, "state"), *reason = ctl_text(lead, "reason");
	char *both = *reason ? xasprintf("%s(%s)", state, reason) : xstrdup(state);

	ctl_add_time(&when, ctl_text(lead, str_eq(state, "held") ? "until" : "due"), "");
	ctl_table_add(t, ctl_text(lead, "email"));
	ctl_table_add(t, ctl_text(lead, "campaign"));
	ctl_table_add(t, both);
	ctl_table_add(t, ctl_text(lead, "step"));
	ctl_table_add(t, str_eq(state, "ended") ? "-" : str_z(&when));
	ctl_table_add(t, ctl_text(lead, "status"));
	ctl_table_add(t, ctl_text(lead, "error_message"));
	str_done(&when);
	free(both);
}

static int list(const struct ctl *c)
{
	static const char *const headings[] = { "ADDRESS", "CAMPAIGN", "STATE", "STEP", "WHEN",
		"STATUS", "WHY", NULL };
	struct ctl_table table;

	if (c->json) {
		ctl_array_begin();
		int status = for_each_lead(c, list_json, NULL);
		ctl_array_end(status);
		return status;
	}
	ctl_table_init(&table, headings);
	int status = for_each_lead(c, list_row, &table);
	if (!status && !table.n)
		puts("no leads");
	else if (!status)
		ctl_table_print(&table);
	return status;
}

/* ---- show --------------------------------------------------------------------------------------- */

static bool is_time(const char *name)
{
	return str_eq(name, "due") || str_eq(name, "until") || str_ends(name, "_at");
}

/* OURS: not one of the columns of a file, in which anything may stand. */
static void show_field(const char *name, const cJSON *v, bool ours)
{
	const char *text = cJSON_GetStringValue(v);
	struct str line = STR_INIT;

	if (cJSON_IsNumber(v))
		str_addf(&line, "%.0f", v->valuedouble);
	else if (ours && text && is_time(name))
		ctl_add_when(&line, text, "");
	else
		ctl_add_safe(&line, text);
	if (line.len)
		printf("  %-14s %s\n", name, str_z(&line));
	str_done(&line);
}

static void show_lead(const cJSON *lead)
{
	const bool queued = str_eq(ctl_text(lead, "state"), "queued");
	const cJSON *v;

	printf("%s\n", ctl_text(lead, "email"));
	cJSON_ArrayForEach(v, lead)
	{
		const char *name = v->string;

		/* What is not queued is not due, whenever it was. */
		if (!str_eq(name, "email") && !str_eq(name, "id") &&
			(queued || !str_eq(name, "due")))
			show_field(name, v, true);
	}
	cJSON_ArrayForEach(v, ctl_get(lead, "extra")) show_field(v->string, v, false);
}

static void show_sends(const cJSON *attempts)
{
	const cJSON *a;

	cJSON_ArrayForEach(a, attempts)
	{
		struct str line = STR_INIT;

		ctl_add_time(&line, ctl_text(a, "at"), "");
		str_addf(&line, "  %s by %s: %s", ctl_text(a, "step"), ctl_text(a, "mailbox"),
			ctl_text(a, "outcome"));
		str_adds(&line, ctl_whole(a, "code") || *ctl_text(a, "reply") ? ": " : "");
		ctl_add_reply(&line, a);
		printf("  %s\n", str_z(&line));
		str_done(&line);
	}
}

/* A text of several lines, each made safe, under what it belongs to. */
static void show_text(const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		char *line = xstrndup(text, n);
		struct str safe = STR_INIT;

		ctl_add_safe(&safe, line);
		printf("    %s\n", str_z(&safe));
		str_done(&safe);
		free(line);
		text += n + (text[n] == '\n');
	}
}

static void show_mails(const cJSON *emails)
{
	const cJSON *e;

	cJSON_ArrayForEach(e, emails)
	{
		struct str line = STR_INIT;

		str_addf(&line, "%s: ", ctl_text(e, "step"));
		ctl_add_safe(&line, ctl_text(e, "subject"));
		printf("  %s\n", str_z(&line));
		show_text(ctl_text(e, "body"));
		str_done(&line);
	}
}

static void show_suppressions(const cJSON *list_)
{
	const cJSON *s;

	cJSON_ArrayForEach(s, list_)
	{
		struct str line = STR_INIT;

		ctl_add_safe(&line, ctl_text(s, "pattern"));
		str_adds(&line, ": ");
		ctl_add_safe(&line, ctl_text(s, "reason"));
		str_adds(&line, *ctl_text(s, "evidence") ? ": " : "");
		ctl_add_safe(&line, ctl_text(s, "evidence"));
		str_adds(&line, ", by ");
		ctl_add_safe(&line, ctl_text(s, "source"));
		str_adds(&line, ", ");
		ctl_add_time(&line, ctl_text(s, "at"), "");
		printf("  %s\n", str_z(&line));
		str_done(&line);
	}
}

static int show(const struct ctl *c)
{
	cJSON *answer = NULL;
	int status = ctl_ask(c, "leads/show", ctl_new("address", c->args[0]), &answer);
	const bool all = ctl_option(c, "all") != NULL;

	if (status)
		return status;
	if (!all) {
		cJSON_DeleteItemFromObjectCaseSensitive(answer, "emails");
		cJSON_DeleteItemFromObjectCaseSensitive(answer, "attempts");
	}
	if (c->json) {
		ctl_print_json(answer);
		return CM_EXIT_OK;
	}
	if (ctl_get(answer, "lead"))
		show_lead(ctl_get(answer, "lead"));
	else
		printf("%s is no lead\n", c->args[0]);
	if (cJSON_GetArraySize(ctl_get(answer, "suppressions"))) {
		puts("suppressed by");
		show_suppressions(ctl_get(answer, "suppressions"));
	}
	if (cJSON_GetArraySize(ctl_get(answer, "emails"))) {
		puts("mails");
		show_mails(ctl_get(answer, "emails"));
	}
	if (cJSON_GetArraySize(ctl_get(answer, "attempts"))) {
		puts("sends");
		show_sends(ctl_get(answer, "attempts"));
	}
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

/* ---- hold, release, stop ------------------------------------------------------------------------ */

static int act(const struct ctl *c, const char *command, cJSON *in)
{
	cJSON *answer = NULL;

	ctl_put(in, "address", c->args[0]);
	int status = ctl_ask(c, command, in, &answer);
	if (status)
		return status;
	if (c->json) {
		ctl_print_json(answer);
		return CM_EXIT_OK;
	}
	const cJSON *lead = ctl_get(answer, "lead");
	const char *reason = ctl_text(lead, "reason");
	printf("%s: %s%s%s%s%s\n", ctl_text(lead, "email"), c->dry_run ? "would be " : "",
		ctl_text(lead, "state"), *reason ? " (" : "", reason, *reason ? ")" : "");
	if (ctl_flag(answer, "suppressed"))
		printf("%s on the suppression list: no campaign writes to this address.\n",
			c->dry_run ? "It would be" : "It is");
	ctl_print_voids(answer);
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

static int hold(const struct ctl *c)
{
	return act(c, "leads/hold", ctl_change(c));
}

static int release(const struct ctl *c)
{
	return act(c, "leads/release", ctl_change(c));
}

static int stop(const struct ctl *c)
{
	cJSON *in = ctl_change(c);

	ctl_put(in, "because", ctl_option(c, "because"));
	return act(c, "leads/stop", in);
}

/* ---- export ------------------------------------------------------------------------------------- */

/* The columns of every lead, in the order in which they are written. */
const char *const ctl_known_columns[] = { "email", "campaign",
#define X(column) #column,
	LEAD_COLUMNS(X)
#undef X
		NULL };
const char *const ctl_own_columns[] = { "state", "reason", "until", "status", "stage", "step",
	"last_step", "due", "mailbox", "n_sent", "last_sent_at", "created_at", "error_message",
	NULL };

/* Names of other columns that some lead has. */
struct extras {
	char **names; /* owned */
	size_t n, cap;
};

static void collect_extras(const cJSON *lead, void *arg)
{
	struct extras *e = arg;
	const cJSON *v;

	cJSON_ArrayForEach(v, ctl_get(lead, "extra"))
	{
		bool seen = false;

		for (size_t i = 0; i < e->n && !seen; i++)
			seen = str_eq(e->names[i], v->string);
		if (seen)
			continue;
		mem_grow(e->names, e->cap, e->n + 1);
		e->names[e->n++] = xstrdup(v->string);
	}
}

static void print_value(const cJSON *v, bool first)
{
	char number[32] = "";

	if (cJSON_IsNumber(v))
		snprintf(number, sizeof number, "%.0f", v->valuedouble);
	ctl_write_csv(stdout, cJSON_IsString(v) ? v->valuestring : number, first);
}

static void export_row(const cJSON *lead, void *arg)
{
	const struct extras *e = arg;

	for (size_t i = 0; ctl_known_columns[i]; i++)
		print_value(ctl_get(lead, ctl_known_columns[i]), !i);
	for (size_t i = 0; i < e->n; i++)
		print_value(ctl_get(ctl_get(lead, "extra"), e->names[i]), false);
	for (size_t i = 0; ctl_own_columns[i]; i++)
		print_value(ctl_get(lead, ctl_own_columns[i]), false);
	putchar('\n');
}

/* A column of the user's with a name that is also ours is told apart by its prefix. */
static void export_heading(const struct extras *e)
{
	for (size_t i = 0; ctl_known_columns[i]; i++)
		ctl_write_csv(stdout, ctl_known_columns[i], !i);
	for (size_t i = 0; i < e->n; i++) {
		bool taken = false;

		for (size_t k = 0; ctl_own_columns[k]; k++)
			taken |= str_eq(ctl_own_columns[k], e->names[i]);
		char *name = xasprintf("%s%s", taken ? CTL_EXTRA : "", e->names[i]);
		ctl_write_csv(stdout, name, false);
		free(name);
	}
	for (size_t i = 0; ctl_own_columns[i]; i++)
		ctl_write_csv(stdout, ctl_own_columns[i], false);
	putchar('\n');
}

static int export(const struct ctl *c)
{
	struct extras e = { 0 };
	int status;

	if (c->json)
		return list(c);
	status = for_each_lead(c, collect_extras, &e);
	if (!status) {
		export_heading(&e);
		status = for_each_lead(c, export_row, &e);
	}
	for (size_t i = 0; i < e.n; i++)
		free(e.names[i]);
	free(e.names);
	return status;
}

#define FILTERS                                                                                    \
	{ "state", "STATE", "only queued, held, in_flight or ended ones" },                        \
		{ "campaign", "NAME", "only this campaign's" },                                    \
	{                                                                                          \
		"reason", "REASON", "only those held or ended for this reason"                     \
	}

const struct ctl_command ctl_commands_leads[] = {
	{ "leads list", "", 0, 0, "leads and where each stands", list, 0, { FILTERS }, NULL },
	{ "leads show", "ADDRESS", 1, 1, "one lead", show, 0,
		{ { "all", NULL, "everything known about this person" } }, NULL },
	{ "leads hold", "ADDRESS", 1, 1, "keep a lead from being written to", hold, 0, { { 0 } },
		NULL },
	{ "leads release", "ADDRESS", 1, 1, "let a held or ended lead go on", release, CTL_MAILS,
		{ { 0 } }, NULL },
	{ "leads stop", "ADDRESS", 1, 1, "end a lead for good", stop, 0,
		{ { "because", "WHY",
			"replied, opted-out or bounced; the last two also suppress" } },
		NULL },
	{ "leads export", "", 0, 0, "leads as CSV (--json: as leads list)", export, 0, { FILTERS },
		NULL },
	{ 0 },
};
