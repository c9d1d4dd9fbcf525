# make          builds the programs        make help     lists the targets
#
# A lesson's program lessons/06-accept-one/accept-one.c becomes bin/06-accept-one: the number of its
# folder, then its own name. Nothing here names a lesson: a new folder is found by itself.

CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion
# -std: C17. POSIX 2008 and no more, unless a program asks. -MMD: note which headers were read.
compile  := $(CC) -std=c17 -D_POSIX_C_SOURCE=200809L $(WARNINGS) -D_FORTIFY_SOURCE=2 \
            -fstack-protector-strong $(CFLAGS) -Icommon -MMD

sources    := $(filter-out %/exercise.c,$(wildcard lessons/*/*.c))
program_of  = bin/$(firstword $(subst -, ,$(subst lessons/,,$1)))-$(basename $(notdir $1))
programs   := $(foreach c,$(sources),$(call program_of,$c))
pages      := $(wildcard lessons/*/README.md)
needed     := bats:bats ip:iproute2 ss:iproute2 strace:strace jq:jq perl:perl-base
scripts    := .ci/run $(wildcard tests/*.bats tests/*.bash) tests/play tests/netns tests/need

.PHONY: all help tour test lint clean
all: $(programs) ## build the programs of all lessons into bin/ (simply: make)

# A program is made from its one source, and common.o. ($$: looked at late, when $@ is known.)
.SECONDEXPANSION:
$(programs): $$(foreach c,$(sources),$$(if $$(filter $$@,$$(call program_of,$$c)),$$c)) bin/common.o
	$(compile) -o $@ $(filter %.c %.o,$^) $(LDFLAGS)

bin/common.o: common/common.c | bin
	$(compile) -c -o $@ $<

bin:
	mkdir -p $@

-include $(wildcard bin/*.d)

tour: all ## play all lessons, one after the other, in this terminal
	@tests/need ip:iproute2 ss:iproute2 strace:strace script:bsdutils
	@tests/play $(pages)

tour-%: all ## play one lesson: make tour-06
	@tests/need ip:iproute2 ss:iproute2 strace:strace script:bsdutils
	@tests/play $(wildcard lessons/$*-*/README.md)

# Each bats file runs in a network of its own, so that several can run at once; where the machine
# allows no such thing, one after the other. (Two for each core: they mostly wait.)
at_once = case $$(tests/netns printenv PLAYED_IN 2>&1) in in*) echo "$$((2 * $$(nproc)))";; *) echo 1;; esac
test: all ## run all tests
	@tests/need $(needed)
	@$(MAKE) --no-print-directory -s -k -O -j "$$($(at_once))" $(wildcard tests/*.bats)

test-%: all ## test one lesson: make test-06
	@tests/need $(needed)
	@$(MAKE) --no-print-directory -s $(wildcard tests/$*-*.bats)
	@tests/play --quiet $(wildcard lessons/$*-*/README.md)

.PHONY: $(wildcard tests/*.bats)
$(wildcard tests/*.bats):
	@tests/netns bats $@

lint: ## check the style of C and shell sources (clang-format, cppcheck, shellcheck)
	@tests/need clang-format:clang-format cppcheck:cppcheck shellcheck:shellcheck
	clang-format --dry-run --Werror common/*.[ch] lessons/*/*.c tests/solutions/*.c
	cppcheck --quiet --std=c11 --enable=warning,style,performance,portability --inline-suppr \
	    --suppress=missingIncludeSystem --error-exitcode=1 -Icommon common lessons tests/solutions
	shellcheck --exclude=SC2034,SC2154 $(scripts) # variables cross files here: `load helpers`

# The exercises. What the student writes, lessons/06-accept-one/exercise.c, becomes bin/06-exercise;
# bin/06-exercise.checks is what its checks have said. A source that does not compile is no error
# here: the checks begin with the compiler's message.
exercises   := $(foreach e,$(wildcard lessons/*/exercise.c),$(basename $(call program_of,$e)))
for_checks  := $(wildcard tests/exercises/*[!0-9].* tests/exercises/check tests/*.bash tests/*.pm)
check_tools := bats:bats ip:iproute2 ss:iproute2 perl:perl-base
scripts     += $(wildcard tests/exercises/*.ba* tests/exercises/check tests/exercises/progress) \
               tests/solutions/run

bin/%-exercise: $$(wildcard lessons/$$*-*/exercise.c) bin/common.o
	@rm -f $@
	@$(compile) -MMD -o $@ $(filter %.c %.o,$^) $(LDFLAGS) 2>$@.compiler || true

bin/%-exercise.checks: bin/%-exercise tests/exercises/%.bats $(for_checks)
	@tests/exercises/check $* >/dev/null || true

exercise-%: bin/%-exercise ## what works of your exercise: make exercise-06
	@tests/need $(check_tools)
	@tests/exercises/check $*

check-%: exercise-% ## the same, by its other name
	@:

progress: ## which exercises are done, and where to go on
	@tests/need $(check_tools)
	@$(MAKE) --no-print-directory -s -k -j "$$($(at_once))" $(exercises:=.checks)
	@tests/exercises/progress

solutions: bin/common.o ## check the checks: solutions pass them, near-misses and empty exercises fail
	@tests/need $(check_tools) clang:clang
	@compile='$(compile)' at_once=$$($(at_once)) tests/solutions/run

.PHONY: progress solutions
.PRECIOUS: bin/%-exercise bin/%-exercise.checks

clean: ## remove what make has built
	rm -rf bin

help: ## list the targets
	@sed -n 's/^\([a-z%-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
