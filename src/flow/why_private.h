/*
 * Inside `why`: a question, from what is asked of the store (why_ask.c) to what is answered (why.c).
 * Runs on: loop. Private to src/flow/why*.c.
 */
#pragma once

#include "flow_private.h"

/* One question under way: it collects the store's answers, then explains. */
struct question {
	uint64_t id;
	struct mem_arena arena;
	flow_explained *cb;
	void *arg;
	const char *subject; /* NULL: everything */
	size_t waiting; /* store answers still to come */
	bool is_unknown; /* the subject; it may be a campaign that is gone */
	bool is_blind; /* the store did not say how many leads there are, or when they are due */
	int err;
	struct store_tally *tally;
	size_t n_tally;
	struct due {
		const char *campaign;
		int64_t draft_ms, send_ms, wake_ms, due_now;
		struct store_stray *strays; /* n_strays */
		size_t n_strays;
		struct store_bucket *buckets; /* n_buckets */
		size_t n_buckets;
	} * due;
	size_t n_due;
	struct lead *lead; /* the subject is an address */
	int64_t opens_ms; /* when the campaign that may send first may; NEVER: none may */
	size_t binds; /* 1 + index of what binds; 0: nothing is in the way */
	struct flow_reason *v;
	size_t n, cap;
};

/* why_wait.c: value, limit and until of what a mail under way waits for. */
void flow_why_lead_waits(struct mem_arena *a, const char *lead_id, struct flow_reason *ret);
/* Returns the address of the mailbox that waits for its server; NULL: none does, *RET is untouched. */
const char *flow_why_campaign_waits(
	struct mem_arena *a, const char *campaign, struct flow_reason *ret);

/* why_hours.c: the window of C, when it keeps the leads of D from going out at the moment their step is due
 * and a mailbox has room; false: it does not. */
bool flow_why_hours(struct question *q, const struct conf_campaign *c, const struct due *d,
	struct flow_reason *ret);
/* The same for one lead, due at DUE_MS; its mailboxes do not count. */
bool flow_why_hours_of_lead(struct question *q, const struct lead *l, struct flow_reason *ret);

/* Leads of CAMPAIGN that are not at their end. */
int64_t flow_why_unfinished(const struct question *q, const char *campaign);
/* Everything Q asked for is there: tells who asked. */
void flow_why_answer(struct question *q);
