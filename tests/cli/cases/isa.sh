# SPDX-License-Identifier: MIT
# The instruction set does not reach the weights: each level this CPU has gives the same run, dropout and all.
make_text text.txt 300
# shellcheck disable=SC2086 # several words
set -- train $TINY --data text.txt --tokenizer char --steps 6 --dropout 0.1 --seed 4 --sample-tokens 0 --quiet
best=$("$CLLM" topology --json | sed -n 's/.*"isa": *"\([a-z0-9]*\)".*/\1/p' | head -n 1)
"$CLLM" "$@" --out best
check "train" test -s best/metrics.jsonl
for isa in portable avx2 avx512 avx512bf16 amx; do
    if CLLM_ISA=$isa "$CLLM" "$@" --out $isa 2>stderr; then
        check "$isa gives the same weights" same_weights best $isa
        check "$isa gives the same metrics" same_metrics best $isa
    else
        check "$isa is refused by name ($best is the best here)" grep -q "$isa" stderr
    fi
done
CLLM_ISA=avx9 "$CLLM" "$@" --out none 2>stderr
check "an unknown one is refused" test $? != 0
check "with the names of those that are" grep -q "portable" stderr
