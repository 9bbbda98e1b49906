#!/usr/bin/python3
"""Seeded random block-level models with weights, tokens and the oracle's answers.

    generate_cases.py --out DIR --count N --seed S

Each case becomes DIR/case_S_I/ with model.bfm, weights.safetensors, tokens.npy and expected.safetensors, the form of
tests/golden. Case I of seed S is always the same. A draw in which a decision is a near thing (two scores that route within
1e-4 of each other, an argument of relu within 1e-6 of 0) is thrown away and drawn again, since there two right engines may
differ; so is one with a gradient that is not 0 and yet 1e5 times smaller than the others, which cancellation has emptied of
digits, and a model of many parameters.
"""
import argparse
import os
import random
import sys
from fractions import Fraction

import numpy as np

import bfm_reader
import reference
import routers
import tensors

MARGIN, KINK, FAINT = 1e-4, 1e-6, 1e-5
ACTS = ["relu", "gelu", "gelu_tanh", "silu", "squared_relu", "reglu", "geglu", "swiglu"]
NORMS = ["rms_norm", "layer_norm"]
WIRINGS = ["pre", "post", "pre_post"]


def arguments(pairs):
    return "(" + ", ".join(f"{k} = {v}" for k, v in pairs if v is not None) + ")"


class Writer:
    """Draws one model. Every method gives the lines of a piece; `self.d` is the width of the stream."""

    def __init__(self, rng, scope):
        self.rng = rng
        self.scope = scope            # which layers may be drawn
        self.blocks = []
        self.context = rng.choice([5, 8, 13, 20])
        self.d = rng.choice([8, 12, 15, 16, 20, 21, 24, 32, 33])

    def maybe(self, chance, value):
        return value if self.rng.random() < chance else None

    def act(self):
        return self.rng.choice(ACTS)

    def hidden(self):
        return self.rng.choice([8, 12, 17, 24, 30, 33, 40, 48])

    def attention(self):
        r = self.rng
        kv = r.choice([1, 1, 2, 3])
        heads = kv * r.choice([1, 2, 3])
        position = r.choice(["rope", "relative", "alibi", "none"])
        head_dim = r.choice([4, 6, 8, 16]) if position == "rope" else r.choice([3, 5, 8, 10, 16])
        return "attention" + arguments([
            ("heads", heads), ("head_dim", head_dim), ("kv_heads", kv if kv != heads else None),
            ("position", position if position != "rope" or r.random() < 0.5 else None),
            ("conv", self.maybe(0.3, r.choice([1, 2, 3, 4]))), ("qk_norm", self.maybe(0.3, "true")), ("causal", self.maybe(0.1, "false"))])

    def ffn(self):
        return "ffn" + arguments([("hidden", self.maybe(0.9, self.hidden())), ("act", self.maybe(0.8, self.act()))])

    def low_rank(self):
        return "low_rank" + arguments([("rank", self.rng.choice([1, 3, 5, 8])), ("hidden", self.hidden()), ("act", self.act())])

    def multi_branch(self):
        n = self.rng.choice([1, 2, 3, 4])
        return "multi_branch" + arguments([("branches", n), ("hidden", n * self.rng.choice([5, 8, 11])), ("act", self.act())])

    def moe(self):
        experts = self.rng.choice([2, 3, 4, 5, 7, 8])
        return "moe" + arguments([("experts", experts), ("hidden", self.hidden()), ("act", self.maybe(0.8, self.act())), ("router", self.router(experts))])

    def router(self, experts):
        r = self.rng
        kind = r.choice(["top2", "top2", "topk", "top1", "expert_choice", "expert_choice", "expert_threshold", "loss_free", "soft", "hash"])
        group = self.maybe(0.7, r.choice(["batch", "sequence", "position"]))
        capacity = r.choice(["0.5", "0.75", "0.9", "1", "1.1", "1.25", "4/3", "2", "3"])
        out = [("k", r.randint(1, max(2, min(4, experts))))] if kind in ("topk", "loss_free") else []
        if kind in ("top2", "topk", "top1"):
            out += [("capacity", self.maybe(0.85, r.choice([capacity, capacity, capacity, "none"]))), ("group", group)]
            out += [("order", self.maybe(0.5, r.choice(["token", "choice"])))]
            out += [("convention", self.maybe(0.25, "assignments"))]
            out += [("aux", self.maybe(0.4, r.choice(["0", "0.02", "0.5"]))), ("z", self.maybe(0.3, "0.001"))]
        elif kind in ("expert_choice", "expert_threshold"):
            out += [("capacity", self.maybe(0.85, capacity)), ("group", group)]
        elif kind == "loss_free":
            out += [("capacity", self.maybe(0.5, capacity)), ("group", group)]
        else:
            out += [("group", group)]
        out = [(k, v) for k, v in out if v is not None]
        if self.coarse(kind, dict(out), experts):
            out.append(("small_groups", "true"))
        return kind + arguments(out) if out else kind

    def coarse(self, kind, given, experts):
        """Would rounding up more than double the capacity of a group of known size?"""
        spec = routers.ROUTERS[kind].attributes
        capacity = given.get("capacity", spec.get("capacity", "none"))
        if given.get("group", spec["group"]) != "sequence" or capacity == "none":
            return False
        per_token = {"top2": 2, "topk": given.get("k", 2)}.get(kind, 1) if "convention" in given else 1
        asked = Fraction(capacity) * per_token * self.context
        return -(-asked // experts) * experts > 2 * asked

    def wires(self):
        out = ""
        if self.rng.random() < 0.15:
            out += " norm = " + self.rng.choice(NORMS + ["none"])
        if self.rng.random() < 0.15:
            out += " wiring = " + self.rng.choice(WIRINGS)
        return out

    def line(self, wired=True):
        kind = self.rng.choice(self.scope)
        label = f"part_{self.rng.randint(0, 99)}_{len(self.blocks)}x{self.serial()}: " if self.rng.random() < 0.05 else ""
        return label + getattr(self, kind)() + (self.wires() if wired else "")

    def serial(self):
        self.made = getattr(self, "made", 0) + 1
        return self.made

    def block(self, depth):
        """A block of its own; gives the line that calls it."""
        name = f"block_{self.serial()}"
        r = self.rng
        header = self.maybe(0.3, " norm = " + r.choice(NORMS)) or ""
        header += self.maybe(0.3, " wiring = " + r.choice(WIRINGS)) or ""
        attribute = self.maybe(0.3, f"m: width = {self.hidden()}")
        body = self.sequence(r.randint(1, 3), depth + 1)
        if attribute:
            body.append("ffn(hidden = m, act = geglu)")
        self.blocks.append([f"block {name}({attribute or ''}){header} {{"] + ["    " + s for s in body] + ["}", ""])
        return f"{name}({f'm = {self.hidden()}' if attribute and r.random() < 0.5 else ''})"

    def sequence(self, count, depth):
        out = []
        for _ in range(count):
            u = self.rng.random()
            if depth >= 3 or u < 0.68:
                out.append(self.line())
            elif u < 0.76:
                shared = " shared" if self.rng.random() < 0.4 else ""
                out += [f"repeat 2{shared} {{"] + ["    " + s for s in self.sequence(self.rng.randint(1, 2), depth + 1)] + ["}"]
            elif u < 0.84:
                branches = " | ".join(self.line(wired=False) for _ in range(self.rng.randint(2, 3)))
                out.append(f"parallel {{ {branches} }}")
            elif u < 0.90:
                ratios = [w for w in ("1/2", "3/4", "3/2", "2/3", "1/3", "5/4") if (self.d * Fraction(w)).denominator == 1]
                if not ratios:
                    continue
                ratio, outer = self.rng.choice(ratios), self.d
                self.d = int(outer * Fraction(ratio))
                out += [f"at {ratio} {{"] + ["    " + s for s in self.sequence(self.rng.randint(1, 2), depth + 1)] + ["}"]
                self.d = outer
            elif u < 0.93 and depth == 0:
                self.d = self.rng.choice([12, 18, 24])
                out.append(f"project(d = {self.d})")
            elif u < 0.95:
                out.append(self.rng.choice(NORMS) + "()")
            else:
                out.append(self.block(depth))
        return out or [self.line()]

    def model(self):
        r = self.rng
        vocab, context, first = r.choice([17, 31, 61]), self.context, self.d
        body = self.sequence(r.randint(2, 4), 0)
        tied = self.d == first and r.random() < 0.7
        head = "head" + arguments([("tied", "true" if tied else "false"), ("z_loss", self.maybe(0.4, "0.001"))])
        final = r.choice(["rms_norm()", "layer_norm()"])
        lines = ["use std.layers", "use std.routers", ""] + [s for b in self.blocks for s in b]
        lines += ["model m {", f"    vocab   = {vocab}", f"    context = {context}", f"    embed(d = {first})"]
        lines += ["    " + s for s in body] + ["    " + final, "    " + head, "}", ""]
        length = context if r.random() < 0.7 else max(2, context - r.randint(1, 3))
        return "\n".join(lines), vocab, length


SCOPES = {
    "all": ["attention", "attention", "ffn", "moe", "moe", "low_rank", "multi_branch"],
    "dense": ["attention", "ffn"],
    "routing": ["moe"],
    "attention": ["attention"],
}


def draw_case(seed, index, scope="all"):
    """(text, weights, tokens, expected, attempts): the first acceptable draw."""
    for attempt in range(200):
        rng = random.Random(f"{seed}/{index}/{attempt}/{scope}")
        text, vocab, length = Writer(rng, SCOPES[scope]).model()
        model = bfm_reader.read(text)
        if sum(int(np.prod(s)) for s, _ in model.params.values()) > 60_000:
            continue
        weights = reference.make_weights(model, rng.randrange(2**31))
        draws = np.random.default_rng(rng.randrange(2**31))
        tokens = draws.integers(0, vocab, (rng.choice([1, 2, 3]), length + 1)).astype(np.int32)
        expected, ctx = reference.gradients(model, weights, tokens)
        sane = all(np.isfinite(v).all() for v in expected.values()) and expected["loss"] < 100
        if sane and not faint(expected) and ctx.smallest_margin > MARGIN and ctx.smallest_kink > KINK:
            return text, weights, tokens, expected, attempt + 1
    raise SystemExit(f"seed {seed}, case {index}: no draw was acceptable")


def faint(expected):
    """Is a gradient neither 0 nor of the size of the others?"""
    sizes = [np.abs(v).max() for k, v in expected.items() if k not in ("loss", "cross_entropy", "logits")]
    return any(0 < s < FAINT * max(sizes) for s in sizes)


def write_case(folder, text, weights, tokens, expected):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "model.bfm"), "w", encoding="utf-8") as f:
        f.write(text)
    tensors.save(os.path.join(folder, "weights.safetensors"), weights)
    np.save(os.path.join(folder, "tokens.npy"), tokens)
    tensors.save(os.path.join(folder, "expected.safetensors"), expected)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True)
    p.add_argument("--count", type=int, default=10)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--scope", choices=sorted(SCOPES), default="all", help="which layers to draw")
    args = p.parse_args()
    for i in range(args.count):
        text, weights, tokens, expected, attempts = draw_case(args.seed, i, args.scope)
        folder = os.path.join(args.out, f"case_{args.seed}_{i}")
        write_case(folder, text, weights, tokens, expected)
        print(f"{folder}: {len(weights)} tensors, loss {float(expected['loss']):.4f}, draw {attempts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
