/*
 * Inside the SMTP client, five files: smtp.c is the door and the connection, smtp_machine.c the
 * dialogue; smtp_wire.c (what goes out), smtp_reply.c (what comes back) and smtp_hello.c (how it
 * began) are pure.
 * Runs on: loop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coldmail/line.h"
#include "coldmail/loop.h"
#include "coldmail/mail.h"
#include "coldmail/str.h"

/* ---- replies (smtp_reply.c) ------------------------------------------------------------------ */

#define MAIL_REPLY_LINES_MAX 100

/* One reply, fed line by line. Zero-initialise it; feeding a finished one starts the next. */
struct mail_reply {
	int code; /* 200..599 */
	size_t lines;
	bool is_done;
	char enhanced[12]; /* RFC 3463; "" when there is none */
	char text[512]; /* the lines' texts, joined by spaces: printable UTF-8 */
	size_t len; /* of text */
};

enum mail_reply_feed { MAIL_REPLY_MORE, MAIL_REPLY_DONE, MAIL_REPLY_GARBAGE };

/* TEXT is one line without its end; it may hold NULs. After GARBAGE, code is 0 and text says what
 * came. */
enum mail_reply_feed mail_reply_feed(struct mail_reply *r, const char *text, size_t n);
/* The server's names for the mail, from a 2xx reply to the dot; "" when no known form is in it. */
void mail_reply_ids(const struct mail_reply *r, char ret_queue_id[64], char ret_message_id[128]);

/* ---- how it began (smtp_hello.c) ------------------------------------------------------------- */

/* What a server's EHLO offers, the last one: under TLS the one that was said there. */
struct mail_offers {
	bool pipelining; /* RFC 2920 */
	bool eightbit; /* RFC 6152 */
	bool dsn; /* RFC 3461 */
	bool size; /* RFC 1870 */
	int64_t size_max; /* bytes of the largest mail it takes; 0: it does not say */
	char auth[64]; /* RFC 4954: how one may log in, printable; "": not at all */
};

/* What a server said until it was ready. */
struct mail_hello {
	struct mail_reply last; /* the last complete reply; code 0: none */
	enum mail_stage stage; /* where the last word was, or was still to be, said */
	bool is_open; /* EHLO or HELO was accepted, and so was what came after it */
	bool is_logged_in; /* 235, in answer to AUTH */
	bool has_tried; /* AUTH was answered, whatever with */
	struct mail_offers offers;
};

/* What libcurl was told to do between the greeting and the first mail. */
struct mail_hello_way {
	bool starttls, login;
};

void mail_hello_read(
	const char *const *lines, size_t n, struct mail_hello_way way, struct mail_hello *ret);

/* ---- the wire (smtp_wire.c) ------------------------------------------------------------------ */

/* true: can stand between < and > in a command as it is (RFC 5321 4.1.2, without SMTPUTF8): no control
 * character or 8-bit byte, and no space or angle bracket but inside quotes, so that no address is ever two
 * commands or two parameters. */
bool mail_is_wire_address(const char *address);

/* A mail as the commands before it name it. */
struct mail_wire {
	char *from, *to, *id; /* id: NULL: none */
	size_t size;
	bool is_8bit;
};

bool mail_has_8bit(const char *bytes, size_t n);
/* Each appends a command, with the parameters that the server takes. */
void mail_add_mail_from(
	struct str *out, const struct mail_offers *offers, const struct mail_wire *w);
void mail_add_rcpt_to(struct str *out, const struct mail_offers *offers, const struct mail_wire *w);

/* Appends BYTES as they go after 354: every line end CRLF (a bare CR or LF is one, too: a server
 * that sees another end of the mail than we do is how mails are smuggled), the last line ended, a
 * leading dot doubled (RFC 5321 4.5.2). The lone dot is not part of it. */
void mail_dot_stuff(struct str *out, const char *bytes, size_t n);

/* ---- the machine (smtp_machine.c) ------------------------------------------------------------ */

/* Each state is named after the reply, or the caller's word, that is waited for. */
#define SMTP_STATES(X)                                                                             \
	X(CONNECT, "connect")                                                                      \
	X(IDLE, "idle")                                                                            \
	X(MAIL, "mail")                                                                            \
	X(RCPT, "rcpt")                                                                            \
	X(DATA, "data")                                                                            \
	X(DRAIN_RCPT, "drain_rcpt")                                                                \
	X(DRAIN_DATA, "drain_data")                                                                \
	X(LONE_DOT, "lone_dot")                                                                    \
	X(BODY, "body")                                                                            \
	X(AT_DOT, "at_dot")                                                                        \
	X(DOT, "dot")                                                                              \
	X(DOT_REFUSED, "dot_refused") X(RSET, "rset") X(QUIT, "quit") X(GONE, "gone")
enum smtp_state {
#define X(name, text) SMTP_##name,
	SMTP_STATES(X)
#undef X
};
#define SMTP_STATE_N (SMTP_GONE + 1)

enum smtp_event {
	ON_2XX,
	ON_3XX,
	ON_4XX,
	ON_5XX,
	ON_421,
	ON_GARBAGE,
	ON_FLUSHED,
	ON_TIMER,
	ON_LOST,
	SMTP_EVENT_N
};

enum smtp_limit {
	LIMIT_NONE,
	LIMIT_COMMAND,
	LIMIT_DATA,
	LIMIT_BLOCK,
	LIMIT_DOT,
	LIMIT_IDLE,
	LIMIT_QUIT,
	SMTP_LIMIT_N
};

/* What the caller has yet to be told; one a time, the lowest first. */
enum smtp_notice { TELL_VERDICT = 1, TELL_AT_DOT = 2, TELL_READY = 4, TELL_END = 8 };

struct mail_smtp {
	const struct mail_smtp_events
		*events; /* borrowed: from the caller, until mail_smtp_free() */
	void *arg; /* borrowed likewise */
	struct line_conf conf; /* owned: line_conf_done() */
	struct mail_oauth *oauth; /* a reference; NULL: none */
	struct mail_oauth_ask *ask; /* for a token to connect with; NULL: none is waited for */
	int64_t limit_ms[SMTP_LIMIT_N];
	struct mail_hide *hide; /* owned: the secrets of the login; NULL: none */
	struct line *line; /* owned; NULL: no connection */
	struct mail_reply reply;
	enum smtp_state state;
	struct loop_timer timer;
	struct loop_defer tell;
	unsigned notices; /* bits of enum smtp_notice */
	bool is_calling; /* inside a callback: mail_smtp_free() must leave us our memory */
	bool is_freed; /* it was called there */
	struct mail_offers offers;
	bool has_mail; /* a mail is under way and has no verdict yet */
	bool is_reused; /* the connection has carried a mail before */
	bool is_quit_wanted; /* QUIT when the mail under way is over */
	int mails, mails_max; /* how many had their verdict; 0: any number may */
	struct mail_wire mail; /* the last mail given; its strings are owned */
	struct str body; /* likewise; stuffed */
	uint64_t dot_end; /* where the dot ends, as line_queued(); 0: not written */
	uint64_t sent; /* line_sent() when the state was entered or the line ended */
	int lost_err; /* why the line ended */
	const char *lost_why; /* borrowed: during ON_LOST */
	/* In DOT_REFUSED what was said, before it is the mail's fate. */
	struct mail_verdict verdict;
	struct mail_verdict end;
	int64_t waits_at_ms; /* boot: CONNECT: since when for its line, or for a token before that */
	/* Boot times, 0: not yet. Since the last verdict. */
	int64_t connect_at_ms, connected_at_ms, mail_at_ms, body_at_ms, dot_at_ms, answered_at_ms;
};

void mail_smtp_set_state(struct mail_smtp *s, enum smtp_state to, const char *why);
/* EV has happened; the table says what that means. */
void mail_smtp_step(struct mail_smtp *s, enum smtp_event ev);
/* The first command of the mail given; in CONNECT or IDLE. */
void mail_smtp_start(struct mail_smtp *s);
/* Connected, or the last mail is over: tells the caller, or quits when that is wanted. */
void mail_smtp_go_idle(struct mail_smtp *s);
void mail_smtp_start_quit(struct mail_smtp *s);
/* The connection ends for the reason V, and so does a mail under way. */
void mail_smtp_finish(struct mail_smtp *s, const struct mail_verdict *v);
/* The same, for a reason that is not a reply. */
void mail_smtp_fail(struct mail_smtp *s, int err, const char *why);

/* ---- the connection (smtp.c) ----------------------------------------------------------------- */

void mail_smtp_connect(struct mail_smtp *s);
void mail_smtp_tell(struct mail_smtp *s, enum smtp_notice what);
