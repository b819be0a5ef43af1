/*
 * Leads: the canonical address, the states a lead may be in and the legal moves between them, the
 * record as it travels, and the CSV it comes from. Pure: no store, no clock, no network.
 * Runs on: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "coldmail/mem.h"
#include "coldmail/str.h"

/* ---- addresses -------------------------------------------------------------------------------- */

#define LEAD_ADDRESS_MAX 254 /* RFC 5321 4.5.3.1.3 less the angle brackets */

/* The one canonical form used as key at every boundary: white space trimmed, an optional
 * "Name <addr>" or "mailto:" wrapper taken off, everything lower-cased (the local part, too: no
 * provider in use tells Bob@ from bob@), a quoted local part unquoted where it needs no quotes, the
 * domain as A-labels (IDNA 2008 through libidn2), a final dot dropped. RFC 5321 4.1.2, 6531.
 * 0: *RET is owned by the caller. CM_EINVAL: *RET_WHY (static text) says what is wrong, for a
 * person; outputs otherwise untouched. A non-ASCII local part is refused (needs SMTPUTF8). */
int lead_address_canonical(const char *raw, char **ret, const char **ret_why)
	__attribute__((warn_unused_result));
/* The part behind the last '@' of a canonical address; borrowed. */
const char *lead_address_domain(const char *canonical);

#define LEAD_PERSON_PREFIX "person:"
/* A suppression pattern: address "a@x", "*@x" (only x), domain "x" (with its subdomains) or
 * "person:HEX". Canonical form, owned by the caller; CM_EINVAL with *RET_WHY. */
int lead_pattern_canonical(const char *raw, char **ret, const char **ret_why)
	__attribute__((warn_unused_result));
/* Does PATTERN (canonical) cover this canonical address and person? */
bool lead_pattern_covers(const char *pattern, const char *address, const char *person);
/* All patterns that would cover the address OF and PERSON, most special first, in A: what a store looks
 * up. With PERSON NULL, OF is another canonical pattern; of a domain's the first, *@domain, covers only a
 * part. Returns their number. MAX is at least LEAD_PATTERNS_MAX: none may be missed. */
#define LEAD_PATTERNS_MAX                                                                          \
	130 /* address, person, *@domain, and a domain of 253 bytes has 127 tails */
size_t lead_patterns_of(
	struct mem_arena *a, const char *of, const char *person, const char **ret, size_t max);

/* PERSON: a keyed hash (HMAC-SHA-256, 128 bits as 32 hex digits) of the canonical address. */
#define LEAD_PERSON 33
void lead_person(const uint8_t secret[32], const char *canonical, char ret[LEAD_PERSON]);
/* The unsubscribe token of PERSON: base64url of the person and of 128 bits of a keyed hash of it, 43
 * characters that need no escaping in a URL. */
#define LEAD_TOKEN 44
void lead_token(const uint8_t secret[32], const char *person, char ret[LEAD_TOKEN]);
/* Whose token it is; false: it was not made with this secret. */
bool lead_token_person(const uint8_t secret[32], const char *token, char ret[LEAD_PERSON]);
/* The ledger key "campaign/person/step"; the caller owns it. */
char *lead_key(const char *campaign, const char *person, const char *step)
	__attribute__((warn_unused_result));

/* ---- states ----------------------------------------------------------------------------------- */

/* There is no other place to be. */
#define LEAD_STATES(X)                                                                             \
	X(QUEUED, "queued") X(HELD, "held") X(IN_FLIGHT, "in_flight") X(ENDED, "ended")
enum lead_state {
#define X(name, text) LEAD_##name,
	LEAD_STATES(X)
#undef X
};
const char *lead_state_name(enum lead_state s);
/* false: not a state's name (a stored document of unknown origin). */
bool lead_state_parse(const char *name, enum lead_state *ret);
/* The table of legal moves. */
bool lead_state_may(enum lead_state from, enum lead_state to);

/* Which pump a queued lead waits for. */
#define LEAD_STAGES(X) X(DRAFT, "draft") X(SEND, "send")
enum lead_stage {
#define X(name, text) LEAD_STAGE_##name,
	LEAD_STAGES(X)
#undef X
};
const char *lead_stage_name(enum lead_stage s);

/* Why a lead is held or ended: stable names (interfaces.md). trouble: counts for "idle". */
#define LEAD_REASONS(X)                                                                            \
	/* held */                                                                                 \
	X(OPERATOR, "operator", HELD, false)                                                       \
	X(MISSING_FIELD, "missing_field", HELD, true)                                              \
	X(BAD_RECORD, "bad_record", HELD, true)                                                    \
	X(NO_CAMPAIGN, "no_campaign", HELD, true)                                                  \
	X(SMTP_DEFERRED, "smtp_deferred", HELD, true)                                              \
	X(SMTP_UNKNOWN, "smtp_unknown", HELD, true)                                                \
	X(SEND_UNCERTAIN, "send_uncertain", HELD, true)                                            \
	X(THREAD_UNKNOWN, "thread_unknown", HELD, true)                                            \
	X(DOMAIN_DAILY_LIMIT, "domain_daily_limit", HELD, false)                                   \
	X(VERIFY_INVALID, "verify_invalid", HELD, true)                                            \
	X(VERIFY_UNKNOWN, "verify_unknown", HELD, true)                                            \
	/* ended */                                                                                \
	X(COMPLETED, "completed", ENDED, false)                                                    \
	X(SUPPRESSED, "suppressed", ENDED, false)                                                  \
	X(OPTED_OUT, "opted_out", ENDED, false)                                                    \
	X(LEAD_REPLIED, "lead_replied", ENDED, false)                                              \
	X(BOUNCED, "bounced", ENDED, false)                                                        \
	X(STOPPED, "stopped", ENDED, false)                                                        \
	X(ALREADY_CONTACTED, "already_contacted", ENDED, false)                                    \
	X(OVERDUE_EXPIRED, "overdue_expired", ENDED, false)
enum lead_reason {
	LEAD_REASON_NONE,
#define X(name, text, state, trouble) LEAD_REASON_##name,
	LEAD_REASONS(X)
#undef X
};
const char *lead_reason_name(enum lead_reason r); /* "" for NONE */
enum lead_reason lead_reason_parse(const char *name); /* NONE when it is not one */
bool lead_reason_is_trouble(enum lead_reason r);
bool lead_reason_is_passing(enum lead_reason r); /* a hold that has a time at which it ends */

/* The predecessor's leads.status (interfaces.md, stored documents), derived: pending sent replied
 * bounced invalid unsubscribed failed. N_SENT: steps that went out (uncertain ones count). */
const char *lead_status(enum lead_state s, enum lead_reason r, int64_t n_sent);

/* ---- records ---------------------------------------------------------------------------------- */

/* The columns with a meaning of their own, besides `email` and `campaign`. */
#define LEAD_COLUMNS(X)                                                                            \
	X(first_name)                                                                              \
	X(last_name)                                                                               \
	X(name)                                                                                    \
	X(company)                                                                                 \
	X(title)                                                                                   \
	X(domain) X(website) X(city) X(region) X(country) X(timezone) X(smtp_valid) X(source)

/* One name and value of a record; both UTF-8 text, never NULL. */
struct lead_var {
	const char *name, *value;
};

/* A lead as it travels: plain data, const outside its owner, all memory in the owner's arena. */
struct lead {
	const char *id; /* the store's, opaque */
	const char *email; /* canonical */
	const char *person; /* LEAD_PERSON text */
	const char *campaign; /* "" : none */
	enum lead_state state;
	enum lead_reason reason;
	int64_t until_ms; /* held: wall time; CLOCK_NEVER_MS: needs an operator */
	enum lead_stage stage;
	const char *step; /* the step it waits for; "" : to be found from last_step */
	const char *last_step; /* the step that went out last; "" : none */
	int64_t due_ms; /* wall time */
	const char *mailbox; /* the mailbox it is bound to; "" : none yet */
	const char *zone; /* its time zone, as its fields decide it; "" : its campaign's */
	int64_t n_sent;
	int64_t last_sent_ms; /* 0: never */
	const char *status;
	int64_t created_ms;
	const char *error; /* why it is held or ended, for people; "" */
	struct lead_var *vars; /* every field but email and campaign */
	size_t n_vars;
};

/* The value of a field ("email" included); NULL when missing or null-like. */
const char *lead_get(const struct lead *l, const char *name);
/* "", null, none, n/a, na, nan, nil, -, undefined in any case, or white space only. */
bool lead_is_null_like(const char *value);
/* The first name if it looks like one (letters, one or two words, not the company, not an address,
 * not all capitals longer than 3 without being re-cased …), in its usual case; else NULL. In A.
 * mail.md: a first name is used only if it looks like one. */
const char *lead_first_name(struct mem_arena *a, const struct lead *l);

/* ---- reading leads from a file ----------------------------------------------------------------- */

/* A record of a leads file: its line and its fields, or what is wrong with it. */
struct lead_record {
	int64_t line; /* first line of the record, from 1 */
	const char *error; /* NULL, or which field, what is wrong, what was expected and the remedy;
			      then vars is empty */
	struct lead_var *vars;
	size_t n_vars;
	const char
		*left_out; /* JSON: a field that lies too deep to be one of vars; NULL: none does */
	const char *raw; /* CSV: the text it was taken from; NULL: it is longer than any record */
	size_t n_raw;
};

/* Where the bytes of a file come from. */
struct lead_source {
	/* Up to N bytes into BUF. 0: there are no more; -1: *RET_WHY (not owned) says why not. */
	ssize_t (*read)(void *arg, char *buf, size_t n, const char **ret_why);
	void *arg;
	void (*done)(void *arg); /* NULL, or what ends it, called once, also after a failure */
};

struct lead_reader;

/* "Company Name (short)" -> "company_name_short": the name of a column with this heading, as a
 * template can write it; owned by the caller. NULL: nothing of it can be in a name. */
char *lead_column_name(const char *heading);
/* Which of LEAD_COLUMNS, or "email", a column of this name is in other programs' files and other
 * languages (config/lead_columns.tsv); NULL: none that is known. *RET_RANK: less is surer. */
const char *lead_column_guess(const char *name, int *ret_rank);

/* Reads CSV (RFC 4180: quoted fields, doubled quotes, newlines in quotes; "," ";" tab or "|" between
 * fields; blank lines are skipped) or JSON (an object a line, or an array of objects), in UTF-8 or
 * UTF-16, with or without a byte order mark, or in Windows-1252, also compressed by gzip.
 * CSV: the first record names the columns by lead_column_name() (column_N where that has none).
 * JSON: each record has names of its own, made in the same way; of an object within an object those of
 * both ("company_city"), of one within a list with its number ("emails_1_email"). Which of them holds the
 * address is the caller's matter. CM_EINVAL: no usable beginning (*RET_WHY, owned by the caller: "LINE:
 * what, and what was expected"). SOURCE is the reader's, and ended by it. */
int lead_reader_open(const struct lead_source *source, struct lead_reader **ret, char **ret_why)
	__attribute__((warn_unused_result));
/* The same of a file in memory. DATA is borrowed until lead_reader_free(). */
int lead_reader_new(const char *data, size_t n, struct lead_reader **ret, char **ret_why)
	__attribute__((warn_unused_result));
/* The next record, borrowed until the next call; NULL at the end. A bad record (wrong number of
 * fields, text in no encoding, a quote that never ends, NUL bytes, a field over 64 KB, a record over
 * 1 MB, no JSON object) is returned with its error, and reading goes on at the next line. */
const struct lead_record *lead_reader_next(struct lead_reader *r);
/* After the last record: NULL, or why the file could not be read to its end (a read error, gzip data
 * that is damaged or cut off). A record that may have been cut off is not given. */
const char *lead_reader_trouble(const struct lead_reader *r);
/* Bytes of text consumed so far. */
size_t lead_reader_offset(const struct lead_reader *r);
/* CSV: its columns, by name and as the file heads them. JSON has none. */
int64_t lead_reader_header_line(const struct lead_reader *r);
const char *const *lead_reader_columns(const struct lead_reader *r, size_t *ret_n);
const char *const *lead_reader_headings(const struct lead_reader *r);
/* What kind of file it is, as far as it has been read. */
struct lead_about {
	bool is_json, is_gzip;
	char separator; /* of CSV */
	const char *encoding;
	int64_t recoded_line; /* the first that is no UTF-8, and was read as ENCODING; 0: none */
	const char *recoded; /* what was read there */
};
void lead_reader_about(const struct lead_reader *r, struct lead_about *ret);
void lead_reader_free(struct lead_reader *r); /* NULL is accepted */
