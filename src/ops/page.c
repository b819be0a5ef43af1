/*
 * The unsubscribe page: /u/TOKEN and nothing else, on an address of its own that a public proxy passes
 * requests on to. GET shows a button and changes nothing, for mail scanners follow links; POST, from
 * that button or from a mail program (RFC 8058), opts out.
 * Runs on: loop. Called by ops.c. Anybody may ask anything here.
 * Says "done" only after the suppression and the voids of mails under way are durable. Shows nothing of
 * whom the link belongs to, and logs nothing but opt-outs.
 */
#include "ops_private.h"

#include <errno.h>
#include <glib.h>
#include <netdb.h>
#include <unistd.h>

#include "coldmail/err.h"
#include "coldmail/log.h"
#include "coldmail/str.h"

#define CONNECTIONS_MAX 256
#define BACKLOG         128
#define IDLE_MAX_S      10u
#define REQUEST_MAX_MS  INT64_C(10000)
#define BODY_MAX        ((size_t)16 << 10)

#define PATH "/u/"

static struct {
	struct ops_httpd *http; /* owned; NULL: nobody wants the page */
	int listen_fd;
} page;

/* ---- what is shown ------------------------------------------------------------------------------ */

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
	"<title>Unsubscribe</title><style>"
	"body{font:1.1rem/1.5 sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}"
	"button{font:inherit;padding:.6rem 1.4rem}"
	"</style></head><body><main>\n";
static const char foot[] = "</main></body></html>\n";

/* The hidden field makes the button say what a mail program says; the other tells them apart. */
#define BUTTON_SAYS "from=page"
static const char form[] = "<form method=\"post\"><input type=\"hidden\" name=\"List-Unsubscribe\" "
			   "value=\"One-Click\">"
			   "<input type=\"hidden\" name=\"from\" value=\"page\">"
			   "<p><button type=\"submit\">Unsubscribe</button></p></form>\n";

/* Who writes, in HTML; the caller owns it. */
static char *sender(void)
{
	const char *organisation = flow_conf()->identity.organisation;

	return g_markup_escape_text(*organisation ? organisation : "The sender", -1);
}

/* Answers with a page: TEXT and REST are HTML. NAME, VALUE: one more header; NULL: none. */
static void show(uint64_t id, unsigned status, const char *text, const char *rest, const char *name,
	const char *value)
{
	const struct ops_http_header headers[] = {
		{ "Content-Type", "text/html; charset=utf-8" },
		/* One request each: a connection is nobody's for long. */
		{ "Connection", "close" },
		{ "Cache-Control", "no-store" },
		{ "Content-Security-Policy",
			"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
			"base-uri 'none'; frame-ancestors 'none'" },
		{ "Referrer-Policy", "no-referrer" }, /* the address of this page is the token */
		{ "X-Content-Type-Options", "nosniff" },
		{ "X-Frame-Options", "DENY" },
		{ "X-Robots-Tag", "noindex, nofollow" },
		{ name, value },
		{ 0 },
	};

	if (!page.http) /* the store's last answers come after the end of the page */
		return;
	char *body = xasprintf("%s<h1>Unsubscribe</h1>\n<p>%s</p>\n%s%s", head, text, rest, foot);

	ops_httpd_answer(page.http, id, status, headers, body);
}

static void show_error(uint64_t id, unsigned status, const char *text)
{
	show(id, status, text, "", NULL, NULL);
}

/* Nothing was done, and whoever asked is to ask again. */
static void show_unavailable(uint64_t id)
{
	show(id, 503,
		"This could not be stored just now, so <strong>nothing has been changed</strong>. "
		"Please try again in a minute.",
		"", "Retry-After", "60");
}

static void show_button(uint64_t id, unsigned status)
{
	char *name = sender();
	char *text = xasprintf("%s will not write to you again once you press the button.", name);

	show(id, status, text, form, NULL, NULL);
	free(text);
	g_free(name);
}

static void show_done(uint64_t id, bool is_too_late)
{
	char *name = sender();
	char *text = xasprintf("Done: %s will not write to you again.%s", name,
		is_too_late ? " One mail was on its way already, and may still arrive." : "");

	show(id, 200, text, "", NULL, NULL);
	free(text);
	g_free(name);
}

/* ---- opting out --------------------------------------------------------------------------------- */

static void on_suppressed(struct store_req *r)
{
	const struct store_voids *voids = &r->u.suppress.voids;

	if (r->err) {
		show_unavailable(r->id);
		return;
	}
	if (r->u.suppress.n_new)
		log_event(LOG_NOTICE, "opt_out", LOG_S("lead", r->u.suppress.lead_id),
			LOG_S("source", r->u.suppress.v[0].source), LOG_I("stopped", voids->voided),
			LOG_I("in_transmission", voids->transmitting));
	show_done(r->id, voids->transmitting);
}

static void opt_out(uint64_t id, const char *person, bool is_button)
{
	struct store_req *r = store_req_new(STORE_SUPPRESS_ADD, on_suppressed, id, NULL);

	r->u.suppress.v = mem_arena_get(&r->arena, sizeof *r->u.suppress.v);
	r->u.suppress.v[0] = (struct store_suppression){
		.pattern = mem_arena_printf(&r->arena, LEAD_PERSON_PREFIX "%s", person),
		.reason = lead_reason_name(LEAD_REASON_OPTED_OUT),
		.evidence = is_button ? "the button behind the link in a mail"
				      : "List-Unsubscribe=One-Click (RFC 8058)",
		.source = is_button ? "page" : "one-click",
	};
	r->u.suppress.n = 1;
	store_send(r);
}

/* RFC 8058 3.1 allows two encodings, and mail programs know more: who has the token and says the words
 * is meant. */
static bool is_one_click(const char *body)
{
	return strcasestr(body, "List-Unsubscribe") && strcasestr(body, "One-Click");
}

/* ---- requests ---------------------------------------------------------------------------------- */

static void on_post(const struct ops_http_request *q, const char *person)
{
	if (q->is_too_large)
		show_error(q->id, 413, "The request is too large.");
	else if (!is_one_click(q->body))
		show_button(q->id, 400);
	else
		opt_out(q->id, person, strstr(q->body, BUTTON_SAYS));
}

static void on_request(const struct ops_http_request *q)
{
	bool is_post = str_eq(q->method, "POST");
	char person[LEAD_PERSON];

	if (!str_starts(q->path, PATH))
		show_error(q->id, 404, "There is nothing here.");
	else if (!is_post && !str_eq(q->method, "GET") && !str_eq(q->method, "HEAD"))
		show(q->id, 405, "This is not how a page is asked for.", "", "Allow",
			"GET, HEAD, POST");
	else if (!store_stats().open)
		show_unavailable(q->id);
	else if (!lead_token_person(store_message_secret(), q->path + strlen(PATH), person))
		show_error(q->id, 404,
			"This link is not complete: please copy the whole of it, or answer the "
			"mail instead.");
	else if (is_post)
		on_post(q, person);
	else
		show_button(q->id, 200);
}

/* ---- birth and death ---------------------------------------------------------------------------- */

/* LISTEN was checked with the configuration. -1 with errno. */
static int listen_at(const char *listen_on)
{
	const char *colon = strrchr(listen_on, ':'), *host = listen_on;
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM };
	struct addrinfo *ai = NULL;
	const int on = 1;

	size_t n = (size_t)(colon - listen_on);
	if (*host == '[') {
		host++;
		n -= 2;
	}
	char *name = xstrndup(host, n);
	int failed = getaddrinfo(name, colon + 1, &hints, &ai);
	free(name);
	errno = EADDRNOTAVAIL;
	if (failed)
		return -1;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
			       bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, BACKLOG))) {
		int saved = errno;

		close(fd);
		errno = saved;
		fd = -1;
	}
	freeaddrinfo(ai);
	return fd;
}

int ops_page_init(const char *listen_on, char **ret_why)
{
	const struct ops_httpd_conf conf = {
		.connections_max = CONNECTIONS_MAX,
		.idle_s = IDLE_MAX_S,
		.request_ms = REQUEST_MAX_MS,
		.body_max = BODY_MAX,
		.on_request = on_request,
	};

	page.listen_fd = listen_at(listen_on);
	if (page.listen_fd < 0) {
		bool is_taken = errno == EADDRINUSE;

		*ret_why = xasprintf("public_listen %s: %s", listen_on, strerror(errno));
		return is_taken ? CM_EBUSY : CM_EIO;
	}
	page.http = ops_httpd_start(page.listen_fd, &conf);
	if (!page.http) {
		close(page.listen_fd);
		*ret_why = xasprintf("public_listen %s: libmicrohttpd does not start", listen_on);
		return CM_EIO;
	}
	return CM_OK;
}

void ops_page_stop(void)
{
	const struct ops_http_header headers[] = { { "Retry-After", "60" }, { 0 } };

	if (!page.http)
		return;
	ops_httpd_quiesce(page.http);
	close(page.listen_fd);
	ops_httpd_stop(page.http, 503, headers, "");
	page.http = NULL;
}
