/*
 * coldmailctl sends, resolve, audit.
 * Runs on: any.
 */
#include "ctl_private.h"

#include <inttypes.h>
#include <stdio.h>

#include "coldmail/err.h"

#define LAST_DEFAULT 20

/* ---- sends -------------------------------------------------------------------------------------- */

static int for_each_send(
	const struct ctl *c, int64_t left, void (*each)(const cJSON *send, void *arg), void *arg)
{
	cJSON *answer = NULL;
	int status = 0;

	do {
		cJSON *in = cJSON_CreateObject();
		const cJSON *send;

		ctl_put(in, "campaign", ctl_option(c, "campaign"));
		ctl_put(in, "mailbox", ctl_option(c, "mailbox"));
		ctl_put(in, "outcome", ctl_option(c, "outcome"));
		cJSON_AddNumberToObject(in, "max", (double)left);
		if (answer) {
			cJSON_AddNumberToObject(
				in, "before", (double)ctl_whole(answer, "next_before"));
			ctl_put(in, "before_id", ctl_text(answer, "next_before_id"));
		}
		cJSON_Delete(answer);
		answer = NULL;
		status = ctl_ask(c, "sends", in, &answer);
		cJSON_ArrayForEach(send, ctl_get(answer, "sends"))
		{
			each(send, arg);
			left--;
		}
	} while (!status && left > 0 && ctl_get(answer, "next_before_id"));
	cJSON_Delete(answer);
	return status;
}

static void send_json(const cJSON *send, void *arg)
{
	(void)arg;
	ctl_array_add(send);
}

static void send_row(const cJSON *send, void *arg)
{
	struct ctl_table *t = arg;
	struct str text = STR_INIT;

	ctl_add_time(&text, ctl_text(send, "at"), "");
	ctl_table_add(t, str_z(&text));
	ctl_table_add(t, ctl_text(send, "to"));
	ctl_table_add(t, ctl_text(send, "campaign"));
	ctl_table_add(t, ctl_text(send, "step"));
	ctl_table_add(t, ctl_text(send, "mailbox"));
	ctl_table_add(t, ctl_text(send, "outcome"));
	str_reset(&text);
	ctl_add_reply(&text, send);
	ctl_table_add(t, str_z(&text));
	str_done(&text);
}

/* An uncertain one is listed with what settles it: its id, and what to look for where. */
static void uncertain_row(const cJSON *send, void *arg)
{
	struct ctl_table *t = arg;
	struct str text = STR_INIT;

	ctl_table_add(t, ctl_text(send, "id"));
	ctl_add_time(&text, ctl_text(send, "at"), "");
	ctl_table_add(t, str_z(&text));
	ctl_table_add(t, ctl_text(send, "to"));
	ctl_table_add(t, ctl_text(send, "message_id"));
	ctl_table_add(t, ctl_text(send, "mailbox"));
	str_done(&text);
}

static int sends(const struct ctl *c)
{
	static const char *const headings[] = { "AT", "TO", "CAMPAIGN", "STEP", "MAILBOX",
		"OUTCOME", "REPLY, OR WHY NONE", NULL };
	static const char *const uncertain_headings[] = { "ID", "AT", "TO", "MESSAGE-ID",
		"LOOK FOR IT IN SENT OF", NULL };
	const char *outcome = ctl_option(c, "outcome");
	const bool uncertain = outcome && str_eq(outcome, "uncertain");
	const bool is_narrowed = outcome || ctl_option(c, "campaign") || ctl_option(c, "mailbox");
	struct ctl_table table;
	int64_t last;
	int status;

	if (!ctl_option_whole(c, "last", uncertain ? INT32_MAX : LAST_DEFAULT, &last))
		return CM_EXIT_USAGE;
	if (c->json) {
		ctl_array_begin();
		status = for_each_send(c, last, send_json, NULL);
		ctl_array_end(status);
		return status;
	}
	ctl_table_init(&table, uncertain ? uncertain_headings : headings);
	status = for_each_send(c, last, uncertain ? uncertain_row : send_row, &table);
	if (status)
		return status;
	if (!table.n) {
		puts(uncertain        ? "nothing is uncertain"
			: is_narrowed ? "no such attempt"
				      : "nothing was sent");
		return CM_EXIT_OK;
	}
	ctl_table_print(&table);
	if (uncertain)
		puts("To settle one: coldmailctl resolve ID --sent, or --not-sent");
	return CM_EXIT_OK;
}

/* ---- resolve ------------------------------------------------------------------------------------ */

static int resolve(const struct ctl *c)
{
	const bool sent = ctl_option(c, "sent") != NULL;
	cJSON *in, *answer = NULL;

	if (sent == (ctl_option(c, "not-sent") != NULL)) {
		ctl_error("resolve: one of --sent and --not-sent was expected");
		return CM_EXIT_USAGE;
	}
	in = ctl_change(c);
	ctl_put(in, "id", c->args[0]);
	cJSON_AddBoolToObject(in, "sent", sent);
	int status = ctl_ask(c, "resolve", in, &answer);
	if (status)
		return status;
	if (c->json) {
		ctl_print_json(answer);
		return CM_EXIT_OK;
	}
	printf("%s to %s %s %s.\n", ctl_text(answer, "id"), ctl_text(answer, "to"),
		c->dry_run ? "would be" : "is", sent ? "sent" : "not sent");
	if (!sent)
		puts("The step is due again, if it has not expired.");
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

/* ---- audit -------------------------------------------------------------------------------------- */

static void print_audit(const cJSON *answer)
{
	const cJSON *checked = ctl_get(answer, "checked"), *findings = ctl_get(answer, "findings");
	const cJSON *f;

	cJSON_ArrayForEach(f, findings)
	{
		struct str line = STR_INIT;

		ctl_add_safe(&line, f->valuestring);
		puts(str_z(&line));
		str_done(&line);
	}
	int64_t leads = ctl_whole(checked, "leads"), mails = ctl_whole(checked, "emails"),
		attempts = ctl_whole(checked, "attempts");
	int n = cJSON_GetArraySize(findings);
	printf("checked %" PRId64 " lead%s, %" PRId64 " mail%s, %" PRId64 " attempt%s: ", leads,
		str_plural(leads), mails, str_plural(mails), attempts, str_plural(attempts));
	if (!n)
		puts("they agree");
	else
		printf("%d difference%s, %" PRId64 " repaired\n", n, str_plural(n),
			ctl_whole(answer, "fixed"));
}

static int ask_audit(const struct ctl *c, bool fix, cJSON **ret)
{
	cJSON *in = ctl_change(c);

	cJSON_AddBoolToObject(in, "fix", fix);
	return ctl_ask(c, "audit", in, ret);
}

/* Repairing one thing may put another right: only a second look tells what remains. */
static int ask_what_remains(const struct ctl *c, bool *ret_remain)
{
	cJSON *again = NULL;
	int status = ask_audit(c, false, &again);

	*ret_remain = cJSON_GetArraySize(ctl_get(again, "findings")) > 0;
	cJSON_Delete(again);
	return status;
}

static int audit(const struct ctl *c)
{
	cJSON *answer = NULL;
	int status = ask_audit(c, ctl_option(c, "fix") != NULL, &answer);

	if (status)
		return status;
	bool remain = cJSON_GetArraySize(ctl_get(answer, "findings")) > 0;
	if (ctl_whole(answer, "fixed"))
		status = ask_what_remains(c, &remain);
	if (c->json) {
		ctl_print_json(answer);
	} else {
		print_audit(answer);
		cJSON_Delete(answer);
	}
	return status ? status : remain ? CM_EXIT_NO : CM_EXIT_OK;
}

const struct ctl_command ctl_commands_ledger[] = {
	{ "sends", "", 0, 0, "the ledger, newest first", sends, 0,
		{ { "last", "N", "so many (20)" }, { "campaign", "NAME", "only this campaign's" },
			{ "mailbox", "ADDRESS", "only by this mailbox" },
			{ "outcome", "OUTCOME",
				"only sent, uncertain, refused, released, not_sent or reserved "
				"ones" } },
		NULL },
	{ "resolve", "ID", 1, 1,
		"settle an uncertain send; ID as sends --outcome uncertain shows it", resolve, 0,
		{ { "sent", NULL, "it was sent: its Message-ID is in the Sent folder" },
			{ "not-sent", NULL, "it was not: the step is due again" } },
		"coldmailctl sends --outcome uncertain lists what is to be settled, each with the\n"
		"Message-ID to look for." },
	{ "audit", "", 0, 0, "verify the ledger and what is derived from it", audit, 0,
		{ { "fix", NULL, "repair what is derived" } },
		"Exit status 1 when differences remain." },
	{ 0 },
};
