#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does transformers read a model directory of ours as it is, and compute the same logits?

    cllm eval MODEL --data FILE --logits-out L.safetensors
    check_transformers.py MODEL L.safetensors [--text TEXT] [--tolerance 1e-4]

L.safetensors holds what our command computed: "tokens" I32 [T] and "logits" F32 [T,V], one sequence from position 0.
The model is loaded with AutoModelForCausalLM, and every weight must come from the file: a name that is missing,
unknown or of another shape fails.  MODEL/tokenizer.json is loaded with `tokenizers` and with AutoTokenizer; TEXT (by
default the tokens decoded) must come back from encode and decode unchanged.
Prints the greatest absolute difference; exits 1 where it exceeds the tolerance or is not a number, or a check fails.
"""
import argparse, os, sys

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument("model")
args.add_argument("logits")
args.add_argument("--text")
args.add_argument("--tolerance", type=float, default=1e-4)
args = args.parse_args()
os.environ["HF_HUB_OFFLINE"] = "1"
failures = []


def check(good, text):
    print(("ok    " if good else "FAIL  ") + text)
    if not good:
        failures.append(text)


model, info = AutoModelForCausalLM.from_pretrained(args.model, output_loading_info=True)
for kind, names in info.items():
    check(not names, f"{kind}: {names if names else 'none'}")
model.eval()

ours = load_file(args.logits)
tokens, logits = ours["tokens"], ours["logits"]
check(tokens.dtype == torch.int32 and tokens.dim() == 1 and logits.dtype == torch.float32, "tokens I32 [T], logits F32")
check(tuple(logits.shape) == (tokens.shape[0], model.config.vocab_size),
      f"logits {tuple(logits.shape)} are [T,V] with T {tokens.shape[0]}, V {model.config.vocab_size}")
with torch.no_grad():
    theirs = model(tokens.long().unsqueeze(0)).logits[0]
difference = (logits.double() - theirs.double()).abs().max().item() if not failures else float("nan")
check(difference <= args.tolerance, f"greatest absolute difference of the logits {difference:.3g} <= {args.tolerance:g} "
                                    f"(logits reach {theirs.abs().max().item():.3g})")

plain = Tokenizer.from_file(os.path.join(args.model, "tokenizer.json"))
auto = AutoTokenizer.from_pretrained(args.model)
check(plain.get_vocab_size() == model.config.vocab_size,
      f"tokenizer.json has {plain.get_vocab_size()} tokens, the model {model.config.vocab_size}")
text = args.text if args.text is not None else plain.decode(tokens.tolist())
ids = plain.encode(text).ids
check(bool(ids) and plain.decode(ids) == text, f"tokenizers: {len(text)} characters, {len(ids)} tokens, and back")
check(auto.encode(text) == ids, "AutoTokenizer gives the same tokens")
check(auto.decode(ids, clean_up_tokenization_spaces=False) == text, "AutoTokenizer decodes them to the same text")
sys.exit(bool(failures))
