/*
 * What comes in one piece with the last line that libcurl wants is lost in libcurl. A server that lets us
 * in and turns us away at once says there why. In the clear it can be looked at before libcurl reads it.
 * Runs on: loop. Called by core/line.c while a line connects.
 * Never: takes a byte from libcurl, understands what a line says.
 */
#include "line_private.h"

#include <string.h>
#include <sys/socket.h>

#define LOOK 16384 /* what libcurl reads at a time */

void line_rest_done(struct line_rest *r)
{
	str_done(&r->bytes);
	r->at = 0;
}

void line_rest_peek(struct line_rest *r, curl_socket_t fd)
{
	char buf[LOOK];
	ssize_t n = recv(fd, buf, sizeof buf, MSG_PEEK | MSG_DONTWAIT);

	str_reset(&r->bytes);
	r->at = 0;
	if (n > 0)
		str_add(&r->bytes, buf, (size_t)n);
}

/* Older ones, which it had kept, are none of these. */
void line_rest_given(struct line_rest *r, const char *p, size_t n)
{
	if (n <= r->bytes.len - r->at && n && !memcmp(r->bytes.p + r->at, p, n))
		r->at += n;
}

/* Of what libcurl has not begun to give out nobody knows that it was read. */
char *line_rest_next(struct line_rest *r, size_t *ret_n)
{
	if (!r->at)
		return NULL;
	char *text = r->bytes.p + r->at;
	char *nl = memchr(text, '\n', r->bytes.len - r->at);

	if (!nl)
		return NULL;
	r->at += (size_t)(nl - text) + 1;
	*ret_n = (size_t)(nl - text) - (nl > text && nl[-1] == '\r');
	text[*ret_n] = '\0';
	return text;
}
