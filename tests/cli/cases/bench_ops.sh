# SPDX-License-Identifier: MIT
# bench attention, norm, loss, adamw: a line for each operation and number of spheres, with the FLOPs and bytes that the
# help states.
# counts FILE LINES DIMS FLOPS [BYTES]: LINES lines beside the heads, DIMS names of dimensions, and time times speed is
# within 1 % what is given for each operation; the list begins anew for each number of spheres.
counts() {
    awk -F, -v lines="$2" -v dims="$3" -v flops="$4" -v bytes="${5:-}" '
        function near(got, want) { return got >= 0.99 * want && got <= 1.01 * want }
        BEGIN { n = split(flops, f, " "); split(bytes, b, " "); want = 4 + dims + 4 + (bytes == "" ? 0 : 2) }
        NF != want { bad = 1 }
        NR > 1 { i = (NR - 2) % n + 1; ms = $(dims + 6); bad = bad || !(ms > 0) || !near($(dims + 7) * ms * 1e6, f[i])
                 bad = bad || bytes != "" && !near($(dims + 9) * ms * 1e6, b[i]) }
        END { exit bad || NR != lines + 1 }' "$1"
}
bench() { # bench NAME LINES DIMS FLOPS BYTES ARGS...: as CSV, then as a table
    op=$1 lines=$2 dims=$3 flops=$4 bytes=$5
    shift 5
    "$CLLM" bench "$op" "$@" --repeat 1 --threads 1,2 --csv >csv 2>stderr
    check "bench $op" test $? = 0 -a ! -s stderr
    check "bench $op: counts" counts csv "$lines" "$dims" "$flops" "$bytes"
    "$CLLM" bench "$op" "$@" --repeat 2 --threads 2 >table
    check "bench $op: a table" test "$(grep -cE '^[a-z0-9 ]+ 2 +[0-9.]+ +[0-9.]+ +[0-9.]+%' table)" = $((lines / 2))
}
# 2 sequences, 4 heads of 8: with 5 tokens and a window of 3 there are 12 pairs, with 2 tokens 3
bench attention 8 6 "3072 7680 768 1920" "" --batch 2 --heads 4 --kv-heads 2 --head-dim 8 --window 3 --seq-len 5,2
bench norm 12 2 "1320 2310 825 660 1650 495" "1320 2640 1320 1320 2640 1320" --rows 5 --cols 33
bench loss 4 2 "4095 4410" "2520 2520" --rows 5 --vocab 63
bench adamw 8 1 "1202 10217 6010 10217" "2404 16828 12020 9616" --elements 601
refuses "bench attention: heads" 2 "divisor of --heads (12), not 5" bench attention --kv-heads 5
refuses "bench attention: lengths" 2 "whole numbers from 1" bench attention --seq-len 0
refuses "bench norm: rows" 2 "whole number from 1" bench norm --rows 0
refuses "bench loss: threads" 2 "whole numbers from 1" bench loss --threads 1,x
refuses "bench adamw: more than there is" 1 "can be had now" bench adamw --elements 1000000000000 --threads 1
