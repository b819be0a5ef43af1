/*
 * coldmail, the daemon: reads its arguments, brings the rooms to life in order, turns the loop, and
 * lets them go in the opposite order.
 * Runs on: loop. Decides nothing about mail.
 * Fatal at start-up: unusable arguments (64), a configuration with errors or a store of a newer
 * version (78), a store or control socket that another process has (75).
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coldmail/conf.h"
#include "coldmail/dns.h"
#include "coldmail/err.h"
#include "coldmail/flow.h"
#include "coldmail/http.h"
#include "coldmail/line.h"
#include "coldmail/log.h"
#include "coldmail/loop.h"
#include "coldmail/mail.h"
#include "coldmail/mem.h"
#include "coldmail/ops.h"
#include "coldmail/sd.h"
#include "coldmail/store.h"
#include "coldmail/str.h"

static struct {
	const char *file;
	bool check, until_idle, fast_forward, maintenance;
	const struct conf *conf; /* owned reference */
	char *instance; /* owned */
	int status; /* of the process */
	bool stopping;
	bool over; /* loop_stop() was called */
} app = { .file = CONF_DEFAULT_FILE };

static const char usage[] =
	"usage: coldmail [-c FILE] [--check | --until-idle [--fast-forward] | --maintenance]\n"
	"       coldmail --version | --help\n"
	"\n"
	"  -c, --config FILE  the configuration (default " CONF_DEFAULT_FILE ")\n"
	"      --check        report every problem of the configuration, start nothing\n"
	"      --until-idle   work until the next moment is more than an hour away, then say how "
	"it went\n"
	"      --fast-forward with --until-idle: time jumps to the next moment (loopback servers "
	"only)\n"
	"      --maintenance  serve coldmailctl's store commands only; schedule nothing\n"
	"\n"
	"See coldmail(8), coldmail.conf(5) and coldmailctl(1).\n";

/* ---- arguments --------------------------------------------------------------------------------- */

static _Noreturn void misused(const char *why)
{
	fprintf(stderr, "coldmail: %s\n%s", why, usage);
	exit(CM_EXIT_USAGE);
}

static void parse_arguments(int argc, char **argv)
{
	enum { CHECK = 256, UNTIL_IDLE, FAST_FORWARD, MAINTENANCE, VERSION };
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, CHECK },
		{ "until-idle", no_argument, NULL, UNTIL_IDLE },
		{ "fast-forward", no_argument, NULL, FAST_FORWARD },
		{ "maintenance", no_argument, NULL, MAINTENANCE },
		{ "version", no_argument, NULL, VERSION },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};

	for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
		switch (c) {
		case 'c':
			app.file = optarg;
			break;
		case CHECK:
			app.check = true;
			break;
		case UNTIL_IDLE:
			app.until_idle = true;
			break;
		case FAST_FORWARD:
			app.fast_forward = true;
			break;
		case MAINTENANCE:
			app.maintenance = true;
			break;
		case VERSION:
			puts("coldmail " CM_VERSION);
			exit(CM_EXIT_OK);
		case 'h':
			fputs(usage, stdout);
			exit(CM_EXIT_OK);
		default:
			fputs(usage, stderr);
			exit(CM_EXIT_USAGE);
		}
	}
	if (optind < argc)
		misused("no arguments are expected besides options");
	if (app.check + app.until_idle + app.maintenance > 1)
		misused("--check, --until-idle and --maintenance exclude each other");
	if (app.fast_forward && !app.until_idle)
		misused("--fast-forward goes with --until-idle");
}

/* ---- configuration ------------------------------------------------------------------------------ */

static bool print_problems(FILE *to, const struct conf_problems *p)
{
	for (size_t i = 0; i < p->n; i++)
		fprintf(to, "%s:%d: %s%s\n", p->v[i].file, p->v[i].line,
			p->v[i].is_warning ? "warning: " : "", p->v[i].text);
	return p->n_errors == 0;
}

static void print_check(void)
{
	char *trouble = ops_store_trouble(app.conf);

	if (trouble)
		printf("%s:%d: warning: store: %s, expected a place that the daemon's user can "
		       "write to\n",
			app.conf->store_file, app.conf->store_line, trouble);
	free(trouble);
	printf("%s: ok: %zu mailbox%s, %zu campaign%s\n", app.file, app.conf->n_mailboxes,
		app.conf->n_mailboxes == 1 ? "" : "es", app.conf->n_campaigns,
		app.conf->n_campaigns == 1 ? "" : "s");
}

/* Problems go to standard output for --check, whose answer they are, else to standard error. */
static void load_configuration(void)
{
	FILE *to = app.check ? stdout : stderr;
	struct conf_problems problems = { 0 };
	struct str more = STR_INIT;
	const enum conf_use use = app.check         ? CONF_TO_CHECK
				  : app.maintenance ? CONF_TO_MAINTAIN
						    : CONF_TO_RUN;
	int err = conf_load_for(use, app.file, &app.conf, &problems);
	bool ok = print_problems(to, &problems) && !err && flow_check(app.conf, &more);

	conf_problems_done(&problems);
	fputs(str_z(&more), to);
	str_done(&more);
	if (!ok)
		exit(CM_EXIT_CONFIG);
	if (app.check) {
		print_check();
		conf_unref(app.conf);
		exit(CM_EXIT_OK);
	}
	for (size_t i = 0; app.fast_forward && i < app.conf->n_mailboxes; i++)
		if (app.conf->mailboxes[i].far_url)
			die(CM_EXIT_USAGE,
				"--fast-forward is refused: %s is not a server on loopback, and "
				"time that "
				"jumps would send weeks of mail at once",
				app.conf->mailboxes[i].far_url);
	if (app.fast_forward && app.conf->verify_mx == CONF_VERIFY_YES &&
		!app.conf->resolver_is_loopback)
		die(CM_EXIT_USAGE, "--fast-forward is refused: verify { mx = yes } would ask name "
				   "servers that are not on loopback");
}

/* ---- the end ------------------------------------------------------------------------------------ */

static void stop_with(int status)
{
	app.status = status;
	app.over = true;
	loop_stop();
}

static void on_finished(void)
{
	if (app.over)
		return;
	if (app.until_idle && !app.stopping)
		ops_summary(stop_with);
	else
		stop_with(CM_EXIT_OK);
}

static void on_ready(int err, const char *why)
{
	if (err == CM_ELOCKED || err == CM_EVERSION) {
		fprintf(stderr, "coldmail: %s: %s\n", app.conf->store,
			why ? why : cm_strerror(err));
		stop_with(err == CM_EVERSION ? CM_EXIT_CONFIG : CM_EXIT_TEMPFAIL);
		return;
	}
	sd_ready();
}

static void on_stop_signal(struct ev_loop *ev, ev_signal *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	if (app.stopping)
		_exit(CM_EXIT_OK); /* asked twice: now. The ledger holds. */
	app.stopping = true;
	sd_stopping();
	flow_drain();
}

static void on_hangup(struct ev_loop *ev, ev_signal *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	(void)!ops_reload(); /* says itself what came of it */
}

static ev_signal sig_term, sig_int, sig_hup;

static int signals_init(void)
{
	signal(SIGPIPE, SIG_IGN);
	ev_signal_init(&sig_term, on_stop_signal, SIGTERM);
	ev_signal_init(&sig_int, on_stop_signal, SIGINT);
	ev_signal_init(&sig_hup, on_hangup, SIGHUP);
	ev_signal_start(loop_ev(), &sig_term);
	ev_signal_start(loop_ev(), &sig_int);
	ev_signal_start(loop_ev(), &sig_hup);
	return CM_OK;
}

static void signals_stop(void)
{
	ev_signal_stop(loop_ev(), &sig_term);
	ev_signal_stop(loop_ev(), &sig_int);
	ev_signal_stop(loop_ev(), &sig_hup);
}

/* ---- birth and death ----------------------------------------------------------------------------- */

static int start_store(void)
{
	const struct store_conf sc = { .path = app.conf->store_path,
		.instance = app.instance,
		.timeout_ms = app.conf->store_timeout_ms,
		.is_daemon = !app.maintenance };

	return store_init(&sc);
}

static int start_flow(void)
{
	const struct flow_conf fc = { .conf = app.conf,
		.mode = app.maintenance  ? FLOW_MAINTENANCE
			: app.until_idle ? FLOW_UNTIL_IDLE
					 : FLOW_SERVE,
		.fast_forward = app.fast_forward,
		.instance = app.instance,
		.on_ready = on_ready,
		.on_finished = on_finished };

	loop_set_fast_forward(app.fast_forward);
	return flow_init(&fc);
}

static int start_ops(void)
{
	const struct ops_conf oc = { .conf = app.conf,
		.file = app.file,
		.maintenance = app.maintenance,
		.fast_forward = app.fast_forward };
	char *why = NULL;
	int err = ops_init(&oc, &why);

	if (err)
		die(CM_EXIT_TEMPFAIL, "%s", why);
	return CM_OK;
}

static const struct {
	const char *name;
	int (*init)(void);
	void (*stop)(void);
} births[] = {
	{ "loop", loop_init, loop_done },
	{ "signals", signals_init, signals_stop },
	{ "dns", dns_init, dns_done },
	{ "line", line_init, line_done },
	{ "http", http_init, http_done },
	{ "mail", mail_init, mail_oauth_done },
	/* Before the store: answers that still come while the store ends find it alive. */
	{ "flow", start_flow, flow_done },
	{ "store", start_store, store_done_all },
	{ "ops", start_ops, ops_stop },
};

static char *make_instance(void)
{
	char host[65] = "";
	unsigned char raw[6];
	char hex[2 * sizeof raw + 1];

	if (gethostname(host, sizeof host - 1))
		strncpy(host, "host", sizeof host - 1);
	if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
		die(CM_EXIT_TEMPFAIL, "no random numbers: %s", strerror(errno));
	str_hex(raw, sizeof raw, hex);
	return xasprintf("%s:%d:%s", host, (int)getpid(), hex);
}

int main(int argc, char **argv)
{
	const size_t n = sizeof births / sizeof *births;
	char *why = NULL;

	parse_arguments(argc, argv);
	load_configuration();
	if (ops_become_owner(app.conf, &why))
		die(CM_EXIT_TEMPFAIL, "%s", why);
	umask(077);
	log_init(app.conf->log_format, app.conf->log_level);
	app.instance = make_instance();
	for (size_t i = 0; i < n; i++)
		if (births[i].init())
			die(CM_EXIT_TEMPFAIL, "cannot start: %s", births[i].name);
	flow_start();
	loop_run();
	for (size_t i = n; i-- > 0;)
		if (births[i].stop)
			births[i].stop();
	free(app.instance);
	conf_unref(app.conf);
	return app.status;
}
