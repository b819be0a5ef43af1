/*
 * What the files of coldmailctl share. A command is a row: words, arguments, options, function.
 * Its function asks the daemon (client.c), and prints (print.c) or answers in JSON.
 * Runs on: any. Seen by src/ctl alone. One process, one command, no threads.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "coldmail/mem.h"
#include "coldmail/str.h"

/* ---- args.c: the command line ------------------------------------------------------------------ */

struct ctl_option {
	const char *name; /* without its dashes */
	const char *value; /* what the help calls its value; NULL: takes none */
	const char *help;
};

#define CTL_OPTIONS_MAX 6

#define CTL_RUNNING 1u /* only a running daemon can answer: 69 when there is none */
#define CTL_MAILS   2u /* mail may follow: never what a slip of the finger is taken for */

struct ctl;

struct ctl_command {
	const char *words; /* "leads import" */
	const char *arguments; /* for the help: "FILE" */
	int min, max; /* how many; max -1: any */
	const char *help; /* one line */
	int (*run)(const struct ctl *c); /* returns the exit status */
	unsigned flags;
	struct ctl_option options[CTL_OPTIONS_MAX]; /* ends at the first without a name */
	const char *more; /* for --help: what to know besides; NULL */
};

extern const struct ctl_command ctl_commands_daemon[], ctl_commands_leads[], ctl_commands_import[],
	ctl_commands_campaign[], ctl_commands_ledger[], ctl_commands_suppress[],
	ctl_commands_mailbox[], ctl_commands_store[], ctl_commands_forget[];

#define CTL_VALUES_MAX 64

struct ctl {
	const char *config, *socket; /* socket NULL: found through config */
	bool json, dry_run, yes, verbose, help, version;
	const struct ctl_command *command; /* NULL: none was named */
	const char *args[CTL_VALUES_MAX];
	int n_args;
	struct {
		const struct ctl_option *option;
		const char *value;
	} values[CTL_VALUES_MAX];
	int n_values;
};

/* 0, or CM_EXIT_USAGE after having said what is wrong. What RET holds is borrowed from ARGV. */
int ctl_parse(int argc, char **argv, struct ctl *ret);
/* The command's own option: its value ("" for a flag), NULL: not given. INDEX: of a repeated one. */
const char *ctl_option_at(const struct ctl *c, const char *name, int index);
const char *ctl_option(const struct ctl *c, const char *name); /* the last one given */
/* A number that must be positive. false after having said what is wrong. */
bool ctl_option_whole(const struct ctl *c, const char *name, int64_t fallback, int64_t *ret);
void ctl_help(const struct ctl_command *cmd); /* NULL: of all */

/* ---- leads.c ------------------------------------------------------------------------------------ */

/* The columns with a meaning of their own, and those of an export that tell where a lead stands, and
 * are no part of it; both ended by NULL. A column of the user's with a name of the latter is exported
 * with CTL_EXTRA before it. */
extern const char *const ctl_known_columns[], *const ctl_own_columns[];
#define CTL_EXTRA "extra_"

/* ---- columns.c: what becomes of the columns of a file of leads --------------------------------- */

struct lead_reader;
struct lead_record;

enum ctl_column_how {
	CTL_COLUMN_AS_IS, /* under its own name, which may be one with a meaning */
	CTL_COLUMN_GUESSED, /* other programs and languages call that field so */
	CTL_COLUMN_MAPPED, /* --map */
	CTL_COLUMN_LEFT_OUT, /* an export's own */
};

struct ctl_column {
	char *name, *heading; /* owned; HEADING as the file has it */
	char *field; /* owned: what it is imported as; NULL: it is not */
	enum ctl_column_how how;
	int rank; /* less is surer */
	int known; /* which of ctl_known_columns the field is; -1: none */
};

struct map;

struct ctl_columns {
	const char *file; /* borrowed: its name */
	int64_t line; /* of what names them */
	bool is_json, is_export; /* is_export: one that `leads export` wrote */
	struct ctl_column *v; /* owned */
	size_t n, cap, n_shown;
	struct map *maps; /* owned: every --map */
	size_t n_maps;
	size_t *of_record; /* owned: JSON; which of v each field of the last record is */
	size_t n_of_record, cap_of_record;
};

/* As the file's first line and every --map have it. 0, or the exit status after having said what is
 * wrong. */
int ctl_columns_init(const struct ctl *c, const char *file, const struct lead_reader *reader,
	struct ctl_columns *ret) __attribute__((warn_unused_result));
/* Is one of those that were seen so far the address? 0, or the exit status after having said that not. */
int ctl_columns_check(const struct ctl_columns *cols) __attribute__((warn_unused_result));
/* What each field of REC is imported as; NULL: it is not. NULL, or why nobody can know (owned by the
 * caller). */
char *ctl_columns_of(struct ctl_columns *cols, const struct lead_record *rec, const char **names)
	__attribute__((warn_unused_result));
/* Prints what was guessed, or all, of what was not printed before. */
void ctl_columns_show(struct ctl_columns *cols, bool all);
cJSON *ctl_columns_json(const struct ctl_columns *cols); /* [{column, field, how}] */
/* Behind the last record: says which --map there was nothing for. */
void ctl_columns_end(const struct ctl_columns *cols);
void ctl_columns_done(struct ctl_columns *cols);

/* ---- tally.c: what became of the rows of an import ------------------------------------------------ */

#define CTL_RESULTS(X)                                                                             \
	X(ADDED, "added")                                                                          \
	X(UPDATED, "updated")                                                                      \
	X(DUPLICATE, "duplicate")                                                                  \
	X(SUPPRESSED, "suppressed")                                                                \
	X(CONTACTED, "contacted")                                                                  \
	X(INVALID, "invalid")
enum ctl_result {
#define X(name, text) CTL_RESULT_##name,
	CTL_RESULTS(X)
#undef X
		CTL_N_RESULTS
};

struct ctl_tally {
	const struct ctl *c; /* borrowed */
	const char *file; /* borrowed */
	int64_t counts[CTL_N_RESULTS], n_rows;
	int64_t n_known; /* rows that are in the store already, as they are */
	int64_t n_problems, n_shown;
	cJSON *problems; /* owned: [{file, line, result, text}] since the last flush */
	struct str json; /* those of before, for --json */
	struct ctl_seen *seen; /* owned: with --dry-run, the addresses that were to be stored */
};

void ctl_tally_init(struct ctl_tally *t, const struct ctl *c, const char *file);
/* A row of the answer to a batch. CONTENT: a hash of what was in it. */
void ctl_tally_add(struct ctl_tally *t, const cJSON *row, uint64_t content);
/* A row that was not asked about. */
void ctl_tally_invalid(struct ctl_tally *t, int64_t line, const char *why);
/* All rows up to here are told of: prints their problems, in the order of the file. */
void ctl_tally_flush(struct ctl_tally *t);
void ctl_tally_print(const struct ctl_tally *t);
void ctl_tally_json(struct ctl_tally *t, cJSON *o); /* adds it to O */
void ctl_tally_done(struct ctl_tally *t);

uint64_t ctl_hash(const char *text);

/* ---- source.c: the file that leads are read from ------------------------------------------------- */

struct lead_source;

struct ctl_source {
	int fd;
	int64_t size; /* of a file; 0: nobody knows (a pipe) */
	int64_t n_read;
};

/* FILE ("-": standard input). 0 or the exit status, after having said what is wrong. */
int ctl_source_open(const char *file, struct ctl_source *ret) __attribute__((warn_unused_result));
/* RET borrows SOURCE, and closes it in the end. */
void ctl_source_reads(struct ctl_source *source, struct lead_source *ret);

/* ---- client.c: asking -------------------------------------------------------------------------- */

/* Asks COMMAND with IN (taken; NULL: nothing to say). 0: *RET is the caller's answer. Otherwise the
 * exit status, after having said on standard error what is wrong. Starts a daemon for maintenance
 * when none runs and the command can do with it. */
int ctl_ask(const struct ctl *c, const char *command, cJSON *in, cJSON **ret)
	__attribute__((warn_unused_result));
/* Which daemon is meant. 0, or the exit status after having said why nobody can know. */
int ctl_find_socket(const struct ctl *c) __attribute__((warn_unused_result));
/* Does a daemon answer on that socket? Starts nothing. */
bool ctl_is_running(const struct ctl *c);
void ctl_client_done(void);

/* ---- maintenance.c ----------------------------------------------------------------------------- */

/* Starts `coldmail --maintenance` and waits until READY says that its store answered, or failed. 0 or
 * the exit status, after having said what is wrong. */
int ctl_maintenance_start(const struct ctl *c, bool (*ready)(const struct ctl *c));
bool ctl_maintenance_is_on(void); /* nobody else answers: nothing is being sent */
void ctl_maintenance_stop(void); /* harmless when there is none */

/* ---- print.c: showing -------------------------------------------------------------------------- */

/* Fields of an answer; what is missing or of another type is "", 0, false, an empty list. */
const char *ctl_text(const cJSON *o, const char *key);
int64_t ctl_whole(const cJSON *o, const char *key);
bool ctl_flag(const cJSON *o, const char *key);
const cJSON *ctl_get(const cJSON *o, const char *key);

void ctl_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void ctl_verror(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
void ctl_error_lines(const char *text); /* as it is: lines that name a file */
/* With --json: {error, errors, exit} of what was said, unless an answer was begun. */
void ctl_errors_end(bool json, int status);
/* Prints O as JSON and forgets it. */
void ctl_print_json(cJSON *o);
/* One array over many pages: begin, items (each is detached and printed), end. */
void ctl_array_begin(void);
void ctl_array_add(const cJSON *o);
void ctl_array_end(int status);

/* Text of unknown origin: no byte of it moves the cursor. NULL adds nothing. */
void ctl_add_safe(struct str *out, const char *text);
/* "[######....]" in the characters that the terminal has. */
void ctl_add_bar(struct str *out, int64_t n, int64_t of, int width);
/* An RFC 3339 time as local time ("14:32", "Tue 14:32", "2026-03-04 14:32"), with how far it is from
 * NOW ("in 12min", "3min ago"); "-" when there is none. */
void ctl_add_time(struct str *out, const char *stamp, const char *now);
void ctl_add_when(struct str *out, const char *stamp, const char *now);
/* "5 missing_field, 2 operator" of an object of numbers. */
void ctl_add_counts(struct str *out, const cJSON *counts);

/* What the server said of an attempt, "451 4.7.1 Greylisted"; without a code, why it said nothing. */
void ctl_add_reply(struct str *out, const cJSON *attempt);

/* A table: headings, then rows of as many cells; columns get as wide as they need. */
struct ctl_table {
	const char *const *headings; /* borrowed; ended by NULL */
	int n_columns;
	char **cells; /* owned */
	size_t n, cap;
};
void ctl_table_init(struct ctl_table *t, const char *const *headings);
void ctl_table_add(struct ctl_table *t, const char *cell); /* made safe */
void ctl_table_print(struct ctl_table *t); /* and empties it */

/* A field of a row of CSV (RFC 4180); the row's end is the caller's. */
void ctl_write_csv(FILE *out, const char *text, bool is_first);

/* ---- suppress_add.c ----------------------------------------------------------------------------- */

/* The columns of a list as CSV, and what the daemon calls them; ended by a row without a name. */
extern const struct ctl_suppress_column {
	const char *name, *key;
	const char *also; /* what others call it; NULL */
} ctl_suppress_columns[];
int ctl_suppress_add(const struct ctl *c), ctl_suppress_import(const struct ctl *c);

/* ---- what commands share ------------------------------------------------------------------------ */

cJSON *ctl_new(
	const char *key, const char *text); /* an object with one field, if text is not NULL */
void ctl_put(cJSON *o, const char *key, const char *text); /* nothing when it is NULL */
/* {dry_run} as the command line says. */
cJSON *ctl_change(const struct ctl *c);
/* What was stopped on the way, and what could not be any more. */
void ctl_print_voids(const cJSON *answer);
/* One line about each campaign: how many leads, how many a day, what is missing to begin. */
void ctl_print_outlook(const struct ctl *c, const char *campaign);
/* A question on the terminal; true for yes. --yes: true without asking. */
int ctl_confirm(const struct ctl *c, const char *question);
/* The whole of FILE ("-": standard input). 0 or the exit status, after having said what is wrong. */
int ctl_read_file(const char *file, struct str *ret);
