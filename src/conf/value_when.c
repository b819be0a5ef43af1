/*
 * Values that say when in a day or a week: time zones, days of the week, windows of the day.
 * Runs on: loop. Called through the table of value.c. Reads zone files through GLib.
 */
#include "value_private.h"

#include <ctype.h>
#include <glib.h>

#define DAY_MIN 1440

static const char *const day_names[] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };
#define N_DAYS (sizeof day_names / sizeof *day_names)

/* Only names of the zone database: no path, no offset, no POSIX rule. */
static bool is_zone(const char *name)
{
	bool ok = isalpha((unsigned char)*name) && !strstr(name, "..") && !strchr(name, ',');

	for (const char *p = name; ok && *p; p++)
		ok = isalnum((unsigned char)*p) || strchr("_+-/", *p);
	GTimeZone *zone = ok ? g_time_zone_new_identifier(name) : NULL;

	if (zone)
		g_time_zone_unref(zone);
	return zone;
}

bool conf_read_zone(const struct conf_reading *r)
{
	if (!is_zone(r->value->text))
		return conf_refuse(r, r->value,
			"a name of the time zone database (package tzdata), such as "
			"\"Europe/Berlin\"");
	*(const char **)conf_member(r) = r->value->text;
	return true;
}

bool conf_read_days(const struct conf_reading *r)
{
	size_t n;
	unsigned days = 0;
	const struct conf_value *v = conf_items(r->value, &n);

	if (!n)
		return conf_refuse(r, r->value, "at least one day, such as {mon, tue}");
	for (; v; v = v->next) {
		unsigned day = 0;

		while (day < N_DAYS && !str_eq(v->text, day_names[day]))
			day++;
		if (day == N_DAYS)
			return conf_refuse(r, v, "days out of mon tue wed thu fri sat sun");
		days |= 1U << day;
	}
	*(unsigned *)conf_member(r) = days;
	return true;
}

void conf_show_days(const struct conf_key *k, const void *base, struct str *out)
{
	const unsigned days = *(const unsigned *)conf_field(base, k->at);
	const char *comma = "";

	str_addc(out, '{');
	for (unsigned day = 0; day < N_DAYS; day++)
		if (days & 1U << day) {
			str_addf(out, "%s%s", comma, day_names[day]);
			comma = ", ";
		}
	str_addc(out, '}');
}

/* "HH:MM" at P, up to 24:00; -1: it is none. */
static int minutes_at(const char *p)
{
	for (int i = 0; i < 5; i++)
		if (i == 2 ? p[i] != ':' : !isdigit((unsigned char)p[i]))
			return -1;
	const int hours = (p[0] - '0') * 10 + p[1] - '0', minutes = (p[3] - '0') * 10 + p[4] - '0';
	const int total = hours * 60 + minutes;

	return minutes < 60 && total <= DAY_MIN ? total : -1;
}

bool conf_read_time(const struct conf_reading *r)
{
	const char *text = r->value->text;
	const int minutes = strlen(text) == strlen("18:00") ? minutes_at(text) : -1;

	if (minutes < 0 || minutes == DAY_MIN)
		return conf_refuse(r, r->value, "a time of the day such as 18:00");
	*(int *)conf_member(r) = minutes;
	return true;
}

static bool scan_window(const char *p, struct conf_window *ret)
{
	if (strlen(p) != strlen("09:00-17:00") || p[5] != '-')
		return false;
	*ret = (struct conf_window){ minutes_at(p), minutes_at(p + 6) };
	return ret->from_min >= 0 && ret->from_min < ret->to_min;
}

bool conf_read_windows(const struct conf_reading *r)
{
	size_t n, i = 0;
	const struct conf_value *v = conf_items(r->value, &n);
	struct conf_window *windows = mem_arena_get(&r->load->arena, n * sizeof *windows);

	if (!n)
		return conf_refuse(r, r->value, "at least one window, such as 09:00-17:00");
	for (; v; v = v->next, i++) {
		if (!scan_window(v->text, &windows[i]))
			return conf_refuse(r, v,
				"a window from early to late, such as 09:00-17:00 or 00:00-24:00");
		if (i && windows[i].from_min < windows[i - 1].to_min)
			return conf_refuse(r, v, "windows one after the other, without overlap");
	}
	*(struct conf_window **)conf_member(r) = windows;
	*(size_t *)conf_member2(r) = n;
	return true;
}

void conf_show_windows(const struct conf_key *k, const void *base, struct str *out)
{
	const struct conf_window *w = *(struct conf_window *const *)conf_field(base, k->at);
	const size_t n = *(const size_t *)conf_field(base, k->at2);

	str_adds(out, n > 1 ? "{" : "");
	for (size_t i = 0; i < n; i++)
		str_addf(out, "%s%02d:%02d-%02d:%02d", i ? ", " : "", w[i].from_min / 60,
			w[i].from_min % 60, w[i].to_min / 60, w[i].to_min % 60);
	str_adds(out, n > 1 ? "}" : "");
}
