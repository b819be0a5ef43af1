/*
 * coldmailctl leads import: reads the CSV here, sends it in batches, says what became of each row.
 * Runs on: any.
 * The daemon judges rows; this knows lines. An import that was interrupted is repeated as it is:
 * what is there already is a duplicate, and nobody is written to twice.
 */
#include "ctl_private.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/lead.h"

#define BATCH        500
#define BATCH_BYTES  ((size_t)4 << 20)
#define SHOWN        20
#define SHOWN_KNOWN  5 /* rows that are in the store already, as they are: seldom a mistake */
#define BAR_EVERY_US 100000
#define BAR_WIDTH    30

/* What may become of a row. */
#define RESULTS(X)                                                                                 \
	X(ADDED, "added")                                                                          \
	X(UPDATED, "updated")                                                                      \
	X(DUPLICATE, "duplicate")                                                                  \
	X(SUPPRESSED, "suppressed")                                                                \
	X(CONTACTED, "contacted") X(INVALID, "invalid") X(VALID, "valid")
enum result {
#define X(name, text) RESULT_##name,
	RESULTS(X)
#undef X
		N_RESULTS
};
static const char *const result_names[] = {
#define X(name, text) [RESULT_##name] = text,
	RESULTS(X)
#undef X
};

struct import {
	const struct ctl *c;
	const char *file;
	struct lead_reader *reader; /* owned */
	struct ctl_columns columns; /* owned */
	size_t n_bytes;
	cJSON *rows; /* owned: the batch in the making */
	size_t batch_bytes;
	int64_t counts[N_RESULTS], n_rows;
	int64_t n_known; /* rows that are in the store already, as they are */
	cJSON *problems; /* owned: [{file, line, result, text}] */
	bool shows_bar;
	int64_t started_us, drawn_us;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* ---- progress ----------------------------------------------------------------------------------- */

static void draw_bar(struct import *im)
{
	int64_t now = clock_raw_us(), took_us = now - im->started_us;
	struct str bar = STR_INIT;
	size_t at = lead_reader_offset(im->reader);

	if (!im->shows_bar || now - im->drawn_us < BAR_EVERY_US)
		return;
	im->drawn_us = now;
	ctl_add_bar(&bar, (int64_t)at, (int64_t)im->n_bytes, BAR_WIDTH);
	fprintf(stderr, "\r%s %3zu %%  %" PRId64 " rows, %" PRId64 " a second ", str_z(&bar),
		im->n_bytes ? at * 100 / im->n_bytes : 100, im->n_rows,
		took_us ? im->n_rows * 1000000 / took_us : 0);
	str_done(&bar);
}

static void end_bar(struct import *im)
{
	if (im->drawn_us)
		fputs("\r\033[K", stderr);
	im->shows_bar = false;
}

/* ---- results ------------------------------------------------------------------------------------ */

static void add_problem(struct import *im, int64_t line, enum result result, const char *text)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "file", im->file);
	cJSON_AddNumberToObject(o, "line", (double)line);
	cJSON_AddStringToObject(o, "result", result_names[result]);
	cJSON_AddStringToObject(o, "text", text);
	cJSON_AddItemToArray(im->problems, o);
}

/* A second import of a file of a million rows is a million times the same: the first tell it. */
static void add_known(struct import *im, int64_t line, const char *email)
{
	char *text;

	if (im->n_known++ >= SHOWN_KNOWN && !im->c->verbose)
		return;
	text = xasprintf("%s is stored already, and nothing in this row is new", email);
	add_problem(im, line, RESULT_DUPLICATE, text);
	free(text);
}

static void take_results(struct import *im, const cJSON *answer)
{
	const cJSON *row;

	cJSON_ArrayForEach(row, ctl_get(answer, "rows"))
	{
		const char *name = ctl_text(row, "result"), *text = ctl_text(row, "text");

		for (enum result r = 0; r < N_RESULTS; r++) {
			if (!str_eq(name, result_names[r]))
				continue;
			im->counts[r]++;
			if (*text)
				add_problem(im, ctl_whole(row, "line"), r, text);
			else if (r == RESULT_DUPLICATE)
				add_known(im, ctl_whole(row, "line"), ctl_text(row, "email"));
		}
	}
}

static int send_batch(struct import *im)
{
	cJSON *in = ctl_change(im->c), *answer = NULL;

	ctl_put(in, "campaign", ctl_option(im->c, "campaign"));
	cJSON_AddItemToObject(in, "rows", im->rows);
	im->rows = cJSON_CreateArray();
	im->batch_bytes = 0;
	int status = ctl_ask(im->c, "leads/import", in, &answer);
	if (!status)
		take_results(im, answer);
	cJSON_Delete(answer);
	return status;
}

/* ---- rows --------------------------------------------------------------------------------------- */

static void add_row(struct import *im, const struct lead_record *record)
{
	cJSON *row = cJSON_CreateObject(), *vars = cJSON_AddObjectToObject(row, "vars");

	cJSON_AddNumberToObject(row, "line", (double)record->line);
	for (size_t i = 0; i < record->n_vars; i++) {
		const char *name = im->columns.names[i], *value = record->vars[i].value;

		/* An empty field says nothing, and sending it would. */
		if (!*value || !name)
			continue;
		cJSON_AddStringToObject(vars, name, value);
		im->batch_bytes += strlen(name) + strlen(value) + 8;
	}
	cJSON_AddItemToArray(im->rows, row);
}

static int read_all(struct import *im)
{
	const struct lead_record *record;
	int n = 0, status = 0;

	while (!status && !interrupted && (record = lead_reader_next(im->reader))) {
		im->n_rows++;
		if (record->error) {
			im->counts[RESULT_INVALID]++;
			add_problem(im, record->line, RESULT_INVALID, record->error);
			continue;
		}
		add_row(im, record);
		if (++n < BATCH && im->batch_bytes < BATCH_BYTES)
			continue;
		status = send_batch(im);
		draw_bar(im);
		n = 0;
	}
	return !status && n ? send_batch(im) : status;
}

/* ---- the end ------------------------------------------------------------------------------------ */

static int by_line(const void *a, const void *b)
{
	int64_t x = ctl_whole(*(cJSON *const *)a, "line"),
		y = ctl_whole(*(cJSON *const *)b, "line");

	return (x > y) - (x < y);
}

/* What the reader found comes before what the daemon did: put both in the file's order. */
static void sort_problems(struct import *im)
{
	size_t n = (size_t)cJSON_GetArraySize(im->problems);
	cJSON **v = xcalloc(n, sizeof(cJSON *));

	for (size_t i = 0; i < n; i++)
		v[i] = cJSON_DetachItemFromArray(im->problems, 0);
	qsort(v, n, sizeof(cJSON *), by_line);
	for (size_t i = 0; i < n; i++)
		cJSON_AddItemToArray(im->problems, v[i]);
	free(v);
}

static void print_problems(const struct import *im)
{
	const int64_t known =
		im->n_known > SHOWN_KNOWN && !im->c->verbose ? im->n_known - SHOWN_KNOWN : 0;
	const int64_t all = cJSON_GetArraySize(im->problems) + known;
	const cJSON *p;
	int64_t shown = 0;

	cJSON_ArrayForEach(p, im->problems)
	{
		if (!im->c->verbose && shown == SHOWN)
			break;
		printf("%s:%" PRId64 ": %s: %s\n", im->file, ctl_whole(p, "line"),
			ctl_text(p, "result"), ctl_text(p, "text"));
		shown++;
	}
	if (shown < all)
		printf("… and %" PRId64 " more such line%s (--verbose prints them)\n", all - shown,
			str_plural(all - shown));
}

static void print_totals(const struct import *im)
{
	const char *separator = "";

	for (enum result r = 0; r < N_RESULTS; r++) {
		/* A check knows only which rows are in order; being contacted is rare. */
		bool always = im->c->dry_run ? r >= RESULT_INVALID
					     : r <= RESULT_SUPPRESSED || r == RESULT_INVALID;

		if (!always && !im->counts[r])
			continue;
		printf("%s%" PRId64 " %s", separator, im->counts[r], result_names[r]);
		separator = ", ";
	}
	putchar('\n');
}

static void print_json(struct import *im)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "file", im->file);
	cJSON_AddNumberToObject(o, "rows", (double)im->n_rows);
	for (enum result r = 0; r < N_RESULTS; r++)
		if (r != RESULT_VALID || im->c->dry_run)
			cJSON_AddNumberToObject(o, result_names[r], (double)im->counts[r]);
	cJSON_AddBoolToObject(o, "interrupted", interrupted);
	cJSON_AddBoolToObject(o, "dry_run", im->c->dry_run);
	cJSON_AddItemToObject(o, "problems", im->problems);
	im->problems = NULL;
	ctl_print_json(o);
}

static void print_end(struct import *im, int status)
{
	sort_problems(im);
	if (im->c->json) {
		print_json(im);
		return;
	}
	print_problems(im);
	print_totals(im);
	if (interrupted || status)
		puts("Not finished: what is counted above is stored. The same command again does "
		     "the\nrest; nothing is stored twice, and nobody is written to twice.");
	else if (im->c->dry_run)
		puts("Checked only, nothing was stored.");
	else
		ctl_print_outlook(im->c, ctl_option(im->c, "campaign"));
}

/* ---- the beginning ------------------------------------------------------------------------------ */

static int open_reader(struct import *im, const struct str *data)
{
	char *why = NULL;
	size_t n;

	if (lead_reader_new(str_z(data), data->len, &im->reader, &why)) {
		ctl_error("%s:%s", im->file, why);
		free(why);
		return CM_EXIT_USAGE;
	}
	const char *const *columns = lead_reader_columns(im->reader, &n);
	return ctl_columns_init(
		im->c, im->file, lead_reader_header_line(im->reader), columns, n, &im->columns);
}

static int import(const struct ctl *c)
{
	const bool is_stdin = str_eq(c->args[0], "-");
	struct str data = STR_INIT;
	struct import im = {
		.c = c,
		.file = is_stdin ? "(standard input)" : c->args[0],
		.rows = cJSON_CreateArray(),
		.problems = cJSON_CreateArray(),
		.shows_bar = isatty(STDERR_FILENO) && !c->json,
		.started_us = clock_raw_us(),
	};
	int status = ctl_read_file(c->args[0], &data);

	im.n_bytes = data.len;
	if (!status)
		status = open_reader(&im, &data);
	if (!status)
		status = send_batch(&im); /* of nothing: is there such a campaign? */
	if (!status) {
		if (im.columns.is_export)
			fprintf(stderr,
				"%s is an export: where its leads stood (state, step, due …) is "
				"not "
				"imported\n",
				im.file);
		signal(SIGINT, on_interrupt);
		status = read_all(&im);
		end_bar(&im);
		print_end(&im, status);
		if (!status &&
			(interrupted || (im.n_rows && im.counts[RESULT_INVALID] == im.n_rows)))
			status = CM_EXIT_NO;
	}
	ctl_columns_done(&im.columns);
	lead_reader_free(im.reader);
	cJSON_Delete(im.rows);
	cJSON_Delete(im.problems);
	str_done(&data);
	return status;
}

const struct ctl_command ctl_commands_import[] = {
	{ "leads import", "FILE", 1, 1, "read leads from a CSV file (- : standard input)", import,
		0,
		{ { "campaign", "NAME", "the campaign of rows that name none themselves" },
			{ "map", "COLUMN=FIELD", "read a column as this field; may be repeated" } },
		"The first line names the columns; email is needed. first_name last_name name "
		"company\n"
		"title domain website city region country timezone smtp_valid source have a "
		"meaning "
		"of\ntheir own, any other column is kept and can be used in templates. A column "
		"campaign\nassigns a row to a campaign.\n\n"
		"An import can be interrupted and repeated: nothing is stored twice, nobody is "
		"written to\ntwice, nobody on the suppression list comes off it." },
	{ 0 },
};
