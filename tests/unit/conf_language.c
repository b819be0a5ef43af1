/*
 * The configuration language: tokens, entries, lists, bytes that are no text, files that cannot be
 * read, includes, limits; every problem with its exact FILE:LINE text.
 */
#include "unit/conf_help.h"

START_TEST(syntax)
{
	static const struct sample samples[] = {
		{ "", "" },
		{ "# nothing but a comment", "" },
		{ "log { level = debug format = text } ceiling = 5 # two of them", "" },
		{ "log\n{\n\tlevel = debug\n}", "" },
		{ "log { level = debug }\nlog { format = text }", "" },
		{ "ceiling = \"2k\"", "" },
		{ "ceiling\nlog { }",
			"c.conf:1: the line's end behind 'ceiling', expected '=' or '{'\n" },
		{ "ceiling", "c.conf:1: the file's end behind 'ceiling', expected '=' or '{'\n" },
		{ "ceiling =\nstop_timeout = 1s",
			"c.conf:1: the line's end behind 'ceiling =', expected a value\n" },
		{ "ceiling = = 5", "c.conf:1: '=' behind 'ceiling =', expected a value\n" },
		{ "ceiling 5", "c.conf:1: the file's end behind 'ceiling', expected '=' or '{'\n" },
		{ "ceiling , 5", "c.conf:1: ',' behind 'ceiling', expected '=' or '{'\n" },
		{ "\"ceiling\" = 5",
			"c.conf:1: 'ceiling' at the start of an entry, expected a name\n" },
		{ "= 5\n{ a = 1\nb = 2 }\n, x\nceiling = y",
			"c.conf:1: '=' at the start of an entry, expected a name\n"
			"c.conf:2: '{' at the start of an entry, expected a name\n"
			"c.conf:4: ',' at the start of an entry, expected a name\n"
			"c.conf:5: ceiling = y" CEILING_HINT },
		{ "log {\nlevel = info\n\n",
			"c.conf:1: 'log' is not closed, expected '}' before the "
			"file's end\n" },
		{ "}\nceiling = 1 }", "c.conf:1: '}' closes nothing, expected an entry\n"
				      "c.conf:2: '}' closes nothing, expected an entry\n" },
		{ "control { socket = /run/a b }",
			"c.conf:1: 'b' behind a value, expected quotes around words that belong "
			"together\n" },
		{ "a { b { c { d { e { f { g { h { i { j { k = 1 } } } } } } } } } }\nceiling = "
		  "1",
			"c.conf:1: section 'i' is nested too deep, expected at most 8 levels\n"
			"c.conf:1: unknown section 'a' at the top level, expected one of "
			"coldmail.conf(5)\n" },
	};

	EXPECT_ALL(samples);
}
END_TEST

START_TEST(strings)
{
	static const struct sample samples[] = {
		{ "store = \"sqlite:x",
			"c.conf:1: column 9: a string without its end, expected '\"' "
			"on the same line\n" },
		{ "store = \"sqlite:x\nceiling = 0\n",
			"c.conf:1: column 9: a string without its end, expected '\"' on the same "
			"line\n"
			"c.conf:2: ceiling = 0" CEILING_HINT },
		{ "store = \"\xC3\xBC\\t\"",
			"c.conf:1: column 11: an unknown escape, expected \\\" \\\\ or \\n\n" },
		{ "store = \"sqlite:${COLDMAIL_NO}\"",
			"c.conf:1: column 17: ${COLDMAIL_NO} is not set, expected it in the "
			"environment\n" },
		{ "store = \"sqlite:${}\"", "c.conf:1: column 17: '${' without a name, expected "
					    "${NAME} from the environment\n" },
		{ "store = \"sqlite:${A\"", "c.conf:1: column 17: '${' without a name, expected "
					    "${NAME} from the environment\n" },
		{ "store = \"sqlite:${COLDMAIL_BAD}\"",
			"c.conf:1: column 17: ${COLDMAIL_BAD} is not UTF-8, expected it in the "
			"environment\n" },
		{ "store = sqlite:${HOME}/x",
			"c.conf:1: column 9: ${NAME} outside of a string, expected \"${NAME}\"\n" },
		{ "store = \xE2\x80\x9Csqlite:x\xE2\x80\x9D",
			"c.conf:1: column 9: a typographic quote, expected the plain \"\n" },
		{ "ceiling = \x01", "c.conf:1: column 11: a control character, expected text\n" },
		{ "store = \"sqlite:a\tb\"",
			"c.conf:1: store = sqlite:a\\tb: expected text without control characters "
			"(where everything is kept)\n" },
	};

	setenv("COLDMAIL_BAD", "\xFF", 1);
	EXPECT_ALL(samples);
}
END_TEST

START_TEST(escapes)
{
	setenv("COLDMAIL_CITY", "Z\xC3\xBCrich", 1);
	const struct conf *c =
		load("identity { organisation = \"a \\\"b\\\" \\\\ $5 ${COLDMAIL_CITY}"
		     "\"\n postal_address = \"x\\ny\" opt_out_line = bye }");

	ck_assert_str_eq(c->identity.organisation, "a \"b\" \\ $5 Z\xC3\xBCrich");
	ck_assert_str_eq(c->identity.postal_address, "x\ny");
	ck_assert_str_eq(c->identity.opt_out_line, "bye");
	conf_unref(c);
	expect("identity { organisation = \"a\\nb\" }",
		"c.conf:1: organisation = a\\nb: expected text without control characters (who "
		"writes)\n");
}
END_TEST

START_TEST(lists)
{
	static const struct sample samples[] = {
		{ CAMPAIGN("days = {mon,\n\n tue # x\n}\n"), "" },
		{ CAMPAIGN("days = mon\n"), "" },
		{ CAMPAIGN("days = {mon tue}\n"),
			"c.conf:4: 'tue' in the list of 'days', expected ',' or '}'\n" },
		{ CAMPAIGN("days = {mon, tue\nwindow = x\n"),
			"c.conf:5: 'window' in the list of 'days', expected ',' or '}'\n"
			"c.conf:5: window = x: expected a window from early to late, such as "
			"09:00-17:00 or 00:00-24:00 (hours in which mails go out)\n" },
		{ CAMPAIGN("days = {{mon}}\n"),
			"c.conf:4: '{' in the list of 'days', expected ',' or '}'\n" },
		{ CAMPAIGN("days = {mon, \"tue}\n"),
			"c.conf:4: column 14: a string without its end, expected '\"' on the same "
			"line\n" },
		{ "ceiling = {1, 2}",
			"c.conf:1: ceiling = {...}: expected one value, not a list (mails a minute "
			"over all mailboxes above which sending stops)\n" },
	};

	EXPECT_ALL(samples);
}
END_TEST

#define BYTES(text) text, sizeof(text) - 1

START_TEST(bytes)
{
	static const struct {
		const char *p;
		size_t n;
		const char *problems;
	} files[] = {
		{ BYTES("\xEF\xBB\xBF"
			"ceiling = 5\r\nlog {\r\n}\r\n"),
			"" },
		{ BYTES("ceiling = 1\n\0\n"),
			"c.conf:2: the file has a NUL byte, expected text\n" },
		{ BYTES("a\n\nb\xC3(\n"), "c.conf:3: the file is not UTF-8\n" },
		{ BYTES("\xFF\xFE"
			"c\0"),
			"c.conf:1: the file is UTF-16, expected UTF-8\n" },
		{ BYTES("ceiling = 5 # \xC3"), "c.conf:1: the file is not UTF-8\n" },
	};

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		put_bytes("c.conf", files[i].p, files[i].n);
		expect_file("c.conf", files[i].problems);
	}
}
END_TEST

/* ---- files ----------------------------------------------------------------------------------- */

START_TEST(unreadable)
{
	char *big = xcalloc((1 << 20) + 2, 1);

	expect_file("none.conf", "none.conf:1: cannot read 'none.conf': No such file or directory, "
				 "expected a text file of at most 1024 KB\n");
	expect_file(".",
		".:1: cannot read '.': not a regular file, expected a text file of at most "
		"1024 KB\n");
	ck_assert_int_eq(mkfifo("pipe", 0600), 0);
	expect_file("pipe",
		"pipe:1: cannot read 'pipe': not a regular file, expected a text file of "
		"at most 1024 KB\n");
	memset(big, '\n', (1 << 20) + 1);
	put("big.conf", big);
	expect_file("big.conf",
		"big.conf:1: cannot read 'big.conf': too large, expected a text file "
		"of at most 1024 KB\n");
	big[1 << 20] = '\0';
	put("big.conf", big);
	expect_file("big.conf", "");
	free(big);
}
END_TEST

START_TEST(includes)
{
	ck_assert_int_eq(mkdir("d", 0700), 0);
	ck_assert_int_eq(mkdir("d/e", 0700), 0);
	put("d/1.conf", "log { level = loud }\ninclude \"e/*.conf\"\n");
	put("d/2.conf", "ceiling = 0\n}\nfoo {");
	put("d/e/x.conf", "\nlog { level = debug }\n");
	expect("include \"d/*.conf\"\nlog { format = x }\n",
		"c.conf:2: format = x: expected auto|text|json|journal (how lines are written)\n"
		"d/1.conf:1: level = loud: expected error|warning|notice|info|debug (the least "
		"important lines that are written)\n"
		"d/e/x.conf:2: key 'level' again, expected it once (first: d/1.conf:1)\n"
		"d/2.conf:1: ceiling = 0: expected a number from 1 to 1000000000 (mails a minute "
		"over all mailboxes above which sending stops)\n"
		"d/2.conf:2: '}' closes nothing, expected an entry\n"
		"d/2.conf:3: 'foo' is not closed, expected '}' before the file's end\n"
		"d/2.conf:3: unknown section 'foo' at the top level, expected one of "
		"coldmail.conf(5)\n");
	expect("include \"nothing.d/*.conf\"\n", "");
	expect("include \"nothing.conf\"\n",
		"c.conf:1: cannot read 'nothing.conf': No such file or directory, expected a text "
		"file of at most 1024 KB\n");
	expect("\ninclude \"c.conf\"\n",
		"c.conf:2: 'c.conf' includes itself, expected another file\n");
	expect("include = \"d\"\ninclude\ninclude d\nceiling = 3",
		"c.conf:1: '=' behind 'include', expected include \"FILES\"\n"
		"c.conf:2: the line's end behind 'include', expected include \"FILES\"\n"
		"c.conf:3: 'd' behind 'include', expected include \"FILES\"\n");
}
END_TEST

START_TEST(include_depth)
{
	char name[32], text[48];

	for (int i = 1; i <= 9; i++) {
		snprintf(name, sizeof name, "%d.conf", i);
		snprintf(text, sizeof text, "include \"%d.conf\"\n", i + 1);
		put(name, text);
	}
	expect("include \"1.conf\"\n",
		"8.conf:1: includes are nested too deep, expected at most 8 levels\n");
	put("7.conf", "include \"4.conf\"\n");
	expect("include \"1.conf\"\n",
		"7.conf:1: '4.conf' includes itself, expected another file\n");
}
END_TEST

/* Sections may be filled by an include, and paths start at the file that names them. */
START_TEST(include_inside)
{
	ck_assert_int_eq(mkdir("d", 0700), 0);
	put("d/steps.conf", "step \"one\" { template = \"t.tmpl\" }\n");
	put("d/t.tmpl", "Subject: hello\n\nyou\n");
	const struct conf *c = load(IDENTITY MAILBOX "store = \"sqlite:./x.db\"\n"
						     "campaign \"c\" { mailboxes = \"a@x.com\"\n"
						     "include \"d/steps.conf\" }\n");
	char *path = xasprintf("%s/d/t.tmpl", dir), *store = xasprintf("%s/x.db", dir);

	ck_assert_uint_eq(c->campaigns[0].n_steps, 1);
	ck_assert_str_eq(c->campaigns[0].steps[0].template_path, path);
	ck_assert_str_eq(c->campaigns[0].steps[0].template_source, "Subject: hello\n\nyou\n");
	ck_assert_str_eq(c->store_path, store);
	ck_assert_str_eq(c->store + strlen("sqlite:"), store);
	conf_unref(c);
	free(path);
	free(store);
}
END_TEST

/* A thousand problems are told, then one line says that there are more. */
START_TEST(too_many)
{
	struct str text = STR_INIT;

	for (int i = 0; i < 5000; i++)
		str_adds(&text, "}\n");
	put("c.conf", str_z(&text));
	char *found = problems_of("c.conf", NULL);

	ck_assert(str_starts(found, "c.conf:1: '}' closes nothing"));
	ck_assert(str_ends(found, "c.conf:1001: more than 1000 problems: the rest is not shown\n"));
	free(found);
	str_reset(&text);
	for (int i = 0; i < 20000; i++)
		str_adds(&text, "log {}\nx=y\n");
	put("c.conf", str_z(&text));
	found = problems_of("c.conf", NULL);
	ck_assert_ptr_nonnull(strstr(found, "more than 1000 problems"));
	free(found);
	str_reset(&text);
	str_adds(&text, "campaign c { mailboxes = {");
	for (int i = 0; i < 60000; i++)
		str_adds(&text, "a,");
	put("c.conf", str_z(&text));
	found = problems_of("c.conf", NULL);
	ck_assert_ptr_nonnull(strstr(found, "more than 50000 entries, expected fewer\n"));
	free(found);
	str_done(&text);
}
END_TEST

/* A directory with too many files is one problem. */
START_TEST(too_many_files)
{
	char name[32];

	ck_assert_int_eq(mkdir("d", 0700), 0);
	for (int i = 0; i < 1100; i++) {
		snprintf(name, sizeof name, "d/%04d.conf", i);
		put(name, "");
	}
	expect("include \"d/*.conf\"\nceiling = 0",
		"c.conf:1: more than 1000 files, expected fewer\n");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { syntax, strings, escapes, lists, bytes, unreadable, includes,
		include_depth, include_inside, too_many, too_many_files };

	return run("conf_language", tests, sizeof tests / sizeof *tests);
}
