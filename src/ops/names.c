/*
 * Names that a request has: a mailbox in its canonical form, and what is said of a campaign or a mailbox
 * that there is not, with those that there are.
 * Runs on: loop. Called by the command handlers.
 * A name that the configuration no longer has is known as long as the store has something of it.
 */
#include "ops_private.h"

#include "coldmail/err.h"
#include "coldmail/str.h"

void ops_make_canonical(struct ops_call *c, const char *name)
{
	const char *why, *raw = ops_text(c, name);
	char *canonical = NULL;

	if (!raw || lead_address_canonical(raw, &canonical, &why))
		return; /* what is no address is nobody's name */
	cJSON_ReplaceItemInObjectCaseSensitive(c->in, name, cJSON_CreateString(canonical));
	free(canonical);
}

static void add_name(struct str *out, const char *name)
{
	char *shown = str_printable(name, strlen(name), 80);

	str_addf(out, "%s%s", out->len ? ", " : "", shown);
	free(shown);
}

void ops_add_campaigns(struct str *out, const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_campaigns; i++)
		add_name(out, conf->campaigns[i].name);
	if (!conf->n_campaigns)
		str_adds(out, "none yet");
}

static void fail_unknown(struct ops_call *c, const char *what, const char *name, struct str *known)
{
	char *shown = str_printable(name, strlen(name), 80);

	ops_fail(c, CM_EXIT_NO, "no %s \"%s\" in %s; there are: %s", what, shown, flow_conf()->file,
		known->len ? str_z(known) : "none yet");
	free(shown);
	str_done(known);
}

void ops_fail_campaign(struct ops_call *c, const char *name)
{
	struct str known = STR_INIT;

	ops_add_campaigns(&known, flow_conf());
	fail_unknown(c, "campaign", name, &known);
}

void ops_fail_mailbox(struct ops_call *c, const char *name)
{
	const struct conf *conf = flow_conf();
	struct str known = STR_INIT;

	for (size_t i = 0; i < conf->n_mailboxes; i++)
		add_name(&known, conf->mailboxes[i].address);
	fail_unknown(c, "mailbox", name, &known);
}

/* ---- an empty list ----------------------------------------------------------------------------- */

static void on_tally(struct store_req *r)
{
	struct ops_call *c = ops_call_find(r->id);
	bool known = false;

	if (!c || ops_fail_err(c, r->err, r->why))
		return;
	for (size_t i = 0; i < r->u.tally.n && !known; i++)
		known = r->u.tally.v[i].n &&
			str_eq(r->u.tally.v[i].campaign, ops_text(c, "campaign"));
	if (!known) {
		ops_fail_campaign(c, ops_text(c, "campaign"));
		return;
	}
	cJSON *out = c->out;
	c->out = NULL;
	ops_reply(c, out);
}

void ops_reply_list(struct ops_call *c, cJSON *out, size_t n)
{
	const char *campaign = ops_text(c, "campaign"), *mailbox = ops_text(c, "mailbox");
	const bool is_empty = !n && !ops_text(c, "after") && !ops_text(c, "before_id");

	if (is_empty && mailbox && !conf_find_mailbox(flow_conf(), mailbox)) {
		cJSON_Delete(out);
		ops_fail_mailbox(c, mailbox);
	} else if (is_empty && !str_is_empty(campaign) &&
		   !conf_find_campaign(flow_conf(), campaign)) {
		c->out = out;
		store_send(store_req_new(STORE_TALLY, on_tally, c->id, NULL));
	} else {
		ops_reply(c, out);
	}
}
