/*
 * What no row of the schema can say of keys that nothing uses yet: models, inboxes, alerts. They are
 * checked as if they were used, so that a file is right before its day comes.
 * Runs on: loop. Called by build.c once the keys of a section are in l->unbuilt. Touches no network.
 */
#include "conf_private.h"

#include <ctype.h>

/* ---- models ------------------------------------------------------------------------------------ */

static void check_provider(struct conf_load *l, const struct conf_node *section)
{
	const struct conf_unbuilt *u = &l->unbuilt;
	const struct conf_place at = conf_place_of(section, "url");
	const char *url = conf_shown_url(l, u->url);

	if (*u->url && conf_reach_of(u->url) == CONF_REACH_NONE)
		conf_error(l, at,
			"url = %s: expected https://HOST/PATH, or http:// of this machine", url);
	else if (*u->url && conf_reach_of(u->url) == CONF_REACH_CLEAR)
		conf_warning(l, at,
			"url = %s: prompts%s leave this machine unencrypted, expected https://",
			url, u->key.text ? " and the key" : "");
	if (u->kind == CONF_PROVIDER_ANTHROPIC && conf_is_sound(section, "kind") &&
		!conf_node_find(section, "key_file"))
		conf_warning(l, section->at,
			"provider '%s' is anthropic without a key, expected key_file = FILE",
			conf_shown(l, section->title ? section->title : ""));
}

static void check_minute(
	struct conf_load *l, const struct conf_node *section, const char *name, int minute, int day)
{
	if (minute && day && minute > day)
		conf_warning(l, conf_place_of(section, name),
			"%s = %d is never reached with %d a day, expected fewer", name, minute,
			day);
}

static void check_model(struct conf_load *l, const struct conf_node *section)
{
	check_minute(l, section, "rpm", l->unbuilt.rpm, l->unbuilt.rpd);
	check_minute(l, section, "tpm", l->unbuilt.tpm, l->unbuilt.tpd);
}

static void check_breaker(struct conf_load *l, const struct conf_node *section)
{
	const struct conf_unbuilt *u = &l->unbuilt;

	if (u->open_ms > u->open_max_ms)
		conf_warning(l, conf_place_of(section, "open"),
			"open is longer than open_max, expected a time up to it");
	if (u->failures > u->of_last_ten)
		conf_warning(l, conf_place_of(section, "failures"),
			"failures = %d is never reached, as of_last_ten = %d opens it before, "
			"expected fewer",
			u->failures, u->of_last_ten);
}

/* ---- inboxes ------------------------------------------------------------------------------------ */

static void check_imap(struct conf_load *l, const struct conf_node *section)
{
	const char *url = l->unbuilt.imap;
	const size_t scheme = str_istarts(url, "imaps://")  ? strlen("imaps://")
			      : str_istarts(url, "imap://") ? strlen("imap://")
							    : 0;
	char host[CONF_HOST_MAX + 1];
	bool has_port;

	if (*url && !(scheme && conf_split_host(url + scheme, host, &has_port)))
		conf_error(l, conf_place_of(section, "imap"),
			"imap = %s: expected imaps://HOST (TLS at once) or imap://HOST (STARTTLS), "
			"with or without :PORT",
			conf_shown_url(l, url));
}

void conf_check_mailbox_unbuilt(struct conf_load *l, const struct conf_node *section)
{
	const struct conf_unbuilt *u = &l->unbuilt;
	const struct conf_place reply_to = conf_place_of(section, "reply_to");
	const char *address = *u->reply_to ? conf_address(l, u->reply_to) : "";

	check_imap(l, section);
	if (*u->imap && !conf_node_find(section, "user"))
		conf_error(l, conf_place_of(section, "imap"),
			"imap without a user, expected user = NAME beside it: nobody reads an "
			"inbox "
			"without a login");
	if (*u->imap && *u->inbox)
		conf_warning(l, conf_place_of(section, "inbox"),
			"inbox beside imap: answers are read from '%s' alone, expected one of them",
			conf_shown(l, u->inbox));
	if (!address)
		conf_error(l, reply_to,
			"reply_to = %s: expected an address such as \"replies@example.com\"",
			conf_shown(l, u->reply_to));
	else if (*address && !str_ieq(address, section->title) && !*u->inbox &&
		 conf_is_sound(section, "inbox"))
		conf_warning(l, reply_to,
			"reply_to = %s: answers that go there are not read, expected inbox = NAME "
			"of an inbox section that reads them",
			address);
}

/* ---- campaigns ---------------------------------------------------------------------------------- */

/* An id that a campaign before SECTION adopts, too. */
static void check_adopted(
	struct conf_load *l, const struct conf_node *section, const struct conf_value *id)
{
	const struct conf_node *c = l->root->first;

	for (; c && c != section; c = c->next) {
		const struct conf_node *adopts =
			str_eq(c->name, section->name) ? conf_node_find(c, "adopts") : NULL;
		const struct conf_value *v = adopts ? adopts->value.items : NULL;

		if (adopts && adopts->value.kind == CONF_VALUE_TEXT)
			v = &adopts->value;
		for (; v; v = v->next)
			if (str_eq(v->text, id->text)) {
				conf_error(l, id->at,
					"adopts = %s: campaign '%s' does, expected one campaign "
					"to carry it on",
					conf_shown(l, id->text),
					conf_shown(l, c->title ? c->title : ""));
				return;
			}
	}
}

void conf_check_campaign_unbuilt(struct conf_load *l, const struct conf_node *section)
{
	const struct conf_unbuilt *u = &l->unbuilt;
	const struct conf_node *adopts = conf_node_find(section, "adopts");

	if (u->n_deny && u->n_allow)
		conf_warning(l, conf_place_of(section, "countries_deny"),
			"countries_deny beside countries_allow: who is not allowed is not written "
			"to already, expected one of them");
	if (conf_node_find(section, "company_pause") && u->on_company_reply != CONF_COMPANY_PAUSE &&
		conf_is_sound(section, "on_company_reply"))
		conf_warning(l, conf_place_of(section, "company_pause"),
			"company_pause without on_company_reply = pause: nobody pauses, expected "
			"both or neither");
	if (adopts && adopts->value.kind == CONF_VALUE_TEXT)
		check_adopted(l, section, &adopts->value);
	for (const struct conf_value *v = adopts ? adopts->value.items : NULL; v; v = v->next)
		check_adopted(l, section, v);
}

/* Links go to these domains and what is below them: neither URLs nor paths. */
static void check_review(struct conf_load *l, const struct conf_node *section)
{
	char host[CONF_HOST_MAX + 1];
	bool has_port;

	for (size_t i = 0; i < l->unbuilt.n_list; i++) {
		const char *domain = l->unbuilt.list[i];

		if (*domain == '[' || !strchr(domain, '.') ||
			!conf_split_host(domain, host, &has_port) || has_port)
			conf_error(l, conf_place_of(section, "links"),
				"links = %s: expected domains such as \"example.com\"",
				conf_shown(l, domain));
	}
}

/* ---- alerts ------------------------------------------------------------------------------------- */

/* What each kind of alert needs, and what else it takes. */
static const struct {
	const char *kind, *needs, *takes;
} kinds[] = {
	{ "slack", "url_file", NULL },
	{ "discord", "url_file", NULL },
	{ "telegram", "key_file|chat", NULL },
	{ "pagerduty", "key_file", NULL },
	{ "opsgenie", "key_file", NULL },
	{ "sentry", "url_file", NULL },
	{ "webhook", "url_file", NULL },
	{ "sms", "account|from|to", "key_file" },
	{ "mail", "mailbox|to", NULL },
	{ "exec", "command", NULL },
};

static void check_kind(struct conf_load *l, const struct conf_node *section)
{
	static const char *const keys[] = { "url_file", "key_file", "chat", "account", "from", "to",
		"mailbox", "command" };
	const int kind = l->unbuilt.kind;

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const bool is_set = conf_node_find(section, keys[i]);
		const bool is_needed = conf_word_place(kinds[kind].needs, keys[i]) >= 0;

		if (is_needed && !is_set)
			conf_error(l, section->at,
				"alert '%s' has no '%s', expected %s = ... (kind = %s)",
				conf_shown(l, section->title ? section->title : ""), keys[i],
				keys[i], kinds[kind].kind);
		else if (is_set && !is_needed && conf_word_place(kinds[kind].takes, keys[i]) < 0)
			conf_warning(l, conf_place_of(section, keys[i]),
				"%s does nothing with kind = %s, expected it with another kind",
				keys[i], kinds[kind].kind);
	}
}

static bool is_number(const char *text)
{
	const size_t n = strspn(text + (*text == '+'), "0123456789");

	return *text == '+' && n >= 7 && n <= 15 && !text[n + 1]; /* E.164 */
}

static void check_recipients(struct conf_load *l, const struct conf_node *section)
{
	const char *kind = kinds[l->unbuilt.kind].kind;
	const bool is_mail = str_eq(kind, "mail"), is_sms = str_eq(kind, "sms");

	for (size_t i = 0; i < l->unbuilt.n_list; i++) {
		const char *to = l->unbuilt.list[i];

		if ((is_mail && !conf_address(l, to)) || (is_sms && !is_number(to)))
			conf_error(l, conf_place_of(section, "to"), "to = %s: expected %s",
				conf_shown(l, to),
				is_mail ? "addresses such as \"ops@example.com\""
					: "numbers such as \"+15550100\"");
	}
}

/* Rules have names in small letters; what nearly is a severity is meant as one. */
static void check_on(struct conf_load *l, const struct conf_node *section)
{
	static const char *const severities[] = { "critical", "warning", "info", "summary" };
	const size_t n = sizeof severities / sizeof *severities;
	const struct conf_place at = conf_place_of(section, "on");

	for (size_t i = 0; i < l->unbuilt.n_on; i++) {
		const char *word = l->unbuilt.on[i], *meant = str_closest(word, severities, n);

		if (!*word || word[strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_")])
			conf_error(l, at,
				"on = %s: expected critical, warning, info, summary, or the names "
				"of "
				"rules",
				conf_shown(l, word));
		else if (meant && !str_eq(meant, word))
			conf_warning(l, at, "on = %s: no such severity, did you mean '%s'?", word,
				meant);
	}
}

/* The secret in FILE, the value of KEY, is a URL; what it is, nobody sees. */
static void check_url_file(struct conf_load *l, const struct conf_node *section, const char *key,
	const struct conf_file *file)
{
	enum conf_reach reach;

	if (str_is_empty(file->text))
		return;
	reach = conf_reach_of(file->text);
	if (reach != CONF_REACH_TLS && reach != CONF_REACH_HERE)
		conf_error(l, conf_place_of(section, key),
			"%s: %s: what is in it is no URL, expected https://HOST/PATH, or http:// "
			"of "
			"this machine",
			key, conf_shown(l, file->path));
}

static void check_alert(struct conf_load *l, const struct conf_node *section)
{
	if (conf_node_find(section, "kind") && conf_is_sound(section, "kind")) {
		check_kind(l, section);
		check_recipients(l, section);
	}
	check_on(l, section);
	check_url_file(l, section, "url_file", &l->unbuilt.url_file);
}

/* An alert is told when the day is summed up. */
static bool is_told_summary(const struct conf_load *l)
{
	for (const struct conf_node *n = l->root->first; n; n = n->next) {
		const struct conf_node *on =
			n->is_section && str_eq(n->name, "alert") ? conf_node_find(n, "on") : NULL;
		const struct conf_value *v = on ? on->value.items : NULL;

		if (on && on->value.kind == CONF_VALUE_TEXT)
			v = &on->value;
		for (; v; v = v->next)
			if (str_eq(v->text, "summary"))
				return true;
	}
	return false;
}

void conf_check_watch(struct conf_load *l, const struct conf_node *section)
{
	const struct conf *c = l->conf;

	check_url_file(l, section, "heartbeat_url_file", &l->unbuilt.url_file);
	if (conf_node_find(section, "summary") && conf_is_sound(section, "summary") &&
		!is_told_summary(l))
		conf_warning(l, conf_place_of(section, "summary"),
			"summary goes to nobody, expected an alert section with on = {summary}");
	if (c->bounce_warn > c->bounce_pause)
		conf_warning(l, conf_place_of(section, "bounce_warn"),
			"bounce_warn = %d is never told, as bounce_pause = %d comes before, "
			"expected a smaller number",
			c->bounce_warn, c->bounce_pause);
}

void conf_check_unbuilt(struct conf_load *l, enum conf_in in, const struct conf_node *section)
{
	static void (*const checks[CONF_N_SECTIONS])(
		struct conf_load *, const struct conf_node *) = {
		[CONF_PROVIDER] = check_provider,
		[CONF_MODEL] = check_model,
		[CONF_INBOX] = check_imap,
		[CONF_REVIEW] = check_review,
		[CONF_ALERT] = check_alert,
		[CONF_BREAKER] = check_breaker,
	};

	if (checks[in])
		checks[in](l, section);
}
