/*
 * The text of a file of leads, a window of it at a time: what a program compressed is decompressed
 * (gzip), what it wrote in UTF-16 becomes UTF-8.
 * Runs on: any. Called by csv.c and json.c, which see the window alone. Memory stays in proportion to
 * the window, whatever the file holds and however small it was compressed; what was cut off or damaged
 * is never taken for the file's end.
 */
#include "lead_private.h"

#include <glib.h>
#include <string.h>
#include <zlib.h>

#define CHUNK ((size_t)64 * 1024)
/* A record that is too long by less than a field shows itself inside of it. */
#define WINDOW    (LEAD_RECORD_MAX + 2 * LEAD_FIELD_MAX)
#define GZIP_ONLY (15 + 16) /* inflateInit2(): the largest window, a gzip header */

struct lead_input {
	struct lead_source source;
	char raw[CHUNK]; /* as the source gave it */
	size_t raw_at, raw_n;

	bool is_gzip, has_z, is_between; /* is_between: a part of it has ended, one may follow */
	z_stream z;

	enum { BYTES, UTF16_LE, UTF16_BE } form;
	char half[2]; /* UTF-16: the first bytes of a unit whose others have not come */
	size_t n_half;
	gunichar high; /* UTF-16: the first of a pair of surrogates; 0: none */

	char chunk[CHUNK]; /* decompressed, to be decoded */
	struct str text; /* decoded; the window is in it */
	size_t dropped;
	bool is_over;
	const char *trouble;
};

/* ---- bytes ------------------------------------------------------------------------------------ */

/* false: there are none left. */
static bool more_raw(struct lead_input *in)
{
	const char *why = NULL;

	if (in->raw_at < in->raw_n)
		return true;
	ssize_t n = in->source.read(in->source.arg, in->raw, sizeof in->raw, &why);
	if (n < 0)
		in->trouble = why;
	in->raw_at = 0;
	in->raw_n = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static size_t read_plain(struct lead_input *in, char *buf, size_t n)
{
	if (!more_raw(in))
		return 0;
	if (n > in->raw_n - in->raw_at)
		n = in->raw_n - in->raw_at;
	memcpy(buf, in->raw + in->raw_at, n);
	in->raw_at += n;
	return n;
}

/* Behind a part: another one, zeros to the end of a block (tapes), or nothing. false: the end. */
static bool next_part(struct lead_input *in)
{
	while (more_raw(in) && !in->raw[in->raw_at])
		in->raw_at++;
	if (!more_raw(in))
		return false;
	in->is_between = false;
	return inflateReset(&in->z) == Z_OK;
}

static size_t read_gzip(struct lead_input *in, char *buf, size_t n)
{
	in->z.next_out = (unsigned char *)buf;
	in->z.avail_out = (uInt)n;
	while (in->z.avail_out == n && !in->trouble) {
		if (in->is_between && !next_part(in))
			return 0;
		if (!more_raw(in)) {
			if (!in->trouble)
				in->trouble = "the gzip file ends too early: was it copied as a "
					      "whole?";
			return 0;
		}
		in->z.next_in = (unsigned char *)in->raw + in->raw_at;
		in->z.avail_in = (uInt)(in->raw_n - in->raw_at);
		int rc = inflate(&in->z, Z_NO_FLUSH);
		in->raw_at = in->raw_n - in->z.avail_in;
		if (rc == Z_STREAM_END)
			in->is_between = true;
		else if (rc != Z_OK && rc != Z_BUF_ERROR)
			in->trouble = "the gzip file is damaged: was it copied as a whole?";
	}
	return n - in->z.avail_out;
}

/* 0: the end, or trouble. */
static size_t read_some(struct lead_input *in, char *buf, size_t n)
{
	if (in->trouble)
		return 0;
	return in->is_gzip ? read_gzip(in, buf, n) : read_plain(in, buf, n);
}

/* ---- text ------------------------------------------------------------------------------------- */

static void add_char(struct lead_input *in, gunichar c)
{
	char utf8[6];

	str_add(&in->text, utf8, (size_t)g_unichar_to_utf8(c, utf8));
}

/* Half a pair is no character: a byte that no text has stands for it, and spoils its field. */
static void add_unit(struct lead_input *in, gunichar unit)
{
	if (in->high && unit >= 0xDC00 && unit < 0xE000) {
		add_char(in, 0x10000 + ((in->high - 0xD800) << 10) + (unit - 0xDC00));
		in->high = 0;
		return;
	}
	if (in->high)
		str_addc(&in->text, '\xFF');
	in->high = unit >= 0xD800 && unit < 0xDC00 ? unit : 0;
	if (unit >= 0xDC00 && unit < 0xE000)
		str_addc(&in->text, '\xFF');
	else if (!in->high)
		add_char(in, unit);
}

static void add_utf16(struct lead_input *in, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		in->half[in->n_half++] = p[i];
		if (in->n_half < 2)
			continue;
		in->n_half = 0;
		gunichar a = (unsigned char)in->half[0], b = (unsigned char)in->half[1];
		add_unit(in, in->form == UTF16_LE ? b << 8 | a : a << 8 | b);
	}
}

static void add_text(struct lead_input *in, const char *p, size_t n)
{
	if (in->form == BYTES)
		str_add(&in->text, p, n);
	else
		add_utf16(in, p, n);
}

static void end_text(struct lead_input *in)
{
	in->is_over = true;
	if (in->n_half || in->high)
		str_addc(&in->text, '\xFF');
}

/* The first bytes say what the others are. Returns how many of them say nothing else. */
static size_t find_form(struct lead_input *in, const char *p, size_t n, enum lead_encoding *ret)
{
	static const struct {
		const char *mark;
		size_t n_mark, n_skip;
		enum lead_encoding encoding;
		int form;
	} marks[] = {
		{ "\xEF\xBB\xBF", 3, 3, LEAD_UTF8, BYTES },
		{ "\xFF\xFE", 2, 2, LEAD_UTF16, UTF16_LE },
		{ "\xFE\xFF", 2, 2, LEAD_UTF16, UTF16_BE },
	};

	for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
		if (n < marks[i].n_mark || memcmp(p, marks[i].mark, marks[i].n_mark) != 0)
			continue;
		*ret = marks[i].encoding;
		in->form = marks[i].form;
		return marks[i].n_skip;
	}
	/* UTF-16 without its mark begins with a Latin letter or a quote all the same. */
	if (n >= 4 && !p[0] != !p[1] && !p[0] == !p[2] && !p[1] == !p[3]) {
		*ret = LEAD_UTF16;
		in->form = p[0] ? UTF16_LE : UTF16_BE;
	}
	return 0;
}

static size_t read_at_least(struct lead_input *in, char *buf, size_t size, size_t least)
{
	size_t n = 0, more;

	while (n < least && (more = read_some(in, buf + n, size - n)))
		n += more;
	return n;
}

/* What people call a list, and is none. */
static const char *why_no_text(const char *p, size_t n)
{
	if (n >= 4 && !memcmp(p, "PK\3\4", 4))
		return "an Excel workbook or a zip archive";
	if (n >= 4 && !memcmp(p, "\xD0\xCF\x11\xE0", 4))
		return "an old Excel workbook";
	if (n >= 5 && !memcmp(p, "%PDF-", 5))
		return "a PDF document";
	return NULL;
}

/* ---- the window ------------------------------------------------------------------------------- */

static void show(struct lead_reader *r)
{
	struct lead_input *in = r->in;

	r->data = str_z(&in->text);
	r->n = in->text.len;
	r->is_last = in->is_over;
	r->trouble = in->trouble;
	/* A CR whose LF has not come yet is half a line end. */
	if (!r->is_last && r->n && r->data[r->n - 1] == '\r')
		r->n--;
}

void lead_input_fill(struct lead_reader *r)
{
	struct lead_input *in = r->in;
	bool is_ready = true; /* more would come at once */

	if (r->is_last || r->n - r->at >= WINDOW)
		return;
	str_drop(&in->text, r->at);
	in->dropped += r->at;
	r->at = 0;
	while (!in->is_over && in->text.len < (is_ready ? 2 : 1) * WINDOW) {
		size_t n = read_some(in, in->chunk, sizeof in->chunk);

		add_text(in, in->chunk, n);
		if (!n)
			end_text(in);
		is_ready = n == sizeof in->chunk;
	}
	show(r);
}

int64_t lead_count_lines(const char *p, size_t n)
{
	int64_t lines = 0;

	for (size_t i = 0; i < n; i++)
		lines += p[i] == '\n' || (p[i] == '\r' && (i + 1 == n || p[i + 1] != '\n'));
	return lines;
}

void lead_input_skip_line(struct lead_reader *r)
{
	for (;;) {
		while (r->at < r->n && r->data[r->at] != '\n' && r->data[r->at] != '\r')
			r->at++;
		if (r->at < r->n) {
			r->at += r->at + 1 < r->n && !memcmp(r->data + r->at, "\r\n", 2) ? 2 : 1;
			r->line++;
			return;
		}
		if (r->is_last)
			return;
		lead_input_fill(r);
	}
}

static bool begin_gzip(struct lead_input *in)
{
	while (in->raw_n < 2) { /* a pipe may give a byte at a time */
		const char *why = NULL;
		ssize_t n = in->source.read(
			in->source.arg, in->raw + in->raw_n, sizeof in->raw - in->raw_n, &why);

		if (n < 0)
			in->trouble = why;
		if (n <= 0)
			return true;
		in->raw_n += (size_t)n;
	}
	in->is_gzip = !memcmp(in->raw, "\x1F\x8B", 2);
	in->has_z = in->is_gzip && inflateInit2(&in->z, GZIP_ONLY) == Z_OK;
	return in->has_z == in->is_gzip;
}

char *lead_input_open(struct lead_reader *r, const struct lead_source *source)
{
	struct lead_input *in = r->in = xcalloc(1, sizeof *in);
	char first[1024];

	in->source = *source;
	r->line = r->header_line = 1;
	if (!begin_gzip(in))
		return xstrdup("zlib cannot be used");
	size_t n = read_at_least(in, first, sizeof first, 5);
	const char *what = why_no_text(first, n);
	if (what)
		return xasprintf("%s, expected a file saved as CSV in UTF-8", what);
	in->dropped = find_form(in, first, n, &r->encoding);
	add_text(in, first + in->dropped, n - in->dropped);
	lead_input_fill(r);
	return r->n || !in->trouble ? NULL : xstrdup(in->trouble);
}

size_t lead_input_dropped(const struct lead_reader *r)
{
	return r->in->dropped;
}

bool lead_input_is_gzip(const struct lead_reader *r)
{
	return r->in->is_gzip;
}

void lead_input_free(struct lead_input *in)
{
	if (!in)
		return;
	if (in->has_z)
		inflateEnd(&in->z);
	if (in->source.done)
		in->source.done(in->source.arg);
	str_done(&in->text);
	free(in);
}
