"""The other side of the comparisons: the workloads of tests/perf in PyTorch.

    python peers.py WORKLOAD [--engine eager|compile] [--threads N] [--paced]

Prints one JSON line. With --paced, a line `{"ready": true}` first, then one sample of at least 0.2 s for each line of standard input,
as `bfmc profile --paced` does, and the summary at the end of the input."""
import argparse
import json
import math
import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F

BATCH, LENGTH, WIDTH, HEADS, HEAD, HIDDEN, EXPERTS, WORDS = 2, 512, 512, 8, 64, 1536, 32, 32000
SAMPLE = 0.2


class Weights:
    """Parameters in the order in which they are asked for, at 1/sqrt(fan-in)."""

    def __init__(self):
        self.all = []

    def __call__(self, *shape):
        fan_in = shape[-2] if len(shape) > 1 else 1
        return self.keep(torch.randn(*shape) / math.sqrt(fan_in))

    def ones(self, size):
        return self.keep(torch.ones(size))

    def keep(self, tensor):
        self.all.append(tensor.requires_grad_())
        return tensor


def rms_norm(x, gain):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * gain


def split_heads(x, heads):
    batch, length, width = x.shape
    return x.view(batch, length, heads, width // heads).transpose(1, 2)


def join_heads(x):
    batch, heads, length, head = x.shape
    return x.transpose(1, 2).reshape(batch, length, heads * head)


class Attention:
    def __init__(self, new, width, heads):
        self.heads = heads
        self.q, self.k, self.v, self.o = (new(width, width) for _ in range(4))

    def __call__(self, x):
        q, k, v = (split_heads(x @ w, self.heads) for w in (self.q, self.k, self.v))
        return join_heads(F.scaled_dot_product_attention(q, k, v, is_causal=True)) @ self.o


class Network:
    def __init__(self, new, width, hidden, gated):
        self.enter, self.leave = new(width, hidden), new(hidden, width)
        self.gate = new(width, hidden) if gated else None

    def __call__(self, x):
        if self.gate is None:
            return F.gelu(x @ self.enter) @ self.leave
        return (F.gelu(x @ self.gate) * (x @ self.enter)) @ self.leave


class Mixture:
    """Each expert takes its share of the batch's tokens, those it scores highest."""

    def __init__(self, new, width, hidden, experts):
        self.router, self.enter, self.leave = new(width, experts), new(experts, width, hidden), new(experts, hidden, width)
        self.experts = experts

    def __call__(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        scores = (tokens @ self.router).softmax(-1)
        weight, index = scores.t().topk(tokens.shape[0] // self.experts, dim=-1)
        hidden = F.gelu(torch.bmm(tokens[index], self.enter))
        result = torch.bmm(hidden, self.leave) * weight.unsqueeze(-1)
        return torch.zeros_like(tokens).index_add(0, index.flatten(), result.flatten(0, 1)).view_as(x)


class Block:
    """Sub-layers behind norms, added to the stream; a norm at the end."""

    def __init__(self, new, layers, width):
        self.layers = [(new.ones(width), layer) for layer in layers]
        self.last = new.ones(width)

    def __call__(self, x):
        for gain, layer in self.layers:
            x = x + layer(rms_norm(x, gain))
        return rms_norm(x, self.last)


def brainformer(new):
    make = {"a": lambda: Attention(new, WIDTH, HEADS), "m": lambda: Mixture(new, WIDTH, HIDDEN, EXPERTS), "f": lambda: Network(new, WIDTH, HIDDEN, True)}
    return Block(new, [make[letter]() for letter in "amfamfmf"], WIDTH)


def weighed(new, block, batch, length, width):
    x, adjoint = new.keep(torch.randn(batch, length, width)), torch.randn(batch, length, width)
    return lambda: (block(x) * adjoint).sum()


def workload_block(new):
    return weighed(new, brainformer(new), BATCH, LENGTH, WIDTH)


def workload_gpt(new):
    return weighed(new, Block(new, [Attention(new, 768, 12), Network(new, 768, 3072, False)], 768), 1, 1024, 768)


def workload_model(new):
    block, words = brainformer(new), new.keep(torch.randn(WORDS, WIDTH) / math.sqrt(WIDTH))
    ids = torch.randint(0, WORDS, (BATCH, LENGTH + 1))
    return lambda: F.cross_entropy((block(F.embedding(ids[:, :-1], words) * math.sqrt(WIDTH)) @ words.t()).flatten(0, 1), ids[:, 1:].flatten())


def attention_inputs(new):
    return [new.keep(torch.randn(1, HEADS, 1024, HEAD)) for _ in range(3)], torch.randn(1, HEADS, 1024, HEAD)


def workload_attn(new):
    (q, k, v), adjoint = attention_inputs(new)
    return lambda: (F.scaled_dot_product_attention(q, k, v, is_causal=True) * adjoint).sum()


def workload_attn_unfused(new):
    (q, k, v), adjoint = attention_inputs(new)
    future = torch.ones(1024, 1024, dtype=torch.bool).triu(1)
    return lambda: (((q @ k.transpose(-1, -2) / math.sqrt(HEAD)).masked_fill(future, -1e30).softmax(-1) @ v) * adjoint).sum()


def workload_head(new):
    x, words, targets = new.keep(torch.randn(1024, WIDTH)), new(WIDTH, WORDS), torch.randint(0, WORDS, (1024,))
    return lambda: F.cross_entropy(x @ words, targets)


def workload_adamw(new):
    weight = new.keep(torch.randn(25_000_000) * 0.02)
    weight.grad = torch.randn_like(weight) * 0.01
    return None


WORKLOADS = {name.removeprefix("workload_"): function for name, function in list(globals().items()) if name.startswith("workload_")}


def make_step(name, engine):
    new = Weights()
    loss = WORKLOADS[name](new)
    if engine == "compile" and loss:
        loss = torch.compile(loss)
    optimizer = torch.optim.AdamW(new.all, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True) if name in ("model", "adamw") else None

    def step():
        if loss:
            for parameter in new.all:
                parameter.grad = None
            loss().backward()
        if optimizer:
            optimizer.step()

    return step


def sample(step):
    start, cpu, count = time.perf_counter(), time.process_time(), 0
    while count == 0 or time.perf_counter() - start < SAMPLE:
        step()
        count += 1
    return {"step_s": (time.perf_counter() - start) / count, "cpu_s": (time.process_time() - cpu) / count, "steps": count}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--engine", choices=["eager", "compile"], default="eager")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--paced", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    step = make_step(options.workload, options.engine)
    start = time.perf_counter()
    step()
    first = time.perf_counter() - start
    step()
    seconds = []
    if options.paced:
        print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin if options.paced else range(9):
        measured = sample(step)
        seconds.append(measured["step_s"])
        if options.paced:
            print(json.dumps(measured), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    median = statistics.median(seconds) if seconds else None
    print(json.dumps({"workload": options.workload, "engine": options.engine, "torch": torch.__version__, "threads": options.threads, "first_step_s": first,
                      "median_s": median, "resident_peak_bytes": peak}), flush=True)


if __name__ == "__main__":
    main()
