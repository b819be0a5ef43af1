/*
 * Commands about mailboxes: mailboxes, test-send.
 * Runs on: loop. Called by command.c; status shows the same.
 * A mailbox that is ready but for a gate shows the gate: that is what people want to know.
 */
#include "ops_private.h"

#include "coldmail/err.h"

static cJSON *mailbox(struct mailbox *m)
{
	int64_t opens_ms;
	const char *gate = ops_gate(m, &opens_ms);
	const struct mailbox_info info = mailbox_info(m);
	bool waits = gate && info.state == MAILBOX_READY;
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "address", info.address);
	cJSON_AddStringToObject(o, "state", waits ? "waiting" : mailbox_state_name(info.state));
	cJSON_AddStringToObject(o, "why", waits ? gate : info.why);
	ops_json_time(o, "until", waits ? opens_ms : info.until_ms);
	ops_json_whole(o, "sent_today", info.sent_today);
	ops_json_whole(o, "sent_24h", info.sent_24h);
	ops_json_whole(o, "cap", info.cap);
	cJSON_AddStringToObject(o, "cap_why", info.cap_why);
	ops_json_whole(o, "daily_limit", info.daily_limit);
	ops_json_time(o, "last_sent_at", info.last_sent_ms);
	ops_json_whole(o, "in_flight", (int64_t)info.in_use);
	ops_json_whole(o, "connections", (int64_t)info.connections);
	ops_json_whole(o, "bounces", info.bounces);
	return o;
}

cJSON *ops_json_mailboxes(void)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; i < mailbox_count(); i++)
		cJSON_AddItemToArray(list, mailbox(mailbox_at(i)));
	return list;
}

static void mailboxes(struct ops_call *c)
{
	cJSON *out = cJSON_CreateObject();

	ops_json_time(out, "now", clock_wall_ms());
	cJSON_AddItemToObject(out, "mailboxes", ops_json_mailboxes());
	ops_reply(c, out);
}

/* ---- test-send --------------------------------------------------------------------------------- */

static void on_tested(void *arg, const struct flow_test *t)
{
	struct ops_call *c = ops_call_of(arg);

	if (!c || ops_fail_err(c, t->err, t->why))
		return;
	cJSON *out = cJSON_CreateObject();
	cJSON_AddStringToObject(out, "campaign", t->campaign);
	cJSON_AddStringToObject(out, "mailbox", t->mailbox);
	cJSON_AddStringToObject(out, "to", t->to);
	cJSON_AddStringToObject(out, "subject", t->subject);
	cJSON_AddStringToObject(out, "outcome", t->outcome);
	ops_json_whole(out, "code", t->code);
	cJSON_AddStringToObject(out, "reply", t->reply);
	cJSON_AddStringToObject(out, "message_id", t->message_id);
	ops_reply(c, out);
}

static void test_send(struct ops_call *c)
{
	const char *to = ops_text(c, "to"), *why = NULL;
	char *canonical = NULL;

	if (lead_address_canonical(to, &canonical, &why))
		ops_fail(c, CM_EXIT_USAGE, "%s: %s", to, why);
	else
		flow_test_send(
			ops_text(c, "campaign"), canonical, c->dry_run, on_tested, ops_call_arg(c));
	free(canonical);
}

const struct ops_command ops_cmd_mailbox[] = {
	{ "mailboxes", mailboxes, OPS_BARE | OPS_RUNNING, { { 0 } } },
	{ "test-send", test_send, OPS_CHANGES | OPS_RUNNING,
		{ { "campaign", OPS_TEXT, true }, { "to", OPS_TEXT, true } } },
	{ 0 },
};
