#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make tests/fixtures/muon/expected.safetensors: what PyTorch makes of Muon's formula, in float64.

usage: make_muon_fixture.py [--out FILE]

The formula is written as Jordan's page has it (kellerjordan.github.io/posts/muon): a tall matrix is turned to be wide,
A = X X^T, X = a X + (b A + c A A) X, and the update U = G + momentum M goes in.  Scale and decay are those of arXiv
2502.16982.  F32 tensors:

    NAME.weight [rows,cols]        at the start
    NAME.grads [STEPS*rows,cols]   the gradients, one below the other
    NAME.final [rows,cols]         after STEPS steps with lr 0.02, momentum 0.95, decay 0.1

Needed only to make the fixture anew, never to run the tests.
"""
import argparse, os

import torch
from safetensors.torch import save_file

STEPS, LR, MOMENTUM, DECAY = 4, 0.02, 0.95, 0.1


def orthogonal(G):
    X = G.T if G.size(0) > G.size(1) else G
    X = X / (X.norm() + 1e-7)
    for _ in range(5):
        A = X @ X.T
        X = 3.4445 * X + (-4.7750 * A + 2.0315 * A @ A) @ X
    return X.T if G.size(0) > G.size(1) else X


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "fixtures",
                                                    "muon", "expected.safetensors"))
    args = args.parse_args()
    torch.manual_seed(3)
    tensors = {}
    for name, shape in {"wide": (13, 31), "tall": (31, 13), "square": (17, 17)}.items():
        W = (0.1 * torch.randn(shape)).double()
        grads = [(0.01 * torch.randn(shape)).double() for _ in range(STEPS)]
        M = torch.zeros_like(W)
        tensors[name + ".weight"] = W.clone()
        tensors[name + ".grads"] = torch.cat(grads)
        for G in grads:
            M = MOMENTUM * M + G
            O = orthogonal(G + MOMENTUM * M)
            W = W - LR * (0.2 * max(shape) ** 0.5 * O + DECAY * W)
        tensors[name + ".final"] = W
    os.makedirs(os.path.dirname(args.out), exist_ok=True)
    save_file({n: t.to(torch.float32).contiguous() for n, t in tensors.items()}, args.out)


main()
