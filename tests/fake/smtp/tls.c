/*
 * TLS of fake-smtp, by OpenSSL on memory: it is fed with what came and asked for what has to go, so
 * it never waits for anything.
 * Runs on: the one thread of fake-smtp. Called by main.c for the certificate, by conn.c for bytes.
 */
#include "tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	READ_SIZE = 16 * 1024, /* a record has no more */
	ERROR_MAX = 120,
};

struct tls {
	SSL *ssl; /* owned */
	BIO *in, *out; /* borrowed: from ssl */
	bool failed;
	char error[ERROR_MAX];
};

static const char *last_error(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason ? reason : "unknown error";
}

SSL_CTX *tls_setup(const char *cert, const char *key, struct buf *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx)
		buf_addf(err, "TLS: %s", last_error());
	else if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		buf_addf(err, "--cert %s: expected a certificate in PEM: %s", cert, last_error());
	else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		buf_addf(err, "--key %s: expected the certificate's key in PEM: %s", key,
			last_error());
	if (buf_len(err)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	/* Thousands of connections that do nothing should cost little. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return ctx;
}

static void or_die(const void *p)
{
	if (p)
		return;
	fprintf(stderr, "fake-smtp: TLS: %s\n", last_error());
	abort();
}

struct tls *tls_new(SSL_CTX *ctx)
{
	struct tls *t = fake_alloc(sizeof(*t));

	or_die(t->ssl = SSL_new(ctx));
	or_die(t->in = BIO_new(BIO_s_mem()));
	or_die(t->out = BIO_new(BIO_s_mem()));
	SSL_set_bio(t->ssl, t->in, t->out);
	SSL_set_accept_state(t->ssl);
	return t;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	free(t);
}

/* What OpenSSL wants to have sent. */
static void collect(struct tls *t, struct buf *wire)
{
	size_t n = BIO_ctrl_pending(t->out);

	if (n && BIO_read_ex(t->out, buf_room(wire, n), n, &n))
		buf_filled(wire, n);
}

static enum tls_result read_on(struct tls *t, struct buf *plain)
{
	size_t n;

	ERR_clear_error();
	while (SSL_read_ex(t->ssl, buf_room(plain, READ_SIZE), READ_SIZE, &n))
		buf_filled(plain, n);
	switch (SSL_get_error(t->ssl, 0)) {
	case SSL_ERROR_WANT_READ:
		return TLS_GOES_ON;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_CLOSED;
	default:
		t->failed = true;
		snprintf(t->error, sizeof(t->error), "%s", last_error());
		return TLS_FAILED;
	}
}

enum tls_result tls_open(struct tls *t, struct buf *wire, struct buf *plain, struct buf *answer)
{
	enum tls_result got;
	size_t taken;

	if (t->failed) {
		buf_reset(wire);
		return TLS_FAILED;
	}
	/* Memory takes it all. */
	if (buf_len(wire) && !BIO_write_ex(t->in, buf_at(wire), buf_len(wire), &taken))
		or_die(NULL);
	buf_reset(wire);
	got = read_on(t, plain);
	collect(t, answer); /* in failure, too: an alert */
	return got;
}

void tls_seal(struct tls *t, struct buf *plain, struct buf *wire)
{
	size_t taken;

	if (!tls_is_ready(t) || !buf_len(plain))
		return;
	ERR_clear_error();
	/* It fails only where reading failed before; then nobody listens. */
	if (!SSL_write_ex(t->ssl, buf_at(plain), buf_len(plain), &taken))
		t->failed = true;
	buf_reset(plain);
	collect(t, wire);
}

void tls_end(struct tls *t, struct buf *wire)
{
	if (!tls_is_ready(t) || t->failed)
		return;
	ERR_clear_error();
	SSL_shutdown(t->ssl);
	collect(t, wire);
}

bool tls_is_ready(const struct tls *t)
{
	return SSL_is_init_finished(t->ssl);
}

const char *tls_version(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

const char *tls_error(const struct tls *t)
{
	return t->error;
}
