/*
 * The dialogue of fake-smtp. Each moment of it (a command, the first byte of a body, the dot) is
 * first offered to the script; without a rule for it, it goes its normal way. Lines that are
 * malformed or out of order are refused before any rule is looked at, so that a rule sees nothing
 * but what a server could accept.
 * Runs on: the one thread of fake-smtp. conn.c calls session_step() while it makes progress.
 * Login and TLS would be verbs like the others: a form in command.c, a moment here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

enum {
	LINE_MAX_LEN = 2048, /* RFC 5321 4.5.3.1.4 and room for extensions' parameters */
};

static const struct caps no_caps;
static const char too_large[] = "5.3.4 This mail is larger than SIZE allows";

static void trace(const struct conn *c, const char *mark, const char *p, size_t n)
{
	if (!c->srv->verbose)
		return;
	fprintf(stderr, "#%llu %s ", (unsigned long long)c->id, mark);
	for (size_t i = 0; i < n; i++)
		fputc((unsigned char)p[i] < ' ' || p[i] == 0x7f ? '?' : p[i], stderr);
	fputc('\n', stderr);
}

/* One reply, its lines parted by LF in TEXT. */
static void say(struct conn *c, int code, const char *text, size_t n)
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

/* A reply that begins with its code, for what never reached the script. */
static void refuse(struct conn *c, const char *reply)
{
	trace(c, ">", reply, strlen(reply));
	conn_say(c, reply, strlen(reply));
	conn_say(c, "\r\n", 2);
}

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

static void add_capabilities(struct conn *c, struct buf *text)
{
	for (size_t i = 0; i < c->srv->caps.count; i++)
		buf_addf(text, "\n%s", c->srv->caps.v[i]);
}

static int take_hello(struct conn *c, struct buf *text)
{
	mail_reset(&c->mail);
	c->greeted = true;
	c->esmtp = c->verb == VERB_EHLO;
	buf_adds(text, "fake-smtp.localhost");
	if (c->esmtp)
		add_capabilities(c, text);
	return 250;
}

static int take_mail(struct conn *c, struct buf *text)
{
	c->mail.from = fake_strdup(c->address);
	buf_adds(text, "2.1.0 Ok");
	return 250;
}

static int take_recipient(struct conn *c, struct buf *text)
{
	mail_add_to(&c->mail, c->address);
	buf_adds(text, "2.1.5 Ok");
	return 250;
}

static int take_data(struct conn *c, struct buf *text)
{
	c->in_data = c->line_start = true;
	c->body_begun = c->too_big = false;
	c->body_bytes = 0;
	buf_adds(text, "End data with <CR><LF>.<CR><LF>");
	return 354;
}

static int take_dot(struct conn *c, struct buf *text)
{
	if (!c->mail.to_count) {
		buf_adds(text, "5.5.1 No valid recipients");
		return 554;
	}
	if (!record_mail(&c->srv->record, &c->mail)) {
		buf_adds(text, "4.3.0 This mail could not be written down");
		return 451;
	}
	buf_addf(text, "2.0.0 Ok: queued as %llu", (unsigned long long)c->srv->record.count);
	return 250;
}

/* The verb has its normal effect. The reply that belongs to it; 0: none does. */
static int take(struct conn *c, struct buf *text)
{
	c->taken = true;
	switch (c->verb) {
	case VERB_CONNECT:
		c->open = true;
		buf_adds(text, c->srv->banner);
		return 220;
	case VERB_EHLO:
	case VERB_HELO:
		return take_hello(c, text);
	case VERB_MAIL:
		return take_mail(c, text);
	case VERB_RCPT:
		return take_recipient(c, text);
	case VERB_DATA:
		return take_data(c, text);
	case VERB_DOT:
		return take_dot(c, text);
	case VERB_RSET:
		mail_reset(&c->mail);
		buf_adds(text, "2.0.0 Ok");
		return 250;
	case VERB_NOOP:
		buf_adds(text, "2.0.0 Ok");
		return 250;
	case VERB_QUIT:
		buf_adds(text, "2.0.0 Bye");
		return 221;
	case VERB_BODY:
	case VERB_ANY:
		break;
	}
	return 0;
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
		code = take(c, &text);
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
		code = take(c, &text);
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
		c->state = CONN_DROPPING;
	free(c->address);
	c->address = NULL;
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
	begin(c, VERB_CONNECT);
}

void session_done(struct conn *c)
{
	finish(c);
	mail_reset(&c->mail);
	buf_done(&c->mail.data);
}

static const char *out_of_order(const struct conn *c, enum verb verb)
{
	if (!c->open && verb != VERB_QUIT)
		return "503 5.5.1 No service here";
	if (verb == VERB_MAIL && !c->greeted)
		return "503 5.5.1 Send EHLO or HELO first";
	if (verb == VERB_MAIL && c->mail.from)
		return "503 5.5.1 A mail is under way already";
	if ((verb == VERB_RCPT || verb == VERB_DATA) && !c->mail.from)
		return "503 5.5.1 Send MAIL first";
	return NULL;
}

/* More came with the line than the client could know to be right to send (RFC 2920 3.1). */
static bool is_hasty(const struct conn *c, enum verb verb)
{
	if (!buf_len(&c->in))
		return false;
	return verb == VERB_DATA || !(c->esmtp && caps_find(&c->srv->caps, "PIPELINING"));
}

static void take_command(struct conn *c, char *line, size_t n)
{
	struct command cmd;
	const char *wrong = command_parse(line, n, c->esmtp ? &c->srv->caps : &no_caps, &cmd);

	if (!wrong)
		wrong = out_of_order(c, cmd.verb);
	if (wrong) {
		refuse(c, wrong);
		return;
	}
	if (is_hasty(c, cmd.verb)) {
		refuse(c, "554 5.5.0 More was sent before this command was answered");
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
	c->address = fake_strdup(cmd.address);
	begin(c, cmd.verb);
}

/* A line without an end in sight is skipped up to its end. */
static bool step_overlong(struct conn *c)
{
	if (buf_len(&c->in) < LINE_MAX_LEN)
		return false;
	c->overlong = true;
	buf_reset(&c->in);
	return false;
}

static bool step_command(struct conn *c)
{
	char *line = buf_at(&c->in);
	char *eol = buf_len(&c->in) ? memchr(line, '\n', buf_len(&c->in)) : NULL;
	size_t n = eol ? (size_t)(eol - line) : 0;

	if (!eol)
		return step_overlong(c);
	buf_eat(&c->in, n + 1); /* the bytes stay where they are until more are read */
	if (c->overlong || n >= LINE_MAX_LEN) {
		c->overlong = false;
		refuse(c, "500 5.5.2 Line too long");
		return true;
	}
	if (!n || line[n - 1] != '\r') {
		refuse(c, "500 5.5.2 A line ends with LF alone; SMTP's end with CR LF");
		return true;
	}
	line[--n] = '\0';
	trace(c, "<", line, n);
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
		refuse(c, "554 5.5.0 More was sent before the dot was answered");
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
	if (c->todo) {
		go_on(c);
		return true;
	}
	return c->in_data ? step_body(c) : step_command(c);
}
