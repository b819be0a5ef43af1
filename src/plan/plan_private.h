/*
 * Inside plan: the local clock of a zone.
 * Runs on: any. Private to src/plan.
 */
#pragma once

#include "coldmail/plan.h"

/* What the clock shows at an instant. */
struct plan_local {
	int64_t day; /* since 1970-01-01 */
	int64_t second; /* of the day */
	int interval; /* of the zone: as long as it is the same, the clock does not jump */
};

#define PLAN_DAY_S ((int64_t)86400)
/* Instants in seconds, from 1970 to the end of the year 9999. */
#define PLAN_LAST_S ((int64_t)253402300799)

struct plan_local plan_zone_local(const struct plan_zone *z, int64_t utc_s);
/* TO, or the instant before it at which the clock jumps, being in INTERVAL at FROM. */
int64_t plan_zone_step(const struct plan_zone *z, int64_t from_s, int64_t to_s, int interval);
