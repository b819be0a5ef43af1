/*
 * Which files are the store's own: the database, what SQLite keeps beside it, lock and seal, and what
 * else lives in its directory. A copy under such a name would be taken for the real one: a -journal is
 * rolled back into the store, a seal is believed.
 * Runs on: lane. Called before a backup is written.
 * Compares places and files, not names: a path goes over links, and so may the store's.
 */
#include "store_sqlite.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coldmail/err.h"

/* Behind the store's name -> what it is. */
static const struct {
	const char *suffix, *what;
} own[] = {
	{ "", "the store itself" },
	{ "-journal", "SQLite's journal of the store" },
	{ "-wal", "SQLite's log of the store" },
	{ "-shm", "the index of SQLite's log of the store" },
	{ ".lock", "the store's lock" },
	{ ".seal", "the store's seal" },
	{ ".seal.tmp", "the store's seal in the making" },
	{ ".restore", "a restored store in the making" },
	{ ".restore.tmp", "a restored store in the making" },
};

/* In the store's directory: how a name begins -> what it is. */
static const struct {
	const char *prefix, *what;
} beside[] = {
	{ "machine-id", "the machine's id" },
	{ "oauth.", "a mailbox's token" },
};

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_same_file(const char *a, const char *b)
{
	struct stat x, y;

	return !stat(a, &x) && !stat(b, &y) && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static bool is_same_dir(struct mem_arena *a, const char *path, const char *other)
{
	const char *x = mem_arena_ndup(a, path, (size_t)(name_of(path) - path));
	const char *y = mem_arena_ndup(a, other, (size_t)(name_of(other) - other));

	return is_same_file(*x ? x : ".", *y ? y : ".");
}

/* What FILE, which need not be there, is of the store at PATH; NULL: nothing. */
static const char *of_store(struct mem_arena *a, const char *path, const char *file)
{
	bool is_beside = is_same_dir(a, path, file);

	for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
		const char *mine = mem_arena_printf(a, "%s%s", path, own[i].suffix);

		if ((is_beside && str_eq(name_of(mine), name_of(file))) || is_same_file(mine, file))
			return own[i].what;
	}
	for (size_t i = 0; is_beside && i < sizeof beside / sizeof *beside; i++)
		if (str_starts(name_of(file), beside[i].prefix))
			return beside[i].what;
	return NULL;
}

const char *store_own(struct mem_arena *a, const char *path, const char *file)
{
	char *real = realpath(path, NULL);
	const char *what = of_store(a, path, file);

	if (!what && real) /* SQLite follows a link, and puts its files there */
		what = of_store(a, real, file);
	free(real);
	return what;
}
