/*
 * What a mail says of its sender beside its own words: name, opt-out line, organisation, address, link.
 * The configuration has them; the first reservation keeps them, so that a later try has the same bytes
 * whatever a reload changed meanwhile.
 * Runs on: loop. Called by send.c. Pure.
 */
#include "flow_private.h"

#include <cjson/cJSON.h>

#include "coldmail/mem.h"
#include "coldmail/str.h"

/* name in the store, member */
#define IDENTITY(X)                                                                                \
	X(from_name)                                                                               \
	X(opt_out_line) X(organisation) X(postal_address) X(unsubscribe_url)

struct flow_identity flow_identity_now(const struct flow_item *it, const char *mailbox)
{
	const struct conf_mailbox *m = conf_find_mailbox(it->plan->conf, mailbox);
	const struct conf_identity *id = &it->campaign->identity;

	return (struct flow_identity){
		.from_name = m ? m->name : "",
		.opt_out_line = id->opt_out_line,
		.organisation = id->organisation,
		.postal_address = id->postal_address,
		.unsubscribe_url = id->unsubscribe_url,
	};
}

const char *flow_identity_text(struct mem_arena *a, const struct flow_identity *id)
{
	cJSON *object = cJSON_CreateObject();
	char *text;
	const char *copy;

#define X(member) cJSON_AddStringToObject(object, #member, id->member);
	IDENTITY(X)
#undef X
	text = cJSON_PrintUnformatted(object);
	copy = mem_arena_dup(a, text);
	cJSON_free(text);
	cJSON_Delete(object);
	return copy;
}

static const char *member(struct mem_arena *a, const cJSON *object, const char *name)
{
	return mem_arena_dup(
		a, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name)));
}

bool flow_identity_parse(struct mem_arena *a, const char *text, struct flow_identity *ret)
{
	cJSON *object = cJSON_Parse(text);

#define X(name) ret->name = member(a, object, #name);
	IDENTITY(X)
#undef X
	cJSON_Delete(object);
	/* clang-format off */
	return true
#define X(name) && ret->name
	IDENTITY(X)
#undef X
	;
	/* clang-format on */
}
