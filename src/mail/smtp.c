/*
 * SMTP (coldmail/mail.h): the door, one connection over core/line.h, and how the caller is told.
 * The dialogue itself is smtp_machine.c.
 * Runs on: loop. Called by flow.
 * Never: calls back from inside a call, writes the dot unasked, keeps a pointer it was lent.
 */
#include "smtp_private.h"
#include "hide_private.h"
#include "oauth_private.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/mem.h"

#define QUIT_MS (2 * CLOCK_SECOND_MS)

const char *mail_stage_name(enum mail_stage s)
{
	static const char *const names[] = {
#define X(name, text) [MAIL_STAGE_##name] = (text),
		MAIL_STAGES(X)
#undef X
	};

	return names[s];
}

const char *mail_outcome_name(enum mail_outcome o)
{
	static const char *const names[] = {
#define X(name, text) [MAIL_OUTCOME_##name] = (text),
		MAIL_OUTCOMES(X)
#undef X
	};

	return names[o];
}

/* ---- telling the caller ---------------------------------------------------------------------- */

static void smtp_free(struct mail_smtp *s)
{
	mail_oauth_cancel(s->ask);
	mail_oauth_unref(s->oauth);
	line_close(s->line);
	loop_timer_cancel(&s->timer);
	loop_defer_cancel(&s->tell);
	str_done(&s->body);
	free(s->mail.from);
	free(s->mail.to);
	free(s->mail.id);
	line_conf_done(&s->conf);
	mail_hide_free(s->hide);
	free(s);
}

static void tell_one(struct mail_smtp *s, enum smtp_notice what)
{
	switch (what) {
	case TELL_VERDICT:
		s->events->on_verdict(s->arg, &s->verdict);
		return;
	case TELL_AT_DOT:
		s->events->on_at_dot(s->arg);
		return;
	case TELL_READY:
		s->events->on_ready(s->arg);
		return;
	case TELL_END:
		s->events->on_end(s->arg, &s->end);
		return;
	}
}

static void on_tell(void *arg)
{
	struct mail_smtp *s = arg;
	unsigned what = s->notices & -s->notices;

	if (!what)
		return; /* it was taken back */
	s->notices &= ~what;
	s->is_calling = true;
	tell_one(s, (enum smtp_notice)what);
	s->is_calling = false;
	if (s->is_freed)
		smtp_free(s);
	else if (s->notices)
		loop_defer(&s->tell, on_tell, s);
}

void mail_smtp_tell(struct mail_smtp *s, enum smtp_notice what)
{
	s->notices |= what;
	loop_defer(&s->tell, on_tell, s);
}

/* ---- the connection -------------------------------------------------------------------------- */

/* Whoever was shown a secret may say it again. */
static void hide_secrets(const struct mail_smtp *s, struct mail_reply *r)
{
	mail_hide_in(s->hide, r->text, sizeof r->text);
	r->len = strlen(r->text);
}

/* A token that a server does not take is answered like a question: base64 of what is wrong with it
 * (Google's and Microsoft's XOAUTH2). */
static void read_refused_token(
	const struct mail_smtp *s, const struct mail_reply *r, char *ret, size_t n)
{
	gsize len;
	guchar *bytes = g_base64_decode(r->text, &len);
	char *all = str_printable((const char *)bytes, len, sizeof r->text * 4);
	char *text = mail_hide(s->hide, all, r->len + 8 >= sizeof r->text);
	char *shown = str_printable(text, strlen(text), n / 2);

	snprintf(ret, n, "the server refused the token: %s", shown);
	mem_free_secret(all);
	mem_wipe(bytes, len);
	g_free(bytes);
	free(text);
	free(shown);
}

/* No login came about, and no reply with a code of its own says why. */
static void say_login_trouble(
	const struct mail_smtp *s, const struct mail_hello *hello, char *ret, size_t n)
{
	const char *ours = s->conf.bearer ? "XOAUTH2" : "PLAIN or LOGIN";
	const struct mail_reply *last = &hello->last;

	if (!hello->has_tried)
		snprintf(ret, n, "the server offers no login by %s%s%s", ours,
			*hello->offers.auth ? ", but by " : "", hello->offers.auth);
	else if (last->code == 334 && s->conf.bearer)
		read_refused_token(s, last, ret, n);
	else if (last->code)
		snprintf(ret, n, "the server answered the login with %d %.*s, expected 235",
			last->code, (int)str_utf8_cut(last->text, last->len, 400), last->text);
	else
		snprintf(ret, n, "the server refused the login");
}

/* No dialogue came about: the server's own words, if it said any, and where it said them. */
static void connect_failed(struct mail_smtp *s, const struct mail_hello *hello, int err,
	const char *detail, bool was_reached)
{
	struct mail_verdict v = {
		.outcome = MAIL_OUTCOME_NOT_SENT,
		.stage = was_reached ? hello->stage : MAIL_STAGE_CONNECT,
	};

	if (hello->last.code >= 400) {
		v.code = hello->last.code;
		memcpy(v.enhanced, hello->last.enhanced, sizeof v.enhanced);
		memcpy(v.text, hello->last.text, sizeof v.text);
	} else {
		v.err = err;
		snprintf(v.text, sizeof v.text, "%s", detail);
		if (err == CM_EAUTH)
			say_login_trouble(s, hello, v.text, sizeof v.text);
	}
	mail_hide_in(s->hide, v.text, sizeof v.text);
	mail_smtp_finish(s, &v);
}

static struct mail_hello read_hello(
	const struct mail_smtp *s, const char *const *greeting, size_t n)
{
	const struct mail_hello_way way = {
		.starttls = !s->conf.plain && !str_istarts(s->conf.url, "smtps:"),
		.login = s->conf.user,
	};
	struct mail_hello hello;

	mail_hello_read(greeting, n, way, &hello);
	if (hello.last.code != 334) /* what hides in base64 is looked at when that is read */
		hide_secrets(s, &hello.last);
	return hello;
}

/* libcurl calls it a success, too, when the server refused EHLO, when it said any 2xx at all, or when
 * there was no login: what the server said decides. false: it has failed. */
static bool is_ready(struct mail_smtp *s, const struct mail_hello *hello)
{
	const struct mail_reply *last = &hello->last;
	const int n = (int)str_utf8_cut(last->text, last->len, 400);
	char why[sizeof s->verdict.text] = "no answer to EHLO";

	if (hello->is_open && (hello->is_logged_in || !s->conf.user))
		return true;
	if (hello->is_open) {
		connect_failed(s, hello, CM_EAUTH, "", true);
		return false;
	}
	if (last->code)
		snprintf(why, sizeof why, "the server said %d %.*s, expected %d", last->code, n,
			last->text, hello->stage == MAIL_STAGE_GREET ? 220 : 250);
	else if (last->is_done)
		snprintf(why, sizeof why, "not an SMTP reply: %.*s", n, last->text);
	connect_failed(s, hello, CM_EPROTO, why, true);
	return false;
}

static void on_open(void *arg, const char *const *greeting, size_t n)
{
	struct mail_smtp *s = arg;
	const struct mail_hello hello = read_hello(s, greeting, n);

	if (!is_ready(s, &hello))
		return;
	s->connected_at_ms = clock_boot_ms();
	s->offers = hello.offers;
	if (s->has_mail)
		mail_smtp_start(s);
	else
		mail_smtp_go_idle(s);
}

static void on_line(void *arg, const char *text, size_t n)
{
	static const enum smtp_event by_class[] = { [2] = ON_2XX, ON_3XX, ON_4XX, ON_5XX };
	struct mail_smtp *s = arg;

	switch (mail_reply_feed(&s->reply, text, n)) {
	case MAIL_REPLY_MORE:
		return;
	case MAIL_REPLY_DONE:
		hide_secrets(s, &s->reply);
		mail_smtp_step(s, s->reply.code == 421 ? ON_421 : by_class[s->reply.code / 100]);
		return;
	case MAIL_REPLY_GARBAGE:
		hide_secrets(s, &s->reply);
		mail_smtp_step(s, ON_GARBAGE);
		return;
	}
}

/* Who lets us in and turns us away in one breath means the latter. Any other answer to nothing is none. */
static void on_rest(void *arg, const char *text, size_t n)
{
	if (*text == '4' || *text == '5')
		on_line(arg, text, n);
}

static void on_flushed(void *arg)
{
	mail_smtp_step(arg, ON_FLUSHED);
}

static void on_line_end(
	void *arg, int err, const char *detail, const char *const *greeting, size_t n)
{
	struct mail_smtp *s = arg;

	s->sent = line_sent(s->line);
	s->line = NULL;
	if (s->state == SMTP_CONNECT) {
		const struct mail_hello hello = read_hello(s, greeting, n);

		if (s->oauth && err == CM_EAUTH)
			mail_oauth_forget(s->oauth);
		connect_failed(s, &hello, err, detail, n || err == CM_ECLOSED || err == CM_EPROTO);
		return;
	}
	s->lost_err = err;
	s->lost_why = detail;
	mail_smtp_step(s, ON_LOST);
}

static void open_line(struct mail_smtp *s)
{
	static const struct line_events events = {
		.on_open = on_open,
		.on_rest = on_rest,
		.on_line = on_line,
		.on_flushed = on_flushed,
		.on_end = on_line_end,
	};
	const char *const secrets[] = { s->conf.password, s->conf.bearer };

	mail_hide_free(s->hide);
	s->hide = s->conf.user ? mail_hide_new(s->conf.user, secrets, 2) : NULL;
	s->waits_at_ms = clock_boot_ms();
	s->line = line_open(&s->conf, &events, s);
}

static void on_token(void *arg, const char *token, int err, const char *why)
{
	struct mail_smtp *s = arg;
	struct mail_verdict v = {
		.outcome = MAIL_OUTCOME_NOT_SENT,
		.stage = MAIL_STAGE_AUTH,
		.err = err,
		.at_token_server = true,
	};

	s->ask = NULL;
	if (token) {
		mem_free_secret((char *)(uintptr_t)s->conf.bearer);
		s->conf.bearer = xstrdup(token);
		open_line(s);
		return;
	}
	snprintf(v.text, sizeof v.text, "%s", why);
	mail_smtp_finish(s, &v);
}

void mail_smtp_connect(struct mail_smtp *s)
{
	s->reply = (struct mail_reply){ 0 };
	s->is_reused = false;
	s->mails = 0;
	s->waits_at_ms = s->connect_at_ms = clock_boot_ms();
	s->connected_at_ms = 0;
	if (s->oauth)
		s->ask = mail_oauth_token(s->oauth, on_token, s);
	else
		open_line(s);
}

static void on_timer(void *arg)
{
	mail_smtp_step(arg, ON_TIMER);
}

/* ---- the door -------------------------------------------------------------------------------- */

static int64_t or_else(int64_t ms, int64_t otherwise)
{
	return ms ? ms : otherwise;
}

struct mail_smtp *mail_smtp_open(
	const struct mail_smtp_conf *conf, const struct mail_smtp_events *events, void *arg)
{
	struct mail_smtp *s = xcalloc(1, sizeof *s);

	s->events = events;
	s->arg = arg;
	s->conf = line_conf_copy(&conf->line);
	s->conf.connect_timeout_ms = or_else(conf->line.connect_timeout_ms, 5 * CLOCK_MINUTE_MS);
	s->oauth = mail_oauth_ref(conf->oauth);
	s->mails_max = conf->mails_max;
	s->limit_ms[LIMIT_COMMAND] = or_else(conf->command_ms, 5 * CLOCK_MINUTE_MS);
	s->limit_ms[LIMIT_DATA] = or_else(conf->data_ms, 2 * CLOCK_MINUTE_MS);
	s->limit_ms[LIMIT_BLOCK] = or_else(conf->block_ms, 3 * CLOCK_MINUTE_MS);
	s->limit_ms[LIMIT_DOT] = or_else(conf->dot_ms, 10 * CLOCK_MINUTE_MS);
	s->limit_ms[LIMIT_IDLE] = or_else(conf->idle_ms, 30 * CLOCK_SECOND_MS);
	s->limit_ms[LIMIT_QUIT] = QUIT_MS;
	loop_timer_init(&s->timer, on_timer, s);
	mail_smtp_connect(s);
	return s;
}

bool mail_smtp_is_idle(const struct mail_smtp *s)
{
	return s->state == SMTP_IDLE && !s->notices;
}

static void keep_mail(
	struct mail_smtp *s, const struct mail_envelope *e, const char *bytes, size_t n)
{
	free(s->mail.from);
	free(s->mail.to);
	free(s->mail.id);
	mail_dot_stuff(&s->body, bytes, n);
	s->mail = (struct mail_wire){
		.from = xstrdup(e->from),
		.to = xstrdup(e->to),
		.id = xstrdup(e->id),
		.size = s->body.len,
		.is_8bit = mail_has_8bit(bytes, n),
	};
}

int mail_smtp_send(struct mail_smtp *s, const struct mail_envelope *e, const char *bytes, size_t n)
{
	if (!mail_is_wire_address(e->from) || !mail_is_wire_address(e->to))
		return CM_EINVAL;
	if (!mail_smtp_is_idle(s))
		return CM_ESTATE;
	keep_mail(s, e, bytes, n);
	s->has_mail = true;
	mail_smtp_start(s);
	return CM_OK;
}

void mail_smtp_dot(struct mail_smtp *s)
{
	if (s->state != SMTP_AT_DOT)
		return; /* it was decided otherwise in the meantime; the verdict is on its way */
	s->notices &= ~(unsigned)TELL_AT_DOT;
	s->dot_at_ms = clock_boot_ms();
	line_write(s->line, ".\r\n", 3);
	s->dot_end = line_queued(s->line);
	mail_smtp_set_state(s, SMTP_DOT, "the dot");
}

bool mail_smtp_is_past_dot(const struct mail_smtp *s)
{
	return s->state == SMTP_DOT || s->state == SMTP_DOT_REFUSED;
}

void mail_smtp_abort(struct mail_smtp *s)
{
	if (s->has_mail && !mail_smtp_is_past_dot(s))
		mail_smtp_fail(s, CM_ECANCELED, "given up before the dot");
}

void mail_smtp_quit(struct mail_smtp *s)
{
	if (s->state == SMTP_IDLE)
		mail_smtp_start_quit(s);
	else if (s->state == SMTP_CONNECT || (s->has_mail && !mail_smtp_is_past_dot(s)))
		mail_smtp_fail(s, CM_ECANCELED, "given up");
	else if (!s->is_quit_wanted) {
		s->is_quit_wanted = true;
		if (!s->has_mail && s->state != SMTP_QUIT && s->state != SMTP_GONE)
			loop_timer_in(&s->timer, s->limit_ms[LIMIT_QUIT]);
	}
}

void mail_smtp_free(struct mail_smtp *s)
{
	if (!s)
		return;
	s->is_freed = true;
	if (!s->is_calling)
		smtp_free(s);
}
