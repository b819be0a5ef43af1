/*
 * What replies say about whom: real texts with the class that a person gave them (tests/data), how a
 * text is read as words, the language of the table and its errors.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/err.h"
#include "coldmail/str.h"
#include "mail/class_private.h"
#include "mail/smtp_private.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct mail_classes *table(const char *rows)
{
	struct str problems = STR_INIT;
	struct mail_classes *t = NULL;
	int err = mail_classes_new("rows.tsv", rows, &t, &problems);

	ck_assert_msg(!err, "%s", str_z(&problems));
	str_done(&problems);
	return t;
}

/* REPLY as a server would send it, in the dialogue at the stage of that name ("dsn": in a bounce). */
static enum mail_class judge(struct mail_classes *t, const char *stage, const char *reply)
{
	static const enum mail_stage stages[] = {
#define X(name, text) MAIL_STAGE_##name,
		MAIL_STAGES(X)
#undef X
	};
	enum mail_where where = str_eq(stage, "dsn") ? MAIL_WHERE_DSN : MAIL_WHERE_SUBMISSION;
	enum mail_stage at = MAIL_STAGE_DOT; /* "any" */
	struct mail_reply r = { 0 };

	for (size_t i = 0; i < COUNT(stages); i++)
		if (str_eq(mail_stage_name(stages[i]), stage))
			at = stages[i];
	ck_assert_int_eq(mail_reply_feed(&r, reply, strlen(reply)), MAIL_REPLY_DONE);
	return mail_classify(t, where, at, r.code, r.enhanced, r.text).class;
}

/* ---- real texts ------------------------------------------------------------------------------ */

struct score {
	size_t n, right, wrong_suppressions;
};

static void judge_line(struct mail_classes *t, char *line, struct score *score)
{
	char *rest = line, *class = strsep(&rest, "\t"), *stage = strsep(&rest, "\t");
	char *reply = strsep(&rest, "\t\n");
	const char *got = mail_class_name(judge(t, stage, reply));
	bool is_right = str_eq(got, class);

	score->n++;
	score->right += is_right;
	score->wrong_suppressions += !is_right && str_eq(got, "recipient-permanent");
	if (!is_right)
		fprintf(stderr, "%s, expected %s, at %s: %s\n", got, class, stage, reply);
}

static FILE *open_data(const char *name)
{
	const char *root = getenv("COLDMAIL_REPOSITORY");
	char path[4096];

	snprintf(path, sizeof path, "%s/tests/data/%s", root ? root : ".", name);
	FILE *f = fopen(path, "r");
	ck_assert_msg(f, "%s", path);
	return f;
}

static struct score judge_file(const char *name)
{
	char line[4096];
	struct mail_classes *t = table(NULL);
	struct score score = { 0 };
	FILE *f = open_data(name);

	while (fgets(line, sizeof line, f))
		if (*line != '#' && *line != '\n')
			judge_line(t, line, &score);
	fclose(f);
	mail_classes_free(t);
	fprintf(stderr, "%s: %zu of %zu\n", name, score.right, score.n);
	return score;
}

START_TEST(samples)
{
	struct score s = judge_file("replies_samples.tsv");

	ck_assert_uint_eq(s.n, 44);
	ck_assert_uint_eq(s.right, 44);
}
END_TEST

START_TEST(corpus)
{
	struct score s = judge_file("replies.tsv");

	ck_assert_uint_ge(s.n, 1400);
	ck_assert_uint_eq(s.wrong_suppressions, 0);
	ck_assert_uint_eq(s.right, s.n);
}
END_TEST

START_TEST(nobody_is_suppressed_without_proof)
{
	static const char *const stages[] = { "connect", "greet", "ehlo", "auth", "mail", "rcpt",
		"data", "dot", "dsn" };
	struct mail_classes *t = table(NULL);
	FILE *f = open_data("replies_no_proof.txt");
	char line[4096];
	size_t n = 0;

	while (fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = '\0';
		for (size_t i = 0; *line != '#' && i < COUNT(stages); i++, n++)
			ck_assert_msg(judge(t, stages[i], line) != MAIL_CLASS_RECIPIENT_PERMANENT,
				"at %s: %s", stages[i], line);
	}
	ck_assert_uint_ge(n, 90 * COUNT(stages));
	fclose(f);
	mail_classes_free(t);
}
END_TEST

/* ---- words ----------------------------------------------------------------------------------- */

START_TEST(words)
{
	static const struct {
		const char *text, *words; /* with '|' between sentences */
	} cases[] = {
		{ "", "" },
		{ "  User   UNKNOWN ", "user unknown" },
		{ "doesn't exist, user\xE2\x80\x99s mailbox", "doesnt exist users mailbox" },
		{ "L'utilisateur n'existe pas", "l utilisateur n existe pas" },
		{ "Empf\xC3\xA4nger gel\xC3\xB6scht, Stra\xC3\x9F"
		  "e",
			"empfanger geloscht strase" },
		{ "SendAsDenied; STOREDRV.Submission.Exception:X", "send as denied|storedrv "
								   "submission exception x" },
		{ "SMTPAuth needed. Try IPs", "smtp auth needed|try ips" },
		{ "<bob@spam.example>: blocked", "@ blocked" },
		{ "blocked using zen.spamhaus.org!", "blocked using /zen /spamhaus /org" },
		{ "see https://x.example/User?p=NoSuchUser now",
			"see|/https /x /example /user /p|no such user now" },
		{ "5.1.1 from 192.0.2.1", "5.1.1 from #" },
		{ "[192.0.2.1]: 1.2.3 or 1.2.3.4.5", "# 1.2.3 or 1.2.3.4.5" },
		{ "grey-listed e_mail", "grey listed e mail" },
		{ "\xFF\xFE \xD0\xBF", "\xFF\xFE \xD0\xBF" },
		{ "Нет ТАКОГО Ящика, учётная", "нет такого ящика учетная" },
		{ "用户不存在。xY満杯です", "用 户 不 存 在 x y 満 杯 で す" },
		{ "사용자 없음！\xE7\x94", "사 용 자 없 음 \xE7\x94" },
		{ "... @ ... '", "" },
	};
	struct mail_words w;

	mail_words_read(cases[_i].text, &w);
	for (char *lf = w.text; (lf = strchr(lf, '\n'));)
		*lf = '|';
	ck_assert_str_eq(w.text, cases[_i].words);
}
END_TEST
#define N_WORDS 18

/* However long, and whatever it is made of, it is cut at a word. */
START_TEST(many_words)
{
	char text[4096];
	struct mail_words w;

	for (size_t i = 0; i + 1 < sizeof text; i++)
		text[i] = i % 2 ? 'A' : 'b';
	text[sizeof text - 1] = '\0';
	mail_words_read(text, &w);
	ck_assert_uint_eq(w.n, MAIL_WORDS_MAX);
	ck_assert_uint_lt(strlen(w.text), sizeof w.text);
	ck_assert_uint_eq(w.sentence[w.n - 1], 0);
}
END_TEST

/* ---- the table ------------------------------------------------------------------------------- */

/* A user's rows decide before ours; among them the lowest priority, then the first. */
START_TEST(rows_of_a_user)
{
	static const struct {
		const char *rows, *reply;
		enum mail_class class;
	} cases[] = {
		{ "", "550 5.1.1 user unknown", MAIL_CLASS_RECIPIENT_PERMANENT },
		{ "1\tany\t5..\tuser unknown\tunknown\tx", "550 5.1.1 user unknown",
			MAIL_CLASS_UNKNOWN },
		{ "1\tany\t...\tblue elephant*\tgreylisted\tx", "550 no Blue Elephants here",
			MAIL_CLASS_GREYLISTED },
		{ "1\tany\t...\tblue ~ elephants\tgreylisted\tx", "450 blue or other elephants",
			MAIL_CLASS_GREYLISTED },
		/* nine words between, and two sentences */
		{ "1\tany\t...\tblue ~ pink\tgreylisted\tx", "450 blue 1 2 3 4 5 6 7 8 9 pink",
			MAIL_CLASS_SERVER_TRANSIENT },
		{ "1\tany\t...\tblue ~ pink\tgreylisted\tx", "450 blue. pink",
			MAIL_CLASS_SERVER_TRANSIENT },
		{ "1\tany\t...\tblue pink\tgreylisted\tx", "450 blue or pink",
			MAIL_CLASS_SERVER_TRANSIENT },
		{ "=beast\tcat|wild boar\n1\tany\t...\t{beast} ~ bites\tgreylisted\tx",
			"450 the wild boar at the door bites", MAIL_CLASS_GREYLISTED },
		{ "1\tany\t...\t{recipient} ~ sleeps\tgreylisted\tx", "450 le destinataire sleeps",
			MAIL_CLASS_GREYLISTED },
		{ "9\tany\t5..\tblue\tunknown\tx\n5\tany\t5..\tblue\tgreylisted\ty\n"
		  "5\tany\t5..\tblue\tauth-failed\tz",
			"550 blue", MAIL_CLASS_GREYLISTED },
		{ "1\tany\t...\t# ~ blue\tgreylisted\tx", "450 192.0.2.1 is blue",
			MAIL_CLASS_GREYLISTED },
		{ "1\tany\t...\t用户 ~ 蓝\tgreylisted\tx", "450 该用户是蓝色",
			MAIL_CLASS_GREYLISTED },
		{ "1\tmail,rcpt\t5..\tblue\tgreylisted\tx", "550 blue", MAIL_CLASS_UNKNOWN },
		{ "1\tdsn\t5..\tblue\tgreylisted\tx", "550 blue", MAIL_CLASS_UNKNOWN },
		{ "1\tsub\t4..|551\tblue\tgreylisted\tx", "550 blue", MAIL_CLASS_UNKNOWN },
		{ "1\tdot\tx.9.9x\t.\tgreylisted\tx", "550 5.9.97 blue", MAIL_CLASS_GREYLISTED },
		{ "1\tdot\t5.9.9\t.\tgreylisted\tx", "550 blue (#5.9.9)", MAIL_CLASS_GREYLISTED },
		{ "1\tdot\t...\t^550 5\\.9\\.[0-9] blue\tgreylisted\tx", "550 5.9.9 Blue",
			MAIL_CLASS_GREYLISTED },
	};
	struct mail_classes *t = table(cases[_i].rows);

	ck_assert_str_eq(mail_class_name(judge(t, "dot", cases[_i].reply)),
		mail_class_name(cases[_i].class));
	mail_classes_free(t);
}
END_TEST
#define N_ROWS 18

START_TEST(mistakes)
{
	static const struct {
		const char *rows, *problem;
	} cases[] = {
		{ "# fine\n1\tany\t...\tblue\tunknown",
			"rows.tsv:2: 5 fields, expected 6 with tabs" },
		{ "x\tany\t...\tblue\tunknown\tx", "rows.tsv:1: priority 'x': expected a number" },
		{ "1\tsomewhere\t...\tblue\tunknown\tx",
			"where 'somewhere': expected any, sub, dsn" },
		{ "1\tany\t55\tblue\tunknown\tx", "code '55': expected codes such as 550" },
		{ "1\tany\t...\tblue\tunkown\tx",
			"class 'unkown': expected one of recipient-permanent" },
		{ "1\tany\t...\t{beast}\tunknown\tx", "{beast}: expected a name that a line" },
		{ "1\tany\t...\tblue ~\tunknown\tx", "expected words on both sides" },
		{ "1\tany\t...\tblue||pink\tunknown\tx", "expected words on both sides" },
		{ "1\tany\t...\t-\tunknown\tx", "'-': expected words" },
		{ "1\tany\t...\t(blue\tunknown\tx", "expected words or a POSIX extended" },
		{ "=beast", "rows.tsv:1: expected =NAME, a tab, and phrases" },
		{ "1\n2", "rows.tsv:2: 1 fields" },
	};
	struct str problems = STR_INIT;
	struct mail_classes *t = NULL;

	ck_assert_int_eq(mail_classes_new("rows.tsv", cases[_i].rows, &t, &problems), CM_EINVAL);
	ck_assert_msg(strstr(str_z(&problems), cases[_i].problem), "%s", str_z(&problems));
	ck_assert_ptr_null(t);
	str_done(&problems);
}
END_TEST
#define N_MISTAKES 12

int main(void)
{
	Suite *s = suite_create("mail_classify");
	TCase *t = tcase_create("mail_classify");

	tcase_add_test(t, samples);
	tcase_add_test(t, corpus);
	tcase_add_test(t, nobody_is_suppressed_without_proof);
	tcase_add_loop_test(t, words, 0, N_WORDS);
	tcase_add_test(t, many_words);
	tcase_add_loop_test(t, rows_of_a_user, 0, N_ROWS);
	tcase_add_loop_test(t, mistakes, 0, N_MISTAKES);
	suite_add_tcase(s, t);
	SRunner *run = srunner_create(s);
	srunner_run_all(run, CK_NORMAL);
	int failed = srunner_ntests_failed(run);
	srunner_free(run);
	return failed != 0;
}
