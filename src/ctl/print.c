/*
 * How coldmailctl shows things: fields of answers, JSON, tables, bars, times.
 * Runs on: any. Called by the commands.
 * What comes from the store may be anything; nothing of it reaches a terminal but printing text.
 */
#include "ctl_private.h"

#include <inttypes.h>
#include <langinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "coldmail/clock.h"

#define CELL_MAX 120

/* ---- errors ------------------------------------------------------------------------------------ */

static struct str told; /* the errors so far, a line each, for --json */
static bool has_json; /* something was printed as JSON: the answer, or its beginning */

void ctl_error_lines(const char *text)
{
	fprintf(stderr, "%s\n", text);
	str_addf(&told, "%s%s", told.len ? "\n" : "", text);
}

void ctl_verror(const char *fmt, va_list ap)
{
	struct str text = STR_INIT;

	str_vaddf(&text, fmt, ap);
	fputs("coldmailctl: ", stderr);
	ctl_error_lines(str_z(&text));
	str_done(&text);
}

void ctl_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ctl_verror(fmt, ap);
	va_end(ap);
}

void ctl_errors_end(bool json, int status)
{
	char *text = str_take(&told), *rest = text, *line;

	if (json && status && *text && !has_json) {
		cJSON *o = ctl_new("error", text), *lines = cJSON_AddArrayToObject(o, "errors");

		while ((line = strsep(&rest, "\n")))
			cJSON_AddItemToArray(lines, cJSON_CreateString(line));
		cJSON_AddNumberToObject(o, "exit", status);
		ctl_print_json(o);
	}
	free(text);
}

/* ---- fields ------------------------------------------------------------------------------------ */

const cJSON *ctl_get(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

const char *ctl_text(const cJSON *o, const char *key)
{
	const char *text = cJSON_GetStringValue(ctl_get(o, key));

	return text ? text : "";
}

int64_t ctl_whole(const cJSON *o, const char *key)
{
	const cJSON *v = ctl_get(o, key);

	return cJSON_IsNumber(v) ? (int64_t)v->valuedouble : 0;
}

bool ctl_flag(const cJSON *o, const char *key)
{
	return cJSON_IsTrue(ctl_get(o, key));
}

/* ---- JSON -------------------------------------------------------------------------------------- */

void ctl_print_json(cJSON *o)
{
	char *text = cJSON_Print(o);

	has_json = true;
	puts(text);
	free(text);
	cJSON_Delete(o);
}

static bool array_has_items;

void ctl_array_begin(void)
{
	array_has_items = false;
}

void ctl_array_add(const cJSON *o)
{
	char *text = cJSON_PrintUnformatted(o);

	printf("%s\n%s", array_has_items ? "," : "[", text);
	array_has_items = has_json = true;
	free(text);
}

void ctl_array_end(int status)
{
	/* Instead of the first item comes what is wrong. */
	if (array_has_items || !status)
		puts(array_has_items ? "\n]" : "[]");
}

/* ---- text -------------------------------------------------------------------------------------- */

void ctl_add_safe(struct str *out, const char *text)
{
	char *safe = text ? str_printable(text, strlen(text), CELL_MAX) : NULL;

	str_adds(out, safe);
	free(safe);
}

static bool has_unicode(void)
{
	return str_ieq(nl_langinfo(CODESET), "UTF-8");
}

void ctl_add_bar(struct str *out, int64_t n, int64_t of, int width)
{
	const bool unicode = has_unicode();
	/* Something is more than nothing, and not everything is not all. */
	int64_t full = of > 0 ? n * width / of : 0;

	if (n > 0 && !full)
		full = 1;
	for (int i = 0; i < width; i++)
		str_adds(out, i < full ? (unicode ? "█" : "#") : (unicode ? "░" : "."));
}

void ctl_add_counts(struct str *out, const cJSON *counts)
{
	const cJSON *v;
	const char *separator = "";

	cJSON_ArrayForEach(v, counts)
	{
		str_addf(out, "%s%.0f ", separator, v->valuedouble);
		ctl_add_safe(out, v->string);
		separator = ", ";
	}
}

void ctl_add_reply(struct str *out, const cJSON *attempt)
{
	const char *outcome = ctl_text(attempt, "outcome"), *reply = ctl_text(attempt, "reply");
	size_t n = strlen(outcome);

	if (str_eq(outcome, "refused")) {
		ctl_add_safe(out, ctl_text(attempt, "class"));
		str_adds(out, " (");
		ctl_add_safe(out, ctl_text(attempt, "reason"));
		str_adds(out, "): ");
	}

	/* "released: paused" stands behind the outcome already. */
	if (str_starts(reply, outcome) && str_starts(reply + n, ": "))
		reply += n + 2;
	if (ctl_whole(attempt, "code"))
		str_addf(out, "%" PRId64 " ", ctl_whole(attempt, "code"));
	ctl_add_safe(out, reply);
}

/* ---- times ------------------------------------------------------------------------------------- */

static int64_t now_of(const char *now)
{
	int64_t ms;

	return clock_parse_stamp(now, &ms) ? ms : clock_wall_ms();
}

void ctl_add_time(struct str *out, const char *stamp, const char *now)
{
	int64_t at_ms, now_ms = now_of(now);
	struct tm at, today;
	char text[64];

	if (!clock_parse_stamp(stamp, &at_ms)) {
		str_adds(out, "-");
		return;
	}
	const time_t at_s = (time_t)(at_ms / 1000), now_s = (time_t)(now_ms / 1000);
	if (!localtime_r(&at_s, &at) || !localtime_r(&now_s, &today)) {
		ctl_add_safe(out, stamp);
		return;
	}
	/* As much of it as tells it from other times near now. */
	if (at.tm_year == today.tm_year && at.tm_yday == today.tm_yday)
		strftime(text, sizeof text, "%H:%M", &at);
	else if (at_ms - now_ms < 6 * CLOCK_DAY_MS && now_ms - at_ms < 6 * CLOCK_DAY_MS)
		strftime(text, sizeof text, "%a %H:%M", &at);
	else
		strftime(text, sizeof text, "%Y-%m-%d %H:%M", &at);
	str_adds(out, text);
}

void ctl_add_when(struct str *out, const char *stamp, const char *now)
{
	int64_t at_ms;
	char span[32];

	ctl_add_time(out, stamp, now);
	if (!clock_parse_stamp(stamp, &at_ms))
		return;
	int64_t away = at_ms - now_of(now);
	if (away >= CLOCK_SECOND_MS)
		str_addf(out, ", in %s", str_duration(away, span));
	else if (away > -CLOCK_SECOND_MS)
		str_adds(out, ", now");
	else
		str_addf(out, ", %s ago", str_duration(-away, span));
}

/* ---- tables ------------------------------------------------------------------------------------ */

static int width_of(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xC0) != 0x80; /* not inside a character */
	return n;
}

void ctl_table_init(struct ctl_table *t, const char *const *headings)
{
	*t = (struct ctl_table){ .headings = headings };
	while (headings[t->n_columns])
		t->n_columns++;
}

void ctl_table_add(struct ctl_table *t, const char *cell)
{
	struct str safe = STR_INIT;

	ctl_add_safe(&safe, cell);
	mem_grow(t->cells, t->cap, t->n + 1);
	t->cells[t->n++] = str_take(&safe);
}

static int column_width(const struct ctl_table *t, int column)
{
	int widest = width_of(t->headings[column]);

	for (size_t i = (size_t)column; i < t->n; i += (size_t)t->n_columns)
		if (width_of(t->cells[i]) > widest)
			widest = width_of(t->cells[i]);
	return widest;
}

/* Cells are padded by those behind them: no line ends in spaces. */
static void print_row(const char *const *cells, const int *widths, int n)
{
	int gap = 0;

	for (int k = 0; k < n; k++) {
		if (*cells[k]) {
			printf("%*s%s", gap, "", cells[k]);
			gap = 0;
		}
		gap += widths[k] - width_of(cells[k]) + 2;
	}
	putchar('\n');
}

void ctl_table_print(struct ctl_table *t)
{
	int *widths = xcalloc((size_t)t->n_columns, sizeof *widths);

	for (int k = 0; k < t->n_columns; k++)
		widths[k] = column_width(t, k);
	print_row(t->headings, widths, t->n_columns);
	for (size_t i = 0; i < t->n; i += (size_t)t->n_columns)
		print_row((const char *const *)&t->cells[i], widths, t->n_columns);
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i]);
	free(widths);
	free(t->cells);
	ctl_table_init(t, t->headings);
}

/* ---- CSV ---------------------------------------------------------------------------------------- */

void ctl_write_csv(FILE *out, const char *text, bool is_first)
{
	if (!is_first)
		fputc(',', out);
	if (!strpbrk(text, ",\"\r\n")) {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', out);
		fputc(*text, out);
	}
	fputc('"', out);
}
