#!/usr/bin/python3
"""Random optimisers on gradients of any size: interpreted, compiled, and linked into a program, held against NumPy.

    random_updates.py --bfmc build/release/bfmc [--count N] [--seed S] [--first I] [--print] [C flag…]

Each case draws an optimiser of the library with random attributes, or one of the file's own made of random pieces: states, scalars of the step, maxima and means of squares.
Its gradients have sizes of 1e-30 to 1e30, other ones at every step; rows, columns, whole steps and whole tensors of them are 0. `bfmc update` runs it by both engines;
a C program runs the `step` of a shared object, whose bits must be those of the compiled engine.
"""
import argparse
import os
import random
import re
import shlex
import subprocess
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "oracle"))
import optimizers  # noqa: E402
import tensors  # noqa: E402

STEPS = 6
SHAPES = [(), (1,), (5,), (1, 1), (1, 4), (4, 1), (3, 4), (2, 3, 2), (17, 3)]
TOLERANCE = {"interp": 1e-9, "jit": 5e-5}

# Numbers of the step: text, value.
SCALARS = [("1 / (1 - 0.9 ^ (step + 1))", lambda t: 1 / (1 - 0.9 ** (t + 1))), ("(step + 1) ^ -0.5", lambda t: (t + 1) ** -0.5), ("min(1, (step + 1) / 5)", lambda t: min(1, (t + 1) / 5)),
           ("2 ^ -step", lambda t: 2.0 ** -t), ("1e5 * (1 - (1 - 1e-5) ^ (step + 1))", lambda t: 1e5 * -np.expm1((t + 1) * np.log1p(-1e-5))),
           ("select(step == 0, 0.5, 1 / step)", lambda t: 0.5 if t == 0 else 1 / t), ("1000 * (1 - 0.999 ^ (step + 1)) / (step + 1)", lambda t: 1000 * (1 - 0.999 ** (t + 1)) / (t + 1))]


class Own:
    """An optimiser of the file's own; w and g by the language's elements, [m, n] or [n]."""

    def __init__(self, rng):
        r = self.rng = rng
        self.unit = r.choice(["largest", "root", "sign", "each"])  # what makes gradients of any size numbers of order 1
        self.beta, self.second = r.choice([0, 0.5, 0.9]), r.choice([0, 0.25])
        self.scalar, self.rate, self.decay = r.choice(SCALARS), r.choice([0.5, 0.01]), r.choice([0, 0.1])
        self.states = {}

    def text(self):
        out = []
        for form, at, over in (("w[m, n], g[m, n]", "[i, j]", "i, j"), ("w[n], g[n]", "[i]", "i")):
            axes = form.split("w")[1].split("]")[0] + "]"
            lines = [f"let largest = max[{over}] abs(g{at})"]
            if self.unit == "largest":
                lines.append(f"let u{at} = select(largest > 0, g{at} / largest, 0)")
            elif self.unit == "root":
                lines += [f"let root = largest * (mean[{over}] select(largest > 0, (g{at} / largest) ^ 2, 0)) ^ 0.5", f"let u{at} = select(g{at} == 0, 0, g{at} / root)"]
            elif self.unit == "sign":
                lines.append(f"let u{at} = select(g{at} > 0, 1, select(g{at} < 0, -1, 0))")
            else:
                lines.append(f"let u{at} = select(g{at} == 0, 0, g{at} / (abs(g{at}) + 0.5 * largest))")
            lines += [f"state s{axes} = 0", f"next s{at} = {self.beta} * s{at} + (1 - {self.beta}) * u{at}", "state q = 1", f"next q = q / 2 + {self.second} * (mean[{over}] u{at} ^ 2)",
                      f"return w{at} - rate * ({self.scalar[0]}) * next s{at} / (1 + next q) - rate * {self.decay} * w{at}"]
            more = "; rate: real" if form.startswith("w[m") else ""
            out.append(f"optimizer own({form}{more}) {{\n    " + "\n    ".join(lines) + "\n}")
        return "\n".join(out) + "\n"

    def call(self): return f"own(rate = {self.rate})"

    def step(self, name, w, g, t):
        """Of a tensor, which is a stack of matrices or one vector."""
        shape = w.shape
        form = (-1, *shape[-2:]) if w.ndim > 1 else (1, -1)
        w, g = w.reshape(form), g.reshape(form)
        axes = tuple(range(1, w.ndim))
        largest = np.abs(g).max(axes, keepdims=True)
        whole = np.where(largest > 0, largest, 1)
        if self.unit == "largest":
            u = g / whole
        elif self.unit == "root":
            root = ((g / whole) ** 2).mean(axes, keepdims=True) ** 0.5
            u = np.where(g == 0, 0, g / whole / np.where(root > 0, root, 1))
        elif self.unit == "sign":
            u = np.sign(g)
        else:
            u = g / np.where(g == 0, 1, np.abs(g) + 0.5 * largest)
        s, q = self.states.get(name, (0 * w, np.ones_like(largest)))
        s, q = self.beta * s + (1 - self.beta) * u, q / 2 + self.second * (u ** 2).mean(axes, keepdims=True)
        self.states[name] = s, q
        return (w - self.rate * self.scalar[1](t) * s / (1 + q) - self.rate * self.decay * w).reshape(shape)


class Library:
    def __init__(self, rng):
        r, kind = rng, rng.choice(["adamw", "adafactor", "lion", "sgd"])
        pick = {"adamw": [("beta1", [0, 0.5, 0.9]), ("beta2", [0.9, 0.999, 0.99999]), ("eps", [1e-30, 1e-8]), ("weight_decay", [0, 0.1])],
                "adafactor": [("beta1", [0, 0.9]), ("beta2", [0.9, 0.999]), ("decay", ["adam", "power"]), ("weight_decay", [0, 0.1]), ("scale_parameter", ["true", "false"])],
                "lion": [("beta1", [0.5, 0.9]), ("beta2", [0.9, 0.99]), ("weight_decay", [0, 0.1])], "sgd": [("momentum", [0, 0.9]), ("weight_decay", [0, 0.1])]}[kind]
        chosen = [("rate", r.choice([0.5, 0.01]) if kind != "sgd" else 1e-32)] + [(name, r.choice(values)) for name, values in pick if r.random() < 0.6]
        self.says = f"{kind}({', '.join(f'{k} = {v}' for k, v in chosen)})"
        self.made = {}

    def text(self): return ""

    def call(self): return self.says

    def step(self, name, w, g, t):
        return self.made.setdefault(name, optimizers.make(self.says)).step(w, g, 1.0)


class Case:
    def __init__(self, seed, index):
        rng, numbers = random.Random(f"updates/{seed}/{index}"), np.random.default_rng([seed, index])
        self.name, self.optimizer = f"{seed}/{index}", rng.choice([Own, Own, Library])(rng)
        shapes = rng.sample(SHAPES, 3)
        self.shapes = {f"free.w{i}": shape for i, shape in enumerate(shapes)}
        self.w = {k: numbers.standard_normal(s).astype(np.float32) for k, s in self.shapes.items()}
        most = 20 if "adafactor" in self.optimizer.call() else 30  # quotients by what 45 orders of size separate are no floats
        own_size, size = rng.random() < 0.5, 10.0 ** rng.randrange(-most, most + 1)
        self.g = {}
        for k, shape in self.shapes.items():
            g = numbers.standard_normal((STEPS, *shape))
            for t in range(STEPS):
                g[t] *= 10.0 ** rng.randrange(-most, most + 1) if own_size else size
            if rng.random() < 0.3:
                g[rng.randrange(STEPS)] = 0
            if len(shape) > 1 and rng.random() < 0.5:
                g[..., rng.randrange(shape[-2]), :] = 0
            if len(shape) > 1 and rng.random() < 0.3:
                g[..., rng.randrange(shape[-1])] = 0
            if rng.random() < 0.1:
                g[:] = 0
            self.g[k] = g.astype(np.float32)

    def recipe(self):
        return f"recipe r {{\n    optimizer = {self.optimizer.call()}\n    steps = {STEPS}\n    batch = 1\n    on \"free.g*\" {{ rate = 0 }}\n}}\n"

    def text(self):
        """A model whose gradients with respect to free.w… are the values of free.g…"""
        lines, terms = [], []
        for i, shape in enumerate(self.shapes.values()):
            at = ", ".join(f"i{k}" for k in range(len(shape)))
            subs = f"[{at}]" if shape else ""
            for letter in "wg":
                lines.append(f"    param {letter}{i}{list(shape) if shape else ''} = 0")
            terms.append(f"(sum[{at}] w{i}{subs} * g{i}{subs})" if shape else f"w{i} * g{i}")
        return ("use std.layers\nuse std.recipes\n" + self.optimizer.text() + "layer products(x[b, l, d]) -> [b, l, d] {\n" + "\n".join(lines) + "\n    loss product = " + " + ".join(terms) +
                "\n    return x\n}\nmodel m {\n    vocab = 3\n    context = 2\n    embed(d = 2)\n    free: products() norm = none wiring = none\n    head(tied = false)\n}\n" + self.recipe())

    def expected(self):
        out = {k: [] for k in self.w}
        for k, w in self.w.items():
            w = w.astype(np.float64)
            for t in range(STEPS):
                w = self.optimizer.step(k, w, self.g[k][t].astype(np.float64), t)
                out[k].append(w)
        return {k: np.stack(v) for k, v in out.items()}


def run(*command, **how):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, **how)
    if done.returncode:
        raise RuntimeError(f"{command} gave {done.returncode}: {done.stdout}{done.stderr}")
    return done


def updated(bfmc, case, folder, engine):
    out = os.path.join(folder, engine + ".safetensors")
    run(bfmc, "update", os.path.join(folder, "m.bfm"), "--recipe", "r", "--weights", os.path.join(folder, "w.safetensors"), "--gradients", os.path.join(folder, "g.safetensors"), "--out", out,
        "--engine", engine, "--threads", "1", "-q")
    return tensors.load(out)


def linked(bfmc, case, folder, flags):
    run(bfmc, "build", os.path.join(folder, "m.bfm"), "-o", os.path.join(folder, "libx.so"), "--recipe", "r", "-q")
    with open(os.path.join(folder, "libx.h")) as file:
        words = shlex.split(next(line.strip() for line in file if line.strip().startswith("cc main.c")))
    run("cc", "-std=c17", *flags, '-DMODEL_HEADER="libx.h"', "-I.", os.path.join(HERE, "linked.c"), *words[2:], "-o", "linked", cwd=folder)
    with open(os.path.join(folder, "libx.h")) as file:
        order = list(dict.fromkeys(re.findall(r"/\* (free\.w\d): float", file.read())))
    start = {**case.w, **{k.replace("w", "g"): np.zeros_like(v) for k, v in case.w.items()}, "embed_0.table": np.zeros((3, 2), np.float32), "head_0.w": np.zeros((3, 2), np.float32)}
    tensors.save(os.path.join(folder, "start.safetensors"), start)
    np.concatenate([case.g[k][t].reshape(-1) for t in range(STEPS) for k in order]).astype("<f4").tofile(os.path.join(folder, "gradients"))
    run(os.path.join(folder, "linked"), "start.safetensors", "gradients", STEPS, "out", cwd=folder)
    values = np.fromfile(os.path.join(folder, "out"), "<f4").reshape(STEPS, -1)
    sizes = np.cumsum([case.w[k].size for k in order])[:-1]
    return {k: v.reshape(STEPS, *case.shapes[k]) for k, v in zip(order, np.split(values, sizes, axis=1))}


def check(bfmc, case, folder, flags):
    with open(os.path.join(folder, "m.bfm"), "w") as file:
        file.write(case.text())
    tensors.save(os.path.join(folder, "w.safetensors"), case.w)
    tensors.save(os.path.join(folder, "g.safetensors"), case.g)
    expected, out, got = case.expected(), [], {}
    for engine, tolerance in TOLERANCE.items():
        got[engine] = updated(bfmc, case, folder, engine)
        for k, right in expected.items():
            apart, scale = np.abs(got[engine][k] - right).max(), np.abs(right).max()
            if not apart <= tolerance * scale:
                out.append(f"{engine}: {k} {case.shapes[k]} differs by {apart:.3g} of {scale:.3g}")
    if out:
        return out
    for k, value in linked(bfmc, case, folder, flags).items():
        if value.tobytes() != got["jit"][k].tobytes():
            out.append(f"linked: {k} {case.shapes[k]} has other bits, {np.abs(value - got['jit'][k]).max():.3g} apart")
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bfmc", required=True)
    p.add_argument("--count", type=int, default=6)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--first", type=int, default=0, help="the first case")
    p.add_argument("--print", action="store_true", help="the texts")
    args, flags = p.parse_known_args()
    failed = 0
    for index in range(args.first, args.first + args.count):
        case = Case(args.seed, index)
        with tempfile.TemporaryDirectory() as folder:
            why = check(os.path.abspath(args.bfmc), case, folder, flags)
        failed += bool(why)
        if why or args.print:
            print(f"{'FAIL' if why else 'passed'}  case {case.name}: {'; '.join(why)}\n{case.text()}", flush=True)
    print(f"{args.count - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
