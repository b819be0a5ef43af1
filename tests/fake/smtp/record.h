/*
 * fake-smtp: what was accepted, kept: a line in the list, a file in the Maildir.
 * Runs on: the one thread of fake-smtp; file writes block it, which a server for tests may do.
 */
#pragma once

#include "buf.h"

/* An envelope and its data: the bytes between DATA and the dot, unstuffed, each line with CR LF. */
struct mail {
	char *from; /* owned; NULL: no MAIL yet */
	char *parameters; /* owned; what MAIL said behind the address */
	char **to; /* owned, as the addresses are */
	char **to_parameters; /* owned likewise; of each */
	size_t to_count;
	char *user; /* owned; who had logged in; NULL: nobody */
	const char *tls; /* borrowed: constant; "TLSv1.3", or NULL: in the clear */
	struct buf data;
};
void mail_add_to(struct mail *m, const char *address, const char *parameters);
void mail_reset(struct mail *m); /* empty, ready for the next one */

struct record {
	const char *maildir; /* borrowed; NULL: none */
	int list_fd; /* -1: none */
	uint64_t count; /* mails kept */
};

/* Creates what is missing. False: ERR says what went wrong. Either of the two may be NULL. */
bool record_open(struct record *r, const char *maildir, const char *list, struct buf *err);
bool record_wants_data(const struct record *r);

/* Keeps M: the Maildir's file, then the list's line by a single write, so that a mail whose 250 was
 * sent is listed whatever happens next. False: nothing was kept, and stderr says why. */
bool record_mail(struct record *r, const struct mail *m);
