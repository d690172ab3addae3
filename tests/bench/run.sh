#!/bin/sh
# Prints the figures of the gate (README.md here tells how to read them). Builds what is missing.
#
#   sh tests/bench/run.sh                     everything but relief_first, about four minutes on two idle cores
#   sh tests/bench/run.sh table pairs ...     only these: table, seal, pairs, instructions, load, lift, relief_first
#
# JD_ENTRIES, JD_PAIRS, JD_SECONDS, JD_EVENTS: sizes (bench.py, lift.py). BUILD: the build folder.
set -eu
cd "$(dirname "$0")/../.."
: "${BUILD:=$PWD/build}" "${CC:=cc}"
PY=/usr/bin/python3

for tool in wrk valgrind redis-server redis-cli taskset nginx; do
    command -v "$tool" >/dev/null || { echo "tests/bench/run.sh: $tool is missing" \
        "(apt-get install wrk valgrind redis-server util-linux nginx-core)" >&2; exit 1; }
done
[ "$(nproc)" -ge 2 ] || { echo "tests/bench/run.sh: needs two cores, one for the server" >&2; exit 1; }

make -s BUILD="$BUILD" all
for name in fill lookup probe seal; do
    "$CC" -std=gnu11 -O2 -g -Wall -Wextra -Werror -D_GNU_SOURCE -Irestrict-cache \
        -o "$BUILD/bench_$name" "tests/bench/$name.c" "$BUILD/libjdcore.a" -lcrypto
done

export JD_BENCH="$BUILD" JD_BUILD="$BUILD"
[ $# -gt 0 ] || set -- table seal pairs instructions load lift
for part; do
    if [ "$part" = lift ] || [ "$part" = relief_first ]; then
        "$PY" "tests/bench/$part.py"
    else
        "$PY" tests/bench/bench.py "$part"
    fi
done
