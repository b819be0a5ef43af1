/*
 * The pool of mailboxes (coldmail/mailbox.h): who there is, and how much room each has.
 * Runs on: loop. Called by flow (sched, send) and read by ops.
 * Never opens a connection, never looks at a lead, never retries: it says when, others do.
 */
#include "coldmail/mailbox.h"

#include <sys/random.h>

#include "coldmail/err.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#include "mailbox_private.h"

static struct mailbox **all; /* owned array of owned mailboxes, in order of appearance */
static size_t n_all, all_cap;

/* ---- the pool -------------------------------------------------------------------------------- */

static struct mailbox *mailbox_new(const char *address)
{
	struct mailbox *m = xcalloc(1, sizeof *m);
	uint64_t seed = 0;

	if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
		seed = (uint64_t)clock_raw_us();
	mailbox_pace_init(&m->pace, seed);
	mailbox_cap_init(&m->cap);
	m->address = xstrdup(address);
	mailbox_state_enter(m);
	mem_grow(all, all_cap, n_all + 1);
	all[n_all++] = m;
	return m;
}

static void mailbox_free(struct mailbox *m)
{
	mailbox_state_leave(m);
	mailbox_pace_done(&m->pace);
	mailbox_cap_done(&m->cap);
	free(m->address);
	free(m);
}

static void configure_one(struct mailbox *m, const struct conf_mailbox *c)
{
	mailbox_pace_set(&m->pace, c->gap_min_ms, c->gap_max_ms, c->daily_limit);
	mailbox_cap_configure(&m->cap, c);
	m->connections = c->connections;
	mailbox_state_set_removed(m, false);
}

void mailbox_configure(const struct conf *c)
{
	if (!all)
		mailbox_state_init();
	for (size_t i = 0; i < n_all; i++)
		if (!conf_find_mailbox(c, all[i]->address))
			mailbox_state_set_removed(all[i], true);
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

void mailbox_history(struct mailbox *m, const struct mailbox_past *past)
{
	m->has_history = true;
	if (past->last_ms && !past->n)
		mailbox_pace_add(&m->pace, past->last_ms);
	for (size_t i = 0; i < past->n; i++)
		mailbox_pace_add(&m->pace, past->at_ms[i]);
	if (past->tried_ms)
		mailbox_pace_try(&m->pace, past->tried_ms);
	if (past->first_ms)
		m->cap.first_ms = past->first_ms;
	if (past->kept && !m->is_resumed)
		mailbox_state_recall(m, past->kept);
}

bool mailbox_has_history(const struct mailbox *m)
{
	return m->has_history;
}

int mailbox_cap(struct mailbox *m, int64_t wall_ms, const char **ret_gate)
{
	struct mailbox_cap c = m->cap;

	if (!c.first_ms)
		c.first_ms = clock_wall_ms(); /* for a day to come: if it began now */
	return mailbox_cap_at(&c, wall_ms, ret_gate, NULL);
}

static size_t used_today(struct mailbox *m, int64_t now)
{
	return mailbox_pace_since(&m->pace, mailbox_cap_day(&m->cap, now).begins_ms);
}

/* How many more fit in any 24 hours and in the calendar day; those under way have their place. */
static size_t left_of(struct mailbox *m, int64_t now, int cap)
{
	size_t rolling = mailbox_pace_used(&m->pace, now), calendar = used_today(m, now);
	size_t used = (rolling > calendar ? rolling : calendar) + m->waiting;

	return used < (size_t)cap ? (size_t)cap - used : 0;
}

/* When there is room for one more, none being now: both days have some, or a new one has more. */
static int64_t day_opens(struct mailbox *m, int64_t now, int cap)
{
	int64_t tomorrow = mailbox_cap_day(&m->cap, now).ends_ms;
	int64_t opens = mailbox_pace_day_opens(&m->pace, now, cap, m->waiting);

	if (used_today(m, now) + m->waiting >= (size_t)cap && opens < tomorrow)
		return tomorrow;
	return opens > tomorrow && mailbox_cap(m, tomorrow, NULL) > cap ? tomorrow : opens;
}

/* One on each connection, one reserved after it, one being written. After a failure one mail at a time
 * finds out whether the mailbox works again. */
static size_t most_in_use(const struct mailbox *m)
{
	bool has_gap = m->pace.gap_max_ms > 0;

	return has_gap || !m->is_proven ? 1 : 3 * (size_t)m->connections;
}

size_t mailbox_gates(struct mailbox *m, struct mailbox_gate ret[MAILBOX_GATES_MAX])
{
	int64_t now = clock_wall_ms();
	const char *gate;
	size_t n = 0;

	mailbox_state_wake(m);
	int cap = mailbox_cap(m, now, &gate);
	if (m->state != MAILBOX_READY)
		ret[n++] = (struct mailbox_gate){ mailbox_closed(m), mailbox_state_until(m) };
	if (!m->has_history) {
		ret[n++] = (struct mailbox_gate){ "store_down", CLOCK_NEVER_MS };
		return n;
	}
	if (!left_of(m, now, cap))
		ret[n++] = (struct mailbox_gate){ gate, day_opens(m, now, cap) };
	if (now < m->pace.not_before_ms)
		ret[n++] = (struct mailbox_gate){ "mailbox_gap", m->pace.not_before_ms };
	else if (m->in_use >= most_in_use(m))
		ret[n++] = (struct mailbox_gate){ "mailbox_gap", CLOCK_NEVER_MS };
	return n;
}

size_t mailbox_room(struct mailbox *m, const char **ret_reason, int64_t *ret_until_ms)
{
	struct mailbox_gate gates[MAILBOX_GATES_MAX];
	int64_t now = clock_wall_ms();

	if (mailbox_gates(m, gates)) {
		if (ret_reason)
			*ret_reason = gates->reason;
		if (ret_until_ms)
			*ret_until_ms = gates->until_ms;
		return 0;
	}
	size_t left = left_of(m, now, mailbox_cap(m, now, NULL)), idle = most_in_use(m) - m->in_use;
	return left < idle ? left : idle;
}

size_t mailbox_connections(const struct mailbox *m)
{
	return m->is_proven ? (size_t)m->connections : 1;
}

/* Of 1000, how much of its day a mailbox has left. */
static int64_t share_left(struct mailbox *m, int64_t now)
{
	int cap = mailbox_cap(m, now, NULL);

	return (int64_t)left_of(m, now, cap) * 1000 / cap;
}

int mailbox_compare(struct mailbox *a, struct mailbox *b)
{
	int64_t now = clock_wall_ms(), left_a = share_left(a, now), left_b = share_left(b, now);

	if (a->is_proven != b->is_proven)
		return a->is_proven ? -1 : 1;
	if (left_a != left_b)
		return left_a > left_b ? -1 : 1;
	return a->pace.last_ms < b->pace.last_ms ? -1 : a->pace.last_ms > b->pace.last_ms;
}

void mailbox_take(struct mailbox *m)
{
	m->in_use++;
	m->waiting++;
}

void mailbox_test_slot(struct mailbox *m)
{
	bug_if(!m->waiting, "%s: a slot without a mail", m->address);
	m->waiting--;
	mailbox_pace_add(&m->pace, clock_wall_ms());
}

void mailbox_slot(struct mailbox *m)
{
	mailbox_test_slot(m);
	if (!m->cap.first_ms)
		m->cap.first_ms = clock_wall_ms();
}

void mailbox_tried(struct mailbox *m)
{
	mailbox_pace_try(&m->pace, clock_wall_ms());
}

void mailbox_give_back(struct mailbox *m, bool had_slot)
{
	bug_if(!m->in_use || (!had_slot && !m->waiting), "%s: given back twice", m->address);
	m->in_use--;
	if (!had_slot)
		m->waiting--;
}

struct mailbox_guard *mailbox_guard_of(struct mailbox *m)
{
	return &m->guard;
}

/* ---- for people ------------------------------------------------------------------------------ */

struct mailbox_info mailbox_info(struct mailbox *m)
{
	int64_t now = clock_wall_ms(), until = CLOCK_NEVER_MS;
	const char *cap_why;
	int cap = mailbox_cap_at(&m->cap, now, NULL, &cap_why);

	mailbox_room(m, NULL, &until);
	return (struct mailbox_info){
		.address = m->address,
		.state = m->state,
		.why = mailbox_state_why(m),
		.until_ms = until,
		.sent_today = (int)used_today(m, now),
		.sent_24h = (int)mailbox_pace_used(&m->pace, now),
		.cap = cap,
		.cap_why = cap_why,
		.daily_limit = m->cap.daily_limit,
		.gap_min_ms = m->pace.gap_min_ms,
		.gap_max_ms = m->pace.gap_max_ms,
		.last_sent_ms = m->pace.last_ms,
		.in_use = m->in_use,
		.connections = mailbox_connections(m),
		.bounces = mailbox_guard_bounces(&m->guard),
	};
}
