#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/fixtures/chat: conversations as Jinja renders them and `tokenizers` encodes them (cases.json), with two small
tokenizers made here (level.json of bytes, space.json in SentencePiece's manner).

Templates of each form that src/tokenizer/chat_forms.c knows, written here in the manner in which models write them.  Jinja
is set up as in transformers' apply_chat_template (trim_blocks, lstrip_blocks, no strftime_now).  With --templates FILE…
other templates are rendered instead and the cases go to standard output: a check with templates of published models.

Needs jinja2 and tokenizers; neither building nor testing needs this.
"""
import argparse
import json
import os

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, decoders, trainers

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "fixtures")
TURN = "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
ANSWER = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
HEADER = "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>'"
SPLIT = ("{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] %}"
         "{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}{{ bos_token }}")


def mistral(before, after, space, when, tail="", trim=""):
    user = "{{ '%s' + message['content'] + '%s' }}" % (before, after)
    if when:
        user = ("{%% if %s and system_message is defined %%}{{ '%s' + system_message + '\\n\\n' + message['content'] + '%s' }}"
                "{%% else %%}%s{%% endif %%}") % (when, before, after, user)
    return ((SPLIT if when else "{% set rest = messages %}{{ bos_token }}")
            + "{% for message in rest %}{% if message['role'] == 'user' %}" + user
            + "{% else %}{{ " + space + "message['content']" + trim + " + eos_token" + tail + " }}{% endif %}{% endfor %}")


TEMPLATES = {  # name: template, begin, end, tokenizer of the fixtures
    "chatml": ("{% for message in messages %}" + TURN + "{% endfor %}" + ANSWER, "", "<|im_end|>", "level"),
    "chatml-bos": ("{{ bos_token }}{% for message in messages %}" + TURN + "{% endfor %}" + ANSWER, "<|im_start|>", "<|im_end|>", "level"),
    "chatml-system": ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
                      "{{ '<|im_start|>system\\nBe kind.\\nAnd brief.<|im_end|>\\n' }}{% endif %}" + TURN + "{% endfor %}" + ANSWER,
                      "", "<|im_end|>", "level"),
    "chatml-thoughts": ("{% for message in messages %}{% set content = message.content %}{% if message.role == 'assistant' and "
                        "'</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
                        "{{ '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}{% endfor %}" + ANSWER,
                        "", "<|im_end|>", "level"),
    "llama3": ("{% for message in messages %}{% set content = " + HEADER + " %}{% if loop.index0 == 0 %}"
               "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
               "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}", "<|begin_of_text|>", "<|eot_id|>", "level"),
    "llama3-dated": ("{{ bos_token }}{% if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}{% else %}"
                     "{% set day = \"26 Jul 2024\" %}{% endif %}{% if messages[0]['role'] == 'system' %}"
                     "{% set system = messages[0]['content']|trim %}{% set messages = messages[1:] %}{% else %}{% set system = '' %}"
                     "{% endif %}{{ '<|start_header_id|>system<|end_header_id|>\\n\\n' }}"
                     "{{ \"Cutting Knowledge Date: December 2023\\n\" }}{{ \"Today Date: \" + day + \"\\n\\n\" }}{{ system }}"
                     "{{ '<|eot_id|>' }}{% for message in messages %}{{ " + HEADER + " }}{% endfor %}{% if add_generation_prompt %}"
                     "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}", "<|begin_of_text|>", "<|eot_id|>", "level"),
    "mistral": (mistral("[INST] ", " [/INST]", "", "", " + ' '"), "<s>", "</s>", "space"),
    "mistral-first": (mistral(" [INST] ", " [/INST]", "' ' + ", "loop.first"), "<s>", "</s>", "space"),
    "mistral-last": (mistral("[INST] ", "[/INST]", "' ' + ", "loop.last", "", "|trim"), "<s>", "</s>", "space"),
    "mistral-tight": (mistral("[INST]", "[/INST]", "", "loop.last"), "<s>", "</s>", "space"),
    "zephyr": ("{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\\n' + message['content'] + eos_token }}\n"
               "{% elif message['role'] == 'system' %}\n{{ '<|system|>\\n' + message['content'] + eos_token }}\n"
               "{% else %}\n{{ '<|assistant|>\\n' + message['content'] + eos_token }}\n{% endif %}\n"
               "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}", "<s>", "</s>", "space"),
}
SYSTEM = ("system", "  Answer in verse.\n")
CONVERSATIONS = [
    [("user", "Hello")],
    [SYSTEM, ("user", "Hello")],
    [("user", "\n hi  there\u00a0\u3000"), ("assistant", " It's 1234.\n"), ("user", "")],
    [SYSTEM, ("user", "naïve 😀"), ("assistant", "a thought</think>\n\nThe answer </think>\n is so."), ("user", "And\tthen? "),
     ("assistant", "   Done   "), ("user", "\u00e9t\u00e9")],
]


def render(template, messages, bos, eos):
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    env.globals["raise_exception"] = lambda text: (_ for _ in ()).throw(ValueError(text))
    return env.from_string(template).render(messages=[{"role": r, "content": c} for r, c in messages], bos_token=bos,
                                            eos_token=eos, add_generation_prompt=True)


MARKS = ["<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
TEXT = ["user assistant system Hello, the answer is so. It's done And then? Answer in verse. Be kind. And brief. Today Date: "
        "Cutting Knowledge December\n\nhi there\n\n"] * 3


def make_tokenizers():
    level = Tokenizer(models.BPE())
    level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    level.decoder = decoders.ByteLevel()
    level.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=360, show_progress=False, special_tokens=MARKS,
                                                        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    level.add_tokens([AddedToken("<tool>", normalized=False)])
    level.save(os.path.join(ROOT, "chat", "level.json"))
    space = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    space.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    space.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                       decoders.Strip(" ", 1, 0)])
    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"] + ["<0x%02X>" % i for i in range(256)]
    space.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=400, show_progress=False, special_tokens=special))
    file = json.loads(space.to_str())
    file["added_tokens"] = file["added_tokens"][:5]
    with open(os.path.join(ROOT, "chat", "space.json"), "w", encoding="utf-8") as f:
        json.dump(file, f, ensure_ascii=False, indent=2)


def cases(templates):
    for name, (template, bos, eos, tokenizer) in templates.items():
        encoder = Tokenizer.from_file(os.path.join(ROOT, "chat", tokenizer + ".json")) if tokenizer else None
        texts, ids = [], []
        for messages in CONVERSATIONS:
            refused = name in ("mistral",) and messages[0][0] == "system"
            try:
                text = None if refused else render(template, messages, bos, eos)
            except ValueError:
                text = None
            texts.append(text)
            ids.append(encoder.encode(text, add_special_tokens=False).ids if encoder and text is not None else None)
        yield {"name": name, "template": template, "bos": bos, "eos": eos, "tokenizer": tokenizer, "texts": texts, "ids": ids}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--templates", nargs="*", metavar="FILE", help="NAME,BOS,EOS,FILE: render these instead")
    args = parser.parse_args()
    templates = TEMPLATES
    if not args.templates:
        make_tokenizers()
    if args.templates:
        templates = {}
        for word in args.templates:
            name, bos, eos, path = word.split(",", 3)
            with open(path, encoding="utf-8") as f:
                templates[name] = (f.read(), bos, eos, None)
    text = json.dumps({"conversations": CONVERSATIONS, "templates": list(cases(templates))}, indent=0, ensure_ascii=False) + "\n"
    if args.templates:
        print(text, end="")
        return
    with open(os.path.join(ROOT, "chat", "cases.json"), "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main()
