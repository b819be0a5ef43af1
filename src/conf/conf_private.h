/*
 * What the files of the room conf share. A load goes one way: source.c reads files, lex.c makes
 * tokens of them, parse.c a tree of entries; build.c fills struct conf from the tree by the rows of
 * keys.c, with value.c for each type; check.c looks at what no row can say.
 * Runs on: loop. Nothing here is seen outside of src/conf (and its fuzz target).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "coldmail/conf.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* ---- limits: a file may be anything ---------------------------------------------------------- */

#define CONF_FILE_MAX     ((size_t)1 << 20) /* bytes of one configuration file */
#define CONF_TEMPLATE_MAX ((size_t)256 << 10) /* bytes of one template */
#define CONF_PEM_MAX      ((size_t)1 << 20) /* bytes of a file with certificates */
#define CONF_SECRET_MAX   ((size_t)16 << 10) /* bytes of a secret: tokens are long */
#define CONF_FILES_MAX    1000 /* files of one load */
#define CONF_NODES_MAX    50000 /* entries of one load */
#define CONF_PROBLEMS_MAX 1000 /* then the rest is not shown */
#define CONF_DEPTH_MAX    8 /* of includes, and of sections */

/* ---- sources and problems -------------------------------------------------------------------- */

/* A file that was read. Lives in the load's arena. */
struct conf_source {
	const char *name; /* as people know it: as given, or found from the file that includes it */
	const char *text; /* NUL-terminated; without a byte order mark */
	size_t len;
	size_t rank; /* 0, 1, 2 …: the order of reading */
	dev_t dev;
	ino_t ino;
};

struct conf_place {
	const struct conf_source *src;
	int line;
};

struct conf_load;

void conf_error(struct conf_load *l, struct conf_place at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void conf_warning(struct conf_load *l, struct conf_place at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Hands the problems over in the order in which a person reads files. */
void conf_report_finish(struct conf_load *l, struct conf_problems *ret);
/* TEXT as it may stand in a message: printable, not longer than a line. In the load's arena. */
const char *conf_shown(struct conf_load *l, const char *text);
/* The same, of what should be a URL, and for out: without what stands before '@' or behind '?'. */
const char *conf_shown_url(struct conf_load *l, const char *text);
void conf_show_url(const char *text, struct str *out);

/* Appends the text of the regular file PATH, at most MAX bytes. NULL, or why it cannot be had. */
const char *conf_source_slurp(const char *path, size_t max, struct str *out, struct stat *ret_st);
/* Reads NAME; every reason why it cannot be is a problem at AT (NULL: at the file itself). */
struct conf_source *conf_source_read(
	struct conf_load *l, const char *name, const struct conf_place *at);
/* A template's text; NULL after a problem at AT. */
const char *conf_source_template(struct conf_load *l, const char *path, struct conf_place at);
/* PATH as found from the file SRC that names it; conf_source_absolute: from the root. */
const char *conf_source_path(struct conf_load *l, const struct conf_source *src, const char *path);
const char *conf_source_absolute(
	struct conf_load *l, const struct conf_source *src, const char *path);

/* ---- tokens ---------------------------------------------------------------------------------- */

enum conf_token_kind {
	CONF_TOKEN_END,
	CONF_TOKEN_WORD,
	CONF_TOKEN_STRING,
	CONF_TOKEN_EQUALS,
	CONF_TOKEN_OPEN,
	CONF_TOKEN_CLOSE,
	CONF_TOKEN_COMMA,
	CONF_TOKEN_BAD, /* told already */
};

struct conf_token {
	enum conf_token_kind kind;
	const char *text; /* WORD, STRING */
	struct conf_place at;
	bool is_first; /* of its line */
};

struct conf_lexer {
	struct conf_load *load;
	const struct conf_source *src;
	const char *p, *end;
	int line;
	bool is_first;
};

void conf_lexer_init(struct conf_lexer *x, struct conf_load *l, const struct conf_source *src);
void conf_lexer_next(struct conf_lexer *x, struct conf_token *ret);

/* ---- the tree -------------------------------------------------------------------------------- */

enum conf_value_kind {
	CONF_VALUE_BAD, /* told already: present, and not to be looked at */
	CONF_VALUE_TEXT,
	CONF_VALUE_LIST,
};

struct conf_value {
	enum conf_value_kind kind;
	const char *text; /* TEXT */
	struct conf_place at;
	struct conf_value *items, *next; /* LIST: its first item; an item: the one behind it */
	size_t n; /* items */
};

struct conf_node {
	const char *name;
	struct conf_place at;
	bool is_section;
	const char *title; /* a section's; NULL: none */
	struct conf_value value; /* a key's */
	struct conf_node *first, *last, *next;
};

/* The entries of SRC and of what it includes, below l->root. */
void conf_parse(struct conf_load *l, const struct conf_source *src);
/* A value of our own, in the language of the files. */
struct conf_value conf_parse_value(struct conf_load *l, const char *text);
/* The first entry of that name in SECTION; NULL when there is none (or no SECTION). */
const struct conf_node *conf_node_find(const struct conf_node *section, const char *name);

/* ---- the schema ------------------------------------------------------------------------------ */

enum conf_in {
	CONF_TOP,
	CONF_IDENTITY,
	CONF_LOG,
	CONF_HTTP,
	CONF_CONTROL,
	CONF_VERIFY,
	CONF_WATCH,
	CONF_MAILBOX,
	CONF_OAUTH,
	CONF_CAMPAIGN,
	CONF_STEP,
	CONF_PROVIDER,
	CONF_MODEL,
	CONF_LLM,
	CONF_INBOX,
	CONF_REVIEW,
	CONF_ALERT,
	CONF_BREAKER,
};
#define CONF_N_SECTIONS (CONF_BREAKER + 1)

enum conf_type {
	CONF_STRING, /* const char *; min..max bytes */
	CONF_PATH, /* const char *, absolute; max bytes */
	CONF_PEM, /* struct conf_file: certificates */
	CONF_TEXT, /* struct conf_file: text in UTF-8 */
	CONF_SECRET, /* struct conf_file: one secret, never shown */
	CONF_ZONE, /* const char *, IANA name */
	CONF_INT, /* int, min..max */
	CONF_DURATION, /* int64_t ms, min..max; the word `never` with CONF_NEVER */
	CONF_PRESET, /* const char *, a name of config/mailbox_presets.tsv; "" by default */
	CONF_DATE, /* int64_t ms: midnight UTC of a day; CLOCK_NEVER_MS: none */
	CONF_SPAN, /* int64_t ms twice (at, at2), 0..max */
	CONF_CHOICE, /* int: min + the place of the word in `choices` */
	CONF_SWITCH, /* bool: is it the second of the two words in `choices`? */
	CONF_DAYS, /* unsigned, bit 0 = Monday */
	CONF_WINDOWS, /* struct conf_window *, size_t (at2) */
	CONF_RANGES, /* struct conf_dates *, size_t (at2) */
	CONF_NUMBERS, /* int *, size_t (at2); each min..max */
	CONF_REFS, /* const struct conf_mailbox **, size_t (at2) */
	CONF_TITLE, /* const char *: the title of a section `of` that kind; min = 0: or "" */
	CONF_USD, /* int64_t, millionths of a dollar, min..max */
	CONF_TIME, /* int: minutes after midnight */
	CONF_LIST, /* const char **, size_t (at2): texts, each once */
	CONF_COUNTRIES, /* likewise: codes of ISO 3166-1 in lower case */
};

enum conf_flag {
	CONF_REQUIRED = 1,
	CONF_LINES = 2, /* a string that may have several lines */
	CONF_NEVER = 4, /* a duration that may be `never` */
	CONF_RESTART = 8, /* a running daemon keeps the old value */
	CONF_UNENFORCED = 16, /* parses; nothing obeys it in this version */
	CONF_LATER = 32, /* is read and checked; nothing keeps it in this version */
};

/* A key of the configuration: the rows of keys.c, and nothing else, say what there is. */
struct conf_key {
	enum conf_in in;
	const char *name;
	enum conf_type type;
	unsigned flags;
	const char *def; /* as it would stand in a file; NULL: none */
	int64_t min, max;
	const char *choices; /* words with '|' between */
	const char *later; /* those of them that only a later version obeys; NULL: none */
	const char *instead; /* what this version does about those */
	enum conf_in of; /* TITLE */
	size_t at, at2; /* in the section's struct; LATER: in struct conf_unbuilt */
	const char *help; /* what it is, for messages */
};

struct conf_section {
	const char *name;
	unsigned parents; /* 1 << enum conf_in, each */
	bool has_title;
	bool is_later; /* is read into struct conf_unbuilt and checked; nothing keeps it */
};

/* What the checks look at of keys that nothing uses yet: filled for one section, and forgotten with
 * the next. Whoever builds a feature moves its members to a struct of coldmail/conf.h. */
struct conf_unbuilt {
	union {
		int number;
		int64_t ms;
		bool flag;
		const char *text;
		const char **list;
		struct conf_file file;
	} any; /* what is right by itself: nobody looks at it */
	size_t n_any;
	int kind; /* provider, alert */
	const char *url; /* provider */
	struct conf_file key, url_file; /* provider, alert, watch */
	int rpm, rpd, tpm, tpd; /* model; 0: none */
	const char *imap, *user; /* inbox; mailbox: imap */
	const char *inbox, *reply_to; /* mailbox */
	const char **list, **on; /* n_list, n_on: alert: to, on; campaign: adopts; review: links */
	size_t n_list, n_on;
	int failures, of_last_ten; /* breaker */
	int64_t open_ms, open_max_ms;
	const char *listen; /* http */
	size_t n_deny, n_allow; /* campaign: countries */
	int on_company_reply;
};
#define CONF_ALERT_KINDS "slack|discord|telegram|pagerduty|opsgenie|sentry|webhook|sms|mail|exec"
enum conf_provider_kind { CONF_PROVIDER_OPENAI, CONF_PROVIDER_ANTHROPIC };
enum conf_on_company_reply { CONF_COMPANY_NONE, CONF_COMPANY_PAUSE, CONF_COMPANY_STOP };

/* One load, from the first byte to struct conf. */
struct conf_load {
	enum conf_use use;
	const struct conf *running; /* borrowed: what a reload replaces; NULL: it is a start */
	struct mem_arena arena; /* becomes the generation's when all is well */
	struct mem_arena secrets; /* likewise; wiped at its end */
	struct conf_node *root;
	struct conf *conf; /* in the arena */
	struct conf_value *defaults; /* of each row of conf_keys */
	bool *is_warned; /* likewise: its warning was given */
	bool is_section_warned[CONF_N_SECTIONS]; /* likewise */
	struct conf_unbuilt unbuilt;
	size_t n_sources, n_nodes;
	struct conf_report_item *items; /* owned */
	size_t n_items, cap_items, n_errors;
	bool gave_up; /* a limit is passed: the files are at their end, and no more is told */
};

extern const struct conf_key conf_keys[];
extern const size_t conf_n_keys;
extern const struct conf_section conf_sections[CONF_N_SECTIONS];

const struct conf_key *conf_key_find(enum conf_in in, const char *name); /* NULL: none */
/* Which section NAME opens inside PARENT; CONF_TOP: none. */
enum conf_in conf_section_find(enum conf_in parent, const char *name);

/* The place of WORD, from 0, among WORDS with '|' between; -1: it is none, or there are no WORDS. */
int conf_word_place(const char *words, const char *word);

/* Says of an entry that IN does not have what is known about it: another
 * section's, or a slip of the pen. */
void conf_unknown(struct conf_load *l, enum conf_in in, const struct conf_node *node);

/* ---- values ---------------------------------------------------------------------------------- */

/* Reads V into BASE, the struct of K's section. false: told, BASE is untouched. */
bool conf_value_read(
	struct conf_load *l, const struct conf_key *k, const struct conf_value *v, void *base);
/* K's value in BASE in the language of the file. */
void conf_value_show(const struct conf_key *k, const void *base, struct str *out);

/* The secret that KEY wants (secret.c) from the file PATH or from credential:NAME, by the rules that
 * keep it one. In the arena of secrets. NULL: told. */
const char *conf_secret_read(
	struct conf_load *l, const char *key, const char *path, struct conf_place at);
#define CONF_CREDENTIAL "credential:"

/* The date that TEXT begins with, such as 2026-01-05, as days since 1970 (value_dates.c); false: it
 * begins with none. */
bool conf_scan_date(const char *text, int *ret_day);
#define CONF_DATE_LEN 10
/* The list of C's holidays, at the path that AT names it by. What is wrong in it is told with its line. */
void conf_read_holidays(
	struct conf_load *l, struct conf_place at, const char *path, struct conf_campaign *c);

/* A mailbox's address in lower case; NULL: TEXT is none. */
const char *conf_address(struct conf_load *l, const char *text);

/* ---- from the tree to struct conf ------------------------------------------------------------ */

/* Reads the defaults: before the first file, so that nothing in a file can stand in their way. */
void conf_build_defaults(struct conf_load *l);
/* Fills l->conf. Problems are told; the result is whole only without errors. */
void conf_build(struct conf_load *l);

/* What no row can say, each once its section's struct is filled. */
void conf_check_store(struct conf_load *l);
void conf_check_verify(struct conf_load *l, const struct conf_node *section);
/* NAME is absent from SECTION, or it was read: the struct says what the file means. */
bool conf_is_sound(const struct conf_node *section, const char *name);
/* Where NAME is set; where SECTION begins, if it is not. */
struct conf_place conf_place_of(const struct conf_node *section, const char *name);

/* check_url.c: HOST or HOST:PORT, an IPv6 address in brackets. Fills RET_HOST without them. */
#define CONF_HOST_MAX 253 /* RFC 1035 2.3.4 less the root's dot */
bool conf_split_host(const char *p, char ret_host[CONF_HOST_MAX + 1], bool *ret_has_port);
bool conf_is_loopback(const char *host); /* an address, or "localhost" */
/* What may listen to what is sent to an https:// or http:// URL. */
enum conf_reach {
	CONF_REACH_NONE, /* it is no such URL */
	CONF_REACH_TLS, /* nobody */
	CONF_REACH_HERE, /* in the clear, on this machine */
	CONF_REACH_CLEAR, /* in the clear */
};
enum conf_reach conf_reach_of(const char *url);
bool conf_is_loopback_url(const char *url);

/* check_http.c: SECTION may be NULL. */
void conf_check_http(struct conf_load *l, const struct conf_node *section, const struct conf *c);
void conf_check_unsubscribe(
	struct conf_load *l, const struct conf_node *section, struct conf_identity *i);
void conf_check_mailbox(
	struct conf_load *l, const struct conf_node *section, struct conf_mailbox *m);
void conf_check_campaign(
	struct conf_load *l, const struct conf_node *section, struct conf_campaign *c);
void conf_check_step(struct conf_load *l, const struct conf_node *section,
	const struct conf_campaign *c, size_t i);
void conf_check_writer(
	struct conf_load *l, const struct conf_node *section, const struct conf_campaign *c);
/* Fills C->reads_replies where SECTION does not. */
void conf_check_replies(
	struct conf_load *l, const struct conf_node *section, struct conf_campaign *c);
/* check_unbuilt.c: what l->unbuilt has of a section IN, of a mailbox and of a campaign. */
void conf_check_unbuilt(struct conf_load *l, enum conf_in in, const struct conf_node *section);
void conf_check_mailbox_unbuilt(struct conf_load *l, const struct conf_node *section);
void conf_check_campaign_unbuilt(struct conf_load *l, const struct conf_node *section);
/* check_sense.c: what is right by itself and makes no sense together. */
void conf_check_sense(struct conf_load *l);
/* SECTION may be NULL. */
void conf_check_watch(struct conf_load *l, const struct conf_node *section);
/* Does the preset of a mailbox's SECTION say KEY? */
bool conf_preset_has(struct conf_load *l, const struct conf_node *section, const char *key);
/* The keys that SECTION leaves to its preset. */
void conf_preset_fill(
	struct conf_load *l, const struct conf_node *section, struct conf_mailbox *ret);
/* Warns of a mailbox that sends more than its provider takes, or than is wise. */
void conf_preset_check(
	struct conf_load *l, const struct conf_node *section, const struct conf_mailbox *m);
/* restart.c: l->conf goes on with what l->running has of keys flagged RESTART. */
void conf_keep_running(struct conf_load *l);
/* The name of a campaign or a step: they become parts of keys. */
bool conf_is_name(const char *name);
