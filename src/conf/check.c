/*
 * What no row of the schema can say: keys that depend on each other, addresses of servers, who has
 * an identity. What a value refused was told before, and is not told again here.
 * Runs on: loop. Called by build.c. Touches no network.
 */
#include "conf_private.h"

#include <arpa/inet.h>
#include <ctype.h>

#define NAME_MAX_BYTES 64

bool conf_is_sound(const struct conf_node *section, const char *name)
{
	const struct conf_node *n = conf_node_find(section, name);

	return !n || n->value.kind != CONF_VALUE_BAD;
}

struct conf_place conf_place_of(const struct conf_node *section, const char *name)
{
	const struct conf_node *n = conf_node_find(section, name);

	return n ? n->at : section->at;
}

bool conf_is_name(const char *name)
{
	size_t n = 0;

	for (; isalnum((unsigned char)name[n]) || (name[n] && strchr("._-", name[n])); n++)
		;
	return n && n <= NAME_MAX_BYTES && !name[n];
}

/* ---- store ----------------------------------------------------------------------------------- */

void conf_check_store(struct conf_load *l)
{
	struct conf *c = l->conf;
	const struct conf_place at = conf_place_of(l->root, "store");

	c->store_file = mem_arena_dup(&l->arena, at.src->name);
	c->store_line = at.line;
	if (str_starts(c->store, "mongodb://") || str_starts(c->store, "mongodb+srv://")) {
		conf_error(l, at,
			"store: MongoDB is not built yet in this version, expected "
			"\"sqlite:PATH\"");
	} else if (c->store[strlen(c->store) - 1] == '/') {
		conf_error(l, at, "store = %s: expected the path of a file, not of a directory",
			conf_shown_url(l, c->store));
	} else if (!str_starts(c->store, "sqlite:") || !c->store[strlen("sqlite:")]) {
		conf_error(
			l, at, "store = %s: expected \"sqlite:PATH\"", conf_shown_url(l, c->store));
	} else {
		c->store_path = conf_source_absolute(l, at.src, c->store + strlen("sqlite:"));
		c->store = mem_arena_printf(&l->arena, "sqlite:%s", c->store_path);
	}
}

/* ---- mailboxes ------------------------------------------------------------------------------- */

static const struct scheme {
	const char *prefix;
	const char *port; /* where none is named */
	bool is_tls; /* from the first byte */
} schemes[] = {
	{ "smtp://", "587", false }, /* RFC 6409 3.1 */
	{ "smtps://", "465", true }, /* RFC 8314 3.3 */
};

static const struct scheme *scheme_of(const char *url)
{
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
		if (str_istarts(url, schemes[i].prefix))
			return &schemes[i];
	return NULL;
}

/* Fills RET_HOST, and names the port. NULL: told. */
static const struct scheme *check_url(struct conf_load *l, struct conf_place at,
	struct conf_mailbox *m, char ret_host[CONF_HOST_MAX + 1])
{
	const char *url = m->smtp;
	const struct scheme *scheme = scheme_of(url);
	bool has_port;

	if (!scheme || !conf_split_host(url + strlen(scheme->prefix), ret_host, &has_port)) {
		conf_error(l, at,
			"smtp = %s: expected smtps://HOST (TLS at once) or smtp://HOST (STARTTLS), "
			"with or without :PORT%s",
			conf_shown_url(l, url),
			strchr(url, '@') ? "; who logs in is said by user and password_file" : "");
		return NULL;
	}
	if (!has_port)
		m->smtp = mem_arena_printf(&l->arena, "%s:%s", url, scheme->port);
	return scheme;
}

/* A login has a name and a secret, or there is none. What was refused was told. */
static void check_login(
	struct conf_load *l, const struct conf_node *section, const struct conf_mailbox *m)
{
	const struct conf_node *oauth = conf_node_find(section, "oauth");

	if (!conf_is_sound(section, "user") || !conf_is_sound(section, "password_file"))
		return;
	if (oauth && m->password.text)
		conf_error(l, oauth->at,
			"oauth beside password_file, expected one of them: how to log in");
	else if (oauth && !*m->user)
		conf_error(l, oauth->at, "oauth without a user, expected user = NAME beside it");
	else if (*m->user && !m->password.text && !oauth)
		conf_error(l, conf_place_of(section, "user"),
			"user = %s without a password, expected password_file = FILE or oauth { } "
			"beside it, or no user where the server asks for no login",
			conf_shown(l, m->user));
	else if (!*m->user && m->password.text)
		conf_error(l, conf_place_of(section, "password_file"),
			"password_file without a user, expected user = NAME beside it");
}

/* Tokens are secrets: they travel encrypted, or not beyond this machine. */
static void check_oauth(
	struct conf_load *l, const struct conf_node *section, struct conf_mailbox *m)
{
	const struct conf_node *oauth = conf_node_find(section, "oauth");
	const char *url = m->oauth.token_url;
	enum conf_reach reach;

	if (!*url)
		return;
	reach = conf_reach_of(url);
	if (reach == CONF_REACH_NONE || reach == CONF_REACH_CLEAR)
		conf_error(l, conf_place_of(oauth, "token_url"),
			"token_url = %s: expected https://HOST/PATH, or http:// towards this "
			"machine%s",
			conf_shown_url(l, url),
			reach == CONF_REACH_NONE && strchr(url, '@')
				? "; who asks is said by client_id and client_secret_file"
				: "");
	if (!m->far_url && reach != CONF_REACH_NONE && !conf_is_loopback_url(url))
		m->far_url = conf_shown(l, url);
}

static void check_tls(struct conf_load *l, const struct conf_node *section,
	const struct conf_mailbox *m, const struct scheme *scheme)
{
	const struct conf_place at = conf_place_of(section, "smtp");
	const char *url = conf_shown(l, m->smtp);

	if (!conf_is_sound(section, "tls") || m->tls_required)
		return;
	if (scheme->is_tls)
		conf_error(l, at,
			"smtp = %s is TLS at once, and tls = none, expected smtp:// or no 'tls'",
			url);
	else if (!m->is_loopback)
		conf_warning(l, at,
			"smtp = %s with tls = none: mails%s leave this machine unencrypted, "
			"expected a server on loopback",
			url, *m->user ? " and the password" : "");
}

/* A relay of one's own listens where mail servers do; who only tries out, elsewhere. */
static bool is_real_port(const char *url)
{
	const char *port = strrchr(url, ':') + 1;

	return str_eq(port, "25") || str_eq(port, "465") || str_eq(port, "587");
}

void conf_check_mailbox(
	struct conf_load *l, const struct conf_node *section, struct conf_mailbox *m)
{
	const struct scheme *scheme;
	char host[CONF_HOST_MAX + 1];

	check_login(l, section, m);
	if (!*m->smtp || !(scheme = check_url(l, conf_place_of(section, "smtp"), m, host)))
		return;
	m->is_loopback = conf_is_loopback(host);
	m->is_rehearsal = m->is_loopback && !is_real_port(m->smtp);
	m->far_url = m->is_loopback ? NULL : m->smtp;
	check_oauth(l, section, m);
	check_tls(l, section, m, scheme);
	conf_preset_check(l, section, m);
}

/* ---- verify ---------------------------------------------------------------------------------- */

/* A name server is known by its address: nobody could be asked for its name. */
static bool is_resolver(const char *text, bool *ret_loopback)
{
	char host[CONF_HOST_MAX + 1];
	struct in6_addr v6;
	struct in_addr v4;
	bool has_port;

	if (!conf_split_host(text, host, &has_port))
		return false;
	*ret_loopback = conf_is_loopback(host);
	return inet_pton(AF_INET, host, &v4) == 1 || inet_pton(AF_INET6, host, &v6) == 1;
}

void conf_check_verify(struct conf_load *l, const struct conf_node *section)
{
	struct conf *c = l->conf;

	c->resolver_is_loopback = *c->resolver != '\0';
	for (const char *p = c->resolver; *p;) {
		const size_t n = strcspn(p, ",");
		const char *one = mem_arena_printf(&l->arena, "%.*s", (int)n, p);
		bool here = false;

		if (!is_resolver(one, &here)) {
			conf_error(l, conf_place_of(section, "resolver"),
				"resolver: '%s' is no name server, expected addresses such as "
				"\"127.0.0.1:5353\" or \"192.0.2.53,[2001:db8::53]:53\"",
				conf_shown(l, one));
			return;
		}
		c->resolver_is_loopback = c->resolver_is_loopback && here;
		p += n + (p[n] == ',');
	}
}

/* ---- campaigns ------------------------------------------------------------------------------- */

static bool lacks(const struct conf_load *l, const struct conf_node *section, const char *name,
	const char *value)
{
	return !*value && !conf_node_find(conf_node_find(section, "identity"), name) &&
	       !conf_node_find(conf_node_find(l->root, "identity"), name);
}

static void check_identity(
	struct conf_load *l, const struct conf_node *section, const struct conf_identity *i)
{
	const bool organisation = lacks(l, section, "organisation", i->organisation);
	const bool address = lacks(l, section, "postal_address", i->postal_address);
	const bool opt_out = lacks(l, section, "opt_out_line", i->opt_out_line);

	if (organisation || address || opt_out)
		conf_error(l, section->at,
			"campaign '%s' has no identity to write under, expected identity {%s%s%s }",
			conf_shown(l, section->title ? section->title : ""),
			organisation ? " organisation = \"...\"" : "",
			address ? " postal_address = \"...\"" : "",
			opt_out ? " opt_out_line = \"...\"" : "");
}

/* none, us, or a path, which becomes absolute. */
static void check_holidays(
	struct conf_load *l, const struct conf_node *section, struct conf_campaign *c)
{
	const struct conf_place at = conf_place_of(section, "holidays");

	if (str_eq(c->holidays, "none") || str_eq(c->holidays, "us") ||
		!conf_is_sound(section, "holidays"))
		return;
	if (strchr(c->holidays, '/')) {
		conf_read_holidays(l, at, conf_source_path(l, at.src, c->holidays), c);
		c->holidays = conf_source_absolute(l, at.src, c->holidays);
	} else {
		conf_error(l, at, "holidays = %s: expected none, us or the path of a list",
			conf_shown(l, c->holidays));
	}
}

void conf_check_campaign(
	struct conf_load *l, const struct conf_node *section, struct conf_campaign *c)
{
	check_holidays(l, section, c);
	check_identity(l, section, &c->identity);
	if (!c->n_steps && !conf_node_find(section, "step"))
		conf_error(l, section->at,
			"campaign '%s' has no step, expected step \"NAME\" { template = \"FILE\" }",
			conf_shown(l, c->name));
}

void conf_check_writer(
	struct conf_load *l, const struct conf_node *section, const struct conf_campaign *c)
{
	if (c->is_llm && !conf_node_find(l->root, "model"))
		conf_warning(l, conf_place_of(section, "writer"),
			"writer = llm, but there is no model to write, expected a model section");
}

/* A campaign with mailboxes whose answers can be read is one whose answers are read: by default. */
static bool has_inboxes(const struct conf_load *l, const struct conf_campaign *c)
{
	size_t n = 0;

	for (const struct conf_node *m = l->root->first; m; m = m->next) {
		const struct conf_node *imap = conf_node_find(m, "imap");
		const struct conf_node *inbox = conf_node_find(m, "inbox");
		const bool is_read = (imap && !str_is_empty(imap->value.text)) ||
				     (inbox && !str_is_empty(inbox->value.text));

		for (size_t i = 0; m->is_section && is_read && i < c->n_mailboxes; i++)
			n += str_eq(m->name, "mailbox") &&
			     str_ieq(m->title, c->mailboxes[i]->address);
	}
	return n && n == c->n_mailboxes;
}

void conf_check_replies(
	struct conf_load *l, const struct conf_node *section, struct conf_campaign *c)
{
	const bool is_set = conf_node_find(section, "replies");
	size_t n_steps = 0;

	for (const struct conf_node *n = section->first; n; n = n->next)
		n_steps += n->is_section && str_eq(n->name, "step");
	if (!is_set)
		c->reads_replies = has_inboxes(l, c);
	else if (c->reads_replies && c->n_mailboxes && !has_inboxes(l, c))
		conf_warning(l, conf_place_of(section, "replies"),
			"replies = imap, but not every mailbox of campaign '%s' has imap or inbox: "
			"answers there are not read, expected one of them",
			conf_shown(l, c->name));
	if (!is_set && c->reads_replies && n_steps > 1)
		conf_warning(l, section->at,
			"campaign '%s' has replies = imap by default, since its mailboxes have an "
			"inbox; no inbox is read yet in this version, and steps behind the first "
			"wait (inbox_stale), expected replies = manual to tell coldmail of answers "
			"yourself",
			conf_shown(l, c->name));
}

/* What the step's writer works from. */
static void check_source(struct conf_load *l, const struct conf_node *section,
	const struct conf_campaign *c, const struct conf_step *s)
{
	const char *name = conf_shown(l, s->name);

	if ((!c->is_llm || c->falls_back) && !conf_node_find(section, "template"))
		conf_error(l, section->at,
			"step '%s' has no 'template', expected template = ... (the file with "
			"subject and body)",
			name);
	if (c->is_llm && !conf_node_find(section, "brief"))
		conf_error(l, section->at,
			"step '%s' has no 'brief', expected brief = ... (writer = llm: the file "
			"that tells a model what to write)",
			name);
}

void conf_check_step(struct conf_load *l, const struct conf_node *section,
	const struct conf_campaign *c, size_t i)
{
	const struct conf_step *s = &c->steps[i];
	const char *name = conf_shown(l, s->name);

	check_source(l, section, c, s);
	if (!i && s->same_thread)
		conf_error(l, conf_place_of(section, "thread"),
			"step '%s' is the first and answers none, expected thread = new", name);
	if (!i && s->after_ms)
		conf_error(l, conf_place_of(section, "after"),
			"step '%s' is the first and waits for none, expected no 'after'", name);
	if (i && !s->after_ms && conf_is_sound(section, "after"))
		conf_error(l, conf_place_of(section, "after"),
			"step '%s' has no time to wait, expected it behind the step before, such "
			"as "
			"after = 3d",
			name);
}
