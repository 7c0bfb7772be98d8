#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes src/tokenizer/unicode_ranges.h: which code points are \\p{L}, \\p{N}, \\p{M}, \\s and \\w to Hugging Face's `tokenizers`.

Asks the package itself, a character at a time, so the table is what it does and not what some edition of Unicode says;
`--unicode` names the edition for the comment.  Needs the package `tokenizers`; neither building nor testing needs this.
"""
import argparse
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

PROPERTIES = ((r"\p{L}", 1), (r"\p{N}", 2), (r"\p{M}", 4), (r"\s", 8))
WORD = 16


def flags():
    out = [0] * 0x110000
    for pattern, flag in PROPERTIES:
        remove = normalizers.Replace(Regex(pattern), "")
        for c in range(0x110000):
            if not 0xD800 <= c < 0xE000 and remove.normalize_str(chr(c)) == "":
                out[c] |= flag
    words = pre_tokenizers.Whitespace()  # \w+|[^\w\s]+ in the regular expressions that single_word is decided with
    for c in range(0x110000):
        if not 0xD800 <= c < 0xE000 and not out[c] & 8 and len(words.pre_tokenize_str("a" + chr(c))) == 1:
            out[c] |= WORD
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unicode", default=unicodedata.unidata_version)
    parser.add_argument("--out", default="src/tokenizer/unicode_ranges.h")
    args = parser.parse_args()
    table = flags()
    starts = [c for c in range(0x110000) if c == 0 or table[c] != table[c - 1]]
    with open(args.out, "w") as f:
        f.write(f"""/* SPDX-License-Identifier: MIT
 * Written by scripts/make_unicode_table.py from tokenizers {tokenizers.__version__} (Unicode {args.unicode}): each entry is a code point * 32
 * + what it and those up to the next entry are (enum unicode_flag).
 */
static const uint32_t UNICODE_RANGES[] = {{
    /* clang-format off */
""")
        for i in range(0, len(starts), 12):
            f.write("    " + " ".join(f"0x{c * 32 + table[c]:x}," for c in starts[i : i + 12]) + "\n")
        f.write("    /* clang-format on */\n};\n")


if __name__ == "__main__":
    main()
