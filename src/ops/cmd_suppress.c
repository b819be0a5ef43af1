/*
 * Commands about suppressions: add, remove, check, list. Global: they hold for every campaign.
 * Runs on: loop. Called by command.c.
 * An acknowledged addition is never followed by a mail but for one whose slot was taken before, and
 * the answer names that one. A removal needs a reason, which is logged.
 */
#include "ops_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#define NOTE_MAX 1000 /* bytes of a reason, an evidence or a source */

/* RAW in its canonical form, in A; NULL with *RET_WHY. */
static const char *pattern_of(struct mem_arena *a, const char *raw, const char **ret_why)
{
	char *canonical = NULL;

	if (lead_pattern_canonical(raw, &canonical, ret_why))
		return NULL;
	const char *kept = mem_arena_dup(a, canonical);
	free(canonical);
	return kept;
}

/* A request about the field "pattern" of the call, which lands in *RET, canonical, and whose person, if it
 * is an address, in *RET_PERSON, else NULL; both in the request's arena. NULL: the call has been ended with
 * what is wrong. */
static struct store_req *request_about(struct ops_call *c, enum store_op op, store_done *done,
	const char **ret, const char **ret_person)
{
	const char *raw = ops_text(c, "pattern"), *why = NULL;
	char *canonical = NULL, person[LEAD_PERSON];
	char *whole = xasprintf("%s%s", *raw == '@' ? "*" : "", raw); /* where nothing is added */
	int err = lead_pattern_canonical(whole, &canonical, &why);

	free(whole);
	if (err) {
		ops_fail(c, CM_EXIT_USAGE, "%s: %s", raw, why);
		return NULL;
	}
	struct store_req *r = store_req_new(op, done, c->id, NULL);
	*ret = mem_arena_dup(&r->arena, canonical);
	*ret_person = NULL;
	if (strchr(canonical, '@') && !str_starts(canonical, "*@")) {
		store_person(canonical, person);
		*ret_person = mem_arena_dup(&r->arena, person);
	}
	free(canonical);
	return r;
}

/* ---- add --------------------------------------------------------------------------------------- */

static void on_add(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);

	if (!c || ops_fail_err(c, r->err, r->why))
		return;
	cJSON *out = c->out;
	c->out = NULL;
	ops_json_whole(out, "added", (int64_t)r->u.suppress.n_new);
	ops_json_whole(out, "known", (int64_t)(r->u.suppress.n - r->u.suppress.n_new));
	ops_json_voids(out, &r->u.suppress.voids);
	ops_reply(c, out);
}

static void add_problem(cJSON *problems, int index, const char *raw, const char *why)
{
	cJSON *o = cJSON_CreateObject();
	char *shown = str_printable(raw, strlen(raw), 80);

	cJSON_AddNumberToObject(o, "index", index);
	cJSON_AddStringToObject(o, "pattern", shown);
	cJSON_AddStringToObject(o, "text", why);
	cJSON_AddItemToArray(problems, o);
	free(shown);
}

/* ITEM's text NAME, else the call's; at most NOTE_MAX bytes of it. NULL: neither. */
static const char *note_of(
	struct mem_arena *a, const struct ops_call *c, const cJSON *item, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, name));

	if (str_is_empty(text))
		text = ops_text(c, name);
	return text ? mem_arena_ndup(a, text, str_utf8_cut(text, strlen(text), NOTE_MAX)) : NULL;
}

/* When it ends, in *RET; 0: it does not. NULL, or what is wrong. */
static const char *read_until(const char *text, int64_t now_ms, int64_t *ret)
{
	if (str_is_empty(text))
		return NULL;
	if (!clock_parse_stamp(text, ret) || *ret <= 0)
		return "until: a time was expected, such as 2026-03-31 or 2026-03-31T12:00:00Z";
	return *ret <= now_ms ? "it has ended: until is a time to come" : NULL;
}

/* A list from elsewhere may say since when, in whatever form: what cannot be read is now. */
static int64_t since_of(const cJSON *item, int64_t now_ms)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "at"));
	int64_t ms;

	return text && clock_parse_stamp(text, &ms) && ms > 0 && ms < now_ms ? ms : now_ms;
}

/* ITEM is a pattern, or {pattern, reason, evidence, source, at, until}. NULL, or what is wrong. */
static const char *read_entry(struct mem_arena *a, const struct ops_call *c, const cJSON *item,
	const char *raw, struct store_suppression *ret)
{
	const char *why = NULL, *pattern = pattern_of(a, raw, &why);
	const int64_t now_ms = clock_wall_ms();
	int64_t until_ms = 0;

	if (pattern)
		why = read_until(note_of(a, c, item, "until"), now_ms, &until_ms);
	if (why)
		return why;
	const char *reason = note_of(a, c, item, "reason"), *source = note_of(a, c, item, "source");
	*ret = (struct store_suppression){
		.pattern = pattern,
		.reason = reason ? reason : "operator",
		.evidence = note_of(a, c, item, "evidence"),
		.source = source ? source : "operator",
		.at_ms = since_of(item, now_ms),
		.until_ms = until_ms,
	};
	return NULL;
}

static void suppress_add(struct ops_call *c)
{
	const cJSON *list = ops_list(c, "patterns"), *item;

	if (cJSON_GetArraySize(list) > OPS_PAGE_MAX) {
		ops_fail(c, CM_EXIT_USAGE, "at most %d patterns at a time were expected",
			OPS_PAGE_MAX);
		return;
	}
	struct store_req *r = store_req_new(STORE_SUPPRESS_ADD, on_add, c->id, NULL);
	struct store_suppression *v =
		mem_arena_get(&r->arena, (size_t)cJSON_GetArraySize(list) * sizeof *v);
	int index = 0;

	c->out = cJSON_CreateObject();
	cJSON *problems = cJSON_AddArrayToObject(c->out, "problems");
	cJSON_ArrayForEach(item, list)
	{
		const cJSON *pattern = cJSON_IsObject(item)
					       ? cJSON_GetObjectItemCaseSensitive(item, "pattern")
					       : item;
		const char *raw = cJSON_IsString(pattern) ? pattern->valuestring : "";
		const char *why = read_entry(&r->arena, c, item, raw, &v[r->u.suppress.n]);

		if (why)
			add_problem(problems, index, raw, why);
		else
			r->u.suppress.n++;
		index++;
	}
	r->u.suppress.v = v;
	r->u.suppress.dry_run = c->dry_run;
	store_send(r);
}

/* ---- remove ------------------------------------------------------------------------------------ */

static void on_remove(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);

	if (!c || ops_fail_err(c, r->err, r->why))
		return;
	const char *pattern = r->u.suppress.v[0].pattern;
	if (!r->u.suppress.n_new) {
		ops_fail(c, CM_EXIT_NO, "%s is not on the list%s%s", pattern,
			strchr(pattern, '@') ? "; what covers it: coldmailctl suppress check " : "",
			strchr(pattern, '@') ? pattern : "");
		return;
	}
	if (!c->dry_run)
		log_event(LOG_NOTICE, "suppress_remove", LOG_S("pattern", pattern),
			LOG_S("reason", ops_text(c, "reason")));
	cJSON *out = cJSON_CreateObject();
	ops_json_whole(out, "removed", (int64_t)r->u.suppress.n_new);
	cJSON_AddStringToObject(out, "pattern", pattern);
	ops_reply(c, out);
}

/* Whoever is named by address is meant, however the list knows it: links and `forget` write down the
 * person. */
static void suppress_remove(struct ops_call *c)
{
	if (str_is_empty(ops_text(c, "reason"))) {
		ops_fail(c, CM_EXIT_USAGE, "suppress/remove: a reason was expected");
		return;
	}
	const char *pattern, *person;
	struct store_req *r = request_about(c, STORE_SUPPRESS_REMOVE, on_remove, &pattern, &person);
	if (!r)
		return;
	struct store_suppression *v = mem_arena_get(&r->arena, 2 * sizeof *v);
	v[r->u.suppress.n++].pattern = pattern;
	if (person)
		v[r->u.suppress.n++].pattern =
			mem_arena_printf(&r->arena, LEAD_PERSON_PREFIX "%s", person);
	r->u.suppress.v = v;
	r->u.suppress.dry_run = c->dry_run;
	store_send(r);
}

/* ---- looking ----------------------------------------------------------------------------------- */

static cJSON *suppressions(const struct store_req *r)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; i < r->u.supp.n; i++)
		cJSON_AddItemToArray(list, ops_json_suppression(&r->u.supp.v[i]));
	return list;
}

/* S holds for all of OF, and not only for a part of that domain. */
static bool covers_all(const struct store_suppression *s, const char *of)
{
	return strchr(of, '@') || !str_starts(s->pattern, "*@");
}

static void on_check(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);
	bool is_covered = false;

	if (!c || ops_fail_err(c, r->err, r->why))
		return;
	for (size_t i = 0; i < r->u.supp.n; i++)
		is_covered = is_covered || covers_all(&r->u.supp.v[i], r->u.supp.of);
	cJSON *out = cJSON_CreateObject();
	cJSON_AddStringToObject(out, "pattern", r->u.supp.of);
	cJSON_AddBoolToObject(out, "suppressed", is_covered);
	cJSON_AddItemToObject(out, "by", suppressions(r));
	ops_reply(c, out);
}

static void suppress_check(struct ops_call *c)
{
	const char *of, *person;
	struct store_req *r = request_about(c, STORE_SUPPRESS_CHECK, on_check, &of, &person);

	if (!r)
		return;
	r->u.supp.of = of;
	r->u.supp.of_person = person;
	store_send(r);
}

static void on_list(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);

	if (!c || ops_fail_err(c, r->err, r->why))
		return;
	cJSON *out = cJSON_CreateObject();
	cJSON_AddItemToObject(out, "suppressions", suppressions(r));
	/* A pattern that is not text comes last and reads "": a page from there would be the first. */
	if (r->u.supp.n && r->u.supp.n == r->u.supp.max && *r->u.supp.v[r->u.supp.n - 1].pattern)
		cJSON_AddStringToObject(out, "next", r->u.supp.v[r->u.supp.n - 1].pattern);
	ops_reply(c, out);
}

static void suppress_list(struct ops_call *c)
{
	struct store_req *r = store_req_new(STORE_SUPPRESS_LIST, on_list, c->id, NULL);

	r->u.supp.after = mem_arena_dup(&r->arena, ops_text(c, "after"));
	r->u.supp.max = OPS_PAGE_MAX;
	store_send(r);
}

const struct ops_command ops_cmd_suppress[] = {
	{ "suppress/add", suppress_add, OPS_CHANGES,
		{ { "patterns", OPS_LIST, true }, { "reason", OPS_TEXT }, { "evidence", OPS_TEXT },
			{ "source", OPS_TEXT }, { "until", OPS_TEXT } } },
	{ "suppress/remove", suppress_remove, OPS_CHANGES,
		{ { "pattern", OPS_TEXT, true }, { "reason", OPS_TEXT, true } } },
	{ "suppress/check", suppress_check, 0, { { "pattern", OPS_TEXT, true } } },
	{ "suppress/list", suppress_list, 0, { { "after", OPS_TEXT } } },
	{ 0 },
};
