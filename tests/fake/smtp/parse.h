/*
 * fake-smtp: from the text of a rule to a struct rule.
 * Runs on: the one thread of fake-smtp. Called by script.c only.
 */
#pragma once

#include "script.h"

/* Fills R, whose `where` is set. False: ERR says "WHERE: what, and what was expected"; R may be
 * half filled. */
bool parse_rule(struct rule *r, const char *text, struct buf *err);
