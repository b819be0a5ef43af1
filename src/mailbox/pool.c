/*
 * The pool of mailboxes (coldmail/mailbox.h): a state is a list, one function moves.
 * Runs on: loop. Called by flow (sched, send) and read by ops.
 * Never opens a connection, never looks at a lead, never retries: it says when, others do.
 */
#include "coldmail/mailbox.h"

#include <glib.h>
#include <sys/random.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/list.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#include "pace.h"

/* A throttled mailbox waits this long, doubling (mail.md: back off 1 -> 60 min). */
#define THROTTLE_FIRST_MS CLOCK_MINUTE_MS
#define THROTTLE_MAX_MS   CLOCK_HOUR_MS

struct mailbox {
	struct list_node node; /* in lists[state] */
	char *address; /* owned */
	enum mailbox_state state;
	struct mailbox_pace pace;
	int connections;
	GTimeZone *zone; /* owned */
	size_t in_use; /* mails started and not over */
	size_t waiting; /* of those, the ones that have no slot yet */
	char *why; /* owned: of THROTTLED */
	int64_t throttle_ms; /* the next backoff */
	int64_t throttled_until_ms; /* boot: a server's trouble has no calendar */
	bool paused;
	bool has_history; /* mailbox_history() was called */
};

static struct list lists[MAILBOX_REMOVED + 1];
static struct mailbox **all; /* owned array of owned mailboxes, in order of appearance */
static size_t n_all, all_cap;

static const char *const state_names[] = {
#define X(name, text) [MAILBOX_##name] = text,
	MAILBOX_STATES(X)
#undef X
};

static const char *const fault_names[] = {
#define X(name, text) [MAILBOX_FAULT_##name] = text,
	MAILBOX_FAULTS(X)
#undef X
};

const char *mailbox_state_name(enum mailbox_state s)
{
	return state_names[s];
}

const char *mailbox_fault_name(enum mailbox_fault f)
{
	return fault_names[f];
}

/* The only place that assigns ->state. Every state may follow every other: an operator, a server
 * and a reload act independently. */
static void set_state(struct mailbox *m, enum mailbox_state to, const char *why)
{
	if (m->state == to)
		return;
	log_event(to == MAILBOX_THROTTLED ? LOG_WARNING : LOG_NOTICE, "mailbox_state",
		LOG_S("mailbox", m->address), LOG_S("from", state_names[m->state]),
		LOG_S("to", state_names[to]), LOG_S("why", why));
	list_remove(&lists[m->state], &m->node);
	m->state = to;
	list_push(&lists[to], &m->node);
}

/* ---- the pool -------------------------------------------------------------------------------- */

static struct mailbox *mailbox_new(const char *address)
{
	struct mailbox *m = xcalloc(1, sizeof *m);
	uint64_t seed = 0;

	if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
		seed = (uint64_t)clock_raw_us();
	mailbox_pace_init(&m->pace, seed);
	m->address = xstrdup(address);
	m->throttle_ms = THROTTLE_FIRST_MS;
	list_push(&lists[m->state], &m->node);
	mem_grow(all, all_cap, n_all + 1);
	all[n_all++] = m;
	return m;
}

static void mailbox_free(struct mailbox *m)
{
	list_remove(&lists[m->state], &m->node);
	mailbox_pace_done(&m->pace);
	if (m->zone)
		g_time_zone_unref(m->zone);
	free(m->why);
	free(m->address);
	free(m);
}

static void configure_one(struct mailbox *m, const struct conf_mailbox *c)
{
	mailbox_pace_set(&m->pace, c->gap_min_ms, c->gap_max_ms, c->daily_limit);
	m->connections = c->connections;
	if (m->zone)
		g_time_zone_unref(m->zone);
	m->zone = g_time_zone_new_identifier(c->timezone);
	if (!m->zone)
		m->zone = g_time_zone_new_utc();
	if (m->state == MAILBOX_REMOVED)
		set_state(m, m->paused ? MAILBOX_PAUSED : MAILBOX_READY, "configured again");
}

void mailbox_configure(const struct conf *c)
{
	if (!lists[0].head.next)
		for (size_t i = 0; i <= MAILBOX_REMOVED; i++)
			list_init(&lists[i]);
	for (size_t i = 0; i < n_all; i++)
		if (!conf_find_mailbox(c, all[i]->address))
			set_state(all[i], MAILBOX_REMOVED, "not configured any more");
	for (size_t i = 0; i < c->n_mailboxes; i++) {
		const struct conf_mailbox *cm = &c->mailboxes[i];
		struct mailbox *m = mailbox_find(cm->address);

		configure_one(m ? m : mailbox_new(cm->address), cm);
	}
}

void mailbox_done_all(void)
{
	for (size_t i = 0; i < n_all; i++)
		mailbox_free(all[i]);
	free(all);
	all = NULL;
	n_all = all_cap = 0;
}

struct mailbox *mailbox_find(const char *address)
{
	for (size_t i = 0; i < n_all; i++)
		if (str_eq(all[i]->address, address))
			return all[i];
	return NULL;
}

size_t mailbox_count(void)
{
	return n_all;
}

struct mailbox *mailbox_at(size_t i)
{
	bug_if(i >= n_all, "mailbox %zu of %zu", i, n_all);
	return all[i];
}

const char *mailbox_name(const struct mailbox *m)
{
	return m->address;
}

/* ---- when ------------------------------------------------------------------------------------ */

void mailbox_history(struct mailbox *m, const int64_t *at_ms, size_t n, int64_t last_ms)
{
	m->has_history = true;
	if (last_ms && !n)
		mailbox_pace_add(&m->pace, last_ms);
	for (size_t i = 0; i < n; i++)
		mailbox_pace_add(&m->pace, at_ms[i]);
}

bool mailbox_has_history(const struct mailbox *m)
{
	return m->has_history;
}

static size_t closed(
	const char **ret_reason, int64_t *ret_until, const char *reason, int64_t until_ms)
{
	if (ret_reason)
		*ret_reason = reason;
	if (ret_until)
		*ret_until = until_ms;
	return 0;
}

const char *mailbox_closed(const struct mailbox *m)
{
	switch (m->state) {
	case MAILBOX_REMOVED:
	case MAILBOX_PAUSED:
		return "mailbox_paused";
	case MAILBOX_THROTTLED:
		return "mailbox_throttled";
	case MAILBOX_READY:
		break;
	}
	return NULL;
}

size_t mailbox_room(struct mailbox *m, const char **ret_reason, int64_t *ret_until_ms)
{
	int64_t now = clock_wall_ms(), backoff = m->throttled_until_ms - clock_boot_ms();
	bool has_gap = m->pace.gap_max_ms > 0;

	if (m->state == MAILBOX_THROTTLED && backoff <= 0)
		set_state(m, MAILBOX_READY, "backoff is over");
	if (m->state != MAILBOX_READY)
		return closed(ret_reason, ret_until_ms, mailbox_closed(m),
			m->state == MAILBOX_THROTTLED ? now + backoff : CLOCK_NEVER_MS);
	if (!m->has_history)
		return closed(ret_reason, ret_until_ms, "store_down", CLOCK_NEVER_MS);
	int64_t day = mailbox_pace_day_opens(&m->pace, now, m->waiting);
	if (day > now)
		return closed(ret_reason, ret_until_ms, "mailbox_daily_limit", day);
	if (now < m->pace.not_before_ms)
		return closed(ret_reason, ret_until_ms, "mailbox_gap", m->pace.not_before_ms);
	/* One on each connection, one reserved after it, one being written. After a failure one mail
	 * at a time finds out whether the mailbox works again. */
	size_t most =
		has_gap || m->throttle_ms > THROTTLE_FIRST_MS ? 1 : 3 * (size_t)m->connections;
	if (m->in_use >= most)
		return closed(ret_reason, ret_until_ms, "mailbox_gap", CLOCK_NEVER_MS);
	size_t left = (size_t)m->pace.limit - mailbox_pace_used(&m->pace, now) - m->waiting;
	return left < most - m->in_use ? left : most - m->in_use;
}

void mailbox_take(struct mailbox *m)
{
	m->in_use++;
	m->waiting++;
}

void mailbox_slot(struct mailbox *m)
{
	bug_if(!m->waiting, "%s: a slot without a mail", m->address);
	m->waiting--;
	mailbox_pace_add(&m->pace, clock_wall_ms());
}

void mailbox_give_back(struct mailbox *m, bool had_slot)
{
	bug_if(!m->in_use || (!had_slot && !m->waiting), "%s: given back twice", m->address);
	m->in_use--;
	if (!had_slot)
		m->waiting--;
}

void mailbox_fault(struct mailbox *m, enum mailbox_fault f, const char *why)
{
	if (m->state != MAILBOX_READY)
		return; /* one backoff for all connections that failed at once */
	log_event(LOG_WARNING, "mailbox_fault", LOG_S("mailbox", m->address),
		LOG_S("fault", mailbox_fault_name(f)), LOG_S("why", why));
	free(m->why);
	m->why = xstrdup(why);
	m->throttled_until_ms = clock_boot_ms() + m->throttle_ms;
	m->throttle_ms =
		m->throttle_ms * 2 > THROTTLE_MAX_MS ? THROTTLE_MAX_MS : m->throttle_ms * 2;
	set_state(m, MAILBOX_THROTTLED, why);
}

void mailbox_succeed(struct mailbox *m)
{
	m->throttle_ms = THROTTLE_FIRST_MS;
}

void mailbox_pause(struct mailbox *m, bool paused)
{
	m->paused = paused;
	if (m->state != MAILBOX_REMOVED)
		set_state(m, paused ? MAILBOX_PAUSED : MAILBOX_READY,
			paused ? "paused by an operator" : "resumed by an operator");
}

/* ---- for people ------------------------------------------------------------------------------ */

/* Start of the calendar day in the mailbox's own zone. */
static int64_t midnight_ms(const struct mailbox *m, int64_t now_ms)
{
	GDateTime *utc = g_date_time_new_from_unix_utc(now_ms / 1000);
	GDateTime *local = g_date_time_to_timezone(utc, m->zone);
	int64_t into_day =
		((g_date_time_get_hour(local) * 60 + g_date_time_get_minute(local)) * 60 +
			g_date_time_get_second(local)) *
		1000;

	g_date_time_unref(local);
	g_date_time_unref(utc);
	return now_ms - now_ms % 1000 - into_day;
}

struct mailbox_info mailbox_info(struct mailbox *m)
{
	int64_t now = clock_wall_ms(), until = CLOCK_NEVER_MS;

	mailbox_room(m, NULL, &until);
	return (struct mailbox_info){
		.address = m->address,
		.state = m->state,
		.why = m->state == MAILBOX_THROTTLED ? m->why : NULL,
		.until_ms = until,
		.sent_today = (int)mailbox_pace_since(&m->pace, midnight_ms(m, now)),
		.sent_24h = (int)mailbox_pace_used(&m->pace, now),
		.daily_limit = m->pace.limit,
		.gap_min_ms = m->pace.gap_min_ms,
		.gap_max_ms = m->pace.gap_max_ms,
		.last_sent_ms = m->pace.last_ms,
		.in_use = m->in_use,
		.connections = m->connections,
	};
}
