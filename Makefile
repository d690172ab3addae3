# ngx_jd_module - build of everything.
#
#   make                                  the programs and the module, into build/
#   make SANITIZER=address,undefined      all of it sanitised (the module then needs NGINX_SRC, see below)
#   make NGINX_SRC=/path/to/nginx-1.x     the module against that source tree instead of Debian's nginx-dev
#   make static NGINX_SRC=...             a whole nginx with the module linked in, build/nginx-static
#   make unit fuzz                        test programs, run by tests/run.sh
#   make BUILD=dir CC=clang COVERAGE=1 V=1   as one would expect; SANITIZER and COVERAGE go together

BUILD     ?= build
CC        ?= cc
SANITIZER ?=
COVERAGE  ?=
NGINX_SRC ?=

# Each warning is an error. Left out on purpose: -Wconversion (byte arithmetic reads worse with its casts).
WARN   = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
         -Wwrite-strings -Wvla -Wformat=2 -Werror
OPT    = -O2 -g -D_FORTIFY_SOURCE=2
EXTRA  =

ifneq ($(SANITIZER),)
OPT    = -O1 -g -fno-omit-frame-pointer
EXTRA += -fsanitize=$(SANITIZER)
RECOVER = -fno-sanitize-recover=all
endif
ifneq ($(COVERAGE),)
OPT    = -O1 -g -fno-omit-frame-pointer
EXTRA += --coverage -fprofile-update=atomic
endif

CFLAGS_ALL  = -std=gnu11 $(OPT) $(WARN) $(EXTRA) $(RECOVER) -fPIC -fstack-protector-strong \
              -D_GNU_SOURCE -Irestrict-cache $(CFLAGS)
LDFLAGS_ALL = -Wl,-z,relro -Wl,-z,now $(EXTRA) $(LDFLAGS)

DAEMON_LIBS = -lhiredis -lcurl -lcrypto -lcjson -linih -lsqlite3
SIM_LIBS    = -lmicrohttpd -lgnutls -lcrypto -lcjson -lz

CORE_SRC  = $(wildcard restrict-cache/core/*.c)
RCD_SRC   = $(wildcard restrict-cache/rcd_*.c)
RCCTL_SRC = $(wildcard restrict-cache/rcctl_*.c)
SIM_SRC   = $(wildcard terminal-sim/ts_*.c)
UNIT_SRC  = $(wildcard tests/unit/test_*.c)
TABLE_SRC = $(wildcard tests/table/*.c)
FUZZ_SRC  = $(wildcard tests/fuzz/fuzz_*.c)

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

CORE_OBJ  = $(call obj,$(CORE_SRC))
RCD_OBJ   = $(call obj,$(filter-out restrict-cache/rcd_main.c,$(RCD_SRC)))
CORE_LIB  = $(BUILD)/libjdcore.a
RCD_LIB   = $(BUILD)/librcd.a

UNIT      = $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC))
TABLE     = $(patsubst tests/table/%.c,$(BUILD)/%,$(TABLE_SRC))
FUZZ      = $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))

# V=1 shows the commands
ifeq ($(V),)
Q = @
say = @printf '  %-4s %s\n' '$(1)' '$(patsubst $(BUILD)/%,%,$@)'
else
Q =
say =
endif

.PHONY: all programs module static unit drivers fuzz clean
.DELETE_ON_ERROR:
.SECONDARY:

all: programs module

programs: $(BUILD)/restrict-cached $(BUILD)/rcctl $(BUILD)/terminal-sim

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(CORE_LIB): $(CORE_OBJ)
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^

$(RCD_LIB): $(RCD_OBJ)
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^

$(BUILD)/restrict-cached: $(call obj,restrict-cache/rcd_main.c) $(RCD_LIB) $(CORE_LIB)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(DAEMON_LIBS)

$(BUILD)/rcctl: $(call obj,$(RCCTL_SRC)) $(RCD_LIB) $(CORE_LIB)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(DAEMON_LIBS)

$(BUILD)/terminal-sim: $(call obj,$(SIM_SRC)) $(CORE_LIB)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(SIM_LIBS)

# ---- the module ---------------------------------------------------------------------------------
# Without NGINX_SRC: against a copy of the tree that Debian's nginx-dev ships (headers and configure,
# no .c), with Debian's own flags, so that the .so loads into Debian's nginx.

module: $(BUILD)/ngx_jd_module.so

MODULE_SRC = config $(CORE_SRC) $(wildcard restrict-cache/core/*.h ngx_jd_module/*.[ch])

$(BUILD)/ngx_jd_module.so: $(MODULE_SRC) ngx_jd_module/build.sh
	$(call say,NGX)
	$(Q)CC='$(CC)' SANITIZER='$(SANITIZER)' COVERAGE='$(COVERAGE)' \
	    sh ngx_jd_module/build.sh dynamic '$(BUILD)' '$(NGINX_SRC)'

static: $(BUILD)/nginx-static
$(BUILD)/nginx-static: $(MODULE_SRC) ngx_jd_module/build.sh
	$(call say,NGX)
	$(Q)CC='$(CC)' SANITIZER='$(SANITIZER)' COVERAGE='$(COVERAGE)' \
	    sh ngx_jd_module/build.sh static '$(BUILD)' '$(NGINX_SRC)'

# ---- test programs ------------------------------------------------------------------------------

unit: $(UNIT) $(TABLE) drivers
drivers: $(BUILD)/core_driver $(patsubst tests/daemon/%.c,$(BUILD)/%,$(wildcard tests/daemon/*_driver.c))

$(BUILD)/unit/test_rcd_%: $(BUILD)/obj/tests/unit/test_rcd_%.o $(RCD_LIB) $(CORE_LIB)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(DAEMON_LIBS)

$(BUILD)/unit/test_%: $(BUILD)/obj/tests/unit/test_%.o $(CORE_LIB)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka -lcrypto

$(BUILD)/table_%: $(BUILD)/obj/tests/table/table_%.o $(CORE_LIB)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lpthread

$(BUILD)/core_driver: $(BUILD)/obj/tests/core/core_driver.o $(CORE_LIB)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^

# rules that history_driver can break: calls of them go through history_mutate.c
MUTATED = rcd_store_relief rcd_decide_relief rcd_decide_order rcd_decide_stops rcd_decide_head rcd_stage_has \
          rcd_order_start rcd_snapshot_begin rcd_store_dirty rcd_group_reach rcd_stay_next \
          rcd_stay_known jd_record_encode
HISTORY = driver daemon gate mutate
$(BUILD)/history_driver: $(HISTORY:%=$(BUILD)/obj/tests/daemon/history_%.o) $(RCD_LIB) $(CORE_LIB)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS_ALL) $(MUTATED:%=-Wl,--wrap=%) -o $@ $^ $(DAEMON_LIBS)

$(BUILD)/%_driver: $(BUILD)/obj/tests/daemon/%_driver.o $(RCD_LIB) $(CORE_LIB)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(DAEMON_LIBS)

# libFuzzer: clang only. The fuzzed sources are compiled with coverage feedback.
fuzz: $(FUZZ)
FUZZ_SAN   = address,undefined -fno-sanitize-recover=all
FUZZ_FLAGS = -std=gnu11 -g -O1 -D_GNU_SOURCE -Irestrict-cache
FUZZ_CORE  = $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(CORE_SRC))
FUZZ_RCD   = $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(filter-out restrict-cache/rcd_main.c,$(RCD_SRC)))

$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,FUZZ)
	$(Q)clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,$(FUZZ_SAN) -MMD -MP -c -o $@ $<

$(BUILD)/fuzz/%: tests/fuzz/%.c $(FUZZ_CORE) $(FUZZ_RCD)
	$(call say,FUZZ)
	$(Q)clang $(FUZZ_FLAGS) -fsanitize=fuzzer,$(FUZZ_SAN) -o $@ $< $(if $(shell grep -l '"rcd_' $<),$(FUZZ_RCD)) \
	    $(FUZZ_CORE) $(if $(shell grep -l '"rcd_' $<),$(DAEMON_LIBS),-lcrypto)

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj $(BUILD)/fuzz/obj -name '*.d' 2>/dev/null)
