/*
 * A libcurl multi handle on the loop (multi_private.h): its sockets are watched with libev, its one
 * timer is a timer of ours.
 * Runs on: loop. Called by core/line_curl.c and core/http.c.
 * Never: calls its users from inside libcurl.
 */
#include "multi_private.h"

#include <stdlib.h>

#include "coldmail/err.h"
#include "coldmail/mem.h"

/* The watcher of one socket; lives in what curl_multi_assign() keeps for us. */
struct watcher {
	ev_io io;
	struct multi *multi;
	void *arg; /* borrowed: CURLOPT_PRIVATE of the handle that uses it */
};

static void reap(struct multi *m)
{
	int left;

	for (CURLMsg *msg; (msg = curl_multi_info_read(m->curl, &left));) {
		CURLcode res = msg->data.result;
		char *arg = NULL;

		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &arg);
		m->on_done(arg, res);
	}
}

static void run(struct multi *m, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(m->curl, fd, what, &running);
	reap(m);
}

static void on_io(struct ev_loop *ev, ev_io *io, int revents)
{
	struct watcher *w = (struct watcher *)io;

	(void)ev;
	if (w->multi->on_input && w->arg && revents & EV_READ)
		w->multi->on_input(w->arg, io->fd);
	run(w->multi, io->fd,
		(revents & EV_READ ? CURL_CSELECT_IN : 0) |
			(revents & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(void *arg)
{
	run(arg, CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl: watch FD for WHAT. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *kept)
{
	struct multi *m = arg;
	struct watcher *w = kept;
	char *user = NULL;

	if (w)
		ev_io_stop(loop_ev(), &w->io);
	if (what == CURL_POLL_REMOVE) {
		free(w);
		return 0;
	}
	if (!w) {
		w = xcalloc(1, sizeof *w);
		w->multi = m;
		ev_init(&w->io, on_io);
		curl_multi_assign(m->curl, fd, w);
	}
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &user);
	w->arg = user;
	ev_io_set(&w->io, fd,
		(what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
	ev_io_start(loop_ev(), &w->io);
	return 0;
}

static int on_timeout(CURLM *curl, long ms, void *arg)
{
	struct multi *m = arg;

	(void)curl;
	if (ms < 0)
		loop_timer_cancel(&m->timer);
	else
		loop_timer_in(&m->timer, ms);
	return 0;
}

int multi_init(struct multi *m, void (*on_done)(void *arg, CURLcode res))
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT)) /* counted */
		return CM_EIO;
	m->curl = curl_multi_init();
	if (!m->curl)
		return CM_EIO;
	m->on_done = on_done;
	loop_timer_init(&m->timer, on_timer, m);
	curl_multi_setopt(m->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(m->curl, CURLMOPT_SOCKETDATA, m);
	curl_multi_setopt(m->curl, CURLMOPT_TIMERFUNCTION, on_timeout);
	curl_multi_setopt(m->curl, CURLMOPT_TIMERDATA, m);
	return CM_OK;
}

void multi_done(struct multi *m)
{
	loop_timer_cancel(&m->timer);
	curl_multi_cleanup(m->curl);
	curl_global_cleanup();
	m->curl = NULL;
}

void multi_add(struct multi *m, CURL *easy)
{
	CURLMcode res = curl_multi_add_handle(m->curl, easy);

	bug_if(res, "curl_multi_add_handle: %s", curl_multi_strerror(res));
}

void multi_remove(struct multi *m, CURL *easy)
{
	curl_multi_remove_handle(m->curl, easy);
}
