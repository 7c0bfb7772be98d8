# SPDX-License-Identifier: MIT
# Every optimizer: the same weights with another number of spheres, and after an interruption; and what is refused.
make_text text.txt 300
# shellcheck disable=SC2086 # several words
set -- train $TINY --data text.txt --tokenizer char --seed 4 --steps 6 --sample-tokens 0 --quiet
for optimizer in adamw lion muon adamw8bit; do
    "$CLLM" "$@" --optimizer $optimizer --threads 1 --out $optimizer 2>stderr
    check "train with $optimizer" test $? = 0
    check "run.json says so" grep -q "\"optimizer\": \"$optimizer\"" $optimizer/run.json
    "$CLLM" "$@" --optimizer $optimizer --threads 3 --save-every 2 --keep 9 --out $optimizer-3 2>stderr
    check "three spheres give the same weights" same_weights $optimizer $optimizer-3
    rm -r $optimizer-3/checkpoints/step-00000006
    "$CLLM" train --resume $optimizer-3 --threads 2 --sample-tokens 0 --quiet 2>stderr
    check "and so does a resumed run" same_weights $optimizer $optimizer-3
done
check "lion is not adamw" sh -c '! cmp -s lion/checkpoints/latest/model.safetensors adamw/checkpoints/latest/model.safetensors'
check "muon is not adamw" sh -c '! cmp -s muon/checkpoints/latest/model.safetensors adamw/checkpoints/latest/model.safetensors'
"$CLLM" train --resume lion --optimizer muon 2>stderr
check "another optimizer on resuming is refused" test $? != 0
check "with both named" grep -q "optimizer: lion, muon" stderr
"$CLLM" "$@" --optimizer lion --muon-lr 0.01 --out none 2>stderr
check "Muon's flags with another optimizer are refused" test $? != 0
check "in a sentence" grep -q "go with --optimizer muon, not with lion" stderr
"$CLLM" "$@" --optimizer sgd --out none 2>stderr
check "an unknown one is refused" test $? = 2
check "with the names of those that are" grep -q "adamw8bit" stderr
check "nothing is left behind" test ! -e none
