# SPDX-License-Identifier: MIT
# What the cases share.  A case is sourced by run.sh in a directory of its own, with $CLLM the command; each check
# prints one line, "ok …" or "FAIL …".

ok() { echo "ok   $*"; }
fail() { echo "FAIL $*"; }
check() { # check NAME COMMAND...: the command succeeds
    name=$1
    shift
    if "$@" >/dev/null 2>&1; then ok "$name"; else fail "$name: $*"; fi
}

# The tiny model of all cases: fast enough to train hundreds of steps in a second.
TINY="--preset shakespeare-char-cpu --n-layer 1 --n-head 2 --n-embd 32 --seq-len 32 --batch-size 4 --eval-batches 2 --threads 2"

# make_text FILE LINES: text that is the same everywhere.
make_text() {
    awk -v n="$2" 'BEGIN {
        split("the a one this that moon river stone bird night sees hears takes finds old new red cold", w, " ")
        for (i = 1; i <= n; i++) {
            s = (s * 1103 + 12345 + i) % 65536
            printf "%s %s %s %s %s.\n", w[1 + s % 5], w[15 + s % 4], w[6 + int(s / 7) % 5], w[11 + int(s / 11) % 4], w[6 + int(s / 13) % 5]
        }
    }' >"$1"
}

# refuses NAME CODE PATTERN ARGS...: exits with CODE, says one line on stderr that has PATTERN, and leaves no RUN behind.
refuses() {
    name=$1 code=$2 pattern=$3
    shift 3
    "$CLLM" "$@" >stdout 2>stderr </dev/null
    status=$?
    lines=$(wc -l <stderr)
    if [ "$status" != "$code" ]; then
        fail "$name: exit $status, not $code: $(cat stderr)"
    elif [ "$lines" != 1 ]; then
        fail "$name: $lines lines on stderr: $(cat stderr)"
    elif ! grep -q -e "$pattern" stderr; then
        fail "$name: no '$pattern' in: $(cat stderr)"
    elif [ -e RUN ] || [ -e RUN.tmp ]; then
        fail "$name: something is left behind: $(ls -d RUN*)"
        rm -rf RUN RUN.tmp
    else
        ok "$name"
    fi
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    tries=$(($1 * 20))
    shift
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.05
    done
}

has_step() { grep -q "\"step\": $2," "$1/metrics.jsonl"; }
weights() { cat "$1/checkpoints/latest/model.safetensors" "$1/checkpoints/latest/training_state.safetensors"; }
same_weights() {
    weights "$1" >weights.a && weights "$2" >weights.b && cmp -s weights.a weights.b
}

# What of the metrics is a function of the settings: loss, rate, norm, validation loss.
same_metrics() {
    for run in "$1" "$2"; do
        grep -v '"event"' "$run/metrics.jsonl" | sed -e 's/, "tokens_per_s".*//' -e 's/, "elapsed_s".*//' >metrics.$run
    done
    cmp -s "metrics.$1" "metrics.$2"
}
