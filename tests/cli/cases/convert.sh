# SPDX-License-Identifier: MIT
# Models to other formats and back, and what stands against it.
# shellcheck disable=SC2086 # several words
make_text text.txt 400
"$CLLM" train $TINY --data text.txt --tokenizer char --steps 3 --quiet --out run >/dev/null 2>&1
model=run/checkpoints/latest
tensors() { "$CLLM" inspect "$1" --json | sed -n '/"tensors"/,$p'; }
same_model() { cmp -s "$1/model.safetensors" "$2/model.safetensors"; }

"$CLLM" convert run model.gguf >stdout 2>stderr
check "a run to GGUF" test $? = 0
check "is proved to the last bit" grep -q "every logit the same to the last bit" stdout
check "inspect reads it" sh -c '"$CLLM" inspect model.gguf | grep -q "check      every tensor is there"'
check "inspect as JSON" sh -c '"$CLLM" inspect model.gguf --json | python3 -c "import json,sys; r = json.load(sys.stdin); assert r[\"check\"][\"readable\"] and r[\"model\"][\"family\"] == \"gpt2\" and r[\"keys\"][\"general.architecture\"] == \"gpt2\""'
"$CLLM" convert model.gguf back >stdout 2>stderr
check "GGUF to a directory" test $? = 0
check "same weights" same_model "$model" back
check "same tokenizer" cmp -s $model/tokenizer.json back/tokenizer.json
"$CLLM" generate $model --seed 3 --max-tokens 20 >a 2>/dev/null
"$CLLM" generate back --seed 3 --max-tokens 20 >b 2>/dev/null
check "same text" cmp -s a b
"$CLLM" convert $model copy >stdout 2>stderr
check "a directory to a directory" test $? = 0
check "with the same weights" same_model $model copy
check "and the files beside them" cmp -s $model/tokenizer_config.json copy/tokenizer_config.json
check "but not a training's" test ! -e copy/trainer_state.json -a ! -e copy/manifest.json -a ! -e copy/training_state.safetensors
for type in f16 bf16 q8_0; do
    "$CLLM" convert copy $type.gguf --dtype $type >stdout 2>stderr
    check "GGUF in $type" grep -q "every weight as" stdout
    check "smaller than f32" test "$(wc -c <$type.gguf)" -lt "$(wc -c <model.gguf)"
done
"$CLLM" convert copy bf16 --dtype bf16 >stdout 2>stderr && "$CLLM" convert bf16.gguf bf16-2 >stdout 2>stderr
check "bf16 by both ways is the same" same_model bf16 bf16-2
check "and config.json says so" grep -q '"torch_dtype": "bfloat16"' bf16/config.json
"$CLLM" convert copy model.bin >stdout 2>stderr && "$CLLM" convert model.bin from-llmc >stdout 2>stderr
check "llm.c's file and back" same_model copy from-llmc
"$CLLM" train --init back --data text.txt --batch-size 4 --steps 1 --quiet --out run2 >/dev/null 2>&1
check "training goes on from it" test -e run2/checkpoints/latest/model.safetensors

refuses "no IN" 2 "what?" convert
refuses "no OUT" 2 "to what?" convert copy
refuses "absent" 1 "nowhere" convert nowhere RUN
refuses "OUT exists" 1 "exists already" convert copy back
refuses "OUT exists as a file" 1 "exists already" convert copy model.gguf
refuses "an unknown format" 2 "to" convert copy RUN --to onnx
refuses "an unknown type" 2 "dtype" convert copy RUN --dtype q4_0
refuses "q8_0 in a directory" 1 "not q8_0" convert copy RUN --dtype q8_0
refuses "f16 for llm.c" 1 "f32 or bf16" convert copy RUN --to llmc --dtype f16
echo "some text" >letter
refuses "no model" 1 "is no model" convert letter RUN
refuses "no model to inspect" 1 "is no model" inspect letter
mkdir nothing
refuses "an empty directory" 1 "config.json" convert nothing RUN
refuses "an empty directory to inspect" 1 "config.json" inspect nothing
mkfifo pipe
refuses "a FIFO" 1 "pipe" convert pipe RUN
refuses "a FIFO to inspect" 1 "pipe" inspect pipe
cp -r copy special && rm special/tokenizer.json && mkfifo special/tokenizer.json
refuses "a FIFO as tokenizer.json" 1 "tokenizer.json is a pipe, not a regular file" convert special RUN
rm special/tokenizer.json && mkdir special/tokenizer.json
refuses "a directory as tokenizer.json" 1 "tokenizer.json is a directory" convert special RUN
rmdir special/tokenizer.json && ln -s nowhere special/tokenizer.json
refuses "a link to nothing as tokenizer.json" 1 "cannot open .*tokenizer.json: No such file" convert special RUN
rm special/tokenizer.json && mkfifo special/notes.txt && cp copy/tokenizer.json special
check "a FIFO of another name is no part of the model" "$CLLM" convert special unspecial
check "and does not come along" test ! -e unspecial/notes.txt
head -c 5000 model.gguf >cut.gguf
refuses "a GGUF cut short" 1 "truncated" convert cut.gguf RUN
cp -r copy cut && head -c 20000 copy/model.safetensors >cut/model.safetensors
refuses "safetensors cut short" 1 "cut/model.safetensors" convert cut RUN
cp -r copy part && python3 - part/model.safetensors <<'EOF'
import struct, sys
with open(sys.argv[1], "r+b") as f:
    f.seek(-4, 2)
    f.write(struct.pack("<f", float("nan")))
EOF
refuses "inspect of a weight that is no number" 1 "part cannot be read as a model: .*not finite" inspect part
check "has the report all the same" grep -q "^check      cannot be read" stdout
refuses "and as JSON" 1 "cannot be read" inspect part --json
check "which says so" grep -q '"readable": false' stdout
check "unread it is as the head says" "$CLLM" inspect part --no-read
head -c 3000 model.bin >cut.bin
refuses "a model of llm.c cut short" 1 "cut.bin" convert cut.bin RUN
cp -r copy odd && sed 's/"normalizer": null/"normalizer": {"type": "Lowercase"}/' copy/tokenizer.json >odd/tokenizer.json
refuses "a tokenizer llama.cpp has no equal for" 1 "tokenizer.json" convert odd RUN --to gguf
mkdir RUN.tmp2 && : >taken.tmp
refuses "a conversion that was interrupted" 1 "taken.tmp exists" convert copy taken
check "what was there stays" test -e taken.tmp
cp -r copy linked && echo secret >secret && ln -s ../secret linked/notes.txt && rm linked/tokenizer.json && ln -s ../copy/tokenizer.json linked/tokenizer.json
"$CLLM" convert linked unlinked >stdout 2>stderr
check "links to a model's own files are followed" cmp -s copy/tokenizer.json unlinked/tokenizer.json
check "other links are not" test ! -e unlinked/notes.txt
if command -v prlimit >/dev/null; then
    (trap '' XFSZ && prlimit --fsize=20000 "$CLLM" convert copy RUN --to gguf) >stdout 2>stderr
    check "a disk that is full leaves nothing" test $? != 0 -a ! -e RUN -a ! -e RUN.tmp
fi
