# SPDX-License-Identifier: MIT
# Run directories that cannot be made, written, read or gone on with.
make_text text.txt 400
# shellcheck disable=SC2086 # several words
set -- train $TINY --data text.txt --steps 6 --save-every 2 --keep 3 --sample-tokens 0
mkdir there
refuses "exists" 1 "there" "$@" --out there
check "what exists is left alone" test -d there
refuses "parent is missing" 1 "no/run" "$@" --out no/run
refuses "parent is no directory" 1 "text.txt" "$@" --out text.txt/run
refuses "not writable" 1 "/proc/run" "$@" --out /proc/run

# A disk that is full after some hundred KiB: a tmpfs where we may mount one, and a limit on file sizes everywhere.
(
    trap '' XFSZ 2>/dev/null
    ulimit -f 32
    refuses "a file cannot be written to its end" 1 "RUN" "$@" --out RUN
) >limit.log 2>&1
cat limit.log
if unshare -rm true 2>/dev/null; then
    mkdir small
    unshare -rm sh -c 'mount -t tmpfs -o size=300k none small && cd small &&
        "$CLLM" "$@" --data ../text.txt --out RUN >../stdout 2>../stderr; echo $? >../status; ls >../left' sh "$@" 2>/dev/null
    if [ -s status ]; then
        check "a full disk fails" test "$(cat status)" = 1
        check "a full disk is told in a line" test "$(wc -l <stderr)" = 1
        check "nothing is left on a full disk" test ! -s left
    fi
fi

refuses "resume: missing" 1 "nothere" train --resume nothere
refuses "resume: no run" 1 "there" train --resume there
refuses "stats: no run" 1 "stats.json" stats there
refuses "stats: missing" 1 "nothere" stats nothere
refuses "generate: missing" 1 "nothere" generate nothere
refuses "generate: no model" 1 "neither" generate there
refuses "eval: no model" 1 "neither" eval there --data text.txt

"$CLLM" "$@" --out run --tokenizer char --quiet
check "a run" test $? = 0
refuses "resume: other settings" 1 "lr" train --resume run --lr 0.5
refuses "resume: other length" 1 "steps" train --resume run --steps 60
refuses "resume: other tokenizer" 1 "tokenizer" train --resume run --tokenizer byte
make_text other.txt 100
refuses "resume: other data" 1 "other.txt" train --resume run --data other.txt
check "resume: finished" sh -c '"$CLLM" train --resume run | grep -q "is finished"'
refuses "eval: missing data" 1 "nodata" eval run --data nodata
refuses "eval: window beyond the context" 1 "seq-len" eval run --data text.txt --seq-len 100000
refuses "generate: character unknown" 1 "prompt" generate run --prompt '%%%'
refuses "generate: token unknown" 1 "vocabulary" generate run --prompt-tokens 100000

cp -r run changed
printf 'x' | dd of=changed/tokens.bin bs=1 seek=1100 conv=notrunc 2>/dev/null
refuses "resume: tokens changed" 1 "tokens" train --resume changed
cp -r run damaged
printf 'x' | dd of=damaged/checkpoints/step-00000006/model.safetensors bs=1 seek=2000 conv=notrunc 2>/dev/null
"$CLLM" train --resume damaged --quiet >stdout 2>stderr
check "a damaged checkpoint is passed over" test $? = 0
check "and named" grep -q "step-00000006" stderr
check "and the result is the same" same_weights run damaged
for step in 2 4 6; do
    [ -d damaged/checkpoints/step-0000000$step ] &&
        printf 'x' | dd of=damaged/checkpoints/step-0000000$step/model.safetensors bs=1 seek=2000 conv=notrunc 2>/dev/null
done
"$CLLM" generate damaged >stdout 2>stderr
check "nothing sound left is a failure" test $? = 1
