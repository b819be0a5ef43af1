/*
 * What systemd is told: that we live, and one line of how it goes.
 * Runs on: loop. Called by ops.c; reads flow's and the lanes' snapshots.
 * WATCHDOG=1 is a statement, not a reflex: without it systemd ends the process and starts it anew,
 * so a store that is down or a server that is slow must not withhold it.
 */
#include "ops_private.h"

#include "coldmail/clock.h"
#include "coldmail/job.h"
#include "coldmail/log.h"
#include "coldmail/loop.h"
#include "coldmail/sd.h"

#define STATUS_EVERY_MS (2 * CLOCK_SECOND_MS)

static struct {
	struct loop_timer alive, status;
	int64_t every_ms;
	int64_t last_us; /* when `alive` fired last, on the clock that systemd counts with */
	struct str line;
} wd;

static const char *what_is_wrong(int64_t since_ms)
{
	/* A turn that lasted longer than a whole period. */
	if (since_ms > 2 * wd.every_ms)
		return "the loop was late";
	if (job_is_stuck())
		return "a store job hangs";
	if (!flow_stats().draining && !flow_is_alive())
		return "the scheduler does not advance";
	return NULL;
}

static void on_alive(void *arg)
{
	int64_t now_us = clock_raw_us();
	const char *wrong = what_is_wrong((now_us - wd.last_us) / 1000);

	(void)arg;
	wd.last_us = now_us;
	loop_timer_in(&wd.alive, wd.every_ms);
	if (wrong)
		log_event(LOG_ERR, "watchdog", LOG_S("withheld", wrong));
	else
		sd_alive();
}

static void on_status(void *arg)
{
	(void)arg;
	loop_timer_in(&wd.status, STATUS_EVERY_MS);
	flow_status_line(&wd.line);
	sd_status(str_z(&wd.line));
}

void ops_watchdog_init(bool fast_forward)
{
	wd.every_ms = sd_watchdog_ms() / 3;
	wd.last_us = clock_raw_us();
	loop_timer_init(&wd.alive, on_alive, NULL);
	loop_timer_init(&wd.status, on_status, NULL);
	if (fast_forward)
		return;
	if (wd.every_ms)
		loop_timer_in(&wd.alive, 0);
	if (sd_is_listening())
		loop_timer_in(&wd.status, 0);
}

void ops_watchdog_stop(void)
{
	loop_timer_cancel(&wd.alive);
	loop_timer_cancel(&wd.status);
	str_done(&wd.line);
}
