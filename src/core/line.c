/*
 * Line connections (coldmail/line.h). libcurl connects (line_curl.c); from there bytes go through
 * curl_easy_send/recv, and lines come out.
 * Runs on: loop. Called by mail.
 * Never: blocks, retries, reads more than LINE_TURN bytes of one line in one turn, understands what
 * a line says.
 */
#include "coldmail/line.h"

#include <stdio.h>
#include <string.h>

#include "coldmail/err.h"
#include "coldmail/list.h"
#include "coldmail/loop.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#include "line_private.h"

#define LINE_MAX_DEFAULT  8192
#define LINE_READ         16384
#define LINE_TURN         (4 * LINE_READ) /* so that one chatty peer cannot stretch a turn */
#define LINE_GREETING_MAX 128 /* lines; a server with more has no say in it */
/* The beginning of TLS is work, 0.4 ms and the same again at its end: of 256 at once the loop would do a
 * tenth of a second's worth in one turn. */
#define LINE_STARTS_TURN 4

enum line_phase { LINE_CONNECTING, LINE_OPEN, LINE_BROKEN };

struct line {
	const struct line_events *events; /* borrowed: from the caller, until the end */
	void *arg; /* borrowed likewise */
	CURL *easy; /* owned: line_curl_end() */
	struct list_node node; /* in starts, until it begins to connect */
	ev_io io; /* after on_open; before it the descriptor is libcurl's */
	struct loop_timer timer; /* connecting: the limit; open: more to read */
	struct loop_defer later; /* what a line_*() call caused */
	struct str in, out; /* an unfinished line; bytes the kernel did not take yet */
	size_t out_at; /* of out: taken already */
	struct line_rest rest; /* until on_open */
	char **greeting; /* owned, with its strings; until on_open */
	size_t n_greeting, cap_greeting;
	uint64_t sent, queued;
	size_t line_max;
	int64_t connect_ms;
	enum line_phase phase;
	void *tls; /* borrowed: from easy; NULL: none yet */
	bool expect; /* line_expect() */
	bool held; /* counted in loop_hold() */
	bool flushed; /* on_flushed is due when nothing is left to send */
	bool calling; /* inside a callback: line_close() must leave the memory to us */
	bool closed; /* line_close() was called inside a callback */
	char error[CURL_ERROR_SIZE];
};

static struct {
	struct list lines; /* that wait to begin, in order */
	struct loop_timer timer; /* the next turn */
} starts;

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
	if (l->node.next)
		list_remove(&starts.lines, &l->node);
	set_hold(l, false);
	ev_io_stop(loop_ev(), &l->io);
	loop_timer_cancel(&l->timer);
	loop_defer_cancel(&l->later);
	line_curl_end(l->easy);
	drop_greeting(l);
	line_rest_done(&l->rest);
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

/* Reads a turn's worth. After a short read the next one is not asked for, unless it is TLS that has
 * more: for what is in the socket the descriptor wakes us. */
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
		if (!take(l, buf, n) || (n < sizeof buf && !line_curl_holds_more(l->tls)))
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

/* libcurl gives every line of the server's here until it is done. Of too many the last is kept: it
 * is the one that decides. */
static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct line *l = arg;
	size_t len = n;

	(void)size; /* always 1 */
	while (len && (p[len - 1] == '\n' || p[len - 1] == '\r'))
		len--;
	if (l->n_greeting == LINE_GREETING_MAX)
		free(l->greeting[--l->n_greeting]);
	mem_grow(l->greeting, l->cap_greeting, l->n_greeting + 1);
	l->greeting[l->n_greeting++] = xstrndup(p, len);
	line_rest_given(&l->rest, p, n);
	l->tls = line_curl_tls(l->easy);
	return n;
}

static void on_input(void *arg, curl_socket_t fd)
{
	struct line *l = arg;

	if (l->phase == LINE_CONNECTING && !l->tls && l->events->on_rest)
		line_rest_peek(&l->rest, fd);
}

/* The lines behind the last one; false: the line is gone. */
static bool give_rest(struct line *l)
{
	bool is_there = true;
	size_t n;

	for (char *text; is_there && !l->tls && (text = line_rest_next(&l->rest, &n));) {
		l->calling = true;
		l->events->on_rest(l->arg, text, n);
		is_there = call_over(l);
	}
	return is_there;
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

static void connect_failed(struct line *l, CURLcode res)
{
	const char *text;
	int err = line_result(res, l->error, &text);

	end(l, err, text);
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
	line_curl_read_ahead(l->tls);
	l->error[0] = '\0';
	loop_timer_cancel(&l->timer);
	ev_io_set(&l->io, fd, EV_READ);
	ev_io_start(loop_ev(), &l->io);

	l->calling = true;
	l->events->on_open(l->arg, (const char *const *)l->greeting, l->n_greeting);
	if (!call_over(l))
		return;
	drop_greeting(l);
	if (!give_rest(l))
		return;
	line_rest_done(&l->rest);
	set_hold(l, l->expect);
	/* Once now, or libcurl prunes the connection after 118 s as unused. */
	if (l->phase == LINE_OPEN)
		read_turn(l);
}

static void on_connected(void *arg, CURLcode res)
{
	if (res == CURLE_OK)
		opened(arg);
	else
		connect_failed(arg, res);
}

/* Only beginnings are spread over turns: however many servers are silent, the next ones begin. */
static void start_some(void *arg)
{
	struct list_node *node;

	(void)arg;
	for (int n = 0; n < LINE_STARTS_TURN && (node = list_first(&starts.lines)); n++) {
		struct line *l = list_entry(node, struct line, node);

		list_remove(&starts.lines, node);
		loop_timer_in(&l->timer, l->connect_ms);
		line_curl_start(l->easy);
	}
	if (starts.lines.n)
		loop_timer_in(&starts.timer, 0);
}

struct line *line_open(const struct line_conf *conf, const struct line_events *events, void *arg)
{
	struct line *l = xcalloc(1, sizeof *l);

	l->events = events;
	l->arg = arg;
	l->line_max = conf->line_max ? conf->line_max : LINE_MAX_DEFAULT;
	l->connect_ms = conf->connect_timeout_ms;
	ev_init(&l->io, on_io);
	l->io.data = l;
	loop_timer_init(&l->timer, on_timer, l);
	set_hold(l, true);
	l->easy = line_curl_new(&(struct line_curl_conf){
		.line = conf,
		.error = l->error,
		.on_header = on_header,
		.arg = l,
	});
	list_push(&starts.lines, &l->node);
	if (!loop_timer_is_set(&starts.timer))
		loop_timer_in(&starts.timer, 0);
	return l;
}

int line_init(void)
{
	list_init(&starts.lines);
	loop_timer_init(&starts.timer, start_some, NULL);
	return line_curl_init(on_connected, on_input);
}

void line_done(void)
{
	loop_timer_cancel(&starts.timer);
	line_curl_done();
}
