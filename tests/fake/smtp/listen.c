/*
 * The listening socket of fake-smtp. It stays on loopback unless told otherwise: a server that
 * accepts everything has no business on a network.
 * Runs on: the one thread of fake-smtp. Called by main.c at its start; accepts for conn.c.
 */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BACKLOG = 4096,
	ACCEPT_BURST = 64, /* then the connections at hand have their turn */
};

static void on_accept(struct ev_loop *loop, struct ev_io *w, int events)
{
	(void)events;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		/* cppcheck's model of accept4 does not know that NULL asks for no address. */
		/* cppcheck-suppress nullPointer */
		int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			conn_accept(w->data, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE) {
			fputs("fake-smtp: out of descriptors, waiting for a connection to end\n",
				stderr);
			ev_io_stop(loop, w);
		}
		return;
	}
}

static bool is_loopback(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)a;

		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

/* ADDR:PORT or [ADDR]:PORT into numbers, with no question to any name server. */
static bool parse_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	const char *colon = strrchr(text, ':');
	size_t skip = *text == '[', n = colon ? (size_t)(colon - text) : 0;
	char host[64];
	uint64_t port;

	if (n < 1 || n >= sizeof(host) || !fake_number(colon + 1, UINT16_MAX, &port))
		return false;
	if (skip && (n < 3 || text[n - 1] != ']'))
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)(n - 2 * skip), text + skip);
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
		return false;
	memcpy(ret, found->ai_addr, found->ai_addrlen);
	*ret_len = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

static int open_socket(const struct sockaddr_storage *a, socklen_t len)
{
	int fd = socket(a->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, saved;

	if (fd < 0)
		return -1;
	/* A test that starts the server again wants the port back at once. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		bind(fd, (const struct sockaddr *)(const void *)a, len) == 0 &&
		listen(fd, BACKLOG) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static bool tell_name(int fd, struct buf *ret_name, int *ret_port)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);
	char host[64], port[8];

	if (getsockname(fd, (struct sockaddr *)(void *)&a, &len) != 0 ||
		getnameinfo((struct sockaddr *)(void *)&a, len, host, sizeof(host), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return false;
	buf_addf(ret_name, a.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	*ret_port = ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&a)->sin6_port
						  : ((struct sockaddr_in *)(void *)&a)->sin_port);
	return true;
}

enum listen_result listen_start(struct server *srv, const char *address, bool allow_remote,
	struct buf *ret_name, int *ret_port, struct buf *err)
{
	struct sockaddr_storage a;
	socklen_t len;
	int fd;

	if (!parse_address(address, &a, &len)) {
		buf_addf(err, "--listen %s: expected a numeric ADDR:PORT, as 127.0.0.1:2525",
			address);
		return LISTEN_BAD_ADDRESS;
	}
	if (!allow_remote && !is_loopback(&a)) {
		buf_addf(err, "--listen %s: not a loopback address; --allow-remote permits it",
			address);
		return LISTEN_BAD_ADDRESS;
	}
	fd = open_socket(&a, len);
	if (fd < 0 || !tell_name(fd, ret_name, ret_port)) {
		buf_addf(err, "--listen %s: %s", address, strerror(errno));
		return LISTEN_FAILED;
	}
	ev_io_init(&srv->accepting, on_accept, fd, EV_READ);
	srv->accepting.data = srv;
	ev_io_start(srv->loop, &srv->accepting);
	return LISTEN_OK;
}

bool listen_write_port(const char *path, int port, struct buf *err)
{
	struct buf tmp = { 0 };
	FILE *f;
	bool ok;

	buf_addf(&tmp, "%s.tmp", path);
	f = fopen(buf_z(&tmp), "we");
	ok = f && fprintf(f, "%d\n", port) > 0;
	if (f && fclose(f) != 0)
		ok = false;
	ok = ok && rename(buf_z(&tmp), path) == 0;
	if (!ok)
		buf_addf(err, "--port-file %s: %s", path, strerror(errno));
	buf_done(&tmp);
	return ok;
}
