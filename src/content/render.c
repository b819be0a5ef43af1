/*
 * Rendering: a template and a lead become a mail's words, or one clear reason why not. What a
 * program puts where a name should stand ("Hi null,", "Hi ,", "Hi in,") is caught here.
 * Runs on: loop. Called by the corridor for every draft. Values are untrusted: any bytes, any
 * length; nothing of them can begin a line or end a header. Never sends, never stores.
 */
#include "coldmail/content.h"

#include <glib.h>
#include <string.h>

#include "coldmail/err.h"
#include "coldmail/str.h"

#include "content_private.h"

#define VALUE_MAX 1000 /* bytes: what is longer was not meant to stand in a sentence */

struct render {
	const struct lead *lead;
	struct mem_arena *a; /* borrowed: the caller's */
	struct str out;
	bool is_gap; /* a field or a conditional just came out empty */
	const char *why; /* in A; NULL while all is well */
};

/* ---- values ----------------------------------------------------------------------------------- */

/* Controls, Unicode line ends, marks that turn the reading direction, and every kind of space. */
static bool is_space_or_control(gunichar c)
{
	return c <= 0x20 || (c >= 0x7F && c <= 0xA0) || g_unichar_isspace(c) || c == 0x200B ||
	       c == 0x200E || c == 0x200F || (c >= 0x2028 && c <= 0x202E) ||
	       (c >= 0x2060 && c <= 0x2069) || c == 0xFEFF;
}

/* VALUE (valid UTF-8) as one line: trimmed, with one space where there were controls or spaces. */
static const char *one_line(struct mem_arena *a, const char *value)
{
	char *line = mem_arena_get(a, strlen(value) + 1);
	size_t n = 0;
	bool is_gap = false;

	while (*value) {
		size_t len = g_utf8_skip[(guchar)*value];

		if (is_space_or_control(g_utf8_get_char(value))) {
			is_gap = n > 0;
		} else {
			if (is_gap)
				line[n++] = ' ';
			is_gap = false;
			memcpy(line + n, value, len);
			n += len;
		}
		value += len;
	}
	line[n] = '\0';
	return line;
}

static const char *why_unusable(const char *value)
{
	if (strnlen(value, VALUE_MAX + 1) > VALUE_MAX)
		return "is longer than 1000 bytes";
	if (!str_is_utf8(value, strlen(value)))
		return "is not UTF-8 text";
	if (strstr(value, "{{") || strstr(value, "}}"))
		return "holds a placeholder instead of a value";
	return NULL;
}

/* Why a needed field has no value, for a person. */
static const char *why_missing(struct render *r, const char *name)
{
	const char *what = !lead_get(r->lead, name)     ? "is missing"
			   : str_eq(name, "first_name") ? "does not look like a first name"
							: "is empty";

	return mem_arena_printf(r->a, "field %s %s: correct it, or write {{%s|…}} with a default",
		name, what, name);
}

/* The value of a field as it may stand in a mail; NULL: not there, or r->why. */
static const char *value_of(struct render *r, const char *name)
{
	const char *value = lead_get(r->lead, name);
	const char *why = value ? why_unusable(value) : NULL;

	if (why)
		r->why = mem_arena_printf(r->a, "field %s %s: correct it", name, why);
	if (!value || why)
		return NULL;
	if (str_eq(name, "first_name"))
		return lead_first_name(r->a, r->lead);
	value = one_line(r->a, value);
	return lead_is_null_like(value) ? NULL : value;
}

/* ---- the programs ----------------------------------------------------------------------------- */

/* "the mail would read "Hi ,"": the end of its last line so far, and what comes next. */
static const char *why_bad_gap(struct render *r, char next)
{
	const char *end = str_z(&r->out) + r->out.len, *start = end;

	while (start > str_z(&r->out) && start[-1] != '\n' && end - start < 20)
		start--;
	while (((unsigned char)*start & 0xC0) == 0x80)
		start++;
	return mem_arena_printf(r->a,
		"the mail would read \"%s%c\": give the template a default or a conditional there",
		start, next);
}

/* Where something came out empty, "to  you" becomes "to you", and "Hi ," stops the mail. */
static const char *close_gap(struct render *r, const char *text)
{
	char before = r->out.len ? r->out.p[r->out.len - 1] : '\n';

	r->is_gap = false;
	if (before != ' ' && before != '\n')
		return text;
	if (*text && strchr(",.;:!?", *text))
		r->why = why_bad_gap(r, *text);
	return before == ' ' && *text == ' ' ? text + 1 : text;
}

static void add_text(struct render *r, const char *text)
{
	if (r->is_gap && *text)
		text = close_gap(r, text);
	str_adds(&r->out, text);
}

static void add_value(struct render *r, const struct content_op *op)
{
	const char *value = value_of(r, op->text);

	if (!value)
		value = op->fallback;
	if (!value && !r->why)
		r->why = why_missing(r, op->text);
	if (r->why)
		return;
	if (*value)
		add_text(r, value);
	else
		r->is_gap = true;
}

/* Runs PROGRAM into r->out. */
static int run(struct render *r, const struct content_program *program)
{
	for (size_t i = 0; i < program->n && !r->why; i++) {
		const struct content_op *op = &program->ops[i];

		switch (op->kind) {
		case CONTENT_OP_TEXT:
			add_text(r, op->text);
			break;
		case CONTENT_OP_VAR:
			add_value(r, op);
			break;
		case CONTENT_OP_IF:
			if (value_of(r, op->text))
				break;
			r->is_gap = true;
			i = op->to - 1;
			break;
		case CONTENT_OP_JUMP:
			i = op->to - 1;
			break;
		}
	}
	return r->why ? CM_EINVAL : 0;
}

/* ---- the mail --------------------------------------------------------------------------------- */

static int render_subject(struct render *r, const struct content_template *t, const char **ret)
{
	int rc = run(r, &t->subject);

	if (rc)
		return rc;
	const char *subject = one_line(r->a, str_z(&r->out));
	if (!*subject) {
		r->why = "the subject is empty: give the template a default";
		return CM_EINVAL;
	}
	*ret = subject;
	return 0;
}

/* No empty lines at either end, and never two in a row: conditionals leave them behind. */
static const char *tidy_body(struct mem_arena *a, const char *s)
{
	char *body = mem_arena_get(a, strlen(s) + 2), *to = body;
	bool is_gap = false;

	while (*s) {
		size_t n = strcspn(s, "\n");

		if (strspn(s, " \t") >= n) {
			is_gap = to > body;
		} else {
			if (is_gap)
				*to++ = '\n';
			is_gap = false;
			memcpy(to, s, n);
			to += n;
			*to++ = '\n';
		}
		s += n + (s[n] == '\n');
	}
	*to = '\0';
	return body;
}

static int render_body(struct render *r, const struct content_template *t, const char **ret)
{
	str_reset(&r->out);
	r->is_gap = false;
	int rc = run(r, &t->body);

	if (rc)
		return rc;
	const char *body = tidy_body(r->a, str_z(&r->out));
	if (!*body) {
		r->why = "the mail is empty: give the template text outside of its conditionals";
		return CM_EINVAL;
	}
	*ret = body;
	return 0;
}

int content_template_render(const struct content_template *t, const struct lead *l,
	struct mem_arena *a, struct content_text *ret, const char **ret_why)
{
	struct render r = { .lead = l, .a = a };
	struct content_text text = { 0 };
	int rc = t->same_thread ? 0 : render_subject(&r, t, &text.subject);

	if (!rc)
		rc = render_body(&r, t, &text.body);
	str_done(&r.out);
	if (rc)
		*ret_why = r.why;
	else
		*ret = text;
	return rc;
}
