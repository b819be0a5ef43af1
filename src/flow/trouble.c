/*
 * What an error means: the one table that turns (who is at fault x stage x outcome) into consequences
 * for the lead, the mailbox and the step (mail.md, "Replies: who is at fault"). Every attempt's fate is
 * accounted for here.
 * Runs on: loop. Called by record.c (attempts), sender.c (connections), verify.c (name servers) and
 * outage.c (store). Pure.
 * Never retries itself: it says when, the pumps do.
 */
#include "flow_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/str.h"

#define AT(stage) (1u << MAIL_STAGE_##stage)
/* The server speaks of our connection, not of a mail: nothing there is ever said of a lead. */
#define BEFORE_MAIL (AT(CONNECT) | AT(GREET) | AT(EHLO) | AT(AUTH) | AT(IDLE) | AT(RSET) | AT(QUIT))
#define FROM_RCPT   (AT(RCPT) | AT(DATA) | AT(BODY) | AT(DOT))

#define STRIKES         3
#define STRIKES_LAST_MS (30 * CLOCK_DAY_MS)
/* Nobody greylists for longer: a server that does takes nothing for that address. */
#define GREYLIST_MAX_MS CLOCK_DAY_MS
#define DEAD_DOMAIN_MS  (30 * CLOCK_DAY_MS)

/* What a refusal means by its class. */
static const struct {
	enum flow_lead_next lead;
	enum lead_reason reason;
	bool has_fault; /* the mailbox's */
	enum mailbox_fault fault;
	enum flow_counts counts; /* toward what, together with others */
} rows[] = {
	[MAIL_CLASS_SENT] = { FLOW_LEAD_NEXT },
	[MAIL_CLASS_RECIPIENT_PERMANENT] = { FLOW_LEAD_END, LEAD_REASON_BOUNCED,
		.counts = FLOW_COUNTS_BOUNCE },
	[MAIL_CLASS_RECIPIENT_TRANSIENT] = { FLOW_LEAD_DEFER, LEAD_REASON_SMTP_DEFERRED },
	[MAIL_CLASS_GREYLISTED] = { FLOW_LEAD_DEFER, LEAD_REASON_SMTP_DEFERRED },
	[MAIL_CLASS_MAILBOX_THROTTLED] = { FLOW_LEAD_AGAIN, LEAD_REASON_NONE, true,
		MAILBOX_FAULT_RATE },
	[MAIL_CLASS_MAILBOX_BLOCKED] = { FLOW_LEAD_AGAIN, LEAD_REASON_NONE, true,
		MAILBOX_FAULT_BLOCKED },
	[MAIL_CLASS_AUTH_FAILED] = { FLOW_LEAD_AGAIN, LEAD_REASON_NONE, true, MAILBOX_FAULT_AUTH },
	[MAIL_CLASS_SERVER_TRANSIENT] = { FLOW_LEAD_AGAIN, LEAD_REASON_NONE, true,
		MAILBOX_FAULT_TRANSIENT },
	[MAIL_CLASS_CONTENT_REJECTED] = { FLOW_LEAD_AGAIN, .counts = FLOW_COUNTS_CONTENT },
	/* A no that is not understood suppresses nobody and blocks nothing: it is shown. */
	[MAIL_CLASS_UNKNOWN] = { FLOW_LEAD_HOLD, LEAD_REASON_SMTP_UNKNOWN,
		.counts = FLOW_COUNTS_UNKNOWN },
};

enum flow_counts flow_trouble_counts(enum store_attempt_state s, const char *class, int code)
{
	enum flow_counts counts = FLOW_COUNTS_REFUSAL;

	if (s == STORE_ATTEMPT_UNCERTAIN)
		return FLOW_COUNTS_UNCERTAIN;
	if (s != STORE_ATTEMPT_REFUSED)
		return s == STORE_ATTEMPT_SENT ? FLOW_COUNTS_SENT : FLOW_COUNTS_NOTHING;
	for (size_t c = 0; c < sizeof rows / sizeof *rows; c++)
		if (str_eq(mail_class_name((enum mail_class)c), class) && rows[c].counts)
			counts = rows[c].counts;
	return counts == FLOW_COUNTS_UNKNOWN && code / 100 != 5 ? FLOW_COUNTS_REFUSAL : counts;
}

/* ---- when ------------------------------------------------------------------------------------- */

static int64_t nth(const int64_t *wait, int n_waits, int n)
{
	return wait[n < 1 ? 0 : n > n_waits ? n_waits - 1 : n - 1];
}

/* The Nth time that an address takes nothing. */
static int64_t transient_ms(int n)
{
	static const int64_t wait[] = { CLOCK_DAY_MS, 3 * CLOCK_DAY_MS, 7 * CLOCK_DAY_MS };

	return nth(wait, 3, n);
}

/* The Nth time that a server does not know us yet (RFC 6647). */
static int64_t greylisted_ms(int n)
{
	static const int64_t wait[] = { 5 * CLOCK_MINUTE_MS, 15 * CLOCK_MINUTE_MS, CLOCK_HOUR_MS };

	return nth(wait, 3, n);
}

/* The Nth try of a mail that broke without a word about its lead. */
static int64_t aside_ms(int n)
{
	static const int64_t wait[] = { 5 * CLOCK_MINUTE_MS, 15 * CLOCK_MINUTE_MS, CLOCK_HOUR_MS,
		CLOCK_DAY_MS, 3 * CLOCK_DAY_MS, 7 * CLOCK_DAY_MS };

	return nth(wait, 6, n);
}

/* The Nth time that no name server answered for a domain. */
static int64_t lookup_ms(int n)
{
	static const int64_t wait[] = { 5 * CLOCK_MINUTE_MS, 15 * CLOCK_MINUTE_MS, CLOCK_HOUR_MS };

	return nth(wait, 3, n);
}

/* ---- who -------------------------------------------------------------------------------------- */

static bool is_at(const struct mail_verdict *v, unsigned stages)
{
	return stages & 1u << v->stage;
}

static enum mailbox_fault fault_of(const struct mail_verdict *v, struct mail_ruling r)
{
	if (r.class == MAIL_CLASS_MAILBOX_THROTTLED && str_eq(r.reason, "daily-limit"))
		return MAILBOX_FAULT_DAILY_LIMIT;
	if (r.class == MAIL_CLASS_AUTH_FAILED && v->code / 100 == 4)
		return MAILBOX_FAULT_AUTH_LATER;
	return rows[r.class].has_fault ? rows[r.class].fault : MAILBOX_FAULT_TRANSIENT;
}

enum mailbox_fault flow_trouble_of_connecting(const struct mail_verdict *v, struct mail_ruling r)
{
	if (v->err == CM_ETLS)
		return MAILBOX_FAULT_TLS;
	if (v->err == CM_EAUTH)
		return MAILBOX_FAULT_AUTH;
	return v->code ? fault_of(v, r) : MAILBOX_FAULT_TRANSIENT;
}

/* ---- mailboxes --------------------------------------------------------------------------------- */

/* A login that is refused so often in a row waits for an operator. */
#define LOGINS_MAX 2

#define BACKOFF        .to = MAILBOX_THROTTLED, .wait_ms = CLOCK_MINUTE_MS, .wait_max_ms = CLOCK_HOUR_MS
#define FOR(state, ms) .to = MAILBOX_##state, .wait_ms = (ms), .wait_max_ms = (ms)

static const struct mailbox_remedy remedies[] = {
	[MAILBOX_FAULT_TRANSIENT] = { BACKOFF },
	[MAILBOX_FAULT_RATE] = { BACKOFF },
	/* When its day has room again below what it took; what a provider calls enough is believed for
	 * a week. */
	[MAILBOX_FAULT_DAILY_LIMIT] = { FOR(THROTTLED, CLOCK_HOUR_MS),
		.believe_ms = 7 * CLOCK_DAY_MS },
	/* Tried again after a day at the earliest. */
	[MAILBOX_FAULT_BLOCKED] = { FOR(BLOCKED, CLOCK_DAY_MS) },
	[MAILBOX_FAULT_AUTH] = { FOR(AUTH, CLOCK_NEVER_MS) },
	/* The server could not look (454). */
	[MAILBOX_FAULT_AUTH_LATER] = { FOR(AUTH, 30 * CLOCK_MINUTE_MS) },
	/* Certificates are renewed by others, at any time. */
	[MAILBOX_FAULT_TLS] = { FOR(TLS, CLOCK_HOUR_MS) },
};
#undef BACKOFF
#undef FOR

struct mailbox_remedy flow_trouble_remedy(enum mailbox_fault f, const struct mailbox *m)
{
	bool is_first = f == MAILBOX_FAULT_AUTH && mailbox_refused_logins(m) < LOGINS_MAX - 1;
	struct mailbox_remedy r = remedies[is_first ? MAILBOX_FAULT_TRANSIENT : f];

	r.fault = f;
	return r;
}

/* ---- attempts --------------------------------------------------------------------------------- */

static struct flow_trouble sent(void)
{
	return (struct flow_trouble){
		.attempt = STORE_ATTEMPT_SENT,
		.outcome = STORE_OUTCOME_SENT,
		.lead = FLOW_LEAD_NEXT,
	};
}

/* Of this mail nothing can be said, but a server that loses one may lose the next: its mailbox backs
 * off. When it was we who waited no longer, that blames nobody. */
static struct flow_trouble uncertain(const struct mail_verdict *v)
{
	return (struct flow_trouble){
		.attempt = STORE_ATTEMPT_UNCERTAIN,
		.outcome = STORE_OUTCOME_UNCERTAIN,
		.lead = FLOW_LEAD_HOLD,
		.reason = LEAD_REASON_SEND_UNCERTAIN,
		.has_fault = v->err != CM_ECANCELED,
		.fault = MAILBOX_FAULT_TRANSIENT,
	};
}

/* Nothing was said about this lead: it waits for its mailbox. We let go of some ourselves (no slot came
 * in time): that blames nobody. */
static struct flow_trouble not_sent(const struct mail_verdict *v, struct mail_ruling r)
{
	if (v->err == CM_EINVAL) /* no server was asked: it is the record */
		return (struct flow_trouble){
			.attempt = STORE_ATTEMPT_NOT_SENT,
			.lead = FLOW_LEAD_HOLD,
			.reason = LEAD_REASON_BAD_RECORD,
		};
	return (struct flow_trouble){
		.attempt = STORE_ATTEMPT_NOT_SENT,
		.lead = FLOW_LEAD_AGAIN,
		.has_fault = v->err != CM_ECANCELED,
		.fault = flow_trouble_of_connecting(v, r),
	};
}

static struct flow_trouble refused(const struct mail_verdict *v, struct mail_ruling r)
{
	bool is_of_mail = !is_at(v, BEFORE_MAIL);

	/* What makes it too big may be the lead's own: it would be no smaller again. */
	if (is_of_mail && str_eq(r.reason, "too-big"))
		r.class = MAIL_CLASS_UNKNOWN;
	return (struct flow_trouble){
		.attempt = STORE_ATTEMPT_REFUSED,
		.lead = is_of_mail ? rows[r.class].lead : FLOW_LEAD_AGAIN,
		.reason = is_of_mail ? rows[r.class].reason : LEAD_REASON_NONE,
		.has_fault = rows[r.class].has_fault || !is_of_mail,
		.fault = fault_of(v, r),
	};
}

/* The address takes nothing, once more. */
static void strike(struct flow_trouble *t, const struct store_past *past, int64_t now_ms)
{
	t->wait_ms = transient_ms(past->n_transient + 1);
	if (past->n_transient < STRIKES - 1 ||
		now_ms - past->transient_ms[STRIKES - 2] > STRIKES_LAST_MS)
		return;
	t->lead = FLOW_LEAD_END;
	t->reason = LEAD_REASON_STOPPED;
	t->outcome = STORE_OUTCOME_CANCELLED;
}

static void blame_recipient(struct flow_trouble *t, const struct store_past *past, int64_t now_ms)
{
	switch (t->ruling.class) {
	case MAIL_CLASS_RECIPIENT_PERMANENT:
		t->outcome = STORE_OUTCOME_REFUSED;
		t->suppress = FLOW_SUPPRESS_ADDRESS;
		if (str_eq(t->ruling.reason, "domain-dead")) {
			t->suppress = FLOW_SUPPRESS_DOMAIN;
			t->suppress_ms = DEAD_DOMAIN_MS;
		}
		break;
	case MAIL_CLASS_RECIPIENT_TRANSIENT:
		strike(t, past, now_ms);
		break;
	case MAIL_CLASS_GREYLISTED:
		t->wait_ms = greylisted_ms(past->n_greylisted + 1);
		if (past->n_greylisted && now_ms - past->greylisted_ms > GREYLIST_MAX_MS) {
			t->ruling.class = MAIL_CLASS_RECIPIENT_TRANSIENT;
			strike(t, past, now_ms);
		}
		break;
	case MAIL_CLASS_SENT:
	case MAIL_CLASS_MAILBOX_THROTTLED:
	case MAIL_CLASS_MAILBOX_BLOCKED:
	case MAIL_CLASS_AUTH_FAILED:
	case MAIL_CLASS_SERVER_TRANSIENT:
	case MAIL_CLASS_CONTENT_REJECTED:
	case MAIL_CLASS_UNKNOWN:
		break;
	}
}

static struct flow_trouble by_outcome(const struct mail_verdict *v, struct mail_ruling r)
{
	switch (v->outcome) {
	case MAIL_OUTCOME_SENT:
		return sent();
	case MAIL_OUTCOME_NOT_SENT:
		return not_sent(v, r);
	case MAIL_OUTCOME_REFUSED:
		return refused(v, r);
	case MAIL_OUTCOME_UNCERTAIN:
		break;
	}
	return uncertain(v);
}

struct flow_trouble flow_trouble_of(const struct mail_verdict *v, struct mail_ruling r, int n,
	const struct store_past *past, int64_t now_ms)
{
	struct flow_trouble t = by_outcome(v, r);

	t.ruling = r;
	if (v->outcome == MAIL_OUTCOME_REFUSED && !is_at(v, BEFORE_MAIL))
		blame_recipient(&t, past, now_ms);
	/* A mail whose attempts keep failing before anybody speaks of the lead steps aside, so that it
	 * cannot hold up the others of its mailbox (case 36). */
	if (t.lead == FLOW_LEAD_AGAIN && n >= 2 && is_at(v, FROM_RCPT) && v->err != CM_ECANCELED) {
		t.lead = FLOW_LEAD_DEFER;
		t.reason = LEAD_REASON_SMTP_DEFERRED;
		t.wait_ms = aside_ms(n);
	}
	return t;
}

struct mail_ruling flow_trouble_ruling(struct mail_classes *classes, const struct mail_verdict *v)
{
	if (v->outcome == MAIL_OUTCOME_SENT)
		return (struct mail_ruling){ MAIL_CLASS_SENT, "" };
	if (v->outcome == MAIL_OUTCOME_UNCERTAIN)
		return (struct mail_ruling){ MAIL_CLASS_UNKNOWN, "no-answer" };
	if (v->code)
		return mail_classify(
			classes, MAIL_WHERE_SUBMISSION, v->stage, v->code, v->enhanced, v->text);
	if (v->err == CM_EAUTH)
		return (struct mail_ruling){ MAIL_CLASS_AUTH_FAILED, "auth" };
	return (struct mail_ruling){ MAIL_CLASS_SERVER_TRANSIENT,
		v->err == CM_ECANCELED ? "self" : "connection" };
}

struct flow_trouble flow_trouble_of_lookup(enum dns_mx mx, int failures)
{
	switch (mx) {
	case DNS_MX_OK:
		return (struct flow_trouble){ .lead = FLOW_LEAD_NEXT };
	case DNS_MX_NONE:
		return (struct flow_trouble){ .lead = FLOW_LEAD_HOLD,
			.reason = LEAD_REASON_VERIFY_INVALID };
	case DNS_MX_UNKNOWN:
		break;
	}
	return (struct flow_trouble){ .lead = FLOW_LEAD_DEFER,
		.reason = LEAD_REASON_VERIFY_UNKNOWN,
		.wait_ms = lookup_ms(failures) };
}

int64_t flow_trouble_store_wait_ms(unsigned failures)
{
	return failures < 5 ? CLOCK_SECOND_MS << failures : 30 * CLOCK_SECOND_MS;
}
