/*
 * DNS on the loop (coldmail/dns.h): c-ares does the protocol, its sockets are watched here; answers
 * are remembered by domain, and whoever asks for a domain that is being asked for waits with it.
 * Runs on: loop. Called by flow/verify.c.
 * Never: calls a resolver's silence an answer about the domain, decides when to ask again.
 */
#include "coldmail/dns.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/loop.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* A resolver has two tries of 3 and 6 s. */
#define TRY_MS 3000
#define TRIES  2
/* How long an answer holds. */
#define OK_MS   (6 * CLOCK_HOUR_MS)
#define NONE_MS CLOCK_HOUR_MS

/* Domains that are remembered; then those go that nobody waits for. */
#define DOMAINS_MAX 65536

struct waiter {
	dns_fn *fn;
	uint64_t id;
};

/* A domain: being asked for while `waiters` is there, then its answer. */
struct domain {
	char *name; /* owned */
	GArray *waiters; /* owned, of struct waiter; NULL: answered */
	struct dns_answer answer;
};

static struct {
	ares_channel channel;
	char *servers; /* owned: as configured */
	struct loop_timer timer;
	GHashTable *sockets; /* owned: fd -> ev_io, owned */
	GHashTable *domains; /* owned: name -> struct domain, owned */
	bool closing; /* answers are not wanted */
} dns;

/* ---- c-ares on the loop ------------------------------------------------------------------------- */

static void set_timer(void)
{
	struct timeval tv;

	if (ares_timeout(dns.channel, NULL, &tv))
		loop_timer_in(&dns.timer, tv.tv_sec * CLOCK_SECOND_MS + tv.tv_usec / 1000 + 1);
	else
		loop_timer_cancel(&dns.timer);
}

static void process(ares_socket_t readable, ares_socket_t writable)
{
	ares_process_fd(dns.channel, readable, writable);
	set_timer();
}

static void on_timer(void *arg)
{
	(void)arg;
	process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_io(struct ev_loop *ev, ev_io *w, int revents)
{
	(void)ev;
	process(revents & EV_READ ? w->fd : ARES_SOCKET_BAD,
		revents & EV_WRITE ? w->fd : ARES_SOCKET_BAD);
}

static void socket_free(void *p)
{
	ev_io_stop(loop_ev(), p);
	free(p);
}

static void on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
	ev_io *w = g_hash_table_lookup(dns.sockets, GINT_TO_POINTER(fd));

	(void)arg;
	if (!readable && !writable) {
		g_hash_table_remove(dns.sockets, GINT_TO_POINTER(fd));
		return;
	}
	if (!w) {
		w = xcalloc(1, sizeof *w);
		ev_init(w, on_io);
		g_hash_table_insert(dns.sockets, GINT_TO_POINTER(fd), w);
	}
	ev_io_stop(loop_ev(), w);
	ev_io_set(w, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	ev_io_start(loop_ev(), w);
}

/* ---- resolvers ---------------------------------------------------------------------------------- */

static ares_channel channel_new(const char *servers)
{
	struct ares_options options = {
		.timeout = TRY_MS,
		.tries = TRIES,
		.sock_state_cb = on_socket,
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
	};
	ares_channel ret;

	if (ares_init_options(&ret, &options,
		    ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_FLAGS))
		return NULL;
	if (!*servers || !ares_set_servers_ports_csv(ret, servers))
		return ret;
	ares_destroy(ret);
	return NULL;
}

int dns_configure(const char *servers)
{
	if (dns.channel && str_eq(servers, dns.servers))
		return CM_OK;

	ares_channel before = dns.channel, channel = channel_new(servers);
	if (!channel)
		return CM_EINVAL;
	dns.channel = channel;
	free(dns.servers);
	dns.servers = xstrdup(servers);
	if (before)
		ares_destroy(before); /* answers what it was asked */
	return CM_OK;
}

/* ---- answers ------------------------------------------------------------------------------------ */

static void domain_free(void *p)
{
	struct domain *d = p;

	if (d->waiters)
		g_array_unref(d->waiters);
	free(d->name);
	free(d);
}

static bool holds(const struct dns_answer *a)
{
	switch (a->mx) {
	case DNS_MX_OK:
		return clock_boot_ms() < a->at_ms + OK_MS;
	case DNS_MX_NONE:
		return clock_boot_ms() < a->at_ms + NONE_MS;
	case DNS_MX_UNKNOWN:
		break;
	}
	return true;
}

/* DETAIL is constant text: c-ares' own or ours. */
static void answer(struct domain *d, enum dns_mx mx, const char *detail)
{
	GArray *waiters = d->waiters;
	int failures = mx == DNS_MX_UNKNOWN ? d->answer.failures + 1 : 0;

	d->waiters = NULL;
	d->answer = (struct dns_answer){ mx, detail, clock_boot_ms(), failures };
	loop_unhold();
	for (guint i = 0; i < waiters->len && !dns.closing; i++) {
		const struct waiter *w = &g_array_index(waiters, struct waiter, i);

		w->fn(w->id, &d->answer);
	}
	g_array_unref(waiters);
}

static void answer_failure(struct domain *d, int status)
{
	if (status == ARES_ENOTFOUND)
		answer(d, DNS_MX_NONE, "no such domain (NXDOMAIN)");
	else if (status == ARES_EBADNAME)
		answer(d, DNS_MX_NONE, "not a domain name");
	else
		answer(d, DNS_MX_UNKNOWN, ares_strerror(status));
}

static void ask(struct domain *d, int type, ares_callback on_reply)
{
	ares_query(dns.channel, d->name, ns_c_in, type, on_reply, d);
}

static void on_aaaa(void *arg, int status, int timeouts, unsigned char *p, int n)
{
	(void)timeouts, (void)p, (void)n;
	if (status == ARES_SUCCESS)
		answer(arg, DNS_MX_OK, "an IPv6 address and no MX");
	else if (status == ARES_ENODATA)
		answer(arg, DNS_MX_NONE, "neither an MX nor an address");
	else
		answer_failure(arg, status);
}

static void on_a(void *arg, int status, int timeouts, unsigned char *p, int n)
{
	(void)timeouts, (void)p, (void)n;
	if (status == ARES_SUCCESS)
		answer(arg, DNS_MX_OK, "an address and no MX");
	else if (status == ARES_ENODATA)
		ask(arg, ns_t_aaaa, on_aaaa);
	else
		answer_failure(arg, status);
}

/* RFC 7505 3: a null MX is the only one, and its host is the root. */
static bool is_null(const struct ares_mx_reply *mx)
{
	return !mx->next && !*mx->host;
}

static void on_mx(void *arg, int status, int timeouts, unsigned char *p, int n)
{
	struct ares_mx_reply *mx = NULL;

	(void)timeouts;
	if (status == ARES_SUCCESS)
		status = ares_parse_mx_reply(p, n, &mx);
	if (status == ARES_ENODATA || (status == ARES_SUCCESS && !mx))
		ask(arg, ns_t_a, on_a);
	else if (status != ARES_SUCCESS)
		answer_failure(arg, status);
	else if (is_null(mx))
		answer(arg, DNS_MX_NONE, "takes no mail (null MX)");
	else
		answer(arg, DNS_MX_OK, "an MX");
	ares_free_data(mx);
}

/* ---- questions ---------------------------------------------------------------------------------- */

static gboolean is_answered(void *name, void *domain, void *arg)
{
	(void)name, (void)arg;
	return !((struct domain *)domain)->waiters;
}

static struct domain *domain_get(const char *name)
{
	struct domain *d = g_hash_table_lookup(dns.domains, name);

	if (d)
		return d;
	if (g_hash_table_size(dns.domains) >= DOMAINS_MAX)
		g_hash_table_foreach_remove(dns.domains, is_answered, NULL);
	d = xcalloc(1, sizeof *d);
	d->name = xstrdup(name);
	g_hash_table_insert(dns.domains, d->name, d);
	return d;
}

const struct dns_answer *dns_known(const char *name)
{
	const struct domain *d = g_hash_table_lookup(dns.domains, name);

	return d && !d->waiters && holds(&d->answer) ? &d->answer : NULL;
}

const struct dns_answer *dns_ask(const char *name, dns_fn *fn, uint64_t id)
{
	struct domain *d = domain_get(name);
	const struct waiter w = { fn, id };

	if (d->waiters) {
		g_array_append_val(d->waiters, w);
		return NULL;
	}
	d->waiters = g_array_new(FALSE, FALSE, sizeof w);
	loop_hold();
	ask(d, ns_t_mx, on_mx); /* may have its answer at once: nobody waits for it yet */
	set_timer();
	if (!d->waiters)
		return &d->answer;
	g_array_append_val(d->waiters, w);
	return NULL;
}

/* ---- birth and death ---------------------------------------------------------------------------- */

int dns_init(void)
{
	if (ares_library_init(ARES_LIB_INIT_ALL))
		return CM_EIO;
	loop_timer_init(&dns.timer, on_timer, NULL);
	dns.sockets = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, socket_free);
	dns.domains = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, domain_free);
	return CM_OK;
}

void dns_done(void)
{
	dns.closing = true;
	if (dns.channel)
		ares_destroy(dns.channel);
	loop_timer_cancel(&dns.timer);
	g_hash_table_unref(dns.domains);
	g_hash_table_unref(dns.sockets);
	free(dns.servers);
	dns.channel = NULL;
	dns.servers = NULL;
	ares_library_cleanup();
}
