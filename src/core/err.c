/*
 * Errors: texts, and the two ways to stop (coldmail/err.h).
 * Runs on: any. Called by every room.
 * Fatal: that is its purpose. bug() aborts so that the service manager restarts us on durable state.
 */
#include "coldmail/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *cm_strerror(int err)
{
	switch ((enum cm_err)err) {
#define X(name, value, text)                                                                       \
	case CM_##name:                                                                            \
		return text;
		CM_ERRS(X)
#undef X
	}
	return "unknown error";
}

void die(int status, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(status);
}

void bug_at(const char *file, int line, const char *func, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: bug at %s:%d (%s): ", program_invocation_short_name, file, line, func);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}
