/*
 * What the tests of the room conf share: a directory of their own, files in it, and the problems of
 * a file as one text. A table of samples is the usual test.
 */
#pragma once

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coldmail/conf.h"
#include "coldmail/err.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

static char house[4096]; /* where the tests were started: the repository */
static char dir[64];

static inline void setup(void)
{
	ck_assert_ptr_nonnull(getcwd(house, sizeof house));
	snprintf(dir, sizeof dir, "/tmp/conf-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static inline void teardown(void)
{
	ck_assert_int_eq(chdir(house), 0);
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void put_bytes(const char *name, const void *p, size_t n)
{
	FILE *f = fopen(name, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(p, 1, n, f), n);
	fclose(f);
}

static inline void put(const char *name, const char *text)
{
	put_bytes(name, text, strlen(text));
}

/* `ceiling` is the plain number of these tests; that it is not enforced yet is asked for in one of
 * them only. */
static inline bool is_said_elsewhere(const struct conf_problem *p)
{
	return p->is_warning && str_starts(p->text, "'ceiling' parses");
}

/* The problems of FILE, a line each; the configuration goes to *RET, NULL when there is none. */
static inline char *problems_of(const char *file, const struct conf **ret)
{
	struct conf_problems found;
	const struct conf *c = NULL;
	struct str text = STR_INIT;
	size_t n_errors = 0;
	int rc = conf_load(file, &c, &found);

	for (size_t i = 0; i < found.n; i++) {
		if (is_said_elsewhere(&found.v[i]))
			continue;
		str_addf(&text, "%s:%d: %s%s\n", found.v[i].file, found.v[i].line,
			found.v[i].is_warning ? "warning: " : "", found.v[i].text);
		n_errors += !found.v[i].is_warning;
	}
	ck_assert_uint_eq(n_errors, found.n_errors);
	ck_assert_int_eq(rc, n_errors ? CM_EINVAL : 0);
	ck_assert(!c == !!n_errors);
	conf_problems_done(&found);
	if (ret)
		*ret = c;
	else
		conf_unref(c);
	return str_take(&text);
}

/* FILE has exactly these PROBLEMS. */
static inline void expect_file(const char *file, const char *problems)
{
	char *found = problems_of(file, NULL);

	ck_assert_msg(
		str_eq(found, problems), "%s found:\n%s\nexpected:\n%s", file, found, problems);
	free(found);
}

/* TEXT as the file c.conf has exactly these PROBLEMS. */
static inline void expect(const char *text, const char *problems)
{
	put("c.conf", text);
	expect_file("c.conf", problems);
}

/* TEXT as the file c.conf; it has no error. */
static inline const struct conf *load(const char *text)
{
	const struct conf *c;

	put("c.conf", text);
	char *found = problems_of("c.conf", &c);

	ck_assert_msg(c != NULL, "%s", found);
	free(found);
	return c;
}

#define IDENTITY "identity { organisation = \"O\"  postal_address = \"P\"  opt_out_line = \"L\" }\n"
#define MAILBOX  "mailbox \"a@x.com\" { smtp = \"smtp://127.0.0.1:25\"  tls = none }\n"
#define STEP     "step \"s\" { template = \"t.tmpl\" }"
/* What may stand before and behind the lines under test: they begin on line 4. */
#define CAMPAIGN(entries)                                                                          \
	IDENTITY MAILBOX "campaign \"c\" { mailboxes = {\"a@x.com\"}\n" entries                    \
			 "step \"s\" { template = \"t.tmpl\" } }\n"

#define CEILING_HINT                                                                               \
	": expected a number from 1 to 1000000000 (mails a minute over all mailboxes above which " \
	"sending stops)\n"

struct sample {
	const char *text, *problems;
};

static inline void expect_all(const struct sample *samples, size_t n)
{
	put("t.tmpl", "Subject: s\n\nb\n");
	for (size_t i = 0; i < n; i++)
		expect(samples[i].text, samples[i].problems);
}
#define EXPECT_ALL(samples) expect_all((samples), sizeof(samples) / sizeof *(samples))

/* Runs TESTS, each in a process and a directory of its own; what main() returns. */
static inline int run(const char *name, const TTest *const *tests, size_t n)
{
	Suite *s = suite_create(name);
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
