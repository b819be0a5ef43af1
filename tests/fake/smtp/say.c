/*
 * What fake-smtp says: replies, and with --verbose the whole dialogue on standard error.
 * Runs on: the one thread of fake-smtp. Called by session.c; conn.c sends what is said here.
 */
#include <stdio.h>
#include <string.h>

#include "server.h"

void trace(const struct conn *c, const char *mark, const char *p, size_t n)
{
	if (!c->srv->verbose)
		return;
	fprintf(stderr, "#%llu %s ", (unsigned long long)c->id, mark);
	for (size_t i = 0; i < n; i++)
		fputc((unsigned char)p[i] < ' ' || p[i] == 0x7f ? '?' : p[i], stderr);
	fputc('\n', stderr);
}

void say(struct conn *c, int code, const char *text, size_t n)
{
	const char *end = text + n, *eol;

	if (c->deaf)
		return;
	for (;; text = eol + 1) {
		size_t before = buf_len(&c->out);
		char head[4] = { (char)('0' + code / 100), (char)('0' + code / 10 % 10),
			(char)('0' + code % 10), ' ' };

		eol = memchr(text, '\n', (size_t)(end - text));
		if (eol)
			head[3] = '-';
		conn_say(c, head, sizeof(head));
		conn_say(c, text, (size_t)((eol ? eol : end) - text));
		trace(c, ">", buf_at(&c->out) + before, buf_len(&c->out) - before);
		conn_say(c, "\r\n", 2);
		if (!eol)
			return;
	}
}

void say_line(struct conn *c, const char *reply)
{
	trace(c, ">", reply, strlen(reply));
	conn_say(c, reply, strlen(reply));
	conn_say(c, "\r\n", 2);
}
