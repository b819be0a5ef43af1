/*
 * The SMTP dialogue as a machine: what may happen in which state, and what then, is the table at
 * the end; everything before it is one action each.
 * Runs on: loop. Called by mail/smtp.c.
 * Never: judges a reply (flow/trouble.c does), writes the dot (mail_smtp_dot() does), retries - but
 * for one connection that the server closed while it idled, before it said a word about the mail.
 */
#include "smtp_private.h"
#include "oauth_private.h"

#include <stdio.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/http.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"

struct state_row {
	enum mail_stage stage;
	enum smtp_limit limit;
	bool waits; /* for the server: virtual time stands still */
	unsigned next; /* states that may follow, as bits */
	enum smtp_state
		drain; /* after a refusal, when the next commands are on their way already */
	void (*on[SMTP_EVENT_N])(struct mail_smtp *s);
};

static const struct state_row rows[SMTP_STATE_N];

static const char *const state_names[] = {
#define X(name, text) [SMTP_##name] = (text),
	SMTP_STATES(X)
#undef X
};

void mail_smtp_set_state(struct mail_smtp *s, enum smtp_state to, const char *why)
{
	const struct state_row *row = &rows[to];

	bug_if(!(rows[s->state].next & 1U << to), "smtp: %s -> %s (%s)", state_names[s->state],
		state_names[to], why);
	log_event(LOG_DEBUG, "smtp", LOG_S("server", s->conf.url),
		LOG_S("from", state_names[s->state]), LOG_S("to", state_names[to]),
		LOG_S("why", why));
	s->state = to;
	if (s->line) {
		s->sent = line_sent(s->line);
		line_expect(s->line, row->waits);
	}
	if (row->limit == LIMIT_NONE)
		loop_timer_cancel(&s->timer);
	else /* nothing but a good end is waited for when no mail is under way */
		loop_timer_in(&s->timer,
			s->limit_ms[s->is_quit_wanted && !s->has_mail ? LIMIT_QUIT : row->limit]);
}

void mail_smtp_step(struct mail_smtp *s, enum smtp_event ev)
{
	void (*act)(struct mail_smtp *) = rows[s->state].on[ev];

	if (act)
		act(s);
}

/* ---- verdicts -------------------------------------------------------------------------------- */

/* Whether the server may hold the whole mail. */
static bool dot_may_have_left(const struct mail_smtp *s)
{
	return s->dot_end && (s->line ? line_sent(s->line) : s->sent) >= s->dot_end;
}

/* By the reply that has just come. */
static struct mail_verdict by_reply(const struct mail_smtp *s, enum mail_outcome outcome)
{
	struct mail_verdict v = {
		.outcome = outcome,
		.stage = rows[s->state].stage,
		.code = s->reply.code,
	};

	memcpy(v.enhanced, s->reply.enhanced, sizeof v.enhanced);
	memcpy(v.text, s->reply.text, sizeof v.text);
	return v;
}

/* By what became of the connection: only our own state says what is certain. */
static struct mail_verdict by_failure(const struct mail_smtp *s, int err, const char *why)
{
	struct mail_verdict v = {
		.outcome = dot_may_have_left(s) ? MAIL_OUTCOME_UNCERTAIN : MAIL_OUTCOME_NOT_SENT,
		.stage = rows[s->state].stage,
		.err = err,
	};

	snprintf(v.text, sizeof v.text, "%s", why);
	return v;
}

static int64_t between(int64_t from_ms, int64_t to_ms)
{
	if (!from_ms)
		return 0;
	return (to_ms ? to_ms : clock_boot_ms()) - from_ms;
}

/* The fate of the mail under way. */
static void decide(struct mail_smtp *s, const struct mail_verdict *v)
{
	bug_if(!s->has_mail, "smtp: a second verdict, in %s", state_names[s->state]);
	s->verdict = *v;
	s->verdict.delay_ms[0] = between(s->connect_at_ms, s->connected_at_ms);
	s->verdict.delay_ms[1] = between(s->mail_at_ms, s->body_at_ms);
	s->verdict.delay_ms[2] = between(s->dot_at_ms, s->answered_at_ms);
	s->connect_at_ms = s->connected_at_ms = s->mail_at_ms = s->body_at_ms = s->dot_at_ms = 0;
	s->answered_at_ms = 0;
	s->has_mail = false;
	s->is_reused = true;
	s->mails++;
	s->dot_end = 0;
	str_reset(&s->body);
	mail_smtp_tell(s, TELL_VERDICT);
}

void mail_smtp_finish(struct mail_smtp *s, const struct mail_verdict *v)
{
	if (s->has_mail)
		decide(s, v);
	s->end = *v;
	mail_oauth_cancel(s->ask);
	s->ask = NULL;
	line_close(s->line);
	s->line = NULL;
	mail_smtp_set_state(s, SMTP_GONE, v->text);
	s->notices &= ~(unsigned)(TELL_READY | TELL_AT_DOT);
	mail_smtp_tell(s, TELL_END);
}

void mail_smtp_fail(struct mail_smtp *s, int err, const char *why)
{
	struct mail_verdict v = by_failure(s, err, why);

	mail_smtp_finish(s, &v);
}

/* ---- the way of a mail ----------------------------------------------------------------------- */

static void say(struct mail_smtp *s, const char *command)
{
	line_write(s->line, command, strlen(command));
}

static void write_out(struct mail_smtp *s, struct str *commands)
{
	line_write(s->line, commands->p, commands->len);
	str_done(commands);
}

/* The server would say so itself, after the whole mail perhaps (RFC 1870 6.1). */
static void refuse_size(struct mail_smtp *s)
{
	struct mail_verdict v = {
		.outcome = MAIL_OUTCOME_REFUSED,
		.stage = MAIL_STAGE_MAIL,
		.code = 552,
		.enhanced = "5.3.4",
	};

	snprintf(v.text, sizeof v.text,
		"not offered to the server: it takes mails of at most %lld bytes, this one has %zu",
		(long long)s->offers.size_max, s->mail.size);
	decide(s, &v);
	mail_smtp_go_idle(s);
}

/* One write for all three commands where the server allows it (RFC 2920). */
void mail_smtp_start(struct mail_smtp *s)
{
	struct str out = STR_INIT;

	s->mail_at_ms = clock_boot_ms();
	if (s->offers.size_max && s->mail.size > (uint64_t)s->offers.size_max) {
		refuse_size(s);
		return;
	}
	mail_add_mail_from(&out, &s->offers, &s->mail);
	if (s->offers.pipelining) {
		mail_add_rcpt_to(&out, &s->offers, &s->mail);
		str_adds(&out, "DATA\r\n");
	}
	write_out(s, &out);
	mail_smtp_set_state(s, SMTP_MAIL, "a mail");
}

static void act_mail_ok(struct mail_smtp *s)
{
	struct str out = STR_INIT;

	if (!s->offers.pipelining) {
		mail_add_rcpt_to(&out, &s->offers, &s->mail);
		write_out(s, &out);
	}
	mail_smtp_set_state(s, SMTP_RCPT, "sender accepted");
}

static void act_rcpt_ok(struct mail_smtp *s)
{
	if (!s->offers.pipelining)
		say(s, "DATA\r\n");
	mail_smtp_set_state(s, SMTP_DATA, "recipient accepted");
}

static void act_go_ahead(struct mail_smtp *s)
{
	line_write(s->line, s->body.p, s->body.len);
	mail_smtp_set_state(s, SMTP_BODY, "go ahead");
}

static void act_body_out(struct mail_smtp *s)
{
	s->body_at_ms = clock_boot_ms();
	mail_smtp_set_state(s, SMTP_AT_DOT, "body is out");
	mail_smtp_tell(s, TELL_AT_DOT);
}

void mail_smtp_start_quit(struct mail_smtp *s)
{
	s->notices &= ~(unsigned)TELL_READY;
	say(s, "QUIT\r\n");
	mail_smtp_set_state(s, SMTP_QUIT, "quit");
}

void mail_smtp_go_idle(struct mail_smtp *s)
{
	if (s->state != SMTP_IDLE)
		mail_smtp_set_state(s, SMTP_IDLE, "ready");
	if (s->is_quit_wanted || (s->mails_max && s->mails >= s->mails_max))
		mail_smtp_start_quit(s);
	else
		mail_smtp_tell(s, TELL_READY);
}

static void act_accepted(struct mail_smtp *s)
{
	/* An answer to what was not asked yet means nothing. */
	if (!dot_may_have_left(s)) {
		rows[SMTP_AT_DOT].on[ON_2XX](s);
		return;
	}
	struct mail_verdict v = by_reply(s, MAIL_OUTCOME_SENT);
	mail_reply_ids(&s->reply, v.queue_id, v.message_id);
	decide(s, &v);
	mail_smtp_go_idle(s);
}

/* ---- refused: the connection stays ----------------------------------------------------------- */

static void act_reset(struct mail_smtp *s)
{
	say(s, "RSET\r\n");
	mail_smtp_set_state(s, SMTP_RSET, "after a refusal");
}

static void act_refused(struct mail_smtp *s)
{
	struct mail_verdict v = by_reply(s, MAIL_OUTCOME_REFUSED);
	enum smtp_state drain = rows[s->state].drain;

	decide(s, &v);
	if (s->offers.pipelining && drain)
		mail_smtp_set_state(s, drain, "refused");
	else
		act_reset(s);
}

static void act_drain_data(struct mail_smtp *s)
{
	mail_smtp_set_state(s, SMTP_DRAIN_DATA, "refused");
}

/* The server wants a body for nobody: an empty one, so that it waits no longer. Whatever it says to
 * that, the refusal stands. */
static void act_lone_dot(struct mail_smtp *s)
{
	say(s, ".\r\n");
	mail_smtp_set_state(s, SMTP_LONE_DOT, "refused, but 354");
}

/* ---- refused at the dot ---------------------------------------------------------------------- */

/* A server may have said no in the middle of the body, to be heard behind our dot, and take the mail all
 * the same. Only its answer to QUIT (221, RFC 5321 4.3.2) cannot be the dot's: what comes before that
 * decides whether the no was. */
static void act_dot_refused(struct mail_smtp *s)
{
	if (!dot_may_have_left(s)) {
		rows[SMTP_AT_DOT].on[ON_5XX](s);
		return;
	}
	s->verdict = by_reply(s, MAIL_OUTCOME_REFUSED);
	s->answered_at_ms = clock_boot_ms();
	say(s, "QUIT\r\n");
	mail_smtp_set_state(s, SMTP_DOT_REFUSED, "refused at the dot");
}

static void act_refusal_stands(struct mail_smtp *s)
{
	const struct mail_verdict v = s->verdict;

	mail_smtp_finish(s, &v);
}

static void refusal_in_doubt(struct mail_smtp *s, int err, const char *then)
{
	struct mail_verdict v = by_failure(s, err, "");

	snprintf(v.text, sizeof v.text, "first %d %.*s, then %s", s->verdict.code,
		(int)str_utf8_cut(s->verdict.text, strlen(s->verdict.text), 200), s->verdict.text,
		then);
	mail_smtp_finish(s, &v);
}

/* Another no, or the end, leaves it at the first; anything else is doubt. */
static void act_second_word(struct mail_smtp *s)
{
	char code[8] = "", then[256];

	if (s->reply.code == 221) {
		act_refusal_stands(s);
		return;
	}
	if (s->reply.code)
		snprintf(code, sizeof code, "%d ", s->reply.code);
	snprintf(then, sizeof then, "%s%.*s", code,
		(int)str_utf8_cut(s->reply.text, s->reply.len, 200), s->reply.text);
	refusal_in_doubt(s, CM_EPROTO, then);
}

static void act_no_second_word(struct mail_smtp *s)
{
	refusal_in_doubt(s, CM_ETIMEDOUT, "no answer to QUIT");
}

/* ---- over: the connection ends --------------------------------------------------------------- */

/* The server says no and does not go on: 421, or an answer before its turn. */
static void act_dismissed(struct mail_smtp *s)
{
	struct mail_verdict v =
		by_reply(s, s->has_mail ? MAIL_OUTCOME_REFUSED : MAIL_OUTCOME_NOT_SENT);

	mail_smtp_finish(s, &v);
}

static void act_confused(struct mail_smtp *s)
{
	char why[sizeof s->verdict.text];
	int n = (int)str_utf8_cut(s->reply.text, s->reply.len, 400);

	if (s->reply.code)
		snprintf(why, sizeof why, "reply out of place: %d %.*s", s->reply.code, n,
			s->reply.text);
	else
		snprintf(why, sizeof why, "not an SMTP reply: %.*s", n, s->reply.text);
	mail_smtp_fail(s, CM_EPROTO, why);
}

static void act_timeout(struct mail_smtp *s)
{
	char limit[32], why[64];

	str_duration(s->limit_ms[rows[s->state].limit], limit);
	snprintf(why, sizeof why, "no reply within %s", limit);
	mail_smtp_fail(s, CM_ETIMEDOUT, why);
}

/* The limit is one for each block: as long as bytes leave, it starts anew. */
static void act_block_timeout(struct mail_smtp *s)
{
	if (line_sent(s->line) == s->sent) {
		act_timeout(s);
		return;
	}
	s->sent = line_sent(s->line);
	loop_timer_in(&s->timer, s->limit_ms[LIMIT_BLOCK]);
}

static void act_lost(struct mail_smtp *s)
{
	mail_smtp_fail(s, s->lost_err, s->lost_why);
}

/* Our own QUIT is the reason, however the server takes it. */
static void act_quit_over(struct mail_smtp *s)
{
	struct mail_verdict v = {
		.outcome = MAIL_OUTCOME_NOT_SENT,
		.stage = MAIL_STAGE_QUIT,
		.code = 221,
		.text = "closed by us",
	};

	mail_smtp_finish(s, &v);
}

/* The first answer on a connection that idled is its end: the server grew tired of it, which says
 * nothing about this mail. Once: the new connection is not a reused one. */
static void reconnect(struct mail_smtp *s)
{
	line_close(s->line);
	s->line = NULL;
	mail_smtp_set_state(s, SMTP_CONNECT, "idle connection was closed");
	mail_smtp_connect(s);
}

static void act_first_421(struct mail_smtp *s)
{
	if (s->is_reused)
		reconnect(s);
	else
		act_dismissed(s);
}

static void act_first_lost(struct mail_smtp *s)
{
	if (s->is_reused)
		reconnect(s);
	else
		act_lost(s);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define TO(state) (1U << SMTP_##state)

/* clang-format off */
/* Every state answers to these; what differs is given first. */
#define REPLIES(yes, go, no, c421, timer, lost)                                                    \
	[ON_2XX] = (yes), [ON_3XX] = (go), [ON_4XX] = (no), [ON_5XX] = (no), [ON_421] = (c421),    \
	[ON_GARBAGE] = act_confused, [ON_TIMER] = (timer), [ON_LOST] = (lost)

static const struct state_row rows[SMTP_STATE_N] = {
	/* The line has its own limit, and smtp.c hears how it went. */
	[SMTP_CONNECT] = { MAIL_STAGE_CONNECT, LIMIT_NONE, .waits = true,
		.next = TO(IDLE) | TO(MAIL) | TO(GONE) },
	[SMTP_IDLE] = { MAIL_STAGE_IDLE, LIMIT_IDLE,
		.next = TO(MAIL) | TO(QUIT) | TO(GONE),
		.on = { REPLIES(act_confused, act_confused, act_dismissed, act_dismissed,
			mail_smtp_start_quit, act_lost) } },
	[SMTP_MAIL] = { MAIL_STAGE_MAIL, LIMIT_COMMAND, .waits = true, .drain = SMTP_DRAIN_RCPT,
		.next = TO(RCPT) | TO(DRAIN_RCPT) | TO(RSET) | TO(CONNECT) | TO(GONE),
		.on = { REPLIES(act_mail_ok, act_confused, act_refused, act_first_421,
			act_timeout, act_first_lost) } },
	[SMTP_RCPT] = { MAIL_STAGE_RCPT, LIMIT_COMMAND, .waits = true, .drain = SMTP_DRAIN_DATA,
		.next = TO(DATA) | TO(DRAIN_DATA) | TO(RSET) | TO(GONE),
		.on = { REPLIES(act_rcpt_ok, act_confused, act_refused, act_dismissed,
			act_timeout, act_lost) } },
	[SMTP_DATA] = { MAIL_STAGE_DATA, LIMIT_DATA, .waits = true,
		.next = TO(BODY) | TO(RSET) | TO(GONE),
		.on = { REPLIES(act_confused, act_go_ahead, act_refused, act_dismissed,
			act_timeout, act_lost) } },
	[SMTP_BODY] = { MAIL_STAGE_BODY, LIMIT_BLOCK, .waits = true,
		.next = TO(AT_DOT) | TO(GONE),
		.on = { [ON_FLUSHED] = act_body_out,
			REPLIES(act_confused, act_confused, act_dismissed, act_dismissed,
			act_block_timeout, act_lost) } },
	/* It is the caller who takes his time here: no limit, and time may leap. */
	[SMTP_AT_DOT] = { MAIL_STAGE_BODY, LIMIT_NONE,
		.next = TO(DOT) | TO(GONE),
		.on = { REPLIES(act_confused, act_confused, act_dismissed, act_dismissed,
			NULL, act_lost) } },
	[SMTP_DOT] = { MAIL_STAGE_DOT, LIMIT_DOT, .waits = true,
		.next = TO(IDLE) | TO(DOT_REFUSED) | TO(GONE),
		.on = { REPLIES(act_accepted, act_confused, act_dot_refused, act_dot_refused,
			act_timeout, act_lost) } },
	[SMTP_DOT_REFUSED] = { MAIL_STAGE_DOT, LIMIT_COMMAND, .waits = true,
		.next = TO(GONE),
		.on = { [ON_2XX] = act_second_word, [ON_3XX] = act_second_word,
			[ON_4XX] = act_refusal_stands, [ON_5XX] = act_refusal_stands,
			[ON_421] = act_refusal_stands, [ON_GARBAGE] = act_second_word,
			[ON_TIMER] = act_no_second_word, [ON_LOST] = act_refusal_stands } },
	/* The mail has its verdict; the replies to what was pipelined behind it are still coming. */
	[SMTP_DRAIN_RCPT] = { MAIL_STAGE_RCPT, LIMIT_COMMAND, .waits = true,
		.next = TO(DRAIN_DATA) | TO(GONE),
		.on = { REPLIES(act_drain_data, act_drain_data, act_drain_data, act_dismissed,
			act_timeout, act_lost) } },
	[SMTP_DRAIN_DATA] = { MAIL_STAGE_DATA, LIMIT_DATA, .waits = true,
		.next = TO(RSET) | TO(LONE_DOT) | TO(GONE),
		.on = { REPLIES(act_reset, act_lone_dot, act_reset, act_dismissed,
			act_timeout, act_lost) } },
	[SMTP_LONE_DOT] = { MAIL_STAGE_DATA, LIMIT_DOT, .waits = true,
		.next = TO(RSET) | TO(GONE),
		.on = { REPLIES(act_reset, act_confused, act_reset, act_dismissed,
			act_timeout, act_lost) } },
	[SMTP_RSET] = { MAIL_STAGE_RSET, LIMIT_COMMAND, .waits = true,
		.next = TO(IDLE) | TO(GONE),
		.on = { REPLIES(mail_smtp_go_idle, act_confused, act_dismissed, act_dismissed,
			act_timeout, act_lost) } },
	[SMTP_QUIT] = { MAIL_STAGE_QUIT, LIMIT_QUIT, .waits = true,
		.next = TO(GONE),
		.on = { REPLIES(act_quit_over, act_quit_over, act_quit_over, act_quit_over,
			act_quit_over, act_quit_over) } },
	[SMTP_GONE] = { MAIL_STAGE_QUIT, LIMIT_NONE },
};
/* clang-format on */

/* ---- for people ------------------------------------------------------------------------------ */

static struct mail_wait connecting(const struct mail_smtp *s)
{
	struct mail_wait w = { "a connection to the server", "connect limit",
		s->conf.connect_timeout_ms, 0 };

	if (s->ask)
		w = (struct mail_wait){ "the token server's answer", "token limit", HTTP_TIMEOUT_MS,
			0 };
	w.until_ms = s->waits_at_ms + w.limit_ms;
	return w;
}

bool mail_smtp_waits(const struct mail_smtp *s, struct mail_wait *ret)
{
	static const char *const what[] = {
		[MAIL_STAGE_MAIL] = "the server's answer to MAIL",
		[MAIL_STAGE_RCPT] = "the server's answer to RCPT",
		[MAIL_STAGE_DATA] = "the server's answer to DATA",
		[MAIL_STAGE_BODY] = "the server to take the body",
		[MAIL_STAGE_DOT] = "the server's answer to the dot",
		[MAIL_STAGE_RSET] = "the server's answer to RSET",
		[MAIL_STAGE_QUIT] = "the server's answer to QUIT",
	};
	static const char *const limits[] = {
		[LIMIT_COMMAND] = "command limit",
		[LIMIT_DATA] = "data limit",
		[LIMIT_BLOCK] = "block limit",
		[LIMIT_DOT] = "dot limit",
		[LIMIT_QUIT] = "quit limit",
	};
	const struct state_row *row = &rows[s->state];

	if (!row->waits)
		return false;
	if (s->state == SMTP_CONNECT)
		*ret = connecting(s);
	else
		*ret = (struct mail_wait){ what[row->stage], limits[row->limit],
			s->limit_ms[row->limit], s->timer.at_ms };
	return true;
}
