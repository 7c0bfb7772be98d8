# SPDX-License-Identifier: MIT
# The instruction set does not reach the weights: each level this CPU has gives the same run, dropout and all.  In bf16
# that goes for all levels but amx, whose unit adds in another order.
make_text text.txt 300
# shellcheck disable=SC2086 # several words
set -- train $TINY --data text.txt --tokenizer char --dropout 0.1 --seed 4 --sample-tokens 0 --quiet
best=$("$CLLM" topology --json | sed -n 's/.*"isa": *"\([a-z0-9]*\)".*/\1/p' | head -n 1)
for dtype in f32 bf16; do
    steps=6
    [ $dtype = bf16 ] && steps=3
    CLLM_ISA=avx2 "$CLLM" "$@" --steps $steps --dtype $dtype --out $dtype-first 2>stderr ||
        CLLM_ISA=portable "$CLLM" "$@" --steps $steps --dtype $dtype --out $dtype-first
    check "train in $dtype" test -s $dtype-first/metrics.jsonl
    for isa in portable avx2 avx512 avx512bf16 amx; do
        [ $dtype$isa = bf16amx ] && continue
        if CLLM_ISA=$isa "$CLLM" "$@" --steps $steps --dtype $dtype --out $dtype-$isa 2>stderr; then
            check "$isa gives the same weights in $dtype" same_weights $dtype-first $dtype-$isa
            check "$isa gives the same metrics in $dtype" same_metrics $dtype-first $dtype-$isa
        else
            check "$isa is refused by name ($best is the best here)" grep -q "$isa" stderr
        fi
    done
done
check "bf16 is not f32" sh -c '! cmp -s f32-portable/checkpoints/latest/model.safetensors bf16-portable/checkpoints/latest/model.safetensors'
"$CLLM" train --resume bf16-portable --dtype f32 --steps 3 2>stderr
check "another dtype on resuming is refused" test $? != 0
check "with both named" grep -q "dtype: bf16, f32" stderr
CLLM_ISA=avx9 "$CLLM" "$@" --out none 2>stderr
check "an unknown one is refused" test $? != 0
check "with the names of those that are" grep -q "portable" stderr
