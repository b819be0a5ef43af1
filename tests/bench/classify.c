/*
 * How long the classification of one reply takes: over the replies of a file (tests/data), and for
 * texts of 512 bytes made to be the worst. Prints "replies US worst US" in microseconds.
 */
#include <stdio.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/mail.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#define ROUNDS      20
#define EACH        500 /* replies a round */
#define REPLIES_MAX 2000
#define TEXT        512

/* The best round, so that what else the machine does is not counted. */
static double one(struct mail_classes *t, char *const *texts, size_t n)
{
	double best = 1e9;

	for (size_t k = 0; k < ROUNDS; k++) {
		int64_t start = clock_raw_us();

		for (size_t i = 0; i < EACH; i++)
			mail_classify(
				t, MAIL_WHERE_SUBMISSION, MAIL_STAGE_RCPT, 550, "", texts[i % n]);
		double us = (double)(clock_raw_us() - start) / EACH;
		best = us < best ? us : best;
	}
	return best;
}

static double worst(struct mail_classes *t)
{
	static const char *const made_of[] = { "a ", "user ", "mailbox ", "unknown user ", "aB",
		"no such recipient address @a ", "recipient account sending is blocked ",
		"sender message not accepted ", "does not exist ", "x.y ", "user mailbox account ",
		"your account sending limit reached ", "用户邮箱不存在",
		"192.0.2.1 blocked sender ip ", "пользователь не найден " };
	double most = 0;

	for (size_t i = 0; i < sizeof made_of / sizeof *made_of; i++) {
		char text[TEXT], *texts[] = { text };

		for (size_t n = 0; n + 1 < sizeof text; n++)
			text[n] = made_of[i][n % strlen(made_of[i])];
		text[sizeof text - 1] = '\0';
		double us = one(t, texts, 1);
		most = us > most ? us : most;
	}
	return most;
}

int main(int argc, char **argv)
{
	char line[4096], *texts[REPLIES_MAX];
	struct str problems = STR_INIT;
	struct mail_classes *t;
	size_t n = 0;
	FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;

	if (!f || mail_classes_new("", NULL, &t, &problems))
		return 1;
	while (n < REPLIES_MAX && fgets(line, sizeof line, f)) {
		char *tab = strrchr(line, '\t'), *reply;

		if (*line == '#' || !tab)
			continue;
		*tab = '\0';
		reply = strrchr(line, '\t');
		texts[n++] = xstrdup(reply ? reply + 1 : line);
	}
	fclose(f);
	printf("replies %.1f worst %.1f\n", one(t, texts, n), worst(t));
	while (n)
		free(texts[--n]);
	mail_classes_free(t);
	return 0;
}
