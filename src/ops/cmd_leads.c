/*
 * Commands about leads: list, show, hold, release, stop. Importing has its own file.
 * Runs on: loop. Called by command.c.
 * An operator's word is a fact that the store writes down before it voids what is under way; the
 * answer says what could not be voided any more.
 */
#include "ops_private.h"

#include "coldmail/err.h"
#include "coldmail/str.h"

struct store_req *ops_request_about(
	struct ops_call *c, enum store_op op, store_done *done, const char **ret_email)
{
	const char *raw = ops_text(c, "address"), *why = NULL;
	char *canonical = NULL, person[LEAD_PERSON];

	if (lead_address_canonical(raw, &canonical, &why)) {
		ops_fail(c, CM_EXIT_USAGE, "%s: %s", raw, why);
		return NULL;
	}
	struct store_req *r = store_req_new(op, done, c->id, NULL);
	store_person(canonical, person);
	r->person = mem_arena_dup(&r->arena, person);
	*ret_email = mem_arena_dup(&r->arena, canonical);
	free(canonical);
	return r;
}

/* ---- looking ----------------------------------------------------------------------------------- */

static void on_list(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);

	if (!c || ops_fail_err(c, r->err, r->why))
		return;
	cJSON *out = cJSON_CreateObject(), *leads = cJSON_AddArrayToObject(out, "leads");
	for (size_t i = 0; i < r->u.list.n; i++)
		cJSON_AddItemToArray(leads, ops_json_lead(&r->u.list.v[i]));
	/* An address that is not text comes last and reads "": a page from there would be the first. */
	if (r->u.list.n && r->u.list.n == r->u.list.max && *r->u.list.v[r->u.list.n - 1].email)
		cJSON_AddStringToObject(out, "next", r->u.list.v[r->u.list.n - 1].email);
	ops_reply_list(c, out, r->u.list.n);
}

#define SEPARATOR ", "
static const char reasons[] =
#define X(name, text, state, trouble) SEPARATOR text
	LEAD_REASONS(X);
#undef X

/* The filters of the call. false: the call has been ended with what is wrong. */
static bool read_filters(
	struct ops_call *c, enum lead_state *ret_state, enum lead_reason *ret_reason)
{
	const char *state = ops_text(c, "state"), *reason = ops_text(c, "reason");

	if (state && !lead_state_parse(state, ret_state)) {
		ops_fail(c, CM_EXIT_USAGE,
			"\"%s\" is not a state: queued, held, in_flight or ended was expected",
			state);
		return false;
	}
	*ret_reason = reason ? lead_reason_parse(reason) : LEAD_REASON_NONE;
	if (reason && *ret_reason == LEAD_REASON_NONE) {
		ops_fail(c, CM_EXIT_USAGE, "\"%s\" is not a reason; there are: %s", reason,
			reasons + strlen(SEPARATOR));
		return false;
	}
	return true;
}

static void leads_list(struct ops_call *c)
{
	enum lead_state state = LEAD_QUEUED;
	enum lead_reason reason;
	int64_t max = ops_whole(c, "max", OPS_PAGE_MAX);

	if (!read_filters(c, &state, &reason))
		return;
	struct store_req *r = store_req_new(STORE_LEAD_LIST, on_list, c->id, NULL);
	if (ops_text(c, "state"))
		r->u.list.state =
			memcpy(mem_arena_get(&r->arena, sizeof state), &state, sizeof state);
	r->u.list.campaign = mem_arena_dup(&r->arena, ops_text(c, "campaign"));
	r->u.list.reason = reason;
	r->u.list.after = mem_arena_dup(&r->arena, ops_text(c, "after"));
	r->u.list.max = max > 0 && max < OPS_PAGE_MAX ? (size_t)max : OPS_PAGE_MAX;
	store_send(r);
}

static void on_show(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);
	const bool known =
		!r->err || r->u.get.n_emails || r->u.get.n_attempts || r->u.get.n_suppressions;

	if (!c ||
		(!(r->err == CM_ENOENT && known) &&
			ops_fail_err(c, r->err,
				r->err == CM_ENOENT ? "nothing is known of this address" : r->why)))
		return;
	cJSON *out = cJSON_CreateObject();
	if (!r->err)
		cJSON_AddItemToObject(out, "lead", ops_json_lead(&r->u.get.lead));
	cJSON *suppressions = cJSON_AddArrayToObject(out, "suppressions");
	for (size_t i = 0; i < r->u.get.n_suppressions; i++)
		cJSON_AddItemToArray(suppressions, ops_json_suppression(&r->u.get.suppressions[i]));
	cJSON *emails = cJSON_AddArrayToObject(out, "emails");
	for (size_t i = 0; i < r->u.get.n_emails; i++)
		cJSON_AddItemToArray(emails, ops_json_email(&r->u.get.emails[i]));
	cJSON *attempts = cJSON_AddArrayToObject(out, "attempts");
	for (size_t i = 0; i < r->u.get.n_attempts; i++)
		cJSON_AddItemToArray(attempts, ops_json_attempt(&r->u.get.attempts[i]));
	ops_reply(c, out);
}

static void leads_show(struct ops_call *c)
{
	const char *email;
	struct store_req *r = ops_request_about(c, STORE_LEAD_GET, on_show, &email);

	if (!r)
		return;
	r->u.get.email = email;
	r->u.get.email_person = r->person;
	store_send(r);
}

/* ---- acting ------------------------------------------------------------------------------------ */

static void on_suppressed(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);

	if (!c || ops_fail_err(c, r->err, r->why))
		return;
	cJSON *out = cJSON_CreateObject(), *lead = cJSON_AddObjectToObject(out, "lead");
	cJSON_AddStringToObject(lead, "email", r->u.suppress.v[0].pattern);
	cJSON_AddStringToObject(lead, "state", "not a lead");
	cJSON_AddBoolToObject(out, "suppressed", true);
	ops_json_voids(out, &r->u.suppress.voids);
	ops_reply(c, out);
}

/* Who opts out without being a lead is not to become one. */
static void suppress_stranger(struct ops_call *c, const struct store_req *act)
{
	struct store_req *r = store_req_new(STORE_SUPPRESS_ADD, on_suppressed, c->id, NULL);

	r->u.suppress.v = mem_arena_get(&r->arena, sizeof *r->u.suppress.v);
	r->u.suppress.v[0] = (struct store_suppression){
		.pattern = mem_arena_dup(&r->arena, act->u.act.email),
		.reason = lead_reason_name(act->u.act.reason),
		.source = act->u.act.source,
		.at_ms = act->now_ms,
	};
	r->u.suppress.n = 1;
	r->u.suppress.dry_run = act->u.act.dry_run;
	store_send(r);
}

static void on_no_lead(struct ops_call *c, const struct store_req *r)
{
	if (r->u.act.act != STORE_LEAD_END)
		ops_fail(c, CM_EXIT_NO, "%s is no lead", r->u.act.email);
	else if (r->u.act.reason == LEAD_REASON_OPTED_OUT)
		suppress_stranger(c, r);
	else
		ops_fail(c, CM_EXIT_NO,
			"%s is no lead; if nobody may ever write to it: coldmailctl suppress add "
			"%s",
			r->u.act.email, r->u.act.email);
}

static void on_act(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);

	if ((!r->err || r->is_stored) && !r->u.act.dry_run)
		flow_poke(); /* whoever hung up meanwhile */
	if (c && r->err == CM_ENOENT) {
		on_no_lead(c, r);
		return;
	}
	if (!c || ops_fail_err(c, r->err, r->why))
		return;
	cJSON *out = cJSON_CreateObject();
	cJSON_AddItemToObject(out, "lead", ops_json_lead(&r->u.act.lead));
	cJSON_AddBoolToObject(out, "suppressed", r->u.act.suppress);
	ops_json_voids(out, &r->u.act.voids);
	ops_reply(c, out);
}

static struct store_req *act(struct ops_call *c)
{
	const char *email;
	struct store_req *r = ops_request_about(c, STORE_LEAD_ACT, on_act, &email);

	if (!r)
		return NULL;
	r->u.act.email = email;
	r->u.act.source = "operator";
	r->u.act.dry_run = c->dry_run;
	return r;
}

static void leads_hold(struct ops_call *c)
{
	struct store_req *r = act(c);

	if (!r)
		return;
	r->u.act.act = STORE_LEAD_HOLD;
	r->u.act.reason = LEAD_REASON_OPERATOR;
	store_send(r);
}

static void leads_release(struct ops_call *c)
{
	struct store_req *r = act(c);

	if (!r)
		return;
	r->u.act.act = STORE_LEAD_RELEASE;
	store_send(r);
}

/* `leads stop --because`: what ends the lead, and whether nobody may write to the address again. */
static const struct because {
	const char *word;
	enum lead_reason reason;
	bool suppress;
} becauses[] = {
	{ "stopped", LEAD_REASON_STOPPED, false },
	{ "replied", LEAD_REASON_LEAD_REPLIED, false },
	{ "opted-out", LEAD_REASON_OPTED_OUT, true },
	{ "bounced", LEAD_REASON_BOUNCED, true },
};

static void leads_stop(struct ops_call *c)
{
	const char *word = ops_text(c, "because");
	const struct because *why = NULL;

	for (size_t i = 0; i < sizeof becauses / sizeof *becauses; i++)
		if (str_eq(becauses[i].word, word ? word : "stopped"))
			why = &becauses[i];
	if (!why) {
		ops_fail(c, CM_EXIT_USAGE,
			"\"%s\" is not a reason to stop: replied, opted-out or bounced was "
			"expected",
			word);
		return;
	}
	struct store_req *r = act(c);
	if (!r)
		return;
	r->u.act.act = STORE_LEAD_END;
	r->u.act.reason = why->reason;
	r->u.act.suppress = why->suppress;
	store_send(r);
}

const struct ops_command ops_cmd_leads[] = {
	{ "leads/list", leads_list, 0,
		{ { "campaign", OPS_TEXT }, { "state", OPS_TEXT }, { "reason", OPS_TEXT },
			{ "after", OPS_TEXT }, { "max", OPS_WHOLE } } },
	{ "leads/show", leads_show, 0, { { "address", OPS_TEXT, true } } },
	{ "leads/hold", leads_hold, OPS_CHANGES, { { "address", OPS_TEXT, true } } },
	{ "leads/release", leads_release, OPS_CHANGES, { { "address", OPS_TEXT, true } } },
	{ "leads/stop", leads_stop, OPS_CHANGES,
		{ { "address", OPS_TEXT, true }, { "because", OPS_TEXT } } },
	{ 0 },
};
