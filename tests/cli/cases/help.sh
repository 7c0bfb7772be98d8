# SPDX-License-Identifier: MIT
# Help of every command, the version, and words that are unknown.
check "version" sh -c '"$CLLM" --version | grep -q "^cllm [0-9]"'
check "help lists the commands" sh -c '"$CLLM" --help | grep -q "  train "'
for command in train generate eval stats report compare export plan topology "data check" "bench step" "bench save" "bench barrier" "bench matmul" "bench limits" "bench attention" "bench norm" "bench loss" "bench adamw" bench; do
    # shellcheck disable=SC2086 # two words
    "$CLLM" $command --help >stdout 2>stderr
    status=$?
    if [ $status = 0 ] && [ ! -s stderr ] && grep -q '^usage: cllm' stdout && grep -q '^Examples:' stdout; then
        ok "$command --help"
    else
        fail "$command --help: exit $status, $(head -c 200 stderr)"
    fi
done
check "help COMMAND" sh -c '"$CLLM" help eval | grep -q "usage: cllm eval"'
"$CLLM" >stdout 2>stderr
check "no command is bad usage" test $? = 2
refuses "unknown command, nearest named" 2 "did you mean 'train'" trian
refuses "unknown command, none near" 2 "unknown command 'xyzzy'" xyzzy
refuses "unknown flag, nearest named" 2 "did you mean --batch-size" train --batchsize 3
refuses "unknown flag, beginning of one" 2 "did you mean --temperature" generate RUN --temp 1
refuses "unknown flag, none near" 2 "unknown flag --qqqqqq" plan --qqqqqq
refuses "unknown global flag" 2 "did you mean '--version'" --verson
refuses "one word too many" 2 "one word too many" stats a b
