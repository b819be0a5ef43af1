/*
 * The two pumps: how many sends, how many drafts, and when to look again.
 * Runs on: loop. Its run() is called at the end of any turn in which something changed, and by a timer at
 * the next moment something opens: never by polling. Drafts are made for mailboxes that have room and
 * nothing ready, so that no more is written than can be sent. Campaigns take turns (case 21).
 */
#include "flow_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* The wall clock may be set while we sleep on the boot clock: look at least so often. */
#define LOOK_AGAIN_MS (20 * CLOCK_SECOND_MS)
/* What is open already and still waits for something under way is looked at so often. */
#define BUSY_MS   20
#define CLAIM_MAX 64
#define WAKE_MAX  256
/* --until-idle ends when the next moment is further away than this (interfaces.md). */
#define IDLE_HORIZON_MS CLOCK_HOUR_MS
/* It ends, too, when mail was due for so long and no server was there to take it. */
#define IN_VAIN_MAX_MS CLOCK_DAY_MS

static struct loop_timer timer;
static struct loop_defer soon;
static int64_t last_ms; /* boot: when the pumps were looked at last */
static int64_t in_vain_ms; /* boot: since then no server was reached; 0: one was */
static int64_t next_ms; /* wall: the next moment something opens */
static char *next_who; /* owned: whose moment that is */

static void run(void *arg);

/* ---- what is known of the leads that wait -------------------------------------------------------- */

struct flow_feed *flow_sched_feed_of(struct flow_campaign *c, const char *mailbox)
{
	struct flow_feed *f = g_hash_table_lookup(c->feeds, mailbox);

	if (!f) {
		f = xcalloc(1, sizeof *f);
		g_hash_table_insert(c->feeds, xstrdup(mailbox), f);
	}
	return f;
}

void flow_sched_feed(struct flow_campaign *c, const char *mailbox)
{
	c->fed++;
	if (*mailbox)
		flow_sched_feed_of(c, mailbox)->send_after_ms = 0;
	else
		g_hash_table_remove_all(c->feeds);
	flow_sched_soon();
}

void flow_sched_draft_at(struct flow_campaign *c, int64_t wall_ms)
{
	c->fed++;
	if (wall_ms < c->draft_after_ms)
		c->draft_after_ms = wall_ms;
	flow_sched_soon();
}

void flow_sched_held_until(int64_t wall_ms)
{
	if (wall_ms < flow.wake_ms)
		flow.wake_ms = wall_ms;
	flow_sched_soon();
}

void flow_sched_in_vain(void)
{
	if (!in_vain_ms)
		in_vain_ms = clock_boot_ms();
}

void flow_sched_reached(void)
{
	in_vain_ms = 0;
}

void flow_poke(void)
{
	for (guint i = 0; i < flow.campaigns->len; i++) {
		struct flow_campaign *c = flow.campaigns->pdata[i];

		c->fed++;
		c->draft_after_ms = 0;
		c->strays = true;
		g_hash_table_remove_all(c->feeds);
	}
	flow.wake_ms = 0;
	flow_sched_soon();
}

/* ---- held leads whose time has come -------------------------------------------------------------- */

static void on_woken(struct store_req *r)
{
	flow.waking = false;
	if (r->err) {
		flow_store_failed(r->err, r->why);
		return;
	}
	bool more = r->u.wake.n == r->u.wake.max;

	flow.wake_ms = more ? 0 : r->u.wake.next_ms;
	if (r->u.wake.n) {
		int64_t next = flow.wake_ms;

		flow_poke();
		flow.wake_ms = next;
	}
	flow_sched_soon();
}

static void wake_held(int64_t now)
{
	if (flow.waking || now < flow.wake_ms)
		return;
	struct store_req *r = store_req_new(STORE_WAKE, on_woken, 0, NULL);

	flow.waking = true;
	r->u.wake.max = WAKE_MAX;
	store_send(r);
}

/* ---- the pumps ------------------------------------------------------------------------------------ */

static void consider(int64_t wall_ms, const char *who)
{
	if (wall_ms >= next_ms)
		return;
	next_ms = wall_ms;
	free(next_who);
	next_who = xstrdup(who);
}

static int by_rank(const void *a, const void *b)
{
	const struct flow_sender *const *x = a, *const *y = b;

	return mailbox_compare((*x)->mailbox, (*y)->mailbox);
}

/* Ready mails for S: claims for the next campaign in turn that has some; else the moment one has. */
static void pump_sender(struct flow_sender *s, size_t room, int64_t now)
{
	for (guint i = 0; i < flow.campaigns->len; i++) {
		guint turn = (guint)(s->rotor + i) % flow.campaigns->len;
		struct flow_campaign *c = flow.campaigns->pdata[turn];

		if (!flow_campaign_may_send(c) || !conf_has_mailbox(c->conf, s->address) ||
			flow_sched_feed_of(c, s->address)->send_after_ms > now)
			continue;
		s->rotor = turn + 1;
		flow_claim_sends(c, s, room < CLAIM_MAX ? room : CLAIM_MAX);
		return;
	}
}

/* Mails that any mailbox may send go to the one that has the most of its day left. */
static void pump_sends(int64_t now)
{
	GPtrArray *open = g_ptr_array_new();

	for (guint i = 0; i < flow.senders->len; i++) {
		struct flow_sender *s = flow.senders->pdata[i];

		if (!s->claiming && mailbox_room(s->mailbox, NULL, NULL))
			g_ptr_array_add(open, s);
	}
	g_ptr_array_sort(open, by_rank);
	for (guint i = 0; i < open->len; i++) {
		struct flow_sender *s = open->pdata[i];

		pump_sender(s, mailbox_room(s->mailbox, NULL, NULL), now);
	}
	g_ptr_array_unref(open);
}

/* Drafts for C: as many as its hungry mailboxes have room for. */
static size_t wanted_drafts(struct flow_campaign *c, int64_t now)
{
	size_t n = 0;

	for (size_t i = 0; i < c->conf->n_mailboxes; i++) {
		const char *address = c->conf->mailboxes[i]->address;
		size_t room = mailbox_room(mailbox_find(address), NULL, NULL);

		if (room && flow_sched_feed_of(c, address)->send_after_ms > now)
			n += room;
	}
	return n < CLAIM_MAX ? n : CLAIM_MAX;
}

static void pump_drafts(struct flow_campaign *c, int64_t now)
{
	if (c->drafting || !flow_campaign_may_send(c) || c->draft_after_ms > now ||
		flow.stages[FLOW_STAGE_DRAFT].n >= CLAIM_MAX)
		return;
	size_t n = wanted_drafts(c, now), waiting = flow_verify_waiting(c->conf);
	if (n > waiting)
		flow_claim_drafts(c, n - waiting);
}

/* The moment S could do something for C: its own gate and the lead's due time, the later one. An
 * answer that is under way brings its own moment. */
static int64_t opens_at(struct flow_campaign *c, struct flow_sender *s, int64_t now)
{
	int64_t until = now, due = CLOCK_NEVER_MS;

	if (!s->claiming)
		due = flow_sched_feed_of(c, s->address)->send_after_ms;
	if (!c->drafting && c->draft_after_ms < due)
		due = c->draft_after_ms;
	if (!mailbox_room(s->mailbox, NULL, &until) && until > due)
		due = until;
	return due;
}

static void look_ahead(int64_t now)
{
	next_ms = CLOCK_NEVER_MS;
	if (flow.wake_ms != CLOCK_NEVER_MS)
		consider(flow.wake_ms, "a held lead");
	for (guint i = 0; i < flow.campaigns->len; i++) {
		struct flow_campaign *c = flow.campaigns->pdata[i];

		for (guint k = 0; flow_campaign_may_send(c) && k < flow.senders->len; k++) {
			struct flow_sender *s = flow.senders->pdata[k];

			if (conf_has_mailbox(c->conf, s->address))
				consider(opens_at(c, s, now), s->address);
		}
	}
}

/* A mailbox whose past the ledger has not told yet is closed, but not for long. */
static bool knows_mailboxes(void)
{
	for (size_t i = 0; i < mailbox_count(); i++)
		if (!mailbox_has_history(mailbox_at(i)))
			return false;
	return true;
}

static bool is_quiet(void)
{
	return knows_mailboxes() && !flow.claims && !flow.waking && !flow.unbinding &&
	       !g_hash_table_size(flow.items) && !flow_recover_is_busy() && !flow.store_down;
}

/* Of --until-idle. */
static bool is_over(int64_t now)
{
	if (next_ms == CLOCK_NEVER_MS)
		return true;
	if (in_vain_ms && last_ms - in_vain_ms > IN_VAIN_MAX_MS)
		return true;
	return !flow.fast_forward && next_ms - now > IDLE_HORIZON_MS;
}

static void set_timer(int64_t now)
{
	int64_t wait = next_ms == CLOCK_NEVER_MS ? CLOCK_NEVER_MS : next_ms - now;
	int64_t least = is_quiet() ? 1 : BUSY_MS;

	if (wait < least)
		wait = least;
	if (wait > LOOK_AGAIN_MS && !(flow.fast_forward && is_quiet()))
		wait = LOOK_AGAIN_MS;
	loop_timer_in(&timer, wait);
}

static void run(void *arg)
{
	int64_t now = clock_wall_ms();

	(void)arg;
	last_ms = clock_boot_ms();
	flow.stats.last_tick_ms = now;
	flow_wallclock_look();
	for (guint i = 0; i < flow.senders->len; i++)
		flow_sender_feed(flow.senders->pdata[i]);
	if (!flow_is_open_for_work()) {
		if (flow.mode == FLOW_UNTIL_IDLE && flow.ready &&
			(store_stats().restored || flow_wallclock_why()))
			flow_drain(); /* only an operator can say when it goes on */
		loop_timer_in(&timer, LOOK_AGAIN_MS);
		return;
	}
	wake_held(now);
	for (guint i = 0; i < flow.campaigns->len; i++)
		flow_strays_look(flow.campaigns->pdata[i]);
	pump_sends(now);
	for (guint i = 0; i < flow.campaigns->len; i++)
		pump_drafts(flow.campaigns->pdata[i], now);
	/* What is under way calls again; another mailbox's moment may come before that. */
	look_ahead(now);
	flow.stats.next_due_ms = next_ms;
	if (flow.mode == FLOW_UNTIL_IDLE && is_quiet() && is_over(now))
		flow_drain();
	else
		set_timer(now);
}

void flow_sched_soon(void)
{
	loop_defer(&soon, run, NULL);
}

int64_t flow_sched_last_ms(void)
{
	return last_ms;
}

void flow_sched_status(struct str *ret)
{
	if (next_ms == CLOCK_NEVER_MS || !next_who) {
		str_adds(ret, ", nothing is scheduled");
		return;
	}
	GDateTime *utc = g_date_time_new_from_unix_utc(next_ms / 1000);
	GDateTime *local = g_date_time_to_local(utc);

	str_addf(ret, ", next %02d:%02d %s", g_date_time_get_hour(local),
		g_date_time_get_minute(local), next_who);
	g_date_time_unref(local);
	g_date_time_unref(utc);
}

void flow_sched_init(void)
{
	loop_timer_init(&timer, run, NULL);
	next_ms = CLOCK_NEVER_MS;
	last_ms = clock_boot_ms();
	clock_on_doubt(flow_sched_soon);
}

void flow_sched_done(void)
{
	loop_timer_cancel(&timer);
	clock_on_doubt(NULL);
	loop_defer_cancel(&soon);
	free(next_who);
}
