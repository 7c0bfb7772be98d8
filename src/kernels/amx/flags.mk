# SPDX-License-Identifier: MIT
# The tile instructions are written as assembly (tiles.h), so the compiler needs no -mamx and moves no tile by itself.
ISA_FLAGS_amx := -mavx2 -mfma -mbmi2 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512bf16 -mprefer-vector-width=512
