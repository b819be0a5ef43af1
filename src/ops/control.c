/*
 * The control socket: what comes in on it becomes a call, if whoever is there may ask, and the call's
 * answer goes out.
 * Runs on: loop. Called by ops.c; calls command.c.
 */
#include "ops_private.h"

#include "coldmail/err.h"
#include "coldmail/log.h"
#include "coldmail/str.h"

#define CONNECTIONS_MAX 64
#define IDLE_MAX_S      60u

/* Who stops in the middle of a request must not keep others out. */
#define REQUEST_MAX_MS INT64_C(5000)

static const struct ops_http_header headers[] = { { "Content-Type", "application/json" }, { 0 } };

static struct {
	struct ops_httpd *http; /* owned */
	int listen_fd;
	char *path; /* owned */
	bool stopping;
} ctl;

static void on_answer(uint64_t asker, unsigned status, char *body)
{
	ops_httpd_answer(ctl.http, asker, status, headers, body);
}

static void refuse(uint64_t asker, unsigned status, int exit, const char *text)
{
	on_answer(asker, status, ops_error_body(exit, text));
}

static void on_request(const struct ops_http_request *q)
{
	unsigned status;
	char *body;
	uid_t uid;

	if (!ops_socket_may(q->fd, &uid)) {
		refuse(q->id, 403, CM_EXIT_UNAVAILABLE,
			"permission denied: root, the daemon's own user and members of group "
			"coldmail may do this");
		return;
	}
	if (!str_eq(q->method, "POST")) {
		refuse(q->id, 405, CM_EXIT_USAGE, "POST was expected");
		return;
	}
	if (q->is_too_large) {
		refuse(q->id, 413, CM_EXIT_USAGE, "the request is larger than 8 MB");
		return;
	}
	if (ctl.stopping) {
		refuse(q->id, 503, CM_EXIT_UNAVAILABLE, "coldmail is stopping");
		return;
	}
	struct ops_call *call = ops_call_new(q->path, q->body, q->n_body, &status, &body);
	if (!call) {
		on_answer(q->id, status, body);
		return;
	}
	bool is_private = call->command->flags & OPS_PRIVATE;
	if (call->command->flags & OPS_CHANGES)
		log_event(LOG_INFO, "control", LOG_S("command", call->command->name),
			LOG_S("subject", is_private ? NULL : ops_call_subject(call)),
			LOG_I("uid", uid), LOG_B("dry_run", call->dry_run));
	ops_call_run(call, on_answer, q->id);
}

int ops_control_init(const char *path, bool fast_forward, char **ret_why)
{
	/* An idle connection's end is a timer, and virtual time would leap to it. */
	const struct ops_httpd_conf conf = {
		.connections_max = CONNECTIONS_MAX,
		.idle_s = fast_forward ? 0 : IDLE_MAX_S,
		.request_ms = fast_forward ? 0 : REQUEST_MAX_MS,
		.body_max = OPS_BODY_MAX,
		.on_request = on_request,
	};
	char *why = NULL;
	int err = ops_socket_open(path, &ctl.listen_fd, &why);

	if (err) {
		*ret_why = xasprintf("control socket %s: %s", path, why);
		free(why);
		return err;
	}
	ctl.http = ops_httpd_start(ctl.listen_fd, &conf);
	if (!ctl.http) {
		ops_socket_close(ctl.listen_fd, path);
		*ret_why = xasprintf("control socket %s: libmicrohttpd does not start", path);
		return CM_EIO;
	}
	ctl.path = xstrdup(path);
	return CM_OK;
}

void ops_control_stop(void)
{
	if (!ctl.http)
		return;
	char *body = ops_error_body(CM_EXIT_UNAVAILABLE, "coldmail stopped before it could answer");

	ctl.stopping = true;
	ops_httpd_quiesce(ctl.http);
	ops_socket_close(ctl.listen_fd, ctl.path);
	ops_httpd_stop(ctl.http, 503, headers, body);
	free(body);
	free(ctl.path);
	ctl.http = NULL;
	ctl.path = NULL;
}
