/*
 * The seal beside a store (seal.h): a file of its own, so that a store that is put back from a copy
 * stays behind it. Replaced as a whole: written, synced, named; so it is old or new, never half.
 * Runs on: lane. Called by store_sqlite.c at OPEN and SEAL, by a restore.
 *
 * It may lag behind the store, which is harmless: a ledger with more entries than the seal knows of is
 * what a crash leaves. It is never ahead: what it says is committed. What it cannot notice: a snapshot
 * that puts back the store and its seal together in the same place, and a copy put over the file after
 * which nobody was mailed or said anything.
 * Device numbers are not compared: they change from boot to boot. Nothing that is read is trusted.
 */
#include "seal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "coldmail/err.h"
#include "coldmail/fail.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#include "store_sqlite.h"

#define HEAD     "coldmail seal 1\n"
#define NO_INODE 0 /* of a seal that no file fits */
#define FILE_MAX ((size_t)2 * PATH_MAX)

static int failed_os(char **ret_why, const char *doing, const char *path)
{
	int err = errno == ENOSPC || errno == EDQUOT ? CM_EFULL : CM_EIO;

	*ret_why = xasprintf("%s %s: %s", doing, path, strerrordesc_np(errno));
	return err;
}

/* ---- the machine ------------------------------------------------------------------------------- */

/* Ours alone: what the seal says must not tell the machine's own id. */
static const sd_id128_t application = { .bytes = { 0x8c, 0x1f, 0x2b, 0x6a, 0x0e, 0x57, 0x4d, 0x93,
						0xb1, 0x44, 0x5e, 0xf0, 0x3a, 0x9d, 0x70, 0xc6 } };

static void set_machine(struct store_seal *s, sd_id128_t id)
{
	str_hex(id.bytes, sizeof id.bytes, s->machine);
}

/* All of FILE, at most FILE_MAX - 1 bytes, as text that the caller owns; NULL: errno. */
static char *read_file(const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	char buf[FILE_MAX];

	if (fd < 0)
		return NULL;
	ssize_t n = read(fd, buf, sizeof buf);
	int saved = errno;
	close(fd);
	errno = n < 0 ? saved : EFBIG;
	return n < 0 || (size_t)n == sizeof buf ? NULL : xstrndup(buf, (size_t)n);
}

/* Replaces FILE by TEXT, durably. */
static int write_file(const char *file, const char *text, char **ret_why)
{
	char *tmp = xasprintf("%s.tmp", file);
	int err = CM_OK,
	    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	fail_point("seal.before_write");
	if (fd < 0)
		err = failed_os(ret_why, "creating", tmp);
	errno = ENOSPC; /* a short write says nothing else */
	if (!err && (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fsync(fd)))
		err = failed_os(ret_why, "writing", tmp);
	if (fd >= 0)
		close(fd);
	fail_point("seal.before_rename");
	if (!err && rename(tmp, file))
		err = failed_os(ret_why, "naming", file);
	fail_point("seal.after_rename");
	if (!err && !store_sync_dir_of(file))
		err = failed_os(ret_why, "writing the directory of", file);
	free(tmp);
	return err;
}

/* The machine has no id of its own (many containers): one is made and kept in FILE. */
static int make_machine(struct store_seal *s, const char *file, char **ret_why)
{
	sd_id128_t id;
	char *text;

	bug_if(sd_id128_randomize(&id) < 0, "no random numbers");
	set_machine(s, id);
	text = xasprintf("%s\n", s->machine);
	int err = write_file(file, text, ret_why);
	free(text);
	return err;
}

static int parse_machine(struct store_seal *s, const char *file, char *text, char **ret_why)
{
	sd_id128_t id;

	if (sd_id128_from_string(str_trim(text), &id) < 0) {
		*ret_why = xasprintf("%s: 32 hex digits were expected, as `systemd-id128 new` "
				     "prints them",
			file);
		return CM_EIO;
	}
	set_machine(s, id);
	return CM_OK;
}

static bool has_no_id(int r)
{
	return r == -ENOENT || r == -ENOMEDIUM || r == -ENOPKG || r == -EINVAL || r == -EUCLEAN;
}

/* The file beside the store goes first: it is there because the machine has no id, or one that changes
 * with every container. */
static int find_machine(struct store_seal *s, char **ret_why)
{
	const char *slash = strrchr(s->path, '/');
	char *file = xasprintf("%.*s/machine-id", (int)(slash - s->path), s->path);
	char *text = read_file(file);
	sd_id128_t id;
	int err = CM_OK;

	if (text) {
		err = parse_machine(s, file, text, ret_why);
	} else if (errno != ENOENT) {
		err = failed_os(ret_why, "reading", file);
	} else {
		int r = sd_id128_get_machine_app_specific(application, &id);

		errno = -r;
		if (r >= 0)
			set_machine(s, id);
		else
			err = has_no_id(r) ? make_machine(s, file, ret_why)
					   : failed_os(ret_why, "reading", "/etc/machine-id");
	}
	free(text);
	free(file);
	return err;
}

/* ---- reading ----------------------------------------------------------------------------------- */

/* What follows NAME in the line at *AT, which moves to the next one; NULL: another line is there. */
static char *take_field(char **at, const char *name)
{
	char *value = *at + strlen(name), *end = strchr(*at, '\n');

	if (!end || !str_starts(*at, name))
		return NULL;
	*end = '\0';
	*at = end + 1;
	return value;
}

static bool take_whole(char **at, const char *name, int64_t *ret)
{
	const char *value = take_field(at, name);

	return value && str_to_i64(value, ret) && *ret >= 0;
}

static bool take_id(char **at, const char *name, char ret[33])
{
	const char *value = take_field(at, name);

	if (!value || strlen(value) != 32)
		return false;
	memcpy(ret, value, 33);
	return true;
}

/* The path comes last: it may have any byte in it. */
static bool parse(char *text, struct store_seal *ret)
{
	size_t n = strlen(text);
	int64_t inode;

	if (!n || text[n - 1] != '\n' || !str_starts(text, HEAD))
		return false;
	text += strlen(HEAD);
	if (!take_id(&text, "store ", ret->store_id) || !take_id(&text, "machine ", ret->machine) ||
		!take_whole(&text, "inode ", &inode) ||
		!take_whole(&text, "entries ", &ret->come.entries))
		return false;
	/* One of an older version knows of no facts. */
	if (str_starts(text, "facts ") && !take_whole(&text, "facts ", &ret->come.facts))
		return false;
	if (!str_starts(text, "path /"))
		return false;
	ret->inode = (uint64_t)inode;
	n = strlen(text);
	ret->path = xstrndup(text + strlen("path "), n - strlen("path ") - 1);
	return true;
}

/* ---- judging ----------------------------------------------------------------------------------- */

/* NULL, or why a store that has COME so far is older than its seal, which the caller owns. */
static char *is_behind(struct store_come come, struct store_come then)
{
	if (come.entries < then.entries)
		return xasprintf("its ledger has %" PRId64 " entries, its seal knows of %" PRId64
				 ": it is an older copy",
			come.entries, then.entries);
	if (come.facts < then.facts)
		return xasprintf("%" PRId64
				 " opt-outs, stops and other orders were given to it, its seal "
				 "knows of %" PRId64 ": it is an older copy",
			come.facts, then.facts);
	return NULL;
}

/* What is wrong with S, which has COME so far, after THEN was sealed; NULL: nothing. The caller owns
 * it. */
static char *differs(struct store_seal *s, struct store_come come, const struct store_seal *then)
{
	if (!str_eq(s->store_id, then->store_id)) /* two that never mailed anybody */
		return come.entries || then->come.entries
			       ? xstrdup("its seal is that of another store")
			       : NULL;
	char *why = is_behind(come, then->come);
	if (why)
		return why;
	if (then->inode == NO_INODE)
		return xstrdup("it was restored from a backup");
	s->is_moved = true;
	if (!str_eq(s->machine, then->machine))
		return xstrdup("it was sealed on another machine: it was copied or moved");
	if (!str_eq(s->path, then->path))
		return xasprintf("it was sealed as %s: it was copied or moved", then->path);
	if (s->inode != then->inode)
		return xstrdup("it is another file than the one that was sealed: it was copied or "
			       "restored");
	s->is_moved = false;
	s->come = then->come;
	return NULL;
}

static int judge(struct store_seal *s, struct store_come come, char **ret_why)
{
	char *text = read_file(s->file);
	struct store_seal then = { 0 };
	int err = CM_OK;

	if (text && parse(text, &then))
		s->why = differs(s, come, &then);
	else if (text || errno == EFBIG)
		s->why = xasprintf("its seal %s is damaged", s->file);
	else if (errno != ENOENT)
		err = failed_os(ret_why, "reading", s->file);
	else if (come.entries)
		s->why = xasprintf("its ledger has %" PRId64 " entries, and no seal is beside it: "
				   "it is a copy",
			come.entries);
	store_seal_done(&then);
	free(text);
	return err;
}

static int find(struct store_seal *s, const char *path, char **ret_why)
{
	struct stat st;

	s->path = realpath(path, NULL);
	if (!s->path || stat(s->path, &st))
		return failed_os(ret_why, "looking for", path);
	s->file = xasprintf("%s.seal", s->path);
	s->inode = (uint64_t)st.st_ino & INT64_MAX;
	s->come.entries = -1;
	return find_machine(s, ret_why);
}

int store_seal_open(struct store_seal *s, const char *path, const char *store_id,
	struct store_come come, char **ret_why)
{
	store_seal_done(s);
	memcpy(s->store_id, store_id, sizeof s->store_id);
	int err = find(s, path, ret_why);
	if (!err)
		err = judge(s, come, ret_why);
	return err || s->why ? err : store_seal_write(s, come, ret_why);
}

/* ---- writing ----------------------------------------------------------------------------------- */

static int write_seal(const struct store_seal *s, struct store_come come, char **ret_why)
{
	char *text = xasprintf(HEAD "store %s\nmachine %s\ninode %" PRIu64 "\nentries %" PRId64
				    "\nfacts %" PRId64 "\npath %s\n",
		s->store_id, s->machine, s->inode, come.entries, come.facts, s->path);
	int err = write_file(s->file, text, ret_why);

	free(text);
	return err;
}

int store_seal_write(struct store_seal *s, struct store_come come, char **ret_why)
{
	if (s->come.entries == come.entries && s->come.facts == come.facts && !s->why)
		return CM_OK;
	int err = write_seal(s, come, ret_why);
	if (err)
		return err;
	s->come = come;
	free(s->why);
	s->why = NULL;
	return CM_OK;
}

void store_seal_done(struct store_seal *s)
{
	free(s->file);
	free(s->path);
	free(s->why);
	*s = (struct store_seal){ 0 };
}

/* ---- around a restore --------------------------------------------------------------------------- */

bool store_seal_id(const char *path, char ret[33])
{
	struct store_seal s = { .file = xasprintf("%s.seal", path) };
	char *text = read_file(s.file);
	bool ok = text && parse(text, &s);

	if (ok)
		memcpy(ret, s.store_id, sizeof s.store_id);
	store_seal_done(&s);
	free(text);
	return ok;
}

int store_seal_keep(const char *path, const char *store_id, char **ret_why)
{
	struct store_seal s = {
		.file = xasprintf("%s.seal", path), .path = xstrdup(path), .inode = NO_INODE
	};
	char id[sizeof s.store_id];
	int err = CM_OK;

	memset(s.machine, '0', sizeof s.machine - 1);
	memcpy(s.store_id, store_id, sizeof s.store_id);
	if (!store_seal_id(path, id) || !str_eq(id, store_id))
		err = write_seal(&s, (struct store_come){ 0 }, ret_why);
	store_seal_done(&s);
	return err;
}
