/*
 * A test: one real mail to whom the operator says, over a connection of its own.
 * Runs on: loop. Called by ops.
 * Never in the ledger and in no campaign's figures; but it leaves by the same rules as any other: a
 * mailbox with room, whose limits it uses up, no suppressed address, its slot durable before its dot.
 */
#include "flow_private.h"

#include <sys/random.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* One test under way. */
struct test {
	uint64_t id;
	struct flow_item it; /* never in the corridor: it only carries what rendering needs */
	struct store_claimed claimed;
	flow_tested *cb; /* NULL: answered */
	void *arg;
	bool dry_run;
	const char *to;
	struct flow_test answer;
	struct flow_sender *sender; /* borrowed; NULL: none, or given back */
	struct mail_smtp *smtp; /* owned; NULL: none yet */
	bool asks_slot; /* it may be taken, whatever becomes of the connection */
	bool had_slot;
	const char *refused; /* why we let go of it ourselves; NULL: we did not */
	int64_t slot_asked_ms; /* boot */
};

static GHashTable *tests; /* id -> struct test, owned */

static void test_free(void *p)
{
	struct test *t = p;

	mail_smtp_free(t->smtp);
	mem_arena_done(&t->it.arena);
	str_done(&t->it.bytes);
	flow_plan_unref(t->it.plan);
	free(t);
}

/* ---- the answer -------------------------------------------------------------------------------- */

static void answer(struct test *t)
{
	flow_tested *cb = t->cb;

	t->cb = NULL;
	if (cb)
		cb(t->arg, &t->answer);
}

/* Before anything was sent. */
static void refuse(struct test *t, int err, const char *why)
{
	t->answer.err = err;
	t->answer.why = why;
	answer(t);
	g_hash_table_remove(tests, &t->id);
}

/* What became of it says as much of the mailbox as any mail's fate does. */
static void blame(struct flow_sender *s, const struct mail_verdict *v)
{
	static const struct store_past none;
	struct mail_ruling r = flow_trouble_ruling(flow.plan->classes, v);
	struct flow_trouble trouble = flow_trouble_of(v, r, 1, &none, clock_wall_ms());

	if (trouble.has_fault)
		flow_sender_fault(s, trouble.fault, v);
	else if (v->outcome == MAIL_OUTCOME_SENT)
		mailbox_succeed(s->mailbox);
}

static void finish(struct test *t, const struct mail_verdict *v)
{
	struct flow_sender *s = t->sender;

	if (!s)
		return;
	t->sender = NULL;
	if (!t->asks_slot) /* else on_slot() does */
		mailbox_give_back(s->mailbox, t->had_slot);
	if (!t->refused && !flow.draining)
		blame(s, v);
	t->answer.outcome = mail_outcome_name(v->outcome);
	t->answer.code = v->code;
	t->answer.reply = t->refused ? t->refused : v->text;
	log_event(LOG_NOTICE, "test_send", LOG_S("campaign", t->answer.campaign),
		LOG_S("mailbox", t->answer.mailbox), LOG_S("to", t->to),
		LOG_S("outcome", t->answer.outcome), LOG_I("code", v->code),
		LOG_S("reply", t->answer.reply), LOG_S("message_id", t->answer.message_id));
	answer(t);
	flow_sched_soon();
}

/* ---- the connection ---------------------------------------------------------------------------- */

/* Called again after the mail: then there is no more to do. */
static void on_ready(void *arg)
{
	struct test *t = arg;
	const struct mail_envelope e = { .from = t->answer.mailbox, .to = t->to };

	if (t->sender && mail_smtp_send(t->smtp, &e, t->it.bytes.p, t->it.bytes.len))
		t->refused = "the address cannot be used in SMTP, or the connection was lost";
	if (!t->sender || t->refused)
		mail_smtp_quit(t->smtp);
}

/* Nobody has said meanwhile that it must not go, and the server did not have to wait for our disk. */
static const char *stands_in_the_way(const struct test *t, const struct store_req *r)
{
	if (r->err)
		return r->why ? r->why : cm_strerror(r->err);
	if (flow_is_paused("all", NULL) || mailbox_closed(t->sender->mailbox))
		return "paused meanwhile";
	if (clock_boot_ms() - t->slot_asked_ms > FLOW_SLOT_TO_DOT_MAX_MS)
		return "the store took too long";
	return flow.draining ? "coldmail is stopping" : NULL;
}

/* As in send.c. */
static void count_slot(struct test *t, const struct store_req *r)
{
	struct mailbox *m = r->arg; /* lives as long as the process */

	if (!r->err)
		mailbox_test_slot(m);
	if (t)
		t->asks_slot = false;
	if (t && t->sender)
		t->had_slot = !r->err;
	else
		mailbox_give_back(m, !r->err);
}

static void on_slot(struct store_req *r)
{
	struct test *t = g_hash_table_lookup(tests, &r->id);

	if (flow_err_is_store(r->err))
		flow_store_failed(r->err, r->why);
	count_slot(t, r);
	if (!t || !t->sender) { /* the server hung up meanwhile */
		flow_sched_soon();
		return;
	}
	const char *why = stands_in_the_way(t, r);
	if (why) {
		t->refused = mem_arena_dup(&t->it.arena, why);
		mail_smtp_abort(t->smtp);
	} else {
		mail_smtp_dot(t->smtp);
	}
}

static void on_at_dot(void *arg)
{
	struct test *t = arg;
	struct store_req *r = store_req_new(STORE_TEST_SLOT, on_slot, t->id, t->sender->mailbox);
	char person[LEAD_PERSON];

	store_person(t->to, person);
	t->slot_asked_ms = clock_boot_ms();
	t->asks_slot = true;
	r->u.test.mailbox = mem_arena_dup(&r->arena, t->answer.mailbox);
	r->u.test.to = mem_arena_dup(&r->arena, t->to);
	r->u.test.to_person = mem_arena_dup(&r->arena, person);
	store_send(r);
}

static void on_verdict(void *arg, const struct mail_verdict *v)
{
	finish(arg, v);
}

static void on_end(void *arg, const struct mail_verdict *v)
{
	struct test *t = arg;
	struct mail_verdict never = *v;

	never.outcome = MAIL_OUTCOME_NOT_SENT; /* if it had no verdict, there was no dialogue */
	finish(t, &never);
	g_hash_table_remove(tests, &t->id);
	if (flow.draining)
		flow_check_drained();
}

static const struct mail_smtp_events events = { on_ready, on_at_dot, on_verdict, on_end };

static void send_it(struct test *t)
{
	const struct conf_mailbox *cm = conf_find_mailbox(t->it.plan->conf, t->sender->address);
	char helo[FLOW_HELO];
	const struct mail_smtp_conf conf = flow_server_conf(t->sender, cm, helo);

	mailbox_take(t->sender->mailbox);
	t->smtp = mail_smtp_open(&conf, &events, t);
}

/* ---- the mail ---------------------------------------------------------------------------------- */

/* Marked where nobody can miss it. */
static void mark(struct test *t, struct store_email *e)
{
	struct mem_arena *a = &t->it.arena;

	e->to = t->to;
	e->subject = mem_arena_printf(a, "[Test] %s", e->subject);
	e->body = mem_arena_printf(a, "[A test of the campaign %s. The lead did not get it.]\n\n%s",
		t->it.campaign->name, e->body);
}

static const char *new_message_id(struct test *t)
{
	unsigned char raw[16];
	char nonce[33];

	bug_if(getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw, "getrandom");
	str_hex(raw, sizeof raw, nonce);
	char *id = mail_message_id(store_message_secret(), nonce, t->sender->address);
	const char *copy = mem_arena_dup(&t->it.arena, id);

	free(id);
	return copy;
}

/* false: it was refused. */
static bool compose(struct test *t)
{
	struct store_email e;
	char sha256[65];

	if (!flow_draft_make(&t->it, &e)) {
		refuse(t, CM_ESTATE, t->it.error);
		return false;
	}
	mark(t, &e);
	t->answer.mailbox = t->sender->address;
	t->answer.subject = e.subject;
	t->answer.message_id = new_message_id(t);
	if (!flow_send_compose(&t->it, &e, t->sender->address, t->answer.message_id,
		    clock_wall_ms(), &t->it.bytes, sha256))
		return true;
	refuse(t, CM_EINVAL, "the mail cannot be composed: an address is unusable");
	return false;
}

/* ---- may it go --------------------------------------------------------------------------------- */

/* The gate of each mailbox of the campaign that opens last, one a line. */
static const char *all_closed(struct test *t)
{
	const struct conf_campaign *c = t->it.campaign;
	struct mem_arena *a = &t->it.arena;
	const char *text = "no mailbox of the campaign has room now";

	for (size_t i = 0; i < c->n_mailboxes; i++) {
		struct mailbox *m = mailbox_find(c->mailboxes[i]->address);
		const struct mailbox_info info = mailbox_info(m);
		struct mailbox_gate gates[MAILBOX_GATES_MAX];
		char stamp[CLOCK_STAMP];

		if (!mailbox_gates(m, gates))
			continue; /* it is about to send: there will be room in a moment */
		struct flow_reason r = flow_why_gate(a, &info, &gates[0]);
		text = mem_arena_printf(a, "%s; %s: %s%s%s%s%s", text, r.subject, r.reason,
			*r.value ? ", " : "", r.value,
			r.until_ms == CLOCK_NEVER_MS ? "" : ", opens ",
			r.until_ms == CLOCK_NEVER_MS ? "" : clock_stamp(r.until_ms, stamp));
	}
	return text;
}

static void on_lead(struct store_req *r)
{
	struct test *t = g_hash_table_lookup(tests, &r->id);

	if (!t)
		return;
	if (r->err) {
		refuse(t, r->err, r->why);
	} else if (!r->u.list.n) {
		refuse(t, CM_ENOENT,
			"no lead of this campaign waits for a mail, and the template takes its "
			"values from one: import leads first");
	} else {
		t->claimed.lead = r->u.list.v[0];
		t->sender = flow_sender_with_room(t->it.campaign, "");
		if (!t->sender) {
			refuse(t, CM_ESTATE, all_closed(t));
		} else if (!compose(t)) {
			return;
		} else if (t->dry_run) {
			answer(t);
			g_hash_table_remove(tests, &t->id);
		} else {
			send_it(t);
		}
	}
}

static void ask_lead(struct test *t)
{
	static const enum lead_state queued = LEAD_QUEUED;
	struct store_req *r = store_req_new(STORE_LEAD_LIST, on_lead, t->id, NULL);

	r->u.list.campaign = mem_arena_dup(&r->arena, t->it.campaign->name);
	r->u.list.state = &queued;
	r->u.list.max = 1;
	store_send(r);
}

static const char *why_not(void)
{
	if (flow_is_paused("all", NULL))
		return "everything is paused: `coldmailctl resume all`";
	if (flow.draining)
		return "coldmail is stopping";
	return flow_is_open_for_work() ? NULL
				       : "nothing can be sent now: `coldmailctl why` says why";
}

void flow_test_send(const char *campaign, const char *to, bool dry_run, flow_tested *cb, void *arg)
{
	struct test *t = xcalloc(1, sizeof *t);

	if (!tests)
		tests = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, test_free);
	t->id = ++flow.last_id;
	t->cb = cb;
	t->arg = arg;
	t->dry_run = dry_run;
	t->it.plan = flow_plan_ref(flow.plan);
	t->it.claimed = &t->claimed;
	t->it.campaign = conf_find_campaign(flow.plan->conf, campaign);
	t->to = mem_arena_dup(&t->it.arena, to);
	t->answer = (struct flow_test){ .campaign = mem_arena_dup(&t->it.arena, campaign),
		.to = t->to,
		.outcome = "",
		.reply = "" };
	g_hash_table_insert(tests, &t->id, t);
	if (!t->it.campaign)
		refuse(t, CM_ENOENT, "there is no such campaign in the configuration");
	else if (why_not())
		refuse(t, CM_ESTATE, why_not());
	else
		ask_lead(t);
}

/* ---- the end ----------------------------------------------------------------------------------- */

void flow_tests_quit(void)
{
	GHashTableIter i;
	void *t;

	if (!tests)
		return;
	g_hash_table_iter_init(&i, tests);
	while (g_hash_table_iter_next(&i, NULL, &t))
		if (((struct test *)t)->smtp)
			mail_smtp_quit(((struct test *)t)->smtp);
}

bool flow_tests_are_over(void)
{
	return !tests || !g_hash_table_size(tests);
}

void flow_tests_drop(void)
{
	if (tests)
		g_hash_table_remove_all(tests);
}
