/*
 * Command lines of fake-smtp, taken apart as strictly as RFC 5321 4.1 writes them down: a server for
 * tests that forgives would hide the client's mistakes.
 * Runs on: any. Called by session.c for every line, by main.c for the capabilities.
 */
#include "command.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	ADDRESS_MAX = 254 + 66, /* RFC 5321 4.5.3.1, and some room */
};

bool caps_add(struct caps *c, const char *text, size_t n)
{
	char *cap;

	if (c->count == CAPS_MAX || n > CAP_TEXT_MAX)
		return false;
	cap = c->v[c->count++];
	for (size_t i = 0; i < n; i++)
		cap[i] = text[i] == '=' || text[i] == ',' ? ' ' : text[i];
	cap[n] = '\0';
	return true;
}

bool caps_set(struct caps *c, const char *text)
{
	c->count = 0;
	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		size_t n = strcspn(text, " ");

		if (!caps_add(c, text, n))
			return false;
		text += n;
	}
	return true;
}

bool cap_is(const char *cap, const char *name)
{
	size_t n = strlen(name);

	return strncasecmp(cap, name, n) == 0 && (cap[n] == '\0' || cap[n] == ' ');
}

bool caps_remove(struct caps *c, const char *name)
{
	for (size_t i = 0; i < c->count; i++) {
		if (cap_is(c->v[i], name)) {
			memmove(c->v[i], c->v[i + 1], (--c->count - i) * sizeof(c->v[0]));
			return true;
		}
	}
	return false;
}

const char *caps_find(const struct caps *c, const char *name)
{
	for (size_t i = 0; i < c->count; i++) {
		const char *rest = c->v[i] + strlen(name);

		if (cap_is(c->v[i], name))
			return rest + strspn(rest, " ");
	}
	return NULL;
}

/* The address inside "<…>", of which *AT is set to what follows; NULL: not such a path. In a quoted
 * local part anything may stand. */
static char *take_path(char **at)
{
	char *p = *at, *start = p + 1;
	bool quoted = false;

	if (*p != '<')
		return NULL;
	for (p = start; *p && (quoted || *p != '>'); p++) {
		if (quoted && p[0] == '\\' && p[1])
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && strchr(" \t<", *p))
			return NULL;
	}
	if (*p != '>' || p - start > ADDRESS_MAX)
		return NULL;
	*p = '\0';
	*at = p + 1;
	return start;
}

static const struct parameter {
	const char *name, *cap;
	enum verb verb;
} parameters[] = {
	{ "SIZE", "SIZE", VERB_MAIL }, /* RFC 1870 */
	{ "BODY", "8BITMIME", VERB_MAIL }, /* RFC 6152 */
	{ "RET", "DSN", VERB_MAIL }, /* RFC 3461 */
	{ "ENVID", "DSN", VERB_MAIL },
	{ "SMTPUTF8", "SMTPUTF8", VERB_MAIL }, /* RFC 6531 */
	{ "NOTIFY", "DSN", VERB_RCPT },
	{ "ORCPT", "DSN", VERB_RCPT },
};

static bool is_allowed(const char *name, size_t n, enum verb verb, const struct caps *offered)
{
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		const struct parameter *p = &parameters[i];

		if (p->verb == verb && strlen(p->name) == n && !strncasecmp(p->name, name, n))
			return caps_find(offered, p->cap);
	}
	return false;
}

/* "SIZE=N", of N_TEXT characters. */
static bool parse_size(const char *text, size_t n_text, uint64_t *ret)
{
	static const char name[] = "SIZE=";
	size_t skip = strlen(name);
	char number[24];

	if (n_text <= skip || n_text - skip >= sizeof(number) || strncasecmp(text, name, skip) != 0)
		return false;
	memcpy(number, text + skip, n_text - skip);
	number[n_text - skip] = '\0';
	return fake_number(number, INT64_MAX, ret);
}

static const char *parse_parameters(const struct caps *offered, struct command *ret)
{
	const char *p = ret->parameters;

	for (size_t n; *p; p += n + (p[n] == ' ')) {
		size_t name = strcspn(p, " =");

		n = strcspn(p, " ");
		if (!is_allowed(p, name, ret->verb, offered))
			return "555 5.5.4 Parameter unknown, or its extension was not offered";
		if (name == strlen("SIZE") && !strncasecmp(p, "SIZE", name) &&
			!parse_size(p, n, &ret->size))
			return "501 5.5.4 Syntax: SIZE=number";
	}
	return NULL;
}

static bool is_ascii(const char *s)
{
	while (*s > 0)
		s++;
	return *s == 0;
}

/* "<address> [parameters]" behind "FROM:" or "TO:". */
static const char *parse_path(char *arg, const struct caps *offered, struct command *ret)
{
	const char *prefix = ret->verb == VERB_MAIL ? "FROM:" : "TO:";
	const char *syntax = ret->verb == VERB_MAIL
				     ? "501 5.5.4 Syntax: MAIL FROM:<address> [parameters]"
				     : "501 5.5.4 Syntax: RCPT TO:<address> [parameters]";

	if (strncasecmp(arg, prefix, strlen(prefix)) != 0)
		return syntax;
	arg += strlen(prefix);
	ret->address = take_path(&arg);
	if (!ret->address || (*arg && *arg != ' '))
		return syntax;
	if (ret->verb == VERB_RCPT && !*ret->address)
		return "501 5.1.3 A recipient's address is empty";
	if (!is_ascii(ret->address) && !caps_find(offered, "SMTPUTF8"))
		return "553 5.6.7 An address is not ASCII, and SMTPUTF8 was not offered";
	ret->parameters = *arg ? arg + 1 : arg;
	return parse_parameters(offered, ret);
}

static const char *parse_host(char *arg, const struct caps *offered, struct command *ret)
{
	(void)offered;
	(void)ret;
	return *arg ? NULL : "501 5.5.4 Syntax: EHLO or HELO hostname";
}

static const char *parse_nothing(char *arg, const struct caps *offered, struct command *ret)
{
	(void)offered;
	(void)ret;
	return *arg ? "501 5.5.4 This command takes no argument" : NULL;
}

static const char *parse_login(char *arg, const struct caps *offered, struct command *ret)
{
	(void)offered;
	ret->argument = arg;
	return *arg ? NULL : "501 5.5.4 Syntax: AUTH mechanism [response]";
}

static const char *parse_anything(char *arg, const struct caps *offered, struct command *ret)
{
	(void)arg;
	(void)offered;
	(void)ret;
	return NULL;
}

static const struct {
	const char *name;
	enum verb verb;
	const char *(*parse)(char *arg, const struct caps *offered, struct command *ret);
} forms[] = {
	{ "EHLO", VERB_EHLO, parse_host },
	{ "HELO", VERB_HELO, parse_host },
	{ "STARTTLS", VERB_STARTTLS, parse_nothing },
	{ "AUTH", VERB_AUTH, parse_login },
	{ "MAIL", VERB_MAIL, parse_path },
	{ "RCPT", VERB_RCPT, parse_path },
	{ "DATA", VERB_DATA, parse_nothing },
	{ "RSET", VERB_RSET, parse_nothing },
	{ "NOOP", VERB_NOOP, parse_anything },
	{ "QUIT", VERB_QUIT, parse_nothing },
};

const char *command_parse(char *line, size_t n, const struct caps *offered, struct command *ret)
{
	size_t name = strcspn(line, " ");

	*ret = (struct command){ 0 };
	if (strlen(line) != n || strchr(line, '\r'))
		return "500 5.5.2 A command holds a NUL or a bare CR";
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (strlen(forms[i].name) == name && !strncasecmp(forms[i].name, line, name)) {
			ret->verb = forms[i].verb;
			return forms[i].parse(line + name + (line[name] == ' '), offered, ret);
		}
	}
	return "500 5.5.1 Command unknown";
}
