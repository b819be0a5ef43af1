/*
 * coldmailctl forget: shows what would be erased of a person, asks, and has it erased.
 * Runs on: any.
 */
#include "ctl_private.h"

#include <inttypes.h>
#include <stdio.h>

#include "coldmail/err.h"

static void add_count(
	struct str *out, const cJSON *answer, const char *key, const char *one, const char *many)
{
	int64_t n = ctl_whole(answer, key);

	str_addf(out, "%s%" PRId64 " %s", out->len ? ", " : "", n, n == 1 ? one : many);
}

/* "1 lead, 2 mails, …" */
static char *counts(const cJSON *answer)
{
	struct str out = STR_INIT;

	add_count(&out, answer, "leads", "lead", "leads");
	add_count(&out, answer, "emails", "mail", "mails");
	add_count(&out, answer, "attempts", "try", "tries");
	add_count(&out, answer, "suppressions", "suppression", "suppressions");
	return str_take(&out);
}

static int ask(const struct ctl *c, bool dry_run, cJSON **ret)
{
	cJSON *in = ctl_new("address", c->args[0]);

	cJSON_AddBoolToObject(in, "dry_run", dry_run);
	cJSON_AddBoolToObject(in, "vacuum", ctl_option(c, "vacuum") != NULL);
	return ctl_ask(c, "forget", in, ret);
}

/* What there is, and whether that may go: 0, or the exit status. */
static int confirm(const struct ctl *c)
{
	cJSON *answer = NULL;
	int status = c->yes || c->dry_run ? 0 : ask(c, true, &answer);

	if (status || !answer)
		return status;
	char *what = counts(answer);
	char *question =
		xasprintf("Erase all that is known of %s, for good (%s)?", c->args[0], what);
	status = ctl_confirm(c, question);
	free(question);
	free(what);
	cJSON_Delete(answer);
	return status;
}

static int forget(const struct ctl *c)
{
	cJSON *answer = NULL;
	int status = confirm(c);

	if (!status)
		status = ask(c, c->dry_run, &answer);
	if (status)
		return status;
	if (c->json) {
		ctl_print_json(answer);
		return CM_EXIT_OK;
	}
	char *what = counts(answer);
	printf("%s: %s%s.\n", c->args[0], c->dry_run ? "would be erased: " : "erased: ", what);
	if (!c->dry_run)
		puts("Only a keyed hash of the address stays, and stays suppressed.");
	if (!c->dry_run && !ctl_flag(answer, "scrubbed"))
		printf("Traces may still be in the store's files (%s). To have none: the same "
		       "command again, for a large store with --vacuum.\n",
			ctl_text(answer, "why"));
	free(what);
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

const struct ctl_command ctl_commands_forget[] = {
	{ "forget", "ADDRESS", 1, 1, "erase all that is known of a person, for good", forget, 0,
		{ { "vacuum", NULL,
			"rewrite the store, however large; nothing is sent meanwhile" } },
		"Addresses, names, words of mails and what servers said are erased; that something "
		"was\n"
		"sent, when, and what came of it stays, under a keyed hash, which stays "
		"suppressed.\n"
		"Logs and backups are not touched." },
	{ 0 },
};
