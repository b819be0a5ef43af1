/*
 * What the store and the other rooms hold, as JSON: one function for each thing that is shown.
 * Runs on: loop. Called by the command handlers.
 * Times are RFC 3339 in UTC; "never" and "not yet" are null. Names are promises (interfaces.md).
 */
#include "ops_private.h"

#include "coldmail/clock.h"
#include "coldmail/str.h"

void ops_json_time(cJSON *o, const char *key, int64_t wall_ms)
{
	char stamp[CLOCK_STAMP];

	if (wall_ms <= 0 || wall_ms == CLOCK_NEVER_MS)
		cJSON_AddNullToObject(o, key);
	else
		cJSON_AddStringToObject(o, key, clock_stamp(wall_ms, stamp));
}

void ops_json_coming(cJSON *o, const char *key, int64_t wall_ms)
{
	int64_t now = clock_wall_ms();

	ops_json_time(o, key, wall_ms < now ? now : wall_ms);
}

void ops_json_whole(cJSON *o, const char *key, int64_t n)
{
	cJSON_AddNumberToObject(o, key, (double)n);
}

static void add_text(cJSON *o, const char *key, const char *text)
{
	cJSON_AddStringToObject(o, key, text ? text : "");
}

void ops_json_voids(cJSON *o, const struct store_voids *v)
{
	cJSON *taken = cJSON_AddArrayToObject(o, "in_transmission");

	ops_json_whole(o, "stopped", (int64_t)v->voided);
	for (size_t i = 0; i < v->transmitting; i++)
		cJSON_AddItemToArray(taken, cJSON_CreateString(v->taken[i]));
}

static bool is_known_column(const char *name)
{
#define X(column)                                                                                  \
	if (str_eq(name, #column))                                                                 \
		return true;
	LEAD_COLUMNS(X)
#undef X
	return false;
}

static void add_vars(cJSON *o, const struct lead *l)
{
	cJSON *extra = cJSON_CreateObject();

	for (size_t i = 0; i < l->n_vars; i++)
		add_text(is_known_column(l->vars[i].name) ? o : extra, l->vars[i].name,
			l->vars[i].value);
	cJSON_AddItemToObject(o, "extra", extra);
}

cJSON *ops_json_lead(const struct lead *l)
{
	cJSON *o = cJSON_CreateObject();

	add_text(o, "id", l->id);
	add_text(o, "email", l->email);
	add_text(o, "campaign", l->campaign);
	add_text(o, "state", lead_state_name(l->state));
	add_text(o, "reason", lead_reason_name(l->reason));
	ops_json_time(o, "until", l->until_ms);
	add_text(o, "error_message", str_is_empty(l->error) ? NULL : l->error);
	add_text(o, "status", l->status);
	add_text(o, "stage", lead_stage_name(l->stage));
	add_text(o, "step", l->step);
	add_text(o, "last_step", l->last_step);
	ops_json_time(o, "due", l->due_ms);
	add_text(o, "mailbox", l->mailbox);
	add_text(o, "zone", l->zone);
	ops_json_whole(o, "n_sent", l->n_sent);
	ops_json_time(o, "last_sent_at", l->last_sent_ms);
	ops_json_time(o, "created_at", l->created_ms);
	add_vars(o, l);
	return o;
}

/* The keys of the send log line, and id. */
cJSON *ops_json_attempt(const struct store_attempt *a)
{
	cJSON *o = cJSON_CreateObject();
	char *id = xasprintf("%s#%d", a->key, a->n);
	char *delays = xasprintf("%.1f/%.1f/%.1f", a->delays[0], a->delays[1], a->delays[2]);

	add_text(o, "id", id);
	add_text(o, "lead", a->lead_id);
	add_text(o, "campaign", a->campaign);
	add_text(o, "step", a->step);
	ops_json_whole(o, "attempt", a->n);
	add_text(o, "mailbox", a->mailbox);
	add_text(o, "to", a->to);
	add_text(o, "outcome", store_attempt_name(a->state));
	add_text(o, "class", a->class);
	add_text(o, "reason", a->reason);
	ops_json_whole(o, "code", a->code);
	add_text(o, "reply", a->text);
	add_text(o, "queue_id", a->queue_id);
	add_text(o, "message_id", a->message_id);
	add_text(o, "server_message_id", a->server_message_id);
	add_text(o, "delays", delays);
	ops_json_time(o, "at", a->ended_ms ? a->ended_ms : a->reserved_ms);
	free(delays);
	free(id);
	return o;
}

cJSON *ops_json_email(const struct store_email *e)
{
	cJSON *o = cJSON_CreateObject();

	add_text(o, "key", e->key);
	add_text(o, "campaign", e->campaign);
	add_text(o, "step", e->step);
	add_text(o, "to", e->to);
	add_text(o, "mailbox", e->mailbox);
	add_text(o, "subject", e->subject);
	add_text(o, "body", e->body);
	add_text(o, "outcome", store_outcome_name(e->outcome));
	add_text(o, "message_id", e->message_id);
	ops_json_time(o, "created_at", e->created_ms);
	ops_json_time(o, "sent_at", e->sent_ms);
	add_text(o, "error", e->error);
	return o;
}

cJSON *ops_json_suppression(const struct store_suppression *s)
{
	cJSON *o = cJSON_CreateObject();

	add_text(o, "pattern", s->pattern);
	add_text(o, "reason", s->reason);
	add_text(o, "evidence", s->evidence);
	add_text(o, "source", s->source);
	ops_json_time(o, "at", s->at_ms);
	ops_json_time(o, "until", s->until_ms);
	return o;
}
