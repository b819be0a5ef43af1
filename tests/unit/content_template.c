/*
 * Templates: what is refused at parsing, what is held at rendering, and what a mail reads like.
 */
#include "coldmail/content.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"

static struct lead_var ada_vars[] = { { "first_name", "ada" }, { "company", "Acme  Ltd " },
	{ "city", "null" }, { "plan", "a {b} c" }, { "empty", "" }, { "blank", "\xC2\xA0\x01" },
	{ "evil", "x\r\nBcc: y@z.com\r\n\r\nbody" }, { "placeholder", "{{company}}" },
	{ "latin1", "K\xF6ln" }, { "encoded", "=?utf-8?q?a=0D=0ABcc:y@z?=" },
	{ "bidi", "a\xE2\x80\xAE"
		  "b\xE2\x80\xA8"
		  "c" } };
static const struct lead ada = {
	.email = "ada@x.com", .vars = ada_vars, .n_vars = sizeof ada_vars / sizeof *ada_vars
};

static struct content_template *parsed(const char *text, bool same_thread)
{
	struct content_template *t = NULL;
	char *problem = NULL;
	int rc = content_template_parse(text, "t.tmpl", same_thread, &t, &problem);

	ck_assert_msg(rc == 0, "%s", problem);
	ck_assert_ptr_null(problem);
	return t;
}

/* ---- parsing ---------------------------------------------------------------------------------- */

static const struct {
	const char *text;
	bool same_thread;
	const char *problem;
} mistakes[] = {
	{ "", false, "t.tmpl:1: the first line is not a Subject, expected 'Subject: …'" },
	{ "Hi\n", false, "t.tmpl:1: the first line is not a Subject" },
	{ "Subject: a\nFrom: x\n\nbody", false,
		"t.tmpl:2: From: x, expected an empty line between Subject and body" },
	{ "Subject: a\nSubject: b\n\nbody", false, "t.tmpl:2: a second Subject, expected one" },
	{ "Subject:  \n\nbody", false, "t.tmpl:1: an empty Subject" },
	{ "Subject: a", false, "t.tmpl:3: no body" },
	{ "Subject: a\n\n \n\t\n", false, "t.tmpl:3: no body" },
	{ "\n \n", true, "t.tmpl:1: no body" },
	{ "Subject: a\n\nbody", true, "t.tmpl:1: a Subject, expected none" },
	{ "Subject: a\n\nline\nHi {{first_name,\n", false, "t.tmpl:4: {{ without its }}" },
	{ "Subject: a\n\nHi {{first_name\n}}", false, "t.tmpl:3: {{ without its }}" },
	{ "Subject: a\n\nHi {{first_name", false, "t.tmpl:3: {{ without its }}" },
	{ "Subject: a\n\nHi {{first_name}", false, "t.tmpl:3: {{ without its }}" },
	{ "Subject: a\n\nHi {{{first_name}}}", false, "t.tmpl:3: {{ without its }}" },
	{ "Subject: a\n\nHi {{a|{{b}}}}", false, "t.tmpl:3: {{ without its }}" },
	{ "Subject: a\n\nHi {first_name}},", false,
		"t.tmpl:3: a field in single braces, expected "
		"{{first_name}}" },
	{ "Subject: a\n\nHi you}},", false, "t.tmpl:3: }} without its {{" },
	{ "Subject: a\n\nHi {{}}", false, "t.tmpl:3: {{}}: not a field" },
	{ "Subject: a\n\nHi {{|there}}", false, "t.tmpl:3: {{|there}}: not a field" },
	{ "Subject: a\n\nHi {{first name}}", false, "t.tmpl:3: {{first name}}: not a field" },
	{ "Subject: a\n\nHi {{first-name}}", false, "t.tmpl:3: {{first-name}}: not a field" },
	{ "Subject: a\n\n{{if x}}", false, "t.tmpl:3: {{if x}}: not a field" },
	{ "Subject: a\n\n{{#unless x}}", false, "t.tmpl:3: {{#unless x}} is not known" },
	{ "Subject: a\n\n{{#iffy}}", false, "t.tmpl:3: {{#iffy}} is not known" },
	{ "Subject: a\n\n{{/each}}", false, "t.tmpl:3: {{/each}} is not known" },
	{ "Subject: a\n\n{{#if}}", false, "t.tmpl:3: {{#if}}: not a field" },
	{ "Subject: a\n\n{{#if a b}}", false, "t.tmpl:3: {{#if a b}}: not a field" },
	{ "Subject: a\n\nx\n{{else}}", false, "t.tmpl:4: {{else}} without its {{#if}}" },
	{ "Subject: a\n\nx\n{{/if}}", false, "t.tmpl:4: {{/if}} without its {{#if}}" },
	{ "Subject: a\n\n{{#if a}}{{else}}{{else}}{{/if}}", false, "t.tmpl:3: {{else}} without" },
	{ "Subject: a\n\nx\n{{#if a}}\nb\n\n", false, "t.tmpl:4: {{#if}} without its {{/if}}" },
	{ "Subject: {{#if a}}\n\nx{{/if}}", false, "t.tmpl:1: {{#if}} without its {{/if}}" },
	{ "Subject: a\n\n{{#if a}}{{#if a}}{{#if a}}{{#if a}}{{#if a}}{{#if a}}{{#if a}}{{#if a}}\n"
	  "{{#if b}}",
		false, "t.tmpl:4: {{#if b}}: more than 8" },
	{ "Subject: a\n\nx\nK\xF6ln", false, "t.tmpl:4: not UTF-8" },
	{ "Subject: a\r\n\r\nx\r\ny\x01", false, "t.tmpl:4: a control character" },
};

START_TEST(a_mistake_is_named_with_its_line)
{
	struct content_template *t = NULL;
	char *problem = NULL;
	int rc = content_template_parse(
		mistakes[_i].text, "t.tmpl", mistakes[_i].same_thread, &t, &problem);

	ck_assert_int_eq(rc, CM_EINVAL);
	ck_assert_ptr_null(t);
	ck_assert_msg(str_starts(problem, mistakes[_i].problem), "%s\nwanted: %s", problem,
		mistakes[_i].problem);
	free(problem);
}
END_TEST

START_TEST(hash_tells_templates_apart)
{
	struct content_template *a = parsed("Subject: a\n\nbody\n", false),
				*b = parsed("\xEF\xBB\xBF"
					    "Subject: a\r\n\r\nbody\r\n",
					false),
				*c = parsed("Subject: a\n\nbody!\n", false),
				*d = parsed("body\n", true);

	ck_assert_uint_eq(strlen(content_template_hash(a)), 64);
	ck_assert_str_eq(content_template_hash(a), content_template_hash(b));
	ck_assert_str_ne(content_template_hash(a), content_template_hash(c));
	ck_assert_str_ne(content_template_hash(c), content_template_hash(d));
	content_template_free(a);
	content_template_free(b);
	content_template_free(c);
	content_template_free(d);
	content_template_free(NULL);
}
END_TEST

/* ---- rendering -------------------------------------------------------------------------------- */

static const struct {
	const char *text, *subject, *body;
} mails[] = {
	{ "Subject: Hello {{company}}\n\nHi {{first_name|there}},\n\nbye\n", "Hello Acme Ltd",
		"Hi Ada,\n\nbye\n" },
	{ "subject:a\n\nb", "a", "b\n" },
	{ "Subject: a\r\n\r\nHi {{ First_Name | you }}\r\n\r\n\r\n", "a", "Hi Ada\n" },
	{ "Subject: {{city|}} news {{last_name|}}\n\nx", "news", "x\n" },
	{ "Subject: a\n\nin {{city|your city}}.", "a", "in your city.\n" },
	{ "Subject: a\n\nto {{city|}} you", "a", "to you\n" },
	{ "Subject: a\n\nto{{city|}} you", "a", "to you\n" },
	{ "Subject: a\n\n{{plan}} {x y} { }", "a", "a {b} c {x y} { }\n" },
	{ "Subject: a\n\n{{#if company}}At {{company}}{{else}}You{{/if}}: x", "a",
		"At Acme Ltd: x\n" },
	{ "Subject: a\n\n{{#if city}}In {{city}}{{else}}You{{/if}}: x", "a", "You: x\n" },
	{ "Subject: a\n\nHi{{#if city}} {{city}}{{/if}}, x", "a", "Hi, x\n" },
	{ "Subject: a\n\n{{#if city}}{{needed}}{{/if}}x", "a", "x\n" },
	{ "Subject: a\n\n{{#if company}}1{{#if city}}2{{else}}3{{/if}}4{{else}}5{{/if}}6", "a",
		"1346\n" },
	{ "Subject: a\n\n{{#if city}}1{{#if company}}2{{else}}3{{/if}}4{{else}}5{{/if}}6", "a",
		"56\n" },
	{ "Subject: a\n\n{{#if blank}}1{{else}}2{{/if}}{{#if empty}}3{{/if}}", "a", "2\n" },
	{ "Subject: {{#if city}}x{{else}}y{{/if}}\n\nb", "y", "b\n" },
	/* a conditional alone on its line leaves no line behind */
	{ "Subject: a\n\none\n{{#if company}}\ntwo\n{{else}}\nthree\n{{/if}}\nfour\n", "a",
		"one\ntwo\nfour\n" },
	{ "Subject: a\n\none\n  {{#if city}}  \ntwo\n\t{{/if}}\nfour\n", "a", "one\nfour\n" },
	{ "Subject: a\n\none\n\n{{#if city}}\ntwo\n{{/if}}\n\n\nfour\n{{#if company}}\n{{/if}}",
		"a", "one\n\nfour\n" },
	{ "Subject: Bonjour !\n\nBonjour{{#if city}} {{city}}{{/if}} !", "Bonjour !",
		"Bonjour !\n" },
	/* no value brings a line of its own */
	{ "Subject: {{evil}}\n\n{{evil}}", "x Bcc: y@z.com body", "x Bcc: y@z.com body\n" },
	{ "Subject: {{encoded}}\n\n{{bidi}}", "=?utf-8?q?a=0D=0ABcc:y@z?=", "a b c\n" },
	{ "Subject: a\n\n{{email}}", "a", "ada@x.com\n" },
	{ "Subject: a\tb\n\nc\td", "a b", "c\td\n" },
};

START_TEST(reads_like)
{
	struct content_template *t = parsed(mails[_i].text, false);
	struct mem_arena a = { 0 };
	struct content_text text = { 0 };
	const char *why = NULL;
	int rc = content_template_render(t, &ada, &a, &text, &why);

	ck_assert_msg(rc == 0, "%s", why);
	ck_assert_str_eq(text.subject, mails[_i].subject);
	ck_assert_str_eq(text.body, mails[_i].body);
	mem_arena_done(&a);
	content_template_free(t);
}
END_TEST

START_TEST(an_answer_has_no_subject)
{
	struct content_template *t = parsed("\nSubject matter: {{company}}\n", true);
	struct mem_arena a = { 0 };
	struct content_text text = { 0 };
	const char *why = NULL;

	ck_assert_int_eq(content_template_render(t, &ada, &a, &text, &why), 0);
	ck_assert_ptr_null(text.subject);
	ck_assert_str_eq(text.body, "Subject matter: Acme Ltd\n");
	mem_arena_done(&a);
	content_template_free(t);
}
END_TEST

static const struct {
	const char *text, *why;
} holds[] = {
	{ "Subject: a\n\nHi {{last_name}}", "field last_name is missing" },
	{ "Subject: {{last_name}}\n\nHi", "field last_name is missing" },
	{ "Subject: a\n\nHi {{city}}", "field city is missing" },
	{ "Subject: a\n\nHi {{blank}}", "field blank is empty" },
	{ "Subject: a\n\nHi {{latin1|x}}", "field latin1 is not UTF-8" },
	{ "Subject: a\n\nHi {{placeholder|x}}", "field placeholder holds a placeholder" },
	{ "Subject: a\n\n{{#if placeholder}}x{{/if}}y", "field placeholder holds a placeholder" },
	{ "Subject: {{city|}}\n\nHi", "the subject is empty" },
	{ "Subject: a\n\n{{#if city}}x{{/if}}\n", "the mail is empty" },
	{ "Subject: a\n\nHi {{city|}},", "the mail would read \"Hi ,\"" },
	{ "Subject: a\n\nHi {{#if city}}{{city}}{{/if}}, x", "the mail would read \"Hi ,\"" },
	{ "Subject: a\n\nx\n{{city|}}, x", "the mail would read \",\"" },
	{ "Subject: Hi {{city|}}!\n\nx", "the mail would read \"Hi !\"" },
	{ "Subject: a\n\nHi {{city|}} {{last_name|}}.", "the mail would read \"Hi .\"" },
};

START_TEST(case_61_no_mail_begins_with_hi_comma)
{
	struct content_template *t = parsed(holds[_i].text, false);
	struct mem_arena a = { 0 };
	struct content_text text = { 0 };
	const char *why = NULL;

	ck_assert_int_eq(content_template_render(t, &ada, &a, &text, &why), CM_EINVAL);
	ck_assert_ptr_null(text.body);
	ck_assert_msg(str_starts(why, holds[_i].why), "%s\nwanted: %s", why, holds[_i].why);
	mem_arena_done(&a);
	content_template_free(t);
}
END_TEST

START_TEST(case_61_hi_in)
{
	struct lead_var vars[] = { { "first_name", "in" }, { "company", "Acme" } };
	struct lead l = { .email = "x@y.com", .vars = vars, .n_vars = 2 };
	struct content_template *with = parsed("Subject: a\n\nHi {{first_name|there}},", false),
				*without = parsed("Subject: a\n\nHi {{first_name}},", false);
	struct mem_arena a = { 0 };
	struct content_text text = { 0 };
	const char *why = NULL;

	ck_assert_int_eq(content_template_render(with, &l, &a, &text, &why), 0);
	ck_assert_str_eq(text.body, "Hi there,\n");
	ck_assert_int_eq(content_template_render(without, &l, &a, &text, &why), CM_EINVAL);
	ck_assert(str_starts(why, "field first_name does not look like a first name"));
	mem_arena_done(&a);
	content_template_free(with);
	content_template_free(without);
}
END_TEST

START_TEST(case_01_a_value_of_a_megabyte_holds_one_lead)
{
	char *huge = malloc(1000001);
	struct content_template *t = parsed("Subject: a\n\n{{company|x}}", false);
	struct mem_arena a = { 0 };
	struct content_text text = { 0 };
	const char *why = NULL;

	memset(huge, 'a', 1000000);
	huge[1000000] = '\0';
	struct lead_var vars[] = { { "company", huge } };
	struct lead l = { .email = "x@y.com", .vars = vars, .n_vars = 1 };

	ck_assert_int_eq(content_template_render(t, &l, &a, &text, &why), CM_EINVAL);
	ck_assert_str_eq(why, "field company is longer than 1000 bytes: correct it");
	mem_arena_done(&a);
	content_template_free(t);
	free(huge);
}
END_TEST

static const char fast_text[] =
	"Subject: Question about {{company|your team}}\n\nHi {{first_name|there}},\n\n"
	"{{#if city}}\nI am often in {{city}}.\n{{else}}\nWe have not met.\n{{/if}}\n\n"
	"Would a few minutes next week suit you at {{company|your place}}?\n\nAli\n";

/* What one costs is printed, for people. */
START_TEST(rendering_many_times)
{
	struct content_template *t = parsed(fast_text, false);
	const int rounds = 20000;
	int64_t start = clock_raw_us();

	for (int i = 0; i < rounds; i++) {
		struct mem_arena a = { 0 };
		struct content_text text;
		const char *why;

		ck_assert_int_eq(content_template_render(t, &ada, &a, &text, &why), 0);
		mem_arena_done(&a);
	}
	int64_t us = clock_raw_us() - start;
	printf("render: %.2f us\n", (double)us / rounds);
	content_template_free(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("content_template");
	TCase *t = tcase_create("all");
	SRunner *runner = srunner_create(s);
	int n_failed;

	tcase_add_loop_test(
		t, a_mistake_is_named_with_its_line, 0, sizeof mistakes / sizeof *mistakes);
	tcase_add_test(t, hash_tells_templates_apart);
	tcase_add_loop_test(t, reads_like, 0, sizeof mails / sizeof *mails);
	tcase_add_test(t, an_answer_has_no_subject);
	tcase_add_loop_test(
		t, case_61_no_mail_begins_with_hi_comma, 0, sizeof holds / sizeof *holds);
	tcase_add_test(t, case_61_hi_in);
	tcase_add_test(t, case_01_a_value_of_a_megabyte_holds_one_lead);
	tcase_add_test(t, rendering_many_times);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? 1 : 0;
}
