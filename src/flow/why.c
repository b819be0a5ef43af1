/*
 * Why: every gate between now and the next mail, in the order in which they have to open; the first
 * that is closed binds.
 * Runs on: loop. Called by why_ask.c. Reads only: gates are computed live, holds are counted from the
 * tally.
 */
#include "why_private.h"

#include "coldmail/clock.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

__attribute__((format(printf, 6, 7))) static void add(struct question *q, const char *subject,
	const char *reason, bool trouble, int64_t until_ms, const char *value, ...)
{
	struct str text = STR_INIT;
	va_list ap;

	va_start(ap, value);
	str_vaddf(&text, value, ap);
	va_end(ap);
	mem_grow(q->v, q->cap, q->n + 1);
	q->v[q->n++] = (struct flow_reason){ .subject = subject,
		.reason = reason,
		.trouble = trouble,
		.value = mem_arena_dup(&q->arena, str_z(&text)),
		.limit = "",
		.until_ms = until_ms };
	str_done(&text);
}

static void add_reason(struct question *q, const char *subject, struct flow_reason r)
{
	r.subject = subject;
	mem_grow(q->v, q->cap, q->n + 1);
	q->v[q->n++] = r;
}

static const char *campaign_subject(struct question *q, const char *name)
{
	return mem_arena_printf(&q->arena, "campaign %s", name);
}

static void add_process(struct question *q)
{
	struct store_stats s = store_stats();
	const char *down = flow_store_why(NULL);

	if (down || !flow.opened)
		add(q, "store", "store_down", true, CLOCK_NEVER_MS, "%s",
			down ? down : "it has not answered yet");
	if (s.restored)
		add(q, "store", "store_restored", true, CLOCK_NEVER_MS, "%s; %s", s.restored,
			FLOW_TAKEOVER_REMEDY);
	if (flow_wallclock_why())
		add(q, "coldmail", "clock_untrusted", true, CLOCK_NEVER_MS, "%s; %s",
			flow_wallclock_why(), FLOW_CLOCK_REMEDY);
	if (flow.draining && !flow.finished)
		add(q, "coldmail", "draining", false, CLOCK_NEVER_MS, "it is stopping");
	if (flow_is_paused("all", NULL))
		add(q, "coldmail", "campaign_paused", false, CLOCK_NEVER_MS,
			"everything is paused: `coldmailctl resume all`");
	if (!flow.plan->conf->n_campaigns)
		add(q, "coldmail", "no_campaign", false, CLOCK_NEVER_MS,
			"no campaign is configured: see coldmail.conf(5)");
}

/* Every gate of it that is closed. Returns 1 + the index of the one that opens last; 0: none is. */
static size_t add_mailbox(struct question *q, const char *address)
{
	struct mailbox *m = mailbox_find(address);
	struct mailbox_gate gates[MAILBOX_GATES_MAX];
	size_t n = mailbox_gates(m, gates), last = 0;
	const struct mailbox_info info = mailbox_info(m);

	for (size_t i = 0; i < n; i++) {
		mem_grow(q->v, q->cap, q->n + 1);
		q->v[q->n++] = flow_why_gate(&q->arena, &info, &gates[i]);
		if (!last || q->v[q->n - 1].until_ms > q->v[last - 1].until_ms)
			last = q->n;
	}
	return last;
}

static int64_t in_state(const struct question *q, const char *campaign, enum lead_state state)
{
	int64_t n = 0;

	for (size_t i = 0; i < q->n_tally; i++)
		if (q->tally[i].state == state && str_eq(q->tally[i].campaign, campaign))
			n += q->tally[i].n;
	return n;
}

static int64_t queued_of(const struct question *q, const char *campaign)
{
	return in_state(q, campaign, LEAD_QUEUED);
}

int64_t flow_why_unfinished(const struct question *q, const char *campaign)
{
	int64_t n = 0;

	for (size_t i = 0; i < q->n_tally; i++)
		if (q->tally[i].state != LEAD_ENDED && str_eq(q->tally[i].campaign, campaign))
			n += q->tally[i].n;
	return n;
}

static const char *leads(struct question *q, int64_t n)
{
	return mem_arena_printf(&q->arena, "%lld lead%s", (long long)n, n == 1 ? "" : "s");
}

static void add_holds(struct question *q, const struct due *d, const char *subject)
{
	for (size_t i = 0; i < q->n_tally; i++) {
		const struct store_tally *t = &q->tally[i];

		if (t->state == LEAD_HELD && t->n && str_eq(t->campaign, d->campaign))
			add(q, subject, lead_reason_name(t->reason),
				lead_reason_is_trouble(t->reason),
				lead_reason_is_passing(t->reason) ? d->wake_ms : CLOCK_NEVER_MS,
				"%s held", leads(q, t->n));
	}
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The last leads of D are on their way: nothing else is to be sent before they are over. */
static bool add_under_way(struct question *q, const struct due *d, const char *subject)
{
	int64_t n = in_state(q, d->campaign, LEAD_IN_FLIGHT);
	const char *mailbox;
	struct flow_reason r;

	if (!n)
		return false;
	mailbox = flow_why_campaign_waits(&q->arena, d->campaign, &r);
	if (mailbox) {
		add(q, mem_arena_printf(&q->arena, "mailbox %s", mailbox), "mailbox_gap", false,
			r.until_ms, "%s", r.value);
		q->v[q->n - 1].limit = r.limit;
	} else {
		add(q, subject, "step_not_due", false, clock_wall_ms(), "%s %s under way",
			leads(q, n), n == 1 ? "is" : "are");
	}
	return true;
}

static void add_due(struct question *q, const struct due *d, const char *subject)
{
	int64_t n = queued_of(q, d->campaign);
	int64_t next = earlier(earlier(d->draft_ms, d->send_ms), d->wake_ms);

	if (d->due_now || q->is_blind)
		return;
	for (size_t i = 0; i < d->n_strays; i++)
		n -= d->strays[i].n;
	if (n > 0)
		add(q, subject, "step_not_due", false, next, "%s wait%s for the next step",
			leads(q, n), n == 1 ? "s" : "");
	else if (add_under_way(q, d, subject))
		return;
	else if (next != CLOCK_NEVER_MS)
		add(q, subject, "step_not_due", false, next, "only held leads are left");
	else if (!queued_of(q, d->campaign))
		add(q, subject, "step_not_due", false, CLOCK_NEVER_MS,
			"no lead waits: `coldmailctl leads import`");
}

/* Leads for whom no other mailbox may write. */
static void add_strays(struct question *q, const struct due *d, const char *subject)
{
	for (size_t i = 0; i < d->n_strays; i++)
		if (d->strays[i].n)
			add(q, subject, "thread_mailbox_unavailable", true, CLOCK_NEVER_MS,
				"%s can only be written to from %s: give it back to the campaign",
				leads(q, d->strays[i].n), d->strays[i].mailbox);
}

/* The mailboxes of C: one that is open opens all; else the first to open counts. Returns 1 + its index,
 * 0 when the way is free. */
static size_t add_mailboxes(struct question *q, const struct conf_campaign *c)
{
	size_t first = 0, before = q->n;
	bool open = false;

	for (size_t i = 0; i < c->n_mailboxes; i++) {
		const char *address = c->mailboxes[i]->address;
		size_t last = add_mailbox(q, address);

		open |= !last;
		if (last && (!first || q->v[last - 1].until_ms < q->v[first - 1].until_ms))
			first = last;
	}
	for (size_t i = before; open && i < q->n; i++)
		if (!*q->v[i].limit)
			q->v[i].limit = "another mailbox is open";
	return open ? 0 : first;
}

/* Of the gates of one campaign the one that opens last binds; of all campaigns, that of the one that may
 * send first. Reasons from FIRST on are its own gates, MAILBOX is 1 + the index of its mailboxes'. */
static void weigh(struct question *q, size_t first, size_t end, size_t mailbox)
{
	size_t last = mailbox;

	for (size_t i = end; i-- > first;)
		if (!last || q->v[i].until_ms >= q->v[last - 1].until_ms)
			last = i + 1;
	int64_t opens = last ? q->v[last - 1].until_ms : 0;
	bool is_first = !q->binds && q->opens_ms;
	/* What only waits for leads is not in the way of those that there are. */
	bool is_worse = last && q->binds && opens == q->opens_ms && q->v[last - 1].trouble &&
			!q->v[q->binds - 1].trouble;
	if (opens < q->opens_ms || is_first || is_worse) {
		q->opens_ms = opens;
		q->binds = last;
	}
}

static void add_stopped_steps(
	struct question *q, const struct conf_campaign *c, const char *subject)
{
	for (size_t i = 0; i < c->n_steps; i++) {
		const char *refused = flow_refusals_stopped(c, i);

		if (!refused)
			continue;
		add(q, subject, "content_rejected", true, CLOCK_NEVER_MS,
			"step %s was refused for its content %s; change it, then "
			"`coldmailctl resume campaign %s`",
			c->steps[i].name, refused, c->name);
		q->v[q->n - 1].limit = mem_arena_printf(&q->arena, "%d", c->content_rejected_stop);
	}
}

/* What waits in C, or the lead that is asked for, waits for what is not built. */
static bool is_stopped(const struct question *q, const struct conf_campaign *c)
{
	const int step = q->lead ? conf_find_step(c, q->lead->step) : -1;

	return q->lead ? step >= 0 && flow_step_gate(c, (size_t)step) : flow_is_stopped(c->name);
}

/* true: it binds. */
static bool add_unbuilt(struct question *q, const struct conf_campaign *c, const char *subject)
{
	const size_t before = q->n;

	if (!flow_has_writer(c))
		add(q, subject, "llm_none", true, CLOCK_NEVER_MS,
			"writer = llm is not built yet in this version: write templates, then say "
			"writer = template, or fallback = template");
	else if (c->reads_replies && c->n_steps > 1)
		add(q, subject, "inbox_stale", true, CLOCK_NEVER_MS,
			"replies = imap is not built yet in this version, so steps behind the "
			"first "
			"wait: say replies = manual, and tell coldmail of answers with "
			"`coldmailctl leads stop`");
	return q->n > before && is_stopped(q, c);
}

static void add_campaign(struct question *q, const struct due *d)
{
	const struct flow_campaign *c = flow_campaign_find(d->campaign);
	const char *subject = campaign_subject(q, d->campaign);
	size_t first = q->n;

	if (!c || !c->conf) {
		add(q, subject, "campaign_gone", true, CLOCK_NEVER_MS,
			"%s: it is not in the configuration any more",
			leads(q, flow_why_unfinished(q, d->campaign)));
		weigh(q, first, q->n, 0);
		return;
	}
	if (!c->started) {
		int64_t n = queued_of(q, d->campaign);

		add(q, subject, "campaign_not_started", false, CLOCK_NEVER_MS,
			"%s wait%s: `coldmailctl start %s`", leads(q, n), n == 1 ? "s" : "",
			d->campaign);
	}
	if (c->paused)
		add(q, subject, "campaign_paused", false, CLOCK_NEVER_MS,
			"%s: `coldmailctl resume campaign %s`",
			flow_pause_why("campaign", d->campaign), d->campaign);
	add_stopped_steps(q, c->conf, subject);
	bool others = d->due_now || earlier(d->draft_ms, d->send_ms) != CLOCK_NEVER_MS;
	if (!q->lead && !others)
		add_strays(q, d, subject);
	if (!q->lead)
		add_due(q, d, subject);
	struct flow_reason hours;
	if (!q->lead && flow_why_hours(q, c->conf, d, &hours))
		add_reason(q, subject, hours);
	size_t end = q->n;
	if (add_unbuilt(q, c->conf, subject))
		end = q->n;
	weigh(q, first, end, add_mailboxes(q, c->conf));
	if (!q->lead && others)
		add_strays(q, d, subject);
	if (!q->lead)
		add_holds(q, d, subject);
}

/* Leads that are nobody's. */
static void add_unassigned(struct question *q)
{
	int64_t n = flow_why_unfinished(q, "");

	if (!n)
		return;
	add(q, "leads", "no_campaign", true, CLOCK_NEVER_MS,
		"%s: `coldmailctl leads import FILE --campaign NAME` assigns them", leads(q, n));
	weigh(q, q->n - 1, q->n, 0);
}

static bool is_stray(const struct lead *l)
{
	const struct conf_campaign *c = conf_find_campaign(flow.plan->conf, l->campaign);

	return c && *l->mailbox && !conf_has_mailbox(c, l->mailbox);
}

static void add_lead_wait(struct question *q, const char *subject)
{
	struct flow_reason r = { .limit = "" };

	flow_why_lead_waits(&q->arena, q->lead->id, &r);
	add(q, subject, "mailbox_gap", false, r.until_ms, "%s", r.value);
	q->v[q->n - 1].limit = r.limit;
}

static void add_lead(struct question *q)
{
	const struct lead *l = q->lead;
	const char *subject = mem_arena_printf(&q->arena, "lead %s", l->email);
	struct flow_reason hours;

	switch (l->state) {
	case LEAD_HELD:
		add(q, subject, lead_reason_name(l->reason), lead_reason_is_trouble(l->reason),
			l->until_ms, "%s", str_is_empty(l->error) ? "held" : l->error);
		break;
	case LEAD_ENDED:
		add(q, subject, lead_reason_name(l->reason), false, CLOCK_NEVER_MS, "ended%s%s",
			str_is_empty(l->error) ? "" : ": ", l->error);
		break;
	case LEAD_IN_FLIGHT:
		add_lead_wait(q, subject);
		break;
	case LEAD_QUEUED:
		if (flow_why_hours_of_lead(q, l, &hours))
			add_reason(q, subject, hours);
		if (l->due_ms > clock_wall_ms())
			add(q, subject, "step_not_due", false, l->due_ms, "step %s", l->step);
		else if (l->stage == LEAD_STAGE_SEND && is_stray(l))
			add(q, subject, "thread_mailbox_unavailable", true, CLOCK_NEVER_MS,
				"only %s can write to it: give it back to the campaign",
				l->mailbox);
		break;
	}
}

static void summarize(struct question *q, struct str *out)
{
	const struct flow_reason *r = q->binds ? &q->v[q->binds - 1] : NULL;
	char stamp[CLOCK_STAMP];

	if (!r) {
		str_adds(out, "nothing is in the way");
		return;
	}
	str_addf(out, "%s: %s", r->subject, r->reason);
	if (*r->value)
		str_addf(out, " (%s)", r->value);
	if (r->until_ms == CLOCK_NEVER_MS)
		str_adds(out, ", needs an operator or an event");
	else
		str_addf(out, ", opens %s", clock_stamp(r->until_ms, stamp));
}

void flow_why_answer(struct question *q)
{
	struct str summary = STR_INIT;

	if (!q->err) {
		bool mailbox_only = q->subject && mailbox_find(q->subject);

		add_process(q);
		if (q->lead)
			add_lead(q);
		size_t general = q->n; /* these stand in everybody's way, in this order */
		size_t last = mailbox_only ? add_mailbox(q, q->subject) : 0;
		q->opens_ms = CLOCK_NEVER_MS;
		for (size_t i = 0; i < q->n_due; i++)
			add_campaign(q, &q->due[i]);
		if (!q->subject)
			add_unassigned(q);
		if (general || last)
			q->binds = general ? 1 : last;
		if (q->binds)
			q->v[q->binds - 1].binds = true;
		summarize(q, &summary);
	}
	q->cb(q->arg, q->err, q->v, q->n, str_z(&summary));
	str_done(&summary);
}
