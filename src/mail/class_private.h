/*
 * Inside the classification of replies, four files: class_words.c reads a text as words,
 * class_rows.c reads the table, class_hear.c finds the rows whose words are in a text, classify.c is the
 * door and decides. Pure.
 * Runs on: loop.
 */
#pragma once

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coldmail/mail.h"
#include "coldmail/mem.h"

/* ---- words (class_words.c) ------------------------------------------------------------------- */

#define MAIL_WORDS_MAX   256 /* what is beyond is not looked at */
#define MAIL_WORDS_BYTES 1280

/* A text as words: lower case, accents and apostrophes gone, "SendAsDenied" as three of them. An
 * address is the word "@", an IPv4 address the word "#"; the labels of a URL or a host name begin
 * with '/', so that nobody's name says anything about a mail. Each ideograph is a word. */
struct mail_words {
	char text[MAIL_WORDS_BYTES]; /* one space between two; a line feed between sentences */
	uint16_t at[MAIL_WORDS_MAX]; /* where each begins */
	uint16_t sentence[MAIL_WORDS_MAX]; /* the first word of its sentence */
	size_t n;
};

void mail_words_read(const char *text, struct mail_words *ret);

/* ---- the table (class_rows.c) ---------------------------------------------------------------- */

#define MAIL_CLASS_GAP 8 /* words that '~' may stand for */

/* A place where phrases end, in a tree of bytes; a phrase says one term or more. */
struct mail_class_node {
	unsigned char byte;
	uint16_t child, sibling; /* 0: none */
	uint32_t terms; /* said here; 0: none */
};

/* One of the terms said at a node. */
struct mail_class_said {
	uint16_t term;
	bool is_prefix; /* more letters may follow */
	uint32_t next; /* 0: none */
};

/* Words that mean the same: a named vocabulary, or one phrase of a row. */
struct mail_class_term {
	const char *name; /* NULL: a row's own phrase */
	uint32_t begins; /* a first element of a sequence; 0: none */
};

/* One element of a row's sequence of terms. Those of one sequence follow each other. */
struct mail_class_element {
	uint16_t term, row;
	bool is_first, is_last;
	bool has_gap; /* other words may stand before it */
	uint32_t next; /* IS_FIRST: another that its term begins; 0: none */
};

struct mail_class_hearing;

struct mail_class_row {
	uint64_t rank; /* the lowest decides */
	unsigned where; /* 1 << stage, each; MAIL_CLASS_DSN */
	const char *codes; /* with '|' between */
	unsigned digits; /* 1 << first digit of a code that may be one of them, each */
	bool is_any_text;
	regex_t *pattern; /* NULL: words */
	enum mail_class class;
	const char *reason;
};
#define MAIL_CLASS_DSN (1U << 31)

/* Arrays start at 1 where 0 means none. */
struct mail_classes {
	struct mem_arena arena;
	struct mail_class_row *rows; /* owned, like the others */
	size_t n_rows, cap_rows;
	uint16_t *order; /* of n_rows: indices by rank */
	struct mail_class_node *nodes; /* the first is the root */
	size_t n_nodes, cap_nodes;
	uint16_t starts[256]; /* the root's child for each byte; 0: none */
	struct mail_class_said *said;
	size_t n_said, cap_said;
	struct mail_class_term *terms;
	size_t n_terms, cap_terms;
	struct mail_class_element *elements;
	size_t n_elements, cap_elements;
	struct mail_class_hearing *hearing; /* owned: of one reply */
};

/* Adds the rows of TEXT, which people know as NAME; those of a lower TABLE decide before. Problems
 * as "NAME:LINE: …\n"; after one, T is good for nothing but its end. */
void mail_classes_read(struct mail_classes *t, unsigned table, const char *name, const char *text,
	struct str *ret_problems);

/* ---- which rows' words are in a text (class_hear.c) ------------------------------------------- */

/* Only after the last mail_classes_read(). */
struct mail_class_hearing *mail_classes_listen(const struct mail_classes *t);
void mail_class_hearing_free(struct mail_class_hearing *h); /* NULL is accepted */
/* Listens to TEXT for the words of the rows that are open. */
void mail_classes_hear(const struct mail_classes *t, unsigned where, int code, const char *text);
bool mail_classes_is_heard(const struct mail_classes *t, size_t row); /* in the last text */
/* May ROW decide a reply of that first digit, said there? */
bool mail_class_is_open(const struct mail_class_row *row, unsigned where, int code);
