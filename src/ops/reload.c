/*
 * Reload: the file is read and checked again, and only a good one takes the place of the old.
 * Runs on: loop. Called by main on SIGHUP, and by the command of that name.
 * Work in flight keeps its generation (flow_reload); a bad file changes nothing.
 */
#include "ops_private.h"

#include "coldmail/err.h"
#include "coldmail/log.h"
#include "coldmail/str.h"

static char *conf_file; /* owned */

void ops_reload_init(const char *file)
{
	free(conf_file);
	conf_file = xstrdup(file);
}

static void add_problems(const struct conf_problems *p, bool warnings, struct str *ret)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].is_warning == warnings)
			str_addf(ret, "%s%s:%d: %s", ret->len ? "\n" : "", p->v[i].file,
				p->v[i].line, p->v[i].text);
}

static void add_lines(cJSON *list, const char *text)
{
	for (size_t n; *text; text += n + (text[n] == '\n')) {
		n = strcspn(text, "\n");
		char *line = xstrndup(text, n);

		cJSON_AddItemToArray(list, cJSON_CreateString(line));
		free(line);
	}
}

/* What the new configuration changes, and warnings. */
static cJSON *describe(const struct conf *c, const struct conf_problems *problems)
{
	cJSON *out = cJSON_CreateObject(), *changes = cJSON_AddArrayToObject(out, "changes");
	struct str warnings = STR_INIT;
	char **diff = conf_diff(flow_conf(), c);

	for (size_t i = 0; diff[i]; i++)
		cJSON_AddItemToArray(changes, cJSON_CreateString(diff[i]));
	conf_diff_free(diff);
	add_problems(problems, true, &warnings);
	add_lines(cJSON_AddArrayToObject(out, "warnings"), str_z(&warnings));
	str_done(&warnings);
	return out;
}

int ops_reload_file(bool dry_run, cJSON **ret_out, char **ret_problems)
{
	const struct conf *c = NULL;
	struct conf_problems problems;
	struct str errors = STR_INIT;
	int err = conf_load(conf_file, &c, &problems);

	if (err)
		add_problems(&problems, false, &errors);
	else if (!flow_check(c, &errors))
		err = CM_EINVAL;
	if (err) {
		*ret_problems = str_take(&errors);
	} else {
		*ret_out = describe(c, &problems);
		if (!dry_run) {
			log_set_level(c->log_level);
			flow_reload(c);
		}
	}
	str_done(&errors);
	conf_problems_done(&problems);
	conf_unref(c);
	return err;
}

int ops_reload(void)
{
	cJSON *out = NULL;
	char *problems = NULL;
	int err = ops_reload_file(false, &out, &problems);

	if (err)
		log_event(LOG_ERR, "config_reload", LOG_B("ok", false), LOG_S("error", problems));
	else
		log_event(LOG_NOTICE, "config_reload", LOG_B("ok", true),
			LOG_I("changes", cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(
						 out, "changes"))));
	cJSON_Delete(out);
	free(problems);
	return err;
}
