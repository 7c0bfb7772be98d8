# SPDX-License-Identifier: MIT
ISA_FLAGS_avx512bf16 := -mavx2 -mfma -mbmi2 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512bf16 -mprefer-vector-width=512
