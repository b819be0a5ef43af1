/*
 * The loop (coldmail/loop.h): libev for descriptors, our own heap for timers, one "now" per turn.
 * Runs on: loop. Called by everybody; main() runs it.
 * Never blocks but in epoll. The whole heartbeat is turn_end() and turn_start(): libev calls them
 * before and after it sleeps.
 */
#include "coldmail/loop.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/mem.h"

/* libev is given one timer for the heap's head, never further away than this, so that a suspended
 * machine or a leap of virtual time is noticed. */
#define LOOP_SLEEP_MAX_MS CLOCK_MINUTE_MS

static struct {
	struct ev_loop *ev; /* owned */
	ev_prepare prepare;
	ev_check check;
	ev_timer sleep;
	struct loop_timer **heap; /* owned array of borrowed timers; a binary heap: is_before() */
	size_t n, cap;
	uint64_t settings; /* of timers, so far */
	struct loop_defer *defer_head, **defer_tail;
	unsigned held;
	bool fast_forward;
	int64_t woke_us;
	struct loop_stats stats;
} lp;

/* ---- the heap -------------------------------------------------------------------------------- */

static bool is_before(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->number < b->number;
}

static void heap_put(size_t i, struct loop_timer *t)
{
	lp.heap[i] = t;
	t->slot = i + 1;
}

static void heap_up(size_t i, struct loop_timer *t)
{
	while (i && is_before(t, lp.heap[(i - 1) / 2])) {
		heap_put(i, lp.heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(i, t);
}

static void heap_down(size_t i, struct loop_timer *t)
{
	for (size_t kid; (kid = 2 * i + 1) < lp.n; i = kid) {
		if (kid + 1 < lp.n && is_before(lp.heap[kid + 1], lp.heap[kid]))
			kid++;
		if (!is_before(lp.heap[kid], t))
			break;
		heap_put(i, lp.heap[kid]);
	}
	heap_put(i, t);
}

void loop_timer_init(struct loop_timer *t, void (*fn)(void *arg), void *arg)
{
	*t = (struct loop_timer){ .fn = fn, .arg = arg };
}

void loop_timer_cancel(struct loop_timer *t)
{
	if (!t->slot)
		return;
	size_t i = t->slot - 1;
	struct loop_timer *last = lp.heap[--lp.n];

	t->slot = 0;
	if (last == t)
		return;
	if (i && is_before(last, lp.heap[(i - 1) / 2]))
		heap_up(i, last);
	else
		heap_down(i, last);
}

void loop_timer_at(struct loop_timer *t, int64_t boot_ms)
{
	loop_timer_cancel(t);
	if (boot_ms == CLOCK_NEVER_MS)
		return;
	t->at_ms = boot_ms;
	t->number = ++lp.settings;
	mem_grow(lp.heap, lp.cap, lp.n + 1);
	heap_up(lp.n++, t);
}

void loop_timer_in(struct loop_timer *t, int64_t ms)
{
	int64_t boot = clock_boot_ms();

	loop_timer_at(t, ms > CLOCK_NEVER_MS - boot ? CLOCK_NEVER_MS : boot + ms);
}

bool loop_timer_is_set(const struct loop_timer *t)
{
	return t->slot != 0;
}

/* Fires what is due now, but nothing that the fired ones set for now: each turn ends. */
static void fire_due(void)
{
	const int64_t boot = clock_boot_ms();
	const uint64_t settings = lp.settings;

	while (lp.n && lp.heap[0]->at_ms <= boot && lp.heap[0]->number <= settings) {
		struct loop_timer *t = lp.heap[0];

		loop_timer_cancel(t);
		t->fn(t->arg);
	}
}

/* ---- deferred work --------------------------------------------------------------------------- */

void loop_defer(struct loop_defer *d, void (*fn)(void *arg), void *arg)
{
	if (d->queued)
		return;
	*d = (struct loop_defer){ .fn = fn, .arg = arg, .queued = true };
	*lp.defer_tail = d;
	lp.defer_tail = &d->next;
}

void loop_defer_cancel(struct loop_defer *d)
{
	if (!d->queued)
		return;
	for (struct loop_defer **p = &lp.defer_head; *p; p = &(*p)->next) {
		if (*p != d)
			continue;
		*p = d->next;
		if (lp.defer_tail == &d->next)
			lp.defer_tail = p;
		break;
	}
	d->queued = false;
}

/* Runs until none is left; deferring from a deferred call is how callers split work, so the number
 * of rounds is bounded and the rest waits for the next turn. */
static void run_deferred(void)
{
	for (int budget = 100000; lp.defer_head && budget; budget--) {
		struct loop_defer *d = lp.defer_head;

		lp.defer_head = d->next;
		if (!lp.defer_head)
			lp.defer_tail = &lp.defer_head;
		d->queued = false;
		d->fn(d->arg);
	}
}

/* ---- the turn -------------------------------------------------------------------------------- */

void loop_hold(void)
{
	lp.held++;
}

void loop_unhold(void)
{
	bug_if(!lp.held, "released more than held");
	lp.held--;
}

bool loop_is_held(void)
{
	return lp.held != 0;
}

void loop_set_fast_forward(bool on)
{
	lp.fast_forward = on;
}

/* How long libev may sleep. Virtual time leaps here, when nothing but a timer is awaited. */
static int64_t sleep_ms(void)
{
	if (lp.defer_head)
		return 0;
	if (!lp.n)
		return LOOP_SLEEP_MAX_MS;
	int64_t wait = lp.heap[0]->at_ms - clock_boot_ms();
	if (wait > 0 && lp.fast_forward && !lp.held) {
		clock_skip_ms(wait);
		wait = 0;
	}
	return wait < 0 ? 0 : wait > LOOP_SLEEP_MAX_MS ? LOOP_SLEEP_MAX_MS : wait;
}

static void turn_end(struct ev_loop *ev, ev_prepare *w, int revents)
{
	(void)w, (void)revents;
	run_deferred();
	int64_t took = clock_raw_us() - lp.woke_us;
	lp.stats.stall_last_us = took;
	if (took > lp.stats.stall_max_us)
		lp.stats.stall_max_us = took;

	clock_tick();
	lp.sleep.repeat = (double)sleep_ms() / 1000.0;
	if (lp.sleep.repeat <= 0)
		lp.sleep.repeat = 1e-9; /* 0 would stop the timer */
	ev_now_update(ev);
	ev_timer_again(ev, &lp.sleep);
}

static void turn_start(struct ev_loop *ev, ev_check *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	lp.woke_us = clock_raw_us();
	lp.stats.turns++;
	clock_tick();
	fire_due();
}

static void on_sleep_over(struct ev_loop *ev, ev_timer *w, int revents)
{
	/* turn_start() has fired what is due; the timer only had to end the sleep. */
	(void)ev, (void)w, (void)revents;
}

int loop_init(void)
{
	lp.ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	if (!lp.ev)
		return CM_EIO;
	lp.defer_tail = &lp.defer_head;
	lp.woke_us = clock_raw_us();
	ev_prepare_init(&lp.prepare, turn_end);
	ev_set_priority(&lp.prepare, EV_MINPRI);
	ev_prepare_start(lp.ev, &lp.prepare);
	ev_check_init(&lp.check, turn_start);
	ev_set_priority(&lp.check, EV_MAXPRI);
	ev_check_start(lp.ev, &lp.check);
	ev_init(&lp.sleep, on_sleep_over);
	return CM_OK;
}

void loop_done(void)
{
	if (lp.ev)
		ev_loop_destroy(lp.ev);
	free(lp.heap);
	lp.ev = NULL;
	lp.heap = NULL;
	lp.n = lp.cap = 0;
}

void loop_run(void)
{
	ev_run(lp.ev, 0);
}

void loop_stop(void)
{
	ev_break(lp.ev, EVBREAK_ALL);
}

struct ev_loop *loop_ev(void)
{
	return lp.ev;
}

struct loop_stats loop_stats(void)
{
	lp.stats.timers = lp.n;
	lp.stats.next_timer_ms = lp.n ? lp.heap[0]->at_ms : CLOCK_NEVER_MS;
	return lp.stats;
}
