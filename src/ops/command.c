/*
 * Commands: one table of what may be asked over the control socket, the check of a request against
 * its row, and the life of a call from there to its answer. Handlers see arguments of the right type.
 * Runs on: loop. Called by control.c with bytes of unknown origin, by handlers with answers.
 * Never touches a socket, and never decides what a command means.
 */
#include "ops_private.h"

#include <math.h>
#include <stdarg.h>

#include "coldmail/err.h"
#include "coldmail/str.h"

#define PATH_PREFIX "/v1/"

static const struct ops_command *const tables[] = {
	ops_cmd_daemon,
	ops_cmd_leads,
	ops_cmd_import,
	ops_cmd_campaign,
	ops_cmd_ledger,
	ops_cmd_suppress,
	ops_cmd_mailbox,
	ops_cmd_store,
	ops_cmd_forget,
};

static struct {
	struct ops_call *head; /* owned: calls under way */
	uint64_t last_id;
	bool maintenance;
} calls;

/* ---- answers ---------------------------------------------------------------------------------- */

static unsigned http_status(int exit)
{
	switch (exit) {
	case CM_EXIT_USAGE:
		return 400;
	case CM_EXIT_CONFIG:
		return 422;
	case CM_EXIT_UNAVAILABLE:
		return 503;
	default:
		return 409;
	}
}

char *ops_error_body(int exit, const char *text)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "error", text);
	cJSON_AddNumberToObject(o, "exit", exit);
	char *body = cJSON_PrintUnformatted(o);
	cJSON_Delete(o);
	return body;
}

static void answer(struct ops_call *c, unsigned status, char *body)
{
	ops_answered *answered = c->answered;
	uint64_t asker = c->asker;

	ops_call_free(c);
	answered(asker, status, body);
}

void ops_reply(struct ops_call *c, cJSON *out)
{
	char *body = cJSON_PrintUnformatted(out);

	cJSON_Delete(out);
	answer(c, 200, body);
}

void ops_fail(struct ops_call *c, int exit, const char *fmt, ...)
{
	struct str text = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&text, fmt, ap);
	va_end(ap);
	char *body = ops_error_body(exit, str_z(&text));
	str_done(&text);
	answer(c, http_status(exit), body);
}

/* The error is the subject's: it is named, or nobody knows of which of many commands that was. */
static void fail_about_subject(struct ops_call *c, int exit, const char *why)
{
	const char *subject = ops_call_subject(c);
	char *shown = str_printable(subject, strlen(subject), 80);

	ops_fail(c, exit, "%s%s%s", shown, *shown ? ": " : "", why);
	free(shown);
}

bool ops_fail_err(struct ops_call *c, int err, const char *why)
{
	if (!err)
		return false;
	if (err == CM_ESTORE || err == CM_EFULL || err == CM_EIO || err == CM_ETIMEDOUT)
		ops_fail(c, CM_EXIT_UNAVAILABLE, "the store does not answer: %s",
			why ? why : cm_strerror(err));
	else
		fail_about_subject(c, err == CM_EINVAL ? CM_EXIT_USAGE : CM_EXIT_NO,
			why ? why : cm_strerror(err));
	return true;
}

/* ---- the life of a call ------------------------------------------------------------------------ */

struct ops_call *ops_call_find(uint64_t id)
{
	struct ops_call *c = calls.head;

	while (c && c->id != id)
		c = c->next;
	return c;
}

void *ops_call_arg(const struct ops_call *c)
{
	return (void *)(uintptr_t)c->id;
}

struct ops_call *ops_call_of(void *arg)
{
	return ops_call_find((uintptr_t)arg);
}

void ops_call_free(struct ops_call *c)
{
	if (!c)
		return;
	for (struct ops_call **p = &calls.head; *p; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			break;
		}
	}
	cJSON_Delete(c->in);
	cJSON_Delete(c->out);
	free(c);
}

void ops_call_drop_all(void)
{
	while (calls.head)
		ops_call_free(calls.head);
}

void ops_call_set_maintenance(bool on)
{
	calls.maintenance = on;
}

void ops_call_run(struct ops_call *c, ops_answered *answered, uint64_t asker)
{
	struct store_stats store = store_stats();

	c->answered = answered;
	c->asker = asker;
	if ((c->command->flags & OPS_RUNNING) && calls.maintenance)
		ops_fail(c, CM_EXIT_UNAVAILABLE, "coldmail is not running: only the store is open");
	else if ((c->command->flags & OPS_STOPPED) && !calls.maintenance)
		ops_fail(c, CM_EXIT_NO,
			"coldmail is running: stop it first (systemctl stop coldmail)");
	else if (!store.open && !(c->command->flags & OPS_BARE))
		ops_fail(c, CM_EXIT_UNAVAILABLE, "the store is not open: %s",
			str_is_empty(store.why) ? "it is being opened; try again" : store.why);
	else
		c->command->run(c);
}

/* ---- from bytes to a call ---------------------------------------------------------------------- */

static const struct ops_command *command_find(const char *name)
{
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		for (const struct ops_command *cmd = tables[i]; cmd->name; cmd++)
			if (str_eq(cmd->name, name))
				return cmd;
	return NULL;
}

static void list_commands(struct str *out)
{
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		for (const struct ops_command *cmd = tables[i]; cmd->name; cmd++)
			str_addf(out, "%s%s", out->len ? " " : "", cmd->name);
}

static const struct ops_field *field_find(const struct ops_command *cmd, const char *name)
{
	static const struct ops_field dry_run = { "dry_run", OPS_FLAG, false };
	const size_t max = sizeof cmd->fields / sizeof *cmd->fields;

	if ((cmd->flags & OPS_CHANGES) && str_eq(name, dry_run.name))
		return &dry_run;
	for (size_t i = 0; i < max && cmd->fields[i].name; i++)
		if (str_eq(cmd->fields[i].name, name))
			return &cmd->fields[i];
	return NULL;
}

static const char *type_expected(enum ops_type type)
{
	switch (type) {
	case OPS_TEXT:
		return "text of at most 4096 bytes was expected";
	case OPS_WHOLE:
		return "a whole number, not negative, was expected";
	case OPS_FLAG:
		return "true or false was expected";
	case OPS_LIST:
		return "a list was expected";
	}
	return "";
}

static bool type_fits(const cJSON *v, enum ops_type type)
{
	switch (type) {
	case OPS_TEXT:
		return cJSON_IsString(v) && strlen(v->valuestring) <= OPS_TEXT_MAX;
	case OPS_WHOLE: /* exact in a double */
		return cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble <= 1e15 &&
		       floor(v->valuedouble) >= v->valuedouble;
	case OPS_FLAG:
		return cJSON_IsBool(v);
	case OPS_LIST:
		return cJSON_IsArray(v);
	}
	return false;
}

/* What is wrong with IN as the arguments of CMD, appended to WHY. */
static void check_fields(const struct ops_command *cmd, const cJSON *in, struct str *why)
{
	const size_t max = sizeof cmd->fields / sizeof *cmd->fields;
	const cJSON *v;

	cJSON_ArrayForEach(v, in)
	{
		const struct ops_field *f = field_find(cmd, v->string);

		if (!f) {
			char *shown = str_printable(v->string, strlen(v->string), 60);

			str_addf(why, "%s: unknown field \"%s\"", cmd->name, shown);
			free(shown);
			return;
		}
		if (!cJSON_IsNull(v) && !type_fits(v, f->type)) {
			str_addf(why, "%s: field %s: %s", cmd->name, f->name,
				type_expected(f->type));
			return;
		}
	}
	for (size_t i = 0; i < max && cmd->fields[i].name && !why->len; i++) {
		v = cJSON_GetObjectItemCaseSensitive(in, cmd->fields[i].name);
		if (cmd->fields[i].needed && (!v || cJSON_IsNull(v)))
			str_addf(why, "%s: field %s is missing: %s", cmd->name, cmd->fields[i].name,
				type_expected(cmd->fields[i].type));
	}
}

/* BODY as an object; an empty one asks without arguments. NULL with WHY. */
static cJSON *parse_body(const char *body, size_t n, struct str *why)
{
	const char *end = NULL;

	if (!n)
		return cJSON_CreateObject();
	if (!str_is_utf8(body, n)) {
		str_adds(why, "the request is not UTF-8 text");
		return NULL;
	}
	cJSON *in = cJSON_ParseWithLengthOpts(body, n, &end, false);
	while (in && end < body + n && *end && strchr(" \t\r\n", *end))
		end++;
	if (in && cJSON_IsObject(in) && end == body + n)
		return in;
	cJSON_Delete(in);
	str_addf(why, "the request is not one JSON object (byte %zu)",
		end ? (size_t)(end - body) : (size_t)0);
	return NULL;
}

static cJSON *parse_request(const char *path, const char *body, size_t n,
	const struct ops_command **ret, struct str *why)
{
	const char *name = str_starts(path, PATH_PREFIX) ? path + strlen(PATH_PREFIX) : "";

	*ret = command_find(name);
	if (!*ret) {
		struct str list = STR_INIT;

		list_commands(&list);
		str_addf(
			why, "no such command; there are, below %s: %s", PATH_PREFIX, str_z(&list));
		str_done(&list);
		return NULL;
	}
	cJSON *in = parse_body(body, n, why);
	if (in)
		check_fields(*ret, in, why);
	if (why->len) {
		cJSON_Delete(in);
		return NULL;
	}
	return in;
}

struct ops_call *ops_call_new(
	const char *path, const char *body, size_t n, unsigned *ret_status, char **ret_body)
{
	const struct ops_command *cmd = NULL;
	struct str why = STR_INIT;
	cJSON *in = parse_request(path, body, n, &cmd, &why);

	if (!in) {
		*ret_status = cmd ? 400 : 404;
		*ret_body = ops_error_body(CM_EXIT_USAGE, str_z(&why));
		str_done(&why);
		return NULL;
	}
	struct ops_call *c = xcalloc(1, sizeof *c);
	*c = (struct ops_call){
		.id = ++calls.last_id, .command = cmd, .in = in, .next = calls.head
	};
	c->dry_run = ops_flag(c, "dry_run");
	calls.head = c;
	return c;
}

/* ---- arguments --------------------------------------------------------------------------------- */

static const cJSON *argument(const struct ops_call *c, const char *name)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(c->in, name);

	return cJSON_IsNull(v) ? NULL : v;
}

const char *ops_text(const struct ops_call *c, const char *name)
{
	const cJSON *v = argument(c, name);

	return v ? v->valuestring : NULL;
}

bool ops_flag(const struct ops_call *c, const char *name)
{
	return cJSON_IsTrue(argument(c, name));
}

int64_t ops_whole(const struct ops_call *c, const char *name, int64_t fallback)
{
	const cJSON *v = argument(c, name);

	return v ? (int64_t)v->valuedouble : fallback;
}

const cJSON *ops_list(const struct ops_call *c, const char *name)
{
	return argument(c, name);
}

const char *ops_call_subject(const struct ops_call *c)
{
	const size_t max = sizeof c->command->fields / sizeof *c->command->fields;
	const char *subject = NULL;

	/* Of a pause, "campaign" or "mailbox" is only the kind. */
	if (field_find(c->command, "name"))
		subject = ops_text(c, "name");
	for (size_t i = 0; i < max && c->command->fields[i].name && !subject; i++)
		if (c->command->fields[i].type == OPS_TEXT)
			subject = ops_text(c, c->command->fields[i].name);
	return subject ? subject : "";
}
