/*
 * Commands about the store as a whole: backup, restore, takeover.
 * Runs on: loop. Called by command.c.
 * What a copy of the store may have done is decided in flow; here it is asked for and told.
 */
#include "ops_private.h"

#include "coldmail/err.h"

/* ---- backup ------------------------------------------------------------------------------------ */

static void on_backup(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);

	/* Here a file is the caller's, not the store's: it is a no, and the store is well. */
	if (!c)
		return;
	if (r->err) {
		ops_fail(c, CM_EXIT_NO, "%s: %s", r->u.backup.path,
			r->why ? r->why : cm_strerror(r->err));
		return;
	}
	cJSON *out = cJSON_CreateObject();
	cJSON_AddStringToObject(out, "path", r->u.backup.path);
	if (!r->u.backup.dry_run)
		ops_json_whole(out, "bytes", r->u.backup.bytes);
	ops_reply(c, out);
}

static void backup(struct ops_call *c)
{
	const char *path = ops_text(c, "path");

	if (*path != '/') {
		ops_fail(c, CM_EXIT_USAGE, "backup: an absolute path was expected");
		return;
	}
	struct store_req *r = store_req_new(STORE_BACKUP, on_backup, c->id, NULL);
	r->u.backup.path = mem_arena_dup(&r->arena, path);
	r->u.backup.dry_run = c->dry_run;
	store_send(r);
}

/* ---- restore ----------------------------------------------------------------------------------- */

static void on_restored(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);

	if (!c)
		return;
	if (r->err) {
		ops_fail(c, CM_EXIT_NO, "%s: %s", r->u.restore.file,
			r->why ? r->why : cm_strerror(r->err));
		return;
	}
	cJSON *out = cJSON_CreateObject();
	cJSON_AddStringToObject(out, "path", r->u.restore.file);
	cJSON_AddStringToObject(out, "kept", r->u.restore.kept ? r->u.restore.kept : "");
	ops_json_whole(out, "suppressions", (int64_t)r->u.restore.n_suppressions);
	ops_json_whole(out, "leads", (int64_t)r->u.restore.n_leads);
	ops_json_whole(out, "forgotten", (int64_t)r->u.restore.n_forgotten);
	if (r->u.restore.not_carried)
		cJSON_AddStringToObject(out, "not_carried", r->u.restore.not_carried);
	ops_reply(c, out);
}

static void restore(struct ops_call *c)
{
	const char *path = ops_text(c, "path");

	if (*path != '/') {
		ops_fail(c, CM_EXIT_USAGE, "restore: an absolute path was expected");
		return;
	}
	struct store_req *r = store_req_new(STORE_RESTORE, on_restored, c->id, NULL);
	r->u.restore.file = mem_arena_dup(&r->arena, path);
	r->u.restore.dry_run = c->dry_run;
	store_send(r);
}

/* ---- takeover ---------------------------------------------------------------------------------- */

static void on_taken_over(void *arg, const struct flow_takeover *t)
{
	struct ops_call *c = ops_call_of(arg);

	if (!c || ops_fail_err(c, t->err, t->why))
		return;
	cJSON *out = cJSON_CreateObject();
	cJSON_AddStringToObject(out, "restored", t->restored);
	ops_json_time(out, "since", t->since_ms);
	ops_json_whole(out, "leads", (int64_t)t->leads);
	ops_json_whole(out, "steps", (int64_t)t->steps);
	ops_reply(c, out);
}

static void takeover(struct ops_call *c)
{
	flow_takeover(ops_flag(c, "moved"), c->dry_run, on_taken_over, ops_call_arg(c));
}

const struct ops_command ops_cmd_store[] = {
	{ "backup", backup, OPS_CHANGES, { { "path", OPS_TEXT, true } } },
	{ "restore", restore, OPS_CHANGES | OPS_BARE | OPS_STOPPED,
		{ { "path", OPS_TEXT, true } } },
	{ "takeover", takeover, OPS_CHANGES, { { "moved", OPS_FLAG } } },
	{ 0 },
};
