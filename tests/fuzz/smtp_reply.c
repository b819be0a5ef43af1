/*
 * Whatever a server says: its replies, its greeting; and whatever a body is, the wire stays SMTP.
 * Lines are given as core/line.c gives them.
 */
#include <stdint.h>
#include <string.h>

#include "coldmail/err.h"
#include "coldmail/mem.h"
#include "mail/smtp_private.h"

#define LINES_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reply(const struct mail_reply *r, enum mail_reply_feed got)
{
	char id[64], message_id[128];

	bug_if(r->len != strlen(r->text) || r->len >= sizeof r->text, "length of the text");
	bug_if(!str_is_utf8(r->text, r->len), "text is not UTF-8");
	bug_if(strlen(r->enhanced) >= sizeof r->enhanced, "enhanced code");
	bug_if(got == MAIL_REPLY_DONE && (r->code < 200 || r->code > 599), "code %d", r->code);
	bug_if(got == MAIL_REPLY_GARBAGE && r->code, "garbage with a code");
	mail_reply_ids(r, id, message_id);
	bug_if(strlen(id) >= sizeof id, "queue id");
	bug_if(*message_id && message_id[strlen(message_id) - 1] != '>', "message id");
}

static void check_body(const char *bytes, size_t n)
{
	struct str out = STR_INIT;

	mail_dot_stuff(&out, bytes, n);
	bug_if(n && (out.len < 2 || memcmp(out.p + out.len - 2, "\r\n", 2) != 0), "no line end");
	for (size_t i = 0; i < out.len; i++) {
		bug_if(out.p[i] == '\r' && out.p[i + 1] != '\n', "bare CR at %zu", i);
		bug_if(out.p[i] == '\n' && (i == 0 || out.p[i - 1] != '\r'), "bare LF at %zu", i);
		bug_if(out.p[i] == '.' && (i == 0 || out.p[i - 1] == '\n') && out.p[i + 1] != '.',
			"lone dot at %zu", i);
	}
	str_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xmalloc(size + 1), *lines[LINES_MAX];
	struct mail_reply r = { 0 };
	struct mail_hello hello;
	size_t n = 0;
	const struct mail_hello_way way = { .starttls = size % 2, .login = size % 3 };

	memcpy(text, data, size);
	text[size] = '\0';
	check_body(text, size);
	for (size_t at = 0; at < size && n < LINES_MAX;) {
		char *lf = memchr(text + at, '\n', size - at);
		size_t len = lf ? (size_t)(lf - text) - at : size - at;

		text[at + len] = '\0';
		lines[n++] = text + at;
		check_reply(&r, mail_reply_feed(&r, text + at, len));
		at += len + 1;
	}
	mail_hello_read((const char *const *)lines, n, way, &hello);
	bug_if(hello.is_open && hello.last.code / 100 != 2, "open after a no");
	free(text);
	return 0;
}
