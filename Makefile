# make          builds the programs        make help     lists the targets
#
# A lesson's program lessons/06-accept-one/accept-one.c becomes bin/06-accept-one: the number of its
# folder, then its own name. Nothing here names a lesson: a new folder is found by itself.

CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion
# What the compiler can check while a program runs. (glibc's part of it needs an optimizing one.)
optimized = $(filter-out -O0,$(filter -O%,$(CFLAGS)))
HARDENING = -fstack-protector-strong -U_FORTIFY_SOURCE $(if $(optimized),-D_FORTIFY_SOURCE=2)
# The compiler's checkers look at each access to memory and each operation, and end the program when
# something is wrong. The exercises have them, where the compiler has them; and with SANITIZE=1 all
# programs: then memory that is not freed is found as well, and what is found is in bin/found.*.
checkers  = -U_FORTIFY_SOURCE -fno-omit-frame-pointer -fsanitize=address,undefined \
            -fno-sanitize-recover=all
ifdef SANITIZE
HARDENING = $(checkers)
extra    := bin/sanitize.o
checks   := exitcode=99:log_path="$(CURDIR)/bin/found"
export ASAN_OPTIONS := $(checks):detect_stack_use_after_return=1
export UBSAN_OPTIONS := $(checks):print_stacktrace=1
endif
# -std: C17. POSIX 2008 and no more, unless a program asks. -MMD: note which headers were read.
compile   = $(CC) -std=c17 -D_POSIX_C_SOURCE=200809L $(WARNINGS) $(HARDENING) $(CFLAGS) -Icommon

sources    := $(filter-out %/exercise.c,$(wildcard lessons/*/*.c))
program_of  = bin/$(firstword $(subst -, ,$(subst lessons/,,$1)))-$(basename $(notdir $1))
programs   := $(foreach c,$(sources),$(call program_of,$c))
pages      := $(sort $(wildcard lessons/*/README.md)) # (make 4.2 does not sort them)
shown      := ip:iproute2 ss:iproute2 strace:strace tcpdump:tcpdump script:bsdutils
needed     := $(shown) bats:bats jq:jq perl:perl-base
scripts    := .ci/run common/place.bash $(addprefix common/,lab play bench netns need) tests/lib/run \
              tests/slow/broken $(wildcard tests/*/*.bats tests/*/*.bash)

.PHONY: all help tour test faults bench figures record slides book test-slides test-picture lint clean
all: $(programs) ## build the programs of all lessons into bin/ (simply: make)

# A program is made from its one source, and common.o. ($$: looked at late, when $@ is known.) A page
# that a lesson shows in a browser is built into its program: .incbin, in the source, names the files.
source_of  = $(foreach c,$(sources),$(if $(filter $1,$(call program_of,$c)),$c))
built_in   = $(if $(wildcard $1*.html),$(wildcard $1*.html $1*.css $1*.js common/*.js))
.SECONDEXPANSION:
$(programs): $$(call source_of,$$@) $$(call built_in,$$(dir $$(call source_of,$$@))) bin/common.o $(extra)
	$(compile) -MMD -MP -o $@ $(filter %.c %.o,$^) $(LDFLAGS)

# The small files of common/ become one object file, which is all that a program is linked with.
common := $(patsubst common/%.c,bin/common/%.o,$(wildcard common/*.c))
bin/common.o: $(common)
	$(CC) -nostdlib -r -o $@ $^
bin/common/%.o: common/%.c bin/compile | bin/common
	$(compile) -MMD -MP -c -o $@ $<
bin/sanitize.o: tests/slow/sanitize.c bin/compile
	$(compile) -MMD -MP -c -o $@ $<

# The command that compiled what is in bin. When it changes, everything is compiled again.
.PHONY: rewritten
bin/compile: rewritten | bin
	@echo '$(compile)' | cmp -s - $@ || echo '$(compile)' >$@

bin bin/common:
	mkdir -p $@

-include $(wildcard bin/[0-9]*.d bin/common/*.d)

tour: all ## play all lessons, one after the other, in this terminal
	@common/need $(shown)
	@common/play $(pages)

# The page of a lesson, 06 or simply 6.
page_of = $(or $(wildcard lessons/$1-*/README.md lessons/0$1-*/README.md),$(error There is no lesson $1: make help))
tour-%: all ## play one lesson: make tour-06
	@common/need $(shown)
	@common/play $(call page_of,$*)

# Each bats file runs in a network of its own, so that several can run at once (four for each core:
# most of the time they wait). Where the machine does not allow that, the tests still can, as each file
# has ports of its own (tests/lib/run). Pages and exercises are at port 6666: one after the other.
many    = $$((4 * $$(nproc)))
at_once = case $$(common/netns printenv PLAYED_IN 2>&1) in in*) echo "$(many)";; *) echo 1;; esac
# After a command: print what SANITIZE=1 has found, even in a program whose output nobody read.
and_found = ; result=$$?; ! grep -qsE 'ERROR: |runtime error: ' bin/found.* || \
            { cat bin/found.*; rm bin/found.*; exit 1; }; exit $$result
# The long ones first. What takes minutes, or more tools, is in tests/slow: .ci/run runs it.
long  := $(patsubst %,tests/course/%.bats,tour bad-peers idle slides hints command-line lab) \
         $(patsubst %,tests/lessons/%.bats,10-states 04-ports-in-use)
tests := $(long) $(filter-out $(long),$(shell ls -r tests/course/*.bats tests/lessons/*.bats))
# On the machine itself the tour comes first: it looks for sockets by a client's port, and what other
# tests leave in TIME_WAIT may have the same one.
tour  := tests/course/tour.bats
test: all ## run all tests (make test SANITIZE=1: with the compiler's checkers built in)
	@common/need $(needed)
	@(result=0; tests="$(tests)"; \
	if [ "$$($(at_once))" = 1 ]; then \
	    $(MAKE) --no-print-directory -s $(tour) || result=1; \
	    tests="$(filter-out $(tour),$(tests))"; \
	fi; \
	$(MAKE) --no-print-directory -s -k -O -j "$(many)" $$tests || result=1; \
	exit $$result) $(and_found)

test-%: all ## test one lesson: make test-06
	@common/need $(needed)
	@$(MAKE) --no-print-directory -s -k -O -j "$$($(at_once))" $(wildcard tests/lessons/$*-*.bats) page-$* $(and_found)
page-%:
	@common/play --quiet $(call page_of,$*)

all_tests := $(wildcard tests/lessons/*.bats tests/course/*.bats tests/slow/*.bats)
.PHONY: $(all_tests)
limit :=
$(tour): limit = --limit $$((15 * $${PATIENCE:-20})) # (one of its tests is all pages)
$(all_tests):
	@common/netns tests/lib/run $(limit) $@

faults: all ## make every call of every program fail, with every error (minutes)
	@common/need $(needed)
	@$(MAKE) --no-print-directory -s -k -O -j 2 faults-calls faults-others
# Two parts at once: the first one mostly waits, the other one mostly computes.
.PHONY: faults-calls faults-others
faults-calls:  tags := calls
faults-others: tags := !calls
faults-calls faults-others:
	@FAULTS_ALL=1 common/netns tests/lib/run --limit 900 tests/slow/faults.bats --filter-tags '$(tags)'

bench: all ## measure the servers of 07 and 11 with up to 10,000 clients (half a minute): bin/bench.svg
	@common/netns common/bench bin/bench.svg 2 10 50 100 1000 10000

# Marp, which builds the slides, comes from npm and goes into bin/. The PDF takes a browser.
marp     = bin/marp-4.5.1
browser  = $(firstword $(shell bash -c 'type -P chromium chromium-browser google-chrome'))
build    = $(marp)/node_modules/.bin/marp --no-stdin -c slides/marp.config.mjs slides/slides.md

figures: ## make the figures of slides and pages, slides/figures/*.svg, from slides/figures/*.json
	@common/need node:nodejs
	@node slides/figures.mjs

# In a network of its own, where the lab and 12-picture see no other programs. (bash is process 1
# there, and waits for what others leave behind.)
record = common/netns bash -c 'node slides/record.mjs $$1; exit $$?' record
record: all ## run what the figures show, and write what the kernel says into slides/figures/*.json
	@common/need node:nodejs
	@$(record)

slides: $(marp)/node_modules/.bin/marp ## build bin/slides.html, and with a browser slides.pdf and handout.pdf
	@rm -f bin/slides.pdf bin/handout.pdf
	@$(build) --output bin/slides.html
	@$(if $(browser),$(build) --browser chrome --browser-path $(browser) --pdf-outlines \
	    --pdf-outlines.pages=false --output bin/slides.pdf,\
	    echo "No PDF: that takes a browser. On Debian: sudo apt-get install -y chromium")
	@$(if $(browser),node slides/print.mjs handout $(marp) $(browser) bin/handout.pdf)

book: $(marp)/node_modules/.bin/marp ## all lessons' pages as bin/book.pdf, the answers at its end (Chromium)
	@$(if $(browser),,common/need chromium:chromium)
	@node slides/print.mjs book $(marp) $(browser) bin/book.pdf

$(marp)/node_modules/.bin/marp:
	@common/need node:nodejs npm:npm
	npm install --prefix $(marp) --no-save --no-package-lock --no-audit --no-fund --ignore-scripts \
	    @marp-team/marp-cli@$(lastword $(subst -, ,$(marp)))

test-slides: all slides book ## look at each slide in a browser; make test reads their text
	@$(if $(browser),,common/need chromium:chromium)
	@$(record) --check
	@tests/slow/slides.mjs $(marp) $(browser) bin/slides.html bin/slides.pdf slides/figures bin/pictures

test-picture: all $(marp)/node_modules/.bin/marp ## try the drawing, and lesson 12 in a browser beside the other lessons
	@common/need node:nodejs
	@$(if $(browser),,common/need chromium:chromium)
	@node --test --test-reporter=tap tests/course/picture.test.mjs
	@common/netns bash -c 'tests/slow/picture.mjs "$$@"; exit' picture $(marp) $(browser) bin/pictures

linted := $(wildcard common/*.c lessons/*/*.c tests/slow/*.c tests/solutions/*.c tests/exercises/*.c)
lint: ## look for mistakes in C and shell sources (clang-format, clang-tidy, cppcheck, shellcheck)
	@common/need clang-format:clang-format clang-tidy:clang-tidy cppcheck:cppcheck \
	    shellcheck:shellcheck
	clang-format --dry-run --Werror $(linted) common/*.h tests/slow/*/*.c
	cppcheck --quiet --std=c11 --enable=warning,style,performance,portability --inline-suppr \
	    --suppress=missingIncludeSystem --error-exitcode=1 --force \
	    -D_Noreturn='__attribute__((noreturn))' -Icommon common lessons tests/solutions tests/exercises
	printf '%s\n' $(linted) | xargs -P "$$(nproc)" -I % \
	    clang-tidy --quiet % -- -std=c17 -D_POSIX_C_SOURCE=200809L -Icommon 2>/dev/null
	shellcheck --exclude=SC2034,SC2154 $(scripts) # variables cross files here: `load helpers`

# Each tests/slow/fuzz/NAME.c, with the inputs in the folder NAME to begin with. bin/fuzz keeps what fails.
FUZZ_SECONDS ?= 60
fuzzed := $(patsubst tests/slow/fuzz/%.c,fuzz-%,$(wildcard tests/slow/fuzz/*.c))
.PHONY: fuzz $(fuzzed)
fuzz: ## give the parsers millions of inputs: make fuzz FUZZ_SECONDS=60
	@common/need clang:clang
	@$(MAKE) --no-print-directory -k -O -j "$$(nproc)" $(fuzzed)
$(fuzzed): fuzz-%: | bin
	mkdir -p bin/fuzz/$*.found
	clang -std=c17 -D_POSIX_C_SOURCE=200809L $(WARNINGS) -g -O1 -Icommon \
	    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o bin/fuzz/$* tests/slow/fuzz/$*.c
	bin/fuzz/$* -max_total_time=$(FUZZ_SECONDS) -max_len=400 -timeout=5 -verbosity=0 \
	    -print_final_stats=1 -artifact_prefix=bin/fuzz/$*- bin/fuzz/$*.found tests/slow/fuzz/$*

# The exercises. What the student writes, lessons/06-accept-one/exercise.c, becomes bin/06-exercise;
# bin/06-exercise.checks is what its checks have said. A source that does not compile is not an
# error here: the checks begin with the compiler's message. It is compiled with the compiler's
# checkers, or without them if that fails. (-no-pie: at a random address some versions fail.)
exercises   := $(foreach e,$(wildcard lessons/*/exercise.c),$(basename $(call program_of,$e)))
for_checks  := $(wildcard tests/exercises/*[!0-9].* tests/exercises/check tests/lib/*)
check_tools := bats:bats ip:iproute2 ss:iproute2 perl:perl-base
scripts     += tests/exercises/check tests/exercises/progress tests/exercises/report \
               tests/solutions/run

bin/%-exercise: $$(wildcard lessons/$$*-*/exercise.c) bin/checkers.o bin/common.o
	@rm -f $@
	@for with in '$(checkers) -no-pie' ''; do \
	    $(compile) $$with -MMD -MP -o $@ $(filter %.c %.o,$^) $(LDFLAGS) 2>$@.compiler && break; done; true

bin/checkers.o: tests/exercises/checkers.c bin/compile
	@$(compile) -c -o $@ $<

bin/%-exercise.checks: bin/%-exercise tests/exercises/%.bats $(for_checks)
	@tests/exercises/check $* >/dev/null || true

# (1: something does not work yet. That is no failure of make, which would only add an error of its own.)
exercise-%: bin/%-exercise ## what works of your exercise: make exercise-06
	@common/need $(check_tools)
	@tests/exercises/check $* || [ $$? = 1 ]

check-%: exercise-% ## the same, by its other name
	@:

hunt-%: all ## is the mistake in a lesson's hunt.c fixed? make hunt-07
	@common/need $(check_tools)
	@tests/exercises/check hunt-$* || [ $$? = 1 ]

progress: ## which exercises are done, and where to go on
	@common/need $(check_tools)
	@echo "Checking what has changed since the last time. This may take a minute:"
	@$(MAKE) --no-print-directory -s -k -j "$$($(at_once))" $(exercises:bin/%-exercise=progress-%)
	@tests/exercises/progress

progress-%: bin/%-exercise.checks
	@tests/exercises/progress $*

report: progress ## the same for programs: bin/progress.json, and bin/progress.xml (JUnit)
	@common/need jq:jq
	@tests/exercises/report

watch-%: ## check an exercise again whenever you save its file: make watch-06 (^C ends it)
	@common/need entr:entr $(check_tools)
	@echo $(call exercise_of,$*) | entr -rc $(MAKE) --no-print-directory -s exercise-$*

exercise_of = $(or $(wildcard lessons/$1-*/exercise.c),$(error There is no exercise $1: make help))

solutions: bin/common.o ## check the checks: solutions pass them, near-misses and starter code fail
	@common/need $(check_tools) clang:clang
	@compile='$(compile)' checkers='$(checkers) -no-pie' at_once=$$($(at_once)) tests/solutions/run

.PHONY: progress report solutions
.PRECIOUS: bin/%-exercise bin/%-exercise.checks

clean: ## remove what make has built
	rm -rf bin

help: ## list the targets
	@sed -n 's/^\([a-z%-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
