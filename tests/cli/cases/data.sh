# SPDX-License-Identifier: MIT
# cllm data check: figures of text, of shards and of a run; windows plain and in colours; the same for any number of threads.
cat >docs.jsonl <<'END'
{"text": "the moon is old"}
{"text": "a river"}
{"text": ""}
{"text": "the moon is old"}
{"text": "zzzzzzzzzzzz \u001b[31mred"}
{"text": "a river"}
END
figure() { sed -n "s/^  \"$1\": \([^,]*\),*$/\1/p" "$2"; }
"$CLLM" data check docs.jsonl --tokenizer byte --seq-len 8 --packing documents --json --threads 1 >text.json 2>stderr
check "check of a .jsonl" test $? = 0
check "six documents" test "$(figure documents text.json)" = 6
check "one of them empty" test "$(figure empty text.json)" = 1
check "two are others again" test "$(figure duplicates text.json)" = 2
check "of 22 tokens" test "$(figure duplicate_tokens text.json)" = 22
check "nothing of it is outside the vocabulary" test "$(figure outside_vocabulary text.json)" = 0
check "nor is it invalid" test "$(figure invalid_utf8_bytes text.json)" = 0
"$CLLM" data check docs.jsonl --tokenizer byte --seq-len 8 --packing documents --json --threads 3 >three.json
check "three threads say the same" cmp text.json three.json
"$CLLM" data check docs.jsonl --tokenizer byte --seq-len 100 --packing documents --samples 0 >none.out
check "no windows, no samples" grep -q "^windows        0 of 100 tokens" none.out
"$CLLM" data check docs.jsonl --tokenizer byte --seq-len 65 --packing documents --samples 9 >plain.out 2>stderr
check "documents in brackets, what does not count in braces" grep -q '^\[the moon is old.*\]\[{a} river' plain.out
check "nothing a terminal would obey" sh -c '! grep -q "$(printf "\033")" plain.out'
check "but its bytes" grep -q 'z \\x1b\[31mred' plain.out
check "duplicates by name" grep -q "document 4 is document 1 again" plain.out
check "the longest run" grep -q '^longest runs   "z" (token 122) 12 times, in document 5' plain.out
printf 'a\377\376b' >bad.txt
check "bytes that are not UTF-8 are counted" sh -c '"$CLLM" data check bad.txt --seq-len 2 | grep -q "^invalid UTF-8  2 bytes"'
if command -v script >/dev/null; then
    TERM=xterm script -qec "\"$CLLM\" data check docs.jsonl --seq-len 30 --packing documents" /dev/null >colours </dev/null
    check "colours on a terminal" sh -c 'grep -q "$(printf "\033")\[7;3" colours'
    TERM=xterm NO_COLOR=1 script -qec "\"$CLLM\" data check docs.jsonl --seq-len 30 --packing documents" /dev/null >plain </dev/null
    check "none with NO_COLOR" sh -c '! grep -q "$(printf "\033")\[7;3" plain && grep -q "{a}" plain'
fi

# Shards of the same text give the same figures, and a run has its own settings.
"$CLLM" train --preset shakespeare-char-cpu --n-layer 1 --n-head 1 --n-embd 16 --seq-len 8 --batch-size 2 --val-fraction 0 --data docs.jsonl --steps 1 \
    --tokenizer byte --packing documents --sample-tokens 0 --quiet --out RUN1
"$CLLM" data check RUN1 --json >run.json
for name in documents empty duplicates duplicate_tokens tokens windows supervised attention_share; do
    check "the run's $name" test "$(figure $name run.json)" = "$(figure $name text.json)"
done
check "its index is known" grep -q '"documents_by": "index"' run.json
cp RUN1/tokens.bin bare.bin
"$CLLM" data check bare.bin --seq-len 8 >bare.out
check "shards that nobody knows anything of are one document" grep -q "^documents      1, 0 of them empty (no index" bare.out
"$CLLM" data check bare.bin --packing documents >out 2>stderr
check "and cannot be packed" grep -q "nobody says where its documents begin" stderr
"$CLLM" data check bare.bin --seq-len 8 --vocab-size 100 --end-of-text 122 --packing documents >bare.out
check "tokens outside the vocabulary" grep -q "^outside        [1-9][0-9]* tokens outside the vocabulary of 100, the first at token 0" bare.out

refuses "no data" 2 "which data" data check
refuses "a part that is not" 2 "there is .cllm data check" data chek
refuses "no such file" 1 "no such file or directory" data check nowhere
