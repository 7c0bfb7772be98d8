# SPDX-License-Identifier: MIT
ISA_FLAGS_avx2 := -mavx2 -mfma -mbmi2
