/*
 * A consistent copy of the store while it is written to: BACKUP in slices, and the copy before a
 * migration at once. SQLite copies pages while a read transaction of the same connection holds the
 * state of its beginning; the copy gets its name when it is whole and on the disk.
 * Runs on: the bulk lane (store_slice_backup), lane 0 (store_copy_file).
 * Never overwrites a file that BACKUP was not asked to make; never leaves a half one under its name.
 */
#include "store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"

#define PAGES_A_STEP 64

struct copy {
	sqlite3 *src, *dst; /* owned */
	sqlite3_backup *backup; /* owned */
	char *tmp, *path; /* owned */
	char *why; /* owned; of a failure */
	int err;
};

bool store_sync_dir_of(const char *path)
{
	char *dir = xstrdup(path), *slash = strrchr(dir, '/');

	if (slash)
		slash[slash == dir] = '\0';
	int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && !fsync(fd);
	int saved = errno;

	if (fd >= 0)
		close(fd);
	free(dir);
	errno = saved;
	return ok;
}

static bool failed_os(struct copy *c, const char *doing, const char *path)
{
	c->err = errno == EEXIST                                        ? CM_EEXIST
		 : errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? CM_EFULL
									: CM_EIO;
	c->why = xasprintf("%s %s: %s", doing, path, strerrordesc_np(errno));
	return false;
}

static bool failed_db(struct copy *c, sqlite3 *h, int rc)
{
	struct store_db db = { .h = h };

	c->err = store_db_fail(&db, rc, "copying");
	c->why = xstrdup(db.why);
	return false;
}

/* The temporary file is ours alone: a left-over of a copy that was killed goes. */
static bool make_tmp(struct copy *c)
{
	if (unlink(c->tmp) && errno != ENOENT)
		return failed_os(c, "removing", c->tmp);
	int fd = open(c->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed_os(c, "creating", c->tmp);
	close(fd);
	return true;
}

static bool open_both(struct copy *c, const char *from)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	int rc = sqlite3_open_v2(from, &c->src, flags, NULL);

	if (!rc)
		rc = sqlite3_busy_timeout(c->src, STORE_BUSY_MS);
	if (!rc)
		rc = sqlite3_exec(c->src,
			"PRAGMA cache_size = -256; BEGIN; SELECT 1 FROM sqlite_schema", NULL, NULL,
			NULL);
	if (rc)
		return failed_db(c, c->src, rc);
	rc = sqlite3_open_v2(c->tmp, &c->dst, flags, NULL);
	if (!rc)
		rc = sqlite3_exec(c->dst, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF",
			NULL, NULL, NULL);
	return rc ? failed_db(c, c->dst, rc) : true;
}

static struct copy *copy_start(const char *from, const char *path)
{
	struct copy *c = xcalloc(1, sizeof *c);

	c->path = xstrdup(path);
	c->tmp = xasprintf("%s.tmp", path);
	if (!make_tmp(c) || !open_both(c, from))
		return c;
	c->backup = sqlite3_backup_init(c->dst, "main", c->src, "main");
	if (!c->backup)
		failed_db(c, c->dst, sqlite3_extended_errcode(c->dst));
	return c;
}

/* false: that was the last, or it failed. */
static bool copy_step(struct copy *c)
{
	int rc = sqlite3_backup_step(c->backup, PAGES_A_STEP);

	if (rc == SQLITE_OK)
		return true;
	if (rc != SQLITE_DONE)
		failed_db(c, c->dst, rc);
	return false;
}

static void copy_close(struct copy *c)
{
	sqlite3_backup_finish(c->backup);
	sqlite3_close(c->dst);
	sqlite3_close(c->src);
	c->backup = NULL;
	c->dst = c->src = NULL;
}

/* The whole copy gets its name, and its size is told. */
static bool copy_publish(struct copy *c, int64_t *ret_bytes)
{
	struct stat st;
	int fd = open(c->tmp, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return failed_os(c, "opening", c->tmp);
	bool ok = !fsync(fd) && !fstat(fd, &st);
	if (!ok)
		failed_os(c, "writing", c->tmp);
	close(fd);
	if (!ok)
		return false;
	if (rename(c->tmp, c->path))
		return failed_os(c, "naming", c->path);
	if (!store_sync_dir_of(c->path))
		return failed_os(c, "writing the directory of", c->path);
	*ret_bytes = st.st_size;
	return true;
}

static void copy_free(struct copy *c)
{
	copy_close(c);
	if (c->err)
		unlink(c->tmp);
	free(c->tmp);
	free(c->path);
	free(c->why);
	free(c);
}

int store_copy_file(const char *from, const char *path, char **ret_why)
{
	struct copy *c = copy_start(from, path);
	int64_t bytes;

	while (!c->err && copy_step(c))
		;
	copy_close(c);
	if (!c->err)
		copy_publish(c, &bytes);
	int err = c->err;
	if (err) {
		*ret_why = c->why;
		c->why = NULL;
	}
	copy_free(c);
	return err;
}

/* ---- BACKUP ----------------------------------------------------------------------------------- */

static bool exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

static bool finish(struct store_req *r, struct copy *c)
{
	copy_close(c);
	if (r->job.cancelled && !c->err) {
		c->err = CM_ECANCELED;
		c->why = xstrdup("the daemon stops");
	}
	if (!c->err && exists(c->path)) {
		errno = EEXIST;
		failed_os(c, "naming", c->path);
	}
	if (!c->err)
		copy_publish(c, &r->u.backup.bytes);
	r->err = c->err;
	r->why = mem_arena_dup(&r->arena, c->why);
	copy_free(c);
	r->u.backup.state = NULL;
	return true;
}

/* No copy takes the place of what the store lives on, neither when it is whole nor in the making. */
static int check_place(struct store_req *r, const char *path)
{
	const char *to = r->u.backup.path, *tmp = mem_arena_printf(&r->arena, "%s.tmp", to);
	const char *what = store_own(&r->arena, path, to);

	if (what)
		return store_refuse(r, CM_EINVAL,
			mem_arena_printf(&r->arena,
				"this is %s, expected another file: choose another name", what));
	what = store_own(&r->arena, path, tmp);
	if (what)
		return store_refuse(r, CM_EINVAL,
			mem_arena_printf(&r->arena,
				"until it is whole it would be %s, and this is %s: choose another "
				"name",
				tmp, what));
	return exists(to) ? store_refuse(r, CM_EEXIST, "there is such a file already") : CM_OK;
}

bool store_slice_backup(const char *path, struct store_req *r)
{
	int64_t until_us = clock_raw_us() + STORE_SLICE_US;
	struct copy *c = r->u.backup.state;

	if (!c) {
		r->err = check_place(r, path);
		if (r->err || r->u.backup.dry_run)
			return true;
		c = copy_start(path, r->u.backup.path);
		r->u.backup.state = c;
	}
	while (!c->err && !r->job.cancelled && clock_raw_us() < until_us)
		if (!copy_step(c))
			return finish(r, c);
	return c->err || r->job.cancelled ? finish(r, c) : false;
}
