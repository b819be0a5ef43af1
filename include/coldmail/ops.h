/*
 * Ops: what humans see and may press: the control socket that coldmailctl talks to, the unsubscribe
 * page, systemd's status line and watchdog, the summary of a run. Reads other rooms through their
 * snapshots and acts through the same verbs as everyone else; decides nothing about mail.
 * Runs on: loop. Called by main only.
 */
#pragma once

#include <stdbool.h>

#include "coldmail/conf.h"

/* Started by root while the directory of the store belongs to somebody else: makes the directory of
 * the control socket (owned by that user) if it is missing, then becomes that user for good, before
 * anything is created. Otherwise does nothing. CM_EPERM: *RET_WHY, owned by the caller, says what
 * failed. */
int ops_become_owner(const struct conf *c, char **ret_why) __attribute__((warn_unused_result));

/* Why this user could not open the store where it is to be; NULL: nothing speaks against it. Creates
 * nothing. The caller owns the text. */
char *ops_store_trouble(const struct conf *c) __attribute__((warn_unused_result));

struct ops_conf {
	const struct conf *conf; /* borrowed during the call */
	const char *file; /* what ops_reload() reads again; copied */
	bool maintenance; /* commands that need a running scheduler are refused */
	bool fast_forward; /* no page, and no timer of ours: virtual time would follow it */
};

/* Opens the control socket and public_listen, and starts the watchdog. CM_EBUSY: another process answers
 * there; CM_EIO: it cannot be made; *RET_WHY, owned by the caller, says which and why. */
int ops_init(const struct ops_conf *oc, char **ret_why) __attribute__((warn_unused_result));
/* Answers what waits ("stopping"), closes and removes the socket. Late answers are dropped. */
void ops_stop(void);

/* SIGHUP: reads the file again, checks it, and swaps the configuration; a bad file changes nothing.
 * What came of it is logged (config_reload). CM_EINVAL: the file has errors. */
int ops_reload(void);

/* The end of --until-idle: asks the store how things stand and prints a screenful to standard output:
 * the funnel, what is held and why, what went out, what is uncertain. DONE gets the exit status that
 * --until-idle promises: 0 when only future due times remain, CM_EXIT_TEMPFAIL when a due step is
 * gated or held, or a campaign is not started. Before flow_done() and ops_stop(). */
void ops_summary(void (*done)(int exit_status));
