/*
 * The store as the corridor sees it: opening it, what has to be read from it before the first mail,
 * its seal, and its outages: nothing new starts while it is down, and it is asked again until it
 * answers. A store that is taken for a copy stays closed for work until somebody takes over.
 * Runs on: loop. Called by flow.c at birth, and by every stage whose request the store did not take.
 * Never: gives up; the waits are trouble.c's.
 */
#include "flow_private.h"

#include <stdio.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"

/* While tries are made the seal is renewed so often at most, and so soon after one that a reservation and
 * its slot need one renewal. */
#define SEAL_EVERY_MS CLOCK_SECOND_MS
#define SEAL_SOON_MS  50

static struct loop_timer timer, seal_timer;
static unsigned failures;
static int last_err;
static char down_why[256];
static int64_t down_ms; /* wall: since then */
static int64_t up_ms; /* boot: since then */
static bool asking;
static bool unsealed; /* the seal could not be renewed */
static int64_t sealed_ms; /* boot: when it was asked for last */

/* ---- up and down -------------------------------------------------------------------------------- */

bool flow_err_is_store(int err)
{
	return err == CM_ESTORE || err == CM_EFULL || err == CM_EIO;
}

bool flow_is_open_for_work(void)
{
	return flow.ready && !flow.draining && !flow.store_down && !store_stats().restored &&
	       !flow_wallclock_why() && flow.mode != FLOW_MAINTENANCE;
}

const char *flow_store_why(int64_t *ret_since_ms)
{
	if (ret_since_ms)
		*ret_since_ms = flow.store_down ? down_ms : 0;
	return flow.store_down ? down_why : NULL;
}

static void on_opened(struct store_req *r);

static void store_is_up(void)
{
	if (flow.store_down) {
		log_event(LOG_NOTICE, "store_up", LOG_I("failures", failures));
		loop_unhold();
	}
	up_ms = clock_boot_ms();
	flow.store_down = false;
}

static void on_ping(struct store_req *r)
{
	asking = false;
	if (flow_err_is_store(r->err)) {
		flow_store_failed(r->err, r->why);
		return;
	}
	store_is_up();
	flow_mailboxes_ask();
	flow_mailboxes_keep();
	flow_controls_keep();
	flow_recover_redo();
	flow_record_redo();
	flow_sched_soon();
}

static void on_sealed(struct store_req *r);

static void ask(void *arg)
{
	(void)arg;
	if (asking)
		return;
	asking = true;
	if (!flow.opened)
		store_send(store_req_new(STORE_OPEN, on_opened, 0, NULL));
	else if (unsealed)
		store_send(store_req_new(STORE_SEAL, on_sealed, 0, NULL));
	else
		store_send(store_req_new(STORE_PING, on_ping, 0, NULL));
}

void flow_store_failed(int err, const char *why)
{
	/* Until it was open once, each other reason is one more thing for somebody to do. */
	if (!flow.store_down || (!flow.opened && err != last_err))
		log_event(
			LOG_ERR, "store_down", LOG_S("error", cm_strerror(err)), LOG_S("why", why));
	last_err = err;
	snprintf(down_why, sizeof down_why, "%s", why ? why : cm_strerror(err));
	if (!flow.store_down) {
		down_ms = clock_wall_ms();
		loop_hold(); /* virtual time waits for the store, too */
		/* On a full disk it may answer and fail by turns: that is one failure. */
		if (clock_boot_ms() - up_ms > CLOCK_MINUTE_MS)
			failures = 0;
	}
	flow.store_down = true;
	if (!loop_timer_is_set(&timer) && !asking)
		loop_timer_in(&timer, flow_trouble_store_wait_ms(failures++));
}

/* ---- the seal ----------------------------------------------------------------------------------- */

/* A store that cannot be sealed could be replaced by its copy unnoticed: that is an outage. */
static void on_sealed(struct store_req *r)
{
	bool again = unsealed;

	asking = asking && !again;
	unsealed = r->err;
	if (r->err)
		flow_store_failed(r->err, r->why);
	else if (again)
		ask(NULL);
}

static void seal(void *arg)
{
	(void)arg;
	sealed_ms = clock_boot_ms();
	if (!unsealed)
		store_send(store_req_new(STORE_SEAL, on_sealed, 0, NULL));
}

void flow_store_seal_soon(void)
{
	int64_t wait = sealed_ms + SEAL_EVERY_MS - clock_boot_ms();

	if (!loop_timer_is_set(&seal_timer))
		loop_timer_in(&seal_timer, wait > SEAL_SOON_MS ? wait : SEAL_SOON_MS);
}

/* ---- opening ------------------------------------------------------------------------------------ */

static void recovered(void)
{
	flow.ready = true;
	flow_mailboxes_ask();
	log_event(LOG_INFO, "ready", LOG_I("campaigns", flow.plan->conf->n_campaigns),
		LOG_I("mailboxes", flow.plan->conf->n_mailboxes));
	flow_sched_soon();
}

static void on_controls(struct store_req *r)
{
	if (r->err) {
		flow_store_failed(r->err, r->why);
		flow.opened = false;
		return;
	}
	for (size_t i = 0; i < r->u.controls.n; i++)
		g_hash_table_insert(flow.controls, xstrdup(r->u.controls.v[i].name),
			xstrdup(r->u.controls.v[i].value));
	flow_wallclock_opened(r->u.controls.last_entry_ms);
	flow_plan_apply();
	if (flow.mode == FLOW_MAINTENANCE) {
		flow.ready = true;
		flow_mailboxes_ask(); /* a resume changes what is remembered of them */
	} else if (store_stats().restored) {
		recovered(); /* what became of its open tries nobody here can know */
	} else {
		flow_recover(recovered);
	}
}

static void say_ready(int err, const char *why)
{
	void (*fn)(int, const char *) = flow.on_ready;

	flow.on_ready = NULL;
	if (fn)
		fn(err, why);
}

/* Killed, crashed, or without power: nobody may have seen it (case 17). */
static void note_end(const struct store_req *r)
{
	char stamp[CLOCK_STAMP];

	if (!r->u.open.unclean)
		return;
	free(flow.unclean);
	flow.stats.unclean = flow.unclean = xstrdup(r->u.open.unclean);
	flow.stats.unclean_since_ms = r->u.open.unclean_since_ms;
	log_event(LOG_WARNING, "unclean_end",
		LOG_S("since", clock_stamp(r->u.open.unclean_since_ms, stamp)),
		LOG_S("instance", r->u.open.unclean));
}

static void on_opened(struct store_req *r)
{
	/* The first answer may end the process: main decides. Whatever comes later is waited for. */
	bool may_end = flow.on_ready && (r->err == CM_ELOCKED || r->err == CM_EVERSION);

	asking = false;
	if (r->err) {
		if (!may_end)
			flow_store_failed(r->err, r->why);
		say_ready(r->err, r->why);
		return;
	}
	store_is_up();
	flow.opened = true;
	if (r->u.open.migrated_backup)
		log_event(LOG_NOTICE, "store_migrated", LOG_I("schema", r->u.open.schema),
			LOG_S("backup", r->u.open.migrated_backup));
	note_end(r);
	if (r->u.open.restored)
		log_event(LOG_ERR, "store_restored", LOG_S("why", r->u.open.restored),
			LOG_S("remedy", FLOW_TAKEOVER_REMEDY));
	store_send(store_req_new(STORE_CONTROLS, on_controls, 0, NULL));
	store_send(store_req_new(STORE_QUICK_CHECK, flow_recover_on_quick_check, 0, NULL));
	say_ready(CM_OK, NULL);
}

void flow_store_init(void)
{
	loop_timer_init(&timer, ask, NULL);
	loop_timer_init(&seal_timer, seal, NULL);
}

void flow_store_open(void)
{
	ask(NULL);
}

void flow_store_done(void)
{
	loop_timer_cancel(&timer);
	loop_timer_cancel(&seal_timer);
}
