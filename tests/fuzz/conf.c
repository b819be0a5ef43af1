/*
 * Fuzz: a configuration file of any bytes is read to its end; it gives problems or a sound
 * configuration. Includes reach into the file system: their word is another one here.
 */
#include "coldmail/conf.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "coldmail/err.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_problems(const struct conf_problems *found)
{
	size_t n_errors = 0;

	for (size_t i = 0; i < found->n; i++) {
		const struct conf_problem *p = &found->v[i];

		bug_if(p->line < 1 || str_is_empty(p->file), "a problem nowhere");
		bug_if(str_is_empty(p->text) || strchr(p->text, '\n'),
			"a problem of no or two lines");
		bug_if(!str_is_utf8(p->text, strlen(p->text)), "a problem that is not UTF-8");
		n_errors += !p->is_warning;
	}
	bug_if(n_errors != found->n_errors, "%zu errors, not %zu", n_errors, found->n_errors);
}

static void check_conf(const struct conf *c)
{
	char **lines = conf_diff(c, c);

	bug_if(*lines, "differs from itself: %s", *lines);
	conf_diff_free(lines);
	lines = conf_questions(c, c);
	bug_if(*lines, "asks of itself: %s", *lines);
	conf_diff_free(lines);
	bug_if(!c->store_path || *c->store_path != '/', "no store");
	for (size_t i = 0; i < c->n_mailboxes; i++)
		bug_if(conf_find_mailbox(c, c->mailboxes[i].address) != &c->mailboxes[i],
			"two mailboxes of one address");
	for (size_t i = 0; i < c->n_campaigns; i++) {
		bug_if(conf_find_campaign(c, c->campaigns[i].name) != &c->campaigns[i],
			"two campaigns of one name");
		bug_if(!c->campaigns[i].n_steps || !c->campaigns[i].n_mailboxes, "nothing to do");
	}
}

/* A file with these bytes, but without includes. */
static int file_of(const uint8_t *data, size_t n)
{
	int fd = memfd_create("conf", MFD_CLOEXEC);
	char *text = xmemdup(data, n), *include;

	while ((include = memmem(text, n, "include", strlen("include"))))
		*include = 'I';
	bug_if(fd < 0 || write(fd, text, n) != (ssize_t)n, "no file");
	free(text);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const int fd = file_of(data, n);
	const struct conf *c = NULL;
	struct conf_problems found;
	char path[32];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int rc = conf_load(path, &c, &found);

	bug_if((rc == 0) != (found.n_errors == 0) || !c != (rc != 0), "an answer that is two");
	check_problems(&found);
	if (c)
		check_conf(c);
	conf_problems_done(&found);
	if (c) {
		const struct conf *again = NULL;

		bug_if(conf_reload(c, path, &again, &found), "a reload of itself fails");
		for (size_t i = 0; i < found.n; i++)
			bug_if(strstr(found.v[i].text, " counts from the next start on"),
				"a reload of itself: %s", found.v[i].text);
		conf_problems_done(&found);
		conf_unref(again);
	}
	conf_unref(c);
	char *socket = NULL, *why = NULL;
	rc = conf_find_socket(path, &socket, &why);
	bug_if((rc == 0) != (socket != NULL) || !socket == !why, "a socket that is two");
	free(socket);
	free(why);
	close(fd);
	return 0;
}
