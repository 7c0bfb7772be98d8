#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hold include/, src/ and app/ to scripts/layers.txt.

usage: check_layers.py [ROOT]

An include of ours names its module ("ops/matmul.h") or a file of the same folder, so who depends on whom can be read
in the text, without a compiler.  Also checked: NAME_internal.h stays within its module and out of public headers, the
first line carries the licence, and what has a home stands there.  Prints one line for each fault; exits 1 when there
is one, 2 when the rules themselves are wrong.
"""

import pathlib
import re
import sys

LICENCE = "SPDX-License-Identifier: MIT"
SOURCES = {".c", ".h", ".def"}

# A comment, a string or a character constant, whichever begins first.
LITERALS = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.M)


def read_rules(path):
    """The modules, each with the set it may include, and the homes as (expression, paths)."""
    modules, homes = {}, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = re.fullmatch(r"(module|home)\s+([^:]+):\s*(.*)", line)
        if words and words[1] == "module":
            unknown = [m for m in words[3].split() if m not in modules]
            if unknown:
                raise ValueError(f"{path}:{number}: {words[2]} names {' '.join(unknown)}, not above it")
            modules[words[2]] = {words[2], *words[3].split()}
        elif words:
            homes.append((re.compile(words[3]), words[2].split()))
        elif line.strip() and not line.startswith("#"):
            raise ValueError(f"{path}:{number}: neither a module nor a home nor a comment")
    return modules, homes


def blank(match):
    """As many lines as the match had, and nothing on them."""
    return " " + "\n" * match[0].count("\n")


def without_comments(text):
    return LITERALS.sub(lambda m: blank(m) if m[0].startswith("/") else m[0], text)


def faults_of_file(name, path, module, modules, homes):
    """Yields (line number, fault)."""
    text = path.read_text(errors="replace")
    if LICENCE not in text.split("\n", 1)[0]:
        yield 1, f'the first line should say "{LICENCE}"'
    code = without_comments(text)

    def line_of(match):
        return code.count("\n", 0, match.start()) + 1

    for include in INCLUDE.finditer(code):
        target = include[1]
        owner, slash, _ = target.partition("/")
        if not slash:
            if not (path.parent / target).is_file():
                yield line_of(include), f'"{target}" is not beside this file; name its module'
        elif owner not in modules:
            yield line_of(include), f'"{target}": there is no module {owner}'
        elif owner not in modules[module]:
            yield line_of(include), f'{module} may not depend on {owner} ("{target}")'
        elif target.endswith("_internal.h") and owner != module:
            yield line_of(include), f'"{target}" is private to {owner}'
        if target.endswith("_internal.h") and name.startswith("include/"):
            yield line_of(include), f'a public header may not include "{target}"'

    bare = LITERALS.sub(lambda m: blank(m) if m[0].startswith("/") else '""', text)
    for expression, paths in homes:
        if not any(name.startswith(path + "/") for path in paths):
            for found in expression.finditer(bare):
                line = bare.count("\n", 0, found.start()) + 1
                yield line, f"'{found[0].strip()}' belongs in {' or '.join(paths)}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    try:
        modules, homes = read_rules(root / "scripts/layers.txt")
    except (OSError, ValueError, re.error) as why:
        print(f"check_layers.py: {why}", file=sys.stderr)
        return 2

    files = faults = 0
    for path in sorted(p for top in ("include", "src", "app") for p in (root / top).rglob("*")):
        if path.suffix not in SOURCES or not path.is_file():
            continue
        files += 1
        parts = path.relative_to(root).parts
        module = parts[0] if parts[0] == "app" else parts[1]
        name = "/".join(parts)
        if module not in modules:
            found = [(1, f"{module} is not a module of scripts/layers.txt")]
        else:
            found = faults_of_file(name, path, module, modules, homes)
        for line, fault in sorted(found):
            faults += 1
            print(f"{name}:{line}: {fault}")
    if faults == 0:
        print(f"layers: {files} files, {len(modules)} modules, no fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
