/*
 * A mailbox's closed gate in words: what is, and what it is held against.
 * Runs on: loop. Called by why.c. Pure but for the clock.
 */
#include "flow_private.h"

#include "coldmail/clock.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

static const char *gap_of(struct mem_arena *a, const struct mailbox_info *m)
{
	char lo[32], hi[32];

	str_duration(m->gap_min_ms, lo);
	str_duration(m->gap_max_ms, hi);
	return str_eq(lo, hi) ? mem_arena_dup(a, lo) : mem_arena_printf(a, "%s to %s", lo, hi);
}

static const char *cap_of(struct mem_arena *a, const struct mailbox_info *m)
{
	return *m->cap_why ? mem_arena_printf(a, "%d (%s)", m->cap, m->cap_why)
			   : mem_arena_printf(a, "%d", m->cap);
}

struct flow_reason flow_why_gate(
	struct mem_arena *a, const struct mailbox_info *m, const struct mailbox_gate *gate)
{
	struct flow_reason r = { .subject = mem_arena_printf(a, "mailbox %s", m->address),
		.reason = gate->reason,
		.value = "",
		.limit = "",
		.until_ms = gate->until_ms };
	char ago[32];

	if (str_eq(r.reason, "mailbox_gap") && r.until_ms == CLOCK_NEVER_MS) {
		/* Its end opens the gap anew: what can be said is when it ends at the latest. */
		flow_why_sender_waits(a, flow_sender_get(m->address), &r);
	} else if (str_eq(r.reason, "mailbox_gap")) {
		r.value = mem_arena_printf(a, "the last mail was %s ago",
			str_duration(clock_wall_ms() - m->last_sent_ms, ago));
		r.limit = gap_of(a, m);
	} else if (str_eq(r.reason, "mailbox_daily_limit") || str_eq(r.reason, "mailbox_ramp")) {
		r.value = mem_arena_printf(a, "%d in 24 h, %d today", m->sent_24h, m->sent_today);
		r.limit = cap_of(a, m);
	} else {
		r.trouble = mailbox_state_is_trouble(m->state);
		r.value = mem_arena_dup(a, m->why);
	}
	return r;
}
