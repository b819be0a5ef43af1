/*
 * Time. One "now" per loop turn: every decision of a turn sees the same instant. Durations,
 * leases and deadlines use boot time (CLOCK_BOOTTIME goes on while a machine sleeps); schedules
 * use wall time (UTC, milliseconds since 1970). Nobody else asks the system for the time.
 * Runs on: loop; clock_raw_us() on any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLOCK_SECOND_MS ((int64_t)1000)
#define CLOCK_MINUTE_MS ((int64_t)60 * 1000)
#define CLOCK_HOUR_MS   ((int64_t)3600 * 1000)
#define CLOCK_DAY_MS    ((int64_t)86400 * 1000)
#define CLOCK_NEVER_MS  INT64_MAX

int64_t clock_boot_ms(void); /* this turn's now, for durations */
int64_t clock_wall_ms(void); /* this turn's now, for schedules: UTC ms since 1970 */

/* CLOCK_MONOTONIC in microseconds at the instant of the call: to measure, never to decide. Any
 * thread. */
int64_t clock_raw_us(void);

/* Wall time at the instant of the call, for the stamp of a log line. Any thread. */
int64_t clock_log_wall_ms(void);

/* The loop starts a turn: the next reads see a fresh instant. */
void clock_tick(void);

/* Virtual time (--fast-forward, tests): both clocks leap ahead by MS. MS < 0 is a bug. */
void clock_skip_ms(int64_t ms);

/* Tests and the simulator: wall time reads WALL_MS now and goes on from there. */
void clock_set_wall_ms(int64_t wall_ms);

/* UTC as RFC 3339, "2026-02-10T14:03:11Z" (seconds). RET holds CLOCK_STAMP bytes; returns RET. */
#define CLOCK_STAMP 32
char *clock_stamp(int64_t wall_ms, char *ret);
/* RFC 3339 or "YYYY-MM-DD" (midnight UTC) to UTC milliseconds; false when it is neither. */
bool clock_parse_stamp(const char *s, int64_t *ret_wall_ms);
