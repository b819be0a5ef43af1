/*
 * One row of an import, from JSON of unknown origin to what the store takes. Pure: no store, no
 * clock; the fuzz target calls it with anything.
 * Runs on: loop. Called by cmd_import.c.
 * A row that is wrong is one line for a person, with the remedy; it never stops the others.
 */
#include "ops_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/str.h"

#define VARS_MAX      500
#define VAR_NAME_MAX  64
#define VAR_VALUE_MAX ((size_t)64 << 10)

struct row {
	struct mem_arena *a; /* borrowed: the request's */
	struct store_import_row *out;
	const char **ret_why;
};

static bool wrong(struct row *row, const char *why)
{
	*row->ret_why = why;
	return false;
}

/* For messages: a text of unknown origin, in A. */
static const char *shown(struct mem_arena *a, const char *text)
{
	char *printable = str_printable(text, strlen(text), 60);
	const char *kept = mem_arena_dup(a, printable);

	free(printable);
	return kept;
}

static bool take_email(struct row *row, const char *raw)
{
	char *canonical = NULL;
	const char *why = NULL;

	if (lead_is_null_like(raw))
		return wrong(row, "field email: no address, expected one such as name@example.com");
	if (lead_address_canonical(raw, &canonical, &why))
		return wrong(row, mem_arena_printf(row->a,
					  "field email: \"%s\": %s, expected one address such as "
					  "name@example.com",
					  shown(row->a, raw), why));
	row->out->email = mem_arena_dup(row->a, canonical);
	free(canonical);
	return true;
}

static bool no_campaign(struct row *row, const struct conf *conf, const char *name)
{
	struct str known = STR_INIT;

	ops_add_campaigns(&known, conf);
	*row->ret_why = mem_arena_printf(row->a,
		"field campaign: no campaign \"%s\" in %s, expected one of these: %s",
		shown(row->a, name), conf->file, str_z(&known));
	str_done(&known);
	return false;
}

static bool take_campaign(
	struct row *row, const struct conf *conf, const char *name, int64_t now_ms)
{
	struct store_import_row *out = row->out;

	out->recontact_since_ms = INT64_MIN;
	out->campaign = out->first_step = "";
	if (lead_is_null_like(name))
		return true;
	const struct conf_campaign *campaign = conf_find_campaign(conf, name);
	if (!campaign)
		return no_campaign(row, conf, name);
	out->campaign = mem_arena_dup(row->a, campaign->name);
	if (campaign->n_steps)
		out->first_step = mem_arena_dup(row->a, campaign->steps[0].name);
	if (campaign->recontact_ms != CLOCK_NEVER_MS)
		out->recontact_since_ms = now_ms - campaign->recontact_ms;
	return true;
}

static bool take_var(struct row *row, const cJSON *v)
{
	struct store_import_row *out = row->out;

	if (!*v->string || strlen(v->string) > VAR_NAME_MAX)
		return wrong(row, mem_arena_printf(row->a,
					  "field \"%s\": its name is empty or too long, expected 1 "
					  "to %d bytes: rename the column",
					  shown(row->a, v->string), VAR_NAME_MAX));
	if (!cJSON_IsString(v) || strlen(v->valuestring) > VAR_VALUE_MAX)
		return wrong(row, mem_arena_printf(row->a,
					  "field \"%s\": no text, or too much of it, expected text "
					  "of at most 64 KB",
					  shown(row->a, v->string)));
	out->vars[out->n_vars++] = (struct lead_var){
		mem_arena_dup(row->a, v->string),
		mem_arena_dup(row->a, v->valuestring),
	};
	return true;
}

static bool take_vars(struct row *row, const cJSON *vars)
{
	const cJSON *v;
	int n = cJSON_GetArraySize(vars);

	if (n > VARS_MAX)
		return wrong(row, mem_arena_printf(row->a,
					  "%d fields with a value, expected at most %d: leave some "
					  "columns out",
					  n, VARS_MAX));
	row->out->vars = mem_arena_get(row->a, (size_t)n * sizeof *row->out->vars);
	cJSON_ArrayForEach(v, vars)
	{
		if (str_eq(v->string, "email") || str_eq(v->string, "campaign"))
			continue;
		if (!take_var(row, v))
			return false;
	}
	return true;
}

bool ops_import_row(struct mem_arena *a, const struct conf *conf, const char *campaign,
	const cJSON *row, int64_t now_ms, struct store_import_row *ret, const char **ret_why)
{
	struct row it = { a, ret, ret_why };
	const cJSON *line = cJSON_GetObjectItemCaseSensitive(row, "line");
	const cJSON *vars = cJSON_GetObjectItemCaseSensitive(row, "vars");
	const cJSON *email = cJSON_GetObjectItemCaseSensitive(vars, "email");
	const cJSON *own = cJSON_GetObjectItemCaseSensitive(vars, "campaign");

	*ret = (struct store_import_row){ .person = "" };
	if (cJSON_IsNumber(line) && line->valuedouble > 0 && line->valuedouble < 1e15)
		ret->line = (int64_t)line->valuedouble;
	if (!cJSON_IsObject(vars))
		return wrong(
			&it, "not a record, expected an object vars with a text for each field");
	if (!take_email(&it, cJSON_GetStringValue(email)))
		return false;
	if (!lead_is_null_like(cJSON_GetStringValue(own)))
		campaign = own->valuestring;
	return take_campaign(&it, conf, campaign, now_ms) && take_vars(&it, vars);
}
