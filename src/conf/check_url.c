/*
 * URLs and hosts as the checks need them: what is one, and whether it is this machine.
 * Runs on: loop. Called by the files check*.c. Touches no network: names are not looked up.
 */
#include "conf_private.h"

#include <arpa/inet.h>
#include <ctype.h>

static bool is_port(const char *p)
{
	int64_t port;

	return isdigit((unsigned char)*p) && str_to_i64(p, &port) && port > 0 && port < 65536;
}

/* HOST or HOST:PORT, an IPv6 address in brackets. Fills RET_HOST without them. */
bool conf_split_host(const char *p, char ret_host[CONF_HOST_MAX + 1], bool *ret_has_port)
{
	const bool is_literal = *p == '[';
	const char *start = p + is_literal;
	size_t n = strspn(start, is_literal ? "0123456789abcdefABCDEF:."
					    : "abcdefghijklmnopqrstuvwxyz"
					      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
	const char *end = start + n;
	struct in6_addr v6;

	if (!n || n > CONF_HOST_MAX || (is_literal && *end++ != ']'))
		return false;
	if (*end && (*end != ':' || !is_port(end + 1)))
		return false;
	memcpy(ret_host, start, n);
	ret_host[n] = '\0';
	*ret_has_port = *end;
	return !is_literal || inet_pton(AF_INET6, ret_host, &v6) == 1;
}

bool conf_is_loopback(const char *host)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	return str_ieq(host, "localhost");
}

/* The host of an https:// or http:// URL. false: it is none. */
static bool web_host(const char *url, char ret_host[CONF_HOST_MAX + 1])
{
	const char *start = strstr(url, "//");
	bool is_url = start && (str_istarts(url, "https://") || str_istarts(url, "http://")),
	     has_port;
	char *server = xstrndup(start ? start + 2 : "", start ? strcspn(start + 2, "/?#") : 0);

	is_url = is_url && conf_split_host(server, ret_host, &has_port);
	for (const char *p = url; *p && is_url; p++)
		is_url = *p > ' ' && *p < 0x7F;
	free(server);
	return is_url;
}

enum conf_reach conf_reach_of(const char *url)
{
	char host[CONF_HOST_MAX + 1];

	if (!web_host(url, host))
		return CONF_REACH_NONE;
	if (str_istarts(url, "https://"))
		return CONF_REACH_TLS;
	return conf_is_loopback(host) ? CONF_REACH_HERE : CONF_REACH_CLEAR;
}

bool conf_is_loopback_url(const char *url)
{
	char host[CONF_HOST_MAX + 1];

	return web_host(url, host) && conf_is_loopback(host);
}
