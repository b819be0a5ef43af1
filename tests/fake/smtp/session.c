/*
 * The dialogue of fake-smtp. Each moment of it (a command, the first byte of a body, the dot) is
 * first offered to the script; without a rule for it, it goes its normal way. Lines that are
 * malformed or out of order are refused before any rule is looked at, so that a rule sees nothing
 * but what a server could accept.
 * Runs on: the one thread of fake-smtp. conn.c calls session_step() while it makes progress; what a
 * verb does is verbs.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server.h"

enum {
	LINE_MAX_LEN = 2048, /* RFC 5321 4.5.3.1.4 and room for extensions' parameters */
	LOGIN_MAX_LEN = 12288, /* RFC 4954 4 */
};

static const struct caps no_caps;
static const char auth[] = "AUTH ";
static const char too_large[] = "5.3.4 This mail is larger than SIZE allows";

/* A reply to the verb at hand. A mail is counted as refused once, however often it is. */
static void answer(struct conn *c, int code, const char *text, size_t n)
{
	bool of_mail = c->verb == VERB_MAIL || c->verb == VERB_RCPT || c->verb == VERB_DATA ||
		       c->verb == VERB_DOT;

	if (code >= 400 && of_mail && !c->refused) {
		c->srv->refused++;
		c->refused = true;
	}
	say(c, code, text, n);
}

/* With more actions to come it is the effect alone: they decide what the client learns. */
static void act_accept(struct conn *c)
{
	struct buf text = { 0 };
	int code;

	if (c->verb == VERB_DATA && !c->mail.to_count) {
		buf_adds(&text, "5.5.1 No valid recipients");
		code = 554;
	} else {
		code = verb_take(c, &text);
	}
	if (code && (c->todo == c->todo_end || code >= 400))
		answer(c, code, buf_z(&text), buf_len(&text));
	buf_done(&text);
}

static const char *default_text(int code)
{
	switch (code / 100) {
	case 2:
		return "Ok";
	case 3:
		return "Go ahead";
	case 4:
		return "Try again later";
	default:
		return "Refused";
	}
}

/* A reply of success makes the verb succeed; if that goes wrong, the truth is told instead. */
static void act_reply(struct conn *c, const struct action *a)
{
	struct buf text = { 0 };
	int success = c->verb == VERB_DATA ? 3 : 2, code = 0;

	if (!c->taken && a->code / 100 == success)
		code = verb_take(c, &text);
	if (code >= 400)
		answer(c, code, buf_z(&text), buf_len(&text));
	else if (a->len)
		answer(c, a->code, a->text, a->len);
	else
		answer(c, a->code, default_text(a->code), strlen(default_text(a->code)));
	buf_done(&text);
}

static void act(struct conn *c, const struct action *a)
{
	switch (a->kind) {
	case ACTION_ACCEPT:
		act_accept(c);
		break;
	case ACTION_REPLY:
		act_reply(c, a);
		break;
	case ACTION_DELAY:
		conn_delay(c, a->ms);
		break;
	case ACTION_PARTIAL:
		trace(c, ">>", a->text, a->len);
		conn_say(c, a->text, a->len);
		break;
	case ACTION_DROP:
		c->state = CONN_DROPPING;
		break;
	case ACTION_RST:
		c->state = CONN_RESETTING;
		break;
	case ACTION_SILENCE:
		c->state = CONN_SILENT;
		break;
	}
}

/* The last action on a verb was carried out. */
static void finish(struct conn *c)
{
	if (c->verb == VERB_DOT)
		mail_reset(&c->mail);
	if (c->verb == VERB_QUIT && c->state == CONN_RUN)
		conn_end(c);
	if (c->verb == VERB_AUTH)
		sasl_reset(&c->sasl);
	free(c->address);
	free(c->parameters);
	c->address = c->parameters = NULL;
	script_unref(c->script);
	c->script = NULL;
	c->todo = c->todo_end = NULL;
}

static void go_on(struct conn *c)
{
	while (c->state == CONN_RUN && c->todo < c->todo_end)
		act(c, c->todo++);
	if (c->todo == c->todo_end && c->state != CONN_DELAYED)
		finish(c);
}

static const struct rule *find_rule(struct conn *c)
{
	struct moment m = {
		.verb = c->verb,
		.from = c->mail.from,
		.to = c->mail.to,
		.to_count = c->mail.to_count,
		.accepted = c->srv->record.count,
	};

	if (c->verb == VERB_AUTH)
		m.from = c->sasl.user;
	if (c->verb == VERB_MAIL)
		m.from = c->address;
	if (c->verb == VERB_RCPT) {
		m.to = &c->address;
		m.to_count = 1;
	}
	return script_find(c->srv->script, &m);
}

/* A moment of the dialogue: the first rule that fits it, or else its normal way. */
static void begin(struct conn *c, enum verb verb)
{
	static const struct action normal = { .kind = ACTION_ACCEPT };
	const struct rule *r;

	c->verb = verb;
	c->taken = false;
	c->todo = &normal;
	c->todo_end = &normal + 1;
	r = find_rule(c);
	if (r) {
		trace(c, "* rule", r->where, strlen(r->where));
		c->script = script_ref(c->srv->script);
		c->todo = r->actions;
		c->todo_end = r->actions + r->count;
	}
	go_on(c);
}

void session_start(struct conn *c)
{
	c->due = c->srv->tls_first ? VERB_TLS : VERB_CONNECT;
}

void session_done(struct conn *c)
{
	finish(c);
	sasl_reset(&c->sasl);
	free(c->user);
	mail_reset(&c->mail);
	buf_done(&c->mail.data);
}

/* More came with the line than the client could know to be right to send (RFC 2920 3.1). */
static bool is_hasty(const struct conn *c, enum verb verb)
{
	if (!buf_len(&c->in))
		return false;
	return verb == VERB_DATA || verb == VERB_STARTTLS || verb == VERB_AUTH ||
	       !(c->esmtp && caps_find(&c->srv->caps, "PIPELINING"));
}

/* One more thing that the client said to log in; NULL: nothing with AUTH itself. */
static void take_login(struct conn *c, const char *line)
{
	struct buf challenge = { 0 };
	enum sasl_result got = sasl_take(&c->sasl, line, &challenge);

	/* A wrong token is told so in a challenge, and only then refused. */
	if (got == SASL_COMPLETE && c->sasl.mechanism == SASL_XOAUTH2 && !c->sasl.refused &&
		!verb_knows_login(c)) {
		buf_adds(&challenge, sasl_refusal(&c->sasl));
		got = SASL_MORE;
	}
	if (got == SASL_MORE) {
		say(c, 334, buf_z(&challenge), buf_len(&challenge));
	} else if (got == SASL_COMPLETE) {
		begin(c, VERB_AUTH);
	} else {
		say_line(c, got == SASL_CANCELLED ? "501 5.7.0 Login cancelled"
						  : "501 5.5.2 This is not what was asked for");
		sasl_reset(&c->sasl);
	}
	buf_done(&challenge);
}

static void start_login(struct conn *c, const char *argument)
{
	size_t n = strcspn(argument, " ");

	c->sasl.mechanism = sasl_find(argument, n);
	take_login(c, argument[n] ? argument + n + 1 : NULL);
}

static void take_command(struct conn *c, char *line, size_t n)
{
	struct command cmd;
	const char *wrong = command_parse(line, n, c->esmtp ? &c->srv->caps : &no_caps, &cmd);

	if (!wrong)
		wrong = verb_refused(c, &cmd);
	if (wrong) {
		say_line(c, wrong);
		return;
	}
	if (is_hasty(c, cmd.verb)) {
		say_line(c, "554 5.5.0 More was sent before this command was answered");
		c->state = CONN_DROPPING;
		return;
	}
	if (cmd.verb == VERB_MAIL)
		c->refused = false;
	if (cmd.size > c->srv->size_max) {
		c->verb = VERB_MAIL;
		answer(c, 552, too_large, strlen(too_large));
		return;
	}
	if (cmd.verb == VERB_AUTH) {
		start_login(c, cmd.argument);
		return;
	}
	c->address = fake_strdup(cmd.address);
	c->parameters = fake_strdup(cmd.parameters);
	begin(c, cmd.verb);
}

/* What comes next belongs to a login: it may be longer, and is nobody's business. */
static bool is_login(const struct conn *c)
{
	size_t n = strlen(auth);

	return c->sasl.mechanism || (buf_len(&c->in) > n && !strncasecmp(buf_at(&c->in), auth, n));
}

/* A line without an end in sight is skipped up to its end. */
static bool step_overlong(struct conn *c, size_t most)
{
	if (buf_len(&c->in) < most)
		return false;
	c->overlong = true;
	buf_reset(&c->in);
	return false;
}

/* A line as it is shown: of a login no more than how it is done. */
static void trace_line(const struct conn *c, const char *line, size_t n, bool login)
{
	if (login)
		n = c->sasl.mechanism ? 0 : strlen(auth) + strcspn(line + strlen(auth), " ");
	trace(c, "<", line, n);
}

static bool step_command(struct conn *c)
{
	char *line = buf_at(&c->in);
	char *eol = buf_len(&c->in) ? memchr(line, '\n', buf_len(&c->in)) : NULL;
	size_t n = eol ? (size_t)(eol - line) : 0;
	bool login = is_login(c);
	size_t most = login ? LOGIN_MAX_LEN : LINE_MAX_LEN;

	if (!eol)
		return step_overlong(c, most);
	buf_eat(&c->in, n + 1); /* the bytes stay where they are until more are read */
	if (c->overlong || n >= most) {
		c->overlong = false;
		say_line(c, "500 5.5.2 Line too long");
		return true;
	}
	if (!n || line[n - 1] != '\r') {
		say_line(c, "500 5.5.2 A line ends with LF alone; SMTP's end with CR LF");
		return true;
	}
	line[--n] = '\0';
	trace_line(c, line, n, login);
	if (c->sasl.mechanism)
		take_login(c, line);
	else
		take_command(c, line, n);
	return true;
}

static void keep(struct conn *c, const char *p, size_t n)
{
	c->body_bytes += n;
	if (c->body_bytes > c->srv->size_max)
		c->too_big = true;
	else if (record_wants_data(&c->srv->record))
		buf_add(&c->mail.data, p, n);
}

/* How many bytes at the end of P .. END may be the beginning of CR LF dot. */
static size_t tail_len(const char *p, const char *end)
{
	if (end - p >= 2 && end[-2] == '\r' && end[-1] == '\n')
		return 2;
	return end - p >= 1 && end[-1] == '\r';
}

/* Body bytes from P: all that certainly are, dots unstuffed (RFC 5321 4.5.2). Where they end;
 * *RET_DOT: the body ends there, and the dot's line was passed too. */
static const char *take_body(struct conn *c, const char *p, const char *end, bool *ret_dot)
{
	while (p < end) {
		size_t left = (size_t)(end - p);
		const char *stop;

		if (c->line_start && *p == '.') {
			if (!memcmp(p, ".\r\n", left < 3 ? left : 3)) {
				*ret_dot = left >= 3;
				return left >= 3 ? p + 3 : p;
			}
			p++;
			left--;
		}
		stop = memmem(p, left, "\r\n.", 3);
		c->line_start = stop;
		stop = stop ? stop + 2 : end - tail_len(p, end);
		keep(c, p, (size_t)(stop - p));
		p = stop;
		if (!c->line_start)
			break;
	}
	return p;
}

static void on_dot(struct conn *c)
{
	c->in_data = false;
	trace(c, "<", ".", 1);
	c->verb = VERB_DOT;
	if (is_hasty(c, VERB_DOT)) {
		say_line(c, "554 5.5.0 More was sent before the dot was answered");
		c->state = CONN_DROPPING;
	} else if (c->too_big) {
		answer(c, 552, too_large, strlen(too_large));
		finish(c);
	} else {
		begin(c, VERB_DOT);
	}
}

static bool step_body(struct conn *c)
{
	const char *start = buf_at(&c->in), *stop;
	bool dot = false;

	if (!buf_len(&c->in))
		return false;
	if (!c->body_begun) {
		c->body_begun = true;
		begin(c, VERB_BODY);
		return true;
	}
	stop = take_body(c, start, start + buf_len(&c->in), &dot);
	buf_eat(&c->in, (size_t)(stop - start));
	if (dot)
		on_dot(c);
	return dot;
}

bool session_step(struct conn *c)
{
	enum verb due = c->due;

	if (c->todo) {
		go_on(c);
		return true;
	}
	if (due != VERB_ANY && conn_is_ready(c)) {
		c->due = VERB_ANY;
		begin(c, due);
		return true;
	}
	return c->in_data ? step_body(c) : step_command(c);
}
