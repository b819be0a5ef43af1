/*
 * Fail-points: places where tests/crash ends the process (SIGKILL), to prove that nothing is lost
 * or repeated. Compiled in for test builds only (CM_FAILPOINTS); nothing otherwise.
 * COLDMAIL_FAILPOINT=NAME[:N] kills at the N-th passing of NAME (default 1); COLDMAIL_FAILPOINT=list
 * prints every name passed once on standard error.
 * Runs on: any.
 */
#pragma once

#ifdef CM_FAILPOINTS
void fail_point(const char *name);
#else
#define fail_point(name) ((void)(name))
#endif
