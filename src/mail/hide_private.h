/*
 * Inside mail: what hides our secrets in what strangers say.
 * Runs on: loop. Private to src/mail.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct mail_hide;

/* The forms in which these N secrets (NULL and "" are none) may be seen: bare, as a value of a form, in
 * base64 alone or within a SASL message, of USER (or NULL) among them. NULL when there is none. */
struct mail_hide *mail_hide_new(const char *user, const char *const *secrets, size_t n);
void mail_hide_free(struct mail_hide *h); /* NULL is accepted, here and below: nothing to hide */
/* TEXT with *** where one of them was. CUT: it may end within one. The caller owns the result. */
char *mail_hide(const struct mail_hide *h, const char *text, bool cut)
	__attribute__((warn_unused_result));
/* The same in place, in a buffer of SIZE bytes. */
void mail_hide_in(const struct mail_hide *h, char *text, size_t size);
