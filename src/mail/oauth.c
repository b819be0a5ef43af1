/*
 * OAuth 2.0 access tokens for a login (coldmail/mail.h): made from a refresh token over HTTP
 * (RFC 6749 6), kept until shortly before they end. A server may give a new refresh token with it;
 * the old one may be worthless from then on, so the new one is on disk before anything else: an
 * exchange that was begun ends, whoever has lost interest in it, and only then does another one of the
 * same login begin.
 * Runs on: loop; its file is written on a lane of its own.
 * Called by mail/smtp.c. Never: asks twice at a time, says a token, retries.
 */
#include <cjson/cJSON.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/http.h"
#include "coldmail/list.h"
#include "coldmail/log.h"
#include "coldmail/loop.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#include "hide_private.h"
#include "oauth_private.h"

/* A token that ends sooner is not begun with: connecting takes time. */
#define LEFT_MIN_MS CLOCK_MINUTE_MS
/* Where the server does not say how long a token is good for (RFC 6749 5.1: it should). */
#define LIFE_DEFAULT_S 300
#define ANSWER_MAX     ((size_t)64 << 10)

struct mail_oauth {
	struct mail_oauth *next; /* in all */
	unsigned refs;
	char *token_url, *client_id, *client_secret, *refresh_token, *ca_pem; /* owned */
	char *file; /* owned: where a new refresh token is kept */
	char *origin; /* owned: hash of the refresh token that was configured */
	char *access_token; /* owned; NULL: none */
	int64_t until_ms; /* boot: the end of access_token */
	struct http *http; /* under way; NULL: not */
	bool is_open; /* its exchange, or the writing of its file; a reference */
	bool is_waiting; /* for another one of the same login to be over */
	bool has_read; /* its file */
	struct list asks; /* who waits */
	struct loop_defer answer;
	int err; /* of the last exchange */
	char *why; /* owned: for people */
};

struct mail_oauth_ask {
	struct list_node node; /* in mail_oauth.asks */
	struct mail_oauth *oauth; /* a reference */
	mail_oauth_fn *fn;
	void *arg; /* borrowed: until fn or mail_oauth_cancel() */
};

static struct mail_oauth *all; /* the newest first */
static void (*on_idle)(void);

static void start(struct mail_oauth *o);

/* ---- life ---------------------------------------------------------------------------------------- */

struct mail_oauth *mail_oauth_new(const struct mail_oauth_conf *c)
{
	struct mail_oauth *o = xcalloc(1, sizeof *o);

	o->refs = 1;
	o->token_url = xstrdup(c->token_url);
	o->client_id = xstrdup(c->client_id);
	o->client_secret = xstrdup(c->client_secret);
	o->ca_pem = c->ca_pem ? xstrdup(c->ca_pem) : NULL;
	o->file = xstrdup(c->file);
	o->origin = g_compute_checksum_for_string(G_CHECKSUM_SHA256, c->refresh_token, -1);
	o->refresh_token = xstrdup(c->refresh_token);
	list_init(&o->asks);
	o->next = all;
	all = o;
	return o;
}

struct mail_oauth *mail_oauth_ref(struct mail_oauth *o)
{
	if (o)
		o->refs++;
	return o;
}

void mail_oauth_unref(struct mail_oauth *o)
{
	struct mail_oauth **at = &all;

	if (!o || --o->refs)
		return;
	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	http_cancel(o->http);
	loop_defer_cancel(&o->answer);
	mem_free_secret(o->client_secret);
	mem_free_secret(o->refresh_token);
	mem_free_secret(o->access_token);
	free(o->token_url);
	free(o->client_id);
	free(o->ca_pem);
	free(o->file);
	g_free(o->origin);
	free(o->why);
	free(o);
}

/* There is no token, because of ERR; WHY is owned. */
static void fail(struct mail_oauth *o, int err, char *why)
{
	mem_free_secret(o->access_token);
	o->access_token = NULL;
	o->err = err;
	free(o->why);
	o->why = why;
}

void mail_oauth_forget(struct mail_oauth *o)
{
	fail(o, CM_EAUTH, xstrdup("the access token was refused"));
}

/* What is open has a reference of its own. */
void mail_oauth_done(void)
{
	on_idle = NULL;
	for (struct mail_oauth *o = all, *next; o; o = next) {
		next = o->next;
		o->is_waiting = false;
		if (!o->http)
			continue;
		http_cancel(o->http);
		o->http = NULL;
		o->is_open = false;
		mail_oauth_unref(o);
	}
	mail_oauth_file_done();
}

static bool has_token(const struct mail_oauth *o)
{
	return o->access_token && o->until_ms - clock_boot_ms() > LEFT_MIN_MS;
}

/* ---- who waits ----------------------------------------------------------------------------------- */

void mail_oauth_cancel(struct mail_oauth_ask *ask)
{
	if (!ask)
		return;
	list_remove(&ask->oauth->asks, &ask->node);
	mail_oauth_unref(ask->oauth);
	free(ask);
}

static void answer_all(void *arg)
{
	struct mail_oauth *o = mail_oauth_ref(arg); /* its asks may be the last to have it */
	struct list_node *node;

	while ((node = list_first(&o->asks))) {
		struct mail_oauth_ask ask = *list_entry(node, struct mail_oauth_ask, node);

		mail_oauth_cancel(list_entry(node, struct mail_oauth_ask, node));
		ask.fn(ask.arg, o->access_token, o->err, o->why);
	}
	mail_oauth_unref(o);
}

/* ---- the exchange -------------------------------------------------------------------------------- */

static const char *text_of(const cJSON *answer, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, name));

	return text ? text : "";
}

bool mail_oauth_is_busy(void)
{
	for (const struct mail_oauth *o = all; o; o = o->next)
		if (o->is_open && (!o->http || http_is_said(o->http)))
			return true;
	return false;
}

void mail_oauth_on_idle(void (*fn)(void))
{
	on_idle = fn;
}

/* Another one that uses, and may replace, the same refresh token. */
static bool has_rival(const struct mail_oauth *o)
{
	for (const struct mail_oauth *p = all; p; p = p->next)
		if (p != o && p->is_open && str_eq(p->file, o->file))
			return true;
	return false;
}

/* The exchange is over, and what it gave is kept. */
static void over(struct mail_oauth *o)
{
	o->is_open = false;
	answer_all(o);
	for (struct mail_oauth *p = all; p; p = p->next)
		if (p->is_waiting && !has_rival(p)) {
			p->is_waiting = false;
			if (p->asks.n)
				start(p);
		}
	mail_oauth_unref(o);
	if (on_idle && !mail_oauth_is_busy())
		on_idle();
}

static void on_kept(void *arg)
{
	over(arg);
}

/* What cJSON copied is wiped with it. */
static void forget_answer(cJSON *answer)
{
	for (cJSON *item = answer ? answer->child : NULL; item; item = item->next)
		if (cJSON_IsString(item))
			mem_wipe(item->valuestring, strlen(item->valuestring));
	cJSON_Delete(answer);
}

/* RFC 6749 A.12, A.17: printable ASCII. Its file holds one line, and a login has marks of its own. */
static bool is_token(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

/* RFC 6749 5.1. With a new refresh token nobody has a token before that is kept. */
static void take(struct mail_oauth *o, const cJSON *answer)
{
	const cJSON *life = cJSON_GetObjectItemCaseSensitive(answer, "expires_in");
	const char *rotated = text_of(answer, "refresh_token");
	double seconds = cJSON_IsNumber(life) ? life->valuedouble : LIFE_DEFAULT_S;

	fail(o, CM_OK, NULL);
	o->access_token = xstrdup(text_of(answer, "access_token"));
	o->until_ms =
		clock_boot_ms() + (int64_t)(CLAMP(seconds, 0, 86400) * (double)CLOCK_SECOND_MS);
	if (!*rotated || str_eq(rotated, o->refresh_token)) {
		over(o);
		return;
	}
	mem_free_secret(o->refresh_token);
	o->refresh_token = xstrdup(rotated);
	mail_oauth_file_write(o->file, o->origin, rotated, on_kept, o);
}

/* A stranger's words, of at most MAX bytes. The caller owns them. */
static char *shown(const struct mail_oauth *o, const char *text, size_t max)
{
	const char *const secrets[] = { o->refresh_token, o->client_secret, o->access_token };
	struct mail_hide *h = mail_hide_new(NULL, secrets, 3);
	char *clean = mail_hide(h, text, false);
	char *ret = str_printable(clean, strlen(clean), max);

	mail_hide_free(h);
	free(clean);
	return ret;
}

/* RFC 6749 5.2: what the server refuses with a reason will not be better by itself. */
static void refuse(struct mail_oauth *o, const struct http_answer *a, const cJSON *answer)
{
	const char *error = text_of(answer, "error");
	bool is_final = a->status / 100 == 4 && a->status != 408 && a->status != 429 && *error &&
			!str_eq(error, "temporarily_unavailable");
	char *said = shown(o, text_of(answer, "error_description"), 200);
	char *name = shown(o, error, 60);

	if (is_final)
		fail(o, CM_EAUTH,
			xasprintf("the token server refused: %s%s%s (HTTP %d); authorise again "
				  "and replace refresh_token_file",
				name, *said ? ": " : "", said, a->status));
	else
		fail(o, CM_ECONN,
			xasprintf("the token server gave no token: HTTP %d%s%s", a->status,
				*name ? " " : "", name));
	free(said);
	free(name);
}

static bool has_tokens(const struct http_answer *a, const cJSON *answer)
{
	const char *access = text_of(answer, "access_token");

	return a->status == 200 && *access && is_token(access) &&
	       is_token(text_of(answer, "refresh_token"));
}

static void on_http(void *arg, const struct http_answer *a)
{
	struct mail_oauth *o = arg;
	cJSON *answer = a->err ? NULL : cJSON_ParseWithLength(a->body, a->n);

	o->http = NULL;
	if (!a->err && has_tokens(a, answer)) {
		take(o, answer);
	} else {
		if (a->err)
			fail(o, a->err, xasprintf("the token server: %s", a->why));
		else if (a->status == 200 && *text_of(answer, "access_token"))
			fail(o, CM_EPROTO,
				xasprintf("the token server gave a token with other than printable "
					  "ASCII in it"));
		else
			refuse(o, a, answer);
		over(o);
	}
	forget_answer(answer);
}

static void add_value(struct str *form, const char *name, const char *value)
{
	char *escaped = http_form_value(value);

	str_addf(form, "%s%s=%s", form->len ? "&" : "", name, escaped);
	mem_free_secret(escaped);
}

/* What a server gave in the meantime, perhaps to one of before a reload, takes the place of what is
 * configured. */
static void read_kept(struct mail_oauth *o)
{
	char *kept = o->has_read ? NULL : mail_oauth_file_read(o->file, o->origin);

	o->has_read = true;
	if (!kept)
		return;
	mem_free_secret(o->refresh_token);
	o->refresh_token = kept;
}

static void start(struct mail_oauth *o)
{
	struct str form = STR_INIT;
	char *text;

	read_kept(o);
	o->is_open = true;
	mail_oauth_ref(o);

	str_reserve(&form, 16384); /* no copy of a secret stays behind in a shorter one */
	add_value(&form, "grant_type", "refresh_token");
	add_value(&form, "client_id", o->client_id);
	if (*o->client_secret)
		add_value(&form, "client_secret", o->client_secret);
	add_value(&form, "refresh_token", o->refresh_token);
	text = str_take(&form);
	o->http = http_start(&(struct http_request){ .url = o->token_url,
				     .form = text,
				     .ca_pem = o->ca_pem,
				     .answer_max = ANSWER_MAX },
		on_http, o);
	mem_free_secret(text);
}

struct mail_oauth_ask *mail_oauth_token(struct mail_oauth *o, mail_oauth_fn *fn, void *arg)
{
	struct mail_oauth_ask *ask = xcalloc(1, sizeof *ask);

	ask->oauth = mail_oauth_ref(o);
	ask->fn = fn;
	ask->arg = arg;
	list_push(&o->asks, &ask->node);
	if (o->is_open)
		return ask;
	if (has_token(o))
		loop_defer(&o->answer, answer_all, o);
	else if (has_rival(o))
		o->is_waiting = true;
	else
		start(o);
	return ask;
}
