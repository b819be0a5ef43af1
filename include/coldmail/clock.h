/*
 * Time. One "now" per loop turn: every decision of a turn sees the same instant. Durations,
 * leases and deadlines use boot time (CLOCK_BOOTTIME goes on while a machine sleeps); schedules
 * use wall time (UTC, milliseconds since 1970). Nobody else asks the system for the time.
 * Runs on: loop; clock_raw_us() on any.
 * Test builds read "OFFSET_MS synchronised|unsynchronised" from the file that COLDMAIL_CLOCK names, in each
 * turn: what somebody did to the machine's wall clock.
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

/* Tests and the simulator: wall time reads WALL_MS now and goes on from there, and is believed. */
void clock_set_wall_ms(int64_t wall_ms);

/* ---- may the wall clock be believed ----------------------------------------------------------- */

/* Why not, for people: it ran more than an hour ahead of boot time, or clock_distrust() said so; and the
 * kernel does not call it synchronised (adjtimex(2), STA_UNSYNC: a clock that is set by hand is not, until
 * NTP has corrected it). NULL: it may. A leap that is undone is forgotten; a step back is no reason, as
 * what counts days must grant none twice anyway. */
const char *clock_doubt(void);
bool clock_is_synchronised(void); /* asks the kernel; one that does not say: false */
void clock_distrust(const char *why); /* copied; until it is synchronised, or clock_trust() */
void clock_trust(void); /* somebody has looked: it is right as it is */
void clock_on_doubt(
	void (*fn)(void)); /* called when there is doubt, and when there is none any more */

/* UTC as RFC 3339, "2026-02-10T14:03:11Z" (seconds). RET holds CLOCK_STAMP bytes; returns RET. */
#define CLOCK_STAMP 32
char *clock_stamp(int64_t wall_ms, char *ret);
/* RFC 3339 or "YYYY-MM-DD" (midnight UTC) to UTC milliseconds; false when it is neither. */
bool clock_parse_stamp(const char *s, int64_t *ret_wall_ms);
