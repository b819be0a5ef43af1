/*
 * Files: reads configuration files and templates whole, within limits, and finds paths from the
 * file that names them. What cannot be read is one clear problem.
 * Runs on: loop (a reload reads a few small files). Never waits on a pipe or a device: only regular
 * files are read.
 */
#include "conf_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is wrong with a text of unknown origin, and where. NULL: nothing. */
static const char *find_flaw(const char *text, size_t n, int *ret_line)
{
	const char *flaw = NULL;
	int line = 1;

	if (n >= 2 && (!memcmp(text, "\xFF\xFE", 2) || !memcmp(text, "\xFE\xFF", 2)))
		flaw = "is UTF-16, expected UTF-8";
	for (const char *p = text, *end = text + n; !flaw && p < end; line++) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((eol ? eol + 1 : end) - p);

		if (memchr(p, '\0', len))
			flaw = "has a NUL byte, expected text";
		else if (!str_is_utf8(p, len))
			flaw = "is not UTF-8";
		if (flaw)
			break;
		p += len;
	}
	*ret_line = line;
	return flaw;
}

/* The whole of an open file, at most MAX bytes. 0 or an errno; EFBIG: more than MAX. */
static int read_all(int fd, size_t max, struct str *out)
{
	for (;;) {
		str_reserve(out, 4096);
		ssize_t n = read(fd, out->p + out->len, 4096);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (!n)
			return 0;
		out->len += (size_t)n;
		out->p[out->len] = '\0';
		if (out->len > max)
			return EFBIG;
	}
}

const char *conf_source_slurp(const char *path, size_t max, struct str *out, struct stat *ret_st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const char *why = NULL;

	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, ret_st) < 0) {
		why = strerror(errno);
	} else if (!S_ISREG(ret_st->st_mode)) {
		why = "not a regular file";
	} else {
		int err = read_all(fd, max, out);

		why = err == EFBIG ? "too large" : err ? strerror(err) : NULL;
	}
	close(fd);
	return why;
}

static size_t bom_len(const struct str *text)
{
	return text->len >= 3 && !memcmp(text->p, "\xEF\xBB\xBF", 3) ? 3 : 0;
}

struct conf_source *conf_source_read(
	struct conf_load *l, const char *name, const struct conf_place *at)
{
	struct conf_source *src = mem_arena_get(&l->arena, sizeof *src);
	struct str text = STR_INIT;
	struct stat st = { 0 };
	int line;

	*src = (struct conf_source){ .name = mem_arena_dup(&l->arena, name),
		.rank = l->n_sources++ };
	const struct conf_place own = { src, 1 };
	const char *why = conf_source_slurp(name, CONF_FILE_MAX, &text, &st);
	const char *flaw = why ? NULL : find_flaw(str_z(&text), text.len, &line);

	if (why)
		conf_error(l, at ? *at : own,
			"cannot read '%s': %s, expected a text file of at most %zu KB",
			conf_shown(l, name), why, CONF_FILE_MAX >> 10);
	else if (flaw)
		conf_error(l, (struct conf_place){ src, line }, "the file %s", flaw);
	if (!why && !flaw) {
		size_t skip = bom_len(&text);

		src->len = text.len - skip;
		src->text = mem_arena_ndup(&l->arena, str_z(&text) + skip, src->len);
		src->dev = st.st_dev;
		src->ino = st.st_ino;
	}
	str_done(&text);
	return why || flaw ? NULL : src;
}

const char *conf_source_template(struct conf_load *l, const char *path, struct conf_place at)
{
	struct str text = STR_INIT;
	struct stat st;
	const char *kept = NULL;
	int line;
	const char *why = conf_source_slurp(path, CONF_TEMPLATE_MAX, &text, &st);
	const char *flaw = why ? NULL : find_flaw(str_z(&text), text.len, &line);

	if (why)
		conf_error(l, at,
			"cannot read the template '%s': %s, expected a text file of at most %zu KB",
			conf_shown(l, path), why, CONF_TEMPLATE_MAX >> 10);
	else if (flaw)
		conf_error(
			l, at, "the template '%s' %s (line %d)", conf_shown(l, path), flaw, line);
	else
		kept = mem_arena_dup(&l->arena, str_z(&text) + bom_len(&text));
	str_done(&text);
	return kept;
}

const char *conf_source_path(struct conf_load *l, const struct conf_source *src, const char *path)
{
	const char *slash = strrchr(src->name, '/');

	if (str_starts(path, "./"))
		path += 2;
	if (*path == '/' || !slash)
		return mem_arena_dup(&l->arena, path);
	return mem_arena_printf(&l->arena, "%.*s/%s", (int)(slash - src->name), src->name, path);
}

const char *conf_source_absolute(
	struct conf_load *l, const struct conf_source *src, const char *path)
{
	const char *found = conf_source_path(l, src, path);

	if (*found == '/')
		return found;
	char *cwd = get_current_dir_name();
	const char *full = mem_arena_printf(&l->arena, "%s/%s", cwd ? cwd : "", found);

	free(cwd);
	return full;
}
