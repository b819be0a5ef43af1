/*
 * The file of a rotated refresh token (oauth_private.h): the hash of the token that was configured,
 * and the token that took its place, one a line. Another configured token makes the file void: the
 * operator authorised again.
 * Runs on: loop; writes and fsyncs on a lane that is started with the first token to keep.
 * Called by mail/oauth.c. Never: says a token.
 */
#include "oauth_private.h"

#include <glib.h>
#include <string.h>

#include "coldmail/job.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"

#define HASH_LEN 64 /* hex digits of a SHA-256 */

struct write {
	struct job job;
	char *file; /* owned */
	char *text; /* owned; wiped */
	char *why; /* owned by glib: what failed */
	void (*then)(void *arg);
	void *arg; /* borrowed: until then */
};

static struct job_lane *lane; /* owned; NULL: nothing was to be kept yet */

char *mail_oauth_file_read(const char *file, const char *origin)
{
	char *text = NULL, *ret = NULL;
	gsize n = 0;

	if (!g_file_get_contents(file, &text, &n, NULL))
		return NULL; /* the first start; or it is told when it cannot be written */
	if (n > HASH_LEN + 1 && !memcmp(text, origin, HASH_LEN) && text[HASH_LEN] == '\n') {
		const char *token = text + HASH_LEN + 1;
		size_t len = strcspn(token, "\n");

		ret = len ? xstrndup(token, len) : NULL;
	}
	mem_wipe(text, n);
	g_free(text);
	return ret;
}

static void write_group(void *ctx, struct job **jobs, size_t n)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++) {
		struct write *w = (struct write *)jobs[i];
		GError *e = NULL;

		if (g_file_set_contents_full(w->file, w->text, -1,
			    G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, &e))
			continue;
		w->why = g_strdup(e->message);
		g_error_free(e);
	}
}

static void on_written(struct job *j)
{
	struct write *w = (struct write *)j;

	if (w->why)
		log_event(LOG_ERR, "oauth_not_kept", LOG_S("file", w->file), LOG_S("why", w->why),
			LOG_S("note",
				"after a restart the mailbox may have to be authorised again"));
	w->then(w->arg);
	mem_free_secret(w->text);
	g_free(w->why);
	free(w->file);
	free(w);
}

void mail_oauth_file_write(
	const char *file, const char *origin, const char *token, void (*done)(void *arg), void *arg)
{
	static const struct job_lane_ops ops = { .group = write_group };
	struct write *w = xcalloc(1, sizeof *w);

	w->job.done = on_written;
	w->file = xstrdup(file);
	w->text = xasprintf("%s\n%s\n", origin, token);
	w->then = done;
	w->arg = arg;
	if (!lane)
		lane = job_lane_new("coldmail-oauth", &ops, NULL);
	job_send(lane, &w->job);
}

void mail_oauth_file_done(void)
{
	job_lane_free(lane);
	lane = NULL;
}
