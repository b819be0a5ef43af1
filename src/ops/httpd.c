/*
 * HTTP by libmicrohttpd, turned by our loop through its epoll descriptor: what the control socket and
 * the unsubscribe page have in common. A connection collects a body, asks its owner, sleeps if the
 * answer takes its time, and wakes with it.
 * Runs on: loop. Called by control.c and page.c.
 * A client that goes away loses its answer and nothing else: owners know requests by id. Judges no
 * request.
 */
#include "ops_private.h"

#include <microhttpd.h>
#include <sys/socket.h>

#include "coldmail/loop.h"
#include "coldmail/str.h"

/* What a client asks, from its first line to the end of the answer. */
struct request {
	struct ops_httpd *httpd; /* borrowed: it ends after its requests */
	uint64_t id;
	struct MHD_Connection *mhd; /* borrowed: MHD's, until on_completed() */
	struct request *next;
	struct str body;
	size_t n_body; /* what came, kept or not */
	bool asleep;
	unsigned status;
	struct MHD_Response *answer; /* owned; NULL: none yet */
};

/* A connection whose request has to come in before a certain time: bytes that trickle would keep it
 * from ever being idle. */
struct visitor {
	struct loop_timer too_late;
	int fd; /* borrowed: MHD's */
};

struct ops_httpd {
	struct ops_httpd_conf conf;
	struct MHD_Daemon *mhd; /* owned */
	ev_io io;
	struct loop_timer timer;
	struct request *requests;
	uint64_t last_id;
	bool has_resumed; /* since the last MHD_run() */
};

/* ---- answers ----------------------------------------------------------------------------------- */

static enum MHD_Result send_answer(struct request *q)
{
	enum MHD_Result ok = MHD_queue_response(q->mhd, q->status, q->answer);

	MHD_destroy_response(q->answer);
	q->answer = NULL;
	return ok;
}

static struct request *find(const struct ops_httpd *h, uint64_t id)
{
	struct request *q = h->requests;

	while (q && q->id != id)
		q = q->next;
	return q;
}

void ops_httpd_answer(struct ops_httpd *h, uint64_t id, unsigned status,
	const struct ops_http_header *headers, char *body)
{
	struct request *q = find(h, id);

	if (!q) {
		free(body);
		return;
	}
	q->status = status;
	/* MHD frees the body with the response. */
	q->answer = MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_FREE);
	for (; headers->name; headers++)
		MHD_add_response_header(q->answer, headers->name, headers->value);
	if (!q->asleep)
		return;
	q->asleep = false;
	MHD_resume_connection(q->mhd);
	h->has_resumed = true; /* without a thread of its own, MHD does not notice */
	loop_timer_in(&h->timer, 0);
}

/* ---- requests ---------------------------------------------------------------------------------- */

static void close_late(void *arg)
{
	const struct visitor *v = arg;

	shutdown(v->fd, SHUT_RDWR); /* MHD finds it closed, and ends it */
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context,
	enum MHD_ConnectionNotificationCode what)
{
	const struct ops_httpd *h = cls;
	struct visitor *v = *context;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED && v) {
		loop_timer_cancel(&v->too_late);
		free(v);
		*context = NULL;
	} else if (what == MHD_CONNECTION_NOTIFY_STARTED && h->conf.request_ms) {
		*context = v = xcalloc(1, sizeof *v);
		v->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		loop_timer_init(&v->too_late, close_late, v);
		loop_timer_in(&v->too_late, h->conf.request_ms);
	}
}

/* It has come in whole: from here on, it waits for us. */
static enum MHD_Result ask(struct request *q, const char *path, const char *method)
{
	const struct ops_httpd_conf *conf = &q->httpd->conf;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(q->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct visitor *v =
		MHD_get_connection_info(q->mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;

	if (v)
		loop_timer_cancel(&v->too_late);
	conf->on_request(&(struct ops_http_request){
		.id = q->id,
		.fd = info->connect_fd,
		.method = method,
		.path = path,
		.body = str_z(&q->body),
		.n_body = q->body.len,
		.is_too_large = q->n_body > conf->body_max,
	});
	str_done(&q->body);
	if (q->answer)
		return send_answer(q);
	q->asleep = true;
	MHD_suspend_connection(q->mhd);
	return MHD_YES;
}

static struct request *request_new(struct ops_httpd *h, struct MHD_Connection *mhd)
{
	struct request *q = xcalloc(1, sizeof *q);

	*q = (struct request){
		.httpd = h,
		.id = ++h->last_id,
		.mhd = mhd,
		.next = h->requests,
	};
	h->requests = q;
	return q;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *path,
	const char *method, const char *version, const char *data, size_t *n, void **ret_request)
{
	struct ops_httpd *h = cls;
	struct request *q = *ret_request;

	(void)version;
	if (!q) {
		*ret_request = request_new(h, mhd);
		return MHD_YES;
	}
	if (*n) {
		q->n_body += *n;
		if (q->n_body <= h->conf.body_max)
			str_add(&q->body, data, *n);
		else
			str_done(&q->body);
		*n = 0;
		return MHD_YES;
	}
	return q->answer ? send_answer(q) : ask(q, path, method);
}

static void on_completed(
	void *cls, struct MHD_Connection *mhd, void **request, enum MHD_RequestTerminationCode how)
{
	struct ops_httpd *h = cls;
	struct request *q = *request;

	(void)mhd, (void)how;
	if (!q)
		return;
	for (struct request **p = &h->requests; *p; p = &(*p)->next) {
		if (*p == q) {
			*p = q->next;
			break;
		}
	}
	str_done(&q->body);
	if (q->answer)
		MHD_destroy_response(q->answer);
	free(q);
	*request = NULL;
}

/* ---- turning ----------------------------------------------------------------------------------- */

static void turn(void *arg)
{
	struct ops_httpd *h = arg;
	MHD_UNSIGNED_LONG_LONG ms;

	h->has_resumed = false;
	MHD_run(h->mhd);
	/* At its limit of connections it stops listening, and listens again only when it runs after they
	 * have ended: if all ended in this run, nothing would call it any more. */
	MHD_run(h->mhd);
	if (h->has_resumed) /* answered at once */
		loop_timer_in(&h->timer, 0);
	else if (MHD_get_timeout(h->mhd, &ms) == MHD_YES)
		loop_timer_in(&h->timer, (int64_t)ms);
	else
		loop_timer_cancel(&h->timer);
}

static void on_io(struct ev_loop *ev, ev_io *w, int revents)
{
	(void)ev, (void)revents;
	turn(w->data);
}

struct ops_httpd *ops_httpd_start(int listen_fd, const struct ops_httpd_conf *conf)
{
	struct ops_httpd *h = xcalloc(1, sizeof *h);

	h->conf = *conf;
	h->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
		on_request, h, MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
		MHD_OPTION_CONNECTION_LIMIT, conf->connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
		conf->idle_s, MHD_OPTION_END);
	if (!h->mhd) {
		free(h);
		return NULL;
	}
	loop_timer_init(&h->timer, turn, h);
	ev_io_init(&h->io, on_io, MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
		EV_READ);
	h->io.data = h;
	ev_io_start(loop_ev(), &h->io);
	return h;
}

void ops_httpd_quiesce(struct ops_httpd *h)
{
	MHD_quiesce_daemon(h->mhd);
}

void ops_httpd_stop(struct ops_httpd *h, unsigned status, const struct ops_http_header *headers,
	const char *body)
{
	ev_io_stop(loop_ev(), &h->io);
	for (struct request *q = h->requests, *next; q; q = next) {
		next = q->next;
		if (q->asleep)
			ops_httpd_answer(h, q->id, status, headers, xstrdup(body));
	}
	/* Wakes them all (MHD bears no sleeping connection at its end), and writes what their sockets
	 * take at once. */
	for (int i = 0; i < 3; i++)
		MHD_run(h->mhd);
	loop_timer_cancel(&h->timer);
	MHD_stop_daemon(h->mhd);
	free(h);
}
