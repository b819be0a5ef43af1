/*
 * The domains where people have mailboxes of their own: nobody else can prove that a mail is from there,
 * and its users have nothing to do with each other.
 * Runs on: any. Called by check_sense.c and by flow. Pure.
 */
#include "conf_private.h"

static const char *const webmails[] = { "gmail.com", "googlemail.com", "outlook.com", "hotmail.com",
	"hotmail.co.uk", "live.com", "msn.com", "yahoo.com", "yahoo.co.uk", "ymail.com", "aol.com",
	"icloud.com", "me.com", "mac.com", "gmx.de", "gmx.net", "gmx.com", "web.de", "t-online.de",
	"mail.ru", "yandex.ru", "qq.com", "163.com", "126.com", "proton.me", "protonmail.com",
	"free.fr", "orange.fr", "libero.it", "comcast.net" };

bool conf_is_webmail(const char *domain)
{
	for (size_t i = 0; i < sizeof webmails / sizeof *webmails; i++)
		if (str_eq(domain, webmails[i]))
			return true;
	return false;
}
