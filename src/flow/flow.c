/*
 * The corridor (coldmail/flow.h): its stages as one table, the items in it, birth, reload, drain.
 * Runs on: loop. Called by main and ops.
 * Nothing holds an item's pointer across a wait: a request carries its id, and a reply for an id that
 * is gone is dropped. Fatal: a stage that ends in a way its table does not know.
 */
#include "flow_private.h"

#include <sys/random.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/fail.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* Longer without a look at the pumps is a hang. */
#define FLOW_TICK_LATE_MS (2 * CLOCK_MINUTE_MS)
/* All slots of a day, whatever the limit was when they were taken. */
#define DAY_SLOTS_MAX INT32_MAX

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

static void load_missing(void);

static struct loop_timer store_timer, drain_timer;
static struct loop_defer drained;
static unsigned store_failures;
static int store_err; /* of the last failure */
static int64_t store_up_ms; /* boot: since then */
static bool store_asking;

/* ---- plans ----------------------------------------------------------------------------------- */

static void plan_free(struct flow_plan *p)
{
	const struct conf *c = p->conf;

	for (size_t i = 0; i < c->n_campaigns; i++) {
		for (size_t k = 0; k < c->campaigns[i].n_steps; k++)
			content_template_free(p->templates[i][k]);
		free(p->templates[i]);
	}
	free(p->templates);
	conf_unref(c);
	free(p);
}

struct flow_plan *flow_plan_ref(struct flow_plan *p)
{
	p->refs++;
	return p;
}

void flow_plan_unref(struct flow_plan *p)
{
	if (p && --p->refs == 0)
		plan_free(p);
}

/* Parses every template of C; problems are appended to RET (NULL: they are known to be none). */
static struct flow_plan *plan_new(const struct conf *c, struct str *ret_problems)
{
	struct flow_plan *p = xcalloc(1, sizeof *p);

	p->refs = 1;
	p->conf = conf_ref(c);
	p->templates = xcalloc(c->n_campaigns, sizeof *p->templates);
	for (size_t i = 0; i < c->n_campaigns; i++) {
		const struct conf_campaign *cc = &c->campaigns[i];

		p->templates[i] = xcalloc(cc->n_steps, sizeof **p->templates);
		for (size_t k = 0; k < cc->n_steps; k++) {
			const struct conf_step *s = &cc->steps[k];
			char *problem = NULL;

			if (!content_template_parse(s->template_source, s->template_path,
				    s->same_thread, &p->templates[i][k], &problem))
				continue;
			if (ret_problems)
				str_addf(ret_problems, "%s\n", problem);
			free(problem);
		}
	}
	return p;
}

const struct content_template *flow_plan_template(
	const struct flow_plan *p, const struct conf_campaign *c, size_t step)
{
	return p->templates[c - p->conf->campaigns][step];
}

bool flow_check(const struct conf *c, struct str *ret_problems)
{
	size_t before = ret_problems->len;

	flow_plan_unref(plan_new(c, ret_problems));
	for (size_t i = 0; flow.fast_forward && i < c->n_mailboxes; i++) {
		const struct conf_mailbox *m = &c->mailboxes[i];

		if (!m->is_loopback)
			str_addf(ret_problems,
				"%s:%d: --fast-forward is under way, and %s is not a server on "
				"loopback\n",
				m->file, m->line, m->smtp);
	}
	return ret_problems->len == before;
}

/* ---- campaigns and senders -------------------------------------------------------------------- */

static void campaign_free(void *p)
{
	struct flow_campaign *c = p;

	g_hash_table_unref(c->feeds);
	free(c->name);
	free(c);
}

struct flow_campaign *flow_campaign_find(const char *name)
{
	for (guint i = 0; i < flow.campaigns->len; i++) {
		struct flow_campaign *c = flow.campaigns->pdata[i];

		if (str_eq(c->name, name))
			return c;
	}
	return NULL;
}

static bool has_control(const char *prefix, const char *name)
{
	char *key = xasprintf("%s%s", prefix, name);
	bool has = g_hash_table_contains(flow.controls, key);

	free(key);
	return has;
}

bool flow_is_paused(const char *kind, const char *name)
{
	if (str_eq(kind, "all"))
		return g_hash_table_contains(flow.controls, "pause/all");
	return has_control(str_eq(kind, "campaign") ? "pause/campaign/" : "pause/mailbox/", name);
}

bool flow_has_started(const struct conf_campaign *c)
{
	return c->start_auto || has_control("start/", c->name);
}

bool flow_campaign_may_send(const struct flow_campaign *c)
{
	return c->conf && c->started && !c->paused && !flow_is_paused("all", NULL);
}

static struct flow_campaign *campaign_get(const char *name)
{
	struct flow_campaign *c = flow_campaign_find(name);

	if (c)
		return c;
	c = xcalloc(1, sizeof *c);
	c->name = xstrdup(name);
	c->feeds = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
	g_ptr_array_add(flow.campaigns, c);
	return c;
}

/* Campaigns and mailboxes follow the current plan and the stored controls. */
static void apply_plan(void)
{
	const struct conf *conf = flow.plan->conf;

	for (guint i = 0; i < flow.campaigns->len; i++)
		((struct flow_campaign *)flow.campaigns->pdata[i])->conf = NULL;
	for (size_t i = 0; i < conf->n_campaigns; i++) {
		const struct conf_campaign *cc = &conf->campaigns[i];
		struct flow_campaign *c = campaign_get(cc->name);

		c->conf = cc;
		c->started = flow_has_started(cc);
		c->paused = flow_is_paused("campaign", cc->name);
		c->draft_after_ms = 0;
		c->strays = true;
		g_hash_table_remove_all(c->feeds);
	}
	for (size_t i = 0; i < conf->n_mailboxes; i++) {
		const char *address = conf->mailboxes[i].address;

		flow_sender_get(address);
		if (flow_is_paused("mailbox", address) ||
			mailbox_info(mailbox_find(address)).state == MAILBOX_PAUSED)
			mailbox_pause(mailbox_find(address), flow_is_paused("mailbox", address));
	}
}

void flow_apply_controls(void)
{
	apply_plan();
	flow_sched_soon();
}

const struct conf *flow_conf(void)
{
	return flow.plan->conf;
}

void flow_reload(const struct conf *c)
{
	struct flow_plan *old = flow.plan;

	flow.plan = plan_new(c, NULL);
	mailbox_configure(c);
	apply_plan();
	load_missing();
	flow_senders_reconfigure();
	flow_plan_unref(old);
	flow_sched_soon();
}

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

/* ---- the store as a whole ---------------------------------------------------------------------- */

bool flow_err_is_store(int err)
{
	return err == CM_ESTORE || err == CM_EFULL || err == CM_EIO;
}

bool flow_is_open_for_work(void)
{
	return flow.ready && !flow.draining && !flow.store_down && flow.mode != FLOW_MAINTENANCE;
}

static void on_opened(struct store_req *r);

static void store_is_up(void)
{
	if (flow.store_down) {
		log_event(LOG_NOTICE, "store_up", LOG_I("failures", store_failures));
		loop_unhold();
	}
	store_up_ms = clock_boot_ms();
	flow.store_down = false;
}

static void on_ping(struct store_req *r)
{
	store_asking = false;
	if (flow_err_is_store(r->err)) {
		flow_store_failed(r->err, r->why);
		return;
	}
	store_is_up();
	load_missing();
	flow_record_redo();
	flow_sched_soon();
}

static void ask_store(void *arg)
{
	(void)arg;
	if (store_asking)
		return;
	store_asking = true;
	if (flow.opened)
		store_send(store_req_new(STORE_PING, on_ping, 0, NULL));
	else
		store_send(store_req_new(STORE_OPEN, on_opened, 0, NULL));
}

void flow_store_failed(int err, const char *why)
{
	/* Until it was open once, each other reason is one more thing for somebody to do. */
	if (!flow.store_down || (!flow.opened && err != store_err))
		log_event(
			LOG_ERR, "store_down", LOG_S("error", cm_strerror(err)), LOG_S("why", why));
	store_err = err;
	if (!flow.store_down) {
		loop_hold(); /* virtual time waits for the store, too */
		/* On a full disk it may answer and fail by turns: that is one failure. */
		if (clock_boot_ms() - store_up_ms > CLOCK_MINUTE_MS)
			store_failures = 0;
	}
	flow.store_down = true;
	if (!loop_timer_is_set(&store_timer) && !store_asking)
		loop_timer_in(&store_timer, flow_trouble_store_wait_ms(store_failures++));
}

/* ---- birth ------------------------------------------------------------------------------------- */

static void on_use(struct store_req *r)
{
	struct flow_sender *s = flow_sender_get(r->u.use.mailbox);

	s->asking = false;
	if (r->err)
		flow_store_failed(r->err, r->why);
	else
		mailbox_history(s->mailbox, r->u.use.at_ms, r->u.use.n, r->u.use.last_ms);
	flow_sched_soon();
}

/* A mailbox sends nothing before the ledger has told what it sent; and that is not settled before
 * recovery is over. */
static void load_missing(void)
{
	for (guint i = 0; flow.ready && i < flow.senders->len; i++) {
		struct flow_sender *s = flow.senders->pdata[i];

		if (s->asking || mailbox_has_history(s->mailbox))
			continue;
		struct store_req *r = store_req_new(STORE_MAILBOX_USE, on_use, 0, NULL);
		r->u.use.mailbox = mem_arena_dup(&r->arena, s->address);
		r->u.use.since_ms = clock_wall_ms() - CLOCK_DAY_MS;
		r->u.use.max = DAY_SLOTS_MAX;
		s->asking = true;
		store_send(r);
	}
}

static void recovered(void)
{
	flow.ready = true;
	load_missing();
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
		g_hash_table_add(flow.controls, xstrdup(r->u.controls.v[i].name));
	apply_plan();
	if (flow.mode == FLOW_MAINTENANCE)
		flow.ready = true;
	else
		flow_record_recover(recovered);
}

static void say_ready(int err, const char *why)
{
	void (*fn)(int, const char *) = flow.on_ready;

	flow.on_ready = NULL;
	if (fn)
		fn(err, why);
}

static void on_opened(struct store_req *r)
{
	/* The first answer may end the process: main decides. Whatever comes later is waited for. */
	bool may_end = flow.on_ready && (r->err == CM_ELOCKED || r->err == CM_EVERSION);

	store_asking = false;
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
	store_send(store_req_new(STORE_CONTROLS, on_controls, 0, NULL));
	store_send(store_req_new(STORE_QUICK_CHECK, flow_record_on_quick_check, 0, NULL));
	say_ready(CM_OK, NULL);
}

static void on_drain_timeout(void *arg);
static void finish(void *arg);

int flow_init(const struct flow_conf *fc)
{
	flow.mode = fc->mode;
	flow.fast_forward = fc->fast_forward;
	flow.instance = xstrdup(fc->instance);
	flow.on_ready = fc->on_ready;
	flow.on_finished = fc->on_finished;
	flow.campaigns = g_ptr_array_new_with_free_func(campaign_free);
	flow.controls = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
	flow.items = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, item_free);
	flow_senders_init();
	for (size_t i = 0; i <= FLOW_STAGE_GIVE_BACK; i++)
		list_init(&flow.stages[i]);
	loop_timer_init(&store_timer, ask_store, NULL);
	loop_timer_init(&drain_timer, on_drain_timeout, NULL);
	flow.plan = plan_new(fc->conf, NULL);
	mailbox_configure(fc->conf);
	flow_sched_init();
	apply_plan();
	flow.stats.last_tick_ms = clock_wall_ms();
	return CM_OK;
}

void flow_start(void)
{
	ask_store(NULL);
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
	if (flow_senders_are_gone())
		loop_defer(&drained, finish, NULL);
}

static void on_drain_timeout(void *arg)
{
	static bool asked;

	(void)arg;
	if (!asked) {
		asked = true;
		/* What is given up still has to be written down. */
		loop_timer_in(&drain_timer, flow.plan->conf->store_timeout_ms);
		flow_send_give_up();
		flow_senders_drop();
		flow_check_drained();
	} else {
		log_event(LOG_WARNING, "stop_unfinished",
			LOG_I("items", g_hash_table_size(flow.items)),
			LOG_S("note", "the ledger settles them at the next start"));
		finish(NULL);
	}
}

void flow_drain(void)
{
	if (flow.draining)
		return;
	flow.draining = true;
	log_event(LOG_INFO, "draining", LOG_I("items", g_hash_table_size(flow.items)));
	loop_timer_in(&drain_timer, flow.plan->conf->stop_timeout_ms);
	flow_send_drain();
	flow_check_drained();
}

void flow_done(void)
{
	loop_timer_cancel(&store_timer);
	loop_timer_cancel(&drain_timer);
	loop_defer_cancel(&drained);
	flow_why_free();
	flow_senders_free();
	g_hash_table_remove_all(flow.items);
	g_hash_table_unref(flow.items);
	flow_sched_done();
	g_ptr_array_unref(flow.campaigns);
	g_hash_table_unref(flow.controls);
	flow_plan_unref(flow.plan);
	mailbox_done_all();
	free(flow.instance);
}

/* ---- for people -------------------------------------------------------------------------------- */

struct flow_stats flow_stats(void)
{
	flow.stats.ready = flow.ready;
	flow.stats.draining = flow.draining;
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
	str_addf(ret, "sent %d today", today);
	if (flow.draining)
		str_addf(ret, ", stopping: %u mails under way", g_hash_table_size(flow.items));
	else if (!flow.plan->conf->n_campaigns)
		str_adds(ret, ", no campaign is configured");
	else if (!flow.ready)
		str_adds(ret, ", starting");
	else
		flow_sched_status(ret);
}
