/*
 * What a mail under way waits for, in words: the server, with the limit that it has, or the store.
 * Runs on: loop. Called by why.c and why_gate.c. Reads only.
 */
#include "why_private.h"

#include "coldmail/clock.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

static int64_t wall_of(int64_t boot_ms)
{
	return clock_wall_ms() + boot_ms - clock_boot_ms();
}

/* Of the connections of S that wait for their server, the one whose limit is over first. */
static bool first_of(const struct flow_sender *s, struct mail_wait *ret)
{
	struct mail_wait w;
	bool any = false;

	list_each (node, &s->links) {
		const struct flow_link *k = list_entry(node, struct flow_link, node);

		if (!mail_smtp_waits(k->smtp, &w) || (any && w.until_ms >= ret->until_ms))
			continue;
		*ret = w;
		any = true;
	}
	return any;
}

static void tell(
	struct mem_arena *a, const char *who, const struct mail_wait *w, struct flow_reason *ret)
{
	char limit[32];

	ret->value = mem_arena_printf(a, "%s waits for %s", who, w->what);
	ret->limit = mem_arena_printf(a, "%s (%s)", str_duration(w->limit_ms, limit), w->limit);
	ret->until_ms = wall_of(w->until_ms);
}

void flow_why_sender_waits(
	struct mem_arena *a, const struct flow_sender *s, struct flow_reason *ret)
{
	struct mail_wait w;

	ret->value = "a mail is under way";
	ret->until_ms = clock_wall_ms();
	if (first_of(s, &w))
		tell(a, "a mail", &w, ret);
}

static void item_waits(struct mem_arena *a, const struct flow_item *it, struct flow_reason *ret)
{
	bool is_on_link = it->link != NULL;
	struct mail_wait w;

	switch (it->stage) {
	case FLOW_STAGE_VERIFY:
		ret->value = "the name servers are asked for its domain";
		break;
	case FLOW_STAGE_CONNECT:
	case FLOW_STAGE_WIRE:
	case FLOW_STAGE_DOT:
		if (is_on_link ? mail_smtp_waits(it->link->smtp, &w) : first_of(it->sender, &w))
			tell(a, is_on_link ? "its mail" : "the connection that its mail needs", &w,
				ret);
		break;
	case FLOW_STAGE_RESERVE:
	case FLOW_STAGE_SLOT:
	case FLOW_STAGE_RECORD:
	case FLOW_STAGE_GIVE_BACK:
		ret->value = "its mail waits for the store";
		break;
	case FLOW_STAGE_DRAFT:
		break;
	}
}

void flow_why_lead_waits(struct mem_arena *a, const char *lead_id, struct flow_reason *ret)
{
	GHashTableIter i;
	void *p;

	ret->value = "its mail is under way";
	ret->until_ms = clock_wall_ms();
	g_hash_table_iter_init(&i, flow.items);
	while (g_hash_table_iter_next(&i, NULL, &p))
		if (str_eq(((struct flow_item *)p)->claimed->lead.id, lead_id))
			item_waits(a, p, ret);
}

const char *flow_why_campaign_waits(
	struct mem_arena *a, const char *campaign, struct flow_reason *ret)
{
	const struct flow_sender *first = NULL;
	struct mail_wait w, soonest = { .until_ms = CLOCK_NEVER_MS };
	GHashTableIter i;
	void *p;

	g_hash_table_iter_init(&i, flow.items);
	while (g_hash_table_iter_next(&i, NULL, &p)) {
		const struct flow_item *it = p;

		if (!it->sender || !str_eq(it->campaign->name, campaign) ||
			!first_of(it->sender, &w) || w.until_ms >= soonest.until_ms)
			continue;
		soonest = w;
		first = it->sender;
	}
	if (!first)
		return NULL;
	tell(a, "a mail", &soonest, ret);
	return first->address;
}
