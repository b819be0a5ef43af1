/*
 * What several commands do: make requests, read a file, ask a question, say what follows.
 * Runs on: any. Called by the commands.
 */
#include "ctl_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "coldmail/err.h"

#define FILE_MAX ((size_t)1 << 30)

cJSON *ctl_new(const char *key, const char *text)
{
	cJSON *o = cJSON_CreateObject();

	ctl_put(o, key, text);
	return o;
}

void ctl_put(cJSON *o, const char *key, const char *text)
{
	if (text)
		cJSON_AddStringToObject(o, key, text);
}

cJSON *ctl_change(const struct ctl *c)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddBoolToObject(o, "dry_run", c->dry_run);
	return o;
}

void ctl_print_voids(const cJSON *answer)
{
	const cJSON *taken = ctl_get(answer, "in_transmission"), *id;
	int64_t stopped = ctl_whole(answer, "stopped");
	int n = cJSON_GetArraySize(taken);

	if (stopped)
		printf("%" PRId64 " mail%s on the way %s stopped.\n", stopped, str_plural(stopped),
			stopped == 1 ? "was" : "were");
	if (!n)
		return;
	printf("%d mail%s already in transmission and may still arrive:", n,
		n == 1 ? " was" : "s were");
	cJSON_ArrayForEach(id, taken) printf(" %s", id->valuestring);
	putchar('\n');
}

static void print_campaign(const cJSON *o, const char *now, bool is_start)
{
	const char *name = ctl_text(o, "name"), *state = ctl_text(o, "state");
	int64_t waiting = ctl_whole(ctl_get(o, "leads"), "queued"), a_day = ctl_whole(o, "per_day");
	struct str next = STR_INIT, finish = STR_INIT;

	ctl_add_when(&next, ctl_text(o, "next_mail"), now);
	ctl_add_when(&finish, ctl_text(o, "finish"), now);
	printf("%s: %" PRId64 " lead%s wait%s; about %" PRId64 " mail%s a day, bound by %s", name,
		waiting, str_plural(waiting), waiting == 1 ? "s" : "", a_day, str_plural(a_day),
		ctl_text(o, "bound_by"));
	if (waiting && cJSON_IsString(ctl_get(o, "finish")))
		printf("; the last mail about %s", str_z(&finish));
	printf(".\n");
	if (str_eq(state, "not_started") && !is_start)
		printf("It has not been started, and sends nothing before: coldmailctl start %s\n",
			name);
	else if (str_eq(state, "paused"))
		printf("It is paused: coldmailctl resume campaign %s\n", name);
	else if (waiting && !is_start && cJSON_IsString(ctl_get(o, "next_mail")))
		printf("Next mail: %s.\n", str_z(&next));
	else if (waiting && !is_start)
		printf("No mail can go out: coldmailctl why %s\n", name);
	str_done(&next);
	str_done(&finish);
}

/* Leads of no campaign. */
static void print_homeless(const cJSON *o)
{
	int64_t n = ctl_whole(ctl_get(o, "held"), "no_campaign");

	if (n)
		printf("%" PRId64 " lead%s no campaign and will not be written to: coldmailctl "
		       "leads import FILE "
		       "--campaign NAME\n",
			n, n == 1 ? " has" : "s have");
}

void ctl_print_outlook(const struct ctl *c, const char *campaign)
{
	cJSON *answer = NULL;
	const cJSON *o;

	if (ctl_ask(c, "campaigns", NULL, &answer))
		return; /* it has been said why */
	cJSON_ArrayForEach(o, ctl_get(answer, "campaigns"))
	{
		const char *state = ctl_text(o, "state");
		int64_t waiting = ctl_whole(ctl_get(o, "leads"), "queued");

		if (str_eq(state, "none") && !campaign)
			print_homeless(o);
		if (str_eq(state, "gone") || str_eq(state, "none"))
			continue;
		if (campaign ? str_eq(ctl_text(o, "name"), campaign) : waiting > 0)
			print_campaign(
				o, ctl_text(answer, "now"), str_eq(c->command->words, "start"));
	}
	cJSON_Delete(answer);
}

int ctl_confirm(const struct ctl *c, const char *question)
{
	char line[16];

	if (c->yes)
		return 0;
	if (!isatty(STDIN_FILENO)) {
		fflush(stdout);
		ctl_error("%s There is no terminal to answer on: --yes was expected", question);
		return CM_EXIT_USAGE;
	}
	/* With --json standard output is for the answer alone. */
	fprintf(c->json ? stderr : stdout, "%s [y/N] ", question);
	fflush(stdout);
	if (fgets(line, sizeof line, stdin) && (*line == 'y' || *line == 'Y'))
		return 0;
	if (c->json)
		ctl_error("nothing was done");
	else
		puts("Nothing was done.");
	return CM_EXIT_NO;
}

int ctl_read_file(const char *file, struct str *ret)
{
	FILE *in = str_eq(file, "-") ? stdin : fopen(file, "re");
	char buf[65536];
	size_t n;

	if (!in) {
		ctl_error("%s: %s", file, strerror(errno));
		return CM_EXIT_USAGE;
	}
	while (ret->len < FILE_MAX && (n = fread(buf, 1, sizeof buf, in)) > 0)
		str_add(ret, buf, n);
	int err = ferror(in) ? errno : ret->len >= FILE_MAX ? EFBIG : 0;
	if (in != stdin)
		fclose(in);
	if (err == EFBIG)
		ctl_error("%s: more than %zu MB, expected less: split it into several files", file,
			FILE_MAX >> 20);
	else if (err)
		ctl_error("%s: %s", file, strerror(err));
	return err ? CM_EXIT_USAGE : 0;
}
