/*
 * The schema: every section and every key there is, one row each. Checking, defaults, reloading and
 * messages go by these rows; scripts/check-keys holds the sample file and the man page against them,
 * so a row begins with `{ .in = …, .name = "…"` on one line.
 * Runs on: any (constant data). Called by the room only.
 */
#include "conf_private.h"

#include <syslog.h>

#include "coldmail/clock.h"

#define MANY ((int64_t)1000000000)
#define YEAR (365 * CLOCK_DAY_MS)
#define TEXT 1000 /* bytes of a text of the user's */

#define AT(type, member)          .at = offsetof(struct type, member)
#define AT2(type, member, second) AT(type, member), .at2 = offsetof(struct type, second)

const struct conf_section conf_sections[CONF_N_SECTIONS] = {
	[CONF_TOP] = { .name = "" },
	[CONF_IDENTITY] = { "identity", 1 << CONF_TOP | 1 << CONF_CAMPAIGN, false },
	[CONF_LOG] = { "log", 1 << CONF_TOP, false },
	[CONF_HTTP] = { "http", 1 << CONF_TOP, false },
	[CONF_CONTROL] = { "control", 1 << CONF_TOP, false },
	[CONF_VERIFY] = { "verify", 1 << CONF_TOP, false },
	[CONF_WATCH] = { "watch", 1 << CONF_TOP, false },
	[CONF_MAILBOX] = { "mailbox", 1 << CONF_TOP, true },
	[CONF_OAUTH] = { "oauth", 1 << CONF_MAILBOX, false },
	[CONF_CAMPAIGN] = { "campaign", 1 << CONF_TOP, true },
	[CONF_STEP] = { "step", 1 << CONF_CAMPAIGN, true },
};

/* clang-format off */
const struct conf_key conf_keys[] = {
	{ .in = CONF_TOP, .name = "store", .type = CONF_STRING, .flags = CONF_RESTART,
	  .def = CONF_DEFAULT_STORE, .min = 1, .max = TEXT, AT(conf, store),
	  .help = "where everything is kept" },
	{ .in = CONF_TOP, .name = "store_timeout", .type = CONF_DURATION, .flags = CONF_RESTART,
	  .def = "5s", .min = 100, .max = CLOCK_HOUR_MS, AT(conf, store_timeout_ms),
	  .help = "how long the store may take to answer" },
	{ .in = CONF_TOP, .name = "stop_timeout", .type = CONF_DURATION,
	  .def = "60s", .max = CLOCK_HOUR_MS, AT(conf, stop_timeout_ms),
	  .help = "how long a stop waits for the server's word on mails past their body" },
	{ .in = CONF_TOP, .name = "ceiling", .type = CONF_INT, .flags = CONF_UNENFORCED,
	  .def = "300", .min = 1, .max = MANY, AT(conf, ceiling_per_min),
	  .help = "mails a minute over all mailboxes above which sending stops" },
	{ .in = CONF_TOP, .name = "reply_classes", .type = CONF_TEXT,
	  .def = "\"\"", .max = TEXT, AT(conf, reply_classes),
	  .help = "rows put before those that say who is at fault for a refusal" },

	{ .in = CONF_LOG, .name = "level", .type = CONF_CHOICE,
	  .def = "info", .min = LOG_ERR, .choices = "error|warning|notice|info|debug", AT(conf, log_level),
	  .help = "the least important lines that are written" },
	{ .in = CONF_LOG, .name = "format", .type = CONF_CHOICE, .flags = CONF_RESTART,
	  .def = "auto", .choices = "auto|text|json|journal", AT(conf, log_format),
	  .help = "how lines are written" },

	{ .in = CONF_HTTP, .name = "public_listen", .type = CONF_STRING, .flags = CONF_RESTART,
	  .def = "\"\"", .max = 64, AT(conf, public_listen),
	  .help = "where the unsubscribe page is, such as \"127.0.0.1:8081\"" },

	{ .in = CONF_CONTROL, .name = "socket", .type = CONF_PATH, .flags = CONF_RESTART,
	  .def = CONF_DEFAULT_SOCKET, .max = 107, AT(conf, control_socket),
	  .help = "where coldmailctl finds the daemon" },

	{ .in = CONF_WATCH, .name = "bounce_warn", .type = CONF_INT,
	  .def = "3", .min = 1, .max = 100, AT(conf, bounce_warn),
	  .help = "percent of bounces among the last mails that is told" },
	{ .in = CONF_WATCH, .name = "bounce_pause", .type = CONF_INT,
	  .def = "5", .min = 1, .max = 100, AT(conf, bounce_pause),
	  .help = "percent of bounces among the last mails that pauses who sent them" },

	{ .in = CONF_VERIFY, .name = "mx", .type = CONF_CHOICE,
	  .def = "auto", .min = CONF_VERIFY_AUTO, .choices = "auto|yes|no", AT(conf, verify_mx),
	  .help = "is the domain's mail server looked up before a mail is written" },
	{ .in = CONF_VERIFY, .name = "resolver", .type = CONF_STRING,
	  .def = "\"\"", .max = TEXT, AT(conf, resolver),
	  .help = "the name servers, such as \"127.0.0.1:5353\"" },

	{ .in = CONF_IDENTITY, .name = "organisation", .type = CONF_STRING,
	  .min = 1, .max = TEXT, AT(conf_identity, organisation), .help = "who writes" },
	{ .in = CONF_IDENTITY, .name = "postal_address", .type = CONF_STRING, .flags = CONF_LINES,
	  .min = 1, .max = TEXT, AT(conf_identity, postal_address),
	  .help = "where the sender can be reached by post" },
	{ .in = CONF_IDENTITY, .name = "opt_out_line", .type = CONF_STRING, .flags = CONF_LINES,
	  .min = 1, .max = TEXT, AT(conf_identity, opt_out_line),
	  .help = "the sentence that says how to be left alone" },
	{ .in = CONF_IDENTITY, .name = "unsubscribe_url", .type = CONF_STRING,
	  .min = 1, .max = 400, AT(conf_identity, unsubscribe_url),
	  .help = "where a proxy reaches public_listen, such as \"https://mail.example.com/u\"" },

	{ .in = CONF_MAILBOX, .name = "name", .type = CONF_STRING,
	  .def = "\"\"", .max = 200, AT(conf_mailbox, name),
	  .help = "the name beside the address in From" },
	{ .in = CONF_MAILBOX, .name = "preset", .type = CONF_PRESET, AT(conf_mailbox, preset),
	  .help = "the provider, whose servers and limits are known" },
	{ .in = CONF_MAILBOX, .name = "smtp", .type = CONF_STRING, .flags = CONF_REQUIRED,
	  .min = 1, .max = TEXT, AT(conf_mailbox, smtp),
	  .help = "the mail server, such as \"smtps://smtp.example.com\"" },
	{ .in = CONF_MAILBOX, .name = "tls", .type = CONF_SWITCH,
	  .def = "required", .choices = "none|required", AT(conf_mailbox, tls_required),
	  .help = "is the connection to the mail server encrypted" },
	{ .in = CONF_MAILBOX, .name = "ca_file", .type = CONF_PEM,
	  .def = "\"\"", AT(conf_mailbox, ca),
	  .help = "the only authorities whose certificates count, instead of the system's" },
	{ .in = CONF_MAILBOX, .name = "user", .type = CONF_STRING,
	  .def = "\"\"", .max = 320, AT(conf_mailbox, user),
	  .help = "the name to log in with" },
	{ .in = CONF_MAILBOX, .name = "password_file", .type = CONF_SECRET,
	  .def = "\"\"", AT(conf_mailbox, password),
	  .help = "the file that holds the user's password" },
	{ .in = CONF_MAILBOX, .name = "timezone", .type = CONF_ZONE,
	  .def = "UTC", .max = 64, AT(conf_mailbox, timezone),
	  .help = "whose midnight begins the mailbox's day" },
	{ .in = CONF_MAILBOX, .name = "daily_limit", .type = CONF_INT,
	  .def = "25", .min = 1, .max = MANY, AT(conf_mailbox, daily_limit),
	  .help = "mails a day" },
	{ .in = CONF_MAILBOX, .name = "gap", .type = CONF_SPAN,
	  .def = "12min-24min", .max = 30 * CLOCK_DAY_MS, AT2(conf_mailbox, gap_min_ms, gap_max_ms),
	  .help = "time between two mails" },
	{ .in = CONF_MAILBOX, .name = "ramp", .type = CONF_NUMBERS,
	  .def = "{3, 7, 12, 20}", .min = 1, .max = MANY, AT2(conf_mailbox, ramp, n_ramp),
	  .help = "mails a day in the first weeks" },
	{ .in = CONF_MAILBOX, .name = "ramp_since", .type = CONF_DATE,
	  AT(conf_mailbox, ramp_since_ms),
	  .help = "when the ramp began, of a mailbox that is warm already" },
	{ .in = CONF_MAILBOX, .name = "connections", .type = CONF_INT,
	  .def = "1", .min = 1, .max = 1000, AT(conf_mailbox, connections),
	  .help = "connections at a time" },
	{ .in = CONF_MAILBOX, .name = "mails_per_connection", .type = CONF_INT,
	  .def = "100", .min = 1, .max = MANY, AT(conf_mailbox, mails_per_connection),
	  .help = "mails until a connection is made anew" },

	{ .in = CONF_OAUTH, .name = "token_url", .type = CONF_STRING, .flags = CONF_REQUIRED,
	  .min = 1, .max = TEXT, AT(conf_oauth, token_url),
	  .help = "where access tokens come from, such as \"https://oauth2.example.com/token\"" },
	{ .in = CONF_OAUTH, .name = "client_id", .type = CONF_STRING, .flags = CONF_REQUIRED,
	  .min = 1, .max = TEXT, AT(conf_oauth, client_id),
	  .help = "the name under which coldmail is registered there" },
	{ .in = CONF_OAUTH, .name = "client_secret_file", .type = CONF_SECRET,
	  .def = "\"\"", AT(conf_oauth, client_secret),
	  .help = "the file that holds the client's secret" },
	{ .in = CONF_OAUTH, .name = "refresh_token_file", .type = CONF_SECRET,
	  .flags = CONF_REQUIRED, AT(conf_oauth, refresh_token),
	  .help = "the file that holds the refresh token" },
	{ .in = CONF_OAUTH, .name = "ca_file", .type = CONF_PEM,
	  .def = "\"\"", AT(conf_oauth, ca),
	  .help = "the only authorities whose certificates count for token_url" },

	{ .in = CONF_CAMPAIGN, .name = "mailboxes", .type = CONF_REFS, .flags = CONF_REQUIRED,
	  AT2(conf_campaign, mailboxes, n_mailboxes),
	  .help = "who sends, such as {\"ali@example.com\"}" },
	{ .in = CONF_CAMPAIGN, .name = "start", .type = CONF_SWITCH,
	  .def = "manual", .choices = "manual|auto", AT(conf_campaign, start_auto),
	  .help = "does it wait for coldmailctl start" },
	{ .in = CONF_CAMPAIGN, .name = "timezone", .type = CONF_ZONE, .flags = CONF_UNENFORCED,
	  .def = "UTC", .max = 64, AT(conf_campaign, timezone),
	  .help = "the zone of leads without one" },
	{ .in = CONF_CAMPAIGN, .name = "days", .type = CONF_DAYS, .flags = CONF_UNENFORCED,
	  .def = "{mon, tue, wed, thu, fri}", AT(conf_campaign, days),
	  .help = "days on which mails go out" },
	{ .in = CONF_CAMPAIGN, .name = "window", .type = CONF_WINDOWS, .flags = CONF_UNENFORCED,
	  .def = "09:00-17:00", AT2(conf_campaign, windows, n_windows),
	  .help = "hours in which mails go out" },
	{ .in = CONF_CAMPAIGN, .name = "holidays", .type = CONF_STRING, .flags = CONF_UNENFORCED,
	  .def = "none", .min = 1, .max = TEXT, AT(conf_campaign, holidays),
	  .help = "days on which no mail goes out" },
	{ .in = CONF_CAMPAIGN, .name = "domain_daily_limit", .type = CONF_INT,
	  .flags = CONF_UNENFORCED, .def = "3", .max = MANY, AT(conf_campaign, domain_daily_limit),
	  .help = "mails a day to one recipient domain, 0: any number" },
	{ .in = CONF_CAMPAIGN, .name = "canary", .type = CONF_INT, .flags = CONF_UNENFORCED,
	  .def = "20", .max = MANY, AT(conf_campaign, canary),
	  .help = "mails to a new list before its bounces are waited for, 0: do not wait" },
	{ .in = CONF_CAMPAIGN, .name = "recontact_after", .type = CONF_DURATION,
	  .flags = CONF_NEVER, .def = "never", .max = 100 * YEAR, AT(conf_campaign, recontact_ms),
	  .help = "when people whom another campaign wrote to are written to" },
	{ .in = CONF_CAMPAIGN, .name = "expire_after", .type = CONF_DURATION,
	  .def = "14d", .min = CLOCK_SECOND_MS, .max = 100 * YEAR, AT(conf_campaign, expire_ms),
	  .help = "how late a step may go out" },
	{ .in = CONF_CAMPAIGN, .name = "content_rejected_stop", .type = CONF_INT,
	  .def = "3", .min = 1, .max = MANY, AT(conf_campaign, content_rejected_stop),
	  .help = "refusals for its content after which a step stops" },
	{ .in = CONF_CAMPAIGN, .name = "writer", .type = CONF_ONLY,
	  .def = "template", .choices = "template", .later = "llm",
	  .help = "who writes the mails" },
	{ .in = CONF_CAMPAIGN, .name = "replies", .type = CONF_ONLY,
	  .def = "manual", .choices = "manual", .later = "imap",
	  .help = "who tells coldmail about answers" },

	{ .in = CONF_STEP, .name = "template", .type = CONF_PATH, .flags = CONF_REQUIRED,
	  .max = TEXT, AT(conf_step, template_path), .help = "the file with subject and body" },
	{ .in = CONF_STEP, .name = "after", .type = CONF_DURATION,
	  .def = "0s", .max = 10 * YEAR, AT(conf_step, after_ms),
	  .help = "how long after the step before" },
	{ .in = CONF_STEP, .name = "thread", .type = CONF_SWITCH,
	  .def = "new", .choices = "new|same", AT(conf_step, same_thread),
	  .help = "does it answer the step before" },
};
/* clang-format on */

const size_t conf_n_keys = sizeof conf_keys / sizeof *conf_keys;

const struct conf_key *conf_key_find(enum conf_in in, const char *name)
{
	for (const struct conf_key *k = conf_keys; k < conf_keys + conf_n_keys; k++)
		if (k->in == in && str_eq(k->name, name))
			return k;
	return NULL;
}

enum conf_in conf_section_find(enum conf_in parent, const char *name)
{
	for (enum conf_in in = CONF_TOP + 1; in < CONF_N_SECTIONS; in++)
		if (conf_sections[in].parents & 1U << parent &&
			str_eq(conf_sections[in].name, name))
			return in;
	return CONF_TOP;
}

int conf_word_place(const char *words, const char *word)
{
	const size_t n = strlen(word);

	for (int place = 0; words; place++) {
		if (strcspn(words, "|") == n && !memcmp(words, word, n))
			return place;
		words = strchr(words, '|');
		words = words ? words + 1 : NULL;
	}
	return -1;
}
