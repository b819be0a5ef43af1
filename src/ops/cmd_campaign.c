/*
 * Commands about campaigns: campaigns, start, pause, resume, preview.
 * Runs on: loop. Called by command.c.
 * Each is one of flow's verbs; what a campaign would do in a day is pace.c's estimate, one honest
 * number and what binds it.
 */
#include "ops_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/str.h"

/* ---- campaigns --------------------------------------------------------------------------------- */

const char *ops_campaign_state(const struct conf_campaign *cc)
{
	if (!flow_has_started(cc))
		return "not_started";
	if (flow_is_paused("campaign", cc->name) || flow_is_paused("all", ""))
		return "paused";
	return "running";
}

static void add_counts(cJSON *o, const struct ops_survey *s, const char *name)
{
	cJSON *leads = cJSON_AddObjectToObject(o, "leads");

	ops_json_whole(leads, "total", ops_tally_all(s, name));
	for (enum lead_state state = LEAD_QUEUED; state <= LEAD_ENDED; state++)
		ops_json_whole(leads, lead_state_name(state), ops_tally_state(s, name, state));
	cJSON_AddItemToObject(o, "held", ops_tally_reasons(s, name, LEAD_HELD));
	cJSON_AddItemToObject(o, "ended", ops_tally_reasons(s, name, LEAD_ENDED));
}

static void add_strays(cJSON *o, const struct ops_due *due)
{
	cJSON *strays = cJSON_AddObjectToObject(o, "thread_mailbox_unavailable");

	for (size_t i = 0; i < due->n_strays; i++)
		if (due->strays[i].n)
			ops_json_whole(strays, due->strays[i].mailbox, due->strays[i].n);
}

static cJSON *campaign(const struct ops_survey *s, const struct conf_campaign *cc)
{
	const struct ops_due *due = ops_due_of(s, cc->name);
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "name", cc->name);
	cJSON_AddStringToObject(o, "state", ops_campaign_state(cc));
	add_counts(o, s, cc->name);
	if (due) {
		ops_json_whole(o, "due_now", due->due_now);
		add_strays(o, due);
		ops_json_coming(o, "next_due", due->next_ms);
		ops_json_time(o, "next_wake", due->wake_ms);
	}
	cJSON *steps = cJSON_AddArrayToObject(o, "steps");
	for (size_t i = 0; i < cc->n_steps; i++)
		cJSON_AddItemToArray(steps, cJSON_CreateString(cc->steps[i].name));
	ops_json_pace(o, cc, s);
	return o;
}

/* Leads of campaigns that the configuration does not know (any more), or of none. */
static void add_gone(cJSON *list, const struct ops_survey *s, const struct conf *conf)
{
	for (size_t i = 0; i < s->n_tally; i++) {
		const char *name = s->tally[i].campaign;
		bool seen = conf_find_campaign(conf, name) != NULL;

		for (size_t k = 0; k < i && !seen; k++)
			seen = str_eq(s->tally[k].campaign, name);
		if (seen || !ops_tally_all(s, name))
			continue;
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "name", name);
		cJSON_AddStringToObject(o, "state", *name ? "gone" : "none");
		add_counts(o, s, name);
		cJSON_AddItemToArray(list, o);
	}
}

void ops_json_campaigns(cJSON *o, const struct ops_survey *s)
{
	const struct conf *conf = flow_conf();
	cJSON *list = cJSON_AddArrayToObject(o, "campaigns");

	for (size_t i = 0; i < conf->n_campaigns; i++)
		cJSON_AddItemToArray(list, campaign(s, &conf->campaigns[i]));
	add_gone(list, s, conf);
}

static void on_survey(uint64_t id, const struct ops_survey *s)
{
	struct ops_call *c = ops_call_find(id);

	if (!c || ops_fail_err(c, s->err, s->why))
		return;
	cJSON *out = cJSON_CreateObject();
	ops_json_time(out, "now", clock_wall_ms());
	ops_json_campaigns(out, s);
	ops_reply(c, out);
}

static void campaigns(struct ops_call *c)
{
	ops_survey(on_survey, c->id);
}

/* ---- start, pause, resume ---------------------------------------------------------------------- */

/* The campaign of that name. NULL: the call has been ended. */
static const struct conf_campaign *campaign_get(struct ops_call *c, const char *name)
{
	const struct conf_campaign *cc = conf_find_campaign(flow_conf(), name);

	if (!cc)
		ops_fail_campaign(c, name);
	return cc;
}

static void started(struct ops_call *c, bool already)
{
	cJSON *out = cJSON_CreateObject();

	cJSON_AddStringToObject(out, "campaign", ops_text(c, "campaign"));
	cJSON_AddBoolToObject(out, "already", already);
	ops_reply(c, out);
}

static void on_started(void *arg, int err, const char *why, const struct store_voids *voids)
{
	struct ops_call *c = ops_call_of(arg);

	(void)voids;
	if (c && err == CM_EEXIST)
		started(c, true);
	else if (c && !ops_fail_err(c, err, why))
		started(c, false);
}

static void start(struct ops_call *c)
{
	const struct conf_campaign *cc = campaign_get(c, ops_text(c, "campaign"));

	if (!cc)
		return;
	if (c->dry_run)
		started(c, flow_has_started(cc));
	else
		flow_start_campaign(cc->name, on_started, ops_call_arg(c));
}

static void paused(struct ops_call *c, const struct store_voids *voids)
{
	const char *name = ops_text(c, "name");
	cJSON *out = cJSON_CreateObject();

	cJSON_AddStringToObject(out, "what", ops_text(c, "what"));
	cJSON_AddStringToObject(out, "name", name ? name : "");
	ops_json_voids(out, voids);
	ops_reply(c, out);
}

static void on_paused(void *arg, int err, const char *why, const struct store_voids *voids)
{
	struct ops_call *c = ops_call_of(arg);

	if (c && !ops_fail_err(c, err, why))
		paused(c, voids);
}

/* What to pause is there. false: the call has been ended. */
static bool is_pausable(struct ops_call *c, const char *what, const char *name)
{
	if (str_eq(what, "all") || str_eq(what, "clock"))
		return true;
	if (str_eq(what, "campaign") && name)
		return campaign_get(c, name) != NULL;
	if (str_eq(what, "mailbox") && name) {
		bool is_there = conf_find_mailbox(flow_conf(), name);

		if (!is_there)
			ops_fail_mailbox(c, name); /* ends the call, and NAME with it */
		return is_there;
	}
	ops_fail(c, CM_EXIT_USAGE, "all, clock, campaign NAME or mailbox ADDRESS was expected");
	return false;
}

static void set_paused(struct ops_call *c, bool on)
{
	const char *what = ops_text(c, "what");

	if (str_eq(what, "mailbox"))
		ops_make_canonical(c, "name");
	const char *name = ops_text(c, "name");
	if (!is_pausable(c, what, name))
		return;
	if (c->dry_run)
		paused(c, &(struct store_voids){ 0 });
	else
		flow_pause(what, name ? name : "", on, on_paused, ops_call_arg(c));
}

static void pause_it(struct ops_call *c)
{
	set_paused(c, true);
}

static void resume_it(struct ops_call *c)
{
	set_paused(c, false);
}

/* ---- preview ----------------------------------------------------------------------------------- */

static void on_previewed(void *arg, const struct flow_preview *p)
{
	struct ops_call *c = ops_call_of(arg);

	if (!c || ops_fail_err(c, p->err, p->why))
		return;
	cJSON *out = cJSON_CreateObject();
	cJSON_AddStringToObject(out, "campaign", p->campaign);
	cJSON_AddStringToObject(out, "step", p->step);
	cJSON_AddStringToObject(out, "address", p->address);
	cJSON_AddStringToObject(out, "mailbox", p->mailbox ? p->mailbox : "");
	cJSON_AddStringToObject(out, "subject", p->subject ? p->subject : "");
	cJSON_AddStringToObject(out, "bytes", p->bytes);
	ops_reply(c, out);
}

static void preview(struct ops_call *c)
{
	const char *lead = ops_text(c, "lead"), *why = NULL;
	char *canonical = NULL;

	if (!campaign_get(c, ops_text(c, "campaign")))
		return;
	if (lead && lead_address_canonical(lead, &canonical, &why))
		ops_fail(c, CM_EXIT_USAGE, "%s: %s", lead, why);
	else
		flow_preview(ops_text(c, "campaign"), canonical, ops_text(c, "step"), on_previewed,
			ops_call_arg(c));
	free(canonical);
}

const struct ops_command ops_cmd_campaign[] = {
	{ "campaigns", campaigns, 0, { { 0 } } },
	{ "start", start, OPS_CHANGES, { { "campaign", OPS_TEXT, true } } },
	{ "pause", pause_it, OPS_CHANGES, { { "what", OPS_TEXT, true }, { "name", OPS_TEXT } } },
	{ "resume", resume_it, OPS_CHANGES, { { "what", OPS_TEXT, true }, { "name", OPS_TEXT } } },
	{ "preview", preview, 0,
		{ { "campaign", OPS_TEXT, true }, { "lead", OPS_TEXT }, { "step", OPS_TEXT } } },
	{ 0 },
};
