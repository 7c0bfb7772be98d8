# SPDX-License-Identifier: MIT
# Text with stretches of garbage: steps that spike are skipped, rolled back, or end the run; the same bits on any
# number of spheres, and for a run that was killed.
make_text clean.txt 600
awk 'BEGIN { s = 7 }
     { print }
     NR % 75 == 0 { for (i = 0; i < 200; i++) { s = (s * 75 + 74) % 65537; printf "%d", s % 10 } print "" }' clean.txt >text.txt
steps=150
if [ -n "${CLLM_TEST_SANITIZED:-}" ]; then steps=100; fi
# shellcheck disable=SC2086 # several words
set -- train $TINY --data text.txt --tokenizer char --steps $steps --batch-size 2 --lr 5e-3 --save-every 8 --sample-tokens 0 \
    --spike-factor 4 --spike-window 8 --spike-margin 3 --spike-limit 60
arguments=$(for word in "$@"; do printf "'%s' " "$word"; done)
events() { grep -h "\"event\": \"$2\"" "$1"/metrics*.jsonl; }
truth() { grep '"event"' "$1/metrics.jsonl" | grep -v '"checkpoint"'; }

for policy in skip rollback; do
    eval "set -- $arguments"
    "$CLLM" "$@" --on-spike $policy --out $policy --quiet
    check "$policy: trains" test $? = 0
    check "$policy: it happened" test "$(events $policy $policy | wc -l)" -ge 2
    check "$policy: one line a step" test "$(grep -c '"loss": .*"lr"' $policy/metrics.jsonl)" = $steps
    "$CLLM" "$@" --on-spike $policy --out $policy.three --threads 3 --quiet
    check "$policy: the same weights on three spheres" same_weights $policy $policy.three
    check "$policy: the same metrics" same_metrics $policy $policy.three

    "$CLLM" "$@" --on-spike $policy --out $policy.killed --quiet &
    pid=$!
    wait_for 60 has_step $policy.killed 60
    kill -KILL $pid
    wait $pid 2>/dev/null
    "$CLLM" train --resume $policy.killed --threads 1 --quiet --sample-tokens 0
    check "$policy: a killed run goes on" test $? = 0
    check "$policy: to the same weights" same_weights $policy $policy.killed
    check "$policy: with the same metrics" same_metrics $policy $policy.killed
    truth $policy >events.a
    truth $policy.killed >events.b
    check "$policy: and the same events" cmp -s events.a events.b
done
check "skip: names samples and reason" sh -c "grep '\"event\": \"skip\"' skip/metrics.jsonl | grep -q '\"first_sample\": [0-9]*, \"last_sample\": .*\\|\"reason\": \"the loss is above its range\"'"
check "rollback: what was given up lies beside" sh -c "grep -q '\"event\": \"spike\"' rollback/metrics.rolled-back-1.jsonl"
check "a report of such a run" "$CLLM" report rollback
check "a comparison of such runs" "$CLLM" compare rollback rollback.three
check "skip and rollback are settings that matter" sh -c "! '$CLLM' compare skip rollback"

eval "set -- $arguments"
"$CLLM" "$@" --on-spike stop --out stop --quiet 2>stop.err
check "stop: exits with 1" test $? = 1
check "stop: names step and samples" grep -q "^cllm train: step [0-9]*: the loss is [0-9.]*, above its range up to [0-9.]*, .* over samples [0-9]* to [0-9]*; the weights are those of step" stop.err
last=$(sed -n 's/.*the weights are those of step \([0-9]*\)$/\1/p' stop.err)
check "stop: saved what was there" test -d "stop/checkpoints/step-$(printf %08d "$last")"
"$CLLM" train --resume stop --on-spike ignore --sample-tokens 0 --quiet
check "stop: may be gone on with when spikes are ignored" test $? = 0
"$CLLM" train --resume skip --on-spike rollback 2>stderr
check "another policy that reaches the weights is refused" grep -q "on_spike: skip, rollback" stderr
rm -rf RUN
refuses "a spike's settings without a policy" 1 "go with --on-spike" train --data text.txt --out RUN --spike-factor 3
refuses "no such policy" 2 "on-spike" train --data text.txt --out RUN --on-spike jump
