/*
 * coldmailctl campaigns, start, pause, resume, preview.
 * Runs on: any.
 */
#include "ctl_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "coldmail/err.h"

#define PREVIEWS 2

/* ---- campaigns ---------------------------------------------------------------------------------- */

static void add_number(struct ctl_table *t, int64_t n)
{
	char text[32];

	snprintf(text, sizeof text, "%" PRId64, n);
	ctl_table_add(t, text);
}

static void campaign_row(struct ctl_table *t, const cJSON *o, const char *now)
{
	const cJSON *leads = ctl_get(o, "leads");
	const char *name = ctl_text(o, "name");
	struct str next = STR_INIT;

	ctl_table_add(t, *name ? name : "(none)");
	ctl_table_add(t, ctl_text(o, "state"));
	add_number(t, ctl_whole(leads, "total"));
	add_number(t, ctl_whole(leads, "queued") + ctl_whole(leads, "in_flight"));
	add_number(t, ctl_whole(leads, "held"));
	add_number(t, ctl_whole(leads, "ended"));
	/* When it would be that of a campaign that may send. */
	ctl_add_when(&next, str_eq(ctl_text(o, "state"), "running") ? ctl_text(o, "next_mail") : "",
		now);
	ctl_table_add(t, str_z(&next));
	str_reset(&next);
	if (ctl_get(o, "per_day"))
		str_addf(&next, "about %" PRId64 ", bound by %s", ctl_whole(o, "per_day"),
			ctl_text(o, "bound_by"));
	ctl_table_add(t, str_z(&next));
	str_done(&next);
}

static int campaigns(const struct ctl *c)
{
	static const char *const headings[] = { "CAMPAIGN", "STATE", "LEADS", "WAITING", "HELD",
		"ENDED", "NEXT MAIL", "A DAY", NULL };
	cJSON *answer = NULL;
	const cJSON *o;
	struct ctl_table table;
	int status = ctl_ask(c, "campaigns", NULL, &answer);

	if (status)
		return status;
	if (c->json) {
		ctl_print_json(cJSON_DetachItemFromObjectCaseSensitive(answer, "campaigns"));
		cJSON_Delete(answer);
		return CM_EXIT_OK;
	}
	ctl_table_init(&table, headings);
	cJSON_ArrayForEach(o, ctl_get(answer, "campaigns"))
		campaign_row(&table, o, ctl_text(answer, "now"));
	if (table.n)
		ctl_table_print(&table);
	else
		puts("no campaigns: see coldmail.conf(5)");
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

/* ---- preview ------------------------------------------------------------------------------------ */

/* The mail as it would go; on a terminal no byte of it moves the cursor. */
static void print_bytes(const char *bytes)
{
	if (!isatty(STDOUT_FILENO)) {
		fputs(bytes, stdout);
		return;
	}
	for (const char *p = bytes; *p; p++)
		if (*p == '\n' || *p == '\t' || (unsigned char)*p >= ' ')
			putchar(*p);
}

static int ask_preview(const struct ctl *c, const char *campaign, const char *lead, cJSON **ret)
{
	cJSON *in = ctl_new("campaign", campaign);

	ctl_put(in, "lead", lead);
	ctl_put(in, "step", ctl_option(c, "step"));
	return ctl_ask(c, "preview", in, ret);
}

static int preview(const struct ctl *c)
{
	cJSON *answer = NULL;
	int status = ask_preview(c, c->args[0], ctl_option(c, "lead"), &answer);

	if (status)
		return status;
	if (c->json) {
		ctl_print_json(answer);
		return CM_EXIT_OK;
	}
	print_bytes(ctl_text(answer, "bytes"));
	fflush(stdout);
	fprintf(stderr,
		"-- step %s to %s. From and Date are provisional until the mail is reserved.\n",
		ctl_text(answer, "step"), ctl_text(answer, "address"));
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

/* ---- start -------------------------------------------------------------------------------------- */

/* The mails that the next leads would get. */
static int show_previews(const struct ctl *c, const char *campaign)
{
	cJSON *in = ctl_new("campaign", campaign), *answer = NULL;
	const cJSON *lead;

	ctl_put(in, "state", "queued");
	cJSON_AddNumberToObject(in, "max", PREVIEWS);
	int status = ctl_ask(c, "leads/list", in, &answer);
	cJSON_ArrayForEach(lead, ctl_get(answer, "leads"))
	{
		cJSON *mail = NULL;

		printf("\n---- to %s ----\n", ctl_text(lead, "email"));
		fflush(stdout);
		/* One that cannot be rendered will be held, and is no reason not to start. */
		if (!ask_preview(c, campaign, ctl_text(lead, "email"), &mail))
			print_bytes(ctl_text(mail, "bytes"));
		cJSON_Delete(mail);
	}
	cJSON_Delete(answer);
	putchar('\n');
	return status;
}

static int ask_start(const struct ctl *c, bool dry_run, cJSON **ret)
{
	cJSON *in = ctl_new("campaign", c->args[0]);

	cJSON_AddBoolToObject(in, "dry_run", dry_run);
	return ctl_ask(c, "start", in, ret);
}

/* What would go out, and the question; 0: yes. */
static int ask_operator(const struct ctl *c)
{
	int status = 0;

	if (!c->json && (!c->yes || c->dry_run)) {
		ctl_print_outlook(c, c->args[0]);
		status = show_previews(c, c->args[0]);
	}
	return status || c->dry_run ? status : ctl_confirm(c, "Start sending?");
}

static int start(const struct ctl *c)
{
	cJSON *answer = NULL;
	int status = ask_start(c, true, &answer);

	if (!status && !ctl_flag(answer, "already")) {
		status = ask_operator(c);
		if (!status && !c->dry_run) {
			cJSON_Delete(answer);
			answer = NULL;
			status = ask_start(c, false, &answer);
		}
	}
	if (!status && c->json)
		ctl_print_json(cJSON_Duplicate(answer, true));
	else if (!status && ctl_flag(answer, "already"))
		printf("%s has been started before.\n", c->args[0]);
	else if (!status)
		printf("%s %s.\n", c->args[0], c->dry_run ? "would be started" : "is started");
	if (!status && !c->json && ctl_maintenance_is_on())
		puts("coldmail is not running, and nothing goes out before it is: systemctl start "
		     "coldmail");
	cJSON_Delete(answer);
	return status;
}

/* ---- pause and resume --------------------------------------------------------------------------- */

static int set_paused(const struct ctl *c, const char *command, const char *done)
{
	cJSON *in = ctl_change(c), *answer = NULL;
	const bool is_one = str_eq(c->args[0], "all") || str_eq(c->args[0], "clock");

	if (c->n_args != (is_one ? 1 : 2)) {
		ctl_error("%s: all, clock, campaign NAME or mailbox ADDRESS was expected", command);
		cJSON_Delete(in);
		return CM_EXIT_USAGE;
	}
	ctl_put(in, "what", c->args[0]);
	if (!is_one)
		ctl_put(in, "name", c->args[1]);
	int status = ctl_ask(c, command, in, &answer);
	if (status)
		return status;
	if (c->json) {
		ctl_print_json(answer);
		return CM_EXIT_OK;
	}
	if (str_eq(c->args[0], "clock"))
		done = str_eq(command, "resume") ? "believed as it is"
						 : "not believed, and nothing sent";
	printf("%s%s%s %s %s.\n", c->args[0], is_one ? "" : " ", is_one ? "" : c->args[1],
		c->dry_run ? "would be" : "is", done);
	ctl_print_voids(answer);
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

static int pause_it(const struct ctl *c)
{
	return set_paused(c, "pause", "paused");
}

static int resume_it(const struct ctl *c)
{
	return set_paused(c, "resume", "running again");
}

#define WHAT "WHAT is all, clock, campaign NAME or mailbox ADDRESS."

const struct ctl_command ctl_commands_campaign[] = {
	{ "campaigns", "", 0, 0, "campaigns, their leads, and how many mails a day", campaigns, 0,
		{ { 0 } }, NULL },
	{ "start", "CAMPAIGN", 1, 1, "show what would go out, ask, and let it", start, CTL_MAILS,
		{ { 0 } }, NULL },
	{ "pause", "WHAT", 0, 2, "send nothing more (of it) until resumed", pause_it, 0, { { 0 } },
		WHAT " It is stored, survives a restart, and shows in why." },
	{ "resume", "WHAT", 0, 2, "end a pause", resume_it, CTL_MAILS, { { 0 } },
		WHAT " Of the clock: it is right, somebody has looked. Of a mailbox it also ends "
		     "what a server did to it: a backoff, a block, a "
		     "refused login, a lowered cap." },
	{ "preview", "CAMPAIGN", 1, 1, "the exact bytes that would be sent", preview, 0,
		{ { "lead", "ADDRESS", "to this lead (else the next one)" },
			{ "step", "NAME", "this step (else the lead's next)" } },
		NULL },
	{ 0 },
};
