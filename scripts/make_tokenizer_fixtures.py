#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/fixtures/tokenizers: small tokenizers of the kinds that are read, and what Hugging Face's `tokenizers` makes of
hostile texts with them.

    NAME.json        a tokenizer.json, trained here on text that is written here
    cases.json       the texts
    NAME.ids.json    for each text: ids as the reference encodes it; ids with special tokens taken as text and none put
                     around (null: the same); the decoded text (null: the text).  Ids are written as a string, id i as
                     the character U+00A0 + i, since there are a hundred thousand.
    train.txt        a text, and train-FAMILY.json what the reference's trainer makes of it

Needs the package `tokenizers`; neither building nor testing needs this.  Same output for the same version of the package.
"""
import argparse
import json
import os
import random

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = QWEN2.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]+", r"[^\s\p{L}\p{M}\p{N}]+")

WORDS = """the of and to in a is that it was for on are as with his they at be this from have or by one had not but what all
were when we there can an your which their said if do will each about how up out them then she many some so these would other
into has more her two like him see time could no make than first been its who now people my made over did down only way find
use may water long little very after words called just where most know get through back much before go good new write our used
me man too any day same right look think also around another came come work three word must because does part even place well
such here take why things help put years different away again off went old number great tell men say small every found still
between name should home big give air line set own under read last never us left end along while might next sound below saw
something thought both few those always looked show large often together asked house world going want school important until
form food keep children feet land side without boy once animals life enough took sometimes four head above kind began almost
live page got earth need far hand high year mother light parts country father let night following picture being study second
eyes soon times story boys since white days ever paper hard near sentence better best across during today others however sure""".split()
OTHER = ["naïve café", "Straße über größer", "été déjà où", "año señor", "привет мир как дела", "Ελληνικά γλώσσα", "日本語の文章です",
         "中文文本處理", "한국어 문장", "שלום עולם", "مرحبا بالعالم", "हिन्दी भाषा", "ไทย ภาษา", "😀👍🏽🎉", "Tiếng Việt"]


def corpus(seed=7, lines=6000):
    rng = random.Random(seed)
    for _ in range(lines):
        n = rng.randint(3, 14)
        words = [rng.choice(WORDS[: rng.choice((20, 60, len(WORDS)))]) for _ in range(n)]
        if rng.random() < 0.2:
            words.insert(rng.randrange(n), rng.choice(OTHER))
        if rng.random() < 0.2:
            words.insert(rng.randrange(n), str(rng.randint(0, 10 ** rng.randint(1, 6))))
        if rng.random() < 0.15:
            words.insert(rng.randrange(n), rng.choice(["don't", "I'm", "we'll", "they've", "it's", "you're", "she'd"]))
        text = " ".join(words)
        yield text[0].upper() + text[1:] + rng.choice([".", ".", "!", "?", ",", ":\n", "\n\n", "  ", "..."])


def cases():
    out = [
        "", " ", "  ", "   ", "\n", "\r\n", "\r\r\n\n", "\t", " \n ", "a", " a", "a ", "  a  ", "a  b", "a   b", "a \n b", "a\n\n\nb", "a \t\n  b",
        "\u00a0", "a\u00a0b", "a\u00a0\u00a0b", "\u2003a\u2003 b", "\u3000全角\u3000", "\u200b", "a\u200bb", "\u2028\u2029", "\x85x", "x\x85\x85 y",
        "\x0b\x0c", "\x00", "a\x00b", "\x01\x02\x7f", "\ufeffbom", "\ufffd", "\ufffe",
        "I'm you're he's we've they'll she'd don't", "I'M YOU'RE HE'S WE'VE THEY'LL SHE'D DON'T", "I'lL i'Ll x'rE x'Re x'vE x'Ve",
        "'s 't 're 've 'm 'll 'd", "'S'T'RE'VE'M'LL'D", "x'ſ X'ſy 'ſ", "''s '''ll", "it's's", "'", "''", "'r 'v 'l", "'r", "'l", "'ve'", "’s don’t",
        "0 1 12 123 1234 12345 123456 1234567", "3.14159", "1,000,000", "٣٤٥ ४५६ ๑๒๓", "Ⅷ ½ ² ①", "x1y22z333", "2024-01-02T03:04:05Z", "0x1F", "１２３４",
        "Hello, world!", "Hello,world!!!\n", "!!!\n\n\nwow", "a.b.c", "...", "... \n", " ...", "  ...", "(a)[b]{c}", "foo_bar __init__", "a/b\\c", "#$%&*+-<=>@^`|~",
        "https://example.org/a?b=c&d=e#f", "x@y.org", "C++ & C#", "\"quoted\"", "“quoted” – dash — em…",
        "é e\u0301 E\u0301\u0323 \u0301", "A\u030a Å \u212b", "\u1e9b\u0323 ﬁ ﬀ ſt", "\uac00 \u1100\u1161 \u1100\u1161\u11a8", "n\u0303o\u0308", "q\u0307\u0323", "a\u0315\u0300\u05ae\u0300\u0062",
        "\u0344\u0958 \u2126 \u212a", "क्षि त्र ज्ञ", "ก็ที่นี่", "เด็กผู้หญิง", "ǅ ʰ ˈ", "x\u20dd", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘",
        "日本語のテキストを分割します。", "中文，标点。「引号」", "한국어 띄어쓰기 테스트", "日本 語\n文", "ﾊﾝｶｸ", "שלום עולם", "مرحبا بالعالم ١٢٣", "\u202eabc\u202c", "العَرَبِيَّة",
        "😀", "👍🏽", "👨‍👩‍👧‍👦 family", "🇩🇪🇫🇷", "❤️ ❤", "1️⃣", "a😀b", "🏳️‍🌈", "😀 😀  😀", "\U0001d400\U0001d7d8", "\U00020000\U0002a6d6", "\U0010ffff", "\ue000",
        "<s>", "</s>", "<unk>", "<|endoftext|>", "a<|endoftext|>b", "a <|endoftext|> b", "<|endoftext|><|endoftext|>", "<|endoftext|> \n<|endoftext|>", "<|endoftext|", "<<|endoftext|>>",
        "<s> a", "a<s>b </s> c", "<s></s>", "<tool>", "x<tool>y", " <tool> ", "a <tool>  b", "<tool><tool>", "[MASK]", "a [MASK] b", "a  [MASK]\n b", "x[MASK]y", "[MASK][MASK]",
        "lone", "alone", "lone wolf", "a lone.", "lonely", "lone lone", "_lone", "lone1", "élone", "lone\u0301", "-lone-", "naŝtok", "nas\u0302tok", "a naŝtok b", "▁", "▁a", "a▁b", "▁▁ a", " ▁ ", "a ▁b", "▁ ▁", "<0x0A>", "<0x41>b",
        "The quick brown fox jumps over the lazy dog.", "If the water is very\tlong,\n\n    write it down.\n", "def f(x):\n    return x + 1\n\n\n\nprint(f(2))\n", "a" * 60, "ab" * 40, " " * 35 + "x", "\n" * 20, "x" + " " * 33, "\u3042" * 20, "🎉" * 8,
        "{\"a\": [1, 2, {\"b\": null}]}", "| a | b |\n|---|---|\n", "Ünïcödé ŚŤŘÏŃĢ", "MiXeD CaSe wOrDs", "supercalifragilisticexpialidocious", "aaaaaaaaaaaaaaab", "thethethethethe", "the the  the   the", "wateringwords",
    ]
    rng = random.Random(11)
    out += [t for t in corpus(seed=99, lines=8)]
    parts = [c for c in out if 0 < len(c) < 12]
    for _ in range(24):
        out.append("".join(rng.choice(parts) for _ in range(rng.randint(2, 9))))
    out.append("".join(rng.choice(parts) for _ in range(40)))
    return out


ADDED = [
    AddedToken("<tool>", special=False, normalized=False),
    AddedToken("[MASK]", special=True, lstrip=True, rstrip=True, normalized=False),
    AddedToken("lone", special=False, single_word=True, normalized=True),
    AddedToken("naŝtok", special=False, normalized=True),
]


def train(tok, vocab_size, special, alphabet=(), text=None):
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special, initial_alphabet=list(alphabet), show_progress=False)
    tok.train_from_iterator(text or corpus(), trainer)
    return tok


def byte_level(pre, vocab_size=500, normalizer=None, special=("<|endoftext|>",), ignore_merges=False, post=None):
    tok = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tok.pre_tokenizer, tok.decoder = pre, decoders.ByteLevel()
    if normalizer:
        tok.normalizer = normalizer
    train(tok, vocab_size, list(special), sorted(pre_tokenizers.ByteLevel.alphabet()))
    tok.add_tokens(ADDED)
    if post:
        tok.post_processor = post
    return tok


def split(regex):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def sentencepiece(pre=None, normalizer=None, decoder=None, fallback=True, fuse=True):
    """A vocabulary as SentencePiece's trainer lays it out: <unk> <s> </s>, bytes, merges of whole words with their mark, characters."""
    base = Tokenizer(models.BPE(unk_token="<unk>"))
    base.pre_tokenizer = pre_tokenizers.Metaspace()
    train(base, 420, ["<unk>", "<s>", "</s>"])
    j = json.loads(base.to_str())
    old = sorted(j["model"]["vocab"], key=j["model"]["vocab"].get)
    tokens = old[:3] + ([f"<0x{b:02X}>" for b in range(256)] if fallback else []) + [t for t in old[3:]]
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in j["model"]["merges"]]
    for n in (2, 4, 8):  # runs of spaces, as such vocabularies have them
        run = "▁" * n
        if run not in tokens:
            tokens.append(run)
        merges.append(("▁" * (n // 2), "▁" * (n // 2)))
    tok = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges, unk_token="<unk>", fuse_unk=fuse, byte_fallback=fallback))
    if pre:
        tok.pre_tokenizer = pre
    if normalizer:
        tok.normalizer = normalizer
    tok.decoder = decoder
    tok.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in ("<unk>", "<s>", "</s>")])
    tok.add_tokens(ADDED)
    tok.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tok


def tokenizers_made():
    yield "gpt2", byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), post=processors.ByteLevel(trim_offsets=False))
    yield "gpt2-prefix", byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), 400)
    yield "llama3", byte_level(split(LLAMA3), 400, special=("<|begin_of_text|>", "<|endoftext|>"), ignore_merges=True, post=processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="<|begin_of_text|> $A <|endoftext|>", special_tokens=[("<|begin_of_text|>", 0), ("<|endoftext|>", 1)])]))
    yield "qwen2", byte_level(split(QWEN2), 350, normalizer=normalizers.NFC())
    yield "qwen35", byte_level(split(QWEN35), 400, normalizer=normalizers.NFC())
    yield "smollm", byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), 350)
    yield "llama2", sentencepiece(normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), decoder=decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]))
    yield "mistral3", sentencepiece(pre=pre_tokenizers.Metaspace("▁", "first", False), decoder=decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]))
    yield "metaspace", sentencepiece(pre=pre_tokenizers.Metaspace("▁", "always", True), decoder=decoders.Metaspace("▁", "always", True), fallback=False)
    yield "unfused", sentencepiece(pre=pre_tokenizers.Metaspace("▁", "never", True), decoder=decoders.Metaspace("▁", "never", True), fallback=False, fuse=False)


def packed(ids):
    return "".join(chr(0xA0 + i) for i in ids)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=os.path.join(os.path.dirname(__file__), "..", "tests", "fixtures", "tokenizers"))
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    texts = cases()

    def write(name, value):
        with open(os.path.join(args.out, name), "w", encoding="utf-8") as f:
            json.dump(value, f, ensure_ascii=False, separators=(",", ":"))
            f.write("\n")

    write("cases.json", [{"text": t} for t in texts])
    for name, tok in tokenizers_made():
        text = tok.to_str(pretty=False)
        with open(os.path.join(args.out, name + ".json"), "w", encoding="utf-8") as f:
            f.write(text + "\n")
        made = []
        for t in texts:
            tok.encode_special_tokens = False
            ids = tok.encode(t).ids
            decoded = tok.decode(ids, skip_special_tokens=True)
            tok.encode_special_tokens = True
            plain = tok.encode(t, add_special_tokens=False).ids
            made.append([packed(ids), None if plain == ids else packed(plain), None if decoded == t else decoded])
        write(name + ".ids.json", made)
    text = "".join(t + (" " if t[-1] != "\n" else "") for t in corpus(seed=5, lines=420))
    with open(os.path.join(args.out, "train.txt"), "w", encoding="utf-8") as f:
        f.write(text)
    for family, pre, normalizer in (("gpt2", pre_tokenizers.ByteLevel(add_prefix_space=False), None), ("qwen2", split(QWEN2), normalizers.NFC())):
        tok = Tokenizer(models.BPE())
        tok.pre_tokenizer = pre
        if normalizer:
            tok.normalizer = normalizer
        train(tok, 700, ["<|endoftext|>"], sorted(pre_tokenizers.ByteLevel.alphabet()), [text])
        made = json.loads(tok.to_str())["model"]
        write(f"train-{family}.json", {"vocab": made["vocab"], "merges": [m if isinstance(m, str) else " ".join(m) for m in made["merges"]]})
    print("tokenizers", tokenizers.__version__, "->", args.out)


if __name__ == "__main__":
    main()
