/*
 * Keys that nothing uses yet: each is read and checked like any other, a warning says so where it is
 * set, and what belongs together is held against each other; and contradictions of all keys.
 */
#include "unit/conf_help.h"

#define NOT_BUILT(line, what) "c.conf:" #line ": warning: " what " is not built yet in this version"
#define KEY(line, name)       NOT_BUILT(line, "'" name "'") "\n"
#define SECTION(line, name)                                                                        \
	NOT_BUILT(line, "section '" name "'") ": it is checked, and nothing else\n"
#define PROVIDER      "provider \"p\" { kind = openai url = \"https://x.com/v1\" }\n"
#define WITH_PROVIDER SECTION(1, "provider") SECTION(2, "model")

static void put_secret(const char *name, const char *text)
{
	put(name, text);
	ck_assert_int_eq(chmod(name, 0600), 0);
}

/* The files that the samples name. */
static void put_files(void)
{
	put_secret("key", "k\n");
	put_secret("url", "https://hooks.example.com/services/T0/SECRET\n");
	put("b.txt", "Write.\n");
}

static void expect_these(const struct sample *samples, size_t n)
{
	put_files();
	expect_all(samples, n);
}
#define EXPECT_THESE(samples) expect_these((samples), sizeof(samples) / sizeof *(samples))

/* Once for each, where it is first; and nowhere for what is nothing, or what there is. */
START_TEST(said_where_set)
{
	static const struct sample samples[] = {
		{ "http { listen = \"\" }", "" },
		{ "http { listen = \"127.0.0.1:8080\" }", KEY(1, "listen") },
		{ "\nspool = \"x.db\"", KEY(2, "spool") },
		{ "watch { idle_after = 4h\nstuck_after = 1min }",
			KEY(1, "idle_after") KEY(2, "stuck_after") },
		{ "llm { warn_at = 90 }\nllm { max_attempts = 1 }", SECTION(1, "llm") },
		{ "provider \"a\" { kind = openai url = \"http://[::1]:1/v1\" }\n"
		  "provider \"b\" { kind = openai url = \"http://localhost\" key_file = key }",
			SECTION(1, "provider") },
		{ "mailbox \"a@x.com\" { smtp = \"smtp://[::1]\" tls = none\nsignature_file = \"\" "
		  "inbox = \"\" sent_copy = no imap = \"\" }",
			"" },
		{ "mailbox \"a@x.com\" { smtp = \"smtp://[::1]\" tls = none\nsignature_file = "
		  "b.txt\nsent_copy = yes }",
			KEY(2, "signature_file") NOT_BUILT(3, "sent_copy = yes") "\n" },
		{ CAMPAIGN("on_company_reply = none fallback = hold adopts = {} facts = \"\"\n"),
			"" },
		{ CAMPAIGN("on_company_reply = stop\nfacts = b.txt\nlow_water = 0\n"
			   "countries_allow = {US, gb}\n"),
			NOT_BUILT(4, "on_company_reply = stop") "\n" KEY(5, "facts")
				KEY(6, "low_water") KEY(7, "countries_allow") },
		{ CAMPAIGN("review { min_score = 0 }\nreview { links = x.com }\n"),
			SECTION(4, "review") },
	};

	EXPECT_THESE(samples);
}
END_TEST

START_TEST(values)
{
#define USD ": expected dollars from 0 to 1000000000, such as 2.50, with at most 6 decimals "
	static const struct sample samples[] = {
		{ PROVIDER "model \"m\" { provider = p usd_per_mtok_in = 0.000001\n"
			   "usd_per_mtok_out = 12 tier = 1 rpm = 1 tpm = 2m }",
			WITH_PROVIDER },
		{ PROVIDER "model \"m\" { provider = p\nusd_per_mtok_in = .5\nusd_per_mtok_out = "
			   "-1\n}\nmodel \"n\" { provider = p\nusd_per_mtok_in = 0.0000001\n"
			   "usd_per_mtok_out = 1.\n}",
			WITH_PROVIDER "c.conf:3: usd_per_mtok_in = .5" USD
				      "(dollars for a million tokens of questions)\n"
				      "c.conf:4: usd_per_mtok_out = -1" USD
				      "(dollars for a million tokens of answers)\n"
				      "c.conf:7: usd_per_mtok_in = 0.0000001" USD
				      "(dollars for a million tokens of questions)\n"
				      "c.conf:8: usd_per_mtok_out = 1." USD
				      "(dollars for a million tokens of answers)\n" },
		{ PROVIDER "model \"m\" { provider = p\ntier = 0\nshape = round\nrpm = 0\n}",
			WITH_PROVIDER
			"c.conf:3: tier = 0: expected a number from 1 to 100 (its rank, 1 is asked "
			"first)\n"
			"c.conf:4: shape = round: expected refill|window (do its limits refill, or "
			"start anew on the clock)\n"
			"c.conf:5: rpm = 0: expected a number from 1 to 1000000000 (requests a "
			"minute)\n" },
		{ "watch { summary = 24:00\n}\nwatch { idle_after = 1s }",
			"c.conf:1: summary = 24:00: expected a time of the day such as 18:00 (when "
			"the day is summed up)\n"
			"c.conf:3: idle_after = 1s: expected a duration such as 90s, 12min or 3d, "
			"from 1min to 30d (open hours without a mail that should have gone, until "
			"it is told)\n" },
		{ CAMPAIGN("countries_deny = {de,\nuk}\ncountries_allow = Germany\nadopts = {a, "
			   "a}\n"),
			"c.conf:5: countries_deny = uk: expected codes of countries by ISO 3166-1, "
			"such as {de, ca}; the United Kingdom's is gb (whose people are not "
			"written to)\n"
			"c.conf:6: countries_allow = Germany: expected codes of countries by ISO "
			"3166-1, such as {de, ca} (whose people alone are written to)\n"
			"c.conf:7: adopts = a: expected each of them once (ids of an older "
			"system's campaigns that this one carries on)\n" },
		{ CAMPAIGN("fallback = give_up\n"),
			"c.conf:4: fallback = give_up: expected hold|template (what happens when "
			"no model can answer)\n" },
		{ CAMPAIGN("review { min_score = 101\nlinks = {\"https://x.com\"}\napprove = me "
			   "}\n"),
			SECTION(4, "review") "c.conf:4: min_score = 101: expected a number from 0 "
					     "to 100 (the score from "
					     "which on a draft passes)\n"
					     "c.conf:5: links = https://x.com: expected domains "
					     "such as "
					     "\"example.com\"\n"
					     "c.conf:6: approve = me: expected manual|auto (who "
					     "lets a draft go)\n" },
		{ "breaker { of_last_ten = 11 }",
			SECTION(1, "breaker") "c.conf:1: of_last_ten = 11: expected a number from "
					      "1 to 10 (failures among "
					      "the last ten that open it)\n" },
	};

	EXPECT_THESE(samples);
}
END_TEST

START_TEST(references)
{
	static const struct sample samples[] = {
		{ PROVIDER "model \"m\" { provider = q }\nmodel \"m\" { provider = \"\" }\nmodel "
			   "\"n\" { }",
			WITH_PROVIDER
			"c.conf:2: provider = q: expected the title of a provider section (where "
			"it "
			"is asked)\n"
			"c.conf:3: model 'm' again, expected it once (first: c.conf:2)\n"
			"c.conf:3: provider = \"\": expected the title of a provider section "
			"(where "
			"it is asked)\n"
			"c.conf:4: model 'n' has no 'provider', expected provider = ... (where it "
			"is asked)\n" },
		{ "provider \"groqcloud\" { kind = openai url = \"https://x.com\" }\n"
		  "model \"m\" { provider = groqclud }\nmodel { provider = groqcloud }",
			WITH_PROVIDER
			"c.conf:2: provider = groqclud: expected the title of a provider section, "
			"perhaps \"groqcloud\" (where it is asked)\n"
			"c.conf:3: section 'model' without a title, expected model \"...\" {\n" },
		{ MAILBOX "mailbox \"b@x.com\" { smtp = \"smtp://[::1]\" tls = none\ninbox = in }",
			"c.conf:3: inbox = in: expected the title of an inbox section (the inbox "
			"section where answers are read instead)\n" },
		{ "mailbox \"b@x.com\" { smtp = \"smtp://[::1]\" tls = none\ninbox = in }\n"
		  "inbox \"in\" { imap = \"imaps://x.com\" user = u password_file = key }\n",
			KEY(2, "inbox") SECTION(3, "inbox") },
		{ CAMPAIGN("writer = template review { reviewer = m }\n") PROVIDER
			"model \"n\" { provider = p }",
			SECTION(4, "review") "c.conf:4: reviewer = m: expected the title of a "
					     "model section (the model "
					     "that judges drafts)\n" SECTION(6, "provider")
						     SECTION(7, "model") },
		{ "provider \"p\" { kind = openai url = \"https://x.com\" }\nprovider \"p\" { kind "
		  "= "
		  "openai url = \"https://x.com\" }",
			SECTION(1, "provider") "c.conf:2: provider 'p' again, expected it once "
					       "(first: c.conf:1)\n" },
		{ CAMPAIGN("adopts = 65f0c0ffee\n") "campaign \"d\" { mailboxes = \"a@x.com\"\n"
						    "adopts = {1, 65f0c0ffee}\n" STEP " }",
			KEY(4, "adopts") "c.conf:7: adopts = 65f0c0ffee: campaign 'c' does, "
					 "expected one campaign to carry it on\n" },
	};

	EXPECT_THESE(samples);
}
END_TEST

START_TEST(urls)
{
#define AT_URL(kind, url, more) "provider \"p\" { kind = " kind "\nurl = \"" url "\" " more " }"
#define WANTS                   ": expected https://HOST/PATH, or http:// of this machine\n"
#define IMAP(url)               "inbox \"i\" {\nimap = \"" url "\" user = u password_file = key }"
#define WANTS_IMAP                                                                                 \
	": expected imaps://HOST (TLS at once) or imap://HOST (STARTTLS), with or without :PORT\n"
	static const struct sample samples[] = {
		{ AT_URL("openai", "x.com", ""),
			SECTION(1, "provider") "c.conf:2: url = x.com" WANTS },
		{ AT_URL("openai", "ftp://x.com", ""),
			SECTION(1, "provider") "c.conf:2: url = ftp://x.com" WANTS },
		{ AT_URL("openai", "https://x .com", ""),
			SECTION(1, "provider") "c.conf:2: url = https://x .com" WANTS },
		{ AT_URL("openai", "https://u:p@x.com/", ""),
			SECTION(1, "provider") "c.conf:2: url = https://***@x.com/" WANTS },
		{ AT_URL("openai", "http://192.0.2.1:11434/v1", ""),
			SECTION(1, "provider") "c.conf:2: warning: url = "
					       "http://192.0.2.1:11434/v1: prompts leave this "
					       "machine unencrypted, expected https://\n" },
		{ AT_URL("anthropic", "http://x.com", "key_file = key"),
			SECTION(1, "provider") "c.conf:2: warning: url = http://x.com: prompts and "
					       "the key leave this "
					       "machine unencrypted, expected https://\n" },
		{ AT_URL("anthropic", "https://x.com", ""),
			SECTION(1, "provider") "c.conf:1: warning: provider 'p' is anthropic "
					       "without a key, expected "
					       "key_file = FILE\n" },
		{ IMAP("imap://[::1]:143"), SECTION(1, "inbox") },
		{ IMAP("imaps://"), SECTION(1, "inbox") "c.conf:2: imap = imaps://" WANTS_IMAP },
		{ IMAP("x.com"), SECTION(1, "inbox") "c.conf:2: imap = x.com" WANTS_IMAP },
		{ IMAP("imaps://x.com/INBOX"),
			SECTION(1, "inbox") "c.conf:2: imap = imaps://x.com/INBOX" WANTS_IMAP },
		{ "http { listen = \"localhost:80\" }",
			KEY(1, "listen") "c.conf:1: listen = localhost:80: expected an address and "
					 "a "
					 "port, such as \"127.0.0.1:8080\"\n" },
		{ "http { listen = \"0.0.0.0:80\" }",
			KEY(1, "listen") "c.conf:1: warning: listen = 0.0.0.0:80: whoever reaches "
					 "it sees "
					 "everything, expected an address of this machine with a "
					 "proxy before "
					 "it\n" },
		{ "http { public_listen = \"[::1]:80\"\nlisten = \"[::1]:80\" }",
			KEY(2, "listen") "c.conf:2: listen = [::1]:80: the public page is there, "
					 "expected another port\n" },
	};

	EXPECT_THESE(samples);
}
END_TEST

START_TEST(inboxes)
{
#define BOX(more) "mailbox \"a@x.com\" { smtp = \"smtps://x.com\" " more " }\n"
#define INBOX     "inbox \"in\" { imap = \"imap://x.com\" user = u password_file = key }\n"
	static const struct sample samples[] = {
		{ BOX("user = u password_file = key imap = \"imaps://x.com\""), KEY(1, "imap") },
		{ BOX("imap = \"imaps://x.com\""),
			KEY(1, "imap") "c.conf:1: imap without a user, expected user = NAME beside "
				       "it: nobody reads an inbox without a login\n" },
		{ INBOX BOX("user = u password_file = key imap = \"imaps://x.com\" inbox = in"),
			SECTION(1, "inbox") KEY(2, "imap")
				KEY(2, "inbox") "c.conf:2: warning: inbox beside imap: answers are "
						"read from 'in' alone, "
						"expected one of them\n" },
		{ BOX("reply_to = \"r@x.com\""),
			KEY(1, "reply_to") "c.conf:1: warning: reply_to = r@x.com: answers that go "
					   "there are not read, "
					   "expected inbox = NAME of an inbox section that reads "
					   "them\n" },
		{ INBOX BOX("reply_to = \"r@x.com\" inbox = in"),
			SECTION(1, "inbox") KEY(2, "reply_to") KEY(2, "inbox") },
		{ BOX("reply_to = \"x.com\""), KEY(1, "reply_to") "c.conf:1: reply_to = x.com: "
								  "expected an address such as "
								  "\"replies@example.com\"\n" },
		{ "inbox \"in\" { }",
			SECTION(1, "inbox") "c.conf:1: inbox 'in' has no 'imap', expected imap = "
					    "... (where answers are "
					    "read, such as \"imaps://imap.example.com\")\n"
					    "c.conf:1: inbox 'in' has no 'user', expected user = "
					    "... (the name to log "
					    "in with)\n"
					    "c.conf:1: inbox 'in' has no 'password_file', expected "
					    "password_file = ... "
					    "(the file that holds the user's password)\n" },
	};

	EXPECT_THESE(samples);
}
END_TEST

START_TEST(alerts)
{
#define ALERT(text) "alert \"a\" { kind = " text " }"
	static const struct sample samples[] = {
		{ ALERT("slack url_file = url on = {critical, llm_quota}"), SECTION(1, "alert") },
		{ ALERT("telegram key_file = key chat = -1"), SECTION(1, "alert") },
		{ ALERT("sms key_file = key account = A from = \"+15550100\" to = \"+15550101\""),
			SECTION(1, "alert") },
		{ ALERT("exec command = \"/bin/true\""), SECTION(1, "alert") },
		{ MAILBOX ALERT("mail mailbox = \"A@x.com\" to = {\"o@x.com\"}"),
			SECTION(2, "alert") },
		{ ALERT("pager"), SECTION(1, "alert") "c.conf:1: kind = pager: expected "
						      "slack|discord|telegram|pagerduty|opsgenie|"
						      "sentry|webhook|sms|mail|exec "
						      "(how somebody is told)\n" },
		{ "alert \"a\" { }",
			SECTION(1,
				"alert") "c.conf:1: alert 'a' has no 'kind', expected kind = ... "
					 "(how somebody is told)\n" },
		{ ALERT("slack\nchat = x"),
			SECTION(1, "alert") "c.conf:1: alert 'a' has no 'url_file', expected "
					    "url_file = ... (kind = "
					    "slack)\n"
					    "c.conf:2: warning: chat does nothing with kind = "
					    "slack, expected it with "
					    "another kind\n" },
		{ ALERT("webhook\nurl_file = none"),
			SECTION(1, "alert") "c.conf:2: url_file: TMP/none: No such file or "
					    "directory, expected a file with the secret\n" },
		{ ALERT("mail\nmailbox = \"b@x.com\"\nto = {\"+15550100\"}"),
			SECTION(1, "alert") "c.conf:2: mailbox = b@x.com: expected the title of a "
					    "mailbox section (the "
					    "mailbox that sends)\n"
					    "c.conf:3: to = +15550100: expected addresses such as "
					    "\"ops@example.com\"\n" },
		{ ALERT("sms account = A from = x\nto = {\"+15550100\", \"0155\"}"),
			SECTION(1, "alert") "c.conf:2: to = 0155: expected numbers such as "
					    "\"+15550100\"\n" },
		{ ALERT("exec command = c\non = {critcal, \"No!\"}"),
			SECTION(1, "alert") "c.conf:2: warning: on = critcal: no such severity, "
					    "did you mean "
					    "'critical'?\n"
					    "c.conf:2: on = No!: expected critical, warning, info, "
					    "summary, or the names "
					    "of rules\n" },
	};
	const size_t n = sizeof samples / sizeof *samples;

	put_files();
	for (size_t i = 0; i < n; i++) {
		const char *tmp = strstr(samples[i].problems, "TMP/");
		char *problems = xasprintf("%.*s%s%s", (int)(tmp ? tmp - samples[i].problems : 0),
			samples[i].problems, tmp ? dir : "",
			tmp ? tmp + strlen("TMP") : samples[i].problems);

		expect(samples[i].text, problems);
		free(problems);
	}
}
END_TEST

/* What is in a file that holds a secret is in no message, even when it is none. */
START_TEST(no_url)
{
	char *want =
		xasprintf(SECTION(1, "alert") "c.conf:1: url_file: %s/key: what is in it is no "
					      "URL, expected https://HOST/PATH, or http:// of "
					      "this machine\n",
			dir);

	put_secret("key", "hunter2\n");
	expect(ALERT("slack url_file = key"), want);
	free(want);
	want = xasprintf(
		KEY(2, "heartbeat_url_file") "c.conf:2: heartbeat_url_file: %s/key: what is "
					     "in it is no URL, expected https://HOST/PATH, "
					     "or http:// of this machine\n",
		dir);
	expect("\nwatch { heartbeat_url_file = key }", want);
	free(want);
}
END_TEST

/* ---- what later work does for a campaign -------------------------------------------------------- */

#define WRITER_LLM                                                                                 \
	NOT_BUILT(4, "writer = llm")                                                               \
	": the campaign waits (llm_none), or with fallback = template sends its templates\n"
#define NO_MODEL                                                                                   \
	"c.conf:4: warning: writer = llm, but there is no model to write, expected a model "       \
	"section\n"
#define REPLIES_IMAP                                                                               \
	NOT_BUILT(4, "replies = imap") ": every step behind the first waits (inbox_stale)\n"

START_TEST(writers)
{
	static const struct sample samples[] = {
		{ CAMPAIGN("writer = llm\n"),
			WRITER_LLM NO_MODEL "c.conf:5: step 's' has no 'brief', expected brief = "
					    "... (writer = llm: the "
					    "file that tells a model what to write)\n" },
		{ IDENTITY MAILBOX "campaign \"c\" { mailboxes = \"a@x.com\"\nwriter = llm\n"
				   "step \"s\" { brief = b.txt } }",
			WRITER_LLM NO_MODEL KEY(5, "brief") },
		{ IDENTITY MAILBOX
			"campaign \"c\" { mailboxes = \"a@x.com\"\nwriter = llm fallback "
			"= template\nstep \"s\" { brief = b.txt } }",
			WRITER_LLM NO_MODEL KEY(5, "brief") "c.conf:5: step 's' has no 'template', "
							    "expected template = ... (the file "
							    "with subject and body)\n" },
		{ IDENTITY MAILBOX "campaign \"c\" { mailboxes = \"a@x.com\"\n"
				   "step \"s\" { brief = b.txt } }",
			KEY(4, "brief") "c.conf:4: step 's' has no 'template', expected template = "
					"... (the file with subject and body)\n" },
		{ IDENTITY MAILBOX "campaign \"c\" { mailboxes = \"a@x.com\"\n"
				   "step \"s\" { brief = b.txt } }\n" PROVIDER
				   "model \"m\" { provider = p }",
			KEY(4, "brief") SECTION(5, "provider") SECTION(6, "model") },
	};

	EXPECT_THESE(samples);
}
END_TEST

#define READ_BOX                                                                                   \
	"mailbox \"a@x.com\" { smtp = \"smtps://x.com\" user = u password_file = key imap = "      \
	"\"imaps://x.com\" }\n"
#define TWO(entries)                                                                               \
	"campaign \"c\" { mailboxes = {\"a@x.com\"}\n" entries STEP                                \
	" step \"t\" { template = \"t.tmpl\" after = 1d } }\n"

START_TEST(who_tells_of_replies)
{
	static const struct sample samples[] = {
		{ CAMPAIGN("replies = imap\n"), REPLIES_IMAP
			"c.conf:4: warning: replies = imap, but not every mailbox of campaign 'c' "
			"has imap or inbox: answers there are not read, expected one of them\n" },
		{ IDENTITY READ_BOX TWO("replies = imap\n"), KEY(2, "imap") REPLIES_IMAP },
		{ IDENTITY READ_BOX TWO("replies = manual\n"), KEY(2, "imap") },
		{ IDENTITY READ_BOX TWO(""), KEY(2, "imap") "c.conf:3: warning: campaign 'c' has "
							    "replies = imap by default, since its "
							    "mailboxes have an inbox; no inbox is "
							    "read yet in this version, and steps "
							    "behind the first wait (inbox_stale), "
							    "expected replies = manual to tell "
							    "coldmail of answers yourself\n" },
	};

	EXPECT_THESE(samples);
	const struct conf *c = load(samples[3].text);
	ck_assert(c->campaigns[0].reads_replies);
	conf_unref(c);
	c = load(samples[2].text);
	ck_assert(!c->campaigns[0].reads_replies && !c->campaigns[0].is_llm);
	conf_unref(c);
}
END_TEST

/* ---- contradictions ----------------------------------------------------------------------------- */

START_TEST(contradictions)
{
	static const struct sample samples[] = {
		{ "watch { bounce_warn = 5 bounce_pause = 5 }", "" },
		{ "watch { bounce_pause = 2 }",
			"c.conf:1: warning: bounce_warn = 3 is never told, as "
			"bounce_pause = 2 comes before, expected a smaller "
			"number\n" },
		{ CAMPAIGN("countries_deny = de\ncountries_allow = us\n"),
			KEY(4, "countries_deny") "c.conf:4: warning: countries_deny beside "
						 "countries_allow: who is not "
						 "allowed is not written to already, expected one "
						 "of "
						 "them\n" KEY(5, "countries_allow") },
		{ CAMPAIGN("on_company_reply = none company_pause = 1d\n"),
			KEY(4, "company_pause") "c.conf:4: warning: company_pause without "
						"on_company_reply = pause: nobody "
						"pauses, expected both or neither\n" },
		{ "watch { summary = 18:00 }",
			KEY(1, "summary") "c.conf:1: warning: summary goes to nobody, expected an "
					  "alert section with on = {summary}\n" },
		{ "watch { summary = 18:00 }\nalert \"a\" { kind = slack url_file = url on = "
		  "summary }",
			KEY(1, "summary") SECTION(2, "alert") },
		{ PROVIDER "model \"m\" { provider = p rpm = 30 rpd = 29\ntpd = 1k tpm = 2k }",
			WITH_PROVIDER
			"c.conf:2: warning: rpm = 30 is never reached with 29 a day, expected "
			"fewer\n"
			"c.conf:3: warning: tpm = 2000 is never reached with 1000 a day, expected "
			"fewer\n" },
		{ "breaker { open = 1h\nfailures = 6 }",
			SECTION(1, "breaker") "c.conf:1: warning: open is longer than open_max, "
					      "expected a time up to it\n"
					      "c.conf:2: warning: failures = 6 is never reached, "
					      "as of_last_ten = 5 opens "
					      "it before, expected fewer\n" },
	};

	EXPECT_THESE(samples);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { said_where_set, values, references, urls, inboxes, alerts,
		no_url, writers, who_tells_of_replies, contradictions };

	return run("conf_unbuilt", tests, sizeof tests / sizeof *tests);
}
