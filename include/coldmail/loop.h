/*
 * The loop: libev, a heap of our own timers (so that a test can own time), work deferred to the
 * end of a turn, and the count of what is outstanding (virtual time may only leap when nothing is).
 * Runs on: loop. Never blocks. Fatal: libev that cannot start.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int loop_init(void) __attribute__((warn_unused_result));
void loop_done(void);

/* Turns until loop_stop(). */
void loop_run(void);
void loop_stop(void);

/* For ev_io, ev_async, ev_signal watchers. No ev_timer: use struct loop_timer. */
struct ev_loop *loop_ev(void);

/* A timer lives in its owner's memory; the owner cancels it before that memory goes. */
struct loop_timer {
	void (*fn)(void *arg);
	void *arg; /* borrowed: from the owner, until cancelled */
	int64_t at_ms; /* boot time */
	uint64_t number; /* of two for the same time the one set first is first */
	size_t slot; /* 1 + index in the heap; 0: not set */
};

void loop_timer_init(struct loop_timer *t, void (*fn)(void *arg), void *arg);
void loop_timer_at(struct loop_timer *t, int64_t boot_ms); /* sets or moves it */
void loop_timer_in(struct loop_timer *t, int64_t ms); /* from this turn's now */
void loop_timer_cancel(struct loop_timer *t); /* harmless when not set */
bool loop_timer_is_set(const struct loop_timer *t);

/* Calls FN(ARG) once before the loop sleeps again. The node lives in its owner's memory; deferring
 * a node that is already deferred does nothing. */
struct loop_defer {
	void (*fn)(void *arg);
	void *arg;
	struct loop_defer *next;
	bool queued;
};
void loop_defer(struct loop_defer *d, void (*fn)(void *arg), void *arg);
void loop_defer_cancel(struct loop_defer *d);

/* Something is under way whose end is not a timer: a lane job, a socket operation. While the count
 * is not zero, virtual time stands still. */
void loop_hold(void);
void loop_unhold(void);
bool loop_is_held(void);

/* Virtual time: when nothing is held and nothing is deferred, the clock leaps to the next timer. */
void loop_set_fast_forward(bool on);

struct loop_stats {
	uint64_t turns; /* wake-ups since the start */
	int64_t stall_max_us; /* longest turn: from waking to sleeping again */
	int64_t stall_last_us;
	size_t timers;
	int64_t next_timer_ms; /* boot time; CLOCK_NEVER_MS: none */
};
struct loop_stats loop_stats(void);
