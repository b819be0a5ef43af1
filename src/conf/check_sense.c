/*
 * Contradictions: keys that are right one by one, and together promise what cannot be. Each is a
 * warning: the file works, only not as it reads.
 * Runs on: loop. Called by build.c once all mailboxes and campaigns are there. Knows no date: holidays
 * and the leads' own zones may close and open more.
 */
#include "conf_private.h"

#include "coldmail/clock.h"

#define DAY_MIN  (24 * 60)
#define WEEK_MIN (7 * DAY_MIN)

/* ---- mailboxes ------------------------------------------------------------------------------- */

static void check_webmail(
	struct conf_load *l, const struct conf_node *section, const struct conf_mailbox *m)
{
	const char *at = strchr(m->address, '@');

	if (at && conf_is_webmail(at + 1))
		conf_warning(l, section->at,
			"mailbox '%s' is a webmail address: %s closes accounts that write "
			"to strangers, and receivers distrust them, expected an address "
			"of a domain of your own",
			m->address, at + 1);
}

static void check_ramp(
	struct conf_load *l, const struct conf_node *section, const struct conf_mailbox *m)
{
	for (size_t i = 0; conf_node_find(section, "ramp") && i < m->n_ramp; i++)
		if (m->ramp[i] > m->daily_limit) {
			conf_warning(l, conf_place_of(section, "ramp"),
				"ramp: %d in week %zu is more than daily_limit = %d, expected a "
				"rise to it",
				m->ramp[i], i + 1, m->daily_limit);
			return;
		}
}

static int open_minutes(const struct conf_campaign *c)
{
	int n = 0;

	for (size_t i = 0; i < c->n_windows; i++)
		n += c->windows[i].to_min - c->windows[i].from_min;
	return n;
}

/* The gaps of M leave no room for its daily_limit in the hours of the campaigns it sends for. */
static void check_cap(
	struct conf_load *l, const struct conf_node *section, const struct conf_mailbox *m)
{
	const int64_t gap_ms = (m->gap_min_ms + m->gap_max_ms) / 2;
	const struct conf *c = l->conf;
	int minutes = 0;

	if (!gap_ms || !conf_node_find(section, "daily_limit"))
		return;
	for (size_t i = 0; i < c->n_campaigns; i++)
		if (conf_has_mailbox(&c->campaigns[i], m->address))
			minutes += open_minutes(&c->campaigns[i]);
	if (minutes > DAY_MIN)
		minutes = DAY_MIN;
	const int64_t most = 1 + minutes * CLOCK_MINUTE_MS / gap_ms;

	if (minutes && m->daily_limit > most)
		conf_warning(l, conf_place_of(section, "daily_limit"),
			"daily_limit = %d is never reached: its gap lets about %lld mails a day go "
			"out in the %dh%02dmin of 'window' to people of one time zone, expected a "
			"shorter gap or fewer mails",
			m->daily_limit, (long long)most, minutes / 60, minutes % 60);
}

/* ---- campaigns -------------------------------------------------------------------------------- */

/* The longest time in a week in which C is closed. */
static int longest_closed(const struct conf_campaign *c)
{
	int open_until = -1, first = -1, longest = 0;

	for (int day = 0; day < 7; day++)
		for (size_t i = 0; c->days & 1U << day && i < c->n_windows; i++) {
			const int from = day * DAY_MIN + c->windows[i].from_min;

			if (first < 0)
				first = from;
			else if (from - open_until > longest)
				longest = from - open_until;
			open_until = day * DAY_MIN + c->windows[i].to_min;
		}
	if (first >= 0 && first + WEEK_MIN - open_until > longest)
		longest = first + WEEK_MIN - open_until;
	return longest;
}

static void check_expiry(
	struct conf_load *l, const struct conf_node *section, const struct conf_campaign *c)
{
	const int closed = longest_closed(c);

	if (conf_node_find(section, "expire_after") && c->expire_ms < closed * CLOCK_MINUTE_MS)
		conf_warning(l, conf_place_of(section, "expire_after"),
			"expire_after is less than the %dh in a row in which 'days' and 'window' "
			"let nothing go out: steps that come due then are dropped, expected a "
			"longer time",
			(closed + 59) / 60);
}

/* ---- all of it -------------------------------------------------------------------------------- */

void conf_check_sense(struct conf_load *l)
{
	const struct conf *c = l->conf;
	size_t i = 0, k = 0;

	for (const struct conf_node *n = l->root->first; n; n = n->next) {
		if (n->is_section && str_eq(n->name, "mailbox")) {
			const struct conf_mailbox *m = &c->mailboxes[i++];

			check_webmail(l, n, m);
			check_ramp(l, n, m);
			check_cap(l, n, m);
		} else if (n->is_section && str_eq(n->name, "campaign")) {
			check_expiry(l, n, &c->campaigns[k++]);
		}
	}
}
