/*
 * Pace: one primitive for "when may the next one go": not before a time, a minimum separation with
 * seeded jitter, and a rolling day. Pure; every time is given by the caller (wall, ms).
 * Runs on: loop. Private to src/mailbox.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct mailbox_pace {
	int64_t gap_min_ms, gap_max_ms;
	int limit; /* the most slots that a day may ever have */
	int64_t *ring; /* owned, of CAP: the slots of MAILBOX_PAST_MS and at least the newest
	                  `limit`; oldest at `head` */
	size_t cap, head, n;
	int64_t last_ms; /* newest slot ever; 0: none */
	int64_t tried_ms; /* newest try that had no slot; 0: none */
	int64_t not_before_ms; /* the newer of both + the gap drawn for it */
	uint64_t seed;
};

void mailbox_pace_init(struct mailbox_pace *p, uint64_t seed);
void mailbox_pace_done(struct mailbox_pace *p);
/* New limits; what was counted stays counted, whatever the limit was meanwhile, and a new range of
 * gaps counts from the last slot. */
void mailbox_pace_set(struct mailbox_pace *p, int64_t gap_min_ms, int64_t gap_max_ms, int limit);
/* A slot was taken at AT_MS: counts for the day and draws the next gap. */
void mailbox_pace_add(struct mailbox_pace *p, int64_t at_ms);
/* A server was asked at AT_MS and said no before the slot: draws the next gap. */
void mailbox_pace_try(struct mailbox_pace *p, int64_t at_ms);
/* Slots in the 24 h before NOW_MS, and since SINCE_MS. */
size_t mailbox_pace_used(const struct mailbox_pace *p, int64_t now_ms);
size_t mailbox_pace_since(const struct mailbox_pace *p, int64_t since_ms);
/* When the last 24 h have room for one more of at most CAP; NOW_MS or earlier: now. IN_USE mails have no
 * slot yet. */
int64_t mailbox_pace_day_opens(
	const struct mailbox_pace *p, int64_t now_ms, int cap, size_t in_use);
