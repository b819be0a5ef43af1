/*
 * Log (coldmail/log.h): one event, three forms: text, JSON, native journal datagrams.
 * Runs on: any. Called by every room.
 * Never waits and never fails the work: a line that the reader does not take at once is dropped and
 * counted. Native datagrams instead of sd_journal_send(), which blocks without end while journald
 * is stopped. Preserves errno.
 */
#include "coldmail/log.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "coldmail/clock.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* A pipe that polls writable takes PIPE_BUF bytes without blocking (pipe(7)), so no line is longer;
 * no value may fill a line alone. */
#define LOG_LINE_MAX  PIPE_BUF
#define LOG_VALUE_MAX 1024

/* Where systemd-journald(8) takes native datagrams. */
#define LOG_JOURNAL_SOCKET "/run/systemd/journal/socket"

static struct {
	enum log_format format;
	atomic_int level;
	int journal_fd;
	atomic_ulong dropped;
} lg = { .format = LOG_FORMAT_TEXT, .level = LOG_INFO, .journal_fd = -1 };

static const struct {
	const char *name;
	int priority;
} levels[] = {
	{ "error", LOG_ERR },
	{ "warning", LOG_WARNING },
	{ "notice", LOG_NOTICE },
	{ "info", LOG_INFO },
	{ "debug", LOG_DEBUG },
};

int log_parse_level(const char *name)
{
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
		if (str_eq(levels[i].name, name))
			return levels[i].priority;
	return -1;
}

static const char *level_name(int priority)
{
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
		if (levels[i].priority >= priority)
			return levels[i].name;
	return "debug";
}

/* systemd.exec(5): JOURNAL_STREAM is "DEV:INODE" of the stream that standard error was given. */
static bool stderr_is_journal(void)
{
	const char *env = getenv("JOURNAL_STREAM");
	char *own = NULL;
	struct stat st;

	if (!env || fstat(STDERR_FILENO, &st))
		return false;
	own = xasprintf("%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	bool same = str_eq(env, own);
	free(own);
	return same;
}

static int journal_open(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = LOG_JOURNAL_SOCKET };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&sa, sizeof sa)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void log_init(enum log_format format, int max_priority)
{
	log_set_level(max_priority);
	if (format == LOG_FORMAT_AUTO)
		format = stderr_is_journal()     ? LOG_FORMAT_JOURNAL
			 : isatty(STDERR_FILENO) ? LOG_FORMAT_TEXT
						 : LOG_FORMAT_JSON;
	if (format == LOG_FORMAT_JOURNAL && lg.journal_fd < 0)
		lg.journal_fd = journal_open();
	lg.format = format == LOG_FORMAT_JOURNAL && lg.journal_fd < 0 ? LOG_FORMAT_TEXT : format;
}

void log_set_level(int max_priority)
{
	atomic_store(&lg.level, max_priority);
}

uint64_t log_dropped(void)
{
	return atomic_load(&lg.dropped);
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool is_plain(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (*s <= ' ' || *s == '"' || *s == '\\' || *s == '=' || (unsigned char)*s >= 0x7F)
			return false;
	return true;
}

/* The value as bare text: cut, non-printing bytes escaped. The caller owns it. */
static char *value_text(const struct log_kv *kv)
{
	switch (kv->type) {
	case LOG_KV_STR:
		return str_printable(kv->u.s, strlen(kv->u.s), LOG_VALUE_MAX);
	case LOG_KV_INT:
		return xasprintf("%" PRId64, kv->u.i);
	case LOG_KV_NUM:
		return xasprintf("%.6g", kv->u.f);
	case LOG_KV_BOOL:
		return xstrdup(kv->u.i ? "true" : "false");
	case LOG_KV_END:
		break;
	}
	return xstrdup("");
}

static void add_quoted(struct str *out, const char *text)
{
	str_addc(out, '"');
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			str_addc(out, '\\');
		str_addc(out, *p);
	}
	str_addc(out, '"');
}

static bool is_left_out(const struct log_kv *kv)
{
	return kv->type == LOG_KV_STR && !kv->u.s;
}

/* ---- the three forms ------------------------------------------------------------------------- */

static void add_text(struct str *out, const char *event, const struct log_kv *kv)
{
	str_adds(out, event);
	for (; kv->type != LOG_KV_END; kv++) {
		if (is_left_out(kv))
			continue;
		char *text = value_text(kv);

		if (out->len + strlen(text) + strlen(kv->key) + 4 < LOG_LINE_MAX) {
			str_addf(out, " %s=", kv->key);
			if (kv->type == LOG_KV_STR && !is_plain(text))
				add_quoted(out, text);
			else
				str_adds(out, text);
		}
		free(text);
	}
}

static void add_json(struct str *out, int priority, const char *event, const struct log_kv *kv)
{
	char stamp[CLOCK_STAMP];

	str_addf(out, "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"",
		clock_stamp(clock_log_wall_ms(), stamp), level_name(priority), event);
	for (; kv->type != LOG_KV_END; kv++) {
		if (is_left_out(kv))
			continue;
		char *text = value_text(kv);

		if (out->len + 2 * strlen(text) + strlen(kv->key) + 8 < LOG_LINE_MAX) {
			str_addf(out, ",\"%s\":", kv->key);
			if (kv->type == LOG_KV_STR)
				add_quoted(out, text);
			else
				str_adds(out, text);
		}
		free(text);
	}
	str_addc(out, '}');
}

/* One field of a native datagram. str_printable() has taken the line ends out of every value, so
 * the plain KEY=VALUE form is enough. */
static void add_field(struct str *out, const char *key, const char *value)
{
	str_addf(out, "%s=%s\n", key, value);
}

static const char *journal_key(const char *key)
{
	static const char *const names[][2] = {
		{ "lead", "COLDMAIL_LEAD" },
		{ "mailbox", "COLDMAIL_MAILBOX" },
		{ "campaign", "COLDMAIL_CAMPAIGN" },
		{ "model", "COLDMAIL_MODEL" },
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_eq(names[i][0], key))
			return names[i][1];
	return NULL;
}

static void add_journal(struct str *out, int priority, const char *event, const struct log_kv *kv)
{
	struct str message = STR_INIT;
	char prio[2] = { (char)('0' + (priority & 7)), 0 };

	add_text(&message, event, kv);
	add_field(out, "MESSAGE", str_z(&message));
	str_done(&message);
	add_field(out, "PRIORITY", prio);
	add_field(out, "SYSLOG_IDENTIFIER", "coldmail");
	add_field(out, "COLDMAIL_EVENT", event);
	for (; kv->type != LOG_KV_END; kv++) {
		const char *name = journal_key(kv->key);

		if (!name || is_left_out(kv))
			continue;
		char *text = value_text(kv);

		add_field(out, name, text);
		free(text);
	}
}

/* ---- out ------------------------------------------------------------------------------------- */

static bool write_stderr(const struct str *line)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
		return false;
	return write(STDERR_FILENO, line->p, line->len) == (ssize_t)line->len;
}

static bool write_journal(const struct str *line)
{
	return send(lg.journal_fd, line->p, line->len, MSG_DONTWAIT | MSG_NOSIGNAL) ==
	       (ssize_t)line->len;
}

void log_write(int priority, const char *event, const struct log_kv *kv)
{
	struct str line = STR_INIT;
	int saved = errno;
	bool ok;

	if (priority > atomic_load(&lg.level))
		return;
	if (lg.format == LOG_FORMAT_JOURNAL) {
		add_journal(&line, priority, event, kv);
		ok = write_journal(&line);
	} else {
		if (lg.format == LOG_FORMAT_JSON)
			add_json(&line, priority, event, kv);
		else
			add_text(&line, event, kv);
		str_addc(&line, '\n');
		ok = write_stderr(&line);
	}
	if (!ok)
		atomic_fetch_add(&lg.dropped, 1);
	str_done(&line);
	errno = saved;
}
