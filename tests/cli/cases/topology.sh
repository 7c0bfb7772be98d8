# SPDX-License-Identifier: MIT
# What 0 threads means, and that it is said.
auto() { sed -n 's/^0 threads *means \([0-9]*\) sphere.*/\1/p'; }
first=$("$CLLM" topology --json | sed -n 's/.*"cpu": \([0-9]*\).*/\1/p' | head -n 1)
ours=$(taskset -cp $$ | sed -n 's/.*: \([0-9]*\).*/\1/p')
check "topology draws every CPU" sh -c '"$CLLM" topology --json | grep -q "\"cpu\": '"${first:-none}"'"'
check "topology names siblings and shared caches" sh -c '"$CLLM" topology | grep -q "^siblings "'
check "0 threads is said" test -n "$("$CLLM" topology | auto)"
taskset -c "$ours" "$CLLM" topology >out
check "taskset changes what 0 threads means" test "$(auto <out)" = 1
check "taskset is named, or there is but one core" grep -q -e '^usable .*1: affinity mask: 1 of' -e '^usable .*1: the one core' out
OMP_NUM_THREADS=1 "$CLLM" topology >out
check "OMP_NUM_THREADS changes what 0 threads means" test "$(auto <out)" = 1
check "OMP_NUM_THREADS is named" grep -q -e 'OMP_NUM_THREADS=1' out
for bad in 0 -3 many ''; do
    OMP_NUM_THREADS=$bad "$CLLM" topology >out
    check "OMP_NUM_THREADS='$bad' is said to be ignored" grep -q 'OMP_NUM_THREADS is .*: ignored' out
done
OMP_NUM_THREADS=100000 "$CLLM" topology >out
check "OMP_NUM_THREADS above what there is" grep -q 'OMP_NUM_THREADS=100000, more than there is: no effect' out
refuses "more spheres than there can be" 2 "1885" topology --threads 1886
refuses "a negative number of spheres" 2 "threads" topology --threads -1
check "1885 spheres are placed" sh -c '"$CLLM" topology --threads 1885 | grep -q "So many spheres a CPU are pinned\|not pinned"'
