#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make tests/fixtures/*-tiny: small models of every family and what PyTorch says about them.

usage: make_fixtures.py [--out DIR] [--packed | --rounded] [NAME ...]          (default: tests/fixtures, all but gpt2-tiny)

The models are transformers' own classes without dropout, with sizes that go into nothing evenly and weights drawn wide
enough that attention is not uniform and no bias is 0, no norm 1.  Their f32 weights are the starting point; everything
expected is computed in float64 (transformers' norms, softmax and rotation, which insist on f32, are held to it too) and
rounded to f32 once, so the reference's own error is far below any tolerance a test needs.

    config.json, model.safetensors    as save_pretrained writes them
    expected.safetensors              F32 unless said otherwise; GPT-2's parameter names without "transformer."
        inputs, targets  I32 [B,T]    targets are the inputs moved on by one
        logits [B,T,V]   loss [1]     mean over all B*T targets
        grad.NAME        grad_norm [1]  of that loss
        step_losses [10]              loss before each of ten AdamW steps on this batch (lr 1e-3, betas .9 .95, eps 1e-8,
                                      decay 0.1 on tensors of rank >= 2 only)
        final.NAME                    parameters after these ten steps
        step_losses_clipped [10]      the same with gradients clipped to norm 1

With --packed only packed.safetensors is made, of the models that lie there: several documents in a sequence, each of which
the model sees alone; the same with all of them under one mask and positions that begin anew is held to be the same.

        first [B,T] I32, supervised [B,T] I32    where a token's document begins, whether its target counts
        loss [1]                                 mean over the targets that count; inputs and targets as above
        grad.NAME                                of that loss, for some of the parameters

With --rounded only rounded.safetensors is made, of the models that lie there: the loss when the operands of all products, in
matrices and in attention, are rounded to bf16, and all else is float64.

        loss [1]

No model has a padding token: torch gives its embedding no gradient as an input, and we do not know padding in training.

gpt2-tiny was made with torch 1.13 and transformers 4.44, the others with torch 2.6, transformers 5.23; safetensors 0.8.
Needed only to make the fixtures anew, never to run the tests.
"""
import argparse, json, os, sys

import torch
import transformers
from safetensors.torch import load_file, save_file

B, T, STEPS, CLIP = 2, 13, 10, 1.0
HERE = os.path.dirname(os.path.abspath(__file__))
LLAMA3 = dict(rope_type="llama3", rope_theta=125.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)  # its three frequencies stay, mix and are stretched
FIXTURES = {
    "gpt2-tiny": ("GPT2", dict(vocab_size=67, n_positions=20, n_embd=24, n_head=3, n_layer=2, resid_pdrop=0.0,
                               embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=66, eos_token_id=66)),
    # heads of 6 in a width of 21, one head of keys for three
    "llama-tiny": ("Llama", dict(vocab_size=53, max_position_embeddings=40, hidden_size=21, intermediate_size=29,
                                 num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, head_dim=6,
                                 rms_norm_eps=1e-5, rope_parameters=LLAMA3, tie_word_embeddings=False, bos_token_id=1,
                                 eos_token_id=[2, 5])),
    # every bias there is, positions scaled linearly, tied as SmolLM2 is
    "llama-bias-tiny": ("Llama", dict(vocab_size=53, max_position_embeddings=40, hidden_size=18, intermediate_size=31,
                                      num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=3,
                                      attention_bias=True, mlp_bias=True, tie_word_embeddings=True, bos_token_id=1,
                                      rope_parameters=dict(rope_type="linear", rope_theta=1000.0, factor=2.0),
                                      eos_token_id=2)),
    "mistral-tiny": ("Mistral", dict(vocab_size=47, max_position_embeddings=40, hidden_size=24, intermediate_size=23,
                                     num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=None,
                                     sliding_window=5, tie_word_embeddings=False,
                                     rope_parameters=dict(rope_type="default", rope_theta=10000.0), bos_token_id=1,
                                     eos_token_id=2)),
    "qwen2-tiny": ("Qwen2", dict(vocab_size=55, max_position_embeddings=40, hidden_size=18, intermediate_size=25,
                                 num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1,
                                 tie_word_embeddings=True, use_sliding_window=True, sliding_window=4,
                                 max_window_layers=1, rope_parameters=dict(rope_type="default", rope_theta=1e6),
                                 eos_token_id=54)),
    "qwen3-tiny": ("Qwen3", dict(vocab_size=57, max_position_embeddings=40, hidden_size=16, intermediate_size=27,
                                 num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=10,
                                 tie_word_embeddings=False, rope_parameters=dict(rope_type="default", rope_theta=1e6),
                                 eos_token_id=56)),
    "smollm3-tiny": ("SmolLM3", dict(vocab_size=49, max_position_embeddings=40, hidden_size=16, intermediate_size=23,
                                     num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=1,
                                     tie_word_embeddings=True, no_rope_layer_interval=2, use_sliding_window=True,
                                     sliding_window=6, rope_parameters=dict(rope_type="default", rope_theta=2e6),
                                     bos_token_id=None, eos_token_id=48, pad_token_id=None)),
}


def hold_to_float64():
    """Norms, softmax and tables of angles of the Llama kind compute in f32 whatever the model is in."""
    import importlib

    def norm(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    def rotary(self, x, position_ids):
        angle = position_ids[:, :, None].to(torch.float64) * self.exact[None, None, :]
        both = torch.cat((angle, angle), dim=-1)
        return both.cos() * self.attention_scaling, both.sin() * self.attention_scaling

    softmax = torch.nn.functional.softmax

    for family in ("llama", "mistral", "qwen2", "qwen3", "smollm3"):
        module = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
        prefix = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3", "smollm3": "SmolLM3"}[family]
        getattr(module, prefix + "RMSNorm").forward = norm
        getattr(module, prefix + "RotaryEmbedding").forward = rotary
    torch.nn.functional.softmax = lambda x, dim=None, dtype=None, **rest: softmax(x, dim=dim)


def exact_frequencies(config):
    """As transformers' modeling_rope_utils has it, in float64."""
    p = config.rope_parameters
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    f = 1.0 / p["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    if p["rope_type"] == "linear":
        return f / p["factor"]
    if p["rope_type"] == "llama3":
        old, low, high = p["original_max_position_embeddings"], p["low_freq_factor"], p["high_freq_factor"]
        wave = 2 * torch.pi / f
        mix = (old / wave - low) / (high - low)
        mixed = (1 - mix) * f / p["factor"] + mix * f
        return torch.where(wave > old / low, f / p["factor"], torch.where(wave < old / high, f, mixed))
    return f


def load(model_class, out):
    m = model_class.from_pretrained(out, attn_implementation="eager").double()
    m.eval()
    for part in m.modules():
        if type(part).__name__.endswith("RotaryEmbedding"):
            part.exact = exact_frequencies(m.config)
            assert torch.allclose(part.exact.float(), part.inv_freq.float(), rtol=1e-6)
    return m, {n.removeprefix("transformer."): p for n, p in m.named_parameters()}


def make_packed(name, out):
    family = FIXTURES[name][0]
    model_class = getattr(transformers, {"GPT2": "GPT2LMHeadModel"}.get(family, family + "ForCausalLM"))
    given = load_file(os.path.join(out, "expected.safetensors"))
    inputs, targets = given["inputs"].long(), given["targets"].long()
    first = torch.tensor([[0] * 4 + [4] * 7 + [11] * 2, [0] + [1] * 9 + [10] * 3])
    last = torch.zeros(B, T, dtype=torch.bool)
    last[:, :-1] = first[:, 1:] != first[:, :-1]
    supervised = ~last
    supervised[0, 6] = supervised[1, 12] = False  # and some for another reason
    count = supervised.sum()

    def loss_of(logits, at):
        each = torch.nn.functional.cross_entropy(logits.flatten(0, -2), targets[at].flatten(), reduction="none")
        return (each * supervised[at].flatten()).sum() / count

    m, params = load(model_class, out)
    loss = 0
    for b in range(B):
        for begin in first[b].unique().tolist():
            at = (slice(b, b + 1), slice(begin, begin + int((first[b] == begin).sum())))
            loss = loss + loss_of(m(inputs[at]).logits, at)
    loss.backward()

    place = torch.arange(T)
    seen = (place[None, None, :] <= place[None, :, None]) & (place[None, None, :] >= first[:, :, None])
    window = getattr(m.config, "sliding_window", None)
    if window:
        seen &= place[None, None, :] > place[None, :, None] - window
    mask = torch.zeros(B, 1, T, T, dtype=torch.float64).masked_fill(~seen[:, None], torch.finfo(torch.float64).min)
    masked = load(model_class, out)[0](inputs, attention_mask=mask, position_ids=place[None] - first).logits
    assert torch.allclose(loss_of(masked, (slice(None), slice(None))), loss, rtol=1e-12), name

    some = [n for n in params if any(part in n for part in ("wpe", "wte", "h.0.attn.c_attn", "h.1.mlp.c_fc.bias",
                                                            "embed_tokens", "layers.0.self_attn", "lm_head"))]
    expected = {"first": first.to(torch.int32), "supervised": supervised.to(torch.int32), "loss": loss.reshape(1)}
    expected |= {"grad." + n: params[n].grad for n in some}
    save_file({n: (t.detach() if t.dtype == torch.int32 else t.detach().to(torch.float32)).contiguous()
               for n, t in expected.items()}, os.path.join(out, "packed.safetensors"), metadata={"format": "pt"})
    print(json.dumps({"fixture": name, "packed": loss.item(), "supervised": int(count), "gradients": len(some)}))


def rounded(x):
    return x.to(torch.bfloat16).to(x.dtype)


def rounded_attention(module, q, k, v, mask, scaling=None, **_):
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    scores = rounded(q) @ rounded(k).transpose(-1, -2) * (scaling or q.shape[-1] ** -0.5)
    weights = torch.softmax(scores + mask[..., :k.shape[-2]], dim=-1)
    return (rounded(weights) @ rounded(v)).transpose(1, 2).contiguous(), weights


class RoundedLinear(torch.nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.out_in = isinstance(linear, torch.nn.Linear)  # the other kind is GPT-2's Conv1D

    def forward(self, x):
        weight = rounded(self.weight)
        y = rounded(x) @ (weight.T if self.out_in else weight)
        return y if self.bias is None else y + self.bias


def round_linears(module):
    for name, child in module.named_children():
        if isinstance(child, (torch.nn.Linear, transformers.pytorch_utils.Conv1D)):
            setattr(module, name, RoundedLinear(child))
        else:
            round_linears(child)


def make_rounded(name, out):
    family, _ = FIXTURES[name]
    model_class = getattr(transformers, {"GPT2": "GPT2LMHeadModel"}.get(family, family + "ForCausalLM"))
    sys.modules[model_class.__module__].eager_attention_forward = rounded_attention
    model, _ = load(model_class, out)
    round_linears(model)
    at = load_file(os.path.join(out, "expected.safetensors"))
    with torch.no_grad():
        logits = model(at["inputs"].long()).logits
        loss = torch.nn.functional.cross_entropy(logits.view(B * T, -1), at["targets"].long().view(-1))
    assert logits.dtype == torch.float64 and loss.item() != at["loss"].item(), name
    save_file({"loss": loss.reshape(1).to(torch.float32)}, os.path.join(out, "rounded.safetensors"), metadata={"format": "pt"})
    print(json.dumps({"fixture": name, "rounded": loss.item(), "f32": at["loss"].item()}))


def make(name, out):
    family, settings = FIXTURES[name]
    classes = {"GPT2": ("GPT2Config", "GPT2LMHeadModel")}.get(family, (family + "Config", family + "ForCausalLM"))
    config = getattr(transformers, classes[0])(**settings, attn_implementation="eager")
    model_class = getattr(transformers, classes[1])
    random = torch.Generator().manual_seed(20240607)
    os.makedirs(out, exist_ok=True)

    def normal(shape, mean, std):
        return (torch.randn(shape, generator=random, dtype=torch.float64) * std + mean).to(torch.float32)

    model = model_class(config)
    model.eval()
    with torch.no_grad():
        for n, p in model.named_parameters():
            norm = "norm" in n or ".ln_" in n
            mean, std = (1.0, 0.2) if norm and n.endswith("weight") else (0.0, 0.1) if p.dim() == 1 else (0.0, 0.25)
            p.copy_(normal(p.shape, mean, std))
    model.save_pretrained(out, safe_serialization=True)
    if os.path.exists(os.path.join(out, "generation_config.json")):
        os.remove(os.path.join(out, "generation_config.json"))

    tokens = torch.randint(0, settings["vocab_size"], (B, T + 1), generator=random)
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def forward(m):
        logits = m(inputs).logits
        return logits, torch.nn.functional.cross_entropy(logits.view(B * T, -1), targets.view(-1))

    def grad_norm(params):
        return torch.sqrt(sum((p.grad ** 2).sum() for p in params.values()))

    def train(clip):
        m, params = load(model_class, out)
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

    model, params = load(model_class, out)
    logits, loss = forward(model)
    loss.backward()
    assert logits.dtype == torch.float64
    expected = {"inputs": inputs.to(torch.int32), "targets": targets.to(torch.int32), "logits": logits,
                "loss": loss.reshape(1), "grad_norm": grad_norm(params).reshape(1)}
    expected |= {"grad." + n: p.grad for n, p in params.items()}
    expected["step_losses"], final = train(None)
    expected |= {"final." + n: p for n, p in final.items()}
    expected["step_losses_clipped"], _ = train(CLIP)

    for n, t in expected.items():
        assert torch.isfinite(t).all() and (t != 0).any(), n
    save_file({n: (t.detach() if t.dtype == torch.int32 else t.detach().to(torch.float32)).contiguous()
               for n, t in expected.items()}, os.path.join(out, "expected.safetensors"), metadata={"format": "pt"})
    print(json.dumps({"fixture": name, "loss": loss.item(), "grad_norm": expected["grad_norm"].item(),
                      "parameters": len(params), "last_loss": expected["step_losses"][-1].item()}))


args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument("--out", default=os.path.join(HERE, "..", "tests", "fixtures"))
args.add_argument("--packed", action="store_true")
args.add_argument("--rounded", action="store_true")
args.add_argument("names", nargs="*", metavar="NAME", default=[n for n in FIXTURES if n != "gpt2-tiny"])
args = args.parse_args()
torch.set_num_threads(1)
hold_to_float64()
for fixture in args.names:
    (make_packed if args.packed else make_rounded if args.rounded else make)(fixture, os.path.join(args.out, fixture))
