/*
 * A survey: how everything stands, put together from several answers of the store.
 * Runs on: loop. Called by status, campaigns and the summary.
 * Half an answer is better than none: what fails is left out, and the first failure is told.
 */
#include "ops_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/str.h"

#define UNCERTAIN_MAX 1000

struct survey {
	uint64_t id;
	struct ops_survey s;
	struct mem_arena arena; /* what s points to */
	struct ops_due *due; /* s.due, to be filled */
	size_t waiting;
	ops_surveyed *done;
	uint64_t done_id;
	struct survey *next;
};

static struct survey *surveys;
static uint64_t last_id;

static struct survey *survey_find(uint64_t id)
{
	struct survey *v = surveys;

	while (v && v->id != id)
		v = v->next;
	return v;
}

static void survey_end(struct survey *v)
{
	v->done(v->done_id, &v->s);
	for (struct survey **p = &surveys; *p; p = &(*p)->next) {
		if (*p == v) {
			*p = v->next;
			break;
		}
	}
	mem_arena_done(&v->arena);
	free(v);
}

/* ---- answers ----------------------------------------------------------------------------------- */

static void take_tally(struct survey *v, const struct store_req *r)
{
	struct store_tally *t = mem_arena_get(&v->arena, r->u.tally.n * sizeof *t);

	for (size_t i = 0; i < r->u.tally.n; i++) {
		t[i] = r->u.tally.v[i];
		t[i].campaign = mem_arena_dup(&v->arena, t[i].campaign);
	}
	v->s.tally = t;
	v->s.n_tally = r->u.tally.n;
}

static void take_strays(struct survey *v, struct ops_due *d, const struct store_req *r)
{
	struct store_stray *s = mem_arena_get(&v->arena, r->u.next_due.n_strays * sizeof *s);

	for (size_t i = 0; i < r->u.next_due.n_strays; i++) {
		s[i] = r->u.next_due.strays[i];
		s[i].mailbox = mem_arena_dup(&v->arena, s[i].mailbox);
	}
	d->strays = s;
	d->n_strays = r->u.next_due.n_strays;
}

static void take_buckets(struct survey *v, struct ops_due *d, const struct store_req *r)
{
	struct store_bucket *b = mem_arena_get(&v->arena, r->u.next_due.n_buckets * sizeof *b);

	for (size_t i = 0; i < r->u.next_due.n_buckets; i++) {
		b[i] = r->u.next_due.buckets[i];
		b[i].zone = mem_arena_dup(&v->arena, b[i].zone);
	}
	d->buckets = b;
	d->n_buckets = r->u.next_due.n_buckets;
}

static void take_due(struct survey *v, const struct store_req *r)
{
	const int64_t draft = r->u.next_due.draft_ms, send = r->u.next_due.send_ms;

	for (size_t i = 0; i < v->s.n_due; i++) {
		struct ops_due *d = &v->due[i];

		if (!str_eq(d->campaign, r->u.next_due.campaign))
			continue;
		d->next_ms = draft < send ? draft : send;
		d->wake_ms = r->u.next_due.wake_ms;
		d->due_now = r->u.next_due.due_now;
		take_strays(v, d, r);
		take_buckets(v, d, r);
	}
}

static void take_uncertain(struct survey *v, const struct store_req *r)
{
	for (size_t i = 0; i < r->u.attempts.n; i++)
		v->s.uncertain += r->u.attempts.v[i].state == STORE_ATTEMPT_UNCERTAIN;
}

static void on_answer(struct store_req *r)
{
	struct survey *v = survey_find(r->id);

	if (!v)
		return;
	if (r->err && !v->s.err) {
		v->s.err = r->err;
		v->s.why = mem_arena_dup(&v->arena, r->why ? r->why : cm_strerror(r->err));
	}
	if (!r->err && r->op == STORE_TALLY)
		take_tally(v, r);
	else if (!r->err && r->op == STORE_NEXT_DUE)
		take_due(v, r);
	else if (!r->err && r->op == STORE_OPEN_ATTEMPTS)
		take_uncertain(v, r);
	if (!--v->waiting)
		survey_end(v);
}

/* ---- questions --------------------------------------------------------------------------------- */

static void ask_due(struct survey *v, const struct conf *conf)
{
	v->s.due = v->due = mem_arena_get(&v->arena, conf->n_campaigns * sizeof *v->due);
	v->s.n_due = conf->n_campaigns;
	v->waiting += conf->n_campaigns;
	for (size_t i = 0; i < conf->n_campaigns; i++) {
		struct store_req *r = store_req_new(STORE_NEXT_DUE, on_answer, v->id, NULL);

		v->due[i] = (struct ops_due){
			.campaign = mem_arena_dup(&v->arena, conf->campaigns[i].name),
			.next_ms = CLOCK_NEVER_MS,
			.wake_ms = CLOCK_NEVER_MS,
		};
		r->u.next_due.campaign = mem_arena_dup(&r->arena, conf->campaigns[i].name);
		r->u.next_due.mailboxes = conf_mailbox_names(&conf->campaigns[i], &r->arena);
		r->u.next_due.n_mailboxes = conf->campaigns[i].n_mailboxes;
		store_send(r);
	}
}

void ops_survey(ops_surveyed *done, uint64_t id)
{
	struct survey *v = xcalloc(1, sizeof *v);
	struct store_req *tally, *uncertain;

	*v = (struct survey){ .id = ++last_id,
		.done = done,
		.done_id = id,
		.s = { .why = "" },
		.waiting = 2,
		.next = surveys };
	surveys = v;
	tally = store_req_new(STORE_TALLY, on_answer, v->id, NULL);
	store_send(tally);
	uncertain = store_req_new(STORE_OPEN_ATTEMPTS, on_answer, v->id, NULL);
	uncertain->u.attempts.uncertain = true;
	uncertain->u.attempts.max = UNCERTAIN_MAX;
	store_send(uncertain);
	ask_due(v, flow_conf());
}

/* ---- reading one ------------------------------------------------------------------------------- */

int64_t ops_tally_state(const struct ops_survey *s, const char *campaign, enum lead_state state)
{
	int64_t n = 0;

	for (size_t i = 0; i < s->n_tally; i++)
		if (s->tally[i].state == state &&
			(!campaign || str_eq(s->tally[i].campaign, campaign)))
			n += s->tally[i].n;
	return n;
}

int64_t ops_tally_all(const struct ops_survey *s, const char *campaign)
{
	return ops_tally_state(s, campaign, LEAD_QUEUED) + ops_tally_state(s, campaign, LEAD_HELD) +
	       ops_tally_state(s, campaign, LEAD_IN_FLIGHT) +
	       ops_tally_state(s, campaign, LEAD_ENDED);
}

cJSON *ops_tally_reasons(const struct ops_survey *s, const char *campaign, enum lead_state state)
{
	cJSON *o = cJSON_CreateObject();

	for (size_t i = 0; i < s->n_tally; i++) {
		const struct store_tally *t = &s->tally[i];
		const char *reason = lead_reason_name(t->reason);

		if (t->state != state || !t->n || (campaign && !str_eq(t->campaign, campaign)))
			continue;
		cJSON *sum = cJSON_GetObjectItemCaseSensitive(o, reason);
		if (sum)
			cJSON_SetNumberValue(sum, sum->valuedouble + (double)t->n);
		else
			ops_json_whole(o, reason, t->n);
	}
	return o;
}

const struct ops_due *ops_due_of(const struct ops_survey *s, const char *campaign)
{
	for (size_t i = 0; i < s->n_due; i++)
		if (str_eq(s->due[i].campaign, campaign))
			return &s->due[i];
	return NULL;
}
