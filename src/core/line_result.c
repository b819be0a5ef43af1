/*
 * What libcurl's result means when no connection came about: an error of ours and a text for people.
 * One table; the first row that fits has the word. Pure.
 * Runs on: loop. Called by core/line.c.
 * libcurl's own text stands unless a row has a better one: it shows an errno that nobody set, calls
 * different things by one name, and says nothing of what somebody slipped in behind STARTTLS.
 */
#include "line_private.h"

#include <string.h>

#include "coldmail/err.h"
#include "coldmail/str.h"

static const struct {
	CURLcode res;
	const char *has; /* in libcurl's text; "": it has none; NULL: whatever it is */
	int err;
	const char *text; /* NULL: libcurl's */
} rows[] = {
	{ CURLE_OPERATION_TIMEDOUT, NULL, CM_ETIMEDOUT, NULL },
	{ CURLE_WEIRD_SERVER_REPLY, "", CM_EPROTO, "the server sent more before TLS began" },
	{ CURLE_WEIRD_SERVER_REPLY, NULL, CM_EPROTO, NULL },
	{ CURLE_REMOTE_ACCESS_DENIED, NULL, CM_EPROTO, NULL },
	/* It reads 300 KB of greeting, and calls more of it a failed read. */
	{ CURLE_RECV_ERROR, "Too large response headers", CM_EPROTO,
		"the server talks without end before it is ready" },
	{ CURLE_RECV_ERROR, NULL, CM_ECLOSED,
		"connection closed by the server before it was ready" },
	{ CURLE_SEND_ERROR, NULL, CM_ECLOSED,
		"connection closed by the server before it was ready" },
	{ CURLE_GOT_NOTHING, NULL, CM_ECLOSED,
		"connection closed by the server before it was ready" },
	/* A connection that broke during the handshake says nothing about TLS. */
	{ CURLE_SSL_CONNECT_ERROR, "SSL_ERROR_SYSCALL", CM_ECLOSED,
		"connection closed by the server before TLS was in place" },
	{ CURLE_SSL_CONNECT_ERROR, NULL, CM_ETLS, NULL },
	{ CURLE_PEER_FAILED_VERIFICATION, NULL, CM_ETLS, NULL },
	{ CURLE_SSL_CACERT_BADFILE, NULL, CM_ETLS, NULL },
	{ CURLE_SSL_CERTPROBLEM, NULL, CM_ETLS, NULL },
	{ CURLE_SSL_CIPHER, NULL, CM_ETLS, NULL },
	{ CURLE_USE_SSL_FAILED, NULL, CM_ETLS, "the server offers no STARTTLS" },
	{ CURLE_LOGIN_DENIED, NULL, CM_EAUTH, NULL },
	{ CURLE_AUTH_ERROR, NULL, CM_EAUTH, NULL },
};

static bool fits(size_t i, CURLcode res, const char *error)
{
	const char *has = rows[i].has;

	return rows[i].res == res && (!has || (*has ? strstr(error, has) != NULL : !*error));
}

int line_result(CURLcode res, const char *error, const char **ret_text)
{
	*ret_text = *error ? error : curl_easy_strerror(res);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (!fits(i, res, error))
			continue;
		if (rows[i].text)
			*ret_text = rows[i].text;
		return rows[i].err;
	}
	return CM_ECONN;
}
