/*
 * fake-smtp: the server and its connections, as main.c, conn.c and session.c share them.
 * Runs on: the one thread of fake-smtp. main.c owns the server, conn.c the bytes and the life of a
 * connection, session.c the dialogue on it.
 */
#pragma once

#include <ev.h>

#include "command.h"
#include "record.h"
#include "script.h"

struct server {
	struct ev_loop *loop; /* borrowed: libev's default loop */
	const char *banner; /* borrowed: from the command line */
	struct caps caps;
	uint64_t size_max; /* of a mail's data */
	bool verbose, quiet;
	struct script *script; /* owned */
	struct record record;
	struct ev_io accepting;
	uint64_t connections; /* so far */
	uint64_t refused; /* mails with a 4xx or 5xx at MAIL, RCPT, DATA or the dot */
};

/* What a connection does with its input. */
enum conn_state {
	CONN_RUN, /* session.c takes it */
	CONN_DELAYED, /* it waits for the timer */
	CONN_SILENT, /* it is thrown away until the client closes */
	CONN_DROPPING, /* the same, but FIN follows our last byte */
	CONN_RESETTING, /* RST follows */
	CONN_GONE, /* to be freed */
};

struct conn {
	struct server *srv; /* borrowed: outlives it */
	uint64_t id;
	int fd;
	enum conn_state state;
	bool eof; /* the client sends no more */
	bool deaf; /* the client takes no more */
	struct ev_io readable, writable;
	struct ev_timer timer;
	struct buf in, out;

	/* session.c's: where the dialogue is. */
	bool open; /* the greeting was a 220 */
	bool greeted, esmtp; /* HELO or EHLO was accepted; it was EHLO */
	bool in_data; /* between 354 and the dot */
	bool body_begun; /* its first byte was seen */
	bool line_start; /* of the body */
	bool too_big;
	bool overlong; /* a command line is being skipped */
	bool refused; /* this mail is counted in srv->refused */
	uint64_t body_bytes;
	struct mail mail;

	/* session.c's: what is being done about one verb. */
	enum verb verb;
	char *address; /* owned; of this MAIL or RCPT */
	struct script *script; /* owned; the rules that `todo` belongs to */
	const struct action *todo, *todo_end; /* borrowed: from script, or constant */
	bool taken; /* the verb had its effect */
};

/* conn.c */
void conn_accept(struct server *srv, int fd); /* takes FD over */
void conn_delay(struct conn *c, uint64_t ms);
void conn_say(struct conn *c, const void *p, size_t n);

/* session.c */
void session_start(struct conn *c);
/* Does one thing that can be done with the input at hand. False: nothing can. */
bool session_step(struct conn *c);
void session_done(struct conn *c);
