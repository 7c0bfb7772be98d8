# SPDX-License-Identifier: MIT
# What takes less memory: layers run again, with the same weights, also from a resume on.
make_text text.txt 300
# shellcheck disable=SC2086 # several words
set -- train $TINY --n-layer 4 --data text.txt --tokenizer char --seed 4 --steps 6 --sample-tokens 0 --quiet
"$CLLM" "$@" --out none 2>stderr
for recompute in 1 3 all; do
    "$CLLM" "$@" --recompute $recompute --threads 3 --save-every 2 --keep 9 --out again-$recompute 2>stderr
    check "train with --recompute $recompute" test $? = 0
    check "the same weights" same_weights none again-$recompute
    check "the same metrics" same_metrics none again-$recompute
done
check "run.json says so" grep -q '"recompute": 4' again-all/run.json
rm -r again-1/checkpoints/step-00000006
"$CLLM" train --resume again-1 --recompute 2 --sample-tokens 0 --quiet 2>stderr
check "another number on resuming" test $? = 0
check "is recorded" grep -q '"recompute": 2' again-1/run.json
check "and the weights are the same" same_weights none again-1
check "compare finds no difference" sh -c '"$CLLM" compare none again-1 >stdout'
sed 's/ *"recompute": [0-9]*,*//' again-3/run.json >old.json && mv old.json again-3/run.json
rm -r again-3/checkpoints/step-00000006
"$CLLM" train --resume again-3 --sample-tokens 0 --quiet 2>stderr
check "a run of before the setting resumes" same_weights none again-3
"$CLLM" "$@" --recompute 5 --out RUN 2>stderr
check "more than there are layers is refused" test $? != 0
check "in a sentence" grep -q "none, all or a number of the model's 4 layers" stderr
check "and leaves nothing" test ! -e RUN

# --fit: layers first, then the micro-batch; recorded; on resuming only layers.
total() { # total ARGS...: planned bytes without the program's own
    "$CLLM" plan --json "$@" | awk '/"total_bytes"/ { t = $2 + 0 } /"program_bytes"/ { p = $2 + 0 } END { printf "%.0f\n", t - p + 33554432 }'
}
field() { sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$2"; }
model="--preset gpt2 --dtype f32 --batch-size 8 --micro-batch 8 --threads 2 --save-mode blocking"
# shellcheck disable=SC2086
all=$(total $model --recompute all) half=$(total $model --recompute 6) none=$(total $model)
# shellcheck disable=SC2086
for at in "$none 0" "$((none - 1)) 1" "$half 6" "$((half - 1)) 7" "$all 11"; do
    set -- $at
    "$CLLM" plan --json $model --fit "$1" >plan.json 2>stderr
    check "--fit $1 runs $2 layers again" test "$(field recompute plan.json)" = "$2" -a "$(field micro_batch plan.json)" = 8
done
model="--preset gpt2 --dtype f32 --batch-size 8 --threads 2 --save-mode blocking"
# shellcheck disable=SC2086
"$CLLM" plan --json $model --fit "$((all - 1))" >plan.json
check "a byte less takes a smaller micro-batch" test "$(field micro_batch plan.json)" = 4
# shellcheck disable=SC2086
refuses "but not where it was given" 1 "a micro-batch of 8 as given and 11 of 12 layers" plan $model --micro-batch 8 --fit "$((all - 1))"
# shellcheck disable=SC2086
refuses "and there is an end" 1 "nothing fits 1.00 GiB: the least is" plan $model --fit 1G
refuses "--fit wants bytes" 1 "such as 3.5G or 800M" plan --fit much
refuses "train too, before any work" 1 "such as 3.5G or 800M" train --data text.txt --fit 0 --out RUN
refuses "a training that cannot fit" 1 "nothing fits" train --data text.txt --preset gpt2 --tokenizer byte --seq-len 32 --fit 1G --out RUN
# shellcheck disable=SC2086
set -- train $TINY --n-layer 4 --data text.txt --tokenizer char --seed 4 --steps 6 --sample-tokens 0 --batch-size 12 --micro-batch 12 --save-mode blocking
"$CLLM" "$@" --out whole --quiet
bytes=$(total $TINY --n-layer 4 --batch-size 12 --micro-batch 12 --vocab-size 30 --recompute all --save-mode blocking)
"$CLLM" "$@" --out fitted --fit "$bytes" --save-every 3 --keep 9 >stdout
check "a run that was fitted" test "$(field recompute fitted/run.json)" -gt 0
check "says so" grep -q "of 4 layers run again" stdout
check "with the same weights" same_weights whole fitted
rm -r fitted/checkpoints/step-00000006
"$CLLM" train --resume fitted --fit 1T --sample-tokens 0 --quiet
check "resumed with more memory" test "$(field recompute fitted/run.json)" = 0
check "with the same weights again" same_weights whole fitted
# shellcheck disable=SC2086
set -- train $TINY --n-layer 4 --data text.txt --tokenizer char --seed 4 --steps 4 --sample-tokens 0 --batch-size 12 --save-mode blocking --quiet
"$CLLM" "$@" --out small --fit "$((bytes - 60000))" >stdout
micro=$(field micro_batch small/run.json)
check "a smaller micro-batch is recorded" test "$micro" -lt 12
"$CLLM" "$@" --micro-batch "$micro" --out given
check "and is one like any other" same_weights small given

# Before the first step: an evaluation and a checkpoint, so that what is wrong shows then.
# shellcheck disable=SC2086
"$CLLM" train $TINY --dtype f32 --data text.txt --tokenizer char --optimizer lion --lr 1000 --min-lr 1000 --schedule constant \
    --warmup-steps 0 --weight-decay 0.1 --grad-clip 0 --steps 7 --seed 1337 --sample-tokens 0 --out wild --quiet
check "weights that are finite and of no use" test -s wild/checkpoints/step-00000007/model.safetensors
refuses "are found before the first step" 1 "before the first step the loss .* is .*nan: the weights of wild" \
    train --init wild/checkpoints/latest --data text.txt --tokenizer wild/tokenizer.json --seq-len 32 --batch-size 4 --steps 9 --out RUN
# shellcheck disable=SC2086
set -- train $TINY --data text.txt --tokenizer char --steps 9 --sample-tokens 0
"$CLLM" "$@" --out dry >stdout
check "time is told after three steps" grep -q '^to go  *a step takes .* for 6 steps, .* for 1 evaluation, .* for 1 checkpoint; .* in all' stdout
check "the evaluation before leaves no line" test "$(grep -c val_loss dry/metrics.jsonl)" = 1
check "the first checkpoint is there" sh -c '"$CLLM" '"$*"' --quiet --keep 9 --out kept && test -d kept/checkpoints/step-00000000'
"$CLLM" "$@" --steps 3 --out three >stdout
check "three steps have nothing to go" sh -c '! grep -q "^to go" stdout'

# Planned is used: by the kernel's own figure, within 3 %.  (scripts/check_memory does more.)  Sanitizers have memory of their own.
if [ -z "${CLLM_TEST_SANITIZED:-}" ]; then
    make_text long.txt 3000
    for flags in "--dtype f32" "--dtype bf16 --recompute all --save-every 1"; do
        # shellcheck disable=SC2086
        "$CLLM" train $TINY --data long.txt --tokenizer byte --n-layer 4 --n-head 4 --n-embd 128 --seq-len 128 --batch-size 32 --steps 2 \
            --sample-tokens 0 --quiet --out planned $flags
        planned=$(field planned_bytes planned/stats.json) used=$(field peak_bytes planned/stats.json)
        check "memory with $flags: $planned planned, $used used" \
            awk -v p="$planned" -v u="$used" 'BEGIN { exit !(p > 5e7 && u / p < 1.03 && u / p > 0.97) }'
        rm -r planned
    done
fi

# plan --measure: three real steps, and nothing is left of them.
mkdir disk
# shellcheck disable=SC2086
set -- plan $TINY --vocab-size 65 --steps 100 --eval-every 20 --save-every 50 --save-mode blocking --tokens 100000 --out disk
"$CLLM" "$@" --measure --json >plan.json 2>stderr
check "plan --measure" test $? = 0
check "counts what is to come" grep -q '"evaluations": 5,' plan.json
check "and checkpoints" grep -q '"saves": 2,' plan.json
check "the sum is that of its parts" awk -F'[:,]' '
    /"steps_s"|"evaluations_s"|"saves_s"/ { sum += $2; n++; if (!($2 > 0)) bad = 1 } /"total_s"/ { total = $2 }
    END { exit !(n == 3 && !bad && total / sum > 0.999999 && total / sum < 1.000001) }' plan.json
check "no directory is left" test -z "$(ls disk)"
"$CLLM" "$@" --measure >stdout
check "as a table too" grep -q '^  5 evaluations of 2 ' stdout
"$CLLM" "$@" --sample-every 30 --save-best --measure --json >plan.json 2>stderr
check "with samples, and each evaluation a new best" sh -c 'grep -q "\"samples\": 3," plan.json && grep -q "\"saves\": 6," plan.json'
check "in the sum" awk -F'[:,]' '
    /"steps_s"|"evaluations_s"|"saves_s"|"samples_s"/ { sum += $2; n++; if (!($2 > 0)) bad = 1 } /"total_s"/ { total = $2 }
    /"sample_s"/ { one = $2 } /"samples_s"/ { all = $2 }
    END { exit !(n == 4 && !bad && total / sum > 0.999999 && total / sum < 1.000001 && all / one > 2.99 && all / one < 3.01) }' plan.json
"$CLLM" "$@" --sample-every 30 --save-best --measure >stdout
check "and in the table" sh -c 'grep -q "^  a sample of 200 tokens  *[0-9]" stdout && grep -q "^  3 samples " stdout && grep -q "^  at most 6 checkpoints " stdout'
"$CLLM" "$@" --tokens 0 --eval-batches 0 --measure >stdout
check "without the data it says what is missing" grep -q -e 'without evaluations.*--tokens N' stdout
"$CLLM" "$@" >stdout
check "unmeasured it has no time" sh -c '! grep -q "^time" stdout && grep -q "^  free there" stdout'
refuses "a disk that is not there" 1 "nowhere" plan --out nowhere
refuses "nor to be measured on" 1 "nowhere" plan --out nowhere --measure
check "disk: as many as stay at a time" sh -c '"$CLLM" plan --steps 1000 --save-every 10 --keep 4 --keep-every 250 --val-fraction 0 --json | grep -q "\"checkpoints\": 9,"'
"$CLLM" plan --preset shakespeare-char --vocab-size 65 --threads 2 --out disk --measure >stdout 2>stderr &
pid=$!
wait_for 20 sh -c 'test -n "$(ls disk)"'
kill -TERM $pid
wait $pid
check "SIGTERM ends a measurement" test $? = 143
check "and nothing is left" test -z "$(ls disk)"
