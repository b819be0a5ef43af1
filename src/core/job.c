/*
 * Job lanes (coldmail/job.h): the bridge to code that may block, and the only user of threads.
 * Runs on: the door on loop, lane_main() on the lane.
 * A lane sees only the jobs it was given; ownership goes over with the job and comes back with it.
 * The lock covers the two queues only and is never held while a job runs.
 */
#include "coldmail/job.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/loop.h"
#include "coldmail/mem.h"

#define JOB_GROUP_MAX           256
#define JOB_DEADLINE_DEFAULT_MS (10 * CLOCK_SECOND_MS)
#define JOB_STUCK_MIN_MS        CLOCK_MINUTE_MS

struct queue {
	struct job *head, **tail;
	size_t n;
};

struct job_lane {
	struct job_lane_ops ops;
	void *ctx; /* borrowed: from job_lane_new's caller, until job_lane_free() */
	char name[16];
	pthread_t thread;
	ev_async wake; /* lane -> loop */
	struct job_lane *next; /* in all_lanes */

	pthread_mutex_t lock; /* covers the following, up to the blank line */
	pthread_cond_t more;
	struct queue in, bulk, out;
	bool stopping;

	size_t pending; /* loop side only, as is the list */
	struct job **flight; /* owned array: sent and not done, for ages */
	size_t flight_cap;
};

static struct job_lane *all_lanes;

static void queue_init(struct queue *q)
{
	*q = (struct queue){ 0 };
	q->tail = &q->head;
}

static void queue_push(struct queue *q, struct job *j)
{
	j->next = NULL;
	*q->tail = j;
	q->tail = &j->next;
	q->n++;
}

static struct job *queue_pop(struct queue *q)
{
	struct job *j = q->head;

	if (!j)
		return NULL;
	q->head = j->next;
	if (!q->head)
		q->tail = &q->head;
	q->n--;
	return j;
}

/* ---- lane side ------------------------------------------------------------------------------- */

static void give_back(struct job_lane *lane, struct job **jobs, size_t n)
{
	pthread_mutex_lock(&lane->lock);
	for (size_t i = 0; i < n; i++)
		queue_push(&lane->out, jobs[i]);
	pthread_mutex_unlock(&lane->lock);
	ev_async_send(loop_ev(), &lane->wake);
}

/* Waits for work: up to MAX ordinary jobs and at most one bulk job. false: time to end. */
static bool take(
	struct job_lane *lane, struct job **jobs, size_t max, size_t *ret_n, struct job **ret_bulk)
{
	size_t n = 0;

	pthread_mutex_lock(&lane->lock);
	while (!lane->in.n && !lane->bulk.n && !lane->stopping)
		pthread_cond_wait(&lane->more, &lane->lock);
	while (n < max && lane->in.n)
		jobs[n++] = queue_pop(&lane->in);
	*ret_bulk = queue_pop(&lane->bulk);
	pthread_mutex_unlock(&lane->lock);
	*ret_n = n;
	return n || *ret_bulk;
}

static void run_slice(struct job_lane *lane, struct job *j)
{
	if (lane->ops.slice(lane->ctx, j)) {
		give_back(lane, &j, 1);
		return;
	}
	pthread_mutex_lock(&lane->lock);
	j->cancelled = lane->stopping;
	queue_push(&lane->bulk, j);
	pthread_mutex_unlock(&lane->lock);
}

static void *lane_main(void *arg)
{
	struct job_lane *lane = arg;
	size_t max = lane->ops.group_max;
	struct job **jobs = xcalloc(max, sizeof *jobs), *bulk;

	prctl(PR_SET_NAME, lane->name);
	if (lane->ops.enter)
		lane->ops.enter(lane->ctx);
	for (size_t n; take(lane, jobs, max, &n, &bulk);) {
		if (n) {
			lane->ops.group(lane->ctx, jobs, n);
			give_back(lane, jobs, n);
		}
		if (bulk)
			run_slice(lane, bulk);
	}
	if (lane->ops.leave)
		lane->ops.leave(lane->ctx);
	free(jobs);
	return NULL;
}

/* ---- loop side ------------------------------------------------------------------------------- */

static void flight_remove(struct job_lane *lane, const struct job *j)
{
	for (size_t i = 0; i < lane->pending; i++) {
		if (lane->flight[i] == j) {
			lane->flight[i] = lane->flight[--lane->pending];
			return;
		}
	}
	bug("job came back that was not sent");
}

static void deliver(struct job_lane *lane)
{
	struct queue done;

	pthread_mutex_lock(&lane->lock);
	done = lane->out;
	if (!done.n)
		done.tail = &done.head;
	queue_init(&lane->out);
	pthread_mutex_unlock(&lane->lock);
	for (struct job *j; done.n;) {
		j = done.head;
		done.head = j->next;
		done.n--;
		flight_remove(lane, j);
		loop_unhold();
		j->done(j);
	}
}

static void on_wake(struct ev_loop *ev, ev_async *w, int revents)
{
	(void)ev, (void)revents;
	deliver(w->data);
}

struct job_lane *job_lane_new(const char *name, const struct job_lane_ops *ops, void *ctx)
{
	struct job_lane *lane = xcalloc(1, sizeof *lane);
	sigset_t all, old;

	lane->ops = *ops;
	if (!lane->ops.group_max)
		lane->ops.group_max = JOB_GROUP_MAX;
	lane->ctx = ctx;
	strncpy(lane->name, name, sizeof lane->name - 1);
	queue_init(&lane->in);
	queue_init(&lane->bulk);
	queue_init(&lane->out);
	pthread_mutex_init(&lane->lock, NULL);
	pthread_cond_init(&lane->more, NULL);
	ev_async_init(&lane->wake, on_wake);
	lane->wake.data = lane;
	ev_async_start(loop_ev(), &lane->wake);

	/* Signals are the loop's: a thread inherits the mask of its creator. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int e = pthread_create(&lane->thread, NULL, lane_main, lane);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	bug_if(e, "pthread_create: error %d", e);
	lane->next = all_lanes;
	all_lanes = lane;
	return lane;
}

void job_lane_free(struct job_lane *lane)
{
	if (!lane)
		return;
	pthread_mutex_lock(&lane->lock);
	lane->stopping = true;
	for (struct job *j = lane->bulk.head; j; j = j->next)
		j->cancelled = true;
	pthread_cond_signal(&lane->more);
	pthread_mutex_unlock(&lane->lock);
	pthread_join(lane->thread, NULL);
	deliver(lane);
	for (struct job_lane **p = &all_lanes; *p; p = &(*p)->next) {
		if (*p == lane) {
			*p = lane->next;
			break;
		}
	}
	ev_async_stop(loop_ev(), &lane->wake);
	pthread_cond_destroy(&lane->more);
	pthread_mutex_destroy(&lane->lock);
	free(lane->flight);
	free(lane);
}

void job_send(struct job_lane *lane, struct job *j)
{
	j->sent_ms = clock_boot_ms();
	if (!j->deadline_ms)
		j->deadline_ms = j->sent_ms + JOB_DEADLINE_DEFAULT_MS;
	mem_grow(lane->flight, lane->flight_cap, lane->pending + 1);
	lane->flight[lane->pending++] = j;
	loop_hold();
	pthread_mutex_lock(&lane->lock);
	queue_push(j->bulk ? &lane->bulk : &lane->in, j);
	pthread_cond_signal(&lane->more);
	pthread_mutex_unlock(&lane->lock);
}

size_t job_lane_pending(const struct job_lane *lane)
{
	return lane->pending;
}

int64_t job_lane_oldest_ms(const struct job_lane *lane)
{
	int64_t oldest = 0;

	for (size_t i = 0; i < lane->pending; i++) {
		int64_t age = clock_boot_ms() - lane->flight[i]->sent_ms;

		if (age > oldest)
			oldest = age;
	}
	return oldest;
}

bool job_is_stuck(void)
{
	for (const struct job_lane *lane = all_lanes; lane; lane = lane->next) {
		for (size_t i = 0; i < lane->pending; i++) {
			const struct job *j = lane->flight[i];
			int64_t limit = 3 * (j->deadline_ms - j->sent_ms);

			if (limit < JOB_STUCK_MIN_MS)
				limit = JOB_STUCK_MIN_MS;
			if (clock_boot_ms() - j->sent_ms > limit)
				return true;
		}
	}
	return false;
}
