/*
 * Asking the daemon: HTTP and JSON over its control socket, by libcurl.
 * Runs on: any. Called by the commands.
 * What went wrong is said here, once, with what to do about it; callers only pass the status on.
 */
#include "ctl_private.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "coldmail/conf.h"
#include "coldmail/err.h"

/* An answer waits for the store at most; some read or copy all of it. */
#define WAIT_S      30L
#define WAIT_LONG_S (24L * 3600)
/* So long a store that is being opened is waited for. */
#define OPENING_MS    50
#define OPENING_TRIES 60

static struct {
	CURL *curl; /* owned */
	char *path; /* owned: of the socket */
} client;

int ctl_find_socket(const struct ctl *c)
{
	char *why = NULL;

	if (client.path)
		return 0;
	if (c->socket)
		client.path = xstrdup(c->socket);
	else if (conf_find_socket(c->config, &client.path, &why))
		ctl_error_lines(why);
	free(why);
	return client.path ? 0 : CM_EXIT_CONFIG;
}

void ctl_client_done(void)
{
	curl_easy_cleanup(client.curl);
	free(client.path);
	client.curl = NULL;
	client.path = NULL;
}

/* ---- is anybody there ---------------------------------------------------------------------------- */

/* 0, or the errno of a connection to the socket. */
static int try_connect(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof sa.sun_path)
		return ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	int err = connect(fd, (const struct sockaddr *)&sa, sizeof sa) ? errno : 0;
	close(fd);
	return err;
}

bool ctl_is_running(const struct ctl *c)
{
	return !ctl_find_socket(c) && try_connect(client.path) == 0;
}

static int refused(const char *path)
{
	ctl_error(
		"%s: permission denied: root, the daemon's own user and members of group coldmail "
		"may.\nTo join: adduser YOURSELF coldmail (as root), then log in again.",
		path);
	return CM_EXIT_UNAVAILABLE;
}

static int not_running(const char *path, int err)
{
	ctl_error("coldmail is not running: nobody answers on %s (%s).\n"
		  "To start it: systemctl start coldmail",
		path, strerror(err));
	return CM_EXIT_UNAVAILABLE;
}

/* ---- one exchange -------------------------------------------------------------------------------- */

static size_t on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
	str_add(arg, bytes, size * n);
	return size * n;
}

static CURLcode post(
	const char *path, const char *command, const char *body, struct str *ret, long *ret_status)
{
	char *url = xasprintf("http://coldmail/v1/%s", command);
	/* A body over a megabyte need not wait for leave to be sent. */
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	bool is_long = str_eq(command, "audit") || str_eq(command, "backup") ||
		       str_eq(command, "forget") || str_eq(command, "restore") ||
		       str_eq(command, "takeover") || str_eq(command, "test-send");

	if (!client.curl)
		client.curl = curl_easy_init();
	curl_easy_setopt(client.curl, CURLOPT_UNIX_SOCKET_PATH, path);
	curl_easy_setopt(client.curl, CURLOPT_PROXY, "");
	curl_easy_setopt(client.curl, CURLOPT_URL, url);
	curl_easy_setopt(client.curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(client.curl, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(client.curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
	curl_easy_setopt(client.curl, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(client.curl, CURLOPT_WRITEDATA, ret);
	curl_easy_setopt(client.curl, CURLOPT_TIMEOUT, is_long ? WAIT_LONG_S : WAIT_S);
	CURLcode code = curl_easy_perform(client.curl);
	curl_easy_getinfo(client.curl, CURLINFO_RESPONSE_CODE, ret_status);
	curl_slist_free_all(headers);
	free(url);
	return code;
}

static int failed(const char *path, CURLcode code)
{
	if (code == CURLE_OPERATION_TIMEDOUT)
		ctl_error("coldmail does not answer on %s: it is stopped, or its loop hangs", path);
	else if (code == CURLE_COULDNT_CONNECT)
		return not_running(path, try_connect(path));
	else
		ctl_error("coldmail went away before it answered (%s); what it had not "
			  "acknowledged, ask again",
			curl_easy_strerror(code));
	return CM_EXIT_UNAVAILABLE;
}

/* An answer to what it means: 0 with *RET, or the status that the daemon gives, said. */
static int understand(const char *path, long status, const char *text, cJSON **ret)
{
	cJSON *o = cJSON_Parse(text);

	if (status == 200 && cJSON_IsObject(o)) {
		*ret = o;
		return 0;
	}
	int exit = (int)ctl_whole(o, "exit");
	if (status == 403) {
		exit = refused(path);
	} else if (!exit) {
		ctl_error("%s: not an answer of coldmail (status %ld)", path, status);
		exit = CM_EXIT_UNAVAILABLE;
	} else if (exit == CM_EXIT_CONFIG) {
		ctl_error_lines(ctl_text(o, "error")); /* FILE:LINE: … stand alone */
	} else {
		ctl_error("%s", ctl_text(o, "error"));
	}
	cJSON_Delete(o);
	return exit;
}

/* A starting daemon's store has answered, or failed. */
static bool is_ready(const struct ctl *c)
{
	struct str text = STR_INIT;
	long status = 0;
	cJSON *o = NULL;

	if (ctl_is_running(c) && !post(client.path, "version", "{}", &text, &status))
		o = cJSON_Parse(str_z(&text));
	const cJSON *store = ctl_get(o, "store");
	bool ready = ctl_flag(store, "open") || ctl_flag(store, "down");
	cJSON_Delete(o);
	str_done(&text);
	return ready;
}

static int connect_or_start(const struct ctl *c)
{
	int status = ctl_find_socket(c);
	if (status)
		return status;
	const char *path = client.path;
	int err = try_connect(path);
	if (!err)
		return 0;
	if (err == EACCES || err == EPERM)
		return refused(path);
	/* A socket of one's own choice is a certain daemon's. */
	if ((c->command->flags & CTL_RUNNING) || c->socket)
		return not_running(path, err);
	return ctl_maintenance_start(c, is_ready);
}

/* A daemon that has just started: its store answers, or fails, in a moment. */
static bool is_opening(const struct ctl *c, CURLcode code, long status)
{
	return !code && status == 503 && ctl_is_running(c) && !is_ready(c);
}

int ctl_ask(const struct ctl *c, const char *command, cJSON *in, cJSON **ret)
{
	struct str text = STR_INIT;
	long status = 0;
	int exit = connect_or_start(c);

	if (!exit) {
		char *body = in ? cJSON_PrintUnformatted(in) : xstrdup("{}");
		CURLcode code = post(client.path, command, body, &text, &status);

		for (int i = 0; i < OPENING_TRIES && is_opening(c, code, status); i++) {
			poll(NULL, 0, OPENING_MS);
			str_reset(&text);
			code = post(client.path, command, body, &text, &status);
		}
		free(body);
		exit = code ? failed(client.path, code)
			    : understand(client.path, status, str_z(&text), ret);
	}
	str_done(&text);
	cJSON_Delete(in);
	return exit;
}
