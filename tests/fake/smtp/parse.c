/*
 * The grammar of fake-smtp's rules, by recursive descent over one line. The first mistake ends it,
 * with one message that names the rule's place and what was expected there.
 * Runs on: the one thread of fake-smtp. Called by script.c.
 */
#include "parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	DELAY_MAX_MS = 3600 * 1000,
	CODE_MIN = 200,
	CODE_MAX = 599,
};

struct parser {
	const char *p; /* what is left of the line */
	const char *where;
	struct buf *err;
	struct buf word; /* the last word, escapes resolved */
	bool quoted; /* the last word was in quotes */
};

__attribute__((format(printf, 2, 3))) static bool fail(struct parser *ps, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	buf_addf(ps->err, "%s: %s", ps->where, what);
	return false;
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef0123456789ABCDEF", *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) % 16 : -1;
}

/* The escape behind a backslash, which has been read. */
static bool escape(struct parser *ps)
{
	static const char from[] = "nrt\"\\", to[] = "\n\r\t\"\\";
	const char *at = *ps->p ? strchr(from, *ps->p) : NULL;

	if (at) {
		buf_add(&ps->word, &to[at - from], 1);
		ps->p++;
		return true;
	}
	if (*ps->p == 'x' && hex_digit(ps->p[1]) >= 0 && hex_digit(ps->p[2]) >= 0) {
		char c = (char)(hex_digit(ps->p[1]) * 16 + hex_digit(ps->p[2]));

		buf_add(&ps->word, &c, 1);
		ps->p += 3;
		return true;
	}
	return fail(ps, "unknown escape after '\\', expected one of \\n \\r \\t \\\" \\\\ \\xHH");
}

/* Characters up to END into ps->word. */
static bool take_until(struct parser *ps, const char *end)
{
	buf_reset(&ps->word);
	while (ps->p < end) {
		char c = *ps->p++;

		if (c != '\\')
			buf_add(&ps->word, &c, 1);
		else if (!escape(ps))
			return false;
	}
	return true;
}

static bool take_quoted(struct parser *ps)
{
	const char *end = ++ps->p;

	while (*end && *end != '"')
		end += end[0] == '\\' && end[1] ? 2 : 1;
	if (!*end)
		return fail(ps, "a quoted text has no closing '\"'");
	if (!take_until(ps, end))
		return false;
	ps->p = end + 1;
	ps->quoted = true;
	if (*ps->p && !strchr(" \t", *ps->p))
		return fail(ps, "expected a blank after the closing '\"', found '%s'", ps->p);
	return true;
}

static void skip_blanks(struct parser *ps)
{
	ps->p += strspn(ps->p, " \t");
}

/* The next word into ps->word; empty and unquoted at the end of the line. */
static bool next(struct parser *ps)
{
	skip_blanks(ps);
	ps->quoted = false;
	if (*ps->p == '"')
		return take_quoted(ps);
	return take_until(ps, ps->p + strcspn(ps->p, " \t"));
}

static bool at_end(const struct parser *ps)
{
	return !buf_len(&ps->word) && !ps->quoted;
}

static bool is_word(struct parser *ps, const char *word)
{
	return !ps->quoted && strcmp(buf_z(&ps->word), word) == 0;
}

/* How messages show the last word. */
static const char *shown(struct parser *ps)
{
	return at_end(ps) ? "end of line" : buf_z(&ps->word);
}

static bool next_number(struct parser *ps, const char *what, uint64_t max, uint64_t *ret)
{
	if (!next(ps))
		return false;
	if (fake_number(buf_z(&ps->word), max, ret))
		return true;
	return fail(ps, "found '%s', expected a number after '%s' (at most %llu)", shown(ps), what,
		(unsigned long long)max);
}

/* The last word becomes the action's text. */
static void take_text(struct parser *ps, struct action *a)
{
	a->len = buf_len(&ps->word);
	a->text = fake_alloc(a->len + 1);
	if (a->len)
		memcpy(a->text, buf_at(&ps->word), a->len);
}

/* Where a reply's text ends that is not in quotes: before " then ACTION", or at the line's end. */
static const char *text_end(const char *p);

static bool parse_reply(struct parser *ps, struct action *a)
{
	uint64_t code;

	if (!next_number(ps, "reply", CODE_MAX, &code))
		return false;
	if (code < CODE_MIN)
		return fail(ps, "found '%s', expected a reply code from %d to %d", shown(ps),
			CODE_MIN, CODE_MAX);
	a->code = (int)code;
	if (ps->p[strspn(ps->p, " \t")] == '"') {
		if (!next(ps))
			return false;
	} else {
		const char *end = text_end(ps->p);

		if (end > ps->p)
			skip_blanks(ps);
		if (!take_until(ps, end))
			return false;
	}
	take_text(ps, a);
	return true;
}

static bool parse_delay(struct parser *ps, struct action *a)
{
	return next_number(ps, "delay", DELAY_MAX_MS, &a->ms);
}

static bool parse_partial(struct parser *ps, struct action *a)
{
	if (!next(ps))
		return false;
	if (at_end(ps))
		return fail(ps, "expected the bytes to send after 'partial', as in partial \"25\"");
	take_text(ps, a);
	return true;
}

static const struct action_form {
	const char *name;
	enum action_kind kind;
	bool (*parse)(struct parser *ps, struct action *a); /* NULL: takes no argument */
	bool answers; /* the client need not wait for more */
	bool ends; /* nothing can come after it */
} action_forms[] = {
	{ "accept", ACTION_ACCEPT, NULL, true, false },
	{ "reply", ACTION_REPLY, parse_reply, true, false },
	{ "delay", ACTION_DELAY, parse_delay, false, false },
	{ "partial", ACTION_PARTIAL, parse_partial, true, false },
	{ "drop", ACTION_DROP, NULL, true, true },
	{ "rst", ACTION_RST, NULL, true, true },
	{ "silence", ACTION_SILENCE, NULL, true, true },
};
enum {
	ACTION_FORMS = sizeof(action_forms) / sizeof(action_forms[0]),
};

static const struct action_form *find_form(const char *word, size_t n)
{
	for (size_t i = 0; i < ACTION_FORMS; i++) {
		if (strlen(action_forms[i].name) == n && !memcmp(action_forms[i].name, word, n))
			return &action_forms[i];
	}
	return NULL;
}

static const char *text_end(const char *p)
{
	static const char then[] = " then ";

	for (const char *at = p; (at = strstr(at, then)); at++) {
		const char *word = at + strlen(then);

		if (find_form(word, strcspn(word, " \t")))
			return at;
	}
	return p + strlen(p);
}

static struct action *add_action(struct rule *r, enum action_kind kind)
{
	struct action *a;

	r->actions = fake_grow(r->actions, (r->count + 1) * sizeof(*r->actions));
	a = &r->actions[r->count++];
	*a = (struct action){ .kind = kind };
	return a;
}

/* ACTION [then ACTION]... A rule that only delays goes on as if it were not there. */
static bool parse_actions(struct parser *ps, struct rule *r)
{
	const struct action_form *form;
	bool answered = false;

	do {
		if (!next(ps))
			return false;
		form = ps->quoted ? NULL : find_form(buf_z(&ps->word), buf_len(&ps->word));
		if (!form)
			return fail(ps,
				"found '%s', expected an action: accept, reply CODE [TEXT], delay "
				"MS, "
				"partial \"BYTES\", drop, rst or silence",
				shown(ps));
		if (form->parse && !form->parse(ps, add_action(r, form->kind)))
			return false;
		if (!form->parse)
			add_action(r, form->kind);
		answered |= form->answers;
		if (!next(ps))
			return false;
	} while (is_word(ps, "then") && !form->ends);
	if (!at_end(ps) && form->ends)
		return fail(
			ps, "found '%s', but nothing can come after '%s'", shown(ps), form->name);
	if (!at_end(ps))
		return fail(ps, "found '%s', expected 'then' or the end of the line", shown(ps));
	if (!answered)
		add_action(r, ACTION_ACCEPT);
	return true;
}

static bool parse_verb(struct parser *ps, struct rule *r)
{
	if (!next(ps))
		return false;
	for (int v = 0; v <= VERB_ANY; v++) {
		if (is_word(ps, verb_name((enum verb)v))) {
			r->verb = (enum verb)v;
			return true;
		}
	}
	return fail(ps,
		"found '%s', expected tls, connect, ehlo, helo, starttls, auth, mail, rcpt, data, "
		"body, dot, rset, noop, quit or any after 'on'",
		shown(ps));
}

/* A condition that can never hold is a mistake of the test's author. */
static bool has_envelope(enum verb v, enum verb since)
{
	return v == VERB_ANY || (v >= since && v <= VERB_DOT);
}

static bool parse_pattern(
	struct parser *ps, struct rule *r, const char *what, enum verb since, char **ret)
{
	if (!has_envelope(r->verb, since))
		return fail(ps, "'%s' cannot match at '%s', expected a verb from '%s' to 'dot'",
			what, verb_name(r->verb), verb_name(since));
	if (!next(ps))
		return false;
	if (at_end(ps))
		return fail(ps, "expected a pattern such as *@example.com after '%s'", what);
	free(*ret);
	*ret = buf_take(&ps->word);
	return true;
}

static bool parse_count(struct parser *ps, const char *what, uint64_t *ret)
{
	if (!next_number(ps, what, UINT32_MAX, ret))
		return false;
	return *ret ? true : fail(ps, "found 0, expected at least 1 after '%s'", what);
}

/* [to PATTERN] [from PATTERN] [after N] [times N] [every N], in any order, then "do". */
static bool parse_conditions(struct parser *ps, struct rule *r)
{
	for (;;) {
		bool ok;

		if (!next(ps))
			return false;
		if (is_word(ps, "do"))
			return true;
		if (is_word(ps, "to"))
			ok = parse_pattern(ps, r, "to", VERB_RCPT, &r->to);
		else if (is_word(ps, "from"))
			ok = parse_pattern(ps, r, "from", VERB_AUTH, &r->from);
		else if (is_word(ps, "after"))
			ok = next_number(ps, "after", UINT32_MAX, &r->after);
		else if (is_word(ps, "times"))
			ok = parse_count(ps, "times", &r->times);
		else if (is_word(ps, "every"))
			ok = parse_count(ps, "every", &r->every);
		else
			ok = fail(ps,
				"found '%s', expected 'do' or a condition (to, from, after, times, "
				"every)",
				shown(ps));
		if (!ok)
			return false;
	}
}

bool parse_rule(struct rule *r, const char *text, struct buf *err)
{
	struct parser ps = { .p = text, .where = r->where, .err = err };
	bool ok = next(&ps);

	if (ok && !is_word(&ps, "on"))
		ok = fail(&ps, "found '%s', expected a rule that begins with 'on'", shown(&ps));
	ok = ok && parse_verb(&ps, r) && parse_conditions(&ps, r) && parse_actions(&ps, r);
	buf_done(&ps.word);
	return ok;
}
