/*
 * Steps that may not go out now, whoever they are for: their content was refused too often, nobody
 * writes them, or nobody reads the answers to the step before.
 * Runs on: loop. Called by what claims, sends and explains.
 * Never judges a mail: what refusals say is refusals.c's.
 */
#include "flow_private.h"

#include "coldmail/clock.h"
#include "coldmail/mem.h"

bool flow_has_writer(const struct conf_campaign *c)
{
	return !c->is_llm || c->falls_back;
}

const char *flow_step_gate(const struct conf_campaign *c, size_t step)
{
	if (!flow_has_writer(c))
		return "llm_none";
	if (c->reads_replies && step)
		return "inbox_stale";
	return flow_refusals_stopped(c, step) ? "content_rejected" : NULL;
}

const char *flow_steps_stopped(const struct conf_campaign *c, struct mem_arena *a)
{
	const char *steps = "";

	for (size_t i = 0; i < c->n_steps; i++)
		if (flow_step_gate(c, i))
			steps = mem_arena_printf(
				a, "%s%s%s", *steps ? steps : "\n", c->steps[i].name, "\n");
	return steps;
}

/* Claims have told that none of its queued leads waits for a step that may go out. */
static bool is_out_of_steps(struct flow_campaign *c)
{
	bool is_out = c->draft_after_ms == CLOCK_NEVER_MS;

	for (size_t i = 0; is_out && i < c->conf->n_mailboxes; i++)
		is_out = flow_sched_feed_of(c, c->conf->mailboxes[i]->address)->send_after_ms ==
			 CLOCK_NEVER_MS;
	return is_out;
}

bool flow_is_stopped(const char *campaign)
{
	struct flow_campaign *c = flow_campaign_find(campaign);
	bool has_gate = false;

	for (size_t i = 0; c && c->conf && i < c->conf->n_steps; i++)
		has_gate = has_gate || flow_step_gate(c->conf, i);
	return has_gate && (!flow_has_writer(c->conf) || is_out_of_steps(c));
}
