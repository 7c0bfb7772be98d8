#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make tests/fixtures/gpt2-tiny: a small GPT-2 and what PyTorch says about it.   usage: make_gpt2_fixture.py [OUT]

The model is transformers' GPT2LMHeadModel without dropout, its weights drawn wide enough that attention is not uniform
and no bias is 0, no norm 1.  Its f32 weights are the starting point; everything expected is computed in float64 and
rounded to f32 once, so the reference's own error is far below any tolerance a test needs.

    config.json, model.safetensors    as save_pretrained writes them (names carry "transformer.")
    expected.safetensors              F32 unless said otherwise; parameter names without "transformer."
        inputs, targets  I32 [B,T]    targets are the inputs moved on by one
        logits [B,T,V]   loss [1]     mean over all B*T targets
        grad.NAME        grad_norm [1]  of that loss
        step_losses [10]              loss before each of ten AdamW steps on this batch (lr 1e-3, betas .9 .95, eps 1e-8,
                                      decay 0.1 on tensors of rank >= 2 only)
        final.NAME                    parameters after these ten steps
        step_losses_clipped [10]      the same with gradients clipped to norm 1

Made with torch 1.13, transformers 4.44, safetensors 0.8; needed only to make the fixture anew, never to run the tests.
"""
import json, os, sys

import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

B, T, STEPS, CLIP = 2, 13, 10, 1.0
CONFIG = dict(vocab_size=67, n_positions=20, n_embd=24, n_head=3, n_layer=2, resid_pdrop=0.0, embd_pdrop=0.0,
              attn_pdrop=0.0, bos_token_id=66, eos_token_id=66, attn_implementation="eager")

out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                                         "..", "tests", "fixtures", "gpt2-tiny")
os.makedirs(out, exist_ok=True)
torch.set_num_threads(1)
random = torch.Generator().manual_seed(20240607)


def normal(shape, mean, std):
    return (torch.randn(shape, generator=random, dtype=torch.float64) * std + mean).to(torch.float32)


model = GPT2LMHeadModel(GPT2Config(**CONFIG))
model.eval()
with torch.no_grad():
    for name, p in model.named_parameters():
        norm = ".ln_" in name
        mean, std = (1.0, 0.2) if norm and name.endswith("weight") else (0.0, 0.1) if p.dim() == 1 else (0.0, 0.25)
        p.copy_(normal(p.shape, mean, std))
model.save_pretrained(out, safe_serialization=True)
os.remove(os.path.join(out, "generation_config.json"))

tokens = torch.randint(0, CONFIG["vocab_size"], (B, T + 1), generator=random)
inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


def fresh():
    m = GPT2LMHeadModel.from_pretrained(out, attn_implementation="eager").double()
    m.eval()
    return m, {n.removeprefix("transformer."): p for n, p in m.named_parameters()}


def forward(m):
    logits = m(inputs).logits
    return logits, torch.nn.functional.cross_entropy(logits.view(B * T, -1), targets.view(-1))


def grad_norm(params):
    return torch.sqrt(sum((p.grad ** 2).sum() for p in params.values()))


def train(clip):
    m, params = fresh()
    groups = [{"params": [p for p in params.values() if p.dim() >= 2], "weight_decay": 0.1},
              {"params": [p for p in params.values() if p.dim() < 2], "weight_decay": 0.0}]
    adamw, losses, clipped = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8), [], 0
    for _ in range(STEPS):
        adamw.zero_grad()
        loss = forward(m)[1]
        loss.backward()
        losses.append(loss.item())
        if clip:
            clipped += grad_norm(params) > clip
            torch.nn.utils.clip_grad_norm_(params.values(), clip)
        adamw.step()
    assert not clip or clipped == STEPS, "clipping should act in every step"
    return torch.tensor(losses, dtype=torch.float64), params


model, params = fresh()
logits, loss = forward(model)
loss.backward()
expected = {"inputs": inputs.to(torch.int32), "targets": targets.to(torch.int32), "logits": logits,
            "loss": loss.reshape(1), "grad_norm": grad_norm(params).reshape(1)}
expected |= {"grad." + n: p.grad for n, p in params.items()}
expected["step_losses"], final = train(None)
expected |= {"final." + n: p for n, p in final.items()}
expected["step_losses_clipped"], _ = train(CLIP)

for name, t in expected.items():
    assert torch.isfinite(t).all() and (t != 0).any(), name
save_file({n: (t.detach() if t.dtype == torch.int32 else t.detach().to(torch.float32)).contiguous()
           for n, t in expected.items()}, os.path.join(out, "expected.safetensors"), metadata={"format": "pt"})
print(json.dumps({"loss": loss.item(), "grad_norm": expected["grad_norm"].item(), "parameters": len(params),
                  "step_losses": expected["step_losses"].tolist(),
                  "step_losses_clipped": expected["step_losses_clipped"].tolist()}, indent=1))
