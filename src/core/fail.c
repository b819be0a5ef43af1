/*
 * Fail-points (coldmail/fail.h). Empty but in test builds.
 * Runs on: any. Called at every arrow of the ledger, on both sides.
 */
#include "coldmail/fail.h"

#ifdef CM_FAILPOINTS
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coldmail/str.h"

static struct {
	char name[64];
	int64_t countdown;
} fp;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void load(void)
{
	const char *env = getenv("COLDMAIL_FAILPOINT");

	if (!env)
		return;
	const char *colon = strrchr(env, ':');
	size_t n = colon ? (size_t)(colon - env) : strlen(env);

	snprintf(fp.name, sizeof fp.name, "%.*s", (int)n, env);
	fp.countdown = 1;
	if (colon)
		str_to_i64(colon + 1, &fp.countdown);
}

void fail_point(const char *name)
{
	pthread_once(&once, load);
	if (!fp.name[0])
		return;
	if (!strcmp(fp.name, "list")) {
		fprintf(stderr, "failpoint %s\n", name);
		return;
	}
	if (strcmp(fp.name, name))
		return;
	pthread_mutex_lock(&lock);
	if (--fp.countdown == 0)
		kill(getpid(), SIGKILL);
	pthread_mutex_unlock(&lock);
}
#endif
