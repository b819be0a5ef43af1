/*
 * Claim: n -> leads with a lease, with every field needed later, each sent on its way.
 * Runs on: loop. Called by sched.c.
 * Never claims without room for what it takes (cases 18, 23): the pumps ask for n, no more. Cheapest
 * gates first: what the claim itself tells is looked at before anything is written or asked.
 */
#include "flow_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* ---- checks ------------------------------------------------------------------------------------ */

/* Facts that end a lead whatever it waits for. */
static bool may_be_written_to(struct flow_item *it)
{
	const struct store_claimed *c = it->claimed;

	if (c->suppressed_by)
		return flow_draft_end(it, LEAD_REASON_SUPPRESSED, c->suppressed_by);
	if (c->contacted_by)
		return flow_draft_end(it, LEAD_REASON_ALREADY_CONTACTED, c->contacted_by);
	return true;
}

/* Null means unknown, and only the word "invalid" is invalid (interfaces.md; case 1). */
static bool is_verified(struct flow_item *it)
{
	const char *verdict = lead_get(&it->claimed->lead, "smtp_valid");

	if (!str_ieq(verdict, "invalid"))
		return true;
	return flow_draft_hold(it, LEAD_REASON_VERIFY_INVALID,
		"smtp_valid is invalid: correct it and import again, or leads release");
}

/* Case 61: a list with our own address on it has others that do not belong there. */
static bool is_somebody_else(struct flow_item *it)
{
	if (!conf_find_mailbox(it->plan->conf, it->claimed->lead.email))
		return true;
	return flow_draft_hold(it, LEAD_REASON_BAD_RECORD,
		"this is one of your own mailboxes: coldmail does not write to itself");
}

/* A lead that does not know its step (campaign_gone when it went on) gets the one after the last. */
static bool find_step(struct flow_item *it)
{
	const struct lead *l = &it->claimed->lead;
	int step = conf_find_step(it->campaign, *l->step ? l->step : l->last_step);

	if (!*l->step && !*l->last_step)
		step = 0;
	if (step < 0) {
		char *why =
			xasprintf("step \"%s\" is not in campaign \"%s\" any more: name it again "
				  "in the configuration, then leads release",
				*l->step ? l->step : l->last_step, it->campaign->name);

		flow_draft_hold(it, LEAD_REASON_BAD_RECORD, why);
		free(why);
		return false;
	}
	if (!*l->step && *l->last_step) {
		it->to = flow_record_next(it->campaign, (size_t)step, l->last_sent_ms);
		return false;
	}
	it->step = (size_t)step;
	if (*l->step)
		return true;
	it->to = (struct store_lead_to){ .state = LEAD_QUEUED,
		.stage = LEAD_STAGE_DRAFT,
		.step = it->campaign->steps[0].name,
		.due_ms = -1 };
	return false;
}

/* The step's row says that it is over: the lead follows the ledger, not the other way round. */
static bool is_still_open(struct flow_item *it)
{
	const struct store_email *e = &it->claimed->email;

	if (!it->claimed->has_email || e->state != STORE_EMAIL_DONE)
		return true;
	switch (e->outcome) {
	case STORE_OUTCOME_SENT:
		it->to = flow_record_next(it->campaign, it->step, e->sent_ms);
		return false;
	case STORE_OUTCOME_UNCERTAIN:
		return flow_draft_hold(it, LEAD_REASON_SEND_UNCERTAIN, e->error);
	case STORE_OUTCOME_REFUSED:
		return flow_draft_end(it, LEAD_REASON_BOUNCED, e->error);
	case STORE_OUTCOME_CANCELLED:
	case STORE_OUTCOME_NONE:
		break;
	}
	return flow_draft_end(it, LEAD_REASON_STOPPED, e->error);
}

/* expire_after counts for a follow-up from its due time; for a first mail, which may wait its turn in
 * a long list, from its first attempt. */
static bool is_timely(struct flow_item *it)
{
	const struct store_claimed *c = it->claimed;
	int64_t since = it->step ? c->lead.due_ms : c->has_email ? c->email.date_ms : 0;

	if (!since || clock_wall_ms() - since <= it->campaign->expire_ms)
		return true;
	return flow_draft_end(it, LEAD_REASON_OVERDUE_EXPIRED, "expire_after");
}

/* The limit of its domain is held against the ledger again when its mail is reserved. */
static bool has_domain_room(struct flow_item *it)
{
	const char *at = strrchr(it->claimed->lead.email, '@');

	if (!it->claimed->domain_until_ms || !at || conf_is_webmail(at + 1))
		return true;
	flow_draft_hold(it, LEAD_REASON_DOMAIN_DAILY_LIMIT, FLOW_DOMAIN_FULL);
	it->to.until_ms = it->claimed->domain_until_ms;
	return false;
}

static bool check(struct flow_item *it)
{
	return may_be_written_to(it) && is_somebody_else(it) && is_verified(it) && find_step(it) &&
	       is_still_open(it) && is_timely(it) && has_domain_room(it);
}

/* A draft that was reserved once keeps its words; a fresh one needs no second rendering. */
static bool has_usable_draft(const struct flow_item *it)
{
	const struct store_email *e = &it->claimed->email;
	const struct content_template *t = flow_plan_template(it->plan, it->campaign, it->step);

	if (!it->claimed->has_email || e->state != STORE_EMAIL_READY)
		return false;
	return e->date_ms || str_eq(e->draft_hash, content_template_hash(t));
}

static struct store_lead_to queued(enum lead_stage stage)
{
	return (struct store_lead_to){ .state = LEAD_QUEUED, .stage = stage, .due_ms = -1 };
}

/* ---- drafts ------------------------------------------------------------------------------------ */

static struct flow_batch *batch_of(struct store_req *r)
{
	struct flow_batch *b = xcalloc(1, sizeof *b);

	b->refs = 1;
	b->claim = r->u.claim.instance; /* in the arena */
	b->arena = r->arena;
	r->arena = (struct mem_arena){ 0 };
	return b;
}

static void batch_unref(struct flow_batch *b)
{
	if (--b->refs)
		return;
	mem_arena_done(&b->arena);
	free(b);
}

/* The generation that a claim is made in is the one its items keep. */
static struct store_req *claim_new(
	struct flow_campaign *c, enum lead_stage stage, size_t n, store_done *done)
{
	struct store_req *r = store_req_new(STORE_CLAIM, done, c->fed, flow_plan_ref(flow.plan));
	int64_t recontact = c->conf->recontact_ms;

	r->u.claim.campaign = mem_arena_dup(&r->arena, c->name);
	r->u.claim.stage = stage;
	r->u.claim.domain_limit = c->conf->domain_daily_limit;
	r->u.claim.max = n;
	r->u.claim.before_ms = clock_wall_ms();
	r->u.claim.stopped_steps = flow_steps_stopped(c->conf, &r->arena);
	r->u.claim.instance = mem_arena_printf(
		&r->arena, "%s:%llu", flow.instance, (unsigned long long)++flow.last_id);
	r->u.claim.recontact_since_ms =
		recontact == CLOCK_NEVER_MS ? INT64_MIN : clock_wall_ms() - recontact;
	flow_hours_restrict(c, r);
	flow.claims++;
	return r;
}

/* The campaign that a claim was for. R's plan is still referenced: claim_done() ends it. */
static struct flow_campaign *claim_over(struct store_req *r)
{
	flow.claims--;
	flow_sched_soon();
	if (r->err)
		flow_store_failed(r->err, r->why);
	return flow_campaign_find(r->u.claim.campaign);
}

static void claim_done(struct flow_plan *plan, struct flow_batch *b)
{
	batch_unref(b);
	flow_plan_unref(plan);
	if (flow.draining)
		flow_check_drained();
}

static void enter_draft(struct flow_plan *plan, struct flow_batch *b, struct store_claimed *v)
{
	struct flow_item *it = flow_item_new(FLOW_STAGE_VERIFY, plan, b, v);

	if (flow.draining) {
		it->to = queued(LEAD_STAGE_DRAFT);
	} else if (check(it)) {
		if (!has_usable_draft(it)) {
			flow_enter(it);
			return;
		}
		it->to = queued(LEAD_STAGE_SEND);
	}
	flow_advance(it, FLOW_RETURN);
}

static void on_drafts(struct store_req *r)
{
	struct flow_campaign *c = claim_over(r);
	struct flow_plan *plan = r->arg;
	struct flow_batch *b = batch_of(r);

	c->drafting = false;
	if (!r->err && r->id == c->fed)
		c->draft_after_ms = flow_hours_after(c, plan, r);
	for (size_t i = 0; !r->err && i < r->u.claim.n; i++)
		enter_draft(plan, b, &r->u.claim.v[i]);
	claim_done(plan, b);
}

void flow_claim_drafts(struct flow_campaign *c, size_t n)
{
	c->drafting = true;
	store_send(claim_new(c, LEAD_STAGE_DRAFT, n, on_drafts));
}

/* ---- sends ------------------------------------------------------------------------------------- */

/* An item of this process works on the attempt: its outcome is still to come. */
static bool is_ours(const struct store_attempt *a)
{
	for (size_t i = FLOW_STAGE_RESERVE; i <= FLOW_STAGE_RECORD; i++) {
		list_each (node, &flow.stages[i]) {
			const struct flow_item *it = list_entry(node, struct flow_item, node);

			if (it->attempt == a->n && str_eq(it->claimed->email.key, a->key))
				return true;
		}
	}
	return false;
}

/* The ledger has an open attempt of this step. One that nobody works on is settled first; one that is
 * under way here is left alone, and the lead comes back when it has had time to end. */
static bool is_settled(struct flow_item *it)
{
	const struct store_attempt *last = &it->claimed->last;

	if (!last->n || last->state != STORE_ATTEMPT_RESERVED)
		return true;
	it->sender = NULL;
	if (is_ours(last)) {
		it->to = queued(LEAD_STAGE_SEND);
		it->to.due_ms = clock_wall_ms() + CLOCK_MINUTE_MS;
		flow_advance(it, FLOW_RETURN);
		return false;
	}
	flow_recover_settle(last);
	flow_item_end(it);
	return false;
}

/* A mail whose sender is fixed goes from there and nowhere else (case 14); only when the campaign does
 * not have that one any more, and the mail answers none from there, from another. */
static bool is_for(struct flow_item *it, const struct flow_sender *s)
{
	const struct store_email *e = &it->claimed->email;

	if (!*e->mailbox || str_eq(e->mailbox, s->address))
		return true;
	if (!*e->in_reply_to && !conf_has_mailbox(it->campaign, e->mailbox))
		return true;
	it->to = queued(LEAD_STAGE_SEND);
	it->to.mailbox = e->mailbox;
	return false;
}

static bool has_draft(struct flow_item *it)
{
	if (has_usable_draft(it))
		return true;
	it->to = queued(LEAD_STAGE_DRAFT);
	return false;
}

/* Its zone was open when the claim was made; the store may have taken its time. */
static bool is_in_hours(struct flow_item *it)
{
	it->to = queued(LEAD_STAGE_SEND);
	return flow_hours_of(it).gate == PLAN_OPEN;
}

static void enter_send(struct flow_plan *plan, struct flow_batch *b, struct flow_sender *s,
	struct store_claimed *v)
{
	struct flow_item *it = flow_item_new(FLOW_STAGE_CONNECT, plan, b, v);

	it->sender = s;
	if (!is_settled(it))
		return;
	if (flow.draining) {
		it->to = queued(LEAD_STAGE_SEND);
	} else if (check(it) && has_draft(it) && is_for(it, s) && is_in_hours(it)) {
		mailbox_take(s->mailbox);
		flow_enter(it);
		return;
	}
	it->sender = NULL;
	flow_advance(it, FLOW_RETURN);
}

static void on_sends(struct store_req *r)
{
	struct flow_sender *s = flow_sender_get(r->u.claim.mailbox);
	struct flow_campaign *c = claim_over(r);
	struct flow_plan *plan = r->arg;
	struct flow_batch *b = batch_of(r);

	s->claiming = false;
	if (!r->err && r->id == c->fed)
		flow_sched_feed_of(c, s->address)->send_after_ms = flow_hours_after(c, plan, r);
	for (size_t i = 0; !r->err && i < r->u.claim.n; i++)
		enter_send(plan, b, s, &r->u.claim.v[i]);
	claim_done(plan, b);
}

void flow_claim_sends(struct flow_campaign *c, struct flow_sender *s, size_t n)
{
	struct store_req *r = claim_new(c, LEAD_STAGE_SEND, n, on_sends);

	s->claiming = true;
	r->u.claim.mailbox = mem_arena_dup(&r->arena, s->address);
	store_send(r);
}
