/*
 * What the rows of the schema cannot say about HTTP: where the unsubscribe page listens, and the URL
 * under which people find it.
 * Runs on: loop. Called by build.c. Touches no network: addresses are numbers, names are not looked up.
 */
#include "conf_private.h"

#include <arpa/inet.h>

/* RFC 3986 2: what a URL is written in, but for '?' and '#', which end the path. */
#define URL_BYTES                                                                                  \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/@!$&'()*+;=%[]"

/* "127.0.0.1:8081", "[::1]:8081". Fills RET_HOST without brackets. */
static bool split_listen(const char *text, char ret_host[INET6_ADDRSTRLEN])
{
	const char *colon = strrchr(text, ':');
	const bool is_v6 = *text == '[';
	struct in6_addr address;
	int64_t port;

	if (!colon || !str_to_i64(colon + 1, &port) || port < 1 || port > 65535)
		return false;
	const char *start = text + is_v6, *end = colon - is_v6;
	if (end <= start || end - start >= INET6_ADDRSTRLEN || (is_v6 && *end != ']'))
		return false;
	memcpy(ret_host, start, (size_t)(end - start));
	ret_host[end - start] = '\0';
	return inet_pton(is_v6 ? AF_INET6 : AF_INET, ret_host, &address) == 1;
}

/* KEY says where something listens that has no TLS and no login of its own. */
static void check_listen(struct conf_load *l, const struct conf_node *section, const char *name,
	const char *text, const char *what)
{
	const struct conf_node *key = conf_node_find(section, name);
	char host[INET6_ADDRSTRLEN];

	if (!key || !*text)
		return;
	if (!split_listen(text, host))
		conf_error(l, key->at,
			"%s = %s: expected an address and a port, such as "
			"\"127.0.0.1:%s\"",
			name, conf_shown(l, text), str_eq(name, "listen") ? "8080" : "8081");
	else if (!conf_is_loopback(host))
		conf_warning(l, key->at,
			"%s = %s: %s, expected an "
			"address "
			"of this machine with a proxy before it",
			name, conf_shown(l, text), what);
}

void conf_check_http(struct conf_load *l, const struct conf_node *section, const struct conf *c)
{
	const char *listen = l->unbuilt.listen;

	check_listen(
		l, section, "public_listen", c->public_listen, "the page is spoken to without TLS");
	check_listen(l, section, "listen", listen, "whoever reaches it sees everything");
	if (conf_node_find(section, "listen") && *listen && str_eq(listen, c->public_listen))
		conf_error(l, conf_place_of(section, "listen"),
			"listen = %s: the public page is there, expected another port",
			conf_shown(l, listen));
}

void conf_check_unsubscribe(
	struct conf_load *l, const struct conf_node *section, struct conf_identity *i)
{
	const struct conf_node *key = conf_node_find(section, "unsubscribe_url");
	const char *url = i->unsubscribe_url;
	size_t n = strlen(url);

	if (!key || !n)
		return;
	while (url[n - 1] == '/')
		n--;
	/* RFC 8058 3.1: one-click needs https. */
	if (!str_istarts(url, "https://") || n <= strlen("https://") ||
		strspn(url, URL_BYTES) != strlen(url)) {
		conf_error(l, key->at,
			"unsubscribe_url = %s: expected https:// and where a proxy reaches "
			"public_listen, such as \"https://mail.example.com/u\"",
			conf_shown_url(l, url));
		return;
	}
	i->unsubscribe_url = mem_arena_ndup(&l->arena, url, n);
	if (!*l->conf->public_listen)
		conf_warning(l, key->at,
			"unsubscribe_url is set, but nobody answers there, expected http { "
			"public_listen = \"127.0.0.1:8081\" }");
}
