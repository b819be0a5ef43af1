/*
 * Contradictions: keys that are right one by one and make no sense together are told, with their lines.
 */
#include "unit/conf_help.h"

START_TEST(contradictions)
{
#define SENDER(address, more)                                                                      \
	"mailbox \"" address "\" { smtp = \"smtp://[::1]\" tls = none\n" more " }\n"
#define OF(hours)                                                                                  \
	IDENTITY "campaign \"c\" { mailboxes = {\"a@x.com\"} window = " hours "\n" STEP " }"
	static const struct sample samples[] = {
		{ SENDER("a@x.com", "gap = 12min-24min daily_limit = 27") OF("09:00-17:00"), "" },
		{ SENDER("a@x.com", "gap = 12min-24min daily_limit = 28") OF("09:00-17:00"),
			"c.conf:2: warning: daily_limit = 28 is never reached: its gap lets about "
			"27 mails a day go out in the 8h00min of 'window' to people of one time "
			"zone, expected a shorter gap or fewer mails\n" },
		{ SENDER("a@x.com", "gap = 1h daily_limit = 5") OF("{09:00-11:00, 15:30-17:00}"),
			"c.conf:2: warning: daily_limit = 5 is never reached: its gap lets about 4 "
			"mails a day go out in the 3h30min of 'window' to people of one time zone, "
			"expected a shorter gap or fewer mails\n" },
		{ SENDER("a@x.com", "gap = 0s daily_limit = 1m") OF("09:00-09:01"), "" },
		{ SENDER("a@x.com", "daily_limit = 1000"), "" }, /* no campaign: no window */
		{ SENDER("ali@gmail.com", ""),
			"c.conf:1: warning: mailbox 'ali@gmail.com' is a webmail address: "
			"gmail.com "
			"closes accounts that write to strangers, and receivers distrust them, "
			"expected an address of a domain of your own\n" },
		{ SENDER("a@notgmail.com", ""), "" },
		{ SENDER("a@x.com", "daily_limit = 10"), "" },
		{ SENDER("a@x.com", "daily_limit = 10\nramp = {3, 12}"),
			"c.conf:3: warning: ramp: 12 in week 2 is more than daily_limit = 10, "
			"expected a rise to it\n" },
		{ CAMPAIGN("expire_after = 64h\n"), "" },
		{ CAMPAIGN("expire_after = 63h\n"),
			"c.conf:4: warning: expire_after is less than the 64h in a row in which "
			"'days' and 'window' let nothing go out: steps that come due then are "
			"dropped, expected a longer time\n" },
	};

	EXPECT_ALL(samples);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { contradictions };

	return run("conf_sense", tests, sizeof tests / sizeof *tests);
}
