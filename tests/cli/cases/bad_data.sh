# SPDX-License-Identifier: MIT
# Data that cannot be trained on.
# shellcheck disable=SC2086 # several words
set -- train $TINY --steps 5 --out RUN --data
refuses "missing" 1 "nothere" "$@" nothere
: >empty.txt
refuses "empty" 1 "empty" "$@" empty.txt
mkdir none && echo x >none/picture.png
refuses "directory without text" 1 "none" "$@" none
printf 'short' >short.txt
refuses "shorter than a window" 1 "window" "$@" short.txt
make_text text.txt 400
gzip -c text.txt >good.txt.gz
head -c 600 good.txt.gz >cut.txt.gz
refuses "truncated gzip" 1 "cut.txt.gz" "$@" cut.txt.gz
{ head -c 300 good.txt.gz && printf 'XXXXXXXX' && tail -c +309 good.txt.gz; } >bad.txt.gz
refuses "corrupt gzip" 1 "bad.txt.gz" "$@" bad.txt.gz
printf '{"text": "one line"}\n{"text": "two\n' >bad.jsonl
refuses "invalid JSON line, with its number" 1 "bad.jsonl.*2" "$@" bad.jsonl
printf '{"text": "one line"}\n{"txt": "two"}\n' >notext.jsonl
refuses "JSON line without text" 1 "notext.jsonl.*2" "$@" notext.jsonl
printf 'caf\351 and much more of it so that it is long enough for a window of the model, to be sure\n' >latin1.txt
refuses "not UTF-8 for char" 1 "UTF-8" "$@" latin1.txt
mkfifo pipe
refuses "a FIFO" 1 "pipe" "$@" pipe
head -c 4096 /dev/zero >zero.bin
refuses "bad magic" 1 "zero.bin" "$@" zero.bin --vocab-size 100
: >empty.bin
refuses "empty shard" 1 "empty.bin" "$@" empty.bin --vocab-size 100
# A shard of ours, made by a short run.
"$CLLM" "$@" text.txt --tokenizer byte --quiet >/dev/null 2>&1
mv RUN made
cp made/tokens.bin good.bin
refuses "token out of the vocabulary" 1 "good.bin" "$@" good.bin --vocab-size 50
refuses "shard without vocabulary" 1 "vocab-size" "$@" good.bin
head -c 3000 good.bin >cut.bin
refuses "truncated shard" 1 "cut.bin" "$@" cut.bin --vocab-size 257
refuses "char on a shard" 1 "char" "$@" good.bin --tokenizer char
refuses "vocabulary below the tokenizer's" 1 "tokens" "$@" text.txt --tokenizer byte --vocab-size 100
refuses "unknown tokenizer" 1 "no such file" "$@" text.txt --tokenizer nonesuch
echo '{}' >tokenizer.json
refuses "not a tokenizer" 1 "tokenizer.json" "$@" text.txt --tokenizer tokenizer.json
if [ "$(id -u)" != 0 ]; then
    chmod 0 text.txt
    refuses "unreadable" 1 "text.txt" "$@" text.txt
    chmod 644 text.txt
fi
"$CLLM" "$@" good.bin --vocab-size 257 --quiet >stdout 2>stderr
check "a shard trains" test $? = 0
check "a model without tokenizer gives token ids" sh -c '"$CLLM" generate RUN --max-tokens 5 | grep -qE "^[0-9]+( [0-9]+){4}$"'
