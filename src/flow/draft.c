/*
 * Draft: a lead and its step -> subject and body, durable and READY, or held with the reason.
 * Runs on: loop. Called through the stage table and by preview.
 * Never sends: a draft goes on with the mailbox that has room for it, or waits for the other pump.
 */
#include "flow_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/fail.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

bool flow_draft_hold(struct flow_item *it, enum lead_reason reason, const char *error)
{
	it->to = (struct store_lead_to){ .state = LEAD_HELD,
		.reason = reason,
		.until_ms = CLOCK_NEVER_MS,
		.stage = LEAD_STAGE_DRAFT,
		.due_ms = -1 };
	it->error = mem_arena_dup(&it->arena, error);
	return false;
}

bool flow_draft_end(struct flow_item *it, enum lead_reason reason, const char *error)
{
	it->to = (struct store_lead_to){
		.state = LEAD_ENDED, .reason = reason, .until_ms = CLOCK_NEVER_MS, .due_ms = -1
	};
	it->cancel = STORE_OUTCOME_CANCELLED;
	it->error = mem_arena_dup(&it->arena, error);
	return false;
}

/* Subject and thread headers of a step that answers the one before. */
static bool make_thread(struct flow_item *it, struct store_email *e)
{
	const struct store_email *prev = &it->claimed->prev;
	struct mem_arena *a = &it->arena;

	if (!it->claimed->has_prev || str_is_empty(prev->message_id) || str_is_empty(prev->body))
		return flow_draft_hold(it, LEAD_REASON_THREAD_UNKNOWN,
			"the step before has no Message-ID, or no words, in the ledger: it cannot "
			"be answered");
	e->subject = str_istarts(prev->subject, "re: ")
			     ? prev->subject
			     : mem_arena_printf(a, "Re: %s", prev->subject);
	e->in_reply_to = prev->message_id;
	e->references = *prev->references
				? mem_arena_printf(a, "%s %s", prev->references, prev->message_id)
				: prev->message_id;
	e->mailbox = prev->mailbox;
	return true;
}

/* A new thread keeps the sender that the lead knows, as long as the campaign has it. */
static const char *usual_sender(const struct flow_item *it)
{
	const char *mailbox = it->claimed->lead.mailbox;

	return conf_has_mailbox(it->campaign, mailbox) ? mailbox : "";
}

bool flow_draft_make(struct flow_item *it, struct store_email *ret)
{
	const struct conf_step *step = &it->campaign->steps[it->step];
	const struct content_template *t = flow_plan_template(it->plan, it->campaign, it->step);
	const struct lead *l = &it->claimed->lead;
	struct content_text text = { 0 };
	const char *why = NULL;
	char *key = lead_key(it->campaign->name, l->person, step->name);

	*ret = (struct store_email){
		.key = mem_arena_dup(&it->arena, key),
		.lead_id = l->id,
		.campaign = it->campaign->name,
		.person = l->person,
		.step = step->name,
		.followup_number = (int)it->step,
		.to = l->email,
		.mailbox = usual_sender(it),
		.draft_hash = t ? content_template_hash(t) : "",
		.renderer = MAIL_RENDERER,
		.message_id = "",
		.in_reply_to = "",
		.references = "",
		.state = STORE_EMAIL_READY,
		.error = "",
	};
	free(key);
	if (!t)
		return flow_draft_hold(it, LEAD_REASON_BAD_RECORD,
			"the step has no template, and writer = llm is not built yet in this "
			"version");
	if (content_template_render(t, l, &it->arena, &text, &why))
		return flow_draft_hold(it, LEAD_REASON_MISSING_FIELD, why);
	ret->body = text.body;
	ret->subject = text.subject;
	return !step->same_thread || make_thread(it, ret);
}

static const struct store_email *email_of(
	const struct store_req *got, const char *campaign, const char *step)
{
	for (size_t i = 0; i < got->u.get.n_emails; i++)
		if (str_eq(got->u.get.emails[i].step, step) &&
			str_eq(got->u.get.emails[i].campaign, campaign))
			return &got->u.get.emails[i];
	return NULL;
}

bool flow_draft_find(struct flow_item *it, const struct store_req *got, struct store_email *ret)
{
	const struct conf_campaign *c = it->campaign;
	const struct store_email *e = email_of(got, c->name, c->steps[it->step].name);

	if (e && e->state != STORE_EMAIL_PLANNED && !str_is_empty(e->body)) {
		*ret = *e;
		return true;
	}
	e = it->step ? email_of(got, c->name, c->steps[it->step - 1].name) : NULL;
	if (e && !it->claimed->has_prev) {
		it->claimed->prev = *e;
		it->claimed->has_prev = true;
	}
	return flow_draft_make(it, ret);
}

void flow_draft_copy(struct mem_arena *a, struct store_email *to, const struct store_email *e)
{
	*to = *e;
	to->key = mem_arena_dup(a, e->key);
	to->lead_id = mem_arena_dup(a, e->lead_id);
	to->campaign = mem_arena_dup(a, e->campaign);
	to->person = mem_arena_dup(a, e->person);
	to->step = mem_arena_dup(a, e->step);
	to->to = mem_arena_dup(a, e->to);
	to->mailbox = mem_arena_dup(a, e->mailbox);
	to->subject = mem_arena_dup(a, e->subject);
	to->body = mem_arena_dup(a, e->body);
	to->draft_hash = mem_arena_dup(a, e->draft_hash);
	to->message_id = mem_arena_dup(a, e->message_id);
	to->in_reply_to = mem_arena_dup(a, e->in_reply_to);
	to->references = mem_arena_dup(a, e->references);
}

/* The words are not stored. Where the step is done, or the store is down, the next claim follows what
 * it finds; anything else would come back like this. */
static void give_back(struct flow_item *it, const struct store_req *r)
{
	bool is_done = r->err == CM_EEXIST && r->u.draft.email.state == STORE_EMAIL_DONE;

	if (it->sender)
		flow_sender_leave(it);
	if (is_done || flow_err_is_store(r->err))
		it->to = (struct store_lead_to){
			.state = LEAD_QUEUED, .stage = LEAD_STAGE_DRAFT, .due_ms = -1
		};
	else
		flow_draft_hold(it, LEAD_REASON_BAD_RECORD, r->why);
	flow_advance(it, FLOW_RETURN);
}

static void on_drafted(struct store_req *r)
{
	struct flow_item *it = flow_item_find(r->id);

	if (!it)
		return;
	fail_point("draft.after");
	if (flow_err_is_store(r->err))
		flow_store_failed(r->err, r->why);
	if (r->err) {
		give_back(it, r);
		return;
	}
	struct flow_campaign *c = flow_campaign_find(it->campaign->name);
	if (c && !it->sender)
		flow_sched_feed(c, r->u.draft.email.mailbox);
	flow_advance(it, FLOW_GO);
}

/* A mailbox that has room for E now takes it along; otherwise it waits in the store for its moment. */
static void find_sender(struct flow_item *it, const struct store_email *e)
{
	struct flow_campaign *c = flow_campaign_find(it->campaign->name);

	if (!c || !flow_campaign_may_send(c) || flow_hours_of(it).gate != PLAN_OPEN)
		return;
	it->sender = flow_sender_with_room(it->campaign, e->mailbox);
	if (it->sender)
		mailbox_take(it->sender->mailbox);
}

void flow_draft_enter(struct flow_item *it)
{
	struct store_email e;

	if (!flow_draft_make(it, &e)) {
		flow_advance(it, FLOW_RETURN);
		return;
	}
	it->claimed->email = e;
	find_sender(it, &e);
	struct store_req *r = store_req_new(STORE_DRAFT, on_drafted, it->id, NULL);

	/* The request may outlive the item: it gets its own copies. */
	flow_draft_copy(&r->arena, &r->u.draft.email, &e);
	r->person = r->u.draft.email.person;
	r->u.draft.replace = true;
	r->u.draft.claim = mem_arena_dup(&r->arena, it->batch->claim);
	r->u.draft.to = (struct store_lead_to){ .state = it->sender ? LEAD_IN_FLIGHT : LEAD_QUEUED,
		.stage = LEAD_STAGE_SEND,
		.step = r->u.draft.email.step,
		.due_ms = -1,
		.mailbox = r->u.draft.email.mailbox };
	fail_point("draft.before");
	store_send(r);
}
