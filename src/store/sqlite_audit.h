/*
 * AUDIT from inside: what sqlite_audit.c (does all agree) and sqlite_fields.c (is each field of the type
 * and in the bounds that it has to be) share, and the
 * rules that sqlite_field_rules.c has.
 * Runs on: lane 0, between groups. Private to these three.
 */
#pragma once

#include "store_sqlite.h"

#define AUDIT_PAGE 128

struct fix {
	enum { FIX_EMAIL, FIX_STATUS, FIX_LEAD, FIX_TALLY, FIX_FIELD, FIX_PATTERN } what;
	const char *key; /* or lead id */
	const char *lead_id, *person;
	enum store_outcome outcome;
	struct store_tally_key {
		const char *campaign, *state, *reason;
	} tally;
	int64_t n;
	const struct store_field *field; /* FIX_FIELD: of the row */
	int64_t row;
	const char *id; /* of that row */
	const struct store_odd_pattern *pattern;
};

struct count {
	struct store_tally_key key;
	int64_t n;
};

struct audit {
	struct store_db snap; /* the state that is looked at */
	struct store_db *writer; /* borrowed: from the lane, during a slice */
	struct store_req *r; /* borrowed: during a slice */
	struct mem_arena page; /* what is read; ends with the page */
	struct mem_arena arena; /* what has to last */
	size_t part;
	int64_t row; /* where the part is: an id may be anything, and stand still */
	const void *after; /* of a table without rows' numbers: the last key, in arena */
	size_t after_n;
	bool after_is_text;
	struct count *counts;
	size_t n_counts;
	int64_t n_first, n_reached;
	struct store_patterns patterns;
	struct fix *fixes; /* of this page, in its arena */
	size_t n_fixes;
	size_t n_applied; /* in all */
	size_t n_seen,
		n_seen_first; /* findings, also those beyond what is told; FIRST: before repairs */
	bool is_second; /* the look after the repairs: tells nothing, repairs nothing */
};

/* LINE lasts as long as the request. */
void store_audit_find(struct audit *a, const char *line);
#define FIND(a, ...) store_audit_find((a), mem_arena_printf(&(a)->r->arena, __VA_ARGS__))
/* To be done after the page, if anything is to be repaired. */
void store_audit_fix(struct audit *a, struct fix fix);

/* Each part looks at a page of its table and says whether there may be another. (sqlite_fields.c) */
bool store_field_emails(struct audit *a);
bool store_field_attempts(struct audit *a);
bool store_field_leads(struct audit *a);
bool store_field_suppressions(struct audit *a);
bool store_field_small(struct audit *a);
void store_field_fix(struct store_db *db, const struct fix *f);
/* A whole number that something can have been counted to. */
bool store_audit_is_count(sqlite3_stmt *st, int col);

/* ---- rules (sqlite_field_rules.c) -------------------------------------------------------------- */

/* name, what was expected, for people */
#define FIELD_KINDS(X)                                                                             \
	X(TEXT, "text in UTF-8, or NULL")                                                          \
	X(NAME, "text in UTF-8 that is not empty")                                                 \
	X(ADDRESS, "an address in its canonical form")                                             \
	X(COUNT, "a whole number from 0 on")                                                       \
	X(NUMBERED, "a whole number from 0 on")                                                    \
	X(TIME, "a time in milliseconds since 1970, before the year 10000")                        \
	X(END, "a time in milliseconds since 1970")                                                \
	X(NUMBER, "a number")                                                                      \
	X(JSON, "a JSON object as text, or NULL")
enum field_kind {
#define X(name, text) KIND_##name,
	FIELD_KINDS(X)
#undef X
};

/* Who can put it right. */
enum field_remedy {
	BY_FIX,
	BY_RELEASE,
	BY_IMPORT,
	BY_NULL,
	BY_BACKUP,
	BY_RESUME,
	BY_SUPPRESS,
	BY_CONTROL,
	BY_DELETE
};

struct store_field {
	const char *table, *name;
	enum field_kind kind;
	enum field_remedy remedy;
	enum store_sql
		fix; /* BY_FIX; FIELD_FIXED_ELSEWHERE: another finding's repair rights it, too */
};

/* A row of a table: how it is found, and how it is told of. */
struct field_place {
	const char *table;
	int64_t row; /* its number; 0: the table has none */
	const char *where; /* it in SQL */
	const char *id; /* in the page; NULL: not readable */
	const char *name; /* for people */
};

#define FIELD_FIXED_ELSEWHERE STORE_SQL_BEGIN_READ

const struct store_field *store_field_find(
	const char *table, const char *name); /* NULL: not ours */
/* Text of the column, in A; NULL: it is none that can be used. A NULL reads "". */
const char *store_field_text(struct mem_arena *a, sqlite3_stmt *st, int col);
bool store_field_is_address(const char *text);
bool store_field_is_sound(struct mem_arena *a, sqlite3_stmt *st, int col, enum field_kind kind);
/* For people, in A or static: what stands there, what has to, and what to do. */
const char *store_field_shown(struct mem_arena *a, sqlite3_stmt *st, int col);
const char *store_field_expected(enum field_kind kind);
const char *store_field_remedy(
	struct mem_arena *a, const struct store_field *f, const struct field_place *p);
