/*
 * The damage guard: who sends to many addresses that are not there is told so, then paused, before a
 * provider does it (case 38). A mailbox and a campaign are watched each by itself: a bad list is a bad
 * list from however many mailboxes, and a mailbox is worn out by however many lists.
 * Runs on: loop. Called by record.c with each mail's fate, at the start with those of the ledger, by
 * verbs.c when an operator ends a pause: who was paused is counted anew then.
 * Never: says which refusal is a bounce, that is trouble.c's; how many are too many is configured.
 */
#include "flow_private.h"

#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* How many mails of the ledger are looked at after a start: the last ones of everybody. */
#define RECALL_MAX 5000

static bool is_asked, is_known;

/* Whose pause NAME is ("pause/mailbox/ali@…"), and so whose window; NULL: nobody's that is here. */
static struct mailbox_guard *guard_of(const char *name)
{
	static const char mailbox[] = "pause/mailbox/", campaign[] = "pause/campaign/";

	if (str_starts(name, mailbox)) {
		struct mailbox *m = mailbox_find(name + strlen(mailbox));

		return m ? mailbox_guard_of(m) : NULL;
	}
	if (str_starts(name, campaign)) {
		struct flow_campaign *c = flow_campaign_find(name + strlen(campaign));

		return c ? &c->guard : NULL;
	}
	return NULL;
}

void flow_guard_forget(const char *pause)
{
	struct mailbox_guard *g = guard_of(pause);

	if (g)
		*g = (struct mailbox_guard){ 0 };
}

/* ---- what it means ------------------------------------------------------------------------------ */

/* Counts a mail of KIND NAME; the one that makes them too many is told. */
static void count(struct mailbox_guard *g, const char *kind, const char *name, bool bounced)
{
	const struct conf *conf = flow.plan->conf;
	bool was_warned = mailbox_guard_is_over(g, conf->bounce_warn);

	mailbox_guard_add(g, bounced);
	if (!was_warned && mailbox_guard_is_over(g, conf->bounce_warn))
		log_event(LOG_WARNING, "bounces", LOG_S(kind, name),
			LOG_I("bounces", mailbox_guard_bounces(g)),
			LOG_I("of_last", MAILBOX_GUARD_MAILS),
			LOG_I("percent_to_pause", conf->bounce_pause));
}

/* KIND NAME is paused because of WHO's bounces. */
static void stop(const char *kind, const char *name, const char *who, const struct mailbox_guard *g)
{
	if (flow_is_paused(kind, name))
		return;
	char *why = xasprintf("%d of the last %d mails of %s bounced: look at the list first",
		mailbox_guard_bounces(g), MAILBOX_GUARD_MAILS, who);
	log_event(LOG_ERR, "bounces_pause", LOG_S(kind, name), LOG_S("why", why));
	flow_pause_for(kind, name, why);
	free(why);
}

void flow_guard_saw(const char *mailbox, const char *campaign, bool bounced)
{
	const int percent = flow.plan->conf->bounce_pause;
	struct mailbox *m = mailbox_find(mailbox);
	struct flow_campaign *c = flow_campaign_find(campaign);

	if (m)
		count(mailbox_guard_of(m), "mailbox", mailbox, bounced);
	if (c)
		count(&c->guard, "campaign", campaign, bounced);
	if (!bounced)
		return;
	if (m && mailbox_guard_is_over(mailbox_guard_of(m), percent)) {
		stop("mailbox", mailbox, mailbox, mailbox_guard_of(m));
		stop("campaign", campaign, mailbox, mailbox_guard_of(m));
	}
	if (c && mailbox_guard_is_over(&c->guard, percent))
		stop("campaign", campaign, campaign, &c->guard);
}

/* ---- after a start ------------------------------------------------------------------------------ */

/* Adds a mail of the ledger, unless an operator ended that PAUSE after it. */
static void recall_for(const char *pause, const struct store_attempt *a, bool bounced)
{
	struct mailbox_guard *g = guard_of(pause);
	const char *value = flow_control(FLOW_COUNTED, pause);
	int64_t from_ms = 0;

	if (value && !str_to_i64(value, &from_ms))
		from_ms = 0;
	if (g && a->ended_ms >= from_ms)
		mailbox_guard_add(g, bounced);
}

static void recall(const struct store_attempt *a)
{
	enum flow_counts counts = flow_trouble_counts(a->state, a->class, a->code);
	bool bounced = counts == FLOW_COUNTS_BOUNCE;
	char *mailbox = xasprintf("pause/mailbox/%s", a->mailbox);
	char *campaign = xasprintf("pause/campaign/%s", a->campaign);

	if (bounced || counts == FLOW_COUNTS_SENT) {
		recall_for(mailbox, a, bounced);
		recall_for(campaign, a, bounced);
	}
	free(mailbox);
	free(campaign);
}

/* A pause that did not reach the store before the process died is due again. */
static void stop_all(void)
{
	const int percent = flow.plan->conf->bounce_pause;

	for (size_t i = 0; i < mailbox_count(); i++) {
		struct mailbox *m = mailbox_at(i);

		if (mailbox_guard_is_over(mailbox_guard_of(m), percent))
			stop("mailbox", mailbox_name(m), mailbox_name(m), mailbox_guard_of(m));
	}
	for (guint i = 0; i < flow.campaigns->len; i++) {
		struct flow_campaign *c = flow.campaigns->pdata[i];

		if (mailbox_guard_is_over(&c->guard, percent))
			stop("campaign", c->name, c->name, &c->guard);
	}
}

static void on_sends(struct store_req *r)
{
	is_asked = false;
	if (r->err) {
		flow_store_failed(r->err, r->why);
		return;
	}
	is_known = true;
	for (size_t i = r->u.sends.n; i--;) /* newest first */
		recall(&r->u.sends.v[i]);
	stop_all();
}

void flow_guard_ask(void)
{
	if (is_asked || is_known || !flow.ready || flow.mode == FLOW_MAINTENANCE)
		return;
	struct store_req *r = store_req_new(STORE_SENDS, on_sends, 0, NULL);
	is_asked = true;
	r->u.sends.before_ms = INT64_MAX;
	r->u.sends.max = RECALL_MAX;
	store_send(r);
}
