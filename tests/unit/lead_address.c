/*
 * Canonical addresses, suppression patterns, persons and keys.
 */
#include "coldmail/lead.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/err.h"

static const uint8_t secret[32] = "not a secret, only for the tests";

/* WANT: the canonical form; or WHY: a part of the reason why there is none. */
struct example {
	const char *raw, *want, *why;
};

typedef int canonical_fn(const char *raw, char **ret, const char **ret_why);

static void expect(canonical_fn *canonical, const struct example *e)
{
	char *got = NULL;
	const char *why = NULL;
	int rc = canonical(e->raw, &got, &why);

	if (e->why) {
		ck_assert_msg(rc == CM_EINVAL && !got, "%s: accepted as %s", e->raw, got);
		ck_assert_msg(why && strstr(why, e->why), "%s: %s", e->raw, why);
		return;
	}
	ck_assert_msg(rc == 0, "%s: %s", e->raw, why);
	ck_assert_ptr_null(why);
	ck_assert_str_eq(got, e->want);

	char *again = NULL;
	ck_assert_int_eq(canonical(got, &again, &why), 0);
	ck_assert_str_eq(again, got);
	free(again);
	free(got);
}

static const struct example one_form[] = {
	{ "bob@x.com", "bob@x.com" },
	{ "Bob@X.com", "bob@x.com" },
	{ " \tbob@x.com\r\n", "bob@x.com" },
	{ "BOB+tag@Sub.X.COM.", "bob+tag@sub.x.com" },
	{ "Bob Builder <Bob@x.com>", "bob@x.com" },
	{ "\"Builder, Bob <chief>\" <bob@x.com>", "bob@x.com" },
	{ "<bob@x.com>", "bob@x.com" },
	{ "mailto:bob@x.com", "bob@x.com" },
	{ "<MAILTO:bob@x.com?subject=Hi&body=a@b>", "bob@x.com" },
	{ "\"bob\"@x.com", "bob@x.com" },
	{ "\"b\\ob\"@x.com", "bob@x.com" },
	{ "\"Bob.Builder\"@x.com", "bob.builder@x.com" },
	{ "\"bob builder\"@x.com", "\"bob builder\"@x.com" },
	{ "\"bob..b\"@x.com", "\"bob..b\"@x.com" },
	{ "\"a\\\"b\\\\c@d<e>\"@x.com", "\"a\\\"b\\\\c@d<e>\"@x.com" },
	{ "!#$%&'*+-/=?^_`{|}~@x.com", "!#$%&'*+-/=?^_`{|}~@x.com" },
	{ "o'neil@x.com", "o'neil@x.com" },
	{ "bob@Bücher.de", "bob@xn--bcher-kva.de" },
	{ "bob@xn--bcher-kva.de", "bob@xn--bcher-kva.de" },
	{ "bob@XN--BCHER-KVA.DE", "bob@xn--bcher-kva.de" },
	{ "bob@bu\xCC\x88"
	  "cher.de",
		"bob@xn--bcher-kva.de" },
	{ "bob@straße.de", "bob@xn--strae-oqa.de" },
	{ "bob@例え.テスト。", "bob@xn--r8jz45g.xn--zckzah" },
	{ "bob@r3---sn.x.com", "bob@r3---sn.x.com" },
	{ "bob@1.2.3.x4", "bob@1.2.3.x4" },
	{ "b@0x.io", "b@0x.io" },
};

START_TEST(case_04_an_address_has_one_form)
{
	expect(lead_address_canonical, &one_form[_i]);
}
END_TEST

static const struct example refused[] = {
	{ "", .why = "no address" },
	{ " \n", .why = "no address" },
	{ NULL, .why = "no address" },
	{ "null", .why = "without @" },
	{ "@x.com", .why = "nothing before" },
	{ "\"\"@x.com", .why = "nothing before" },
	{ "bob@", .why = "no domain" },
	{ "bob@.", .why = "no domain" },
	{ "bob@com", .why = "without a dot" },
	{ "bob@.com", .why = "empty part" },
	{ "bob@x..com", .why = "empty part" },
	{ "bob@x.com..", .why = "empty part" },
	{ "bob@-x.com", .why = "hyphen" },
	{ "bob@x-.com", .why = "hyphen" },
	{ "bob@a_b.com", .why = "not allowed in a domain" },
	{ "bob@x .com", .why = "not allowed in a domain" },
	{ "bob@[192.0.2.1]", .why = "IP address" },
	{ "bob@[IPv6:::1]", .why = "IP address" },
	{ "bob@192.0.2.1", .why = "IP address" },
	{ "bob@xn--a.com", .why = "IDNA" },
	{ "bob@a☃_ü.com", .why = "" },
	{ "a b@x.com", .why = "white space" },
	{ "bob @x.com", .why = "white space" },
	{ "bob@x.com, ann@x.com", .why = "more than one" },
	{ "bob@x.com;ann@x.com", .why = "more than one" },
	{ "bob@@x.com", .why = "more than one" },
	{ "<bob@x.com> <ann@x.com>", .why = "more than one" },
	{ "Bob <bob@x.com", .why = "without its >" },
	{ "Bob <bob@x.com> (work)", .why = "without its >" },
	{ "<>", .why = "without @" },
	{ "<", .why = "without its >" },
	{ ".bob@x.com", .why = "a dot" },
	{ "bob.@x.com", .why = "a dot" },
	{ "b..ob@x.com", .why = "a dot" },
	{ "bob(work)@x.com", .why = "not allowed before" },
	{ "\"bob@x.com", .why = "does not end" },
	{ "\"bob\"b@x.com", .why = "does not end" },
	{ "\"bob\\\"@x.com", .why = "does not end" },
	{ "böb@x.com", .why = "SMTPUTF8" },
	{ "\"böb\"@x.com", .why = "SMTPUTF8" },
	{ "b\xFF@x.com", .why = "UTF-8" },
	{ "bob@x.com\r\nRCPT TO:<ann@x.com>", .why = "control" },
	{ "bob\x01@x.com", .why = "control" },
	{ "\"bob\n\"@x.com", .why = "control" },
	{ "bob\x7F@x.com", .why = "control" },
};

START_TEST(no_address)
{
	expect(lead_address_canonical, &refused[_i]);
}
END_TEST

static char *repeated(char c, size_t n)
{
	char *s = calloc(n + 1, 1);

	memset(s, c, n);
	return s;
}

START_TEST(lengths)
{
	char *l64 = repeated('a', 64), *l63 = repeated('b', 63), *huge = repeated('a', 1000000);
	char raw[600];

	snprintf(raw, sizeof raw, "%s@%s.%s.%s", l64, l63, l63,
		"ccccccccccccccccccccccccccc."
		"dddddddddddddddddddddddddddddd.ee");
	ck_assert_uint_eq(strlen(raw), 254);
	expect(lead_address_canonical, &(struct example){ raw, raw });
	raw[254] = 'e';
	raw[255] = '\0';
	expect(lead_address_canonical, &(struct example){ raw, .why = "254" });
	snprintf(raw, sizeof raw, "%sa@x.com", l64);
	expect(lead_address_canonical, &(struct example){ raw, .why = "64" });
	snprintf(raw, sizeof raw, "a@%sb.com", l63);
	expect(lead_address_canonical, &(struct example){ raw, .why = "63" });
	snprintf(raw, sizeof raw, "a@%s.%s.%s.%s.com", l63, l63, l63, l63);
	expect(lead_address_canonical, &(struct example){ raw, .why = "253" });
	expect(lead_address_canonical, &(struct example){ huge, .why = "far too long" });
	free(l64);
	free(l63);
	free(huge);
}
END_TEST

START_TEST(domain_of)
{
	ck_assert_str_eq(lead_address_domain("bob@x.com"), "x.com");
	ck_assert_str_eq(lead_address_domain("\"a@b\"@x.com"), "x.com");
	ck_assert_str_eq(lead_address_domain("whatever is stored"), "");
}
END_TEST

static const struct example patterns[] = {
	{ " Bob@X.com ", "bob@x.com" },
	{ "*@X.com", "*@x.com" },
	{ "X.COM.", "x.com" },
	{ "bücher.de", "xn--bcher-kva.de" },
	{ "Person:0123456789ABCDEF0123456789abcdef", "person:0123456789abcdef0123456789abcdef" },
	{ "person:0123", .why = "32 hex digits" },
	{ "person:0123456789abcdef0123456789abcdeg", .why = "32 hex digits" },
	{ "", .why = "empty" },
	{ NULL, .why = "empty" },
	{ "gmail", .why = "without a dot" },
	{ "*.x.com", .why = "write the domain alone" },
	{ "*@*.x.com", .why = "write the domain alone" },
	{ "@x.com", .why = "nothing before" },
	{ "*@", .why = "no domain" },
	{ "x.com\n", "x.com" },
	{ "x\n.com", .why = "not allowed" },
	{ "\xFF.com", .why = "UTF-8" },
};

START_TEST(pattern_forms)
{
	expect(lead_pattern_canonical, &patterns[_i]);
}
END_TEST

START_TEST(pattern_covers)
{
	static const struct {
		const char *pattern, *address;
		bool is_covered;
	} t[] = {
		{ "bob@x.com", "bob@x.com", true },
		{ "bob@x.com", "rob@x.com", false },
		{ "*@x.com", "bob@x.com", true },
		{ "*@x.com", "bob@sub.x.com", false },
		{ "x.com", "bob@x.com", true },
		{ "x.com", "bob@a.b.x.com", true },
		{ "x.com", "bob@box.com", false },
		{ "a.x.com", "bob@x.com", false },
		{ "", "bob@x.com", false },
		{ "person:0123456789abcdef0123456789abcdef", "bob@x.com", true },
		{ "person:1123456789abcdef0123456789abcdef", "bob@x.com", false },
	};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		ck_assert_msg(lead_pattern_covers(t[i].pattern, t[i].address,
				      "0123456789abcdef0123456789abcdef") == t[i].is_covered,
			"%s and %s", t[i].pattern, t[i].address);
}
END_TEST

/* What a store looks up is exactly what covers. */
START_TEST(patterns_of_an_address_all_cover_it)
{
	struct mem_arena a = { 0 };
	const char *v[LEAD_PATTERNS_MAX];
	char person[LEAD_PERSON];

	lead_person(secret, "bob@a.b.x.com", person);
	size_t n = lead_patterns_of(&a, "bob@a.b.x.com", person, v, LEAD_PATTERNS_MAX);
	ck_assert_uint_eq(n, 6);
	ck_assert_str_eq(v[0], "bob@a.b.x.com");
	ck_assert(str_starts(v[1], "person:"));
	ck_assert_str_eq(v[2], "*@a.b.x.com");
	ck_assert_str_eq(v[3], "a.b.x.com");
	ck_assert_str_eq(v[4], "b.x.com");
	ck_assert_str_eq(v[5], "x.com");
	for (size_t i = 0; i < n; i++)
		ck_assert(lead_pattern_covers(v[i], "bob@a.b.x.com", person));
	mem_arena_done(&a);
}
END_TEST

/* Of a domain also *@domain, which holds for a part of it; of a person nothing but itself. */
START_TEST(patterns_of_a_pattern)
{
	static const char person[] = "person:0123456789abcdef0123456789abcdef";
	static const char *const want[][4] = {
		{ "b.x.com", "*@b.x.com", "b.x.com", "x.com" },
		{ "*@b.x.com", "*@b.x.com", "b.x.com", "x.com" },
		{ person, person },
	};
	const char *v[LEAD_PATTERNS_MAX];

	for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
		struct mem_arena a = { 0 };
		size_t n = lead_patterns_of(&a, want[k][0], NULL, v, LEAD_PATTERNS_MAX);

		ck_assert_uint_eq(n, want[k][2] ? 3 : 1);
		for (size_t i = 0; i < n; i++)
			ck_assert_str_eq(v[i], want[k][i + 1]);
		mem_arena_done(&a);
	}
}
END_TEST

/* "*" is a local part, too: whoever has it may opt out by a link. */
START_TEST(patterns_of_an_odd_address)
{
	struct mem_arena a = { 0 };
	const char *v[LEAD_PATTERNS_MAX];

	ck_assert_uint_eq(lead_patterns_of(&a, "*@x.com", "ab", v, LEAD_PATTERNS_MAX), 4);
	ck_assert_str_eq(v[1], "person:ab");
	mem_arena_done(&a);
}
END_TEST

START_TEST(patterns_of_the_longest_domain)
{
	struct mem_arena a = { 0 };
	const char *v[LEAD_PATTERNS_MAX];
	char address[300] = "a@";

	for (size_t i = 0; i < 126; i++)
		memcpy(address + 2 + 2 * i, "b.", 2);
	address[2 + 2 * 126] = 'c';
	ck_assert_uint_eq(lead_patterns_of(&a, address, "", v, LEAD_PATTERNS_MAX), 129);
	mem_arena_done(&a);
}
END_TEST

START_TEST(case_03_a_person_is_one_whatever_the_record_says)
{
	char p[LEAD_PERSON], q[LEAD_PERSON];
	uint8_t other[32] = { 1 };
	char *one = NULL, *two = NULL;
	const char *why;

	ck_assert_int_eq(lead_address_canonical("Bob@X.com", &one, &why), 0);
	ck_assert_int_eq(lead_address_canonical("<bob@x.com.>", &two, &why), 0);
	lead_person(secret, one, p);
	lead_person(secret, two, q);
	ck_assert_str_eq(p, q);
	ck_assert_uint_eq(strlen(p), 32);
	lead_person(other, one, q);
	ck_assert_str_ne(p, q);
	/* From another program: openssl dgst -sha256 -hmac "$secret", the first half. */
	ck_assert_str_eq(p, "d12043394b73ec40360a3cc222d77aa2");
	free(one);
	free(two);

	char *key = lead_key("founders", "p", "intro");
	ck_assert_str_eq(key, "founders/p/intro");
	free(key);
}
END_TEST

/* Random bytes: no crash, and whatever is accepted is canonical and safe to write into a dialogue. */
START_TEST(random_bytes)
{
	static const char alphabet[] = "ab@.<>\" \\,-_[]\r\n\x01\xC3\xBC\xFF:*x";
	unsigned seed = 7;

	for (int round = 0; round < 200000; round++) {
		char raw[24], *got = NULL;
		const char *why = NULL;
		size_t n = (seed = seed * 1103515245 + 12345) >> 16 & 15;

		for (size_t i = 0; i < n; i++)
			raw[i] = alphabet[((seed = seed * 1103515245 + 12345) >> 16) %
					  (sizeof alphabet - 1)];
		raw[n] = '\0';
		if (lead_address_canonical(raw, &got, &why))
			continue;
		for (const char *c = got; *c; c++)
			ck_assert(*c >= 0x20 && *c < 0x7F);
		expect(lead_address_canonical, &(struct example){ raw, got });
		free(got);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lead_address");
	TCase *t = tcase_create("all");
	SRunner *runner = srunner_create(s);
	int n_failed;

	tcase_add_loop_test(
		t, case_04_an_address_has_one_form, 0, sizeof one_form / sizeof *one_form);
	tcase_add_loop_test(t, no_address, 0, sizeof refused / sizeof *refused);
	tcase_add_test(t, lengths);
	tcase_add_test(t, domain_of);
	tcase_add_loop_test(t, pattern_forms, 0, sizeof patterns / sizeof *patterns);
	tcase_add_test(t, pattern_covers);
	tcase_add_test(t, patterns_of_an_address_all_cover_it);
	tcase_add_test(t, patterns_of_a_pattern);
	tcase_add_test(t, patterns_of_an_odd_address);
	tcase_add_test(t, patterns_of_the_longest_domain);
	tcase_add_test(t, case_03_a_person_is_one_whatever_the_record_says);
	tcase_add_test(t, random_bytes);
	suite_add_tcase(s, t);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? 1 : 0;
}
