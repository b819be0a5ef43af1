/*
 * fake-smtp: a scripted SMTP server on loopback, for testing what sends mail. It accepts everything,
 * keeps it in a list and a Maildir, and misbehaves at exactly the moments a script names. It never
 * delivers anything anywhere. docs/fake-smtp.1 is its manual.
 * Runs on: one thread, libev's default loop. This file: the command line, the start, the signals.
 * Fatal: a command line or a script that is wrong (exit 64), what cannot be opened (exit 71).
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "listen.h"
#include "server.h"

static const char usage[] =
	"Usage: fake-smtp [OPTION]...\n"
	"A scripted SMTP server for tests. It accepts every mail and delivers none.\n"
	"\n"
	"  --listen ADDR:PORT  where to listen (127.0.0.1:0; port 0: any free one)\n"
	"  --allow-remote      permit addresses beyond loopback\n"
	"  --port-file FILE    write the port there once it listens\n"
	"  --maildir DIR       keep accepted mails there, created if missing\n"
	"  --list FILE         append a line for each accepted mail, before its 250\n"
	"  --script FILE       rules, one a line; SIGHUP reads it again\n"
	"  --rule 'RULE'       a rule before those of the script; may be repeated\n"
	"  --caps 'NAME...'    what EHLO offers (PIPELINING SIZE=26214400 8BITMIME DSN\n"
	"                      ENHANCEDSTATUSCODES)\n"
	"  --no-cap NAME       take one of them away; may be repeated\n"
	"  --cert FILE         certificate (PEM), its own first: offers STARTTLS\n"
	"  --key FILE          its key (PEM), when it is not in the same file\n"
	"  --tls               TLS from the first byte on, as on port 465\n"
	"  --user NAME:SECRET  who may log in, and has to; may be repeated\n"
	"  --auth-when WHEN    offer AUTH always, tls or clear (with --cert: tls)\n"
	"  --auth-optional     nobody has to log in\n"
	"  --banner TEXT       the text behind the greeting's 220\n"
	"  --quiet             say nothing but errors\n"
	"  --verbose           show every dialogue on standard error\n"
	"  --version, --help\n"
	"\n"
	"A rule, of which the first that fits is taken:\n"
	"  on VERB [to PATTERN] [from PATTERN] [after N] [times N] [every N]\n"
	"     do ACTION [then ACTION]...\n"
	"  VERB    tls connect ehlo helo starttls auth mail rcpt data body dot rset\n"
	"          noop quit any\n"
	"  ACTION  accept, reply CODE [TEXT], delay MS, partial \"BYTES\", drop, rst,\n"
	"          silence\n"
	"Examples:\n"
	"  on rcpt to *@refuse.example do reply 550 5.1.1 No such user here\n"
	"  on dot after 10 times 1 do accept then rst\n"
	"\n"
	"SIGUSR1 prints a summary, SIGTERM ends it. The manual is fake-smtp(1).\n";

struct options {
	const char *listen, *port_file, *maildir, *list, *script, *caps;
	const char *cert, *key, *auth_when;
	const char **rules, **no_caps; /* owned, but not what they point to */
	size_t rule_count, no_cap_count;
	bool allow_remote;
};

/* The only one: signals need it too. */
static struct server server = {
	.banner = "fake-smtp.localhost ESMTP fake-smtp",
};
static struct options options = {
	.listen = "127.0.0.1:0",
	.caps = "PIPELINING SIZE=26214400 8BITMIME DSN ENHANCEDSTATUSCODES",
};

enum {
	SIZE_DEFAULT = 64 * 1024 * 1024, /* when SIZE is not offered, or names no limit */
};

static void __attribute__((noreturn, format(printf, 2, 3))) die(int code, const char *fmt, ...)
{
	va_list ap;

	fputs("fake-smtp: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(code);
}

static void append(const char ***list, size_t *count, const char *text)
{
	*list = fake_grow(*list, (*count + 1) * sizeof(**list));
	(*list)[(*count)++] = text;
}

enum option_id {
	OPT_LISTEN,
	OPT_ALLOW_REMOTE,
	OPT_PORT_FILE,
	OPT_MAILDIR,
	OPT_LIST,
	OPT_SCRIPT,
	OPT_RULE,
	OPT_CAPS,
	OPT_NO_CAP,
	OPT_CERT,
	OPT_KEY,
	OPT_TLS,
	OPT_USER,
	OPT_AUTH_WHEN,
	OPT_AUTH_OPTIONAL,
	OPT_BANNER,
	OPT_QUIET,
	OPT_VERBOSE,
	OPT_VERSION,
	OPT_HELP,
	OPT_WRONG = '?', /* getopt_long() has said why */
};

static const struct option long_options[] = {
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "allow-remote", no_argument, NULL, OPT_ALLOW_REMOTE },
	{ "port-file", required_argument, NULL, OPT_PORT_FILE },
	{ "maildir", required_argument, NULL, OPT_MAILDIR },
	{ "list", required_argument, NULL, OPT_LIST },
	{ "script", required_argument, NULL, OPT_SCRIPT },
	{ "rule", required_argument, NULL, OPT_RULE },
	{ "caps", required_argument, NULL, OPT_CAPS },
	{ "no-cap", required_argument, NULL, OPT_NO_CAP },
	{ "cert", required_argument, NULL, OPT_CERT },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "tls", no_argument, NULL, OPT_TLS },
	{ "user", required_argument, NULL, OPT_USER },
	{ "auth-when", required_argument, NULL, OPT_AUTH_WHEN },
	{ "auth-optional", no_argument, NULL, OPT_AUTH_OPTIONAL },
	{ "banner", required_argument, NULL, OPT_BANNER },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

static void take_option(enum option_id id, const char *value)
{
	switch (id) {
	case OPT_LISTEN:
		options.listen = value;
		break;
	case OPT_ALLOW_REMOTE:
		options.allow_remote = true;
		break;
	case OPT_PORT_FILE:
		options.port_file = value;
		break;
	case OPT_MAILDIR:
		options.maildir = value;
		break;
	case OPT_LIST:
		options.list = value;
		break;
	case OPT_SCRIPT:
		options.script = value;
		break;
	case OPT_RULE:
		append(&options.rules, &options.rule_count, value);
		break;
	case OPT_CAPS:
		options.caps = value;
		break;
	case OPT_NO_CAP:
		append(&options.no_caps, &options.no_cap_count, value);
		break;
	case OPT_CERT:
		options.cert = value;
		break;
	case OPT_KEY:
		options.key = value;
		break;
	case OPT_TLS:
		server.tls_first = true;
		break;
	case OPT_USER:
		append(&server.users, &server.user_count, value);
		break;
	case OPT_AUTH_WHEN:
		options.auth_when = value;
		break;
	case OPT_AUTH_OPTIONAL:
		server.auth_optional = true;
		break;
	case OPT_BANNER:
		server.banner = value;
		break;
	case OPT_QUIET:
		server.quiet = true;
		break;
	case OPT_VERBOSE:
		server.verbose = true;
		break;
	case OPT_VERSION:
		puts("fake-smtp " CM_VERSION);
		exit(EX_OK);
	case OPT_HELP:
		fputs(usage, stdout);
		exit(EX_OK);
	case OPT_WRONG:
		fputs("Try fake-smtp --help.\n", stderr);
		exit(EX_USAGE);
	}
}

static void take_options(int argc, char **argv)
{
	int id;

	while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		take_option((enum option_id)id, optarg);
	if (optind < argc)
		die(EX_USAGE, "'%s' is not an option; try fake-smtp --help", argv[optind]);
}

static void set_tls(void)
{
	struct buf err = { 0 };

	if (!options.cert && (options.key || server.tls_first))
		die(EX_USAGE, "--%s: expected --cert FILE with it", options.key ? "key" : "tls");
	if (!options.cert)
		return;
	server.tls = tls_setup(options.cert, options.key ? options.key : options.cert, &err);
	if (!server.tls)
		die(EX_USAGE, "%s", buf_z(&err));
}

static void set_auth(void)
{
	static const char *const names[] = {
		[AUTH_ALWAYS] = "always", [AUTH_TLS] = "tls", [AUTH_CLEAR] = "clear"
	};
	const char *when = options.auth_when;

	for (size_t i = 0; i < server.user_count; i++) {
		if (!strchr(server.users[i], ':'))
			die(EX_USAGE, "--user %s: expected NAME:SECRET", server.users[i]);
	}
	server.auth_when = server.tls ? AUTH_TLS : AUTH_ALWAYS;
	for (size_t i = 0; when && i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(when, names[i])) {
			server.auth_when = (enum auth_when)i;
			return;
		}
	}
	if (when)
		die(EX_USAGE, "--auth-when %s: expected always, tls or clear", when);
}

/* What was not named among the capabilities, but follows from other options. */
static bool add_cap(const char *name, const char *text)
{
	return caps_find(&server.caps, name) || caps_add(&server.caps, text, strlen(text));
}

static void set_caps(void)
{
	bool ok = caps_set(&server.caps, options.caps);
	const char *size;

	if (ok && server.tls && !server.tls_first)
		ok = add_cap("STARTTLS", "STARTTLS");
	if (ok && server.user_count)
		ok = add_cap("AUTH", "AUTH PLAIN LOGIN XOAUTH2");
	if (!ok)
		die(EX_USAGE, "--caps: expected at most %d names of at most %d characters",
			CAPS_MAX, CAP_TEXT_MAX);
	for (size_t i = 0; i < options.no_cap_count; i++) {
		if (!caps_remove(&server.caps, options.no_caps[i]))
			die(EX_USAGE, "--no-cap %s: not offered anyway", options.no_caps[i]);
	}
	server.size_max = SIZE_DEFAULT;
	size = caps_find(&server.caps, "SIZE");
	if (!size || !*size)
		return;
	if (!fake_number(size, INT64_MAX, &server.size_max))
		die(EX_USAGE, "--caps SIZE=%s: expected a number of bytes", size);
	if (!server.size_max) /* RFC 1870: 0 is "no fixed limit" */
		server.size_max = SIZE_DEFAULT;
}

/* The rules of the command line, then those of the file. NULL: ERR says what is wrong. */
static struct script *read_rules(struct buf *err)
{
	struct script *s = script_new();
	bool ok = true;

	for (size_t i = 0; ok && i < options.rule_count; i++) {
		char where[32];

		snprintf(where, sizeof(where), "--rule:%zu", i + 1);
		ok = script_add(s, where, options.rules[i], err);
	}
	if (ok && options.script)
		ok = script_load(s, options.script, err);
	if (ok)
		return s;
	script_unref(s);
	return NULL;
}

static void print_summary(void)
{
	printf("accepted %llu refused %llu connections %llu\n",
		(unsigned long long)server.record.count, (unsigned long long)server.refused,
		(unsigned long long)server.connections);
	fflush(stdout);
}

/* A script that has become wrong changes nothing: the rules in force stay. */
static void reload(void)
{
	struct buf err = { 0 };
	struct script *s = read_rules(&err);

	if (s) {
		script_unref(server.script);
		server.script = s;
		if (!server.quiet)
			printf("rules %zu\n", s->count);
		fflush(stdout);
	} else {
		fprintf(stderr, "fake-smtp: %s; the rules in force stay\n", buf_z(&err));
	}
	buf_done(&err);
}

static void on_signal(struct ev_loop *loop, struct ev_signal *w, int events)
{
	(void)events;
	if (w->signum == SIGHUP)
		reload();
	else if (w->signum == SIGUSR1)
		print_summary();
	else
		ev_break(loop, EVBREAK_ALL);
}

static void watch_signals(void)
{
	static const int numbers[] = { SIGHUP, SIGUSR1, SIGTERM, SIGINT };
	static struct ev_signal watchers[sizeof(numbers) / sizeof(numbers[0])];

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		ev_signal_init(&watchers[i], on_signal, numbers[i]);
		ev_signal_start(server.loop, &watchers[i]);
	}
	/* A reader of our output that went away is no reason to end. */
	signal(SIGPIPE, SIG_IGN);
}

/* Thousands of connections need as many descriptors as the system lets us have. */
static void raise_descriptors(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) != 0)
		return;
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) != 0)
		perror("fake-smtp: RLIMIT_NOFILE");
}

static void start(void)
{
	struct buf err = { 0 }, name = { 0 };
	enum listen_result got;
	int port = 0;

	server.script = read_rules(&err);
	if (!server.script)
		die(EX_USAGE, "%s", buf_z(&err));
	if (!record_open(&server.record, options.maildir, options.list, &err))
		die(EX_OSERR, "%s", buf_z(&err));
	got = listen_start(&server, options.listen, options.allow_remote, &name, &port, &err);
	if (got != LISTEN_OK)
		die(got == LISTEN_BAD_ADDRESS ? EX_USAGE : EX_OSERR, "%s", buf_z(&err));
	if (options.port_file && !listen_write_port(options.port_file, port, &err))
		die(EX_OSERR, "%s", buf_z(&err));
	if (!server.quiet)
		printf("listening on %s\n", buf_z(&name));
	fflush(stdout);
	buf_done(&name);
}

int main(int argc, char **argv)
{
	take_options(argc, argv);
	set_tls();
	set_auth();
	set_caps();
	raise_descriptors();
	server.loop = ev_default_loop(0);
	if (!server.loop)
		die(EX_OSERR, "libev finds no way to wait for events here");
	watch_signals();
	start();
	ev_run(server.loop, 0);
	if (!server.quiet)
		print_summary();
	return EX_OK;
}
