/*
 * What a line is opened with (coldmail/line.h), kept by who opens it more than once.
 * Runs on: loop. Called by mail.
 * Never: leaves a secret in memory that is free.
 */
#include "coldmail/line.h"
#include "coldmail/mem.h"

struct line_conf line_conf_copy(const struct line_conf *c)
{
	struct line_conf copy = *c;

	copy.url = xstrdup(c->url);
	copy.ca_pem = xstrdup(c->ca_pem);
	copy.helo = xstrdup(c->helo);
	copy.user = xstrdup(c->user);
	copy.password = xstrdup(c->password);
	copy.bearer = xstrdup(c->bearer);
	return copy;
}

void line_conf_done(struct line_conf *c)
{
	const char *const strings[] = { c->url, c->ca_pem, c->helo, c->user, c->password,
		c->bearer };

	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
		mem_free_secret((char *)(uintptr_t)strings[i]);
	*c = (struct line_conf){ 0 };
}
