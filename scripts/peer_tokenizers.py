#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How fast is Hugging Face's `tokenizers` on one thread?  Prints a line for `cllm bench tokenizer --peer`.

    peer_tokenizers.py DATA [--tokenizer tokenizer.json] [--vocab-size 32000] [--repeat 3] >peer.txt
    cllm bench tokenizer --data DATA [--tokenizer tokenizer.json] --peer peer.txt

Encodes the lines of DATA in batches, which is its fastest way; trains byte-level BPE on the same lines where no tokenizer is given.
"""
import argparse, os, statistics, sys, time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument("data")
args.add_argument("--tokenizer")
args.add_argument("--vocab-size", type=int, default=32000)
args.add_argument("--repeat", type=int, default=3)
args = args.parse_args()
with open(args.data, encoding="utf-8", errors="replace", newline="") as f:
    lines = f.read().splitlines(keepends=True)
size = sum(len(line.encode()) for line in lines)
trained = ""
if args.tokenizer:
    t = Tokenizer.from_file(args.tokenizer)
else:
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=args.vocab_size, special_tokens=["<|endoftext|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    start = time.perf_counter()
    t.train_from_iterator(lines, trainer)
    trained = f" {time.perf_counter() - start:.2f}"
speeds = []
for _ in range(args.repeat):
    start = time.perf_counter()
    for at in range(0, len(lines), 10000):
        t.encode_batch_fast(lines[at:at + 10000], add_special_tokens=False)
    speeds.append(1e-6 * size / (time.perf_counter() - start))
print(f"tokenizers-{tokenizers.__version__} {statistics.median(speeds):.2f}{trained}")
