#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random models of every family, made here by transformers, against transformers, PyTorch, `gguf` and llama.cpp.

    check_families.py [--cllm ./cllm] [--work DIR] [--gpt2-vocab encoder.json vocab.bpe] [--llama PROGRAM] [NAME ...]

For each model, of sizes that go into nothing evenly, heads of keys for several, T beyond the window:
  - `cllm eval --logits-out`: logits as transformers', in f32, to 1e-4; the loss too
  - `cllm train`, ten AdamW steps, on the one window that so few tokens have: PyTorch's losses to 1e-4
  - `cllm convert` to a directory: every tensor the same bits, transformers loads it; so after a GGUF file in F32 between
  - the GGUF file read by the Python package `gguf`: architecture, number of tensors, the embedding's bits
  - `cllm generate --temperature 0`: 32 tokens as transformers chooses them
  - with --llama, llama.cpp's `llama-simple` built from its own source: the same 32 tokens.  It prints text, so texts are
    compared, byte by byte.  Models are drawn anew until the likeliest token leads by MARGIN everywhere: llama.cpp keeps
    keys and values in f16, and GPT-2's GELU in a table of f16, which moves logits by thousandths.
A model that llama.cpp has no architecture for skips that part: windows are taken out for it, as convert refuses them.

The tokenizer is GPT-2's where its two files are given, else one of 500 tokens that `cllm tokenizer train` makes here.
Exits 1 where a check fails.  Needs torch, transformers, tokenizers, safetensors and gguf; no part of building or testing.
"""
import argparse, json, os, subprocess, sys, tempfile

import numpy
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

T, STEPS, NEW, MARGIN = 131, 10, 32, 0.05
PLAIN = dict(rope_type="default", rope_theta=10000.0)
LLAMA3 = dict(rope_type="llama3", rope_theta=500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)
COMMON = dict(max_position_embeddings=256, intermediate_size=133, num_hidden_layers=3, num_attention_heads=3,
              num_key_value_heads=1, tie_word_embeddings=False)
MODELS = {
    "gpt2": ("GPT2", dict(n_positions=256, n_embd=96, n_head=3, n_layer=3, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)),
    "llama": ("Llama", COMMON | dict(hidden_size=75, head_dim=26, rms_norm_eps=1e-5, rope_parameters=LLAMA3)),
    "llama-plain": ("Llama", COMMON | dict(hidden_size=78, head_dim=26, tie_word_embeddings=True, rope_parameters=PLAIN)),
    "mistral": ("Mistral", COMMON | dict(hidden_size=75, head_dim=22, sliding_window=17, rope_parameters=PLAIN)),
    "qwen2": ("Qwen2", COMMON | dict(hidden_size=78, use_sliding_window=False, rope_parameters=PLAIN)),
    "qwen2-window": ("Qwen2", COMMON | dict(hidden_size=78, use_sliding_window=True, sliding_window=13, max_window_layers=1,
                                            tie_word_embeddings=True, rope_parameters=PLAIN)),
    "qwen3": ("Qwen3", COMMON | dict(hidden_size=75, head_dim=30, rope_parameters=PLAIN)),
    "smollm3": ("SmolLM3", COMMON | dict(hidden_size=78, num_hidden_layers=5, no_rope_layer_interval=4,
                                         tie_word_embeddings=True, rope_parameters=PLAIN, bos_token_id=None,
                                         pad_token_id=None)),
    "smollm3-window": ("SmolLM3", COMMON | dict(hidden_size=78, num_hidden_layers=4, no_rope_layer_interval=2,
                                                tie_word_embeddings=True, use_sliding_window=True, sliding_window=15,
                                                rope_parameters=PLAIN, bos_token_id=None, pad_token_id=None)),
}
NO_GGUF = ("qwen2-window", "smollm3-window")  # convert refuses them, by name
PROMPT = "The three of them had been walking since the morning, and nobody said it: 42 miles, don't count the rest."

args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument("--cllm", default="./cllm")
args.add_argument("--work")
args.add_argument("--llama")
args.add_argument("--gpt2-vocab", nargs=2)
args.add_argument("--seed", type=int, default=1)
args.add_argument("names", nargs="*", metavar="NAME", default=list(MODELS))
args = args.parse_args()
os.environ["HF_HUB_OFFLINE"] = "1"
torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()
failures = []


def check(good, text):
    print(("ok    " if good else "FAIL  ") + text, flush=True)
    if not good:
        failures.append(text)


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr.decode(errors='replace')}")
    return done.stdout


def make_tokenizer(work):
    path = os.path.join(work, "tokenizer.json")
    if args.gpt2_vocab:
        vocab, merges = args.gpt2_vocab
        t = Tokenizer(models.BPE.from_file(vocab, merges))
        t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        t.add_special_tokens([AddedToken("<|endoftext|>", normalized=False)])
        t.save(path)
    else:
        text = os.path.join(work, "text.txt")
        with open(text, "w") as f:
            f.write((PROMPT + "\n" + __doc__) * 5)
        run(args.cllm, "tokenizer", "train", "--data", text, "--vocab-size", 500, "--out", path)
    return path


def byte_texts(path):
    """The bytes of each token, as byte-level BPE writes them."""
    t = Tokenizer.from_file(path)
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    of = {chr(b): b for b in kept} | {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in kept)}
    special = {i for i, a in t.get_added_tokens_decoder().items()}
    texts = []
    for i in range(t.get_vocab_size()):
        token = t.id_to_token(i)
        texts.append(token.encode() if i in special else bytes(of[c] for c in token))
    return t, texts


def write_shard(path, tokens):
    header = numpy.zeros(256, dtype="<i4")
    header[:3] = 20240520, 1, len(tokens)
    with open(path, "wb") as f:
        f.write(header.tobytes() + numpy.asarray(tokens, dtype="<u2").tobytes())


def draw(name, vocab_size, seed, window):
    family, settings = MODELS[name]
    settings = dict(settings, vocab_size=vocab_size, eos_token_id=vocab_size - 1)
    if family == "GPT2":
        settings["bos_token_id"] = vocab_size - 1
    if not window and "sliding_window" in settings:
        settings["sliding_window"] = None
    classes = ("GPT2Config", "GPT2LMHeadModel") if family == "GPT2" else (family + "Config", family + "ForCausalLM")
    config = getattr(transformers, classes[0])(**settings, attn_implementation="eager")
    random = torch.Generator().manual_seed(seed)
    model = getattr(transformers, classes[1])(config).eval()
    with torch.no_grad():
        for n, p in model.named_parameters():
            norm = "norm" in n or ".ln_" in n
            mean, std = (1.0, 0.2) if norm and n.endswith("weight") else (0.0, 0.1) if p.dim() == 1 else (0.0, 0.12)
            if any(part in n for part in ("embed", "wte", "wpe", "lm_head")):
                std = 0.25  # spreads the logits, while layers stay so tame that f32 itself is good to 1e-4
            p.copy_(torch.randn(p.shape, generator=random) * std + mean)
    return model


def greedy(model, prompt):
    """Tokens that full recomputation chooses, and by how much the nearest choice was made."""
    ids, margin = list(prompt), float("inf")
    with torch.no_grad():
        for _ in range(NEW):
            two = model(torch.tensor([ids])).logits[0, -1].topk(2)
            margin = min(margin, (two.values[0] - two.values[1]).item())
            ids.append(two.indices[0].item())
            if margin < MARGIN or ids[-1] == model.config.eos_token_id:
                break
    return ids[len(prompt):], margin


def draw_clear(name, vocab_size, prompt, window=True):
    for seed in range(args.seed, args.seed + 50):
        model = draw(name, vocab_size, seed, window)
        tokens, margin = greedy(model, prompt)
        if margin >= MARGIN and len(tokens) == NEW and len(set(tokens)) > NEW // 4:
            return model, tokens, margin
    sys.exit(f"{name}: no model with margins of {MARGIN} in 50")


def same_tensors(a, b):
    a, b = load_file(os.path.join(a, "model.safetensors")), load_file(os.path.join(b, "model.safetensors"))
    strip = lambda d: {n.removeprefix("transformer."): t for n, t in d.items()}
    a, b = strip(a), strip(b)
    return len(a) if a.keys() == b.keys() and all(a[n].dtype == b[n].dtype and torch.equal(a[n].view(torch.int32), b[n].view(torch.int32))
                                                for n in a) else 0


def ten_steps(model, tokens):
    batch = torch.tensor([tokens])
    groups = [{"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
              {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}]
    adamw, losses = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8), []
    for _ in range(STEPS):
        adamw.zero_grad()
        logits = model(batch[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        losses.append(loss.item())
        adamw.step()
    return losses


def one(name, work, tokenizer_path, tokenizer, texts):
    here = os.path.join(work, name)
    source, vocab_size = os.path.join(here, "hf"), tokenizer.get_vocab_size()
    prompt = tokenizer.encode(PROMPT).ids
    model, chosen, margin = draw_clear(name, vocab_size, prompt)
    os.makedirs(source)

    def save(m, directory):
        m.save_pretrained(directory)
        with open(tokenizer_path) as f, open(os.path.join(directory, "tokenizer.json"), "w") as g:
            g.write(f.read())

    save(model, source)
    tokens = torch.randint(0, vocab_size, (T + 1,), generator=torch.Generator().manual_seed(3)).tolist()
    shard = os.path.join(here, "tokens.bin")
    write_shard(shard, tokens)

    logits_file = os.path.join(here, "logits.safetensors")
    evaluated = json.loads(run(args.cllm, "eval", source, "--data", shard, "--seq-len", T, "--logits-out", logits_file, "--json"))
    ours = load_file(logits_file)
    with torch.no_grad():
        theirs = model(ours["tokens"].long().unsqueeze(0)).logits[0]
    difference = (ours["logits"].double() - theirs.double()).abs().max().item()
    loss = torch.nn.functional.cross_entropy(theirs, torch.tensor(tokens[1:])).item()
    check(abs(evaluated["loss"] - loss) <= 1e-5, f"{name}: loss {evaluated['loss']:.6f}, transformers {loss:.6f}")
    check(difference <= 1e-4 and ours["logits"].shape == theirs.shape,
          f"{name}: logits [{T},{vocab_size}] differ by {difference:.2g} at most (they reach {theirs.abs().max():.3g})")

    generated = json.loads(run(args.cllm, "generate", source, "--prompt", PROMPT, "--temperature", 0, "--max-tokens", NEW, "--json"))
    check(generated["prompt_tokens"] == prompt and generated["tokens"] == chosen,
          f"{name}: {NEW} tokens as transformers chooses them (nearest choice {margin:.2g})")

    back, gguf, again = (os.path.join(here, n) for n in ("back", "model.gguf", "again"))
    run(args.cllm, "convert", source, back)
    count = same_tensors(source, back)
    loaded, info = transformers.AutoModelForCausalLM.from_pretrained(back, output_loading_info=True)
    check(count and not any(info.values()), f"{name}: to a directory and back, {count} tensors the same bits; transformers misses nothing")
    if name not in NO_GGUF:
        run(args.cllm, "convert", source, gguf)
        run(args.cllm, "convert", gguf, again)
        count = same_tensors(source, again)
        check(count, f"{name}: by GGUF, {count} tensors the same bits")
        from gguf import GGUFReader
        reader = GGUFReader(gguf)
        architecture = bytes(reader.fields["general.architecture"].parts[-1]).decode()
        table = next(t for t in reader.tensors if t.name == "token_embd.weight")
        mine = load_file(os.path.join(back, "model.safetensors"))
        mine = next(v for k, v in mine.items() if k.endswith(("wte.weight", "embed_tokens.weight"))).numpy()
        check(numpy.array_equal(numpy.asarray(table.data).view("i4").reshape(-1), mine.view("i4").reshape(-1)),
              f"{name}: the package gguf reads {len(reader.tensors)} tensors of '{architecture}', the embedding to the bit")
        if args.llama:
            llama(name, here, tokenizer, texts, prompt, gguf, save)

    out = os.path.join(here, "run")
    run(args.cllm, "train", "--init", source, "--data", shard, "--out", out, "--steps", STEPS, "--batch-size", 1, "--seq-len", T,
        "--val-fraction", 0, "--lr", 1e-3, "--schedule", "constant", "--warmup-steps", 0, "--weight-decay", 0.1, "--beta1", 0.9,
        "--beta2", 0.95, "--grad-clip", 0, "--dropout", 0, "--dtype", "f32", "--sample-tokens", 0, "--eval-every", 0, "--quiet")
    with open(os.path.join(out, "metrics.jsonl")) as f:
        ours = [line["loss"] for line in map(json.loads, f) if "loss" in line]
    theirs = ten_steps(model, tokens)
    difference = max(abs(a - b) for a, b in zip(ours, theirs)) if len(ours) == STEPS else float("nan")
    check(difference <= 1e-4, f"{name}: losses of {len(ours)} steps differ from PyTorch's by {difference:.2g} at most "
                              f"({theirs[0]:.3f} to {theirs[-1]:.3f})")


def llama(name, here, tokenizer, texts, prompt, gguf, save):
    """llama.cpp does not slide a Mistral's window; editions of early 2025 know neither Qwen3 nor SmolLM3."""
    if MODELS[name][1].get("sliding_window"):
        model, chosen, margin = draw_clear(name, tokenizer.get_vocab_size(), prompt, window=False)
        source = os.path.join(here, "whole")
        os.makedirs(source)
        save(model, source)
        gguf = os.path.join(here, "whole.gguf")
        run(args.cllm, "convert", source, gguf)
    else:
        source = os.path.join(here, "hf")
    tokens = json.loads(run(args.cllm, "generate", source, "--prompt", PROMPT, "--temperature", 0, "--max-tokens", NEW, "--json"))["tokens"]
    done = subprocess.run([args.llama, "-m", gguf, "-n", str(NEW), "-ngl", "0", PROMPT], capture_output=True)
    if b"unknown model architecture" in done.stderr:
        print(f"--    {name}: this llama.cpp does not know the architecture")
        return
    mine = b"".join(texts[i].split(b"\0")[0] for i in prompt + tokens)  # it prints each with %s
    check(done.returncode == 0 and done.stdout == mine + b"\n",
          f"{name}: llama.cpp goes on with the same {len(tokens)} tokens, {len(mine) - len(PROMPT.encode())} bytes of text")
    if done.stdout != mine + b"\n":
        print(f"      ours {mine!r}\n      llama.cpp {done.stdout!r} {done.stderr.decode(errors='replace')[-300:]}")


with tempfile.TemporaryDirectory() as scratch:
    work = args.work or scratch
    os.makedirs(work, exist_ok=True)
    path = make_tokenizer(work)
    tokenizer, texts = byte_texts(path)
    for family in args.names:
        one(family, work, path, tokenizer, texts)
print(f"{len(failures)} failed")
sys.exit(bool(failures))
