/*
 * Send: connect -> reserve + gate -> wire -> slot -> dot. The half of the corridor where a mail
 * may leave, in the order of the ledger (architecture): every arrow is durable before the next.
 * Runs on: loop. Called through the stage table, by sched.c and by drain.
 * Never decides what a reply means (trouble.c) and never sends a dot without its slot.
 */
#include "flow_private.h"

#include <sys/random.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/fail.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* ---- reserve + gate ---------------------------------------------------------------------------- */

const char *flow_send_new_message_id(
	struct mem_arena *a, const struct store_email *e, const char *mailbox, int n)
{
	const char *key = n > 1 ? mem_arena_printf(a, "%s#%d", e->key, n) : e->key;
	char *id = mail_message_id(store_message_secret(), key, mailbox);
	const char *copy = mem_arena_dup(a, id);

	free(id);
	return copy;
}

const char *flow_send_message_id(
	struct mem_arena *a, const struct store_email *e, const char *mailbox)
{
	if (*e->message_id && str_eq(e->mailbox, mailbox))
		return e->message_id;
	return flow_send_new_message_id(a, e, mailbox, 1);
}

/* A mail that was reserved from MAILBOX keeps what it said then. */
static struct flow_identity identity_of(
	struct flow_item *it, const struct store_email *e, const char *mailbox)
{
	struct flow_identity id;

	if (e->date_ms && str_eq(e->mailbox, mailbox) &&
		flow_identity_parse(&it->arena, e->identity, &id))
		return id;
	return flow_identity_now(it, mailbox);
}

int flow_send_compose(struct flow_item *it, const struct store_email *e, const char *mailbox,
	const char *message_id, int64_t date_ms, struct str *ret_bytes, char ret_sha256[65])
{
	const struct flow_identity id = identity_of(it, e, mailbox);
	char person[LEAD_PERSON], token[LEAD_TOKEN];

	store_person(e->to, person);
	lead_token(store_message_secret(), person, token);
	return mail_compose(
		&(struct mail_message){
			.from_name = *id.from_name ? id.from_name : NULL,
			.from = mailbox,
			.to = e->to,
			.subject = e->subject,
			.body = e->body,
			.opt_out_line = id.opt_out_line,
			.organisation = id.organisation,
			.postal_address = id.postal_address,
			.unsubscribe_url = *id.unsubscribe_url ? id.unsubscribe_url : NULL,
			.unsubscribe_token = token,
			.message_id = message_id,
			.in_reply_to = *e->in_reply_to ? e->in_reply_to : NULL,
			.references = *e->references ? e->references : NULL,
			.date_ms = date_ms,
		},
		ret_bytes, ret_sha256);
}

static int compose(
	struct flow_item *it, const struct store_email *e, int64_t date_ms, const char *message_id)
{
	const struct flow_identity id = identity_of(it, e, it->sender->address);

	str_reset(&it->bytes);
	it->date_ms = date_ms;
	it->message_id = message_id;
	it->identity = flow_identity_text(&it->arena, &id);
	return flow_send_compose(
		it, e, it->sender->address, message_id, date_ms, &it->bytes, it->sha256);
}

/* A try repeats the one before it, byte for byte, if that left from the same mailbox. If it cannot - this
 * renderer is a newer one, or the row is damaged - then this is another mail, with date, identity and
 * Message-ID of its own. */
static int render(struct flow_item *it)
{
	const struct store_attempt *last = &it->claimed->last;
	struct store_email e = it->claimed->email;

	if (e.date_ms && str_eq(e.mailbox, it->sender->address)) {
		int err = compose(it, &e, e.date_ms, e.message_id);

		if (err || !last->n || str_eq(last->sha256, it->sha256))
			return err;
	}
	e.date_ms = 0;
	return compose(it, &e, clock_wall_ms(),
		flow_send_new_message_id(&it->arena, &e, it->sender->address, it->attempt));
}

void flow_send_release(struct flow_item *it, const char *why, enum lead_reason to)
{
	it->released = mem_arena_dup(&it->arena, why);
	it->released_to = to;
	flow_advance(it, FLOW_RECORDING);
}

/* The lead waits for more than its mailbox. */
static void release_until(struct flow_item *it, enum lead_reason reason, int64_t until_ms)
{
	it->released_until_ms = until_ms;
	flow_send_release(it, lead_reason_name(reason), reason);
}

/* That of IT's step, as the configuration has it now. */
static const char *step_gate(const struct flow_item *it, const struct flow_campaign *c)
{
	const int now = conf_find_step(c->conf, it->campaign->steps[it->step].name);

	return now < 0 ? flow_step_gate(it->campaign, it->step)
		       : flow_step_gate(c->conf, (size_t)now);
}

/* Why C sends nothing. */
static const char *campaign_gate(const struct flow_campaign *c)
{
	if (!c || !c->conf)
		return "campaign_gone";
	return flow_has_writer(c->conf) ? "campaign_paused" : "llm_none";
}

/* What was read after the reservation became durable, and what changed here meanwhile. */
static bool pass_gate(struct flow_item *it, const struct store_req *r)
{
	struct flow_campaign *c = flow_campaign_find(it->campaign->name);
	enum plan_gate hours = flow_hours_of(it).gate;

	if (r->u.reserve.suppressed_by)
		flow_send_release(it, "suppressed", LEAD_REASON_SUPPRESSED);
	else if (r->u.reserve.contacted_by)
		flow_send_release(it, "already_contacted", LEAD_REASON_ALREADY_CONTACTED);
	else if (r->u.reserve.lead_moved)
		flow_send_release(it, "stopped", LEAD_REASON_NONE);
	else if (r->u.reserve.domain_until_ms)
		release_until(it, LEAD_REASON_DOMAIN_DAILY_LIMIT, r->u.reserve.domain_until_ms);
	else if (flow.draining)
		flow_send_release(it, "draining", LEAD_REASON_NONE);
	else if (flow_wallclock_why())
		flow_send_release(it, "clock_untrusted", LEAD_REASON_NONE);
	else if (!c || !flow_campaign_may_send(c))
		flow_send_release(it, campaign_gate(c), LEAD_REASON_NONE);
	else if (hours != PLAN_OPEN)
		flow_send_release(it, flow_hours_reason(hours), LEAD_REASON_NONE);
	else if (flow_is_paused("mailbox", it->sender->address))
		flow_send_release(it, "mailbox_paused", LEAD_REASON_NONE);
	else if (step_gate(it, c))
		flow_send_release(it, step_gate(it, c), LEAD_REASON_NONE);
	else
		return true;
	return false;
}

/* The lead was held and released while an item of ours waited for its server: it is about to find out, and
 * to let go. */
static bool is_in_our_own_way(const struct flow_item *it)
{
	GHashTableIter i;
	void *other;

	g_hash_table_iter_init(&i, flow.items);
	while (g_hash_table_iter_next(&i, NULL, &other))
		if (other != it &&
			str_eq(((struct flow_item *)other)->claimed->lead.id, it->claimed->lead.id))
			return true;
	return false;
}

/* The store said no: it is down, the ledger has another try open, or its rows make no sense. Such a
 * lead must not stay at the head of its mailbox's line. */
static void not_reserved(struct flow_item *it, const struct store_req *r)
{
	const struct store_email *e = &it->claimed->email;
	bool is_new = e->date_ms && !str_eq(e->message_id, it->message_id);

	flow_sender_leave(it);
	it->to = (struct store_lead_to){
		.state = LEAD_QUEUED, .stage = LEAD_STAGE_SEND, .due_ms = -1, .mailbox = e->mailbox
	};
	if (flow_err_is_store(r->err)) {
		flow_store_failed(r->err, r->why);
	} else if (r->err == CM_EBUSY && is_in_our_own_way(it)) {
		it->to.due_ms = clock_wall_ms() + CLOCK_SECOND_MS;
	} else {
		log_event(LOG_ERR, "reserve_refused", LOG_S("lead", it->claimed->lead.id),
			LOG_S("campaign", it->campaign->name), LOG_I("attempt", it->attempt),
			LOG_S("why", r->why));
		if (r->err == CM_EBUSY)
			it->to.due_ms = clock_wall_ms() + CLOCK_MINUTE_MS;
		else
			flow_draft_hold(it,
				is_new ? LEAD_REASON_THREAD_UNKNOWN : LEAD_REASON_BAD_RECORD,
				r->why);
	}
	flow_advance(it, FLOW_RETURN);
}

static void on_reserved(struct store_req *r)
{
	struct flow_item *it = flow_item_find(r->id);

	if (!it)
		return;
	fail_point("reserve.after");
	flow_store_seal_soon();
	if (r->err)
		not_reserved(it, r);
	else if (pass_gate(it, r))
		flow_advance(it, FLOW_GO);
}

/* Toward whose limit IT counts; NULL: nobody's, its users have nothing to do with each other. */
static const char *domain_of(const struct flow_item *it, struct mem_arena *a)
{
	const char *at = strrchr(it->claimed->email.to, '@');

	return at && !conf_is_webmail(at + 1) ? mem_arena_dup(a, at + 1) : NULL;
}

void flow_send_reserve(struct flow_item *it)
{
	const struct store_email *e = &it->claimed->email;
	struct store_req *r;

	/* A connection that took long may come too late for today. */
	if (flow_hours_of(it).gate != PLAN_OPEN) {
		flow_sender_turn_away(it);
		return;
	}
	if (render(it)) {
		flow_sender_leave(it);
		flow_draft_hold(it, LEAD_REASON_BAD_RECORD, "the mail cannot be composed");
		flow_advance(it, FLOW_RETURN);
		return;
	}
	r = store_req_new(STORE_RESERVE, on_reserved, it->id, NULL);
	r->u.reserve.key = mem_arena_dup(&r->arena, e->key);
	r->u.reserve.lead_id = mem_arena_dup(&r->arena, it->claimed->lead.id);
	r->u.reserve.to = mem_arena_dup(&r->arena, e->to);
	r->u.reserve.campaign = mem_arena_dup(&r->arena, e->campaign);
	r->u.reserve.step = mem_arena_dup(&r->arena, e->step);
	r->u.reserve.n = it->attempt;
	r->u.reserve.mailbox = mem_arena_dup(&r->arena, it->sender->address);
	r->u.reserve.message_id = mem_arena_dup(&r->arena, it->message_id);
	r->u.reserve.sha256 = mem_arena_dup(&r->arena, it->sha256);
	r->u.reserve.date_ms = it->date_ms;
	r->u.reserve.identity = mem_arena_dup(&r->arena, it->identity);
	r->u.reserve.renderer = MAIL_RENDERER;
	r->u.reserve.instance = mem_arena_dup(&r->arena, it->batch->claim);
	r->u.reserve.domain = domain_of(it, &r->arena);
	r->u.reserve.domain_limit = it->campaign->domain_daily_limit;
	r->u.reserve.recontact_since_ms = it->campaign->recontact_ms == CLOCK_NEVER_MS
						  ? INT64_MIN
						  : clock_wall_ms() - it->campaign->recontact_ms;
	r->person = mem_arena_dup(&r->arena, it->claimed->lead.person);
	fail_point("reserve.before");
	store_send(r);
}

/* ---- wire, slot, dot ---------------------------------------------------------------------------- */

/* The Message-ID as the name that reports give the mail: angle brackets only confuse servers that
 * look for the address. */
static const char *bare_id(struct flow_item *it)
{
	const char *id = it->message_id + (*it->message_id == '<');

	return mem_arena_ndup(&it->arena, id, strcspn(id, ">"));
}

void flow_send_wire(struct flow_item *it)
{
	fail_point("wire.before");
	const struct mail_envelope e = {
		.from = it->sender->address, .to = it->claimed->email.to, .id = bare_id(it)
	};
	int err = mail_smtp_send(it->link->smtp, &e, it->bytes.p, it->bytes.len);

	it->was_asked = !err;
	if (err == CM_ESTATE) {
		flow_send_release(
			it, "connection lost", LEAD_REASON_NONE); /* its on_end is on the way */
	} else if (err) {
		it->verdict = (struct mail_verdict){ .outcome = MAIL_OUTCOME_NOT_SENT,
			.stage = MAIL_STAGE_RCPT,
			.err = err,
			.text = "the address cannot be used in SMTP" };
		flow_advance(it, FLOW_RECORDING);
	}
}

/* The ledger counts a slot for its mailbox's day, so that counts here, too, whatever became of the
 * connection meanwhile. */
static void count_slot(struct flow_item *it, const struct store_req *r)
{
	struct mailbox *m = r->arg; /* lives as long as the process */

	if (!r->err)
		mailbox_slot(m);
	if (it)
		it->asks_slot = false;
	if (it && it->sender)
		it->had_slot = !r->err;
	else
		mailbox_give_back(m, !r->err);
}

static void on_slot(struct store_req *r)
{
	struct flow_item *it = flow_item_find(r->id);

	fail_point("slot.after");
	flow_store_seal_soon();
	count_slot(it, r);
	/* A connection that died meanwhile has its verdict already: not sent, slot or not. */
	if (!it || it->stage != FLOW_STAGE_SLOT) {
		flow_sched_soon();
		return;
	}
	bool late = clock_boot_ms() - it->slot_asked_ms > FLOW_SLOT_TO_DOT_MAX_MS;

	if (!r->err && !late) {
		flow_advance(it, FLOW_GO);
		return;
	}
	if (flow_err_is_store(r->err))
		flow_store_failed(r->err, r->why);
	else if (r->err == CM_EEXIST)
		it->released = mem_arena_dup(&it->arena, r->why ? r->why : "void");
	/* No dot: the connection closes, and its verdict records what became of the attempt. */
	mail_smtp_abort(it->link->smtp);
}

static void new_nonce(char ret[33])
{
	unsigned char raw[16];

	bug_if(getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw, "getrandom");
	str_hex(raw, sizeof raw, ret);
}

void flow_send_slot(struct flow_item *it)
{
	struct store_req *r = store_req_new(STORE_SLOT, on_slot, it->id, it->sender->mailbox);

	new_nonce(it->nonce);
	it->asks_slot = true;
	it->slot_asked_ms = clock_boot_ms();
	r->u.slot.key = mem_arena_dup(&r->arena, it->claimed->email.key);
	r->u.slot.n = it->attempt;
	r->u.slot.instance = mem_arena_dup(&r->arena, it->batch->claim);
	r->u.slot.nonce = mem_arena_dup(&r->arena, it->nonce);
	r->person = mem_arena_dup(&r->arena, it->claimed->lead.person);
	fail_point("slot.before");
	store_send(r);
}

void flow_send_dot(struct flow_item *it)
{
	fail_point("dot.before");
	mail_smtp_dot(it->link->smtp);
	fail_point("dot.after");
}

/* ---- drain -------------------------------------------------------------------------------------- */

static GPtrArray *items_in(enum flow_stage stage)
{
	GPtrArray *v = g_ptr_array_new();

	list_each (node, &flow.stages[stage])
		g_ptr_array_add(v, list_entry(node, struct flow_item, node));
	return v;
}

void flow_send_drain(void)
{
	flow_senders_quit();
	GPtrArray *wire = items_in(FLOW_STAGE_WIRE); /* on a link: the others were turned away */

	for (guint i = 0; i < wire->len; i++) {
		struct flow_item *it = wire->pdata[i];

		it->released = "draining";
		mail_smtp_abort(it->link->smtp);
	}
	g_ptr_array_unref(wire);
}

void flow_send_give_up(void)
{
	GPtrArray *dot = items_in(FLOW_STAGE_DOT);

	for (guint i = 0; i < dot->len; i++) {
		struct flow_item *it = dot->pdata[i];

		flow_link_free(it->link);
		it->verdict = (struct mail_verdict){ .outcome = MAIL_OUTCOME_UNCERTAIN,
			.stage = MAIL_STAGE_DOT,
			.err = CM_ECANCELED,
			.text = "stopped while waiting for the server's word" };
		flow_advance(it, FLOW_RECORDING);
	}
	g_ptr_array_unref(dot);
}
