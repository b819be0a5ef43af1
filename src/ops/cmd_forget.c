/*
 * The command forget: everything about a person is erased, but for a keyed hash that stays suppressed.
 * Runs on: loop. Called by command.c.
 * The log gets the hash and never the address. Answers when the bytes have left the store's files, or
 * says that they have not yet.
 */
#include "ops_private.h"

#include "coldmail/err.h"
#include "coldmail/log.h"

static void on_scrubbed(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);

	if (!c)
		return;
	cJSON *out = c->out;
	c->out = NULL;
	cJSON_AddBoolToObject(out, "scrubbed", !r->err);
	if (r->err)
		cJSON_AddStringToObject(out, "why", r->why ? r->why : cm_strerror(r->err));
	ops_reply(c, out);
}

static void on_forgotten(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);

	if ((!r->err || r->is_stored) && !r->u.forget.dry_run)
		flow_forget(r->u.forget.email);
	if (!c || ops_fail_err(c, r->err, r->why))
		return;
	c->out = cJSON_CreateObject();
	ops_json_whole(c->out, "leads", (int64_t)r->u.forget.n_leads);
	ops_json_whole(c->out, "emails", (int64_t)r->u.forget.n_emails);
	ops_json_whole(c->out, "attempts", (int64_t)r->u.forget.n_attempts);
	ops_json_whole(c->out, "suppressions", (int64_t)r->u.forget.n_suppressions);
	if (c->dry_run) {
		cJSON *out = c->out;

		c->out = NULL;
		ops_reply(c, out);
		return;
	}
	log_event(LOG_NOTICE, "forget", LOG_S("person", r->person),
		LOG_I("leads", r->u.forget.n_leads), LOG_I("emails", r->u.forget.n_emails));
	struct store_req *scrub = store_req_new(STORE_SCRUB, on_scrubbed, c->id, NULL);
	scrub->u.scrub.at_any_size = ops_flag(c, "vacuum");
	store_send(scrub);
}

static void forget(struct ops_call *c)
{
	const char *email;
	struct store_req *r = ops_request_about(c, STORE_FORGET, on_forgotten, &email);

	if (!r)
		return;
	r->u.forget.email = email;
	r->u.forget.email_person = r->person;
	r->u.forget.source = "operator";
	r->u.forget.dry_run = c->dry_run;
	if (!c->dry_run)
		flow_forget(email);
	store_send(r);
}

const struct ops_command ops_cmd_forget[] = {
	{ "forget", forget, OPS_CHANGES | OPS_PRIVATE,
		{ { "address", OPS_TEXT, true }, { "vacuum", OPS_FLAG } } },
	{ 0 },
};
