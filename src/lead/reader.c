/*
 * The reader of files of leads: which kind of file it is, and the next record of it.
 * Runs on: any. Called by coldmailctl. The file may hold any bytes; memory stays in proportion to a
 * record, time to the file.
 */
#include "lead_private.h"

#include <string.h>

#include "coldmail/err.h"

/* ---- memory as a source ------------------------------------------------------------------------- */

static ssize_t read_memory(void *arg, char *buf, size_t n, const char **ret_why)
{
	struct lead_reader *r = arg;

	(void)ret_why;
	if (n > r->n_memory)
		n = r->n_memory;
	memcpy(buf, r->memory, n);
	r->memory += n;
	r->n_memory -= n;
	return (ssize_t)n;
}

/* ---- the door ----------------------------------------------------------------------------------- */

/* No name of a column begins so. */
static bool is_json(const struct lead_reader *r)
{
	size_t i = 0;

	while (i < r->n && strchr(" \t\r\n", r->data[i]))
		i++;
	return i < r->n && (r->data[i] == '{' || r->data[i] == '[');
}

static char *begin(struct lead_reader *r, const struct lead_source *source)
{
	char *why = lead_input_open(r, source);

	if (why || !is_json(r))
		return why ? why : lead_csv_begin(r);
	lead_json_begin(r);
	return NULL;
}

/* R is given to the caller, or ended. */
static int finish(struct lead_reader *r, char *why, struct lead_reader **ret, char **ret_why)
{
	if (why) {
		*ret_why = xasprintf("%lld: %s", (long long)r->header_line, why);
		free(why);
		lead_reader_free(r);
		return CM_EINVAL;
	}
	*ret = r;
	return CM_OK;
}

int lead_reader_open(const struct lead_source *source, struct lead_reader **ret, char **ret_why)
{
	struct lead_reader *r = xcalloc(1, sizeof *r);

	return finish(r, begin(r, source), ret, ret_why);
}

int lead_reader_new(const char *data, size_t n, struct lead_reader **ret, char **ret_why)
{
	struct lead_reader *r = xcalloc(1, sizeof *r);
	const struct lead_source source = { read_memory, r, NULL };

	r->memory = data;
	r->n_memory = n;
	return finish(r, begin(r, &source), ret, ret_why);
}

const struct lead_record *lead_reader_next(struct lead_reader *r)
{
	return r->json ? lead_json_next(r) : lead_csv_next(r);
}

const char *lead_reader_trouble(const struct lead_reader *r)
{
	return r->at == r->n || r->is_last ? r->trouble : NULL;
}

size_t lead_reader_offset(const struct lead_reader *r)
{
	return lead_input_dropped(r) + r->at;
}

int64_t lead_reader_header_line(const struct lead_reader *r)
{
	return r->header_line;
}

const char *const *lead_reader_columns(const struct lead_reader *r, size_t *ret_n)
{
	*ret_n = r->n_columns;
	return (const char *const *)r->columns;
}

const char *const *lead_reader_headings(const struct lead_reader *r)
{
	return (const char *const *)r->headings;
}

void lead_reader_about(const struct lead_reader *r, struct lead_about *ret)
{
	static const char *const encodings[] = { [LEAD_ASCII] = "UTF-8",
		[LEAD_UTF8] = "UTF-8",
		[LEAD_UTF16] = "UTF-16",
		[LEAD_CP1252] = "Windows-1252" };

	*ret = (struct lead_about){
		.is_json = r->json != NULL,
		.is_gzip = lead_input_is_gzip(r),
		.separator = r->separator,
		.encoding = encodings[r->encoding],
		.recoded_line = r->recoded_line,
		.recoded = r->recoded,
	};
}

void lead_reader_free(struct lead_reader *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_columns; i++) {
		free(r->columns[i]);
		free(r->headings[i]);
	}
	lead_json_free(r->json);
	lead_input_free(r->in);
	str_done(&r->text);
	free(r->recoded);
	free(r->error);
	free(r);
}
