/*
 * fake-smtp: the rules a test writes to make the server misbehave.
 *
 *	on VERB [to PATTERN] [from PATTERN] [after N] [times N] [every N] do ACTION [then ACTION]...
 *
 * Runs on: the one thread of fake-smtp. Knows nothing of connections: session.c asks which rule
 * fits and carries the actions out.
 */
#pragma once

#include "buf.h"

/* What a rule can be about: the moments of a dialogue. */
#define VERB_LIST(X)                                                                               \
	X(TLS, "tls")                                                                              \
	X(CONNECT, "connect")                                                                      \
	X(EHLO, "ehlo")                                                                            \
	X(HELO, "helo")                                                                            \
	X(STARTTLS, "starttls")                                                                    \
	X(AUTH, "auth")                                                                            \
	X(MAIL, "mail")                                                                            \
	X(RCPT, "rcpt")                                                                            \
	X(DATA, "data")                                                                            \
	X(BODY, "body")                                                                            \
	X(DOT, "dot")                                                                              \
	X(RSET, "rset")                                                                            \
	X(NOOP, "noop")                                                                            \
	X(QUIT, "quit")                                                                            \
	X(ANY, "any")
enum verb {
#define X(name, text) VERB_##name,
	VERB_LIST(X)
#undef X
};
const char *verb_name(enum verb v);

enum action_kind {
	ACTION_ACCEPT,
	ACTION_REPLY,
	ACTION_DELAY,
	ACTION_PARTIAL,
	ACTION_DROP,
	ACTION_RST,
	ACTION_SILENCE,
};

struct action {
	enum action_kind kind;
	int code; /* reply */
	uint64_t ms; /* delay */
	char *text; /* owned; reply, partial; may hold NUL bytes */
	size_t len;
};

struct rule {
	char *where; /* owned; "FILE:LINE" for messages */
	enum verb verb;
	char *to, *from; /* owned; glob or NULL */
	uint64_t after, times, every; /* 0: no such condition */
	uint64_t seen, fired;
	struct action *actions; /* owned */
	size_t count;
	struct rule *next; /* owned */
};

/* A list of rules in order. Counted: a connection in the middle of a rule's actions keeps its
 * script when another one takes its place. */
struct script {
	int refs;
	size_t count;
	struct rule *first; /* owned */
	struct rule **end;
};

/* What is going on while a rule is looked for. */
struct moment {
	enum verb verb;
	const char *from; /* the sender, at auth who logs in; NULL: none yet */
	char *const *to; /* the recipient asked about, or those accepted so far */
	size_t to_count;
	uint64_t accepted; /* mails of this run */
};

struct script *script_new(void);
struct script *script_ref(struct script *s);
void script_unref(struct script *s); /* NULL does nothing */

/* Adds the rule TEXT. False: ERR says "WHERE: what, and what was expected". */
bool script_add(struct script *s, const char *where, const char *text, struct buf *err);
/* Adds the rules of a file, one a line; blank lines and lines that begin with # are skipped. */
bool script_load(struct script *s, const char *path, struct buf *err);

/* The first rule that fits, or NULL. Counts the match. */
const struct rule *script_find(struct script *s, const struct moment *m);
