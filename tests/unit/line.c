/*
 * Lines over real sockets, and a resolver that takes its time: getaddrinfo() here is what libcurl's
 * resolver thread calls.
 */
#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/line.h"
#include "coldmail/loop.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#define SLOW_MS 1500

/* Every name is slow and unknown. The line tests connect by number, which asks nobody. */
int getaddrinfo(
	const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	(void)node, (void)service, (void)hints, (void)ret;
	usleep(SLOW_MS * 1000);
	return EAI_NONAME;
}

/* ---- the caller ------------------------------------------------------------------------------ */

static struct {
	struct line *line;
	struct str log; /* "open;line:TEXT;flushed;end:ERR;" */
	bool close_at_line;
	struct loop_timer timer;
} me;

static void on_open(void *arg, const char *const *greeting, size_t n)
{
	(void)arg;
	str_addf(&me.log, "open %zu %s;", n, greeting[n - 1]);
}

static void on_line(void *arg, const char *text, size_t n)
{
	(void)arg;
	ck_assert_uint_eq(text[n], 0);
	str_addf(&me.log, "line %s;", text);
	if (me.close_at_line)
		line_close(me.line);
}

static void on_flushed(void *arg)
{
	(void)arg;
	str_adds(&me.log, "flushed;");
}

static void on_end(void *arg, int err, const char *detail, const char *const *greeting, size_t n)
{
	(void)arg, (void)greeting, (void)n;
	ck_assert(!str_is_empty(detail));
	str_addf(&me.log, "end %s;", cm_strerror(err));
	me.line = NULL;
	loop_stop();
}

static void stop_loop(void *arg)
{
	(void)arg;
	loop_stop();
}

/* Turns for MS, or until the line ends. */
static void run_for(int64_t ms)
{
	loop_timer_init(&me.timer, stop_loop, NULL);
	clock_tick();
	loop_timer_in(&me.timer, ms);
	loop_run();
	loop_timer_cancel(&me.timer);
}

static void said(const char *want)
{
	ck_assert_str_eq(str_z(&me.log), want);
	str_reset(&me.log);
}

/* ---- the peer -------------------------------------------------------------------------------- */

static struct {
	int listener, fd;
	char url[64];
} peer;

static void open_to(const char *url, int64_t limit_ms)
{
	static const struct line_events events = {
		.on_open = on_open,
		.on_line = on_line,
		.on_flushed = on_flushed,
		.on_end = on_end,
	};
	struct line_conf conf = {
		.url = url,
		.plain = true,
		.helo = "me.example",
		.connect_timeout_ms = limit_ms,
		.line_max = 100,
	};

	me.line = line_open(&conf, &events, NULL);
	ck_assert(loop_is_held());
}

static void say(const char *text)
{
	ck_assert_int_eq(send(peer.fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

static void hear(const char *want)
{
	char buf[200];
	ssize_t n = recv(peer.fd, buf, sizeof buf - 1, 0);

	ck_assert_int_ge(n, 0);
	buf[n] = '\0';
	ck_assert_str_eq(buf, want);
}

static void open_peer(void)
{
	open_to(peer.url, 5000);
	run_for(30);
	peer.fd = accept(peer.listener, NULL, NULL);
	ck_assert_int_ge(peer.fd, 0);
	setsockopt(peer.fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	say("220 peer\r\n");
	run_for(30);
	hear("EHLO me.example\r\n");
	say("250-peer\r\n250 PIPELINING\r\n");
	run_for(30);
	said("open 3 250 PIPELINING;");
	ck_assert(!loop_is_held());
}

/* Closes with a reset: unread bytes or not. */
static void reset(void)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(peer.fd);
	peer.fd = -1;
}

static void setup(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;

	memset(&me, 0, sizeof me);
	peer.fd = -1;
	peer.listener = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(peer.listener, (struct sockaddr *)&at, len), 0);
	ck_assert_int_eq(listen(peer.listener, 5), 0);
	ck_assert_int_eq(getsockname(peer.listener, (struct sockaddr *)&at, &len), 0);
	snprintf(peer.url, sizeof peer.url, "smtp://user:secret@127.0.0.1:%d/x?y#z",
		ntohs(at.sin_port));
	ck_assert_int_eq(loop_init(), 0);
	ck_assert_int_eq(line_init(), 0);
}

static void teardown(void)
{
	line_close(me.line);
	ck_assert(!loop_is_held());
	line_done();
	loop_done();
	str_done(&me.log);
	close(peer.listener);
	if (peer.fd >= 0)
		close(peer.fd);
}

/* ---- tests ----------------------------------------------------------------------------------- */

START_TEST(lines)
{
	open_peer();
	say("one\r\ntwo\nthr");
	run_for(30);
	said("line one;line two;");
	say("ee\r");
	run_for(30);
	say("\n\r\n");
	run_for(30);
	said("line three;line ;");
	line_write(me.line, "hello", 5);
	ck_assert_uint_eq(line_sent(me.line), 5);
	said("");
	run_for(30);
	said("flushed;");
	hear("hello");
	line_expect(me.line, true);
	ck_assert(loop_is_held());
	say("last\r\nhalf");
	close(peer.fd);
	peer.fd = -1;
	run_for(500);
	said("line last;end connection closed by the peer;");
}
END_TEST

START_TEST(overlong)
{
	char text[120];

	open_peer();
	memset(text, 'x', sizeof text);
	text[101] = '\0';
	say(text);
	run_for(500);
	said("end protocol violation by the peer;");
}
END_TEST

START_TEST(closed_in_a_callback)
{
	me.close_at_line = true;
	open_peer();
	say("one\r\ntwo\r\n");
	run_for(50);
	said("line one;");
	me.line = NULL;
	hear("");
}
END_TEST

/* What the peer said before it hung up is delivered, although sending fails first. */
START_TEST(said_before_the_reset)
{
	static char much[20000000];

	open_peer();
	say("552 too big\r\n");
	reset();
	line_write(me.line, much, sizeof much);
	ck_assert_uint_lt(line_sent(me.line), line_queued(me.line));
	said("");
	run_for(500);
	ck_assert_ptr_null(me.line);
	ck_assert_msg(str_starts(str_z(&me.log), "line 552 too big;end "), "%s", str_z(&me.log));
}
END_TEST

/* The peer reads late: what the kernel did not take waits, and the count is exact. */
START_TEST(queued)
{
	static char much[8000000], buf[100000];
	size_t got = 0;

	open_peer();
	line_write(me.line, much, sizeof much);
	line_write(me.line, "end", 3);
	ck_assert_uint_eq(line_queued(me.line), sizeof much + 3);
	ck_assert_uint_lt(line_sent(me.line), sizeof much);
	run_for(30);
	said("");
	while (got < sizeof much + 3) {
		ssize_t n = recv(peer.fd, buf, sizeof buf, MSG_DONTWAIT);

		if (n > 0)
			got += (size_t)n;
		else
			run_for(1);
	}
	run_for(30);
	ck_assert_uint_eq(line_sent(me.line), line_queued(me.line));
	said("flushed;");
}
END_TEST

/* A resolver that hangs blocks neither the loop nor line_close(). */
START_TEST(slow_resolver)
{
	int64_t start = clock_raw_us();

	open_to("smtp://slow.example", 5000);
	run_for(100);
	ck_assert_int_lt(loop_stats().stall_max_us, SLOW_MS * 1000 / 2);
	line_close(me.line);
	me.line = NULL;
	ck_assert(!loop_is_held());
	ck_assert_int_lt(clock_raw_us() - start, SLOW_MS * 1000);
	said("");
	usleep((SLOW_MS + 200) * 1000); /* libcurl's thread goes home */
}
END_TEST

START_TEST(unknown_name)
{
	open_to("smtp://unknown.example", 5000);
	run_for(4000);
	said("end connection failed;");
}
END_TEST

START_TEST(connect_limit)
{
	open_to("smtp://slow.example", 200);
	run_for(1000);
	said("end timed out;");
	usleep((SLOW_MS + 200) * 1000);
}
END_TEST

START_TEST(closed_while_connecting)
{
	open_to(peer.url, 5000);
	if (_i)
		run_for(30);
	line_close(me.line);
	me.line = NULL;
	run_for(30);
	said("");
}
END_TEST

/* ---- many at once ---------------------------------------------------------------------------- */

#define MANY 24

static struct {
	struct line *lines[MANY]; /* NULL: it has ended */
	int fds[MANY];
	int came, came_in_a_turn, ended;
	int64_t skip_ms; /* once, when the first ones have come */
	struct loop_timer timer;
} many;

static void on_many_end(
	void *arg, int err, const char *detail, const char *const *greeting, size_t n)
{
	(void)detail, (void)greeting, (void)n;
	ck_assert_int_eq(err, CM_ETIMEDOUT);
	*(struct line **)arg = NULL;
	many.ended++;
}

/* Each turn: who has come? */
static void count_many(void *arg)
{
	int before = many.came;

	(void)arg;
	for (int fd; (fd = accept4(peer.listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;)
		many.fds[many.came++] = fd;
	if (many.came - before > many.came_in_a_turn)
		many.came_in_a_turn = many.came - before;
	if (many.came && many.skip_ms) {
		clock_skip_ms(many.skip_ms);
		many.skip_ms = 0;
	}
	loop_timer_in(&many.timer, 0);
}

/* Opens them all and turns for MS. The server says nothing. */
static void open_many(int64_t limit_ms, int64_t ms)
{
	static const struct line_events events = { .on_end = on_many_end };
	const struct line_conf conf = {
		.url = peer.url, .plain = true, .helo = "me.example", .connect_timeout_ms = limit_ms
	};

	ck_assert_int_eq(fcntl(peer.listener, F_SETFL, O_NONBLOCK), 0);
	for (size_t i = 0; i < MANY; i++)
		many.lines[i] = line_open(&conf, &events, &many.lines[i]);
	loop_timer_init(&many.timer, count_many, NULL);
	loop_timer_in(&many.timer, 0);
	run_for(ms);
}

static void close_many(void)
{
	loop_timer_cancel(&many.timer);
	for (size_t i = 0; i < MANY; i++)
		line_close(many.lines[i]);
	while (many.came)
		close(many.fds[--many.came]);
}

/* Each turn has a few that begin, and none of them waits for another. */
START_TEST(of_many_at_once_a_few_begin_in_a_turn)
{
	open_many(5000, 1000);
	ck_assert_int_eq(many.came, MANY);
	ck_assert_int_le(many.came_in_a_turn, 8);
	ck_assert_int_eq(many.ended, 0);
	close_many();
}
END_TEST

/* Those that have begun run out of time, those that wait do not. */
START_TEST(the_limit_begins_when_it_is_a_lines_turn)
{
	many.skip_ms = 70000;
	open_many(60000, 0);
	for (int i = 0; i < 500 && many.came < MANY; i++)
		run_for(20);
	ck_assert_int_eq(many.came, MANY);
	run_for(20);
	ck_assert_int_ge(many.ended, 1);
	ck_assert_int_le(many.ended, 16);
	close_many();
}
END_TEST

START_TEST(closed_before_it_was_its_turn)
{
	open_many(5000, 0);
	ck_assert_int_lt(many.came, MANY);
	close_many();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("line");
	TCase *tc = tcase_create("line");
	SRunner *sr = srunner_create(s);

	tcase_set_timeout(tc, 20);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, lines);
	tcase_add_test(tc, overlong);
	tcase_add_test(tc, closed_in_a_callback);
	tcase_add_test(tc, said_before_the_reset);
	tcase_add_test(tc, queued);
	tcase_add_test(tc, slow_resolver);
	tcase_add_test(tc, unknown_name);
	tcase_add_test(tc, connect_limit);
	tcase_add_test(tc, of_many_at_once_a_few_begin_in_a_turn);
	tcase_add_test(tc, the_limit_begins_when_it_is_a_lines_turn);
	tcase_add_test(tc, closed_before_it_was_its_turn);
	tcase_add_loop_test(tc, closed_while_connecting, 0, 2);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
