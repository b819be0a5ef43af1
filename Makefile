# coldmail: `make demo` runs a campaign, `make check` runs every test, `make help` lists the rest.
# Rooms are folders under src/: a new .c file in a room is built without a change here.

VERSION  := 0.1.0
PREFIX   ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR  ?=
CC       ?= cc
CI       ?=
PYTHON   ?= /usr/bin/python3

# One directory per kind of build, so that they never mix: plain, SAN=…, valgrind.
comma    := ,
BUILD    := build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))$(if $(VALGRIND),/valgrind)
ROOMS    := core conf lead content store mail mailbox flow ops
CTL_ROOMS := core conf lead content ctl

PKGS     := libcurl libcjson libsystemd sqlite3 gmime-3.0 glib-2.0 libmicrohttpd libidn2
IS_CLANG := $(shell $(CC) --version 2>/dev/null | grep -c clang)

PKG_CFLAGS = $(subst -I,-isystem ,$(shell pkg-config --cflags $(PKGS)))
PKG_LIBS   = $(shell pkg-config --libs $(PKGS)) -lev -lm -lpthread

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

CPPFLAGS += -D_GNU_SOURCE -DCM_VERSION='"$(VERSION)"' -Iinclude -Isrc
CFLAGS   += -std=gnu11 $(OPT) $(WARN) $(HARDEN) $(SANFLAGS)
LDFLAGS  += $(LDHARDEN) $(SANFLAGS)

lib_src  := $(foreach r,$(ROOMS),$(wildcard src/$(r)/*.c))
ctl_src  := $(foreach r,$(CTL_ROOMS),$(wildcard src/$(r)/*.c))
all_src  := $(wildcard src/*.c src/*/*.c)

obj       = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(1))
testobj   = $(patsubst src/%.c,$(BUILD)/test/obj/%.o,$(1))

.PHONY: all check lint demo install bench fuzz crash clean help test-programs valgrind
.DELETE_ON_ERROR:

all: $(BUILD)/coldmail $(BUILD)/coldmailctl $(BUILD)/fake-smtp

$(BUILD)/coldmail: $(call obj,src/main.c $(lib_src))
	$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(BUILD)/coldmailctl: $(call obj,$(ctl_src))
	$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(BUILD)/fake-smtp: tests/fake/smtp.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $(BUILD)/fake-smtp.d $(LDFLAGS) -o $@ $< -lev

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The same programs with fail-points compiled in: what tests/crash kills.
$(BUILD)/test/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -DCM_FAILPOINTS $(PKG_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/test/coldmail: $(call testobj,src/main.c $(lib_src))
	$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(BUILD)/test/coldmailctl: $(BUILD)/coldmailctl
	@mkdir -p $(@D)
	cp $< $@

# Unit tests (tests/unit/*.c) and the store conformance suite (tests/store/*.c): Check programs.
unit_src := $(wildcard tests/unit/*.c tests/store/*.c)
unit_bin := $(patsubst tests/%.c,$(BUILD)/tests/%,$(unit_src))
$(BUILD)/libcoldmail.a: $(call testobj,$(lib_src))
	rm -f $@ && ar rcs $@ $^
$(BUILD)/tests/%: tests/%.c $(BUILD)/libcoldmail.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -DCM_FAILPOINTS $(PKG_CFLAGS) $(shell pkg-config --cflags check) $(CFLAGS) -Itests -MMD -MP \
		$(LDFLAGS) -o $@ $< $(BUILD)/libcoldmail.a $(PKG_LIBS) $(shell pkg-config --libs check)

test-programs: all $(BUILD)/test/coldmail $(BUILD)/test/coldmailctl $(unit_bin)

clean:
	rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
