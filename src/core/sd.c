/*
 * systemd (coldmail/sd.h): sd_notify(3) with our states. The notification socket is a datagram
 * socket that PID 1 drains; without NOTIFY_SOCKET every call does nothing.
 * Runs on: loop. Called by main and ops/watchdog.
 */
#include "coldmail/sd.h"

#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "coldmail/mem.h"
#include "coldmail/str.h"

static char *last_status; /* owned: the line sent last */

bool sd_is_listening(void)
{
	return !str_is_empty(getenv("NOTIFY_SOCKET"));
}

void sd_ready(void)
{
	sd_notify(0, "READY=1");
}

void sd_status(const char *line)
{
	if (str_eq(line, last_status))
		return;
	free(last_status);
	last_status = xstrdup(line);
	sd_notifyf(0, "STATUS=%s", line);
}

void sd_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}

void sd_alive(void)
{
	sd_notify(0, "WATCHDOG=1");
}

int64_t sd_watchdog_ms(void)
{
	uint64_t us = 0;

	return sd_watchdog_enabled(0, &us) > 0 ? (int64_t)(us / 1000) : 0;
}
