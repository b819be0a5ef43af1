/*
 * The control socket as a file: its directory, its mode and group, who is on the other side.
 * Runs on: loop. Called by control.c and owner.c.
 * A file left behind by a dead process is replaced; one that somebody answers on is not.
 */
#include "ops_private.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "coldmail/err.h"
#include "coldmail/str.h"

#define BACKLOG  64
#define GROUP    "coldmail"
#define NO_GROUP ((gid_t)-1)

static struct {
	gid_t group; /* NO_GROUP: there is none of that name */
	dev_t dev; /* of the file that we made */
	ino_t ino;
} sock = { .group = NO_GROUP };

static int make_one(const char *dir, uid_t uid, gid_t gid)
{
	if (mkdir(dir, 0755))
		return errno == EEXIST ? 0 : -1;
	/* mkdir() asked the umask, and a directory that clients cannot enter is of no use. */
	if (chmod(dir, 0755))
		return -1;
	return uid == (uid_t)-1 ? 0 : chown(dir, uid, gid);
}

int ops_socket_make_dir(const char *path, uid_t uid, gid_t gid)
{
	char *copy = xstrdup(path);
	int err = 0;

	for (char *p = strchr(copy + 1, '/'); p && !err; p = strchr(p + 1, '/')) {
		*p = '\0';
		err = make_one(copy, uid, gid);
		*p = '/';
	}
	free(copy);
	return err;
}

/* Somebody listens there. *RET_STALE: a socket file is there, and nobody behind it. */
static bool somebody_answers(const struct sockaddr_un *sa, bool *ret_stale)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* EAGAIN: alive, with a full backlog. */
	bool yes = fd >= 0 &&
		   (!connect(fd, (const struct sockaddr *)sa, sizeof *sa) || errno == EAGAIN);

	*ret_stale = !yes && errno == ECONNREFUSED;
	if (fd >= 0)
		close(fd);
	return yes;
}

static void remember(const char *path)
{
	const struct group *g = getgrnam(GROUP);
	struct stat st;

	sock.group = g ? g->gr_gid : NO_GROUP;
	if (!stat(path, &st)) {
		sock.dev = st.st_dev;
		sock.ino = st.st_ino;
	}
}

/* Bound, listening, and only then open to the group: nobody connects before. */
static int listen_at(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	mode_t mask = umask(0177);
	int err = bind(fd, (const struct sockaddr *)sa, sizeof *sa);
	umask(mask);
	if (err || listen(fd, BACKLOG)) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	remember(sa->sun_path);
	/* Not a member of that group: then its members cannot come in, and we still can. */
	if (sock.group != NO_GROUP && chown(sa->sun_path, (uid_t)-1, sock.group))
		sock.group = NO_GROUP;
	if (chmod(sa->sun_path, 0660)) {
		ops_socket_close(fd, sa->sun_path);
		return -1;
	}
	return fd;
}

int ops_socket_open(const char *path, int *ret_fd, char **ret_why)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	bool stale;

	if (strlen(path) >= sizeof sa.sun_path) {
		*ret_why = xasprintf("the path is longer than %zu bytes", sizeof sa.sun_path - 1);
		return CM_EIO;
	}
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (somebody_answers(&sa, &stale)) {
		*ret_why = xstrdup("another process answers on it");
		return CM_EBUSY;
	}
	if (stale)
		unlink(path);
	int fd = ops_socket_make_dir(path, (uid_t)-1, (gid_t)-1) ? -1 : listen_at(&sa);
	if (fd < 0) {
		*ret_why = xstrdup(strerror(errno));
		return CM_EIO;
	}
	*ret_fd = fd;
	return CM_OK;
}

void ops_socket_close(int fd, const char *path)
{
	struct stat st;

	if (!stat(path, &st) && st.st_dev == sock.dev && st.st_ino == sock.ino)
		unlink(path);
	close(fd);
}

/* ---- who is there ------------------------------------------------------------------------------ */

/* What the kernel noted when the peer connected: no lookup of users, which may block. */
static bool is_member(int fd, const struct ucred *peer)
{
	gid_t groups[256];
	socklen_t size = sizeof groups;

	if (sock.group == NO_GROUP)
		return false;
	if (peer->gid == sock.group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size))
		return false;
	for (size_t i = 0; i < size / sizeof *groups; i++)
		if (groups[i] == sock.group)
			return true;
	return false;
}

bool ops_socket_may(int peer_fd, uid_t *ret_uid)
{
	struct ucred peer;
	socklen_t size = sizeof peer;

	if (getsockopt(peer_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return false;
	*ret_uid = peer.uid;
	return peer.uid == 0 || peer.uid == geteuid() || is_member(peer_fd, &peer);
}
