/*
 * The other door of the store: what a database must do. A backend is handed requests on lanes and
 * answers them in place: all that it reads and writes of a request is the request's own memory.
 * It keeps nothing of a request after the call, and the request keeps nothing of the backend's.
 * Runs on: lane. Nothing but src/store includes this.
 *
 * What a backend needs: an insert that fails when the key is there (atomic), updates of one row
 * guarded by its old state, and a read that sees what was acknowledged. Nothing else is atomic:
 * a request whose effects touch several rows orders them as store.h says (fact or evidence first,
 * projections after it), each idempotent, so that a request repeated after a crash ends the same.
 */
#pragma once

#include "coldmail/store.h"

struct store_backend {
	const char *name; /* "sqlite" */
	/* The state of all lanes. Opens nothing. Owned by the front. */
	void *(*make)(const struct store_conf *conf);
	void (*destroy)(void *be);
	/* How many lanes, and which one a request belongs to. Requests of one person share a lane. */
	size_t (*n_lanes)(const void *be);
	size_t (*lane_of)(const void *be, const struct store_req *r);
	/* One group of requests, in order, on lane LANE. Sets each err (and why). A failure of the
	 * database as a whole sets CM_ESTORE, CM_EFULL or CM_EIO on all of them. */
	void (*group)(void *be, size_t lane, struct store_req **reqs, size_t n);
	/* One slice (<= 50 ms) of a long request; true: finished. r->job.cancelled: clean up, finish. */
	bool (*slice)(void *be, size_t lane, struct store_req *r);
	/* The lane's thread ends: close what it opened. */
	void (*leave)(void *be, size_t lane);
};

extern const struct store_backend store_sqlite;
