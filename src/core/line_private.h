/*
 * Inside line connections: line.c moves lines and bytes, line_curl.c has libcurl connect, line_result.c
 * knows what its failures mean, line_rest.c has what it reads and does not give out.
 * Runs on: loop.
 */
#pragma once

#include <curl/curl.h>
#include <stdint.h>

#include "coldmail/line.h"
#include "coldmail/str.h"

/* ON_DONE(ARG, RES) is told, outside of libcurl's own callbacks, how each connecting went; ON_INPUT(ARG,
 * FD), that there is something to read which libcurl has not read yet. */
int line_curl_init(
	void (*on_done)(void *arg, CURLcode res), void (*on_input)(void *arg, curl_socket_t fd));
void line_curl_done(void);

struct line_curl_conf {
	const struct line_conf *line; /* borrowed: during line_curl_new(); libcurl's own limits
	                                 are put beyond its */
	char *error; /* CURL_ERROR_SIZE bytes; borrowed: until line_curl_end() */
	curl_write_callback on_header;
	void *arg; /* of on_header and on_done */
};

/* A handle, of which on_done hears after line_curl_start(): it connects from the next turn on. Neither
 * fails. line_curl_end() closes the connection, if there is one, at once and without a word. */
CURL *line_curl_new(const struct line_curl_conf *conf);
void line_curl_start(CURL *easy);
void line_curl_end(CURL *easy);

/* What RES and libcurl's text ERROR (line_result.c) mean: an enum cm_err, and a text that is borrowed
 * from ERROR or static. */
int line_result(CURLcode res, const char *error, const char **ret_text);

/* The TLS of a handle that connects; NULL: it has none. To be asked in on_header: later on libcurl does
 * not know any more. */
void *line_curl_tls(CURL *easy);
/* Connected: TLS (or NULL) may read more than the record it is at, one call to the system a reply
 * instead of two. Not before: libcurl would wait for what has come already. */
void line_curl_read_ahead(void *tls);
/* TLS (or NULL) has read bytes that curl_easy_recv() has not given out: no descriptor tells of them. */
bool line_curl_holds_more(void *tls);

/* ---- what libcurl reads and does not give out (line_rest.c) --------------------------------------- */

/* Zero-initialise it. */
struct line_rest {
	struct str bytes; /* that were there to be read when it was looked last */
	size_t at; /* of them: given out since, or by line_rest_next() */
};
void line_rest_done(struct line_rest *r);
void line_rest_peek(struct line_rest *r, curl_socket_t fd);
void line_rest_given(struct line_rest *r, const char *p, size_t n); /* libcurl gave these out */
/* The next whole line of what was not given out, N bytes without its end and a NUL; NULL: none. */
char *line_rest_next(struct line_rest *r, size_t *ret_n);
