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
