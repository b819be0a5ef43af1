/*
 * What an error means: the one table that turns (stage x outcome x reply) into consequences for the
 * lead, the mailbox and the step. Every attempt's fate is accounted for here.
 * Runs on: loop. Called by record.c (attempts) and flow.c (store). Pure.
 * Never retries itself: it says when, the pumps do.
 */
#include "flow_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/str.h"

#define ANY_STAGE 0xFFFFu
#define AT(stage) (1u << MAIL_STAGE_##stage)
/* The server speaks of our connection or our sender, not yet of a recipient. */
#define BEFORE_RCPT                                                                                \
	(AT(CONNECT) | AT(GREET) | AT(EHLO) | AT(AUTH) | AT(IDLE) | AT(MAIL) | AT(RSET) | AT(QUIT))
#define FROM_RCPT (AT(RCPT) | AT(DATA) | AT(BODY) | AT(DOT))

/* First match decides. enhanced: prefix of the RFC 3463 code, "" matches any; "5.1.1|5.1.2|…". */
static const struct {
	enum mail_outcome outcome;
	unsigned stages;
	int code_from, code_to;
	const char *enhanced;
	const char *class;
	enum flow_lead_next lead;
	enum lead_reason reason;
	bool throttle, suppress;
} rows[] = {
	{ MAIL_OUTCOME_SENT, ANY_STAGE, 0, 599, "", "sent", FLOW_LEAD_NEXT, LEAD_REASON_NONE, false,
		false },
	{ MAIL_OUTCOME_UNCERTAIN, ANY_STAGE, 0, 599, "", "unknown", FLOW_LEAD_HOLD,
		LEAD_REASON_SEND_UNCERTAIN, false, false },
	/* Nothing was said about this lead: it waits for its mailbox. */
	{ MAIL_OUTCOME_NOT_SENT, ANY_STAGE, 0, 599, "", "server-transient", FLOW_LEAD_AGAIN,
		LEAD_REASON_NONE, true, false },
	{ MAIL_OUTCOME_REFUSED, ANY_STAGE, 421, 421, "", "server-transient", FLOW_LEAD_AGAIN,
		LEAD_REASON_NONE, true, false },
	/* RFC 1870: the mail is larger than the server takes. */
	{ MAIL_OUTCOME_REFUSED, AT(MAIL), 552, 552, "5.3.4", "content-rejected", FLOW_LEAD_HOLD,
		LEAD_REASON_SMTP_UNKNOWN, false, false },
	{ MAIL_OUTCOME_REFUSED, BEFORE_RCPT, 200, 599, "", "server-transient", FLOW_LEAD_AGAIN,
		LEAD_REASON_NONE, true, false },
	/* RFC 3463 3.2: bad destination mailbox, system or syntax; moved; null MX (RFC 7505) */
	{ MAIL_OUTCOME_REFUSED, AT(RCPT) | AT(DOT), 500, 599,
		"5.1.1|5.1.2|5.1.3|5.1.6|5.1.10|5.2.1", "recipient-permanent", FLOW_LEAD_END,
		LEAD_REASON_BOUNCED, false, true },
	{ MAIL_OUTCOME_REFUSED, FROM_RCPT, 400, 499, "", "recipient-transient", FLOW_LEAD_DEFER,
		LEAD_REASON_SMTP_DEFERRED, false, false },
	/* A no that is not understood suppresses nobody and blocks nothing: it is shown. */
	{ MAIL_OUTCOME_REFUSED, ANY_STAGE, 0, 599, "", "unknown", FLOW_LEAD_HOLD,
		LEAD_REASON_SMTP_UNKNOWN, false, false },
};

static bool has_code(const char *list, const char *enhanced)
{
	size_t n = strlen(enhanced);

	if (!*list)
		return true;
	if (!n)
		return false;
	for (const char *p = list; (p = strstr(p, enhanced)); p += n)
		if ((p == list || p[-1] == '|') && (p[n] == '|' || !p[n]))
			return true;
	return false;
}

/* A step that was refused or lost is tried again after 5, 15, 60 min (what greylisting asks for,
 * RFC 6647), then 1, 3, 7 days. */
static int64_t defer_ms(int n)
{
	static const int64_t wait[] = { 5 * CLOCK_MINUTE_MS, 15 * CLOCK_MINUTE_MS, CLOCK_HOUR_MS,
		CLOCK_DAY_MS, 3 * CLOCK_DAY_MS, 7 * CLOCK_DAY_MS };
	size_t last = sizeof wait / sizeof *wait - 1, i = n < 1 ? 0 : (size_t)n - 1;

	return wait[i > last ? last : i];
}

static enum store_attempt_state attempt_state(enum mail_outcome o)
{
	switch (o) {
	case MAIL_OUTCOME_SENT:
		return STORE_ATTEMPT_SENT;
	case MAIL_OUTCOME_REFUSED:
		return STORE_ATTEMPT_REFUSED;
	case MAIL_OUTCOME_NOT_SENT:
		return STORE_ATTEMPT_NOT_SENT;
	case MAIL_OUTCOME_UNCERTAIN:
		break;
	}
	return STORE_ATTEMPT_UNCERTAIN;
}

static enum store_outcome step_outcome(enum mail_outcome o, enum flow_lead_next lead)
{
	if (o == MAIL_OUTCOME_SENT)
		return STORE_OUTCOME_SENT;
	if (o == MAIL_OUTCOME_UNCERTAIN)
		return STORE_OUTCOME_UNCERTAIN;
	return lead == FLOW_LEAD_END ? STORE_OUTCOME_REFUSED : STORE_OUTCOME_NONE;
}

struct flow_trouble flow_trouble_of(const struct mail_verdict *v, int n)
{
	size_t i = 0;

	while (rows[i].outcome != v->outcome || !(rows[i].stages & 1u << v->stage) ||
		v->code < rows[i].code_from || v->code > rows[i].code_to ||
		!has_code(rows[i].enhanced, v->enhanced))
		i++; /* the last rows match any stage and code of their outcome */
	struct flow_trouble t = {
		.class = rows[i].class,
		.attempt = attempt_state(v->outcome),
		.outcome = step_outcome(v->outcome, rows[i].lead),
		.lead = rows[i].lead,
		.reason = rows[i].reason,
		.throttle = rows[i].throttle,
		.suppress = rows[i].suppress,
	};
	/* We let go of it ourselves (no slot came in time): that blames nobody. */
	if (v->outcome == MAIL_OUTCOME_NOT_SENT && v->err == CM_ECANCELED) {
		t.class = "self";
		t.throttle = false;
		return t;
	}
	/* A mail whose attempts keep failing before anybody speaks of the lead steps aside, so that it
	 * cannot hold up the others of its mailbox. */
	if (t.lead == FLOW_LEAD_AGAIN && n >= 2 && (FROM_RCPT & 1u << v->stage)) {
		t.lead = FLOW_LEAD_DEFER;
		t.reason = LEAD_REASON_SMTP_DEFERRED;
	}
	if (t.lead == FLOW_LEAD_DEFER)
		t.wait_ms = defer_ms(n);
	return t;
}

enum mailbox_fault flow_trouble_of_connecting(const struct mail_verdict *v)
{
	if (v->err == CM_ETLS)
		return MAILBOX_FAULT_TLS;
	if (v->err == CM_EAUTH)
		return MAILBOX_FAULT_AUTH;
	if (v->stage != MAIL_STAGE_AUTH || !v->code || v->code == 421)
		return MAILBOX_FAULT_TRANSIENT;
	return v->code < 500 ? MAILBOX_FAULT_AUTH_LATER : MAILBOX_FAULT_AUTH;
}

int64_t flow_trouble_store_wait_ms(unsigned failures)
{
	return failures < 5 ? CLOCK_SECOND_MS << failures : 30 * CLOCK_SECOND_MS;
}
