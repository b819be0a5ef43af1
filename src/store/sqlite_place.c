/*
 * The store's place: its file is made, is this process's alone, and stays where it is. Two locks of open
 * file descriptions, which end with us however we end: one beside the file, for its name, and one on
 * the file itself, for all the other names that links, mounts and renames give it.
 * Runs on: lane 0. Called at OPEN, and before each group.
 * Never closes the file while SQLite has it open: that would end SQLite's own locks, too.
 */
#include "store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "coldmail/err.h"

/* Beyond the bytes that SQLite locks (0x40000000 and the 511 after it). */
#define LOCK_AT ((off_t)0x40000000 + 4096)

int store_refuse_os(struct store_req *r, const char *doing, const char *path)
{
	int err = errno == ENOSPC || errno == EDQUOT ? CM_EFULL : CM_EIO;

	r->why = mem_arena_printf(&r->arena, "%s %s: %s", doing, path, strerrordesc_np(errno));
	return err;
}

/* AT: of which byte. */
static int lock(struct store_req *r, const char *path, off_t at, int *ret_fd)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };

	if (*ret_fd >= 0)
		return CM_OK;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return store_refuse_os(r, "opening", path);
	if (!fcntl(fd, F_OFD_SETLK, &fl)) {
		*ret_fd = fd;
		return CM_OK;
	}
	int err = errno == EAGAIN || errno == EACCES
			  ? store_refuse(r, CM_ELOCKED, "another process uses this store")
			  : store_refuse_os(r, "locking", path);
	close(fd);
	return err;
}

/* SQLite would make it with the umask's mode, and -wal and -shm after it. */
static int create(const char *path, struct store_req *r)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno == EEXIST ? CM_OK : store_refuse_os(r, "creating", path);
	close(fd);
	return store_sync_dir_of(path) ? CM_OK
				       : store_refuse_os(r, "writing the directory of", path);
}

static bool is_in_place(const struct store_place *p)
{
	struct stat st;

	return !stat(p->path, &st) && st.st_ino == p->file.st_ino && st.st_dev == p->file.st_dev;
}

static int lock_file(struct store_place *p, struct store_req *r)
{
	if (p->file_fd >= 0 && !is_in_place(p)) {
		close(p->file_fd);
		p->file_fd = -1;
	}
	int err = lock(r, p->path, LOCK_AT, &p->file_fd);
	if (!err && fstat(p->file_fd, &p->file))
		err = store_refuse_os(r, "looking at", p->path);
	return err;
}

void store_place_init(struct store_place *p, const char *path)
{
	*p = (struct store_place){ .path = path, .lock_fd = -1, .file_fd = -1 };
}

int store_place_take(struct store_place *p, struct store_req *r)
{
	int err = lock(r, mem_arena_printf(&r->arena, "%s.lock", p->path), 0, &p->lock_fd);

	if (!err)
		err = create(p->path, r);
	return err ? err : lock_file(p, r);
}

bool store_place_is_ours(const struct store_place *p)
{
	return p->lock_fd >= 0;
}

/* A file that was moved away would go on being written to, and nobody would ever see it again. */
int store_place_check(const struct store_place *p, struct store_db *db)
{
	if (is_in_place(p))
		return CM_OK;
	db->err = CM_ESTORE;
	snprintf(db->why, sizeof db->why,
		"%s was moved, deleted or replaced while coldmail runs: put it back, or restart "
		"coldmail",
		p->path);
	return db->err;
}

void store_place_done(struct store_place *p)
{
	if (p->file_fd >= 0)
		close(p->file_fd);
	if (p->lock_fd >= 0)
		close(p->lock_fd);
}
