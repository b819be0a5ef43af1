/*
 * Names of columns: as a template can write them, and what other programs and languages call those
 * that have a meaning of their own.
 * Runs on: any. Called by csv.c, json.c and coldmailctl. Names differ by more than case: "E-mail
 * Address", "emailAddress" and "EMAIL_ADDRESS" are one.
 */
#include "lead_private.h"

#include <glib.h>
#include <string.h>

/* config/lead_columns.tsv */
static const char table[] =
#include "lead_columns.inc"
	;

#define COLUMN(name) #name,
static const char *const fields[] = { "email", LEAD_COLUMNS(COLUMN) };
#undef COLUMN
#define N_FIELDS (sizeof fields / sizeof *fields)

char *lead_column_name(const char *s)
{
	struct str name = STR_INIT;
	bool is_gap = false;

	for (; *s; s++) {
		bool is_word = (unsigned char)*s >= 0x80 || *s == '_' || (*s >= '0' && *s <= '9') ||
			       (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z');

		if (is_word && is_gap && name.len)
			str_addc(&name, '_');
		if (is_word)
			str_addc(&name, *s);
		is_gap = !is_word;
	}
	if (!name.len)
		return NULL;
	str_lower(name.p);
	return str_take(&name);
}

/* Letters and digits of the N bytes S, without case and accents; owned by the caller. */
static char *folded(const char *s, size_t n)
{
	char *apart = g_utf8_normalize(s, (gssize)n, G_NORMALIZE_ALL);
	struct str out = STR_INIT;

	for (const char *p = apart; p && *p; p += g_utf8_skip[(unsigned char)*p]) {
		gunichar c = g_unichar_tolower(g_utf8_get_char(p));
		char utf8[6];

		if (g_unichar_isalnum(c))
			str_add(&out, utf8, (size_t)g_unichar_to_utf8(c, utf8));
	}
	g_free(apart);
	return str_take(&out);
}

/* Is one of the N bytes NAMES, with "|" between, FOLD? */
static bool has_name(const char *names, size_t n, const char *fold)
{
	const char *end = names + n;

	while (names < end) {
		const char *bar = memchr(names, '|', (size_t)(end - names));
		size_t len = (size_t)((bar ? bar : end) - names);
		char *name = folded(names, len);
		bool is_same = str_eq(name, fold);

		free(name);
		if (is_same)
			return true;
		names += len + 1;
	}
	return false;
}

/* The field that a row of the table begins with. The table is a part of the program: its rows are in
 * order. */
static const char *field_of(const char *row)
{
	size_t n = strcspn(row, "\t");

	for (size_t i = 0; i < N_FIELDS; i++)
		if (strlen(fields[i]) == n && !strncmp(fields[i], row, n))
			return fields[i];
	return NULL;
}

static const char *find_row(const char *fold, int *ret_rank)
{
	int rank = 1;

	for (const char *row = table; *row; row = strchr(row, '\n') + 1, rank++) {
		if (*row == '#' || *row == '\n')
			continue;
		const char *names = strchr(row, '\t') + 1;
		if (!has_name(names, strcspn(names, "\t\n"), fold))
			continue;
		*ret_rank = rank;
		return field_of(row);
	}
	return NULL;
}

const char *lead_column_guess(const char *name, int *ret_rank)
{
	char *fold = folded(name, strlen(name));
	const char *field = NULL;

	*ret_rank = 0;
	for (size_t i = 0; i < N_FIELDS && !field; i++)
		if (has_name(fields[i], strlen(fields[i]), fold))
			field = fields[i];
	if (!field && *fold)
		field = find_row(fold, ret_rank);
	free(fold);
	return field;
}
