/*
 * The reader of leads files.
 */
#include "coldmail/lead.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/clock.h"
#include "coldmail/err.h"

/* Every record as "LINE:value|value" or "LINE!error", one a line. */
static char *read_all(const char *data, size_t n)
{
	struct str out = STR_INIT;
	struct lead_reader *r = NULL;
	const struct lead_record *rec;
	size_t offset = 0;
	char *why = NULL;

	if (lead_reader_new(data, n, &r, &why)) {
		ck_assert_ptr_null(r);
		str_addf(&out, "header: %s", why);
		free(why);
		return str_take(&out);
	}
	ck_assert_ptr_null(why);
	while ((rec = lead_reader_next(r))) {
		ck_assert_uint_gt(lead_reader_offset(r), offset);
		offset = lead_reader_offset(r);
		str_addf(&out, "%d%s", (int)rec->line, rec->error ? "!" : ":");
		if (rec->error) {
			ck_assert_uint_eq(rec->n_vars, 0);
			str_adds(&out, rec->error);
		}
		for (size_t i = 0; i < rec->n_vars; i++)
			str_addf(&out, "%s%s", i ? "|" : "", rec->vars[i].value);
		str_addc(&out, '\n');
	}
	ck_assert_uint_eq(lead_reader_offset(r), n);
	lead_reader_free(r);
	return str_take(&out);
}

static void expect(const char *data, const char *want)
{
	char *got = read_all(data, strlen(data));

	ck_assert_str_eq(got, want);
	free(got);
}

static const struct {
	const char *data, *want;
} files[] = {
	{ "email,name\na@x.com,Ada\nb@x.com,Bob\n", "2:a@x.com|Ada\n3:b@x.com|Bob\n" },
	{ "E-Mail;,Name\na@x.com,Ada", "2:a@x.com|Ada\n" },
	{ "email,name\na@x.com,Ada", "2:a@x.com|Ada\n" },
	{ "\xEF\xBB\xBF"
	  "email\r\na@x.com\r\n\r\n  \r\nb@x.com",
		"2:a@x.com\n5:b@x.com\n" },
	{ "email\ra@x.com\rb@x.com\r", "2:a@x.com\n3:b@x.com\n" },
	{ "\n\nemail,\"name\"\n a@x.com , \" Ada \" \n", "4:a@x.com|Ada\n" },
	{ "email,note\na@x.com,\"say \"\"hi\"\", \r\nbob\"\nb@x.com,\n",
		"2:a@x.com|say \"hi\", \r\nbob\n4:b@x.com|\n" },
	{ "email,note\na@x.com,5\" wide\n", "2:a@x.com|5\" wide\n" },
	{ "email,note\na@x.com,\"\"\n", "2:a@x.com|\n" },
	{ "email,note\na@x.com,\"\"\"\"\n", "2:a@x.com|\"\n" },
	/* one bad record, and those around it */
	{ "email,note\na@x.com\nb@x.com,1,2\nc@x.com,3\n",
		"2!1 field, expected 2 as in the first line: those from note on are missing, and "
		"an "
		"empty one needs its comma, too\n"
		"3!3 fields, expected 2 as in the first line, the last being note: a value with a "
		"comma in it is put in double quotes\n4:c@x.com|3\n" },
	{ "email,note\na@x.com,\"open\nb@x.com,1\nc@x.com,2\n",
		"2!field note: a quote that is opened and never closed, expected another one at "
		"the end of the value\n3:b@x.com|1\n4:c@x.com|2\n" },
	{ "email,note\na@x.com,\"open\nb@x.com,\"x\"\nc@x.com,2\n",
		"2!field note: text behind a closing quote, expected a comma or the end of "
		"the "
		"line: inside of a quoted value a quote is written "
		"twice\n3:b@x.com|x\n4:c@x.com|2\n" },
	{ "email,note\na@x.com,\"x\" y\nb@x.com,1\n",
		"2!field note: text behind a closing quote, expected a comma or the end of "
		"the "
		"line: inside of a quoted value a quote is written twice\n3:b@x.com|1\n" },
	/* separators */
	{ "E-Mail;Name, first;Note\na@x.com;Ada;1,5, 2,5\nb@x.com;\"x;y\";\n",
		"2:a@x.com|Ada|1,5, 2,5\n3:b@x.com|x;y|\n" },
	{ "email\tname\t note \na@x.com\tAda, B\t\nb@x.com\t\t2\n",
		"2:a@x.com|Ada, B|\n3:b@x.com||2\n" },
	{ "email|name\na@x.com|A;B,C\n", "2:a@x.com|A;B,C\n" },
	{ "sep=;\r\nemail,1;name\r\na@x.com;Ada\r\n", "3:a@x.com|Ada\n" },
	{ "email,\"a;b;c\"\na@x.com,1\n", "2:a@x.com|1\n" },
	{ "email;name\n;\n ; \na@x.com;Ada\n\"\";\n", "4:a@x.com|Ada\n" },
	/* text in other encodings */
	{ "email,note\na@x.com,K\xF6ln\nb@x.com,1\n", "2:a@x.com|K\u00f6ln\n3:b@x.com|1\n" },
	{ "email,note\na@x.com,\x80 5 \x96 \x93"
	  "a\x94\n",
		"2:a@x.com|\u20ac 5 \u2013 \u201ca\u201d\n" },
	{ "email,n\xF6te\na@x.com,\xDF\n", "2:a@x.com|\u00df\n" },
	{ "email,note\na@x.com,K\xF6ln Z\xFCrich\nb@x.com,K\u00f6ln\n",
		"2:a@x.com|K\u00f6ln Z\u00fcrich\n3:b@x.com|K\u00f6ln\n" },
	{ "email,note\na@x.com,K\xF6ln\xFC\nb@x.com,\x81\nc@x.com,1\n",
		"2:a@x.com|K\u00f6ln\u00fc\n"
		"3!field note: neither UTF-8 nor Windows-1252 text, expected a file saved as "
		"CSV in UTF-8\n4:c@x.com|1\n" },
	{ "email,note\na@x.com,K\u00f6ln, Z\u00fcrich\nb@x.com,K\xF6ln\nc@x.com,\u00e4\u00f6\n",
		"2!3 fields, expected 2 as in the first line, the last being note: a value with a "
		"comma in it is put in double quotes\n"
		"3!field note: not UTF-8 text, expected a file saved as CSV in UTF-8\n"
		"4:c@x.com|\u00e4\u00f6\n" },
	{ "\xEF\xBB\xBF"
	  "email,note\na@x.com,K\xF6ln\nb@x.com,1\n",
		"2!field note: not UTF-8 text, expected a file saved as CSV in UTF-8\n"
		"3:b@x.com|1\n" },
	/* files without a usable header */
	{ "", "header: 1: an empty file, expected a first line that names the columns, such as "
	      "email,first_name" },
	{ "\n \n",
		"header: 1: an empty file, expected a first line that names the columns, such as "
		"email,first_name" },
	{ "a@x.com,Ada\n",
		"header: 1: field 1: an address, expected a first line that names the columns: put "
		"one there, such as email,first_name" },
	{ "\nemail,Name,name\n",
		"header: 2: two columns named name, expected each name once: rename one, or leave "
		"it out" },
	{ "email,\"name\n",
		"header: 1: field 2: a quote that is opened and never closed, expected another one "
		"at the end of the value" },
	{ "email,n\u00f6te \u00e4,x\xF6\n",
		"header: 1: field 3: not UTF-8 text, expected a file saved as CSV in UTF-8" },
	{ "PK\3\4 and so on",
		"header: 1: an Excel workbook or a zip archive, expected a file saved "
		"as CSV in UTF-8" },
	{ "\xD0\xCF\x11\xE0 and so on",
		"header: 1: an old Excel workbook, expected a file saved as CSV in UTF-8" },
	{ "%PDF-1.7", "header: 1: a PDF document, expected a file saved as CSV in UTF-8" },
};

START_TEST(reads)
{
	expect(files[_i].data, files[_i].want);
}
END_TEST

START_TEST(nul_bytes)
{
	static const char data[] = "email,note\na@x.com,b\0b\nb@x.com,1\n";
	char *got = read_all(data, sizeof data - 1);

	ck_assert_str_eq(got,
		"2!field note: a NUL byte, expected text: take it out, or save the file as CSV in "
		"UTF-8\n3:b@x.com|1\n");
	free(got);
}
END_TEST

START_TEST(column_names)
{
	static const char data[] = "\xEF\xBB\xBF E-Mail Address,Email,First Name, Company (short) "
				   ",,_id,Größe\n";
	static const char *const want[] = { "e_mail_address", "email", "first_name",
		"company_short", "column_5", "_id", "größe" };
	struct lead_reader *r = NULL;
	char *why = NULL;
	size_t n;

	ck_assert_int_eq(lead_reader_new(data, sizeof data - 1, &r, &why), 0);
	const char *const *columns = lead_reader_columns(r, &n);
	ck_assert_uint_eq(n, 7);
	for (size_t i = 0; i < n; i++)
		ck_assert_str_eq(columns[i], want[i]);
	ck_assert_ptr_null(lead_reader_next(r));
	lead_reader_free(r);
	lead_reader_free(NULL);
}
END_TEST

START_TEST(case_01_a_huge_field_is_one_bad_record)
{
	struct str s = STR_INIT;

	for (int quoted = 0; quoted < 2; quoted++) {
		str_reset(&s);
		str_adds(&s, quoted ? "email,note\na@x.com,\"" : "email,note\na@x.com,");
		for (int i = 0; i < 100000; i++)
			str_adds(&s, "0123456789");
		str_adds(&s, quoted ? "\"\nb@x.com,1\n" : "\nb@x.com,1\n");
		expect(str_z(&s),
			quoted ? "2!field note: a quoted value of more than 64 KB, expected "
				 "at most 64 KB: is its closing quote missing?\n"
				 "3:b@x.com|1\n"
			       : "2!field note: a value of more than 64 KB, expected at "
				 "most 64 KB: shorten it, or take it out\n"
				 "3:b@x.com|1\n");
	}
	str_done(&s);
}
END_TEST

START_TEST(a_field_of_64_kb_is_read)
{
	struct str s = STR_INIT;

	for (int over = 0; over < 2; over++) {
		str_reset(&s);
		str_adds(&s, "email\n\"");
		for (int i = 0; i < 64 * 1024 + over; i++)
			str_addc(&s, 'a');
		str_adds(&s, "\"\n");
		char *got = read_all(s.p, s.len);
		ck_assert_msg(strncmp(got, over ? "2!fie" : "2:aaa", 5) == 0, "%.40s", got);
		free(got);
	}
	str_done(&s);
}
END_TEST

START_TEST(many_columns)
{
	struct str s = STR_INIT;

	str_adds(&s, "email\na@x.com\n");
	for (int i = 0; i < 100000; i++)
		str_addc(&s, ',');
	str_adds(&s, "\nb@x.com\n");
	expect(str_z(&s), "2:a@x.com\n3!100001 fields, expected 1 as in the first line, the last "
			  "being email: a "
			  "value with a comma in it is put in double quotes\n4:b@x.com\n");
	expect(str_z(&s) + strlen("email\na@x.com\n"),
		"header: 1: 100001 columns, expected at most 500: leave some out");
	str_done(&s);
}
END_TEST

/* Time in proportion to the file, whatever is in it. */
START_TEST(a_hundred_thousand_records)
{
	static const char *const head[] = { "", "\"" };
	static const char *const tail[] = { "Ada,Lovelace,Engines,London,\"a, b\",https://x.com",
		"\"Ada\"" };

	for (size_t k = 0; k < 2; k++) {
		struct str s = STR_INIT;
		struct lead_reader *r = NULL;
		const struct lead_record *rec;
		char *why = NULL;
		int n = 0, n_bad = 0;

		str_adds(&s, "email,first_name,last_name,company,city,note,website\n");
		for (int i = 0; i < 100000; i++)
			str_addf(&s, "%sada%d@example.com,%s\n", head[k], i, tail[k]);
		int64_t start = clock_raw_us();
		ck_assert_int_eq(lead_reader_new(s.p, s.len, &r, &why), 0);
		while ((rec = lead_reader_next(r))) {
			n++;
			n_bad += rec->error != NULL;
		}
		int64_t us = clock_raw_us() - start;
		ck_assert_int_eq(n, 100000);
		ck_assert_int_eq(n_bad, k ? 100000 : 0);
		ck_assert_msg(us < 5 * 1000 * 1000, "%d ms", (int)(us / 1000));
		lead_reader_free(r);
		str_done(&s);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lead_csv");
	TCase *t = tcase_create("all");
	SRunner *runner = srunner_create(s);
	int n_failed;

	tcase_add_loop_test(t, reads, 0, sizeof files / sizeof *files);
	tcase_add_test(t, nul_bytes);
	tcase_add_test(t, column_names);
	tcase_add_test(t, case_01_a_huge_field_is_one_bad_record);
	tcase_add_test(t, a_field_of_64_kb_is_read);
	tcase_add_test(t, many_columns);
	tcase_add_test(t, a_hundred_thousand_records);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? 1 : 0;
}
