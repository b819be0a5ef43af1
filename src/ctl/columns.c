/*
 * What becomes of the columns of a file of leads: --map gives one another name, an export's own are
 * left out, and nobody is left to guess why a column is not what it was meant to be.
 * Runs on: any. Called by leads import, before anything is sent.
 */
#include "ctl_private.h"

#include <inttypes.h>

#include "coldmail/err.h"
#include "coldmail/lead.h"

/* The first line of a file, for errors. */
struct heading {
	const char *file;
	int64_t line;
	const char *const *columns; /* borrowed */
	size_t n;
};

static int place_of(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(names[i], name))
			return (int)i;
	return -1;
}

static size_t count(const char *const *names)
{
	size_t n = 0;

	while (names[n])
		n++;
	return n;
}

static bool is_own(const char *column)
{
	return place_of(ctl_own_columns, count(ctl_own_columns), column) >= 0;
}

/* The caller owns it. */
static char *list_columns(const struct heading *h)
{
	struct str out = STR_INIT;

	for (size_t i = 0; i < h->n; i++) {
		str_adds(&out, i ? ", " : "");
		ctl_add_safe(&out, h->columns[i]);
	}
	return str_take(&out);
}

/* ---- --map -------------------------------------------------------------------------------------- */

static int no_column(const struct heading *h, const char *map, const char *from)
{
	char *columns = list_columns(h);

	ctl_error("--map %s: no column \"%s\" in %s, which has: %s", map, from, h->file, columns);
	free(columns);
	return CM_EXIT_USAGE;
}

/* Is NAME, which is none of those with a meaning, meant to be one of them? "names" is not: it goes on
 * from one. */
static const char *meant_by(const char *name)
{
	const size_t n = count(ctl_known_columns);
	const char *known = str_closest(name, ctl_known_columns, n);

	if (!known || place_of(ctl_known_columns, n, name) >= 0 || str_starts(name, known))
		return NULL;
	return known;
}

/* TO as the name of a field; the caller owns it. NULL: it has been said that it is none. */
static char *field_of(const char *map, const char *from, const char *to)
{
	char *name = lead_column_name(to);
	const char *meant = name ? meant_by(name) : NULL;

	if (name && str_ieq(name, to) && !meant)
		return name;
	if (meant)
		ctl_error("--map %s: no field \"%s\" to read column \"%s\" as; %s?", map, to, from,
			meant);
	else
		ctl_error("--map %s: \"%s\", as which column \"%s\" is to be read, is no field's "
			  "name: letters, digits and _ were expected%s%s",
			map, to, from, name ? ", such as " : "", name ? name : "");
	free(name);
	return NULL;
}

/* The columns that MAP speaks of: as it is headed in the file, or as that is shown. */
static int find_column(const struct heading *h, const char *from)
{
	char *name = lead_column_name(from);
	int i = name ? place_of(h->columns, h->n, name) : -1;

	free(name);
	return i;
}

/* A heading may have a '=' in it, a field's name has none. */
static int apply_map(const struct heading *h, const char *map, struct ctl_columns *cols)
{
	const char *equals = strrchr(map, '=');

	if (!equals || equals == map || !equals[1]) {
		ctl_error("--map %s: COLUMN=FIELD was expected", map);
		return CM_EXIT_USAGE;
	}
	char *from = xasprintf("%.*s", (int)(equals - map), map);
	int i = find_column(h, from), status = i < 0 ? no_column(h, map, from) : 0;
	char *field = status ? NULL : field_of(map, from, equals + 1);

	if (!status && !field)
		status = CM_EXIT_USAGE;
	if (field) {
		free(cols->names[i]);
		cols->names[i] = field;
	}
	free(from);
	return status;
}

/* ---- an export ---------------------------------------------------------------------------------- */

/* One such column may be the user's own, as the state an address is in; most of them are not. */
static bool is_export(const struct heading *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n; i++)
		n += is_own(h->columns[i]);
	return n > count(ctl_own_columns) / 2;
}

/* The name that a column had before it was exported; NULL: it is not the lead's, but tells where the
 * lead stood. */
static const char *before_export(const char *column)
{
	if (is_own(column))
		return NULL;
	if (str_starts(column, CTL_EXTRA) && is_own(column + strlen(CTL_EXTRA)))
		return column + strlen(CTL_EXTRA);
	return column;
}

/* ---- all of them -------------------------------------------------------------------------------- */

/* Each field once, and one of them is the address. */
static int check(const struct heading *h, const struct ctl_columns *cols)
{
	bool has_email = false;

	for (size_t i = 0; i < cols->n; i++) {
		const char *name = cols->names[i];
		int first = name ? place_of((const char *const *)cols->names, i, name) : -1;

		if (first >= 0) {
			ctl_error("%s:%" PRId64
				  ": columns \"%s\" and \"%s\" would both be %s: each field "
				  "was expected once: leave one out, or --map it to another name",
				h->file, h->line, h->columns[first], h->columns[i], name);
			return CM_EXIT_USAGE;
		}
		has_email |= str_eq(name, "email");
	}
	if (has_email)
		return 0;
	char *columns = list_columns(h);
	ctl_error("%s:%" PRId64
		  ": a column email was expected (or --map COLUMN=email); there are: %s",
		h->file, h->line, columns);
	free(columns);
	return CM_EXIT_USAGE;
}

int ctl_columns_init(const struct ctl *c, const char *file, int64_t line,
	const char *const *columns, size_t n, struct ctl_columns *ret)
{
	const struct heading h = { file, line, columns, n };
	const char *map;
	int status = 0;

	*ret = (struct ctl_columns){ xcalloc(n, sizeof *ret->names), n, is_export(&h) };
	for (size_t i = 0; i < n; i++)
		ret->names[i] = xstrdup(ret->is_export ? before_export(columns[i]) : columns[i]);
	for (int i = 0; !status && (map = ctl_option_at(c, "map", i)); i++)
		status = apply_map(&h, map, ret);
	return status ? status : check(&h, ret);
}

void ctl_columns_done(struct ctl_columns *cols)
{
	for (size_t i = 0; i < cols->n; i++)
		free(cols->names[i]);
	free(cols->names);
}
