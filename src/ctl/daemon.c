/*
 * coldmailctl status, why, reload, version: about the daemon itself.
 * Runs on: any.
 */
#include "ctl_private.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"

#define WATCH_MS  2000
#define BAR_WIDTH 20

/* ---- status ------------------------------------------------------------------------------------- */

static void print_times(const cJSON *s, const char *now)
{
	struct str last = STR_INIT, next = STR_INIT;

	ctl_add_when(&last, ctl_text(s, "last_sent_at"), now);
	ctl_add_when(&next, ctl_text(ctl_get(s, "scheduler"), "next_due"), now);
	printf("sent today %" PRId64 "   last %s   next %s\n", ctl_whole(s, "sent_today"),
		str_z(&last), str_z(&next));
	str_done(&last);
	str_done(&next);
}

static void print_unclean(const cJSON *s, const char *now)
{
	const cJSON *end = ctl_get(s, "unclean_end");
	struct str since = STR_INIT;

	if (!end)
		return;
	ctl_add_when(&since, ctl_text(end, "since"), now);
	printf("the run before this one, started %s, was killed or crashed: its log says more\n",
		str_z(&since));
	str_done(&since);
}

static void print_campaign(const cJSON *o, const char *now)
{
	const cJSON *leads = ctl_get(o, "leads");
	const char *name = ctl_text(o, "name");
	struct str line = STR_INIT;

	ctl_add_bar(&line, ctl_whole(leads, "ended"), ctl_whole(leads, "total"), BAR_WIDTH);
	str_addf(&line, " %" PRId64 " of %" PRId64 " finished", ctl_whole(leads, "ended"),
		ctl_whole(leads, "total"));
	if (ctl_whole(leads, "held"))
		str_addf(&line, ", %" PRId64 " held", ctl_whole(leads, "held"));
	if (ctl_whole(o, "due_now"))
		str_addf(&line, ", %" PRId64 " due", ctl_whole(o, "due_now"));
	if (str_eq(ctl_text(o, "state"), "running") && cJSON_IsString(ctl_get(o, "next_mail"))) {
		str_adds(&line, ", next ");
		ctl_add_time(&line, ctl_text(o, "next_mail"), now);
	}
	printf("  %-24s %-12s %s\n", *name ? name : "(no campaign)", ctl_text(o, "state"),
		str_z(&line));
	str_done(&line);
}

static void print_mailbox(const cJSON *o, const char *now)
{
	struct str line = STR_INIT;

	ctl_add_bar(&line, ctl_whole(o, "sent_24h"), ctl_whole(o, "cap"), BAR_WIDTH);
	str_addf(&line, " %" PRId64 " of %" PRId64 " in 24 h", ctl_whole(o, "sent_24h"),
		ctl_whole(o, "cap"));
	if (cJSON_IsString(ctl_get(o, "until"))) {
		str_adds(&line, ", opens ");
		ctl_add_when(&line, ctl_text(o, "until"), now);
	}
	if (*ctl_text(o, "why")) {
		str_adds(&line, ": ");
		ctl_add_safe(&line, ctl_text(o, "why"));
	}
	printf("  %-24s %-12s %s\n", ctl_text(o, "address"), ctl_text(o, "state"), str_z(&line));
	str_done(&line);
}

static void print_each(const cJSON *list, const char *title, const char *now,
	void (*print)(const cJSON *o, const char *now))
{
	const cJSON *o;

	if (cJSON_GetArraySize(list))
		printf("\n%s\n", title);
	cJSON_ArrayForEach(o, list) print(o, now);
}

static void print_status(const cJSON *s)
{
	const char *now = ctl_text(s, "now");
	char uptime[32];
	struct str held = STR_INIT;
	const cJSON *reason;

	str_duration(ctl_whole(s, "uptime_s") * CLOCK_SECOND_MS, uptime);
	printf("coldmail %s   %s   up %s   store %s\n", ctl_text(s, "version"),
		ctl_text(s, "status"), uptime, ctl_flag(ctl_get(s, "store"), "ok") ? "ok" : "DOWN");
	print_times(s, now);
	print_unclean(s, now);
	if (ctl_whole(s, "log_dropped"))
		printf("log lines that nobody read in time, and that are lost: %" PRId64 "\n",
			ctl_whole(s, "log_dropped"));
	cJSON_ArrayForEach(reason, ctl_get(s, "reasons"))
	{
		struct str line = STR_INIT;

		ctl_add_safe(&line, cJSON_GetStringValue(reason));
		printf("! %s\n", str_z(&line));
		str_done(&line);
	}
	print_each(ctl_get(s, "campaigns"), "campaigns", now, print_campaign);
	print_each(ctl_get(s, "mailboxes"), "mailboxes", now, print_mailbox);
	ctl_add_counts(&held, ctl_get(s, "held"));
	if (held.len)
		printf("\nheld: %s\n", str_z(&held));
	str_done(&held);
}

static int show_status(const struct ctl *c)
{
	cJSON *s = NULL;
	int status = ctl_ask(c, "status", NULL, &s);

	if (status)
		return status;
	bool unhealthy = str_eq(ctl_text(s, "status"), "unhealthy");
	if (c->json) {
		ctl_print_json(s);
	} else {
		print_status(s);
		cJSON_Delete(s);
	}
	return unhealthy ? CM_EXIT_NO : CM_EXIT_OK;
}

static int status_(const struct ctl *c)
{
	int status;

	if (!ctl_option(c, "watch"))
		return show_status(c);
	if (c->json) {
		ctl_error("status: --watch goes on for ever and --json is one object: one of them "
			  "was expected");
		return CM_EXIT_USAGE;
	}
	do {
		if (isatty(STDOUT_FILENO))
			fputs("\033[H\033[J", stdout);
		status = show_status(c);
		fflush(stdout);
		poll(NULL, 0, WATCH_MS);
	} while ((status == CM_EXIT_OK || status == CM_EXIT_NO) && !ferror(stdout));
	return status;
}

/* ---- why ---------------------------------------------------------------------------------------- */

static int why_not_running(const struct ctl *c)
{
	if (!c->json) {
		puts("daemon not running. To start it: systemctl start coldmail");
		return CM_EXIT_OK;
	}
	cJSON *list = cJSON_CreateArray(), *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "subject", "daemon");
	cJSON_AddStringToObject(o, "reason", "not_running");
	cJSON_AddStringToObject(o, "value", "daemon not running");
	cJSON_AddStringToObject(o, "limit", "");
	cJSON_AddNullToObject(o, "until");
	cJSON_AddBoolToObject(o, "binds", true);
	cJSON_AddItemToArray(list, o);
	ctl_print_json(list);
	return CM_EXIT_OK;
}

static void print_reasons(const cJSON *answer)
{
	static const char *const headings[] = { "", "SUBJECT", "REASON", "VALUE", "LIMIT", "OPENS",
		NULL };
	const cJSON *o, *list = ctl_get(answer, "reasons");
	struct ctl_table table;

	ctl_table_init(&table, headings);
	cJSON_ArrayForEach(o, list)
	{
		struct str when = STR_INIT;

		ctl_add_when(&when, ctl_text(o, "until"), ctl_text(answer, "now"));
		ctl_table_add(&table, ctl_flag(o, "binds") ? ">" : "");
		ctl_table_add(&table, ctl_text(o, "subject"));
		ctl_table_add(&table, ctl_text(o, "reason"));
		ctl_table_add(&table, ctl_text(o, "value"));
		ctl_table_add(&table, ctl_text(o, "limit"));
		ctl_table_add(&table,
			cJSON_IsString(ctl_get(o, "until")) ? str_z(&when) : "needs an operator");
		str_done(&when);
	}
	if (table.n)
		ctl_table_print(&table);
	else
		printf("%s\n", *ctl_text(answer, "summary") ? ctl_text(answer, "summary")
							    : "nothing is in the way");
}

static int why(const struct ctl *c)
{
	cJSON *answer = NULL;
	int status = ctl_find_socket(c);

	if (status)
		return status;
	if (!ctl_is_running(c))
		return why_not_running(c);
	status = ctl_ask(c, "why", ctl_new("subject", c->n_args ? c->args[0] : NULL), &answer);
	if (status)
		return status;
	if (c->json)
		ctl_print_json(cJSON_DetachItemFromObjectCaseSensitive(answer, "reasons"));
	else
		print_reasons(answer);
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

/* ---- reload and version ------------------------------------------------------------------------- */

static void print_lines(const cJSON *list, const char *before)
{
	const cJSON *line;

	cJSON_ArrayForEach(line, list) printf("%s%s\n", before, line->valuestring);
}

/* What may be a slip of the pen is asked first, where somebody can answer. */
static int ask_first(const struct ctl *c)
{
	cJSON *answer = NULL, *in = cJSON_CreateObject();
	int status = 0;

	if (c->yes || c->dry_run || c->json || !isatty(STDIN_FILENO)) {
		cJSON_Delete(in);
		return 0;
	}
	cJSON_AddBoolToObject(in, "dry_run", true);
	status = ctl_ask(c, "reload", in, &answer);
	if (!status && cJSON_GetArraySize(ctl_get(answer, "questions"))) {
		print_lines(ctl_get(answer, "questions"), "");
		status = ctl_confirm(c, "Shall the configuration change?");
	}
	cJSON_Delete(answer);
	return status;
}

static int reload(const struct ctl *c)
{
	cJSON *answer = NULL;
	int status = ask_first(c);

	if (!status)
		status = ctl_ask(c, "reload", ctl_change(c), &answer);
	if (status)
		return status;
	if (c->json) {
		ctl_print_json(answer);
		return CM_EXIT_OK;
	}
	print_lines(ctl_get(answer, "warnings"), "warning: ");
	print_lines(ctl_get(answer, "questions"), "? ");
	print_lines(ctl_get(answer, "changes"), "");
	if (!cJSON_GetArraySize(ctl_get(answer, "changes")))
		puts("nothing changed");
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

static int version(const struct ctl *c)
{
	cJSON *answer = NULL;
	int status = ctl_ask(c, "version", NULL, &answer);

	if (status)
		return status;
	cJSON_AddStringToObject(answer, "coldmailctl", CM_VERSION);
	if (c->json) {
		ctl_print_json(answer);
		return CM_EXIT_OK;
	}
	const cJSON *store = ctl_get(answer, "store");
	printf("coldmailctl %s\ncoldmail %s\nstore %s, schema %" PRId64 "\n", CM_VERSION,
		ctl_text(answer, "version"), ctl_text(store, "path"), ctl_whole(store, "schema"));
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

const struct ctl_command ctl_commands_daemon[] = {
	{ "status", "", 0, 0, "how it goes, on one screen (exit 1: unhealthy)", status_,
		CTL_RUNNING, { { "watch", NULL, "again and again, until interrupted" } }, NULL },
	{ "why", "[CAMPAIGN|MAILBOX|ADDRESS]", 0, 1, "why nothing (or this) is not going out", why,
		CTL_RUNNING, { { 0 } },
		"Every closed gate with its value, its limit and when it opens; > marks the one\n"
		"that binds." },
	{ "reload", "", 0, 0, "read the configuration again (exit 78: it has errors)", reload,
		CTL_RUNNING, { { 0 } }, NULL },
	{ "version", "", 0, 0, "of coldmailctl, the daemon and its store", version, 0, { { 0 } },
		NULL },
	{ 0 },
};
