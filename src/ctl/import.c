/*
 * coldmailctl leads import: reads the file here, sends it in batches, says what became of each row.
 * Runs on: any.
 * The daemon judges rows; this knows lines. An import that was interrupted is repeated as it is:
 * what is there already is a duplicate, and nobody is written to twice. Memory is that of a batch.
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
#define FIELDS_MAX   500
#define BAR_EVERY_US 100000
#define BAR_WIDTH    30

struct import {
	const struct ctl *c;
	const char *file;
	struct ctl_source source;
	struct lead_reader *reader; /* owned */
	struct ctl_columns columns; /* owned */
	struct ctl_tally tally; /* owned */

	const char *names[FIELDS_MAX]; /* of the record in hand, as it is imported */
	cJSON *rows; /* owned: the batch in the making */
	size_t batch_bytes;
	int n; /* rows, and records that are none */
	struct sent {
		int64_t line;
		uint64_t content;
	} sent[BATCH]; /* of a check's batch */
	int n_sent;

	bool is_begun, is_refused, is_recoding_told, is_export_told;
	char *left_out; /* owned: the first field that lies too deep */
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
	int64_t at = im->source.n_read, size = im->source.size;
	struct str bar = STR_INIT;

	if (!im->shows_bar || now - im->drawn_us < BAR_EVERY_US)
		return;
	im->drawn_us = now;
	if (size) {
		ctl_add_bar(&bar, at, size, BAR_WIDTH);
		str_addf(&bar, " %3" PRId64 " %%  ", at * 100 / size);
	}
	fprintf(stderr, "\r%s%" PRId64 " rows, %" PRId64 " a second ", str_z(&bar),
		im->tally.n_rows, took_us ? im->tally.n_rows * 1000000 / took_us : 0);
	str_done(&bar);
}

/* Before anything else is printed. */
static void clear_bar(struct import *im)
{
	if (im->drawn_us)
		fputs("\r\033[K", stderr);
}

/* ---- what kind of file it is ---------------------------------------------------------------------- */

static void show_kind(const struct import *im, const struct lead_about *about)
{
	struct str line = STR_INIT;

	ctl_add_safe(&line, im->file);
	str_addf(&line, ": %s in %s", about->is_json ? "JSON" : "CSV", about->encoding);
	if (about->separator == '\t')
		str_adds(&line, ", with tabs between fields");
	else if (about->separator && about->separator != ',')
		str_addf(&line, ", with '%c' between fields", about->separator);
	puts(str_z(&line));
	str_done(&line);
}

/* What is noticed of the file is said once, when it is. */
static void show_file(struct import *im, bool is_first)
{
	struct lead_about about;

	lead_reader_about(im->reader, &about);
	if (im->columns.is_export && !im->is_export_told)
		fprintf(stderr,
			"%s is an export: where its leads stood (state, step, due …) is not "
			"imported\n",
			im->file);
	im->is_export_told |= im->columns.is_export;
	if (im->c->json)
		return;
	if (is_first && im->c->dry_run)
		show_kind(im, &about);
	ctl_columns_show(&im->columns, im->c->dry_run);
	if (about.recoded_line && !im->is_recoding_told) {
		printf("%s:%" PRId64 ": no UTF-8, and read as %s: \"%s\". If that is not what it "
		       "says, save the file as CSV in UTF-8.\n",
			im->file, about.recoded_line, about.encoding, about.recoded);
		im->is_recoding_told = true;
	}
}

/* Before the first batch goes, when it is known what it would go as. */
static int begin(struct import *im)
{
	if (im->is_begun)
		return 0;
	im->is_begun = true;
	show_file(im, true);
	int status = cJSON_GetArraySize(im->rows) ? ctl_columns_check(&im->columns) : 0;
	im->is_refused = status != 0;
	return status;
}

/* ---- batches -------------------------------------------------------------------------------------- */

static uint64_t content_of(const struct import *im, int64_t line)
{
	for (int low = 0, high = im->n_sent; low < high;) {
		int middle = (low + high) / 2;

		if (im->sent[middle].line == line)
			return im->sent[middle].content;
		if (im->sent[middle].line < line)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

/* Also of no rows: is there such a campaign? */
static int ask(struct import *im)
{
	cJSON *in = ctl_change(im->c), *answer = NULL;
	const cJSON *row;

	ctl_put(in, "campaign", ctl_option(im->c, "campaign"));
	cJSON_AddItemToObject(in, "rows", im->rows);
	im->rows = cJSON_CreateArray();
	im->batch_bytes = 0;
	int status = ctl_ask(im->c, "leads/import", in, &answer);
	cJSON_ArrayForEach(row, ctl_get(answer, "rows"))
		ctl_tally_add(&im->tally, row, content_of(im, ctl_whole(row, "line")));
	im->n_sent = im->n = 0;
	cJSON_Delete(answer);
	return status;
}

static int send_batch(struct import *im)
{
	int status = begin(im);

	if (!status && cJSON_GetArraySize(im->rows))
		status = ask(im);
	im->n = 0;
	clear_bar(im);
	ctl_tally_flush(&im->tally);
	draw_bar(im);
	return status;
}

/* Bytes of it in JSON. */
static size_t size_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (unsigned char)*text < ' ' ? 6 : *text == '"' || *text == '\\' ? 2 : 1;
	return n;
}

/* For a check: which rows say the same. */
static void keep_content(struct import *im, const cJSON *row, int64_t line)
{
	char *text = cJSON_PrintUnformatted(ctl_get(row, "vars"));

	im->sent[im->n_sent++] = (struct sent){ line, ctl_hash(text) };
	free(text);
}

static void add_row(struct import *im, const struct lead_record *record)
{
	cJSON *row = cJSON_CreateObject(), *vars = cJSON_AddObjectToObject(row, "vars");

	cJSON_AddNumberToObject(row, "line", (double)record->line);
	for (size_t i = 0; i < record->n_vars; i++) {
		const char *value = record->vars[i].value;

		/* An empty field says nothing, and sending it would. */
		if (!*value || !im->names[i])
			continue;
		cJSON_AddStringToObject(vars, im->names[i], value);
		im->batch_bytes += size_of(im->names[i]) + size_of(value) + 8;
	}
	if (im->c->dry_run)
		keep_content(im, row, record->line);
	cJSON_AddItemToArray(im->rows, row);
}

static void take(struct import *im, const struct lead_record *record)
{
	char *why = record->error ? xstrdup(record->error)
				  : ctl_columns_of(&im->columns, record, im->names);

	im->tally.n_rows++;
	im->n++;
	if (why)
		ctl_tally_invalid(&im->tally, record->line, why);
	else
		add_row(im, record);
	if (record->left_out && !im->left_out)
		im->left_out = xstrdup(record->left_out);
	free(why);
}

static int read_all(struct import *im)
{
	const struct lead_record *record;
	int status = 0;

	while (!status && !interrupted && (record = lead_reader_next(im->reader))) {
		take(im, record);
		if (im->n == BATCH || im->batch_bytes >= BATCH_BYTES)
			status = send_batch(im);
	}
	if (!status)
		status = send_batch(im);
	const char *trouble = lead_reader_trouble(im->reader);
	if (status || interrupted || !trouble)
		return status;
	clear_bar(im);
	ctl_error("%s: %s", im->file, trouble);
	return CM_EXIT_NO;
}

/* ---- the end ------------------------------------------------------------------------------------ */

static void print_json(struct import *im)
{
	cJSON *o = ctl_new("file", im->file);
	struct lead_about about;

	lead_reader_about(im->reader, &about);
	ctl_put(o, "format", about.is_json ? "json" : "csv");
	ctl_put(o, "encoding", about.encoding);
	ctl_put(o, "error", lead_reader_trouble(im->reader));
	cJSON_AddItemToObject(o, "columns", ctl_columns_json(&im->columns));
	ctl_tally_json(&im->tally, o);
	cJSON_AddBoolToObject(o, "interrupted", interrupted);
	cJSON_AddBoolToObject(o, "dry_run", im->c->dry_run);
	ctl_print_json(o);
}

static void print_end(struct import *im, int status)
{
	show_file(im, false);
	if (!status && !interrupted)
		ctl_columns_end(&im->columns);
	if (im->left_out)
		fprintf(stderr,
			"field \"%s\", and what lies as deep or is as far down a list, is not "
			"imported\n",
			im->left_out);
	if (im->c->json) {
		print_json(im);
		return;
	}
	ctl_tally_print(&im->tally);
	if (im->c->dry_run)
		puts(interrupted || status ? "Not finished; checked only, nothing was stored."
					   : "Checked only, nothing was stored.");
	else if (interrupted || status)
		puts("Not finished: what is counted above is stored. The same command again does "
		     "the\nrest; nothing is stored twice, and nobody is written to twice.");
	else
		ctl_print_outlook(im->c, ctl_option(im->c, "campaign"));
}

/* ---- the beginning ------------------------------------------------------------------------------ */

static int open_reader(struct import *im)
{
	struct lead_source source;
	char *why = NULL;
	int status = ctl_source_open(im->c->args[0], &im->source);

	if (status)
		return status;
	ctl_source_reads(&im->source, &source);
	if (lead_reader_open(&source, &im->reader, &why)) {
		ctl_error("%s:%s", im->file, why);
		free(why);
		return CM_EXIT_USAGE;
	}
	return ctl_columns_init(im->c, im->file, im->reader, &im->columns);
}

/* Also a read that waits for a pipe is interrupted. */
static void catch_interrupt(void)
{
	struct sigaction sa = { .sa_handler = on_interrupt };

	sigaction(SIGINT, &sa, NULL);
}

static int run(struct import *im)
{
	int status = open_reader(im);

	if (!status)
		status = ask(im);
	if (status)
		return status;
	catch_interrupt();
	status = read_all(im);
	clear_bar(im);
	if (im->is_refused)
		return status;
	print_end(im, status);
	if (!status && (interrupted || (im->tally.n_rows && im->tally.counts[CTL_RESULT_INVALID] ==
								    im->tally.n_rows)))
		status = CM_EXIT_NO;
	return status;
}

static int import(const struct ctl *c)
{
	const bool is_stdin = str_eq(c->args[0], "-");
	struct import im = {
		.c = c,
		.file = is_stdin ? "(standard input)" : c->args[0],
		.rows = cJSON_CreateArray(),
		.shows_bar = isatty(STDERR_FILENO) && !c->json,
		.started_us = clock_raw_us(),
	};

	ctl_tally_init(&im.tally, c, im.file);
	int status = run(&im);
	ctl_columns_done(&im.columns);
	ctl_tally_done(&im.tally);
	lead_reader_free(im.reader);
	cJSON_Delete(im.rows);
	free(im.left_out);
	return status;
}

const struct ctl_command ctl_commands_import[] = {
	{ "leads import", "FILE", 1, 1, "read leads from CSV or JSON (- : standard input)", import,
		0,
		{ { "campaign", "NAME", "the campaign of rows that name none themselves" },
			{ "map", "COLUMN=FIELD", "read a column as this field; may be repeated" } },
		"CSV, whose first line names the columns, or JSON, an object a line; in UTF-8, "
		"UTF-16 or\nWindows-1252, also compressed by gzip. email is needed. first_name "
		"last_name name company\ntitle domain website city region country timezone "
		"smtp_valid source have a meaning of\ntheir own, and are known by what other "
		"programs and languages call them, too, which is\nshown. Any other column is kept "
		"and can be used in templates. A column campaign assigns a\nrow to a campaign.\n\n"
		"--dry-run shows what each column is read as and what would become of the rows, "
		"and stores\nnothing. --map COLUMN=COLUMN keeps a column under its own name.\n\n"
		"An import can be interrupted and repeated: nothing is stored twice, nobody is "
		"written to\ntwice, nobody on the suppression list comes off it." },
	{ 0 },
};
