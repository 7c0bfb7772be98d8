#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh GENERATE_CORPUS   the corpus generator: same bytes for the same seed, size, and a sentence for each bad input.
set -u
generate=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
expect() { # expect WHAT CONDITION...
    what=$1
    shift
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "not so: $what"; fi
}
refuses() { # refuses TEXT ARGUMENT...: exits non-zero, says TEXT, writes nothing
    text=$1
    shift
    ! "$generate" "$@" >"$dir/out" 2>"$dir/err" && [ ! -s "$dir/out" ] && grep -q "$text" "$dir/err"
}
grammar() { printf '%b' "$1" >"$dir/grammar"; }

"$generate" 1 7 >"$dir/a"
"$generate" 1 7 >"$dir/b"
"$generate" 1 8 >"$dir/c"
size=$(wc -c <"$dir/a")
expect "the same seed gives the same bytes" cmp -s "$dir/a" "$dir/b"
expect "another seed gives others" [ "$(cmp -s "$dir/a" "$dir/c"; echo $?)" = 1 ]
expect "one megabyte is written" [ "$size" -ge 1000000 -a "$size" -lt 1020000 ]
expect "the bytes are those they were" [ "$(cksum <"$dir/a" | cut -d' ' -f1)" = 3021657797 ]
expect "no markup is left over" [ "$(grep -c '[<>@|^\\]' "$dir/a")" = 0 ]
expect "usage" refuses usage
expect "a size that is no number" refuses usage 1x
expect "a seed that is no number" refuses usage 1 -3
expect "a grammar that is not there" refuses "No such file" 1 1 "$dir/none"
grammar '# nothing\n'
expect "an empty grammar" refuses "no rule" 1 1 "$dir/grammar"
grammar 'a: b\nnonsense\n'
expect "a line that is no rule, by number" refuses ":2: a rule is" 1 1 "$dir/grammar"
grammar 'a: <b> c\n'
expect "a rule that is not there" refuses '"a": an alternative names' 1 1 "$dir/grammar"
grammar 'a: x <a>\n'
expect "a rule without end" refuses "never comes to an end" 1 1 "$dir/grammar"
expect "a full disk" [ "$("$generate" 1 2>/dev/null >/dev/full; echo $?)" = 1 ]
echo "$passed passed, $failed failed"
[ $failed = 0 ]
