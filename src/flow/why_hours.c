/*
 * A closed window in words: why it is closed, for whom it opens first, and when exactly.
 * Runs on: loop. Called by why.c. Reads only.
 */
#include "why_private.h"

#include "coldmail/clock.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* When the first of C's mailboxes has room; one that only an operator can open counts as open: that is
 * another reason. */
static int64_t mailboxes_open(const struct conf_campaign *c)
{
	int64_t first = CLOCK_NEVER_MS, now = clock_wall_ms();

	for (size_t i = 0; i < c->n_mailboxes; i++) {
		struct mailbox_gate gates[MAILBOX_GATES_MAX];
		size_t n = mailbox_gates(mailbox_find(c->mailboxes[i]->address), gates);
		int64_t opens = now;

		for (size_t k = 0; k < n; k++)
			if (gates[k].until_ms != CLOCK_NEVER_MS && gates[k].until_ms > opens)
				opens = gates[k].until_ms;
		first = opens < first ? opens : first;
	}
	return first == CLOCK_NEVER_MS ? now : first;
}

/* "mon tue wed 09:00-11:30 13:30-17:00" */
static const char *hours_of(struct question *q, const struct conf_campaign *c)
{
	static const char *const names[] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };
	const char *text = "";

	for (unsigned day = 0; day < 7; day++)
		if (c->days & 1U << day)
			text = mem_arena_printf(&q->arena, "%s%s ", text, names[day]);
	for (size_t i = 0; i < c->n_windows; i++) {
		const struct conf_window *w = &c->windows[i];

		text = mem_arena_printf(&q->arena, "%s%s%02d:%02d-%02d:%02d", text, i ? " " : "",
			w->from_min / 60, w->from_min % 60, w->to_min / 60, w->to_min % 60);
	}
	return text;
}

/* ZONE is closed at AT_MS and opens at UNTIL_MS. */
static struct flow_reason closed(struct question *q, const struct conf_campaign *c,
	const char *zone, int64_t at_ms, int64_t until_ms)
{
	const struct plan_state s = flow_hours_at(flow.plan, c, zone, at_ms);
	const char *where = *zone ? zone : c->timezone;
	const char *what = s.gate != PLAN_HOLIDAY ? "closed" : *s.holiday ? s.holiday : "a holiday";

	return (struct flow_reason){ .reason = flow_hours_reason(s.gate),
		.value = until_ms == CLOCK_NEVER_MS
				 ? mem_arena_printf(&q->arena,
					   "%s in %s, and it does not open within a year", what,
					   where)
				 : mem_arena_printf(&q->arena, "%s in %s", what, where),
		.limit = hours_of(q, c),
		.until_ms = until_ms };
}

bool flow_why_hours(struct question *q, const struct conf_campaign *c, const struct due *d,
	struct flow_reason *ret)
{
	const int64_t room = mailboxes_open(c);
	int64_t first = CLOCK_NEVER_MS, open = CLOCK_NEVER_MS, at = 0;
	const char *zone = NULL;

	for (size_t i = 0; i < d->n_buckets; i++) {
		const struct store_bucket *b = &d->buckets[i];
		const int64_t from = b->due_ms > room ? b->due_ms : room;
		const int64_t opens = flow_hours_next(flow.plan, c, b->zone, from);

		first = from < first ? from : first;
		if (zone && opens >= open)
			continue;
		zone = b->zone;
		at = from;
		open = opens;
	}
	/* The first to be due waits for its window, or for that of another. */
	if (!zone || open == first)
		return false;
	if (open == at) {
		for (size_t i = 0; i < d->n_buckets; i++)
			if (d->buckets[i].due_ms <= first)
				zone = d->buckets[i].zone;
		at = first;
	}
	*ret = closed(q, c, zone, at, open);
	return true;
}

bool flow_why_hours_of_lead(struct question *q, const struct lead *l, struct flow_reason *ret)
{
	const struct conf_campaign *c = conf_find_campaign(flow.plan->conf, l->campaign);
	const int64_t now = clock_wall_ms(), from = l->due_ms > now ? l->due_ms : now;

	if (!c)
		return false;
	const int64_t opens = flow_hours_next(flow.plan, c, l->zone, from);
	if (opens == from)
		return false;
	*ret = closed(q, c, l->zone, from, opens);
	return true;
}
