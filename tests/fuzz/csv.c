/* Fuzz: a leads file of any bytes is read to its end, record by record. */
#include "coldmail/lead.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const struct lead_record *rec, size_t n_columns)
{
	bug_if(rec->error && rec->n_vars, "an error and fields");
	bug_if(!rec->error && rec->n_vars != n_columns, "%zu fields", rec->n_vars);
	for (size_t i = 0; i < rec->n_vars; i++)
		bug_if(!str_is_utf8(rec->vars[i].value, strlen(rec->vars[i].value)), "not UTF-8");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct lead_reader *r = NULL;
	const struct lead_record *rec;
	size_t n_columns, offset = 0;
	int64_t line = 0;
	char *why = NULL;

	if (lead_reader_new((const char *)data, n, &r, &why)) {
		bug_if(!why, "no reason");
		free(why);
		return 0;
	}
	lead_reader_columns(r, &n_columns);
	while ((rec = lead_reader_next(r))) {
		bug_if(lead_reader_offset(r) <= offset || rec->line <= line, "no progress");
		offset = lead_reader_offset(r);
		line = rec->line;
		check(rec, n_columns);
	}
	bug_if(lead_reader_offset(r) != n, "not read to the end");
	lead_reader_free(r);
	return 0;
}
