/*
 * coldmailctl mailboxes, test-send.
 * Runs on: any.
 */
#include "ctl_private.h"

#include <inttypes.h>
#include <stdio.h>

#include "coldmail/err.h"

static void mailbox_row(struct ctl_table *t, const cJSON *o, const char *now)
{
	struct str text = STR_INIT;

	ctl_table_add(t, ctl_text(o, "address"));
	ctl_table_add(t, ctl_text(o, "state"));
	str_addf(&text, "%" PRId64 " of %" PRId64, ctl_whole(o, "sent_24h"), ctl_whole(o, "cap"));
	ctl_table_add(t, str_z(&text));
	str_reset(&text);
	ctl_add_when(&text, ctl_text(o, "last_sent_at"), now);
	ctl_table_add(t, str_z(&text));
	str_reset(&text);
	ctl_add_when(&text, ctl_text(o, "until"), now);
	ctl_table_add(t, str_z(&text));
	str_reset(&text);
	str_adds(&text, ctl_text(o, "why"));
	if (*ctl_text(o, "cap_why"))
		str_addf(&text, "%s%" PRId64 " a day: %s", text.len ? "; " : "",
			ctl_whole(o, "cap"), ctl_text(o, "cap_why"));
	ctl_table_add(t, str_z(&text));
	str_done(&text);
}

static int mailboxes(const struct ctl *c)
{
	static const char *const headings[] = { "MAILBOX", "STATE", "IN 24 H", "LAST MAIL", "OPENS",
		"WHY", NULL };
	cJSON *answer = NULL;
	const cJSON *o;
	struct ctl_table table;
	int status = ctl_ask(c, "mailboxes", NULL, &answer);

	if (status)
		return status;
	if (c->json) {
		ctl_print_json(cJSON_DetachItemFromObjectCaseSensitive(answer, "mailboxes"));
		cJSON_Delete(answer);
		return CM_EXIT_OK;
	}
	ctl_table_init(&table, headings);
	cJSON_ArrayForEach(o, ctl_get(answer, "mailboxes"))
		mailbox_row(&table, o, ctl_text(answer, "now"));
	if (table.n)
		ctl_table_print(&table);
	else
		puts("no mailboxes: see coldmail.conf(5)");
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

/* ---- test-send ---------------------------------------------------------------------------------- */

static void print_test(const cJSON *t)
{
	const char *outcome = ctl_text(t, "outcome");
	struct str text = STR_INIT;

	str_addf(&text, "%s -> %s, ", ctl_text(t, "mailbox"), ctl_text(t, "to"));
	ctl_add_safe(&text, ctl_text(t, "subject"));
	str_addf(&text, "\n%s", *outcome ? outcome : "would be sent");
	if (*ctl_text(t, "reply") || ctl_whole(t, "code")) {
		str_adds(&text, ": ");
		if (ctl_whole(t, "code"))
			str_addf(&text, "%" PRId64 " ", ctl_whole(t, "code"));
		ctl_add_safe(&text, ctl_text(t, "reply"));
	}
	puts(str_z(&text));
	str_done(&text);
}

static int test_send(const struct ctl *c)
{
	cJSON *in = ctl_change(c), *answer = NULL;

	if (!ctl_option(c, "to")) {
		ctl_error("test-send: --to ADDRESS was expected: whom the test goes to");
		cJSON_Delete(in);
		return CM_EXIT_USAGE;
	}
	ctl_put(in, "campaign", c->args[0]);
	ctl_put(in, "to", ctl_option(c, "to"));
	int status = ctl_ask(c, "test-send", in, &answer);
	if (status)
		return status;
	bool ok = c->dry_run || str_eq(ctl_text(answer, "outcome"), "sent");
	if (c->json) {
		ctl_print_json(answer);
	} else {
		print_test(answer);
		cJSON_Delete(answer);
	}
	return ok ? CM_EXIT_OK : CM_EXIT_NO;
}

const struct ctl_command ctl_commands_mailbox[] = {
	{ "mailboxes", "", 0, 0, "who sends, how much of the day is left, and what is in the way",
		mailboxes, CTL_RUNNING, { { 0 } }, NULL },
	{ "test-send", "CAMPAIGN", 1, 1, "one real mail to yourself, marked as a test", test_send,
		CTL_RUNNING | CTL_MAILS, { { "to", "ADDRESS", "whom it goes to" } },
		"It is the campaign's first step with the values of its next lead. It is in no "
		"campaign's figures, but uses up the day and the gap of the mailbox it leaves "
		"from." },
	{ 0 },
};
