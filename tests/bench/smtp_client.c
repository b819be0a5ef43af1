/*
 * Drives mail/smtp.c from the command line: N connections, M mails, the fate of each. Measures
 * (smtp.sh) and is the client under test of tests/e2e/test_smtp_client.py.
 * Runs on: loop. Never: retries; a mail that was tried is a mail done.
 */
#include <getopt.h>
#include <stdio.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/line.h"
#include "coldmail/log.h"
#include "coldmail/loop.h"
#include "coldmail/mail.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

static const char usage[] =
	"usage: bench-smtp_client [OPTION]... smtp[s]://HOST:PORT\n"
	"  --starttls       smtp:// with TLS\n"
	"  --ca FILE        trust these CAs (the system's)\n"
	"  --user NAME      log in\n"
	"  --password TEXT  by PLAIN or LOGIN\n"
	"  --bearer TEXT    by XOAUTH2\n"
	"  --per-connection N  mails, then another connection\n"
	"  --id TEXT        what a report shall call the mails\n"
	"  --connections N  at the same time (1)\n"
	"  --mails N        in all (1)\n"
	"  --size N         bytes of a made-up body (1024)\n"
	"  --body FILE      or this body\n"
	"  --from ADDRESS   (from@source.example)\n"
	"  --to ADDRESS     again for more: they take turns (to@sink.example)\n"
	"  --outcomes       print every verdict and every end of a connection\n"
	"  --limit MS       every timeout\n"
	"  --idle MS        QUIT after so long without a mail\n"
	"  --pause MS       between two mails of a connection\n"
	"  --slot MS        between the body and the dot\n"
	"  --abort          no dot\n"
	"  --quit-at-dot    ask for the end of the connection right after the dot\n"
	"  --close-after MS free every connection, whatever it does\n"
	"  --fast-forward   virtual time\n";

static struct {
	struct mail_smtp_conf smtp;
	long connections, mails, size, pause, slot, close_after;
	const char *from, *id, *body_file;
	const char *to[64];
	size_t n_to;
	bool outcomes, abort, quit_at_dot, fast_forward;
} opt = {
	.connections = 1,
	.mails = 1,
	.size = 1024,
	.close_after = -1,
	.from = "from@source.example",
	.smtp = { .line = { .helo = "bench.example", .plain = true }, .idle_ms = CLOCK_MINUTE_MS },
};

static struct {
	struct str body, ca;
	long given, open;
	long fates[MAIL_OUTCOME_UNCERTAIN + 1];
} run;

struct conn {
	struct mail_smtp *smtp; /* owned */
	struct loop_timer timer; /* --pause, --slot */
	bool has_tried; /* a mail, on this connection */
};

static void report(const char *what, const struct mail_verdict *v)
{
	if (!opt.outcomes)
		return;
	printf("%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", what, mail_outcome_name(v->outcome),
		mail_stage_name(v->stage), v->code, v->enhanced, v->err ? cm_strerror(v->err) : "",
		v->queue_id, v->text);
	fflush(stdout);
}

static void send_one(void *arg)
{
	struct conn *c = arg;
	const struct mail_envelope e = {
		.from = opt.from,
		.to = opt.to[run.given++ % (long)opt.n_to],
		.id = opt.id,
	};

	c->has_tried = true;
	int err = mail_smtp_send(c->smtp, &e, run.body.p, run.body.len);
	if (err)
		die(CM_EXIT_USAGE, "mail_smtp_send: %s", cm_strerror(err));
}

static void on_ready(void *arg)
{
	struct conn *c = arg;

	if (run.given >= opt.mails && opt.smtp.idle_ms == CLOCK_MINUTE_MS) {
		mail_smtp_quit(c->smtp);
	} else if (run.given < opt.mails && opt.pause) {
		loop_timer_init(&c->timer, send_one, c);
		loop_timer_in(&c->timer, opt.pause);
	} else if (run.given < opt.mails) {
		send_one(c);
	}
}

static void pass_dot(void *arg)
{
	struct conn *c = arg;

	if (opt.abort)
		mail_smtp_abort(c->smtp);
	else
		mail_smtp_dot(c->smtp);
	if (opt.quit_at_dot)
		mail_smtp_quit(c->smtp);
}

static void on_at_dot(void *arg)
{
	struct conn *c = arg;

	if (!opt.slot) {
		pass_dot(c);
		return;
	}
	loop_timer_init(&c->timer, pass_dot, c);
	loop_timer_in(&c->timer, opt.slot);
}

static void on_verdict(void *arg, const struct mail_verdict *v)
{
	struct conn *c = arg;

	loop_timer_cancel(&c->timer);
	run.fates[v->outcome]++;
	report("mail", v);
}

static void open_conn(struct conn *c);

static void close_conn(struct conn *c)
{
	loop_timer_cancel(&c->timer);
	mail_smtp_free(c->smtp);
	c->smtp = NULL;
	if (--run.open == 0)
		loop_stop();
}

/* A connection that was of use is followed by another while there is work. */
static void on_end(void *arg, const struct mail_verdict *v)
{
	struct conn *c = arg;
	bool again = c->has_tried && run.given < opt.mails;

	report("end", v);
	if (again) {
		run.open++;
		close_conn(c);
		open_conn(c);
		run.open--;
	} else {
		close_conn(c);
	}
}

static void open_conn(struct conn *c)
{
	static const struct mail_smtp_events events = {
		.on_ready = on_ready,
		.on_at_dot = on_at_dot,
		.on_verdict = on_verdict,
		.on_end = on_end,
	};

	c->has_tried = false;
	c->smtp = mail_smtp_open(&opt.smtp, &events, c);
	run.open++;
}

static void close_all(void *arg)
{
	struct conn *conns = arg;

	for (long i = 0; i < opt.connections; i++)
		if (conns[i].smtp)
			close_conn(&conns[i]);
}

static void read_file(const char *path, struct str *out)
{
	FILE *f = fopen(path, "r");

	if (!f)
		die(CM_EXIT_USAGE, "%s: cannot be read", path);
	for (int c; (c = getc(f)) != EOF;)
		str_addc(out, (char)c);
	fclose(f);
}

static void make_body(void)
{
	static const char line[] =
		"The quick brown fox jumps over the lazy dog, 60 bytes long.\r\n";

	if (opt.body_file) {
		read_file(opt.body_file, &run.body);
		return;
	}
	str_adds(&run.body, "From: <from@source.example>\r\nSubject: bench\r\n\r\n");
	const size_t headers = run.body.len;
	while (run.body.len < headers + (size_t)opt.size)
		str_adds(&run.body, line);
}

static long number(const char *s)
{
	int64_t n;

	if (!str_to_i64(s, &n) || n < 0 || n > 1000000000)
		die(CM_EXIT_USAGE, "not a number: %s", s);
	return (long)n;
}

static void set_limits(long ms)
{
	opt.smtp.line.connect_timeout_ms = opt.smtp.command_ms = opt.smtp.data_ms = ms;
	opt.smtp.block_ms = opt.smtp.dot_ms = ms;
}

static void read_options(int argc, char **argv)
{
	enum {
		STARTTLS,
		CA,
		USER,
		PASSWORD,
		BEARER,
		PER_CONNECTION,
		ID,
		CONNECTIONS,
		MAILS,
		SIZE,
		BODY,
		FROM,
		TO,
		OUTCOMES,
		LIMIT,
		IDLE,
		PAUSE,
		SLOT,
		ABORT,
		QUIT_AT_DOT,
		CLOSE_AFTER,
		FAST_FORWARD
	};
	static const struct option options[] = {
		{ "starttls", 0, NULL, STARTTLS },
		{ "ca", 1, NULL, CA },
		{ "user", 1, NULL, USER },
		{ "password", 1, NULL, PASSWORD },
		{ "bearer", 1, NULL, BEARER },
		{ "per-connection", 1, NULL, PER_CONNECTION },
		{ "id", 1, NULL, ID },
		{ "connections", 1, NULL, CONNECTIONS },
		{ "mails", 1, NULL, MAILS },
		{ "size", 1, NULL, SIZE },
		{ "body", 1, NULL, BODY },
		{ "from", 1, NULL, FROM },
		{ "to", 1, NULL, TO },
		{ "outcomes", 0, NULL, OUTCOMES },
		{ "limit", 1, NULL, LIMIT },
		{ "idle", 1, NULL, IDLE },
		{ "pause", 1, NULL, PAUSE },
		{ "slot", 1, NULL, SLOT },
		{ "abort", 0, NULL, ABORT },
		{ "quit-at-dot", 0, NULL, QUIT_AT_DOT },
		{ "close-after", 1, NULL, CLOSE_AFTER },
		{ "fast-forward", 0, NULL, FAST_FORWARD },
		{ 0 },
	};

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case STARTTLS:
			opt.smtp.line.plain = false;
			break;
		case CA:
			read_file(optarg, &run.ca);
			opt.smtp.line.ca_pem = str_z(&run.ca);
			break;
		case USER:
			opt.smtp.line.user = optarg;
			break;
		case PASSWORD:
			opt.smtp.line.password = optarg;
			break;
		case BEARER:
			opt.smtp.line.bearer = optarg;
			break;
		case PER_CONNECTION:
			opt.smtp.mails_max = (int)number(optarg);
			break;
		case ID:
			opt.id = optarg;
			break;
		case CONNECTIONS:
			opt.connections = number(optarg);
			break;
		case MAILS:
			opt.mails = number(optarg);
			break;
		case SIZE:
			opt.size = number(optarg);
			break;
		case BODY:
			opt.body_file = optarg;
			break;
		case FROM:
			opt.from = optarg;
			break;
		case TO:
			if (opt.n_to < sizeof opt.to / sizeof *opt.to)
				opt.to[opt.n_to++] = optarg;
			break;
		case OUTCOMES:
			opt.outcomes = true;
			break;
		case LIMIT:
			set_limits(number(optarg));
			break;
		case IDLE:
			opt.smtp.idle_ms = number(optarg);
			break;
		case PAUSE:
			opt.pause = number(optarg);
			break;
		case SLOT:
			opt.slot = number(optarg);
			break;
		case ABORT:
			opt.abort = true;
			break;
		case QUIT_AT_DOT:
			opt.quit_at_dot = true;
			break;
		case CLOSE_AFTER:
			opt.close_after = number(optarg);
			break;
		case FAST_FORWARD:
			opt.fast_forward = true;
			break;
		default:
			die(CM_EXIT_USAGE, "%s", usage);
		}
	}
	if (optind + 1 != argc)
		die(CM_EXIT_USAGE, "%s", usage);
	opt.smtp.line.url = argv[optind];
	if (!opt.n_to)
		opt.to[opt.n_to++] = "to@sink.example";
}

int main(int argc, char **argv)
{
	struct loop_timer closer;

	read_options(argc, argv);
	log_init(LOG_FORMAT_TEXT, getenv("SMTP_DEBUG") ? LOG_DEBUG : LOG_WARNING);
	if (loop_init() || line_init())
		die(CM_EXIT_UNAVAILABLE, "cannot start");
	loop_set_fast_forward(opt.fast_forward);
	make_body();

	struct conn *conns = xcalloc((size_t)opt.connections, sizeof *conns);
	int64_t start_us = clock_raw_us();
	for (long i = 0; i < opt.connections; i++)
		open_conn(&conns[i]);
	loop_timer_init(&closer, close_all, conns);
	if (opt.close_after >= 0)
		loop_timer_in(&closer, opt.close_after);
	loop_run();
	double seconds = (double)(clock_raw_us() - start_us) / 1e6;

	printf("mails %ld sent %ld refused %ld not_sent %ld uncertain %ld seconds %.3f rate %.0f "
	       "stall_ms %.1f\n",
		run.given, run.fates[MAIL_OUTCOME_SENT], run.fates[MAIL_OUTCOME_REFUSED],
		run.fates[MAIL_OUTCOME_NOT_SENT], run.fates[MAIL_OUTCOME_UNCERTAIN], seconds,
		(double)run.given / seconds, (double)loop_stats().stall_max_us / 1000.0);
	loop_timer_cancel(&closer);
	line_done();
	loop_done();
	str_done(&run.body);
	free(conns);
	return run.fates[MAIL_OUTCOME_SENT] == opt.mails ? CM_EXIT_OK : CM_EXIT_NO;
}
