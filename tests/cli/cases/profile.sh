# SPDX-License-Identifier: MIT
# Where a step's time goes: train --profile, bench step --phases.
make_text text.txt 200
# shellcheck disable=SC2086 # several words
set -- train $TINY --data text.txt --tokenizer char --steps 6 --seed 3 --sample-tokens 0
"$CLLM" "$@" --profile --out run >stdout 2>stderr
check "train --profile" test $? = 0
check "nothing on stderr" test ! -s stderr
check "its steps" grep -q "^steps 2 to 6: " run/profile.txt
for phase in pack "embedding, q k v" attention "rows to next" head "head gradient" R1 A R2 "embedding gradient" fold norm optimizer waiting; do
    check "the phase $phase" grep -q "^$phase  " run/profile.txt
done
check "each sphere" grep -q "^     1  optimizer" run/profile.txt
check "shares add up" awk '/^phase/ { on = 1; next } /^all of the step/ { exit !(sum > 99 && sum < 101) }
    on { match($0, /[0-9.]+%/); sum += substr($0, RSTART, RLENGTH - 1) }' run/profile.txt
check "a trace" python3 -c 'import json
events = json.load(open("run/trace.json"))["traceEvents"]
assert {e["tid"] for e in events} == {0, 1}
assert sum(e.get("args", {}).get("phase") == "start" and e["tid"] == 0 for e in events) == 3
assert all(e["dur"] > 0 for e in events if e["ph"] == "X")'
"$CLLM" "$@" --out plain --quiet
check "no profile unasked" test ! -e plain/profile.txt -a ! -e plain/trace.json
check "it changes no weight" same_weights run plain
"$CLLM" train $TINY --data text.txt --steps 1 --profile --out one --sample-tokens 0 --quiet
check "a run of one step has that one" grep -q "^steps 1 to 1: " one/profile.txt

set -- bench step --preset shakespeare-char-cpu --n-layer 1 --n-embd 32 --n-head 2 --vocab-size 65 --batch-size 2 --seq-len 32 --threads 2 --repeat 2
"$CLLM" "$@" --phases >stdout 2>stderr
check "bench step --phases" test $? = 0
check "its table" grep -q "^optimizer  " stdout
check "share of the peak" grep -q "^all of the step .*%$" stdout
"$CLLM" "$@" --csv >csv
check "bench step --csv: as many cells as names" awk -F, 'NR == 1 { n = NF } NF != n || n != 13 { bad = 1 } END { exit bad || NR != 2 }' csv
"$CLLM" "$@" --csv --phases >csv
check "bench step --csv --phases" python3 -c 'import csv
rows = list(csv.DictReader(open("csv")))
assert len(rows) == 14 and all(None not in r and float(r["share"]) >= 0 for r in rows)
assert rows[-1]["phase"] == "optimizer"'
