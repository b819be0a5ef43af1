/*
 * May the wall clock be believed: if not (core/clock.h knows), nothing is sent and no day, week or backoff is
 * over before it is synchronised or an operator has looked. What a restart must not forget is stored as
 * the pause of "clock".
 * Runs on: loop. Called by outage.c when the store was opened, by sched.c in each look at the pumps.
 * Never sets a clock.
 */
#include "flow_private.h"

#include "coldmail/clock.h"
#include "coldmail/log.h"
#include "coldmail/str.h"

/* An unsynchronised clock this far past all that is known may be a battery that is empty. */
#define UNSEEN_MS (7 * CLOCK_DAY_MS)

static bool is_told;

const char *flow_wallclock_why(void)
{
	const char *doubt = clock_doubt();

	return doubt ? doubt : flow_pause_why("clock", "");
}

/* Since when (wall) an operator found it right; 0: never. */
static int64_t trusted_ms(void)
{
	const char *value = flow_control(FLOW_CLOCK_TRUSTED, "");
	int64_t ms;

	return value && str_to_i64(value, &ms) ? ms : 0;
}

void flow_wallclock_opened(int64_t last_entry_ms)
{
	const char *stored = flow_control("pause/clock", "");
	int64_t last = trusted_ms(), now = clock_wall_ms();

	if (flow.fast_forward || clock_is_synchronised())
		return; /* virtual time is ahead of the next run's, as it should be */
	if (last_entry_ms > last)
		last = last_entry_ms;
	if (stored && !str_eq(stored, FLOW_YES))
		clock_distrust(stored);
	else if (last_entry_ms && now - last > UNSEEN_MS) {
		char stamp[CLOCK_STAMP];
		char *why =
			xasprintf("it is not synchronised, and the ledger's last entry is of %s",
				clock_stamp(last_entry_ms, stamp));

		clock_distrust(why);
		free(why);
	}
}

void flow_wallclock_look(void)
{
	const char *doubt = clock_doubt(), *stored = flow_control("pause/clock", "");

	if (doubt && !is_told) {
		is_told = true;
		log_event(LOG_ERR, "clock_untrusted", LOG_S("why", doubt),
			LOG_S("remedy", FLOW_CLOCK_REMEDY));
		if (!stored)
			flow_pause_for("clock", "", doubt);
	} else if (!doubt && (is_told || (stored && !str_eq(stored, FLOW_YES)))) {
		char stamp[CLOCK_STAMP];

		is_told = false;
		log_event(LOG_NOTICE, "clock_trusted",
			LOG_S("now", clock_stamp(clock_wall_ms(), stamp)));
		if (stored && !str_eq(stored, FLOW_YES))
			flow_control_put("pause/clock", "", NULL);
		flow_mailboxes_ask(); /* their past was not asked for before */
		flow_poke();
	}
}
