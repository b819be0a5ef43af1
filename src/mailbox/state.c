/*
 * The states of a mailbox: a state is a list, one function moves, and a table says which moves there
 * are. What a fault means, and for how long, is said by whoever reports it (flow/trouble.c).
 * Runs on: loop. Called by pool.c, and by flow when something happened.
 * Never tries anything: it says until when a mailbox is still.
 */
#include "mailbox_private.h"

#include "coldmail/err.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* No stored state or lowered cap is believed to last longer, whatever its row says. */
#define STATE_MAX_MS   CLOCK_DAY_MS
#define LOWERED_MAX_MS (7 * CLOCK_DAY_MS)
#define REFUSED_MAX    100

static struct list lists[MAILBOX_REMOVED + 1];
static void (*on_change)(struct mailbox *m);

static const char *const state_names[] = {
#define X(name, text, gate) [MAILBOX_##name] = text,
	MAILBOX_STATES(X)
#undef X
};

static const char *const gates[] = {
#define X(name, text, gate) [MAILBOX_##name] = gate,
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

bool mailbox_state_is_trouble(enum mailbox_state s)
{
	return s != MAILBOX_READY && s != MAILBOX_PAUSED && s != MAILBOX_REMOVED;
}

const char *mailbox_closed(const struct mailbox *m)
{
	return gates[m->state];
}

/* ---- the one mover ---------------------------------------------------------------------------- */

#define TO(name) (1u << MAILBOX_##name)
/* What stops a mailbox outranks a backoff, and nothing but time or somebody here ends it. */
static const unsigned may_follow[] = {
	[MAILBOX_READY] =
		TO(THROTTLED) | TO(BLOCKED) | TO(AUTH) | TO(TLS) | TO(PAUSED) | TO(REMOVED),
	[MAILBOX_THROTTLED] =
		TO(READY) | TO(BLOCKED) | TO(AUTH) | TO(TLS) | TO(PAUSED) | TO(REMOVED),
	[MAILBOX_BLOCKED] = TO(READY) | TO(PAUSED) | TO(REMOVED),
	[MAILBOX_AUTH] = TO(READY) | TO(BLOCKED) | TO(PAUSED) | TO(REMOVED),
	[MAILBOX_TLS] = TO(READY) | TO(BLOCKED) | TO(PAUSED) | TO(REMOVED),
	[MAILBOX_PAUSED] =
		TO(READY) | TO(THROTTLED) | TO(BLOCKED) | TO(AUTH) | TO(TLS) | TO(REMOVED),
	[MAILBOX_REMOVED] =
		TO(READY) | TO(THROTTLED) | TO(BLOCKED) | TO(AUTH) | TO(TLS) | TO(PAUSED),
};
#undef TO

/* The configuration outranks an operator, an operator outranks a server. */
static enum mailbox_state state_of(const struct mailbox *m)
{
	return m->is_removed ? MAILBOX_REMOVED : m->paused ? MAILBOX_PAUSED : m->health;
}

/* The only place that assigns ->state: it follows what is known of M. WHY is for the log. */
static void move(struct mailbox *m, const char *why)
{
	enum mailbox_state from = m->state, to = state_of(m);
	char stamp[CLOCK_STAMP];

	if (to == from)
		return;
	bug_if(!(may_follow[from] & 1u << to), "mailbox %s: %s -> %s", m->address,
		state_names[from], state_names[to]);
	list_remove(&lists[from], &m->node);
	m->state = to;
	list_push(&lists[to], &m->node);
	int64_t until = mailbox_state_until(m);
	log_event(mailbox_state_is_trouble(to) ? LOG_WARNING : LOG_NOTICE, "mailbox_state",
		LOG_S("mailbox", m->address), LOG_S("from", state_names[from]),
		LOG_S("to", state_names[to]), LOG_S("why", why),
		LOG_S("until", until == CLOCK_NEVER_MS ? "" : clock_stamp(until, stamp)));
}

void mailbox_state_init(void)
{
	for (size_t i = 0; i <= MAILBOX_REMOVED; i++)
		list_init(&lists[i]);
}

void mailbox_state_enter(struct mailbox *m)
{
	m->until_ms = CLOCK_NEVER_MS;
	m->is_proven = true;
	list_push(&lists[m->state], &m->node);
}

void mailbox_state_leave(struct mailbox *m)
{
	list_remove(&lists[m->state], &m->node);
	free(m->why);
	free(m->paused);
}

const char *mailbox_state_why(const struct mailbox *m)
{
	switch (m->state) {
	case MAILBOX_REMOVED:
		return "not configured any more";
	case MAILBOX_PAUSED:
		return m->paused;
	case MAILBOX_READY:
	case MAILBOX_THROTTLED:
	case MAILBOX_BLOCKED:
	case MAILBOX_AUTH:
	case MAILBOX_TLS:
		break;
	}
	return m->why ? m->why : "";
}

int64_t mailbox_state_until(const struct mailbox *m)
{
	if (!mailbox_state_is_trouble(m->state) || m->until_ms == CLOCK_NEVER_MS)
		return CLOCK_NEVER_MS;
	return clock_wall_ms() + m->until_ms - clock_boot_ms();
}

static void changed(struct mailbox *m)
{
	if (on_change)
		on_change(m);
}

/* FOR_MS: CLOCK_NEVER_MS lasts until somebody ends it. */
static void set_health(struct mailbox *m, enum mailbox_state to, int64_t for_ms, const char *why)
{
	/* Back in business, and in no hurry when it was the provider that had closed it. */
	if (to == MAILBOX_READY && m->health == MAILBOX_BLOCKED)
		m->cap.back_ms = clock_wall_ms();
	m->health = to;
	m->until_ms = for_ms == CLOCK_NEVER_MS ? CLOCK_NEVER_MS : clock_boot_ms() + for_ms;
	free(m->why);
	m->why = to == MAILBOX_READY ? NULL : xstrdup(why);
	move(m, why);
	changed(m);
}

void mailbox_state_wake(struct mailbox *m)
{
	if (mailbox_state_is_trouble(m->state) && clock_boot_ms() >= m->until_ms)
		set_health(m, MAILBOX_READY, CLOCK_NEVER_MS,
			m->state == MAILBOX_THROTTLED ? "backoff is over" : "time to try again");
}

/* ---- faults ----------------------------------------------------------------------------------- */

static int64_t backoff(struct mailbox *m, const struct mailbox_remedy *r)
{
	int64_t ms = m->backoff_ms > r->wait_ms ? m->backoff_ms : r->wait_ms;

	m->backoff_ms = ms * 2 > r->wait_max_ms ? r->wait_max_ms : ms * 2;
	return ms;
}

/* The provider's own count says that today was enough: believe it, and go on when there is room below
 * what it took; not before R's wait, whatever our count says. What is past its slot and still under way,
 * the mail that was refused first of all, it did not take. */
static int64_t believe_limit(struct mailbox *m, const struct mailbox_remedy *r)
{
	int64_t now = clock_wall_ms();
	size_t used = mailbox_pace_used(&m->pace, now), not_taken = m->in_use - m->waiting;

	used = used > not_taken ? used - not_taken : 0;
	m->cap.lowered = used ? (int)used : 1;
	m->cap.lowered_until_ms = now + r->believe_ms;
	int64_t wait =
		used ? mailbox_pace_day_opens(&m->pace, now, (int)used, 0) - now : CLOCK_DAY_MS;
	return wait < r->wait_ms ? r->wait_ms : wait;
}

static int64_t time_after(struct mailbox *m, const struct mailbox_remedy *r)
{
	if (r->believe_ms)
		return believe_limit(m, r);
	return r->wait_ms < r->wait_max_ms ? backoff(m, r) : r->wait_ms;
}

/* All connections of a mailbox fail at once: the first one to tell decides, but for a fault that is
 * worse than that. What stops it already is not made longer. */
static bool changes_anything(const struct mailbox *m, enum mailbox_state to)
{
	switch (m->health) {
	case MAILBOX_READY:
		return true;
	case MAILBOX_THROTTLED:
		return to == MAILBOX_BLOCKED || to == MAILBOX_TLS;
	case MAILBOX_AUTH:
	case MAILBOX_TLS:
		return to == MAILBOX_BLOCKED;
	case MAILBOX_BLOCKED:
	case MAILBOX_PAUSED:
	case MAILBOX_REMOVED:
		break;
	}
	return false;
}

void mailbox_fault(struct mailbox *m, const struct mailbox_remedy *r, const char *why)
{
	if (!changes_anything(m, r->to))
		return;
	log_event(LOG_WARNING, "mailbox_fault", LOG_S("mailbox", m->address),
		LOG_S("fault", mailbox_fault_name(r->fault)), LOG_S("why", why));
	m->is_proven = false;
	m->refused_logins += r->fault == MAILBOX_FAULT_AUTH;
	set_health(m, r->to, time_after(m, r), why);
}

int mailbox_refused_logins(const struct mailbox *m)
{
	return m->refused_logins;
}

void mailbox_succeed(struct mailbox *m)
{
	if (m->is_proven)
		return;
	m->backoff_ms = 0;
	m->refused_logins = 0;
	m->is_proven = true;
	changed(m);
}

/* ---- what somebody here wants ----------------------------------------------------------------- */

void mailbox_pause(struct mailbox *m, const char *why)
{
	char *old = m->paused;

	m->paused = why ? xstrdup(why) : NULL;
	free(old);
	move(m, why ? why : "not paused any more");
}

void mailbox_resume(struct mailbox *m)
{
	m->backoff_ms = 0;
	m->refused_logins = 0;
	m->cap.lowered = 0;
	m->is_resumed = !m->has_history;
	set_health(m, MAILBOX_READY, CLOCK_NEVER_MS, "resumed by an operator");
}

void mailbox_renew(struct mailbox *m)
{
	if (m->health == MAILBOX_BLOCKED)
		return;
	m->backoff_ms = 0;
	m->refused_logins = 0;
	set_health(m, MAILBOX_READY, CLOCK_NEVER_MS, "another server or login is configured");
}

void mailbox_state_set_removed(struct mailbox *m, bool is_removed)
{
	m->is_removed = is_removed;
	move(m, is_removed ? "not configured any more" : "configured again");
}

/* ---- what is remembered ----------------------------------------------------------------------- */

void mailbox_on_change(void (*fn)(struct mailbox *m))
{
	on_change = fn;
}

struct store_mailbox mailbox_kept(const struct mailbox *m)
{
	bool ends = m->until_ms != CLOCK_NEVER_MS;

	return (struct store_mailbox){
		.state = state_names[m->health],
		.why = m->why ? m->why : "",
		.until_ms = ends ? clock_wall_ms() + m->until_ms - clock_boot_ms() : CLOCK_NEVER_MS,
		.backoff_ms = m->backoff_ms,
		.refused_logins = m->refused_logins,
		.lowered = m->cap.lowered,
		.lowered_until_ms = m->cap.lowered_until_ms,
		.back_ms = m->cap.back_ms,
	};
}

void mailbox_forget(struct mailbox *m, const char *address)
{
	str_blot(m->paused, address);
	if (str_blot(m->why, address))
		changed(m);
}

/* How long a state of an earlier process still lasts. Whatever the clock did meanwhile, or the row
 * says, it is not longer than such a state ever is. */
static int64_t time_left(enum mailbox_state s, int64_t until_ms)
{
	int64_t now = clock_wall_ms();

	if (s == MAILBOX_AUTH && until_ms == CLOCK_NEVER_MS)
		return CLOCK_NEVER_MS;
	return CLAMP(until_ms, now, now + STATE_MAX_MS) - now;
}

void mailbox_state_recall(struct mailbox *m, const struct store_mailbox *kept)
{
	int64_t now = clock_wall_ms();
	enum mailbox_state s = MAILBOX_READY;

	m->backoff_ms = CLAMP(kept->backoff_ms, 0, STATE_MAX_MS);
	m->refused_logins = CLAMP(kept->refused_logins, 0, REFUSED_MAX);
	m->cap.lowered = kept->lowered;
	m->cap.lowered_until_ms = CLAMP(kept->lowered_until_ms, 0, now + LOWERED_MAX_MS);
	m->cap.back_ms = CLAMP(kept->back_ms, 0, now);
	for (enum mailbox_state k = MAILBOX_THROTTLED; k < MAILBOX_PAUSED; k++)
		if (str_eq(state_names[k], kept->state))
			s = k;
	m->is_proven = s == MAILBOX_READY && !m->backoff_ms;
	if (s != MAILBOX_READY)
		set_health(m, s, time_left(s, kept->until_ms), kept->why);
}
