/*
 * What the SMTP client puts on the wire: checked addresses and the stuffed body. Pure.
 * Runs on: loop. Called by mail/smtp.c.
 * Never: changes a byte of a message but for line ends and leading dots.
 */
#include "smtp_private.h"

#include <string.h>

/* RFC 5321 4.5.3.1: 64 + 1 + 255. */
#define ADDRESS_MAX 320

bool mail_is_wire_address(const char *address)
{
	size_t n = strlen(address);

	if (n == 0 || n > ADDRESS_MAX)
		return false;
	for (const char *p = address; *p; p++)
		if (*p <= ' ' || *p >= 0x7F || *p == '<' || *p == '>')
			return false;
	return true;
}

static size_t line_length(const char *p, size_t n)
{
	size_t len = 0;

	while (len < n && p[len] != '\r' && p[len] != '\n')
		len++;
	return len;
}

void mail_dot_stuff(struct str *out, const char *bytes, size_t n)
{
	str_reserve(out, n + n / 32 + 16);
	for (size_t at = 0; at < n;) {
		size_t len = line_length(bytes + at, n - at);

		if (bytes[at] == '.')
			str_addc(out, '.');
		str_add(out, bytes + at, len);
		str_add(out, "\r\n", 2);
		at += len;
		if (at < n)
			at += bytes[at] == '\r' && at + 1 < n && bytes[at + 1] == '\n' ? 2 : 1;
	}
}
