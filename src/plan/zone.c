/*
 * Zones: local clocks by the rules of the time zone database, and whose clock somebody lives by.
 * Runs on: any; the caller's thread owns what it uses. Called by calendar.c, store and flow.
 * Reads zone files through GLib, each once. Never guesses: what country and region do not decide
 * (zones.tsv) is unknown, and an address says nothing about a place.
 */
#include "plan_private.h"

#include <ctype.h>
#include <glib.h>
#include <string.h>

#include "coldmail/mem.h"
#include "coldmail/str.h"

/* Names that are none are remembered, too, but not without end: a list may be full of them. */
#define STRANGERS_MAX  1000
#define NAME_MAX_BYTES 64

struct plan_zone {
	char *name; /* owned */
	GTimeZone *tz; /* owned */
};

struct plan_zones {
	GHashTable *by_name; /* owned: name -> struct plan_zone, owned; NULL: there is none */
	size_t n_strangers;
	GHashTable *by_place; /* owned: "country\tregion" -> a zone's name, all owned */
};

static const char table[] =
#include "zones.inc"
	;

static void zone_free(void *p)
{
	struct plan_zone *z = p;

	if (!z)
		return;
	g_time_zone_unref(z->tz);
	free(z->name);
	free(z);
}

/* ---- what places decide ------------------------------------------------------------------------ */

static char *place(const char *country, size_t n_country, const char *region, size_t n_region)
{
	return xasprintf("%.*s\t%.*s", (int)n_country, country, (int)n_region, region);
}

/* A row's zone, for each of the country's names with each of the region's. */
static void add_row(GHashTable *t, const char *countries, const char *regions, const char *zone)
{
	for (const char *c = countries; *c;) {
		size_t n = strcspn(c, "|");

		for (const char *r = regions; *r;) {
			size_t k = strcspn(r, "|");

			g_hash_table_insert(t, place(c, n, r, k), xstrdup(zone));
			r += k + (r[k] == '|');
		}
		c += n + (c[n] == '|');
	}
}

static GHashTable *read_table(void)
{
	GHashTable *t = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
	char *text = xstrdup(table), *countries = text, *next;

	for (char *line = text; *line; line = next) {
		size_t n = strcspn(line, "\n");

		next = line + n + 1;
		line[n] = '\0';
		char *tab = strchr(line, '\t');
		if (*line == '=')
			countries = line + 1;
		if (*line == '#' || *line == '=' || !tab)
			continue;
		*tab = '\0';
		add_row(t, countries, line, tab + 1);
	}
	free(text);
	return t;
}

/* As the table writes names: lower case, no dots, single blanks. Owned by the caller. */
static char *plain_name(const char *raw)
{
	char *low = g_utf8_validate(raw, -1, NULL) ? g_utf8_strdown(raw, -1) : g_strdup("");
	struct str out = STR_INIT;

	for (const char *p = low; *p; p++) {
		bool is_blank = isspace((unsigned char)*p) || *p == '-' || *p == '_';

		if (is_blank ? out.len && out.p[out.len - 1] != ' ' : *p != '.')
			str_addc(&out, is_blank ? ' ' : *p);
	}
	if (out.len && out.p[out.len - 1] == ' ')
		out.p[--out.len] = '\0';
	g_free(low);
	return str_take(&out);
}

static const char *zone_of_place(struct plan_zones *zs, const char *country, const char *region)
{
	char *c = plain_name(country), *r = plain_name(region);
	char *exact = place(c, strlen(c), r, strlen(r)), *all = place(c, strlen(c), "*", 1);
	const char *zone = *r ? g_hash_table_lookup(zs->by_place, exact) : NULL;

	if (!zone)
		zone = g_hash_table_lookup(zs->by_place, all);
	free(c);
	free(r);
	free(exact);
	free(all);
	return zone ? zone : "";
}

/* ---- zones -------------------------------------------------------------------------------------- */

struct plan_zones *plan_zones_new(void)
{
	struct plan_zones *zs = xcalloc(1, sizeof *zs);

	zs->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, free, zone_free);
	zs->by_place = read_table();
	return zs;
}

void plan_zones_free(struct plan_zones *zs)
{
	if (!zs)
		return;
	g_hash_table_unref(zs->by_name);
	g_hash_table_unref(zs->by_place);
	free(zs);
}

/* Only names of the database: no path out of it, no offset, no POSIX rule. */
static bool may_be_name(const char *name)
{
	bool ok = isalpha((unsigned char)*name) && !strstr(name, "..") &&
		  strlen(name) <= NAME_MAX_BYTES;

	for (const char *p = name; ok && *p; p++)
		ok = isalnum((unsigned char)*p) || strchr("_+-/", *p);
	return ok;
}

const struct plan_zone *plan_zones_find(struct plan_zones *zs, const char *name)
{
	struct plan_zone *z = NULL;
	void *known;

	if (!name || !may_be_name(name))
		return NULL;
	if (g_hash_table_lookup_extended(zs->by_name, name, NULL, &known))
		return known;
	GTimeZone *tz = g_time_zone_new_identifier(name);
	if (tz) {
		z = xcalloc(1, sizeof *z);
		*z = (struct plan_zone){ xstrdup(name), tz };
	} else if (zs->n_strangers++ >= STRANGERS_MAX) {
		return NULL;
	}
	g_hash_table_insert(zs->by_name, xstrdup(name), z);
	return z;
}

const char *plan_zone_name(const struct plan_zone *z)
{
	return z->name;
}

const char *plan_zone_of(
	struct plan_zones *zs, const char *own, const char *country, const char *region)
{
	char *name = xstrdup(own ? own : "");
	const struct plan_zone *z = NULL;

	g_strstrip(name);
	if (strchr(name, '/') || str_eq(name, "UTC"))
		z = plan_zones_find(zs, name);
	free(name);
	if (z)
		return z->name;
	return country ? zone_of_place(zs, country, region ? region : "") : "";
}

/* ---- local clocks ------------------------------------------------------------------------------- */

static int interval_at(const struct plan_zone *z, int64_t utc_s)
{
	return g_time_zone_find_interval(z->tz, G_TIME_TYPE_UNIVERSAL, utc_s);
}

struct plan_local plan_zone_local(const struct plan_zone *z, int64_t utc_s)
{
	const int interval = interval_at(z, utc_s);
	/* No zone is a day away: the sum is never negative. */
	const int64_t s = utc_s + g_time_zone_get_offset(z->tz, interval) + PLAN_DAY_S;

	return (struct plan_local){ s / PLAN_DAY_S - 1, s % PLAN_DAY_S, interval };
}

int64_t plan_zone_step(const struct plan_zone *z, int64_t from_s, int64_t to_s, int interval)
{
	if (interval_at(z, to_s) == interval)
		return to_s;
	while (to_s - from_s > 1) {
		int64_t middle = from_s + (to_s - from_s) / 2;

		if (interval_at(z, middle) == interval)
			from_s = middle;
		else
			to_s = middle;
	}
	return to_s;
}
