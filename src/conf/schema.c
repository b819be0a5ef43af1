/*
 * Looking up rows of the schema (keys.c) by name, and words in their choices.
 * Runs on: any (constant data). Called by the room only.
 */
#include "conf_private.h"

const struct conf_key *conf_key_find(enum conf_in in, const char *name)
{
	for (const struct conf_key *k = conf_keys; k < conf_keys + conf_n_keys; k++)
		if (k->in == in && str_eq(k->name, name))
			return k;
	return NULL;
}

enum conf_in conf_section_find(enum conf_in parent, const char *name)
{
	for (enum conf_in in = CONF_TOP + 1; in < CONF_N_SECTIONS; in++)
		if (conf_sections[in].parents & 1U << parent &&
			str_eq(conf_sections[in].name, name))
			return in;
	return CONF_TOP;
}

int conf_word_place(const char *words, const char *word)
{
	const size_t n = strlen(word);

	for (int place = 0; words; place++) {
		if (strcspn(words, "|") == n && !memcmp(words, word, n))
			return place;
		words = strchr(words, '|');
		words = words ? words + 1 : NULL;
	}
	return -1;
}
