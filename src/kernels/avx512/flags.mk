# SPDX-License-Identifier: MIT
ISA_FLAGS_avx512 := -mavx2 -mfma -mbmi2 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512
