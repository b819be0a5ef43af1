/*
 * Commands about the daemon itself: version, status, why, reload.
 * Runs on: loop. Called by command.c.
 */
#include "ops_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/str.h"

static void version(struct ops_call *c)
{
	const struct store_stats store = store_stats();
	cJSON *out = cJSON_CreateObject(), *o = cJSON_AddObjectToObject(out, "store");

	cJSON_AddStringToObject(out, "version", CM_VERSION);
	cJSON_AddStringToObject(o, "path", flow_conf()->store);
	cJSON_AddBoolToObject(o, "open", store.open);
	cJSON_AddBoolToObject(o, "down", store.down);
	cJSON_AddStringToObject(o, "why", store.why ? store.why : "");
	ops_json_whole(o, "schema", store.schema);
	ops_json_whole(out, "generation", (int64_t)flow_conf()->generation);
	ops_reply(c, out);
}

/* ---- why --------------------------------------------------------------------------------------- */

static void on_explained(
	void *arg, int err, const struct flow_reason *reasons, size_t n, const char *summary)
{
	struct ops_call *c = ops_call_of(arg);

	if (!c || ops_fail_err(c, err, err == CM_ENOENT ? "nothing of that name is known" : NULL))
		return;
	cJSON *out = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(out, "reasons");
	for (size_t i = 0; i < n; i++) {
		cJSON *o = cJSON_CreateObject();

		cJSON_AddStringToObject(o, "subject", reasons[i].subject);
		cJSON_AddStringToObject(o, "reason", reasons[i].reason);
		cJSON_AddStringToObject(o, "value", reasons[i].value);
		cJSON_AddStringToObject(o, "limit", reasons[i].limit);
		ops_json_time(o, "until", reasons[i].until_ms);
		cJSON_AddBoolToObject(o, "binds", reasons[i].binds);
		cJSON_AddItemToArray(list, o);
	}
	ops_json_time(out, "now", clock_wall_ms());
	cJSON_AddStringToObject(out, "summary", summary ? summary : "");
	ops_reply(c, out);
}

static void why(struct ops_call *c)
{
	const char *subject = ops_text(c, "subject"), *wrong = NULL;
	char *canonical = NULL;

	/* A name with an @ is an address, a lead's or a mailbox's; campaigns are asked for as they
	 * are written. */
	if (subject && strchr(subject, '@') && !lead_address_canonical(subject, &canonical, &wrong))
		subject = canonical;
	flow_why(subject, on_explained, ops_call_arg(c));
	free(canonical);
}

/* ---- reload ------------------------------------------------------------------------------------ */

static void reload(struct ops_call *c)
{
	cJSON *out = NULL;
	char *problems = NULL;

	if (ops_reload_file(c->dry_run, &out, &problems))
		ops_fail(c, CM_EXIT_CONFIG, "%s", problems);
	else
		ops_reply(c, out);
	free(problems);
}

const struct ops_command ops_cmd_daemon[] = {
	{ "version", version, OPS_BARE, { { 0 } } },
	{ "status", ops_status, OPS_BARE | OPS_RUNNING, { { 0 } } },
	{ "why", why, OPS_BARE | OPS_RUNNING, { { "subject", OPS_TEXT } } },
	{ "reload", reload, OPS_BARE | OPS_CHANGES | OPS_RUNNING, { { 0 } } },
	{ 0 },
};
