/*
 * Hours: which leads' windows are open now, and when the next one opens. A claim asks only for zones
 * that are open, and what it leaves says when to ask again; so closed windows cost nothing, and a due
 * time stays what it was meant to be.
 * Runs on: loop. Called by claim, draft, send, why and ops.
 * Never guesses a zone: who has none lives by the campaign's.
 */
#include "flow_private.h"

#include <stdlib.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* A name that the database does not have any more is as good as none. */
static const struct plan_zone *zone_of(const struct conf_campaign *c, const char *zone)
{
	const struct plan_zone *z = *zone ? plan_zones_find(flow.zones, zone) : NULL;

	if (!z)
		z = plan_zones_find(flow.zones, c->timezone);
	if (!z)
		z = plan_zones_find(flow.zones, "UTC");
	bug_if(!z, "there is no zone UTC");
	return z;
}

static const struct plan_calendar *calendar_of(
	const struct flow_plan *p, const struct conf_campaign *c)
{
	return p->calendars[c - p->conf->campaigns];
}

struct plan_state flow_hours_at(
	const struct flow_plan *p, const struct conf_campaign *c, const char *zone, int64_t wall_ms)
{
	return plan_state_at(calendar_of(p, c), zone_of(c, zone), wall_ms);
}

int64_t flow_hours_next(
	const struct flow_plan *p, const struct conf_campaign *c, const char *zone, int64_t from_ms)
{
	return plan_next_open(calendar_of(p, c), zone_of(c, zone), from_ms);
}

int64_t flow_next_open(const struct conf_campaign *c, const char *zone, int64_t from_ms)
{
	return flow_hours_next(flow.plan, c, zone, from_ms);
}

struct plan_state flow_hours_of(const struct flow_item *it)
{
	const struct conf_campaign *c = conf_find_campaign(flow.plan->conf, it->campaign->name);

	if (!c) /* that is another gate's to say */
		return (struct plan_state){ PLAN_OPEN, "" };
	return flow_hours_at(flow.plan, c, it->claimed->lead.zone, clock_wall_ms());
}

const char *flow_hours_reason(enum plan_gate g)
{
	return g == PLAN_HOLIDAY ? "holiday" : "window_closed";
}

/* ---- claims ------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void flow_hours_restrict(struct flow_campaign *c, struct store_req *claim)
{
	const char **open =
		mem_arena_get(&claim->arena, g_hash_table_size(c->zones) * sizeof *open);
	int64_t now = clock_wall_ms();
	GHashTableIter i;
	size_t n = 0;
	void *zone;

	g_hash_table_iter_init(&i, c->zones);
	while (g_hash_table_iter_next(&i, &zone, NULL))
		if (flow_hours_at(flow.plan, c->conf, zone, now).gate == PLAN_OPEN)
			open[n++] = mem_arena_dup(&claim->arena, zone);
	if (n)
		qsort(open, n, sizeof *open, by_name);
	claim->u.claim.zones = open;
	claim->u.claim.n_zones = n;
}

int64_t flow_hours_after(
	struct flow_campaign *c, const struct flow_plan *p, const struct store_req *claim)
{
	const struct conf_campaign *cc = conf_find_campaign(p->conf, c->name);
	int64_t now = clock_wall_ms(), first = CLOCK_NEVER_MS;

	for (size_t i = 0; i < claim->u.claim.n_left; i++) {
		const struct store_bucket *b = &claim->u.claim.left[i];
		int64_t due = b->due_ms > now ? b->due_ms : now;

		/* One that is not known yet is among those of the next claim. */
		if (!g_hash_table_contains(c->zones, b->zone))
			g_hash_table_add(c->zones, xstrdup(b->zone));
		if (due < first)
			first = MIN(first, flow_hours_next(p, cc, b->zone, due));
	}
	return first;
}
