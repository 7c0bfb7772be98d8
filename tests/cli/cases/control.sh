# SPDX-License-Identifier: MIT
# `cllm ctl`: a training steered while it goes on, and the bits of one that was not, or was in the same way.
make_text text.txt 1000
steps=400
if [ -n "${CLLM_TEST_SANITIZED:-}" ]; then steps=150; fi
# shellcheck disable=SC2086 # several words
set -- train $TINY --data text.txt --tokenizer char --steps $steps --save-every 60 --eval-every 100 --sample-tokens 0
"$CLLM" "$@" --out plain --quiet
check "a run left in peace" test $? = 0

# begin RUN ARGS...: trains in the background, $pid, and waits for a step.
begin() {
    run=$1
    shift
    "$CLLM" "$@" >"${run##*/}.out" 2>&1 &
    pid=$!
    wait_for 60 ctl "$run" status || fail "$run: it cannot be asked: $(tail -n 3 "${run##*/}.out")"
}
ctl() { "$CLLM" ctl "$@" 2>&1; }
says() { # says NAME PATTERN COMMAND...: it succeeds and says so
    name=$1 pattern=$2
    shift 2
    said=$("$@" 2>&1)
    status=$?
    if [ $status = 0 ] && echo "$said" | grep -q -e "$pattern"; then ok "$name"; else fail "$name: exit $status: $said"; fi
}
denies() { # denies NAME CODE PATTERN COMMAND...: it fails with the code and one line
    name=$1 code=$2 pattern=$3
    shift 3
    said=$("$@" 2>&1)
    status=$?
    if [ $status = "$code" ] && echo "$said" | grep -q -e "$pattern" && [ "$(echo "$said" | wc -l)" = 1 ]; then
        ok "$name"
    else
        fail "$name: exit $status: $said"
    fi
}

# ---- what does not reach the weights ----
begin quiet "$@" --out quiet --threads 1
says "pause" "^paused after step" ctl quiet pause
says "status of a paused run" "paused, step .* of $steps" ctl quiet status
check "only its user may open the socket" test "$(stat -c %a quiet/control.sock)" = 600
before=$(grep -c tokens_per_s quiet/metrics.jsonl)
says "spheres in a pause" "^5 spheres" ctl quiet spheres 5
says "a sample in a pause" "^the " ctl quiet sample "the "
says "an evaluation in a pause" "^validation loss" ctl quiet eval
says "a checkpoint in a pause" "^saved quiet/checkpoints/step-" ctl quiet save
says "the same once more" "^saved quiet/checkpoints/step-" ctl quiet save
denies "a prompt that cannot be" 1 "sample: .*not in the vocabulary" ctl quiet sample "@"
sleep 0.3
check "nothing moves during a pause" test "$(grep -c tokens_per_s quiet/metrics.jsonl)" = "$before"
says "resume" "^going on after step" ctl quiet resume
says "resume once more" "was not paused" ctl quiet resume
for n in 2 64; do says "spheres $n" "^$n sphere" ctl quiet spheres $n; done
if [ -z "${CLLM_TEST_SANITIZED:-}" ]; then check "it was in the middle" kill -0 $pid; fi
wait $pid
check "it ends well" test $? = 0
check "1, 5, 2, 64 spheres: the same weights" same_weights plain quiet
check "and the same metrics" same_metrics plain quiet
check "compare says so" "$CLLM" compare plain quiet
check "the socket is gone" test ! -e quiet/control.sock
check "events are recorded" test "$(grep -c -e '"event": "spheres"' quiet/metrics.jsonl)" = 3
check "the report of it" "$CLLM" report quiet --out quiet.html
denies "a run that is over" 1 "no training goes on in quiet" ctl quiet status
denies "no run" 1 "nowhere: no such run directory" ctl nowhere status
denies "no such command" 2 "did you mean 'spheres'" ctl quiet sphere 3
denies "no factor" 2 "lr takes a factor" ctl quiet lr fast
denies "too many spheres" 2 "from 1 to 1885" ctl quiet spheres 1886

# ---- what does ----
begin slow "$@" --out slow
says "lr" "0.5 of the schedule's from step" ctl slow lr 0.5
says "status tells" "0.5 of the schedule's" ctl slow status
wait_for 60 has_step slow $((steps / 3))
says "lr again" "2 of the schedule's from step" ctl slow lr 2
wait $pid
check "slow: the weights are others" sh -c "! cmp -s plain/checkpoints/latest/model.safetensors slow/checkpoints/latest/model.safetensors"
check "replay" "$CLLM" train --replay slow --out again --quiet --threads 3
check "replay: the same weights" same_weights slow again
check "replay: the same metrics" same_metrics slow again
check "replay: the same events" sh -c "grep '\"lr\", \"factor\"' slow/metrics.jsonl >a; grep '\"lr\", \"factor\"' again/metrics.jsonl >b; test -s a && cmp a b"
check "replay: nothing waits any more" test ! -e again/replay.jsonl
refuses "replay with other settings" 1 "cannot be others" train --replay slow --out RUN --lr 1
refuses "replay with data" 2 "takes settings, data" train --replay slow --out RUN --data text.txt

# Killed after events and before the next checkpoint, twice: the events come again at their steps.
begin hurt "$@" --out hurt --keep 100
wait_for 60 has_step hurt 61
says "pause before it is killed" "^paused" ctl hurt pause
says "lr before it is killed" "0.25 of" ctl hurt lr 0.25
ctl hurt resume >resumed.out
at=$(grep '"lr", "factor"' hurt/metrics.jsonl | sed -e 's/{"step": //' -e 's/,.*//')
wait_for 60 has_step hurt $((at + 2))
kill -KILL $pid
wait $pid 2>/dev/null
check "a stale socket is left" test -S hurt/control.sock
rm -rf hurt/checkpoints/step-*[1-9]* hurt/checkpoints/latest # but that of step 0: the event must be applied from there
check "the first checkpoint was kept" test -e hurt/checkpoints/step-00000000
begin hurt train --resume hurt --sample-tokens 0 --threads 1
kill -KILL $pid
wait $pid 2>/dev/null
check "the event is there when killed again" sh -c "cat hurt/replay.jsonl hurt/metrics.jsonl | grep -q 'lr., *.factor.: *0.25'"
begin hurt train --resume hurt --sample-tokens 0
says "the stale socket was replaced" "of $steps" ctl hurt status
wait $pid
check "hurt: ends well" test $? = 0
check "hurt: replay for comparison" "$CLLM" train --replay hurt --out healed --quiet
check "hurt: the event stands once" test "$(grep -c '"lr", "factor"' hurt/metrics.jsonl)" = 1
check "hurt: where it was" grep -q "{\"step\": $at, \"event\": \"lr\", \"factor\": 0.25}" hurt/metrics.jsonl
check "hurt: the same weights as replayed" same_weights hurt healed

# ---- stop ----
begin stopped "$@" --out stopped
says "stop" "stopped after step .*, saved stopped/checkpoints/step-" ctl stopped stop
wait $pid
check "stop: exit 0" test $? = 0
"$CLLM" train --resume stopped --quiet --sample-tokens 0
check "stop: the same weights when resumed" same_weights plain stopped

# ---- hostile and crowded ----
begin busy "$@" --out busy --steps 100000000
python=$(command -v python3)
if [ -z "$python" ]; then echo "no python3: hostile clients are not tried here (tests/train/test_control_server does)"; else
    "$python" - >hostile.out 2>&1 <<'END'
import socket, json, threading
def connect():
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect("busy/control.sock"); return s
def ask(s, line):
    s.sendall(line); return json.loads(s.makefile().readline())
silent = [connect() for _ in range(40)]
for line in (b"\n", b"{}\n", b"\xff\xfe\x00\n", b"[1]\n", b"{\"command\": \"fly\"}\n", b"{\"command\": 1}\n",
             b"{\"command\": \"lr\"}\n", b"{\"command\": \"lr\", \"factor\": -1}\n", b"{\"command\": \"lr\", \"factor\": 1e999}\n",
             b"{\"command\": \"lr\", \"factor\": 1, \"facter\": 2}\n", b"{\"command\": \"spheres\", \"spheres\": 1.5}\n",
             b"[" * 60000 + b"\n"):
    answer = ask(connect(), line)
    assert answer["ok"] is False and answer["error"], (line, answer)
s = connect()
try:
    s.sendall(b"x" * 200000)
except OSError:
    pass
assert "at most" in json.loads(s.makefile().readline())["error"]
half = connect(); half.sendall(b"{\"command\": \"sta")
gone = connect(); gone.sendall(b"{\"command\": \"eval\"}\n"); gone.close()
several = connect(); several.sendall(b"{\"command\": \"status\"}\n" * 3); f = several.makefile()
assert all(json.loads(f.readline())["ok"] for _ in range(3))
failures = []
def many(k):
    try:
        s = connect(); f = s.makefile()
        for i in range(20):
            s.sendall(json.dumps({"command": ["spheres", "status", "eval"][(i + k) % 3], **({"spheres": 1 + i % 5} if (i + k) % 3 == 0 else {})}).encode() + b"\n")
            if not json.loads(f.readline())["ok"]: failures.append((k, i))
    except Exception as e: failures.append(repr(e))
threads = [threading.Thread(target=many, args=(k,)) for k in range(2)]
[t.start() for t in threads]; [t.join() for t in threads]
assert not failures, failures
print("all answered")
END
    check "hostile and silent clients, two at once" grep -q "^all answered" hostile.out || cat hostile.out
fi
cmd_status=0
ctl busy pause >paused.out; ctl busy resume >>paused.out &
other=$!
ctl busy save >saved.out || cmd_status=$?
wait $other
check "two at once" test $cmd_status = 0
denies "a timeout of nothing is honest" 3 "present step\|being done" ctl busy eval --timeout 0

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 . .. ../.. 2>/dev/null
    other="setpriv --reuid 65534 --regid 65534 --clear-groups"
    if $other test -x "$CLLM" && $other test -r busy/metrics.jsonl; then
        denies "another user is refused by the file" 1 "another user's" $other "$CLLM" ctl busy status
        chmod 666 busy/control.sock
        denies "and by its name where the file would let it" 1 "another user's" $other "$CLLM" ctl busy status
        says "root may" "of 100000000" ctl busy status
    else
        echo "another user cannot read this place: not tried"
    fi
else
    echo "not root, or no setpriv: another user is not tried"
fi
kill -TERM $pid
wait $pid
check "SIGTERM as ever" test $? = 143

# ---- what stands at the socket's place ----
for kind in file directory link; do
    case $kind in
    file) sh -c 'echo mine >stopped/control.sock' ;;
    directory) mkdir stopped/control.sock ;;
    link) ln -s ../plain/control.sock stopped/control.sock ;;
    esac
    cp stopped/metrics.jsonl kept.jsonl
    rm -rf run.$kind && cp -r stopped run.$kind && rm -rf run.$kind/checkpoints/step-0*$steps run.$kind/checkpoints/latest
    "$CLLM" train --resume run.$kind --sample-tokens 0 >place.out 2>&1
    check "a $kind at its place: the run goes on" test $? = 0
    check "a $kind at its place: said once" test "$(grep -c "goes on without .cllm ctl.: run.$kind/control.sock is a $kind" place.out)" = 1
    check "a $kind at its place: left alone" test -e run.$kind/control.sock -o -L run.$kind/control.sock
    rm -rf stopped/control.sock run.$kind
done

# ---- a path longer than a socket's address ----
long=$(printf 'd%.0s' $(seq 120))
mkdir "$long"
begin "$long/run" "$@" --out "$long/run" --steps 100000000
says "a long path" "of 100000000" ctl "$long/run" status
says "a long path: stop" "stopped after" ctl "$long/run" stop
wait $pid
check "a long path: the socket is gone" test ! -e "$long/run/control.sock"

# ---- rates and rollbacks: a run with events before and after its first rollback, saved and killed in different ways ----
make_text clean.txt 600
awk 'BEGIN { s = 7 }
     { print }
     NR % 75 == 0 { for (i = 0; i < 200; i++) { s = (s * 75 + 74) % 65537; printf "%d", s % 10 } print "" }' clean.txt >spiky.txt
# shellcheck disable=SC2086 # several words
"$CLLM" train $TINY --data spiky.txt --tokenizer char --steps 120 --batch-size 2 --lr 5e-3 --sample-tokens 0 --on-spike rollback \
    --spike-factor 4 --spike-window 8 --spike-margin 3 --spike-limit 60 --save-every 8 --out spiky --quiet
first=$(grep '"event": "rollback"' spiky/metrics.jsonl | head -n 1)
from=$(echo "$first" | sed 's/.*"from_step": \([0-9]*\).*/\1/') to=$(echo "$first" | sed 's/.*"to_step": \([0-9]*\).*/\1/')
check "there is a rollback" test "${from:-0}" -gt $((${to:-0} + 2))
sed "/\"step\": $((to + 1)),/,\$d" spiky/metrics.jsonl >cut.jsonl
{
    cat cut.jsonl
    echo "{\"step\": $((to + 1)), \"event\": \"lr\", \"factor\": 0.95}"
    echo "{\"step\": $((to + 1)), \"event\": \"lr\", \"factor\": 1.05, \"rollbacks\": 1}"
    echo "{\"step\": $((from + 2)), \"event\": \"lr\", \"factor\": 0.5, \"rollbacks\": 1}"
} >spiky/metrics.jsonl
"$CLLM" train --replay spiky --out steady --quiet --threads 1
check "rollback: it came with the other rate, too" grep -q '"event": "rollback", "number": 1,' steady/metrics.jsonl
check "rollback: all events were applied" test "$(grep -c '"lr", "factor"' steady/metrics.jsonl)" = 3 -a ! -e steady/replay.jsonl
check "rollback: one of them twice" sh -c "cat steady/metrics*.jsonl | grep -c '\"factor\": 0.95' | grep -q '^[2-9]'"
"$CLLM" train --replay steady --out seldom --quiet --save-every 0
check "rollback: the same weights where nothing was saved on the way" same_weights steady seldom
begin often train --replay steady --out often --save-every 3
wait_for 60 has_step often $((from + 1))
kill -KILL $pid
wait $pid 2>/dev/null
"$CLLM" train --resume often --quiet --sample-tokens 0
check "rollback: the same weights when saved often and killed" same_weights steady often
check "rollback: the same metrics" same_metrics steady often
{ cat cut.jsonl && echo "{\"step\": $((to + 1)), \"event\": \"lr\", \"factor\": 0.95}"; } >spiky/metrics.jsonl
"$CLLM" train --replay spiky --out alone --quiet
check "rollback: an event that waited for nothing more is not lost" grep -q '"factor": 0.95' alone/metrics.jsonl
check "rollback: nor left behind" test ! -e alone/replay.jsonl
