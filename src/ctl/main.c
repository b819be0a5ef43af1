/*
 * coldmailctl: what an operator asks and presses. Talks to the daemon over its control socket;
 * knows its answers, not its rooms.
 * Runs on: any. Exit statuses: coldmailctl(1).
 */
#include "ctl_private.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>

#include "coldmail/err.h"

static int run(const struct ctl *c)
{
	if (c->version) {
		if (c->json)
			ctl_print_json(ctl_new("coldmailctl", CM_VERSION));
		else
			puts("coldmailctl " CM_VERSION);
		return CM_EXIT_OK;
	}
	if (c->help || !c->command) {
		ctl_help(c->command);
		return CM_EXIT_OK;
	}
	return c->command->run(c);
}

int main(int argc, char **argv)
{
	static struct ctl c;

	/* Characters and the names of days only: numbers are written for scripts. */
	setlocale(LC_CTYPE, "");
	setlocale(LC_TIME, "");
	signal(SIGPIPE, SIG_IGN);
	cJSON_InitHooks(&(cJSON_Hooks){ .malloc_fn = xmalloc, .free_fn = free });
	int status = ctl_parse(argc, argv, &c);
	if (!status)
		status = run(&c);
	ctl_errors_end(c.json, status);
	ctl_client_done();
	ctl_maintenance_stop();
	if (fflush(stdout) && !status)
		status = CM_EXIT_NO; /* nobody read the answer */
	return status;
}
