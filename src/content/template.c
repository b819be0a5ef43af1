/*
 * Templates: a file becomes two programs, once, and every mistake in it is found before the first
 * mail instead of in somebody's inbox.
 * Runs on: loop (and `--check`). Called by the corridor when a configuration is taken over. The text
 * is a user's: it may hold anything, and gets one problem with its line. Never reads a file itself.
 */
#include "coldmail/content.h"

#include <glib.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "coldmail/err.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

#include "content_private.h"

#define NESTING_MAX 8

/* An {{#if}} whose {{/if}} is still to come. */
struct open_if {
	size_t op; /* the IF, or behind {{else}} the JUMP: its `to` is set when it is known */
	int line;
	bool has_else;
};

struct parser {
	struct content_template *t; /* what is made */
	struct content_program *program; /* the one being filled */
	const char *file;
	int line;
	const char *p; /* what is to be read next */
	const char *line_start; /* of the line P is in */
	bool is_body;
	struct str text; /* read and not yet an op */
	struct open_if open[NESTING_MAX];
	size_t depth;
	char *problem; /* owned; the first and only one */
};

__attribute__((format(printf, 2, 3))) static int fail(struct parser *p, const char *fmt, ...)
{
	struct str s = STR_INIT;
	va_list ap;

	str_addf(&s, "%s:%d: ", p->file, p->line);
	va_start(ap, fmt);
	str_vaddf(&s, fmt, ap);
	va_end(ap);
	p->problem = str_take(&s);
	return CM_EINVAL;
}

/* ---- ops -------------------------------------------------------------------------------------- */

static struct content_op *add_op(struct parser *p, enum content_op_kind kind, const char *text)
{
	struct content_program *g = p->program;

	mem_grow(g->ops, g->cap, g->n + 1);
	g->ops[g->n] = (struct content_op){ .kind = kind, .text = text };
	return &g->ops[g->n++];
}

static void flush_text(struct parser *p)
{
	if (!p->text.len)
		return;
	add_op(p, CONTENT_OP_TEXT, mem_arena_ndup(&p->t->mem, p->text.p, p->text.len));
	str_reset(&p->text);
}

/* ---- tags ------------------------------------------------------------------------------------- */

/* A field's name from the N bytes at S, as the columns of a leads file are named; NULL: none. */
static const char *field_name(struct parser *p, const char *s, size_t n)
{
	char *name = str_trim(mem_arena_ndup(&p->t->mem, s, n));

	for (const char *c = name; *c; c++)
		if (!g_ascii_isalnum(*c) && *c != '_' && (unsigned char)*c < 0x80)
			return NULL;
	str_lower(name);
	return *name ? name : NULL;
}

static int add_var(struct parser *p, const char *tag)
{
	size_t n = strcspn(tag, "|");
	const char *name = field_name(p, tag, n);

	if (!name)
		return fail(p,
			"{{%s}}: not a field, expected {{name}} or {{name|default}} with a name of "
			"letters, digits and _, or {{#if name}}",
			tag);
	flush_text(p);
	struct content_op *op = add_op(p, CONTENT_OP_VAR, name);
	if (tag[n])
		op->fallback = str_trim(mem_arena_dup(&p->t->mem, tag + n + 1));
	return 0;
}

static int open_if(struct parser *p, const char *tag)
{
	const char *name = field_name(p, tag, strlen(tag));

	if (!name)
		return fail(p, "{{#if%s}}: not a field, expected {{#if name}}", tag);
	if (p->depth == NESTING_MAX)
		return fail(p, "{{#if %s}}: more than %d conditionals inside of each other", name,
			NESTING_MAX);
	flush_text(p);
	p->open[p->depth++] = (struct open_if){ .op = p->program->n, .line = p->line };
	add_op(p, CONTENT_OP_IF, name);
	return 0;
}

/* What the innermost {{#if}} skips ends here. */
static void land(struct parser *p)
{
	p->program->ops[p->open[p->depth - 1].op].to = p->program->n;
}

static int add_else(struct parser *p)
{
	if (!p->depth || p->open[p->depth - 1].has_else)
		return fail(p, "{{else}} without its {{#if}}");
	flush_text(p);
	add_op(p, CONTENT_OP_JUMP, NULL);
	land(p);
	p->open[p->depth - 1].op = p->program->n - 1;
	p->open[p->depth - 1].has_else = true;
	return 0;
}

static int close_if(struct parser *p)
{
	if (!p->depth)
		return fail(p, "{{/if}} without its {{#if}}");
	flush_text(p);
	land(p);
	p->depth--;
	return 0;
}

static bool is_blank(const char *s, size_t n)
{
	return strspn(s, " \t") >= n;
}

/* Moves behind the rest of the line, its end included. */
static void skip_line(struct parser *p)
{
	p->p += strcspn(p->p, "\n");
	if (*p->p != '\n')
		return;
	p->p++;
	p->line++;
	p->line_start = p->p;
}

/* P->p stands behind TAG, whose braces began at START. A conditional alone on its line of the body
 * takes the line with it. */
static int parse_conditional(struct parser *p, const char *tag, const char *start)
{
	size_t before = (size_t)(start - p->line_start);
	bool is_alone = p->is_body && is_blank(p->line_start, before) &&
			is_blank(p->p, strcspn(p->p, "\n"));

	if (is_alone)
		p->text.len -= before;
	int rc = str_eq(tag, "else")  ? add_else(p)
		 : str_eq(tag, "/if") ? close_if(p)
				      : open_if(p, tag + strlen("#if"));
	if (is_alone && !rc)
		skip_line(p);
	return rc;
}

/* P->p stands at "{{". */
static int parse_tag(struct parser *p)
{
	const char *start = p->p, *inner = start + 2;
	size_t n = strcspn(inner, "{}\n");

	if (inner[n] != '}' || inner[n + 1] != '}')
		return fail(p, "{{ without its }}, expected on the same line");
	const char *tag = str_trim(mem_arena_ndup(&p->t->mem, inner, n));

	p->p = inner + n + 2;
	if (str_eq(tag, "else") || str_eq(tag, "/if") || str_eq(tag, "#if") ||
		str_starts(tag, "#if "))
		return parse_conditional(p, tag, start);
	if (*tag == '#' || *tag == '/')
		return fail(
			p, "{{%s}} is not known, expected {{#if name}}, {{else}} or {{/if}}", tag);
	return add_var(p, tag);
}

/* "{first_name}": another program's way of writing a field, and sure to be mailed as it stands. */
static bool is_single_braced(const char *s)
{
	size_t n = *s == '{' ? strspn(s + 1, "abcdefghijklmnopqrstuvwxyz_") : 0;

	return n > 0 && s[1 + n] == '}';
}

/* P->p stands at a brace. */
static int parse_brace(struct parser *p)
{
	if (str_starts(p->p, "{{"))
		return parse_tag(p);
	if (str_starts(p->p, "}}"))
		return fail(p, "}} without its {{");
	if (is_single_braced(p->p))
		return fail(p, "a field in single braces, expected {{%.*s}}",
			(int)strcspn(p->p + 1, "}"), p->p + 1);
	str_addc(&p->text, *p->p++);
	return 0;
}

/* Text up to the next brace or the end of the line. */
static void take_text(struct parser *p)
{
	size_t n = strcspn(p->p, "{}\n");

	str_add(&p->text, p->p, n);
	p->p += n;
	if (*p->p != '\n')
		return;
	str_addc(&p->text, '\n');
	p->p++;
	p->line++;
	p->line_start = p->p;
}

/* Parses TEXT, which begins on line P->line, into PROGRAM. */
static int parse_program(struct parser *p, struct content_program *program, const char *text)
{
	p->program = program;
	p->p = p->line_start = text;
	while (*p->p) {
		take_text(p);
		int rc = *p->p == '{' || *p->p == '}' ? parse_brace(p) : 0;
		if (rc)
			return rc;
	}
	flush_text(p);
	if (p->depth) {
		p->line = p->open[p->depth - 1].line;
		return fail(p, "{{#if}} without its {{/if}}");
	}
	return 0;
}

/* ---- the file --------------------------------------------------------------------------------- */

/* The text without BOM and with LF line ends, in the template's arena. */
static char *normalised(struct parser *p, const char *text)
{
	if (str_starts(text, "\xEF\xBB\xBF"))
		text += 3;
	char *copy = mem_arena_dup(&p->t->mem, text), *to = copy;

	for (const char *from = copy; *from; from++) {
		if (from[0] == '\r' && from[1] == '\n')
			continue;
		*to++ = *from == '\r' ? '\n' : *from;
	}
	*to = '\0';
	return copy;
}

static bool has_control(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (((unsigned char)s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7F)
			return true;
	return false;
}

static int check_lines(struct parser *p, const char *text)
{
	for (p->line = 1; *text; p->line++) {
		size_t n = strcspn(text, "\n");

		if (!str_is_utf8(text, n))
			return fail(p, "not UTF-8 text, expected a file saved as UTF-8");
		if (has_control(text, n))
			return fail(p, "a control character, expected text");
		text += n + (text[n] == '\n');
	}
	return 0;
}

/* What a draft is compared by: the words, not the line ends of the editor that wrote them. */
static void set_hash(struct content_template *t, const char *text)
{
	GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);

	g_checksum_update(sum, (const guchar *)(t->same_thread ? "same\n" : "new\n"), -1);
	g_checksum_update(sum, (const guchar *)text, -1);
	memcpy(t->hash, g_checksum_get_string(sum), sizeof t->hash);
	g_checksum_free(sum);
}

/* The header's one line. *TEXT moves behind it. */
static int parse_subject(struct parser *p, char **text)
{
	char *line = *text, *value = line + strlen("Subject:");
	size_t n = strcspn(line, "\n");

	if (!str_istarts(line, "Subject:"))
		return fail(p, "the first line is not a Subject, expected 'Subject: …', an empty "
			       "line, then the body");
	*text = line + n + (line[n] != '\0');
	line[n] = '\0';
	value = str_trim(value);
	if (!*value)
		return fail(p, "an empty Subject, expected 'Subject: …'");
	return parse_program(p, &p->t->subject, value);
}

/* An empty line stands between header and body. */
static int parse_empty_line(struct parser *p, char **text)
{
	size_t n = strcspn(*text, "\n");

	p->line = 2;
	if (str_istarts(*text, "Subject:"))
		return fail(p, "a second Subject, expected one");
	if (!is_blank(*text, n))
		return fail(p, "%.*s, expected an empty line between Subject and body",
			(int)str_utf8_cut(*text, n, 40), *text);
	*text += n + ((*text)[n] != '\0');
	p->line = 3;
	return 0;
}

static int parse_header(struct parser *p, char **text)
{
	p->line = 1;
	if (!p->t->same_thread) {
		int rc = parse_subject(p, text);

		return rc ? rc : parse_empty_line(p, text);
	}
	if (str_istarts(*text, "Subject:"))
		return fail(p, "a Subject, expected none: with thread = same the mail answers");
	return 0;
}

static int parse_file(struct parser *p, const char *raw)
{
	char *text = normalised(p, raw);
	int rc = check_lines(p, text);

	if (rc)
		return rc;
	set_hash(p->t, text);
	rc = parse_header(p, &text);
	if (rc)
		return rc;
	if (!text[strspn(text, " \t\n")])
		return fail(p, "no body, expected text");
	p->is_body = true;
	return parse_program(p, &p->t->body, text);
}

int content_template_parse(const char *text, const char *file, bool same_thread,
	struct content_template **ret, char **ret_problem)
{
	struct content_template *t = xcalloc(1, sizeof *t);
	struct parser p = { .t = t, .file = file };

	t->same_thread = same_thread;
	int rc = parse_file(&p, text);
	str_done(&p.text);
	if (rc) {
		content_template_free(t);
		*ret_problem = p.problem;
		return rc;
	}
	*ret = t;
	return 0;
}

void content_template_free(struct content_template *t)
{
	if (!t)
		return;
	free(t->subject.ops);
	free(t->body.ops);
	mem_arena_done(&t->mem);
	free(t);
}

const char *content_template_hash(const struct content_template *t)
{
	return t->hash;
}
