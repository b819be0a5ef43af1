/*
 * Content: what a mail says. Templates for now; prompts and reviews join them. Pure.
 * Runs on: loop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "coldmail/lead.h"
#include "coldmail/mem.h"

struct content_template;

/* Parses a template (interfaces.md, "Files that users write"): a header block (`Subject: …`), an
 * empty line, the body; {{name}}, {{name|default}}, {{#if name}}…{{else}}…{{/if}} (nesting <= 8).
 * SAME_THREAD: the template answers, so a Subject is an error; otherwise a missing one is. FILE is for
 * messages only. 0: *RET is the caller's. CM_EINVAL: *RET_PROBLEM (the caller's) is
 * "FILE:LINE: what, and what was expected". */
int content_template_parse(const char *text, const char *file, bool same_thread,
	struct content_template **ret, char **ret_problem) __attribute__((warn_unused_result));
void content_template_free(struct content_template *t);

/* A mail's words. */
struct content_text {
	const char *subject; /* NULL when the template answers in its thread */
	const char *body; /* LF line ends, one at the end, no trailing blank lines */
};

/* Renders for one lead; the result lives in A. CM_EINVAL: a variable without default is missing or
 * null-like, or a value is unusable; *RET_WHY (in A) names the field and the remedy. No value
 * brings CR, LF, NUL or another control character into a subject; in a body they become spaces.
 * `first_name` is used only where it looks like one (lead_first_name), else it counts as missing. */
int content_template_render(const struct content_template *t, const struct lead *l,
	struct mem_arena *a, struct content_text *ret, const char **ret_why)
	__attribute__((warn_unused_result));

/* 64 hex digits and a NUL over everything the template says: a draft carries it, so that a stale one
 * is noticed. */
const char *content_template_hash(const struct content_template *t);
