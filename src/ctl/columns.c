/*
 * What becomes of the columns of a file of leads: --map gives one another name, what other programs
 * call it is known, an export's own are left out; and nobody is left to guess why a column is not what it
 * was meant to be.
 * Runs on: any. Called by leads import. Of CSV all is settled before anything is sent; of JSON each
 * record has fields of its own, and they are settled as they come.
 */
#include "ctl_private.h"

#include <inttypes.h>
#include <stdio.h>

#include "coldmail/err.h"
#include "coldmail/lead.h"

#define COLUMNS_MAX 5000 /* different ones of all records of a file */
#define NAME_LONG   64 /* of a field, as the daemon has it */
#define SURE        (-1) /* the rank of what nobody guessed */

struct map {
	const char *text; /* borrowed: from the command line */
	char *from, *name, *field; /* owned; FROM as it was written */
	bool is_used;
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

static int known(const char *name)
{
	return place_of(ctl_known_columns, count(ctl_known_columns), name);
}

/* The caller owns it. */
static char *list_columns(const struct ctl_columns *cols)
{
	struct str out = STR_INIT;

	for (size_t i = 0; i < cols->n; i++) {
		str_adds(&out, i ? ", " : "");
		ctl_add_safe(&out, cols->v[i].name);
	}
	return str_take(&out);
}

/* ---- --map -------------------------------------------------------------------------------------- */

static int no_column(const struct ctl_columns *cols, const struct map *map)
{
	char *columns = list_columns(cols);

	ctl_error("--map %s: no column \"%s\" in %s, which has: %s", map->text, map->from,
		cols->file, columns);
	free(columns);
	return CM_EXIT_USAGE;
}

/* Is NAME, which is none of those with a meaning, meant to be one of them? "names" is not: it goes on
 * from one. */
static const char *meant_by(const char *name)
{
	const char *close = str_closest(name, ctl_known_columns, count(ctl_known_columns));

	if (!close || known(name) >= 0 || str_starts(name, close))
		return NULL;
	return close;
}

/* TO as the name of a field; the caller owns it. NULL: it has been said that it is none. Who maps a
 * column to its own name wants it kept as it is. */
static char *field_of(const struct map *map, const char *to)
{
	char *name = lead_column_name(to);
	const char *meant = name && !str_eq(name, map->name) ? meant_by(name) : NULL;

	if (name && str_ieq(name, to) && !meant)
		return name;
	if (meant)
		ctl_error("--map %s: no field \"%s\" to read column \"%s\" as; %s?", map->text, to,
			map->from, meant);
	else
		ctl_error("--map %s: \"%s\", as which column \"%s\" is to be read, is no field's "
			  "name: letters, digits and _ were expected%s%s",
			map->text, to, map->from, name ? ", such as " : "", name ? name : "");
	free(name);
	return NULL;
}

static struct ctl_column *find(struct ctl_columns *cols, const char *name)
{
	for (size_t i = 0; i < cols->n; i++)
		if (str_eq(cols->v[i].name, name))
			return &cols->v[i];
	return NULL;
}

/* A column is spoken of as it is headed in the file, or as that is shown. A heading may have a '=' in it,
 * a field's name has none. */
static int add_map(struct ctl_columns *cols, const char *text)
{
	const char *equals = strrchr(text, '=');

	if (!equals || equals == text || !equals[1]) {
		ctl_error("--map %s: COLUMN=FIELD was expected", text);
		return CM_EXIT_USAGE;
	}
	cols->maps = xrealloc(cols->maps, (cols->n_maps + 1) * sizeof *cols->maps);
	struct map *map = &cols->maps[cols->n_maps++];
	*map = (struct map){ .text = text, .from = xstrndup(text, (size_t)(equals - text)) };
	map->name = lead_column_name(map->from);
	if (!cols->is_json && !(map->name && find(cols, map->name)))
		return no_column(cols, map);
	map->field = field_of(map, equals + 1);
	return map->field ? 0 : CM_EXIT_USAGE;
}

/* ---- one column --------------------------------------------------------------------------------- */

/* The name that a column had before it was exported; NULL: it is not the lead's, but tells where the
 * lead stood. In JSON all others but those with a meaning lie within "extra". */
static const char *before_export(const struct ctl_columns *cols, const char *column)
{
	const bool is_extra = str_starts(column, CTL_EXTRA);

	if (is_own(column) || (cols->is_json && str_eq(column, "id")))
		return NULL;
	if (is_extra && (cols->is_json || is_own(column + strlen(CTL_EXTRA))))
		return column + strlen(CTL_EXTRA);
	return column;
}

static void set_field(struct ctl_column *col, enum ctl_column_how how, const char *field, int rank)
{
	char *old = col->field;

	col->how = how;
	col->rank = rank;
	col->field = field ? xstrdup(field) : NULL;
	col->known = field ? known(field) : -1;
	free(old);
}

/* Under its own name; of a question that somebody was asked, its beginning. */
static void keep(struct ctl_column *col)
{
	size_t n = strlen(col->name);
	char *name = xstrndup(col->name, str_utf8_cut(col->name, n, NAME_LONG));

	set_field(col, CTL_COLUMN_AS_IS, name, SURE);
	free(name);
}

/* By itself: what others of the same field there are, others ask. */
static void decide(struct ctl_columns *cols, struct ctl_column *col)
{
	const char *field;
	int rank;

	for (size_t i = cols->n_maps; i--;) {
		if (!str_eq(cols->maps[i].name, col->name))
			continue;
		cols->maps[i].is_used = true;
		set_field(col, CTL_COLUMN_MAPPED, cols->maps[i].field, SURE);
		return;
	}
	if (cols->is_export) {
		field = before_export(cols, col->name);
		set_field(col, field ? CTL_COLUMN_AS_IS : CTL_COLUMN_LEFT_OUT, field, SURE);
	} else if (known(col->name) >= 0) {
		set_field(col, CTL_COLUMN_AS_IS, col->name, SURE);
	} else if ((field = lead_column_guess(col->name, &rank))) {
		set_field(col, CTL_COLUMN_GUESSED, field, rank);
	} else {
		keep(col);
	}
}

static struct ctl_column *add_column(
	struct ctl_columns *cols, const char *name, const char *heading)
{
	mem_grow(cols->v, cols->cap, cols->n + 1);
	struct ctl_column *col = &cols->v[cols->n++];

	*col = (struct ctl_column){
		.name = xstrdup(name), .heading = xstrdup(heading), .known = -1
	};
	return col;
}

/* ---- the first line of CSV ---------------------------------------------------------------------- */

/* One such column may be the user's own, as the state an address is in; most of them are not. */
static bool is_export(const struct ctl_columns *cols)
{
	size_t n = 0;

	for (size_t i = 0; i < cols->n; i++)
		n += is_own(cols->v[i].name);
	return n > count(ctl_own_columns) / 2;
}

/* The surest column of a field; NULL: there is none. *RET_RIVAL: another that is as sure; NULL. */
static struct ctl_column *surest(
	struct ctl_columns *cols, int field, const struct ctl_column **ret_rival)
{
	struct ctl_column *best = NULL;

	*ret_rival = NULL;
	for (size_t i = 0; i < cols->n; i++) {
		struct ctl_column *col = &cols->v[i];

		if (col->known != field)
			continue;
		if (best && col->rank == best->rank)
			*ret_rival = *ret_rival ? *ret_rival : col;
		if (best && col->rank >= best->rank)
			continue;
		best = col;
		*ret_rival = NULL;
	}
	return best;
}

static int ambiguous(
	const struct ctl_columns *cols, const struct ctl_column *a, const struct ctl_column *b)
{
	if (a->rank == SURE)
		ctl_error("%s:%" PRId64 ": columns \"%s\" and \"%s\" would both be %s: each field "
			  "was expected once: leave one out, or --map it to another name",
			cols->file, cols->line, a->name, b->name, a->field);
	else
		ctl_error("%s:%" PRId64 ": columns \"%s\" and \"%s\" may both be %s: --map "
			  "\"%s=%s\" reads the one and keeps the other under its own name",
			cols->file, cols->line, a->heading, b->heading, a->field, a->heading,
			a->field);
	return CM_EXIT_USAGE;
}

/* Each field with a meaning is one column's. */
static int settle_known(struct ctl_columns *cols)
{
	for (int field = 0; ctl_known_columns[field]; field++) {
		const struct ctl_column *rival, *best = surest(cols, field, &rival);

		if (rival)
			return ambiguous(cols, best, rival);
		for (size_t i = 0; i < cols->n; i++)
			if (cols->v[i].known == field && &cols->v[i] != best)
				keep(&cols->v[i]);
	}
	return 0;
}

/* Each other field once. */
static int check_others(const struct ctl_columns *cols)
{
	for (size_t i = 0; i < cols->n; i++)
		for (size_t k = 0; k < i; k++)
			if (cols->v[i].field && str_eq(cols->v[i].field, cols->v[k].field))
				return ambiguous(cols, &cols->v[k], &cols->v[i]);
	return 0;
}

int ctl_columns_check(const struct ctl_columns *cols)
{
	for (size_t i = 0; i < cols->n; i++)
		if (str_eq(cols->v[i].field, "email"))
			return 0;
	char *columns = list_columns(cols);
	ctl_error("%s:%" PRId64
		  ": a column email was expected (or --map COLUMN=email); there are: %s",
		cols->file, cols->line, columns);
	free(columns);
	return CM_EXIT_USAGE;
}

int ctl_columns_init(const struct ctl *c, const char *file, const struct lead_reader *reader,
	struct ctl_columns *ret)
{
	const char *const *headings = lead_reader_headings(reader), *const * names, *text;
	struct lead_about about;
	int status = 0;
	size_t n;

	lead_reader_about(reader, &about);
	*ret = (struct ctl_columns){
		.file = file, .line = lead_reader_header_line(reader), .is_json = about.is_json
	};
	names = lead_reader_columns(reader, &n);
	for (size_t i = 0; i < n; i++)
		add_column(ret, names[i], headings[i]);
	for (int i = 0; !status && (text = ctl_option_at(c, "map", i)); i++)
		status = add_map(ret, text);
	if (status || ret->is_json)
		return status;
	ret->is_export = is_export(ret);
	for (size_t i = 0; i < n; i++)
		decide(ret, &ret->v[i]);
	status = settle_known(ret);
	if (!status)
		status = check_others(ret);
	return status ? status : ctl_columns_check(ret);
}

void ctl_columns_done(struct ctl_columns *cols)
{
	for (size_t i = 0; i < cols->n; i++) {
		free(cols->v[i].name);
		free(cols->v[i].heading);
		free(cols->v[i].field);
	}
	for (size_t i = 0; i < cols->n_maps; i++) {
		free(cols->maps[i].from);
		free(cols->maps[i].name);
		free(cols->maps[i].field);
	}
	free(cols->v);
	free(cols->maps);
	free(cols->of_record);
}

/* ---- a record ----------------------------------------------------------------------------------- */

/* Records are alike: what this one has at place I, the last one had there, too. */
static struct ctl_column *column_at(struct ctl_columns *cols, size_t i, const char *name)
{
	struct ctl_column *col = NULL;

	if (i < cols->n_of_record && str_eq(cols->v[cols->of_record[i]].name, name))
		return &cols->v[cols->of_record[i]];
	col = find(cols, name);
	if (!col && cols->n < COLUMNS_MAX) {
		col = add_column(cols, name, name);
		decide(cols, col);
	}
	return col;
}

static bool is_export_record(const struct lead_record *rec)
{
	size_t n = 0;

	for (size_t i = 0; i < rec->n_vars; i++)
		n += is_own(rec->vars[i].name);
	return n > count(ctl_own_columns) / 2;
}

/* What of REC is as sure to be the field of A as that is, and says something else; the caller owns it. */
static char *why_ambiguous(
	struct ctl_columns *cols, const struct lead_record *rec, size_t a, size_t b)
{
	const struct ctl_column *x = &cols->v[cols->of_record[a]],
				*y = &cols->v[cols->of_record[b]];

	if (x->rank != y->rank || str_eq(rec->vars[a].value, rec->vars[b].value))
		return NULL;
	return xasprintf("fields \"%s\" and \"%s\" may both be %s: --map %s=%s reads the one and "
			 "keeps the other under its own name",
		x->name, y->name, x->field, x->name, x->field);
}

/* NAMES: what each field of REC is called in the end. */
static char *settle_record(
	struct ctl_columns *cols, const struct lead_record *rec, const char **names)
{
	int best[32];
	char *why = NULL;

	for (size_t i = 0; i < sizeof best / sizeof *best; i++)
		best[i] = -1;
	for (size_t i = 0; i < rec->n_vars && !why; i++) {
		const struct ctl_column *col = &cols->v[cols->of_record[i]];

		names[i] = col->field;
		if (col->known < 0 || lead_is_null_like(rec->vars[i].value))
			continue;
		int rival = best[col->known];
		if (rival < 0) {
			best[col->known] = (int)i;
			continue;
		}
		why = why_ambiguous(cols, rec, (size_t)rival, i);
		size_t loser =
			cols->v[cols->of_record[rival]].rank <= col->rank ? i : (size_t)rival;
		names[loser] = cols->v[cols->of_record[loser]].name;
		best[col->known] = loser == i ? rival : (int)i;
	}
	return why;
}

char *ctl_columns_of(struct ctl_columns *cols, const struct lead_record *rec, const char **names)
{
	if (!cols->is_json) {
		for (size_t i = 0; i < rec->n_vars; i++)
			names[i] = cols->v[i].field;
		return NULL;
	}
	if (!cols->n)
		cols->is_export = is_export_record(rec);
	for (size_t i = 0; i < rec->n_vars; i++) {
		const struct ctl_column *col = column_at(cols, i, rec->vars[i].name);

		if (!col)
			return xasprintf("field \"%s\" is one more than the %d different ones that "
					 "all records may have",
				rec->vars[i].name, COLUMNS_MAX);
		mem_grow(cols->of_record, cols->cap_of_record, i + 1);
		cols->of_record[i] = (size_t)(col - cols->v);
		if (i >= cols->n_of_record)
			cols->n_of_record = i + 1;
	}
	return settle_record(cols, rec, names);
}

/* ---- showing ------------------------------------------------------------------------------------ */

static const char *const hows[] = { [CTL_COLUMN_AS_IS] = "kept",
	[CTL_COLUMN_GUESSED] = "guessed",
	[CTL_COLUMN_MAPPED] = "mapped",
	[CTL_COLUMN_LEFT_OUT] = "left_out" };

static void show_column(const struct ctl_columns *cols, const struct ctl_column *col)
{
	struct str line = STR_INIT;

	str_adds(&line, cols->is_json ? "field \"" : "column \"");
	ctl_add_safe(&line, col->heading);
	switch (col->how) {
	case CTL_COLUMN_AS_IS:
		str_addf(&line, "\" is %s", col->known >= 0 ? "read as " : "kept as ");
		break;
	case CTL_COLUMN_GUESSED:
	case CTL_COLUMN_MAPPED:
		str_adds(&line, "\" is read as ");
		break;
	case CTL_COLUMN_LEFT_OUT:
		str_adds(&line, "\" is not imported");
		break;
	}
	ctl_add_safe(&line, col->field);
	puts(str_z(&line));
	str_done(&line);
}

void ctl_columns_show(struct ctl_columns *cols, bool all)
{
	for (; cols->n_shown < cols->n; cols->n_shown++) {
		const struct ctl_column *col = &cols->v[cols->n_shown];

		if (all || col->how == CTL_COLUMN_GUESSED)
			show_column(cols, col);
	}
}

cJSON *ctl_columns_json(const struct ctl_columns *cols)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; i < cols->n; i++) {
		const struct ctl_column *col = &cols->v[i];
		cJSON *o = ctl_new("column", col->heading);

		ctl_put(o, "field", col->field);
		if (!col->field)
			cJSON_AddNullToObject(o, "field");
		ctl_put(o, "how", hows[col->how]);
		cJSON_AddItemToArray(list, o);
	}
	return list;
}

void ctl_columns_end(const struct ctl_columns *cols)
{
	for (size_t i = 0; i < cols->n_maps; i++)
		if (cols->is_json && !cols->maps[i].is_used)
			ctl_error("--map %s: no record of %s has a field \"%s\"",
				cols->maps[i].text, cols->file, cols->maps[i].from);
}
