/*
 * Time (coldmail/clock.h): the only file that asks the system for it.
 * Runs on: loop; clock_raw_us() on any. Called by every room.
 * Never: local time zones (plan and mailbox do that from UTC), sleeping.
 */
#include "coldmail/clock.h"

#include <stdatomic.h>
#include <time.h>

#include "coldmail/err.h"

/* The instant of this turn, and how far virtual time is ahead of the machine's. Lanes read the two
 * offsets only (clock_log_wall_ms). */
static struct {
	int64_t boot_ms, wall_ms;
	_Atomic int64_t skip_ms; /* both clocks */
	_Atomic int64_t wall_skew_ms; /* wall only */
	bool ticked;
} now;

static int64_t read_ms(clockid_t id)
{
	struct timespec ts;

	bug_if(clock_gettime(id, &ts), "clock_gettime(%d)", (int)id);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_log_wall_ms(void)
{
	return read_ms(CLOCK_REALTIME) + now.skip_ms + now.wall_skew_ms;
}

void clock_tick(void)
{
	now.boot_ms = read_ms(CLOCK_BOOTTIME) + now.skip_ms;
	now.wall_ms = clock_log_wall_ms();
	now.ticked = true;
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
	clock_tick();
}

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
