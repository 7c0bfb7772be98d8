# SPDX-License-Identifier: MIT
# Train, look at it, write with it, evaluate, go on; the way people go.
make_text text.txt 1000
# shellcheck disable=SC2086 # several words
set -- train $TINY --data text.txt --tokenizer char --steps 120 --eval-every 60 --save-every 50 --seed 3
"$CLLM" "$@" --out run >stdout 2>stderr
check "train" test $? = 0
check "nothing on stderr" test ! -s stderr
check "summary" grep -q "^done at step 120 of 120" stdout
check "statistics" grep -q "^whole" stdout
check "a sample" grep -q "^sample:" stdout
check "evaluations" grep -q "step 60  validation loss" stdout
check "plain lines when piped" sh -c '! grep -q "$(printf "\033")" stdout && ! grep -q "$(printf "\r")" stdout'
for file in run.json metrics.jsonl stats.json tokens.bin tokenizer.json checkpoints/latest/config.json \
    checkpoints/latest/model.safetensors checkpoints/latest/tokenizer.json checkpoints/latest/manifest.json; do
    check "run/$file" test -s run/$file
done
check "a line of metrics for each step" test "$(grep -c '"loss"' run/metrics.jsonl)" = 120
check "two evaluations" test "$(grep -c '"val_loss"' run/metrics.jsonl)" = 2
check "no temporary file is left" test -z "$(find run -name '*.tmp*')"
check "it learnt" awk '/^  train loss/ { exit !($3 < 2.6) }' stdout

check "stats" sh -c '"$CLLM" stats run | grep -q "^whole"'
check "stats --json" sh -c '"$CLLM" stats run --json | grep -q "\"spheres\""'
check "generate" sh -c '"$CLLM" generate run --prompt "the " --max-tokens 40 --seed 5 --threads 1 >g1 && test "$(wc -c <g1)" -ge 45'
check "generate with two threads" sh -c '"$CLLM" generate run --prompt "the " --max-tokens 40 --seed 5 --threads 2 >g2 && cmp g1 g2'
check "generate past the context" sh -c '"$CLLM" generate run --max-tokens 150 --top-k 5 --top-p 0.9 >g3 && test "$(wc -c <g3)" -ge 150'
check "generate --json" sh -c '"$CLLM" generate run --json --max-tokens 5 | grep -q "\"text\""'
check "greedy ignores the seed" sh -c '"$CLLM" generate run --temperature 0 --seed 1 >g4 && "$CLLM" generate run --temperature 0 --seed 2 | cmp - g4'
check "eval" sh -c '"$CLLM" eval run --data text.txt --threads 1 --json | grep -v seconds >e1 && grep -q bits_per_byte e1'
check "eval with two threads" sh -c '"$CLLM" eval run --data text.txt --threads 2 --json | grep -v seconds | cmp - e1'
check "eval of a shard" sh -c '"$CLLM" eval run/checkpoints/latest --data run/tokens.bin --json | grep -e "\"loss\"" -e bits >e2 && grep -e "\"loss\"" -e bits e1 | cmp - e2'
check "plan" sh -c '"$CLLM" plan --preset gpt2 | grep -q "124,439,808"'
check "plan says the dtype" sh -c '"$CLLM" plan --preset gpt2 --dtype f32 | grep -q "^products *f32 operands"'
check "and for bf16 less memory" sh -c 'test "$("$CLLM" plan --dtype bf16 --json | sed -n "s/.*\"packed_bytes\": //p" | tr -d ,)" -lt "$("$CLLM" plan --dtype f32 --json | sed -n "s/.*\"packed_bytes\": //p" | tr -d ,)"'
check "plan --json" sh -c '"$CLLM" plan --json | grep -q "\"total_bytes\""'
check "topology" sh -c '"$CLLM" topology --threads 1741 | grep -q "4 levels"'
check "topology --json" sh -c '"$CLLM" topology --json | grep -q "\"usable\""'

"$CLLM" "$@" --out again --threads 1 --backend serial --quiet
check "one serial sphere gives the same weights" same_weights run again
check "and the same metrics" same_metrics run again
"$CLLM" "$@" --out many --threads 13 --backend openmp --quiet
check "13 OpenMP spheres give the same weights" same_weights run many

"$CLLM" train --init run/checkpoints/latest --data text.txt --out tuned --steps 5 --batch-size 4 --lr 1e-4 --quiet
check "on from a model" test $? = 0
check "with its tokenizer" cmp -s run/tokenizer.json tuned/tokenizer.json
printf '{"text": "one two three four five six seven eight nine ten"}\n{"text": "eleven twelve thirteen fourteen"}\n' >docs.jsonl
"$CLLM" train $TINY --data docs.jsonl --tokenizer char --seq-len 8 --val-fraction 0 --epochs 2 --out docs --quiet
check "documents and epochs" test $? = 0
check "parted by <|endoftext|>" grep -q 'endoftext' docs/tokenizer.json
gzip -c text.txt >text.txt.gz
"$CLLM" "$@" --data text.txt.gz --out zipped --quiet
check "compressed text gives the same weights" same_weights run zipped
"$CLLM" train --quiet $TINY --data text.txt --steps 3 --out silent >stdout 2>stderr
check "--quiet says nothing" test ! -s stdout -a ! -s stderr
