"""Cases for the probe: a model with numbers to run it on, what NumPy says about it, and the probe's answers held against that.

A `Case` may have several runs (steps of training, with states and plain gradient descent between them), masked targets and segments, a mode,
and a reach for difference quotients. `check` writes cases into folders, runs the probe on them and compares everything that comes out.
"""
import os
import re
import shutil
import subprocess
import tempfile

import numpy as np

import bfm_reader
import compare
import reference
import tape
import tensors

TOLERANCE = {"interp": 1e-10, "jit": 3e-4}
SLOPE_TOLERANCE = 1e-6
OWN_METRICS = ("slots_per_token", "served_at_most", "last", "asked")  # what only the library measures
MARGIN, KINK, FAINT = 1e-4, 1e-6, 1e-5
FAINT_METRIC = 1e-3   # entropies near 0 are what is left of terms near 1
FAINT_NARROW = 1e-3  # of the largest gradient: what is smaller in f32 is what cancellation left of larger terms


class Case:
    def __init__(self, name, text, weights, tokens, *, targets=None, segment=None, mode="train", gradient=True, seed=1, step=0, rate=0.0, reach=0.0, states=None):
        """tokens [runs, b, l + 1], or [runs, b, l] with targets of the same shape; negative targets and segments are none."""
        self.name, self.text, self.mode, self.gradient = name, text, mode, gradient
        self.model = bfm_reader.read(text)
        self.weights, self.states = weights, states or {}
        self.tokens, self.targets = (tokens, targets) if targets is not None else (tokens[:, :, :-1], tokens[:, :, 1:])
        self.segment = segment
        self.seed, self.step, self.rate, self.reach = seed, step, rate, reach
        self.directions = {}
        self.margin = self.kink = np.inf
        self.expected = None

    def inputs(self, run):
        return (self.tokens[run], self.targets[run]), {"mode": self.mode, "seed": self.seed, "step": self.step + run,
                                                       "segment": None if self.segment is None else self.segment[run]}

    def solve(self):
        """What must come out; the last weights and states stay in `last`."""
        weights = {k: np.asarray(v, np.float64) for k, v in self.weights.items()}
        states, self.expected = dict(self.states), {}
        for run in range(len(self.tokens)):
            tokens, how = self.inputs(run)
            if self.gradient:
                out, ctx = reference.gradients(self.model, weights, tokens, state=states, **how)
            else:
                logits, ctx = reference.forward(self.model, {k: tape.Var(v) for k, v in weights.items()}, tokens, state=states, **how)
                out = {"loss": ctx.total_loss().value, "cross_entropy": ctx.cross_entropy.value, "logits": logits.value}
            out.update({f"loss/{k}": v.value for k, v in ctx.losses.items()})
            out.update({f"metric/{k}": v for k, v in ctx.metrics.items()})
            out.update({f"next/{k}": v for k, v in ctx.nexts.items()})
            self.margin, self.kink = min(self.margin, ctx.smallest_margin), min(self.kink, ctx.smallest_kink)
            self.expected.update({f"{run}/{k}": v for k, v in out.items()})
            states.update(ctx.nexts)
            if self.rate:
                weights = {k: v - self.rate * out[k] for k, v in weights.items()}
        self.last = weights, states
        return self

    def decided(self, margin=MARGIN, kink=KINK):
        """No near ties, no argument near a kink, no gradient that cancellation has emptied of digits, all numbers finite."""
        values = self.expected.values()
        sane = all(np.isfinite(v).all() for v in values) and self.expected["0/loss"] < 100
        sizes = [np.abs(self.expected[f"{r}/{k}"]).max() for k in self.weights for r in range(len(self.tokens)) if self.gradient]
        faint = any(0 < s < FAINT * max(sizes) for s in sizes)
        return sane and not faint and self.margin > margin and self.kink > kink

    def steady(self, seed=0):
        """Do weights that differ in the last bits of f32 give the same numbers within a thirtieth of its tolerance? Else f32 can say little here."""
        rng = np.random.default_rng(seed)
        moved = {k: np.asarray(v, np.float64) * (1 + 1e-7 * rng.standard_normal(v.shape)) for k, v in self.weights.items()}
        other = Case(self.name, self.text, moved, self.tokens, targets=self.targets, segment=self.segment, mode=self.mode, gradient=self.gradient, seed=self.seed, step=self.step,
                     rate=self.rate, states=self.states).solve()
        return compare.differences(other.expected, self.expected, TOLERANCE["jit"] / 30)[1] == []

    def aim(self, seed):
        """One random direction for every parameter."""
        rng = np.random.default_rng(seed)
        self.directions = {k: rng.standard_normal(v.shape) for k, v in self.weights.items()}
        return self

    def loss(self, path, by):
        params = {k: tape.Var(np.asarray(v, np.float64) + (by * self.directions[path] if k == path else 0)) for k, v in self.weights.items()}
        tokens, how = self.inputs(0)
        return float(reference.forward(self.model, params, tokens, state=self.states, **how)[1].total_loss().value)

    def slopes(self):
        """Central difference quotients of the oracle's own loss."""
        return {k: (self.loss(k, self.reach) - self.loss(k, -self.reach)) / (2 * self.reach) for k in self.directions}

    def write(self, folder):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "model.bfm"), "w", encoding="utf-8") as f:
            f.write(self.text)
        arrays = {**self.weights, **self.states, "in/tokens": self.tokens.astype(np.int32), "in/targets": self.targets.astype(np.int32)}
        if self.segment is not None:
            arrays["in/segment"] = self.segment.astype(np.int32)
        arrays.update({f"direction/{k}": v for k, v in self.directions.items()})
        told = {"mode": self.mode, "gradient": "yes" if self.gradient else "no", "seed": str(self.seed), "step": str(self.step), "rate": repr(self.rate)}
        if self.reach:
            told["reach"] = repr(self.reach)
        tensors.save(os.path.join(folder, "case.safetensors"), arrays, told)


def draw(name, text, rng, *, batch=2, length=None, runs=1, tries=60, decide=None, weights_of=None, **how):
    """A case of the text with drawn numbers: the first draw that is decided. None where there is none."""
    model = bfm_reader.read(text)
    length = length or model.context
    for _ in range(tries):
        weights = reference.make_weights(model, int(rng.integers(2**31)))
        tokens = rng.integers(0, model.vocab, (runs, batch, length + 1))
        given = {k: v(rng, runs, batch, length, model.vocab) if callable(v) else v for k, v in how.items()}
        if "targets" in given:
            tokens = tokens[:, :, :-1]
        case = Case(name, text, weights, tokens, **given).solve()
        if case.decided(**(decide or {})):
            return case
    return None


# ---- holding the probe against them ----------------------------------------------------------------------------------


def run_probe(probe, engine, folders, extra=()):
    """{folder: None or why it failed}. A process that dies takes one case with it; the others are run again without it."""
    verdicts, left = {}, list(folders)
    while left:
        done = subprocess.run([probe, "--engine", engine, *extra, *left], capture_output=True, text=True, errors="replace")
        for line in done.stdout.splitlines():
            if line.startswith("ok ") and line[3:] in left:
                verdicts[line[3:]] = None
            elif line.startswith("FAILED "):
                folder, _, why = line[7:].partition(": ")
                verdicts[folder] = why
        left = [f for f in left if f not in verdicts]
        if left:
            verdicts[left[0]] = f"the probe died ({done.returncode}): {done.stderr.strip()[-300:]}"
            left = left[1:]
    return verdicts


def without(table, names):
    return {k: v for k, v in table.items() if k not in names}


def complaints(case, got, engine, tol, lenient):
    """What is wrong with the probe's answers. lenient: faint gradients of an f32 engine are held against the size of the others."""
    slopes = {k[6:]: float(got.pop(k)) for k in list(got) if k.startswith("slope/")}
    extra = [k for k in got if k not in case.expected and "/metric/" in k and re.sub(r"\[\d+\]$", "", k).rsplit(".", 1)[1] in OWN_METRICS]
    for k in extra:
        del got[k]
    least = FAINT_NARROW * max(np.abs(case.expected[f"0/{k}"]).max() for k in case.weights) if lenient and engine != "interp" and case.gradient else 0.0
    metric = {k for k in [*got, *case.expected] if "/metric/" in k}
    worst, bad = compare.differences(without(got, metric), without(case.expected, metric), tol, least)
    off, more = compare.differences(without(got, set(got) - metric), without(case.expected, set(case.expected) - metric), tol, FAINT_METRIC)
    worst, bad = max(worst, off), bad + more
    for path, measured in slopes.items() if engine == "interp" else ():
        gradient = {k: got[f"0/{k}"] for k in case.weights}
        size = max(np.abs(g).max() for g in gradient.values())
        claimed = float((np.asarray(gradient[path], np.float64) * case.directions[path]).sum())
        if not abs(claimed - measured) <= SLOPE_TOLERANCE * (abs(claimed) + size):
            bad.append(f"{path}: the loss moves by {measured:.9g}, its gradient says {claimed:.9g}")
    return worst, bad


def check(cases, probe, engine, *, extra=(), tol=None, lenient=False, keep=None, chunk=40, verbose=False, say=print):
    """(passed, failed, worst relative error). Folders of failed cases are copied to `keep`."""
    passed = failed = 0
    worst = 0.0
    for start in range(0, len(cases), chunk):
        with tempfile.TemporaryDirectory() as scratch:
            part = {os.path.join(scratch, f"{i}_" + re.sub(r"\W+", "_", c.name)[:40]): c for i, c in enumerate(cases[start:start + chunk])}
            for folder, case in part.items():
                case.write(folder)
            verdicts = run_probe(probe, engine, list(part), extra)
            for folder, case in part.items():
                why = verdicts[folder]
                if why is None:
                    error, bad = complaints(case, tensors.load(os.path.join(folder, f"out.{engine}.safetensors")), engine, tol or TOLERANCE[engine], lenient)
                    worst = max(worst, error if np.isfinite(error) else np.inf)
                    why = f"{len(bad)} differ: " + "; ".join(bad[:4]) if bad else None
                passed, failed = passed + (why is None), failed + (why is not None)
                if why is not None:
                    say(f"FAIL  {engine} {case.name}: {why}", flush=True)
                    if keep:
                        tensors.save(os.path.join(folder, "expected.safetensors"), case.expected)
                        shutil.copytree(folder, os.path.join(keep, os.path.basename(folder)), dirs_exist_ok=True)
                elif verbose:
                    say(f"ok    {engine} {case.name} ({error:.2g})")
    return passed, failed, worst
