/*
 * How many mails a second the ledger carries, and what it costs to hold many leads: complete
 * pipelines (claim of 64, draft, claim, reserve, slot, outcome), 64 in flight, on one file.
 * Usage: bench-store DIR [LEADS [MAILS]]. Prints one line of key=value.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/loop.h"
#include "coldmail/store.h"
#include "coldmail/str.h"

#define BATCH   64
#define NOW     ((int64_t)1770000000000)
#define MAILBOX "ali@example.com"

/* A mail on its way: its key and lead outlive the requests. */
struct mail {
	char key[128], lead_id[40], to[64], person[LEAD_PERSON];
};

static struct mail mails[BATCH];
static int64_t n_leads = 100000, n_mails = 20000, n_imported, n_sent, started_us;
static size_t n_claimed, waiting;
static enum lead_stage stage;

static void claim(enum lead_stage s);

static void must(const struct store_req *r)
{
	if (r->err)
		die(1, "request %d: %s (%s)", (int)r->op, cm_strerror(r->err), r->why);
}

static bool is_last(const struct store_req *r)
{
	must(r);
	return --waiting == 0;
}

static void on_outcome(struct store_req *r)
{
	n_sent++;
	if (!is_last(r))
		return;
	if (n_sent < n_mails)
		claim(LEAD_STAGE_DRAFT);
	else
		loop_stop();
}

static void on_slot(struct store_req *r)
{
	must(r);
	const struct mail *m = &mails[r->id];
	struct store_req *o = store_req_new(STORE_OUTCOME, on_outcome, r->id, NULL);

	o->u.outcome.key = m->key;
	o->u.outcome.n = 1;
	o->u.outcome.state = STORE_ATTEMPT_SENT;
	o->u.outcome.class = "";
	o->u.outcome.text = "2.0.0 Ok: queued as 4XyZ";
	o->u.outcome.queue_id = "4XyZ";
	o->u.outcome.code = 250;
	o->u.outcome.email_state = STORE_EMAIL_DONE;
	o->u.outcome.email_outcome = STORE_OUTCOME_SENT;
	o->u.outcome.lead_id = m->lead_id;
	o->u.outcome.to = (struct store_lead_to){ .state = LEAD_QUEUED,
		.stage = LEAD_STAGE_DRAFT,
		.step = "second",
		.last_step = "intro",
		.due_ms = NOW + CLOCK_DAY_MS,
		.mailbox = MAILBOX };
	store_send(o);
}

static void on_reserved(struct store_req *r)
{
	must(r);
	struct store_req *s = store_req_new(STORE_SLOT, on_slot, r->id, NULL);

	s->u.slot.key = mails[r->id].key;
	s->u.slot.n = 1;
	s->u.slot.instance = "bench:1:a";
	s->u.slot.nonce = "nonce";
	store_send(s);
}

static void reserve(size_t i)
{
	struct store_req *r = store_req_new(STORE_RESERVE, on_reserved, i, NULL);

	r->u.reserve.key = mails[i].key;
	r->u.reserve.n = 1;
	r->u.reserve.lead_id = mails[i].lead_id;
	r->u.reserve.to = mails[i].to;
	r->u.reserve.campaign = "founders";
	r->u.reserve.step = "intro";
	r->u.reserve.mailbox = MAILBOX;
	r->u.reserve.message_id = mem_arena_printf(&r->arena, "<%s@example.com>", mails[i].person);
	r->u.reserve.sha256 = "0000000000000000000000000000000000000000000000000000000000000000";
	r->u.reserve.date_ms = NOW;
	r->u.reserve.renderer = 1;
	r->u.reserve.instance = "bench:1:a";
	r->u.reserve.recontact_since_ms = INT64_MIN;
	store_send(r);
}

static void on_drafted(struct store_req *r)
{
	if (is_last(r))
		claim(LEAD_STAGE_SEND);
}

static void draft(size_t i)
{
	static char body[1200];
	struct store_req *r = store_req_new(STORE_DRAFT, on_drafted, i, NULL);

	memset(body, 'x', sizeof body - 1);
	r->u.draft.email = (struct store_email){ .key = mails[i].key,
		.lead_id = mails[i].lead_id,
		.campaign = "founders",
		.person = mails[i].person,
		.step = "intro",
		.to = mails[i].to,
		.mailbox = "",
		.subject = "Hello from the bench",
		.body = body,
		.draft_hash = "0123456789abcdef",
		.renderer = 1,
		.in_reply_to = "",
		.references = "" };
	r->u.draft.to = (struct store_lead_to){
		.state = LEAD_QUEUED, .stage = LEAD_STAGE_SEND, .due_ms = -1
	};
	store_send(r);
}

static void on_claimed(struct store_req *r)
{
	must(r);
	n_claimed = waiting = r->u.claim.n;
	if (!n_claimed) {
		loop_stop();
		return;
	}
	for (size_t i = 0; i < n_claimed; i++) {
		const struct lead *l = &r->u.claim.v[i].lead;
		struct mail *m = &mails[i];

		snprintf(m->key, sizeof m->key, "founders/%s/intro", l->person);
		snprintf(m->lead_id, sizeof m->lead_id, "%s", l->id);
		snprintf(m->to, sizeof m->to, "%s", l->email);
		snprintf(m->person, sizeof m->person, "%s", l->person);
		if (stage == LEAD_STAGE_DRAFT)
			draft(i);
		else
			reserve(i);
	}
}

static void claim(enum lead_stage s)
{
	struct store_req *r = store_req_new(STORE_CLAIM, on_claimed, 0, NULL);

	stage = s;
	r->u.claim.campaign = "founders";
	r->u.claim.stage = s;
	r->u.claim.mailbox = s == LEAD_STAGE_SEND ? MAILBOX : NULL;
	r->u.claim.max = BATCH;
	r->u.claim.stopped_steps = "";
	r->u.claim.before_ms = NOW;
	r->u.claim.instance = "bench:1:a";
	r->u.claim.recontact_since_ms = INT64_MIN;
	store_send(r);
}

static void import_more(void);

static void on_imported(struct store_req *r)
{
	must(r);
	if (n_imported < n_leads) {
		import_more();
		return;
	}
	fprintf(stderr, "imported %lld leads in %.2f s\n", (long long)n_leads,
		(double)(clock_raw_us() - started_us) / 1e6);
	started_us = clock_raw_us();
	claim(LEAD_STAGE_DRAFT);
}

static void import_more(void)
{
	static struct lead_var vars[] = { { "first_name", "Bob" }, { "company", "Example Ltd" },
		{ "city", "Rome" }, { "note", "met at a fair" } };
	struct store_req *r = store_req_new(STORE_IMPORT, on_imported, 0, NULL);

	r->now_ms = NOW;
	r->u.import.rows = mem_arena_get(&r->arena, 500 * sizeof *r->u.import.rows);
	for (; r->u.import.n < 500 && n_imported < n_leads; n_imported++) {
		char person[LEAD_PERSON];
		char *email = mem_arena_printf(&r->arena, "person%07lld@example%lld.com",
			(long long)n_imported, (long long)n_imported % 997);

		store_person(email, person);
		r->u.import.rows[r->u.import.n++] = (struct store_import_row){ .email = email,
			.person = mem_arena_dup(&r->arena, person),
			.campaign = "founders",
			.first_step = "intro",
			.recontact_since_ms = INT64_MIN,
			.vars = vars,
			.n_vars = 4 };
	}
	store_send(r);
}

static void on_opened(struct store_req *r)
{
	must(r);
	started_us = clock_raw_us();
	import_more();
}

static long rss_kb(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kb = 0;

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "VmRSS: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		die(64, "usage: bench-store DIR [LEADS [MAILS]]");
	if ((argc > 2 && !str_to_i64(argv[2], &n_leads)) ||
		(argc > 3 && !str_to_i64(argv[3], &n_mails)))
		die(64, "LEADS and MAILS are numbers");
	char *path = xasprintf("%s/bench-store.db", argv[1]);
	const struct store_conf conf = {
		.path = path, .instance = "bench:1:a", .timeout_ms = 10000
	};

	if (loop_init() || store_init(&conf))
		die(1, "cannot start");
	store_send(store_req_new(STORE_OPEN, on_opened, 0, NULL));
	loop_run();
	double seconds = (double)(clock_raw_us() - started_us) / 1e6;
	struct store_stats st = store_stats();
	printf("pipelines=%lld seconds=%.3f per_second=%.0f us_each=%.1f groups=%llu rss_kb=%ld\n",
		(long long)n_sent, seconds, (double)n_sent / seconds,
		seconds * 1e6 / (double)n_sent, (unsigned long long)st.groups, rss_kb());
	store_done_all();
	loop_done();
	free(path);
	return 0;
}
