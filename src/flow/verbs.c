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
	flow_answer *cb;
	void *arg;
	char *name; /* owned: of the control */
	bool set;
};

/* "pause/mailbox/NAME": an operator's word ends what a server did to it, too. */
static void control_removed(const char *name)
{
	static const char prefix[] = "pause/mailbox/";

	g_hash_table_remove(flow.controls, name);
	if (!str_starts(name, prefix))
		return;
	struct mailbox *m = mailbox_find(name + strlen(prefix));
	if (m)
		mailbox_resume(m);
}

static void on_control(struct store_req *r)
{
	struct control_call *c = r->arg;

	if (!r->err) {
		if (c->set)
			g_hash_table_add(flow.controls, xstrdup(c->name));
		else
			control_removed(c->name);
		log_event(LOG_NOTICE, c->set ? "control_set" : "control_removed",
			LOG_S("name", c->name), LOG_I("voided", r->u.control.voids.voided));
		flow_plan_apply();
	} else if (flow_err_is_store(r->err)) {
		flow_store_failed(r->err, r->why);
	}
	c->cb(c->arg, r->err, r->why, &r->u.control.voids);
	free(c->name);
	free(c);
}

/* NAME is taken over. */
static void set_control(char *name, bool set, const char *void_campaign, const char *void_mailbox,
	flow_answer *cb, void *arg)
{
	struct control_call *c = xcalloc(1, sizeof *c);
	struct store_req *r = store_req_new(STORE_CONTROL_SET, on_control, 0, c);

	*c = (struct control_call){ .cb = cb, .arg = arg, .name = name, .set = set };
	r->u.control.v = mem_arena_get(&r->arena, sizeof *r->u.control.v);
	r->u.control.n = 1;
	r->u.control.v->name = mem_arena_dup(&r->arena, name);
	r->u.control.v->value = set ? "yes" : NULL;
	r->u.control.v->at_ms = clock_wall_ms();
	if (set) {
		r->u.control.void_campaign = mem_arena_dup(&r->arena, void_campaign);
		r->u.control.void_mailbox = mem_arena_dup(&r->arena, void_mailbox);
	}
	store_send(r);
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
		set_control(xasprintf("start/%s", name), true, NULL, NULL, cb, arg);
}

void flow_pause(const char *kind, const char *name, bool paused, flow_answer *cb, void *arg)
{
	const struct conf *conf = flow.plan->conf;
	bool all = str_eq(kind, "all"), campaign = str_eq(kind, "campaign");

	if (all)
		set_control(xstrdup("pause/all"), paused, "*", NULL, cb, arg);
	else if (campaign && !conf_find_campaign(conf, name))
		refuse(cb, arg, CM_ENOENT, "there is no such campaign in the configuration");
	else if (campaign)
		set_control(xasprintf("pause/campaign/%s", name), paused, name, NULL, cb, arg);
	else if (!str_eq(kind, "mailbox"))
		refuse(cb, arg, CM_EINVAL, "can pause: all, campaign NAME, mailbox NAME");
	else if (!mailbox_find(name))
		refuse(cb, arg, CM_ENOENT, "there is no such mailbox in the configuration");
	else
		set_control(xasprintf("pause/mailbox/%s", name), paused, NULL, name, cb, arg);
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
