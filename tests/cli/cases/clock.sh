# SPDX-License-Identifier: MIT
# The time of day set back an hour and then forward a day while a run goes on, and time over sessions: saving, metrics and all that
# looks at them know the monotonic clock alone.
# shellcheck disable=SC2086,SC2154 # several words; `here` is run.sh's
${CC:-cc} -shared -fPIC -O1 "$here/wall_clock.c" -o wall_clock.so 2>why || fail "compiling the clock: $(head -1 why)"
under_clock() { # the sanitizers' library may come second: it does not know this one
    ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0" LD_PRELOAD=$PWD/wall_clock.so "$@"
}
check "the clock goes back, and then forward" under_clock env WALL_CLOCK_MS=300 python3 -c '
import time
a = time.time(); time.sleep(0.35); b = time.time(); time.sleep(0.3); c = time.time()
assert -3600 <= b - a < -3590 and 86400 <= c - a < 86410, (a, b, c)'

make_text text.txt 1000
set -- train $TINY --data text.txt --tokenizer char --seed 3 --sample-tokens 0
"$CLLM" "$@" --steps 40 --quiet --out plain
under_clock env WALL_CLOCK_MS=60 "$CLLM" "$@" --steps 40 --quiet --out set 2>stderr
check "a run under it" test $? = 0
check "has the same weights" same_weights plain set
check "and the same metrics" same_metrics plain set

# A save a second, until there were three: the hour back must not stop them, the day forward not hasten them.
under_clock "$CLLM" "$@" --steps 1000000 --save-every 1s --eval-every 500 --out run >stdout 2>stderr &
training=$!
saved_three() { test "$(grep -c '"event": "checkpoint"' run/metrics.jsonl)" -ge 3; }
check "three saves in their time" wait_for 30 saved_three
"$CLLM" ctl run stop >/dev/null
wait $training
check "and it ends as asked" test $? = 0
cat >order.py <<'EOF'
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1] + "/metrics.jsonl")]
steps = [l for l in lines if "loss" in l]
assert [l["step"] for l in steps] == list(range(1, len(steps) + 1))
last = 0
for l in lines:
    if "elapsed_s" in l:
        assert l["elapsed_s"] >= last, (last, l)
        last = l["elapsed_s"]
    for key in "tokens_per_s", "snapshot_s", "waited_s", "write_s":
        assert 0 <= l.get(key, 0) < 1e12, l
    assert 0 <= l.get("wait_share", 0) <= 1, l
saves = sum(l.get("event") == "checkpoint" for l in lines)
# one a second of each session, and one at its end
assert last < 3600 and saves <= last + int(sys.argv[2]), (saves, last)
print(last)
EOF
check "metrics in order, times as they passed" python3 order.py run 1
check "nothing it said is negative or absurd" sh -c '! grep -E "(^|[ (])-[0-9]|ETA [0-9]*d|[( ](nan|inf)" stdout && ! test -s stderr'
spent=$(python3 order.py run 1 || echo 0)

# Going on: time is that of all sessions.
under_clock "$CLLM" train --resume run >stdout 2>stderr &
training=$!
further() { python3 -c 'import sys; assert float(sys.argv[2]) > float(sys.argv[1]) + 0.3' "$spent" "$(python3 order.py run 2)"; }
check "a resumed run counts on" wait_for 30 further
"$CLLM" ctl run stop >/dev/null
wait $training
check "and ends" test $? = 0
check "its metrics are in order" python3 order.py run 2

# Whoever looks, also at files from before 1970 and from the next century.
for date in 1960-01-01 2099-12-31; do
    touch -d $date run/run.json run/stats.json run/metrics.jsonl
    for look in "stats run" "stats run --watch" "report run --out $date.html" "compare run run" "export run --csv $date.csv --tensorboard $date"; do
        under_clock env WALL_CLOCK_MS=1 "$CLLM" $look >stdout 2>stderr
        check "$date: $look" sh -c "test $? = 0 && ! test -s stderr && ! grep -E '(^|[ (])-[0-9]|nan|inf' stdout"
    done
    check "$date: no negative time in the page" sh -c "! grep -E '<dd>-' $date.html"
    check "$date: nor in the table" sh -c "! cut -d, -f7- $date.csv | grep -e -[0-9.]*, -e ,-"
    check "$date: nor in a name" sh -c "ls $date | grep -qE 'tfevents\.[0-9]+\.cllm'"
done
