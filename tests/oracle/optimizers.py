#!/usr/bin/python3
"""Optimisers and schedules in NumPy, float64.

    optimizers.py 'adafactor(beta1 = 0.9, decay = power)' --shape 3,4 --rate 0.01 --steps 50 --seed 1 --out F.safetensors

writes a start `w`, gradients `g` [steps, …] and the weights after every step `expected` [steps, …]: what an implementation
must reproduce. Gradients vary in size by step and by element, and some are exactly 0.

An optimiser here is a class with `update(w, g, rate)` that returns the new w and keeps its state; what `make` returns also has `rate`, that of
its text, and `step(w, g, factor)`, an update at the rate times a factor. Tensors with two or more
axes are stacks of matrices over their last two axes; vectors and scalars have one form together.
"""
import argparse
import math
import sys

import numpy as np

import bfm_reader
import tensors


class Adafactor:
    """Shazeer & Stern 2018, in the form numerics.md fixes."""

    def __init__(self, beta1=0.0, beta2=0.99, eps=1e-30, clip=1.0, decay="adam", scale_parameter=False, weight_decay=0.0):
        self.beta1, self.beta2, self.eps, self.clip = beta1, beta2, eps, clip
        self.decay, self.scale_parameter, self.weight_decay = decay, scale_parameter, weight_decay
        self.t = 0
        self.moments = None
        self.first = None

    def update(self, w, g, rate):
        if w.ndim < 2:
            return self.one(np.atleast_1d(w), np.atleast_1d(g), rate).reshape(w.shape)
        shape = w.shape
        w, g = w.reshape(-1, *shape[-2:]), g.reshape(-1, *shape[-2:])
        return self.one(w, g, rate).reshape(shape)

    def one(self, w, g, rate):
        """w [n] or [stack, m, n]."""
        self.t += 1
        if self.decay == "power":
            b2 = 1 - self.t ** -0.8
        else:
            b2 = self.beta2 * (1 - self.beta2 ** (self.t - 1)) / (1 - self.beta2 ** self.t)
        squares = g * g + self.eps
        axes = tuple(range(1, w.ndim)) or (0,)
        if w.ndim == 1:
            fresh = [squares]
        else:
            fresh = [squares.mean(axis=2, keepdims=True), squares.mean(axis=1, keepdims=True)]
        old = self.moments or [np.zeros_like(m) for m in fresh]
        self.moments = [b2 * o + (1 - b2) * m for o, m in zip(old, fresh)]
        if w.ndim == 1:
            h = g / np.sqrt(self.moments[0])
        else:
            rows, columns = self.moments
            h = g / np.sqrt(rows / rows.mean(axis=1, keepdims=True)) / np.sqrt(columns)
        rms = lambda x: np.sqrt((x * x).mean(axis=axes, keepdims=True))
        u = h / np.maximum(1, rms(h) / self.clip)
        if self.scale_parameter:
            u = u * np.maximum(rms(w), 1e-3)
        if self.beta1 > 0:
            self.first = (0 if self.first is None else self.beta1 * self.first) + (1 - self.beta1) * u
            u = self.first
        return w - rate * (u + self.weight_decay * w)


class AdamW:
    def __init__(self, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1):
        self.beta1, self.beta2, self.eps, self.weight_decay = beta1, beta2, eps, weight_decay
        self.t, self.m, self.v = 0, 0.0, 0.0

    def update(self, w, g, rate):
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g * g
        m, v = self.m / (1 - self.beta1 ** self.t), self.v / (1 - self.beta2 ** self.t)
        return w - rate * (m / (np.sqrt(v) + self.eps) + self.weight_decay * w)


class Sgd:
    def __init__(self, momentum=0.0, weight_decay=0.0):
        self.momentum, self.weight_decay, self.m = momentum, weight_decay, 0.0

    def update(self, w, g, rate):
        self.m = self.momentum * self.m + g
        return w - rate * (self.m + self.weight_decay * w)


class Lion:
    def __init__(self, beta1=0.9, beta2=0.99, weight_decay=0.0):
        self.beta1, self.beta2, self.weight_decay, self.m = beta1, beta2, weight_decay, 0.0

    def update(self, w, g, rate):
        direction = np.sign(self.beta1 * self.m + (1 - self.beta1) * g)
        self.m = self.beta2 * self.m + (1 - self.beta2) * g
        return w - rate * (direction + self.weight_decay * w)


OPTIMIZERS = {"adafactor": Adafactor, "adamw": AdamW, "sgd": Sgd, "lion": Lion}


# ---- schedules: a factor on the rate; step counts from 0 --------------------------------------------------------------


def inverse_sqrt(step, hold=10_000):
    return math.sqrt(hold / max(step, hold))


def constant(step):
    return 1.0


def rise_and_fall(step, warmup, steps):
    """(factor of the warm-up, how far the fall has come from 0 to 1)."""
    rise = 1.0 if step + 1 >= warmup else (step + 1) / warmup
    if step >= max(warmup, steps - 1):  # the last step, unless the warm-up takes that too
        return rise, 1.0
    return rise, max(0, step - warmup) / max(steps - 1 - warmup, 1)


def cosine(step, warmup=0, floor=0.0, steps=1):
    rise, fall = rise_and_fall(step, warmup, steps)
    return rise * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * fall)))


def linear(step, warmup=0, floor=0.0, steps=1):
    rise, fall = rise_and_fall(step, warmup, steps)
    return rise * (1 - (1 - floor) * fall)


SCHEDULES = {"inverse_sqrt": inverse_sqrt, "constant": constant, "cosine": cosine, "linear": linear}


def clip_norm(gradients, limit):
    """Scale all gradients together so that their joint norm is at most `limit`."""
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients.values()))
    return {k: g * min(1.0, limit / norm) if norm > 0 else g for k, g in gradients.items()}


# ---- cases -----------------------------------------------------------------------------------------------------------


def bound(text):
    """Name and attributes of `name(a = 1, …)`."""
    value = bfm_reader.evaluate(bfm_reader.Parser(text).expression(), {})
    plain = lambda v: v.name if isinstance(v, bfm_reader.Named) else v if isinstance(v, bool) else float(v)
    return value.name, {k: plain(v) for k, v in value.bound}


def make(text):
    """An optimiser of its text; `rate` may be missing there if `update` is told it."""
    name, attributes = bound(text)
    rate = attributes.pop("rate", None)
    optimizer = OPTIMIZERS[name](**attributes)
    optimizer.rate = rate
    optimizer.step = lambda w, g, factor=1.0: optimizer.update(w, g, rate * factor)
    return optimizer


def make_schedule(text, steps):
    """step -> factor; `steps` for a schedule that needs the end and does not say it."""
    name, attributes = bound(text)
    if name in ("cosine", "linear"):
        attributes = {"steps": steps, **attributes}
    return lambda step: SCHEDULES[name](step, **attributes)


def gradients(shape, steps, seed):
    """[steps, …]: sizes that vary by step and element, with exact zeros among them."""
    rng = np.random.default_rng(seed)
    size = np.exp(rng.standard_normal(shape))
    out = rng.standard_normal((steps,) + shape) * size * np.exp(0.5 * rng.standard_normal((steps,) + (1,) * len(shape)))
    return np.where(rng.random(out.shape) < 0.05, 0.0, out)


def trajectory(text, shape, rate, steps, seed):
    rng = np.random.default_rng(seed + 1)
    w = rng.standard_normal(shape)
    g = gradients(shape, steps, seed)
    optimizer, out, at = make(text), [], w
    for s in range(steps):
        at = optimizer.update(at, g[s], rate)
        out.append(at)
    return {"w": w, "g": g, "expected": np.stack(out)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("optimizer")
    p.add_argument("--shape", default="3,4", help="comma-separated; empty for a scalar")
    p.add_argument("--rate", type=float, default=0.01)
    p.add_argument("--steps", type=int, default=50)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", required=True)
    args = p.parse_args()
    shape = tuple(int(s) for s in args.shape.split(",") if s)
    tensors.save(args.out, trajectory(args.optimizer, shape, args.rate, args.steps, args.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
