# coldmail: `make demo` runs a campaign, `make check` runs every test, `make help` lists the rest.
# Rooms are folders under src/: a new .c file in a room is built without a change here.

VERSION    := 0.1.0
DESTDIR    ?=
PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR    ?= $(PREFIX)/lib/systemd/system
CC         ?= cc
PYTHON     ?= /usr/bin/python3
# Installs missing packages; BOOTSTRAP=: takes what is there.
BOOTSTRAP  ?= scripts/bootstrap

# One directory per kind of build, so that they never mix: plain, SAN=…, VALGRIND=1.
comma     := ,
BUILD     := build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))$(if $(VALGRIND),/valgrind)
ROOMS     := core conf lead plan content store mail mailbox flow ops
CTL_ROOMS := core conf lead content ctl
PROGRAMS  := coldmail coldmailctl fake-smtp

PKGS      := libcurl libssl libcjson libsystemd sqlite3 gmime-3.0 glib-2.0 libmicrohttpd libidn2 libcares zlib
IS_CLANG  := $(shell $(CC) --version 2>/dev/null | grep -c clang)

# Asked once, and not before the packages are there.
PKG_CFLAGS   = $(eval PKG_CFLAGS := $$(subst -I,-isystem ,$$(shell pkg-config --cflags $(PKGS))))$(PKG_CFLAGS)
PKG_LIBS     = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)) -lev -lm -lpthread)$(PKG_LIBS)
CHECK_CFLAGS = $(eval CHECK_CFLAGS := $$(shell pkg-config --cflags check))$(CHECK_CFLAGS)
CHECK_LIBS   = $(eval CHECK_LIBS := $$(shell pkg-config --libs check))$(CHECK_LIBS)

WARN     := -Wall -Wextra -Werror -Wshadow -Wvla -Wformat=2 -Wcast-qual -Wpointer-arith \
	-Wstrict-prototypes -Wmissing-prototypes -Wundef -Wwrite-strings -Wswitch -Wnull-dereference \
	-Wno-missing-field-initializers
HARDEN   := -fstack-protector-strong -fstack-clash-protection -fcf-protection=full -fPIE
LDHARDEN := -pie -Wl,-z,relro -Wl,-z,now
OPT      ?= -O2 -g
ifeq ($(IS_CLANG),0)
WARN     += -Wimplicit-fallthrough=5
ifeq ($(SAN)$(VALGRIND),)
HARDEN   += -ftrivial-auto-var-init=zero
endif
else
WARN     += -Wimplicit-fallthrough -Wno-unused-command-line-argument -Wno-missing-braces
endif
ifneq ($(SAN),)
SANFLAGS := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT      := -O1 -g
else
HARDEN   += -D_FORTIFY_SOURCE=3
endif

CPPFLAGS += -D_GNU_SOURCE -DCM_VERSION='"$(VERSION)"' -Iinclude -Isrc -I$(BUILD)/gen
CFLAGS   += -std=gnu11 $(OPT) $(WARN) $(HARDEN) $(SANFLAGS)
LDFLAGS  += $(LDHARDEN) $(SANFLAGS)
# V=1 shows the commands themselves.
quiet     = $(if $(V),,@echo '  $(1)	$(@:$(BUILD)/%=%)';)
COMPILE   = $(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(CFLAGS) -MMD -MP

lib_src   := $(foreach r,$(ROOMS),$(wildcard src/$(r)/*.c))
ctl_src   := $(foreach r,$(CTL_ROOMS),$(wildcard src/$(r)/*.c))
fake_src  := $(wildcard tests/fake/smtp.c tests/fake/smtp/*.c)
unit_src  := $(wildcard tests/unit/*.c tests/store/*.c)
bench_src := $(wildcard tests/bench/*.c)
fuzz_src  := $(filter-out %/replay.c,$(wildcard tests/fuzz/*.c))
objects    = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(1))
test_objs  = $(patsubst src/%.c,$(BUILD)/test/obj/%.o,$(1))
fuzz_bin  := $(fuzz_src:tests/%.c=$(BUILD)/%)
bench_bin := $(bench_src:tests/bench/%.c=$(BUILD)/bench-%)

.PHONY: all check lint demo install uninstall bench fuzz fuzz-run crash valgrind clean help packages
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAMS:%=$(BUILD)/%) ## build the programs into build/ (the default)

help: ## this list
	@sed -n 's/^\([a-z]*\):.* ## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12
	@echo 'Variables: DESTDIR PREFIX SYSCONFDIR CC SAN=address,undefined SAN=thread VALGRIND=1 BUILD V=1'

demo: all ## run the demo campaign against a mail server of our own, on this machine only
	BUILD=$(BUILD) scripts/demo

# ---- programs -----------------------------------------------------------------------------------
# What is compiled waits for the packages; these goals need more of them than the demo does.
NEEDS := build
ifneq ($(filter check crash bench fuzz valgrind,$(MAKECMDGOALS)),)
NEEDS := check
endif
ifneq ($(filter lint,$(MAKECMDGOALS)),)
NEEDS += lint
endif
packages:
	@$(BOOTSTRAP) $(NEEDS)

$(BUILD)/coldmail: $(call objects,src/main.c $(lib_src))
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(BUILD)/coldmailctl: $(call objects,$(ctl_src))
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(BUILD)/fake-smtp: $(fake_src:tests/%.c=$(BUILD)/obj/%.o)
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ -lev -lssl -lcrypto

$(BUILD)/obj/%.o: src/%.c | packages
	@mkdir -p $(@D)
	$(call quiet,CC)$(COMPILE) -c -o $@ $<
$(BUILD)/obj/fake/%.o: tests/fake/%.c | packages
	@mkdir -p $(@D)
	$(call quiet,CC)$(COMPILE) -Itests/fake -c -o $@ $<

# Tables that are data (config/*.tsv) become string literals, so that the programs need no file.
$(BUILD)/gen/%.inc: config/%.tsv
	@mkdir -p $(@D)
	$(call quiet,GEN)sed -e 's/[\\"]/\\&/g' -e 's/^/"/' -e 's/$$/\\n"/' $< > $@
$(BUILD)/obj/mail/classify.o $(BUILD)/test/obj/mail/classify.o: $(BUILD)/gen/reply_classes.inc
$(BUILD)/obj/conf/preset.o $(BUILD)/test/obj/conf/preset.o: $(BUILD)/gen/mailbox_presets.inc
$(BUILD)/obj/plan/zone.o $(BUILD)/test/obj/plan/zone.o: $(BUILD)/gen/zones.inc
$(BUILD)/obj/lead/columns.o $(BUILD)/test/obj/lead/columns.o: $(BUILD)/gen/lead_columns.inc
$(BUILD)/tests/unit/lead_files: $(BUILD)/gen/lead_columns.inc

# ---- test programs ------------------------------------------------------------------------------
# The same programs with fail-points compiled in: what tests/crash kills.
$(BUILD)/test/obj/%.o: src/%.c | packages
	@mkdir -p $(@D)
	$(call quiet,CC)$(COMPILE) -DCM_FAILPOINTS -c -o $@ $<
$(BUILD)/test/coldmail: $(call test_objs,src/main.c $(lib_src))
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(BUILD)/test/coldmailctl: $(BUILD)/coldmailctl
	@mkdir -p $(@D)
	@cp $< $@
$(BUILD)/libcoldmail.a: $(call test_objs,$(lib_src))
	$(call quiet,AR)rm -f $@ && ar rcs $@ $^

# Unit tests (tests/unit) and the store conformance suite (tests/store): one Check program a file.
$(BUILD)/tests/%: tests/%.c $(BUILD)/libcoldmail.a
	@mkdir -p $(@D)
	$(call quiet,LINK)$(COMPILE) -DCM_FAILPOINTS $(CHECK_CFLAGS) -Itests -MF $@.d $(LDFLAGS) -o $@ $< \
		$(BUILD)/libcoldmail.a $(CHECK_LIBS) $(PKG_LIBS)
# Fuzz targets: replay/NAME runs the seeds once, fuzz/NAME (built by `make fuzz`) searches.
$(BUILD)/replay/%: tests/fuzz/%.c tests/fuzz/replay.c $(BUILD)/libcoldmail.a
	@mkdir -p $(@D)
	$(call quiet,LINK)$(COMPILE) -Itests -MF $@.d $(LDFLAGS) -o $@ $(filter-out %.h,$^) $(PKG_LIBS)
$(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/libcoldmail.a
	@mkdir -p $(@D)
	$(call quiet,LINK)$(COMPILE) -Itests -MF $@.d $(LDFLAGS) -fsanitize=fuzzer -o $@ $(filter-out %.h,$^) $(PKG_LIBS)
$(BUILD)/bench-%: tests/bench/%.c $(call objects,$(lib_src))
	$(call quiet,LINK)$(COMPILE) -MF $@.d $(LDFLAGS) -o $@ $(filter-out %.h,$^) $(PKG_LIBS)

# ---- tests --------------------------------------------------------------------------------------
# TESTS and PYTEST_ARGS narrow a run: make check TESTS=tests/e2e PYTEST_ARGS='-k reload'.
TESTS       ?= tests
PYTEST_ARGS ?=
TESTED      := $(BUILD)$(if $(VALGRIND),/memcheck)
PYTEST_LIMIT := 1200
PYTEST       = COLDMAIL_BUILD=$(abspath $(TESTED)) timeout -k 10 $(PYTEST_LIMIT) $(PYTHON) -m pytest
programs    := $(addprefix $(TESTED)/,$(PROGRAMS) test/coldmail test/coldmailctl bench-smtp_client)
test_bin    := $(addprefix $(TESTED)/,$(unit_src:%.c=%) $(fuzz_src:tests/fuzz/%.c=replay/%) \
	$(bench_src:tests/bench/%.c=bench-%))

ifneq ($(VALGRIND),)
# What is tested is a script of the program's name that runs it under valgrind.
export CK_TIMEOUT_MULTIPLIER := 20
export G_SLICE := always-malloc
MEMCHECK    := valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite
$(TESTED)/%: $(BUILD)/%
	@mkdir -p $(@D)
	$(call quiet,WRAP)printf '#!/bin/sh\nexec $(MEMCHECK) %s "$$@"\n' $(abspath $<) > $@ && chmod +x $@
endif

check: $(programs) $(test_bin) ## every test; about 5 minutes
	$(PYTEST) -n 4 $(PYTEST_ARGS) $(TESTS)

crash: PYTEST_LIMIT := 3600
crash: $(programs) ## each fail-point with each fault; a thousand kills at random moments (check: 200)
	COLDMAIL_KILLS=1000 COLDMAIL_PAIRS=all $(PYTEST) -n 2 $(PYTEST_ARGS) tests/crash

# Without the two that read and count by the million: ASan has seen them.
valgrind: ## the unit tests and whole campaigns under valgrind
	$(MAKE) VALGRIND=1 check PYTEST_ARGS="-k 'not lead_files and not plan_calendar'" \
		TESTS='tests/test_programs.py tests/e2e/test_corridor.py'

FUZZ_SECONDS ?= 60
fuzz: ## search with libFuzzer, FUZZ_SECONDS (60) a target; new inputs stay in build/fuzz/corpus
	$(MAKE) CC=clang SAN=fuzzer-no-link,address,undefined BUILD=build/fuzz fuzz-run
fuzz-run: $(fuzz_bin)
	for t in $(notdir $(fuzz_bin)); do \
		mkdir -p $(BUILD)/corpus/$$t && \
		$(BUILD)/fuzz/$$t -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 \
			-artifact_prefix=$(BUILD)/ $(BUILD)/corpus/$$t tests/fuzz/seeds/$$t || exit 1; \
	done

bench: all $(bench_bin) ## ratios with a peer measured in the same run, as medians
	for b in tests/bench/*.sh; do BUILD=$(BUILD) bash $$b || exit 1; done

lint: all ## format, cppcheck, rooms, banned words, keys, man pages; builds with clang, too
	BUILD=$(BUILD) MAKE='$(MAKE)' scripts/lint

clean: ## forget every build
	rm -rf build

# ---- installation -------------------------------------------------------------------------------
# coldmail.conf is put in place only where there is none, and never overwritten.
share   := $(DESTDIR)$(PREFIX)/share
substitute = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g'

install: all ## programs, man pages, unit; DESTDIR, PREFIX (/usr/local), SYSCONFDIR (/etc)
	install -D -t $(DESTDIR)$(PREFIX)/sbin $(BUILD)/coldmail
	install -D -t $(DESTDIR)$(PREFIX)/bin $(BUILD)/coldmailctl $(BUILD)/fake-smtp
	for page in docs/*.[158]; do \
		install -D -m 644 -t $(share)/man/man$${page##*.} $$page || exit 1; \
	done
	install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(PREFIX)/lib/sysusers.d
	$(substitute) systemd/coldmail.service | \
		install -m 644 /dev/stdin $(DESTDIR)$(UNITDIR)/coldmail.service
	install -m 644 systemd/coldmail.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/coldmail.conf
	install -D -m 644 -t $(share)/doc/coldmail README.md NEWS LICENSE docs/unsubscribe.md
	install -D -m 644 -t $(share)/coldmail config/reply_classes.tsv config/mailbox_presets.tsv \
		config/zones.tsv config/lead_columns.tsv
	install -D -m 644 -t $(share)/coldmail/examples config/coldmail.conf config/minimal.conf
	tar -C config -c --exclude=demo/run demo | tar -C $(share)/coldmail/examples -x --no-same-owner
	[ -e $(DESTDIR)$(SYSCONFDIR)/coldmail.conf ] || \
		install -D -m 644 config/minimal.conf $(DESTDIR)$(SYSCONFDIR)/coldmail.conf
	@[ -n '$(DESTDIR)' ] || echo 'Next, as root: systemd-sysusers && systemctl daemon-reload &&' \
		'systemctl enable --now coldmail; then edit $(SYSCONFDIR)/coldmail.conf.'

uninstall: ## remove what install put there; configuration and data stay
	rm -f $(DESTDIR)$(PREFIX)/sbin/coldmail $(DESTDIR)$(UNITDIR)/coldmail.service
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,coldmailctl fake-smtp)
	rm -f $(DESTDIR)$(PREFIX)/lib/sysusers.d/coldmail.conf
	rm -f $(foreach p,$(wildcard docs/*.[158]),$(share)/man/man$(subst .,,$(suffix $(p)))/$(notdir $(p)))
	rm -rf $(share)/doc/coldmail $(share)/coldmail

-include $(patsubst %.o,%.d,$(call objects,src/main.c $(lib_src) $(ctl_src)) \
	$(call test_objs,src/main.c $(lib_src)) $(fake_src:tests/%.c=$(BUILD)/obj/%.o))
-include $(addsuffix .d,$(unit_src:%.c=$(BUILD)/%) $(fuzz_bin) $(fuzz_src:tests/fuzz/%.c=$(BUILD)/replay/%) \
	$(bench_bin))
