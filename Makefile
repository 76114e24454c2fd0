# perfkit: the extension (pg_ext/, PGXS) and the pooler (pooler/), built, run and tested.
#
#   PG_CONFIG=…   which PostgreSQL (15 or newer): else the pg_config on PATH, else the newest of
#                 /usr/lib/postgresql/*/bin
#   DESTDIR=…     make install below this folder
#
# Nothing is looked up before a target needs it, so that this file works on a bare machine.

SHELL := /bin/bash
export PG_CONFIG

# Asked at the time of use, by every recipe that needs it.
PG = $$(tools/pg-config.sh)
SUB = $(MAKE) --no-print-directory
NEWER_SUITES = regress isolation tap crash newer

.DEFAULT_GOAL := all
.PHONY: all ext pooler install uninstall installcheck run stop check check-long lint bench clean clean-run help \
	setup check-unit check-regress check-isolation check-tap check-e2e check-layers check-sizes \
	check-asan check-tsan check-17 check-18 check-crash format

##@ Build
all: ext pooler ## build the extension and the pooler (pooler/perfkit-pooler)

ext: ## build the extension only
	@pg=$(PG) && $(SUB) -C pg_ext all PG_CONFIG="$$pg"

pooler: ## build the pooler only; VARIANT=asan or tsan for a sanitizer build
	@$(SUB) -C pooler all

install: all ## install both into the PostgreSQL that pg_config names
	@pg=$(PG) && $(SUB) -C pg_ext install PG_CONFIG="$$pg" && \
		bin=$$("$$pg" --bindir) && install -d "$(DESTDIR)$$bin" && \
		install -m 755 pooler/perfkit-pooler "$(DESTDIR)$$bin/perfkit-pooler" && \
		share=$$("$$pg" --sharedir)/perfkit && install -d "$(DESTDIR)$$share" && \
		install -m 644 contrib/perfkit-pooler.socket contrib/perfkit-pooler.logrotate "$(DESTDIR)$$share" && \
		sed "s|@bindir@|$$bin|" contrib/perfkit-pooler.service.in > "$(DESTDIR)$$share/perfkit-pooler.service" && \
		man=$$("$$pg" --mandir) && install -d "$(DESTDIR)$$man/man1" "$(DESTDIR)$$man/man5" && \
		install -m 644 docs/man/perfkit-pooler.1 "$(DESTDIR)$$man/man1" && \
		install -m 644 docs/man/perfkit-pooler.ini.5 "$(DESTDIR)$$man/man5"

uninstall: ## remove what install installed
	@pg=$(PG) && $(SUB) -C pg_ext uninstall PG_CONFIG="$$pg" && \
		rm -f "$(DESTDIR)$$("$$pg" --bindir)/perfkit-pooler" && \
		rm -rf "$(DESTDIR)$$("$$pg" --sharedir)/perfkit" && man=$$("$$pg" --mandir) && \
		rm -f "$(DESTDIR)$$man/man1/perfkit-pooler.1" "$(DESTDIR)$$man/man5/perfkit-pooler.ini.5"

installcheck: ## run the SQL tests against a running server with perfkit installed and preloaded
	@pg=$(PG) && "$$(dirname "$$("$$pg" --pgxs)")/../test/regress/pg_regress" \
		--bindir="$$("$$pg" --bindir)" --inputdir=. --outputdir=. --dbname=contrib_regression \
		$(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))

clean: ## remove what was built and the logs of the tests; a running cluster is left alone
	@$(SUB) -C pooler clean
	@if pg=$(PG) 2>/dev/null; then $(SUB) -C pg_ext clean PG_CONFIG="$$pg"; \
		else rm -f pg_ext/*.o pg_ext/*.bc pg_ext/*.so; fi
	@rm -rf build results regression.diffs regression.out

##@ Try it
setup: ## install the packages that run and check need (apt; sudo when not root)
	@tools/setup.sh check

run: ## build, start a private cluster and the pooler in ./run, send work through both, show the views
	@MAKE="$(MAKE)" tools/run.sh

stop: ## stop what run started
	@tools/stop.sh

clean-run: ## stop, and remove ./run with its cluster
	@tools/stop.sh --remove

##@ Test
check: ## set up, build, run every test (a few minutes)
	@MAKE="$(MAKE)" tools/check.sh

check-long: ## check, sanitizer builds, an hour of fuzzing, stress, PostgreSQL's own suite, rounds (hours)
	@MAKE="$(MAKE)" tools/check.sh --long

check-unit: ## C unit tests of the pooler
	@MAKE="$(MAKE)" tools/check.sh unit
check-regress: ## pg_regress: sql/ against expected/
	@MAKE="$(MAKE)" tools/check.sh regress
check-isolation: ## isolation tests: tests/isolation
	@MAKE="$(MAKE)" tools/check.sh isolation
check-tap: ## TAP tests of the extension: tests/tap
	@MAKE="$(MAKE)" tools/check.sh tap
check-e2e: ## end-to-end tests of the pooler: tests/e2e
	@MAKE="$(MAKE)" tools/check.sh e2e
check-layers: ## the include law
	@tests/check_layers.sh
check-sizes: ## functions <= 100 lines, files <= 600
	@tests/check_sizes.sh
check-asan: ## unit tests, fuzz corpora and end-to-end tests of the AddressSanitizer + UBSan build
	@MAKE="$(MAKE)" tools/check.sh --variant asan unit fuzz e2e
check-tsan: ## unit tests of the ThreadSanitizer build
	@MAKE="$(MAKE)" tools/check.sh --variant tsan unit
check-17: ## the extension's tests on PostgreSQL 17, and the pooler with its libpq, in a root of Debian trixie (needs root)
	@MAKE="$(MAKE)" tools/check-on.sh trixie $(NEWER_SUITES)
check-18: ## the same on PostgreSQL 18, in a root of Debian forky
	@MAKE="$(MAKE)" tools/check-on.sh forky $(NEWER_SUITES)
check-crash: ## kill a backend, the worker, the pooler, the postmaster in the middle of work
	@MAKE="$(MAKE)" tools/check.sh crash

lint: ## clang-format, clang-tidy, cppcheck, warnings as errors, shellcheck, pyflakes
	@MAKE="$(MAKE)" tools/lint.sh

format: ## rewrite all C files with clang-format
	@find pg_ext pooler tests -name '*.[ch]' -not -path '*/build/*' -exec clang-format -i {} +

bench: ## throughput and latency, direct and pooled; beside PgBouncer; what capture costs
	@MAKE="$(MAKE)" tools/bench.sh

##@ Help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\nPG_CONFIG=/path/to/pg_config chooses the PostgreSQL (15 or newer).\n'
