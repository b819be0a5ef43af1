/*
 * What the pool has to know of its mailboxes' past, and what it wants remembered of them: the way to
 * the store and back.
 * Runs on: loop. Called by outage.c when the store opens or is up again, by plan.c at a reload.
 * Never decides anything about a mailbox: that is the pool's.
 */
#include "flow_private.h"

#include "coldmail/clock.h"
#include "coldmail/mem.h"

/* All slots of a day, whatever the limit was when they were taken. */
#define DAY_SLOTS_MAX INT32_MAX

/* ---- the past ---------------------------------------------------------------------------------- */

static void on_use(struct store_req *r)
{
	struct flow_sender *s = flow_sender_get(r->u.use.mailbox);

	s->asking = false;
	if (r->err)
		flow_store_failed(r->err, r->why);
	else
		mailbox_history(s->mailbox, &(struct mailbox_past){ .at_ms = r->u.use.at_ms,
						    .n = r->u.use.n,
						    .first_ms = r->u.use.first_ms,
						    .last_ms = r->u.use.last_ms,
						    .tried_ms = r->u.use.tried_ms,
						    .kept = r->u.use.kept });
	flow_sched_soon();
}

void flow_mailboxes_ask(void)
{
	if (clock_doubt())
		return; /* what is over by now, nobody knows */
	flow_guard_ask();
	for (guint i = 0; flow.ready && i < flow.senders->len; i++) {
		struct flow_sender *s = flow.senders->pdata[i];

		if (s->asking || mailbox_has_history(s->mailbox))
			continue;
		struct store_req *r = store_req_new(STORE_MAILBOX_USE, on_use, 0, NULL);
		r->u.use.mailbox = mem_arena_dup(&r->arena, s->address);
		r->u.use.since_ms = clock_wall_ms() - MAILBOX_PAST_MS;
		r->u.use.max = DAY_SLOTS_MAX;
		s->asking = true;
		store_send(r);
	}
}

/* ---- what is to be remembered ------------------------------------------------------------------ */

static void keep(struct flow_sender *s);

static void on_kept(struct store_req *r)
{
	struct flow_sender *s = flow_sender_get(r->u.mailbox.address);

	s->keeping = false;
	if (r->err) {
		s->unkept = true;
		flow_store_failed(r->err, r->why);
	} else if (s->unkept) {
		keep(s);
	}
}

/* One at a time: a second write must not overtake the first. */
static void keep(struct flow_sender *s)
{
	struct store_req *r = store_req_new(STORE_MAILBOX_SET, on_kept, 0, NULL);
	struct store_mailbox kept = mailbox_kept(s->mailbox);

	r->u.mailbox.address = mem_arena_dup(&r->arena, s->address);
	r->u.mailbox.kept = kept;
	r->u.mailbox.kept.why = mem_arena_dup(&r->arena, kept.why);
	s->unkept = false;
	s->keeping = true;
	store_send(r);
}

static void on_change(struct mailbox *m)
{
	struct flow_sender *s = flow_sender_get(mailbox_name(m));

	s->unkept = true;
	if (flow.opened && !flow.store_down && !s->keeping)
		keep(s);
}

void flow_mailboxes_keep(void)
{
	for (guint i = 0; i < flow.senders->len; i++) {
		struct flow_sender *s = flow.senders->pdata[i];

		if (s->unkept && !s->keeping)
			keep(s);
	}
}

void flow_mailboxes_init(void)
{
	mailbox_on_change(on_change);
}
