/*
 * HTTP exchanges (coldmail/http.h), with a multi handle of their own.
 * Runs on: loop. Called by mail/oauth.c.
 * Never: follows a redirect or takes a proxy (a secret would go where nobody sent it), retries, keeps a
 * body.
 */
#include "coldmail/http.h"

#include <stdlib.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/loop.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#include "multi_private.h"

#define ANSWER_MAX_DEFAULT ((size_t)1 << 20)
#define USER_AGENT         "coldmail/" CM_VERSION

struct http {
	void (*fn)(void *arg, const struct http_answer *a);
	void *arg; /* borrowed: until fn or http_cancel() */
	CURL *easy; /* owned */
	char *form; /* owned; wiped */
	struct str body; /* wiped */
	size_t answer_max;
	bool too_long;
	char error[CURL_ERROR_SIZE];
};

static struct multi multi;

static void http_free(struct http *h)
{
	multi_remove(&multi, h->easy);
	curl_easy_cleanup(h->easy);
	mem_free_secret(h->form);
	mem_free_secret(str_take(&h->body));
	free(h);
	loop_unhold();
}

static int err_of(const struct http *h, CURLcode res)
{
	if (h->too_long)
		return CM_EFULL;
	switch (res) {
	case CURLE_OK:
		return CM_OK;
	case CURLE_OPERATION_TIMEDOUT:
		return CM_ETIMEDOUT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return CM_ETLS;
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		return CM_ECLOSED;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
		return CM_ECONN;
	default:
		return CM_EPROTO;
	}
}

static void on_done(void *arg, CURLcode res)
{
	struct http *h = arg;
	struct http_answer a = { .err = err_of(h, res), .body = str_z(&h->body), .n = h->body.len };
	long status = 0;

	curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
	if (!a.err)
		a.status = (int)status;
	else if (h->too_long)
		a.why = "the answer is too long";
	else
		a.why = *h->error ? h->error : curl_easy_strerror(res);
	h->fn(h->arg, &a);
	http_free(h);
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct http *h = arg;

	if (size * n > h->answer_max - h->body.len) {
		h->too_long = true;
		return CURL_WRITEFUNC_ERROR;
	}
	str_add(&h->body, p, size * n);
	return size * n;
}

static void set_request(struct http *h, const struct http_request *r)
{
	CURL *easy = h->easy;

	multi_set(easy, CURLOPT_URL, r->url);
	multi_set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	multi_set(easy, CURLOPT_FOLLOWLOCATION, 0L);
	multi_set(easy, CURLOPT_PROXY, ""); /* nor one that the environment names */
	multi_set(easy, CURLOPT_USERAGENT, USER_AGENT);
	multi_set(easy, CURLOPT_TIMEOUT_MS, (long)(r->timeout_ms ?: HTTP_TIMEOUT_MS));
	if (h->form)
		multi_set(easy, CURLOPT_POSTFIELDS, h->form);
	if (r->ca_pem)
		multi_set(easy, CURLOPT_CAINFO_BLOB,
			(&(struct curl_blob){ .data = (void *)(uintptr_t)r->ca_pem,
				.len = strlen(r->ca_pem),
				.flags = CURL_BLOB_COPY }));
}

struct http *http_start(
	const struct http_request *r, void (*fn)(void *arg, const struct http_answer *a), void *arg)
{
	struct http *h = xcalloc(1, sizeof *h);

	h->fn = fn;
	h->arg = arg;
	h->easy = curl_easy_init();
	bug_if(!h->easy, "curl_easy_init");
	h->form = r->form ? xstrdup(r->form) : NULL;
	h->answer_max = r->answer_max ? r->answer_max : ANSWER_MAX_DEFAULT;
	multi_set(h->easy, CURLOPT_PRIVATE, h);
	multi_set(h->easy, CURLOPT_ERRORBUFFER, h->error);
	multi_set(h->easy, CURLOPT_WRITEFUNCTION, on_body);
	multi_set(h->easy, CURLOPT_WRITEDATA, h);
	multi_set(h->easy, CURLOPT_NOSIGNAL, 1L);
	multi_set(h->easy, CURLOPT_QUICK_EXIT, 1L); /* does not wait for its resolver thread */
	set_request(h, r);
	loop_hold();
	multi_add(&multi, h->easy);
	return h;
}

bool http_is_said(const struct http *h)
{
	curl_off_t us = 0; /* from the start until bytes of the request could go */

	curl_easy_getinfo(h->easy, CURLINFO_PRETRANSFER_TIME_T, &us);
	return us > 0;
}

void http_cancel(struct http *h)
{
	if (h)
		http_free(h);
}

char *http_form_value(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0);

	bug_if(!escaped, "curl_easy_escape");
	char *ret = xstrdup(escaped);

	mem_wipe(escaped, strlen(escaped));
	curl_free(escaped);
	return ret;
}

int http_init(void)
{
	return multi_init(&multi, on_done);
}

void http_done(void)
{
	multi_done(&multi);
}
