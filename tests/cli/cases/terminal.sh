# SPDX-License-Identifier: MIT
# On a terminal: a status drawn in place, colours unless NO_COLOR, keys.  util-linux's `script` lends the terminal.
make_text text.txt 1000
if ! script -qec true /dev/null >/dev/null 2>&1; then
    ok "no terminal to be had here (the program script is missing)"
else
    # shellcheck disable=SC2086 # several words
    set -- train $TINY --data text.txt --tokenizer char --steps 100000 --sample-tokens 0
    escape=$(printf '\033')
    press() { # press KEY FILE: after some steps
        wait_for 30 has_step "$2" 20
        sleep 0.4
        printf '%s' "$1"
        wait_for 30 test -f "$2.ended"
    }
    press q run | { script -qec "\"$CLLM\" $* --out run; echo status=\$?" /dev/null >typed; : >run.ended; }
    check "drawn in place" grep -q "${escape}\[K" typed
    check "in colour" grep -q "${escape}\[36m" typed
    check "q stops" grep -q "^stopped at step" typed
    check "q is no failure" grep -q "status=0" typed
    press c plain | { NO_COLOR=1 script -qec "\"$CLLM\" $* --out plain; echo status=\$?" /dev/null >typed; : >plain.ended; }
    check "NO_COLOR" sh -c "! grep -q '${escape}\[36m' typed"
    check "c stops too" grep -q "^stopped at step" typed
    check "what c left can be used" sh -c '"$CLLM" generate plain --max-tokens 5'
fi
