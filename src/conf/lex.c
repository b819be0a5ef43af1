/*
 * Tokens of the configuration language: words, strings with their escapes and ${NAME}s, and the
 * four marks = { } ,. A token that is broken is told here, with its column, and comes out as BAD.
 * Runs on: loop. Called by parse.c. Reads the environment; never reads past the source's end.
 */
#include "conf_private.h"

#include <ctype.h>

void conf_lexer_init(struct conf_lexer *x, struct conf_load *l, const struct conf_source *src)
{
	*x = (struct conf_lexer){
		.load = l,
		.src = src,
		.p = src->text,
		.end = src->text + src->len,
		.line = 1,
		.is_first = true,
	};
}

/* In characters, from 1: what an editor shows. */
static int column_of(const struct conf_lexer *x, const char *p)
{
	int column = 1;

	for (const char *q = p; q > x->src->text && q[-1] != '\n'; q--)
		column += ((unsigned char)q[-1] & 0xC0) != 0x80;
	return column;
}

static void skip_blanks(struct conf_lexer *x)
{
	for (; x->p < x->end; x->p++) {
		if (*x->p == '\n') {
			x->line++;
			x->is_first = true;
		} else if (*x->p == '#') {
			const char *eol = memchr(x->p, '\n', (size_t)(x->end - x->p));

			x->p = (eol ? eol : x->end) - 1;
		} else if (*x->p != ' ' && *x->p != '\t' && *x->p != '\r') {
			return;
		}
	}
}

static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7F;
}

static bool is_word(char c)
{
	return !is_control(c) && !strchr(" \"{}=,#", c);
}

static void bad(struct conf_lexer *x, struct conf_token *t, const char *p, const char *what)
{
	conf_error(x->load, t->at, "column %d: %s", column_of(x, p), what);
	t->kind = CONF_TOKEN_BAD;
}

static void lex_word(struct conf_lexer *x, struct conf_token *t)
{
	const char *start = x->p;

	while (x->p < x->end && is_word(*x->p))
		x->p++;
	t->kind = CONF_TOKEN_WORD;
	t->text = mem_arena_ndup(&x->load->arena, start, (size_t)(x->p - start));
	if (strstr(t->text, "\xE2\x80\x9C") || strstr(t->text, "\xE2\x80\x9D"))
		bad(x, t, start, "a typographic quote, expected the plain \"");
	else if (x->p[-1] == '$' && x->p < x->end && *x->p == '{')
		bad(x, t, start, "${NAME} outside of a string, expected \"${NAME}\"");
}

/* ${NAME} at x->p. */
static bool lex_variable(struct conf_lexer *x, struct conf_token *t, struct str *out)
{
	const char *dollar = x->p, *p = dollar + 2;

	while (p < x->end && (isalnum((unsigned char)*p) || *p == '_'))
		p++;
	if (p == dollar + 2 || p >= x->end || *p != '}') {
		x->p += 2;
		bad(x, t, dollar, "'${' without a name, expected ${NAME} from the environment");
		return false;
	}
	const char *name = mem_arena_ndup(&x->load->arena, dollar + 2, (size_t)(p - dollar - 2));
	const char *value = getenv(name);

	x->p = p + 1;
	if (value && str_is_utf8(value, strlen(value))) {
		str_adds(out, value);
		return true;
	}
	const char *flaw = value ? "is not UTF-8" : "is not set";

	bad(x, t, dollar,
		mem_arena_printf(&x->load->arena, "${%s} %s, expected it in the environment",
			conf_shown(x->load, name), flaw));
	return false;
}

/* \" \\ \n at x->p. */
static bool lex_escape(struct conf_lexer *x, struct conf_token *t, struct str *out)
{
	char c = x->p + 1 < x->end ? x->p[1] : '\n';

	if (c != '"' && c != '\\' && c != 'n') {
		bad(x, t, x->p, "an unknown escape, expected \\\" \\\\ or \\n");
		x->p++;
		return false;
	}
	str_addc(out, c == 'n' ? '\n' : c);
	x->p += 2;
	return true;
}

/* Goes on to the closing quote after a problem, so that what follows is read as what it is. */
static void lex_string(struct conf_lexer *x, struct conf_token *t)
{
	const char *start = x->p;
	struct str out = STR_INIT;
	bool ok = true, is_closed = false;

	t->kind = CONF_TOKEN_STRING;
	for (x->p++; x->p < x->end && *x->p != '\n' && !is_closed;) {
		if (*x->p == '"') {
			is_closed = true;
			x->p++;
		} else if (*x->p == '\\') {
			ok = lex_escape(x, t, &out) && ok;
		} else if (*x->p == '$' && x->p + 1 < x->end && x->p[1] == '{') {
			ok = lex_variable(x, t, &out) && ok;
		} else {
			str_addc(&out, *x->p++);
		}
	}
	if (!is_closed && ok)
		bad(x, t, start, "a string without its end, expected '\"' on the same line");
	t->text = mem_arena_ndup(&x->load->arena, str_z(&out), out.len);
	str_done(&out);
}

/* A load that gave up is at its end. */
void conf_lexer_next(struct conf_lexer *x, struct conf_token *ret)
{
	skip_blanks(x);
	*ret = (struct conf_token){
		.kind = CONF_TOKEN_END,
		.at = { x->src, x->line },
		.is_first = x->is_first,
	};
	x->is_first = false;
	if (x->p >= x->end || x->load->gave_up)
		return;
	switch (*x->p) {
	case '=':
		ret->kind = CONF_TOKEN_EQUALS;
		break;
	case '{':
		ret->kind = CONF_TOKEN_OPEN;
		break;
	case '}':
		ret->kind = CONF_TOKEN_CLOSE;
		break;
	case ',':
		ret->kind = CONF_TOKEN_COMMA;
		break;
	case '"':
		lex_string(x, ret);
		return;
	default:
		if (is_word(*x->p)) {
			lex_word(x, ret);
			return;
		}
		bad(x, ret, x->p, "a control character, expected text");
	}
	x->p++;
}
