/*
 * Errors: 0 or a negative enum cm_err. What an error *means* for a lead, a mailbox or a campaign
 * is decided in flow/trouble.c only. Three ways to stop: return an error (the world is wrong),
 * die() at start-up, bug() when we are wrong.
 * Runs on: any.
 */
#pragma once

#include <stdbool.h>

/* name, value, text */
#define CM_ERRS(X)                                                                                 \
	X(OK, 0, "ok")                                                                             \
	X(EINVAL, -1, "invalid input")                                                             \
	X(ENOENT, -2, "no such thing")                                                             \
	X(EEXIST, -3, "exists already")                                                            \
	X(ECANCELED, -4, "canceled")                                                               \
	X(ETIMEDOUT, -5, "timed out")                                                              \
	X(ECONN, -6, "connection failed")                                                          \
	X(ECLOSED, -7, "connection closed by the peer")                                            \
	X(EPROTO, -8, "protocol violation by the peer")                                            \
	X(EAUTH, -9, "not authenticated")                                                          \
	X(ESTORE, -10, "store is not available")                                                   \
	X(EFULL, -11, "no space left")                                                             \
	X(EBUSY, -12, "busy")                                                                      \
	X(ESTATE, -13, "not in a state that allows this")                                          \
	X(ETOOBIG, -14, "too large")                                                               \
	X(EVERSION, -15, "made by a newer version")                                                \
	X(ELOCKED, -16, "in use by another process")                                               \
	X(EIO, -17, "input/output error")                                                          \
	X(ETLS, -18, "TLS failed")                                                                 \
	X(EPERM, -19, "not permitted")

enum cm_err {
#define X(name, value, text) CM_##name = (value),
	CM_ERRS(X)
#undef X
};

/* A short English text for ERR; never NULL; static. */
const char *cm_strerror(int err);

/* Exit statuses of both programs (sysexits.h); docs/coldmail.8. */
enum cm_exit {
	CM_EXIT_OK = 0,
	CM_EXIT_NO = 1, /* coldmailctl: the answer is no */
	CM_EXIT_USAGE = 64,
	CM_EXIT_UNAVAILABLE = 69, /* coldmailctl: the daemon is not reachable */
	CM_EXIT_TEMPFAIL = 75,
	CM_EXIT_CONFIG = 78,
};

/* Start-up only: prints "coldmail: TEXT" on standard error and exits with STATUS. */
_Noreturn void die(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Our own invariant is broken: says where on standard error, then SIGABRT. Bytes from network,
 * model, database or file never reach a bug(). */
#define bug(...) bug_at(__FILE__, __LINE__, __func__, __VA_ARGS__)
#define bug_if(cond, ...)                                                                          \
	do {                                                                                       \
		if (__builtin_expect(!!(cond), 0))                                                 \
			bug(__VA_ARGS__);                                                          \
	} while (0)
_Noreturn void bug_at(const char *file, int line, const char *func, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
