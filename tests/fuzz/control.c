/* Fuzz: a request to the control socket of any bytes becomes a call or a refusal that says why; the
 * rows of an import become what the store takes, or one line about what is wrong. The input is a path,
 * a line end, a body. */
#include "ops/ops_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct conf_step step = { .name = "intro" };
static struct conf_campaign campaign = {
	.name = "founders", .recontact_ms = CLOCK_DAY_MS, .steps = &step, .n_steps = 1
};
static const struct conf conf = {
	.file = "coldmail.conf", .campaigns = &campaign, .n_campaigns = 1
};

static void check_refusal(unsigned status, char *body)
{
	cJSON *o = cJSON_Parse(body);

	bug_if(status != 400 && status != 404, "status %u", status);
	bug_if(!cJSON_IsString(cJSON_GetObjectItem(o, "error")), "no reason: %s", body);
	bug_if(!cJSON_IsNumber(cJSON_GetObjectItem(o, "exit")), "no exit status: %s", body);
	cJSON_Delete(o);
	free(body);
}

static void check_row(const struct store_import_row *row)
{
	char *again = NULL;
	const char *why;

	bug_if(lead_address_canonical(row->email, &again, &why), "%s: %s", row->email, why);
	bug_if(!str_eq(again, row->email), "not canonical: %s", row->email);
	bug_if(*row->campaign && !str_eq(row->campaign, "founders"), "%s", row->campaign);
	bug_if(*row->campaign && !str_eq(row->first_step, "intro"), "%s", row->first_step);
	for (size_t i = 0; i < row->n_vars; i++)
		bug_if(!*row->vars[i].name || str_eq(row->vars[i].name, "email"),
			"name of a field");
	free(again);
}

static void import(const struct ops_call *c)
{
	struct mem_arena arena = { 0 };
	const cJSON *row;

	cJSON_ArrayForEach(row, ops_list(c, "rows"))
	{
		struct store_import_row out;
		const char *why = NULL;

		if (ops_import_row(&arena, &conf, ops_text(c, "campaign"), row, 0, &out, &why))
			check_row(&out);
		else
			bug_if(str_is_empty(why), "refused without a reason");
	}
	mem_arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *end = n ? memchr(data, '\n', n) : NULL;
	size_t n_path = end ? (size_t)(end - data) : n, n_body = end ? n - n_path - 1 : 0;
	char *path = xstrndup((const char *)data, n_path),
	     *body = xmemdup(end ? end + 1 : data, n_body);
	unsigned status = 0;
	char *refusal = NULL;
	struct ops_call *c = ops_call_new(path, body, n_body, &status, &refusal);

	if (!c)
		check_refusal(status, refusal);
	else if (str_eq(c->command->name, "leads/import"))
		import(c);
	ops_call_free(c);
	free(path);
	free(body);
	return 0;
}
