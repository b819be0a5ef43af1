/*
 * coldmailctl suppress add and import: patterns from the command line, from a list of one a line, or
 * from CSV.
 * Runs on: any.
 * The daemon judges patterns; this knows lines. An import that was interrupted is repeated as it is.
 */
#include "ctl_private.h"

#include <inttypes.h>
#include <stdio.h>

#include "coldmail/err.h"
#include "coldmail/lead.h"

#define BATCH 500

const struct ctl_suppress_column ctl_suppress_columns[] = {
	{ "pattern", "pattern" },
	{ "reason", "reason" },
	{ "evidence", "evidence" },
	{ "source", "source" },
	{ "since", "at", "created" },
	{ "until", "until" },
	{ 0 },
};

/* ---- batches ------------------------------------------------------------------------------------ */

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
	ctl_put(in, "evidence", ctl_option(c, "evidence"));
	ctl_put(in, "until", ctl_option(c, "until"));
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

static int by_line(const void *a, const void *b)
{
	int64_t x = ctl_whole(*(cJSON *const *)a, "line"),
		y = ctl_whole(*(cJSON *const *)b, "line");

	return (x > y) - (x < y);
}

/* The daemon's and ours, in the order of the file. */
static void sort_problems(cJSON *problems)
{
	size_t n = (size_t)cJSON_GetArraySize(problems);
	cJSON **v = xcalloc(n, sizeof(cJSON *));

	for (size_t i = 0; i < n; i++)
		v[i] = cJSON_DetachItemFromArray(problems, 0);
	qsort(v, n, sizeof *v, by_line);
	for (size_t i = 0; i < n; i++)
		cJSON_AddItemToArray(problems, v[i]);
	free(v);
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
		if (*ctl_text(p, "pattern"))
			printf("%s: ", ctl_text(p, "pattern"));
		puts(ctl_text(p, "text"));
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

int ctl_suppress_add(const struct ctl *c)
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

/* ---- import -------------------------------------------------------------------------------------- */

struct import {
	const struct ctl *c;
	const char *file;
	cJSON *batch; /* owned: in the making */
	int64_t lines[BATCH]; /* of its patterns */
	int n;
	struct added sum;
};

static int send_batch(struct import *im)
{
	cJSON *batch = im->batch;

	if (!im->n)
		return 0;
	im->batch = cJSON_CreateArray();
	im->n = 0;
	return add_batch(im->c, batch, im->file, im->lines, &im->sum);
}

/* PATTERN, with what is known of it, is taken. */
static int import_entry(struct import *im, cJSON *entry, int64_t line)
{
	im->lines[im->n++] = line;
	cJSON_AddItemToArray(im->batch, entry);
	return im->n < BATCH ? 0 : send_batch(im);
}

static void import_problem(struct import *im, int64_t line, const char *raw, const char *why)
{
	char *shown = str_printable(raw, strlen(raw), 80);
	cJSON *o = ctl_new("pattern", shown);

	cJSON_AddStringToObject(o, "text", why);
	cJSON_AddNumberToObject(o, "line", (double)line);
	cJSON_AddItemToArray(im->sum.problems, o);
	im->sum.invalid++;
	free(shown);
}

/* ---- one a line ----------------------------------------------------------------------------------- */

/* The pattern of a line: its first field, which may be quoted in part ("a,b"@x.com); NULL for an empty
 * line, a comment, and a heading. */
static char *pattern_of(char *line, int64_t number)
{
	bool is_quoted = false;
	char *end = line;

	for (; *end && (is_quoted || !strchr(",;\t", *end)); end++)
		is_quoted ^= *end == '"';
	*end = '\0';
	line = str_trim(line);
	if (!*line || *line == '#' ||
		(number == 1 && (str_ieq(line, "pattern") || str_ieq(line, "email"))))
		return NULL;
	return line;
}

static int import_line(struct import *im, char *line, int64_t number)
{
	line = pattern_of(line, number);
	if (line && str_is_utf8(line, strlen(line)))
		return import_entry(im, cJSON_CreateString(line), number);
	if (line)
		import_problem(im, number, line,
			"not UTF-8 text, expected an address or a domain: save the file in UTF-8");
	return 0;
}

static int import_list(struct import *im, const struct str *data)
{
	char *text = xmemdup(str_z(data), data->len + 1), *rest = text, *line;
	int64_t number = 0;
	int status = 0;

	if (str_starts(rest, "\xEF\xBB\xBF"))
		rest += 3;
	for (size_t i = 0; i < data->len; i++) /* a NUL ends no list: it spoils its line */
		if (!text[i])
			text[i] = '\1';
	while (!status && (line = strsep(&rest, "\n")))
		status = import_line(im, line, ++number);
	free(text);
	return status;
}

/* ---- CSV -------------------------------------------------------------------------------------------- */

/* The column that holds the patterns, under whatever name; -1: none. */
static int pattern_column(const char *const *columns, size_t n)
{
	static const char *const names[] = { "pattern", "email", "email_address", "e_mail",
		"address", "recipient", "domain" };

	for (size_t k = 0; k < sizeof names / sizeof *names; k++)
		for (size_t i = 0; i < n; i++)
			if (str_eq(columns[i], names[k]))
				return (int)i;
	return -1;
}

static bool is_column(const char *name, const struct ctl_suppress_column *column)
{
	return str_eq(name, column->name) || (column->also && str_eq(name, column->also));
}

static cJSON *entry_of(const struct lead_record *rec, const char *pattern)
{
	cJSON *o = ctl_new("pattern", pattern);

	for (size_t i = 1; ctl_suppress_columns[i].name; i++)
		for (size_t k = 0; k < rec->n_vars; k++)
			if (is_column(rec->vars[k].name, &ctl_suppress_columns[i]))
				ctl_put(o, ctl_suppress_columns[i].key, rec->vars[k].value);
	return o;
}

/* REC has other fields than the first line says. Where the pattern comes first, it is known all the same,
 * and nobody is to be written to because of a comma. */
static int import_ragged(struct import *im, const struct lead_record *rec, int column)
{
	if (column || !rec->raw) {
		import_problem(im, rec->line, "", rec->error);
		return 0;
	}
	char *line = xstrndup(rec->raw, rec->n_raw);
	int status = import_line(im, line, rec->line);

	free(line);
	return status;
}

static int import_csv(struct import *im, struct lead_reader *reader, int column)
{
	const struct lead_record *rec;
	size_t n;
	const char *name = lead_reader_columns(reader, &n)[column];
	int status = 0;

	while (!status && (rec = lead_reader_next(reader))) {
		const char *pattern = "";

		for (size_t k = 0; k < rec->n_vars; k++)
			if (str_eq(rec->vars[k].name, name))
				pattern = rec->vars[k].value;
		if (rec->error)
			status = import_ragged(im, rec, column);
		else if (*pattern != '#')
			status = import_entry(im, entry_of(rec, pattern), rec->line);
	}
	const char *trouble = lead_reader_trouble(reader);
	if (!status)
		status = send_batch(im);
	if (status || !trouble)
		return status;
	ctl_error("%s: %s", im->file, trouble); /* what is missing is somebody, too */
	return CM_EXIT_NO;
}

/* CSV, if its first line names a column of patterns. */
static int import_data(struct import *im, const struct str *data)
{
	struct lead_reader *reader = NULL;
	char *why = NULL;
	size_t n = 0;
	int status, column = -1;

	if (!lead_reader_new(str_z(data), data->len, &reader, &why)) {
		const char *const *columns = lead_reader_columns(reader, &n);

		column = pattern_column(columns, n);
		status = column < 0 ? 0 : import_csv(im, reader, column);
	}
	free(why);
	if (column < 0)
		status = import_list(im, data);
	lead_reader_free(reader);
	return status ? status : send_batch(im);
}

int ctl_suppress_import(const struct ctl *c)
{
	struct import im = { .c = c, .file = c->args[0], .batch = cJSON_CreateArray() };
	struct str data = STR_INIT;

	added_init(&im.sum);
	int status = ctl_read_file(im.file, &data);
	if (!status)
		status = import_data(&im, &data);
	sort_problems(im.sum.problems);
	if (!status)
		print_added(c, &im.sum, im.file);
	str_done(&data);
	cJSON_Delete(im.batch);
	return added_done(&im.sum, status);
}
