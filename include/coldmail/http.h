/*
 * HTTP exchanges on the loop: one request, one whole answer, through libcurl. Speaks as coldmail, keeps
 * to the URL it was given and asks once: whether and when again is the caller's.
 * Runs on: loop. Never blocks, never follows a redirect, never uses a proxy, never retries.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int http_init(void) __attribute__((warn_unused_result));
void http_done(void);

struct http;

#define HTTP_TIMEOUT_MS 30000

/* Borrowed during http_start(). TLS certificates are always checked. */
struct http_request {
	const char *url; /* http:// or https:// */
	const char *form; /* POSTed as application/x-www-form-urlencoded; NULL: GET */
	const char *ca_pem; /* the only CAs that are trusted, as PEM; NULL: the system's */
	int64_t timeout_ms; /* for everything; 0: HTTP_TIMEOUT_MS */
	size_t answer_max; /* bytes; a longer answer is CM_EFULL; 0: 1 MiB */
};

struct http_answer {
	int err; /* CM_OK: a whole answer, whatever its status; CM_ECONN, CM_ETLS, CM_ETIMEDOUT,
	            CM_ECLOSED, CM_EFULL, CM_EPROTO: none */
	int status; /* 100 … 599; 0 with an err */
	const char *body; /* NUL-terminated; wiped after the call */
	size_t n;
	const char *why; /* for people, with an err; never has a secret of the request */
};

/* Starts an exchange; always succeeds. FN(ARG, answer) comes in a later turn, once, unless
 * http_cancel() came first; then the exchange is gone. */
struct http *http_start(const struct http_request *r,
	void (*fn)(void *arg, const struct http_answer *a), void *arg);
/* The request may have arrived. */
bool http_is_said(const struct http *h);
void http_cancel(struct http *h); /* at once, without a callback; NULL is accepted */

/* TEXT as a value of a form: the caller owns it, and wipes it if TEXT is a secret. */
char *http_form_value(const char *text) __attribute__((warn_unused_result));
