#!/bin/sh
# SPDX-License-Identifier: MIT
# valgrind.sh CLLM   a whole training under valgrind, two spheres: train, resume, write; no error, nothing lost.
# The last line is "N passed, N failed".
set -u
cllm=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0
under() { # under NAME ARGS...
    name=$1
    shift
    if valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite "$cllm" "$@" >"$dir/out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        tail -n 40 "$dir/out"
    fi
}
i=0
while [ $i -lt 100 ]; do echo "the old moon sees a river and the bird takes the stone, $i"; i=$((i + 1)); done >"$dir/text.txt"
under "train" train --preset shakespeare-char-cpu --n-layer 2 --n-head 2 --n-embd 24 --seq-len 16 --batch-size 4 \
    --micro-batch 2 --dropout 0.1 --steps 2 --eval-batches 1 --data "$dir/text.txt" --tokenizer char --threads 2 \
    --sample-tokens 8 --out "$dir/run"
under "resume of a finished run" train --resume "$dir/run" --threads 1
under "generate" generate "$dir/run" --max-tokens 20 --prompt "the " --threads 2
under "eval" eval "$dir/run" --data "$dir/text.txt" --max-tokens 64 --threads 2
under "stats" stats "$dir/run"
under "report" report "$dir/run" --out "$dir/run.html"
under "compare" compare "$dir/run" "$dir/run" --out "$dir/run.html"
under "export" export "$dir/run" --csv "$dir/run.csv" --tensorboard "$dir/events"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
