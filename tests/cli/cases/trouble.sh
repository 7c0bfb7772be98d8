# SPDX-License-Identifier: MIT
# Disks that are full or read-only, metrics that someone damaged, a second process: training is lost by none of them.
make_text text.txt 400
set -- train $TINY --data text.txt --tokenizer char --steps 400 --seed 3 --sample-tokens 0 --eval-every 0 --save-every 20 --quiet
"$CLLM" "$@" --out alone 2>stderr
check "a run that is left alone" test $? = 0

# A disk of 8 MiB, in a name space of its own: nobody else sees it and it goes with the shell.
cat >full.sh <<'END'
mkdir disk && mount -t tmpfs -o size=8m tmpfs disk || exit 99
shift
"$CLLM" "$@" --out disk/run >log 2>&1 &
pid=$!
n=0
until grep -q '"loss"' disk/run/metrics.jsonl 2>/dev/null; do n=$((n + 1)); [ $n -lt 600 ] || exit 98; sleep 0.05; done
kill -USR2 $pid # pause: what follows is not a race
dd if=/dev/zero of=disk/fill bs=1k 2>/dev/null
kill -USR2 $pid
n=0
until grep -q 'checkpoint_failed\|NOT SAVED' log disk/run/metrics.jsonl 2>/dev/null || ! kill -0 $pid 2>/dev/null; do
    n=$((n + 1)); [ $n -lt 600 ] || exit 97; sleep 0.05
done
kill -0 $pid 2>/dev/null && echo alive >alive
rm disk/fill
wait $pid
echo $? >code
cp -r disk/run full
mount -o remount,ro disk
"$CLLM" train --resume disk/run >ro.out 2>ro.err
echo $? >ro.code
"$CLLM" report disk/run --out ro.html >/dev/null 2>&1 && "$CLLM" stats disk/run >/dev/null 2>&1 && echo yes >ro.read
"$CLLM" train $TINY --data text.txt --steps 2 --out disk/other >ro2.out 2>ro2.err
echo $? >ro2.code
END
# Not --quiet: what is said is looked at.
words=$(echo "$@" | sed 's/ --quiet//')
# shellcheck disable=SC2086 # several words
if ! unshare -m true 2>/dev/null || { unshare -m sh full.sh - $words; test $? = 99; }; then
    ok "skipped: no file system can be mounted here, so no disk can be full"
else
    check "a disk that is full does not end a run" test -f alive
    check "it is told at once" grep -q "NOT SAVED: .* free\|NOT SAVED: .*No space" log
    check "and the run ends well when there is room again" test "$(cat code)" = 0
    check "with the same bits" same_weights alone full
    check "and no line of its metrics lost" same_metrics alone full
    check "the failure is in the record" grep -q '"event": "checkpoint_failed", ' full/metrics.jsonl
    check "a read-only disk is a sentence" sh -c 'test "$(cat ro.code)" = 1 && test "$(wc -l <ro.err)" = 1 && grep -q "Read-only" ro.err'
    check "on which a run can be looked at" test -f ro.read
    check "and none begun" sh -c 'test "$(cat ro2.code)" = 1 && test "$(wc -l <ro2.err)" = 1 && grep -q "Read-only" ro2.err'
fi

# What became of the metrics is no matter to the weights; what is left of them stays, and damage is named.
set -- train $TINY --data text.txt --tokenizer char --steps 12 --seed 3 --sample-tokens 0 --eval-every 0 --save-every 4 --quiet
"$CLLM" "$@" --out short 2>stderr
damaged() { # damaged NAME COMMAND...: run on a copy whose last two checkpoints are gone, in whose directory COMMAND was at the metrics
    what=$1
    shift
    rm -rf hurt && cp -r short hurt && rm -r hurt/checkpoints/step-00000012
    (cd hurt && "$@")
    "$CLLM" train --resume hurt --sample-tokens 0 --quiet >stdout 2>stderr
    check "metrics $what: the run goes on" test $? = 0
    check "to the same bits, metrics being $what" same_weights short hurt
}
damaged torn sh -c 'printf "{\"step\": 13, \"lo" >>metrics.jsonl'
check "the torn line is gone" same_metrics short hurt
damaged gone rm metrics.jsonl
damaged empty sh -c ': >metrics.jsonl'
damaged cut sh -c 'head -c 300 metrics.jsonl >m && mv m metrics.jsonl'
damaged garbled sh -c 'printf "\377\000{]\n" >m; cat m metrics.jsonl >n; mv n metrics.jsonl'
"$CLLM" report hurt --out hurt.html >stdout 2>stderr
check "and the damage is named" grep -q "line 1 is left out" hurt.html stderr
rm -rf hurt && cp -r short hurt && rm -r hurt/checkpoints/step-00000012 hurt/metrics.jsonl && mkdir hurt/metrics.jsonl
refuses "metrics a directory" 1 "metrics.jsonl" train --resume hurt

"$CLLM" train $TINY --data text.txt --tokenizer char --steps 100000 --sample-tokens 0 --quiet --out busy >log 2>&1 &
pid=$!
wait_for 30 has_step busy 3
refuses "a second process on one run" 1 "another process, $pid" train --resume busy
refuses "or a new run in its place" 1 "exists already" train $TINY --data text.txt --out busy
kill -KILL $pid
wait $pid 2>/dev/null
"$CLLM" train --resume busy --sample-tokens 0 --quiet >log 2>&1 &
pid=$!
check "once it is gone, however, another may" wait_for 30 sh -c 'grep -q "^$1" busy/lock' - $pid
kill -TERM $pid
wait $pid
check "and does" test $? = 143
