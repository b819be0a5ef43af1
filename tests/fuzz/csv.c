/* Fuzz: a file of leads of any bytes (CSV, JSON, compressed, in any encoding) is read to its end, record by
 * record, and says the same when it comes a few bytes at a time. */
#include "coldmail/lead.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct drip {
	const uint8_t *data;
	size_t n;
};

static ssize_t read_drip(void *arg, char *buf, size_t n, const char **ret_why)
{
	struct drip *d = arg;

	(void)ret_why;
	if (n > 3)
		n = 3;
	if (n > d->n)
		n = d->n;
	if (n)
		memcpy(buf, d->data, n);
	d->data += n;
	d->n -= n;
	return (ssize_t)n;
}

static void check(const struct lead_record *rec, const struct lead_about *about, size_t n_columns)
{
	bug_if(rec->error && rec->n_vars, "an error and fields");
	bug_if(!rec->error && !about->is_json && rec->n_vars != n_columns, "%zu fields",
		rec->n_vars);
	for (size_t i = 0; i < rec->n_vars; i++) {
		const char *name = rec->vars[i].name, *value = rec->vars[i].value;

		bug_if(!*name || !str_is_utf8(name, strlen(name)), "the name of a field");
		bug_if(!str_is_utf8(value, strlen(value)), "not UTF-8");
	}
}

/* All of it as one text. */
static char *read_all(struct lead_reader *r, size_t n)
{
	const struct lead_record *rec;
	struct str out = STR_INIT;
	struct lead_about about;
	size_t n_columns, offset = 0;
	int64_t line = 0;
	int rank;

	lead_reader_columns(r, &n_columns);
	for (size_t i = 0; i < n_columns; i++)
		lead_column_guess(lead_reader_headings(r)[i], &rank);
	lead_reader_about(r, &about);
	while ((rec = lead_reader_next(r))) {
		bug_if(lead_reader_offset(r) < offset || rec->line < line, "back");
		bug_if(!about.is_json && rec->line == line, "no progress");
		offset = lead_reader_offset(r);
		line = rec->line;
		check(rec, &about, n_columns);
		str_addf(&out, "%d %s\n", (int)line, rec->error ? rec->error : "");
		for (size_t i = 0; i < rec->n_vars; i++)
			str_addf(&out, "%s=%s|", rec->vars[i].name, rec->vars[i].value);
	}
	lead_reader_about(r, &about);
	bug_if(!about.is_gzip && str_eq(about.encoding, "UTF-8") && lead_reader_offset(r) != n,
		"not read to the end");
	str_adds(&out, lead_reader_trouble(r));
	return str_take(&out);
}

/* The same, or why it cannot be read. */
static char *read_or_why(int err, struct lead_reader *r, char *why, size_t n)
{
	if (err) {
		bug_if(str_is_empty(why), "no reason");
		return why;
	}
	char *text = read_all(r, n);
	lead_reader_free(r);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct drip drip = { data, n };
	const struct lead_source source = { read_drip, &drip, NULL };
	struct lead_reader *r = NULL;
	char *why = NULL;
	int err = lead_reader_new((const char *)data, n, &r, &why);
	char *whole = read_or_why(err, r, why, n);

	err = lead_reader_open(&source, &r, &why);
	char *dripped = read_or_why(err, r, why, n);
	bug_if(!str_eq(whole, dripped), "%s but a few bytes at a time %s", whole, dripped);
	free(whole);
	free(dripped);
	return 0;
}
