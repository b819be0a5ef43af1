/*
 * coldmailctl's command line: options before and after the command, help from the same rows.
 * Runs on: any. Called by main.c.
 * Every mistake is one line that says what was expected, and exit 64.
 */
#include "ctl_private.h"

#include <stdarg.h>
#include <stdio.h>

#include "coldmail/conf.h"
#include "coldmail/err.h"

static const struct ctl_command *const tables[] = {
	ctl_commands_daemon,
	ctl_commands_campaign,
	ctl_commands_import,
	ctl_commands_leads,
	ctl_commands_ledger,
	ctl_commands_suppress,
	ctl_commands_mailbox,
	ctl_commands_store,
	ctl_commands_forget,
};

enum global { CONFIG, SOCKET, JSON, DRY_RUN, YES, VERBOSE, HELP, VERSION };

static const struct ctl_option globals[] = {
	[CONFIG] = { "config", "FILE", "the daemon's configuration (" CONF_DEFAULT_FILE "); -c" },
	[SOCKET] = { "socket", "PATH", "the control socket, instead of the configuration's" },
	[JSON] = { "json", NULL, "print one object or one array" },
	[DRY_RUN] = { "dry-run", NULL, "change nothing, say what would be" },
	[YES] = { "yes", NULL, "ask no questions" },
	[VERBOSE] = { "verbose", NULL, "print every line, not the first few" },
	[HELP] = { "help", NULL, "this; after a command: about that command; -h" },
	[VERSION] = { "version", NULL, "print the version of coldmailctl" },
	{ 0 },
};

/* ---- did you mean ------------------------------------------------------------------------------- */

/* The command whose words begin with WORDS, or which they are a slip away from. Nothing that ends in
 * mail: who means it knows its name. */
static const char *closest_command(const char *words)
{
	const char *names[128];
	size_t n = 0;

	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		for (const struct ctl_command *cmd = tables[i]; cmd->words; cmd++) {
			if (cmd->flags & CTL_MAILS)
				continue;
			if (str_starts(cmd->words, words))
				return cmd->words;
			if (n < sizeof names / sizeof *names)
				names[n++] = cmd->words;
		}
	}
	return str_closest(words, names, n);
}

static const char *closest_option(const struct ctl_command *cmd, const char *name)
{
	const char *names[CTL_OPTIONS_MAX + sizeof globals / sizeof *globals];
	size_t n = 0;

	for (size_t i = 0; cmd && i < CTL_OPTIONS_MAX && cmd->options[i].name; i++)
		names[n++] = cmd->options[i].name;
	for (const struct ctl_option *o = globals; o->name; o++)
		names[n++] = o->name;
	return str_closest(name, names, n);
}

/* ---- help --------------------------------------------------------------------------------------- */

static void help_options(const struct ctl_option *options, size_t max)
{
	for (size_t i = 0; i < max && options[i].name; i++) {
		char *left = xasprintf("--%s%s%s", options[i].name, options[i].value ? " " : "",
			options[i].value ? options[i].value : "");

		printf("  %-22s %s\n", left, options[i].help);
		free(left);
	}
}

static void help_command(const struct ctl_command *cmd)
{
	printf("usage: coldmailctl [OPTIONS] %s%s%s\n\n%s\n", cmd->words,
		*cmd->arguments ? " " : "", cmd->arguments, cmd->help);
	if (cmd->more)
		printf("\n%s\n", cmd->more);
	if (cmd->options[0].name)
		puts("\nIts options:");
	help_options(cmd->options, CTL_OPTIONS_MAX);
	puts("\nOptions of every command:");
	help_options(globals, sizeof globals / sizeof *globals);
}

void ctl_help(const struct ctl_command *cmd)
{
	if (cmd) {
		help_command(cmd);
		return;
	}
	puts("usage: coldmailctl [-c FILE] [--socket PATH] [--json] [--dry-run] [--yes] COMMAND "
	     "…\n");
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		for (cmd = tables[i]; cmd->words; cmd++) {
			char *left = xasprintf("%s %s", cmd->words, cmd->arguments);

			printf("  %-32s %s\n", left, cmd->help);
			free(left);
		}
	}
	puts("\nOptions:");
	help_options(globals, sizeof globals / sizeof *globals);
	puts("\ncoldmailctl COMMAND --help says more about one; coldmailctl(1) about all.");
}

/* ---- parsing ------------------------------------------------------------------------------------ */

static int misused(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int misused(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ctl_verror(fmt, ap);
	va_end(ap);
	return CM_EXIT_USAGE;
}

static int unknown_option(const struct ctl_command *cmd, const char *name)
{
	const char *close_to = closest_option(cmd, name);

	if (close_to)
		return misused("unknown option --%s; --%s?", name, close_to);
	if (cmd)
		return misused(
			"unknown option --%s; coldmailctl %s --help lists them", name, cmd->words);
	return misused("unknown option --%s before a command; coldmailctl --help lists them", name);
}

static void set_global(struct ctl *c, enum global which, const char *value)
{
	switch (which) {
	case CONFIG:
		c->config = value;
		break;
	case SOCKET:
		c->socket = value;
		break;
	case JSON:
		c->json = true;
		break;
	case DRY_RUN:
		c->dry_run = true;
		break;
	case YES:
		c->yes = true;
		break;
	case VERBOSE:
		c->verbose = true;
		break;
	case HELP:
		c->help = true;
		break;
	case VERSION:
		c->version = true;
		break;
	}
}

static const struct ctl_option *option_find(
	const struct ctl_option *options, size_t max, const char *name, size_t n)
{
	for (size_t i = 0; i < max && options[i].name; i++)
		if (strlen(options[i].name) == n && !strncmp(options[i].name, name, n))
			return &options[i];
	return NULL;
}

/* The option at argv[*i], with its value, perhaps from the argument after it. */
static int take_option(struct ctl *c, const char *name, char **argv, int *i)
{
	size_t n = strcspn(name, "=");
	const struct ctl_option *global =
		option_find(globals, sizeof globals / sizeof *globals, name, n);
	const struct ctl_option *own =
		c->command ? option_find(c->command->options, CTL_OPTIONS_MAX, name, n) : NULL;
	const struct ctl_option *o = own ? own : global;
	const char *value = name[n] ? name + n + 1 : NULL;

	if (!o)
		return unknown_option(c->command, name);
	if (!o->value && value)
		return misused("--%s takes no value", o->name);
	if (o->value && !value && !(value = argv[++*i]))
		return misused("--%s: a value %s was expected", o->name, o->value);
	if (!own) {
		set_global(c, (enum global)(o - globals), value);
		return 0;
	}
	if (c->n_values == CTL_VALUES_MAX)
		return misused("--%s is given too often", o->name);
	c->values[c->n_values].option = o;
	c->values[c->n_values++].value = value ? value : "";
	return 0;
}

/* The command that FIRST and perhaps SECOND name; *RET_WORDS: how many of them do. */
static const struct ctl_command *command_find(const char *first, const char *second, int *ret_words)
{
	char *both = xasprintf("%s %s", first, second ? second : "");
	const struct ctl_command *found = NULL;

	for (size_t i = 0; i < sizeof tables / sizeof *tables && !found; i++) {
		for (const struct ctl_command *cmd = tables[i]; cmd->words && !found; cmd++) {
			*ret_words = str_eq(cmd->words, first) ? 1 : 2;
			if (str_eq(cmd->words, first) || str_eq(cmd->words, both))
				found = cmd;
		}
	}
	free(both);
	return found;
}

/* The second words that FIRST goes with; NULL: it is no command's first word. */
static char *list_second_words(const char *first)
{
	struct str out = STR_INIT;
	size_t n = strlen(first);

	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		for (const struct ctl_command *cmd = tables[i]; cmd->words; cmd++)
			if (!strncmp(cmd->words, first, n) && cmd->words[n] == ' ')
				str_addf(&out, "%s%s", out.len ? ", " : "", cmd->words + n + 1);
	return out.len ? str_take(&out) : NULL;
}

static int unknown_command(const char *first, const char *second)
{
	char *more = list_second_words(first);
	char *both = more && second ? xasprintf("%s %s", first, second) : xstrdup(first);
	const char *close_to = more && !second ? NULL : closest_command(both);
	int status;

	if (close_to)
		status = misused("unknown command \"%s\"; did you mean %s?", both, close_to);
	else if (more)
		status = misused("%s: one of these was expected next: %s", first, more);
	else
		status = misused(
			"unknown command \"%s\"; coldmailctl --help lists the commands", first);
	free(both);
	free(more);
	return status;
}

static int take_word(struct ctl *c, char **argv, int *i)
{
	int words = 1;

	if (c->command) {
		if (c->n_args == CTL_VALUES_MAX)
			return misused("too many arguments from \"%s\" on", argv[*i]);
		c->args[c->n_args++] = argv[*i];
		return 0;
	}
	const char *second = argv[*i + 1];
	if (second && *second == '-')
		second = NULL;
	c->command = command_find(argv[*i], second, &words);
	if (!c->command)
		return unknown_command(argv[*i], second);
	*i += words - 1;
	return 0;
}

static int check_arguments(const struct ctl *c)
{
	const struct ctl_command *cmd = c->command;

	if (c->help || c->version || !cmd)
		return 0;
	if (c->n_args < cmd->min)
		return misused("%s: %s was expected", cmd->words, cmd->arguments);
	if (cmd->max >= 0 && c->n_args > cmd->max)
		return misused("unexpected argument \"%s\"; usage: coldmailctl %s%s%s",
			c->args[cmd->max], cmd->words, *cmd->arguments ? " " : "", cmd->arguments);
	return 0;
}

/* Wherever it stands: what is wrong before it is told as JSON, too. */
static bool wants_json(int argc, char **argv)
{
	for (int i = 1; i < argc && !str_eq(argv[i], "--"); i++)
		if (str_eq(argv[i], "--json"))
			return true;
	return false;
}

int ctl_parse(int argc, char **argv, struct ctl *ret)
{
	bool only_words = false;
	int err = 0;

	*ret = (struct ctl){ .config = CONF_DEFAULT_FILE };
	for (int i = 1; i < argc && !err; i++) {
		const char *a = argv[i];

		if (only_words || *a != '-' || str_eq(a, "-"))
			err = take_word(ret, argv, &i);
		else if (str_eq(a, "--"))
			only_words = true;
		else if (str_starts(a, "--"))
			err = take_option(ret, a + 2, argv, &i);
		else if (str_eq(a, "-h"))
			ret->help = true;
		else if (str_eq(a, "-c"))
			err = take_option(ret, "config", argv, &i);
		else
			err = misused(
				"unknown option %s; -c, -h or one with two dashes was expected", a);
	}
	if (err)
		ret->json = wants_json(argc, argv);
	return err ? err : check_arguments(ret);
}

/* ---- reading ------------------------------------------------------------------------------------ */

const char *ctl_option_at(const struct ctl *c, const char *name, int index)
{
	for (int i = 0; i < c->n_values; i++)
		if (str_eq(c->values[i].option->name, name) && !index--)
			return c->values[i].value;
	return NULL;
}

const char *ctl_option(const struct ctl *c, const char *name)
{
	const char *last = NULL;

	for (int i = 0; i < c->n_values; i++)
		if (str_eq(c->values[i].option->name, name))
			last = c->values[i].value;
	return last;
}

bool ctl_option_whole(const struct ctl *c, const char *name, int64_t fallback, int64_t *ret)
{
	const char *value = ctl_option(c, name);

	*ret = fallback;
	if (value && (!str_to_i64(value, ret) || *ret < 1)) {
		misused("--%s: a number from 1 on was expected", name);
		return false;
	}
	return true;
}
