# SPDX-License-Identifier: MIT
ISA_FLAGS_portable :=
