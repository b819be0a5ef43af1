/* Fuzz: any bytes are a template or one problem; any template and any values make a mail that can be
 * composed, or a reason. */
#include "coldmail/content.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/err.h"
#include "coldmail/mail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void compose(const struct content_text *text)
{
	struct mail_message m = { .from = "ali@example.com",
		.to = "ada@x.com",
		.subject = text->subject ? text->subject : "Re: x",
		.body = text->body,
		.opt_out_line = "no?",
		.organisation = "Labs",
		.postal_address = "Street",
		.message_id = "<a@b.c>" };
	struct str bytes = STR_INIT;
	char sha256[65];

	bug_if(mail_compose(&m, &bytes, sha256), "rendered, but cannot be composed");
	str_done(&bytes);
}

static void render(const struct content_template *t, const char *value)
{
	struct lead_var vars[] = { { "a", value }, { "company", "Acme" }, { "first_name", value } };
	struct lead l = { .email = "ada@x.com", .vars = vars, .n_vars = 3 };
	struct mem_arena a = { 0 };
	struct content_text text = { 0 };
	const char *why = NULL;

	if (content_template_render(t, &l, &a, &text, &why))
		bug_if(!why || text.body, "held without a reason");
	else
		compose(&text);
	mem_arena_done(&a);
}

/* The template, and behind a NUL the value of its fields `a` and `first_name`. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = xmalloc(n + 2);
	struct content_template *t = NULL;
	char *problem = NULL;

	if (n)
		memcpy(text, data, n);
	text[n] = text[n + 1] = '\0';
	for (int same_thread = 0; same_thread < 2; same_thread++) {
		if (content_template_parse(text, "t", same_thread, &t, &problem)) {
			bug_if(!problem, "refused without a problem");
			free(problem);
			continue;
		}
		render(t, text + strlen(text) + 1);
		content_template_free(t);
	}
	free(text);
	return 0;
}
