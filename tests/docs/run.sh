#!/bin/sh
# SPDX-License-Identifier: MIT
# The program of docs/ten_lines.c compiles against the installed library by its pkg-config file, and trains.
# usage: run.sh CONFIG     (the build below build/; compiler and flags come from the environment as for make)
set -u
config=${1:-release}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT INT TERM
fail() { echo "FAIL: $*"; echo "0 passed, 1 failed"; exit 1; }

make --no-print-directory -s CONFIG="$config" install PREFIX="$dir/usr" >"$dir/log" 2>&1 || { cat "$dir/log"; fail "make install"; }
for f in bin/cllm lib/libcllm.a lib/pkgconfig/cllm.pc include/cllm/train/threaded_training.h share/man/man1/cllm.1; do
    [ -f "$dir/usr/$f" ] || fail "make install leaves no $f"
done
PKG_CONFIG_PATH="$dir/usr/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
export PKG_CONFIG_PATH
# shellcheck disable=SC2046,SC2086
${CC:-cc} ${SANITIZE:-} docs/ten_lines.c $(pkg-config --cflags --libs cllm) -o "$dir/ten_lines" || fail "compiling docs/ten_lines.c"
i=0
while [ $i -lt 400 ]; do echo "The quick brown fox jumps over the lazy dog, $i times."; i=$((i + 1)); done >"$dir/text"
"$dir/ten_lines" "$dir/text" 2 >"$dir/out" 2>&1 || { cat "$dir/out"; fail "running it"; }
grep -q 'step 2: loss' "$dir/out" || { cat "$dir/out"; fail "it says no loss"; }
"$dir/ten_lines" "$dir/none" 2 >"$dir/out" 2>&1 && fail "a missing file is no failure"
grep -q "$dir/none" "$dir/out" || { cat "$dir/out"; fail "the missing file is not named"; }
echo "1 passed, 0 failed"
