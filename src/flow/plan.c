/*
 * Plans: a generation of configuration with its templates parsed, and what it makes of campaigns and
 * mailboxes together with the operator's stored word (start, pause).
 * Runs on: loop. Called by flow.c at birth, by ops at a reload, by verbs.c after a word was stored.
 * Work in flight keeps the plan it began with; only new work sees the new one.
 */
#include "flow_private.h"

#include "coldmail/mem.h"
#include "coldmail/str.h"

/* ---- plans ----------------------------------------------------------------------------------- */

static void plan_free(struct flow_plan *p)
{
	const struct conf *c = p->conf;

	for (size_t i = 0; i < c->n_campaigns; i++) {
		for (size_t k = 0; k < c->campaigns[i].n_steps; k++)
			content_template_free(p->templates[i][k]);
		free(p->templates[i]);
		plan_calendar_free(p->calendars[i]);
	}
	free(p->calendars);
	free(p->templates);
	mail_classes_free(p->classes);
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

static void read_classes(struct flow_plan *p, struct str *ret_problems)
{
	struct str problems = STR_INIT;

	if (mail_classes_new(p->conf->reply_classes.path, p->conf->reply_classes.text, &p->classes,
		    &problems) &&
		ret_problems)
		str_adds(ret_problems, str_z(&problems));
	str_done(&problems);
}

struct flow_plan *flow_plan_new(const struct conf *c, struct str *ret_problems)
{
	struct flow_plan *p = xcalloc(1, sizeof *p);

	p->refs = 1;
	p->conf = conf_ref(c);
	p->templates = xcalloc(c->n_campaigns, sizeof *p->templates);
	p->calendars = xcalloc(c->n_campaigns, sizeof *p->calendars);
	for (size_t i = 0; i < c->n_campaigns; i++) {
		const struct conf_campaign *cc = &c->campaigns[i];

		p->calendars[i] = plan_calendar_new(cc);
		p->templates[i] = xcalloc(cc->n_steps, sizeof **p->templates);
		for (size_t k = 0; k < cc->n_steps; k++) {
			const struct conf_step *s = &cc->steps[k];
			char *problem = NULL;

			if (!s->template_source) /* a writer that needs none */
				continue;
			if (!content_template_parse(s->template_source, s->template_path,
				    s->same_thread, &p->templates[i][k], &problem))
				continue;
			if (ret_problems)
				str_addf(ret_problems, "%s\n", problem);
			free(problem);
		}
	}
	read_classes(p, ret_problems);
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

	flow_plan_unref(flow_plan_new(c, ret_problems));
	for (size_t i = 0; flow.fast_forward && i < c->n_mailboxes; i++) {
		const struct conf_mailbox *m = &c->mailboxes[i];

		if (m->far_url)
			str_addf(ret_problems,
				"%s:%d: --fast-forward is under way, and %s is not a server on "
				"loopback\n",
				m->file, m->line, m->far_url);
	}
	if (flow.fast_forward && c->verify_mx == CONF_VERIFY_YES && !c->resolver_is_loopback)
		str_addf(ret_problems,
			"%s: --fast-forward is under way, and verify { mx = yes } asks name "
			"servers "
			"that are not on loopback\n",
			c->file);
	return ret_problems->len == before;
}

/* ---- campaigns and senders -------------------------------------------------------------------- */

static void campaign_free(void *p)
{
	struct flow_campaign *c = p;

	g_hash_table_unref(c->feeds);
	g_hash_table_unref(c->zones);
	free(c->name);
	free(c);
}

void flow_campaigns_init(void)
{
	flow.campaigns = g_ptr_array_new_with_free_func(campaign_free);
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

const char *flow_control(const char *prefix, const char *name)
{
	char *key = xasprintf("%s%s", prefix, name);
	const char *value = g_hash_table_lookup(flow.controls, key);

	free(key);
	return value;
}

const char *flow_pause_why(const char *kind, const char *name)
{
	const char *value = str_eq(kind, "all")        ? flow_control("pause/all", "")
			    : str_eq(kind, "clock")    ? flow_control("pause/clock", "")
			    : str_eq(kind, "campaign") ? flow_control("pause/campaign/", name)
						       : flow_control("pause/mailbox/", name);

	return str_eq(value, FLOW_YES) ? "paused by an operator" : value;
}

bool flow_is_paused(const char *kind, const char *name)
{
	return flow_pause_why(kind, name);
}

bool flow_has_started(const struct conf_campaign *c)
{
	return c->start_auto || flow_control("start/", c->name);
}

bool flow_campaign_may_send(const struct flow_campaign *c)
{
	return c->conf && c->started && !c->paused && !flow_is_paused("all", NULL) &&
	       flow_has_writer(c->conf);
}

static struct flow_campaign *campaign_get(const char *name)
{
	struct flow_campaign *c = flow_campaign_find(name);

	if (c)
		return c;
	c = xcalloc(1, sizeof *c);
	c->name = xstrdup(name);
	c->feeds = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
	c->zones = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
	g_hash_table_add(c->zones, xstrdup(""));
	g_ptr_array_add(flow.campaigns, c);
	return c;
}

static void apply(void)
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
		c->fed++; /* a claim that is under way knows the gates and windows of before */
		c->draft_after_ms = 0;
		c->strays = true;
		g_hash_table_remove_all(c->feeds);
	}
	for (size_t i = 0; i < conf->n_mailboxes; i++) {
		const char *address = conf->mailboxes[i].address;

		flow_sender_get(address);
		mailbox_pause(mailbox_find(address), flow_pause_why("mailbox", address));
	}
}

void flow_plan_apply(void)
{
	apply();
	flow_sched_soon();
}

const struct conf *flow_conf(void)
{
	return flow.plan->conf;
}

static void renew_mailboxes(const struct conf *old, const struct conf *new)
{
	for (size_t i = 0; i < new->n_mailboxes; i++) {
		const struct conf_mailbox *b = &new->mailboxes[i];
		const struct conf_mailbox *a = conf_find_mailbox(old, b->address);

		if (a && !conf_is_same_server(a, b))
			mailbox_renew(mailbox_find(b->address));
	}
}

void flow_reload(const struct conf *c)
{
	struct flow_plan *old = flow.plan;

	flow.plan = flow_plan_new(c, NULL);
	mailbox_configure(c);
	renew_mailboxes(old->conf, c);
	flow_verify_configure(c);
	apply();
	flow_mailboxes_ask();
	flow_senders_reconfigure();
	flow_plan_unref(old);
	flow_sched_soon();
}
