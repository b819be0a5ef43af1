/*
 * fake-smtp: TLS as a filter between the bytes on the wire and the bytes of a dialogue.
 * Runs on: the one thread of fake-smtp. Knows no socket: conn.c reads and sends, so that every way
 * to delay, cut or end a connection works over TLS, too.
 */
#pragma once

#include <openssl/types.h>

#include "buf.h"

/* What all connections share. CERT: a PEM file, the server's own certificate first; KEY: a PEM
 * file. NULL: ERR says which of the two is wrong, and how. */
SSL_CTX *tls_setup(const char *cert, const char *key, struct buf *err);

struct tls; /* the server's side of one connection */
struct tls *tls_new(SSL_CTX *ctx);
void tls_free(struct tls *t); /* NULL does nothing */

enum tls_result {
	TLS_GOES_ON,
	TLS_CLOSED, /* the client said that it sends no more */
	TLS_FAILED, /* tls_error() says why */
};

/* Takes everything in WIRE: what it says is added to PLAIN, what has to be answered to ANSWER. */
enum tls_result tls_open(struct tls *t, struct buf *wire, struct buf *plain, struct buf *answer);
/* Takes everything in PLAIN to WIRE; nothing before the handshake is over. */
void tls_seal(struct tls *t, struct buf *plain, struct buf *wire);
/* The orderly end: the client can know that nothing was cut off. */
void tls_end(struct tls *t, struct buf *wire);

bool tls_is_ready(const struct tls *t); /* the handshake is over */
const char *tls_version(const struct tls *t); /* "TLSv1.3" */
const char *tls_error(const struct tls *t); /* "" without one */
