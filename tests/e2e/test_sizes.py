"""What only the length of a run decides, and integers that are none: right values or a refusal before the first step, from every engine."""
import os
import unittest

import numpy as np

from harness import Case, read_safetensors, safetensors

PATCH = """use std.layers
use std.recipes
layer patch_mean(x[b, l, d]; patch: count = 4) -> [b, l, d] {
    let z[b, p in 0 ..< size(l) / patch, c] = mean[s in 0 ..< patch] x[b, (p, s), c]
    let y[b, (p in 0 ..< size(l) / patch, s in 0 ..< patch), c] = z[b, p, c]
    return u[b, l in 0 ..< size(l), c] = y[b, l, c]
}
model m { vocab = 256 context = 32 embed(d = 8) patch_mean() wiring = none head(tied = false) }
"""
BEFORE = """use std.layers
layer previous(x[b, l, d]; vocab: count, tokens[b, l]: vocab) -> [b, l, d] {
    param table[vocab, d] ~ normal(0, 1)
    let before[b, l] = tokens[b, l - 1] where l >= 1
    return y[b, l, o] = %s
}
model m { vocab = 16 context = 32 embed(d = 4) previous() wiring = none head(tied = false) }
"""
SUM = "x[b, l, o] + (sum[v | v == before[b, l]] table[v, o])"


ONE = """use std.layers
use std.routers
use std.recipes
model m { vocab = 256 context = 16 embed(d = 8) moe(experts = 1, hidden = 8, router = %s) head(tied = false) }
recipe r { optimizer = adamw(rate = 0.01) batch = 2 steps = 2 seed = 1 }
"""


class Sizes(Case):
    def test_one_expert_takes_every_token(self):
        """Whatever the router, trained and evaluated: as with soft weights, which are 1."""
        data, found = self.pack(), {}
        for router in ("soft()", "expert_threshold()", "expert_choice()", "topk(k = 1, capacity = none, aux = 0)"):
            run = self.path(router.split("(")[0])
            self.ok("train", self.write("m.bfm", ONE % router) + ":m", data, "--recipe", "r", "--out", run, "-q")
            found[router] = self.ok("eval", run, data).stdout.split("bits per byte")[0].split("±")[0]
        self.assertEqual(len(set(found.values())), 1, found)

    def grad(self, model, weights, tokens, engine, code=0):
        out = self.path(f"o_{engine}.safetensors")
        np.save(self.path("t.npy"), tokens.astype(np.int32))
        done = self.ok("grad", model, "--weights", self.write("w.safetensors", safetensors(weights)), "--tokens", self.path("t.npy"), "--out", out, "--engine", engine, code=code)
        return done.stderr if code else read_safetensors(out)

    def test_a_length_that_is_no_multiple(self):
        model, rng = self.write("m.bfm", PATCH), np.random.default_rng(1)
        weights = {"embed_0.table": rng.normal(size=(256, 8)).astype(np.float32), "head_0.w": rng.normal(size=(256, 8)).astype(np.float32)}
        for engine in ("interp", "jit"):
            tokens = rng.integers(0, 256, (2, 9))  # eight are read, each predicts the next
            x = weights["embed_0.table"].astype(float)[tokens[:, :-1]] * 8 ** 0.5
            y = np.repeat(x.reshape(2, 2, 4, 8).mean(2), 4, axis=1)
            logits = y @ weights["head_0.w"].astype(float).T
            loss = (np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, tokens[:, 1:, None], 2)[..., 0]).mean()
            self.assertAlmostEqual(float(self.grad(model, weights, tokens, engine)["loss"]), loss, places=4)
            for count in (10, 8, 4, 3):
                said = self.grad(model, weights, tokens[:, :1].repeat(count, 1), engine, code=1)
                self.assertIn(f"m.bfm:4: the length must be a multiple of 4; it is {count - 1}", said)

    def test_nothing_is_begun(self):
        model, data = self.write("m.bfm", PATCH), self.pack()
        for engine in ("interp", "jit"):
            for context in (30, 3):
                done = self.ok("train", model, data, "--recipe", "adamw", "--set", f"adamw.context={context}", "--engine", engine, "--budget", "1step", "--out", self.path("run"), code=1)
                self.assertIn("must be a multiple of 4", done.stderr)
                self.assertFalse(os.path.exists(self.path("run")))
        self.ok("train", model, data, "--recipe", "adamw", "--set", "adamw.context=32", "--budget", "1step", "--out", self.path("run"))
        self.assertIn("must be a multiple of 4", self.ok("profile", model, "--batch", 1, "--length", 30, code=1).stderr)

    def test_a_lookup_that_may_be_none(self):
        for wrong in ("x[b, l, o] + table[before[b, l], o]", "table[before[b, l], o] - x[b, l, o]", "max(x[b, l, o], table[before[b, l], o])",
                      "x[b, l, o] * (1 + table[before[b, l], o])", "select(l == 0, x[b, l, o], table[before[b, l], o])"):
            said = self.ok("check", self.write("m.bfm", BEFORE % wrong), code=1).stderr
            self.assertIn("E0408", said, wrong)
            self.assertIn("sum[v | v == ", said)
        for lines in ("let p[b, l, o] = x[b, l, o] + table[before[b, l], o]\n    return y[b, l, o] = p[b, l, o]",
                      "let p[b, l, o] = table[before[b, l], o]\n    let q[b, l, o] = 2 * p[b, l, o] + x[b, l, o]\n    return y[b, l, o] = x[b, l, o] * q[b, l, o]",
                      "let p[b, l, o] = table[before[b, l], o]\n    let q[b, l, o] = table[third[b, l], o]\n    return y[b, l, o] = p[b, l, o] + q[b, l, o]",
                      "loss a = 1 + table[before[0, 0], 0]\n    return y[b, l, o] = x[b, l, o]", "metric a[b, l] = x[b, l, 0] + table[before[b, l], 0] mean\n    return y[b, l, o] = x[b, l, o]"):
            text = BEFORE.replace("    return y[b, l, o] = %s", "    let third[b, l] = tokens[b, l - 2] where l >= 2\n    " + lines)
            self.assertIn("E0408", self.ok("check", self.write("m.bfm", text), code=1).stderr, lines)
        rng = np.random.default_rng(2)
        weights = {name: rng.normal(size=(16, 4)).astype(np.float32) for name in ("embed_0.table", "previous_0.table", "head_0.w")}
        tokens = rng.integers(0, 16, (2, 7))
        x = weights["embed_0.table"].astype(float)[tokens[:, :-1]] * 2
        found = np.concatenate([np.zeros((2, 1, 4)), weights["previous_0.table"].astype(float)[tokens[:, :-2]]], 1)
        for form, y in ((SUM, x + found), ("2 * x[b, l, o] * table[before[b, l], o]", 2 * x * found)):
            logits = y @ weights["head_0.w"].astype(float).T
            loss = (np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, tokens[:, 1:, None], 2)[..., 0]).mean()
            for engine in ("interp", "jit"):
                self.assertAlmostEqual(float(self.grad(self.write("m.bfm", BEFORE % form), weights, tokens, engine)["loss"]), loss, places=4, msg=form)
        first = BEFORE.replace("return y[b, l, o] = %s", "loss a = table[before[0, 0], 0]\n    return y[b, l, o] = x[b, l, o]")  # a loss over nothing is 0
        logits = x @ weights["head_0.w"].astype(float).T
        loss = (np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, tokens[:, 1:, None], 2)[..., 0]).mean()
        for engine in ("interp", "jit"):
            self.assertAlmostEqual(float(self.grad(self.write("m.bfm", first), weights, tokens, engine)["loss"]), loss, places=4)


if __name__ == "__main__":
    unittest.main()
