# SPDX-License-Identifier: MIT
# When checkpoints are saved, what stays of them, what is said; the modes give the same bits.
make_text text.txt 400
set -- train $TINY --data text.txt --tokenizer char --steps 60 --seed 3 --sample-tokens 0

"$CLLM" "$@" --save-every 7 --keep 2 --keep-every 20 --out overlapped >log
check "a run that saves beside its steps" test $? = 0
check "what stays: two, and those at multiples" test "$(cd overlapped/checkpoints && echo step-*)" = "step-00000020 step-00000040 step-00000056 step-00000060"
check "latest is the last" test "$(readlink overlapped/checkpoints/latest)" = step-00000060
check "its cost is said" grep -q "saved overlapped/checkpoints/step-00000021  (.* of training, .* of writing beside it)" log
check "and in the end, summed up" grep -q "saving  *1[01] checkpoints, .* of training lost, .* of writing" log
check "each is an event that names it" grep -q '"event": "checkpoint", "saved_step": 21,' overlapped/metrics.jsonl ||
    grep '"event"' overlapped/metrics.jsonl
check "that knows what it cost" grep -q '"event": "checkpoint".*"snapshot_s": [0-9.e-]*, "waited_s": [0-9.e-]*, "write_s": ' overlapped/metrics.jsonl ||
    grep '"event"' overlapped/metrics.jsonl
"$CLLM" compare overlapped overlapped >out 2>err
check "lines of metrics never go back" test ! -s err

"$CLLM" "$@" --save-every 7 --save-mode blocking --out blocking >log
check "a run that waits for its checkpoints" grep -q "saved blocking/checkpoints/step-00000021  ([0-9.]* s)" log
check "ends with the same bits" same_weights overlapped blocking
"$CLLM" "$@" --save-every 0 --out seldom --quiet
check "so does one that only saves at its end" same_weights overlapped seldom
check "and keeps that" test "$(cd seldom/checkpoints && echo step-*)" = "step-00000000 step-00000060"
check "metrics are the same but for events" same_metrics overlapped seldom

set -- train $TINY --data text.txt --tokenizer char --steps 100000 --seed 3 --sample-tokens 0 --eval-every 0
"$CLLM" "$@" --save-every 1s --out timed >log 2>&1 &
pid=$!
check "a checkpoint a second" wait_for 30 sh -c 'test "$(grep -c "beside it" log)" -ge 2'
kill -TERM $pid
wait $pid
check "SIGTERM stops it" test $? = 143
last=$(grep '"loss"' timed/metrics.jsonl | tail -1 | sed 's/.*"step": \([0-9]*\),.*/\1/')
check "with a checkpoint of its last step" test "$(readlink timed/checkpoints/latest)" = "$(printf 'step-%08d' "$last")"
check "nothing temporary is left" sh -c '! ls -d timed/checkpoints/*.tmp-* 2>/dev/null'
check "few saves: by time, not by steps" sh -c 'test $(grep -c \"checkpoint\" timed/metrics.jsonl) -lt 35'

set -- train $TINY --data text.txt --steps 6 --out RUN
refuses "save-every: no unit of ours" 1 "10m" "$@" --save-every 3d
refuses "save-every: no number" 1 "10m" "$@" --save-every m
refuses "save-every: no time at all" 1 "10m" "$@" --save-every 0s
refuses "save-every: below zero" 1 "10m" "$@" --save-every -5
refuses "save-every: beyond counting" 1 "10m" "$@" --save-every 99999999999999999999
refuses "save-every: a time beyond a year" 1 "save_seconds" "$@" --save-every 999999h
refuses "save-mode" 2 "overlapped, blocking" "$@" --save-mode lazy

"$CLLM" bench save --preset shakespeare-char-cpu --n-layer 1 --n-embd 32 --n-head 2 --vocab-size 65 --batch-size 2 --seq-len 32 --repeat 1 \
    --steps 1 --dir . --csv >csv 2>stderr
check "bench save: as many cells as names" awk -F, 'NR == 1 { n = NF } NF != n || n != 17 { bad = 1 } END { exit bad || NR != 2 }' csv
check "it leaves nothing behind" test ! -e cllm-bench
mkdir cllm-bench && touch cllm-bench/mine
refuses "bench save: a directory that is not its own" 1 "cllm-bench" bench save --preset demo --dir .
check "which it leaves alone" test -f cllm-bench/mine

plan() { "$CLLM" plan --preset gpt2 --steps 1000 --json "$@" | grep snapshot_bytes; }
check "plan shows the copy" sh -c 'test "$1" -gt 1400000000' - "$(plan --save-every 100 | tr -dc 0-9)"
check "none when saving blocks" test "$(plan --save-every 100 --save-mode blocking | tr -dc 0-9)" = 0
check "nor when nothing is saved on the way" test "$(plan --save-every 0 | tr -dc 0-9)" = 0
check "plan counts what is kept for good" sh -c '"$CLLM" plan --preset gpt2 --steps 1000 --keep-every 100 | grep -q "2 + 10 kept"'
