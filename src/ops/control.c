/*
 * The control socket's transport: HTTP by libmicrohttpd, turned by our loop through its epoll
 * descriptor. A connection collects a body, becomes a call, sleeps, and wakes with the answer.
 * Runs on: loop. Called by ops.c; calls command.c.
 * A client that goes away loses its answer and nothing else: calls know connections by id.
 */
#include "ops_private.h"

#include <microhttpd.h>
#include <unistd.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/log.h"
#include "coldmail/loop.h"
#include "coldmail/str.h"

#define CONNECTIONS_MAX 64
#define IDLE_MAX_S      60u

struct conn {
	uint64_t id;
	struct MHD_Connection *mhd; /* borrowed: MHD's, until on_completed() */
	struct conn *next;
	struct str body;
	size_t n_body; /* what came, kept or not */
	bool allowed, asleep;
	uid_t uid; /* the peer's */
	unsigned status; /* 0: no answer yet */
	char *answer; /* owned */
};

static struct {
	struct MHD_Daemon *mhd; /* owned */
	ev_io io;
	struct loop_timer timer;
	int listen_fd;
	char *path; /* owned */
	struct conn *conns;
	uint64_t last_id;
	bool has_resumed; /* since the last MHD_run() */
	bool stopping;
} ctl;

/* ---- answers ----------------------------------------------------------------------------------- */

static enum MHD_Result send_answer(struct conn *c)
{
	/* MHD frees the body with the response. */
	struct MHD_Response *r = MHD_create_response_from_buffer(
		strlen(c->answer), c->answer, MHD_RESPMEM_MUST_FREE);

	c->answer = NULL;
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
	enum MHD_Result ok = MHD_queue_response(c->mhd, c->status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result refuse(struct conn *c, unsigned status, int exit, const char *text)
{
	c->status = status;
	c->answer = ops_error_body(exit, text);
	return send_answer(c);
}

static void on_answer(uint64_t asker, unsigned status, char *body)
{
	struct conn *c = ctl.conns;

	while (c && c->id != asker)
		c = c->next;
	if (!c) {
		free(body);
		return;
	}
	c->status = status;
	c->answer = body;
	c->asleep = false;
	MHD_resume_connection(c->mhd);
	ctl.has_resumed = true; /* without a thread of its own, MHD does not notice */
	loop_timer_in(&ctl.timer, 0);
}

/* ---- requests ---------------------------------------------------------------------------------- */

static enum MHD_Result ask(struct conn *c, const char *url, const char *method)
{
	if (!c->allowed)
		return refuse(c, MHD_HTTP_FORBIDDEN, CM_EXIT_UNAVAILABLE,
			"permission denied: root, the daemon's own user and members of group "
			"coldmail may do this");
	if (!str_eq(method, MHD_HTTP_METHOD_POST))
		return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED, CM_EXIT_USAGE, "POST was expected");
	if (c->n_body > OPS_BODY_MAX)
		return refuse(c, MHD_HTTP_CONTENT_TOO_LARGE, CM_EXIT_USAGE,
			"the request is larger than 8 MB");
	if (ctl.stopping)
		return refuse(c, MHD_HTTP_SERVICE_UNAVAILABLE, CM_EXIT_UNAVAILABLE,
			"coldmail is stopping");

	struct ops_call *call =
		ops_call_new(url, str_z(&c->body), c->body.len, &c->status, &c->answer);
	str_done(&c->body);
	if (!call)
		return send_answer(c);
	if (call->command->flags & OPS_CHANGES)
		log_event(LOG_INFO, "control", LOG_S("command", call->command->name),
			LOG_S("subject", ops_call_subject(call)), LOG_I("uid", c->uid),
			LOG_B("dry_run", call->dry_run));
	c->asleep = true;
	MHD_suspend_connection(c->mhd);
	ops_call_run(call, on_answer, c->id);
	return MHD_YES;
}

static struct conn *conn_new(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct conn *c = xcalloc(1, sizeof *c);

	*c = (struct conn){
		.id = ++ctl.last_id,
		.mhd = mhd,
		.next = ctl.conns,
	};
	c->allowed = info && ops_socket_may(info->connect_fd, &c->uid);
	ctl.conns = c;
	return c;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
	const char *method, const char *version, const char *data, size_t *n, void **ret_conn)
{
	struct conn *c = *ret_conn;

	(void)cls, (void)version;
	if (!c) {
		*ret_conn = conn_new(mhd);
		return MHD_YES;
	}
	if (*n) {
		c->n_body += *n;
		if (c->allowed && c->n_body <= OPS_BODY_MAX)
			str_add(&c->body, data, *n);
		*n = 0;
		return MHD_YES;
	}
	return c->answer ? send_answer(c) : ask(c, url, method);
}

static void on_completed(
	void *cls, struct MHD_Connection *mhd, void **conn, enum MHD_RequestTerminationCode how)
{
	struct conn *c = *conn;

	(void)cls, (void)mhd, (void)how;
	if (!c)
		return;
	for (struct conn **p = &ctl.conns; *p; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			break;
		}
	}
	str_done(&c->body);
	free(c->answer);
	free(c);
	*conn = NULL;
}

/* ---- turning ----------------------------------------------------------------------------------- */

static void turn(void *arg)
{
	MHD_UNSIGNED_LONG_LONG ms;

	(void)arg;
	ctl.has_resumed = false;
	MHD_run(ctl.mhd);
	if (ctl.has_resumed) /* answered at once */
		loop_timer_in(&ctl.timer, 0);
	else if (MHD_get_timeout(ctl.mhd, &ms) == MHD_YES)
		loop_timer_in(&ctl.timer, (int64_t)ms);
	else
		loop_timer_cancel(&ctl.timer);
}

static void on_io(struct ev_loop *ev, ev_io *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	turn(NULL);
}

int ops_control_init(const char *path, bool fast_forward, char **ret_why)
{
	int err = ops_socket_open(path, &ctl.listen_fd, ret_why);

	if (err)
		return err;
	/* An idle connection's end is a timer, and virtual time would leap to it. */
	ctl.mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
		on_request, NULL, MHD_OPTION_LISTEN_SOCKET, ctl.listen_fd,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		fast_forward ? 0u : IDLE_MAX_S, MHD_OPTION_END);
	if (!ctl.mhd) {
		ops_socket_close(ctl.listen_fd, path);
		*ret_why = xstrdup("libmicrohttpd does not start");
		return CM_EIO;
	}
	ctl.path = xstrdup(path);
	loop_timer_init(&ctl.timer, turn, NULL);
	ev_io_init(&ctl.io, on_io, MHD_get_daemon_info(ctl.mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
		EV_READ);
	ev_io_start(loop_ev(), &ctl.io);
	return CM_OK;
}

void ops_control_stop(void)
{
	if (!ctl.mhd)
		return;
	ctl.stopping = true;
	ev_io_stop(loop_ev(), &ctl.io);
	MHD_quiesce_daemon(ctl.mhd);
	ops_socket_close(ctl.listen_fd, ctl.path);
	for (struct conn *c = ctl.conns, *next; c; c = next) {
		next = c->next;
		if (c->asleep)
			on_answer(c->id, MHD_HTTP_SERVICE_UNAVAILABLE,
				ops_error_body(CM_EXIT_UNAVAILABLE,
					"coldmail stopped before it could answer"));
	}
	/* Wakes them all (MHD bears no sleeping connection at its end), and writes what their sockets
	 * take at once. */
	for (int i = 0; i < 3; i++)
		MHD_run(ctl.mhd);
	loop_timer_cancel(&ctl.timer);
	MHD_stop_daemon(ctl.mhd);
	free(ctl.path);
	ctl.mhd = NULL;
	ctl.path = NULL;
}
