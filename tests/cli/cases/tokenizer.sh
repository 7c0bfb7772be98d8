# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2086
# Making a tokenizer, encoding with it, decoding, training on what it made.
make_text text.txt 3000
mkdir texts
{ printf 'First, with <|endoftext|> in it: caf\303\251 \360\237\230\200 \377\200.\n'; cat text.txt; } >texts/a.txt
gzip -c text.txt >texts/b.txt.gz
printf '{"text": "one line"}\n{"text": ""}\n{"text": "a third  document"}\n' >texts/c.jsonl
check "train" "$CLLM" tokenizer train --vocab-size 400 --data texts --out t.json --threads 2
check "train on one thread" "$CLLM" tokenizer train --vocab-size 400 --data texts --out t1.json --threads 1
check "the same vocabulary" cmp t.json t1.json
check "encode" "$CLLM" tokenizer encode --tokenizer t.json --data texts --out whole --threads 2
check "encode on one thread, in small shards" "$CLLM" tokenizer encode --tokenizer t.json --data texts --out small --threads 1 --shard-tokens 1000
check "many shards" test "$(ls small/*.bin | wc -l)" -gt 10
"$CLLM" tokenizer decode --tokenizer whole --special whole >whole.txt
"$CLLM" tokenizer decode --tokenizer t.json --special small >small.txt
check "shards say the same whatever their size" cmp whole.txt small.txt
{ cat texts/a.txt && printf '<|endoftext|>' && cat text.txt && printf '<|endoftext|>one line<|endoftext|><|endoftext|>a third  document'; } >all.txt
check "bytes come back" cmp whole.txt all.txt
check "five documents" test "$(wc -c <whole/tokens.idx)" = 40
check "the tokenizer lies beside" cmp t.json whole/tokenizer.json
# Killed after some shards, as far as anybody can see, and taken up again.
"$CLLM" tokenizer encode --tokenizer t.json --data texts --out killed --shard-tokens 1000 --threads 2 >/dev/null 2>&1 &
pid=$!
wait_for 5 test -e killed/tokens_00001.bin
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
if grep -q '"complete": true' killed/tokens.json; then ok "finished before it was killed"; else
    check "goes on" "$CLLM" tokenizer encode --tokenizer t.json --data texts --out killed --shard-tokens 1000 --threads 1
fi
rm -f killed/*.tmp
check "the same as never stopped" diff -r small killed
# As an earlier start would have left it: three shards counted, more on the disk.
cp -r small half
sed -e 's/"complete": true/"complete": false/' -e 's/"jobs": .*/"jobs": 0,/' -e 's/"shards": .*/"shards": 3,/' \
    -e 's/"skip": .*/"skip": 3000,/' -e 's/"tokens": .*/"tokens": 3000,/' -e 's/"documents": .*/"documents": 1,/' small/tokens.json >half/tokens.json
check "goes on behind three shards" "$CLLM" tokenizer encode --tokenizer t.json --data texts --out half --shard-tokens 1000
check "with the same result" diff -r small half
check "training takes the shards" "$CLLM" train $TINY --steps 2 --data whole --out r1 --quiet
check "with the tokenizer that lies beside them" cmp t.json r1/tokenizer.json
check "training tokenizes the text itself" "$CLLM" train $TINY --steps 2 --data texts --tokenizer t.json --out r2 --quiet
check "to the same tokens" cmp whole/tokens.bin r2/tokens.bin
check "the checkpoint has the tokenizer" cmp t.json r2/checkpoints/latest/tokenizer.json
check "generates text" "$CLLM" generate r2 --prompt "the moon" --max-tokens 5
check "evaluates" "$CLLM" eval r2 --data text.txt
check "ids of a text" test "$("$CLLM" tokenizer decode --tokenizer t.json --ids "$("$CLLM" tokenizer encode --tokenizer t.json --text 'the moon  sees')")" = "the moon  sees"
refuses "complete already" 1 "complete already" tokenizer encode --tokenizer t.json --data texts --out whole
cp -r small begun && sed -i 's/"complete": true/"complete": false/' begun/tokens.json
refuses "begun with other shards" 1 "shard-tokens 1000" tokenizer encode --tokenizer t.json --data texts --out begun
refuses "begun with other data" 1 "other data" tokenizer encode --tokenizer t.json --data text.txt --out begun --shard-tokens 1000
"$CLLM" tokenizer train --vocab-size 300 --data text.txt --out other.json >/dev/null
refuses "begun with another tokenizer" 1 "another tokenizer" tokenizer encode --tokenizer other.json --data texts --out begun --shard-tokens 1000
mkdir mine && echo x >mine/file
refuses "shards of another tokenizer" 1 "were made with" train $TINY --steps 2 --data whole --tokenizer other.json --out RUN
refuses "a directory of other things" 1 "exists" tokenizer encode --tokenizer t.json --data texts --out mine
refuses "no text" 1 "missing.txt" tokenizer train --vocab-size 300 --data missing.txt --out RUN
refuses "too small a vocabulary" 2 "vocab-size" tokenizer train --vocab-size 100 --data text.txt --out RUN
refuses "what is missing" 2 "needed" tokenizer train --data text.txt
refuses "unknown part" 2 "did you mean train" tokenizer trian
refuses "a token that there is not" 1 "outside the vocabulary" tokenizer decode --tokenizer t.json --ids 400
refuses "no number" 1 "numbers" tokenizer decode --tokenizer t.json --ids "1 x"
printf '{"model":{"type":"Unigram","vocab":[]}}' >unigram.json
refuses "a kind we do not do" 1 "Unigram" tokenizer encode --tokenizer unigram.json --text x
printf 'other 2.5 9\nthird 1\n' >peer.txt
BENCH="bench tokenizer --data text.txt --vocab-size 300 --repeat 1"
# shellcheck disable=SC2086 # several words
"$CLLM" $BENCH --threads 1,2 --peer peer.txt >stdout
check "bench tokenizer: threads to one another" grep -qE "on 2 threads .* [0-9.]+ times one thread$" stdout
check "bench tokenizer: a peer's speed" grep -qE "^third +1\.0 MB/s on 1 thread; ours is [0-9.]+ times that$" stdout
check "bench tokenizer: a peer's training" grep -qE "^other +9\.00 s of training; ours is [0-9.]+ times as fast$" stdout
printf 'other fast\n' >peer.txt
# shellcheck disable=SC2086
refuses "bench tokenizer: no figure" 1 "should be a name, MB/s" $BENCH --threads 1 --peer peer.txt
