/*
 * Commands about the ledger: sends, resolve, audit.
 * Runs on: loop. Called by command.c.
 * Nothing here writes an outcome but `resolve`, which is an operator's evidence about an uncertain
 * one and goes through flow, where its consequences are decided.
 */
#include "ops_private.h"

#include "coldmail/err.h"
#include "coldmail/str.h"

/* ---- sends ------------------------------------------------------------------------------------- */

static void on_sends(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);

	if (!c || ops_fail_err(c, r->err, r->why))
		return;
	cJSON *out = cJSON_CreateObject(), *sends = cJSON_AddArrayToObject(out, "sends");
	for (size_t i = 0; i < r->u.sends.n; i++)
		cJSON_AddItemToArray(sends, ops_json_attempt(&r->u.sends.v[i]));
	if (r->u.sends.n && r->u.sends.n == r->u.sends.max) {
		const struct store_attempt *last = &r->u.sends.v[r->u.sends.n - 1];
		char *id = xasprintf("%s#%d", last->key, last->n);

		ops_json_whole(out, "next_before", last->reserved_ms);
		cJSON_AddStringToObject(out, "next_before_id", id);
		free(id);
	}
	ops_reply_list(c, out, r->u.sends.n);
}

static bool is_attempt_state(const char *name)
{
#define X(state, text)                                                                             \
	if (str_eq(name, text))                                                                    \
		return true;
	STORE_ATTEMPTS(X)
#undef X
	return false;
}

static void sends(struct ops_call *c)
{
	const char *outcome = ops_text(c, "outcome");
	int64_t max = ops_whole(c, "max", OPS_PAGE_MAX);

	if (outcome && !is_attempt_state(outcome)) {
		ops_fail(c, CM_EXIT_USAGE,
			"\"%s\" is not an outcome: sent, uncertain, refused, released, not_sent or "
			"reserved was expected",
			outcome);
		return;
	}
	ops_make_canonical(c, "mailbox");
	struct store_req *r = store_req_new(STORE_SENDS, on_sends, c->id, NULL);
	r->u.sends.campaign = mem_arena_dup(&r->arena, ops_text(c, "campaign"));
	r->u.sends.mailbox = mem_arena_dup(&r->arena, ops_text(c, "mailbox"));
	r->u.sends.outcome = mem_arena_dup(&r->arena, outcome);
	r->u.sends.before_ms = ops_whole(c, "before", INT64_MAX);
	r->u.sends.before_id = mem_arena_dup(&r->arena, ops_text(c, "before_id"));
	r->u.sends.max = max > 0 && max < OPS_PAGE_MAX ? (size_t)max : OPS_PAGE_MAX;
	store_send(r);
}

/* ---- resolve ----------------------------------------------------------------------------------- */

static void on_resolved(void *arg, int err, const char *why, const struct store_attempt *a)
{
	struct ops_call *c = ops_call_of(arg);

	if (err == CM_ENOENT)
		why = "there is no such attempt; coldmailctl sends --outcome uncertain lists those "
		      "to be settled";
	if (!c || ops_fail_err(c, err, why))
		return;
	ops_reply(c, ops_json_attempt(a));
}

static void resolve(struct ops_call *c)
{
	flow_resolve(
		ops_text(c, "id"), ops_flag(c, "sent"), c->dry_run, on_resolved, ops_call_arg(c));
}

/* ---- audit ------------------------------------------------------------------------------------- */

static void on_audit(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);

	if (!c || ops_fail_err(c, r->err, r->why))
		return;
	cJSON *out = cJSON_CreateObject(), *checked = cJSON_AddObjectToObject(out, "checked");
	ops_json_whole(checked, "leads", r->u.audit.checked_leads);
	ops_json_whole(checked, "emails", r->u.audit.checked_emails);
	ops_json_whole(checked, "attempts", r->u.audit.checked_attempts);
	cJSON *findings = cJSON_AddArrayToObject(out, "findings");
	for (size_t i = 0; i < r->u.audit.n_findings; i++)
		cJSON_AddItemToArray(findings, cJSON_CreateString(r->u.audit.findings[i]));
	ops_json_whole(out, "fixed", (int64_t)r->u.audit.n_fixed);
	ops_reply(c, out);
}

static void audit(struct ops_call *c)
{
	struct store_req *r = store_req_new(STORE_AUDIT, on_audit, c->id, NULL);

	r->u.audit.fix = ops_flag(c, "fix") && !c->dry_run;
	store_send(r);
}

const struct ops_command ops_cmd_ledger[] = {
	{ "sends", sends, 0,
		{ { "campaign", OPS_TEXT }, { "mailbox", OPS_TEXT }, { "outcome", OPS_TEXT },
			{ "max", OPS_WHOLE }, { "before", OPS_WHOLE },
			{ "before_id", OPS_TEXT } } },
	{ "resolve", resolve, OPS_CHANGES,
		{ { "id", OPS_TEXT, true }, { "sent", OPS_FLAG, true } } },
	{ "audit", audit, OPS_CHANGES, { { "fix", OPS_FLAG } } },
	{ 0 },
};
