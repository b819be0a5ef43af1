/*
 * Strings, times and log lines: the small things every room leans on.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coldmail/clock.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

START_TEST(utf8)
{
	static const char *const bad[] = { "\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80",
		"\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "a\xC3", "\xE2\x82" };

	ck_assert(str_is_utf8("k\xC3\xA4the \xE2\x82\xAC \xF0\x9F\x8D\x9E", 15));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!str_is_utf8(bad[i], strlen(bad[i])), "%zu", i);
	for (size_t i = 0; i < 40; i++) { /* wherever it stands */
		char text[] = "forty bytes of ASCII, but for one of them";

		ck_assert(str_is_utf8(text, 40));
		text[i] = '\xFF';
		ck_assert_msg(!str_is_utf8(text, 40), "%zu", i);
		ck_assert(str_is_utf8(text, i));
	}
	ck_assert_uint_eq(str_utf8_cut("a\xE2\x82\xAC", 4, 3), 1);
	ck_assert_uint_eq(str_utf8_cut("a\xE2\x82\xAC", 4, 4), 4);
}
END_TEST

START_TEST(printable)
{
	char *s = str_printable("a\r\n\t\x01\xFF\xC3\xA4", 8, 100);

	ck_assert_str_eq(s, "a\\r\\n\\t\\x01\\xff\xC3\xA4");
	free(s);
	s = str_printable("aaaaaaaaaa", 10, 4);
	ck_assert_str_eq(s, "aaaa...");
	free(s);
}
END_TEST

START_TEST(numbers)
{
	int64_t i = 7;
	double d;

	ck_assert(str_to_i64("-42", &i) && i == -42);
	ck_assert(!str_to_i64("", &i) && !str_to_i64(" 1", &i) && !str_to_i64("1x", &i) &&
		  !str_to_i64("9223372036854775808", &i) && !str_to_i64(NULL, &i));
	ck_assert_int_eq(i, -42);
	ck_assert(str_to_double("1.5", &d) && !str_to_double("nan", &d) &&
		  !str_to_double("1e999", &d));
}
END_TEST

START_TEST(durations)
{
	static const struct {
		int64_t ms;
		const char *text;
	} v[] = { { 0, "0ms" }, { 850, "850ms" }, { 12000, "12s" }, { 245000, "4min 5s" },
		{ 240000, "4min" }, { 10920000, "3h 2min" }, { 187200000, "2d 4h" },
		{ INT64_MAX, "never" }, { -1, "now" } };
	char buf[32];

	for (size_t i = 0; i < sizeof v / sizeof *v; i++)
		ck_assert_str_eq(str_duration(v[i].ms, buf), v[i].text);
}
END_TEST

START_TEST(stamps)
{
	char buf[CLOCK_STAMP];
	int64_t ms = 0;

	ck_assert_str_eq(clock_stamp(1770732191000, buf), "2026-02-10T14:03:11Z");
	ck_assert(clock_parse_stamp("2026-02-10T14:03:11Z", &ms) && ms == 1770732191000);
	ck_assert(clock_parse_stamp("2026-02-10T15:03:11+01:00", &ms) && ms == 1770732191000);
	ck_assert(clock_parse_stamp("2026-02-10T14:03:11.5Z", &ms) && ms == 1770732191500);
	ck_assert(clock_parse_stamp("2026-02-10", &ms) && ms == 1770681600000);
	ck_assert(!clock_parse_stamp("2026-02-10T", &ms) && !clock_parse_stamp("yesterday", &ms) &&
		  !clock_parse_stamp("2026-02-10T14:03:11Zx", &ms) && !clock_parse_stamp("", &ms));
	clock_stamp(INT64_MAX, buf);
	ck_assert_str_eq(buf, "9999-12-31T23:59:59Z");
	clock_stamp(INT64_MIN, buf);
	ck_assert_str_eq(buf, "1970-01-01T00:00:00Z");
}
END_TEST

START_TEST(arenas)
{
	struct mem_arena a = { 0 };
	char *first = mem_arena_dup(&a, "first");
	char *big = mem_arena_get(&a, 100000);

	memset(big, 'x', 100000);
	for (int i = 0; i < 5000; i++)
		ck_assert_str_eq(mem_arena_printf(&a, "%d", 12345), "12345");
	ck_assert_str_eq(first, "first");
	ck_assert_ptr_null(mem_arena_dup(&a, NULL));
	mem_arena_done(&a);
}
END_TEST

/* What log_write() puts on standard error. */
static char *logged(enum log_format format, void (*fn)(void))
{
	static char buf[8192];
	int fds[2], old = dup(STDERR_FILENO);

	ck_assert_int_eq(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	log_init(format, LOG_INFO);
	fn();
	dup2(old, STDERR_FILENO);
	close(old);
	close(fds[1]);
	ssize_t n = read(fds[0], buf, sizeof buf - 1);
	close(fds[0]);
	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static void one_line(void)
{
	errno = EAGAIN;
	log_event(LOG_INFO, "send", LOG_S("to", "x@y.example"), LOG_I("code", 250),
		LOG_S("reply", "2.0.0 Ok: \"queued\"\r\nevil=1"), LOG_S("none", NULL),
		LOG_F("s", 0.5), LOG_B("ok", true));
	ck_assert_int_eq(errno, EAGAIN);
	log_event(LOG_DEBUG, "hidden", LOG_S("a", "b"));
}

START_TEST(log_text)
{
	ck_assert_str_eq(logged(LOG_FORMAT_TEXT, one_line),
		"send to=x@y.example code=250 reply=\"2.0.0 Ok: \\\"queued\\\"\\\\r\\\\nevil=1\" "
		"s=0.5 "
		"ok=true\n");
}
END_TEST

START_TEST(log_json)
{
	const char *line = logged(LOG_FORMAT_JSON, one_line);

	ck_assert(str_starts(line, "{\"ts\":\"20"));
	ck_assert_ptr_nonnull(
		strstr(line, "\"level\":\"info\",\"event\":\"send\",\"to\":\"x@y.example\","
			     "\"code\":250,\"reply\":\"2.0.0 Ok: \\\"queued\\\""));
	ck_assert(str_ends(line, "\"s\":0.5,\"ok\":true}\n"));
}
END_TEST

static void huge_values(void)
{
	char *big = xmalloc(100001);

	memset(big, 'x', 100000);
	big[100000] = '\0';
	log_event(LOG_INFO, "big", LOG_S("a", big), LOG_S("b", big), LOG_S("c", big),
		LOG_S("d", big), LOG_S("e", big), LOG_I("last", 1));
	free(big);
}

START_TEST(case_05_a_log_line_never_grows_past_a_pipe)
{
	const char *line = logged(LOG_FORMAT_JSON, huge_values);

	ck_assert_uint_le(strlen(line), 4096);
	ck_assert(str_ends(line, "\"last\":1}\n"));
}
END_TEST

START_TEST(case_05_a_reader_that_stopped_delays_nothing)
{
	int fds[2], old = dup(STDERR_FILENO);
	uint64_t before = log_dropped();

	ck_assert_int_eq(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	log_init(LOG_FORMAT_TEXT, LOG_INFO);
	for (int i = 0; i < 20000; i++)
		log_event(
			LOG_INFO, "line", LOG_I("n", i)); /* a blocking write would end the test */
	dup2(old, STDERR_FILENO);
	close(old);
	close(fds[0]);
	close(fds[1]);
	ck_assert_uint_gt(log_dropped(), before);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core_text");
	TCase *t = tcase_create("text");

	tcase_add_test(t, utf8);
	tcase_add_test(t, printable);
	tcase_add_test(t, numbers);
	tcase_add_test(t, durations);
	tcase_add_test(t, stamps);
	tcase_add_test(t, arenas);
	tcase_add_test(t, log_text);
	tcase_add_test(t, log_json);
	tcase_add_test(t, case_05_a_log_line_never_grows_past_a_pipe);
	tcase_add_test(t, case_05_a_reader_that_stopped_delays_nothing);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
