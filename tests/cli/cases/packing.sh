# SPDX-License-Identifier: MIT
# Packing: the same weights with other spheres and after an interruption, for text and for shards with and without an index;
# evaluation; what is refused.
awk 'BEGIN {
    split("the a one this that moon river stone bird night sees hears takes finds old new", w, " ")
    for (i = 1; i <= 200; i++) {
        s = (s * 1103 + 12345 + i) % 65536
        text = ""
        for (k = 0; k < s % 19; k++) text = text w[1 + int(s / (k + 1)) % 16] " "
        printf "{\"text\": \"%s.\"}\n", text
    }
}' >docs.jsonl
# shellcheck disable=SC2086 # several words
set -- train $TINY --tokenizer char --seed 4 --steps 6 --sample-tokens 0 --quiet
"$CLLM" "$@" --data docs.jsonl --packing documents --threads 1 --out packed 2>stderr
check "train with packing" test $? = 0
check "run.json says so" grep -q '"packing": "documents"' packed/run.json
check "and the run has an index of 200 documents" test "$(wc -c <packed/tokens.idx)" = 1600
"$CLLM" "$@" --data docs.jsonl --out plain 2>stderr
check "packing is not without" sh -c '! cmp -s packed/checkpoints/latest/model.safetensors plain/checkpoints/latest/model.safetensors'
"$CLLM" "$@" --data docs.jsonl --packing documents --threads 3 --save-every 2 --keep 9 --out three 2>stderr
check "three spheres give the same weights" same_weights packed three
rm -r three/checkpoints/step-00000006
"$CLLM" train --resume three --threads 2 --sample-tokens 0 --quiet 2>stderr
check "and so does a resumed run" same_weights packed three

# Shards: with the index, and parted by the end of text alone.  The tokenizer has to be a file for that.
mkdir shards marked
cp packed/tokens.bin packed/tokens.idx packed/tokenizer.json shards
cp packed/tokens.bin packed/tokenizer.json marked
# shellcheck disable=SC2086
set -- train $TINY --seed 4 --steps 6 --sample-tokens 0 --quiet
"$CLLM" "$@" --data shards --packing documents --out of-shards 2>stderr
check "shards with an index give the same weights" same_weights packed of-shards
"$CLLM" "$@" --data marked --packing documents --out of-marks 2>stderr
check "and so do shards without" same_weights packed of-marks
mkdir bare && cp packed/tokens.bin bare
"$CLLM" "$@" --data bare --vocab-size 60 --packing documents --out none 2>stderr
check "who knows no documents is refused" test $? = 1
check "in a sentence" grep -q "nobody says where its documents begin" stderr
check "nothing is left behind" test ! -e none

# Where documents begin is part of the run.
rm -r three/checkpoints/step-00000006
head -c 1592 packed/tokens.idx >three/tokens.idx
"$CLLM" train --resume three --quiet 2>stderr
check "other documents on resuming are refused" test $? = 1
check "and named" grep -q "documents_crc32" stderr
head -c 1591 packed/tokens.idx >three/tokens.idx
"$CLLM" train --resume three --quiet 2>stderr
check "a damaged index is refused" grep -q "tokens.idx: 1591 bytes are no index" stderr
"$CLLM" train --resume packed --packing none 2>stderr
check "another packing on resuming is refused" grep -q "packing: documents, none" stderr
"$CLLM" train --data docs.jsonl --packing tight --out none 2>stderr
check "an unknown packing is refused" test $? = 2

# Evaluation: of text and of shards the same, for any number of threads; the default is without.
"$CLLM" eval packed --data docs.jsonl --seq-len 32 --packing documents --threads 1 | grep -v over >text.out 2>&1
"$CLLM" eval packed --data shards --seq-len 32 --packing documents --threads 3 | grep -v over >shards.out 2>&1
check "eval of text" grep -q '^loss ' text.out
check "eval of shards is the same but for the bytes" sh -c 'head -2 text.out >a && head -2 shards.out >b && cmp a b'
"$CLLM" eval packed --data docs.jsonl --seq-len 32 | grep -v over >plain.out 2>&1
check "without packing it is another figure" sh -c '! cmp -s text.out plain.out'
check "199 tokens less count" sh -c 'a=$("$CLLM" eval packed --data docs.jsonl --json | grep "\"tokens\"" | tr -dc 0-9)
    b=$("$CLLM" eval packed --data docs.jsonl --packing documents --json | grep "\"tokens\"" | tr -dc 0-9); test $((a - b)) = 199'
check "plan with packing" "$CLLM" plan --packing documents
# shellcheck disable=SC2086
check "plan measures with packing" "$CLLM" plan $TINY --packing documents --measure

# Nothing to predict: said before a step is made.  An index that lets a document begin at every token, and one that does so from
# the middle on.
for shards in ones tail; do mkdir $shards && cp packed/tokens.bin packed/tokenizer.json $shards; done
python3 - <<'EOF'
import struct
n = struct.unpack("<3i", open("packed/tokens.bin", "rb").read(12))[2]
for name, first in ("ones", 0), ("tail", n // 2):
    with open(name + "/tokens.idx", "wb") as f:
        f.write(struct.pack("<Q", 0) + b"".join(struct.pack("<Q", i) for i in range(max(first, 1), n)))
EOF
set -- train $TINY --steps 2 --packing documents --out RUN
refuses "documents of one token each" 1 "no token of its training part can be predicted" "$@" --data ones
refuses "a validation part of such" 1 "no token of its validation part can be predicted" "$@" --data tail
check "which may be left out" "$CLLM" "$@" --data tail --val-fraction 0 --quiet
