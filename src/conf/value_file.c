/*
 * Values that name a file: its path, or at once what is in it, so that a generation stays what it was
 * when it was read. Secrets have their rules in secret.c.
 * Runs on: loop. Called through the table of value.c.
 */
#include "value_private.h"

bool conf_read_path(const struct conf_reading *r)
{
	const struct conf_value *v = r->value;

	if (!*v->text || conf_has_control(v->text, false))
		return conf_refuse(r, v, "a file's path");
	const char *path = conf_source_absolute(r->load, v->at.src, v->text);

	if (strlen(path) > (size_t)r->key->max)
		return conf_refuse(
			r, v, "a path of at most %d bytes from the root", (int)r->key->max);
	*(const char **)conf_member(r) = path;
	return true;
}

static void keep(const struct conf_reading *r, const char *path, const char *text)
{
	*(struct conf_file *)conf_member(r) = (struct conf_file){ .path = path, .text = text };
}

/* A file of at most MAX bytes, in which FLAW_OF finds nothing. */
static bool read_file(const struct conf_reading *r, size_t max, const char *what,
	const char *(*flaw_of)(const struct str *text))
{
	const struct conf_value *v = r->value;
	struct str text = STR_INIT;
	struct stat st;

	if (!*v->text) {
		keep(r, "", NULL);
		return true;
	}
	const char *path = conf_source_absolute(r->load, v->at.src, v->text);
	const char *why = conf_source_slurp(path, max, &text, &st);

	if (!why)
		why = flaw_of(&text);
	if (why)
		conf_refuse(r, v, "a readable file of %s; %s: %s", what, conf_shown(r->load, path),
			why);
	else
		keep(r, path, mem_arena_dup(&r->load->arena, str_z(&text)));
	str_done(&text);
	return !why;
}

static const char *flaw_of_pem(const struct str *text)
{
	return strstr(str_z(text), "-----BEGIN CERTIFICATE-----") ? NULL
								  : "no certificate is in it";
}

bool conf_read_pem(const struct conf_reading *r)
{
	return read_file(r, CONF_PEM_MAX, "certificates in PEM", flaw_of_pem);
}

static const char *flaw_of_text(const struct str *text)
{
	return str_is_utf8(str_z(text), text->len) && !memchr(str_z(text), '\0', text->len)
		       ? NULL
		       : "it is not UTF-8";
}

bool conf_read_text(const struct conf_reading *r)
{
	return read_file(r, CONF_TEMPLATE_MAX, "text", flaw_of_text);
}

bool conf_read_secret(const struct conf_reading *r)
{
	const struct conf_value *v = r->value;

	if (!*v->text) {
		keep(r, "", NULL);
		return true;
	}
	const char *path = str_starts(v->text, CONF_CREDENTIAL)
				   ? v->text
				   : conf_source_absolute(r->load, v->at.src, v->text);
	const char *text = conf_secret_read(r->load, r->key->name, path, v->at);

	if (text)
		keep(r, path, text);
	return text;
}

void conf_show_file(const struct conf_key *k, const void *base, struct str *out)
{
	conf_show_text(((const struct conf_file *)conf_field(base, k->at))->path, out);
}
