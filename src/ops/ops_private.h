/*
 * What the files of the room ops share. A request comes in through control.c (bytes), becomes a call
 * by the table in command.c, is answered by a handler in cmd_*.c, and goes out through control.c.
 * A call lives until it is answered, whether somebody still waits for the answer or not; between
 * its question and the store's or flow's answer it is known by its id alone.
 * Runs on: loop. Nothing here is seen outside of src/ops (and its fuzz target).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cjson/cJSON.h>

#include "coldmail/flow.h"
#include "coldmail/lead.h"
#include "coldmail/mem.h"
#include "coldmail/ops.h"
#include "coldmail/store.h"

/* ---- limits: a request may be anything -------------------------------------------------------- */

#define OPS_BODY_MAX ((size_t)8 << 20) /* bytes of one request */
#define OPS_TEXT_MAX ((size_t)4096) /* bytes of one text argument */
#define OPS_PAGE_MAX 500 /* rows of one answer, and of one import */

/* ---- commands --------------------------------------------------------------------------------- */

enum ops_type { OPS_TEXT, OPS_WHOLE, OPS_FLAG, OPS_LIST };

struct ops_field {
	const char *name;
	enum ops_type type;
	bool needed;
};

#define OPS_RUNNING 1u /* needs a scheduler: refused in maintenance */
#define OPS_CHANGES 2u /* changes state: takes dry_run */
#define OPS_BARE    4u /* answers although the store has not opened yet */
#define OPS_STOPPED 8u /* only in maintenance: nothing may be under way */
#define OPS_PRIVATE 16u /* the log does not say whom it is about */

struct ops_call;

struct ops_command {
	const char *name; /* as in the path: "leads/import" */
	/* Answers now or in a later turn, exactly once: ops_reply() or ops_fail(). */
	void (*run)(struct ops_call *c);
	unsigned flags;
	struct ops_field fields[8]; /* ends at the first without a name */
};

/* Tables, each ended by a row without a name. */
extern const struct ops_command ops_cmd_campaign[], ops_cmd_leads[], ops_cmd_import[],
	ops_cmd_ledger[], ops_cmd_suppress[], ops_cmd_forget[], ops_cmd_store[], ops_cmd_daemon[],
	ops_cmd_mailbox[];

/* Who gets the answer: HTTP status and body, which is the callee's to free. */
typedef void ops_answered(uint64_t asker, unsigned status, char *body);

struct ops_call {
	uint64_t id;
	const struct ops_command *command;
	cJSON *in; /* owned: the arguments, of the types that the command's row says */
	cJSON *out; /* owned: an answer in the making; NULL */
	bool dry_run;
	ops_answered *answered;
	uint64_t asker;
	struct ops_call *next;
};

/* The call that PATH ("/v1/leads/list") and BODY ask for, not yet run. NULL: refused, and the answer
 * is in *RET_STATUS and *RET_BODY (the caller's). */
struct ops_call *ops_call_new(const char *path, const char *body, size_t n, unsigned *ret_status,
	char **ret_body) __attribute__((warn_unused_result));
/* Runs it; ANSWERED may be called before this returns. */
void ops_call_run(struct ops_call *c, ops_answered *answered, uint64_t asker);
struct ops_call *ops_call_find(uint64_t id); /* NULL: answered, or dropped by ops_stop() */
void ops_call_free(struct ops_call *c); /* without an answer; NULL is accepted */
void ops_call_drop_all(void);
void ops_call_set_maintenance(bool on);

/* For callbacks with a pointer argument: the call's id travels in it. */
void *ops_call_arg(const struct ops_call *c);
struct ops_call *ops_call_of(void *arg); /* NULL as above */

/* Arguments: what is missing (or null) is NULL, false, FALLBACK. Borrowed from the call. */
const char *ops_text(const struct ops_call *c, const char *name);
bool ops_flag(const struct ops_call *c, const char *name);
int64_t ops_whole(const struct ops_call *c, const char *name, int64_t fallback);
const cJSON *ops_list(const struct ops_call *c, const char *name);

/* A request about the field "address" of the call, which lands in *RET_EMAIL, canonical, in the request's
 * arena. NULL: the call has been ended with what is wrong. (cmd_leads.c) */
struct store_req *ops_request_about(
	struct ops_call *c, enum store_op op, store_done *done, const char **ret_email);

/* Whom or what it is about, for the log: the first of its row's arguments that is text; "". */
const char *ops_call_subject(const struct ops_call *c);

/* Both end the call. OUT is taken. EXIT is an enum cm_exit. */
void ops_reply(struct ops_call *c, cJSON *out);
void ops_fail(struct ops_call *c, int exit, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* true: ERR is one (WHY may be NULL), and C has been ended with it. */
bool ops_fail_err(struct ops_call *c, int err, const char *why);
/* {"error": TEXT, "exit": EXIT}; the caller owns it. */
char *ops_error_body(int exit, const char *text);

/* ---- json.c: values as they go out ------------------------------------------------------------ */

/* RFC 3339, or null for "never" and "not yet". */
void ops_json_time(cJSON *o, const char *key, int64_t wall_ms);
/* What is due does not lie in the past: since then it is due now. */
void ops_json_coming(cJSON *o, const char *key, int64_t wall_ms);
void ops_json_whole(cJSON *o, const char *key, int64_t n);
void ops_json_voids(cJSON *o, const struct store_voids *v);
cJSON *ops_json_lead(const struct lead *l);
cJSON *ops_json_attempt(const struct store_attempt *a);
cJSON *ops_json_email(const struct store_email *e);
cJSON *ops_json_suppression(const struct store_suppression *s);

/* ---- names.c: names that a request has -------------------------------------------------------- */

/* The argument NAME, where it is an address, becomes canonical: the name of a mailbox. */
void ops_make_canonical(struct ops_call *c, const char *name);
/* "founders, spring"; "none yet". */
void ops_add_campaigns(struct str *out, const struct conf *conf);
/* Both end the call: there is none of that name, but there are … */
void ops_fail_campaign(struct ops_call *c, const char *name);
void ops_fail_mailbox(struct ops_call *c, const char *name);
/* Ends the call with OUT (taken), a list of N. If there is nothing, and the arguments campaign or mailbox
 * name nothing either, it ends with that. */
void ops_reply_list(struct ops_call *c, cJSON *out, size_t n);

/* ---- import.c: the pure half of an import ----------------------------------------------------- */

/* One row of a request to what the store takes (person not yet filled in), all of it in A. false:
 * *RET_WHY (in A) says what is wrong and what was expected. */
bool ops_import_row(struct mem_arena *a, const struct conf *conf, const char *campaign,
	const cJSON *row, int64_t now_ms, struct store_import_row *ret, const char **ret_why);

/* ---- survey.c: how everything stands, asked of the store -------------------------------------- */

struct ops_due { /* of a configured campaign */
	const char *campaign;
	int64_t next_ms; /* wall; CLOCK_NEVER_MS: nothing is queued */
	int64_t wake_ms; /* the first hold to end; CLOCK_NEVER_MS: none */
	int64_t due_now;
	const struct store_stray *strays; /* n_strays */
	size_t n_strays;
	const struct store_bucket *buckets; /* n_buckets */
	size_t n_buckets;
};
struct ops_survey {
	int err; /* the first failure; then the rest is what could be learned */
	const char *why; /* never NULL */
	const struct store_tally *tally;
	size_t n_tally;
	const struct ops_due *due;
	size_t n_due;
	int64_t uncertain; /* attempts nobody has settled, counted up to a thousand */
};
/* S lives during the call. */
typedef void ops_surveyed(uint64_t id, const struct ops_survey *s);
void ops_survey(ops_surveyed *done, uint64_t id);

/* Sums over a tally; CAMPAIGN NULL: all. */
int64_t ops_tally_state(const struct ops_survey *s, const char *campaign, enum lead_state state);
int64_t ops_tally_all(const struct ops_survey *s, const char *campaign);
/* {"reason": n} of one state; CAMPAIGN NULL: all. */
cJSON *ops_tally_reasons(const struct ops_survey *s, const char *campaign, enum lead_state state);
const struct ops_due *ops_due_of(const struct ops_survey *s, const char *campaign); /* or NULL */

/* campaigns: [{name, state, leads{}, held{}, ended{}, due_now, thread_mailbox_unavailable{},
 * next_due, next_wake, steps[], mailboxes[], per_day, bound_by, next_mail, finish}] */
void ops_json_campaigns(cJSON *o, const struct ops_survey *s);
const char *ops_campaign_state(const struct conf_campaign *cc); /* not_started, paused, running */

/* [{address, state, why, until, sent_today, sent_24h, cap, cap_why, daily_limit, last_sent_at,
 * in_flight, connections, bounces (of the last 50)}] (cmd_mailbox.c) */
cJSON *ops_json_mailboxes(void);

/* ---- pace.c: what to expect -------------------------------------------------------------------- */

/* The gate that M waits at, NULL: none, and when it opens (CLOCK_NEVER_MS: needs an operator). */
const char *ops_gate(struct mailbox *m, int64_t *ret_opens_ms);
/* When the next mail of a campaign that has started can go out; CLOCK_NEVER_MS: none can. */
int64_t ops_next_mail(const struct conf_campaign *cc, const struct ops_due *due);
/* mailboxes[], per_day, bound_by, next_mail, finish */
void ops_json_pace(cJSON *o, const struct conf_campaign *cc, const struct ops_survey *s);

/* ---- httpd.c: what the control socket and the unsubscribe page have in common ------------------- */

struct ops_httpd; /* a listening socket and its connections */

struct ops_http_header {
	const char *name, *value;
};

/* A request that has come in whole; borrowed during the call. */
struct ops_http_request {
	uint64_t id;
	int fd; /* the peer's */
	const char *method, *path;
	const char *body; /* never NULL */
	size_t n_body;
	bool is_too_large; /* over body_max: then BODY is "" */
};

struct ops_httpd_conf {
	unsigned connections_max; /* more wait to be accepted */
	unsigned idle_s; /* a connection on which nothing moves for so long is closed; 0: none is */
	int64_t request_ms; /* so long a connection's first request may take to come in; 0: any time */
	size_t body_max;
	/* To be answered by ops_httpd_answer(), now or in a later turn, once. */
	void (*on_request)(const struct ops_http_request *q);
};

/* NULL: libmicrohttpd does not start. The socket stays the caller's. */
struct ops_httpd *ops_httpd_start(int listen_fd, const struct ops_httpd_conf *conf);
/* HEADERS end with one without a name, and are borrowed during the call; BODY is taken. Nothing happens
 * when the client has gone. */
void ops_httpd_answer(struct ops_httpd *h, uint64_t id, unsigned status,
	const struct ops_http_header *headers, char *body);
void ops_httpd_quiesce(struct ops_httpd *h); /* listens no more: the socket may be closed */
/* After that: gives all that wait this answer, and frees H. */
void ops_httpd_stop(struct ops_httpd *h, unsigned status, const struct ops_http_header *headers,
	const char *body);

/* ---- the rest --------------------------------------------------------------------------------- */

/* The control socket, listening. CM_EBUSY, CM_EIO as ops_init(). */
int ops_socket_open(const char *path, int *ret_fd, char **ret_why)
	__attribute__((warn_unused_result));
void ops_socket_close(int fd, const char *path); /* removes the file if it is still ours */
/* Makes the directory of PATH, with those above it, if it is missing; owned by UID and GID unless
 * they are -1. 0 or -1 with errno. */
int ops_socket_make_dir(const char *path, uid_t uid, gid_t gid);
/* root, our own user, a member of group coldmail. *RET_UID is set when it is known who asks. */
bool ops_socket_may(int peer_fd, uid_t *ret_uid);

int ops_control_init(const char *path, bool fast_forward, char **ret_why)
	__attribute__((warn_unused_result));
void ops_control_stop(void);

/* The unsubscribe page on LISTEN_ON ("127.0.0.1:8081"). CM_EBUSY: the address is taken; CM_EIO. */
int ops_page_init(const char *listen_on, char **ret_why) __attribute__((warn_unused_result));
void ops_page_stop(void);

void ops_watchdog_init(bool fast_forward);
void ops_watchdog_stop(void);

void ops_summary_init(void); /* this run begins now */
void ops_status_init(void);
void ops_status(struct ops_call *c);

/* Reads FILE again: {"changes": […], "warnings": […]} in *RET_OUT, or CM_EINVAL and the problems, one
 * "FILE:LINE: what, and what was expected" a line. DRY_RUN: checks, swaps nothing, logs nothing. */
int ops_reload_file(bool dry_run, cJSON **ret_out, char **ret_problems)
	__attribute__((warn_unused_result));
/* The first problem of the last reload; NULL: it was good, or there was none. */
const char *ops_reload_failure(void);
void ops_reload_init(const char *file);
