/*
 * Values: one row a type, with how its text is read into a member of a struct and how the member is
 * written as text again. What is wrong with a value is told here, with what was expected. Texts and
 * words are read here, the other types in value_file.c, value_number.c and value_when.c.
 * Runs on: loop. Called by build.c (read) and diff.c (show).
 */
#include "value_private.h"

#include "coldmail/err.h"

#define SHOWN_MAX   4000 /* all of a text: a change at its end is one */
#define ADDRESS_MAX 254 /* RFC 5321 4.5.3.1.3 less the angle brackets */

bool conf_refuse(const struct conf_reading *r, const struct conf_value *v, const char *fmt, ...)
{
	const bool is_list = v->kind == CONF_VALUE_LIST;
	struct str expected = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&expected, fmt, ap);
	va_end(ap);
	conf_error(r->load, v->at, "%s = %s: expected %s (%s)", r->key->name,
		is_list     ? "{...}"
		: !*v->text ? "\"\""
			    : conf_shown(r->load, v->text),
		str_z(&expected), r->key->help);
	str_done(&expected);
	return false;
}

const struct conf_value *conf_items(const struct conf_value *v, size_t *ret_n)
{
	const bool is_list = v->kind == CONF_VALUE_LIST;

	*ret_n = is_list ? v->n : 1;
	return is_list ? v->items : v;
}

void *conf_member(const struct conf_reading *r)
{
	return (char *)r->base + r->key->at;
}

void *conf_member2(const struct conf_reading *r)
{
	return (char *)r->base + r->key->at2;
}

const void *conf_field(const void *base, size_t at)
{
	return (const char *)base + at;
}

/* ---- texts ----------------------------------------------------------------------------------- */

bool conf_has_control(const char *text, bool may_have_lines)
{
	for (; *text; text++)
		if (((unsigned char)*text < 0x20 || *text == 0x7F) &&
			!(may_have_lines && *text == '\n'))
			return true;
	return false;
}

static bool read_string(const struct conf_reading *r)
{
	const char *text = r->value->text;
	const int64_t n = (int64_t)strlen(text);

	if (conf_has_control(text, r->key->flags & CONF_LINES))
		return conf_refuse(r, r->value, "text without control characters%s",
			r->key->flags & CONF_LINES ? " but \\n" : "");
	if (n < r->key->min || n > r->key->max)
		return conf_refuse(r, r->value, "%s text of at most %d bytes",
			r->key->min ? "a" : "no or a", (int)r->key->max);
	*(const char **)conf_member(r) = text;
	return true;
}

void conf_show_text(const char *text, struct str *out)
{
	struct str url = STR_INIT;

	if (strstr(text, "://")) {
		conf_show_url(text, &url);
		text = str_z(&url);
	}
	char *shown = str_printable(text, strlen(text), SHOWN_MAX);

	str_addf(out, "\"%s\"", shown);
	free(shown);
	str_done(&url);
}

static void show_string(const struct conf_key *k, const void *base, struct str *out)
{
	conf_show_text(*(const char *const *)conf_field(base, k->at), out);
}

/* ---- words ----------------------------------------------------------------------------------- */

/* The place of the word in the row's choices; -1 after a refusal. */
static int read_word(const struct conf_reading *r)
{
	const struct conf_key *k = r->key;
	const char *word = r->value->text;
	const int place = conf_word_place(k->choices, word);

	if (place < 0)
		conf_refuse(r, r->value, "%s", k->choices);
	return place;
}

static bool read_choice(const struct conf_reading *r)
{
	const int place = read_word(r);

	if (place < 0)
		return false;
	*(int *)conf_member(r) = (int)r->key->min + place;
	return true;
}

static bool read_switch(const struct conf_reading *r)
{
	const int place = read_word(r);

	if (place < 0)
		return false;
	*(bool *)conf_member(r) = place == 1;
	return true;
}

static void show_word(const struct conf_key *k, int place, struct str *out)
{
	const char *word = k->choices;

	while (place-- > 0)
		word = strchr(word, '|') + 1;
	str_add(out, word, strcspn(word, "|"));
}

static void show_choice(const struct conf_key *k, const void *base, struct str *out)
{
	show_word(k, *(const int *)conf_field(base, k->at) - (int)k->min, out);
}

static void show_switch(const struct conf_key *k, const void *base, struct str *out)
{
	show_word(k, *(const bool *)conf_field(base, k->at), out);
}

/* ---- mailboxes ------------------------------------------------------------------------------- */

const char *conf_address(struct conf_load *l, const char *text)
{
	const char *at = strchr(text, '@');
	const size_t n = strlen(text);

	if (!at || at == text || !at[1] || strchr(at + 1, '@') || n > ADDRESS_MAX)
		return NULL;
	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p >= 0x7F || strchr("<>()[]\\,;:\"", *p))
			return NULL;
	char *address = mem_arena_ndup(&l->arena, text, n);

	str_lower(address);
	return address;
}

static const struct conf_mailbox *find_ref(const struct conf_reading *r, const struct conf_value *v)
{
	const struct conf *c = r->load->conf;
	const char *address = conf_address(r->load, v->text);
	const struct conf_mailbox *found = address ? conf_find_mailbox(c, address) : NULL;

	if (found)
		return found;
	const char **names = mem_arena_get(&r->load->arena, c->n_mailboxes * sizeof *names);

	for (size_t i = 0; i < c->n_mailboxes; i++)
		names[i] = c->mailboxes[i].address;
	const char *meant = str_closest(address ? address : v->text, names, c->n_mailboxes);

	conf_refuse(r, v, "the title of a mailbox section%s%s%s", meant ? ", perhaps \"" : "",
		meant ? meant : "", meant ? "\"" : "");
	return NULL;
}

static bool read_refs(const struct conf_reading *r)
{
	size_t n, i = 0;
	const struct conf_value *v = conf_items(r->value, &n);
	const struct conf_mailbox **refs = mem_arena_get(&r->load->arena, n * sizeof *refs);
	bool ok = n > 0;

	if (!n)
		conf_refuse(r, r->value, "at least one mailbox");
	for (; v; v = v->next) {
		const struct conf_mailbox *m = find_ref(r, v);

		for (size_t j = 0; m && j < i; j++)
			if (refs[j] == m) {
				conf_refuse(r, v, "every mailbox once");
				m = NULL;
			}
		if (m)
			refs[i++] = m;
		ok = ok && m;
	}
	if (!ok)
		return false;
	*(const struct conf_mailbox ***)conf_member(r) = refs;
	*(size_t *)conf_member2(r) = n;
	return true;
}

static void show_refs(const struct conf_key *k, const void *base, struct str *out)
{
	const struct conf_mailbox **refs =
		*(const struct conf_mailbox **const *)conf_field(base, k->at);
	const size_t n = *(const size_t *)conf_field(base, k->at2);

	str_addc(out, '{');
	for (size_t i = 0; i < n; i++)
		str_addf(out, "%s%s", i ? ", " : "", refs[i]->address);
	str_addc(out, '}');
}

/* ---- the types ------------------------------------------------------------------------------- */

static const struct {
	bool takes_list;
	bool (*read)(const struct conf_reading *r);
	void (*show)(const struct conf_key *k, const void *base, struct str *out);
} types[] = {
	[CONF_STRING] = { false, read_string, show_string },
	[CONF_PATH] = { false, conf_read_path, show_string },
	[CONF_PEM] = { false, conf_read_pem, conf_show_file },
	[CONF_TEXT] = { false, conf_read_text, conf_show_file },
	[CONF_SECRET] = { false, conf_read_secret, conf_show_file },
	[CONF_ZONE] = { false, conf_read_zone, show_string },
	[CONF_INT] = { false, conf_read_int, conf_show_int },
	[CONF_DURATION] = { false, conf_read_duration, conf_show_duration },
	[CONF_PRESET] = { false, conf_read_preset, show_string },
	[CONF_DATE] = { false, conf_read_date, conf_show_date },
	[CONF_SPAN] = { false, conf_read_span, conf_show_span },
	[CONF_CHOICE] = { false, read_choice, show_choice },
	[CONF_SWITCH] = { false, read_switch, show_switch },
	[CONF_DAYS] = { true, conf_read_days, conf_show_days },
	[CONF_WINDOWS] = { true, conf_read_windows, conf_show_windows },
	[CONF_RANGES] = { true, conf_read_ranges, conf_show_ranges },
	[CONF_NUMBERS] = { true, conf_read_numbers, conf_show_numbers },
	[CONF_REFS] = { true, read_refs, show_refs },
	/* Of keys that nothing keeps so far: nobody shows them. */
	[CONF_TITLE] = { false, conf_read_title, NULL },
	[CONF_USD] = { false, conf_read_usd, NULL },
	[CONF_TIME] = { false, conf_read_time, NULL },
	[CONF_LIST] = { true, conf_read_list, NULL },
	[CONF_COUNTRIES] = { true, conf_read_countries, NULL },
};

bool conf_value_read(
	struct conf_load *l, const struct conf_key *k, const struct conf_value *v, void *base)
{
	const struct conf_reading r = { l, k, v, base };

	if (v->kind == CONF_VALUE_BAD)
		return false;
	if (v->kind == CONF_VALUE_LIST && !types[k->type].takes_list)
		return conf_refuse(&r, v, "one value, not a list");
	return types[k->type].read(&r);
}

void conf_value_show(const struct conf_key *k, const void *base, struct str *out)
{
	types[k->type].show(k, base, out);
}
