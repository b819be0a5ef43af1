/*
 * Record: the outcome first, then what follows from it, once; and the way back for leads that were
 * claimed and not sent. Also recovery: attempts that an earlier process left open.
 * Runs on: loop. Called through the stage table and at birth.
 * What the store does not take is kept and written again when it answers; a kill meanwhile leaves
 * the attempt open, and recovery calls it released or uncertain, never sent twice.
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
	bool ends = it->released_to != LEAD_REASON_NONE;

	return (struct flow_trouble){
		.class = it->released,
		.attempt = STORE_ATTEMPT_RELEASED,
		.outcome = ends ? STORE_OUTCOME_CANCELLED : STORE_OUTCOME_NONE,
		.lead = ends ? FLOW_LEAD_END : FLOW_LEAD_AGAIN,
		.reason = it->released_to,
	};
}

static struct flow_trouble fate(const struct flow_item *it)
{
	/* What the server said outranks our wish to let go. */
	return it->released && it->verdict.outcome == MAIL_OUTCOME_NOT_SENT
		       ? released(it)
		       : flow_trouble_of(&it->verdict, it->attempt);
}

/* ---- writing it down ---------------------------------------------------------------------------- */

/* interfaces.md, "Log lines": one closing line per attempt, and only when the ledger says so, too. */
static void log_send(const struct store_req *r, const struct flow_item *it)
{
	const struct store_email *e = &it->claimed->email;
	char delays[64];

	snprintf(delays, sizeof delays, "%.1f/%.1f/%.1f", r->u.outcome.delays[0],
		r->u.outcome.delays[1], r->u.outcome.delays[2]);
	log_event(LOG_INFO, "send", LOG_S("lead", it->claimed->lead.id),
		LOG_S("campaign", e->campaign), LOG_S("step", e->step),
		LOG_I("attempt", it->attempt), LOG_S("mailbox", it->from), LOG_S("to", e->to),
		LOG_S("outcome", store_attempt_name(r->u.outcome.state)),
		LOG_I("code", r->u.outcome.code), LOG_S("reply", r->u.outcome.text),
		LOG_S("message_id", it->message_id), LOG_S("delays", delays));
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

static void send_outcome(struct flow_item *it, const struct flow_trouble *t)
{
	struct store_req *r = store_req_new(STORE_OUTCOME, on_outcome, it->id, NULL);
	const struct store_email *e = &it->claimed->email;

	r->u.outcome.key = mem_arena_dup(&r->arena, e->key);
	r->u.outcome.n = it->attempt;
	r->u.outcome.claim = mem_arena_dup(&r->arena, it->batch->claim);
	r->u.outcome.state = t->attempt;
	r->u.outcome.class = mem_arena_dup(&r->arena, t->class);
	r->u.outcome.code = it->verdict.code;
	r->u.outcome.text = it->released
				    ? mem_arena_printf(&r->arena, "released: %s", it->released)
				    : mem_arena_printf(&r->arena, "%s%s%s", it->verdict.enhanced,
					      *it->verdict.enhanced ? " " : "", it->verdict.text);
	r->u.outcome.queue_id = mem_arena_dup(&r->arena, it->verdict.queue_id);
	for (size_t i = 0; i < 3; i++)
		r->u.outcome.delays[i] = (double)it->verdict.delay_ms[i] / 1000.0;
	r->u.outcome.email_outcome = t->outcome;
	r->u.outcome.email_state =
		t->outcome == STORE_OUTCOME_NONE ? STORE_EMAIL_READY : STORE_EMAIL_DONE;
	r->u.outcome.lead_id = mem_arena_dup(&r->arena, it->claimed->lead.id);
	r->u.outcome.to = lead_after(it, t);
	r->u.outcome.to.step = mem_arena_dup(&r->arena, r->u.outcome.to.step);
	r->u.outcome.to.last_step = mem_arena_dup(&r->arena, r->u.outcome.to.last_step);
	r->u.outcome.to.mailbox = mem_arena_dup(&r->arena, it->from);
	if (t->suppress) {
		r->u.outcome.suppress = mem_arena_dup(&r->arena, e->to);
		r->u.outcome.suppress_reason = mem_arena_printf(
			&r->arena, "bounced: %d %s", it->verdict.code, r->u.outcome.text);
	}
	r->person = mem_arena_dup(&r->arena, it->claimed->lead.person);
	store_send(r);
}

void flow_record_enter(struct flow_item *it)
{
	struct flow_trouble t = fate(it);

	fail_point("outcome.before");
	if (it->sender) { /* not so when the store is asked again */
		struct mailbox *m = it->sender->mailbox;

		it->from = mailbox_name(m);
		flow_sender_leave(it);
		if (t.throttle)
			mailbox_throttle(m, it->verdict.text);
		else if (t.attempt == STORE_ATTEMPT_SENT)
			mailbox_succeed(m);
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

/* ---- recovery ----------------------------------------------------------------------------------- */

#define RECOVER_PAGE 256

static struct {
	void (*then)(void); /* NULL: not recovering */
	size_t settling;
	bool asking; /* for the next page of attempts, or for the leases */
	char *after; /* owned: the last attempt listed */
	GPtrArray *later; /* owned: VOID requests' attempts that the store did not take */
	size_t released, uncertain;
} rec;

static void next_page(void);

static void go_on(void)
{
	if (rec.then && !rec.settling && !rec.asking && !rec.later)
		next_page();
}

static void settled(void)
{
	rec.settling--;
	go_on();
	flow_sched_soon();
}

bool flow_record_is_settling(void)
{
	return rec.settling;
}

/* An attempt with memory of its own. */
struct open_attempt {
	struct mem_arena arena;
	struct store_attempt a;
};

static void open_attempt_free(void *p)
{
	struct open_attempt *o = p;

	mem_arena_done(&o->arena);
	free(o);
}

static struct open_attempt *open_attempt_new(const struct store_attempt *a)
{
	struct open_attempt *o = xcalloc(1, sizeof *o);

	o->a = *a;
	o->a.key = mem_arena_dup(&o->arena, a->key);
	o->a.campaign = mem_arena_dup(&o->arena, a->campaign);
	o->a.lead_id = mem_arena_dup(&o->arena, a->lead_id);
	o->a.mailbox = mem_arena_dup(&o->arena, a->mailbox);
	return o;
}

/* The store failed: O is settled when it is back. */
static void put_off(struct open_attempt *o, const struct store_req *r)
{
	if (!rec.later)
		rec.later = g_ptr_array_new_with_free_func(open_attempt_free);
	g_ptr_array_add(rec.later, o);
	flow_store_failed(r->err, r->why);
}

/* R was about O and did not go through. */
static void not_settled(struct open_attempt *o, const struct store_req *r)
{
	if (flow_err_is_store(r->err)) {
		put_off(o, r);
	} else { /* its ledger is not what it was: it stays open, and its lead with it */
		log_event(LOG_ERR, "not_settled", LOG_S("attempt", o->a.key), LOG_I("n", o->a.n),
			LOG_S("lead", o->a.lead_id), LOG_S("why", r->why));
		open_attempt_free(o);
	}
	settled();
}

static void on_settled(struct store_req *r)
{
	struct open_attempt *o = r->arg;
	bool sure = r->u.outcome.state == STORE_ATTEMPT_RELEASED;

	if (r->err) {
		not_settled(o, r);
		return;
	}
	rec.released += sure;
	rec.uncertain += !sure;
	log_event(sure ? LOG_INFO : LOG_WARNING, "settled",
		LOG_S("attempt", mem_arena_printf(&r->arena, "%s#%d", o->a.key, o->a.n)),
		LOG_S("lead", o->a.lead_id),
		LOG_S("outcome", store_attempt_name(r->u.outcome.state)));
	struct flow_campaign *c = flow_campaign_find(o->a.campaign);
	if (c && sure) { /* its lead is queued again */
		c->strays = true;
		flow_sched_feed(c, "");
	}
	open_attempt_free(o);
	settled();
}

/* Whose slot is it? void: certainly not sent. transmitting: the dot may have left. */
static void on_voided(struct store_req *v)
{
	struct open_attempt *o = v->arg;
	bool sure = v->u.void_.slot == STORE_SLOT_VOID;

	if (v->err) {
		not_settled(o, v);
		return;
	}
	struct store_req *r = store_req_new(STORE_OUTCOME, on_settled, 0, o);
	r->u.outcome.key = mem_arena_dup(&r->arena, o->a.key);
	r->u.outcome.n = o->a.n;
	r->u.outcome.state = sure ? STORE_ATTEMPT_RELEASED : STORE_ATTEMPT_UNCERTAIN;
	r->u.outcome.class = sure ? "recovery" : "unknown";
	r->u.outcome.text = sure ? "released: the process ended before the dot"
				 : "the process ended while the mail was in transmission";
	r->u.outcome.queue_id = "";
	r->u.outcome.email_state = sure ? STORE_EMAIL_READY : STORE_EMAIL_DONE;
	r->u.outcome.email_outcome = sure ? STORE_OUTCOME_NONE : STORE_OUTCOME_UNCERTAIN;
	r->u.outcome.lead_id = mem_arena_dup(&r->arena, o->a.lead_id);
	r->u.outcome.to = (struct store_lead_to){ .state = sure ? LEAD_QUEUED : LEAD_HELD,
		.reason = sure ? LEAD_REASON_NONE : LEAD_REASON_SEND_UNCERTAIN,
		.until_ms = CLOCK_NEVER_MS,
		.stage = LEAD_STAGE_SEND,
		.due_ms = -1,
		.mailbox = mem_arena_dup(&r->arena, o->a.mailbox) };
	fail_point("recover.outcome");
	store_send(r);
}

static void settle(struct open_attempt *o)
{
	struct store_req *r = store_req_new(STORE_VOID, on_voided, 0, o);

	r->u.void_.key = mem_arena_dup(&r->arena, o->a.key);
	r->u.void_.n = o->a.n;
	r->u.void_.reason = "recovery";
	rec.settling++;
	fail_point("recover.void");
	store_send(r);
}

void flow_record_settle(const struct store_attempt *a)
{
	settle(open_attempt_new(a));
}

static void settle_later(void)
{
	GPtrArray *later = rec.later;

	rec.later = NULL;
	if (later) {
		g_ptr_array_set_free_func(later, NULL);
		for (guint i = 0; i < later->len; i++)
			settle(later->pdata[i]);
		g_ptr_array_unref(later);
	}
	go_on();
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
	settle_later();
	for (guint k = 0; k < again->len; k++) {
		((struct flow_item *)again->pdata[k])->unrecorded = false;
		flow_enter(again->pdata[k]);
	}
	g_ptr_array_unref(again);
}

static void on_recovered(struct store_req *r);

static void recover_leases(void)
{
	struct store_req *r = store_req_new(STORE_RECOVER, on_recovered, 0, NULL);

	r->u.recover.max = RECOVER_PAGE;
	rec.asking = true;
	store_send(r);
}

static void on_recovered(struct store_req *r)
{
	rec.asking = false;
	if (r->err) {
		flow_store_failed(r->err, r->why);
		return;
	}
	if (r->u.recover.n == r->u.recover.max) {
		recover_leases();
		return;
	}
	if (rec.released || rec.uncertain)
		log_event(rec.uncertain ? LOG_WARNING : LOG_NOTICE, "recovered",
			LOG_I("released", rec.released), LOG_I("uncertain", rec.uncertain));
	void (*then)(void) = rec.then;

	rec.then = NULL;
	free(rec.after);
	rec.after = NULL;
	then();
}

/* Settles what a page has; the last of it, NULL: nothing. An id that cannot be read names no slot
 * that could be void, and no place in the order of pages. */
static const struct store_attempt *settle_page(const struct store_attempt *v, size_t n)
{
	const struct store_attempt *last = NULL;

	for (size_t i = 0; i < n; i++) {
		if (v[i].n) {
			last = &v[i];
			flow_record_settle(last);
		} else {
			log_event(LOG_ERR, "not_settled", LOG_S("lead", v[i].lead_id),
				LOG_S("why", "its id is not readable"));
		}
	}
	return last;
}

static void on_page(struct store_req *r)
{
	const struct store_attempt *last;

	rec.asking = false;
	if (r->err) {
		flow_store_failed(r->err, r->why);
		return;
	}
	last = settle_page(r->u.attempts.v, r->u.attempts.n);
	if (!last) {
		recover_leases();
		return;
	}
	free(rec.after);
	rec.after = xasprintf("%s#%d", last->key, last->n);
}

static void next_page(void)
{
	struct store_req *r = store_req_new(STORE_OPEN_ATTEMPTS, on_page, 0, NULL);

	rec.asking = true;
	r->u.attempts.after = mem_arena_dup(&r->arena, rec.after);
	r->u.attempts.max = RECOVER_PAGE;
	store_send(r);
}

void flow_record_recover(void (*then)(void))
{
	rec.then = then;
	next_page();
}

void flow_record_on_quick_check(struct store_req *r)
{
	if (r->err)
		log_event(LOG_ERR, "store_damaged", LOG_S("why", r->why),
			LOG_S("remedy", "stop coldmail and restore a backup"));
}
