/*
 * The SMTP machine, every state by every event, over a line that is made here: the test decides
 * which bytes the kernel takes and what arrives when.
 */
#include <check.h>
#include <stdio.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/line.h"
#include "coldmail/loop.h"
#include "coldmail/mail.h"
#include "coldmail/mem.h"
#include "mail/smtp_private.h"

/* ---- a line of our own ----------------------------------------------------------------------- */

struct line {
	const struct line_events *events;
	void *arg;
	uint64_t sent, queued;
	bool waiting;
};

static struct {
	struct line *line;
	struct str wire; /* what was written since the last look */
	bool stuck; /* the kernel takes nothing */
	int opened;
} net;

struct line *line_open(const struct line_conf *conf, const struct line_events *events, void *arg)
{
	struct line *l = xcalloc(1, sizeof *l);

	ck_assert_str_eq(conf->url, "smtp://relay.example");
	ck_assert_ptr_null(net.line);
	*l = (struct line){ .events = events, .arg = arg };
	net.opened++;
	net.line = l;
	return l;
}

void line_write(struct line *l, const void *p, size_t n)
{
	str_add(&net.wire, p, n);
	l->queued += n;
	if (!net.stuck)
		l->sent += n;
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
		net.line = NULL;
	free(l);
}

void line_expect(struct line *l, bool waiting)
{
	l->waiting = waiting;
}

static void lose(int err, const char *const *greeting, size_t n)
{
	struct line *l = net.line;

	net.line = NULL;
	l->events->on_end(l->arg, err, "line lost", greeting, n);
	free(l);
}

/* ---- the caller ------------------------------------------------------------------------------ */

static struct {
	struct mail_smtp *smtp;
	struct mail_verdict verdict, end;
	int ready, at_dot, verdicts, ends;
} me;

static void on_ready(void *arg)
{
	(void)arg;
	me.ready++;
}

static void on_at_dot(void *arg)
{
	(void)arg;
	me.at_dot++;
}

static void on_verdict(void *arg, const struct mail_verdict *v)
{
	(void)arg;
	me.verdicts++;
	me.verdict = *v;
}

static void on_end(void *arg, const struct mail_verdict *v)
{
	(void)arg;
	me.ends++;
	me.end = *v;
}

static void turn(void)
{
	ev_run(loop_ev(), EVRUN_NOWAIT);
}

static void hear(const char *reply)
{
	net.line->events->on_line(net.line->arg, reply, strlen(reply));
	turn();
}

static void flush(void)
{
	net.line->events->on_flushed(net.line->arg);
	turn();
}

static void open_line(bool pipelining)
{
	static const char *const modern[] = { "220 relay", "250-relay", "250 PIPELINING" };
	static const char *const old[] = { "220 relay", "502 what?", "250 relay" };

	net.line->events->on_open(net.line->arg, pipelining ? modern : old, 3);
	turn();
}

static void start(void)
{
	static const struct mail_smtp_events events = {
		.on_ready = on_ready,
		.on_at_dot = on_at_dot,
		.on_verdict = on_verdict,
		.on_end = on_end,
	};
	struct mail_smtp_conf conf = {
		.line = { .url = "smtp://relay.example", .plain = true, .helo = "me.example" },
	};

	memset(&me, 0, sizeof me);
	memset(&net, 0, sizeof net);
	me.smtp = mail_smtp_open(&conf, &events, NULL);
}

static void stop(void)
{
	mail_smtp_free(me.smtp);
	ck_assert_ptr_null(net.line);
	str_done(&net.wire);
}

static void wrote(const char *want)
{
	ck_assert_str_eq(str_z(&net.wire), want);
	str_reset(&net.wire);
}

static void give_mail(void)
{
	const struct mail_envelope e = { .from = "a@from.example", .to = "b@to.example" };

	ck_assert_int_eq(mail_smtp_send(me.smtp, &e, "hello\n", 6), 0);
}

/* Leads a new connection to STATE by the shortest way. */
static void lead_to(enum smtp_state state, bool pipelining)
{
	static const struct {
		enum smtp_state before, state;
		const char *reply;
	} ways[] = {
		{ SMTP_MAIL, SMTP_RCPT, "250 ok" },
		{ SMTP_RCPT, SMTP_DATA, "250 ok" },
		{ SMTP_DATA, SMTP_BODY, "354 go" },
		{ SMTP_MAIL, SMTP_DRAIN_RCPT, "550 no" },
		{ SMTP_DRAIN_RCPT, SMTP_DRAIN_DATA, "503 no" },
		{ SMTP_DRAIN_DATA, SMTP_LONE_DOT, "354 go" },
		{ SMTP_LONE_DOT, SMTP_RSET, "554 no" },
		{ SMTP_DOT, SMTP_DOT_REFUSED, "451 4.7.1 later" },
	};
	size_t i = sizeof ways / sizeof *ways;

	if (state == SMTP_IDLE) {
		open_line(pipelining);
	} else if (state == SMTP_MAIL) {
		lead_to(SMTP_IDLE, pipelining);
		give_mail();
	} else if (state == SMTP_AT_DOT) {
		lead_to(SMTP_BODY, pipelining);
		flush();
	} else if (state == SMTP_DOT) {
		lead_to(SMTP_AT_DOT, pipelining);
		mail_smtp_dot(me.smtp);
	} else if (state == SMTP_QUIT) {
		lead_to(SMTP_IDLE, pipelining);
		mail_smtp_quit(me.smtp);
	} else {
		while (ways[--i].state != state)
			ck_assert_uint_gt(i, 0);
		lead_to(ways[i].before, pipelining);
		hear(ways[i].reply);
	}
	ck_assert_int_eq(me.smtp->state, state);
	str_reset(&net.wire);
}

/* ---- every state by every event -------------------------------------------------------------- */

/* What comes of it: '-' the dialogue goes on, 'S' sent, 'R' refused and the connection stays, 'r'
 * refused and it ends, 'N' not sent, 'U' uncertain (both end it), 'E' it ends, no mail under way. */
static const struct {
	enum smtp_state state;
	bool dot_stuck; /* the kernel did not take the dot */
	const char *comes; /* 2xx 3xx 4xx 5xx 421 garbage lost timeout */
} table[] = {
	{ SMTP_IDLE, false, "EEEEEEE-" },
	{ SMTP_MAIL, false, "-NRRrNNN" },
	{ SMTP_RCPT, false, "-NRRrNNN" },
	{ SMTP_DATA, false, "N-RRrNNN" },
	{ SMTP_BODY, false, "NNrrrNNN" },
	{ SMTP_AT_DOT, false, "NNrrrNN-" },
	{ SMTP_DOT, false, "SU---UUU" },
	{ SMTP_DOT, true, "NNrrrNNN" },
	{ SMTP_DOT_REFUSED, false, "UUrrrUrU" },
	{ SMTP_DRAIN_RCPT, false, "----EEEE" },
	{ SMTP_DRAIN_DATA, false, "----EEEE" },
	{ SMTP_LONE_DOT, false, "-E--EEEE" },
	{ SMTP_RSET, false, "-EEEEEEE" },
	{ SMTP_QUIT, false, "EEEEEEEE" },
};
#define N_TABLE (sizeof table / sizeof *table)

static void cause(size_t event)
{
	static const char *const replies[] = { "250 ok", "354 go", "450 later", "550 no", "421 bye",
		"this is not SMTP" };

	if (event < sizeof replies / sizeof *replies) {
		hear(replies[event]);
	} else if (event == 6) {
		lose(CM_ECLOSED, NULL, 0);
	} else {
		if (loop_timer_is_set(&me.smtp->timer))
			clock_skip_ms(me.smtp->timer.at_ms - clock_boot_ms() + 1);
		turn();
	}
	turn();
}

/* The letter for what came of it. */
static char outcome(int verdicts_before)
{
	if (me.verdicts == verdicts_before)
		return me.ends ? 'E' : '-';
	ck_assert_int_eq(me.verdicts, verdicts_before + 1);
	if (me.verdict.outcome == MAIL_OUTCOME_REFUSED)
		return me.ends ? 'r' : 'R';
	ck_assert_int_eq(me.ends, me.verdict.outcome != MAIL_OUTCOME_SENT);
	return "SRNU"[me.verdict.outcome];
}

static bool is_draining(enum smtp_state s)
{
	return s == SMTP_DRAIN_RCPT || s == SMTP_DRAIN_DATA || s == SMTP_LONE_DOT || s == SMTP_RSET;
}

static void check_cell(size_t row, size_t event, bool pipelining)
{
	static const char *const events[] = { "2xx", "3xx", "4xx", "5xx", "421", "garbage", "lost",
		"timeout" };

	start();
	if (table[row].dot_stuck) {
		lead_to(SMTP_AT_DOT, pipelining);
		net.stuck = true;
		mail_smtp_dot(me.smtp);
	} else {
		lead_to(table[row].state, pipelining);
	}
	int verdicts = me.verdicts;
	cause(event);
	char came = outcome(verdicts), want = table[row].comes[event];
	ck_assert_msg(came == want, "state %d%s, %s: %c, not %c", (int)table[row].state,
		table[row].dot_stuck ? " (stuck)" : "", events[event], came, want);
	if (strchr("rNU", came)) {
		ck_assert_int_eq(me.end.stage, me.verdict.stage);
		ck_assert_int_eq(!me.verdict.code, me.verdict.err != 0);
		ck_assert_str_ne(me.verdict.text, "");
	}
	stop();
}

START_TEST(every_state_by_every_event)
{
	for (size_t event = 0; event < 8; event++) {
		check_cell((size_t)_i, event, true);
		if (!is_draining(table[_i].state))
			check_cell((size_t)_i, event, false);
	}
}
END_TEST

/* ---- what goes over the wire ----------------------------------------------------------------- */

START_TEST(pipelined)
{
	start();
	open_line(true);
	ck_assert_int_eq(me.ready, 1);
	give_mail();
	wrote("MAIL FROM:<a@from.example>\r\nRCPT TO:<b@to.example>\r\nDATA\r\n");
	hear("250 ok");
	hear("250 ok");
	wrote("");
	hear("354 go");
	wrote("hello\r\n");
	ck_assert_int_eq(me.at_dot, 0);
	flush();
	ck_assert_int_eq(me.at_dot, 1);
	ck_assert(!mail_smtp_is_past_dot(me.smtp));
	wrote("");
	mail_smtp_dot(me.smtp);
	ck_assert(mail_smtp_is_past_dot(me.smtp));
	wrote(".\r\n");
	hear("250 2.0.0 Ok: queued as 4XyZ");
	ck_assert_int_eq(me.verdict.outcome, MAIL_OUTCOME_SENT);
	ck_assert_str_eq(me.verdict.queue_id, "4XyZ");
	ck_assert_int_eq(me.ready, 2);
	stop();
}
END_TEST

START_TEST(lockstep)
{
	start();
	open_line(false);
	give_mail();
	wrote("MAIL FROM:<a@from.example>\r\n");
	hear("250 ok");
	wrote("RCPT TO:<b@to.example>\r\n");
	hear("550 no");
	wrote("RSET\r\n");
	hear("250 ok");
	ck_assert_int_eq(me.ready, 2);
	mail_smtp_quit(me.smtp);
	wrote("QUIT\r\n");
	hear("221 bye");
	ck_assert_int_eq(me.end.code, 221);
	stop();
}
END_TEST

START_TEST(refused_recipient_but_354)
{
	start();
	lead_to(SMTP_RCPT, true);
	hear("550 no");
	ck_assert_int_eq(me.verdict.stage, MAIL_STAGE_RCPT);
	hear("354 go");
	wrote(".\r\n");
	hear("250 what a fine mail");
	wrote("RSET\r\n");
	ck_assert_int_eq(me.verdicts, 1);
	hear("250 ok");
	ck_assert_int_eq(me.ready, 2);
	stop();
}
END_TEST

/* ---- time ------------------------------------------------------------------------------------ */

/* "451" in the middle of a body, heard behind the dot, and then the mail is taken: that no was not the
 * dot's answer, and the server has the mail. */
START_TEST(case_08_a_no_and_then_a_yes_is_uncertain)
{
	start();
	lead_to(SMTP_DOT, true);
	hear("451 4.3.0 disk trouble");
	wrote("QUIT\r\n");
	ck_assert_int_eq(me.verdicts, 0);
	ck_assert(mail_smtp_is_past_dot(me.smtp));
	mail_smtp_abort(me.smtp);
	mail_smtp_quit(me.smtp);
	ck_assert_int_eq(me.verdicts, 0);
	hear("250 2.0.0 Ok: queued as A1");
	ck_assert_int_eq(me.verdict.outcome, MAIL_OUTCOME_UNCERTAIN);
	ck_assert_str_eq(me.verdict.text, "first 451 disk trouble, then 250 Ok: queued as A1");
	ck_assert_int_eq(me.ends, 1);
	stop();
}
END_TEST

START_TEST(a_no_and_then_goodbye_is_refused)
{
	start();
	lead_to(SMTP_DOT, true);
	clock_skip_ms(300);
	hear("554 5.7.1 spam");
	clock_skip_ms(5000);
	hear("221 2.0.0 bye");
	ck_assert_int_eq(me.verdict.outcome, MAIL_OUTCOME_REFUSED);
	ck_assert_int_eq(me.verdict.code, 554);
	ck_assert_str_eq(me.verdict.enhanced, "5.7.1");
	ck_assert_int_lt(me.verdict.delay_ms[2], 5000); /* the server's, not ours */
	ck_assert_int_eq(me.ready, 1);
	ck_assert_int_eq(me.ends, 1);
	stop();
}
END_TEST

START_TEST(time_stands_still_for_the_server_only)
{
	static const enum smtp_state caller[] = { SMTP_IDLE, SMTP_AT_DOT };

	for (size_t i = 0; i < N_TABLE; i++) {
		bool ours = table[i].state == caller[0] || table[i].state == caller[1];

		start();
		lead_to(table[i].state, true);
		ck_assert_int_eq(net.line->waiting, !ours);
		stop();
	}
}
END_TEST

START_TEST(each_block_has_its_own_limit)
{
	start();
	lead_to(SMTP_DATA, true);
	net.stuck = true;
	hear("354 go");
	for (int i = 0; i < 3; i++) {
		net.line->sent++;
		clock_skip_ms(3 * CLOCK_MINUTE_MS + 1);
		turn();
		turn();
		ck_assert_int_eq(me.verdicts, 0);
	}
	clock_skip_ms(3 * CLOCK_MINUTE_MS + 1);
	turn();
	turn();
	ck_assert_int_eq(me.verdict.outcome, MAIL_OUTCOME_NOT_SENT);
	ck_assert_int_eq(me.verdict.err, CM_ETIMEDOUT);
	stop();
}
END_TEST

START_TEST(delays)
{
	start();
	clock_skip_ms(7000);
	lead_to(SMTP_MAIL, true);
	clock_skip_ms(11000);
	hear("250 ok");
	hear("250 ok");
	hear("354 go");
	flush();
	clock_skip_ms(13000); /* the slot is nobody's delay */
	mail_smtp_dot(me.smtp);
	clock_skip_ms(17000);
	hear("250 ok");
	ck_assert_int_eq(me.verdict.delay_ms[0] / 1000, 7);
	ck_assert_int_eq(me.verdict.delay_ms[1] / 1000, 11);
	ck_assert_int_eq(me.verdict.delay_ms[2] / 1000, 17);
	give_mail();
	hear("550 no");
	ck_assert_int_eq(me.verdict.delay_ms[0], 0);
	stop();
}
END_TEST

/* ---- the caller's words at odd moments ------------------------------------------------------- */

START_TEST(lost_while_the_slot_is_made)
{
	start();
	lead_to(SMTP_AT_DOT, true);
	lose(CM_ECLOSED, NULL, 0);
	mail_smtp_dot(me.smtp);
	mail_smtp_abort(me.smtp);
	wrote("");
	turn();
	ck_assert_int_eq(me.verdict.outcome, MAIL_OUTCOME_NOT_SENT);
	ck_assert_int_eq(me.verdicts, 1);
	ck_assert_int_eq(me.ends, 1);
	stop();
}
END_TEST

START_TEST(abort_and_quit)
{
	for (enum smtp_state s = SMTP_MAIL; s <= SMTP_QUIT; s++) {
		bool had_mail = !is_draining(s) && s != SMTP_QUIT;

		start();
		lead_to(s, true);
		int verdicts = me.verdicts;
		mail_smtp_abort(me.smtp);
		turn();
		if (!had_mail || s == SMTP_DOT || s == SMTP_DOT_REFUSED) {
			ck_assert_int_eq(me.verdicts, verdicts);
			ck_assert_int_eq(me.ends, 0);
		} else {
			ck_assert_int_eq(me.verdict.outcome, MAIL_OUTCOME_NOT_SENT);
			ck_assert_int_eq(me.verdict.err, CM_ECANCELED);
			ck_assert_int_eq(me.ends, 1);
		}
		wrote("");
		mail_smtp_quit(me.smtp);
		mail_smtp_quit(me.smtp);
		if (s == SMTP_DOT || s == SMTP_RSET) {
			hear("250 ok");
			wrote("QUIT\r\n");
		}
		stop();
	}
}
END_TEST

START_TEST(send_out_of_turn)
{
	const struct mail_envelope good = { .from = "a@b", .to = "c@d" };
	const struct mail_envelope bad = { .from = "a@b", .to = "c@d> x" };

	start();
	ck_assert_int_eq(mail_smtp_send(me.smtp, &good, "", 0), CM_ESTATE);
	open_line(true);
	ck_assert_int_eq(mail_smtp_send(me.smtp, &bad, "", 0), CM_EINVAL);
	give_mail();
	ck_assert_int_eq(mail_smtp_send(me.smtp, &good, "", 0), CM_ESTATE);
	lose(CM_ECONN, NULL, 0);
	ck_assert_int_eq(mail_smtp_send(me.smtp, &good, "", 0), CM_ESTATE);
	mail_smtp_quit(me.smtp);
	mail_smtp_abort(me.smtp);
	turn();
	turn();
	ck_assert_int_eq(me.verdicts, 1);
	ck_assert_int_eq(me.ends, 1);
	stop();
}
END_TEST

/* A stranger's words in our own text: cut between characters. */
START_TEST(confused_in_any_language)
{
	char line[1200] = "xx";

	start();
	lead_to(SMTP_MAIL, true);
	for (int i = 0; i < 500; i++)
		memcpy(line + 2 + _i + 2 * i, "\xC3\xBC", 3);
	line[2] = 'x';
	hear(line);
	turn();
	ck_assert_int_eq(me.verdict.err, CM_EPROTO);
	ck_assert(str_is_utf8(me.verdict.text, strlen(me.verdict.text)));
	stop();
}
END_TEST

/* ---- connections ----------------------------------------------------------------------------- */

/* Case 35: once, unseen; a second end is told. */
START_TEST(idle_connection_died)
{
	start();
	lead_to(SMTP_DOT, true);
	hear("250 ok");
	give_mail();
	if (_i)
		hear("421 tired");
	else
		lose(CM_ECLOSED, NULL, 0);
	ck_assert_int_eq(me.verdicts, 1);
	ck_assert_int_eq(net.opened, 2);
	str_reset(&net.wire);
	open_line(false);
	wrote("MAIL FROM:<a@from.example>\r\n");
	ck_assert_int_eq(me.ready, 2);
	lose(CM_ECLOSED, NULL, 0);
	turn();
	turn();
	ck_assert_int_eq(net.opened, 2);
	ck_assert_int_eq(me.verdict.outcome, MAIL_OUTCOME_NOT_SENT);
	ck_assert_int_eq(me.ends, 1);
	stop();
}
END_TEST

START_TEST(no_connection)
{
	static const struct {
		int err, code;
		enum mail_stage stage;
		size_t n;
		const char *greeting[3];
	} cases[] = {
		{ CM_ECONN, 0, MAIL_STAGE_CONNECT, 0, { NULL } },
		{ CM_ETIMEDOUT, 0, MAIL_STAGE_CONNECT, 0, { NULL } },
		{ CM_ECLOSED, 0, MAIL_STAGE_GREET, 0, { NULL } },
		{ CM_EPROTO, 554, MAIL_STAGE_GREET, 1, { "554 5.7.1 no" } },
		{ CM_EPROTO, 554, MAIL_STAGE_GREET, 2, { "554-5.7.1 no", "554 5.7.1 really" } },
		{ CM_ECLOSED, 0, MAIL_STAGE_GREET, 1, { "220-half" } },
		{ CM_ETIMEDOUT, 0, MAIL_STAGE_EHLO, 1, { "220 relay" } },
		{ CM_EPROTO, 550, MAIL_STAGE_EHLO, 3, { "220 relay", "500 what", "550 no" } },
		{ CM_EPROTO, 0, MAIL_STAGE_GREET, 1, { "SSH-2.0-OpenSSH" } },
	};

	start();
	lose(cases[_i].err, cases[_i].greeting, cases[_i].n);
	turn();
	ck_assert_int_eq(me.ends, 1);
	ck_assert_int_eq(me.end.outcome, MAIL_OUTCOME_NOT_SENT);
	ck_assert_int_eq(me.end.stage, cases[_i].stage);
	ck_assert_int_eq(me.end.code, cases[_i].code);
	ck_assert_int_eq(me.end.err, cases[_i].code ? 0 : cases[_i].err);
	stop();
}
END_TEST

/* libcurl says OK all the same. */
START_TEST(opened_without_ehlo)
{
	static const char *const greetings[][3] = {
		{ "220 relay", "502 what?", "502 what?" },
		{ "220 relay", NULL },
		{ NULL },
	};
	static const size_t n[] = { 3, 1, 0 };

	start();
	net.line->events->on_open(net.line->arg, greetings[_i], n[_i]);
	turn();
	ck_assert_int_eq(me.ready, 0);
	ck_assert_int_eq(me.ends, 1);
	ck_assert_int_eq(me.end.code, _i == 0 ? 502 : 0);
	stop();
}
END_TEST

static void setup(void)
{
	ck_assert_int_eq(loop_init(), 0);
}

int main(void)
{
	Suite *s = suite_create("smtp_machine");
	TCase *tc = tcase_create("machine");
	SRunner *sr = srunner_create(s);

	tcase_add_checked_fixture(tc, setup, loop_done);
	tcase_add_loop_test(tc, every_state_by_every_event, 0, (int)N_TABLE);
	tcase_add_test(tc, pipelined);
	tcase_add_test(tc, lockstep);
	tcase_add_test(tc, refused_recipient_but_354);
	tcase_add_test(tc, case_08_a_no_and_then_a_yes_is_uncertain);
	tcase_add_test(tc, a_no_and_then_goodbye_is_refused);
	tcase_add_test(tc, time_stands_still_for_the_server_only);
	tcase_add_test(tc, each_block_has_its_own_limit);
	tcase_add_test(tc, delays);
	tcase_add_test(tc, lost_while_the_slot_is_made);
	tcase_add_test(tc, abort_and_quit);
	tcase_add_test(tc, send_out_of_turn);
	tcase_add_loop_test(tc, idle_connection_died, 0, 2);
	tcase_add_loop_test(tc, confused_in_any_language, 0, 2);
	tcase_add_loop_test(tc, no_connection, 0, 9);
	tcase_add_loop_test(tc, opened_without_ehlo, 0, 3);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
