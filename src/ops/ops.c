/*
 * The room's birth and death (coldmail/ops.h).
 * Runs on: loop. Called by main.
 */
#include "ops_private.h"

#include "coldmail/err.h"

/* A helper of coldmailctl is nobody's to talk to, and a rehearsal's time is not that of visitors. */
static bool is_public(const struct ops_conf *oc)
{
	return *oc->conf->public_listen && !oc->maintenance && !oc->fast_forward;
}

int ops_init(const struct ops_conf *oc, char **ret_why)
{
	/* Memory that cannot fail: no answer is cut for want of it. */
	cJSON_InitHooks(&(cJSON_Hooks){ .malloc_fn = xmalloc, .free_fn = free });
	ops_call_set_maintenance(oc->maintenance);
	ops_reload_init(oc->file);
	ops_status_init();
	ops_summary_init();
	int err = ops_control_init(oc->conf->control_socket, oc->fast_forward, ret_why);
	if (!err && is_public(oc))
		err = ops_page_init(oc->conf->public_listen, ret_why);
	if (!err)
		ops_watchdog_init(oc->fast_forward);
	return err;
}

void ops_stop(void)
{
	ops_watchdog_stop();
	ops_page_stop();
	ops_control_stop();
	ops_call_drop_all();
}
