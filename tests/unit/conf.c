/*
 * What a load gives: defaults and values, generations, the difference between two of them, the
 * control socket of a broken file, and the sample files.
 */
#include "unit/conf_help.h"

#include "coldmail/clock.h"
#include "coldmail/log.h"

START_TEST(defaults)
{
	put("t.tmpl", "x");
	const struct conf *c = load(CAMPAIGN(""));
	const struct conf_mailbox *m = conf_find_mailbox(c, "a@x.com");
	const struct conf_campaign *k = conf_find_campaign(c, "c");

	ck_assert_str_eq(c->file, "c.conf");
	ck_assert_str_eq(c->store, CONF_DEFAULT_STORE);
	ck_assert_str_eq(c->store_path, "/var/lib/coldmail/coldmail.db");
	ck_assert_int_eq(c->store_timeout_ms, 5 * CLOCK_SECOND_MS);
	ck_assert_int_eq(c->stop_timeout_ms, CLOCK_MINUTE_MS);
	ck_assert_int_eq(c->log_level, LOG_INFO);
	ck_assert_int_eq(c->log_format, LOG_FORMAT_AUTO);
	ck_assert_str_eq(c->control_socket, CONF_DEFAULT_SOCKET);
	ck_assert_int_eq(c->ceiling_per_min, 300);
	ck_assert_str_eq(m->name, "");
	ck_assert_int_eq(m->daily_limit, 25);
	ck_assert_int_eq(m->gap_min_ms, 12 * CLOCK_MINUTE_MS);
	ck_assert_int_eq(m->gap_max_ms, 24 * CLOCK_MINUTE_MS);
	ck_assert_str_eq(m->timezone, "UTC");
	ck_assert_uint_eq(m->n_ramp, 4);
	ck_assert_int_eq(m->ramp[3], 20);
	ck_assert_int_eq(m->connections, 1);
	ck_assert(m->is_loopback && !m->tls_required);
	ck_assert_uint_eq(k->n_mailboxes, 1);
	ck_assert_ptr_eq(k->mailboxes[0], m);
	ck_assert(!k->start_auto);
	ck_assert_uint_eq(k->days, 31);
	ck_assert_uint_eq(k->n_windows, 1);
	ck_assert_int_eq(k->windows[0].from_min, 9 * 60);
	ck_assert_int_eq(k->windows[0].to_min, 17 * 60);
	ck_assert_str_eq(k->holidays, "none");
	ck_assert_int_eq(k->domain_daily_limit, 3);
	ck_assert_int_eq(k->canary, 20);
	ck_assert_int_eq(k->recontact_ms, CLOCK_NEVER_MS);
	ck_assert_int_eq(k->expire_ms, 14 * CLOCK_DAY_MS);
	ck_assert_str_eq(k->identity.organisation, "O");
	ck_assert_str_eq(k->identity.unsubscribe_url, "");
	ck_assert_str_eq(k->file, "c.conf");
	ck_assert_int_eq(k->line, 3);
	ck_assert_int_eq(k->steps[0].after_ms, 0);
	ck_assert(!k->steps[0].same_thread);
	conf_unref(c);
}
END_TEST

START_TEST(values)
{
	put("t.tmpl", "x");
	put("u.tmpl", "\xEF\xBB\xBFy");
	put("us.list", "2026-12-25 Christmas Day\n");
	const struct conf *c = load(IDENTITY
		"store = \"sqlite:/x/y.db\" store_timeout = 100ms stop_timeout = 2min ceiling = "
		"2k\n"
		"log { level = error format = journal } control { socket = s }\n"
		"mailbox \"Bob@X.com\" { smtp = \"smtp://[::1]\" tls = none name = \"B\" gap = "
		"90s\n"
		"ramp = {1} connections = 32 daily_limit = 10m }\n" MAILBOX
		"campaign \"c\" { identity { organisation = \"Client\" } start = auto\n"
		"mailboxes = {\"bob@x.COM\", \"a@x.com\"} days = {sun, mon} holidays = "
		"\"./us.list\"\n"
		"freeze = {2026-12-21/2027-01-03, 2026-07-03}\n"
		"window = {00:00-01:00, 23:00-24:00} recontact_after = 180d\n"
		"step \"a\" { template = \"t.tmpl\" }\n"
		"step \"b\" { template = \"u.tmpl\" after = 36h thread = same } }\n");
	const struct conf_campaign *k = &c->campaigns[0];
	const struct conf_mailbox *m = &c->mailboxes[0];
	char *socket = xasprintf("%s/s", dir), *list = xasprintf("%s/us.list", dir);

	ck_assert_str_eq(c->store_path, "/x/y.db");
	ck_assert_int_eq(c->store_timeout_ms, 100);
	ck_assert_int_eq(c->ceiling_per_min, 2000);
	ck_assert_int_eq(c->log_level, LOG_ERR);
	ck_assert_int_eq(c->log_format, LOG_FORMAT_JOURNAL);
	ck_assert_str_eq(c->control_socket, socket);
	ck_assert_str_eq(m->address, "bob@x.com");
	ck_assert_str_eq(m->smtp, "smtp://[::1]:587");
	ck_assert_int_eq(m->gap_min_ms, 90 * CLOCK_SECOND_MS);
	ck_assert_int_eq(m->gap_max_ms, 90 * CLOCK_SECOND_MS);
	ck_assert_int_eq(m->daily_limit, 10000000);
	ck_assert(k->start_auto);
	ck_assert_ptr_eq(k->mailboxes[0], m);
	ck_assert_ptr_eq(k->mailboxes[1], &c->mailboxes[1]);
	ck_assert_uint_eq(k->days, 1 | 1 << 6);
	ck_assert_str_eq(k->holidays, list);
	ck_assert_uint_eq(k->n_closed, 1);
	ck_assert_str_eq(k->closed[0].name, "Christmas Day");
	ck_assert_uint_eq(k->n_freeze, 2);
	ck_assert_int_eq(k->freeze[0].to_day - k->freeze[0].from_day, 13);
	ck_assert_int_eq(k->freeze[1].to_day, k->freeze[1].from_day);
	ck_assert_int_eq(k->windows[1].to_min, 1440);
	ck_assert_int_eq(k->recontact_ms, 180 * CLOCK_DAY_MS);
	ck_assert_str_eq(k->identity.organisation, "Client");
	ck_assert_str_eq(k->identity.postal_address, "P");
	ck_assert_str_eq(c->identity.organisation, "O");
	ck_assert_int_eq(conf_find_step(k, "b"), 1);
	ck_assert_int_eq(conf_find_step(k, "B"), -1);
	ck_assert_int_eq(k->steps[1].after_ms, 36 * CLOCK_HOUR_MS);
	ck_assert(k->steps[1].same_thread);
	ck_assert_str_eq(k->steps[1].template_source, "y");
	ck_assert_ptr_null(conf_find_mailbox(c, "Bob@X.com"));
	ck_assert_ptr_null(conf_find_campaign(c, "d"));
	conf_unref(c);
	free(socket);
	free(list);
}
END_TEST

/* A generation lives as long as somebody holds it, and is numbered. */
START_TEST(generations)
{
	const struct conf *a = load("ceiling = 1"), *b = load("ceiling = 2");
	const struct conf *again = conf_ref(a);

	ck_assert_ptr_eq(again, a);
	ck_assert_uint_eq(b->generation, a->generation + 1);
	conf_unref(a);
	ck_assert_int_eq(again->ceiling_per_min, 1);
	conf_unref(again);
	expect("ceiling = 0", "c.conf:1: ceiling = 0" CEILING_HINT);
	const struct conf *c = load("");
	ck_assert_uint_eq(c->generation, b->generation + 1);
	conf_unref(b);
	conf_unref(c);
	conf_unref(NULL);
}
END_TEST

static char *diff_of(const struct conf *old, const struct conf *new)
{
	struct str text = STR_INIT;
	char **lines = conf_diff(old, new);

	for (char **line = lines; *line; line++)
		str_addf(&text, "%s\n", *line);
	conf_diff_free(lines);
	return str_take(&text);
}

START_TEST(differences)
{
	put("t.tmpl", "x");
	const struct conf *a = load(
		IDENTITY MAILBOX "mailbox \"b@x.com\" { smtp = \"smtp://localhost\" tls = none }\n"
				 "campaign \"c\" { mailboxes = {\"a@x.com\", \"b@x.com\"}\n" STEP
				 " step \"u\" { template = \"t.tmpl\" after = 3d } }\n"
				 "campaign \"gone\" { mailboxes = {\"a@x.com\"} " STEP " }\n");

	put("t.tmpl", "y");
	const struct conf *b = load(
		"identity { organisation = O postal_address = \"Q\\nR\" opt_out_line = L }\n"
		"store = \"sqlite:/x\" stop_timeout = 90s log { level = debug }\n"
		"mailbox \"a@x.com\" { smtp = \"smtp://127.0.0.1:25\" tls = none gap = 5min }\n"
		"mailbox \"d@x.com\" { smtp = \"smtp://localhost\" tls = none ramp = {} }\n"
		"campaign \"c\" { mailboxes = {\"a@x.com\"} start = auto window = {01:00-02:00,\n"
		"03:00-04:00} days = {sat, sun} recontact_after = 25h\n" STEP
		" step \"v\" { template = \"t.tmpl\" after = 3d } }\n"
		"campaign \"new\" { mailboxes = {\"a@x.com\"} " STEP " }\n");
	char *found = diff_of(a, b), *none = diff_of(a, a);
	char *text = xasprintf("%s%s/t.tmpl%s",
		"~ store \"sqlite:/var/lib/coldmail/coldmail.db\" -> \"sqlite:/x\"\n"
		"~ stop_timeout 1min -> 90s\n"
		"~ log: level info -> debug\n"
		"~ identity: postal_address \"P\" -> \"Q\\nR\"\n"
		"- mailbox b@x.com\n"
		"~ mailbox a@x.com: gap 12min-24min -> 5min\n"
		"+ mailbox d@x.com\n"
		"- campaign gone\n"
		"~ campaign c: mailboxes {a@x.com, b@x.com} -> {a@x.com}\n"
		"~ campaign c: start manual -> auto\n"
		"~ campaign c: days {mon, tue, wed, thu, fri} -> {sat, sun}\n"
		"~ campaign c: window 09:00-17:00 -> {01:00-02:00, 03:00-04:00}\n"
		"~ campaign c: recontact_after never -> 25h\n"
		"~ campaign c: postal_address \"P\" -> \"Q\\nR\"\n"
		"~ campaign c: steps s, u -> s, v\n"
		"~ campaign c, step s: template \"",
		dir,
		"\" has another text\n"
		"+ campaign new\n");

	ck_assert_str_eq(found, text);
	ck_assert_str_eq(none, "");
	conf_unref(a);
	conf_unref(b);
	free(found);
	free(none);
	free(text);
}
END_TEST

/* A text may be long, and differ at its end. */
START_TEST(a_difference_at_the_end_of_a_long_text)
{
	char a[400], b[400];

	memset(a, 'a', sizeof a);
	memcpy(a, "store = \"sqlite:/", strlen("store = \"sqlite:/"));
	memcpy(b, a, sizeof a);
	memcpy(a + sizeof a - 3, "x\"", 3);
	memcpy(b + sizeof b - 3, "y\"", 3);
	const struct conf *old = load(a), *new = load(b);
	char *found = diff_of(old, new);

	ck_assert(strstr(found, "ax\" -> ") && str_ends(found, "ay\"\n"));
	conf_unref(old);
	conf_unref(new);
	free(found);
}
END_TEST

/* ---- reloads ----------------------------------------------------------------------------------- */

static const struct conf *reload(const struct conf *running, const char *text, char **ret_told)
{
	struct conf_problems told;
	const struct conf *c = NULL;
	struct str out = STR_INIT;

	put("c.conf", text);
	ck_assert_int_eq(conf_reload(running, "c.conf", &c, &told), 0);
	for (size_t i = 0; i < told.n; i++)
		str_addf(&out, "%s:%d: %s\n", told.v[i].file, told.v[i].line, told.v[i].text);
	conf_problems_done(&told);
	*ret_told = str_take(&out);
	return c;
}

#define STAYS(line, key, new, old)                                                                 \
	"c.conf:" #line ": " key                                                                   \
	" = " new " counts from the next start on; until then it stays " old                       \
		  ", expected a restart of coldmail\n"

START_TEST(a_reload_keeps_what_only_a_start_can_change)
{
	const struct conf *a = load("store = \"sqlite:/a.db\" store_timeout = 3s\n"
				    "control { socket = \"/a\" } log { format = text }\n"
				    "http { public_listen = \"127.0.0.1:1\" }");
	char *told, *difference;
	const struct conf *b = reload(a,
		"log { level = debug }\nstore = \"sqlite:/b.db\"\n"
		"store_timeout = 4s stop_timeout = 2s\ncontrol { socket = \"/b\" }\n",
		&told);

	ck_assert_str_eq(told, STAYS(1, "format", "auto", "text") STAYS(1, "public_listen", "\"\"",
				       "\"127.0.0.1:1\"") STAYS(2, "store", "\"sqlite:/b.db\"",
				       "\"sqlite:/a.db\"") STAYS(3, "store_timeout", "4s", "3s")
				       STAYS(4, "socket", "\"/b\"", "\"/a\""));
	free(told);
	difference = diff_of(a, b);
	ck_assert_str_eq(difference, "~ stop_timeout 1min -> 2s\n~ log: level info -> debug\n");
	free(difference);
	conf_unref(a); /* what was kept is B's own */
	ck_assert_str_eq(b->store, "sqlite:/a.db");
	ck_assert_str_eq(b->store_path, "/a.db");
	ck_assert_int_eq(b->store_timeout_ms, 3 * CLOCK_SECOND_MS);
	ck_assert_str_eq(b->control_socket, "/a");
	ck_assert_str_eq(b->public_listen, "127.0.0.1:1");
	ck_assert_int_eq(b->log_format, LOG_FORMAT_TEXT);
	const struct conf *again = reload(b,
		"store = \"sqlite:/a.db\" store_timeout = 3s\n"
		"control { socket = \"/a\" } log { format = text }\n"
		"http { public_listen = \"127.0.0.1:1\" }",
		&told);
	ck_assert_str_eq(told, "");
	free(told);
	conf_unref(again);
	conf_unref(b);
}
END_TEST

#define OF(name, steps) "campaign \"" name "\" { mailboxes = {\"a@x.com\"} " steps " }\n"
#define FIRST(name)     "step \"" name "\" { template = \"t.tmpl\" }\n"
#define NEXT(name)      "step \"" name "\" { template = \"t.tmpl\" after = 1d }\n"
#define WAIT            "Its leads wait (campaign_gone) until a campaign has that name again\n"
#define RENAMED(old, new)                                                                          \
	"campaign \"" old                                                                          \
	"\" is gone, and \"" new "\" is new: was it renamed? Leads know their "                    \
				 "campaign by its name: those of \"" old                           \
				 "\" wait (campaign_gone) until a campaign has that name again\n"
#define HELD(name)                                                                                 \
	"? The ledger knows steps by their names: leads that wait for \"" name                     \
	"\" will be held (bad_record) until they are released to a step of that name\n"

START_TEST(a_name_that_is_gone_is_a_question)
{
	static const struct {
		const char *old, *new, *asked;
	} cases[] = {
		{ OF("a", FIRST("s")), OF("a", FIRST("s") NEXT("t")), "" },
		{ OF("a", FIRST("s")), OF("a", FIRST("s")) OF("b", FIRST("s")), "" },
		{ OF("a", FIRST("s")), OF("b", FIRST("t")), RENAMED("a", "b") },
		{ OF("a", FIRST("s") NEXT("t")), OF("b", FIRST("s")) OF("c", FIRST("s") NEXT("t")),
			RENAMED("a", "c") },
		{ OF("a", FIRST("s")), OF("b", FIRST("x")) OF("c", FIRST("y")),
			"campaign \"a\" is gone: for good? " WAIT },
		{ OF("a", FIRST("s")) OF("b", FIRST("s")), OF("b", FIRST("s")),
			"campaign \"a\" is gone: for good? " WAIT },
		{ OF("a", FIRST("s") NEXT("t")), OF("a", FIRST("s") NEXT("u")),
			"campaign \"a\": step \"t\" is gone, and \"u\" is new: was it "
			"renamed" HELD("t") },
		{ OF("a", FIRST("s") NEXT("t")), OF("a", FIRST("s")),
			"campaign \"a\": step \"t\" is gone: for good" HELD("t") },
		{ OF("a", FIRST("s") NEXT("t")), OF("a", FIRST("t") NEXT("s")), "" },
	};

	put("t.tmpl", "x");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *before = xasprintf("%s%s%s", IDENTITY, MAILBOX, cases[i].old);
		char *after = xasprintf("%s%s%s", IDENTITY, MAILBOX, cases[i].new);
		const struct conf *old = load(before), *new = load(after);
		struct str found = STR_INIT;
		char **lines = conf_questions(old, new);

		for (char **line = lines; *line; line++)
			str_addf(&found, "%s\n", *line);
		ck_assert_str_eq(str_z(&found), cases[i].asked);
		conf_diff_free(lines);
		str_done(&found);
		conf_unref(old);
		conf_unref(new);
		free(before);
		free(after);
	}
}
END_TEST

/* What is said of a file whose socket nobody can know. */
static void check_lost(const char *file, const char *said)
{
	char *found = NULL, *why = NULL;

	ck_assert_int_eq(conf_find_socket(file, &found, &why), CM_EINVAL);
	ck_assert_ptr_null(found);
	ck_assert_msg(str_starts(why, said), "%s", why);
	free(why);
}

START_TEST(socket_of_broken_file)
{
	put("c.conf", "what is this\ncontrol { socket = \"run/s\" }\n}\nceiling = 0\n");
	char *found = NULL, *why = NULL, *path = xasprintf("%s/run/s", dir);

	ck_assert_int_eq(conf_find_socket("c.conf", &found, &why), 0);
	ck_assert_str_eq(found, path);
	free(found);
	free(path);
	put("c.conf", "ceiling = 0\n");
	ck_assert_int_eq(conf_find_socket("c.conf", &found, &why), 0);
	ck_assert_str_eq(found, CONF_DEFAULT_SOCKET);
	free(found);
	ck_assert_ptr_null(why);
	put("c.conf", "control { socket = \"${COLDMAIL_NO}\" }");
	check_lost("c.conf", "c.conf:1: ");
	put("c.conf", "control { socket { } }");
	check_lost("c.conf", "c.conf:1: control { socket = PATH } was expected");
	put("c.conf", "control = 1\n");
	check_lost("c.conf", "c.conf:1: control { socket = PATH } was expected");
	put("c.conf", "\nwhat is this\n");
	check_lost("c.conf", "c.conf:2: ");
	check_lost("none.conf", "none.conf:1: cannot read 'none.conf': No such file");
}
END_TEST

/* ---- the files that are shipped -------------------------------------------------------------- */

/* The file NAME of the repository; with UNCOMMENT, every line "#key" or "#<tab>key" comes to life. */
static char *shipped(const char *name, bool uncomment)
{
	const char *repository = getenv("COLDMAIL_REPOSITORY");
	char *path = xasprintf("%s/%s", repository ? repository : house, name), line[1024];
	struct str text = STR_INIT;
	FILE *f = fopen(path, "r");

	ck_assert_msg(f != NULL, "%s: not in the repository's root, nor COLDMAIL_REPOSITORY", path);
	while (fgets(line, sizeof line, f)) {
		const char *rest = line + 1 + strspn(line + 1, "\t");
		bool is_entry = *line == '#' && strchr("abcdefghijklmnopqrstuvwxyz}", *rest) &&
				!str_starts(rest, "e.g.");

		str_adds(&text, uncomment && is_entry ? line + 1 : line);
	}
	fclose(f);
	free(path);
	return str_take(&text);
}

/* The sample has no problem, and what it shows as a default is one. */
START_TEST(sample)
{
	char *plain = shipped("config/coldmail.conf", false);
	char *full = shipped("config/coldmail.conf", true);

	ck_assert_int_eq(mkdir("coldmail", 0700), 0);
	ck_assert_int_eq(mkdir("coldmail/founders", 0700), 0);
	put("coldmail/founders/intro.tmpl", "x");
	put("coldmail/founders/nudge.tmpl", "x");
	put("coldmail/founders/last.tmpl", "x");
	expect(plain, "");
	const struct conf *a = load(plain), *b = load(full);
	char *difference = diff_of(a, b);

	ck_assert_str_ne(plain, full);
	ck_assert_str_eq(difference, "");
	ck_assert_uint_eq(a->campaigns[0].n_steps, 3);
	conf_unref(a);
	conf_unref(b);
	free(difference);
	free(plain);
	free(full);
}
END_TEST

START_TEST(minimal)
{
	char *plain = shipped("config/minimal.conf", false);
	char *full = shipped("config/minimal.conf", true);

	ck_assert_int_eq(mkdir("coldmail", 0700), 0);
	put("coldmail/first.tmpl", "x");
	expect(plain, "");
	expect(full, "");
	const struct conf *a = load(plain), *b = load(full);

	ck_assert_uint_eq(a->n_campaigns + a->n_mailboxes, 0);
	ck_assert_uint_eq(b->n_campaigns, 1);
	conf_unref(a);
	conf_unref(b);
	free(plain);
	free(full);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { defaults, values, generations, differences,
		a_difference_at_the_end_of_a_long_text, a_reload_keeps_what_only_a_start_can_change,
		a_name_that_is_gone_is_a_question, socket_of_broken_file, sample, minimal };

	return run("conf", tests, sizeof tests / sizeof *tests);
}
