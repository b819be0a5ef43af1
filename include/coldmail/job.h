/*
 * Job lanes: the one bridge between the loop and code that may block. A lane is a thread that
 * takes everything queued (up to a limit) as one group; a job goes over with all it needs and
 * comes back with its result. No lock is held while a job runs. Only core/job.c touches pthread_*.
 * Runs on: the door on loop; the run callbacks on the lane.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job {
	void (*done)(struct job *j); /* loop side: the job is the callee's again */
	int64_t deadline_ms; /* boot time; 0: the lane's default. Past 3 x its length the
	                                watchdog stops (job_is_stuck) */
	struct job *next; /* the lane's */
	int64_t sent_ms; /* boot time when it was sent: set by job_send */
	bool bulk; /* long work in slices: see struct job_lane_ops */
	bool cancelled; /* set by job_lane_stop(): the lane may skip it */
};

struct job_lane_ops {
	/* Lane side. Runs N jobs as one group (for a store: one transaction). Ownership of each
	 * job stays with the lane until the call returns; then all go back to their done(). */
	void (*group)(void *ctx, struct job **jobs, size_t n);
	/* Lane side. Runs one slice (<= 50 ms) of one bulk job between groups; true: finished. May
	 * be NULL when no bulk job is ever sent. */
	bool (*slice)(void *ctx, struct job *j);
	/* Lane side: when the thread starts and ends. May be NULL. */
	void (*enter)(void *ctx);
	void (*leave)(void *ctx);
	size_t group_max; /* 0: 256 */
};

struct job_lane;

/* Starts a thread. NAME (<= 15 bytes) is the thread's. CTX is borrowed until job_lane_free(). */
struct job_lane *job_lane_new(const char *name, const struct job_lane_ops *ops, void *ctx)
	__attribute__((warn_unused_result));
/* Finishes what is queued, joins the thread, delivers every done(). Blocks: at shutdown only.
 * NULL is accepted. */
void job_lane_free(struct job_lane *lane);

/* Takes the job; exactly one done() follows, in a later turn. Counts as outstanding (loop_hold). */
void job_send(struct job_lane *lane, struct job *j);

size_t job_lane_pending(const struct job_lane *lane); /* sent and not yet done */
/* Age in ms of the oldest job not yet done; 0: none. */
int64_t job_lane_oldest_ms(const struct job_lane *lane);
/* true: some job is past 3 x its deadline (at least 60 s): a hang, not a slow disk. */
bool job_is_stuck(void);
