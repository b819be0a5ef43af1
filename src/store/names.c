/*
 * The stored names of attempts, steps and outcomes, both ways. They are promises: other people's
 * scripts read them.
 * Runs on: any. Called by the store's backends and by whoever prints what they answer.
 */
#include "coldmail/store.h"

#include "coldmail/str.h"
#include "store_private.h"

#define X(name, text) (text),
static const char *const attempt_names[] = { STORE_ATTEMPTS(X) };
static const char *const email_names[] = { STORE_EMAILS(X) };
static const char *const outcome_names[] = { STORE_OUTCOMES(X) };
#undef X

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool parse(const char *name, const char *const *names, size_t n, unsigned *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (!str_eq(name, names[i]))
			continue;
		*ret = (unsigned)i;
		return true;
	}
	return false;
}

const char *store_attempt_name(enum store_attempt_state s)
{
	return attempt_names[s];
}

const char *store_email_name(enum store_email_state s)
{
	return email_names[s];
}

const char *store_outcome_name(enum store_outcome o)
{
	return outcome_names[o];
}

bool store_attempt_parse(const char *name, enum store_attempt_state *ret)
{
	unsigned i;

	if (!parse(name, attempt_names, COUNT(attempt_names), &i))
		return false;
	*ret = (enum store_attempt_state)i;
	return true;
}

bool store_email_parse(const char *name, enum store_email_state *ret)
{
	unsigned i;

	if (!parse(name, email_names, COUNT(email_names), &i))
		return false;
	*ret = (enum store_email_state)i;
	return true;
}

bool store_outcome_parse(const char *name, enum store_outcome *ret)
{
	unsigned i;

	if (!parse(name, outcome_names, COUNT(outcome_names), &i))
		return false;
	*ret = (enum store_outcome)i;
	return true;
}

const char *store_status_of(enum store_outcome o)
{
	switch (o) {
	case STORE_OUTCOME_SENT:
	case STORE_OUTCOME_UNCERTAIN:
		return "sent";
	case STORE_OUTCOME_REFUSED:
	case STORE_OUTCOME_CANCELLED:
		return "failed";
	case STORE_OUTCOME_NONE:
		break;
	}
	return "pending";
}

int store_refuse(struct store_req *r, int err, const char *why)
{
	r->why = mem_arena_dup(&r->arena, why);
	return err;
}
