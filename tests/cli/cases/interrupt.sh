# SPDX-License-Identifier: MIT
# Signals: once, twice, the hard one, save and pause; each run goes on to the bits of one that was left in peace.
make_text text.txt 1000
steps=1200 cut=60
if [ -n "${CLLM_TEST_SANITIZED:-}" ]; then steps=200 cut=20; fi
# shellcheck disable=SC2086 # several words
set -- train $TINY --data text.txt --tokenizer char --steps $steps --save-every 50 --eval-every 100 --sample-tokens 0
"$CLLM" "$@" --out whole --quiet
check "a run left in peace" test $? = 0

# interrupt RUN CODE SIGNAL...: starts, waits for step $cut, sends the signals, expects the exit code, resumes.
interrupt() {
    run=$1 code=$2
    shift 2
    signals=$*
    eval "set -- $arguments"
    "$CLLM" "$@" --out "$run" >"$run.out" 2>&1 &
    pid=$!
    wait_for 60 has_step "$run" $cut || fail "$run: step $cut never came"
    for signal in $signals; do kill -"$signal" $pid; done
    wait $pid
    status=$?
    if [ $status = "$code" ]; then ok "$run: exit $code"; else fail "$run: exit $status, not $code: $(tail -n 3 "$run.out")"; fi
    check "$run: it was in the middle" sh -c "! grep -q '\"step\": $steps,' $run/metrics.jsonl"
    "$CLLM" train --resume "$run" --threads 3 --quiet --sample-tokens 0 2>"$run.err"
    check "$run: resumes" test $? = 0
    check "$run: the same weights" same_weights whole "$run"
    check "$run: the same metrics" same_metrics whole "$run"
}
arguments=$(for word in "$@"; do printf "'%s' " "$word"; done)
interrupt int 130 INT
check "int: summary" grep -q "^stopped at step" int.out
check "int: tells how to go on" grep -q "train --resume int" int.out
interrupt term 143 TERM
interrupt twice 130 INT INT
interrupt killed 137 KILL

# Stopped in an evaluation, which takes most of the time here: the evaluation is made up for.
plain=$arguments plain_steps=$steps steps=12 cut=3
for i in $(seq ${CLLM_TEST_SANITIZED:+38} 40); do cat text.txt; done >much.txt
# shellcheck disable=SC2086 # several words
set -- train $TINY --data much.txt --tokenizer char --steps $steps --eval-every 3 --eval-batches 0 --val-fraction 0.5 --sample-tokens 0
"$CLLM" "$@" --out judged --quiet
arguments=$(for word in "$@"; do printf "'%s' " "$word"; done)
mv whole whole.plain && mv judged whole
interrupt judging 130 INT
mv whole judged && mv whole.plain whole
arguments=$plain steps=$plain_steps

eval "set -- $arguments"
"$CLLM" "$@" --out steered >steered.out 2>&1 &
pid=$!
wait_for 60 has_step steered 5
kill -USR1 $pid
kill -USR2 $pid
check "pause is told" wait_for 10 grep -q "^pausing" steered.out
sleep 0.3
before=$(wc -l <steered/metrics.jsonl)
sleep 0.5
check "nothing moves during a pause" test "$(wc -l <steered/metrics.jsonl)" = "$before"
refuses "a run in use is not resumed" 1 "steered" train --resume steered
kill -USR2 $pid
wait $pid
check "it goes on to its end" grep -q "^done at step $steps" steered.out
check "saved when asked" sh -c "grep -c '  saved ' steered.out | awk '{ exit !(\$1 > $steps / 50) }'"
check "steered: the same weights" same_weights whole steered

# During set-up: nothing is left.
awk 'BEGIN { for (i = 0; i < 2000000; i++) print "a line of text that says nothing much", i }' >large.txt
"$CLLM" train --data large.txt --tokenizer char --out early >early.out 2>&1 &
pid=$!
wait_for 20 test -d early
kill -INT $pid
wait $pid
status=$?
check "interrupted in set-up: exit 130" test $status = 130
check "interrupted in set-up: nothing is left" test ! -e early

# Reading commands: a signal ends them at once, with its code and one sentence.
for i in $(seq 200); do cat text.txt; done >held.txt
# ends NAME SIGNAL CODE ARGS...: starts, sends the signal after a moment, expects the code within a second.
ends() {
    run=$1 signal=$2 code=$3
    shift 3
    "$CLLM" "$@" >"$run.out" 2>"$run.err" &
    pid=$!
    sleep 0.7
    kill -"$signal" $pid
    before=$(date +%s%N)
    wait $pid
    status=$?
    took=$((($(date +%s%N) - before) / 1000000))
    if [ $status = "$code" ]; then ok "$run: exit $code"; else fail "$run: exit $status, not $code: $(tail -n 3 "$run.err")"; fi
    check "$run: one sentence" sh -c "test \$(wc -l <$run.err) = 1 && grep -q '^cllm .*stopped by SIG$signal' $run.err"
    if [ -z "${CLLM_TEST_SANITIZED:-}" ]; then check "$run: promptly ($took ms)" test $took -lt 500; fi
}
ends eval INT 130 eval whole --data held.txt --seq-len 8
ends generate TERM 143 generate whole --max-tokens 1000000 --num-samples 1000
ends generate-json INT 130 generate whole --max-tokens 1000000 --json
check "generate --json: nothing half-written" test ! -s generate-json.out
