/*
 * Becoming the owner of the store: root started us, but what we create belongs to the user whose
 * directory it is created in, or the service could not open it at its next start.
 * Runs on: loop, at start-up. Called by main before anything is created.
 */
#include "ops_private.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coldmail/err.h"

/* The caller owns it. */
static char *store_dir(const struct conf *c)
{
	char *dir = xstrdup(c->store_path);
	char *slash = strrchr(dir, '/');

	if (slash)
		slash[slash == dir] = '\0';
	return dir;
}

char *ops_store_trouble(const struct conf *c)
{
	struct stat st;
	char *dir = store_dir(c), *why = NULL;

	if (stat(dir, &st))
		why = xasprintf("the directory %s: %s", dir, strerror(errno));
	else if (!stat(c->store_path, &st) && !S_ISREG(st.st_mode))
		why = xasprintf("%s is not a file", c->store_path);
	else if (access(c->store_path, F_OK) ? access(dir, W_OK | X_OK)
					     : access(c->store_path, R_OK | W_OK))
		why = xasprintf("%s cannot be read and written by user %u: %s", c->store_path,
			(unsigned)geteuid(), strerror(errno));
	free(dir);
	return why;
}

/* The directory of the store, if it is somebody else's. */
static bool foreign_owner(const struct conf *c, struct stat *ret)
{
	char *dir = store_dir(c);
	bool yes = !stat(dir, ret) && ret->st_uid != 0;

	free(dir);
	return yes;
}

static int become(uid_t uid, gid_t gid)
{
	const struct passwd *pw = getpwuid(uid);
	int death = 0;

	if (pw)
		gid = pw->pw_gid;
	/* The kernel forgets the signal that tells us of our parent's end when we change user. */
	prctl(PR_GET_PDEATHSIG, &death);
	if (pw ? initgroups(pw->pw_name, gid) : setgroups(0, NULL))
		return -1;
	if (setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return -1;
	return prctl(PR_SET_PDEATHSIG, death);
}

int ops_become_owner(const struct conf *c, char **ret_why)
{
	struct stat st;

	if (geteuid() != 0 || !foreign_owner(c, &st))
		return CM_OK;
	if (ops_socket_make_dir(c->control_socket, st.st_uid, st.st_gid) ||
		become(st.st_uid, st.st_gid)) {
		*ret_why = xasprintf("cannot become user %u, who owns the directory of %s: %s",
			(unsigned)st.st_uid, c->store_path, strerror(errno));
		return CM_EPERM;
	}
	return CM_OK;
}
