/*
 * A user's table of reply classes, then replies, a line each, behind a line "--": whatever both are,
 * the one is a table or a list of problems, and the others have a class at every stage.
 */
#include <stdint.h>
#include <string.h>

#include "coldmail/err.h"
#include "coldmail/mem.h"
#include "mail/class_private.h"
#include "mail/smtp_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_words(const char *text)
{
	struct mail_words w;

	mail_words_read(text, &w);
	bug_if(w.n > MAIL_WORDS_MAX || strlen(w.text) >= sizeof w.text, "%zu words", w.n);
	for (size_t i = 0; i < w.n; i++) {
		bug_if(w.at[i] >= strlen(w.text), "an empty word");
		bug_if(w.sentence[i] > i, "a word before its sentence");
		bug_if(i && !strchr(" \n", w.text[w.at[i] - 1]), "words without a space");
	}
}

static void check_reply(struct mail_classes *t, const char *line, size_t n)
{
	struct mail_reply r = { 0 };

	if (mail_reply_feed(&r, line, n) != MAIL_REPLY_DONE)
		return;
	check_words(r.text);
	for (int stage = 0; stage <= MAIL_STAGE_QUIT; stage++) {
		struct mail_ruling first = mail_classify(t, MAIL_WHERE_SUBMISSION,
			(enum mail_stage)stage, r.code, r.enhanced, r.text);
		struct mail_ruling again = mail_classify(t, MAIL_WHERE_SUBMISSION,
			(enum mail_stage)stage, r.code, r.enhanced, r.text);

		bug_if(first.class > MAIL_CLASS_UNKNOWN, "class %d", (int)first.class);
		bug_if(first.class != again.class || first.reason != again.reason, "two rulings");
		bug_if((r.code / 100 == 2) != (first.class == MAIL_CLASS_SENT) && r.code / 100 == 2,
			"a refusal that is none");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xmalloc(size + 1);
	struct str problems = STR_INIT;
	struct mail_classes *t = NULL;

	memcpy(text, data, size);
	text[size] = '\0';
	char *mark = strstr(text, "--\n"), *line = mark ? mark + 3 : text + size;
	if (mark)
		*mark = '\0';
	int err = mail_classes_new("rows.tsv", text, &t, &problems);
	bug_if(!err != (problems.len == 0), "problems and a table, or none of both");
	for (char *end; !err && *line; line = *end ? end + 1 : end) {
		end = line + strcspn(line, "\n");
		check_reply(t, line, (size_t)(end - line));
	}
	mail_classes_free(t);
	str_done(&problems);
	free(text);
	return 0;
}
