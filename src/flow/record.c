/*
 * Record: the outcome first, then what follows from it, once; and the way back for leads that were
 * claimed and not sent.
 * Runs on: loop. Called through the stage table, and by outage.c when the store is back.
 * What the store does not take is kept and written again when it answers; a kill meanwhile leaves
 * the attempt open, and recover.c calls it released or uncertain, never sent twice.
 */
#include "flow_private.h"

#include <stdio.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/fail.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* ---- where a lead goes -------------------------------------------------------------------------- */

struct store_lead_to flow_record_next(const struct conf_campaign *c, size_t step, int64_t sent_ms)
{
	if (step + 1 >= c->n_steps)
		return (struct store_lead_to){ .state = LEAD_ENDED,
			.reason = LEAD_REASON_COMPLETED,
			.until_ms = CLOCK_NEVER_MS,
			.last_step = c->steps[step].name,
			.due_ms = -1 };
	return (struct store_lead_to){ .state = LEAD_QUEUED,
		.stage = LEAD_STAGE_DRAFT,
		.step = c->steps[step + 1].name,
		.last_step = c->steps[step].name,
		.due_ms = sent_ms + c->steps[step + 1].after_ms };
}

static struct store_lead_to lead_after(const struct flow_item *it, const struct flow_trouble *t)
{
	struct store_lead_to to = { .state = LEAD_QUEUED, .stage = LEAD_STAGE_SEND, .due_ms = -1 };

	switch (t->lead) {
	case FLOW_LEAD_NEXT:
		to = flow_record_next(it->campaign, it->step, clock_wall_ms());
		break;
	case FLOW_LEAD_AGAIN:
		break;
	case FLOW_LEAD_DEFER:
		to.state = LEAD_HELD;
		to.reason = t->reason;
		to.until_ms = clock_wall_ms() + t->wait_ms;
		break;
	case FLOW_LEAD_HOLD:
		to.state = LEAD_HELD;
		to.reason = t->reason;
		to.until_ms = CLOCK_NEVER_MS;
		break;
	case FLOW_LEAD_END:
		to.state = LEAD_ENDED;
		to.reason = t->reason;
		break;
	}
	return to;
}

/* The attempt never reached its dot because something here said no. */
static struct flow_trouble released(const struct flow_item *it)
{
	bool waits = it->released_until_ms, ends = it->released_to != LEAD_REASON_NONE && !waits;
	int64_t left_ms = it->released_until_ms - clock_wall_ms();

	return (struct flow_trouble){
		.ruling = { MAIL_CLASS_SERVER_TRANSIENT, it->released },
		.attempt = STORE_ATTEMPT_RELEASED,
		.outcome = ends ? STORE_OUTCOME_CANCELLED : STORE_OUTCOME_NONE,
		.lead = ends    ? FLOW_LEAD_END
			: waits ? FLOW_LEAD_DEFER
				: FLOW_LEAD_AGAIN,
		.wait_ms = left_ms > 0 ? left_ms : 0,
		.reason = it->released_to,
	};
}

static struct flow_trouble fate(const struct flow_item *it)
{
	/* What the server said outranks our wish to let go. */
	return it->released && it->verdict.outcome == MAIL_OUTCOME_NOT_SENT
		       ? released(it)
		       : flow_trouble_of(&it->verdict,
				 flow_trouble_ruling(it->plan->classes, &it->verdict), it->attempt,
				 &it->claimed->past, clock_wall_ms());
}

/* ---- writing it down ---------------------------------------------------------------------------- */

void flow_record_log(
	const struct store_attempt *a, const struct store_req *outcome, const char *delays)
{
	log_event(LOG_INFO, "send", LOG_S("lead", a->lead_id), LOG_S("campaign", a->campaign),
		LOG_S("step", a->step), LOG_I("attempt", a->n), LOG_S("mailbox", a->mailbox),
		LOG_S("to", a->to), LOG_S("outcome", store_attempt_name(outcome->u.outcome.state)),
		LOG_S("class", outcome->u.outcome.class),
		LOG_S("reason", outcome->u.outcome.reason), LOG_I("code", outcome->u.outcome.code),
		LOG_S("reply", outcome->u.outcome.text), LOG_S("message_id", a->message_id),
		LOG_S("delays", delays));
}

static void log_send(const struct store_req *r, const struct flow_item *it)
{
	const struct store_email *e = &it->claimed->email;
	const struct store_attempt a = { .lead_id = it->claimed->lead.id,
		.campaign = e->campaign,
		.step = e->step,
		.n = it->attempt,
		.mailbox = it->from,
		.to = e->to,
		.message_id = it->message_id };
	char delays[64];

	snprintf(delays, sizeof delays, "%.1f/%.1f/%.1f", r->u.outcome.delays[0],
		r->u.outcome.delays[1], r->u.outcome.delays[2]);
	flow_record_log(&a, r, delays);
}

static void count(enum store_attempt_state s)
{
	flow.stats.sent += s == STORE_ATTEMPT_SENT;
	flow.stats.refused += s == STORE_ATTEMPT_REFUSED;
	flow.stats.uncertain += s == STORE_ATTEMPT_UNCERTAIN;
	if (s == STORE_ATTEMPT_SENT || s == STORE_ATTEMPT_UNCERTAIN)
		flow.stats.last_sent_ms = clock_wall_ms();
}

static void lead_went(const struct flow_item *it, const struct store_lead_to *to)
{
	struct flow_campaign *c = flow_campaign_find(it->campaign->name);

	if (to->state == LEAD_HELD) {
		flow.stats.held++;
		flow_sched_held_until(to->until_ms);
	}
	if (!c || to->state != LEAD_QUEUED)
		return;
	if (to->stage == LEAD_STAGE_SEND)
		flow_sched_feed(c, to->mailbox ? to->mailbox : "");
	else
		flow_sched_draft_at(c, to->due_ms < 0 ? 0 : to->due_ms);
}

/* The store did not take it: keep the item where it is, flow_record_redo() enters it again. */
static bool keep_for_later(struct flow_item *it, const struct store_req *r)
{
	if (!flow_err_is_store(r->err))
		return false;
	it->unrecorded = true;
	flow.stats.unrecorded++;
	flow_store_failed(r->err, r->why);
	return true;
}

static void on_outcome(struct store_req *r)
{
	struct flow_item *it = flow_item_find(r->id);

	if (!it || keep_for_later(it, r))
		return;
	fail_point("outcome.after");
	if (r->err)
		log_event(LOG_ERR, "outcome_refused", LOG_S("lead", it->claimed->lead.id),
			LOG_S("state", store_attempt_name(r->u.outcome.state)),
			LOG_S("why", r->why));
	else
		log_send(r, it);
	count(r->u.outcome.state);
	flow_sched_reached();
	lead_went(it, &r->u.outcome.to);
	flow_item_end(it);
}

static void suppress(struct store_req *r, const struct flow_trouble *t, const char *to)
{
	const char *at = strrchr(to, '@');

	if (t->suppress == FLOW_SUPPRESS_NOBODY)
		return;
	r->u.outcome.suppress_reason = lead_reason_name(LEAD_REASON_BOUNCED);
	if (t->suppress == FLOW_SUPPRESS_DOMAIN && at) {
		r->u.outcome.suppress = mem_arena_printf(&r->arena, "*%s", at);
		r->u.outcome.suppress_until_ms = clock_wall_ms() + t->suppress_ms;
	} else {
		r->u.outcome.suppress = mem_arena_dup(&r->arena, to);
	}
}

/* The attempt: who is at fault, and what was said. */
static void put_verdict(
	struct store_req *r, const struct flow_item *it, const struct flow_trouble *t)
{
	const struct mail_verdict *v = &it->verdict;
	const char *class = mail_class_name(t->ruling.class);

	r->u.outcome.state = t->attempt;
	r->u.outcome.class = mem_arena_dup(
		&r->arena, t->attempt == STORE_ATTEMPT_RELEASED ? it->released : class);
	r->u.outcome.reason = mem_arena_dup(&r->arena, t->ruling.reason);
	r->u.outcome.code = v->code;
	r->u.outcome.text = it->released ? mem_arena_printf(&r->arena, "released: %s", it->released)
					 : mem_arena_printf(&r->arena, "%s%s%s", v->enhanced,
						   *v->enhanced ? " " : "", v->text);
	if (t->attempt == STORE_ATTEMPT_REFUSED)
		r->u.outcome.error = mem_arena_printf(&r->arena, "%s (%s): %d %s", class,
			t->ruling.reason, v->code, r->u.outcome.text);
	r->u.outcome.queue_id = mem_arena_dup(&r->arena, v->queue_id);
	r->u.outcome.server_message_id = mem_arena_dup(
		&r->arena, str_eq(v->message_id, it->message_id) ? "" : v->message_id);
	for (size_t i = 0; i < 3; i++)
		r->u.outcome.delays[i] = (double)v->delay_ms[i] / 1000.0;
}

static void send_outcome(struct flow_item *it, const struct flow_trouble *t)
{
	struct store_req *r = store_req_new(STORE_OUTCOME, on_outcome, it->id, NULL);
	const struct store_email *e = &it->claimed->email;

	r->u.outcome.key = mem_arena_dup(&r->arena, e->key);
	r->u.outcome.n = it->attempt;
	r->u.outcome.claim = mem_arena_dup(&r->arena, it->batch->claim);
	put_verdict(r, it, t);
	r->u.outcome.email_outcome = t->outcome;
	r->u.outcome.email_state =
		t->outcome == STORE_OUTCOME_NONE ? STORE_EMAIL_READY : STORE_EMAIL_DONE;
	r->u.outcome.lead_id = mem_arena_dup(&r->arena, it->claimed->lead.id);
	r->u.outcome.to = lead_after(it, t);
	r->u.outcome.to.step = mem_arena_dup(&r->arena, r->u.outcome.to.step);
	r->u.outcome.to.last_step = mem_arena_dup(&r->arena, r->u.outcome.to.last_step);
	r->u.outcome.to.mailbox = mem_arena_dup(&r->arena, it->from);
	suppress(r, t, e->to);
	r->person = mem_arena_dup(&r->arena, it->claimed->lead.person);
	store_send(r);
}

/* What the fate of IT says about its mailbox, and together with others about more than that. */
static void tell(struct flow_sender *s, const struct flow_item *it, const struct flow_trouble *t)
{
	bool is_sent = t->attempt == STORE_ATTEMPT_SENT;
	enum flow_counts counts =
		flow_trouble_counts(t->attempt, mail_class_name(t->ruling.class), it->verdict.code);

	flow_refusals_note(s, it, counts);
	if (t->has_fault)
		flow_sender_fault(s, t->fault, &it->verdict);
	else if (is_sent)
		mailbox_succeed(s->mailbox);
	if (counts == FLOW_COUNTS_SENT || counts == FLOW_COUNTS_BOUNCE)
		flow_guard_saw(it->from, it->campaign->name, counts == FLOW_COUNTS_BOUNCE);
}

void flow_record_enter(struct flow_item *it)
{
	struct flow_trouble t = fate(it);

	fail_point("outcome.before");
	if (it->sender) { /* not so when the store is asked again */
		struct flow_sender *s = it->sender;

		it->from = mailbox_name(s->mailbox);
		tell(s, it, &t); /* while the mail is still one under way */
		flow_sender_leave(it);
		flow_sched_soon();
	}
	send_outcome(it, &t);
}

static void on_given_back(struct store_req *r)
{
	struct flow_item *it = flow_item_find(r->id);

	if (!it || keep_for_later(it, r))
		return;
	/* CM_ESTATE: somebody stopped the lead meanwhile; that word stands. */
	if (!r->err && it->to.state == LEAD_HELD)
		log_event(LOG_INFO, "held", LOG_S("lead", it->claimed->lead.id),
			LOG_S("campaign", it->campaign->name), LOG_S("to", it->claimed->lead.email),
			LOG_S("reason", lead_reason_name(it->to.reason)), LOG_S("why", it->error));
	else if (!r->err && it->to.state == LEAD_ENDED)
		log_event(LOG_INFO, "ended", LOG_S("lead", it->claimed->lead.id),
			LOG_S("campaign", it->campaign->name), LOG_S("to", it->claimed->lead.email),
			LOG_S("reason", lead_reason_name(it->to.reason)), LOG_S("why", it->error));
	lead_went(it, &it->to);
	flow_item_end(it);
}

void flow_record_give_back(struct flow_item *it)
{
	struct store_req *r = store_req_new(STORE_LEAD_SET, on_given_back, it->id, NULL);

	r->u.lead_set.lead_id = mem_arena_dup(&r->arena, it->claimed->lead.id);
	r->u.lead_set.claim = mem_arena_dup(&r->arena, it->batch->claim);
	r->u.lead_set.to = it->to;
	r->u.lead_set.to.step = mem_arena_dup(&r->arena, it->to.step);
	r->u.lead_set.to.last_step = mem_arena_dup(&r->arena, it->to.last_step);
	r->u.lead_set.to.mailbox = mem_arena_dup(&r->arena, it->to.mailbox);
	r->u.lead_set.cancel = it->cancel;
	r->u.lead_set.error = mem_arena_dup(&r->arena, it->error);
	r->person = mem_arena_dup(&r->arena, it->claimed->lead.person);
	store_send(r);
}

void flow_record_redo(void)
{
	GPtrArray *again = g_ptr_array_new();
	GHashTableIter i;
	void *it;

	g_hash_table_iter_init(&i, flow.items);
	while (g_hash_table_iter_next(&i, NULL, &it))
		if (((struct flow_item *)it)->unrecorded)
			g_ptr_array_add(again, it);
	flow.stats.unrecorded = 0;
	for (guint k = 0; k < again->len; k++) {
		((struct flow_item *)again->pdata[k])->unrecorded = false;
		flow_enter(again->pdata[k]);
	}
	g_ptr_array_unref(again);
}
