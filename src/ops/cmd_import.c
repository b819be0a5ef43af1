/*
 * The command leads/import: a batch of rows goes to the store, and each row gets its answer.
 * Runs on: loop. Called by command.c.
 * A batch is durable as a whole before it is answered, and harmless to repeat; an import is as many
 * batches as the client likes, so that the loop and the writer lane have their turns in between.
 */
#include "ops_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/str.h"

static void add_result(
	cJSON *rows, int64_t line, const char *email, const char *result, const char *text)
{
	cJSON *o = cJSON_CreateObject();

	ops_json_whole(o, "line", line);
	if (email)
		cJSON_AddStringToObject(o, "email", email);
	cJSON_AddStringToObject(o, "result", result);
	if (text)
		cJSON_AddStringToObject(o, "text", text);
	cJSON_AddItemToArray(rows, o);
}

static void add_stored(cJSON *rows, struct mem_arena *a, const struct store_import_row *row)
{
	switch (row->result) {
	case STORE_ROW_ADDED:
		add_result(rows, row->line, row->email, "added", NULL);
		break;
	case STORE_ROW_UPDATED:
		add_result(rows, row->line, row->email, "updated", NULL);
		break;
	case STORE_ROW_DUPLICATE:
		add_result(rows, row->line, row->email, "duplicate",
			str_is_empty(row->other)
				? NULL
				: mem_arena_printf(
					  a, "belongs to campaign %s already", row->other));
		break;
	case STORE_ROW_SUPPRESSED:
		add_result(rows, row->line, row->email, "suppressed",
			"on the suppression list; it stays there");
		break;
	case STORE_ROW_CONTACTED:
		add_result(rows, row->line, row->email, "contacted",
			mem_arena_printf(a, "campaign %s wrote to this person already",
				row->other ? row->other : ""));
		break;
	}
}

static cJSON *rows_of(struct ops_call *c)
{
	return cJSON_GetObjectItemCaseSensitive(c->out, "rows");
}

static void finish(struct ops_call *c)
{
	cJSON *out = c->out;

	c->out = NULL;
	ops_reply(c, out);
}

static void on_import(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);

	if (!r->err && !r->u.import.dry_run)
		flow_poke();
	if (!c || ops_fail_err(c, r->err, r->why))
		return;
	for (size_t i = 0; i < r->u.import.n; i++)
		add_stored(rows_of(c), &r->arena, &r->u.import.rows[i]);
	finish(c);
}

/* Rows that are in order go into R; the others have their answer now. */
static void read_rows(struct ops_call *c, struct store_req *r, const cJSON *list)
{
	struct store_import_row *out;
	char person[LEAD_PERSON];
	const cJSON *row;

	r->u.import.rows = mem_arena_get(
		&r->arena, (size_t)cJSON_GetArraySize(list) * sizeof *r->u.import.rows);
	cJSON_ArrayForEach(row, list)
	{
		const char *why = NULL;

		out = &r->u.import.rows[r->u.import.n];
		if (!ops_import_row(&r->arena, flow_conf(), ops_text(c, "campaign"), row,
			    clock_wall_ms(), out, &why)) {
			add_result(rows_of(c), out->line, NULL, "invalid", why);
		} else {
			store_person(out->email, person);
			out->person = mem_arena_dup(&r->arena, person);
			r->u.import.n++;
		}
	}
}

static void leads_import(struct ops_call *c)
{
	const cJSON *list = ops_list(c, "rows");
	const char *campaign = ops_text(c, "campaign");

	if (!str_is_empty(campaign) && !conf_find_campaign(flow_conf(), campaign)) {
		ops_fail_campaign(c, campaign);
		return;
	}
	if (cJSON_GetArraySize(list) > OPS_PAGE_MAX) {
		ops_fail(c, CM_EXIT_USAGE, "%d rows: at most %d at a time were expected",
			cJSON_GetArraySize(list), OPS_PAGE_MAX);
		return;
	}
	c->out = cJSON_CreateObject();
	cJSON_AddArrayToObject(c->out, "rows");
	if (!cJSON_GetArraySize(list)) {
		finish(c); /* it was asked whether there is such a campaign */
		return;
	}
	struct store_req *r = store_req_new(STORE_IMPORT, on_import, c->id, NULL);
	r->u.import.dry_run = c->dry_run;
	read_rows(c, r, list);
	store_send(r); /* also when no row is in order: it is the store that ends requests */
}

const struct ops_command ops_cmd_import[] = {
	{ "leads/import", leads_import, OPS_CHANGES,
		{ { "campaign", OPS_TEXT }, { "rows", OPS_LIST, true } } },
	{ 0 },
};
