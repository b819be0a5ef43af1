/*
 * fake-smtp: the server and its connections, as main.c, conn.c and session.c share them.
 * Runs on: the one thread of fake-smtp. main.c owns the server, conn.c the bytes and the life of a
 * connection, session.c the dialogue on it, verbs.c what each command does there.
 */
#pragma once

#include <ev.h>

#include "command.h"
#include "record.h"
#include "sasl.h"
#include "script.h"
#include "tls.h"

/* On which connections AUTH is offered. */
enum auth_when {
	AUTH_ALWAYS,
	AUTH_TLS,
	AUTH_CLEAR,
};

struct server {
	struct ev_loop *loop; /* borrowed: libev's default loop */
	const char *banner; /* borrowed: from the command line */
	SSL_CTX *tls; /* owned; NULL: none */
	bool tls_first; /* before the greeting, not by STARTTLS */
	const char **users; /* owned, but not what they point to; NAME:SECRET */
	size_t user_count; /* 0: any user with any secret */
	enum auth_when auth_when;
	bool auth_optional; /* who has not logged in may send, though there are users */
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
	struct tls *tls; /* owned; NULL: in the clear */
	struct buf in, out; /* the dialogue's */
	struct buf wire_in, wire_out; /* over TLS: what it is in */

	/* session.c's: where the dialogue is. */
	enum verb due; /* tls or connect, which no command begins; any: neither */
	bool open; /* the greeting was a 220 */
	bool greeted, esmtp; /* HELO or EHLO was accepted; it was EHLO */
	bool in_data; /* between 354 and the dot */
	bool body_begun; /* its first byte was seen */
	bool line_start; /* of the body */
	bool too_big;
	bool overlong; /* a command line is being skipped */
	struct sasl sasl; /* a login under way */
	char *user; /* owned; who has logged in, or NULL */
	bool refused; /* this mail is counted in srv->refused */
	uint64_t body_bytes;
	struct mail mail;

	/* session.c's: what is being done about one verb. */
	enum verb verb;
	char *address, *parameters; /* owned; of this MAIL or RCPT */
	struct script *script; /* owned; the rules that `todo` belongs to */
	const struct action *todo, *todo_end; /* borrowed: from script, or constant */
	bool taken; /* the verb had its effect */
};

/* conn.c */
void conn_accept(struct server *srv, int fd); /* takes FD over */
void conn_delay(struct conn *c, uint64_t ms);
void conn_say(struct conn *c, const void *p, size_t n);
void conn_secure(struct conn *c); /* TLS from here on */
bool conn_is_ready(const struct conn *c); /* no handshake is under way */
void conn_end(struct conn *c); /* in good order, after all that was said */

/* say.c */
void trace(const struct conn *c, const char *mark, const char *p, size_t n); /* with --verbose */
void say(struct conn *c, int code, const char *text, size_t n); /* LF parts the lines of a reply */
void say_line(struct conn *c, const char *reply); /* one line that begins with its code */

/* verbs.c */
/* NULL: the command has its place here; otherwise the reply that says why not. */
const char *verb_refused(const struct conn *c, const struct command *cmd);
bool verb_knows_login(const struct conn *c); /* what the client said is right */
/* The verb at hand has its normal effect. The code of the reply that belongs to it, TEXT gets the
 * rest; 0: none does. */
int verb_take(struct conn *c, struct buf *text);

/* session.c */
void session_start(struct conn *c);
/* Does one thing that can be done with the input at hand. False: nothing can. */
bool session_step(struct conn *c);
void session_done(struct conn *c);
