/*
 * A parsed template, as template.c makes it and render.c reads it: two small programs of text,
 * variables and jumps. Nobody else includes this.
 * Runs on: loop.
 */
#pragma once

#include "coldmail/content.h"
#include "coldmail/mem.h"

enum content_op_kind {
	CONTENT_OP_TEXT, /* text as it stands */
	CONTENT_OP_VAR, /* the value of a field, or its default */
	CONTENT_OP_IF, /* a field that is not there: go on at `to` */
	CONTENT_OP_JUMP, /* go on at `to` */
};

/* Strings are borrowed: from the template's arena. */
struct content_op {
	enum content_op_kind kind;
	const char *text; /* TEXT: the text; VAR, IF: the field's name */
	const char *fallback; /* VAR: its default; NULL: none, the field is needed */
	size_t to; /* IF, JUMP: index of an op, or n */
};

struct content_program {
	struct content_op *ops; /* owned */
	size_t n, cap;
};

struct content_template {
	bool same_thread;
	struct mem_arena mem; /* every string of the programs */
	struct content_program subject, body; /* subject: empty when same_thread */
	char hash[65];
};
