/*
 * The file that leads are read from, as the reader of room lead asks for its bytes.
 * Runs on: any. Called by the commands that import. It may be a pipe, or never end.
 */
#include "ctl_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coldmail/err.h"
#include "coldmail/lead.h"

int ctl_source_open(const char *file, struct ctl_source *ret)
{
	const bool is_stdin = str_eq(file, "-");
	struct stat st;
	int fd = is_stdin ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) || (S_ISDIR(st.st_mode) && (errno = EISDIR))) {
		ctl_error("%s: %s", file, strerror(errno));
		if (fd > STDIN_FILENO)
			close(fd);
		return CM_EXIT_USAGE;
	}
	*ret = (struct ctl_source){ .fd = fd, .size = S_ISREG(st.st_mode) ? st.st_size : 0 };
	return 0;
}

static ssize_t read_source(void *arg, char *buf, size_t n, const char **ret_why)
{
	struct ctl_source *source = arg;
	ssize_t got = read(source->fd, buf, n);

	if (got < 0)
		*ret_why = strerrordesc_np(errno); /* also after ^C */
	else
		source->n_read += got;
	return got;
}

static void close_source(void *arg)
{
	const struct ctl_source *source = arg;

	if (source->fd != STDIN_FILENO)
		close(source->fd);
}

void ctl_source_reads(struct ctl_source *source, struct lead_source *ret)
{
	*ret = (struct lead_source){ read_source, source, close_source };
}
