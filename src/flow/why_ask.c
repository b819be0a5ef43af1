/*
 * Why, the asking: what a question needs from the store, collected until it is all there.
 * Runs on: loop. Called by ops.
 * Never: holds a question's pointer across a wait; an answer finds it by its id.
 */
#include "why_private.h"

#include "coldmail/err.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

static GHashTable *questions; /* id -> struct question, owned */

static void question_free(void *p)
{
	struct question *q = p;

	mem_arena_done(&q->arena);
	free(q->v);
	free(q);
}

static void got_one(struct question *q)
{
	if (--q->waiting)
		return;
	flow_why_answer(q);
	g_hash_table_remove(questions, &q->id);
}

static struct question *question_of(const struct store_req *r)
{
	struct question *q = g_hash_table_lookup(questions, &r->id);

	bug_if(!q, "an answer without a question");
	q->is_blind |= r->err && flow_err_is_store(r->err);
	if (r->err && !flow_err_is_store(r->err) && !q->err)
		q->err = r->err;
	return q;
}

static void ask_campaign(struct question *q, const char *name);

static bool is_asked(const struct question *q, const char *campaign)
{
	for (size_t i = 0; i < q->n_due; i++)
		if (str_eq(q->due[i].campaign, campaign))
			return true;
	return false;
}

/* Campaigns that only their leads remember. */
static void ask_gone(struct question *q)
{
	for (size_t i = 0; i < q->n_tally; i++) {
		const char *name = q->tally[i].campaign;
		bool is_meant = q->subject ? q->is_unknown && str_eq(q->subject, name) : *name;

		if (!is_meant || !flow_why_unfinished(q, name) || is_asked(q, name))
			continue;
		ask_campaign(q, name);
		q->is_unknown = false;
	}
	if (q->is_unknown)
		q->err = CM_ENOENT;
}

static void on_tally(struct store_req *r)
{
	struct question *q = question_of(r);

	if (!r->err) {
		q->n_tally = r->u.tally.n;
		q->tally = mem_arena_get(&q->arena, q->n_tally * sizeof *q->tally);
		for (size_t i = 0; i < q->n_tally; i++) {
			q->tally[i] = r->u.tally.v[i];
			q->tally[i].campaign = mem_arena_dup(&q->arena, r->u.tally.v[i].campaign);
		}
	}
	ask_gone(q);
	got_one(q);
}

static void keep_strays(struct question *q, struct due *d, const struct store_req *r)
{
	d->n_strays = r->u.next_due.n_strays;
	d->strays = mem_arena_get(&q->arena, d->n_strays * sizeof *d->strays);
	for (size_t i = 0; i < d->n_strays; i++) {
		d->strays[i] = r->u.next_due.strays[i];
		d->strays[i].mailbox = mem_arena_dup(&q->arena, d->strays[i].mailbox);
	}
}

static void keep_buckets(struct question *q, struct due *d, const struct store_req *r)
{
	d->n_buckets = r->u.next_due.n_buckets;
	d->buckets = mem_arena_get(&q->arena, d->n_buckets * sizeof *d->buckets);
	for (size_t i = 0; i < d->n_buckets; i++) {
		d->buckets[i] = r->u.next_due.buckets[i];
		d->buckets[i].zone = mem_arena_dup(&q->arena, d->buckets[i].zone);
	}
}

static void on_next_due(struct store_req *r)
{
	struct question *q = question_of(r);

	for (size_t i = 0; i < q->n_due; i++) {
		struct due *d = &q->due[i];

		if (!str_eq(d->campaign, r->u.next_due.campaign))
			continue;
		d->draft_ms = r->err ? CLOCK_NEVER_MS : r->u.next_due.draft_ms;
		d->send_ms = r->err ? CLOCK_NEVER_MS : r->u.next_due.send_ms;
		d->wake_ms = r->err ? CLOCK_NEVER_MS : r->u.next_due.wake_ms;
		d->due_now = r->err ? 0 : r->u.next_due.due_now;
		if (r->err)
			continue;
		keep_strays(q, d, r);
		keep_buckets(q, d, r);
	}
	got_one(q);
}

static void ask_campaign(struct question *q, const char *name)
{
	struct store_req *r = store_req_new(STORE_NEXT_DUE, on_next_due, q->id, NULL);
	struct due *all = mem_arena_get(&q->arena, (q->n_due + 1) * sizeof *all);
	const struct conf_campaign *cc = conf_find_campaign(flow.plan->conf, name);

	if (q->n_due)
		memcpy(all, q->due, q->n_due * sizeof *all);
	q->due = all;
	q->due[q->n_due++].campaign = mem_arena_dup(&q->arena, name);
	r->u.next_due.campaign = mem_arena_dup(&r->arena, name);
	if (cc) {
		r->u.next_due.mailboxes = conf_mailbox_names(cc, &r->arena);
		r->u.next_due.n_mailboxes = cc->n_mailboxes;
	}
	q->waiting++;
	store_send(r);
}

static void on_lead(struct store_req *r)
{
	struct question *q = question_of(r);

	if (!r->err) {
		q->lead = mem_arena_get(&q->arena, sizeof *q->lead);
		*q->lead = r->u.get.lead;
		q->lead->id = mem_arena_dup(&q->arena, q->lead->id);
		q->lead->email = mem_arena_dup(&q->arena, q->lead->email);
		q->lead->campaign = mem_arena_dup(&q->arena, q->lead->campaign);
		q->lead->mailbox = mem_arena_dup(&q->arena, q->lead->mailbox);
		q->lead->step = mem_arena_dup(&q->arena, q->lead->step);
		q->lead->zone = mem_arena_dup(&q->arena, q->lead->zone);
		q->lead->error = mem_arena_dup(&q->arena, q->lead->error);
		if (q->lead->state == LEAD_QUEUED && *r->u.get.lead.campaign)
			ask_campaign(q, r->u.get.lead.campaign);
	}
	got_one(q);
}

static void ask_lead(struct question *q, const char *address)
{
	struct store_req *r = store_req_new(STORE_LEAD_GET, on_lead, q->id, NULL);
	char person[LEAD_PERSON];

	store_person(address, person);
	r->u.get.email = mem_arena_dup(&r->arena, address);
	r->u.get.email_person = mem_arena_dup(&r->arena, person);
	q->waiting++;
	store_send(r);
}

static void ask(struct question *q)
{
	struct store_req *tally = store_req_new(STORE_TALLY, on_tally, q->id, NULL);
	const struct conf *conf = flow.plan->conf;
	char *address = NULL;
	const char *why;

	q->waiting++;
	if (!q->subject) {
		for (size_t i = 0; i < conf->n_campaigns; i++)
			ask_campaign(q, conf->campaigns[i].name);
	} else if (conf_find_campaign(conf, q->subject)) {
		ask_campaign(q, q->subject);
	} else if (!mailbox_find(q->subject)) {
		q->is_unknown =
			!flow.opened || lead_address_canonical(q->subject, &address, &why) != CM_OK;
		if (!q->is_unknown)
			ask_lead(q, address);
		free(address);
	}
	store_send(tally);
}

void flow_why(const char *subject, flow_explained *cb, void *arg)
{
	struct question *q = xcalloc(1, sizeof *q);

	if (!questions)
		questions = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, question_free);
	q->id = ++flow.last_id;
	q->cb = cb;
	q->arg = arg;
	q->subject = mem_arena_dup(&q->arena, subject);
	g_hash_table_insert(questions, &q->id, q);
	ask(q);
}

void flow_why_free(void)
{
	if (questions)
		g_hash_table_unref(questions);
}
