/*
 * Where a lead may be, where it may go from there, and what the predecessor's `leads.status` calls
 * it. Names are promises: they are stored, printed and read by other people's scripts.
 * Runs on: any. Called by the store when it reads and writes leads, and by the corridor.
 * Never moves a lead itself.
 */
#include "coldmail/lead.h"

#include "coldmail/str.h"

static const char *const state_names[] = {
#define X(name, text) [LEAD_##name] = (text),
	LEAD_STATES(X)
#undef X
};
#define N_STATES (sizeof state_names / sizeof *state_names)

static const char *const stage_names[] = {
#define X(name, text) [LEAD_STAGE_##name] = (text),
	LEAD_STAGES(X)
#undef X
};

static const struct {
	const char *name;
	bool is_trouble;
} reasons[] = { [LEAD_REASON_NONE] = { "", false },
#define X(name, text, state, trouble) [LEAD_REASON_##name] = { (text), (trouble) },
	LEAD_REASONS(X)
#undef X
};
#define N_REASONS (sizeof reasons / sizeof *reasons)

const char *lead_state_name(enum lead_state s)
{
	return state_names[s];
}

bool lead_state_parse(const char *name, enum lead_state *ret)
{
	for (size_t i = 0; i < N_STATES; i++) {
		if (!str_eq(name, state_names[i]))
			continue;
		*ret = (enum lead_state)i;
		return true;
	}
	return false;
}

/* A lead stays where it is to be due at another time, held for another reason, or ended for one that says
 * more. One that ended comes back by an operator's word (release, resolve), or because an import brings it
 * to another campaign. */
bool lead_state_may(enum lead_state from, enum lead_state to)
{
	static const bool moves[N_STATES][N_STATES] = {
		[LEAD_QUEUED] = { [LEAD_QUEUED] = true,
			[LEAD_HELD] = true,
			[LEAD_IN_FLIGHT] = true,
			[LEAD_ENDED] = true },
		[LEAD_HELD] = { [LEAD_HELD] = true, [LEAD_QUEUED] = true, [LEAD_ENDED] = true },
		[LEAD_IN_FLIGHT] = { [LEAD_QUEUED] = true,
			[LEAD_HELD] = true,
			[LEAD_ENDED] = true },
		[LEAD_ENDED] = { [LEAD_QUEUED] = true, [LEAD_ENDED] = true },
	};

	return moves[from][to];
}

const char *lead_stage_name(enum lead_stage s)
{
	return stage_names[s];
}

const char *lead_reason_name(enum lead_reason r)
{
	return reasons[r].name;
}

enum lead_reason lead_reason_parse(const char *name)
{
	for (size_t i = LEAD_REASON_NONE + 1; i < N_REASONS; i++)
		if (str_eq(name, reasons[i].name))
			return (enum lead_reason)i;
	return LEAD_REASON_NONE;
}

bool lead_reason_is_trouble(enum lead_reason r)
{
	return reasons[r].is_trouble;
}

bool lead_reason_is_passing(enum lead_reason r)
{
	return r == LEAD_REASON_SMTP_DEFERRED || r == LEAD_REASON_VERIFY_UNKNOWN ||
	       r == LEAD_REASON_DOMAIN_DAILY_LIMIT;
}

static const char *status_never_sent(enum lead_state s, enum lead_reason r)
{
	if (s != LEAD_ENDED)
		return "pending";
	return r == LEAD_REASON_BOUNCED ? "invalid" : "failed";
}

const char *lead_status(enum lead_state s, enum lead_reason r, int64_t n_sent)
{
	if (n_sent <= 0)
		return status_never_sent(s, r);
	if (s != LEAD_ENDED)
		return "sent";
	switch (r) {
	case LEAD_REASON_LEAD_REPLIED:
		return "replied";
	case LEAD_REASON_BOUNCED:
		return "bounced";
	case LEAD_REASON_OPTED_OUT:
	case LEAD_REASON_SUPPRESSED:
		return "unsubscribed";
	case LEAD_REASON_NONE:
	case LEAD_REASON_OPERATOR:
	case LEAD_REASON_MISSING_FIELD:
	case LEAD_REASON_BAD_RECORD:
	case LEAD_REASON_NO_CAMPAIGN:
	case LEAD_REASON_SMTP_DEFERRED:
	case LEAD_REASON_SMTP_UNKNOWN:
	case LEAD_REASON_SEND_UNCERTAIN:
	case LEAD_REASON_THREAD_UNKNOWN:
	case LEAD_REASON_DOMAIN_DAILY_LIMIT:
	case LEAD_REASON_COMPLETED:
	case LEAD_REASON_STOPPED:
	case LEAD_REASON_ALREADY_CONTACTED:
	case LEAD_REASON_OVERDUE_EXPIRED:
	case LEAD_REASON_VERIFY_INVALID:
	case LEAD_REASON_VERIFY_UNKNOWN:
		break;
	}
	return "sent";
}
