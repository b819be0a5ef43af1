/*
 * Takeover: an operator says that a store which was restored, copied or moved sends from here on. What
 * its copy may have mailed meanwhile is put in doubt first: of each lead the step that was due at some
 * moment between the ledger's last entry and now, and those after it that would have come due since.
 * Runs on: loop. Called by ops. Nothing is claimed before it is over; killed and asked again, it goes on
 * where it was.
 * Never knows what people did there: whom they imported, released, or told to be written to.
 */
#include "flow_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/fail.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#define PAGE_MAX 256

/* Who is looked at, in this order. */
enum part { OPEN_TRIES, IN_FLIGHT, QUEUED, HELD, N_PARTS };

static struct {
	flow_taken_over *cb; /* NULL: none is under way */
	void *arg;
	bool only_moved, dry_run;
	enum part part;
	char *after; /* owned: where the part is */
	size_t waiting; /* answers to come */
	char *restored, *why; /* owned */
	struct flow_takeover answer;
} over;

static void go_on(void);

/* ---- one lead ----------------------------------------------------------------------------------- */

/* What is put together about a lead: IT is never in the corridor, it only carries what rendering needs. */
struct suspect {
	struct flow_item it;
	struct store_claimed claimed;
	const struct store_req *got; /* its LEAD_GET */
	struct store_email *v; /* the steps in doubt; n */
	size_t n;
};

/* When its step is due without anybody's doing; CLOCK_NEVER_MS: it is not. */
static int64_t due_of(const struct lead *l)
{
	switch (l->state) {
	case LEAD_IN_FLIGHT:
	case LEAD_QUEUED:
		return l->due_ms;
	case LEAD_HELD:
		return l->until_ms > l->due_ms ? l->until_ms : l->due_ms;
	case LEAD_ENDED:
		break;
	}
	return CLOCK_NEVER_MS;
}

static bool is_open(const struct store_attempt *a)
{
	return a->n && a->state == STORE_ATTEMPT_RESERVED && a->slot != STORE_SLOT_VOID;
}

static void add(struct suspect *s, const struct store_email *e)
{
	for (size_t i = 0; i < s->n; i++)
		if (str_eq(s->v[i].key, e->key))
			return;
	s->v[s->n++] = *e;
}

static const struct store_email *email_of_key(const struct store_req *got, const char *key)
{
	for (size_t i = 0; i < got->u.get.n_emails; i++)
		if (str_eq(got->u.get.emails[i].key, key))
			return &got->u.get.emails[i];
	return NULL;
}

static int tries_of(const struct store_req *got, const char *key)
{
	int n = 0;

	for (size_t i = 0; i < got->u.get.n_attempts; i++)
		n += str_eq(got->u.get.attempts[i].key, key);
	return n;
}

static bool add_open(struct suspect *s)
{
	bool any = false;

	for (size_t i = 0; i < s->got->u.get.n_attempts; i++) {
		const struct store_attempt *a = &s->got->u.get.attempts[i];
		const struct store_email *e = is_open(a) ? email_of_key(s->got, a->key) : NULL;

		if (e)
			add(s, e);
		any |= e != NULL;
	}
	return any;
}

/* From whom it would have gone, if that can be known: its Message-ID follows from it. */
static void guess_sender(struct suspect *s, struct store_email *e)
{
	const struct conf_campaign *c = s->it.campaign;

	if (!*e->mailbox)
		e->mailbox = *s->claimed.lead.mailbox ? s->claimed.lead.mailbox
			     : c->n_mailboxes == 1    ? c->mailboxes[0]->address
						      : "";
	if (*e->mailbox && !e->date_ms)
		e->message_id = flow_send_new_message_id(
			&s->it.arena, e, e->mailbox, tries_of(s->got, e->key) + 1);
}

/* In the words that it has, or would have had here. */
static void add_step(struct suspect *s, size_t step)
{
	struct store_email e;

	s->it.step = step;
	if (!flow_draft_find(&s->it, s->got, &e))
		e.subject = e.body = e.draft_hash = "";
	guess_sender(s, &e);
	add(s, &e);
	s->claimed.prev = e;
	s->claimed.has_prev = true;
}

/* The step of a lead whose campaign, or whose step, is not configured: it has a name and no words. */
static void add_nameless(struct suspect *s)
{
	const struct lead *l = &s->claimed.lead;
	char *key = lead_key(l->campaign, l->person, l->step);

	add(s, &(struct store_email){ .key = mem_arena_dup(&s->it.arena, key),
		       .lead_id = l->id,
		       .campaign = l->campaign,
		       .person = l->person,
		       .step = l->step,
		       .followup_number = *l->last_step != '\0',
		       .to = l->email,
		       .mailbox = l->mailbox,
		       .subject = "",
		       .body = "",
		       .draft_hash = "",
		       .message_id = "",
		       .in_reply_to = "",
		       .references = "",
		       .error = "" });
	free(key);
}

/* The index of its next step; -1: nobody knows, n_steps: there is none. */
static int next_step(const struct conf_campaign *c, const struct lead *l)
{
	if (*l->step)
		return conf_find_step(c, l->step);
	if (!*l->last_step)
		return 0;
	int last = conf_find_step(c, l->last_step);
	return last < 0 ? -1 : last + 1;
}

/* Its step, and each one after it that would have come due since, had the one before gone at once. */
static void add_due(struct suspect *s)
{
	const struct conf_campaign *c = s->it.campaign;
	const struct lead *l = &s->claimed.lead;
	int64_t now = s->got->now_ms, at = due_of(l), since = over.answer.since_ms;
	int step = c ? next_step(c, l) : -1;

	if (step < 0 && *l->step)
		add_nameless(s);
	if (at < since)
		at = since;
	for (size_t i = (size_t)step; step >= 0 && i < c->n_steps && at <= now; i++) {
		add_step(s, i);
		if (i + 1 < c->n_steps)
			at += c->steps[i + 1].after_ms;
	}
}

static void on_doubted(struct store_req *r)
{
	fail_point("takeover.after_doubt");
	over.waiting--;
	if (r->err && !over.answer.err) {
		over.answer.err = r->err;
		over.why = xstrdup(r->why);
	}
	over.answer.leads += r->u.doubt.n_new > 0;
	over.answer.steps += r->u.doubt.n_new;
	go_on();
}

static void doubt(const struct suspect *s)
{
	struct store_req *r = store_req_new(STORE_DOUBT, on_doubted, 0, NULL);

	r->u.doubt.lead_id = mem_arena_dup(&r->arena, s->claimed.lead.id);
	r->u.doubt.v = mem_arena_get(&r->arena, s->n * sizeof *s->v);
	r->u.doubt.n = s->n;
	for (size_t i = 0; i < s->n; i++)
		flow_draft_copy(&r->arena, &r->u.doubt.v[i], &s->v[i]);
	r->u.doubt.since_ms = over.answer.since_ms;
	r->u.doubt.instance = mem_arena_dup(&r->arena, flow.instance);
	r->u.doubt.dry_run = over.dry_run;
	r->now_ms = s->got->now_ms;
	r->person = mem_arena_dup(&r->arena, s->got->u.get.email_person);
	over.waiting++;
	fail_point("takeover.before_doubt");
	store_send(r);
}

static bool fail(const struct store_req *r)
{
	if (!r->err)
		return false;
	if (!over.answer.err)
		over.why = xstrdup(r->why);
	over.answer.err = r->err;
	go_on();
	return true;
}

static size_t max_steps(const struct conf *conf)
{
	size_t n = 1;

	for (size_t i = 0; i < conf->n_campaigns; i++)
		if (conf->campaigns[i].n_steps > n)
			n = conf->campaigns[i].n_steps;
	return n;
}

static void on_lead(struct store_req *r)
{
	struct suspect s = { .got = r, .it = { .plan = flow.plan, .claimed = &s.claimed } };
	bool is_known = r->err != CM_ENOENT, has_open;

	over.waiting--;
	if (is_known && fail(r))
		return;
	s.claimed.lead = r->u.get.lead;
	s.v = mem_arena_get(
		&s.it.arena, (r->u.get.n_attempts + max_steps(flow.plan->conf)) * sizeof *s.v);
	has_open = add_open(&s);
	if (is_known) {
		s.it.campaign = conf_find_campaign(flow.plan->conf, s.claimed.lead.campaign);
		if (due_of(&s.claimed.lead) <= r->now_ms)
			add_due(&s);
	}
	/* Who has an open try was looked at because of that. */
	if (over.part == OPEN_TRIES || !has_open)
		doubt(&s);
	mem_arena_done(&s.it.arena);
	go_on();
}

static void ask_lead(const char *address)
{
	struct store_req *r = store_req_new(STORE_LEAD_GET, on_lead, 0, NULL);
	char person[LEAD_PERSON];

	store_person(address, person);
	r->u.get.email = mem_arena_dup(&r->arena, address);
	r->u.get.email_person = mem_arena_dup(&r->arena, person);
	over.waiting++;
	store_send(r);
}

/* ---- page by page ------------------------------------------------------------------------------- */

static void turn_page(const char *after)
{
	free(over.after);
	over.after = xstrdup(after);
	over.part += after == NULL;
}

static void on_tries(struct store_req *r)
{
	const char *after = NULL;

	over.waiting--;
	if (fail(r))
		return;
	for (size_t i = 0; i < r->u.attempts.n; i++) {
		const struct store_attempt *a = &r->u.attempts.v[i];

		if (!a->n)
			continue; /* its id cannot be read: recovery says so */
		after = mem_arena_printf(&r->arena, "%s#%d", a->key, a->n);
		ask_lead(a->to);
	}
	turn_page(after);
	go_on();
}

/* An address that cannot be read comes last, and has no place in the order of pages. */
static void on_leads(struct store_req *r)
{
	const char *after = NULL;

	over.waiting--;
	if (fail(r))
		return;
	for (size_t i = 0; i < r->u.list.n; i++) {
		const struct lead *l = &r->u.list.v[i];

		after = *l->email ? l->email : NULL;
		if (*l->email && due_of(l) <= r->now_ms)
			ask_lead(l->email);
	}
	turn_page(after);
	go_on();
}

static void ask_page(void)
{
	static const enum lead_state states[] = {
		[IN_FLIGHT] = LEAD_IN_FLIGHT, [QUEUED] = LEAD_QUEUED, [HELD] = LEAD_HELD
	};
	struct store_req *r;

	over.waiting++;
	if (over.part == OPEN_TRIES) {
		r = store_req_new(STORE_OPEN_ATTEMPTS, on_tries, 0, NULL);
		r->u.attempts.after = mem_arena_dup(&r->arena, over.after);
		r->u.attempts.max = PAGE_MAX;
	} else {
		r = store_req_new(STORE_LEAD_LIST, on_leads, 0, NULL);
		r->u.list.state = &states[over.part];
		r->u.list.after = mem_arena_dup(&r->arena, over.after);
		r->u.list.max = PAGE_MAX;
	}
	store_send(r);
}

/* ---- the whole ---------------------------------------------------------------------------------- */

static void finish(void)
{
	flow_taken_over *cb = over.cb;

	over.answer.why = over.why;
	over.answer.restored = over.restored;
	if (flow_err_is_store(over.answer.err))
		flow_store_failed(over.answer.err, over.why);
	over.cb = NULL;
	cb(over.arg, &over.answer);
	free(over.after);
	free(over.restored);
	free(over.why);
	over.after = over.restored = over.why = NULL;
}

static void on_sealed(struct store_req *r)
{
	fail_point("takeover.after_seal");
	over.waiting--;
	if (fail(r))
		return;
	if (over.dry_run) {
		finish();
		return;
	}
	log_event(LOG_NOTICE, "taken_over", LOG_S("was", over.restored),
		LOG_I("leads", over.answer.leads), LOG_I("steps", over.answer.steps));
	if (flow.mode != FLOW_MAINTENANCE)
		flow_recover(flow_poke);
	finish();
}

static void seal(void)
{
	struct store_req *r = store_req_new(STORE_SEAL, on_sealed, 0, NULL);

	r->u.seal.take_over = true;
	r->u.seal.only_moved = over.only_moved;
	r->u.seal.dry_run = over.dry_run;
	over.waiting++;
	fail_point("takeover.before_seal");
	store_send(r);
}

static void go_on(void)
{
	if (over.waiting)
		return;
	if (over.answer.err)
		finish();
	else if (over.part < N_PARTS)
		ask_page();
	else
		seal();
}

static void on_controls(struct store_req *r)
{
	over.waiting--;
	if (fail(r))
		return;
	over.answer.since_ms = r->u.controls.last_entry_ms;
	go_on();
}

void flow_takeover(bool only_moved, bool dry_run, flow_taken_over *cb, void *arg)
{
	const struct store_stats s = store_stats();
	const char *why = over.cb       ? "a takeover is under way"
			  : !s.restored ? "this store is no copy: there is nothing to take over"
					: NULL;

	if (why) {
		cb(arg, &(struct flow_takeover){ .err = CM_ESTATE, .why = why });
		return;
	}
	over.cb = cb;
	over.arg = arg;
	over.only_moved = only_moved;
	over.dry_run = dry_run;
	over.part = only_moved ? N_PARTS : OPEN_TRIES;
	over.restored = xstrdup(s.restored);
	over.answer = (struct flow_takeover){ 0 };
	over.waiting = 1;
	store_send(store_req_new(STORE_CONTROLS, on_controls, 0, NULL));
}
