/*
 * The damage guard's window: how many of the last mails bounced. A provider closes a mailbox that
 * writes to addresses that are not there, long after it noticed (case 38).
 * Runs on: loop. Called by flow's guard.c, which decides. Pure.
 */
#include "coldmail/mailbox.h"

void mailbox_guard_add(struct mailbox_guard *g, bool bounced)
{
	const uint64_t window = ((uint64_t)1 << MAILBOX_GUARD_MAILS) - 1;

	g->bounced = (g->bounced << 1 | bounced) & window;
}

int mailbox_guard_bounces(const struct mailbox_guard *g)
{
	return __builtin_popcountll(g->bounced);
}

bool mailbox_guard_is_over(const struct mailbox_guard *g, int percent)
{
	int bounces = mailbox_guard_bounces(g);

	return bounces && bounces * 100 >= percent * MAILBOX_GUARD_MAILS;
}
