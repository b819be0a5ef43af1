/*
 * coldmailctl mailboxes.
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

const struct ctl_command ctl_commands_mailbox[] = {
	{ "mailboxes", "", 0, 0, "who sends, how much of the day is left, and what is in the way",
		mailboxes, CTL_RUNNING, { { 0 } }, NULL },
	{ 0 },
};
