/*
 * One libcurl multi handle on the loop: what line connections and HTTP exchanges have in common. Each
 * has its own, so that neither can wait for the other.
 * Runs on: loop. Private to src/core.
 */
#pragma once

#include <curl/curl.h>

#include "coldmail/loop.h"

struct multi {
	CURLM *curl; /* owned */
	struct loop_timer timer;
	void (*on_done)(void *arg, CURLcode res);
	/* NULL, or told before libcurl reads from FD for the handle with this CURLOPT_PRIVATE. */
	void (*on_input)(void *arg, curl_socket_t fd);
};

/* ON_DONE(ARG, RES) is told, outside of libcurl's own callbacks, how each handle ended; ARG is its
 * CURLOPT_PRIVATE. CM_EIO: libcurl does not start. M stays where it is until multi_done(). */
int multi_init(struct multi *m, void (*on_done)(void *arg, CURLcode res))
	__attribute__((warn_unused_result));
void multi_done(struct multi *m); /* after the last handle was removed */

void multi_add(struct multi *m, CURL *easy);
void multi_remove(
	struct multi *m, CURL *easy); /* closes its connection, if it has one of its own */

/* An option that this libcurl has to know. */
#define multi_set(easy, option, value)                                                             \
	do {                                                                                       \
		CURLcode res_ = curl_easy_setopt((easy), (option), (value));                       \
		bug_if(res_, "curl: " #option ": %s", curl_easy_strerror(res_));                   \
	} while (0)
