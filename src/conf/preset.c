/*
 * Presets: what is known of the mail servers people have (config/mailbox_presets.tsv), and what is said
 * of a mailbox that sends more than such a server takes, or than is wise at anybody else's, or that
 * does not log in there.
 * Runs on: loop. Called by build.c, value.c and check.c. What the file says outranks a preset.
 */
#include "value_private.h"

#include "coldmail/err.h"

/* config/mailbox_presets.tsv */
static const char table[] =
#include "mailbox_presets.inc"
	;

#define MOST      "most_a_day"
#define NAMES_MAX 32

/* A row; texts of the load's arena. */
struct row {
	const char *preset, *key, *value, *page;
};

/* The row that begins at *P, and past it. false: there is none left. The table is a part of the program:
 * every row has four fields. */
static bool next_row(struct mem_arena *a, const char **p, struct row *ret)
{
	const char **const fields[] = { &ret->preset, &ret->key, &ret->value, &ret->page };

	while (**p == '#')
		*p = strchr(*p, '\n') + 1;
	if (!**p)
		return false;
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		size_t n = strcspn(*p, "\t\n");

		*fields[i] = mem_arena_ndup(a, *p, n);
		*p += n + 1;
	}
	return true;
}

static bool find_row(struct mem_arena *a, const char *preset, const char *key, struct row *ret)
{
	for (const char *p = table; *preset && next_row(a, &p, ret);)
		if (str_eq(ret->preset, preset) && str_eq(ret->key, key))
			return true;
	return false;
}

/* ---- the key ----------------------------------------------------------------------------------- */

/* Every preset once, in the table's order, with ", " between; the N names themselves in NAMES. */
static const char *all_names(struct mem_arena *a, const char *names[NAMES_MAX], size_t *ret_n)
{
	const char *list = "";
	struct row row;

	*ret_n = 0;
	for (const char *p = table; next_row(a, &p, &row) && *ret_n < NAMES_MAX;) {
		if (*ret_n && str_eq(names[*ret_n - 1], row.preset))
			continue;
		list = mem_arena_printf(a, "%s%s%s", list, *ret_n ? ", " : "", row.preset);
		names[(*ret_n)++] = row.preset;
	}
	return list;
}

bool conf_read_preset(const struct conf_reading *r)
{
	const char *names[NAMES_MAX], *text = r->value->text;
	size_t n;
	const char *list = all_names(&r->load->arena, names, &n);

	for (size_t i = 0; i < n; i++)
		if (str_eq(names[i], text)) {
			*(const char **)conf_member(r) = names[i];
			return true;
		}
	return conf_refuse(r, r->value, "one of %s", list);
}

/* ---- what it fills ------------------------------------------------------------------------------ */

/* "" : none; NULL: one that was refused, so that nobody knows what it would say. */
static const char *preset_of(const struct conf_node *section)
{
	const struct conf_node *n = conf_node_find(section, "preset");

	if (!n || n->is_section)
		return "";
	return n->value.kind == CONF_VALUE_TEXT ? n->value.text : NULL;
}

bool conf_preset_has(struct conf_load *l, const struct conf_node *section, const char *key)
{
	const char *preset = preset_of(section);
	struct row row;

	return !preset || find_row(&l->arena, preset, key, &row);
}

void conf_preset_fill(
	struct conf_load *l, const struct conf_node *section, struct conf_mailbox *ret)
{
	const char *preset = preset_of(section);
	struct row row;

	if (str_is_empty(preset))
		return;
	for (const char *p = table; next_row(&l->arena, &p, &row);) {
		if (!str_eq(row.preset, preset) || str_eq(row.key, MOST) ||
			conf_node_find(section, row.key))
			continue;
		const struct conf_key *k = conf_key_find(CONF_MAILBOX, row.key);
		const struct conf_value v = conf_parse_value(l, row.value);

		bug_if(!k || !conf_value_read(l, k, &v, ret), "preset %s: %s = %s", row.preset,
			row.key, row.value);
	}
}

/* ---- what is too much --------------------------------------------------------------------------- */

/* coldmail.conf's own defaults: what a mailbox for people is trusted with. */
#define WISE_A_DAY 25

/* No provider takes mail without. What belongs to a login and has no user is told as an error. */
static void check_login(
	struct conf_load *l, const struct conf_node *section, const struct conf_mailbox *m)
{
	if (*m->preset && !*m->user && !conf_node_find(section, "user") &&
		!conf_node_find(section, "password_file") && !conf_node_find(section, "oauth"))
		conf_warning(l, conf_place_of(section, "preset"),
			"preset = %s without a login, and %s takes no mail without, expected user "
			"= NAME and password_file = FILE, or oauth { }",
			m->preset, m->preset);
}

void conf_preset_check(
	struct conf_load *l, const struct conf_node *section, const struct conf_mailbox *m)
{
	int64_t most = 0;
	struct row row;

	if (m->is_loopback)
		return; /* a relay of one's own knows its limits itself */
	check_login(l, section, m);
	if (find_row(&l->arena, m->preset, MOST, &row) && str_to_i64(row.value, &most) &&
		m->daily_limit > most)
		conf_warning(l, conf_place_of(section, "daily_limit"),
			"daily_limit = %d: %s takes %s mails a day (%s), expected fewer",
			m->daily_limit, m->preset, row.value, row.page);
	else if (m->daily_limit > WISE_A_DAY)
		conf_warning(l, conf_place_of(section, "daily_limit"),
			"daily_limit = %d: providers close mailboxes that write to so many "
			"strangers, expected at most %d",
			m->daily_limit, WISE_A_DAY);
	if (!m->n_ramp)
		conf_warning(l, conf_place_of(section, "ramp"),
			"ramp = {}: a new mailbox is noticed by how much it sends at once, "
			"expected "
			"a ramp, or ramp_since = DATE of one that is warm");
}
