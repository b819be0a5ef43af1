/*
 * coldmailctl backup, restore, takeover.
 * Runs on: any.
 */
#include "ctl_private.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "coldmail/err.h"

/* ---- backup ------------------------------------------------------------------------------------- */

/* The daemon has a directory of its own, so it is told the whole path. The caller owns it. */
static char *absolute(const char *path)
{
	char here[PATH_MAX];

	if (*path == '/')
		return xstrdup(path);
	return getcwd(here, sizeof here) ? xasprintf("%s/%s", here, path) : NULL;
}

/* Asks COMMAND about the file that the command line names. */
static int ask_path(const struct ctl *c, const char *command, cJSON **ret)
{
	char *path = absolute(c->args[0]);

	if (!path) {
		ctl_error("%s: %s", c->args[0], strerror(errno));
		return CM_EXIT_USAGE;
	}
	cJSON *in = ctl_change(c);
	ctl_put(in, "path", path);
	free(path);
	return ctl_ask(c, command, in, ret);
}

static int backup(const struct ctl *c)
{
	cJSON *answer = NULL;
	int status = ask_path(c, "backup", &answer);

	if (status)
		return status;
	if (c->json) {
		ctl_print_json(answer);
		return CM_EXIT_OK;
	}
	if (c->dry_run)
		printf("%s would be written.\n", ctl_text(answer, "path"));
	else
		printf("%s: %" PRId64 " bytes. It holds keys and addresses: keep it as safe as the "
		       "store.\n",
			ctl_text(answer, "path"), ctl_whole(answer, "bytes"));
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

/* ---- restore ------------------------------------------------------------------------------------ */

/* What people said since the backup was made. */
static void print_carried(const cJSON *answer)
{
	int64_t suppressions = ctl_whole(answer, "suppressions"),
		leads = ctl_whole(answer, "leads"), forgotten = ctl_whole(answer, "forgotten");
	const char *missing = ctl_text(answer, "not_carried");

	printf("Carried over from it: %" PRId64 " suppression%s, %" PRId64
	       " lead%s stopped or held, %" PRId64 " person%s forgotten.\n",
		suppressions, str_plural(suppressions), leads, str_plural(leads), forgotten,
		str_plural(forgotten));
	if (*missing)
		printf("That is not all: %s.\n"
		       "Whoever opted out since the backup would be written to again. Bring a list "
		       "of\n"
		       "before: coldmailctl suppress import FILE (suppress export writes one).\n",
			missing);
}

static int restore(const struct ctl *c)
{
	cJSON *answer = NULL;
	int status = c->dry_run ? CM_EXIT_OK
				: ctl_confirm(c, "Shall the backup take the store's place?");

	if (!status)
		status = ask_path(c, "restore", &answer);
	if (status)
		return status;
	if (c->json) {
		ctl_print_json(answer);
		return CM_EXIT_OK;
	}
	if (c->dry_run)
		puts("It is a sound backup of this store.");
	else {
		printf("The backup is in place; the store that was there is %s now.\n",
			ctl_text(answer, "kept"));
		print_carried(answer);
		puts("It sends nothing before: coldmailctl takeover");
	}
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

/* ---- takeover ----------------------------------------------------------------------------------- */

static int ask_takeover(const struct ctl *c, bool dry_run, cJSON **ret)
{
	cJSON *in = cJSON_CreateObject();

	cJSON_AddBoolToObject(in, "moved", ctl_option(c, "moved") != NULL);
	cJSON_AddBoolToObject(in, "dry_run", dry_run);
	return ctl_ask(c, "takeover", in, ret);
}

static const char *plural(int64_t n)
{
	return n == 1 ? "" : "s";
}

static void print_doubt(const struct ctl *c, FILE *out, const cJSON *answer)
{
	int64_t steps = ctl_whole(answer, "steps"), leads = ctl_whole(answer, "leads");
	const char *since = ctl_text(answer, "since");
	struct str when = STR_INIT;

	ctl_add_time(&when, since, "");
	fprintf(out, "This store is taken for a copy: %s.\n", ctl_text(answer, "restored"));
	if (steps)
		fprintf(out,
			"%" PRId64 " step%s of %" PRId64
			" lead%s may have been mailed elsewhere since %s.\n",
			steps, plural(steps), leads, plural(leads),
			*since ? str_z(&when) : "the copy was made");
	else
		fputs("No step is in doubt.\n", out);
	/* What happened to the other copy after this one was made, its ledger alone knows. */
	if (!ctl_option(c, "moved"))
		fputs("Leads imported, released or resumed since then are not known here: import "
		      "or release "
		      "them\nagain only when you know that they were not mailed.\n",
			out);
	str_done(&when);
}

static int show_doubt(const struct ctl *c)
{
	cJSON *answer = NULL;
	int status = ask_takeover(c, true, &answer);

	if (status)
		return status;
	if (c->json && c->dry_run) {
		ctl_print_json(answer);
		return CM_EXIT_OK;
	}
	print_doubt(c, c->json ? stderr : stdout, answer); /* before a question */
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

static void print_takeover(const struct ctl *c, const cJSON *answer)
{
	int64_t steps = ctl_whole(answer, "steps");

	if (c->yes)
		print_doubt(c, stdout, answer);
	puts("This store sends from here on.");
	if (steps)
		printf("%" PRId64 " step%s uncertain; to settle them: coldmailctl sends --outcome "
		       "uncertain,\nthen resolve ID --sent or --not-sent for each.\n",
			steps, steps == 1 ? " is" : "s are");
}

static int takeover(const struct ctl *c)
{
	cJSON *answer = NULL;
	int status = c->yes && !c->dry_run ? CM_EXIT_OK : show_doubt(c);

	if (status || c->dry_run)
		return status;
	status = ctl_confirm(c, "Does nobody else send from it, and shall this one?");
	if (!status)
		status = ask_takeover(c, false, &answer);
	if (status)
		return status;
	if (c->json) {
		ctl_print_json(answer);
		return CM_EXIT_OK;
	}
	print_takeover(c, answer);
	cJSON_Delete(answer);
	return CM_EXIT_OK;
}

const struct ctl_command ctl_commands_store[] = {
	{ "backup", "FILE", 1, 1, "a consistent copy of the store, written by the daemon", backup,
		0, { { 0 } }, NULL },
	{ "restore", "FILE", 1, 1, "a backup takes the store's place; coldmail must not run",
		restore, 0, { { 0 } },
		"The backup is verified first, and the store that was there is kept under another "
		"name.\n"
		"The restored one sends nothing before coldmailctl takeover." },
	{ "takeover", "", 0, 0, "this store was restored, copied or moved: it sends from here on",
		takeover, 0,
		{ { "moved", NULL, "it was only moved: nothing was mailed elsewhere since" } },
		"Each step that may have been mailed elsewhere becomes uncertain, and is settled "
		"by\n"
		"resolve. What people did elsewhere is not known here: leads that were imported "
		"or\n"
		"released there and not here may be written to again." },
	{ 0 },
};
