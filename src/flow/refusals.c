/*
 * What several mails say together, which none says alone: a mailbox whose mails nobody takes for
 * reasons that nobody knows is paused, and a step that is refused for its content stops. Both are
 * stored like an operator's word, and only an operator ends them (`resume`). A mailbox whose mails
 * keep getting lost at the dot is told of.
 * Runs on: loop. Called by record.c once for each attempt, and by what asks whether a step may go out.
 * Never judges a single refusal: that, and toward what it counts, is trouble.c's.
 */
#include "flow_private.h"

#include "coldmail/err.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* ---- a mailbox that nobody understands ---------------------------------------------------------- */

static void end_streak(struct flow_sender *s)
{
	while (s->n_unknown)
		free(s->unknown[--s->n_unknown]);
}

void flow_refusals_forget(struct flow_sender *s)
{
	end_streak(s);
}

static bool is_in_streak(const struct flow_sender *s, const char *domain)
{
	for (size_t i = 0; i < s->n_unknown; i++)
		if (str_eq(s->unknown[i], domain))
			return true;
	return false;
}

static void count_unknown(struct flow_sender *s, const char *to, const struct mail_verdict *v)
{
	const char *at = strrchr(to, '@');

	if (!at || is_in_streak(s, at + 1))
		return;
	s->unknown[s->n_unknown++] = xstrdup(at + 1);
	if (s->n_unknown < FLOW_TROUBLE_UNKNOWN_MAX)
		return;
	char *why = xasprintf("%d mails in a row were refused by %d domains for an unknown reason, "
			      "last: %d %s",
		FLOW_TROUBLE_UNKNOWN_MAX, FLOW_TROUBLE_UNKNOWN_MAX, v->code, v->text);

	log_event(LOG_WARNING, "mailbox_stopped", LOG_S("mailbox", s->address), LOG_S("why", why));
	flow_pause_for("mailbox", s->address, why);
	end_streak(s);
	free(why);
}

/* ---- a step whose content nobody wants ----------------------------------------------------------- */

/* "COUNT times, the last: …"; NULL: never. */
static const char *refused_for_content(const struct conf_campaign *c, size_t step)
{
	char *name = xasprintf("%s/%s", c->name, c->steps[step].name);
	const char *value = flow_control(FLOW_CONTENT, name);

	free(name);
	return value;
}

static int count_of(const char *value)
{
	char *digits = value ? xstrndup(value, strcspn(value, " ")) : NULL;
	int64_t n = 0;

	if (!str_to_i64(digits ? digits : "", &n) || n < 0 || n > INT32_MAX)
		n = 0;
	free(digits);
	return (int)n;
}

static void count_content(const struct conf_campaign *c, size_t step, const struct mail_verdict *v)
{
	int n = count_of(refused_for_content(c, step)) + 1;
	char *name = xasprintf("%s/%s", c->name, c->steps[step].name);
	char *value = xasprintf("%d times, the last: %d %s", n, v->code, v->text);

	if (n == c->content_rejected_stop)
		log_event(LOG_WARNING, "step_stopped", LOG_S("campaign", c->name),
			LOG_S("step", c->steps[step].name), LOG_S("why", "content_rejected"),
			LOG_I("refused", n), LOG_S("reply", v->text));
	flow_control_put(FLOW_CONTENT, name, value);
	free(name);
	free(value);
}

const char *flow_refusals_stopped(const struct conf_campaign *c, size_t step)
{
	const char *value = refused_for_content(c, step);

	return value && count_of(value) >= c->content_rejected_stop ? value : NULL;
}

/* ---- a server that loses mails --------------------------------------------------------------------- */

static void count_uncertain(struct flow_sender *s, const struct mail_verdict *v)
{
	if (++s->n_uncertain >= FLOW_TROUBLE_UNCERTAIN_MAX)
		log_event(LOG_WARNING, "mailbox_uncertain", LOG_S("mailbox", s->address),
			LOG_I("in_a_row", s->n_uncertain), LOG_S("why", v->text),
			LOG_S("remedy", "see whether its server delivers what it does not confirm: "
					"`coldmailctl sends --outcome uncertain` lists them"));
}

/* ---- one more ------------------------------------------------------------------------------------- */

void flow_refusals_note(struct flow_sender *s, const struct flow_item *it, enum flow_counts counts)
{
	switch (counts) {
	case FLOW_COUNTS_UNKNOWN:
		count_unknown(s, it->claimed->email.to, &it->verdict);
		return;
	case FLOW_COUNTS_CONTENT:
		count_content(it->campaign, it->step, &it->verdict);
		break;
	case FLOW_COUNTS_SENT:
		s->n_uncertain = 0;
		break;
	case FLOW_COUNTS_BOUNCE:
	case FLOW_COUNTS_REFUSAL:
		break;
	case FLOW_COUNTS_UNCERTAIN:
		if (it->verdict.err != CM_ECANCELED) /* it was not we who waited no longer */
			count_uncertain(s, &it->verdict);
		return;
	case FLOW_COUNTS_NOTHING:
		return;
	}
	end_streak(s);
}
