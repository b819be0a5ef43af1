/*
 * Mail: bytes on the wire. Composes one message (GMime) and speaks one SMTP dialogue over
 * core/line. Judges nothing: it says at which stage the server said what, and whether the final
 * dot left; what that means is flow/trouble.c's. Knows no lead, store or mailbox policy.
 * Runs on: loop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coldmail/line.h"
#include "coldmail/str.h"

int mail_init(void) __attribute__((warn_unused_result)); /* g_mime_init */

/* ---- composing ------------------------------------------------------------------------------ */

/* The version of everything that decides the bytes of a message. A change of the bytes for the
 * same struct mail_message is a change of this number. */
#define MAIL_RENDERER 2

/* Every member is UTF-8 and may be NULL where "or NULL" stands. Borrowed during the call. */
struct mail_message {
	const char *from_name; /* or NULL */
	const char *from; /* canonical address */
	const char *to; /* canonical address */
	const char *reply_to; /* or NULL */
	const char *subject;
	const char *body; /* text with LF line ends, without footer */
	const char *opt_out_line;
	const char *organisation;
	const char *postal_address;
	const char *unsubscribe_url; /* or NULL: one-click (RFC 8058) at URL/TOKEN */
	const char *unsubscribe_token; /* with a URL: of whom the mail goes to */
	const char *message_id; /* with its angle brackets */
	const char *in_reply_to; /* or NULL: with angle brackets */
	const char *references; /* or NULL: ids with angle brackets, separated by spaces */
	int64_t date_ms; /* wall time; written as UTC */
};

/* Composes the message: RFC 5322 headers, text/plain; charset=utf-8, quoted-printable (or 7bit
 * when pure ASCII with short lines), CRLF line ends only, not dot-stuffed; footer (opt-out line with
 * the unsubscribe link, organisation, postal address) and List-Unsubscribe headers (RFC 2369, RFC 8058)
 * added here. A
 * pure function of its argument: same struct, same bytes. No control character reaches a header.
 * RET_SHA256 gets 64 hex digits and a NUL. CM_EINVAL: an address or a header value is unusable. */
int mail_compose(const struct mail_message *m, struct str *ret_bytes, char ret_sha256[65])
	__attribute__((warn_unused_result));

/* "<hex@domain-of-from>": fixed per ledger KEY and sender; SECRET (32 bytes) keys the hash, so that
 * nobody outside can guess another one. The caller owns the result. */
char *mail_message_id(const uint8_t secret[32], const char *key, const char *from)
	__attribute__((warn_unused_result));

/* ---- SMTP ----------------------------------------------------------------------------------- */

/* Where in the dialogue something was said or happened. */
#define MAIL_STAGES(X)                                                                             \
	X(CONNECT, "connect")                                                                      \
	X(GREET, "greet")                                                                          \
	X(EHLO, "ehlo")                                                                            \
	X(AUTH, "auth")                                                                            \
	X(IDLE, "idle")                                                                            \
	X(MAIL, "mail")                                                                            \
	X(RCPT, "rcpt")                                                                            \
	X(DATA, "data") X(BODY, "body") X(DOT, "dot") X(RSET, "rset") X(QUIT, "quit")
enum mail_stage {
#define X(name, text) MAIL_STAGE_##name,
	MAIL_STAGES(X)
#undef X
};
const char *mail_stage_name(enum mail_stage s);

/* What is certain about one mail. By our own state, never by a code alone:
 *   SENT       a complete 2xx reply to the dot
 *   REFUSED    a complete 4xx or 5xx reply that says no to this mail; or, said by ourselves, the
 *              552 5.3.4 of a server whose EHLO told that it takes no mail of this size
 *   NOT_SENT   the last byte of CRLF.CRLF was never handed to the kernel
 *   UNCERTAIN  the dot may have left and no complete reply came, or a no and then another word */
#define MAIL_OUTCOMES(X)                                                                           \
	X(SENT, "sent") X(REFUSED, "refused") X(NOT_SENT, "not_sent") X(UNCERTAIN, "uncertain")
enum mail_outcome {
#define X(name, text) MAIL_OUTCOME_##name,
	MAIL_OUTCOMES(X)
#undef X
};
const char *mail_outcome_name(enum mail_outcome o);

struct mail_verdict {
	enum mail_outcome outcome;
	enum mail_stage stage; /* where it was decided */
	int code; /* reply code 200..599; 0: no reply decided it */
	char enhanced[12]; /* RFC 3463, "5.1.1"; "" when there is none */
	char text[512]; /* the reply folded to one line, without code; or what failed locally;
	                          printable UTF-8 only */
	char queue_id[64]; /* from a 250 to the dot, best effort; "" */
	char message_id[128]; /* another Message-ID that the server gave the mail, from the same
	                         250, with its angle brackets; "" */
	int err; /* enum cm_err when no reply decided it: CM_ETIMEDOUT, CM_ECLOSED, … */
	bool at_token_server; /* it is the token server's, or about the way to it */
	int64_t delay_ms[3]; /* connect (0 on reuse) / envelope and body / dot to reply */
};

/* V for people: what was said, and behind it what somebody can do about it, where that is known. URL
 * is the server's, TOKEN_URL the token server's ("": the login is not by token). The caller owns it. */
char *mail_explain(const struct mail_verdict *v, const char *url, const char *token_url)
	__attribute__((warn_unused_result));

/* ---- OAuth 2.0 ------------------------------------------------------------------------------- */

/* The access tokens of one login, made from its refresh token (RFC 6749 6). Counted. */
struct mail_oauth;

/* Borrowed during mail_oauth_new(). */
struct mail_oauth_conf {
	const char *token_url, *client_id;
	const char *client_secret; /* "" : none */
	const char *refresh_token;
	const char *ca_pem; /* of the token server; NULL: the system's */
	const char *file; /* keeps the refresh token that a server gave instead (mode 0600) */
};

struct mail_oauth *mail_oauth_new(const struct mail_oauth_conf *c);
struct mail_oauth *mail_oauth_ref(struct mail_oauth *o); /* NULL is accepted, and by unref */
void mail_oauth_unref(struct mail_oauth *o);
/* A token server was asked and has not answered, or its answer is not on disk yet: what it gave would be
 * lost with the process. Lasts 30 s and the time to write at most. */
bool mail_oauth_is_busy(void);
void mail_oauth_on_idle(void (*fn)(void)); /* FN is called whenever that is over */
void mail_oauth_done(void); /* the end of the process: waits for what is being written */

/* ---- SMTP, one connection -------------------------------------------------------------------- */

struct mail_smtp;

struct mail_smtp_conf {
	struct line_conf line; /* where to, and as who; borrowed during mail_smtp_open() */
	/* Timeouts in ms; 0: RFC 5321 4.5.3.2 (connecting 5 min, MAIL and RCPT 5 min, DATA 2 min,
	 * each block of the body 3 min, the dot 10 min). */
	int64_t command_ms, data_ms, block_ms, dot_ms;
	int64_t idle_ms; /* QUIT after so long without a mail; 0: 30 s */
	struct mail_oauth *oauth; /* gives line.bearer before each connecting; NULL: as it is.
				     Referenced until mail_smtp_free() */
	int mails_max; /* QUIT after so many mails; 0: any number */
};

/* Called in a later turn than the call that caused them. ARG as given to mail_smtp_open(). */
struct mail_smtp_events {
	/* Logged in and idle: mail_smtp_send() may be called. After the first opening, and again after
	 * each on_verdict when the connection can be used for another mail: not after mails_max, nor
	 * after a refusal at the dot. */
	void (*on_ready)(void *arg);
	/* The whole body was taken by the kernel and the server said 354. The caller makes its slot
	 * durable and then calls mail_smtp_dot() or mail_smtp_abort(), once, in any later turn or
	 * now. */
	void (*on_at_dot)(void *arg);
	/* The fate of the mail given to mail_smtp_send(), exactly once per mail. Reading V ends with
	 * the call. Either on_ready or on_end follows. */
	void (*on_verdict)(void *arg, const struct mail_verdict *v);
	/* The connection is gone; once, the last call. A mail under way had its on_verdict before. V
	 * says where and why (connect failures, 421 on an idle connection, our own QUIT: code 221). */
	void (*on_end)(void *arg, const struct mail_verdict *v);
};

struct mail_smtp *mail_smtp_open(
	const struct mail_smtp_conf *conf, const struct mail_smtp_events *events, void *arg);

/* Who a mail is from and to, and what a report of its fate shall call it. */
struct mail_envelope {
	const char *from, *to;
	const char *id; /* NULL: nothing. Printable ASCII; ENVID (RFC 3461) where DSN is offered */
};

/* Starts the dialogue for one mail. Only between on_ready and the next on_verdict or on_end. FROM
 * and TO are checked (no CR, LF, space, <, >: injection): CM_EINVAL and nothing started. E and BYTES
 * are copied; the mail is dot-stuffed and its bare CRs and LFs become CRLF on the way. A server that closed
 * an idle connection (421 or EOF as the first answer on a reused one) is reconnected once, unseen.
 * CM_ESTATE: the connection is not idle or has just ended (on_end follows); nothing started. */
int mail_smtp_send(struct mail_smtp *s, const struct mail_envelope *e, const char *bytes, size_t n)
	__attribute__((warn_unused_result));
/* Nothing happens when the mail got its verdict in the meantime: the server hung up while the slot
 * was made durable. The same holds for mail_smtp_abort(). */
void mail_smtp_dot(struct mail_smtp *s);
/* Closes the connection without the dot: on_verdict (NOT_SENT, CM_ECANCELED), then on_end. */
void mail_smtp_abort(struct mail_smtp *s);
/* true: mail_smtp_send() would be taken now. */
bool mail_smtp_is_idle(const struct mail_smtp *s);
/* true: mail_smtp_dot() was called and no verdict yet. */
bool mail_smtp_is_past_dot(const struct mail_smtp *s);
/* What a connection waits for, for people, and how long at most. */
struct mail_wait {
	const char *what; /* "the server's answer to the dot"; static */
	const char *limit; /* "dot limit"; static */
	int64_t limit_ms;
	int64_t until_ms; /* boot */
};
/* false: it waits for nobody, or for its caller; *RET is untouched then. */
bool mail_smtp_waits(const struct mail_smtp *s, struct mail_wait *ret);
/* Idle: QUIT, wait at most 2 s, on_end. With a mail before its dot: as abort. Past the dot: QUIT
 * after the verdict. Between two mails (RSET): QUIT when the server answers, within 2 s. */
void mail_smtp_quit(struct mail_smtp *s);
/* Frees at once, without any callback; a mail past its dot is the caller's to write down. After
 * on_end, or inside any callback, too. NULL is accepted. */
void mail_smtp_free(struct mail_smtp *s);

/* ---- what a reply says about whom ------------------------------------------------------------ */

/* Who is at fault (what follows is flow/trouble.c's). */
#define MAIL_CLASSES(X)                                                                            \
	X(SENT, "sent")                                                                            \
	X(RECIPIENT_PERMANENT, "recipient-permanent")                                              \
	X(RECIPIENT_TRANSIENT, "recipient-transient")                                              \
	X(GREYLISTED, "greylisted")                                                                \
	X(MAILBOX_THROTTLED, "mailbox-throttled")                                                  \
	X(MAILBOX_BLOCKED, "mailbox-blocked")                                                      \
	X(AUTH_FAILED, "auth-failed")                                                              \
	X(SERVER_TRANSIENT, "server-transient")                                                    \
	X(CONTENT_REJECTED, "content-rejected") X(UNKNOWN, "unknown")
enum mail_class {
#define X(name, text) MAIL_CLASS_##name,
	MAIL_CLASSES(X)
#undef X
};
const char *mail_class_name(enum mail_class c);

/* Who said it: the server that takes our mail, in the dialogue with it, or another one, quoted in a
 * bounce. */
enum mail_where { MAIL_WHERE_SUBMISSION, MAIL_WHERE_DSN };

struct mail_ruling {
	enum mail_class class;
	const char *reason; /* "user-unknown", "daily-limit": a row's word; the table's memory */
};

/* A table of rows (config/reply_classes.tsv). */
struct mail_classes;
/* The built-in rows, behind those of TEXT, a file that people know as NAME (TEXT NULL: no such).
 * CM_EINVAL: RET_PROBLEMS has "NAME:LINE: what, and what was expected\n" for each. */
int mail_classes_new(const char *name, const char *text, struct mail_classes **ret,
	struct str *ret_problems) __attribute__((warn_unused_result));
void mail_classes_free(struct mail_classes *t); /* NULL is accepted */

/* Judges a reply. STAGE is where in our dialogue it came (of a bounce: not looked at); CODE, ENHANCED
 * ("" : none) and TEXT as in struct mail_verdict. A 2xx is SENT. */
struct mail_ruling mail_classify(struct mail_classes *t, enum mail_where where,
	enum mail_stage stage, int code, const char *enhanced, const char *text);
