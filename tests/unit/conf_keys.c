/*
 * The keys: unknown and misplaced ones, each type's values, and what belongs together; every problem
 * with its exact FILE:LINE text.
 */
#include "unit/conf_help.h"

START_TEST(names)
{
	static const struct sample samples[] = {
		{ "stroe = \"sqlite:x\"",
			"c.conf:1: unknown key 'stroe' at the top level, did you mean 'store'?\n" },
		{ "xyzzy = 1", "c.conf:1: unknown key 'xyzzy' at the top level, expected one of "
			       "coldmail.conf(5)\n" },
		{ "capaign \"x\" { }",
			"c.conf:1: unknown section 'capaign' at the top level, did you "
			"mean 'campaign'?\n" },
		{ "mailbox \"a@x.com\" { smtp = \"smtp://[::1]\" tls = none gapp = 1s }",
			"c.conf:1: unknown key 'gapp' in mailbox, did you mean 'gap'?\n" },
		{ "gap = 5min\nlog { ceiling = 3 }",
			"c.conf:1: key 'gap' at the top level, expected it in mailbox\n"
			"c.conf:2: key 'ceiling' in log, expected it at the top level (is a '}' "
			"missing before it?)\n" },
		{ "log { mailbox \"x\" { } }", "c.conf:1: section 'mailbox' in log, expected it at "
					       "the top level (is a '}' "
					       "missing before it?)\n" },
		{ "log = info\nceiling { a = 1 }",
			"c.conf:1: 'log' is a section, expected log {\n"
			"c.conf:2: 'ceiling' is a key, expected ceiling = "
			"...\n" },
		{ CAMPAIGN("writer = me\n"),
			"c.conf:4: writer = me: expected template|llm (who writes the mails)\n" },
		{ "ceiling = 1 ceiling = 2\nceiling = 3",
			"c.conf:1: key 'ceiling' again, expected it once (first: c.conf:1)\n"
			"c.conf:2: key 'ceiling' again, expected it once (first: c.conf:1)\n" },
		{ "log \"x\" { level = 7 }",
			"c.conf:1: section 'log' has a title, expected log {\n"
			"c.conf:1: level = 7: expected error|warning|notice|info|debug (the least "
			"important lines that are written)\n" },
	};

	EXPECT_ALL(samples);
}
END_TEST

#define GAP_HINT                                                                                   \
	": expected a duration or a range from small to large, such as 90s or 12min-24min (time "  \
	"between two mails)\n"
#define STOP_HINT                                                                                  \
	": expected a duration such as 90s, 12min or 3d, from 0s to 1h (how long a stop waits "    \
	"for "                                                                                     \
	"the server's word on mails past their body)\n"
#define GAP(value)                                                                                 \
	"mailbox \"a@x.com\" { smtp = \"smtp://127.0.0.1:25\"  tls = none\ngap = " value "\n}"

START_TEST(numbers)
{
	static const struct sample samples[] = {
		{ "ceiling = 1000m", "" },
		{ "ceiling = 0", "c.conf:1: ceiling = 0" CEILING_HINT },
		{ "ceiling = 1001m", "c.conf:1: ceiling = 1001m" CEILING_HINT },
		{ "ceiling = -1", "c.conf:1: ceiling = -1" CEILING_HINT },
		{ "ceiling = 5x", "c.conf:1: ceiling = 5x" CEILING_HINT },
		{ "ceiling = 5kk", "c.conf:1: ceiling = 5kk" CEILING_HINT },
		{ "ceiling = \"\"", "c.conf:1: ceiling = \"\"" CEILING_HINT },
		{ "ceiling = 99999999999999999999",
			"c.conf:1: ceiling = 99999999999999999999" CEILING_HINT },
		{ "ceiling = 9223372036854775807m",
			"c.conf:1: ceiling = 9223372036854775807m" CEILING_HINT },
		{ "stop_timeout = 0s", "" },
		{ "stop_timeout = 1h", "" },
		{ "stop_timeout = 60", "c.conf:1: stop_timeout = 60" STOP_HINT },
		{ "stop_timeout = 61min", "c.conf:1: stop_timeout = 61min" STOP_HINT },
		{ "stop_timeout = 5 min",
			"c.conf:1: 'min' behind a value, expected quotes around words that belong "
			"together\nc.conf:1: stop_timeout = 5" STOP_HINT },
		{ "stop_timeout = 5mins", "c.conf:1: stop_timeout = 5mins" STOP_HINT },
		{ "stop_timeout = never", "c.conf:1: stop_timeout = never" STOP_HINT },
		{ "stop_timeout = 9223372036854775807d",
			"c.conf:1: stop_timeout = 9223372036854775807d" STOP_HINT },
		{ GAP("0s"), "" },
		{ GAP("100ms-1d"), "" },
		{ GAP("24min-12min"), "c.conf:2: gap = 24min-12min" GAP_HINT },
		{ GAP("12min-"), "c.conf:2: gap = 12min-" GAP_HINT },
		{ GAP("12-24min"), "c.conf:2: gap = 12-24min" GAP_HINT },
		{ GAP("31d"), "c.conf:2: gap = 31d" GAP_HINT },
		{ GAP("1s-2s-3s"), "c.conf:2: gap = 1s-2s-3s" GAP_HINT },
	};

	EXPECT_ALL(samples);
}
END_TEST

#define LATER(name)                                                                                \
	"c.conf:4: warning: '" name "' parses, but is not enforced yet in this version\n"
#define WINDOW_HINT                                                                                \
	": expected a window from early to late, such as 09:00-17:00 or 00:00-24:00 (hours in "    \
	"which mails go out)\n"

#define FREEZE_HINT                                                                                \
	": expected from the first day to the last, such as 2026-12-21/2027-01-03 (times of the "  \
	"year in which no mail goes out)\n"
#define LIST_HINT                                                                                  \
	"' in a list of holidays, expected a date such as 2026-01-05, with or without a name "     \
	"behind it\n"

START_TEST(calendar)
{
	static const struct sample samples[] = {
		{ CAMPAIGN("timezone = \"America/New_York\"\n"), "" },
		{ CAMPAIGN("timezone = UTC\n"), "" },
		{ CAMPAIGN("timezone = \"Mars/Olympus\"\n"),
			"c.conf:4: timezone = Mars/Olympus: expected a name of the time zone "
			"database "
			"(package tzdata), such as \"Europe/Berlin\" (the zone of leads without "
			"one)\n" },
		{ CAMPAIGN("timezone = \"../../etc/passwd\"\n"),
			"c.conf:4: timezone = ../../etc/passwd: expected a name of the time zone "
			"database (package tzdata), such as \"Europe/Berlin\" (the zone of leads "
			"without one)\n" },
		{ CAMPAIGN("days = {}\n"), "c.conf:4: days = {...}: expected at least one day, "
					   "such as {mon, tue} (days "
					   "on which mails go out)\n" },
		{ CAMPAIGN("days = {mon,\nmonday}\n"),
			"c.conf:5: days = monday: expected days out of mon tue wed thu fri sat sun "
			"(days on which mails go out)\n" },
		{ CAMPAIGN("window = 00:00-24:00\n"), "" },
		{ CAMPAIGN("window = 17:00-09:00\n"),
			"c.conf:4: window = 17:00-09:00" WINDOW_HINT },
		{ CAMPAIGN("window = 09:60-17:00\n"),
			"c.conf:4: window = 09:60-17:00" WINDOW_HINT },
		{ CAMPAIGN("window = 09:00-24:01\n"),
			"c.conf:4: window = 09:00-24:01" WINDOW_HINT },
		{ CAMPAIGN("window = 9:00-17:00\n"), "c.conf:4: window = 9:00-17:00" WINDOW_HINT },
		{ CAMPAIGN("window = {09:00-11:30, 11:30-17:00}\n"), "" },
		{ CAMPAIGN("window = {09:00-11:30, 11:00-17:00}\n"),
			"c.conf:4: window = 11:00-17:00: expected windows one after the other, "
			"without overlap (hours in which mails go out)\n" },
		{ CAMPAIGN("holidays = us\n"), "" },
		{ CAMPAIGN("holidays = \"lists/de\"\n"),
			"c.conf:4: cannot read 'lists/de': No such file or "
			"directory, expected a text file of at most 1024 KB\n" },
		{ CAMPAIGN("freeze = {2026-12-21/2027-01-03, 2026-07-03}\n"), "" },
		{ CAMPAIGN("freeze = {}\n"), "" },
		{ CAMPAIGN("freeze = 2026-12-21/2026-12-21\n"), "" },
		{ CAMPAIGN("freeze = 2026-12-21/2026-12-20\n"),
			"c.conf:4: freeze = 2026-12-21/2026-12-20" FREEZE_HINT },
		{ CAMPAIGN("freeze = 2026-02-29/2026-03-01\n"),
			"c.conf:4: freeze = 2026-02-29/2026-03-01" FREEZE_HINT },
		{ CAMPAIGN("freeze = {2026-12-21/,\n12-24}\n"),
			"c.conf:4: freeze = 2026-12-21/" FREEZE_HINT },
		{ CAMPAIGN("freeze = 2026-12-21-2027-01-03\n"),
			"c.conf:4: freeze = 2026-12-21-2027-01-03" FREEZE_HINT },
		{ CAMPAIGN("holidays = de\n"),
			"c.conf:4: holidays = de: expected none, us or the path "
			"of a "
			"list\n" },
		{ CAMPAIGN("canary = 0\n"), LATER("canary") },
		{ CAMPAIGN("domain_daily_limit = 0\n"), "" },
		{ CAMPAIGN("recontact_after = never expire_after = 64h\n"), "" },
		{ CAMPAIGN("recontact_after = soon expire_after = 0s\n"),
			"c.conf:4: recontact_after = soon: expected never, or a duration such as "
			"90s, "
			"12min or 3d, from 0s to 36500d (when people whom another campaign wrote "
			"to "
			"are written to)\n"
			"c.conf:4: expire_after = 0s: expected a duration such as 90s, 12min or "
			"3d, "
			"from 1s to 36500d (how late a step may go out)\n" },
	};

	EXPECT_ALL(samples);
	expect("mailbox \"a@x.com\" { smtp = \"smtp://127.0.0.1:25\"  tls = none\n\n"
	       "timezone = \"Europe/Berlin\"\nramp = {}\nramp_since = 2026-02-30}\n"
	       "mailbox \"b@x.com\" { smtp = \"smtp://127.0.0.1:25\"  tls = none\nramp = {3, "
	       "0}\n}\n",
		"c.conf:5: ramp_since = 2026-02-30: expected a date such as 2026-01-05 (when the "
		"ramp began, of a mailbox that is warm already)\n"
		"c.conf:7: ramp = 0: expected numbers from 1 to 1000000000, such as {3, 7} (mails "
		"a "
		"day in the first weeks)\n");
}
END_TEST

/* One of each, so that no row of the table can be one that its key refuses. */
START_TEST(presets_fill_what_the_file_leaves_to_them)
{
	static const struct {
		const char *keys, *smtp;
		int mails;
	} v[] = {
		{ "preset = gmail", "smtp://smtp.gmail.com:587", 100 },
		{ "preset = outlook", "smtp://smtp.office365.com:587", 100 },
		{ "preset = fastmail", "smtps://smtp.fastmail.com:465", 100 },
		{ "preset = zoho", "smtps://smtppro.zoho.com:465", 100 },
		{ "preset = smtp2go", "smtp://mail.smtp2go.com:2525", 1000 },
		{ "preset = smtp2go mails_per_connection = 7", "smtp://mail.smtp2go.com:2525", 7 },
		{ "smtp = \"smtps://smtp.zoho.eu\" preset = zoho", "smtps://smtp.zoho.eu:465",
			100 },
	};

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		struct conf_problems found;
		const struct conf *c = NULL;
		char *text = xasprintf("mailbox \"a@x.com\" { user = \"\" %s }", v[i].keys);

		put("c.conf", text);
		ck_assert_msg(!conf_load("c.conf", &c, &found) && !found.n, "%s", v[i].keys);
		ck_assert_str_eq(c->mailboxes->smtp, v[i].smtp);
		ck_assert_int_eq(c->mailboxes->mails_per_connection, v[i].mails);
		ck_assert_int_eq(c->mailboxes->daily_limit, 25);
		conf_problems_done(&found);
		conf_unref(c);
		free(text);
	}
}
END_TEST

START_TEST(more_than_a_provider_takes_is_said)
{
	expect("mailbox \"a@x.com\" { preset = gmail user = \"\"\ndaily_limit = 501\nramp = {} }\n"
	       "mailbox \"b@x.com\" { preset = fastmail user = \"\" daily_limit = 26 }\n"
	       "mailbox \"c@x.com\" { smtp = \"smtp://127.0.0.1\" tls = none daily_limit = 1m "
	       "ramp = {} }\n"
	       "mailbox \"d@x.com\" { preset = gmial }\n",
		"c.conf:2: warning: daily_limit = 501: gmail takes 500 mails a day "
		"(https://support.google.com/mail/answer/22839), expected fewer\n"
		"c.conf:3: warning: ramp = {}: a new mailbox is noticed by how much it sends at "
		"once, expected a ramp, or ramp_since = DATE of one that is warm\n"
		"c.conf:4: warning: daily_limit = 26: providers close mailboxes that write to so "
		"many strangers, expected at most 25\n"
		"c.conf:6: preset = gmial: expected one of gmail, outlook, fastmail, zoho, smtp2go "
		"(the provider, whose servers and limits are known)\n");
}
END_TEST

START_TEST(a_list_of_holidays_is_read_to_its_end)
{
	const struct conf *c;

	put("t.tmpl", "Subject: s\n\nb\n");
	put("bad.txt",
		"# ours\n2026-12-25\n2026-13-01\n\n25.12.2026\n2026-12-26x\n2026-12-24 \x01\n");
	put("good.txt", "\xEF\xBB\xBF# ours\r\n\r\n2026-12-25\tChristmas Day  # both\r\n"
			"  2026-01-01\r\n2026-05-01 1 May");
	expect(CAMPAIGN("holidays = \"./bad.txt\"\n"),
		"bad.txt:3: '2026-13-01" LIST_HINT "bad.txt:5: '25.12.2026" LIST_HINT
		"bad.txt:6: '2026-12-26x" LIST_HINT "bad.txt:7: '2026-12-24 \\x01" LIST_HINT);
	c = load(CAMPAIGN("holidays = \"./good.txt\"\n"));
	const struct conf_campaign *k = &c->campaigns[0];

	ck_assert_uint_eq(k->n_closed, 3);
	ck_assert_int_eq(k->closed[0].from_day, 20454);
	ck_assert_int_eq(k->closed[2].to_day, 20812);
	ck_assert_str_eq(k->closed[0].name, "");
	ck_assert_str_eq(k->closed[1].name, "1 May");
	ck_assert_str_eq(k->closed[2].name, "Christmas Day");
	conf_unref(c);
	put("good.txt", "");
	c = load(CAMPAIGN("holidays = \"./good.txt\"\n"));
	ck_assert_uint_eq(c->campaigns[0].n_closed, 0);
	conf_unref(c);
}
END_TEST

#define NO_LOGIN(line, name)                                                                       \
	"c.conf:" line ": warning: preset = " name " without a login, and " name                   \
	" takes no mail without, expected user = NAME and password_file = FILE, or oauth { }\n"

START_TEST(a_provider_without_a_login_is_said)
{
	expect("mailbox \"a@x.com\" { preset = gmail }\n"
	       "mailbox \"b@x.com\" { preset = outlook }\n"
	       "mailbox \"c@x.com\" { preset = fastmail }\n"
	       "mailbox \"d@x.com\" {\npreset = zoho smtp = \"smtps://smtp.zoho.eu\" }\n"
	       "mailbox \"e@x.com\" { preset = smtp2go }\n"
	       "mailbox \"f@x.com\" { preset = gmail smtp = \"smtp://localhost\" }\n"
	       "mailbox \"g@x.com\" { preset = gmail user = g }\n",
		NO_LOGIN("1", "gmail") NO_LOGIN("2", "outlook") NO_LOGIN("3", "fastmail")
			NO_LOGIN("5", "zoho")
				NO_LOGIN("6", "smtp2go") "c.conf:8: user = g without a password, "
							 "expected password_file = FILE or "
							 "oauth { } beside it, or no user where "
							 "the server asks for no login\n");
}
END_TEST

START_TEST(a_ceiling_that_nothing_obeys_is_said)
{
	struct conf_problems found;
	const struct conf *c = NULL;

	put("c.conf", "\nceiling = 5");
	ck_assert_int_eq(conf_load("c.conf", &c, &found), 0);
	ck_assert_uint_eq(found.n, 1);
	ck_assert_int_eq(found.v[0].line, 2);
	ck_assert_str_eq(
		found.v[0].text, "'ceiling' parses, but is not enforced yet in this version");
	conf_problems_done(&found);
	conf_unref(c);
}
END_TEST

/* ---- what belongs together ------------------------------------------------------------------- */

START_TEST(http)
{
	static const struct sample samples[] = {
		{ "http { public_listen = \"127.0.0.1:8081\" }", "" },
		{ "http { public_listen = \"[::1]:8081\" }", "" },
		{ "http { public_listen = \"\" }", "" },
		{ "http { public_listen = \"0.0.0.0:80\" }",
			"c.conf:1: warning: public_listen = 0.0.0.0:80: the page is spoken to "
			"without "
			"TLS, expected an address of this machine with a proxy before it\n" },
#define EXPECTED ": expected an address and a port, such as \"127.0.0.1:8081\"\n"
		{ "http { public_listen = \"127.0.0.1\" }",
			"c.conf:1: public_listen = 127.0.0.1" EXPECTED },
		{ "http { public_listen = \"8081\" }", "c.conf:1: public_listen = 8081" EXPECTED },
		{ "http { public_listen = \"localhost:80\" }",
			"c.conf:1: public_listen = localhost:80" EXPECTED },
		{ "http { public_listen = \"::1:80\" }",
			"c.conf:1: public_listen = ::1:80" EXPECTED },
		{ "http { public_listen = \"[::1:80\" }",
			"c.conf:1: public_listen = [::1:80" EXPECTED },
		{ "http { public_listen = \"[]:80\" }",
			"c.conf:1: public_listen = []:80" EXPECTED },
		{ "http { public_listen = \":80\" }", "c.conf:1: public_listen = :80" EXPECTED },
		{ "http { public_listen = \"127.0.0.1:0\" }",
			"c.conf:1: public_listen = 127.0.0.1:0" EXPECTED },
		{ "http { public_listen = \"127.0.0.1:65536\" }",
			"c.conf:1: public_listen = 127.0.0.1:65536" EXPECTED },
#undef EXPECTED
	};

	expect_all(samples, sizeof samples / sizeof *samples);
}
END_TEST

START_TEST(unsubscribe_urls)
{
#define SET(url)                                                                                   \
	"http { public_listen = \"127.0.0.1:8081\" }\nidentity { unsubscribe_url = \"" url "\" }"
#define EXPECTED                                                                                   \
	": expected https:// and where a proxy reaches public_listen, such as "                    \
	"\"https://mail.example.com/u\"\n"
	static const struct sample samples[] = {
		{ SET("https://mail.example.com/u"), "" },
		{ SET("https://mail.example.com:8443/a/u/"), "" },
		{ "identity { unsubscribe_url = \"https://x.com/u\" }",
			"c.conf:1: warning: unsubscribe_url is set, but nobody answers there, "
			"expected "
			"http { public_listen = \"127.0.0.1:8081\" }\n" },
		{ SET("http://x.com/u"), "c.conf:2: unsubscribe_url = http://x.com/u" EXPECTED },
		{ SET("https://"), "c.conf:2: unsubscribe_url = https://" EXPECTED },
		{ SET("https:///"), "c.conf:2: unsubscribe_url = https:///" EXPECTED },
		{ SET("https://x.com/u?t="),
			"c.conf:2: unsubscribe_url = https://x.com/u?***" EXPECTED },
		{ SET("https://x.com/u v"),
			"c.conf:2: unsubscribe_url = https://x.com/u v" EXPECTED },
		{ SET("https://x.com/u>,<mailto:y"),
			"c.conf:2: unsubscribe_url = https://x.com/u>,<mailto:y" EXPECTED },
	};
#undef EXPECTED
#undef SET

	expect_all(samples, sizeof samples / sizeof *samples);
}
END_TEST

START_TEST(stores)
{
	static const struct sample samples[] = {
		{ "store = \"sqlite:a.db\"", "" },
		{ "store = \"mongodb://db1,db2/x?replicaSet=rs0\"",
			"c.conf:1: store: MongoDB is not built yet in this version, expected "
			"\"sqlite:PATH\"\n" },
		{ "store = \"/var/lib/x.db\"",
			"c.conf:1: store = /var/lib/x.db: expected \"sqlite:PATH\"\n" },
		{ "store = \"sqlite:/\"",
			"c.conf:1: store = sqlite:/: expected the path of a file, not of a "
			"directory\n" },
		{ "store = \"sqlite:\"", "c.conf:1: store = sqlite:: expected \"sqlite:PATH\"\n" },
		{ "store = \"\"",
			"c.conf:1: store = \"\": expected a text of at most 1000 bytes (where "
			"everything is kept)\n" },
		{ "control { socket = \"\" }",
			"c.conf:1: socket = \"\": expected a file's path (where "
			"coldmailctl finds the daemon)\n" },
		{ "control { socket = "
		  "\"/a23456789/123456789/123456789/123456789/123456789/123456789/"
		  "123456789/123456789/123456789/123456789/12345678\" }",
			"c.conf:1: socket = "
			"/a23456789/123456789/123456789/123456789/123456789/123456789"
			"...: expected a path of at most 107 bytes from the root (where "
			"coldmailctl "
			"finds the daemon)\n" },
	};

	EXPECT_ALL(samples);
}
END_TEST

#define BOX(smtp) "mailbox \"a@x.com\" {\nsmtp = \"" smtp "\" tls = none }"
#define AS_HOST                                                                                    \
	": expected smtps://HOST (TLS at once) or smtp://HOST (STARTTLS), with or without :PORT"
#define HOST AS_HOST "\n"
#define CLEAR                                                                                      \
	" with tls = none: mails leave this machine unencrypted, expected a server on loopback\n"

START_TEST(mailboxes)
{
	static const struct sample samples[] = {
		{ BOX("smtp://127.9.9.9:2525"), "" },
		{ BOX("SMTP://[::1]"), "" },
		{ BOX("smtp://LocalHost"), "" },
		{ BOX("smtp://mx.example.com"),
			"c.conf:2: warning: smtp = smtp://mx.example.com:587" CLEAR },
		{ BOX("smtp://127.0.0.1.example.com:25"),
			"c.conf:2: warning: smtp = smtp://127.0.0.1.example.com:25" CLEAR },
		{ BOX("smtp://[2001:db8::1]:25"),
			"c.conf:2: warning: smtp = smtp://[2001:db8::1]:25" CLEAR },
		{ BOX("smtps://localhost"),
			"c.conf:2: smtp = smtps://localhost:465 is TLS at once, and tls = none, "
			"expected smtp:// or no 'tls'\n" },
		{ BOX("http://localhost"), "c.conf:2: smtp = http://localhost" HOST },
		{ BOX("smtp://"), "c.conf:2: smtp = smtp://" HOST },
		{ BOX("smtps://"), "c.conf:2: smtp = smtps://" HOST },
		{ BOX("smtp://h:0"), "c.conf:2: smtp = smtp://h:0" HOST },
		{ BOX("smtp://h:65536"), "c.conf:2: smtp = smtp://h:65536" HOST },
		{ BOX("smtp://u:p@h"), "c.conf:2: smtp = smtp://***@h" AS_HOST
				       "; who logs in is said by user and password_file\n" },
		{ BOX("smtp://[::1"), "c.conf:2: smtp = smtp://[::1" HOST },
		{ BOX("smtp://[:::]:5"), "c.conf:2: smtp = smtp://[:::]:5" HOST },
		{ BOX("smtp://h/x"), "c.conf:2: smtp = smtp://h/x" HOST },
		{ "mailbox \"a@x.com\" {\nsmtp = \"smtp://mx.example.com:25\" }", "" },
		{ "mailbox \"a@x.com\" {\nsmtp = \"SMTPS://mx.example.com\" }", "" },
		{ "mailbox \"a@x.com\" {\nsmtp = \"smtp://localhost:25\"\ntls = no }",
			"c.conf:3: tls = no: expected none|required (is the connection to the mail "
			"server encrypted)\n" },
		{ "mailbox \"a@x.com\" { tls = none }",
			"c.conf:1: mailbox 'a@x.com' has no 'smtp', expected smtp = ... (the mail "
			"server, such as \"smtps://smtp.example.com\")\n" },
		{ "mailbox \"a@x.com\" { smtp }",
			"c.conf:1: '}' behind 'smtp', expected '=' or '{'\n" },
		{ MAILBOX "mailbox \"A@X.com\" { smtp = \"smtp://127.0.0.1:25\"  tls = none }",
			"c.conf:2: mailbox 'A@X.com' again, expected it once (first: c.conf:1)\n" },
		{ "mailbox { smtp = \"smtp://127.0.0.1:25\"  tls = none }",
			"c.conf:1: section 'mailbox' without a title, expected mailbox \"...\" "
			"{\n" },
		{ "mailbox a@x.com { smtp = \"smtp://127.0.0.1:25\"  tls = none }",
			"c.conf:1: a title without quotes, expected mailbox \"a@x.com\"\n" },
	};
	static const char *const addresses[] = { "x", "@x", "x@", "x@y@z", "x y@z", "<x@y>",
		"x@y\\n", "x@y,z@w", "x@\xC3\xBC.de" };

	EXPECT_ALL(samples);
	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
		char *text =
			xasprintf("mailbox \"%s\" { smtp = \"smtp://127.0.0.1:25\"  tls = none }",
				addresses[i]);
		char *problems = xasprintf("c.conf:1: mailbox '%s': expected an address such as "
					   "\"ali@example.com\"\n",
			addresses[i]);

		expect(text, problems);
		free(text);
		free(problems);
	}
}
END_TEST

START_TEST(campaigns)
{
	static const struct sample samples[] = {
		{ CAMPAIGN(""), "" },
		{ IDENTITY MAILBOX "campaign \"c\" { mailboxes = {\"a@x.com\"} }",
			"c.conf:3: campaign 'c' has no step, expected step \"NAME\" { template = "
			"\"FILE\" }\n" },
		{ IDENTITY "campaign \"c\" { " STEP " }",
			"c.conf:2: campaign 'c' has no 'mailboxes', expected mailboxes = ... (who "
			"sends, such as {\"ali@example.com\"})\n" },
		{ IDENTITY MAILBOX "campaign \"c\" { mailboxes = {} " STEP " }",
			"c.conf:3: mailboxes = {...}: expected at least one mailbox (who sends, "
			"such "
			"as {\"ali@example.com\"})\n" },
		{ IDENTITY MAILBOX "campaign \"c\" { mailboxes = {\"A@x.com\", \"b@y.org\",\n"
				   "\"a@x.con\", \"a@x.com\"}\n" STEP " }",
			"c.conf:3: mailboxes = b@y.org: expected the title of a mailbox section "
			"(who "
			"sends, such as {\"ali@example.com\"})\n"
			"c.conf:4: mailboxes = a@x.con: expected the title of a mailbox section, "
			"perhaps \"a@x.com\" (who sends, such as {\"ali@example.com\"})\n"
			"c.conf:4: mailboxes = a@x.com: expected every mailbox once (who sends, "
			"such "
			"as {\"ali@example.com\"})\n" },
		{ MAILBOX "campaign \"c\" { mailboxes = {\"a@x.com\"}\n" STEP " }",
			"c.conf:2: campaign 'c' has no identity to write under, expected identity "
			"{ "
			"organisation = \"...\" postal_address = \"...\" opt_out_line = \"...\" "
			"}\n" },
		{ MAILBOX "identity { organisation = \"\" opt_out_line = \"x\" }\n"
			  "campaign \"c\" { mailboxes = {\"a@x.com\"}\n" STEP " }",
			"c.conf:2: organisation = \"\": expected a text of at most 1000 bytes (who "
			"writes)\n"
			"c.conf:3: campaign 'c' has no identity to write under, expected identity "
			"{ "
			"postal_address = \"...\" }\n" },
		{ CAMPAIGN("") "campaign \"c\" { mailboxes = {\"a@x.com\"}\n" STEP " }",
			"c.conf:5: campaign 'c' again, expected it once (first: c.conf:3)\n" },
		{ IDENTITY MAILBOX "campaign \"a/b\" { mailboxes = {\"a@x.com\"}\n" STEP " }",
			"c.conf:3: campaign 'a/b': expected a name of at most 64 letters, digits "
			"and "
			". _ -\n" },
		{ IDENTITY MAILBOX "campaign \"\" { mailboxes = {\"a@x.com\"}\n" STEP " }",
			"c.conf:3: section 'campaign' without a title, expected campaign \"...\" "
			"{\n" },
	};

	EXPECT_ALL(samples);
}
END_TEST

#define STEP_NAME_SHOWN(name, shown)                                                               \
	{                                                                                          \
		CAMPAIGN("step \"" name "\" { template = \"t.tmpl\" }\n"                           \
			 "step \"x\" { template = \"t.tmpl\" after = 1d }\n"),                     \
			"c.conf:4: step '" shown                                                   \
			"': expected a name of at most 64 letters, digits and "                    \
			". _ -\n"                                                                  \
			"c.conf:6: step 's' has no time to wait, expected it behind the step "     \
			"before, such as after = 3d\n"                                             \
	}
#define STEP_NAME(name) STEP_NAME_SHOWN(name, name)

START_TEST(steps)
{
	static const struct sample samples[] = {
		STEP_NAME("a b"),
		STEP_NAME("a/b"),
		STEP_NAME("a#1"),
		STEP_NAME("\xC3\xBC"),
		STEP_NAME_SHOWN("12345678901234567890123456789012345678901234567890123456789012345",
			"123456789012345678901234567890123456789012345678901234567890..."),
		{ CAMPAIGN("step \"s\" { template = \"t.tmpl\" thread = same\nafter = 1d }\n"),
			"c.conf:4: step 's' is the first and answers none, expected thread = new\n"
			"c.conf:5: step 's' is the first and waits for none, expected no 'after'\n"
			"c.conf:6: step 's' again, expected it once (first: c.conf:4)\n"
			"c.conf:6: step 's' has no time to wait, expected it behind the step "
			"before, "
			"such as after = 3d\n" },
		{ CAMPAIGN(
			  "step \"a\" { after = 0s }\nstep \"b\" { template = \"t.tmpl\" after = "
			  "soon }\n"
			  "step \"d\" { template = \"none.tmpl\"\nafter = 0s thread = old }\n"
			  "step \"e\" { template = \"t.tmpl\" after = 2h brief = \"\" }\n") "# the "
											    "end",
			"c.conf:4: step 'a' has no 'template', expected template = ... (the file "
			"with "
			"subject and body)\n"
			"c.conf:5: after = soon: expected a duration such as 90s, 12min or 3d, "
			"from 0s "
			"to 3650d (how long after the step before)\n"
			"c.conf:6: cannot read the template 'TMP/none.tmpl': No such file or "
			"directory, "
			"expected a text file of at most 256 KB\n"
			"c.conf:7: thread = old: expected new|same (does it answer the step "
			"before)\n"
			"c.conf:7: step 'd' has no time to wait, expected it behind the step "
			"before, "
			"such as after = 3d\n"
			"c.conf:9: step 's' has no time to wait, expected it behind the step "
			"before, "
			"such as after = 3d\n" },
	};
	const size_t last = sizeof samples / sizeof *samples - 1;
	const char *tmp = strstr(samples[last].problems, "TMP/");
	char *problems = xasprintf("%.*s%s%s", (int)(tmp - samples[last].problems),
		samples[last].problems, dir, tmp + strlen("TMP"));

	expect_all(samples, last);
	expect(samples[last].text, problems);
	free(problems);
}
END_TEST

START_TEST(templates)
{
	const char *text = IDENTITY MAILBOX "campaign \"c\" { mailboxes = {\"a@x.com\"}\n"
					    "step \"s\" { template = \"/tmp/../%s/t.tmpl\" } }";
	static const struct {
		const char *p;
		size_t n;
		const char *flaw;
	} files[] = {
		{ "a\nb\xFF", 4, "the template '%s' is not UTF-8 (line 2)" },
		{ "a\0b", 3, "the template '%s' has a NUL byte, expected text (line 1)" },
		{ NULL, (256 << 10) + 1,
			"cannot read the template '%s': too large, expected a text file of at most "
			"256 "
			"KB" },
	};
	char *path = xasprintf("/tmp/../%s/t.tmpl", dir + 1), *big = xcalloc((256 << 10) + 1, 1);
	struct str conf = STR_INIT, problems = STR_INIT;

	memset(big, 'x', (256 << 10) + 1);
	str_add(&conf, text, (size_t)(strstr(text, "%s") - text));
	str_adds(&conf, dir + 1);
	str_adds(&conf, strstr(text, "%s") + 2);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		const char *flaw = files[i].flaw, *at = strstr(flaw, "%s");

		put_bytes("t.tmpl", files[i].p ? files[i].p : big, files[i].n);
		str_reset(&problems);
		str_addf(&problems, "c.conf:4: %.*s%s%s\n", (int)(at - flaw), flaw, path, at + 2);
		expect(str_z(&conf), str_z(&problems));
	}
	put_bytes("t.tmpl", big, 256 << 10);
	expect(str_z(&conf), "");
	str_done(&conf);
	str_done(&problems);
	free(path);
	free(big);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { names, numbers, calendar,
		a_list_of_holidays_is_read_to_its_end, a_ceiling_that_nothing_obeys_is_said,
		presets_fill_what_the_file_leaves_to_them, a_provider_without_a_login_is_said,
		more_than_a_provider_takes_is_said, http, unsubscribe_urls, stores, mailboxes,
		campaigns, steps, templates };

	return run("conf_keys", tests, sizeof tests / sizeof *tests);
}
