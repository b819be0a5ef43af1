/*
 * The grammar, by recursive descent; its head is in coldmail.conf(5):
 *   entry = name "=" value | name ["title"] "{" entries "}" | include "FILES"
 *   value = word | "string" | {} | {value, value}
 * After a problem it goes on at the next line or '}', so that one run tells all of them. Recursion
 * is bounded by CONF_DEPTH_MAX sections and as many includes.
 * Runs on: loop. Called by conf.c. Knows no key and no section by name.
 */
#include "conf_private.h"

#include <errno.h>
#include <glob.h>

#include "coldmail/err.h"

/* One file being read; OUTER is the one that includes it. */
struct parser {
	struct conf_load *load;
	struct conf_lexer lexer;
	struct conf_token token; /* the next one */
	struct conf_place last; /* of the one before */
	const struct parser *outer;
	int depth; /* of includes */
	int nesting; /* of sections */
	bool after_word; /* the entry before ended with a bare word */
};

static void parse_entries(
	struct parser *p, struct conf_node *section, const struct conf_place *opened);

static void advance(struct parser *p)
{
	if (p->token.at.src)
		p->last = p->token.at;
	conf_lexer_next(&p->lexer, &p->token);
}

/* The next token stands on this line. */
static bool is_here(const struct parser *p, enum conf_token_kind kind)
{
	return p->token.kind == kind && !p->token.is_first;
}

static const char *token_name(struct parser *p)
{
	struct mem_arena *a = &p->load->arena;

	switch (p->token.kind) {
	case CONF_TOKEN_WORD:
	case CONF_TOKEN_STRING:
		return mem_arena_printf(a, "'%s'", conf_shown(p->load, p->token.text));
	case CONF_TOKEN_EQUALS:
		return "'='";
	case CONF_TOKEN_OPEN:
		return "'{'";
	case CONF_TOKEN_CLOSE:
		return "'}'";
	case CONF_TOKEN_COMMA:
		return "','";
	case CONF_TOKEN_END:
	case CONF_TOKEN_BAD:
		break;
	}
	return "the file's end";
}

/* The next token is not what the grammar wants. A token that is BAD was told already. */
static void unexpected(struct parser *p, const char *name, const char *expected)
{
	const struct conf_token *t = &p->token;
	const bool is_eol = t->is_first && t->kind != CONF_TOKEN_END;

	if (t->kind != CONF_TOKEN_BAD)
		conf_error(p->load, p->last, "%s behind '%s', expected %s",
			is_eol ? "the line's end" : token_name(p), conf_shown(p->load, name),
			expected);
}

/* Skips to behind the '}' of a block that is open, or (ONE_LINE) to the next line before that. */
static void skip_block(struct parser *p, bool one_line)
{
	int open = 1;

	while (open && p->token.kind != CONF_TOKEN_END && !(one_line && p->token.is_first)) {
		open += p->token.kind == CONF_TOKEN_OPEN;
		open -= p->token.kind == CONF_TOKEN_CLOSE;
		advance(p);
	}
}

/* Skips what is left of the line, with the blocks that open on it; stops before a '}' that closes
 * what was open before. */
static void recover(struct parser *p)
{
	while (p->token.kind != CONF_TOKEN_END && p->token.kind != CONF_TOKEN_CLOSE &&
		!p->token.is_first) {
		const bool is_block = p->token.kind == CONF_TOKEN_OPEN;

		advance(p);
		if (is_block)
			skip_block(p, false);
	}
}

/* One more entry or item. */
static void count(struct parser *p, struct conf_place at)
{
	struct conf_load *l = p->load;

	if (++l->n_nodes <= CONF_NODES_MAX)
		return;
	conf_error(l, at, "more than %d entries, expected fewer", CONF_NODES_MAX);
	l->gave_up = true;
}

static struct conf_node *add_node(
	struct parser *p, struct conf_node *section, const char *name, struct conf_place at)
{
	struct conf_node *node = mem_arena_get(&p->load->arena, sizeof *node);

	*node = (struct conf_node){ .name = name, .at = at };
	if (section->last)
		section->last->next = node;
	else
		section->first = node;
	section->last = node;
	count(p, at);
	return node;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* The token that is there. */
static void take_text(struct parser *p, struct conf_value *ret)
{
	*ret = (struct conf_value){
		.kind = CONF_VALUE_TEXT, .text = p->token.text, .at = p->token.at
	};
	p->after_word = p->token.kind == CONF_TOKEN_WORD;
	advance(p);
}

/* Behind its '{'. Lists of lists are no values of any key, so there are none. */
static void parse_list(struct parser *p, const char *name, struct conf_value *ret)
{
	struct conf_value **tail = &ret->items;

	ret->kind = CONF_VALUE_LIST;
	while (p->token.kind == CONF_TOKEN_WORD || p->token.kind == CONF_TOKEN_STRING) {
		*tail = mem_arena_get(&p->load->arena, sizeof **tail);
		take_text(p, *tail);
		count(p, (*tail)->at);
		tail = &(*tail)->next;
		ret->n++;
		if (p->token.kind != CONF_TOKEN_COMMA)
			break;
		advance(p);
	}
	p->after_word = false;
	if (p->token.kind == CONF_TOKEN_CLOSE) {
		advance(p);
		return;
	}
	ret->kind = CONF_VALUE_BAD;
	if (p->token.kind != CONF_TOKEN_BAD)
		conf_error(p->load, p->token.at, "%s in the list of '%s', expected ',' or '}'",
			token_name(p), conf_shown(p->load, name));
	skip_block(p, true);
}

/* Behind the '=' of NAME. What is broken is BAD. */
static void parse_value(struct parser *p, const char *name, struct conf_value *ret)
{
	*ret = (struct conf_value){ .kind = CONF_VALUE_BAD, .at = p->token.at };
	if (is_here(p, CONF_TOKEN_WORD) || is_here(p, CONF_TOKEN_STRING)) {
		take_text(p, ret);
	} else if (is_here(p, CONF_TOKEN_OPEN)) {
		advance(p);
		parse_list(p, name, ret);
	} else {
		unexpected(p, mem_arena_printf(&p->load->arena, "%s =", name), "a value");
		recover(p);
	}
}

/* ---- entries --------------------------------------------------------------------------------- */

/* An untitled section that stands there already goes on. */
static struct conf_node *open_section(struct parser *p, struct conf_node *section, const char *name,
	const char *title, struct conf_place at)
{
	if (!title)
		for (struct conf_node *n = section->first; n; n = n->next)
			if (n->is_section && !n->title && str_eq(n->name, name))
				return n;
	struct conf_node *node = add_node(p, section, name, at);

	node->is_section = true;
	node->title = title;
	return node;
}

/* Behind its '{'. */
static void parse_section(struct parser *p, struct conf_node *section, const char *name,
	const char *title, struct conf_place at)
{
	if (p->nesting == CONF_DEPTH_MAX) {
		conf_error(p->load, at,
			"section '%s' is nested too deep, expected at most %d levels",
			conf_shown(p->load, name), CONF_DEPTH_MAX);
		skip_block(p, false);
		return;
	}
	p->nesting++;
	parse_entries(p, open_section(p, section, name, title, at), &at);
	p->nesting--;
}

/* Words behind the value of such a key may be the rest of a secret that stands where its file belongs. */
static bool is_secretive(const struct conf_node *n)
{
	return n && (strcasestr(n->name, "password") || strcasestr(n->name, "secret") ||
			    strcasestr(n->name, "token"));
}

/* What is neither a key nor a section: present, so that nobody also says it is missing. */
static void parse_neither(struct parser *p, struct conf_node *section, const char *name,
	struct conf_place at, bool after_word)
{
	if (after_word)
		conf_error(p->load, at,
			"'%s' behind a value, expected quotes around words that belong "
			"together",
			is_secretive(section->last) ? "***" : conf_shown(p->load, name));
	else
		unexpected(p, name, "'=' or '{'");
	add_node(p, section, name, at)->value.kind = CONF_VALUE_BAD;
	recover(p);
}

static void parse_entry(struct parser *p, struct conf_node *section)
{
	const struct conf_token name = p->token;
	const bool after_word = p->after_word && !name.is_first;
	const char *title = NULL;

	p->after_word = false;
	advance(p);
	if (is_here(p, CONF_TOKEN_EQUALS)) {
		advance(p);
		parse_value(p, name.text, &add_node(p, section, name.text, name.at)->value);
		return;
	}
	const bool is_bare = is_here(p, CONF_TOKEN_WORD);
	if (is_bare || is_here(p, CONF_TOKEN_STRING)) {
		title = p->token.text;
		advance(p);
	}
	if (p->token.kind != CONF_TOKEN_OPEN) {
		parse_neither(p, section, name.text, name.at, after_word);
		return;
	}
	if (is_bare)
		conf_error(p->load, name.at, "a title without quotes, expected %s \"%s\"",
			conf_shown(p->load, name.text), conf_shown(p->load, title));
	advance(p);
	parse_section(p, section, name.text, title, name.at);
}

/* ---- includes -------------------------------------------------------------------------------- */

static bool is_open_already(const struct parser *p, const struct conf_source *src)
{
	for (; p; p = p->outer)
		if (p->lexer.src->dev == src->dev && p->lexer.src->ino == src->ino)
			return true;
	return false;
}

static void include_file(
	struct parser *p, struct conf_node *section, const char *name, struct conf_place at)
{
	struct conf_load *l = p->load;

	if (l->n_sources == CONF_FILES_MAX) {
		conf_error(l, at, "more than %d files, expected fewer", CONF_FILES_MAX);
		l->gave_up = true;
		return;
	}
	const struct conf_source *src = conf_source_read(l, name, &at);
	if (!src)
		return;
	if (is_open_already(p, src)) {
		conf_error(
			l, at, "'%s' includes itself, expected another file", conf_shown(l, name));
		return;
	}
	struct parser inner = {
		.load = l, .outer = p, .depth = p->depth + 1, .nesting = p->nesting
	};

	conf_lexer_init(&inner.lexer, l, src);
	advance(&inner);
	parse_entries(&inner, section, NULL);
}

/* A directory that is not there has no files; any other that cannot be listed is an error. */
static int on_glob_error(const char *path, int err)
{
	(void)path;
	return err != ENOENT;
}

/* A pattern without a match is an empty directory; a plain name without one is an error. */
static void include_files(
	struct parser *p, struct conf_node *section, const char *pattern, struct conf_place at)
{
	const char *path = conf_source_path(p->load, at.src, pattern);
	glob_t found = { 0 };
	int rc = strpbrk(pattern, "*?[") ? glob(path, 0, on_glob_error, &found) : -1;

	if (rc == -1)
		include_file(p, section, path, at);
	else if (rc && rc != GLOB_NOMATCH)
		conf_error(p->load, at, "cannot list '%s', expected a directory that can be read",
			conf_shown(p->load, path));
	for (size_t i = 0; !rc && i < found.gl_pathc && !p->load->gave_up; i++)
		include_file(p, section, found.gl_pathv[i], at);
	globfree(&found);
}

static void parse_include(struct parser *p, struct conf_node *section)
{
	const struct conf_place at = p->token.at;

	p->after_word = false;
	advance(p);
	if (!is_here(p, CONF_TOKEN_STRING)) {
		unexpected(p, "include", "include \"FILES\"");
		recover(p);
		return;
	}
	const char *pattern = p->token.text;
	advance(p);
	if (p->depth == CONF_DEPTH_MAX)
		conf_error(p->load, at, "includes are nested too deep, expected at most %d levels",
			CONF_DEPTH_MAX);
	else
		include_files(p, section, pattern, at);
}

/* No entry begins here. */
static void parse_nothing(struct parser *p)
{
	const enum conf_token_kind kind = p->token.kind;

	if (kind == CONF_TOKEN_CLOSE)
		conf_error(p->load, p->token.at, "'}' closes nothing, expected an entry");
	else if (kind != CONF_TOKEN_BAD)
		conf_error(p->load, p->token.at, "%s at the start of an entry, expected a name",
			token_name(p));
	advance(p);
	if (kind == CONF_TOKEN_OPEN)
		skip_block(p, false);
	else if (kind != CONF_TOKEN_CLOSE)
		recover(p);
}

/* Up to the '}' of the SECTION that was opened at OPENED, or to the end of the file (NULL). */
static void parse_entries(
	struct parser *p, struct conf_node *section, const struct conf_place *opened)
{
	while (p->token.kind != CONF_TOKEN_END) {
		if (p->token.kind == CONF_TOKEN_CLOSE && opened) {
			p->after_word = false;
			advance(p);
			return;
		}
		if (p->token.kind != CONF_TOKEN_WORD)
			parse_nothing(p);
		else if (str_eq(p->token.text, "include"))
			parse_include(p, section);
		else
			parse_entry(p, section);
	}
	if (opened)
		conf_error(p->load, *opened,
			"'%s' is not closed, expected '}' before the file's end",
			conf_shown(p->load, section->name));
}

void conf_parse(struct conf_load *l, const struct conf_source *src)
{
	struct parser p = { .load = l };

	l->root = mem_arena_get(&l->arena, sizeof *l->root);
	*l->root = (struct conf_node){ .name = "", .at = { src, 1 }, .is_section = true };
	conf_lexer_init(&p.lexer, l, src);
	advance(&p);
	parse_entries(&p, l->root, NULL);
}

struct conf_value conf_parse_value(struct conf_load *l, const char *text)
{
	struct conf_source *src = mem_arena_get(&l->arena, sizeof *src);
	struct parser p = { .load = l };
	struct conf_value v;

	*src = (struct conf_source){ .name = "default", .text = text, .len = strlen(text) };
	conf_lexer_init(&p.lexer, l, src);
	advance(&p);
	p.token.is_first = false;
	parse_value(&p, "default", &v);
	bug_if(v.kind == CONF_VALUE_BAD, "a default that does not parse: %s", text);
	return v;
}

const struct conf_node *conf_node_find(const struct conf_node *section, const char *name)
{
	for (const struct conf_node *n = section ? section->first : NULL; n; n = n->next)
		if (str_eq(n->name, name))
			return n;
	return NULL;
}
