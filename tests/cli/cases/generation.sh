# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2016,SC2086
# Filters, stop texts, the bound on the context, and conversations with a model that knows ChatML's marks.
fixtures=$here/../fixtures/chat
make_text text.txt 400
"$CLLM" train $TINY --data text.txt --tokenizer "$fixtures/level.json" --seq-len 160 --batch-size 2 --steps 4 --seed 3 --quiet --out run
check "train" test $? = 0
cp -RL run/checkpoints/latest model
cat >model/chat_template.jinja <<'END'
{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
END
run="generate model --max-tokens 30 --seed 4"
check "filters, one thread" sh -c '"$CLLM" generate model --max-tokens 30 --min-p 0.05 --top-k 50 --top-p 0.9 --repetition-penalty 1.2 --threads 1 >f1'
check "filters, two threads" sh -c '"$CLLM" generate model --max-tokens 30 --min-p 0.05 --top-k 50 --top-p 0.9 --repetition-penalty 1.2 --threads 2 | cmp - f1'
check "a penalty makes a difference" sh -c '! "$CLLM" generate model --max-tokens 30 --temperature 0 --repetition-penalty 1e5 >p1 || ! "$CLLM" generate model --max-tokens 30 --temperature 0 | cmp -s - p1'
"$CLLM" train $TINY --data text.txt --tokenizer char --steps 4 --quiet --out letters
stops="generate letters --max-tokens 60 --seed 4"
"$CLLM" $stops --prompt "the " >whole.txt
stop=$(tr -d "\n" <whole.txt | tail -c +21 | head -c 3)
"$CLLM" $stops --prompt "the " --stop "$stop" --stop "no such text" >stopped.txt
check "a stop text is not written" sh -c '! grep -qF "$0" stopped.txt' "$stop"
check "what was before it is" sh -c 'test "$(wc -c <stopped.txt)" -lt "$(wc -c <whole.txt)" && head -c $(($(wc -c <stopped.txt) - 1)) stopped.txt | cmp -n $(($(wc -c <stopped.txt) - 1)) - whole.txt'
refuses "an empty stop text" 2 "not empty" $run --stop ""
refuses "a prompt too long for the context" 1 "room for 3" $run --prompt "the moon sees the sea" --context 3
refuses "a context the model does not have" 1 "positions" $run --context 100000
check "a bounded context" "$CLLM" $run --context 8
refuses "min-p" 2 "min-p" $run --min-p 2

check "one turn" sh -c '"$CLLM" generate model --chat --prompt Hello --max-tokens 5 --seed 1 >c1 && test -s c1'
check "the same from standard input" sh -c 'printf "Hello\n" | "$CLLM" generate model --chat --max-tokens 5 --seed 1 | cmp - c1'
check "on any number of threads" sh -c '"$CLLM" generate model --chat --prompt Hello --max-tokens 5 --seed 1 --threads 1 | cmp - c1'
check "a last line without a newline" sh -c 'printf "Hello" | "$CLLM" generate model --chat --max-tokens 5 --seed 1 | cmp - c1'
check "two turns, empty lines between" sh -c 'printf "Hello\n\n\nAnd?\n" | "$CLLM" generate model --chat --max-tokens 2 --seed 1 >c2 2>e2 && test ! -s e2'
check "a system message counts" sh -c '"$CLLM" generate model --chat --system "Answer in verse" --prompt Hello --max-tokens 5 --seed 1 >c3 && ! cmp -s c3 c1'
check "no turns, no answers" sh -c 'test -z "$("$CLLM" generate model --chat </dev/null)"'
refuses "a conversation too long" 1 "the conversation has" generate model --chat --prompt Hello --context 4
refuses "a system message without a conversation" 2 "needs --chat" generate model --system x
refuses "JSON of a conversation" 2 "neither" generate model --chat --json
echo '{{ "<start_of_turn>" }}' >model/chat_template.jinja
refuses "a template that is not known" 1 "ChatML" generate model --chat --prompt Hello
rm model/chat_template.jinja
refuses "no template" 1 "no chat template" generate model --chat --prompt Hello

check "bench generate" sh -c '"$CLLM" bench generate model --prompt-length 8 --tokens 4 --repeat 1 --threads 1 | grep -q "tokens/s"'
check "bench generate --csv" sh -c '"$CLLM" bench generate --preset demo --prompt-length 4 --tokens 4 --repeat 1 --threads 1,2 --csv | tail -n 1 | grep -qE "^[^,]*,[^,]*,[^,]*,2,4,4(,[0-9.]+){5}$"'
refuses "more tokens than the model has positions" 1 "positions" bench generate model --prompt-length 100000
