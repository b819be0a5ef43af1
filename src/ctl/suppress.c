/*
 * coldmailctl suppress remove, check, list, export; and the rows of add and import (suppress_add.c).
 * Runs on: any.
 */
#include "ctl_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/lead.h"

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

/* "operator: asked by telephone" */
static void add_reason(struct ctl_table *t, const cJSON *s)
{
	const char *reason = ctl_text(s, "reason"), *evidence = ctl_text(s, "evidence");
	char *both = xasprintf("%s%s%s", reason, *evidence ? ": " : "", evidence);

	ctl_table_add(t, both);
	free(both);
}

static void print_suppression(const cJSON *s, void *arg)
{
	struct ctl_table *t = arg;
	struct str at = STR_INIT, until = STR_INIT;

	ctl_add_time(&at, ctl_text(s, "at"), "");
	ctl_add_time(&until, ctl_text(s, "until"), "");
	ctl_table_add(t, ctl_text(s, "pattern"));
	add_reason(t, s);
	ctl_table_add(t, ctl_text(s, "source"));
	ctl_table_add(t, str_z(&at));
	ctl_table_add(t, str_z(&until));
	str_done(&until);
	str_done(&at);
}

static const char *const headings[] = { "PATTERN", "REASON", "SOURCE", "SINCE", "UNTIL", NULL };

static int check(const struct ctl *c)
{
	cJSON *answer = NULL;
	const cJSON *s;
	int status = ctl_ask(c, "suppress/check", ctl_new("pattern", c->args[0]), &answer);

	if (status)
		return status;
	bool suppressed = ctl_flag(answer, "suppressed");
	if (c->json) {
		ctl_print_json(answer);
		return suppressed ? CM_EXIT_OK : CM_EXIT_NO;
	}
	const char *pattern = ctl_text(answer, "pattern");
	struct ctl_table table;

	ctl_table_init(&table, headings);
	cJSON_ArrayForEach(s, ctl_get(answer, "by")) print_suppression(s, &table);
	if (!suppressed)
		printf("%s is not %s%s\n", pattern,
			str_starts(pattern, LEAD_PERSON_PREFIX) ? "on the list" : "suppressed",
			table.n ? ", only a part of it:" : "");
	if (table.n)
		ctl_table_print(&table);
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

struct export
{
	FILE *out; /* NULL: as JSON */
	char now[CLOCK_STAMP];
	int64_t n;
};

/* What has ended is not handed on. */
static void export_row(const cJSON *s, void *arg)
{
	struct export *e = arg;
	const char *until = ctl_text(s, "until");

	if (*until && strcmp(until, e->now) <= 0)
		return;
	e->n++;
	if (!e->out) {
		ctl_array_add(s);
		return;
	}
	for (size_t i = 0; ctl_suppress_columns[i].name; i++)
		ctl_write_csv(e->out, ctl_text(s, ctl_suppress_columns[i].key), !i);
	fputc('\n', e->out);
}

static int export_json(const struct ctl *c)
{
	struct export e = { .out = NULL };

	clock_stamp(clock_log_wall_ms(), e.now);
	ctl_array_begin();
	int status = for_each(c, export_row, &e);
	ctl_array_end(status);
	return status;
}

static int export_to(const struct ctl *c, FILE *out, int64_t *ret_n)
{
	struct export e = { .out = out };

	clock_stamp(clock_log_wall_ms(), e.now);
	for (size_t i = 0; ctl_suppress_columns[i].name; i++)
		ctl_write_csv(out, ctl_suppress_columns[i].name, !i);
	fputc('\n', out);
	int status = for_each(c, export_row, &e);
	*ret_n = e.n;
	return status;
}

/* Addresses of people who want to be left alone: for the owner's eyes, and over no file of his. */
static int export_file(const struct ctl *c, const char *file)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

	if (!out) {
		ctl_error("%s: %s", file, strerror(errno));
		return CM_EXIT_NO;
	}
	int64_t n = 0;
	int status = export_to(c, out, &n);
	if (fclose(out) && !status) {
		ctl_error("%s: %s", file, strerror(errno));
		status = CM_EXIT_NO;
	}
	if (status)
		unlink(file);
	if (!status && c->json) {
		cJSON *o = ctl_new("path", file);

		cJSON_AddNumberToObject(o, "written", (double)n);
		ctl_print_json(o);
	}
	return status;
}

static int export(const struct ctl *c)
{
	int64_t n;

	if (c->n_args)
		return export_file(c, c->args[0]);
	return c->json ? export_json(c) : export_to(c, stdout, &n);
}

#define REASON                                                                                     \
	{                                                                                          \
		"reason", "TEXT", "why; kept with each, and shown by check"                        \
	}
#define UNTIL                                                                                      \
	{                                                                                          \
		"until", "DATE", "they end by themselves then (2026-03-31)"                        \
	}
#define PATTERNS                                                                                   \
	"A pattern is an address, a domain (with its subdomains) or *@domain (without them).\n"    \
	"It holds for every campaign. What was acknowledged is never followed by a mail, but "     \
	"for\n"                                                                                    \
	"one that was in transmission before, and the answer names that one."
#define LISTS                                                                                      \
	"One pattern a line, or CSV with a first line that names the columns: pattern (or "        \
	"email,\n"                                                                                 \
	"address, domain), and, if they are there, reason, evidence, source, since, until. What\n" \
	"is on the list already stays as it is: an import takes nobody off."

const struct ctl_command ctl_commands_suppress[] = {
	{ "suppress add", "PATTERN...", 1, -1, "never write to these again", ctl_suppress_add, 0,
		{ REASON, { "evidence", "TEXT", "what was said or seen" }, UNTIL }, PATTERNS },
	{ "suppress remove", "PATTERN", 1, 1, "take one off the list; needs --reason", remove_it, 0,
		{ { "reason", "TEXT", "why; it is logged" } }, NULL },
	{ "suppress check", "PATTERN", 1, 1, "is it suppressed, and by what (exit 1: no)", check, 0,
		{ { 0 } },
		"An address, a domain, *@domain, or person:HEX as `suppress export` has it." },
	{ "suppress list", "", 0, 0, "the whole list", list, 0, { { 0 } }, NULL },
	{ "suppress import", "FILE", 1, 1, "add a list or a CSV file of patterns (- : input)",
		ctl_suppress_import, 0, { REASON, UNTIL }, LISTS },
	{ "suppress export", "[FILE]", 0, 1, "the list as CSV, for suppress import", export, 0,
		{ { 0 } }, "FILE must not be there yet; it is for its owner's eyes only." },
	{ 0 },
};
