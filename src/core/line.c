/*
 * Line connections (coldmail/line.h): libcurl connects, greets and says EHLO in a multi of its own;
 * from there bytes go through curl_easy_send/recv and lines come out. The easy handle stays in the
 * multi for as long as the line lives: taking it out closes the connection.
 * Runs on: loop. Called by mail.
 * Never: blocks, retries, reads more than LINE_TURN bytes of one line in one turn, understands a
 * reply. Fatal: libcurl that refuses an option it was built with.
 */
#include "coldmail/line.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/loop.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#define LINE_MAX_DEFAULT  8192
#define LINE_READ         16384
#define LINE_TURN         (4 * LINE_READ) /* so that one chatty peer cannot stretch a turn */
#define LINE_GREETING_MAX 128 /* lines; a server with more has no say in it */
#define LINE_DEFAULT_MS   (5 * CLOCK_MINUTE_MS)

enum line_phase { LINE_CONNECTING, LINE_OPEN, LINE_BROKEN };

struct line {
	const struct line_events *events; /* borrowed: from the caller, until the end */
	void *arg; /* borrowed likewise */
	CURL *easy; /* owned; in ln.multi */
	ev_io io; /* after on_open; before it the descriptor is libcurl's */
	struct loop_timer timer; /* connecting: the limit; open: more to read */
	struct loop_defer later; /* what a line_*() call caused */
	struct str in, out; /* an unfinished line; bytes the kernel did not take yet */
	size_t out_at; /* of out: taken already */
	char **greeting; /* owned, with its strings; until on_open */
	size_t n_greeting, cap_greeting;
	uint64_t sent, queued;
	size_t line_max;
	int64_t connect_ms;
	enum line_phase phase;
	bool expect; /* line_expect() */
	bool held; /* counted in loop_hold() */
	bool flushed; /* on_flushed is due when nothing is left to send */
	bool calling; /* inside a callback: line_close() must leave the memory to us */
	bool closed; /* line_close() was called inside a callback */
	char error[CURL_ERROR_SIZE];
};

static struct {
	CURLM *multi; /* owned */
	struct loop_timer timer;
	struct line_stats stats;
} ln;

/* ---- the end of a line ----------------------------------------------------------------------- */

static void set_hold(struct line *l, bool hold)
{
	if (l->held == hold)
		return;
	l->held = hold;
	if (hold)
		loop_hold();
	else
		loop_unhold();
}

static void drop_greeting(struct line *l)
{
	for (size_t i = 0; i < l->n_greeting; i++)
		free(l->greeting[i]);
	free(l->greeting);
	l->greeting = NULL;
	l->n_greeting = l->cap_greeting = 0;
}

static void line_free(struct line *l)
{
	if (l->phase == LINE_CONNECTING)
		ln.stats.connecting--;
	else
		ln.stats.open--;
	set_hold(l, false);
	ev_io_stop(loop_ev(), &l->io);
	loop_timer_cancel(&l->timer);
	loop_defer_cancel(&l->later);
	/* CONNECT_ONLY: the connection is closed by this, at once and without a word. */
	curl_multi_remove_handle(ln.multi, l->easy);
	curl_easy_cleanup(l->easy);
	drop_greeting(l);
	str_done(&l->in);
	str_done(&l->out);
	free(l);
}

/* After every callback; false: the callee has closed the line, which is gone now. */
static bool call_over(struct line *l)
{
	l->calling = false;
	if (!l->closed)
		return true;
	line_free(l);
	return false;
}

/* Reports the end. The line is gone when this returns. */
static void end(struct line *l, int err, const char *detail)
{
	l->calling = true;
	l->events->on_end(l->arg, err, detail, (const char *const *)l->greeting, l->n_greeting);
	line_free(l);
}

void line_close(struct line *l)
{
	if (!l)
		return;
	l->closed = true;
	if (!l->calling)
		line_free(l);
}

/* ---- bytes in -------------------------------------------------------------------------------- */

static bool deliver(struct line *l, char *text, size_t n)
{
	if (n && text[n - 1] == '\r')
		n--;
	if (n > l->line_max) {
		end(l, CM_EPROTO, "the server sent an overlong line");
		return false;
	}
	text[n] = '\0';
	l->calling = true;
	l->events->on_line(l->arg, text, n);
	return call_over(l);
}

/* Splits what came into lines; false: the line is gone. */
static bool take(struct line *l, const char *p, size_t n)
{
	size_t at = 0;

	ln.stats.bytes_in += n;
	str_add(&l->in, p, n);
	for (char *nl; (nl = memchr(l->in.p + at, '\n', l->in.len - at));) {
		char *text = l->in.p + at;

		at = (size_t)(nl - l->in.p) + 1;
		if (!deliver(l, text, (size_t)(nl - text)))
			return false;
	}
	str_drop(&l->in, at);
	if (l->in.len <= l->line_max)
		return true;
	end(l, CM_EPROTO, "the server sent an overlong line");
	return false;
}

static void end_reading(struct line *l, CURLcode res)
{
	if (res == CURLE_OK)
		end(l, CM_ECLOSED, "connection closed by the server");
	else
		end(l, CM_ECONN, *l->error ? l->error : curl_easy_strerror(res));
}

/* Reads a turn's worth. A short read has emptied a plain socket, so the next one is not asked for;
 * the descriptor wakes us. */
static void read_turn(struct line *l)
{
	char buf[LINE_READ];

	for (size_t got = 0; got < LINE_TURN;) {
		size_t n = 0;
		CURLcode res = curl_easy_recv(l->easy, buf, sizeof buf, &n);

		if (res == CURLE_AGAIN)
			return;
		if (res != CURLE_OK || n == 0) {
			end_reading(l, res);
			return;
		}
		if (!take(l, buf, n) || n < sizeof buf)
			return;
		got += n;
	}
	loop_timer_in(&l->timer, 0);
}

/* Sending failed: what the server said before it hung up is still there to be read, and it may be
 * the reply that explains it. */
static void drain(struct line *l)
{
	char buf[LINE_READ];
	char why[CURL_ERROR_SIZE];
	size_t n = 0;

	memcpy(why, l->error, sizeof why);
	for (size_t got = 0; got < LINE_TURN; got += n) {
		if (curl_easy_recv(l->easy, buf, sizeof buf, &n) != CURLE_OK || n == 0)
			break;
		if (!take(l, buf, n))
			return;
	}
	end(l, CM_ECLOSED, *why ? why : "connection closed by the server");
}

/* ---- bytes out ------------------------------------------------------------------------------- */

/* Hands bytes to the kernel; returns how many it took. */
static size_t push(struct line *l, const char *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		size_t took = 0;
		CURLcode res = curl_easy_send(l->easy, p + done, n - done, &took);

		if (res == CURLE_AGAIN)
			break;
		if (res != CURLE_OK) {
			l->phase = LINE_BROKEN;
			break;
		}
		done += took;
	}
	l->sent += done;
	ln.stats.bytes_out += done;
	return done;
}

static void want(struct line *l, int events)
{
	if (l->io.events == events && ev_is_active(&l->io))
		return;
	ev_io_stop(loop_ev(), &l->io);
	ev_io_set(&l->io, l->io.fd, events);
	ev_io_start(loop_ev(), &l->io);
}

static void on_later(void *arg)
{
	struct line *l = arg;

	if (l->phase == LINE_BROKEN) {
		drain(l);
		return;
	}
	if (!l->flushed || l->out.len)
		return;
	l->flushed = false;
	l->calling = true;
	l->events->on_flushed(l->arg);
	call_over(l);
}

static void after_push(struct line *l)
{
	if (l->phase == LINE_OPEN)
		want(l, l->out.len ? EV_READ | EV_WRITE : EV_READ);
	else
		ev_io_stop(loop_ev(), &l->io);
	if (l->phase == LINE_BROKEN || !l->out.len)
		loop_defer(&l->later, on_later, l);
}

static void push_queued(struct line *l)
{
	l->out_at += push(l, l->out.p + l->out_at, l->out.len - l->out_at);
	if (l->out_at == l->out.len) {
		str_reset(&l->out);
		l->out_at = 0;
	}
	after_push(l);
}

void line_write(struct line *l, const void *p, size_t n)
{
	bug_if(l->phase == LINE_CONNECTING, "written before on_open");
	l->queued += n;
	if (l->phase == LINE_BROKEN)
		return;
	l->flushed = true;
	size_t done = l->out.len ? 0 : push(l, p, n);
	if (done < n)
		str_add(&l->out, (const char *)p + done, n - done);
	after_push(l);
}

uint64_t line_sent(const struct line *l)
{
	return l->sent;
}

uint64_t line_queued(const struct line *l)
{
	return l->queued;
}

static void on_io(struct ev_loop *ev, ev_io *w, int revents)
{
	struct line *l = w->data;

	(void)ev;
	if (revents & EV_WRITE)
		push_queued(l);
	if (l->phase == LINE_OPEN && (revents & EV_READ))
		read_turn(l);
}

void line_expect(struct line *l, bool waiting)
{
	l->expect = waiting;
	set_hold(l, l->phase == LINE_CONNECTING || waiting);
}

/* ---- connecting ------------------------------------------------------------------------------ */

/* libcurl gives every line of the greeting and of the EHLO reply here. */
static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct line *l = arg;
	size_t len = n;

	(void)size; /* always 1 */
	while (len && (p[len - 1] == '\n' || p[len - 1] == '\r'))
		len--;
	if (l->n_greeting < LINE_GREETING_MAX) {
		mem_grow(l->greeting, l->cap_greeting, l->n_greeting + 1);
		l->greeting[l->n_greeting++] = xstrndup(p, len);
	}
	return n;
}

static void on_timer(void *arg)
{
	struct line *l = arg;
	char limit[32], text[80];

	if (l->phase != LINE_CONNECTING) {
		if (l->phase == LINE_OPEN)
			read_turn(l);
		return;
	}
	snprintf(text, sizeof text, "no connection within %s", str_duration(l->connect_ms, limit));
	end(l, CM_ETIMEDOUT, text);
}

/* The URL with the EHLO name as its path, where libcurl looks for it; without user or password, so
 * that it never logs in on its own account. What cannot be parsed goes to libcurl as it is: its
 * refusal arrives where all failures do. */
static char *url_with_helo(const char *url, const char *helo)
{
	CURLU *u = curl_url();
	char *path = xasprintf("/%s", helo);
	char *whole = NULL, *ret;

	bug_if(!u, "curl_url");
	if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_set(u, CURLUPART_PATH, path, CURLU_URLENCODE) == CURLUE_OK) {
		curl_url_set(u, CURLUPART_USER, NULL, 0);
		curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
		curl_url_set(u, CURLUPART_OPTIONS, NULL, 0);
		curl_url_set(u, CURLUPART_QUERY, NULL, 0);
		curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
		curl_url_get(u, CURLUPART_URL, &whole, 0);
	}
	ret = xstrdup(whole ? whole : url);
	curl_free(whole);
	curl_url_cleanup(u);
	free(path);
	return ret;
}

#define set_option(easy, option, value)                                                            \
	do {                                                                                       \
		CURLcode res_ = curl_easy_setopt((easy), (option), (value));                       \
		bug_if(res_, "curl: " #option ": %s", curl_easy_strerror(res_));                   \
	} while (0)

/* libcurl's own limits (300 s to connect, 120 s a reply) are put out of the way: ours decides. */
static void set_limits(struct line *l)
{
	long beyond_ms = (long)(l->connect_ms + CLOCK_MINUTE_MS);

	set_option(l->easy, CURLOPT_CONNECTTIMEOUT_MS, beyond_ms);
	set_option(l->easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, beyond_ms / 1000);
}

static void set_options(struct line *l, const char *url)
{
	set_option(l->easy, CURLOPT_URL, url);
	set_option(l->easy, CURLOPT_PRIVATE, l);
	set_option(l->easy, CURLOPT_ERRORBUFFER, l->error);
	set_option(l->easy, CURLOPT_HEADERFUNCTION, on_header);
	set_option(l->easy, CURLOPT_HEADERDATA, l);
	set_option(l->easy, CURLOPT_CONNECT_ONLY, 1L);
	set_option(l->easy, CURLOPT_FRESH_CONNECT, 1L);
	set_option(l->easy, CURLOPT_PROTOCOLS_STR, "smtp");
	set_option(l->easy, CURLOPT_USE_SSL, (long)CURLUSESSL_NONE);
	set_option(l->easy, CURLOPT_PROXY, "");
	set_option(l->easy, CURLOPT_NOSIGNAL, 1L);
	/* Without this, closing a line waits for its resolver thread. */
	set_option(l->easy, CURLOPT_QUICK_EXIT, 1L);
	set_limits(l);
}

struct line *line_open(const struct line_conf *conf, const struct line_events *events, void *arg)
{
	struct line *l = xcalloc(1, sizeof *l);
	char *url = url_with_helo(conf->url, conf->helo);

	l->events = events;
	l->arg = arg;
	l->line_max = conf->line_max ? conf->line_max : LINE_MAX_DEFAULT;
	l->connect_ms = conf->connect_timeout_ms ? conf->connect_timeout_ms : LINE_DEFAULT_MS;
	ev_init(&l->io, on_io);
	l->io.data = l;
	loop_timer_init(&l->timer, on_timer, l);
	loop_timer_in(&l->timer, l->connect_ms);
	set_hold(l, true);
	ln.stats.connecting++;

	l->easy = curl_easy_init();
	bug_if(!l->easy, "curl_easy_init");
	set_options(l, url);
	free(url);
	CURLMcode res = curl_multi_add_handle(ln.multi, l->easy);
	bug_if(res, "curl_multi_add_handle: %s", curl_multi_strerror(res));
	return l;
}

static int connect_err(CURLcode res)
{
	switch (res) {
	case CURLE_OPERATION_TIMEDOUT:
		return CM_ETIMEDOUT;
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_REMOTE_ACCESS_DENIED:
		return CM_EPROTO;
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
		return CM_ECLOSED;
	default: /* libcurl's list, not ours */
		return CM_ECONN;
	}
}

static void connect_failed(struct line *l, CURLcode res)
{
	int err = connect_err(res);

	/* libcurl's text for this shows an errno that nobody set. */
	if (err == CM_ECLOSED)
		end(l, err, "connection closed by the server before it had greeted");
	else
		end(l, err, *l->error ? l->error : curl_easy_strerror(res));
}

static void opened(struct line *l)
{
	curl_socket_t fd = CURL_SOCKET_BAD;

	curl_easy_getinfo(l->easy, CURLINFO_ACTIVESOCKET, &fd);
	if (fd == CURL_SOCKET_BAD) {
		end(l, CM_ECLOSED, "connection closed by the server after its greeting");
		return;
	}
	l->phase = LINE_OPEN;
	l->error[0] = '\0';
	ln.stats.connecting--;
	ln.stats.open++;
	ln.stats.opened++;
	loop_timer_cancel(&l->timer);
	ev_io_set(&l->io, fd, EV_READ);
	ev_io_start(loop_ev(), &l->io);

	l->calling = true;
	l->events->on_open(l->arg, (const char *const *)l->greeting, l->n_greeting);
	if (!call_over(l))
		return;
	drop_greeting(l);
	set_hold(l, l->expect);
	/* Once now, or libcurl prunes the connection after 118 s as unused. */
	if (l->phase == LINE_OPEN)
		read_turn(l);
}

/* ---- libcurl's multi on the loop ------------------------------------------------------------- */

/* The callbacks run here, outside of libcurl's: they may open and close lines. */
static void reap(void)
{
	int left;

	for (CURLMsg *m; (m = curl_multi_info_read(ln.multi, &left));) {
		CURLcode res = m->data.result;
		struct line *l = NULL;

		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &l);
		if (res == CURLE_OK)
			opened(l);
		else
			connect_failed(l, res);
	}
}

static void run(curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(ln.multi, fd, what, &running);
	reap();
}

static void on_curl_io(struct ev_loop *ev, ev_io *w, int revents)
{
	(void)ev;
	run(w->fd, (revents & EV_READ ? CURL_CSELECT_IN : 0) |
			   (revents & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_curl_timer(void *arg)
{
	(void)arg;
	run(CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl: watch FD for WHAT. The watcher lives in what curl_multi_assign() keeps for us. */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *kept)
{
	ev_io *w = kept;

	(void)easy, (void)arg;
	if (w)
		ev_io_stop(loop_ev(), w);
	if (what == CURL_POLL_REMOVE) {
		free(w);
		return 0;
	}
	if (!w) {
		w = xcalloc(1, sizeof *w);
		ev_init(w, on_curl_io);
		curl_multi_assign(ln.multi, fd, w);
	}
	ev_io_set(
		w, fd, (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
	ev_io_start(loop_ev(), w);
	return 0;
}

static int on_curl_timeout(CURLM *multi, long ms, void *arg)
{
	(void)multi, (void)arg;
	if (ms < 0)
		loop_timer_cancel(&ln.timer);
	else
		loop_timer_in(&ln.timer, ms);
	return 0;
}

int line_init(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return CM_EIO;
	ln.multi = curl_multi_init();
	if (!ln.multi)
		return CM_EIO;
	loop_timer_init(&ln.timer, on_curl_timer, NULL);
	curl_multi_setopt(ln.multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(ln.multi, CURLMOPT_TIMERFUNCTION, on_curl_timeout);
	curl_multi_setopt(ln.multi, CURLMOPT_MAXCONNECTS, 65536L); /* beyond it, live ones close */
	return CM_OK;
}

void line_done(void)
{
	loop_timer_cancel(&ln.timer);
	curl_multi_cleanup(ln.multi);
	curl_global_cleanup();
	ln.multi = NULL;
}

struct line_stats line_stats(void)
{
	return ln.stats;
}
