#!/usr/bin/python3
"""Padding is nobody: rows that end early, begin late or do not exist, held against NumPy, in training and in evaluation.

    test_padding.py BFMC

Every router over every group, and every layer that looks at other positions. The oracle's masked positions reach nothing; whatever else is
computed at them shows as a difference of a loss, a logit or a gradient. Evaluation pads its last rows by itself.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np

import bfm_reader
import cases
import compare
import grid
import reference
import tape
import tensors

BFMC = sys.argv.pop(1) if len(sys.argv) > 1 else "bfmc"
TOLERANCE = {"interp": 1e-10, "jit": 5e-5}
CONTEXT, VOCAB = 6, 11

MIXING = ["attention(heads = 2, head_dim = 4, conv = 2)", "attention(heads = 1, head_dim = 4, causal = false, position = relative)", "gmlp(hidden = 4)", "token_mixer(hidden = 3, act = gelu)"]
CHOICE = "aux = 0.5, z = 0.1, capacity = 0.75, small_groups = true"
ROUTERS = [f"top2({CHOICE}, {{}})", f"top2({CHOICE}, order = choice, {{}})", f"topk(k = 1, {CHOICE}, {{}})", f"topk(k = 3, {CHOICE}, order = choice, {{}})", f"top1({CHOICE}, {{}})",
           "expert_choice(small_groups = true, {})", "expert_threshold(small_groups = true, {})", "loss_free(k = 2, capacity = 0.75, small_groups = true, {})", "loss_free(k = 1, {})", "soft({})", "hash({})",
           "random({})"]
FAMILIES = {"mixing": MIXING, **{group: [f"moe(experts = 3, hidden = 3, act = silu, router = {r.format('group = ' + group)})" for r in ROUTERS] for group in grid.GROUPS}}


def text_of(lines):
    return grid.model(lines, d=6, vocab=VOCAB, context=CONTEXT, before="use std.recipes\n") + "recipe r {\n    optimizer = sgd(rate = 0.001)\n    batch = 4\n    steps = 5\n}\n"


def read(text):
    model = bfm_reader.read(text)
    for node in model.nodes:
        node.attrs["masked"] = True  # every layer of these models sees the segments
    return model


def padded(rng, kind):
    """[4, l + 1] ids; -1 is padding."""
    tokens = rng.integers(0, VOCAB, (4, CONTEXT + 1))
    if kind == "behind":
        for row, kept in enumerate((CONTEXT + 1, 4, 2, 5)):
            tokens[row, kept:] = -1
    elif kind == "before":
        tokens[1, :3] = tokens[2, :1] = -1
    else:  # rows that do not exist
        tokens[1:3] = -1
        tokens[3, 4:] = -1
    return tokens


def inputs_of(tokens):
    """Inputs, targets and segments [b, l]: what follows padding is no target."""
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    return (inputs, np.where(inputs < 0, -1, targets)), np.where(inputs < 0, -1, 0)


# Definitions that give no number at padding: tokens as numbers, norms of an empty embedding without eps, logarithms and roots of 0.
UNDEFINED = """use std.layers
use std.routers
use std.recipes
layer value(x[b, l, d]; tokens[b, l]: vocab, vocab: count) -> [b, l, d] wiring = none {
    param a[d] ~ normal(0, 1)
    return y[b, l, o] = x[b, l, o] + 0.1 * a[o] * tokens[b, l]
}
layer inverse(x[b, l, d]; tokens[b, l]: vocab, vocab: count) -> [b, l, d] wiring = none {
    param a[d] ~ normal(0, 1)
    let i[b, l] = tokens[b, l] / (1 + tokens[b, l]) - 0.5
    return y[b, l, o] = x[b, l, o] * select(i[b, l] > 0, 1 + i[b, l], 1 - a[o] * i[b, l])
}
norm plain(x[n, l, d]) -> [n, l, d] {
    param g[d] ~ normal(1, 0.1)
    let r[n, l] = rsqrt(mean[i] x[n, l, i] ^ 2)
    return y[n, l, o] = x[n, l, o] * r[n, l] * g[o]
}
layer lengths(x[b, l, d]) -> [b, l, d] {
    param w[d, d] ~ normal(0, 0.4)
    let h[b, l, o] = sum[i] x[b, l, i] * w[i, o]
    let n[b, l] = sqrt(sum[o] h[b, l, o] ^ 2)
    return y[b, l, o] = h[b, l, o] / n[b, l] + 0.1 * log(n[b, l])
}
layer linear(x[b, l, d]; segment[b, l] = 0) -> [b, l, d] {
    param q[d, 4] ~ normal(0, 0.5)
    let k[b, l, e] = sum[i] x[b, l, i] * q[i, e]
    let s[b, l, e, i] = sum[j | j <= l and segment[b, j] == segment[b, l]] k[b, j, e] * x[b, j, i]
    return y[b, l, o] = 0.1 * (sum[e] k[b, l, e] * s[b, l, e, o])
}
layer mean_before(x[b, l, d]; segment[b, l] = 0) -> [b, l, d] {
    param a[d] ~ normal(0, 1)
    let m[b, l, o] = mean[j | j <= l and exists(segment[b, j])] x[b, j, o]
    return y[b, l, o] = a[o] * m[b, l, o]
}
layer trace(x[b, l, d]; segment[b, l] = 0) -> [b, l, d] {
    param a[d] ~ normal(0, 1)
    recur h[b, l, n] = sigmoid(a[n]) * h[b, l - 1, n] + x[b, l, n] where exists(segment[b, l])
    return h
}
layer totals(x[b, l, d]; tokens[b, l]: vocab, vocab: count, segment[b, l] = 0) -> [b, l, d] {
    param a[d] ~ normal(0, 0.1)
    let m[b, l] = sum[j | j <= l and exists(segment[b, j])] tokens[b, j] / 10
    return y[b, l, o] = a[o] * m[b, l] * x[b, l, o]
}
model m {
    vocab = 256
    context = 6
    embed(d = 6)
    LINES
    head(tied = true)
}
recipe r {
    optimizer = sgd(rate = 0.001)
    batch = 4
    steps = 5
}
"""
MIXED = ["attention(heads = 2, head_dim = 4)", "attention(heads = 1, head_dim = 4, qk_norm = true, conv = 2)", "gmlp(hidden = 4)", "token_mixer(hidden = 3)", "linear()", "mean_before()", "trace()",
         "totals()", "moe(experts = 3, hidden = 3, router = topk(k = 2, aux = 0, group = sequence, small_groups = true))", "ffn(hidden = 4)"]


class Padding(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def bfmc(self, *arguments):
        done = subprocess.run([BFMC, *arguments], capture_output=True, text=True, cwd=self.folder, timeout=120)
        self.assertIn(done.returncode, (0, 75), f"{arguments}\n{done.stdout}{done.stderr}")
        return done

    def grad(self, tokens, engine):
        np.save(self.path("t.npy"), tokens.astype(np.int32))
        self.bfmc("grad", "m.bfm", "--weights", "w.safetensors", "--tokens", "t.npy", "--out", "o.safetensors", "--engine", engine, "--threads", "1")
        return tensors.load(self.path("o.safetensors"))

    def prepare(self, text, seed=3):
        with open(self.path("m.bfm"), "w") as file:
            file.write(text)
        weights = reference.make_weights(bfm_reader.read(text), seed)
        tensors.save(self.path("w.safetensors"), weights)
        return weights

    def hold(self, got, expected, live, tolerance):
        for table in (got, expected):
            table["logits"] = np.asarray(table["logits"])[live]
        worst, bad = compare.differences(got, expected, tolerance)
        self.assertEqual(bad, [], worst)

    def check_training(self, lines, engines):
        text = text_of(lines)
        for kind in ("behind", "before", "rows"):
            for seed in range(40):
                weights, tokens = self.prepare(text, seed), padded(np.random.default_rng(seed), kind)
                pair, segment = inputs_of(tokens)
                expected, ctx = reference.gradients(read(text), weights, pair, segment=segment)
                if ctx.smallest_margin > cases.MARGIN and ctx.smallest_kink > cases.KINK:
                    break
            for engine in engines:
                with self.subTest(kind=kind, engine=engine, lines=lines):
                    self.hold(self.grad(tokens, engine), dict(expected), segment >= 0, TOLERANCE[engine])

    def test_layers_that_mix_positions(self):
        self.check_training(MIXING, ("interp", "jit"))

    def test_routers_one_by_one(self):
        for group in grid.GROUPS:
            for line in FAMILIES[group]:
                self.check_training([line], ("interp",))

    def test_routers_compiled(self):
        for group in grid.GROUPS:
            for at in range(0, len(ROUTERS), 4):
                self.check_training(FAMILIES[group][at:at + 4], ("jit",))

    def test_rows_that_are_not_there(self):
        """With groups inside a sequence a padded row gives the bits of a shorter one; a row of padding is as if it were not there."""
        lines = MIXING[:1] + MIXING[2:] + [line for line in FAMILIES["sequence"] if "random" not in line]
        lines = [line for line in lines if "order = choice" not in line and "expert_" not in line]  # which see the id that is a target only in the shorter row
        self.prepare(text_of(lines))
        tokens = np.random.default_rng(5).integers(0, VOCAB, (2, CONTEXT + 1))
        whole = self.grad(tokens, "interp")
        more = self.grad(np.concatenate([tokens, np.full((2, CONTEXT + 1), -1)]), "interp")
        np.testing.assert_array_equal(whole["logits"], more["logits"][:2])
        for name in whole:
            if name != "logits":
                np.testing.assert_allclose(more[name], whole[name], rtol=1e-12, atol=1e-15, err_msg=name)
        short = self.grad(tokens[:, :4], "interp")
        longer = tokens.copy()
        longer[:, 4:] = -1
        longer = self.grad(longer, "interp")
        np.testing.assert_array_equal(short["logits"], longer["logits"][:, :3])
        np.testing.assert_allclose(longer["cross_entropy"], short["cross_entropy"], rtol=1e-13)

    def check_undefined(self, lines):
        """Padding behind rows gives what the rows give by themselves, whatever it holds."""
        for folder in ("run", "data"):
            shutil.rmtree(self.path(folder), ignore_errors=True)
        with open(self.path("m.bfm"), "w") as file:
            file.write(UNDEFINED.replace("LINES", "\n    ".join(lines)))
        ids = self.held_out(None, 40)
        shutil.copy(self.path("run/ckpt/1/model.safetensors"), self.path("w.safetensors"))
        tokens = np.random.default_rng(7).integers(0, VOCAB, (3, CONTEXT + 1))
        longer = np.concatenate([tokens, np.full((1, CONTEXT + 1), -1)])
        longer[:, 4:] = -1
        for engine in ("interp", "jit"):
            expected, got = self.grad(tokens[:, :4], engine), self.grad(longer, engine)
            np.testing.assert_allclose(got["logits"][:3, :3], expected["logits"], rtol=TOLERANCE[engine], atol=TOLERANCE[engine])
            for name in expected:
                if name != "logits":
                    np.testing.assert_allclose(got[name], expected[name], rtol=TOLERANCE[engine], atol=TOLERANCE[engine], err_msg=f"{name} {engine} {lines}")
        windows = [ids[at:at + CONTEXT + 1] for at in range(0, len(ids) - 1, CONTEXT)]
        nats = sum(float(self.grad(window[None], "interp")["cross_entropy"]) * (len(window) - 1) for window in windows) / (len(ids) - 1)
        for engine in ("interp", "jit"):
            got = json.loads(self.bfmc("eval", "run", "data", "--json", "--engine", engine, "--threads", "1").stdout)["nats_per_token"]
            self.assertAlmostEqual(got, nats, delta=2e-5 * nats)

    def test_numbers_that_padding_lacks(self):
        for line in MIXED:
            with self.subTest(line=line):
                self.check_undefined(["value()", "inverse()", f"{line} norm = plain", "lengths()"])
        self.check_undefined(["lengths()", "plain()", "value()"])

    def held_out(self, weights, count):
        """A run with these weights, and a data folder whose held-out part has `count` ids below VOCAB; the ids."""
        with open(self.path("t.txt"), "wb") as file:
            rng = np.random.default_rng(count)
            file.write(b"@@".join(bytes(rng.integers(0, VOCAB, size).astype(np.uint8)) for size in (count, count, count)))
        self.bfmc("data", "pack", "t.txt", "--document-separator", "@@", "--split", "34,33,33", "--out", "data", "-q")
        with open(self.path("data/valid.tok"), "rb") as file:
            raw = file.read()
        ids = np.frombuffer(raw, "<u2", count=int.from_bytes(raw[24:32], "little"), offset=128).astype(int)
        start = ("--init", "w.safetensors") if weights else ()
        self.bfmc("train", "m.bfm", "data", *start, "--out", "run", "--budget", "1step", "--freeze", "*", "--eval-every", "0", "--threads", "1", "-q")
        return ids

    def nats(self, text, weights, ids, batch):
        """Windows in order, `batch` at a time; the last are short or missing."""
        model, total, count = read(text), 0.0, 0
        starts = range(0, len(ids) - 1, CONTEXT)
        rows = np.full((-(-len(starts) // batch) * batch, CONTEXT + 1), -1)
        for row, start in enumerate(starts):
            window = ids[start:start + CONTEXT + 1]
            rows[row, :len(window)] = window
        for at in range(0, len(rows), batch):
            pair, segment = inputs_of(rows[at:at + batch])
            states = {f"{node.path}.router.c": np.zeros(3) for node in model.nodes if "expert_threshold" in str(node.attrs.get("router"))}
            _, ctx = reference.forward(model, {k: tape.Var(np.asarray(v, np.float64)) for k, v in weights.items()}, pair, segment=segment, mode="eval", state=states)
            total += float(ctx.cross_entropy.value) * (pair[1] >= 0).sum()
            count += (pair[1] >= 0).sum()
        return total / count

    def test_evaluation(self):
        """The last window is short; with 40 ids a batch of 4 windows and one of 3 rows, with 52 one whose last 3 rows do not exist."""
        for name, lines in FAMILIES.items():
            lines = [line for line in lines if "random" not in line and "loss_free" not in line]
            for size in (40, 52):
                text = text_of(lines).replace(f"vocab = {VOCAB}", "vocab = 256")
                with self.subTest(name=name, size=size):
                    weights = self.prepare(text)
                    ids = self.held_out(weights, size)
                    got = json.loads(self.bfmc("eval", "run/ckpt/0", "data", "--json", "--threads", "1").stdout)["nats_per_token"]
                    self.assertAlmostEqual(got, self.nats(text, weights, ids, 4), delta=2e-5)
                    shutil.rmtree(self.path("run"))
                    shutil.rmtree(self.path("data"))


if __name__ == "__main__":
    unittest.main()
