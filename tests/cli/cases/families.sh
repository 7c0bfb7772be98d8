# SPDX-License-Identifier: MIT
# Models of Llama's kind, the same ways: train, write, evaluate, resume, go on from them.
make_text text.txt 600
LLAMA="--preset llama-char-cpu --n-layer 2 --n-embd 32 --seq-len 32 --batch-size 4 --eval-batches 2 --threads 2"
# shellcheck disable=SC2086 # several words
set -- train $LLAMA --data text.txt --steps 60 --save-every 30 --seed 3
"$CLLM" "$@" --out run >stdout 2>stderr
check "train" test $? = 0
check "nothing on stderr" test ! -s stderr
check "the shape is told" grep -q "llama, 2 layers, 4 heads (2 of keys and values), 32 wide" stdout
check "a llama's config.json" grep -q '"LlamaForCausalLM"' run/checkpoints/latest/config.json
check "it learnt" awk '/^  train loss/ { exit !($3 < 2.8) }' stdout
check "generate" sh -c '"$CLLM" generate run --prompt "the " --max-tokens 60 --seed 5 --threads 1 >g1 && test "$(wc -c <g1)" -ge 64'
check "generate with two threads" sh -c '"$CLLM" generate run --prompt "the " --max-tokens 60 --seed 5 --threads 2 >g2 && cmp g1 g2'
check "eval" sh -c '"$CLLM" eval run --data text.txt --json | grep -q bits_per_byte'
"$CLLM" "$@" --out again --threads 13 --backend openmp --quiet
check "13 OpenMP spheres give the same weights" same_weights run again
CLLM_ISA=avx2 "$CLLM" "$@" --out avx2 --quiet
check "another instruction set gives the same weights" same_weights run avx2
mkdir cut && cp run/run.json run/tokens.bin run/tokenizer.json cut && mkdir cut/checkpoints &&
    cp -R run/checkpoints/step-00000030 cut/checkpoints && ln -s step-00000030 cut/checkpoints/latest
"$CLLM" train --resume cut --quiet
check "resumed from the middle it gives the same weights" same_weights run cut
"$CLLM" train --init run/checkpoints/latest --data text.txt --out tuned --steps 5 --batch-size 4 --lr 1e-4 --quiet
check "on from a model" test $? = 0
check "of the same shape" cmp run/checkpoints/latest/config.json tuned/checkpoints/latest/config.json

# A config.json with what only some families have: windows, norms of heads, a head of its own.
cat >qwen3.json <<END
{"model_type": "qwen3", "vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
 "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "max_position_embeddings": 64,
 "use_sliding_window": true, "sliding_window": 9, "max_window_layers": 1, "rope_theta": 10000.0}
END
check "train by a config.json" "$CLLM" train --config qwen3.json --data text.txt --tokenizer char --seq-len 32 \
    --batch-size 4 --steps 10 --out qwen3 --quiet
check "generate from it" sh -c '"$CLLM" generate qwen3 --max-tokens 80 --json | grep -q "\"length\""'
check "plan" sh -c '"$CLLM" plan --config qwen3.json | grep -q "qwen3, 2 layers"'
sed 's/"rope_theta": 10000.0/"rope_scaling": {"rope_type": "yarn", "factor": 4.0}/' qwen3.json >yarn.json
refuses "positions scaled otherwise" 1 '"yarn"' train --config yarn.json --data text.txt --out RUN
sed 's/"qwen3"/"mixtral"/' qwen3.json >mixtral.json
refuses "another family" 1 '"mixtral"' train --config mixtral.json --data text.txt --out RUN
# shellcheck disable=SC2086
refuses "heads that do not go into the width" 1 'not divisible' train $LLAMA --n-head 5 --data text.txt --out RUN
