/*
 * The corridor (coldmail/flow.h): its stages as one table, the items in it, birth, reload, drain.
 * Runs on: loop. Called by main and ops.
 * Nothing holds an item's pointer across a wait: a request carries its id, and a reply for an id that
 * is gone is dropped. Fatal: a stage that ends in a way its table does not know.
 */
#include "flow_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* Longer without a look at the pumps is a hang. */
#define FLOW_TICK_LATE_MS (2 * CLOCK_MINUTE_MS)

struct flow_state flow;

static const struct {
	const char *name;
	void (*enter)(struct flow_item *it);
	int64_t deadline_ms;
} stages[] = {
#define X(name, text, enter, deadline) [FLOW_STAGE_##name] = { text, enter, deadline },
	FLOW_STAGES(X)
#undef X
};

static struct loop_timer drain_timer;
static struct loop_defer drained;
static bool has_given_up; /* stop_timeout is over */

/* ---- items ------------------------------------------------------------------------------------ */

static void to_stage(struct flow_item *it, enum flow_stage stage)
{
	if (it->node.next)
		list_remove(&flow.stages[it->stage], &it->node);
	it->stage = stage;
	it->entered_ms = clock_boot_ms();
	list_push(&flow.stages[stage], &it->node);
}

struct flow_item *flow_item_new(enum flow_stage stage, struct flow_plan *plan, struct flow_batch *b,
	struct store_claimed *claimed)
{
	struct flow_item *it = xcalloc(1, sizeof *it);

	it->id = ++flow.last_id;
	it->batch = b;
	b->refs++;
	it->plan = flow_plan_ref(plan);
	it->campaign = conf_find_campaign(plan->conf, claimed->lead.campaign);
	bug_if(!it->campaign, "claimed for a campaign that its plan does not have");
	it->claimed = claimed;
	it->attempt = claimed->last.n + 1;
	it->to.due_ms = -1;
	it->verdict.outcome = MAIL_OUTCOME_NOT_SENT; /* true until a server says more */
	g_hash_table_insert(flow.items, &it->id, it);
	to_stage(it, stage);
	return it;
}

struct flow_item *flow_item_find(uint64_t id)
{
	return g_hash_table_lookup(flow.items, &id);
}

static void item_free(void *p)
{
	struct flow_item *it = p;

	list_remove(&flow.stages[it->stage], &it->node);
	if (--it->batch->refs == 0) {
		mem_arena_done(&it->batch->arena);
		free(it->batch);
	}
	flow_plan_unref(it->plan);
	mem_arena_done(&it->arena);
	str_done(&it->bytes);
	free(it);
}

void flow_item_end(struct flow_item *it)
{
	struct flow_campaign *c = flow_campaign_find(it->campaign->name);

	if (c && it->plan != flow.plan)
		c->strays = true; /* it may be bound to a mailbox of before the reload */
	g_hash_table_remove(flow.items, &it->id);
	flow_sched_soon();
	if (flow.draining)
		flow_check_drained();
}

void flow_enter(struct flow_item *it)
{
	stages[it->stage].enter(it);
}

void flow_advance(struct flow_item *it, enum flow_verdict v)
{
	enum flow_stage next = v == FLOW_RETURN      ? FLOW_STAGE_GIVE_BACK
			       : v == FLOW_RECORDING ? FLOW_STAGE_RECORD
						     : it->stage + 1;

	bug_if(next > FLOW_STAGE_GIVE_BACK || it->stage >= FLOW_STAGE_RECORD,
		"item %llu ended %s with %d", (unsigned long long)it->id, stages[it->stage].name,
		v);
	if (it->stage == FLOW_STAGE_DRAFT && v == FLOW_GO && !it->sender)
		flow_item_end(it); /* it waits in the store for the other pump */
	else {
		to_stage(it, next);
		stages[next].enter(it);
	}
}

/* ---- death ------------------------------------------------------------------------------------- */

static void finish(void *arg)
{
	(void)arg;
	if (flow.finished)
		return;
	flow.finished = true;
	loop_timer_cancel(&drain_timer);
	flow.on_finished();
}

void flow_check_drained(void)
{
	if (g_hash_table_size(flow.items) || flow.claims)
		return;
	if (mail_oauth_is_busy() && !has_given_up)
		return; /* a new refresh token must not be lost */
	if (flow_senders_are_gone() && flow_tests_are_over())
		loop_defer(&drained, finish, NULL);
}

static void on_drain_timeout(void *arg)
{
	(void)arg;
	if (!has_given_up) {
		has_given_up = true;
		/* What is given up still has to be written down. */
		loop_timer_in(&drain_timer, flow.plan->conf->store_timeout_ms);
		flow_send_give_up();
		flow_senders_drop();
		flow_tests_drop();
		flow_check_drained();
	} else {
		log_event(LOG_WARNING, "stop_unfinished",
			LOG_I("items", g_hash_table_size(flow.items)),
			LOG_S("note", "the ledger settles them at the next start"));
		finish(NULL);
	}
}

static void on_oauth_idle(void)
{
	if (flow.draining)
		flow_check_drained();
}

void flow_drain(void)
{
	if (flow.draining)
		return;
	flow.draining = true;
	log_event(LOG_INFO, "draining", LOG_I("items", g_hash_table_size(flow.items)));
	loop_timer_in(&drain_timer, flow.plan->conf->stop_timeout_ms);
	flow_verify_drain();
	flow_send_drain();
	flow_tests_quit();
	flow_check_drained();
}

void flow_done(void)
{
	flow_store_done();
	loop_timer_cancel(&drain_timer);
	loop_defer_cancel(&drained);
	mail_oauth_on_idle(NULL);
	flow_why_free();
	flow_tests_drop();
	flow_senders_free();
	g_hash_table_remove_all(flow.items);
	g_hash_table_unref(flow.items);
	flow_sched_done();
	g_ptr_array_unref(flow.campaigns);
	g_hash_table_unref(flow.controls);
	flow_controls_free();
	flow_plan_unref(flow.plan);
	plan_zones_free(flow.zones);
	mailbox_done_all();
	free(flow.instance);
	free(flow.unclean);
}

/* ---- birth ------------------------------------------------------------------------------------- */

int flow_init(const struct flow_conf *fc)
{
	flow.mode = fc->mode;
	flow.fast_forward = fc->fast_forward;
	flow.instance = xstrdup(fc->instance);
	flow.on_ready = fc->on_ready;
	flow.on_finished = fc->on_finished;
	flow_campaigns_init();
	flow.zones = plan_zones_new();
	flow.controls = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
	flow.items = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, item_free);
	flow_senders_init();
	flow_mailboxes_init();
	for (size_t i = 0; i <= FLOW_STAGE_GIVE_BACK; i++)
		list_init(&flow.stages[i]);
	flow_store_init();
	loop_timer_init(&drain_timer, on_drain_timeout, NULL);
	mail_oauth_on_idle(on_oauth_idle);
	flow.plan = flow_plan_new(fc->conf, NULL);
	mailbox_configure(fc->conf);
	flow_verify_configure(fc->conf);
	flow_sched_init();
	flow_plan_apply();
	flow.stats.last_tick_ms = clock_wall_ms();
	return CM_OK;
}

void flow_start(void)
{
	flow_store_open();
}

/* ---- for people -------------------------------------------------------------------------------- */

struct flow_stats flow_stats(void)
{
	flow.stats.ready = flow.ready;
	flow.stats.draining = flow.draining;
	flow.stats.store_why = flow_store_why(&flow.stats.store_down_ms);
	flow.stats.clock_doubt = flow_wallclock_why();
	flow.stats.in_flight = g_hash_table_size(flow.items);
	return flow.stats;
}

bool flow_is_alive(void)
{
	int64_t now = clock_boot_ms();

	if (!flow.ready)
		return true; /* the store has not answered: a state, not a hang */
	for (size_t i = 0; i <= FLOW_STAGE_GIVE_BACK; i++) {
		if (!stages[i].deadline_ms || flow.store_down)
			continue;
		list_each (node, &flow.stages[i]) {
			struct flow_item *it = list_entry(node, struct flow_item, node);

			if (now - it->entered_ms <= stages[i].deadline_ms || it->overstayed)
				continue;
			it->overstayed = true;
			log_event(LOG_WARNING, "overstayed", LOG_S("lead", it->claimed->lead.id),
				LOG_S("stage", stages[i].name));
		}
	}
	return now - flow_sched_last_ms() < FLOW_TICK_LATE_MS;
}

void flow_status_line(struct str *ret)
{
	int today = 0;

	str_reset(ret);
	for (size_t i = 0; i < mailbox_count(); i++)
		today += mailbox_info(mailbox_at(i)).sent_today;
	if (flow.store_down)
		str_adds(ret, "store_down: ");
	if (store_stats().restored)
		str_adds(ret, "store_restored, needs coldmailctl takeover: ");
	if (flow_wallclock_why())
		str_adds(ret, "clock_untrusted, see coldmailctl why: ");
	str_addf(ret, "sent %d today", today);
	if (flow.draining)
		str_addf(ret, ", stopping: %u mail%s under way", g_hash_table_size(flow.items),
			str_plural(g_hash_table_size(flow.items)));
	else if (!flow.plan->conf->n_campaigns)
		str_adds(ret, ", no campaign is configured");
	else if (!flow.ready)
		str_adds(ret, ", starting");
	else
		flow_sched_status(ret);
}
