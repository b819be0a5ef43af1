/*
 * Files of leads of other kinds than plain CSV: UTF-16, gzip, JSON; from sources that give a byte at a
 * time, fail, or give more than anybody has memory for.
 */
#include "coldmail/lead.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uchar.h>
#include <zlib.h>

#include "coldmail/err.h"

/* ---- sources ------------------------------------------------------------------------------------ */

struct bytes {
	const char *data;
	size_t n, at, most; /* as many at a time */
	const char *fails; /* at the end; NULL: it ends well */
};

static ssize_t read_bytes(void *arg, char *buf, size_t n, const char **ret_why)
{
	struct bytes *b = arg;

	if (b->at == b->n && b->fails) {
		*ret_why = b->fails;
		return -1;
	}
	if (n > b->most)
		n = b->most;
	if (n > b->n - b->at)
		n = b->n - b->at;
	memcpy(buf, b->data + b->at, n);
	b->at += n;
	return (ssize_t)n;
}

/* Every record as "LINE:name=value|name=value" or "LINE!error", one a line; the trouble at the end. */
static char *read_source(struct bytes *b)
{
	const struct lead_source source = { read_bytes, b, NULL };
	struct str out = STR_INIT;
	struct lead_reader *r = NULL;
	const struct lead_record *rec;
	char *why = NULL;

	if (lead_reader_open(&source, &r, &why)) {
		str_addf(&out, "header: %s", why);
		free(why);
		return str_take(&out);
	}
	while ((rec = lead_reader_next(r))) {
		str_addf(&out, "%d%s%s", (int)rec->line, rec->error ? "!" : ":",
			rec->error ? rec->error : "");
		for (size_t i = 0; i < rec->n_vars; i++)
			str_addf(&out, "%s%s=%s", i ? "|" : "", rec->vars[i].name,
				rec->vars[i].value);
		if (rec->left_out)
			str_addf(&out, " without %s", rec->left_out);
		str_addc(&out, '\n');
	}
	if (lead_reader_trouble(r))
		str_addf(&out, "trouble: %s\n", lead_reader_trouble(r));
	lead_reader_free(r);
	return str_take(&out);
}

static void expect_bytes(const char *data, size_t n, const char *want)
{
	static const size_t pieces[] = { 1, 2, 3, 7, 1000000 };

	for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
		struct bytes b = { data, n, 0, pieces[i], NULL };
		char *got = read_source(&b);

		ck_assert_str_eq(got, want);
		free(got);
	}
}

static void expect(const char *data, const char *want)
{
	expect_bytes(data, strlen(data), want);
}

/* ---- UTF-16 ------------------------------------------------------------------------------------- */

/* TEXT, in which a wide string's units are, with MARK before it and the bytes in order. */
static struct str utf16(const char16_t *text, size_t n, bool is_big, bool has_mark)
{
	struct str out = STR_INIT;

	if (has_mark)
		str_adds(&out, is_big ? "\xFE\xFF" : "\xFF\xFE");
	for (size_t i = 0; i < n; i++) {
		str_addc(&out, (char)(is_big ? text[i] >> 8 : text[i] & 0xFF));
		str_addc(&out, (char)(is_big ? text[i] & 0xFF : text[i] >> 8));
	}
	return out;
}

START_TEST(utf16_is_read)
{
	static const char16_t text[] =
		u"E-Mail\tOrt\r\na@x.com\tK\u00f6ln \U0001F600\r\nb@x.com\t\u4e2d\r\n";

	for (int k = 0; k < 4; k++) {
		struct str s = utf16(text, sizeof text / 2 - 1, k & 1, k & 2);

		expect_bytes(s.p, s.len,
			"2:e_mail=a@x.com|ort=K\u00f6ln \U0001F600\n"
			"3:e_mail=b@x.com|ort=\u4e2d\n");
		str_done(&s);
	}
}
END_TEST

START_TEST(half_a_character_spoils_its_record)
{
	static const char16_t text[] = { 'e', 'm', 'a', 'i', 'l', ',', 'n', '\n', 'a', ',', 0xD800,
		'\n', 'b', ',', 0xDC00, '\n', 'c', ',', 0, '\n', 'd', ',', '1', '\n', 'e', ',',
		0xD83D };
	struct str s = utf16(text, sizeof text / 2, false, true);

	str_addc(&s, 'x');
	expect_bytes(s.p, s.len,
		"2!field n: half a character of UTF-16, expected a file saved as CSV in UTF-8\n"
		"3!field n: half a character of UTF-16, expected a file saved as CSV in UTF-8\n"
		"4!field n: a NUL byte, expected text: take it out, or save the file as CSV in "
		"UTF-8\n5:email=d|n=1\n"
		"6!field n: half a character of UTF-16, expected a file saved as CSV in "
		"UTF-8\n");
	str_done(&s);
}
END_TEST

/* ---- gzip --------------------------------------------------------------------------------------- */

static struct str gzipped(const char *data, size_t n)
{
	struct str out = STR_INIT;
	z_stream z = { 0 };

	ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
	str_reserve(&out, deflateBound(&z, n) + 32);
	z.next_in = xmemdup(data, n);
	z.avail_in = (uInt)n;
	z.next_out = (unsigned char *)out.p;
	z.avail_out = (uInt)out.cap;
	unsigned char *in = z.next_in;
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	out.len = z.total_out;
	deflateEnd(&z);
	free(in);
	return out;
}

static const char csv[] = "email,name\na@x.com,Ada\nb@x.com,Bob\n";

START_TEST(gzip_is_read)
{
	struct str one = gzipped(csv, sizeof csv - 1), two = gzipped("c@x.com,Cy\n", 11);

	expect_bytes(one.p, one.len, "2:email=a@x.com|name=Ada\n3:email=b@x.com|name=Bob\n");
	/* parts one behind the other, and zeros to the end of a block */
	str_add(&one, two.p, two.len);
	str_add(&one, "\0\0\0\0\0\0\0", 7);
	expect_bytes(one.p, one.len,
		"2:email=a@x.com|name=Ada\n3:email=b@x.com|name=Bob\n4:email=c@x.com|name=Cy\n");
	str_done(&one);
	str_done(&two);
}
END_TEST

/* Whatever was cut off, nobody is taken for somebody else: no record without its end. */
START_TEST(gzip_that_is_cut_off_is_named)
{
	static const char want[] = "2:email=a@x.com|name=Ada\n3:email=b@x.com|name=Bob\n";
	struct str s = gzipped(csv, sizeof csv - 1);

	for (size_t n = 2; n < s.len; n++) {
		struct bytes b = { s.p, n, 0, 1000, NULL };
		char *got = read_source(&b), *told = strstr(got, "the gzip file ends too early");

		ck_assert_msg(told, "%zu: %s", n, got);
		ck_assert(told == strchr(told, 't'));
		if (strchr(got, '\n')) { /* "trouble: ", and before it records as they are */
			told[-9] = '\0';
			ck_assert_msg(!strncmp(want, got, strlen(got)), "%zu: %s", n, got);
			ck_assert_msg(!*got || got[strlen(got) - 1] == '\n', "%zu: %s", n, got);
		}
		free(got);
	}
	str_done(&s);
}
END_TEST

START_TEST(gzip_that_is_damaged_is_named)
{
	struct str s = gzipped(csv, sizeof csv - 1);

	s.p[s.len - 6] ^= 1; /* of the check sum */
	struct bytes b = { s.p, s.len, 0, 1000, NULL };
	char *got = read_source(&b);
	ck_assert_ptr_nonnull(strstr(got, "trouble: the gzip file is damaged: was it copied"));
	free(got);
	str_done(&s);
}
END_TEST

START_TEST(what_cannot_be_read_any_further_is_named)
{
	static const struct {
		const char *data, *want;
	} cases[] = {
		{ "", "header: 1: no luck" },
		{ "email", "header: 1: no luck" },
		{ "email\na@x.com\nb@x.co", "2:email=a@x.com\ntrouble: no luck\n" },
		{ "email\na@x.com\n\"b@x.co\n\nc@x.com\n", "2:email=a@x.com\ntrouble: no luck\n" },
		{ "{\"email\":\"a@x.com\"}\n{\"email\":\"b@x.co",
			"1:email=a@x.com\ntrouble: no luck\n" },
		{ "[{\"email\":\"a@x.com\"},", "1:email=a@x.com\ntrouble: no luck\n" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bytes b = { cases[i].data, strlen(cases[i].data), 0, 5, "no luck" };
		char *got = read_source(&b);

		ck_assert_str_eq(got, cases[i].want);
		free(got);
	}
}
END_TEST

/* ---- more than fits into memory ------------------------------------------------------------------- */

/* HEAD, then N times BODY, then TAIL. */
struct endless {
	const char *parts[3];
	size_t times, at; /* at: in the part */
	int part;
};

static ssize_t read_endless(void *arg, char *buf, size_t n, const char **ret_why)
{
	struct endless *e = arg;
	size_t got = 0;

	(void)ret_why;
	while (got < n && e->part < 3) {
		const char *p = e->parts[e->part];

		buf[got++] = p[e->at++];
		if (p[e->at])
			continue;
		e->at = 0;
		if (e->part != 1 || !--e->times)
			e->part++;
	}
	return (ssize_t)got;
}

static const struct {
	const char *head, *body, *tail;
	const char *error;
	int line;
} floods[] = {
	{ "email,x\na@x.com,1\n", ",", "\nb@x.com,1\n",
		"a record of more than 1 MB, expected at most 1 MB: is a closing quote "
		"missing?",
		3 },
	{ "email,x\na@x.com,1\n", "x", "\nb@x.com,1\n",
		"field email: a value of more than 64 KB, expected at most 64 KB: shorten it, or "
		"take it out",
		3 },
	{ "email,x\na@x.com,1\n\"", "x", "\nb@x.com,1\n",
		"field email: a quoted value of more than 64 KB, expected at most 64 KB: is its "
		"closing quote missing?",
		3 },
	{ "email,x\na@x.com,1\nc,\"x\"", " ", "\nb@x.com,1\n",
		"a record of more than 1 MB, expected at most 1 MB: is a closing quote "
		"missing?",
		3 },
	{ "email,x\na@x.com,1\n", "\n", "\nb@x.com,1\n", NULL, 0 },
	{ "email,x\na@x.com,1\n", " ", "\nb@x.com,1\n", NULL, 0 },
	{ "{\"email\":\"a@x.com\"}\n{\"x\":\"", "x", "\n{\"email\":\"b@x.com\"}\n",
		"a record of more than 1 MB, expected at most 1 MB", 2 },
	{ "{\"email\":\"a@x.com\"}\n", "\r\n", "{\"email\":\"b@x.com\"}\n", NULL, 0 },
};

START_TEST(memory_is_bounded)
{
	struct endless e = { { floods[_i].head, floods[_i].body, floods[_i].tail }, 300000000, 0,
		0 };
	const struct lead_source source = { read_endless, &e, NULL };
	struct lead_reader *r = NULL;
	const struct lead_record *rec;
	struct rusage before, after;
	char *why = NULL;

	getrusage(RUSAGE_SELF, &before);
	ck_assert_int_eq(lead_reader_open(&source, &r, &why), 0);
	rec = lead_reader_next(r);
	ck_assert_ptr_nonnull(rec);
	ck_assert_str_eq(rec->vars[0].value, "a@x.com");
	rec = lead_reader_next(r);
	if (floods[_i].error) {
		ck_assert_str_eq(rec->error, floods[_i].error);
		ck_assert_int_eq(rec->line, floods[_i].line);
		rec = lead_reader_next(r);
	}
	ck_assert_ptr_nonnull(rec);
	ck_assert_ptr_null(rec->error);
	ck_assert_str_eq(rec->vars[0].value, "b@x.com");
	if (strchr(floods[_i].body, '\n'))
		ck_assert_int_gt(rec->line, 40000000);
	ck_assert_ptr_null(lead_reader_next(r));
	lead_reader_free(r);
	getrusage(RUSAGE_SELF, &after);
	ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 24 * 1024);
}
END_TEST

/* ---- JSON --------------------------------------------------------------------------------------- */

static const struct {
	const char *data, *want;
} jsons[] = {
	{ "{\"email\":\"a@x.com\",\"First Name\":\" Ada \"}\n\n{\"email\":\"b@x.com\"}",
		"1:email=a@x.com|first_name=Ada\n3:email=b@x.com\n" },
	{ " [\r\n {\"email\":\"a@x.com\"} ,\r\n {\"email\":\"b@x.com\"}\r\n]\r\n",
		"2:email=a@x.com\n3:email=b@x.com\n" },
	{ "[{\"email\":\"a@x.com\"},{\"email\":\"b@x.com\"}]",
		"1:email=a@x.com\n1:email=b@x.com\n" },
	{ "[]", "" },
	{ "{\n  \"email\": \"a@x.com\",\n  \"n\": 1\n}\n{\n  \"email\": \"b@x.com\"\n}\n",
		"1:email=a@x.com|n=1\n5:email=b@x.com\n" },
	{ "\xEF\xBB\xBF{\"email\":\"a@x.com\"},\n{\"email\":\"b@x.com\"},\n",
		"1:email=a@x.com\n2:email=b@x.com\n" },
	/* values of all kinds */
	{ "{\"email\":\"a@x.com\",\"a\":1,\"b\":-2.50,\"c\":12345678901234567890,\"d\":1e3,\"e\":"
	  "true,"
	  "\"f\":false,\"g\":null,\"h\":\"\",\"i\":\"5\\\"6\\\\\",\"j\":7}",
		"1:email=a@x.com|a=1|b=-2.50|c=12345678901234567890|d=1e3|e=true|f=false|h=|"
		"i=5\"6\\|j=7\n" },
	{ "{\"email\":\"a@x.com\",\"tags\":[\"a\",2,null,true],\"none\":[],\"nulls\":[null]}",
		"1:email=a@x.com|tags=a, 2, true\n" },
	{ "{\"email\":\"a@x.com\",\"company\":{\"name\":\"Acme\",\"hq\":{\"City\":\"Bonn\"}}}",
		"1:email=a@x.com|company_name=Acme|company_hq_city=Bonn\n" },
	{ "{\"emails\":[{\"value\":\"a@x.com\"},{\"value\":\"b@x.com\"}],\"x\":[[1,2],3]}",
		"1:emails_1_value=a@x.com|emails_2_value=b@x.com|x_1=1, 2|x_2=3\n" },
	{ "{\"email\":\"a@x.com\",\"j\":[{\"a\":1},{\"a\":2},{\"a\":3},{\"a\":4,\"b\":5}],\"n\":6}",
		"1:email=a@x.com|j_1_a=1|j_2_a=2|j_3_a=3|n=6 without j\n" },
	{ "{\"email\":\"a@x.com\",\"a\":{\"b\":{\"c\":{\"d\":{\"e\":8}}}},\"n\":9}",
		"1:email=a@x.com|n=9 without a_b_c_d_e\n" },
	{ "{\"!\":1,\"email\":\"a@x.com\",\"K\\u00f6ln\":\"\\ud83d\\ude00\"}",
		"1:column_1=1|email=a@x.com|k\u00f6ln=\U0001F600\n" },
	/* the provider's verdict */
	{ "{\"email\":\"a@x.com\",\"smtp_valid\":\"VALID\",\"raw_data\":{\"emails\":[{\"email\":"
	  "\"a@x.com\",\"smtp_valid\":\"invalid\"}]}}",
		"1:email=a@x.com|smtp_valid=VALID|raw_data_emails_1_email=a@x.com|"
		"raw_data_emails_1_smtp_valid=invalid\n" },
	{ "{\"email\":\"A@x.com\",\"smtp_valid\":null,\"raw_data\":{\"emails\":[{\"email\":\"b@x."
	  "com\","
	  "\"smtp_valid\":\"valid\"},{\"email\":\"a@X.com\",\"smtp_valid\":\"Invalid\"}]}}",
		"1:email=A@x.com|raw_data_emails_1_email=b@x.com|raw_data_emails_1_smtp_valid="
		"valid|"
		"raw_data_emails_2_email=a@X.com|raw_data_emails_2_smtp_valid=Invalid|"
		"smtp_valid=Invalid\n" },
	{ "{\"email\":\"a@x.com\",\"smtp_valid\":\"\",\"raw_data\":{\"emails\":[{\"smtp_valid\":"
	  "\"invalid\"}]}}",
		"1:email=a@x.com|raw_data_emails_1_smtp_valid=invalid|smtp_valid=invalid\n" },
	{ "{\"email\":\"a@x.com\",\"raw_data\":{\"emails\":[{\"email\":\"b@x.com\",\"smtp_valid\":"
	  "\"invalid\"},7,null]}}",
		"1:email=a@x.com|raw_data_emails_1_email=b@x.com|"
		"raw_data_emails_1_smtp_valid=invalid|raw_data_emails_2=7\n" },
	{ "{\"email\":\"a@x.com\",\"smtp_valid\":7,\"raw_data\":{\"emails\":{}}}\n"
	  "{\"email\":\"b@x.com\",\"smtp_valid\":[\"invalid\"],\"raw_data\":3}",
		"1:email=a@x.com|smtp_valid=7\n2:email=b@x.com|smtp_valid=invalid|raw_data=3\n" },
	/* bad records, and those around them */
	{ "{\"email\":\"a@x.com\"}\noops\n{\"email\":\"b@x.com\"\n[1]\n7\n{\"email\":\"c@x.com\"}"
	  "\n",
		"1:email=a@x.com\n2!no JSON from \"oops\" on, expected an object with the lead's "
		"fields\n"
		"3!no JSON from \"[1]\" on, expected an object with the lead's fields\n"
		"4!no object, expected one with the lead's fields\n"
		"5!no object, expected one with the lead's fields\n6:email=c@x.com\n" },
	{ "{\"email\":\"a\\u0000b\"}\n{\"email\":\"a\\\\u0000b\"}\n",
		"1!a NUL byte, expected text: take it out\n2:email=a\\u0000b\n" },
	{ "[\n {\"email\":\"a@x.com\"},\n {\"email\":\n  \"b@x.com\",, \"e\":[\n  "
	  "{\"email\":\"e@x.com\"}]\n"
	  " },\n {\"email\":\"c@x.com\"}\n]\n",
		"2:email=a@x.com\n3!no JSON from \" \"e\":[\" on, expected an object with the "
		"lead's fields\n"
		"7:email=c@x.com\n" },
	{ "[{\"email\":\"a@x.com\"},{bad},{\"email\":\"c@x.com\"}]\n",
		"1:email=a@x.com\n1!no JSON from \"ad},{\"email\":\"c@x.com\"}]\" on, expected an "
		"object with the lead's fields; the "
		"rest of "
		"the line is not read\n2!the array has no end, expected a \"]\": was the file "
		"copied as a whole?\n" },
	{ "[{\"email\":\"a@x.com\"},\n{\"email\":\"b@x.com\"}",
		"1:email=a@x.com\n2:email=b@x.com\n"
		"2!the array has no end, expected a \"]\": was the file copied as a whole?\n" },
	{ "{\"email\":\"a@x.com\"", "1!a record without its end, expected a \"}\"\n" },
	{ "{\"email\":\"a@x.com\",\"x\":\"K\xF6ln\"}\n", "1:email=a@x.com|x=K\u00f6ln\n" },
	{ "{\"email\":\"a@x.com\",\"x\":\"K\u00f6ln\"}\n{\"x\":\"K\xF6ln\"}\n",
		"1:email=a@x.com|x=K\u00f6ln\n"
		"2!field x: not UTF-8 text, expected a file saved as CSV in UTF-8\n" },
};

START_TEST(json_is_read)
{
	expect(jsons[_i].data, jsons[_i].want);
}
END_TEST

START_TEST(json_has_its_limits)
{
	struct str s = STR_INIT;

	str_adds(&s, "{\"email\":\"a@x.com\"");
	for (int i = 0; i < 500; i++)
		str_addf(&s, ",\"f%d\":1", i);
	str_adds(&s, "}\n{\"x\":\"");
	for (int i = 0; i < 64 * 1024 + 1; i++)
		str_addc(&s, 'x');
	str_adds(&s, "\"}\n");
	for (int i = 0; i < 2000; i++)
		str_adds(&s, "{\"a\":");
	str_adds(&s, "\n{\"email\":\"b@x.com\"}\n");
	struct bytes b = { s.p, s.len, 0, 1000000, NULL };
	char *got = read_source(&b);
	ck_assert_msg(!strncmp(got,
			      "1!more than 500 fields, expected at most so many: leave some "
			      "out\n2!field x: a value of more than 64 KB",
			      100),
		"%s", got);
	ck_assert_ptr_nonnull(strstr(got, "\n4:email=b@x.com\n"));
	free(got);
	str_done(&s);
}
END_TEST

/* ---- names of columns ----------------------------------------------------------------------------- */

static const struct {
	const char *name, *field;
} guesses[] = {
	{ "e_mail", "email" },
	{ "EMAIL", "email" },
	{ "e_mail_address", "email" },
	{ "e_mail_1_value", "email" },
	{ "correo_electr\u00f3nico", "email" },
	{ "CORREO_ELECTRONICO", "email" },
	{ "firstname", "first_name" },
	{ "pr\u00e9nom", "first_name" },
	{ "PR\u00c9NOM", "first_name" },
	{ "vorname", "first_name" },
	{ "nachname", "last_name" },
	{ "lname", "last_name" },
	{ "full_name", "name" },
	{ "account_name", "company" },
	{ "unternehmen", "company" },
	{ "job_title", "title" },
	{ "companydomain", "domain" },
	{ "website_url", "website" },
	{ "state_region", "region" },
	{ "land", "country" },
	{ "time_zone", "timezone" },
	{ "verification_status", "smtp_valid" },
	{ "lead_source", "source" },
	{ "url", NULL },
	{ "titel", NULL },
	{ "", NULL },
	{ "_", NULL },
	{ "\xFF\xFE", NULL },
};

START_TEST(names_of_columns_are_known)
{
	int rank;

	for (size_t i = 0; i < sizeof guesses / sizeof *guesses; i++) {
		const char *field = lead_column_guess(guesses[i].name, &rank);

		ck_assert_msg(str_eq(field, guesses[i].field), "%s: %s", guesses[i].name,
			field ? field : "(none)");
	}
	int work, personal;
	lead_column_guess("work_email", &work);
	lead_column_guess("personal_email", &personal);
	lead_column_guess("email_address", &rank);
	ck_assert_int_lt(rank, work);
	ck_assert_int_lt(work, personal);
}
END_TEST

/* Every row of the table is one of a field there is, and no name means two things. */
START_TEST(the_table_is_in_order)
{
	static char table[] =
#include "lead_columns.inc"
		;
	char *rest = table, *line;
	int row = 0;

	while ((line = strsep(&rest, "\n"))) {
		row++;
		if (!*line || *line == '#')
			continue;
		const char *field = strsep(&line, "\t");
		char *names = strsep(&line, "\t"), *name;
		ck_assert_msg(line && *line && !strchr(line, '\t'), "line %d: three fields", row);
		while ((name = strsep(&names, "|"))) {
			int rank;
			const char *got = lead_column_guess(name, &rank);

			ck_assert_msg(str_eq(got, field) && rank == row,
				"line %d: \"%s\" is %s by line %d already", row, name,
				got ? got : "nothing", rank);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lead_files");
	TCase *t = tcase_create("all");
	SRunner *runner = srunner_create(s);
	int n_failed;

	tcase_add_test(t, utf16_is_read);
	tcase_add_test(t, half_a_character_spoils_its_record);
	tcase_add_test(t, gzip_is_read);
	tcase_add_test(t, gzip_that_is_cut_off_is_named);
	tcase_add_test(t, gzip_that_is_damaged_is_named);
	tcase_add_test(t, what_cannot_be_read_any_further_is_named);
	tcase_add_loop_test(t, memory_is_bounded, 0, sizeof floods / sizeof *floods);
	tcase_add_loop_test(t, json_is_read, 0, sizeof jsons / sizeof *jsons);
	tcase_add_test(t, json_has_its_limits);
	tcase_add_test(t, names_of_columns_are_known);
	tcase_add_test(t, the_table_is_in_order);
	tcase_set_timeout(t, 120);
	suite_add_tcase(s, t);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? 1 : 0;
}
