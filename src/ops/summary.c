/*
 * The summary that --until-idle ends with: one screen on standard output, plain text.
 * Runs on: loop. Called by main, once, before the rooms below end.
 * Counts what this run sent from the ledger, not from memory; "held" and "waiting" are the store's.
 */
#include "ops_private.h"

#include <inttypes.h>
#include <stdio.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/str.h"

#define BAR_WIDTH  24
#define NAME_WIDTH 22

/* How many attempts of one thing (a step, a mailbox) ended how. */
struct tries {
	const char *campaign, *name; /* in the arena; campaign "" for a mailbox */
	int64_t n[STORE_ATTEMPT_UNCERTAIN + 1];
};

static struct {
	void (*done)(int exit_status);
	int exit_status;
	int64_t since_ms;
	struct mem_arena arena;
	struct tries *tries;
	size_t n_tries, cap_tries;
	struct str out;
	cJSON *campaigns; /* owned: as `campaigns` answers */
	int64_t uncertain;
} sum;

void ops_summary_init(void)
{
	sum.since_ms = clock_wall_ms();
}

/* ---- counting ---------------------------------------------------------------------------------- */

static struct tries *tries_of(const char *campaign, const char *name)
{
	for (size_t i = 0; i < sum.n_tries; i++)
		if (str_eq(sum.tries[i].name, name) && str_eq(sum.tries[i].campaign, campaign))
			return &sum.tries[i];
	mem_grow(sum.tries, sum.cap_tries, sum.n_tries + 1);
	sum.tries[sum.n_tries] = (struct tries){
		.campaign = mem_arena_dup(&sum.arena, campaign),
		.name = mem_arena_dup(&sum.arena, name),
	};
	return &sum.tries[sum.n_tries++];
}

/* false: this one, and so all the rest, is from before this run. */
static bool count(const struct store_attempt *a)
{
	if (a->reserved_ms < sum.since_ms)
		return false;
	tries_of(a->campaign, a->step)->n[a->state]++;
	tries_of("", a->mailbox)->n[a->state]++;
	return true;
}

/* ---- writing ----------------------------------------------------------------------------------- */

static void add_bar(struct str *out, int64_t n, int64_t of)
{
	int64_t full = of > 0 ? (n * BAR_WIDTH + of - 1) / of : 0;

	for (int64_t i = 0; i < BAR_WIDTH; i++)
		str_addc(out, i < full ? '#' : '.');
}

static void add_tries(struct str *out, const struct tries *t)
{
	str_addf(out, "%6" PRId64 " sent", t->n[STORE_ATTEMPT_SENT]);
	if (t->n[STORE_ATTEMPT_UNCERTAIN])
		str_addf(out, ", %" PRId64 " uncertain", t->n[STORE_ATTEMPT_UNCERTAIN]);
	if (t->n[STORE_ATTEMPT_REFUSED])
		str_addf(out, ", %" PRId64 " refused", t->n[STORE_ATTEMPT_REFUSED]);
	if (t->n[STORE_ATTEMPT_NOT_SENT] + t->n[STORE_ATTEMPT_RELEASED])
		str_addf(out, ", %" PRId64 " given back",
			t->n[STORE_ATTEMPT_NOT_SENT] + t->n[STORE_ATTEMPT_RELEASED]);
	str_addc(out, '\n');
}

static int64_t number(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsNumber(v) ? (int64_t)v->valuedouble : 0;
}

static const char *text(const cJSON *o, const char *key)
{
	const char *v = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));

	return v ? v : "";
}

/* "  held      5 missing_field, 2 operator"; nothing when there is none. */
static void add_reasons(struct str *out, const char *title, const cJSON *reasons)
{
	const cJSON *r;
	const char *sep = "";

	if (!reasons || !reasons->child)
		return;
	str_addf(out, "  %-*s", NAME_WIDTH, title);
	cJSON_ArrayForEach(r, reasons)
	{
		str_addf(out, "%s%.0f %s", sep, r->valuedouble, r->string);
		sep = ", ";
	}
	str_addc(out, '\n');
}

static void add_steps(struct str *out, const char *campaign, const cJSON *steps, int64_t total)
{
	const cJSON *step;

	cJSON_ArrayForEach(step, steps)
	{
		const struct tries *t = tries_of(campaign, step->valuestring);

		str_addf(out, "  %-*s", NAME_WIDTH, step->valuestring);
		add_bar(out, t->n[STORE_ATTEMPT_SENT] + t->n[STORE_ATTEMPT_UNCERTAIN], total);
		add_tries(out, t);
	}
}

static void add_campaign(struct str *out, const cJSON *c)
{
	const cJSON *leads = cJSON_GetObjectItemCaseSensitive(c, "leads");
	const char *name = text(c, "name"), *state = text(c, "state");
	int64_t total = number(leads, "total");

	str_addf(out, "\n%-*s%" PRId64 " lead%s", NAME_WIDTH + 2,
		*name ? name : "(without campaign)", total, str_plural(total));
	if (!str_eq(state, "running") && *name)
		str_addf(out, ", %s", state);
	str_addc(out, '\n');
	add_steps(out, name, cJSON_GetObjectItemCaseSensitive(c, "steps"), total);
	if (number(leads, "queued"))
		str_addf(out, "  %-*s%" PRId64 " (%" PRId64 " due)\n", NAME_WIDTH, "waiting",
			number(leads, "queued"), number(c, "due_now"));
	add_reasons(out, "finished", cJSON_GetObjectItemCaseSensitive(c, "ended"));
	add_reasons(out, "held", cJSON_GetObjectItemCaseSensitive(c, "held"));
	if (number(leads, "held"))
		str_addf(out, "  %-*scoldmailctl leads list --state held%s%s\n", NAME_WIDTH, "",
			*name ? " --campaign " : "", name);
	if (str_eq(state, "not_started"))
		str_addf(out, "  to begin: coldmailctl start %s\n", name);
}

static void add_mailboxes(struct str *out)
{
	str_adds(out, "\nmailboxes\n");
	for (size_t i = 0; i < mailbox_count(); i++) {
		const char *name = mailbox_name(mailbox_at(i));

		str_addf(out, "  %-*s", NAME_WIDTH + BAR_WIDTH, name);
		add_tries(out, tries_of("", name));
	}
}

static void add_uncertain(struct str *out)
{
	const char *what = sum.uncertain == 1 ? "it" : "them";

	if (sum.uncertain)
		str_addf(out,
			"\n%" PRId64
			" uncertain: the server may have %s. coldmailctl sends --outcome "
			"uncertain lists %s,\ncoldmailctl resolve settles %s\n",
			sum.uncertain, what, what, what);
	else
		str_adds(out, "\nuncertain: none\n");
}

static bool is_gone_with_leads(const cJSON *c)
{
	const cJSON *leads = cJSON_GetObjectItemCaseSensitive(c, "leads");

	return str_eq(text(c, "state"), "gone") && number(leads, "queued") > 0;
}

/* Held for good until somebody acts, or nobody's any more. */
static bool is_waiting_for_somebody(const cJSON *c)
{
	const cJSON *held;

	cJSON_ArrayForEach(held, cJSON_GetObjectItemCaseSensitive(c, "held"))
	{
		if (!lead_reason_is_passing(lead_reason_parse(held->string)))
			return true;
	}
	return number(c, "due_now") > 0 || is_gone_with_leads(c) ||
	       cJSON_GetArraySize(
		       cJSON_GetObjectItemCaseSensitive(c, "thread_mailbox_unavailable")) ||
	       str_eq(text(c, "state"), "not_started");
}

/* What this run was about: with virtual time, weeks. */
static void add_span(struct str *out)
{
	char from[CLOCK_STAMP], to[CLOCK_STAMP], span[32];
	int64_t now = clock_wall_ms();

	str_addf(out, "\nThis run: %s to %s, %s\n", clock_stamp(sum.since_ms, from),
		clock_stamp(now, to), str_duration(now - sum.since_ms, span));
}

/* What binds, unless it is only time. */
static void add_obstacles(struct str *out, const struct flow_reason *reasons, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (reasons[i].binds && !str_eq(reasons[i].reason, "step_not_due"))
			str_addf(out, "in the way: %s: %s %s\n", reasons[i].subject,
				reasons[i].reason, reasons[i].value);
}

/* ---- the way through --------------------------------------------------------------------------- */

static void finish(
	void *arg, int err, const struct flow_reason *reasons, size_t n, const char *summary)
{
	struct str *out = &sum.out;
	const cJSON *c;

	(void)arg, (void)summary;
	add_span(out);
	cJSON_ArrayForEach(c, sum.campaigns)
	{
		add_campaign(out, c);
		if (is_waiting_for_somebody(c))
			sum.exit_status = CM_EXIT_TEMPFAIL;
	}
	if (store_stats().restored || flow_stats().clock_doubt)
		sum.exit_status = CM_EXIT_TEMPFAIL;
	add_mailboxes(out);
	add_uncertain(out);
	if (!err)
		add_obstacles(out, reasons, n);
	fwrite(str_z(out), 1, out->len, stdout);
	fflush(stdout);
	str_done(out);
	cJSON_Delete(sum.campaigns);
	mem_arena_done(&sum.arena);
	free(sum.tries);
	sum.tries = NULL;
	sum.n_tries = sum.cap_tries = 0;
	sum.done(sum.exit_status);
}

static void fail(const char *why)
{
	printf("coldmail: no summary, the store does not answer: %s\n", why);
	fflush(stdout);
	sum.done(CM_EXIT_TEMPFAIL);
}

static void ask_sends(int64_t before_ms, const char *before_id);

static void on_sends(struct store_req *r)
{
	size_t n = 0;

	if (r->err) {
		fail(r->why ? r->why : cm_strerror(r->err));
		return;
	}
	while (n < r->u.sends.n && count(&r->u.sends.v[n]))
		n++;
	if (n < r->u.sends.max) {
		flow_why(NULL, finish, NULL);
		return;
	}
	char *id = xasprintf("%s#%d", r->u.sends.v[n - 1].key, r->u.sends.v[n - 1].n);
	ask_sends(r->u.sends.v[n - 1].reserved_ms, id);
	free(id);
}

static void ask_sends(int64_t before_ms, const char *before_id)
{
	struct store_req *r = store_req_new(STORE_SENDS, on_sends, 0, NULL);

	r->u.sends.before_ms = before_ms;
	r->u.sends.before_id = mem_arena_dup(&r->arena, before_id);
	r->u.sends.max = OPS_PAGE_MAX;
	store_send(r);
}

static void on_survey(uint64_t id, const struct ops_survey *s)
{
	(void)id;
	if (s->err) {
		fail(s->why);
		return;
	}
	cJSON *o = cJSON_CreateObject();
	ops_json_campaigns(o, s);
	sum.campaigns = cJSON_DetachItemFromObjectCaseSensitive(o, "campaigns");
	cJSON_Delete(o);
	sum.uncertain = s->uncertain;
	ask_sends(INT64_MAX, NULL);
}

void ops_summary(void (*done)(int exit_status))
{
	sum.done = done;
	sum.exit_status = CM_EXIT_OK;
	ops_survey(on_survey, 0);
}
