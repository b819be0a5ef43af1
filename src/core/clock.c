/*
 * Time (coldmail/clock.h): the only file that asks the system for it.
 * Runs on: loop; clock_raw_us() on any. Called by every room.
 * Never: local time zones (plan and mailbox do that from UTC), sleeping.
 */
#include "coldmail/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timex.h>
#include <time.h>

#include "coldmail/err.h"
#include "coldmail/str.h"

/* The instant of this turn, and how far virtual time is ahead of the machine's. Lanes read the two
 * offsets only (clock_log_wall_ms). */
static struct {
	int64_t boot_ms, wall_ms;
	_Atomic int64_t skip_ms; /* both clocks */
	_Atomic int64_t wall_skew_ms; /* wall only */
	bool ticked;
} now;

/* Further ahead of boot time than where it was believed last is a leap. */
#define LEAP_MS CLOCK_HOUR_MS
/* A clock that is slewed runs away by this part of the time at most (adjtime(3): 500 ppm). */
#define SLEW_PART 1000

static struct {
	bool is_set;
	int64_t offset_ms, boot_ms; /* wall - boot where it was believed last; when that was */
	int64_t asked_ms; /* boot: the kernel, whether it is synchronised by now */
	bool has_leapt;
	char why[128]; /* "" : it is believed */
	void (*on_doubt)(void);
} trust;

static int64_t read_ms(clockid_t id)
{
	struct timespec ts;

	bug_if(clock_gettime(id, &ts), "clock_gettime(%d)", (int)id);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t pretended_ms(void);

int64_t clock_log_wall_ms(void)
{
	return read_ms(CLOCK_REALTIME) + pretended_ms() + now.skip_ms + now.wall_skew_ms;
}

static void read_clocks(void)
{
	now.boot_ms = read_ms(CLOCK_BOOTTIME) + now.skip_ms;
	now.wall_ms = clock_log_wall_ms();
}

static void look_at_wall(void);

void clock_tick(void)
{
	read_clocks();
	now.ticked = true;
	look_at_wall();
}

int64_t clock_boot_ms(void)
{
	if (!now.ticked)
		clock_tick();
	return now.boot_ms;
}

int64_t clock_wall_ms(void)
{
	if (!now.ticked)
		clock_tick();
	return now.wall_ms;
}

int64_t clock_raw_us(void)
{
	struct timespec ts;

	bug_if(clock_gettime(CLOCK_MONOTONIC, &ts), "clock_gettime");
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void clock_skip_ms(int64_t ms)
{
	bug_if(ms < 0, "time cannot go back");
	now.skip_ms += ms;
	clock_tick();
}

void clock_set_wall_ms(int64_t wall_ms)
{
	clock_tick();
	now.wall_skew_ms += wall_ms - now.wall_ms;
	read_clocks();
	clock_trust();
}

/* ---- may the wall clock be believed ----------------------------------------------------------- */

#ifdef CM_FAILPOINTS
/* Whether somebody set the clock, and what of it is synchronised, is told by a file (clock.h). */
static bool read_pretence(int64_t *ret_offset_ms, bool *ret_is_synchronised)
{
	const char *name = getenv("COLDMAIL_CLOCK");
	FILE *f = name ? fopen(name, "re") : NULL;
	long long ms = 0;
	char word[24] = "";

	if (!f)
		return false;
	int n = fscanf(f, "%lld %23s", &ms, word);
	fclose(f);
	if (n != 2)
		return false;
	*ret_offset_ms = ms;
	*ret_is_synchronised = word[0] == 's';
	return true;
}

static int64_t pretended_ms(void)
{
	static _Atomic int64_t last_ms; /* a file that is being written says nothing new */
	bool is_synchronised;
	int64_t ms;

	if (read_pretence(&ms, &is_synchronised))
		last_ms = ms;
	return last_ms;
}
#else
static int64_t pretended_ms(void)
{
	return 0;
}
#endif

bool clock_is_synchronised(void)
{
	struct timex t = { .modes = 0 };
#ifdef CM_FAILPOINTS
	int64_t ms;
	bool is_synchronised;

	if (read_pretence(&ms, &is_synchronised))
		return is_synchronised;
#endif
	int state = ntp_adjtime(&t);
	return state >= 0 && state != TIME_ERROR && !(t.status & STA_UNSYNC);
}

static void believe(int64_t offset_ms)
{
	trust.is_set = true;
	trust.offset_ms = offset_ms;
	trust.boot_ms = now.boot_ms;
}

static void set_why(const char *why)
{
	bool is_news = !trust.why[0] != !why[0];

	snprintf(trust.why, sizeof trust.why, "%s", why);
	if (is_news && trust.on_doubt)
		trust.on_doubt();
}

void clock_trust(void)
{
	trust.has_leapt = false;
	believe(now.wall_ms - now.boot_ms);
	set_why("");
}

void clock_distrust(const char *why)
{
	set_why(why);
}

void clock_on_doubt(void (*fn)(void))
{
	trust.on_doubt = fn;
}

const char *clock_doubt(void)
{
	return trust.why[0] ? trust.why : NULL;
}

static int64_t ahead_ms(void)
{
	return now.wall_ms - now.boot_ms - trust.offset_ms;
}

/* Believed a little further ahead: slowly, or every clock that runs fast would have leapt one day. */
static void follow(int64_t ahead)
{
	int64_t most = (now.boot_ms - trust.boot_ms) / SLEW_PART;

	if (ahead < 0)
		believe(trust.offset_ms + ahead);
	else if (most)
		believe(trust.offset_ms + (ahead < most ? ahead : most));
}

static void look_again(bool has_leapt)
{
	bool is_undone = trust.has_leapt && !has_leapt;

	if (!is_undone && now.boot_ms - trust.asked_ms < CLOCK_SECOND_MS)
		return;
	trust.asked_ms = now.boot_ms;
	if (is_undone || clock_is_synchronised())
		clock_trust();
}

static void leap(int64_t ahead)
{
	char took[32], why[64];

	trust.has_leapt = true;
	trust.asked_ms = now.boot_ms;
	snprintf(why, sizeof why, "it leapt ahead by %s", str_duration(ahead, took));
	set_why(why);
}

static void look_at_wall(void)
{
	if (!trust.is_set)
		believe(now.wall_ms - now.boot_ms);
	/* The process may have been stopped between the two readings. */
	if (ahead_ms() > LEAP_MS)
		read_clocks();
	bool has_leapt = ahead_ms() > LEAP_MS;
	if (has_leapt && !trust.why[0] && !clock_is_synchronised())
		leap(ahead_ms());
	if (trust.why[0])
		look_again(has_leapt);
	else if (has_leapt)
		clock_trust(); /* it was synchronised there */
	else
		follow(ahead_ms());
}

/* ---- stamps ------------------------------------------------------------------------------------ */

char *clock_stamp(int64_t wall_ms, char *ret)
{
	/* Years 0 to 9999 only: a stored time of unknown origin must not break the format. */
	static const int64_t max_s = 253402300799;
	int64_t s = wall_ms / 1000;
	time_t t = (time_t)(s < 0 ? 0 : s > max_s ? max_s : s);
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(ret, CLOCK_STAMP, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return ret;
}

bool clock_parse_stamp(const char *s, int64_t *ret_wall_ms)
{
	struct tm tm = { 0 };
	const char *end = strptime(s, "%Y-%m-%d", &tm);

	if (!end)
		return false;
	int64_t frac = 0, off = 0;
	if (*end == 'T' || *end == ' ') {
		end = strptime(end + 1, "%H:%M:%S", &tm);
		if (!end)
			return false;
		if (*end == '.')
			for (end++, frac = 0, off = 100; *end >= '0' && *end <= '9';
				end++, off /= 10)
				frac += (*end - '0') * off;
		off = 0;
		if (*end == '+' || *end == '-') {
			struct tm z = { 0 };
			int sign = *end == '-' ? -1 : 1;

			end = strptime(end + 1, "%H:%M", &z);
			if (!end)
				return false;
			off = sign * (z.tm_hour * 60 + z.tm_min) * CLOCK_MINUTE_MS;
		} else if (*end == 'Z' || *end == 'z') {
			end++;
		}
	}
	if (*end)
		return false;
	time_t t = timegm(&tm);
	*ret_wall_ms = (int64_t)t * 1000 + frac - off;
	return true;
}
