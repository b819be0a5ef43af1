/*
 * Pace (pace.h): gap with jitter and the rolling day of one mailbox.
 * Runs on: loop. Called by pool.c. Pure: knows no clock, no ledger, no state.
 * A step back of the clock grants nothing: a slot in the future counts until 24 h after it.
 */
#include "pace.h"

#include <stdbool.h>

#include "coldmail/mailbox.h"
#include "coldmail/mem.h"

/* splitmix64 (Steele, Lea, Flood 2014): enough for jitter, the same for the same seed. */
static uint64_t draw(uint64_t *seed)
{
	uint64_t z = *seed += 0x9E3779B97F4A7C15u;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

void mailbox_pace_init(struct mailbox_pace *p, uint64_t seed)
{
	*p = (struct mailbox_pace){ .seed = seed };
}

void mailbox_pace_done(struct mailbox_pace *p)
{
	free(p->ring);
	p->ring = NULL;
	p->cap = p->n = p->head = 0;
}

static int64_t slot_at(const struct mailbox_pace *p, size_t i)
{
	return p->ring[(p->head + i) % p->cap];
}

static void draw_gap(struct mailbox_pace *p)
{
	uint64_t span = (uint64_t)(p->gap_max_ms - p->gap_min_ms) + 1;

	int64_t newest = p->last_ms > p->tried_ms ? p->last_ms : p->tried_ms;

	p->not_before_ms = newest + p->gap_min_ms + (int64_t)(draw(&p->seed) % span);
}

void mailbox_pace_set(struct mailbox_pace *p, int64_t gap_min_ms, int64_t gap_max_ms, int limit)
{
	bool is_other_gap = gap_min_ms != p->gap_min_ms || gap_max_ms != p->gap_max_ms;

	p->gap_min_ms = gap_min_ms;
	p->gap_max_ms = gap_max_ms;
	if (is_other_gap && (p->last_ms || p->tried_ms))
		draw_gap(p); /* the one under way was drawn from the old range */
	p->limit = limit;
}

static void grow(struct mailbox_pace *p)
{
	size_t cap = p->cap ? 2 * p->cap : 32;
	int64_t *ring = xcalloc(cap, sizeof *ring);

	for (size_t i = 0; i < p->n; i++)
		ring[i] = slot_at(p, i);
	free(p->ring);
	p->ring = ring;
	p->cap = cap;
	p->head = 0;
}

void mailbox_pace_add(struct mailbox_pace *p, int64_t at_ms)
{
	if (at_ms < p->last_ms)
		at_ms = p->last_ms; /* the clock stepped back */
	while (p->n >= (size_t)p->limit && slot_at(p, 0) <= at_ms - MAILBOX_PAST_MS) {
		p->head = (p->head + 1) % p->cap;
		p->n--;
	}
	if (p->n == p->cap)
		grow(p);
	p->ring[(p->head + p->n++) % p->cap] = at_ms;
	p->last_ms = at_ms;
	draw_gap(p);
}

void mailbox_pace_try(struct mailbox_pace *p, int64_t at_ms)
{
	if (at_ms > p->tried_ms) /* the clock may have stepped back */
		p->tried_ms = at_ms;
	draw_gap(p);
}

size_t mailbox_pace_since(const struct mailbox_pace *p, int64_t since_ms)
{
	size_t lo = 0, hi = p->n; /* the ring is in order: find the first slot that counts */

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (slot_at(p, mid) >= since_ms)
			hi = mid;
		else
			lo = mid + 1;
	}
	return p->n - lo;
}

size_t mailbox_pace_used(const struct mailbox_pace *p, int64_t now_ms)
{
	return mailbox_pace_since(p, now_ms - CLOCK_DAY_MS + 1);
}

int64_t mailbox_pace_day_opens(const struct mailbox_pace *p, int64_t now_ms, int cap, size_t in_use)
{
	size_t used = mailbox_pace_used(p, now_ms);

	if (used + in_use < (size_t)cap)
		return now_ms;
	/* So many of the oldest slots have to leave the day before one more fits. */
	size_t leave = used + in_use + 1 - (size_t)cap;
	if (leave > used)
		return CLOCK_NEVER_MS; /* only mails under way are in the way */
	return slot_at(p, p->n - used + leave - 1) + CLOCK_DAY_MS;
}
