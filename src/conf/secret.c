/*
 * Secrets: a file of its own for each, which holds the secret and nothing else, and which nobody can
 * read but its owner and one group. What is wrong with it is told by its path, never by what it holds.
 * Runs on: loop. Called through the table of value.c (type CONF_SECRET).
 * Never: leaves a copy behind; the one there is lives in the load's arena of secrets.
 */
#include "conf_private.h"

#include <unistd.h>

#define MODE_ALLOWED 0640

/* Whose secrets these are: what root starts becomes the owner of the store's directory. */
static uid_t own_user(const struct conf_load *l)
{
	const char *store = l->conf->store_path;
	struct stat st;

	if (geteuid() != 0 || !store)
		return geteuid();
	char *dir = xstrndup(store, (size_t)(strrchr(store, '/') - store) + 1);
	const uid_t user = stat(dir, &st) ? 0 : st.st_uid;

	free(dir);
	return user;
}

/* What is wrong with a file of these rights, and the remedy; NULL: nothing. */
static const char *unsafe(struct conf_load *l, const char *path, const struct stat *st)
{
	const uid_t own = own_user(l);

	if (st->st_uid != 0 && st->st_uid != own && st->st_uid != geteuid())
		return mem_arena_printf(&l->arena,
			"it belongs to user %u, expected root or the daemon's own user (%u): "
			"chown %u %s",
			(unsigned)st->st_uid, (unsigned)own, (unsigned)own, path);
	if (st->st_mode & 07777 & ~MODE_ALLOWED)
		return mem_arena_printf(&l->arena,
			"others may use it (mode %04o), expected mode 0640 or tighter: chmod 640 "
			"%s",
			(unsigned)st->st_mode & 07777, path);
	return NULL;
}

/* One newline at the end is an editor's; what is left has to be one line of text. */
static const char *flaw_of(struct str *text)
{
	if (text->len && text->p[text->len - 1] == '\n')
		text->p[--text->len] = '\0';
	if (text->len && text->p[text->len - 1] == '\r')
		text->p[--text->len] = '\0';
	if (!text->len)
		return "it is empty, expected the secret";
	if (memchr(text->p, '\0', text->len) || strpbrk(text->p, "\r\n"))
		return "it has more than one line, expected the secret alone";
	if (!str_is_utf8(text->p, text->len))
		return "it is not UTF-8, expected the secret as text";
	return NULL;
}

/* Where credential:NAME is; NULL: told. */
static const char *credential(struct conf_load *l, const char *name, struct conf_place at)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");

	if (!*name || strchr(name, '/') || *name == '.')
		conf_error(l, at,
			"'" CONF_CREDENTIAL "%s' names no credential, expected " CONF_CREDENTIAL
			"NAME",
			conf_shown(l, name));
	else if (!dir)
		(l->use == CONF_TO_CHECK ? conf_warning : conf_error)(l, at,
			"'" CONF_CREDENTIAL "%s': there are no credentials, expected a start by "
			"systemd with LoadCredential=%s:FILE in the unit, or "
			"CREDENTIALS_DIRECTORY in the environment",
			conf_shown(l, name), conf_shown(l, name));
	else
		return mem_arena_printf(&l->arena, "%s/%s", dir, name);
	return NULL;
}

/* Root reads it now, but who it becomes cannot at the next reload. (Groups are not asked.) */
static bool is_roots_alone(const struct conf_load *l, const struct stat *st)
{
	return geteuid() == 0 && own_user(l) != 0 && st->st_uid == 0 && !(st->st_mode & 0040);
}

/* The secret in FILE; NULL: told. */
static const char *read_file(
	struct conf_load *l, const char *key, const char *file, struct conf_place at)
{
	const char *kept = NULL, *why, *shown = conf_shown(l, file);
	struct str text = STR_INIT;
	struct stat st;

	str_reserve(&text, 2 * CONF_SECRET_MAX); /* once: what grows leaves a copy behind */
	why = conf_source_slurp(file, CONF_SECRET_MAX, &text, &st);
	if (why)
		why = mem_arena_printf(&l->arena, "%s, expected a file with the secret", why);
	else if (!(why = unsafe(l, shown, &st)))
		why = flaw_of(&text);
	if (why)
		conf_error(l, at, "%s: %s: %s", key, shown, why);
	else
		kept = mem_arena_ndup(&l->secrets, text.p, text.len);
	if (!why && is_roots_alone(l, &st))
		conf_warning(l, at,
			"%s: %s: only root may read it, and the daemon runs as user %u, who owns "
			"the "
			"store's directory: chown %u %s",
			key, shown, (unsigned)own_user(l), (unsigned)own_user(l), shown);
	mem_wipe(text.p, text.cap);
	str_done(&text);
	return kept;
}

const char *conf_secret_read(
	struct conf_load *l, const char *key, const char *path, struct conf_place at)
{
	const char *file = path;

	if (l->use == CONF_TO_MAINTAIN)
		return "";
	if (str_starts(path, CONF_CREDENTIAL))
		file = credential(l, path + strlen(CONF_CREDENTIAL), at);
	if (!file)
		return l->use == CONF_TO_CHECK ? "" : NULL;
	return read_file(l, key, file, at);
}
