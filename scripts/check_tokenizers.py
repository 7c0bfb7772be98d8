#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does `cllm tokenizer encode` give every line of a text the ids that Hugging Face's `tokenizers` gives it?

    check_tokenizers.py [--cllm ./cllm] [--lines N] TEXT TOKENIZER.json ...

TEXT is UTF-8; any corpus in many languages will do.  Each line, with its newline taken off, is a document: they go in as
JSON lines and are found again in the shards by the index of documents.  Special tokens are text to a shard, so lines that
spell one are left out.
Prints the count for each tokenizer; exits 1 where a line differs.  Needs the package `tokenizers`.
"""
import argparse, itertools, json, os, subprocess, sys, tempfile

import numpy
from tokenizers import Tokenizer

args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument("--cllm", default="./cllm")
args.add_argument("--lines", type=int, default=10 ** 9)
args.add_argument("text")
args.add_argument("tokenizers", nargs="+")
args = args.parse_args()


def shards(directory):
    """All tokens, and where documents begin."""
    tokens, begins = [], []
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if name.endswith(".bin"):
            wide = numpy.fromfile(path, dtype="<i4", count=1)[0] == 20240801
            tokens.append(numpy.fromfile(path, dtype="<u4" if wide else "<u2", offset=1024).astype(numpy.int64))
        elif name.endswith(".idx"):
            begins.append(numpy.fromfile(path, dtype="<u8"))
    return numpy.concatenate(tokens), numpy.concatenate(begins).astype(numpy.int64)


def compare(path, lines, work):
    reference = Tokenizer.from_file(path)
    reference.no_truncation(), reference.no_padding()
    special = [t.content for t in reference.get_added_tokens_decoder().values() if t.special]
    lines = [line for line in lines if not any(s in line for s in special)]
    data, out = os.path.join(work, "lines.jsonl"), os.path.join(work, "shards")
    with open(data, "w", encoding="utf-8") as f:
        f.writelines(json.dumps({"text": line}) + "\n" for line in lines)
    subprocess.run([args.cllm, "tokenizer", "encode", "--tokenizer", path, "--data", data, "--out", out, "--quiet"], check=True)
    tokens, begins = shards(out)
    ends = numpy.append(begins[1:], len(tokens))
    wrong = 0
    if len(begins) != len(lines):
        sys.exit(f"{path}: {len(begins)} documents of {len(lines)} lines")
    separator = None
    at = 0
    while at < len(lines):
        for encoded in reference.encode_batch(lines[at:at + 20000], add_special_tokens=False):
            ours = tokens[begins[at]:ends[at]]
            if len(ours) == len(encoded.ids) + 1 and (separator is None or ours[-1] == separator):
                separator = ours[-1]
                ours = ours[:-1]
            if ours.tolist() != encoded.ids:
                wrong += 1
                if wrong <= 3:
                    print(f"      {lines[at]!r}\n      ours {ours.tolist()[:40]}\n      tokenizers {encoded.ids[:40]}")
            at += 1
    subprocess.run(["rm", "-r", out], check=True)
    print(f"{'ok  ' if not wrong else 'FAIL'}  {os.path.basename(path)}: {len(lines)} lines, {len(tokens)} tokens, {wrong} lines differ", flush=True)
    return wrong


with open(args.text, encoding="utf-8", newline="\n") as f:
    text = [line.rstrip("\n") for line in itertools.islice(f, args.lines)]
text = [line for line in text if line]
with tempfile.TemporaryDirectory() as scratch:
    sys.exit(any([compare(path, text, scratch) for path in args.tokenizers]))
