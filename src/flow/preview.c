/*
 * Preview: the exact bytes that would be sent, for an operator's eyes.
 * Runs on: loop. Called by ops.
 * Never claims, reserves or writes: a template's draft is a pure function of template and lead, so the
 * one shown is the one that goes; a draft that the store has is shown as it is stored.
 */
#include "flow_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* One preview under way. */
struct preview {
	struct flow_item it; /* never in the corridor: it only carries what rendering needs */
	struct store_claimed claimed;
	flow_previewed *cb;
	void *arg;
	const char *step; /* NULL: the lead's next */
};

static void end(struct preview *p, struct flow_preview *ret)
{
	p->cb(p->arg, ret);
	mem_arena_done(&p->it.arena);
	flow_plan_unref(p->it.plan);
	free(p);
}

static void fail(struct preview *p, int err, const char *why)
{
	struct flow_preview ret = { .err = err, .why = why };

	end(p, &ret);
}

/* Which step is meant; CM_ENOENT: none. */
static int choose_step(struct preview *p, const struct lead *l)
{
	const char *name = p->step ? p->step : l->step;
	int i = str_is_empty(name) ? 0 : conf_find_step(p->it.campaign, name);

	if (i < 0)
		return CM_ENOENT;
	p->it.step = (size_t)i;
	return CM_OK;
}

static void on_lead(struct store_req *r)
{
	struct preview *p = r->arg;
	struct store_email e;
	struct str bytes = STR_INIT;
	char sha256[65];

	if (r->err) {
		fail(p, r->err, r->err == CM_ENOENT ? "there is no such lead" : r->why);
		return;
	}
	p->claimed.lead = r->u.get.lead;
	if (choose_step(p, &p->claimed.lead)) {
		fail(p, CM_ENOENT, "the campaign has no such step");
		return;
	}
	if (!flow_draft_find(&p->it, r, &e)) {
		fail(p, CM_ESTATE, p->it.error);
		return;
	}
	const char *mailbox = *e.mailbox ? e.mailbox : p->it.campaign->mailboxes[0]->address;
	const char *id = flow_send_message_id(&p->it.arena, &e, mailbox);
	if (flow_send_compose(&p->it, &e, mailbox, id, e.date_ms ? e.date_ms : clock_wall_ms(),
		    &bytes, sha256)) {
		fail(p, CM_EINVAL, "the mail cannot be composed: an address is unusable");
		str_done(&bytes);
		return;
	}
	struct flow_preview ret = { .campaign = p->it.campaign->name,
		.step = p->it.campaign->steps[p->it.step].name,
		.address = p->claimed.lead.email,
		.mailbox = mailbox,
		.subject = e.subject,
		.bytes = bytes.p,
		.n = bytes.len };
	end(p, &ret);
	str_done(&bytes);
}

static void get_lead(struct preview *p, const char *canonical)
{
	struct store_req *r = store_req_new(STORE_LEAD_GET, on_lead, 0, p);
	char person[LEAD_PERSON];

	store_person(canonical, person);
	r->u.get.email = mem_arena_dup(&r->arena, canonical);
	r->u.get.email_person = mem_arena_dup(&r->arena, person);
	store_send(r);
}

static void on_list(struct store_req *r)
{
	struct preview *p = r->arg;

	if (r->err)
		fail(p, r->err, r->why);
	else if (!r->u.list.n)
		fail(p, CM_ENOENT, "no lead of this campaign waits for a mail");
	else
		get_lead(p, r->u.list.v[0].email);
}

static void find_lead(struct preview *p)
{
	static const enum lead_state queued = LEAD_QUEUED;
	struct store_req *r = store_req_new(STORE_LEAD_LIST, on_list, 0, p);

	r->u.list.campaign = mem_arena_dup(&r->arena, p->it.campaign->name);
	r->u.list.state = &queued;
	r->u.list.max = 1;
	store_send(r);
}

void flow_preview(
	const char *campaign, const char *address, const char *step, flow_previewed *cb, void *arg)
{
	struct preview *p = xcalloc(1, sizeof *p);
	char *canonical = NULL;
	const char *why = NULL;

	p->cb = cb;
	p->arg = arg;
	p->it.plan = flow_plan_ref(flow.plan);
	p->it.claimed = &p->claimed;
	p->it.campaign = conf_find_campaign(flow.plan->conf, campaign);
	p->step = mem_arena_dup(&p->it.arena, step);
	if (!p->it.campaign)
		fail(p, CM_ENOENT, "there is no such campaign in the configuration");
	else if (!flow.opened)
		fail(p, CM_ESTORE, "the store has not answered yet");
	else if (!address)
		find_lead(p);
	else if (lead_address_canonical(address, &canonical, &why))
		fail(p, CM_EINVAL, why);
	else
		get_lead(p, canonical);
	free(canonical);
}
