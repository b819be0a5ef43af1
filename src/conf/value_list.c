/*
 * Values that name: lists of texts, countries, and the title of another section.
 * Runs on: loop. Called through the table of value.c. A section is looked for in the tree: those that
 * nothing uses yet are nowhere else.
 */
#include "value_private.h"

#define LIST_MAX   1000 /* items */
#define TITLES_MAX 64 /* among which the one that was meant is looked for */

/* ---- lists ------------------------------------------------------------------------------------ */

/* The items of the list, each as NAME_OF has it (NULL: told), and none twice. */
static bool read_list(const struct conf_reading *r,
	const char *(*name_of)(const struct conf_reading *r, const struct conf_value *item))
{
	size_t n, i = 0;
	const struct conf_value *v = conf_items(r->value, &n);
	const char **names = mem_arena_get(&r->load->arena, n * sizeof *names);

	if (n > LIST_MAX)
		return conf_refuse(r, r->value, "at most %d of them", LIST_MAX);
	for (; v; v = v->next) {
		const char *name = name_of(r, v);

		if (!name)
			return false;
		for (size_t k = 0; k < i; k++)
			if (str_eq(names[k], name))
				return conf_refuse(r, v, "each of them once");
		names[i++] = name;
	}
	*(const char ***)conf_member(r) = names;
	*(size_t *)conf_member2(r) = n;
	return true;
}

static const char *text_of(const struct conf_reading *r, const struct conf_value *item)
{
	const int64_t n = (int64_t)strlen(item->text);

	if (n >= r->key->min && n <= r->key->max && !conf_has_control(item->text, false))
		return item->text;
	conf_refuse(r, item, "texts of at most %d bytes", (int)r->key->max);
	return NULL;
}

bool conf_read_list(const struct conf_reading *r)
{
	return read_list(r, text_of);
}

/* ISO 3166-1 alpha-2. */
static const char countries[] =
	"ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi "
	"bj bl bm bn bo bq br bs bt bv bw by bz ca cc cd cf cg ch ci ck cl cm cn "
	"co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg eh er es et fi fj fk "
	"fm fo fr ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm "
	"hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn "
	"kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mf mg mh mk "
	"ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np "
	"nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw "
	"sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st sv sx sy sz tc td tf "
	"tg th tj tk tl tm tn to tr tt tv tw tz ua ug um us uy uz va vc ve vg vi "
	"vn vu wf ws ye yt za zm zw ";

static const char *country_of(const struct conf_reading *r, const struct conf_value *item)
{
	char *code = mem_arena_dup(&r->load->arena, item->text);

	str_lower(code);
	for (const char *p = countries; strlen(code) == 2 && *p; p += 3)
		if (!memcmp(p, code, 2))
			return code;
	conf_refuse(r, item, "codes of countries by ISO 3166-1, such as {de, ca}%s",
		str_eq(code, "uk") ? "; the United Kingdom's is gb" : "");
	return NULL;
}

bool conf_read_countries(const struct conf_reading *r)
{
	return read_list(r, country_of);
}

/* ---- titles ------------------------------------------------------------------------------------ */

static bool is_title(enum conf_in in, const char *a, const char *b)
{
	return in == CONF_MAILBOX ? str_ieq(a, b) : str_eq(a, b);
}

bool conf_read_title(const struct conf_reading *r)
{
	const char *kind = conf_sections[r->key->of].name, *text = r->value->text;
	const char *titles[TITLES_MAX];
	size_t n_titles = 0;

	for (const struct conf_node *n = r->load->root ? r->load->root->first : NULL; n;
		n = n->next) {
		if (!n->is_section || str_is_empty(n->title) || !str_eq(n->name, kind))
			continue;
		if (n_titles < TITLES_MAX)
			titles[n_titles++] = n->title;
		if (is_title(r->key->of, n->title, text)) {
			*(const char **)conf_member(r) = n->title;
			return true;
		}
	}
	if (!*text && !r->key->min) {
		*(const char **)conf_member(r) = "";
		return true;
	}
	const char *meant = str_closest(text, titles, n_titles);

	return conf_refuse(r, r->value, "the title of %s section%s%s%s",
		mem_arena_printf(
			&r->load->arena, "%s %s", strchr("aeiou", *kind) ? "an" : "a", kind),
		meant ? ", perhaps \"" : "", meant ? meant : "", meant ? "\"" : "");
}
