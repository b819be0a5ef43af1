/*
 * Line connections: one text-protocol connection (SMTP now, IMAP later) on the loop. libcurl does
 * DNS, TCP, TLS, greeting, EHLO and login asynchronously with CURLOPT_CONNECT_ONLY; from there this
 * file moves the bytes with curl_easy_send/recv. It knows lines, not what they mean.
 * Runs on: loop. Never blocks, never retries. Together with core/http.c the only user of CURLM.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int line_init(void) __attribute__((warn_unused_result));
void line_done(void);

struct line;

/* Zeroes are the safe choice: nothing goes over a connection without TLS, whose certificate is valid
 * and has the name of the host. Strings are borrowed, during line_open() only. */
struct line_conf {
	const char *url; /* smtp://HOST[:PORT]: STARTTLS; smtps://HOST[:PORT]: TLS at once */
	bool plain; /* smtp:// without TLS: mails, and a login, can be read on the way */
	const char *ca_pem; /* the only CAs that are trusted, as PEM; NULL: the system's */
	const char *helo; /* name for EHLO */
	const char *user; /* NULL: no login. With one, GREETING has to prove it (on_open) */
	const char *password; /* for PLAIN or LOGIN (RFC 4954), NULL with a bearer */
	const char *bearer; /* an access token, for XOAUTH2 */
	int64_t connect_timeout_ms; /* from its turn (line_open()) until on_open; RFC 5321 4.5.3.2
	                               has 5 min a reply */
	size_t line_max; /* a longer line ends the connection with CM_EPROTO; 0: 8192 */
};

/* A copy with strings of its own, for who connects more than once; line_conf_done() wipes and frees
 * them. */
struct line_conf line_conf_copy(const struct line_conf *c);
void line_conf_done(struct line_conf *c);

/* All are called in a later turn than the call that caused them, never from inside a line_*()
 * call. Inside any of them the callee may call line_close(). */
struct line_events {
	/* Connected. With a user it is logged in if GREETING says so: libcurl goes on without a
	 * login where none is offered. GREETING holds every line the server sent so far
	 * (the greeting, the replies to EHLO, STARTTLS, EHLO again, AUTH), without line ends, one
	 * per element. */
	void (*on_open)(void *arg, const char *const *greeting, size_t n);
	/* Or NULL. After on_open: a line that came in one piece with the last of GREETING, and that
	 * nobody asked for; as on_line. Under TLS such a line is lost. */
	void (*on_rest)(void *arg, const char *text, size_t n);
	/* One complete line without its CRLF (a lone LF ends a line, too), NUL-terminated; it may
	 * contain NULs: n counts. Borrowed during the call. */
	void (*on_line)(void *arg, const char *text, size_t n);
	/* The kernel has taken every byte written so far. */
	void (*on_flushed)(void *arg);
	/* The end, once: ERR is why (CM_ECLOSED: the peer closed; CM_ECONN, CM_ETIMEDOUT, CM_EPROTO;
	 * CM_ETLS: no TLS, or a certificate that proves nothing; CM_EAUTH: the login was refused, or
	 * none that is offered is known). DETAIL is libcurl's or the system's text for people, and before on_open also the last
	 * line of the server (GREETING as above; it may be a 4xx or 5xx greeting). Lines received
	 * before the end were delivered before it. The struct line is gone afterwards; during the
	 * call line_sent() may still be asked. */
	void (*on_end)(
		void *arg, int err, const char *detail, const char *const *greeting, size_t n);
};

/* Connects, when it is its turn: of many that are opened at once a few begin in each turn of the loop.
 * Always succeeds; failures arrive in on_end. ARG and EVENTS are borrowed until
 * on_end or line_close(). */
struct line *line_open(const struct line_conf *conf, const struct line_events *events, void *arg);

/* Queues bytes; what the kernel takes at once leaves at once. Copies. */
void line_write(struct line *l, const void *p, size_t n);
/* Bytes accepted by the kernel since on_open, and bytes queued since on_open: a byte at offset
 * below line_sent() may be at the peer, one at or above it is certainly not. */
uint64_t line_sent(const struct line *l);
uint64_t line_queued(const struct line *l);

/* Closes at once and silently (no on_end); unsent bytes are dropped. NULL is accepted. */
void line_close(struct line *l);

/* While the caller waits for the peer, virtual time must stand still: each line counts as
 * outstanding (loop_hold) from line_open() to on_open, and whenever this was set. */
void line_expect(struct line *l, bool waiting);
