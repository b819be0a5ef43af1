/*
 * The SQLite backend: one file, one writer.
 *   lane 0  the writer: everything that waits becomes one transaction, in which a request that
 *           fails is undone alone; audit's slices run between groups
 *   lane 1  the reader, on its own connection
 *   lane 2  copies and checks of the whole file, each on a connection of its own, so that no reader
 *           waits for them
 * Runs on: lane. Called by the front through coldmail/store_backend.h.
 * An answer goes out after COMMIT. When the disk is full, broken or read-only, or somebody holds the
 * file, the whole group fails, nothing of it is there, and the next group begins with a new
 * connection: it goes on as soon as the cause is gone.
 */
#include "store_sqlite.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "coldmail/err.h"
#include "coldmail/fail.h"
#include "coldmail/store_backend.h"

enum { LANE_WRITER, LANE_READER, LANE_BULK, N_LANES };

struct backend {
	char *path; /* owned */
	char *instance; /* owned */
	bool is_daemon, is_running; /* RUNNING: lane 0's */
	int64_t timeout_ms;
	struct store_place place; /* lane 0's */
	struct store_keys keys; /* written by OPEN, before any other request is sent */
	struct store_seal seal; /* so, too; then the reader's, and lane 0's again at the end */
	struct store_db db[2]; /* of LANE_WRITER, LANE_READER: each its lane's */
	_Atomic bool is_copy; /* set by OPEN, cleared by a SEAL that takes over */
};

/* ---- operations -------------------------------------------------------------------------------- */

struct op {
	store_op_fn *run;
	const char *before, *after; /* fail-points around its COMMIT */
	bool is_fact; /* somebody's order, which a copy of the store from before would not know */
};

#define OP(name, fn, ...)                                                                          \
	[STORE_##name] = { store_op_##fn, #fn ".before_commit", #fn ".after_commit", ##__VA_ARGS__ }
static const struct op ops[] = {
	OP(PING, ping),
	OP(IMPORT, import),
	OP(CLAIM, claim),
	OP(DRAFT, draft),
	OP(LEAD_SET, lead_set),
	OP(RESERVE, reserve),
	OP(SLOT, slot),
	OP(OUTCOME, outcome),
	OP(VOID, void),
	OP(RECOVER, recover),
	OP(WAKE, wake),
	OP(UNBIND, unbind),
	OP(LEAD_ACT, lead_act, true),
	OP(SUPPRESS_ADD, suppress_add, true),
	OP(SUPPRESS_REMOVE, suppress_remove, true),
	OP(FORGET, forget, true),
	OP(CONTROL_SET, control_set, true),
	OP(MAILBOX_SET, mailbox_set),
	OP(TEST_SLOT, test_slot),
	OP(RESOLVE, resolve),
	OP(DOUBT, doubt),
	OP(SEAL, seal),
	OP(OPEN_ATTEMPTS, open_attempts),
	OP(CONTROLS, controls),
	OP(MAILBOX_USE, mailbox_use),
	OP(TALLY, tally),
	OP(LEAD_GET, lead_get),
	OP(LEAD_LIST, lead_list),
	OP(SENDS, sends),
	OP(SUPPRESS_CHECK, suppress_check),
	OP(SUPPRESS_LIST, suppress_list),
	OP(NEXT_DUE, next_due),
};
#undef OP

static size_t sqlite_n_lanes(const void *be)
{
	(void)be;
	return N_LANES;
}

static size_t sqlite_lane_of(const void *be, const struct store_req *r)
{
	enum { W = LANE_WRITER, S = LANE_WRITER, R = LANE_READER, T = LANE_BULK };
	static const unsigned char lanes[] = {
#define X(name, side) [STORE_##name] = side,
		STORE_OPS(X)
#undef X
	};

	(void)be;
	return lanes[r->op];
}

/* The preview of a change: it is made, answered, and undone. */
static bool is_dry_run(const struct store_req *r)
{
	switch ((int)r->op) {
	case STORE_IMPORT:
		return r->u.import.dry_run;
	case STORE_LEAD_ACT:
		return r->u.act.dry_run;
	case STORE_SUPPRESS_ADD:
	case STORE_SUPPRESS_REMOVE:
		return r->u.suppress.dry_run;
	case STORE_FORGET:
		return r->u.forget.dry_run;
	case STORE_RESOLVE:
		return r->u.resolve.dry_run;
	case STORE_DOUBT:
		return r->u.doubt.dry_run;
	default:
		return false;
	}
}

/* ---- groups ------------------------------------------------------------------------------------ */

static void answer(struct store_db *db, struct store_req *r)
{
	store_db_release(db);
	if (db->is_broken)
		return;
	if (db->err)
		r->err = store_refuse(r, db->err, db->why);
	db->err = CM_OK;
}

/* For the seal. A copy counts nothing: it would catch up with its seal, and be none. */
void store_fact_add(struct store_db *db)
{
	if (!*db->is_copy)
		store_db_run(db, STORE_SQL_FACT_ADD);
}

/* What changed something by somebody's order is counted. */
static int run_op(struct store_db *db, struct store_req *r)
{
	int64_t before = sqlite3_total_changes64(db->h);

	db->is_dry = is_dry_run(r);
	int err = ops[r->op].run(db, r);
	if (ops[r->op].is_fact && !err && sqlite3_total_changes64(db->h) != before)
		store_fact_add(db);
	return err;
}

/* Inside a savepoint: what R changed is undone when it fails, or was only to be looked at. */
static void run_apart(struct store_db *db, struct store_req *r)
{
	store_db_run(db, STORE_SQL_OP_BEGIN);
	if (!db->err)
		r->err = run_op(db, r);
	answer(db, r);
	if (db->is_broken)
		return;
	if (r->err || is_dry_run(r))
		store_db_run(db, STORE_SQL_OP_UNDO);
	store_db_run(db, STORE_SQL_OP_END);
}

/* Without one. False: there is something to undo. */
static bool run_plain(struct store_db *db, struct store_req *r)
{
	int64_t before = sqlite3_total_changes64(db->h);

	r->err = run_op(db, r);
	answer(db, r);
	return db->is_broken || !(r->err || is_dry_run(r)) ||
	       sqlite3_total_changes64(db->h) == before;
}

/* A savepoint costs as much as a row written, and almost no request needs one: nearly all that fail do
 * so before they write. Does without as long as that is so. False: it is not; all is undone, and REQS
 * are again as they were asked. */
static bool run_together(struct store_db *db, struct store_req **reqs, size_t n)
{
	struct store_req *asked = xcalloc(n, sizeof *asked);
	bool ok = true;
	size_t i = 0;

	for (; i < n && ok && !db->is_broken; i++) {
		asked[i] = *reqs[i];
		ok = run_plain(db, reqs[i]);
	}
	while (!ok && i--)
		reqs[i]->u = asked[i].u;
	if (!ok) {
		store_db_run(db, STORE_SQL_ROLLBACK);
		store_db_run(db, STORE_SQL_BEGIN_WRITE);
	}
	free(asked);
	return ok;
}

static void pass_fail_points(struct store_req **reqs, size_t n, bool is_after)
{
	fail_point(is_after ? "store.after_commit" : "store.before_commit");
	for (size_t i = 0; i < n; i++)
		fail_point(is_after ? ops[reqs[i]->op].after : ops[reqs[i]->op].before);
}

/* What is to be undone anyway need not be done without a savepoint first. */
static bool has_dry_run(struct store_req **reqs, size_t n)
{
	while (n && !is_dry_run(reqs[n - 1]))
		n--;
	return n;
}

static void run_all(struct store_db *db, bool is_writer, struct store_req **reqs, size_t n)
{
	store_db_run(db, is_writer ? STORE_SQL_BEGIN_WRITE : STORE_SQL_BEGIN_READ);
	if (!db->err && (has_dry_run(reqs, n) || !run_together(db, reqs, n)))
		for (size_t i = 0; i < n && !db->is_broken; i++)
			run_apart(db, reqs[i]);
	if (db->err)
		return;
	if (is_writer)
		pass_fail_points(reqs, n, false);
	store_db_run(db, STORE_SQL_COMMIT);
	if (is_writer && !db->err)
		pass_fail_points(reqs, n, true);
}

/* One group: all of it, or nothing and everybody is told why. */
static void run_group(struct backend *b, size_t lane, struct store_req **reqs, size_t n)
{
	struct store_db *db = &b->db[lane];
	bool is_writer = lane == LANE_WRITER;
	enum store_db_kind kind = is_writer ? STORE_DB_WRITER : STORE_DB_READER;

	db->err = CM_OK;
	db->is_broken = false;
	if (!(is_writer && store_place_check(&b->place, db)) &&
		(db->h || !store_db_open(db, b->path, kind, b->timeout_ms)))
		run_all(db, is_writer, reqs, n);
	if (!db->err)
		return;
	for (size_t i = 0; i < n; i++)
		reqs[i]->err = store_refuse(reqs[i], db->err, db->why);
	store_db_close(db);
}

/* ---- OPEN -------------------------------------------------------------------------------------- */

static int open_db(struct backend *b, struct store_req *r)
{
	struct store_db *db = &b->db[LANE_WRITER];
	char *copy = NULL;
	int err = store_db_open(db, b->path, STORE_DB_WRITER, b->timeout_ms);
	if (!err)
		err = store_schema_migrate(db, b->path, store_schema_steps, store_schema_n, &copy);
	if (!err)
		err = store_schema_keys(db, &b->keys);
	r->u.open.migrated_backup = mem_arena_dup(&r->arena, copy);
	free(copy);
	if (!err)
		return CM_OK;
	store_refuse(r, err, db->why);
	store_db_close(db);
	return err;
}

/* ---- SEAL -------------------------------------------------------------------------------------- */

static struct store_come how_far(struct store_db *db)
{
	struct store_come come = { .entries = store_db_int(db, 0, STORE_SQL_ENTRIES),
		.facts = store_db_int(db, 0, STORE_SQL_FACTS) };

	store_db_release(db);
	return come;
}

/* The answer to R is that of the seal: ERR, and WHY, which is freed. */
static int sealed(struct store_req *r, int err, char *why)
{
	if (err)
		store_refuse(r, err, why);
	free(why);
	return err;
}

static int open_seal(struct backend *b, struct store_req *r)
{
	struct store_db *db = &b->db[LANE_WRITER];
	struct store_come come = how_far(db);
	char *why = NULL;

	if (db->err)
		return store_refuse(r, db->err, db->why);
	int err = store_seal_open(&b->seal, b->path, b->keys.store_id, come, &why);
	sealed(r, err, why);
	r->u.open.restored = mem_arena_dup(&r->arena, b->seal.why);
	b->is_copy = b->seal.why;
	return err;
}

/* What it counts is committed: a reader sees nothing else. */
int store_op_seal(struct store_db *db, struct store_req *r)
{
	struct store_come come = how_far(db);
	char *why = NULL;

	if (db->err)
		return db->err;
	if (db->seal->why && !r->u.seal.take_over)
		return store_refuse(r, CM_EPERM, db->seal->why);
	if (db->seal->why && r->u.seal.only_moved && !db->seal->is_moved)
		return store_refuse(r, CM_ESTATE, db->seal->why);
	if (r->u.seal.dry_run)
		return CM_OK;
	int err = store_seal_write(db->seal, come, &why);
	if (!err)
		*db->is_copy = false;
	return sealed(r, err, why);
}

/* The last word of a process that ends well. */
static void seal_at_end(struct backend *b)
{
	struct store_db *db = &b->db[LANE_WRITER];
	char *why = NULL;

	if (!db->h || !b->seal.file || b->seal.why || db->err)
		return;
	struct store_come come = how_far(db);
	if (!db->err)
		(void)!store_seal_write(&b->seal, come, &why); /* the old one is true, too */
	free(why);
}

/* Of a copy the row tells nothing: another store's daemon wrote it. */
static int open_running(struct backend *b, struct store_req *r)
{
	struct store_db *db = &b->db[LANE_WRITER];

	if (b->seal.why)
		store_running_end(db);
	if (!b->is_daemon)
		return CM_OK;
	b->is_running = true;
	return store_running_begin(db, r, b->instance);
}

static void run_open(struct backend *b, struct store_req *r)
{
	store_db_close(&b->db[LANE_WRITER]);
	r->err = store_place_take(&b->place, r);
	if (!r->err)
		r->err = open_db(b, r);
	if (!r->err)
		r->err = open_seal(b, r);
	if (!r->err)
		r->err = open_running(b, r);
	if (r->err)
		return;
	memcpy(r->u.open.person_secret, b->keys.person_secret, sizeof b->keys.person_secret);
	memcpy(r->u.open.message_secret, b->keys.message_secret, sizeof b->keys.message_secret);
	r->u.open.store_id = mem_arena_dup(&r->arena, b->keys.store_id);
	r->u.open.schema = (int)store_schema_n;
}

/* ---- the door ---------------------------------------------------------------------------------- */

static void *sqlite_make(const struct store_conf *conf)
{
	struct backend *b = xcalloc(1, sizeof *b);

	/* Counting its memory costs SQLite a lock for each allocation. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	b->path = xstrdup(conf->path);
	b->instance = xstrdup(conf->instance);
	b->is_daemon = conf->is_daemon;
	b->timeout_ms = conf->timeout_ms;
	store_place_init(&b->place, b->path);
	b->db[LANE_WRITER].person_secret = b->keys.person_secret;
	b->db[LANE_READER].seal = &b->seal;
	b->db[LANE_WRITER].is_copy = b->db[LANE_READER].is_copy = &b->is_copy;
	return b;
}

static void sqlite_destroy(void *be)
{
	struct backend *b = be;

	store_place_done(&b->place);
	mem_wipe(&b->keys, sizeof b->keys);
	store_seal_done(&b->seal);
	free(b->instance);
	free(b->path);
	free(b);
}

static void sqlite_group(void *be, size_t lane, struct store_req **reqs, size_t n)
{
	size_t from = 0;

	for (size_t i = 0; i < n; i++) {
		if (reqs[i]->op != STORE_OPEN)
			continue;
		if (i > from)
			run_group(be, lane, reqs + from, i - from);
		run_open(be, reqs[i]);
		from = i + 1;
	}
	if (n > from)
		run_group(be, lane, reqs + from, n - from);
}

static bool slice_audit(struct backend *b, struct store_req *r)
{
	struct store_db *db = &b->db[LANE_WRITER];

	db->err = CM_OK;
	db->is_broken = false;
	if (!db->h && store_db_open(db, b->path, STORE_DB_WRITER, b->timeout_ms)) {
		if (!r->u.audit.state) {
			r->err = store_refuse(r, db->err, db->why);
			return true;
		}
	}
	bool is_over = store_slice_audit(db, b->path, r);
	if (db->err)
		store_db_close(db);
	return is_over;
}

static bool restore(struct backend *b, struct store_req *r)
{
	if (!store_place_is_ours(&b->place))
		r->err = store_refuse(r, CM_ELOCKED, "the store is not locked by this process");
	else
		store_restore(&b->db[LANE_WRITER], b->path, r);
	return true;
}

static bool sqlite_slice(void *be, size_t lane, struct store_req *r)
{
	struct backend *b = be;

	if (r->op == STORE_RESTORE)
		return restore(b, r);
	if (lane == LANE_WRITER)
		return slice_audit(b, r);
	if (r->op == STORE_SCRUB)
		return store_slice_scrub(b->path, r);
	return r->op == STORE_BACKUP ? store_slice_backup(b->path, r)
				     : store_slice_quick_check(b->path, r);
}

static void sqlite_leave(void *be, size_t lane)
{
	struct backend *b = be;

	if (lane == LANE_WRITER && b->is_running && b->db[lane].h)
		store_running_end(&b->db[lane]);
	if (lane == LANE_WRITER)
		seal_at_end(b);
	if (lane < sizeof b->db / sizeof *b->db)
		store_db_close(&b->db[lane]);
}

const struct store_backend store_sqlite = {
	.name = "sqlite",
	.make = sqlite_make,
	.destroy = sqlite_destroy,
	.n_lanes = sqlite_n_lanes,
	.lane_of = sqlite_lane_of,
	.group = sqlite_group,
	.slice = sqlite_slice,
	.leave = sqlite_leave,
};
