#!/bin/sh
# Installs what is missing, builds everything, runs all tests, and ends with "N passed, N failed".
#
#   sh tests/run.sh              everything (what CI runs)
#   sh tests/run.sh FILE...      only these pytest files, after the builds
#
# Touches nothing outside the checkout but installed packages, and leaves nothing running. What takes long is
# kept in build/: nginx's source package, a sanitised nginx, promtool.
set -eu
cd "$(dirname "$0")/.."
TOP=$PWD
BUILD=$TOP/build
PY=/usr/bin/python3
export LC_ALL=C.UTF-8

say() { printf '\n== %s\n' "$*"; }
die() { echo "tests/run.sh: $*" >&2; exit 1; }

# ---- packages -------------------------------------------------------------------------------------
. conf/packages.sh
install_packages "$BUILD_PACKAGES $RUN_PACKAGES $TEST_PACKAGES"

# ---- nginx's source package and promtool, fetched by apt into build/ -------------------------------
mkdir -p "$BUILD"
private_apt() {
    # the system's own Debian sources, as deb-src too, in a state folder of ours
    if [ ! -d "$BUILD/apt/lists/partial" ]; then
        mkdir -p "$BUILD/apt/parts" "$BUILD/apt/lists/partial" "$BUILD/apt/archives/partial"
        for f in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
            [ -f "$f" ] || continue
            grep -q "$(. /etc/os-release; echo "$VERSION_CODENAME")" "$f" || continue
            case $f in
            *.sources) sed 's/^Types:.*/Types: deb deb-src/' "$f" >"$BUILD/apt/parts/$(basename "$f")" ;;
            *.list) sed -n -e 's/^deb /deb-src /p' -e '/^deb /p' "$f" >"$BUILD/apt/parts/$(basename "$f")" ;;
            esac
        done
    fi
    apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$BUILD/apt/parts" \
        -o Dir::State::lists="$BUILD/apt/lists" -o Dir::Cache="$BUILD/apt" -o APT::Sandbox::User=root "$@"
}
NGINX_SRC=$BUILD/nginx-source
if [ ! -x "$NGINX_SRC/configure" ]; then
    say "nginx's source package"
    private_apt update
    rm -rf "$BUILD/fetch" && mkdir -p "$BUILD/fetch"
    (cd "$BUILD/fetch" && private_apt source --download-only --tar-only nginx) \
        || (cd "$BUILD/fetch" && private_apt source --download-only nginx) || true
    tarball=$(ls "$BUILD"/fetch/nginx_*.orig.tar.* 2>/dev/null | grep -v '\.asc$' | head -n 1)
    [ -n "$tarball" ] || die "could not fetch nginx's source package (apt-get source nginx)"
    rm -rf "$NGINX_SRC" && mkdir -p "$NGINX_SRC"
    tar xf "$tarball" -C "$NGINX_SRC" --strip-components=1
fi
PROMTOOL=$BUILD/promtool
if [ ! -x "$PROMTOOL" ]; then
    say "promtool"
    private_apt update
    rm -rf "$BUILD/fetch" && mkdir -p "$BUILD/fetch"
    if (cd "$BUILD/fetch" && private_apt download prometheus && dpkg-deb -x prometheus_*.deb .); then
        cp "$BUILD/fetch/usr/bin/promtool" "$PROMTOOL"
    else
        echo "this Debian has no prometheus package: the check by promtool is skipped"
    fi
fi

# ---- builds -----------------------------------------------------------------------------------------
export PROMTOOL
export JD_PLAIN="$BUILD"
T=$BUILD/test
export JD_BUILD="$T"
JD_TMP=$(mktemp -d /tmp/jdt.XXXXXX)
export JD_TMP
MODEL=
trap '[ -z "$MODEL" ] || kill "$MODEL" 2>/dev/null; rmdir "$JD_TMP" 2>/dev/null || echo "files of failed tests: $JD_TMP"' EXIT
export CMOCKA_MESSAGE_OUTPUT=TAP ASAN_OPTIONS=detect_odr_violation=0 UBSAN_OPTIONS=print_stacktrace=1

say "build: the programs and the module, for Debian's nginx"
make -s -j2 BUILD="$BUILD" all drivers
if [ $# -eq 0 ]; then
    make -s -j2 BUILD="$BUILD" "$BUILD/unit/test_table_steps" "$BUILD/unit/test_rcd_model"
    # every history of an order takes one core for minutes: it begins now, and is waited for below
    "$BUILD/unit/test_rcd_model" >"$BUILD/unit/test_rcd_model.tap" 2>&1 &
    MODEL=$!
fi
say "build: the same sanitised, with coverage, and an nginx built alike"
make -s -j2 BUILD="$T" SANITIZER=address,undefined COVERAGE=1 programs unit
make -s BUILD="$T" SANITIZER=address,undefined COVERAGE=1 NGINX_SRC="$NGINX_SRC" module
find "$T" -name '*.gcda' -delete
say "build: nginx with the module linked in"
make -s BUILD="$BUILD" NGINX_SRC="$NGINX_SRC" static

passed=0
failed=0
count() { passed=$((passed + $1)); failed=$((failed + $2)); }

run_pytest() {
    xml=$BUILD/pytest-$1.xml
    shift
    rm -f "$xml"
    "$PY" -m pytest -q -p no:cacheprovider --junitxml="$xml" "$@" || true
    [ -f "$xml" ] || die "pytest did not run"
    # shellcheck disable=SC2046
    count $("$PY" - "$xml" <<'P'
import sys, xml.etree.ElementTree as E
s = E.parse(sys.argv[1]).getroot().find("testsuite")
bad = int(s.get("failures")) + int(s.get("errors"))
print(int(s.get("tests")) - bad - int(s.get("skipped")), bad)
P
    )
}

if [ $# -gt 0 ]; then
    run_pytest some "$@"
    echo
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
fi

# ---- fuzz targets, while the model goes on ----------------------------------------------------------
say "fuzz targets, a few seconds each"
make -s -j2 BUILD="$BUILD" fuzz
fuzz() { # fuzz NAME...: one after the other; NAME.failed is left behind by one that failed
    for name; do
        rm -f "$BUILD/fuzz/$name.failed"
        mkdir -p "$BUILD/corpus/$name"
        seeds=
        [ ! -d "tests/fuzz/corpus/$name" ] || seeds=tests/fuzz/corpus/$name
        # shellcheck disable=SC2086
        if out=$("$BUILD/fuzz/$name" -max_total_time=4 -timeout=5 -verbosity=0 -print_final_stats=1 \
                -artifact_prefix="$BUILD/corpus/$name-" "$BUILD/corpus/$name" $seeds 2>&1); then
            printf '%-28s %s runs\n' "$name" "$(printf '%s\n' "$out" | sed -n 's/.*number_of_executed_units: *//p')"
        else
            : >"$BUILD/fuzz/$name.failed"
            printf '%s\n' "$out" | tail -n 40
        fi
    done
}
all=$(for src in tests/fuzz/fuzz_*.c; do basename "$src" .c; done)
# shellcheck disable=SC2046
fuzz $(echo "$all" | sed -n '1~2p') &
OTHER=$!
# shellcheck disable=SC2046
fuzz $(echo "$all" | sed -n '2~2p')
wait "$OTHER"
for name in $all; do
    if [ -f "$BUILD/fuzz/$name.failed" ]; then count 0 1; else count 1 0; fi
done

# ---- unit tests: cmocka, TAP ------------------------------------------------------------------------
say "unit tests"
for t in "$T"/unit/test_*; do
    name=$(basename "$t")
    tap=$BUILD/unit/$name.tap
    case $name in
    *.*) continue ;;
    test_rcd_model)
        wait "$MODEL" && rc=0 || rc=$?
        MODEL=
        ;;
    # every step of the table: minutes when sanitised
    test_table_steps) "$BUILD/unit/$name" >"$tap" 2>&1 && rc=0 || rc=$? ;;
    *) "$t" >"$tap" 2>&1 && rc=0 || rc=$? ;;
    esac
    ok=$(grep -c '^ok ' "$tap") || true
    bad=$(grep -c '^not ok ' "$tap") || true
    [ "$rc" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    printf '%-28s %3d passed, %d failed\n' "$name" "$ok" "$bad"
    [ "$bad" -eq 0 ] || cat "$tap"
    count "$ok" "$bad"
done

say "table and cells: killed writers, churn"
for t in "$BUILD"/table_kill "$BUILD"/table_churn "$BUILD"/table_cells; do
    make -s BUILD="$BUILD" "$t"
    if "$t"; then count 1 0; else count 0 1; fi
done

# ---- everything with real processes -------------------------------------------------------------------
say "real nginx, Redis, daemon, office, terminals"
# the tests wait more than they work: more of them than cores; those that take longest begin
run_pytest all -n 6 tests/chain tests/daemon tests/nginx tests/sim tests/core

say "coverage of C lines (sanitised build, all of the above)"
coverage() { # coverage FOLDER OBJECTS SOURCES: gcov wants to stand where the compiler stood
    (cd "$1" && gcovr -r "$TOP" --filter "$TOP/$3/" "$2") 2>>"$BUILD/gcovr.log" || tail -n 5 "$BUILD/gcovr.log"
}
: >"$BUILD/gcovr.log"
coverage "$TOP" "$T/obj" restrict-cache
coverage "$T/nginx-dynamic-src" objs/addon ngx_jd_module

echo
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
