/*
 * The command status: the health object of interfaces.md, with campaigns beside it.
 * Runs on: loop. Called by command.c.
 * It answers whatever state the store is in: what the store would have told is left out then.
 */
#include "ops_private.h"

#include <inttypes.h>

#include "coldmail/clock.h"
#include "coldmail/log.h"
#include "coldmail/loop.h"
#include "coldmail/str.h"

static int64_t started_ms; /* boot time */

void ops_status_init(void)
{
	started_ms = clock_boot_ms();
}

static void add_reason(cJSON *reasons, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add_reason(cJSON *reasons, const char *fmt, ...)
{
	struct str text = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&text, fmt, ap);
	va_end(ap);
	cJSON_AddItemToArray(reasons, cJSON_CreateString(str_z(&text)));
	str_done(&text);
}

enum health {
	HEALTHY,
	DEGRADED,
	UNHEALTHY, /* nothing can be sent until it ends */
};

static enum health judge_mailboxes(cJSON *reasons)
{
	int n = 0, troubled = 0;

	for (size_t i = 0; i < mailbox_count(); i++) {
		struct mailbox_info info = mailbox_info(mailbox_at(i));

		if (info.state == MAILBOX_REMOVED)
			continue;
		n++;
		if (!mailbox_state_is_trouble(info.state))
			continue;
		troubled++;
		add_reason(reasons, "mailbox %s is %s: %s", info.address,
			mailbox_state_name(info.state), info.why);
	}
	return !troubled ? HEALTHY : troubled == n ? UNHEALTHY : DEGRADED;
}

static bool judge_strays(const struct ops_survey *s, cJSON *reasons)
{
	bool matters = false;

	for (size_t i = 0; i < s->n_due; i++) {
		for (size_t k = 0; k < s->due[i].n_strays; k++) {
			const struct store_stray *stray = &s->due[i].strays[k];

			if (!stray->n)
				continue;
			add_reason(reasons,
				"campaign %s: %" PRId64 " lead%s for %s, which it lacks",
				s->due[i].campaign, stray->n, stray->n == 1 ? " waits" : "s wait",
				stray->mailbox);
			matters = true;
		}
	}
	return matters;
}

/* What somebody should look at, although mails go out. */
static bool judge_matters(const struct ops_survey *s, const struct flow_stats *f, cJSON *reasons)
{
	bool strays = judge_strays(s, reasons);

	if (f->draining)
		add_reason(reasons, "draining: nothing new is sent, %zu mail%s under way",
			f->in_flight, f->in_flight == 1 ? " is" : "s are");
	if (ops_reload_failure())
		add_reason(reasons, "the last reload failed: %s", ops_reload_failure());
	if (f->unrecorded)
		add_reason(reasons, "%zu outcome%s not in the store yet", f->unrecorded,
			f->unrecorded == 1 ? " is" : "s are");
	if (s->uncertain)
		add_reason(reasons, "%" PRId64 " mail%s uncertain", s->uncertain,
			s->uncertain == 1 ? " is" : "s are");
	return strays || f->draining || ops_reload_failure() || f->unrecorded || s->uncertain;
}

static enum health judge(const struct ops_survey *s, cJSON *reasons)
{
	const struct store_stats store = store_stats();
	const struct flow_stats f = flow_stats();
	enum health health = judge_mailboxes(reasons);

	if (f.store_why || store.down || !store.open) {
		add_reason(reasons, "store_down: %s; see coldmailctl why",
			f.store_why               ? f.store_why
			: str_is_empty(store.why) ? "it has not answered yet"
						  : store.why);
		health = UNHEALTHY;
	}
	if (store.restored) {
		add_reason(reasons, "store_restored: %s; see coldmailctl why", store.restored);
		health = UNHEALTHY;
	}
	if (f.clock_doubt) {
		add_reason(reasons, "clock_untrusted: %s; see coldmailctl why", f.clock_doubt);
		health = UNHEALTHY;
	}
	if (!f.draining && !flow_is_alive()) {
		add_reason(reasons, "the scheduler does not advance");
		health = UNHEALTHY;
	}
	if (judge_matters(s, &f, reasons) && health == HEALTHY)
		health = DEGRADED;
	return health;
}

/* When the next mail can go out, its mailbox's gate included; without the store's answer, what the
 * scheduler waits for. */
static int64_t next_mail(const struct ops_survey *s, const struct flow_stats *f)
{
	const struct conf *conf = flow_conf();
	int64_t next_ms = CLOCK_NEVER_MS;

	if (f->draining || f->clock_doubt || store_stats().restored)
		return CLOCK_NEVER_MS;
	if (s->err)
		return f->next_due_ms;
	for (size_t i = 0; i < conf->n_campaigns; i++) {
		const struct conf_campaign *cc = &conf->campaigns[i];
		int64_t ms = ops_next_mail(cc, ops_due_of(s, cc->name));

		if (ms < next_ms && str_eq(ops_campaign_state(cc), "running"))
			next_ms = ms;
	}
	return next_ms;
}

static void add_scheduler(cJSON *out, const struct ops_survey *s)
{
	const struct flow_stats f = flow_stats();
	cJSON *o = cJSON_AddObjectToObject(out, "scheduler");

	cJSON_AddBoolToObject(o, "running", f.ready && !f.draining);
	ops_json_time(o, "last_tick", f.last_tick_ms);
	cJSON_AddBoolToObject(o, "draining", f.draining);
	ops_json_coming(o, "next_due", next_mail(s, &f));
	ops_json_whole(o, "in_flight", (int64_t)f.in_flight);
	cJSON_AddNumberToObject(
		o, "loop_stall_max_seconds", (double)loop_stats().stall_max_us / 1e6);
}

static void add_sent(cJSON *out)
{
	int64_t today = 0, last = flow_stats().last_sent_ms;

	for (size_t i = 0; i < mailbox_count(); i++) {
		struct mailbox_info info = mailbox_info(mailbox_at(i));

		today += info.sent_today;
		last = info.last_sent_ms > last ? info.last_sent_ms : last;
	}
	ops_json_time(out, "last_sent_at", last);
	ops_json_whole(out, "sent_today", today);
}

static void add_store(cJSON *out)
{
	const struct store_stats store = store_stats();
	const struct flow_stats f = flow_stats();
	const char *why = f.store_why ? f.store_why : store.why;
	cJSON *o = cJSON_AddObjectToObject(out, "store");

	cJSON_AddStringToObject(o, "kind", "sqlite");
	cJSON_AddBoolToObject(o, "ok", store.open && !store.down && !f.store_why);
	cJSON_AddStringToObject(o, "why", why ? why : "");
	cJSON_AddStringToObject(o, "restored", store.restored ? store.restored : "");
	ops_json_time(o, "down_since",
		f.store_why  ? f.store_down_ms
		: store.down ? store.down_since_ms
			     : 0);
	ops_json_whole(o, "spool", (int64_t)f.unrecorded);
}

/* Until it has ended well once. */
static void add_unclean(cJSON *out)
{
	const struct flow_stats f = flow_stats();

	if (!f.unclean)
		return;
	cJSON *o = cJSON_AddObjectToObject(out, "unclean_end");
	ops_json_time(o, "since", f.unclean_since_ms);
	cJSON_AddStringToObject(o, "instance", f.unclean);
}

static void on_survey(uint64_t id, const struct ops_survey *s)
{
	static const char *const words[] = {
		[HEALTHY] = "healthy", [DEGRADED] = "degraded", [UNHEALTHY] = "unhealthy"
	};
	struct ops_call *c = ops_call_find(id);

	if (!c)
		return;
	cJSON *out = cJSON_CreateObject(), *reasons = cJSON_CreateArray();
	cJSON_AddStringToObject(out, "status", words[judge(s, reasons)]);
	cJSON_AddItemToObject(out, "reasons", reasons);
	add_scheduler(out, s);
	add_sent(out);
	if (!s->err) {
		cJSON_AddItemToObject(out, "held", ops_tally_reasons(s, NULL, LEAD_HELD));
		ops_json_whole(out, "uncertain", s->uncertain);
		ops_json_campaigns(out, s);
	}
	cJSON_AddArrayToObject(out, "quota");
	cJSON_AddArrayToObject(out, "breakers");
	cJSON_AddItemToObject(out, "mailboxes", ops_json_mailboxes());
	add_store(out);
	cJSON_AddStringToObject(out, "version", CM_VERSION);
	ops_json_whole(out, "uptime_s", (clock_boot_ms() - started_ms) / CLOCK_SECOND_MS);
	add_unclean(out);
	if (log_dropped())
		ops_json_whole(out, "log_dropped", (int64_t)log_dropped());
	ops_json_time(out, "now", clock_wall_ms());
	ops_reply(c, out);
}

void ops_status(struct ops_call *c)
{
	ops_survey(on_survey, c->id);
}
