/*
 * The rules of fake-smtp: keeping and matching them. Reading them is parse.c.
 * Runs on: the one thread of fake-smtp. session.c asks at each moment of a dialogue.
 */
#include "script.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"

const char *verb_name(enum verb v)
{
	static const char *const names[] = {
#define X(name, text) text,
		VERB_LIST(X)
#undef X
	};

	return names[v];
}

struct script *script_new(void)
{
	struct script *s = fake_alloc(sizeof(*s));

	s->refs = 1;
	s->end = &s->first;
	return s;
}

struct script *script_ref(struct script *s)
{
	s->refs++;
	return s;
}

static void rule_free(struct rule *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->actions[i].text);
	free(r->actions);
	free(r->where);
	free(r->to);
	free(r->from);
	free(r);
}

void script_unref(struct script *s)
{
	struct rule *next;

	if (!s || --s->refs)
		return;
	for (struct rule *r = s->first; r; r = next) {
		next = r->next;
		rule_free(r);
	}
	free(s);
}

bool script_add(struct script *s, const char *where, const char *text, struct buf *err)
{
	struct rule *r = fake_alloc(sizeof(*r));

	r->where = fake_strdup(where);
	if (!parse_rule(r, text, err)) {
		rule_free(r);
		return false;
	}
	*s->end = r;
	s->end = &r->next;
	s->count++;
	return true;
}

/* One line of a script file, its line end included. */
static bool add_line(struct script *s, const char *where, char *line, struct buf *err)
{
	line[strcspn(line, "\r\n")] = '\0';
	line += strspn(line, " \t");
	return !*line || *line == '#' || script_add(s, where, line, err);
}

bool script_load(struct script *s, const char *path, struct buf *err)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;
	bool ok = true;

	if (!f) {
		buf_addf(err, "%s: %s", path, strerror(errno));
		return false;
	}
	for (unsigned number = 1; ok && getline(&line, &cap, f) >= 0; number++) {
		struct buf where = { 0 };

		buf_addf(&where, "%s:%u", path, number);
		ok = add_line(s, buf_z(&where), line, err);
		buf_done(&where);
	}
	if (ok && ferror(f)) {
		buf_addf(err, "%s: %s", path, strerror(errno));
		ok = false;
	}
	free(line);
	fclose(f);
	return ok;
}

static bool matches(const char *glob, const char *address)
{
	return fnmatch(glob, address, FNM_CASEFOLD) == 0;
}

static bool matches_any(const char *glob, const struct moment *m)
{
	for (size_t i = 0; i < m->to_count; i++) {
		if (matches(glob, m->to[i]))
			return true;
	}
	return false;
}

static bool fits(struct rule *r, const struct moment *m)
{
	if (r->verb != VERB_ANY && r->verb != m->verb)
		return false;
	if (m->accepted < r->after)
		return false;
	if (r->from && !(m->from && matches(r->from, m->from)))
		return false;
	if (r->to && !matches_any(r->to, m))
		return false;
	/* From here on it is a match, whether it is its turn or not. */
	r->seen++;
	if (r->every && r->seen % r->every)
		return false;
	return !r->times || r->fired < r->times;
}

const struct rule *script_find(struct script *s, const struct moment *m)
{
	for (struct rule *r = s->first; r; r = r->next) {
		if (fits(r, m)) {
			r->fired++;
			return r;
		}
	}
	return NULL;
}
