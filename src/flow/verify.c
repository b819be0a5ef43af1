/*
 * Verify: can the lead's domain take mail at all? Asked before anything is written for it: the
 * cheapest gate comes first. What certainly takes none is held, what nobody could say is asked again.
 * Runs on: loop. Called through the stage table, by drain and by a change of the configuration.
 * Never: holds a lead for good because a resolver was silent, asks the receiving server itself.
 */
#include "flow_private.h"

#include "coldmail/clock.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* `auto` leaves the world alone in a rehearsal. */
static bool is_wanted(const struct flow_item *it)
{
	const struct conf_campaign *c = it->campaign;

	if (it->plan->conf->verify_mx != CONF_VERIFY_AUTO)
		return it->plan->conf->verify_mx == CONF_VERIFY_YES;
	for (size_t i = 0; !flow.fast_forward && i < c->n_mailboxes; i++)
		if (!c->mailboxes[i]->is_rehearsal)
			return true;
	return false;
}

/* NULL: an address literal ("[192.0.2.1]"), there is nothing to ask. */
static const char *domain_of(const struct flow_item *it)
{
	const char *at = strrchr(it->claimed->lead.email, '@');

	return at && at[1] != '[' ? at + 1 : NULL;
}

/* When a lead of this domain is looked at again (boot); CLOCK_NEVER_MS: an operator says when. */
static int64_t again_ms(const struct dns_answer *a)
{
	struct flow_trouble t = flow_trouble_of_lookup(a->mx, a->failures);

	return t.lead == FLOW_LEAD_DEFER ? a->at_ms + t.wait_ms : CLOCK_NEVER_MS;
}

static void judge(struct flow_item *it, const struct dns_answer *a)
{
	struct flow_trouble t = flow_trouble_of_lookup(a->mx, a->failures);

	if (t.lead == FLOW_LEAD_NEXT) {
		flow_advance(it, FLOW_GO);
		return;
	}
	char *why = xasprintf(a->mx == DNS_MX_NONE
				      ? "%s: %s; correct the address, or leads release"
				      : "%s: the name servers did not say whether it takes mail "
					"(%s)",
		domain_of(it), a->detail);
	flow_draft_hold(it, t.reason, why);
	if (again_ms(a) != CLOCK_NEVER_MS)
		it->to.until_ms = clock_wall_ms() + again_ms(a) - clock_boot_ms();
	free(why);
	flow_advance(it, FLOW_RETURN);
}

static void on_answer(uint64_t id, const struct dns_answer *a)
{
	struct flow_item *it = flow_item_find(id);

	if (it && it->stage == FLOW_STAGE_VERIFY)
		judge(it, a);
}

void flow_verify_enter(struct flow_item *it)
{
	const char *domain = domain_of(it);

	if (!domain || !is_wanted(it)) {
		flow_advance(it, FLOW_GO);
		return;
	}
	const struct dns_answer *a = dns_known(domain);

	if (!a || clock_boot_ms() >= again_ms(a))
		a = dns_ask(domain, on_answer, it->id);
	if (a)
		judge(it, a);
}

size_t flow_verify_waiting(const struct conf_campaign *c)
{
	size_t n = 0;

	list_each (node, &flow.stages[FLOW_STAGE_VERIFY])
		n += str_eq(list_entry(node, struct flow_item, node)->campaign->name, c->name);
	return n;
}

void flow_verify_drain(void)
{
	list_each_safe (node, &flow.stages[FLOW_STAGE_VERIFY]) {
		struct flow_item *it = list_entry(node, struct flow_item, node);

		it->to = (struct store_lead_to){
			.state = LEAD_QUEUED, .stage = LEAD_STAGE_DRAFT, .due_ms = -1
		};
		flow_advance(it, FLOW_RETURN);
	}
}

void flow_verify_configure(const struct conf *c)
{
	if (dns_configure(c->resolver))
		log_event(LOG_ERR, "resolver_refused", LOG_S("resolver", c->resolver),
			LOG_S("note", "the resolvers before stay in use"));
}
