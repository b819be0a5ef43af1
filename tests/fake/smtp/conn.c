/*
 * Connections of fake-smtp: bytes in, bytes out, delays, and the several ways to end.
 * Runs on: the one thread of fake-smtp, on libev; never blocks. main.c hands sockets over,
 * session.c is asked to make something of the input.
 *
 * A client that closes or dies does not end the work on what it sent before: a mail whose dot has
 * arrived is accepted and listed, as a real server would do it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server.h"

enum {
	READ_SIZE = 16 * 1024,
	IN_MAX = 256 * 1024, /* what a delayed connection may pile up */
	OUT_MAX = 64 * 1024, /* a client that does not read is not read from */
	LINGER_S = 5, /* how long a dropped client may go on talking */
};

static void conn_free(struct conn *c)
{
	struct server *srv = c->srv;

	ev_io_stop(srv->loop, &c->readable);
	ev_io_stop(srv->loop, &c->writable);
	ev_timer_stop(srv->loop, &c->timer);
	close(c->fd);
	session_done(c);
	tls_free(c->tls);
	buf_done(&c->in);
	buf_done(&c->out);
	buf_done(&c->wire_in);
	buf_done(&c->wire_out);
	free(c);
	/* It stops when descriptors run out (main.c); now there is one. */
	ev_io_start(srv->loop, &srv->accepting);
}

void conn_say(struct conn *c, const void *p, size_t n)
{
	if (!c->deaf)
		buf_add(&c->out, p, n);
}

void conn_secure(struct conn *c)
{
	if (c->tls)
		return;
	c->tls = tls_new(c->srv->tls);
	/* What was said before goes first, as it is; what came since belongs to the handshake. */
	c->wire_out = c->out;
	c->wire_in = c->in;
	c->out = c->in = (struct buf){ 0 };
}

bool conn_is_ready(const struct conn *c)
{
	return !c->tls || tls_is_ready(c->tls);
}

void conn_end(struct conn *c)
{
	if (c->tls) {
		tls_seal(c->tls, &c->out, &c->wire_out);
		tls_end(c->tls, &c->wire_out);
	}
	c->state = CONN_DROPPING;
}

/* What the kernel gets. Over TLS `out` is on its way there, once the handshake is over. */
static struct buf *wire(struct conn *c)
{
	return c->tls ? &c->wire_out : &c->out;
}

static void go_deaf(struct conn *c)
{
	c->deaf = true;
	buf_reset(&c->out);
	buf_reset(&c->wire_out);
}

static void flush(struct conn *c)
{
	struct buf *b = wire(c);

	if (c->tls)
		tls_seal(c->tls, &c->out, b);
	while (buf_len(b)) {
		ssize_t n = send(c->fd, buf_at(b), buf_len(b), MSG_NOSIGNAL);

		if (n >= 0) {
			buf_eat(b, (size_t)n);
		} else if (errno != EINTR) {
			if (errno != EAGAIN)
				go_deaf(c);
			return;
		}
	}
}

/* What came over TLS, or belongs to its handshake. */
static void unwrap(struct conn *c)
{
	switch (tls_open(c->tls, &c->wire_in, &c->in, &c->wire_out)) {
	case TLS_GOES_ON:
		break;
	case TLS_CLOSED:
		c->eof = true;
		break;
	case TLS_FAILED:
		trace(c, "* tls:", tls_error(c->tls), strlen(tls_error(c->tls)));
		c->state = CONN_DROPPING;
		break;
	}
}

static void close_with_fin(struct conn *c)
{
	/* close() with unread input would send RST: wait for the client's end. */
	if (c->eof || c->deaf || shutdown(c->fd, SHUT_WR) != 0) {
		c->state = CONN_GONE;
		return;
	}
	if (!ev_is_active(&c->timer)) {
		ev_timer_set(&c->timer, LINGER_S, 0);
		ev_timer_start(c->srv->loop, &c->timer);
	}
}

static void close_with_rst(struct conn *c)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) != 0)
		fprintf(stderr, "fake-smtp: SO_LINGER: %s\n", strerror(errno));
	c->state = CONN_GONE;
}

/* What its state asks for once the input was worked on. */
static void settle(struct conn *c)
{
	switch (c->state) {
	case CONN_RUN:
	case CONN_SILENT:
		if (c->eof && !buf_len(wire(c)))
			c->state = CONN_GONE;
		break;
	case CONN_DROPPING:
		if (!buf_len(wire(c)))
			close_with_fin(c);
		break;
	case CONN_RESETTING:
		close_with_rst(c);
		break;
	case CONN_DELAYED:
	case CONN_GONE:
		break;
	}
}

static void watch(struct ev_loop *loop, struct ev_io *w, bool on)
{
	if (on)
		ev_io_start(loop, w);
	else
		ev_io_stop(loop, w);
}

static bool has_room(struct conn *c)
{
	if (buf_len(&c->out) + buf_len(&c->wire_out) >= OUT_MAX)
		flush(c);
	return buf_len(wire(c)) < OUT_MAX;
}

static bool step(struct conn *c)
{
	if (c->state == CONN_RUN && buf_len(&c->wire_in))
		unwrap(c);
	return c->state == CONN_RUN && session_step(c);
}

/* Everything that can be done now. C may be gone after it. */
static void turn(struct conn *c)
{
	bool room;

	while ((room = has_room(c)) && step(c))
		;
	if (c->state != CONN_RUN && c->state != CONN_DELAYED) {
		buf_reset(&c->in);
		buf_reset(&c->wire_in);
	}
	/* Without room there is something to write, and being able to write it wakes us up. */
	if (room)
		flush(c);
	settle(c);
	if (c->state == CONN_GONE) {
		conn_free(c);
		return;
	}
	watch(c->srv->loop, &c->readable,
		!c->eof && buf_len(&c->in) + buf_len(&c->wire_in) < IN_MAX);
	watch(c->srv->loop, &c->writable, buf_len(wire(c)) > 0);
}

static void on_readable(struct ev_loop *loop, struct ev_io *w, int events)
{
	struct conn *c = w->data;
	struct buf *into = c->tls ? &c->wire_in : &c->in;
	ssize_t n = recv(c->fd, buf_room(into, READ_SIZE), READ_SIZE, 0);

	(void)loop;
	(void)events;
	if (n > 0)
		buf_filled(into, (size_t)n);
	else if (n == 0)
		c->eof = true;
	else if (errno != EAGAIN && errno != EINTR)
		c->eof = c->deaf = true;
	if (c->deaf)
		go_deaf(c);
	turn(c);
}

static void on_writable(struct ev_loop *loop, struct ev_io *w, int events)
{
	(void)loop;
	(void)events;
	turn(w->data);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int events)
{
	struct conn *c = w->data;

	(void)loop;
	(void)events;
	c->state = c->state == CONN_DELAYED ? CONN_RUN : CONN_GONE;
	turn(c);
}

void conn_delay(struct conn *c, uint64_t ms)
{
	/* From this very moment: the loop's own idea of it is as old as its turn. */
	double spent = ev_time() - ev_now(c->srv->loop);

	c->state = CONN_DELAYED;
	ev_timer_set(&c->timer, (double)ms / 1000 + (spent > 0 ? spent : 0), 0);
	ev_timer_start(c->srv->loop, &c->timer);
}

void conn_accept(struct server *srv, int fd)
{
	struct conn *c = fake_alloc(sizeof(*c));
	int on = 1;

	c->srv = srv;
	c->id = ++srv->connections;
	c->fd = fd;
	/* Without it a delayed second packet would look like a slow server. */
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
		fprintf(stderr, "fake-smtp: TCP_NODELAY: %s\n", strerror(errno));
	ev_io_init(&c->readable, on_readable, fd, EV_READ);
	ev_io_init(&c->writable, on_writable, fd, EV_WRITE);
	ev_timer_init(&c->timer, on_timer, 0, 0);
	c->readable.data = c->writable.data = c->timer.data = c;
	session_start(c);
	turn(c);
}
