/*
 * Configuration: one file (with includes) becomes one immutable, counted struct conf. Every key is
 * a row of the schema table; all problems of a file are reported in one run. Pure but for reading
 * files and the environment.
 * Runs on: loop (and both programs' start-up). Lanes may read a conf they were given.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coldmail/mem.h"

#define CONF_DEFAULT_FILE "/etc/coldmail.conf"

/* A step of a sequence. Strings are never NULL ("" when absent) unless it says so. */
struct conf_step {
	const char *name;
	const char *template_path; /* absolute; "" : none, of a writer that needs none */
	const char
		*template_source; /* the file's text, read when the configuration was; NULL: none */
	int64_t after_ms; /* after the step before went out; 0 for the first */
	bool same_thread; /* thread = same */
};

struct conf_identity {
	const char *organisation, *postal_address, *opt_out_line;
	const char *unsubscribe_url; /* without a "/" at its end; "" : none */
};

struct conf_window {
	int from_min, to_min; /* minutes after midnight, local; from < to <= 1440 */
};

/* Days of the calendar from one to another, both included; as days since 1970-01-01. */
struct conf_dates {
	int from_day, to_day;
	const char *name; /* what the day is called; "" : nothing */
};

struct conf_campaign {
	const char *name;
	const struct conf_mailbox **mailboxes; /* n_mailboxes, in the file's order */
	size_t n_mailboxes;
	bool start_auto;
	const char *timezone; /* IANA name, of leads without one; "UTC" when absent */
	unsigned days; /* bit 0 = Monday … bit 6 = Sunday */
	struct conf_window *windows; /* in order, without overlap */
	size_t n_windows;
	const char *holidays; /* "none", "us" or an absolute path */
	struct conf_dates *closed; /* what is in that file, by date; each a single day */
	size_t n_closed;
	struct conf_dates *freeze; /* in the file's order */
	size_t n_freeze;
	int domain_daily_limit; /* mails to one domain in any 24 hours; 0: any number */
	int canary; /* 0: none; enforced later */
	int64_t recontact_ms; /* CLOCK_NEVER_MS: never */
	int64_t expire_ms;
	int content_rejected_stop; /* refusals for its content that stop a step */
	bool is_llm; /* writer = llm: not built yet */
	bool falls_back; /* fallback = template */
	bool reads_replies; /* replies = imap: not built yet */
	struct conf_identity identity; /* the campaign's own, else the general one */
	struct conf_step *steps;
	size_t n_steps;
	const char *file; /* where the section starts */
	int line;
};

/* A file that was read when the configuration was. A secret's text is one line, wiped from memory
 * with its generation; what shows a configuration shows the path only. */
struct conf_file {
	const char *path; /* absolute, or credential:NAME; "" : none is named */
	const char *text; /* NULL: none */
};

/* OAuth 2.0 (RFC 6749) instead of a password. */
struct conf_oauth {
	const char *token_url; /* "" : no OAuth */
	const char *client_id;
	struct conf_file client_secret; /* SECRET; some servers want none */
	struct conf_file refresh_token; /* SECRET */
	struct conf_file ca; /* of the token server; none: the system's */
};

struct conf_mailbox {
	const char *address; /* canonical */
	const char *name; /* "" : none */
	const char *preset; /* "" : none; what it says of other keys is in them */
	const char *smtp; /* smtp://HOST:PORT or smtps://HOST:PORT */
	bool tls_required; /* `tls`: STARTTLS where TLS is not there from the start */
	struct conf_file ca; /* the only CAs whose certificates count; none: the system's */
	const char *user; /* "" : no login */
	struct conf_file password; /* SECRET */
	struct conf_oauth oauth;
	int mails_per_connection;
	bool is_loopback; /* the mail server is on this machine */
	const char *far_url; /* one of its servers that is not; NULL: what --fast-forward wants */
	bool is_rehearsal; /* on this machine, at a port that no real one has (25, 465, 587) */
	int daily_limit;
	int64_t gap_min_ms, gap_max_ms;
	const char *timezone;
	int *ramp; /* n_ramp: mails a day in the first weeks, the first week first */
	size_t n_ramp;
	int64_t ramp_since_ms; /* midnight UTC of that date; CLOCK_NEVER_MS: its first mail */
	int connections;
	const char *file;
	int line;
};

/* AUTO: unless every server of the campaign is on this machine. */
enum conf_verify { CONF_VERIFY_AUTO, CONF_VERIFY_YES, CONF_VERIFY_NO };

struct conf {
	const char *file; /* as given */
	const char *store; /* "sqlite:/path" */
	const char *store_path; /* absolute path of the SQLite file */
	const char *store_file; /* where it is set; by default, the file's first line */
	int store_line;
	int64_t store_timeout_ms, stop_timeout_ms;
	int log_level; /* syslog priority */
	int log_format; /* enum log_format */
	const char *control_socket;
	const char *public_listen; /* "127.0.0.1:8081" or "[::1]:8081", where /u is; "" : nowhere */
	struct conf_identity identity;
	struct conf_mailbox *mailboxes;
	size_t n_mailboxes;
	struct conf_campaign *campaigns;
	size_t n_campaigns;
	enum conf_verify verify_mx; /* is a lead's domain asked for before a mail is written? */
	const char *resolver; /* "ADDRESS[:PORT],…"; "": the system's */
	bool resolver_is_loopback; /* all of them are on this machine */
	int bounce_warn, bounce_pause; /* percent of the last mails */
	int ceiling_per_min; /* `ceiling`; enforced later */
	struct conf_file reply_classes; /* rows of the user's (coldmail/mail.h); none: none */
	uint64_t generation; /* set by conf_load: 1, 2, 3 … in this process */
};

/* One problem found in a file. */
struct conf_problem {
	bool is_warning;
	const char *file;
	int line;
	const char *text; /* "what, and what was expected" */
};
struct conf_problems {
	struct conf_problem *v;
	size_t n, n_errors;
};

/* Reads FILE. Always fills RET_PROBLEMS (end with conf_problems_done). 0: *RET_CONF is a
 * reference the caller owns (conf_unref); CM_EINVAL: at least one error, *RET_CONF untouched. */
int conf_load(const char *file, const struct conf **ret_conf, struct conf_problems *ret_problems)
	__attribute__((warn_unused_result));
/* The same for who only looks (a credential that only systemd hands out is a warning), or only opens
 * the store (secrets are not read at all: the text of each is ""). */
enum conf_use { CONF_TO_RUN, CONF_TO_CHECK, CONF_TO_MAINTAIN };
int conf_load_for(enum conf_use use, const char *file, const struct conf **ret_conf,
	struct conf_problems *ret_problems) __attribute__((warn_unused_result));
/* conf_load() for a daemon that runs with RUNNING: keys flagged RESTART keep the value there, with a
 * warning where the file has another. */
int conf_reload(const struct conf *running, const char *file, const struct conf **ret_conf,
	struct conf_problems *ret_problems) __attribute__((warn_unused_result));
void conf_problems_done(struct conf_problems *p);

const struct conf *conf_ref(const struct conf *c);
void conf_unref(const struct conf *c); /* NULL is accepted */

/* DOMAIN (lower case) is one of the large providers of mailboxes for everybody: no company's. */
bool conf_is_webmail(const char *domain);

/* NULL when there is none of that name. Borrowed from C. */
const struct conf_mailbox *conf_find_mailbox(const struct conf *c, const char *address);
const struct conf_campaign *conf_find_campaign(const struct conf *c, const char *name);
bool conf_has_mailbox(const struct conf_campaign *c, const char *address);
/* The addresses of C's mailboxes, in its order: C->n_mailboxes, in A; the strings are C's. */
const char **conf_mailbox_names(const struct conf_campaign *c, struct mem_arena *a);
/* Index of a step in its campaign; -1 when there is none. */
int conf_find_step(const struct conf_campaign *c, const char *name);
/* A and B reach one server in one way, as one user with one secret. */
bool conf_is_same_server(const struct conf_mailbox *a, const struct conf_mailbox *b);

/* The lines of difference between two generations for people ("+ mailbox x", "~ campaign y: gap
 * 12min-24min -> 5min"), one per element.
 * The caller owns the result (a NULL-terminated array, conf_diff_free). */
char **conf_diff(const struct conf *old, const struct conf *new);
void conf_diff_free(char **lines);
/* The campaigns and steps of OLD that NEW has not, each as a question: was it renamed? The caller owns
 * the result (conf_diff_free). */
char **conf_questions(const struct conf *old, const struct conf *new);

/* Where the control socket is, without a full load: for coldmailctl, which must find the daemon
 * even when the file has errors elsewhere. 0 with *RET, the default if the file does not set it;
 * CM_EINVAL with *RET_WHY ("FILE:LINE: why") when the file cannot be read, or has errors and no
 * usable socket: then nobody knows which daemon is meant. The caller owns what it gets. */
int conf_find_socket(const char *file, char **ret, char **ret_why)
	__attribute__((warn_unused_result));
#define CONF_DEFAULT_SOCKET "/run/coldmail/control.sock"
#define CONF_DEFAULT_STORE  "sqlite:/var/lib/coldmail/coldmail.db"
#define CONF_DEFAULT_SPOOL  "/var/lib/coldmail/spool.db"
