/*
 * How a mailbox's server is reached: where, as whom, and with which tokens.
 * Runs on: loop. Called by sender.c and test_send.c before they open a connection.
 */
#include "flow_private.h"

#include <stdio.h>
#include <unistd.h>

#include "coldmail/mem.h"
#include "coldmail/str.h"

void flow_server_forget(struct flow_sender *s)
{
	mail_oauth_unref(s->oauth);
	conf_unref(s->oauth_conf);
	s->oauth = NULL;
	s->oauth_conf = NULL;
}

/* Beside the store: what a token server gave instead of the token that was configured. */
static char *oauth_file(const char *address)
{
	const char *store = flow.plan->conf->store_path;
	char *name = g_uri_escape_string(address, "@", FALSE);
	char *path = xasprintf("%.*s/oauth.%s", (int)(strrchr(store, '/') - store), store, name);

	g_free(name);
	return path;
}

/* Its tokens are shared by the links of a mailbox, and outlive a reload that leaves its login as it
 * is. NULL: it logs in without. */
static struct mail_oauth *oauth_of(struct flow_sender *s, const struct conf_mailbox *m)
{
	const struct conf_oauth *c = &m->oauth;

	if (s->oauth && !conf_is_same_server(conf_find_mailbox(s->oauth_conf, s->address), m))
		flow_server_forget(s);
	if (s->oauth || !*c->token_url)
		return s->oauth;
	char *file = oauth_file(s->address);

	s->oauth = mail_oauth_new(&(struct mail_oauth_conf){
		.token_url = c->token_url,
		.client_id = c->client_id,
		.client_secret = c->client_secret.text ? c->client_secret.text : "",
		.refresh_token = c->refresh_token.text,
		.ca_pem = c->ca.text,
		.file = file,
	});
	s->oauth_conf = conf_ref(flow.plan->conf);
	free(file);
	return s->oauth;
}

/* How a mailbox's server is reached. Borrowed from M. */
static struct line_conf line_conf_of(const struct conf_mailbox *m, const char *helo)
{
	return (struct line_conf){
		.url = m->smtp,
		.plain = !m->tls_required,
		.ca_pem = m->ca.text,
		.helo = helo,
		.user = *m->user ? m->user : NULL,
		.password = m->password.text,
	};
}

/* What RFC 5321 4.1.2 calls a Domain, and of more than one label. */
static bool is_full_name(const char *name)
{
	const size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-.");

	return n && !name[n] && *name != '.' && name[n - 1] != '.' && strchr(name, '.') &&
	       !strstr(name, "..");
}

/* EHLO wants a fully-qualified name (RFC 5321 4.1.1.1), and servers refuse what has no dot. A machine
 * without such a name speaks for the mailbox's domain, which can be looked up; an address literal
 * would be the one of a network behind a router. */
static void say_who(const struct conf_mailbox *server, char helo[FLOW_HELO])
{
	if (gethostname(helo, FLOW_HELO - 1))
		*helo = '\0';
	helo[FLOW_HELO - 1] = '\0';
	if (!is_full_name(helo))
		snprintf(helo, FLOW_HELO, "%s", strchr(server->address, '@') + 1);
}

struct mail_smtp_conf flow_server_conf(
	struct flow_sender *s, const struct conf_mailbox *server, char helo[FLOW_HELO])
{
	say_who(server, helo);
	return (struct mail_smtp_conf){
		.line = line_conf_of(server, helo),
		.oauth = oauth_of(s, server),
		.mails_max = server->mails_per_connection,
	};
}
