/*
 * The oracle: accepted mails in a list that tests read, and in a Maildir that people read.
 * Runs on: the one thread of fake-smtp. Called by session.c before it says 250.
 *
 * A line of the list, tabs between: number in this run, time in Unix ms, MAIL FROM, RCPT TO (commas
 * between several), Message-ID, SHA-256 of the data, file in the Maildir, the user who had logged
 * in, the version of TLS, the parameters of MAIL, those of RCPT (commas as above). Blanks, controls,
 * commas and % inside a field are written %XX; an empty sender is <>, what is missing is -.
 */
#include "record.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sha256.h"

enum {
	NAME_MAX_LEN = 100,
	DATA_KEEP = 64 * 1024, /* memory a connection holds on to between mails */
};

void mail_add_to(struct mail *m, const char *address, const char *parameters)
{
	size_t n = m->to_count++;

	m->to = fake_grow(m->to, m->to_count * sizeof(*m->to));
	m->to_parameters = fake_grow(m->to_parameters, m->to_count * sizeof(*m->to_parameters));
	m->to[n] = fake_strdup(address);
	m->to_parameters[n] = fake_strdup(parameters);
}

void mail_reset(struct mail *m)
{
	struct buf data = m->data;

	for (size_t i = 0; i < m->to_count; i++) {
		free(m->to[i]);
		free(m->to_parameters[i]);
	}
	free(m->to);
	free(m->to_parameters);
	free(m->from);
	free(m->parameters);
	free(m->user);
	buf_shrink(&data, DATA_KEEP);
	*m = (struct mail){ .data = data };
}

static bool make_dir(const char *path, struct buf *err)
{
	if (mkdir(path, 0777) == 0 || errno == EEXIST)
		return true;
	buf_addf(err, "%s: %s", path, strerror(errno));
	return false;
}

static bool make_maildir(const char *path, struct buf *err)
{
	static const char *const subs[] = { "tmp", "new", "cur" };
	bool ok = make_dir(path, err);

	for (size_t i = 0; ok && i < sizeof(subs) / sizeof(subs[0]); i++) {
		struct buf sub = { 0 };

		buf_addf(&sub, "%s/%s", path, subs[i]);
		ok = make_dir(buf_z(&sub), err);
		buf_done(&sub);
	}
	return ok;
}

bool record_open(struct record *r, const char *maildir, const char *list, struct buf *err)
{
	*r = (struct record){ .maildir = maildir, .list_fd = -1 };
	if (maildir && !make_maildir(maildir, err))
		return false;
	if (!list)
		return true;
	r->list_fd = open(list, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (r->list_fd < 0)
		buf_addf(err, "%s: %s", list, strerror(errno));
	return r->list_fd >= 0;
}

bool record_wants_data(const struct record *r)
{
	return r->maildir || r->list_fd >= 0;
}

/* All of DATA into the new file PATH. */
static bool write_file(const char *path, const struct buf *data)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	size_t done = 0, len = buf_len(data);

	while (fd >= 0 && done < len) {
		ssize_t n = write(fd, buf_at(data) + done, len - done);

		if (n < 0 && errno != EINTR)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0 && close(fd) == 0 && done == len)
		return true;
	fprintf(stderr, "fake-smtp: %s: %s\n", path, strerror(errno));
	return false;
}

/* As the Maildir convention has it: written in tmp/, then moved into new/ under NAME. */
static bool deliver(const struct record *r, const struct mail *m, const char *name)
{
	struct buf tmp = { 0 }, new = { 0 };
	bool ok;

	buf_addf(&tmp, "%s/tmp/%s", r->maildir, name);
	buf_addf(&new, "%s/new/%s", r->maildir, name);
	ok = write_file(buf_z(&tmp), &m->data);
	if (ok && rename(buf_z(&tmp), buf_z(&new)) != 0) {
		fprintf(stderr, "fake-smtp: %s: %s\n", buf_z(&new), strerror(errno));
		ok = false;
	}
	if (!ok)
		unlink(buf_z(&tmp));
	buf_done(&tmp);
	buf_done(&new);
	return ok;
}

static void undeliver(const struct record *r, const char *name)
{
	struct buf path = { 0 };

	buf_addf(&path, "%s/new/%s", r->maildir, name);
	unlink(buf_z(&path));
	buf_done(&path);
}

static bool is_plain(unsigned char c)
{
	return c > ' ' && c != 0x7f && c != ',' && c != '%';
}

static void add_field(struct buf *line, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (is_plain((unsigned char)p[i]))
			buf_add(line, p + i, 1);
		else
			buf_addf(line, "%%%02X", (unsigned char)p[i]);
	}
}

/* NULL and nothing are missing, alike. */
static void add_text(struct buf *line, const char *text)
{
	if (!text || !*text)
		text = "-";
	add_field(line, text, strlen(text));
}

static void add_texts(struct buf *line, char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_adds(line, ",");
		add_text(line, texts[i]);
	}
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Blanks, and line ends behind which the header goes on (RFC 5322 2.2.3). */
static const char *skip_folding(const char *p, const char *end)
{
	while (p < end) {
		if (is_blank(*p))
			p++;
		else if (end - p > 2 && p[0] == '\r' && p[1] == '\n' && is_blank(p[2]))
			p += 2;
		else
			break;
	}
	return p;
}

/* The first word of the header Message-ID; "-" without one. */
static void add_message_id(struct buf *line, const struct buf *data)
{
	static const char name[] = "Message-ID:";
	const size_t n = sizeof(name) - 1;
	const char *p = buf_len(data) ? buf_at(data) : "", *end = p + buf_len(data), *stop;

	while (p < end && *p != '\r' && ((size_t)(end - p) < n || strncasecmp(p, name, n))) {
		p = memchr(p, '\n', (size_t)(end - p));
		p = p ? p + 1 : end;
	}
	if (p < end && *p != '\r')
		p = skip_folding(p + n, end);
	stop = p;
	while (stop < end && !is_blank(*stop) && *stop != '\r')
		stop++;
	if (stop == p)
		buf_adds(line, "-");
	add_field(line, p, (size_t)(stop - p));
}

/* One line, one write: readers and a kill see all of it or nothing. */
static bool list_mail(struct record *r, const struct mail *m, const char *name)
{
	struct buf line = { 0 };
	char hash[65];
	ssize_t len, n;

	sha256_hex(buf_at(&m->data), buf_len(&m->data), hash);
	buf_addf(&line, "%llu\t%lld\t", (unsigned long long)r->count + 1,
		(long long)(ev_time() * 1000));
	add_text(&line, *m->from ? m->from : "<>");
	buf_adds(&line, "\t");
	add_texts(&line, m->to, m->to_count);
	buf_adds(&line, "\t");
	add_message_id(&line, &m->data);
	buf_addf(&line, "\t%s\t%s\t", hash, name);
	add_text(&line, m->user);
	buf_addf(&line, "\t%s\t", m->tls ? m->tls : "-");
	add_text(&line, m->parameters);
	buf_adds(&line, "\t");
	add_texts(&line, m->to_parameters, m->to_count);
	buf_adds(&line, "\n");
	len = (ssize_t)buf_len(&line);
	n = write(r->list_fd, buf_at(&line), buf_len(&line));
	if (n != len)
		fprintf(stderr, "fake-smtp: the list of accepted mails: %s\n",
			n < 0 ? strerror(errno) : "written in part");
	buf_done(&line);
	return n == len;
}

bool record_mail(struct record *r, const struct mail *m)
{
	char name[NAME_MAX_LEN] = "-";

	if (r->maildir) {
		snprintf(name, sizeof(name), "%.6f.P%dQ%llu.fake-smtp", ev_time(), (int)getpid(),
			(unsigned long long)r->count + 1);
		if (!deliver(r, m, name))
			return false;
	}
	if (r->list_fd >= 0 && !list_mail(r, m, name)) {
		if (r->maildir)
			undeliver(r, name);
		return false;
	}
	r->count++;
	return true;
}
