# SPDX-License-Identifier: MIT
# Values that are out of range, of the wrong kind, missing, or do not go together.
make_text text.txt 200
new="train --data text.txt --out RUN"
# shellcheck disable=SC2086 # several words
set -- $new
refuses "--threads -1" 2 "from 0 to 1885, not '-1'" "$@" --threads -1
refuses "--threads 1886" 2 "from 0 to 1885, not '1886'" "$@" --threads 1886
refuses "--threads abc" 2 "from 0 to 1885, not 'abc'" "$@" --threads abc
refuses "--threads= empty" 2 "not ''" "$@" --threads=
refuses "--threads without value" 2 "--threads wants a value" "$@" --threads
refuses "--lr nan" 2 "--lr wants a number" "$@" --lr nan
refuses "--steps 0" 2 "at least 1" "$@" --steps 0
refuses "--steps 1.5" 2 "whole number" "$@" --steps 1.5
refuses "--schedule unknown" 2 "cosine, linear, constant, wsd" "$@" --schedule cosin
refuses "--dtype bf16" 2 "only f32" "$@" --dtype bf16
refuses "--quiet=yes" 2 "takes no value" "$@" --quiet=yes
refuses "--steps and --epochs" 2 "exclude each other" "$@" --steps 5 --epochs 1
refuses "no --out" 2 "--out RUN" train --data text.txt
refuses "no --data" 2 "--data FILE" train --out RUN
refuses "--resume with --out" 2 "neither --out" train --resume RUN --out RUN
refuses "unknown preset" 1 "there are demo" "$@" --preset gpt5
refuses "serial with two spheres" 1 "." "$@" --backend serial --threads 2
refuses "width not divisible by heads" 1 "head" "$@" --n-embd 128 --n-head 3
refuses "micro-batch does not divide" 1 "divide" "$@" --batch-size 10 --micro-batch 4
refuses "warm-up is no number" 2 "--warmup-steps wants" "$@" --warmup-steps x
refuses "keep 1" 2 "at least 2" "$@" --keep 1
refuses "does not fit in memory, with figures" 1 "iB" "$@" --seq-len 64 --batch-size 2000000 --micro-batch 2000000
refuses "generate without model" 2 "which model" generate
refuses "generate: temperature" 2 "--temperature" generate x --temperature -1
refuses "generate: prompts exclude" 2 "exclude" generate x --prompt a --prompt-tokens 1
refuses "eval without data" 2 "--data" eval x
refuses "plan: width and heads" 1 "head" plan --n-embd 100 --n-head 3
refuses "bench step: list" 2 "whole numbers" bench step --threads 1,x
cat >config.json <<'END'
{"model_type": "gpt2", "vocab_size": 65, "n_positions": 64, "n_embd": 130, "n_layer": 2, "n_head": 4}
END
refuses "config.json: width not divisible by heads" 1 "head" "$@" --config config.json
echo '{"model_type": "bert"}' >config.json
refuses "config.json of another family" 1 "bert" "$@" --config config.json
echo '{"model_type": ' >config.json
refuses "config.json is no JSON" 1 "config.json" "$@" --config config.json
CLLM_ISA=mmx refuses "unknown CLLM_ISA" 1 "mmx" topology
