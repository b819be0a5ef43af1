/*
 * coldmailctl suppress add, remove, check, list, import, export.
 * Runs on: any.
 */
#include "ctl_private.h"

#include <inttypes.h>
#include <stdio.h>

#include "coldmail/err.h"

#define BATCH 500

/* ---- add and import ----------------------------------------------------------------------------- */

/* What came of the batches so far. */
struct added {
	int64_t added, known, invalid;
	cJSON *total; /* owned: {stopped, in_transmission} of all */
	cJSON *problems; /* owned */
};

static void take_voids(cJSON *total, const cJSON *answer)
{
	const cJSON *id;

	cJSON_SetNumberValue(cJSON_GetObjectItemCaseSensitive(total, "stopped"),
		(double)(ctl_whole(total, "stopped") + ctl_whole(answer, "stopped")));
	cJSON_ArrayForEach(id, ctl_get(answer, "in_transmission"))
		cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(total, "in_transmission"),
			cJSON_Duplicate(id, true));
}

/* Sends PATTERNS (taken); LINES say where each came from, NULL: from the command line. */
static int add_batch(const struct ctl *c, cJSON *patterns, const char *source, const int64_t *lines,
	struct added *sum)
{
	cJSON *in = ctl_change(c), *answer = NULL;
	const cJSON *p;

	cJSON_AddItemToObject(in, "patterns", patterns);
	ctl_put(in, "reason", ctl_option(c, "reason"));
	ctl_put(in, "source", source);
	int status = ctl_ask(c, "suppress/add", in, &answer);
	if (status)
		return status;
	sum->added += ctl_whole(answer, "added");
	sum->known += ctl_whole(answer, "known");
	take_voids(sum->total, answer);
	cJSON_ArrayForEach(p, ctl_get(answer, "problems"))
	{
		cJSON *o = cJSON_Duplicate(p, true);
		int64_t index = ctl_whole(p, "index");

		if (lines && index >= 0 && index < BATCH)
			cJSON_AddNumberToObject(o, "line", (double)lines[index]);
		cJSON_AddItemToArray(sum->problems, o);
		sum->invalid++;
	}
	cJSON_Delete(answer);
	return 0;
}

static void print_added(const struct ctl *c, struct added *sum, const char *file)
{
	const cJSON *p;

	if (c->json) {
		cJSON_AddNumberToObject(sum->total, "added", (double)sum->added);
		cJSON_AddNumberToObject(sum->total, "known", (double)sum->known);
		cJSON_AddItemToObject(sum->total, "problems", sum->problems);
		sum->problems = NULL;
		ctl_print_json(sum->total);
		sum->total = NULL;
		return;
	}
	cJSON_ArrayForEach(p, sum->problems)
	{
		if (file)
			printf("%s:%" PRId64 ": ", file, ctl_whole(p, "line"));
		printf("%s: %s\n", ctl_text(p, "pattern"), ctl_text(p, "text"));
	}
	printf("%s%" PRId64 " added, %" PRId64 " known before", c->dry_run ? "would be: " : "",
		sum->added, sum->known);
	if (sum->invalid)
		printf(", %" PRId64 " invalid", sum->invalid);
	putchar('\n');
	ctl_print_voids(sum->total);
}

static void added_init(struct added *sum)
{
	*sum = (struct added){
		.total = cJSON_CreateObject(),
		.problems = cJSON_CreateArray(),
	};
	cJSON_AddNumberToObject(sum->total, "stopped", 0);
	cJSON_AddArrayToObject(sum->total, "in_transmission");
}

static int added_done(struct added *sum, int status)
{
	cJSON_Delete(sum->total);
	cJSON_Delete(sum->problems);
	return status ? status : sum->invalid ? CM_EXIT_NO : CM_EXIT_OK;
}

static int add(const struct ctl *c)
{
	cJSON *patterns = cJSON_CreateArray();
	struct added sum;

	added_init(&sum);
	for (int i = 0; i < c->n_args; i++)
		cJSON_AddItemToArray(patterns, cJSON_CreateString(c->args[i]));
	int status = add_batch(c, patterns, "operator", NULL, &sum);
	if (!status)
		print_added(c, &sum, NULL);
	return added_done(&sum, status);
}

/* The pattern of a line: its first field; NULL for an empty line, a comment, and the heading of a
 * list that `suppress export` wrote. */
static char *pattern_of(char *line, int64_t number)
{
	line[strcspn(line, ",;\t")] = '\0';
	line = str_trim(line);
	if (!*line || *line == '#' ||
		(number == 1 && (str_ieq(line, "pattern") || str_ieq(line, "email"))))
		return NULL;
	return line;
}

static int import_lines(
	const struct ctl *c, const char *file, const struct str *data, struct added *sum)
{
	char *text = xstrdup(str_z(data)), *rest = text, *line;
	cJSON *patterns = cJSON_CreateArray();
	int64_t lines[BATCH], number = 0;
	int n = 0, status = 0;

	if (str_starts(rest, "\xEF\xBB\xBF"))
		rest += 3;
	while (!status && (line = strsep(&rest, "\n"))) {
		line = pattern_of(line, ++number);
		if (!line)
			continue;
		lines[n++] = number;
		cJSON_AddItemToArray(patterns, cJSON_CreateString(line));
		if (n < BATCH)
			continue;
		status = add_batch(c, patterns, file, lines, sum);
		patterns = cJSON_CreateArray();
		n = 0;
	}
	if (!status && n)
		status = add_batch(c, patterns, file, lines, sum);
	else
		cJSON_Delete(patterns);
	free(text);
	return status;
}

static int import(const struct ctl *c)
{
	const char *file = c->args[0];
	struct str data = STR_INIT;
	struct added sum;

	added_init(&sum);
	int status = ctl_read_file(file, &data);
	if (!status)
		status = import_lines(c, file, &data, &sum);
	if (!status)
		print_added(c, &sum, file);
	str_done(&data);
	return added_done(&sum, status);
}

/* ---- remove and check --------------------------------------------------------------------------- */

static int remove_it(const struct ctl *c)
{
	cJSON *in, *answer = NULL;

	if (str_is_empty(ctl_option(c, "reason"))) {
		ctl_error("suppress remove: --reason TEXT was expected: why this person may be "
			  "written to again");
		return CM_EXIT_USAGE;
	}
	in = ctl_change(c);
	ctl_put(in, "pattern", c->args[0]);
	ctl_put(in, "reason", ctl_option(c, "reason"));
	int status = ctl_ask(c, "suppress/remove", in, &answer);
	if (status)
		return status;
	if (c->json) {
		ctl_print_json(answer);
		return CM_EXIT_OK;
	}
	printf("%s %s. Leads that ended by it stay ended: coldmailctl leads release ADDRESS\n",
		ctl_text(answer, "pattern"), c->dry_run ? "would be removed" : "is removed");
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

static void print_suppression(const cJSON *s, void *arg)
{
	struct ctl_table *t = arg;
	struct str at = STR_INIT;

	ctl_add_time(&at, ctl_text(s, "at"), "");
	ctl_table_add(t, ctl_text(s, "pattern"));
	ctl_table_add(t, ctl_text(s, "reason"));
	ctl_table_add(t, ctl_text(s, "source"));
	ctl_table_add(t, str_z(&at));
	str_done(&at);
}

static const char *const headings[] = { "PATTERN", "REASON", "SOURCE", "SINCE", NULL };

static int check(const struct ctl *c)
{
	cJSON *answer = NULL;
	const cJSON *s;
	int status = ctl_ask(c, "suppress/check", ctl_new("address", c->args[0]), &answer);

	if (status)
		return status;
	bool suppressed = ctl_flag(answer, "suppressed");
	if (c->json) {
		ctl_print_json(answer);
		return suppressed ? CM_EXIT_OK : CM_EXIT_NO;
	}
	if (suppressed) {
		struct ctl_table table;

		ctl_table_init(&table, headings);
		cJSON_ArrayForEach(s, ctl_get(answer, "by")) print_suppression(s, &table);
		ctl_table_print(&table);
	} else {
		printf("%s is not suppressed\n", ctl_text(answer, "address"));
	}
	cJSON_Delete(answer);
	return suppressed ? CM_EXIT_OK : CM_EXIT_NO;
}

/* ---- list and export ---------------------------------------------------------------------------- */

static int for_each(const struct ctl *c, void (*each)(const cJSON *s, void *arg), void *arg)
{
	char *after = NULL;
	int status;

	do {
		cJSON *in = ctl_new("after", after), *answer = NULL;
		const cJSON *s;

		free(after);
		after = NULL;
		status = ctl_ask(c, "suppress/list", in, &answer);
		if (status)
			break;
		cJSON_ArrayForEach(s, ctl_get(answer, "suppressions")) each(s, arg);
		after = xstrdup(cJSON_GetStringValue(ctl_get(answer, "next")));
		cJSON_Delete(answer);
	} while (after);
	return status;
}

static void list_json(const cJSON *s, void *arg)
{
	(void)arg;
	ctl_array_add(s);
}

static int list(const struct ctl *c)
{
	struct ctl_table table;
	int status;

	if (c->json) {
		ctl_array_begin();
		status = for_each(c, list_json, NULL);
		ctl_array_end(status);
		return status;
	}
	ctl_table_init(&table, headings);
	status = for_each(c, print_suppression, &table);
	if (!status && !table.n)
		puts("nobody is suppressed");
	else if (!status)
		ctl_table_print(&table);
	return status;
}

static void export_line(const cJSON *s, void *arg)
{
	(void)arg;
	puts(ctl_text(s, "pattern"));
}

static int export(const struct ctl *c)
{
	return c->json ? list(c) : for_each(c, export_line, NULL);
}

#define REASON                                                                                     \
	{                                                                                          \
		"reason", "TEXT", "why; kept with each, and shown by check"                        \
	}
#define PATTERNS                                                                                   \
	"A pattern is an address, a domain (with its subdomains) or *@domain (without them).\n"    \
	"It holds for every campaign. What was acknowledged is never followed by a mail, but "     \
	"for\n"                                                                                    \
	"one that was in transmission before, and the answer names that one."

const struct ctl_command ctl_commands_suppress[] = {
	{ "suppress add", "PATTERN...", 1, -1, "never write to these again", add, 0, { REASON },
		PATTERNS },
	{ "suppress remove", "PATTERN", 1, 1, "take one off the list; needs --reason", remove_it, 0,
		{ { "reason", "TEXT", "why; it is logged" } }, NULL },
	{ "suppress check", "ADDRESS", 1, 1, "is it suppressed, and by what (exit 1: no)", check, 0,
		{ { 0 } }, NULL },
	{ "suppress list", "", 0, 0, "the whole list", list, 0, { { 0 } }, NULL },
	{ "suppress import", "FILE", 1, 1, "add a file of patterns, one a line (- : input)", import,
		0, { REASON }, PATTERNS },
	{ "suppress export", "", 0, 0, "the patterns, one a line", export, 0, { { 0 } }, NULL },
	{ 0 },
};
