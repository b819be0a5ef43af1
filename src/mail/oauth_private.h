/*
 * Inside OAuth: tokens for smtp.c, and the file in which a rotated refresh token outlives the process.
 * Runs on: loop. Private to src/mail.
 */
#pragma once

#include "coldmail/mail.h"

/* TOKEN (borrowed during the call), or NULL: then ERR and WHY, for people, say what is wrong:
 * CM_EAUTH: the server refused for good; else it was not reached, or not in order. */
typedef void mail_oauth_fn(void *arg, const char *token, int err, const char *why);

struct mail_oauth_ask;
/* A token that is good for a minute at least. FN(ARG, …) comes once, in a later turn, unless
 * mail_oauth_cancel() came first; then the ask is gone. */
struct mail_oauth_ask *mail_oauth_token(struct mail_oauth *o, mail_oauth_fn *fn, void *arg);
void mail_oauth_cancel(struct mail_oauth_ask *ask); /* NULL is accepted */
/* The token was refused at a login: the next one is a new one. */
void mail_oauth_forget(struct mail_oauth *o);

/* The refresh token that FILE keeps for the configured one whose hash is ORIGIN; NULL: none, or the
 * operator configured another one since. The caller owns it, and wipes it. */
char *mail_oauth_file_read(const char *file, const char *origin)
	__attribute__((warn_unused_result));
/* Replaces FILE (mode 0600), durably; then calls DONE(ARG) in a later turn. A failure is logged: the
 * process goes on with what it has. Strings are copied. */
void mail_oauth_file_write(const char *file, const char *origin, const char *token,
	void (*done)(void *arg), void *arg);
void mail_oauth_file_done(void); /* waits for what is being written */
