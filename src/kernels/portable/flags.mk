ISA_FLAGS_portable :=
