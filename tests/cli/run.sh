#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh CLLM [CASE...]   runs the cases (tests/cli/cases/*.sh, or those named) against the command, each in a directory
# of its own.  The last line is "N passed, N failed"; exit 1 when any failed.
set -u
case ${1:-} in
'') echo "usage: run.sh CLLM [CASE...]" >&2; exit 2 ;;
/*) CLLM=$1 ;;
*) CLLM=$PWD/$1 ;;
esac
shift
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
unset OMP_NUM_THREADS CLLM_ISA NO_COLOR CLLM_FULL_WIDTH
export CLLM LC_ALL=C
passed=0 failed=0
[ $# -gt 0 ] || set -- "$here"/cases/*.sh
for script in "$@"; do
    [ -f "$script" ] || script=$here/cases/$script.sh
    name=$(basename "$script" .sh)
    mkdir "$work/$name"
    (cd "$work/$name" && . "$here/lib.sh" && . "$script") >"$work/log" 2>&1 </dev/null
    echo "# $name" && cat "$work/log"
    good=$(grep -c '^ok ' "$work/log")
    bad=$(grep -c '^FAIL ' "$work/log")
    if [ "$good" = 0 ] && [ "$bad" = 0 ]; then
        echo "FAIL $name: the case made no check"
        bad=1
    fi
    passed=$((passed + good)) failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
