/*
 * The front of the store: takes requests on the loop, hands them to the backend's lanes, gives the
 * answers back, and remembers how the store is.
 * Runs on: loop; lane_group() and lane_slice() on lanes.
 * Never retries and never judges: what a failure means for leads and mailboxes is the caller's.
 */
#include "coldmail/store.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/list.h"
#include "coldmail/loop.h"
#include "coldmail/store_backend.h"

#include "store_private.h"

/* Work in slices takes as long as the file is large; it is no hang. */
#define BULK_DEADLINE_MS CLOCK_HOUR_MS

struct lane {
	struct job_lane *job_lane; /* owned */
	size_t i;
	bool is_down; /* its last group failed as a whole */
};

static struct {
	const struct store_backend *backend;
	void *be; /* owned */
	struct lane *lanes; /* owned */
	size_t n_lanes;
	int64_t timeout_ms;
	bool is_open, is_closing;
	uint8_t person_secret[32], message_secret[32];
	int schema;
	char *restored; /* owned */
	char why[256];
	int64_t down_since_ms;
	uint64_t requests;
	_Atomic uint64_t groups;
	struct store_req **refused; /* owned array: answered at the end of this turn */
	size_t n_refused, cap_refused;
	struct loop_defer refuse;
	struct store_req *
		*unsealed; /* owned array: done, and to be answered when they are sealed */
	size_t n_unsealed, cap_unsealed;
	size_t n_sealing; /* the first of them, for which a SEAL is under way */
} front;

/* ---- lane side --------------------------------------------------------------------------------- */

#define GROUP_MAX 256

static struct store_req *req_of(struct job *j)
{
	return list_entry(j, struct store_req, job);
}

static void lane_group(void *ctx, struct job **jobs, size_t n)
{
	const struct lane *lane = ctx;
	struct store_req *reqs[GROUP_MAX];

	for (size_t i = 0; i < n; i++)
		reqs[i] = req_of(jobs[i]);
	front.backend->group(front.be, lane->i, reqs, n);
	front.groups++;
}

static bool lane_slice(void *ctx, struct job *j)
{
	const struct lane *lane = ctx;

	return front.backend->slice(front.be, lane->i, req_of(j));
}

static void lane_leave(void *ctx)
{
	const struct lane *lane = ctx;

	front.backend->leave(front.be, lane->i);
}

/* ---- how the store is -------------------------------------------------------------------------- */

static bool is_store_failure(const struct store_req *r)
{
	switch (r->err) {
	case CM_ESTORE:
	case CM_EFULL:
	case CM_EIO:
		return true;
	case CM_OK:
		return false;
	default:
		return r->op == STORE_OPEN;
	}
}

static bool is_down(void)
{
	for (size_t i = 0; i < front.n_lanes; i++)
		if (front.lanes[i].is_down)
			return true;
	return false;
}

/* Slices tell of a damaged page or of the disk a backup goes to, not of the store as a whole. */
static void note_health(const struct store_req *r)
{
	bool was_down = is_down();

	if (r->job.bulk)
		return;
	front.lanes[front.backend->lane_of(front.be, r)].is_down = is_store_failure(r);
	if (!is_store_failure(r))
		return;
	if (!was_down)
		front.down_since_ms = clock_wall_ms();
	snprintf(front.why, sizeof front.why, "%s", r->why ? r->why : cm_strerror(r->err));
}

static void note_open(const struct store_req *r)
{
	front.is_open = true;
	front.schema = r->u.open.schema;
	free(front.restored);
	front.restored = xstrdup(r->u.open.restored);
	memcpy(front.person_secret, r->u.open.person_secret, sizeof front.person_secret);
	memcpy(front.message_secret, r->u.open.message_secret, sizeof front.message_secret);
}

/* ---- requests ---------------------------------------------------------------------------------- */

struct store_req *store_req_new(enum store_op op, store_done *done, uint64_t id, void *arg)
{
	struct store_req *r = xcalloc(1, sizeof *r);

	r->op = op;
	r->done = done;
	r->id = id;
	r->arg = arg;
	r->person = "";
	return r;
}

static void req_end(struct store_req *r)
{
	r->done(r);
	if (r->op == STORE_OPEN)
		mem_wipe(&r->u.open, sizeof r->u.open);
	mem_arena_done(&r->arena);
	free(r);
}

/* ---- the seal of what people said --------------------------------------------------------------- */

/* What is acknowledged must not be unknown to a copy that nobody notices; so the seal knows it first. It
 * is never ahead of the store: a crash in between leaves it behind, and nothing acknowledged. */
static bool is_sealed_first(const struct store_req *r)
{
	if (r->err || front.restored || front.is_closing)
		return false;
	switch ((int)r->op) {
	case STORE_LEAD_ACT:
		return !r->u.act.dry_run;
	case STORE_SUPPRESS_ADD:
	case STORE_SUPPRESS_REMOVE:
		return !r->u.suppress.dry_run;
	case STORE_FORGET:
		return !r->u.forget.dry_run;
	case STORE_CONTROL_SET:
		return true;
	case STORE_AUDIT:
		return r->u.audit.fix;
	default:
		return false;
	}
}

static void on_sealed(struct store_req *seal);

/* All that waits now: one seal knows it. */
static void seal_them(void)
{
	if (front.n_sealing || !front.n_unsealed)
		return;
	front.n_sealing = front.n_unsealed;
	store_send(store_req_new(STORE_SEAL, on_sealed, 0, NULL));
}

/* A store that is taken for a copy has no seal to renew; another failure is theirs, too. */
static void answer_sealed(struct store_req *r, const struct store_req *seal)
{
	if (is_sealed_first(r) && seal->err && seal->err != CM_EPERM) {
		r->is_stored = true;
		r->err = store_refuse(r, seal->err,
			mem_arena_printf(&r->arena,
				"it is stored and holds, but the store's seal could not be "
				"renewed, so "
				"that a copy might not know of it: %s",
				seal->why ? seal->why : cm_strerror(seal->err)));
	}
	req_end(r);
}

static void on_sealed(struct store_req *seal)
{
	struct store_req **v = front.unsealed;
	size_t n = front.n_sealing, all = front.n_unsealed, i = 0;

	front.unsealed = NULL;
	front.n_unsealed = front.cap_unsealed = front.n_sealing = 0;
	while (i < n || (i < all && !is_sealed_first(v[i])))
		answer_sealed(v[i++], seal);
	for (; i < all; i++) {
		mem_grow(front.unsealed, front.cap_unsealed, front.n_unsealed + 1);
		front.unsealed[front.n_unsealed++] = v[i];
	}
	free(v);
	seal_them();
}

/* Answers of a lane come in the order of what they are about: what was asked after a pause must not seem
 * to be before it. */
static bool is_in_line(const struct store_req *r)
{
	const struct store_req *first = front.n_unsealed ? front.unsealed[0] : NULL;

	return first &&
	       front.backend->lane_of(front.be, r) == front.backend->lane_of(front.be, first);
}

static void answer_in_turn(struct store_req *r)
{
	if (!is_sealed_first(r) && !is_in_line(r)) {
		req_end(r);
		return;
	}
	mem_grow(front.unsealed, front.cap_unsealed, front.n_unsealed + 1);
	front.unsealed[front.n_unsealed++] = r;
	seal_them();
}

static void on_answer(struct job *j)
{
	struct store_req *r = req_of(j);

	note_health(r);
	if (r->op == STORE_OPEN && !r->err)
		note_open(r);
	if (r->op == STORE_SEAL && !r->err && !r->u.seal.dry_run) {
		free(front.restored);
		front.restored = NULL;
	}
	answer_in_turn(r);
}

/* Answers what was refused before this call; what is refused meanwhile waits for the next. */
static void answer_refused(void *arg)
{
	struct store_req **v = front.refused;
	size_t n = front.n_refused;

	(void)arg;
	front.refused = NULL;
	front.n_refused = front.cap_refused = 0;
	for (size_t i = 0; i < n; i++)
		req_end(v[i]);
	free(v);
}

static void refuse(struct store_req *r, const char *why)
{
	r->err = store_refuse(r, CM_ESTORE, why);
	mem_grow(front.refused, front.cap_refused, front.n_refused + 1);
	front.refused[front.n_refused++] = r;
	loop_defer(&front.refuse, answer_refused, NULL);
}

static bool is_bulk(enum store_op op)
{
	return op == STORE_QUICK_CHECK || op == STORE_AUDIT || op == STORE_BACKUP ||
	       op == STORE_RESTORE || op == STORE_SCRUB;
}

void store_send(struct store_req *r)
{
	front.requests++;
	if (!r->now_ms)
		r->now_ms = clock_wall_ms();
	if (front.is_closing || (!front.is_open && r->op != STORE_OPEN && r->op != STORE_RESTORE)) {
		refuse(r, front.is_closing ? "the store is being closed"
					   : "the store is not open yet");
		return;
	}
	if (front.restored && r->op == STORE_RESERVE) {
		refuse(r, front.restored);
		return;
	}
	r->job.done = on_answer;
	r->job.bulk = is_bulk(r->op);
	r->job.deadline_ms = clock_boot_ms() + (r->job.bulk ? BULK_DEADLINE_MS : front.timeout_ms);
	job_send(front.lanes[front.backend->lane_of(front.be, r)].job_lane, &r->job);
}

/* ---- keys -------------------------------------------------------------------------------------- */

void store_person(const char *canonical, char ret[LEAD_PERSON])
{
	bug_if(!front.is_open, "the store is not open");
	lead_person(front.person_secret, canonical, ret);
}

const uint8_t *store_message_secret(void)
{
	bug_if(!front.is_open, "the store is not open");
	return front.message_secret;
}

/* ---- birth, death, figures --------------------------------------------------------------------- */

int store_init(const struct store_conf *conf)
{
	static const struct job_lane_ops lane_ops = { .group = lane_group,
		.slice = lane_slice,
		.leave = lane_leave,
		.group_max = GROUP_MAX };

	front.backend = &store_sqlite;
	front.be = front.backend->make(conf);
	front.timeout_ms = conf->timeout_ms;
	front.n_lanes = front.backend->n_lanes(front.be);
	front.lanes = xcalloc(front.n_lanes, sizeof *front.lanes);
	for (size_t i = 0; i < front.n_lanes; i++) {
		char *name = xasprintf("store/%zu", i);

		front.lanes[i].i = i;
		front.lanes[i].job_lane = job_lane_new(name, &lane_ops, &front.lanes[i]);
		free(name);
	}
	return CM_OK;
}

/* The writer, lane 0, is the last to close. */
void store_done_all(void)
{
	if (!front.be)
		return;
	front.is_closing = true;
	for (size_t i = front.n_lanes; i--;)
		job_lane_free(front.lanes[i].job_lane);
	while (front.n_refused)
		answer_refused(NULL);
	loop_defer_cancel(&front.refuse);
	front.backend->destroy(front.be);
	free(front.lanes);
	free(front.restored);
	mem_wipe(&front, sizeof front);
}

struct store_stats store_stats(void)
{
	struct store_stats s = { .open = front.is_open,
		.down = is_down(),
		.requests = front.requests,
		.groups = front.groups,
		.restored = front.restored,
		.schema = front.schema };

	for (size_t i = 0; i < front.n_lanes; i++) {
		int64_t age = job_lane_oldest_ms(front.lanes[i].job_lane);

		s.pending += job_lane_pending(front.lanes[i].job_lane);
		if (age > s.oldest_ms)
			s.oldest_ms = age;
	}
	if (s.down) {
		s.why = front.why;
		s.down_since_ms = front.down_since_ms;
	}
	return s;
}
