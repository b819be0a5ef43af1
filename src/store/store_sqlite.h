/*
 * What the files of the SQLite backend share: a connection with its prepared statements, rows of
 * unknown origin made safe, the operations by subject.
 * Runs on: lane. Nothing outside of src/store includes this, but for its tests.
 *
 * Times are stored as INTEGER milliseconds since 1970 (UTC), in every column whose name ends in
 * _at, and in at, due, until, lowered_until and date; INT64_MAX stands for never.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "coldmail/mem.h"
#include "coldmail/plan.h"
#include "coldmail/store.h"
#include "coldmail/str.h"
#include "seal.h"
#include "sqlite_statements.h"
#include "store_private.h"

/* ---- connections (sqlite_db.c) ---------------------------------------------------------------- */

enum store_plan { STORE_PLAN_NONE, STORE_PLAN_SEEK, STORE_PLAN_SMALL, STORE_PLAN_PAGE };

enum store_sql {
#define X(name, plan, sql) STORE_SQL_##name,
	STORE_STATEMENTS(X)
#undef X
		STORE_SQL_COUNT
};

struct store_sql_text {
	const char *name, *text;
	enum store_plan plan;
};
extern const struct store_sql_text store_sql_texts[STORE_SQL_COUNT];

struct store_db {
	sqlite3 *h; /* owned; NULL: not open */
	sqlite3_stmt *stmts[STORE_SQL_COUNT]; /* owned: prepared when first used */
	enum store_sql used[STORE_SQL_COUNT]; /* since the last store_db_release() */
	size_t n_used;
	bool in_use[STORE_SQL_COUNT];
	int err; /* of this operation; the calls below do nothing while it is set */
	bool is_broken; /* it is the database's: the whole group fails */
	char why[256];
	const uint8_t *person_secret; /* borrowed: from the backend */
	struct plan_zones *zones; /* owned; NULL: nobody asked for one yet */
	struct store_seal *seal; /* borrowed: from the backend; the reader's, for SEAL */
	_Atomic bool *is_copy; /* borrowed: from the backend */
	bool is_dry; /* what is done now is undone */
};

enum store_db_kind { STORE_DB_WRITER, STORE_DB_READER };

/* Opens PATH, which must exist. On failure db->err, db->why say why, and nothing is open. */
int store_db_open(struct store_db *db, const char *path, enum store_db_kind kind,
	int64_t timeout_ms) __attribute__((warn_unused_result));
void store_db_close(struct store_db *db); /* rolls back what is open */
/* Time zones, as the connection's lane knows them; borrowed until it closes. */
struct plan_zones *store_db_zones(struct store_db *db);
/* RC of the last call on the connection: sets err, is_broken and why. Returns err. */
int store_db_fail(struct store_db *db, int rc, const char *doing);

/* A bound value; the first is ?1. */
struct store_val {
	enum { STORE_VAL_END, STORE_VAL_TEXT, STORE_VAL_INT, STORE_VAL_NUM, STORE_VAL_BLOB } type;
	union {
		const char *t; /* NULL is NULL */
		int64_t i;
		double d;
		const void *b;
	} u;
	size_t n;
};
/* clang-format off */
#define SQL_T(v)       { .type = STORE_VAL_TEXT, .u.t = (v) }
#define SQL_I(v)       { .type = STORE_VAL_INT, .u.i = (int64_t)(v) }
#define SQL_D(v)       { .type = STORE_VAL_NUM, .u.d = (v) }
#define SQL_B(p, size) { .type = STORE_VAL_BLOB, .u.b = (p), .n = (size) }
/* clang-format on */
/* The first one is there so that the list may be empty. */
#define SQL_VALS(...)                                                                              \
	((const struct store_val[]){ { STORE_VAL_END }, ##__VA_ARGS__, { STORE_VAL_END } } + 1)

/* Runs a statement to its end; how many rows it changed, -1 with db->err. Values are borrowed until
 * it returns. */
#define store_db_run(db, sql, ...) store_db_run_v((db), (sql), SQL_VALS(__VA_ARGS__))
int store_db_run_v(struct store_db *db, enum store_sql sql, const struct store_val *v);
/* The first row; NULL: none (or db->err). Values are borrowed until store_db_release(). A second start of
 * the same statement ends the first. */
#define store_db_find(db, sql, ...) store_db_find_v((db), (sql), SQL_VALS(__VA_ARGS__))
sqlite3_stmt *store_db_find_v(struct store_db *db, enum store_sql sql, const struct store_val *v);
/* The row after it; false at the end. */
bool store_db_next(struct store_db *db, sqlite3_stmt *st);
/* The first column of the first row as an integer; OTHERWISE without one. */
#define store_db_int(db, otherwise, sql, ...)                                                      \
	store_db_int_v((db), (otherwise), (sql), SQL_VALS(__VA_ARGS__))
int64_t store_db_int_v(
	struct store_db *db, int64_t otherwise, enum store_sql sql, const struct store_val *v);
/* Ends every statement in use. */
void store_db_release(struct store_db *db);

/* ---- rows (sqlite_row.c) ---------------------------------------------------------------------- */

/* A row being read: any column may hold any type, or nonsense. OK becomes false when one could not
 * be used; what is returned then is harmless. */
struct store_row {
	sqlite3_stmt *st;
	struct mem_arena *arena;
	int col; /* the next column */
	bool ok;
};

const char *store_row_text(struct store_row *row); /* never NULL; NULL reads "" */
int64_t store_row_int(struct store_row *row, int64_t otherwise); /* NULL reads OTHERWISE */
double store_row_num(struct store_row *row);

/* The columns are those of STORE_LEAD_COLS, STORE_EMAIL_COLS, STORE_ATTEMPT_COLS. false: the row
 * cannot be worked with. RET is filled in any case: an unreadable lead as held(bad_record), an
 * unreadable attempt as uncertain, which is what must be assumed. */
bool store_row_lead(sqlite3_stmt *st, struct mem_arena *a, struct lead *ret);
bool store_row_email(sqlite3_stmt *st, struct mem_arena *a, struct store_email *ret);
void store_row_attempt(sqlite3_stmt *st, struct mem_arena *a, struct store_attempt *ret);
void store_row_suppression(sqlite3_stmt *st, struct mem_arena *a, struct store_suppression *ret);

/* The fields that have no column, as a JSON object; the caller owns it. */
char *store_row_extra(const struct lead_var *vars, size_t n);
bool store_row_is_column(const char *name);

/* V with room for one more element of SIZE bytes after the first N. It doubles when N is a power of
 * two; memory it grew out of stays the arena's. */
void *store_grown(struct mem_arena *a, void *v, size_t n, size_t size);

/* "KEY#n" and "KEY#n!" in A. */
const char *store_attempt_id(struct mem_arena *a, const char *key, int n);
const char *store_slot_id(struct mem_arena *a, const char *key, int n);
/* The middle of "campaign/person/step". */
const char *store_key_person(struct mem_arena *a, const char *key);
/* An id of our own that sorts by the time it was made. */
#define STORE_ID 25
void store_new_id(int64_t now_ms, char ret[STORE_ID]);

/* ---- the file's place (sqlite_place.c) --------------------------------------------------------- */

struct store_place {
	const char *path; /* borrowed: from the backend */
	int lock_fd, file_fd; /* of PATH.lock and PATH: >= 0 while we own them */
	struct stat file; /* PATH when file_fd was opened */
};

void store_place_init(struct store_place *p, const char *path);
/* Makes the file if it is missing, and keeps everybody else off it. The writer has it closed. CM_ELOCKED:
 * another process has it. */
int store_place_take(struct store_place *p, struct store_req *r)
	__attribute__((warn_unused_result));
bool store_place_is_ours(const struct store_place *p);
/* Is PATH still the file that was taken? If not, that is DB's error. */
int store_place_check(const struct store_place *p, struct store_db *db)
	__attribute__((warn_unused_result));
void store_place_done(struct store_place *p); /* SQLite has closed it */
/* errno while DOING something with PATH is R's answer. Returns it. */
int store_refuse_os(struct store_req *r, const char *doing, const char *path);

/* What FILE is of the store at PATH ("the store's lock"; static), by whatever path or link it is named,
 * be it there or not; NULL: nothing. A is for its own use. (sqlite_own.c) */
const char *store_own(struct mem_arena *a, const char *path, const char *file);

/* ---- schema, keys (sqlite_schema.c) ----------------------------------------------------------- */

/* One step brings the schema from version index to index + 1. */
struct store_schema_step {
	const char *sql;
};
extern const struct store_schema_step store_schema_steps[];
extern const size_t store_schema_n;

struct store_keys {
	uint8_t person_secret[32], message_secret[32];
	char store_id[33];
};

/* Brings the open file at PATH to the last of the N steps, with a copy of it beside it first unless
 * it is new. RET_BACKUP: that copy's path, owned by the caller, or NULL. PATH NULL: without a copy.
 * CM_EVERSION: it is newer. */
int store_schema_migrate(struct store_db *db, const char *path,
	const struct store_schema_step *steps, size_t n, char **ret_backup)
	__attribute__((warn_unused_result));
/* Is this a store that could be brought there? As above. */
int store_schema_check(struct store_db *db) __attribute__((warn_unused_result));
int store_schema_keys(struct store_db *db, struct store_keys *ret)
	__attribute__((warn_unused_result));

/* This process works with the store from here on: R, an OPEN, learns of one that did not end well
 * (sqlite_running.c). */
int store_running_begin(struct store_db *db, struct store_req *r, const char *instance)
	__attribute__((warn_unused_result));
void store_running_end(struct store_db *db);

/* A copy of the whole file FROM at PATH, all at once, in the place of an older one. RET_WHY: owned by
 * the caller. (sqlite_backup.c) */
int store_copy_file(const char *from, const char *path, char **ret_why)
	__attribute__((warn_unused_result));

/* ---- operations ------------------------------------------------------------------------------- */

/* Each runs inside the group's transaction and returns the request's err; a database error is in
 * db->err. What it changed is undone when it fails; then it may be run again, on the request as it was
 * asked. */
typedef int store_op_fn(struct store_db *db, struct store_req *r);

/* sqlite_leads.c, sqlite_claim.c, sqlite_import.c */
store_op_fn store_op_ping, store_op_import, store_op_claim, store_op_lead_set, store_op_recover,
	store_op_wake, store_op_unbind, store_op_lead_act;
/* sqlite_ledger.c, sqlite_draft.c */
store_op_fn store_op_draft, store_op_reserve, store_op_slot, store_op_outcome, store_op_void,
	store_op_resolve;
/* sqlite_doubt.c */
store_op_fn store_op_doubt;
/* store_sqlite.c */
store_op_fn store_op_seal;
void store_fact_add(struct store_db *db); /* one more order that a copy would not know of */
/* sqlite_facts.c */
store_op_fn store_op_suppress_add, store_op_suppress_remove, store_op_control_set;
/* sqlite_forget.c */
store_op_fn store_op_forget;
bool store_fact_is_forgotten(struct store_db *db, const char *person);
/* sqlite_mailbox.c */
store_op_fn store_op_mailbox_set, store_op_mailbox_use, store_op_test_slot;
/* sqlite_reads.c */
store_op_fn store_op_open_attempts, store_op_controls, store_op_tally, store_op_lead_get,
	store_op_lead_list, store_op_sends, store_op_suppress_check, store_op_suppress_list,
	store_op_next_due;

/* The zones that queued leads of a campaign have, each with its earliest, by one of these (sqlite_bucket.c):
 * DRAFT_BUCKET, SEND_BUCKET (from MAILBOX, or from any), SEND_BUCKET_OF (from MAILBOX). STOPPED as a
 * claim has it. In A, sorted; returns how many. */
size_t store_buckets(struct store_db *db, struct mem_arena *a, enum store_sql sql,
	const char *campaign, const char *mailbox, const char *stopped, struct store_bucket **ret);

/* Where a lead goes (sqlite_leads.c) that was seen FROM. CLAIM: only when it is in flight by that claim;
 * "": by any; NULL: from any state. CM_ENOENT: it is not; CM_ESTATE: there is no such move. */
int store_lead_move(struct store_db *db, const char *lead_id, enum lead_state from,
	const struct store_lead_to *to, const char *claim, const char *error);
/* Every move that is made, for who debugs. */
void store_lead_log(const struct store_db *db, const char *lead_id, enum lead_state from,
	enum lead_state to, const char *why);
/* Is there such a move? If not, that is R's answer. */
int store_lead_check(struct store_req *r, enum lead_state from, enum lead_state to);
/* The lead ends as REASON, unless it has ended and that says as much. */
void store_lead_end(
	struct store_db *db, const struct lead *l, enum lead_reason reason, const char *note);
const char *store_claim_of(const char *claim); /* a request's: NULL there means any */
/* The mailbox after MAILBOX ("" : the first) that queued leads of CAMPAIGN are bound to and that is
 * none of the N in V (sqlite_reads.c). In A; NULL: none. */
const char *store_stray_mailbox(struct store_db *db, struct mem_arena *a, const char *campaign,
	const char *mailbox, const char *const *v, size_t n);
/* n_sent, last_sent_at and status as the ledger implies for PERSON. */
void store_lead_recount(struct store_db *db, const char *lead_id, const char *person);
bool store_lead_find(struct store_db *db, struct mem_arena *a, enum store_sql by, const char *value,
	struct lead *ret, bool *ret_ok);

/* The row of a step that has none yet, or not its words (sqlite_draft.c). */
void store_email_put(struct store_db *db, const struct store_email *e, int64_t now_ms);
/* The last try of KEY into RET, which stays as it is when there is none, and what servers said of it
 * before into RET_PAST (NULL: nobody asks) (sqlite_claim.c). */
void store_attempt_last(struct store_db *db, struct mem_arena *a, const char *key,
	struct store_attempt *ret, struct store_past *ret_past);
/* May another try follow one that ended like this (sqlite_ledger.c)? */
bool store_attempt_may_follow(enum store_attempt_state s, const char *class);

/* Facts (sqlite_facts.c). In A; NULL: none. */
const char *store_fact_suppressed(struct store_db *db, struct mem_arena *a, const char *address,
	const char *person, int64_t now_ms);
/* When DOMAIN has room for one more mail of at most LIMIT (0: any number; less: none) in 24 hours, the
 * attempt BUT left out; 0: now. */
int64_t store_fact_domain_until(
	struct store_db *db, const char *domain, const char *but, int limit, int64_t now_ms);
const char *store_fact_contacted(struct store_db *db, struct mem_arena *a, const char *person,
	const char *campaign, int64_t since_ms);
/* Adds a suppression; true: it is new. */
bool store_fact_suppress(struct store_db *db, const struct store_suppression *s, int64_t now_ms);
/* The slots of open attempts, taken away from their senders. */
enum store_slot store_fact_void(struct store_db *db, struct mem_arena *a, const char *attempt,
	const char *why, int64_t now_ms); /* ATTEMPT: KEY#n; NONE: there is no such attempt */
void store_fact_void_person(struct store_db *db, struct store_req *r, const char *person,
	const char *why, struct store_voids *ret);

/* Suppressions that stop no mail (sqlite_patterns.c). */
struct store_odd_pattern {
	const void *key; /* as it is stored */
	size_t n;
	bool is_text;
	const char *shown; /* for people */
	const char *meant; /* the canonical form; NULL: nobody can tell */
};
struct store_patterns {
	void *after; /* owned; NULL: from the start */
	size_t after_n;
	bool is_after_text;
	struct store_odd_pattern *odd; /* of the page, in its arena */
	size_t n_odd;
};
/* Looks at the next page; true: there may be another. P starts zeroed. */
bool store_patterns_look(struct store_db *db, struct mem_arena *a, struct store_patterns *p);
void store_patterns_done(struct store_patterns *p);
#define STORE_PATTERN_EXPECTED "the form in which it is looked up, without which it stops no mail"
const char *store_pattern_remedy(struct mem_arena *a, const struct store_odd_pattern *o);
/* Writes it down as it is meant, inside a transaction. */
void store_pattern_fix(struct store_db *db, struct store_req *r, const struct store_odd_pattern *o);

/* ---- long work in slices ---------------------------------------------------------------------- */

#define STORE_SLICE_US 20000 /* a slice may take 50 ms; whoever waits behind it is glad of less */

/* One slice; true: finished, r->err says how. WRITER is the writer lane's connection. */
bool store_slice_audit(struct store_db *writer, const char *path, struct store_req *r);
bool store_slice_backup(const char *path, struct store_req *r);
bool store_slice_quick_check(const char *path, struct store_req *r);
bool store_slice_scrub(const char *path, struct store_req *r);

/* RESTORE, all of it; WRITER is closed before its file goes. (sqlite_restore.c) */
void store_restore(struct store_db *writer, const char *path, struct store_req *r);
/* What people said to the store FROM goes into COPY, a backup of it: R's answer. An error is COPY's.
 * (sqlite_carry.c) */
int store_carry(struct store_req *r, const char *from, const char *copy)
	__attribute__((warn_unused_result));

#define STORE_BUSY_MS 2000 /* how long a connection of their own waits for a foreign writer */

/* A file's directory, made durable after a file in it appeared or got its name. false: errno. */
bool store_sync_dir_of(const char *path);
