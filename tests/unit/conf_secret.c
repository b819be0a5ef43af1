/*
 * Files that hold a secret or certificates: which are taken, what is said of the others, and that no
 * message and no difference has a word of what is in them.
 */
#include <fcntl.h>

#include "conf_help.h"

#define SECRET   "correct horse battery staple"
#define BOX(...) "mailbox \"a@x.com\" {\nsmtp = \"smtps://h\"\n" __VA_ARGS__ "\n}\n"
#define LOGIN    BOX("user = ali\npassword_file = secret")
#define AT       "c.conf:4: "

static void secret_file(const char *text, size_t n, mode_t mode)
{
	put_bytes("secret", text, n);
	ck_assert_int_eq(chmod("secret", mode), 0);
}

/* The problem of LOGIN, after "password_file: PATH: ". */
static void expect_flaw(const char *flaw)
{
	char here[4096];

	ck_assert_ptr_nonnull(getcwd(here, sizeof here));
	char *want = xasprintf(AT "password_file: %s/secret: %s\n", here, flaw);
	char *bare = strstr(want, "chmod 640 secret");

	ck_assert_ptr_null(bare); /* the remedy names the file in full */
	expect(LOGIN, want);
	free(want);
}

static const char *text_of(const struct conf *c)
{
	return c->mailboxes[0].password.text;
}

START_TEST(taken)
{
	static const struct {
		const char *text, *secret;
	} cases[] = {
		{ SECRET, SECRET },
		{ SECRET "\n", SECRET },
		{ SECRET "\r\n", SECRET },
		{ " leading and trailing ", " leading and trailing " },
		{ "\xC3\xBC \" \\ ${HOME}", "\xC3\xBC \" \\ ${HOME}" },
	};
	static const mode_t modes[] = { 0400, 0600, 0440, 0640 };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		secret_file(cases[i].text, strlen(cases[i].text), modes[i % 4]);
		const struct conf *c = load(LOGIN);

		ck_assert_str_eq(text_of(c), cases[i].secret);
		ck_assert_str_eq(c->mailboxes[0].user, "ali");
		ck_assert_int_eq(*c->mailboxes[0].password.path, '/');
		conf_unref(c);
		ck_assert_int_eq(unlink("secret"), 0);
	}
}
END_TEST

START_TEST(flaws)
{
	static const struct {
		const char *text;
		size_t n;
		const char *flaw;
	} cases[] = {
		{ "", 0, "it is empty, expected the secret" },
		{ "\n", 1, "it is empty, expected the secret" },
		{ "a\n\n", 3, "it has more than one line, expected the secret alone" },
		{ "a\nb\n", 4, "it has more than one line, expected the secret alone" },
		{ "a\0b", 3, "it has more than one line, expected the secret alone" },
		{ "a\rb", 3, "it has more than one line, expected the secret alone" },
		{ "\xFC", 1, "it is not UTF-8, expected the secret as text" },
	};
	char *endless = xcalloc(1, 20000);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		secret_file(cases[i].text, cases[i].n, 0600);
		expect_flaw(cases[i].flaw);
	}
	memset(endless, 'a', 19999);
	secret_file(endless, 19999, 0600);
	expect_flaw("too large, expected a file with the secret");
	free(endless);
	ck_assert_int_eq(unlink("secret"), 0);
	expect_flaw("No such file or directory, expected a file with the secret");
	ck_assert_int_eq(mkdir("secret", 0700), 0);
	expect_flaw("not a regular file, expected a file with the secret");
}
END_TEST

START_TEST(open_to_others)
{
	static const mode_t modes[] = { 0644, 0660, 0604, 0700, 0602 };
	char here[4096], flaw[5000];

	ck_assert_ptr_nonnull(getcwd(here, sizeof here));
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		secret_file(SECRET, strlen(SECRET), modes[i]);
		snprintf(flaw, sizeof flaw,
			"others may use it (mode %04o), expected mode 0640 or tighter: chmod 640 "
			"%s/secret",
			(unsigned)modes[i], here);
		expect_flaw(flaw);
	}
}
END_TEST

#define AT_STORE(path) "store = \"sqlite:" path "\"\n" LOGIN

START_TEST(of_a_stranger)
{
	char here[4096];

	if (geteuid() != 0)
		return; /* nobody but root can make one */
	ck_assert_ptr_nonnull(getcwd(here, sizeof here));
	secret_file(SECRET, strlen(SECRET), 0600);
	ck_assert_int_eq(chown("secret", 12345, 0), 0);
	char *stranger =
		xasprintf("c.conf:5: password_file: %s/secret: it belongs to user 12345, "
			  "expected root or the daemon's own user (0): chown 0 %s/secret\n",
			here, here);

	expect(AT_STORE("./s.db"), stranger);
	free(stranger);
	/* Root starts it for who owns the store's directory. */
	ck_assert_int_eq(mkdir("state", 0700), 0);
	ck_assert_int_eq(chown("state", 12345, 12345), 0);
	expect(AT_STORE("state/s.db"), "");
	ck_assert_int_eq(chown("secret", 0, 0), 0);
	char *roots =
		xasprintf("c.conf:5: warning: password_file: %s/secret: only root may read it, "
			  "and the daemon runs as user 12345, who owns the store's directory: "
			  "chown 12345 %s/secret\n",
			here, here);

	expect(AT_STORE("state/s.db"), roots);
	free(roots);
}
END_TEST

#define NAMED(name) BOX("user = ali\npassword_file = \"credential:" name "\"")

START_TEST(credentials)
{
	char here[4096];

	unsetenv("CREDENTIALS_DIRECTORY");
	expect(NAMED("box"),
		AT "'credential:box': there are no credentials, expected a start by systemd with "
		   "LoadCredential=box:FILE in the unit, or CREDENTIALS_DIRECTORY in the "
		   "environment\n");
	ck_assert_ptr_nonnull(getcwd(here, sizeof here));
	setenv("CREDENTIALS_DIRECTORY", here, 1);
	secret_file(SECRET "\n", strlen(SECRET) + 1, 0440);
	const struct conf *c = load(NAMED("secret"));

	ck_assert_str_eq(text_of(c), SECRET);
	ck_assert_str_eq(c->mailboxes[0].password.path, "credential:secret");
	conf_unref(c);
	static const char *const bad[] = { "", "../secret", "a/b", ".hidden" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char *text =
			xasprintf(BOX("user = ali\npassword_file = \"credential:%s\""), bad[i]);
		char *want = xasprintf(AT "'credential:%s' names no credential, expected "
					  "credential:NAME\n",
			bad[i]);

		expect(text, want);
		free(text);
		free(want);
	}
}
END_TEST

START_TEST(halves)
{
	static const struct sample samples[] = {
		{ BOX("user = ali"),
			"c.conf:3: user = ali without a password, expected password_file = FILE or "
			"oauth { } beside it, or no user where the server asks for no login\n" },
		{ BOX("password_file = secret"), "c.conf:3: password_file without a user, expected "
						 "user = NAME beside it\n" },
		{ BOX("user = \"\"\npassword_file = \"\"\nca_file = \"\""), "" },
		{ BOX("ca_file = secret"), NULL },
	};
	char here[4096];

	secret_file(SECRET, strlen(SECRET), 0600);
	expect_all(samples, 3);
	ck_assert_ptr_nonnull(getcwd(here, sizeof here));
	char *want = xasprintf(
		"c.conf:3: ca_file = secret: expected a readable file of certificates in PEM; "
		"%s/secret: no certificate is in it (the only authorities whose certificates "
		"count, instead of the system's)\n",
		here);
	expect(samples[3].text, want);
	free(want);
}
END_TEST

/* What stands where it does not belong is not repeated. */
START_TEST(secrets_in_the_wrong_place)
{
#define SMTP "c.conf:2: smtp = "
#define HOST                                                                                       \
	": expected smtps://HOST (TLS at once) or smtp://HOST (STARTTLS), with or without :PORT; " \
	"who logs in is said by user and password_file\n"
#define IN(text) "mailbox \"a@x.com\" {\nsmtp = \"" text "\"\n}"
#define TOKEN(text)                                                                                \
	"mailbox \"a@x.com\" {\nsmtp = \"smtp://h\" user = a\noauth { token_url = \"" text         \
	"\" client_id = c refresh_token_file = secret }\n}"
#define AT_URL "c.conf:3: token_url = "
#define HTTPS  ": expected https://HOST/PATH, or http:// towards this machine"
#define ASKS   "; who asks is said by client_id and client_secret_file\n"
	static const struct sample samples[] = {
		{ IN("smtps://ali:hunter2@h.example"), SMTP "smtps://***@h.example" HOST },
		{ IN("smtps://ali:hun/t#er?2@h.example:465"),
			SMTP "smtps://***@h.example:465" HOST },
		{ IN("smtps://ali:hun@ter2@h"), SMTP "smtps://***@h" HOST },
		{ IN("ali:hunter2@h.example"), SMTP "***@h.example" HOST },
		{ TOKEN("https://c:hunter2@h.example/t"),
			AT_URL "https://***@h.example/t" HTTPS ASKS },
		{ TOKEN("http://h.example/t?key=hunter2"),
			AT_URL "http://h.example/t?***" HTTPS "\n" },
		{ "store = \"mongo://ali:hunter2@h/db\"",
			"c.conf:1: store = mongo://***@h/db: expected \"sqlite:PATH\"\n" },
		{ "mailbox \"a@x.com\" {\nsmtp = \"smtp://h\"\nuser = a\n"
		  "password_file = secret hunter2\n}",
			"c.conf:4: '***' behind a value, expected quotes around words that belong "
			"together\n" },
	};

	secret_file(SECRET, strlen(SECRET), 0600);
	expect_all(samples, sizeof samples / sizeof *samples);

	const struct conf *old = load(TOKEN("https://h/t?key=hunter2"));
	const struct conf *new = load(TOKEN("https://h/t?key=hunter3"));
	char **lines = conf_diff(old, new);

	ck_assert_str_eq(
		lines[0], "~ mailbox a@x.com: token_url \"https://h/t?***\" has another content");
	ck_assert_ptr_null(lines[1]);
	conf_diff_free(lines);
	conf_unref(old);
	conf_unref(new);
}
END_TEST

START_TEST(no_difference_tells)
{
	secret_file(SECRET, strlen(SECRET), 0600);
	const struct conf *old = load(LOGIN);

	secret_file("another", 7, 0600);
	const struct conf *new = load(LOGIN);
	char **lines = conf_diff(old, new);

	ck_assert_ptr_nonnull(lines[0]);
	ck_assert_ptr_null(lines[1]);
	ck_assert(str_starts(lines[0], "~ mailbox a@x.com: password_file \"/"));
	ck_assert(str_ends(lines[0], "/secret\" has another content"));
	ck_assert(!conf_is_same_server(&old->mailboxes[0], &new->mailboxes[0]));
	ck_assert(conf_is_same_server(&new->mailboxes[0], &new->mailboxes[0]));
	conf_diff_free(lines);
	conf_unref(old);
	conf_unref(new);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { taken, flaws, open_to_others, of_a_stranger, credentials,
		halves, secrets_in_the_wrong_place, no_difference_tells };

	return run("conf_secret", tests, sizeof tests / sizeof *tests);
}
