# SPDX-License-Identifier: MIT
# Early stopping and the best checkpoint: a small text, learned by heart, so that validation gets worse.
make_text text.txt 60
# shellcheck disable=SC2086 # several words
set -- train $TINY --data text.txt --tokenizer char --steps 3000 --lr 1e-2 --eval-every 20 --early-stop 3 --save-best --sample-tokens 0
arguments=$(for word in "$@"; do printf "'%s' " "$word"; done)
"$CLLM" "$@" --out whole >whole.out 2>&1
check "trains" test $? = 0
check "stops early" grep -q '"event": "early_stop", .*"evaluations": 3' whole/metrics.jsonl
check "says so" grep -q "stopping early: no new best in 3 evaluations; the best was" whole.out
best=$(sed -n 's/.*"event": "early_stop".*"best_step": \([0-9]*\).*/\1/p' whole/metrics.jsonl)
end=$(sed -n 's/{"step": \([0-9]*\), "event": "early_stop".*/\1/p' whole/metrics.jsonl)
check "three evaluations behind the best" test "$end" = $((best + 60))
check "best names it" test "$(readlink whole/checkpoints/best)" = "step-$(printf %08d "$best")"
check "the end is saved" test "$(readlink whole/checkpoints/latest)" = "step-$(printf %08d "$end")"
least=$(sed -n 's/.*"val_loss": \([0-9.]*\),.*/\1/p' whole/metrics.jsonl | sort -n | head -n 1)
check "it is the least of all" grep -q "\"step\": $best, \"val_loss\": $least," whole/metrics.jsonl
check "a model like any other" "$CLLM" generate whole/checkpoints/best --prompt the --max-tokens 3 --seed 1

eval "set -- $arguments"
"$CLLM" "$@" --out cut --quiet &
pid=$!
wait_for 60 has_step cut 30
kill -KILL $pid
wait $pid 2>/dev/null
"$CLLM" train --resume cut --threads 1 --quiet --sample-tokens 0
check "a killed run stops early too" test $? = 0
check "with the same weights" same_weights whole cut
check "and the same metrics" same_metrics whole cut
check "and the same best" test "$(readlink cut/checkpoints/best)" = "$(readlink whole/checkpoints/best)"
"$CLLM" train --resume cut >stdout 2>&1
check "it is finished" grep -q "it stopped early; --early-stop 0 goes on" stdout
"$CLLM" train --resume cut --early-stop 4 --quiet --sample-tokens 0
check "and goes on where it may" sh -c "[ \$(grep -c '\"val_loss\"' cut/metrics.jsonl) -gt \$(grep -c '\"val_loss\"' whole/metrics.jsonl) ]"
refuses "without evaluations" 1 "eval_every" train --data text.txt --out RUN --early-stop 3 --eval-every 0
