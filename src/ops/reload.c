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
static char *failure; /* owned: the first problem of the last reload; NULL: it was good */

void ops_reload_init(const char *file)
{
	free(conf_file);
	conf_file = xstrdup(file);
}

const char *ops_reload_failure(void)
{
	return failure;
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

static void add_strings(cJSON *list, char **lines)
{
	for (size_t i = 0; lines[i]; i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(lines[i]));
	conf_diff_free(lines);
}

/* What the new configuration changes, what it may have lost by mistake, and warnings. */
static cJSON *describe(const struct conf *c, const struct conf_problems *problems)
{
	cJSON *out = cJSON_CreateObject();
	struct str warnings = STR_INIT;

	add_strings(cJSON_AddArrayToObject(out, "changes"), conf_diff(flow_conf(), c));
	add_strings(cJSON_AddArrayToObject(out, "questions"), conf_questions(flow_conf(), c));
	add_problems(problems, true, &warnings);
	add_lines(cJSON_AddArrayToObject(out, "warnings"), str_z(&warnings));
	str_done(&warnings);
	return out;
}

/* Reads the file; the problems as in ops_reload_file(), *RET_OUT and *RET_CONF when it is good. */
static int read_file(cJSON **ret_out, const struct conf **ret_conf, struct str *ret_errors)
{
	struct conf_problems problems;
	int err = conf_reload(flow_conf(), conf_file, ret_conf, &problems);

	if (err)
		add_problems(&problems, false, ret_errors);
	else if (!flow_check(*ret_conf, ret_errors))
		err = CM_EINVAL;
	else
		*ret_out = describe(*ret_conf, &problems);
	conf_problems_done(&problems);
	return err;
}

/* Logs each line of PROBLEMS, "FILE:LINE: TEXT", and keeps the first. */
static void log_problems(const char *problems)
{
	int64_t count = 0;
	char *next = xstrdup(problems), *all = next;

	free(failure);
	failure = xstrndup(problems, strcspn(problems, "\n"));
	for (char *line; (line = strsep(&next, "\n"));) {
		char *number = strchr(line, ':'), *text = number ? strstr(number, ": ") : NULL;

		if (!*line)
			continue;
		count++;
		if (text) {
			*number++ = *text = 0;
			log_event(LOG_ERR, "config_problem", LOG_S("file", line),
				LOG_S("line", number), LOG_S("text", text + 2));
		} else {
			log_event(LOG_ERR, "config_problem", LOG_S("text", line));
		}
	}
	log_event(LOG_ERR, "config_reload", LOG_B("ok", false), LOG_I("problems", count));
	free(all);
}

static void log_lines(const char *event, const cJSON *list)
{
	const cJSON *line;

	cJSON_ArrayForEach(line, list)
		log_event(LOG_WARNING, event, LOG_S("text", line->valuestring));
}

static void take(const struct conf *c, const cJSON *out)
{
	free(failure);
	failure = NULL;
	log_set_level(c->log_level);
	flow_reload(c);
	log_lines("config_warning", cJSON_GetObjectItemCaseSensitive(out, "warnings"));
	log_lines("config_question", cJSON_GetObjectItemCaseSensitive(out, "questions"));
	log_event(LOG_NOTICE, "config_reload", LOG_B("ok", true),
		LOG_I("changes",
			cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(out, "changes"))));
}

int ops_reload_file(bool dry_run, cJSON **ret_out, char **ret_problems)
{
	const struct conf *c = NULL;
	struct str errors = STR_INIT;
	int err = read_file(ret_out, &c, &errors);

	if (!dry_run && err)
		log_problems(str_z(&errors));
	else if (!dry_run)
		take(c, *ret_out);
	if (err)
		*ret_problems = str_take(&errors);
	str_done(&errors);
	conf_unref(c);
	return err;
}

int ops_reload(void)
{
	cJSON *out = NULL;
	char *problems = NULL;
	int err = ops_reload_file(false, &out, &problems);

	cJSON_Delete(out);
	free(problems);
	return err;
}
