/*
 * Recovery: attempts that nobody works on any more. Each gets its slot voided; if that won, it is
 * released, certainly not sent; if the slot is there, it is uncertain.
 * Runs on: loop. Called by outage.c when the store was opened, by draft.c and verbs.c for one
 * attempt.
 * Never: calls an attempt sent, or closes one that it cannot read.
 */
#include "flow_private.h"

#include "coldmail/err.h"
#include "coldmail/fail.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/clock.h"

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

bool flow_recover_is_busy(void)
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
	o->a.step = mem_arena_dup(&o->arena, a->step);
	o->a.to = mem_arena_dup(&o->arena, a->to);
	o->a.message_id = mem_arena_dup(&o->arena, a->message_id);
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
	flow_record_log(&o->a, r, NULL);
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
	r->u.outcome.class = sure ? "recovery" : mail_class_name(MAIL_CLASS_UNKNOWN);
	r->u.outcome.reason = sure ? "" : "no-answer";
	r->u.outcome.text = sure ? "released: the process ended before the dot"
				 : "the process ended while the mail was in transmission";
	r->u.outcome.queue_id = r->u.outcome.server_message_id = "";
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

void flow_recover_settle(const struct store_attempt *a)
{
	settle(open_attempt_new(a));
}

void flow_recover_redo(void)
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
			flow_recover_settle(last);
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

void flow_recover(void (*then)(void))
{
	rec.then = then;
	next_page();
}

void flow_recover_on_quick_check(struct store_req *r)
{
	if (r->err)
		log_event(LOG_ERR, "store_damaged", LOG_S("why", r->why),
			LOG_S("remedy", "stop coldmail and restore a backup"));
	for (size_t i = 0; i < r->u.quick_check.n; i++) {
		const struct store_idle_suppression *s = &r->u.quick_check.v[i];

		log_event(LOG_WARNING, "suppression_idle", LOG_S("pattern", s->pattern),
			LOG_S("why", s->why), LOG_S("remedy", s->remedy));
	}
}
