/*
 * Verbs: what an operator presses. Start, pause, resolve, preview: each is durable before it is
 * answered, and says what it could not stop any more.
 * Runs on: loop. Called by ops.
 * Never reaches into a stage: it writes facts and voids; the slot decides.
 */
#include "flow_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* ---- start and pause ------------------------------------------------------------------------------ */

struct control_call {
	flow_answer *cb; /* NULL: nobody waits for it */
	void *arg;
};

static void apply(const struct store_control *v)
{
	if (v->value)
		g_hash_table_insert(flow.controls, xstrdup(v->name), xstrdup(v->value));
	else
		g_hash_table_remove(flow.controls, v->name);
}

/* Controls of our own that the store did not take: their names. What they say stands in flow.controls. */
static GHashTable *unkept;

static void set_unkept(const struct store_req *r, bool on)
{
	if (!unkept)
		unkept = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
	for (size_t i = 0; i < r->u.control.n; i++) {
		if (on)
			g_hash_table_add(unkept, xstrdup(r->u.control.v[i].name));
		else
			g_hash_table_remove(unkept, r->u.control.v[i].name);
	}
}

/* "pause/mailbox/NAME": an operator's word ends what a server did to it, too. */
static void end_pause(const char *name)
{
	static const char prefix[] = "pause/mailbox/";
	struct mailbox *m = str_starts(name, prefix) ? mailbox_find(name + strlen(prefix)) : NULL;

	if (m)
		mailbox_resume(m);
	if (str_eq(name, "pause/clock"))
		clock_trust();
	flow_guard_forget(name);
}

static void on_control(struct store_req *r)
{
	struct control_call *c = r->arg;
	const struct store_control *v = r->u.control.v;
	const bool is_stored = !r->err || r->is_stored;

	if (is_stored || (!c->cb && flow_err_is_store(r->err)))
		set_unkept(r, !is_stored);
	if (is_stored) {
		for (size_t i = 0; i < r->u.control.n; i++)
			apply(&v[i]);
		log_event(LOG_NOTICE, v->value ? "control_set" : "control_removed",
			LOG_S("name", v->name), LOG_S("value", v->value ? v->value : ""),
			LOG_I("voided", r->u.control.voids.voided));
		if (!v->value && c->cb)
			end_pause(v->name);
		flow_plan_apply();
	}
	if (flow_err_is_store(r->err))
		flow_store_failed(r->err, r->why);
	if (c->cb)
		c->cb(c->arg, r->err, r->why, &r->u.control.voids);
	free(c);
}

/* The campaign is resumed: its steps that were refused for their content have another try. */
static void forget_content(struct store_req *r, const char *campaign)
{
	char *of = xasprintf(FLOW_CONTENT "%s/", campaign);
	GHashTableIter i;
	void *name;

	g_hash_table_iter_init(&i, flow.controls);
	while (g_hash_table_iter_next(&i, &name, NULL)) {
		size_t n = r->u.control.n;

		if (!str_starts(name, of))
			continue;
		struct store_control *v = mem_arena_get(&r->arena, (n + 1) * sizeof *v);
		memcpy(v, r->u.control.v, n * sizeof *v);
		v[n] = (struct store_control){ .name = mem_arena_dup(&r->arena, name),
			.at_ms = clock_wall_ms() };
		r->u.control.v = v;
		r->u.control.n++;
	}
	free(of);
}

/* VALUE NULL: removes it. Bounces are counted anew after a pause (flow_guard_recall). */
static struct store_req *control_new(
	const char *prefix, const char *name, const char *value, flow_answer *cb, void *arg)
{
	struct control_call *c = xcalloc(1, sizeof *c);
	struct store_req *r = store_req_new(STORE_CONTROL_SET, on_control, 0, c);
	struct store_control *v = mem_arena_get(&r->arena, 2 * sizeof *v);
	int64_t now = clock_wall_ms();

	*c = (struct control_call){ .cb = cb, .arg = arg };
	v[0] = (struct store_control){ .name = mem_arena_printf(&r->arena, "%s%s", prefix, name),
		.value = value ? mem_arena_dup(&r->arena, value) : NULL,
		.at_ms = now };
	v[1] = (struct store_control){
		.name = mem_arena_printf(&r->arena, FLOW_COUNTED "%s", v[0].name),
		.value = mem_arena_printf(&r->arena, "%lld", (long long)now),
		.at_ms = now,
	};
	r->u.control.v = v;
	r->u.control.n = value || !*name ? 1 : 2;
	return r;
}

static void refuse(flow_answer *cb, void *arg, int err, const char *why)
{
	static const struct store_voids none;

	cb(arg, err, why, &none);
}

void flow_start_campaign(const char *name, flow_answer *cb, void *arg)
{
	const struct conf_campaign *c = conf_find_campaign(flow.plan->conf, name);

	if (!c)
		refuse(cb, arg, CM_ENOENT, "there is no such campaign in the configuration");
	else if (flow_has_started(c))
		refuse(cb, arg, CM_EEXIST, "the campaign has started already");
	else
		store_send(control_new("start/", name, FLOW_YES, cb, arg));
}

/* It is right as it is now, somebody says: so it is after a restart. */
static void remember_trust(struct store_req *r)
{
	r->u.control.v[1] = (struct store_control){
		.name = FLOW_CLOCK_TRUSTED,
		.value = mem_arena_printf(&r->arena, "%lld", (long long)clock_wall_ms()),
		.at_ms = clock_wall_ms(),
	};
	r->u.control.n = 2;
}

static struct store_req *pause_new(
	const char *kind, const char *name, const char *why, flow_answer *cb, void *arg)
{
	struct store_req *r;

	if (str_eq(kind, "all")) {
		r = control_new("pause/all", "", why, cb, arg);
		r->u.control.void_campaign = why ? "*" : NULL;
	} else if (str_eq(kind, "clock")) {
		r = control_new("pause/clock", "", why, cb, arg);
		r->u.control.void_campaign = why ? "*" : NULL;
		if (!why)
			remember_trust(r);
	} else if (str_eq(kind, "campaign")) {
		r = control_new("pause/campaign/", name, why, cb, arg);
		r->u.control.void_campaign = why ? mem_arena_dup(&r->arena, name) : NULL;
		if (!why)
			forget_content(r, name);
	} else {
		r = control_new("pause/mailbox/", name, why, cb, arg);
		r->u.control.void_mailbox = why ? mem_arena_dup(&r->arena, name) : NULL;
	}
	return r;
}

void flow_pause(const char *kind, const char *name, bool paused, flow_answer *cb, void *arg)
{
	bool campaign = str_eq(kind, "campaign"), mailbox = str_eq(kind, "mailbox");

	if (!campaign && !mailbox && !str_eq(kind, "all") && !str_eq(kind, "clock"))
		refuse(cb, arg, CM_EINVAL, "can pause: all, clock, campaign NAME, mailbox NAME");
	else if (campaign && !conf_find_campaign(flow.plan->conf, name))
		refuse(cb, arg, CM_ENOENT, "there is no such campaign in the configuration");
	else if (mailbox && !mailbox_find(name))
		refuse(cb, arg, CM_ENOENT, "there is no such mailbox in the configuration");
	else
		store_send(pause_new(kind, name, paused ? FLOW_YES : NULL, cb, arg));
}

/* It holds from now on, whatever the store says; there it outlives a restart. */
static void hold(struct store_req *r)
{
	apply(r->u.control.v);
	flow_plan_apply();
	store_send(r);
}

void flow_pause_for(const char *kind, const char *name, const char *why)
{
	hold(pause_new(kind, name, why, NULL, NULL));
}

void flow_control_put(const char *prefix, const char *name, const char *value)
{
	hold(control_new(prefix, name, value, NULL, NULL));
}

/* As it would be said now: a pause voids what is open since. */
static struct store_req *control_again(const char *name)
{
	static const char *const kinds[] = { "all", "clock", "campaign", "mailbox" };
	const char *value = g_hash_table_lookup(flow.controls, name);

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		char *prefix = xasprintf("pause/%s", kinds[i]);
		const char *of = str_starts(name, prefix) ? name + strlen(prefix) : NULL;

		free(prefix);
		if (of && (!*of || *of == '/'))
			return pause_new(kinds[i], of + (*of == '/'), value, NULL, NULL);
	}
	return control_new("", name, value, NULL, NULL);
}

void flow_controls_keep(void)
{
	GHashTable *names = unkept;
	GHashTableIter i;
	void *name;

	unkept = NULL;
	if (!names)
		return;
	g_hash_table_iter_init(&i, names);
	while (g_hash_table_iter_next(&i, &name, NULL))
		store_send(control_again(name));
	g_hash_table_unref(names);
}

void flow_controls_free(void)
{
	if (unkept)
		g_hash_table_unref(unkept);
	unkept = NULL;
}

void flow_forget(const char *address)
{
	GHashTableIter i;
	void *value;

	g_hash_table_iter_init(&i, flow.controls);
	while (g_hash_table_iter_next(&i, NULL, &value))
		str_blot(value, address);
	for (size_t k = 0; k < mailbox_count(); k++)
		mailbox_forget(mailbox_at(k), address);
}

/* ---- resolve --------------------------------------------------------------------------------------- */

struct resolve_call {
	flow_resolved *cb;
	void *arg;
};

static void on_resolved(struct store_req *r)
{
	struct resolve_call *c = r->arg;

	if (!r->err && !r->u.resolve.dry_run) {
		log_event(LOG_NOTICE, "resolved",
			LOG_S("attempt", mem_arena_printf(&r->arena, "%s#%d", r->u.resolve.key,
						 r->u.resolve.n)),
			LOG_S("outcome", r->u.resolve.sent ? "sent" : "not_sent"));
		flow_poke();
	}
	c->cb(c->arg, r->err, r->why, r->err ? NULL : &r->u.resolve.attempt);
	free(c);
}

/* KEY is campaign/person/step: what the lead does next follows from the step's place. */
static struct store_lead_to after_resolving(const char *key, bool sent)
{
	char *copy = xstrdup(key), *slash = strchr(copy, '/'), *step = strrchr(copy, '/');
	const struct conf_campaign *c = NULL;
	int index = -1;

	if (slash && step != slash) {
		*slash = '\0';
		c = conf_find_campaign(flow.plan->conf, copy);
		index = c ? conf_find_step(c, step + 1) : -1;
	}
	free(copy);
	if (!sent)
		return (struct store_lead_to){
			.state = LEAD_QUEUED, .stage = LEAD_STAGE_SEND, .due_ms = clock_wall_ms()
		};
	if (index < 0) /* the next claim finds the step after the last one */
		return (struct store_lead_to){
			.state = LEAD_QUEUED, .stage = LEAD_STAGE_DRAFT, .due_ms = clock_wall_ms()
		};
	return flow_record_next(c, (size_t)index, clock_wall_ms());
}

void flow_resolve(const char *id, bool sent, bool dry_run, flow_resolved *cb, void *arg)
{
	const char *hash = strrchr(id, '#');
	int64_t n = 0;

	if (!hash || !str_to_i64(hash + 1, &n) || n < 1 || n > INT32_MAX) {
		cb(arg, CM_EINVAL, "an attempt's id is KEY#n, as `sends` lists it", NULL);
		return;
	}
	struct resolve_call *c = xcalloc(1, sizeof *c);
	struct store_req *r = store_req_new(STORE_RESOLVE, on_resolved, 0, c);
	*c = (struct resolve_call){ cb, arg };
	r->u.resolve.key = mem_arena_ndup(&r->arena, id, (size_t)(hash - id));
	r->u.resolve.n = (int)n;
	r->u.resolve.sent = sent;
	r->u.resolve.dry_run = dry_run;
	r->u.resolve.to = after_resolving(r->u.resolve.key, sent);
	r->u.resolve.to.step = mem_arena_dup(&r->arena, r->u.resolve.to.step);
	r->u.resolve.to.last_step = mem_arena_dup(&r->arena, r->u.resolve.to.last_step);
	store_send(r);
}
