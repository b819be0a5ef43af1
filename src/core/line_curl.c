/*
 * How libcurl connects for core/line.c: every option of a connection, TLS and login among them.
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
#include "coldmail/mem.h"

#include "multi_private.h"

static struct multi multi;

int line_curl_init(
	void (*on_done)(void *arg, CURLcode res), void (*on_input)(void *arg, curl_socket_t fd))
{
	int err = multi_init(&multi, on_done);

	multi.on_input = on_input;

	if (!err) /* beyond it, live ones close */
		curl_multi_setopt(multi.curl, CURLMOPT_MAXCONNECTS, 65536L);
	return err;
}

void line_curl_done(void)
{
	multi_done(&multi);
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
	multi_set(easy, CURLOPT_USE_SSL, (long)(conf->plain ? CURLUSESSL_NONE : CURLUSESSL_ALL));
	multi_set(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	multi_set(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	multi_set(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2); /* RFC 8997 */
	multi_set(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	multi_set(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls);
	multi_set(easy, CURLOPT_CAPATH, NULL);
	if (conf->ca_pem)
		multi_set(easy, CURLOPT_CAINFO_BLOB,
			(&(struct curl_blob){ .data = (void *)(uintptr_t)conf->ca_pem,
				.len = strlen(conf->ca_pem),
				.flags = CURL_BLOB_COPY }));
}

static void set_login(CURL *easy, const struct line_conf *conf)
{
	if (!conf->user)
		return;
	multi_set(easy, CURLOPT_USERNAME, conf->user);
	if (conf->bearer) {
		multi_set(easy, CURLOPT_LOGIN_OPTIONS, "AUTH=XOAUTH2");
		multi_set(easy, CURLOPT_XOAUTH2_BEARER, conf->bearer);
	} else {
		multi_set(easy, CURLOPT_LOGIN_OPTIONS, "AUTH=PLAIN;AUTH=LOGIN");
		multi_set(easy, CURLOPT_PASSWORD, conf->password);
	}
}

/* libcurl's own limits (300 s to connect, 120 s a reply) are put out of the way: ours decides. */
static void set_limits(CURL *easy, int64_t limit_ms)
{
	long beyond_ms = (long)(limit_ms + CLOCK_MINUTE_MS);

	multi_set(easy, CURLOPT_CONNECTTIMEOUT_MS, beyond_ms);
	multi_set(easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, beyond_ms / 1000);
}

CURL *line_curl_new(const struct line_curl_conf *conf)
{
	CURL *easy = curl_easy_init();
	char *url = url_with_helo(conf->line->url, conf->line->helo);

	bug_if(!easy, "curl_easy_init");
	multi_set(easy, CURLOPT_URL, url);
	free(url);
	multi_set(easy, CURLOPT_PRIVATE, conf->arg);
	multi_set(easy, CURLOPT_ERRORBUFFER, conf->error);
	multi_set(easy, CURLOPT_HEADERFUNCTION, conf->on_header);
	multi_set(easy, CURLOPT_HEADERDATA, conf->arg);
	multi_set(easy, CURLOPT_CONNECT_ONLY, 1L);
	multi_set(easy, CURLOPT_FRESH_CONNECT, 1L);
	multi_set(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	multi_set(easy, CURLOPT_PROXY, "");
	multi_set(easy, CURLOPT_NOSIGNAL, 1L);
	/* Without this, ending a connection waits for its resolver thread. */
	multi_set(easy, CURLOPT_QUICK_EXIT, 1L);
	set_tls(easy, conf->line);
	set_login(easy, conf->line);
	set_limits(easy, conf->line->connect_timeout_ms);
	return easy;
}

void line_curl_start(CURL *easy)
{
	multi_add(&multi, easy);
}

void line_curl_end(CURL *easy)
{
	multi_remove(&multi, easy); /* which is none that was not started, too */
	curl_easy_cleanup(easy);
}

void *line_curl_tls(CURL *easy)
{
	const struct curl_tlssessioninfo *info = NULL;
	CURLcode res = curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &info);

	return res == CURLE_OK && info ? info->internals : NULL;
}

void line_curl_read_ahead(void *tls)
{
	if (tls)
		SSL_set_read_ahead(tls, 1);
}

bool line_curl_holds_more(void *tls)
{
	return tls && SSL_has_pending(tls);
}
