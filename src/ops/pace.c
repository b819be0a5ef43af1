/*
 * Pace: when the next mail of a campaign can go out, about when the last one does, and which gate a
 * mailbox waits at. Estimates for people.
 * Runs on: loop. Called by campaigns, status and the summary.
 * Never decides whether a mail goes: that is flow's, by the same gates.
 */
#include "ops_private.h"

#include "coldmail/clock.h"
#include "coldmail/str.h"

/* Ramps are followed so far ahead. */
#define AHEAD_DAYS 100

#define DAYS_A_WEEK 7

/* How long a day's windows are open, and how many days of the week have them. */
static int64_t open_ms(const struct conf_campaign *cc)
{
	int64_t minutes = 0;

	for (size_t i = 0; i < cc->n_windows; i++)
		minutes += cc->windows[i].to_min - cc->windows[i].from_min;
	return minutes * CLOCK_MINUTE_MS;
}

static int64_t open_days(const struct conf_campaign *cc)
{
	return __builtin_popcount(cc->days);
}

/* Mails a day. */
struct rate {
	int64_t by_gap; /* as the gaps alone would have it */
	int64_t all; /* with the day's limits */
	int64_t of_gap_bound, of_ramp_bound; /* of those */
};

/* In OPEN_MS of that day. */
static void add_mailbox(struct rate *r, const struct conf_mailbox *cm, int64_t day_ms, int64_t open)
{
	struct mailbox *m = mailbox_find(cm->address);
	int64_t gap = (cm->gap_min_ms + cm->gap_max_ms) / 2, n = (open - 1) / (gap ? gap : 1) + 1;
	const char *gate = "mailbox_daily_limit";
	int64_t cap = m ? mailbox_cap(m, day_ms, &gate) : cm->daily_limit;

	r->by_gap += n;
	r->all += n < cap ? n : cap;
	if (n < cap)
		r->of_gap_bound += n;
	else if (str_eq(gate, "mailbox_ramp"))
		r->of_ramp_bound += cap;
}

/* On the day of DAY_MS. */
static struct rate rate_of(const struct conf_campaign *cc, int64_t day_ms)
{
	struct rate r = { 0 };

	for (size_t i = 0; i < cc->n_mailboxes; i++)
		add_mailbox(&r, cc->mailboxes[i], day_ms, open_ms(cc));
	return r;
}

static const char *what_binds(const struct rate *r)
{
	if (2 * r->of_gap_bound > r->all)
		return "mailbox_gap";
	return 2 * r->of_ramp_bound > r->all ? "mailbox_ramp" : "mailbox_daily_limit";
}

/* How long N mails take from the first, at FROM_MS, to the last: whole days at what the limits allow,
 * with days of the week that are closed between them, the rest a gap from each other. */
static int64_t time_of(const struct conf_campaign *cc, int64_t n, int64_t from_ms)
{
	struct rate r = rate_of(cc, from_ms);
	int64_t days = 0;

	for (; n > r.all && r.of_ramp_bound && days < AHEAD_DAYS; days++) {
		n -= r.all;
		r = rate_of(cc, from_ms + (days + 1) * CLOCK_DAY_MS);
	}
	days += (n - 1) / r.all;
	return days * CLOCK_DAY_MS * DAYS_A_WEEK / open_days(cc) +
	       (n - 1) % r.all * open_ms(cc) / r.by_gap;
}

const char *ops_gate(struct mailbox *m, int64_t *ret_opens_ms)
{
	bool is_ready = mailbox_info(m).state == MAILBOX_READY;
	struct mailbox_gate gates[MAILBOX_GATES_MAX];
	size_t n = mailbox_gates(m, gates);
	const char *reason = NULL;

	*ret_opens_ms = clock_wall_ms();
	for (size_t i = 0; i < n; i++) {
		/* What ends with a mail under way ends soon; only an operator ends a pause. */
		if ((gates[i].until_ms == CLOCK_NEVER_MS && is_ready) ||
			(reason && gates[i].until_ms <= *ret_opens_ms))
			continue;
		reason = gates[i].reason;
		if (gates[i].until_ms > *ret_opens_ms)
			*ret_opens_ms = gates[i].until_ms;
	}
	return reason;
}

/* When the first of CC's mailboxes has room; CLOCK_NEVER_MS: there is none. */
static int64_t room_opens(const struct conf_campaign *cc)
{
	int64_t first = CLOCK_NEVER_MS, opens;

	for (size_t i = 0; i < cc->n_mailboxes; i++) {
		struct mailbox *m = mailbox_find(cc->mailboxes[i]->address);

		if (!m)
			continue;
		ops_gate(m, &opens);
		first = opens < first ? opens : first;
	}
	return first;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

int64_t ops_next_mail(const struct conf_campaign *cc, const struct ops_due *due)
{
	const int64_t room = room_opens(cc);
	int64_t first = CLOCK_NEVER_MS;

	if (!due || room == CLOCK_NEVER_MS || !flow_has_writer(cc))
		return CLOCK_NEVER_MS;
	/* A hold that ends by itself, as after a "later" of the server, ends in a mail. */
	if (due->wake_ms != CLOCK_NEVER_MS)
		first = flow_next_open(cc, "", later(due->wake_ms, room));
	for (size_t i = 0; !flow_is_stopped(cc->name) && i < due->n_buckets; i++) {
		const struct store_bucket *b = &due->buckets[i];
		int64_t opens = flow_next_open(cc, b->zone, later(b->due_ms, room));

		first = opens < first ? opens : first;
	}
	return first;
}

/* About when the last mail of those who wait now goes out. Steps overlap: either the mailboxes are
 * busy all the time, or the last lead's steps wait for each other. */
static int64_t finish_of(const struct conf_campaign *cc, int64_t waiting, int64_t next_ms)
{
	int64_t after = 0;

	if (!waiting || !rate_of(cc, next_ms).all || next_ms == CLOCK_NEVER_MS)
		return CLOCK_NEVER_MS;
	for (size_t i = 0; i < cc->n_steps; i++)
		after += cc->steps[i].after_ms;
	int64_t busy = time_of(cc, waiting * (int64_t)cc->n_steps, next_ms);
	int64_t last = time_of(cc, waiting, next_ms) + after;
	return next_ms + (busy > last ? busy : last);
}

void ops_json_pace(cJSON *o, const struct conf_campaign *cc, const struct ops_survey *s)
{
	const struct rate r = rate_of(cc, clock_wall_ms());
	int64_t next_ms = ops_next_mail(cc, ops_due_of(s, cc->name));
	int64_t waiting = ops_tally_state(s, cc->name, LEAD_QUEUED);
	cJSON *mailboxes = cJSON_AddArrayToObject(o, "mailboxes");

	for (size_t i = 0; i < cc->n_mailboxes; i++)
		cJSON_AddItemToArray(mailboxes, cJSON_CreateString(cc->mailboxes[i]->address));
	ops_json_whole(o, "per_day", r.all);
	cJSON_AddStringToObject(o, "bound_by", what_binds(&r));
	ops_json_time(o, "next_mail", next_ms);
	ops_json_time(o, "finish", finish_of(cc, waiting, next_ms));
}
