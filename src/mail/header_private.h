/*
 * Header lines of a message (RFC 5322 2.2, RFC 2047), as message.c writes them. Nobody else includes
 * this.
 * Runs on: loop.
 */
#pragma once

#include "coldmail/str.h"

/* All append whole lines with CRLF, folded at 76 bytes wherever there is a space. NAME is a header's
 * name; values are UTF-8 without controls, checked by the caller. */

/* A structured value: printable ASCII with single spaces. */
void mail_header_add(struct str *out, const char *name, const char *value);
/* Text for a person, encoded where it has to be. */
void mail_header_add_text(struct str *out, const char *name, const char *text);
/* "Name <address>", or the address alone when DISPLAY is NULL or empty. */
void mail_header_add_mailbox(
	struct str *out, const char *name, const char *display, const char *address);
