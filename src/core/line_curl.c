/*
 * How libcurl connects for core/line.c: a multi of its own on the loop, and every option of a
 * connection, TLS and login among them.
 * Runs on: loop. Called by core/line.c.
 * Never: blocks (name resolution is a thread of libcurl's), shares a connection between two lines,
 * says a secret (libcurl's tracing stays off; it has copies of its own until line_curl_end()).
 * Fatal: libcurl that refuses an option it was built with.
 */
#include "line_private.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/loop.h"
#include "coldmail/mem.h"

static struct {
	CURLM *multi; /* owned */
	struct loop_timer timer;
	void (*on_done)(void *arg, CURLcode res);
} lc;

/* ---- libcurl's multi on the loop ------------------------------------------------------------- */

/* The caller hears of it here, outside of libcurl's callbacks: it may start and end others. */
static void reap(void)
{
	int left;

	for (CURLMsg *m; (m = curl_multi_info_read(lc.multi, &left));) {
		CURLcode res = m->data.result;
		char *arg = NULL;

		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &arg);
		lc.on_done(arg, res);
	}
}

static void run(curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(lc.multi, fd, what, &running);
	reap();
}

static void on_io(struct ev_loop *ev, ev_io *w, int revents)
{
	(void)ev;
	run(w->fd, (revents & EV_READ ? CURL_CSELECT_IN : 0) |
			   (revents & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(void *arg)
{
	(void)arg;
	run(CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl: watch FD for WHAT. The watcher lives in what curl_multi_assign() keeps for us. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *kept)
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
		ev_init(w, on_io);
		curl_multi_assign(lc.multi, fd, w);
	}
	ev_io_set(
		w, fd, (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
	ev_io_start(loop_ev(), w);
	return 0;
}

static int on_timeout(CURLM *multi, long ms, void *arg)
{
	(void)multi, (void)arg;
	if (ms < 0)
		loop_timer_cancel(&lc.timer);
	else
		loop_timer_in(&lc.timer, ms);
	return 0;
}

int line_curl_init(void (*on_done)(void *arg, CURLcode res))
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return CM_EIO;
	lc.multi = curl_multi_init();
	if (!lc.multi)
		return CM_EIO;
	lc.on_done = on_done;
	loop_timer_init(&lc.timer, on_timer, NULL);
	curl_multi_setopt(lc.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(lc.multi, CURLMOPT_TIMERFUNCTION, on_timeout);
	curl_multi_setopt(lc.multi, CURLMOPT_MAXCONNECTS, 65536L); /* beyond it, live ones close */
	return CM_OK;
}

void line_curl_done(void)
{
	loop_timer_cancel(&lc.timer);
	curl_multi_cleanup(lc.multi);
	curl_global_cleanup();
	lc.multi = NULL;
}

/* ---- one connection -------------------------------------------------------------------------- */

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

/* A write that the socket did not take is repeated from wherever our buffer is by then, and whole
 * records count as sent. TCP may end without TLS ending first: a reply says itself where it ends. */
static CURLcode on_tls(CURL *easy, void *ctx, void *arg)
{
	(void)easy, (void)arg;
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	return CURLE_OK;
}

/* Of the system's CAs only the bundle is used: libcurl keeps that in memory once, for all. */
static void set_tls(CURL *easy, const struct line_conf *conf)
{
	set_option(easy, CURLOPT_USE_SSL, (long)(conf->plain ? CURLUSESSL_NONE : CURLUSESSL_ALL));
	set_option(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	set_option(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	set_option(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2); /* RFC 8997 */
	set_option(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	set_option(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls);
	set_option(easy, CURLOPT_CAPATH, NULL);
	if (conf->ca_pem)
		set_option(easy, CURLOPT_CAINFO_BLOB,
			(&(struct curl_blob){ .data = (void *)(uintptr_t)conf->ca_pem,
				.len = strlen(conf->ca_pem),
				.flags = CURL_BLOB_COPY }));
}

static void set_login(CURL *easy, const struct line_conf *conf)
{
	if (!conf->user)
		return;
	set_option(easy, CURLOPT_USERNAME, conf->user);
	if (conf->bearer) {
		set_option(easy, CURLOPT_LOGIN_OPTIONS, "AUTH=XOAUTH2");
		set_option(easy, CURLOPT_XOAUTH2_BEARER, conf->bearer);
	} else {
		set_option(easy, CURLOPT_LOGIN_OPTIONS, "AUTH=PLAIN;AUTH=LOGIN");
		set_option(easy, CURLOPT_PASSWORD, conf->password);
	}
}

/* libcurl's own limits (300 s to connect, 120 s a reply) are put out of the way: ours decides. */
static void set_limits(CURL *easy, int64_t limit_ms)
{
	long beyond_ms = (long)(limit_ms + CLOCK_MINUTE_MS);

	set_option(easy, CURLOPT_CONNECTTIMEOUT_MS, beyond_ms);
	set_option(easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, beyond_ms / 1000);
}

CURL *line_curl_start(const struct line_curl_conf *conf)
{
	CURL *easy = curl_easy_init();
	char *url = url_with_helo(conf->line->url, conf->line->helo);

	bug_if(!easy, "curl_easy_init");
	set_option(easy, CURLOPT_URL, url);
	free(url);
	set_option(easy, CURLOPT_PRIVATE, conf->arg);
	set_option(easy, CURLOPT_ERRORBUFFER, conf->error);
	set_option(easy, CURLOPT_HEADERFUNCTION, conf->on_header);
	set_option(easy, CURLOPT_HEADERDATA, conf->arg);
	set_option(easy, CURLOPT_CONNECT_ONLY, 1L);
	set_option(easy, CURLOPT_FRESH_CONNECT, 1L);
	set_option(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	set_option(easy, CURLOPT_PROXY, "");
	set_option(easy, CURLOPT_NOSIGNAL, 1L);
	/* Without this, ending a connection waits for its resolver thread. */
	set_option(easy, CURLOPT_QUICK_EXIT, 1L);
	set_tls(easy, conf->line);
	set_login(easy, conf->line);
	set_limits(easy, conf->line->connect_timeout_ms);

	CURLMcode res = curl_multi_add_handle(lc.multi, easy);
	bug_if(res, "curl_multi_add_handle: %s", curl_multi_strerror(res));
	return easy;
}

void line_curl_end(CURL *easy)
{
	curl_multi_remove_handle(lc.multi, easy);
	curl_easy_cleanup(easy);
}
