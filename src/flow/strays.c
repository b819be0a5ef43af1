/*
 * Strays: leads that wait to be sent from a mailbox which their campaign does not have any more. What
 * no thread ties to it may go from another one; the others wait for it, and `why` says so.
 * Runs on: loop. Called by sched.c, which looks when something may have left a stray behind: the
 * start, a reload, leads that come back from before it, holds that end.
 */
#include "flow_private.h"

#include "coldmail/err.h"
#include "coldmail/log.h"

#define LOOK_AT_MAX 256

static void ask(struct flow_campaign *c, const struct store_stray_place *after);

static void on_unbound(struct store_req *r)
{
	struct flow_campaign *c = flow_campaign_find(r->u.unbind.campaign);

	flow.unbinding--;
	c->unbinding = false;
	if (r->err) {
		c->strays = true;
		flow_store_failed(r->err, r->why);
	}
	if (r->u.unbind.n) {
		log_event(LOG_NOTICE, "unbound", LOG_S("campaign", c->name),
			LOG_I("leads", r->u.unbind.n));
		flow_sched_feed(c, "");
	}
	if (r->u.unbind.after.mailbox && c->conf && !c->strays)
		ask(c, &r->u.unbind.after);
	flow_sched_soon();
}

static void ask(struct flow_campaign *c, const struct store_stray_place *after)
{
	struct store_req *r = store_req_new(STORE_UNBIND, on_unbound, 0, NULL);

	c->unbinding = true;
	flow.unbinding++;
	r->u.unbind.campaign = mem_arena_dup(&r->arena, c->name);
	r->u.unbind.mailboxes = conf_mailbox_names(c->conf, &r->arena);
	r->u.unbind.n_mailboxes = c->conf->n_mailboxes;
	r->u.unbind.max = LOOK_AT_MAX;
	r->u.unbind.after = *after;
	r->u.unbind.after.mailbox = mem_arena_dup(&r->arena, after->mailbox);
	store_send(r);
}

void flow_strays_look(struct flow_campaign *c)
{
	if (!c->strays || c->unbinding || !c->conf)
		return;
	c->strays = false;
	ask(c, &(struct store_stray_place){ 0 });
}
