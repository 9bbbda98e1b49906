#!/usr/bin/python3
"""Random initial values and metrics in short trainings, held against NumPy.

    random_training.py --bfmc build/release/bfmc [--count N] [--seed S] [--first I] [--print]

Initial values are formulas of the indices: where one gives no finite number, or none in f32, training is refused, naming the parameter and its element, and leaves no run behind;
otherwise the first checkpoint holds the numbers. Metrics are random formulas of tokens and positions, reduced and merged over the micro-batches of a step by sum, mean or max:
what is logged of a step is what its whole batch gives, however it is cut.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "oracle"), os.path.join(HERE, "..", "optimizers")]
import batches  # noqa: E402
import tensors  # noqa: E402

CONTEXT, ROWS, STEPS = 8, 4, 50  # metrics are logged at every fiftieth step

# Initial values of w[i in 0 ..< 6, j in 0 ..< 3]: text with a place {n} for a number, what they are.
STARTS = [("1 / (i - {n})", lambda i, j, n: 1 / (i - n)), ("log(i - {n})", lambda i, j, n: np.log(i - n)), ("rsqrt(i + j - {n})", lambda i, j, n: (i + j - n) ** -0.5),
          ("0 / (j - {n})", lambda i, j, n: 0 / (j - n)), ("10 ^ ({n} * (i + 5))", lambda i, j, n: 10.0 ** (n * (i + 5))), ("select(i == {n}, 1 / (i - {n}), j)", lambda i, j, n: np.where(i == n, np.inf, j)),
          ("(j - {n}) ^ 0.5 * i", lambda i, j, n: (j - n) ** 0.5 * i), ("i / ({n} * j + 1)", lambda i, j, n: i / (n * j + 1))]

# What is counted at each position: text, what it is of the tokens [b, l].
COUNTED = [("(tokens[b, l] == {n})", lambda t, n: t == n), ("tokens[b, l] / 128", lambda t, n: t / 128), ("select(tokens[b, l] < {n}, l, 0.5)", lambda t, n: np.where(t < n, np.arange(t.shape[1]), 0.5)),
           ("(tokens[b, l] >= {n} and l > 2)", lambda t, n: (t >= n) & (np.arange(t.shape[1]) > 2)), ("max(tokens[b, l], {n}) / 64 - l / 4", lambda t, n: np.maximum(t, n) / 64 - np.arange(t.shape[1]) / 4)]
# How a metric is written, and what the whole batch gives.
MERGED = [("(sum[b, l] {e}) sum", lambda v: v.sum()), ("(mean[b, l] {e}) mean", lambda v: v.mean()), ("(max[b, l] {e}) max", lambda v: v.max()), ("(mean[b] max[l] {e}) mean", lambda v: v.max(1).mean()),
          ("(max[b] sum[l] {e}) max", lambda v: v.sum(1).max()), ("(sum[b] (max[l] {e}) ^ 2) sum", lambda v: (v.max(1) ** 2).sum())]


class Case:
    def __init__(self, seed, index):
        r = random.Random(f"training/{seed}/{index}")
        self.name, self.parts = f"{seed}/{index}", r.choice([1, 2, 4])
        text, number = r.choice(STARTS)
        n = r.randrange(-1, 5)
        self.start = text.replace("- {n}", f"- {n}" if n >= 0 else f"+ {-n}").format(n=n)
        with np.errstate(all="ignore"):
            self.w = np.broadcast_to(number(*np.indices((6, 3)).astype(np.float64), float(n)), (6, 3)).astype(np.float32)
        self.finite = bool(np.isfinite(self.w).all())
        self.metrics, lines = {}, []
        for k in range(4):
            (each, value), (form, merge), n = r.choice(COUNTED), r.choice(MERGED), r.choice([97, 101, 110])
            lines.append(f"    metric m{k} = {form.format(e='(' + each.format(n=n) + ')')}")
            self.metrics[f"own_0.m{k}"] = lambda t, value=value, merge=merge, n=n: merge(np.asarray(value(t, n), float))
        lines.append("    metric ratio = m0 / (1 + abs(m1)) mean")
        self.text = ("use std.layers\nuse std.recipes\nlayer own(x[b, l, d]; vocab: count, tokens[b, l]: vocab) -> [b, l, d] {\n    param w[i in 0 ..< 6, j in 0 ..< 3] = " + self.start + "\n" +
                     "\n".join(lines) + "\n    loss small = 1e-30 * (sum[i, j] w[i, j] * 1e-30)\n    return x\n}\nmodel m {\n    vocab = 256\n    context = 8\n    embed(d = 4)\n    own()\n    head(tied = false)\n}\n" +
                     f"recipe r {{\n    optimizer = sgd(rate = 1e-12)\n    batch = {ROWS // self.parts}\n    accumulate = {self.parts}\n    context = {CONTEXT}\n    steps = {STEPS}\n    seed = 7\n}}\n")


def bfmc(binary, folder, *arguments):
    return subprocess.run([binary, *arguments], cwd=folder, capture_output=True, text=True, timeout=120)


def train(binary, folder, case, engine):
    with open(os.path.join(folder, f"m{engine}.bfm"), "w") as file:
        file.write(case.text)
    done = bfmc(binary, folder, "train", f"m{engine}.bfm", "data", "--out", engine, "--engine", engine, "--eval-every", "0", "--eval-tokens", "16", "--threads", "1", "-q")
    run = os.path.join(folder, engine)
    if not case.finite:
        at = tuple(np.argwhere(~np.isfinite(case.w))[0])
        if done.returncode != 1 or "`own_0.w`" not in done.stderr or "must be finite" not in done.stderr:
            return [f"not refused, but exit {done.returncode}: {done.stderr[:300]}"]
        if f"[{at[0] * 3 + at[1]}]" not in done.stderr and f" {at[0] * 3 + at[1]}" not in done.stderr:
            return [f"does not name element {at}: {done.stderr[:300]}"]
        return ["leaves a run behind"] if os.path.exists(run) else []
    if done.returncode:
        return [f"exit {done.returncode}: {done.stderr[:300]}"]
    out = []
    kept = tensors.load(os.path.join(run, "ckpt", str(STEPS), "model.safetensors"))["own_0.w"]
    if not np.allclose(kept, case.w, rtol=1e-6):
        out.append(f"own_0.w is {kept.ravel()}, not {case.w.ravel()}")
    with open(os.path.join(run, "metrics.jsonl")) as file:
        got = json.loads(file.read().splitlines()[-1])
    ids = batches.read_ids(os.path.join(folder, "data", "train.tok"))
    tokens = np.concatenate([batches.batch(ids, ROWS // case.parts, CONTEXT, 7, (STEPS - 1) * case.parts + k)[:, :-1] for k in range(case.parts)])
    right = {name: value(tokens) for name, value in case.metrics.items()}
    right["own_0.ratio"] = right["own_0.m0"] / (1 + abs(right["own_0.m1"]))
    for name, value in right.items():
        if not abs(got[name] - value) <= 1e-5 * max(1, abs(value)):
            out.append(f"{name} is {got[name]}, not {value} in {case.parts} parts")
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bfmc", required=True)
    p.add_argument("--count", type=int, default=10)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--first", type=int, default=0, help="the first case")
    p.add_argument("--print", action="store_true", help="the texts")
    args = p.parse_args()
    binary, failed = os.path.abspath(args.bfmc), 0
    with tempfile.TemporaryDirectory() as scratch:
        with open(os.path.join(scratch, "text"), "wb") as file:
            file.write(np.random.default_rng(args.seed).integers(96, 116, 3000).astype(np.uint8).tobytes())
        done = bfmc(binary, scratch, "data", "pack", "text", "--split", "80,10,10", "--out", "data", "-q")
        assert done.returncode == 0, done.stderr
        for index in range(args.first, args.first + args.count):
            case = Case(args.seed, index)
            with tempfile.TemporaryDirectory() as folder:
                os.symlink(os.path.join(scratch, "data"), os.path.join(folder, "data"))
                why = [f"{engine}: {text}" for engine in ("interp", "jit") for text in train(binary, folder, case, engine)]
            failed += bool(why)
            if why or args.print:
                print(f"{'FAIL' if why else 'passed'}  case {case.name}: {'; '.join(why)}\n{case.text}", flush=True)
    print(f"{args.count - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
