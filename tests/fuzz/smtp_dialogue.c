/*
 * A whole SMTP dialogue with a server that says anything at any time. An input is lines: those of the
 * server up to "@open" are its greeting; "@…" is an event (below); every other line the server says.
 * The caller here sends a mail whenever it may. What must hold is the fate of each: told once, `sent`
 * only by a complete 2xx to a dot that left, `not_sent` only when none left, `refused` only when a no
 * behind the dot was followed by no yes but the one to QUIT.
 */
#include <glib.h>
#include <stdint.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/line.h"
#include "coldmail/loop.h"
#include "coldmail/mem.h"
#include "mail/smtp_private.h"

#define GREETING_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- a line of our own ------------------------------------------------------------------------- */

struct line {
	const struct line_events *events;
	void *arg;
	uint64_t sent, queued;
	bool is_open;
	const char *greeting[GREETING_MAX];
	size_t n;
};

static struct {
	struct line *line;
	struct mail_smtp *smtp;
	bool is_stuck; /* the kernel takes nothing */
	bool has_mail, is_ended;
	bool dot_left; /* of the mail under way */
	char last; /* how the last complete reply began; 0: it was none */
	bool was_refused; /* the mail under way, by a complete reply */
	bool is_doubtful; /* and then the server said yes */
} me;

struct line *line_open(const struct line_conf *conf, const struct line_events *events, void *arg)
{
	(void)conf;
	bug_if(me.line, "a second connection");
	me.line = xcalloc(1, sizeof *me.line);
	me.was_refused = false; /* a 421 of an idle connection spoke of no mail */
	me.line->events = events;
	me.line->arg = arg;
	return me.line;
}

void line_write(struct line *l, const void *p, size_t n)
{
	bug_if(!l->is_open, "written before it is open");
	(void)p;
	l->queued += n;
	if (!me.is_stuck)
		l->sent = l->queued;
}

uint64_t line_sent(const struct line *l)
{
	return l->sent;
}

uint64_t line_queued(const struct line *l)
{
	return l->queued;
}

void line_close(struct line *l)
{
	if (l)
		me.line = NULL;
	free(l);
}

void line_expect(struct line *l, bool waiting)
{
	(void)l, (void)waiting;
}

/* ---- the caller -------------------------------------------------------------------------------- */

static void on_ready(void *arg)
{
	static const char mail[] = "Subject: x\r\n\r\n.\r\nb\xC3\xBC\r\n";
	const struct mail_envelope e = { .from = "a@b", .to = "c@d", .id = "id@b" };

	(void)arg;
	bug_if(me.has_mail || me.is_ended, "ready out of turn");
	int err = mail_smtp_send(me.smtp, &e, mail, sizeof mail - 1);
	me.has_mail = err == CM_OK;
	bug_if(err && err != CM_ESTATE, "not taken: %s", cm_strerror(err));
}

static void on_at_dot(void *arg)
{
	(void)arg;
	bug_if(!me.has_mail || me.dot_left, "at the dot out of turn");
	mail_smtp_dot(me.smtp);
	me.dot_left = mail_smtp_is_past_dot(me.smtp) && !me.is_stuck;
}

static bool agrees(const struct mail_verdict *v)
{
	switch (v->outcome) {
	case MAIL_OUTCOME_SENT:
		return me.dot_left && me.last == '2';
	case MAIL_OUTCOME_REFUSED:
		/* Behind the dot only when nothing more can come. */
		return (me.was_refused && !me.is_doubtful && !(me.dot_left && me.line)) ||
		       v->stage == MAIL_STAGE_MAIL;
	case MAIL_OUTCOME_NOT_SENT:
		return !me.dot_left;
	case MAIL_OUTCOME_UNCERTAIN:
		return me.dot_left;
	}
	return false;
}

static void on_verdict(void *arg, const struct mail_verdict *v)
{
	(void)arg;
	bug_if(!me.has_mail, "a verdict on no mail");
	bug_if(!agrees(v), "%s at %s, the dot %s, the last reply %c", mail_outcome_name(v->outcome),
		mail_stage_name(v->stage), me.dot_left ? "left" : "did not leave", me.last);
	bug_if(!str_is_utf8(v->text, strlen(v->text)), "a text that is not UTF-8");
	me.has_mail = me.dot_left = me.was_refused = me.is_doubtful = false;
}

static void on_end(void *arg, const struct mail_verdict *v)
{
	char *said = mail_explain(v, "smtp://relay.example:587", "");

	(void)arg;
	bug_if(me.has_mail || me.is_ended, "an end out of turn");
	me.is_ended = true;
	free(said);
}

/* ---- what happens ------------------------------------------------------------------------------ */

static void turn(void)
{
	for (int i = 0; i < 4; i++)
		ev_run(loop_ev(), EVRUN_NOWAIT);
}

static void lose(int err)
{
	struct line *l = me.line;

	me.line = NULL;
	l->events->on_end(l->arg, err, "lost", l->greeting, l->n);
	free(l);
}

static void expire(void)
{
	struct loop_timer *t = &me.smtp->timer;

	if (loop_timer_is_set(t))
		clock_skip_ms(t->at_ms - clock_boot_ms() + 1);
}

static void on_event(const char *name)
{
	struct line *l = me.line;

	if (str_eq(name, "stuck"))
		me.is_stuck = true;
	else if (str_eq(name, "quit"))
		mail_smtp_quit(me.smtp);
	else if (str_eq(name, "abort"))
		mail_smtp_abort(me.smtp);
	else if (str_eq(name, "timer"))
		expire();
	else if (str_eq(name, "lost"))
		lose(CM_ECLOSED);
	else if (str_eq(name, "tls"))
		lose(CM_ETLS);
	else if (str_eq(name, "open") && !l->is_open) {
		l->is_open = true;
		l->events->on_open(l->arg, l->greeting, l->n);
	} else if (str_eq(name, "flushed") && l->is_open && !me.is_stuck)
		l->events->on_flushed(l->arg);
}

/* A complete reply of success, but for the one to QUIT. */
static bool is_yes(const char *text, size_t n)
{
	return n >= 3 && *text == '2' && g_ascii_isdigit(text[1]) && g_ascii_isdigit(text[2]) &&
	       (n == 3 || text[3] == ' ') && strncmp(text, "221", 3) != 0;
}

static void hear(const char *text, size_t n)
{
	struct line *l = me.line;

	if (l->is_open) {
		const bool is_last = n < 4 || text[3] != '-';

		me.last = n >= 3 && is_last ? *text : 0;
		me.is_doubtful |= me.was_refused && is_yes(text, n);
		me.was_refused |= me.has_mail && (me.last == '4' || me.last == '5');
		l->events->on_line(l->arg, text, n);
	} else if (l->n < GREETING_MAX) {
		l->greeting[l->n++] = text;
	}
}

static void start(void)
{
	static const struct mail_smtp_events events = { on_ready, on_at_dot, on_verdict, on_end };
	const struct mail_smtp_conf conf = {
		.line = { .url = "smtp://relay.example:587",
			.helo = "me.example",
			.user = "ali",
			.password = "x" },
		.mails_max = 3,
	};
	static bool is_alive;

	if (!is_alive && loop_init())
		bug("no loop");
	is_alive = true;
	memset(&me, 0, sizeof me);
	me.smtp = mail_smtp_open(&conf, &events, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xmalloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	start();
	for (size_t at = 0; at < size && me.line;) {
		char *lf = memchr(text + at, '\n', size - at);
		size_t len = lf ? (size_t)(lf - text) - at : size - at;

		text[at + len] = '\0';
		if (text[at] == '@')
			on_event(text + at + 1);
		else
			hear(text + at, len);
		turn();
		at += len + 1;
	}
	for (int i = 0; i < 2 && me.line; i++) { /* one that idled is connected once more */
		lose(CM_ECONN);
		turn();
	}
	bug_if(!me.is_ended, "no end");
	mail_smtp_free(me.smtp);
	free(text);
	return 0;
}
