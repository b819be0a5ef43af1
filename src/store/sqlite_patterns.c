/*
 * Suppressions that stop no mail: rows whose pattern is not in the canonical form, in which alone they
 * are looked up. `suppress` writes no other; somebody's own script may.
 * Runs on: lane 0, between groups (audit); the bulk lane, on a connection of its own (quick check).
 * Never takes a suppression away: what it means is written down first.
 */
#include "store_sqlite.h"

#include <stdlib.h>
#include <string.h>

#include "coldmail/err.h"

#define PAGE      128
#define SHOWN_MAX 200

/* The canonical form, owned by the caller; NULL: nobody can tell what it means. Whoever wrote "@x.com" or
 * "*.x.com" wants no mail to go there. */
static char *meaning_of(const char *raw)
{
	char *meant = NULL, *text = xstrdup(raw), *trimmed = str_trim(text), *at = NULL;
	const char *why;

	if (str_starts(trimmed, "@"))
		at = xasprintf("*%s", trimmed);
	else if (str_starts(trimmed, "*."))
		trimmed += 2;
	else if (str_starts(trimmed, "."))
		trimmed++;
	if (lead_pattern_canonical(at ? at : trimmed, &meant, &why))
		meant = NULL;
	free(at);
	free(text);
	return meant;
}

/* The bytes of the key as text in A, whatever its type; NULL: they are none. */
static const char *text_of(sqlite3_stmt *st, struct mem_arena *a)
{
	const char *s = sqlite3_column_blob(st, 0);
	size_t n = (size_t)sqlite3_column_bytes(st, 0);

	return s && n && !memchr(s, '\0', n) && str_is_utf8(s, n) ? mem_arena_ndup(a, s, n) : NULL;
}

static void add_odd(struct store_patterns *p, sqlite3_stmt *st, struct mem_arena *a, char *meant)
{
	const void *bytes = sqlite3_column_blob(st, 0);
	size_t n = (size_t)sqlite3_column_bytes(st, 0);
	char *shown = str_printable(bytes ? bytes : "", n, SHOWN_MAX);

	p->odd = store_grown(a, p->odd, p->n_odd, sizeof *p->odd);
	p->odd[p->n_odd++] =
		(struct store_odd_pattern){ .key = bytes ? mem_arena_ndup(a, bytes, n) : "",
			.n = n,
			.is_text = sqlite3_column_type(st, 0) == SQLITE_TEXT,
			.shown = mem_arena_dup(a, shown),
			.meant = mem_arena_dup(a, meant) };
	free(shown);
}

static void look(struct store_patterns *p, sqlite3_stmt *st, struct mem_arena *a)
{
	bool is_text = sqlite3_column_type(st, 0) == SQLITE_TEXT;
	const char *text = text_of(st, a);
	char *meant = text ? meaning_of(text) : NULL;

	if (!is_text || !meant || !str_eq(meant, text))
		add_odd(p, st, a, meant);
	free(meant);
}

static void keep_place(struct store_patterns *p, sqlite3_stmt *st)
{
	size_t n = (size_t)sqlite3_column_bytes(st, 0);

	free(p->after);
	p->after = xmemdup(n ? sqlite3_column_blob(st, 0) : "", n + !n);
	p->after_n = n;
	p->is_after_text = sqlite3_column_type(st, 0) == SQLITE_TEXT;
}

/* The key's order is text before bytes; its least text is the empty one, which says nothing. */
bool store_patterns_look(struct store_db *db, struct mem_arena *a, struct store_patterns *p)
{
	bool is_text = !p->after || p->is_after_text;
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_PATTERNS,
		SQL_B(p->after ? p->after : "", p->after_n), SQL_I(is_text), SQL_I(PAGE));
	int n = 0;

	p->odd = NULL;
	p->n_odd = 0;
	for (bool more = st; more; more = store_db_next(db, st)) {
		look(p, st, a);
		if (++n == PAGE)
			keep_place(p, st);
	}
	return n == PAGE;
}

void store_patterns_done(struct store_patterns *p)
{
	free(p->after);
	p->after = NULL;
}

const char *store_pattern_remedy(struct mem_arena *a, const struct store_odd_pattern *o)
{
	if (o->meant)
		return mem_arena_printf(a, "coldmailctl audit --fix writes it as %s", o->meant);
	char *hex = xmalloc(2 * o->n + 1);

	str_hex(o->key, o->n, hex);
	const char *remedy = mem_arena_printf(a,
		"coldmailctl suppress add whom it means; then stop coldmail and, in sqlite3: "
		"DELETE FROM "
		"do_not_contact WHERE lower(hex(pattern)) = '%s'",
		hex);
	free(hex);
	return remedy;
}

/* As if it had been added now, with all that follows from that; a time that is none ends nothing. */
void store_pattern_fix(struct store_db *db, struct store_req *r, const struct store_odd_pattern *o)
{
	const struct store_val key = SQL_B(o->key, o->n), is_text = SQL_I(o->is_text);
	struct store_suppression s;
	struct store_req add = { .op = STORE_SUPPRESS_ADD, .now_ms = r->now_ms, .arena = r->arena };
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_PATTERN_GET, key, is_text);

	if (!st)
		return; /* it went meanwhile */
	store_row_suppression(st, &add.arena, &s);
	s.pattern = o->meant;
	add.u.suppress.v = &s;
	add.u.suppress.n = 1;
	(void)store_op_suppress_add(db, &add);
	store_db_run(db, STORE_SQL_PATTERN_DROP, key, is_text);
	store_fact_add(db);
	r->arena = add.arena;
}
