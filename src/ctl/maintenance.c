/*
 * A daemon for the length of one command: while none runs, the store is opened by
 * `coldmail --maintenance`, which schedules nothing, and is ended when the command is done.
 * Runs on: any. Called by client.c.
 * The store's lock keeps two of them apart: the second waits for its turn, within bounds.
 */
#include "ctl_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"

#define POLL_MS      20
#define WAIT_MS      (20 * CLOCK_SECOND_MS) /* for a store to open */
#define WAIT_BUSY_MS CLOCK_SECOND_MS /* for whoever has the store to answer, or let go */
#define WAIT_END_MS  (20 * CLOCK_SECOND_MS)

static struct {
	pid_t pid; /* 0: none */
	int err_fd; /* its standard error, to be shown if it fails */
} daemon_ = { .err_fd = -1 };

/* DIR/../NAME of our own program's path; the caller owns it. */
static char *beside(const char *own, const char *name)
{
	const char *slash = strrchr(own, '/');

	return xasprintf("%.*s/%s", (int)(slash ? slash - own : 0), own, name);
}

/* The daemon's program: beside ours, in the sbin next to our bin, else wherever PATH has it. */
static char *find_program(void)
{
	static const char *const places[] = { "coldmail", "../sbin/coldmail" };
	char own[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);

	own[n > 0 ? n : 0] = '\0';
	for (size_t i = 0; n > 0 && i < sizeof places / sizeof *places; i++) {
		char *path = beside(own, places[i]);

		if (!access(path, X_OK))
			return path;
		free(path);
	}
	return xstrdup("coldmail");
}

static _Noreturn void become_daemon(const char *program, const char *config, int err_fd)
{
	/* Our end is its end, however we end; and ^C is for us to act on. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	setpgid(0, 0);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(err_fd, STDERR_FILENO);
	execlp(program, "coldmail", "--maintenance", "-c", config, (char *)NULL);
	dprintf(STDERR_FILENO, "coldmail: %s: %s\n", program, strerror(errno));
	_exit(CM_EXIT_UNAVAILABLE);
}

static bool spawn(const char *config)
{
	char *program = find_program();

	daemon_.err_fd = memfd_create("coldmail-stderr", MFD_CLOEXEC);
	fflush(NULL);
	daemon_.pid = fork();
	if (!daemon_.pid)
		become_daemon(program, config, daemon_.err_fd);
	free(program);
	if (daemon_.pid > 0)
		return true;
	ctl_error("fork: %s", strerror(errno));
	daemon_.pid = 0;
	return false;
}

/* What the daemon said before it failed; then it is forgotten. */
static void forget(bool show)
{
	char buf[4096];
	off_t at = 0;
	struct str said = STR_INIT;

	for (ssize_t n; show && (n = pread(daemon_.err_fd, buf, sizeof buf, at)) > 0; at += n)
		str_add(&said, buf, (size_t)n);
	char *text = str_take(&said);
	if (*text)
		ctl_error_lines(str_trim(text));
	free(text);
	close(daemon_.err_fd);
	daemon_.err_fd = -1;
	daemon_.pid = 0;
}

/* It ended within the time: *RET_STATUS is how. */
static bool wait_end(int64_t wait_ms, int *ret_status)
{
	for (; wait_ms > 0; wait_ms -= POLL_MS) {
		if (waitpid(daemon_.pid, ret_status, WNOHANG) == daemon_.pid)
			return true;
		poll(NULL, 0, POLL_MS);
	}
	return false;
}

bool ctl_maintenance_is_on(void)
{
	return daemon_.pid;
}

void ctl_maintenance_stop(void)
{
	int status;

	if (!daemon_.pid)
		return;
	kill(daemon_.pid, SIGTERM);
	if (!wait_end(WAIT_END_MS, &status))
		ctl_error("the daemon for maintenance (process %d) does not end", (int)daemon_.pid);
	forget(false);
}

static int exit_of(int status)
{
	switch (WIFEXITED(status) ? WEXITSTATUS(status) : 0) {
	case CM_EXIT_CONFIG:
		return CM_EXIT_CONFIG;
	case CM_EXIT_TEMPFAIL:
		return CM_EXIT_NO; /* there is a store, and somebody else has it */
	default:
		return CM_EXIT_UNAVAILABLE;
	}
}

int ctl_maintenance_start(const struct ctl *c, bool (*ready)(const struct ctl *c))
{
	int64_t left = WAIT_MS, left_busy = WAIT_BUSY_MS;
	int status = 0;

	while (left > 0) {
		if (!daemon_.pid && !spawn(c->config))
			return CM_EXIT_UNAVAILABLE;
		if (ready(c))
			return 0;
		left -= POLL_MS;
		if (!wait_end(POLL_MS, &status))
			continue;
		/* Another command has the store, or a daemon is about to be there: it may be
		 * over, or answer, in a moment. Whoever has no socket will not. */
		bool busy = WIFEXITED(status) && WEXITSTATUS(status) == CM_EXIT_TEMPFAIL;
		if (!ctl_is_running(c))
			left_busy -= 11 * POLL_MS;
		if (!busy || left_busy <= 0 || left <= POLL_MS) {
			forget(true);
			return exit_of(status);
		}
		forget(false);
		poll(NULL, 0, 10 * POLL_MS);
		left -= 10 * POLL_MS;
		if (ready(c))
			return 0;
	}
	ctl_maintenance_stop();
	ctl_error("the store did not open within %d s", (int)(WAIT_MS / CLOCK_SECOND_MS));
	return CM_EXIT_UNAVAILABLE;
}
