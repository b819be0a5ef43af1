/*
 * systemd: readiness, status line, watchdog (sd_notify(3), sd_watchdog_enabled(3)). Harmless
 * without systemd.
 * Runs on: loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

bool sd_is_listening(void); /* systemd gave us a socket to tell it things */
void sd_ready(void);
void sd_status(const char *line); /* sent only when it differs from the last one */
void sd_stopping(void);
void sd_alive(void); /* WATCHDOG=1 */
int64_t sd_watchdog_ms(void); /* WatchdogSec of the unit; 0: none */
