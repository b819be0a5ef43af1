/*
 * What every backend shares: the stored names read back, and how a request is refused.
 * Runs on: any. Nothing outside of src/store includes this.
 */
#pragma once

#include <stdbool.h>

#include "coldmail/store.h"

const char *store_email_name(enum store_email_state s);
/* false: not such a name (a stored row of unknown origin). */
bool store_attempt_parse(const char *name, enum store_attempt_state *ret);
bool store_email_parse(const char *name, enum store_email_state *ret);
bool store_outcome_parse(const char *name, enum store_outcome *ret);

/* The predecessor's emails.status: pending, sent (an uncertain one, too) or failed. */
const char *store_status_of(enum store_outcome o);

/* The request's answer is ERR because of WHY (copied). Returns ERR. */
int store_refuse(struct store_req *r, int err, const char *why);
