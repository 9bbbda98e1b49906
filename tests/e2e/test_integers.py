"""Integers that may be none: the same with a name and in place, refused where a number leaves a definition, alike in training, evaluation and decoding."""
import shutil
import unittest

import numpy as np

from harness import Case, log, read_safetensors, safetensors

MODEL = """use std.layers
use std.optimizers
layer t(x[b, l, d]; vocab: count, tokens[b, l]: vocab) -> [b, l, d] {
    %s
}
model m {
    vocab   = %d
    context = 24
    embed(d = 4)
    t() norm = none wiring = none
    head(tied = false)
}
recipe r {
    optimizer = adamw(rate = 0.003)
    batch     = 2
    context   = 24
    steps     = %d
    seed      = 1
}
"""
X = "return y[b, l, i] = x[b, l, i]"
AT = np.arange(6)


def chosen(condition, a=0.5, b=0.25):
    return lambda x, tokens: x * np.broadcast_to(np.where(condition(tokens), a, b), tokens.shape)[..., None]


# Conditions and numbers in place, and what NumPy makes of them, with 6 positions.
IN_PLACE = [
    (f"{X} * select(exists(index[3](l - 1)), 0.5, 0.25)", chosen(lambda t: (AT >= 1) & (AT <= 3))),
    (f"{X} * select(index[3](l) == 4, 0.5, 0.25)", chosen(lambda t: AT < 0)),
    (f"{X} * select(index[3](l) != 4, 0.5, 0.25)", chosen(lambda t: AT < 3)),
    (f"{X} * select(100 > index[3](l), 0.5, 0.25)", chosen(lambda t: AT < 3)),
    (f"{X} * select(not index[3](l) <= 100, 0.5, 0.25)", chosen(lambda t: AT >= 3)),
    (f"{X} * select(exists(index[4](tokens[b, l] - 5)), 0.5, 0.25)", chosen(lambda t: (t >= 5) & (t < 9))),
    (f"{X} * select(exists(index[3](l / 2 - 0.5)), 0.5, 0.25)", chosen(lambda t: AT <= 5)),  # -0.5 and 0.5 are 0, 2 is 2
    (f"{X} * select(index[3](l / 2) == 2, 0.5, 0.25)", chosen(lambda t: (AT >= 3) & (AT <= 5))),  # 1.5, 2 and 2.5 are 2
    (f"{X} * select(exists(index[size(l)](l + 2)), index[size(l)](l + 2), -1)", chosen(lambda t: AT < 4, AT + 2, -1)),
    (f"{X} + (sum[k | exists(index[3](k - 1))] x[b, k, i])", lambda x, t: x + x[:, 1:4].sum(1, keepdims=True)),
    (f"{X} + (mean[k | not exists(index[3](k - 1))] x[b, k, i])", lambda x, t: x + x[:, [0, 4, 5]].mean(1, keepdims=True)),
    (f"{X} * (sum[v in 0 ..< 6 | v == index[3](l)] (v + 2))", chosen(lambda t: AT < 3, AT + 2, 0)),
    (f"let p[b, l, i] = x[b, l, i] where exists(index[3](l - 1))\n    let r[b, i] = mean[l] p[b, l, i]\n    {X} + r[b, i]", lambda x, t: x + x[:, 1:4].mean(1, keepdims=True)),
    (f"a[b, l, i] += x[b, l, i] where index[9](tokens[b, l]) > 4\n    return a", chosen(lambda t: (t > 4) & (t < 9), 1, 0)),
    (f"fn_of[b, l] += near(l - 2)\n    {X} * fn_of[b, l]", chosen(lambda t: (AT >= 2) & (AT < 5), 1, 0)),
    (f"let k[b, l] = index[7](index[3](l))\n    {X} * select(exists(k[b, l]), 0.5, 0.25)", chosen(lambda t: AT < 3)),
]
# A number is wanted, and the integer may be none; a term would be lost where it is.
WANTED = ["loss q = index[3](5)\n    " + X, "let k[b, l] = tokens[b, l] where l > 1\n    loss q = k[0, 0]\n    " + X, "metric q[b, l] = index[3](l) mean\n    " + X, "state s = 0\n    next s = index[3](5)\n    " + X,
          "state s[d] = 0\n    let k[i in 0 ..< d] = index[3](i)\n    next s[i] = k[i]\n    " + X, "return y[b, l, i in 0 ..< d] = index[3](l)",
          "let k[b, l] = index[3](l)\n    return y[b, l, i in 0 ..< d] = k[b, l]"]
LOST = ["let k[b, l] = index[3](l)\n    param w[3, d] = 1\n    {X} + w[k[b, l], i]", "let k[b, l] = index[5](tokens[b, l])\n    param w[5, d] = 1\n    {X} + w[k[b, l], i]",
        "let k[b, l] = index[vocab](l - 1)\n    param w[vocab] = 1\n    loss q = 0.1 + w[k[0, 0]]\n    {X}", "let k[b, l] = index[vocab](l - 1)\n    param w[vocab] = 1\n    let r = w[k[0, 0]]\n    loss q = 0.5 + r * 2\n    {X}",
        "let k[b, l] = index[vocab](l - 1)\n    param w[vocab] = 1\n    metric q = 0.5 + w[k[0, 0]] mean\n    {X}"]
# Layers with integers that are none, and extents of their own, that write text position by position.
DECODED = [f"{X} * select(exists(index[3](l - 1)), 0.5, 0.25)", f"{X} * select(index[60](tokens[b, l] - 50) < 40, 0.5, 0.25)",
           "let k[b, l] = tokens[b, l - 1] where l >= 1\n    param w[vocab, d] ~ normal(0, 1)\n    return y[b, l, i] = w[k[b, l], i]",
           "let k[b, l] = index[7](l - 3)\n    param w[7, d] ~ normal(0, 1)\n    let p[b, l, i] = x[b, l, i] + w[k[b, l], i]\n    return y[b, l, i] = mean[t | t <= l] p[b, t, i]",
           "recur h[b, l, i] = select(exists(index[5](l - 2)), 0.5, 0.25) * h[b, l - 1, i] + x[b, l, i] where index[110](tokens[b, l]) < 105\n    return h",
           "let k[b, l] = tokens[b, l - 2] where l >= 2\n    param w[vocab, d] ~ normal(0, 1)\n    recur h[b, l, i] = 0.5 * h[b, l - 1, i] + x[b, l, i] + w[k[b, l], i]\n    return h",
           "a[b, l, i] += x[b, l, i] where index[110](tokens[b, l]) > 100\n    return a",
           "let z[b, (t in 0 ..< size(l), s in 0 ..< 2), i in 0 ..< d] = x[b, t, i] * (s + 1)\n    return y[b, l, i] = mean[s in 0 ..< 2] z[b, (l, s), i]"]
METRICS = """let k[b, l] = index[8](tokens[b, l] - 90)
    metric share[b, l] = select(exists(k[b, l]), 1, 0) mean
    metric near[b, l]  = select(index[8](tokens[b, l] - 90) > 4, 1, 0) mean
    metric top[b, l]   = tokens[b, l] max
    metric one         = index[40](3) sum
    """ + X


class Integers(Case):
    def grad(self, text, weights, tokens, engine):
        np.save(self.path("t.npy"), tokens.astype(np.int32))
        self.ok("grad", self.write("m.bfm", text), "--weights", self.write("w.safetensors", safetensors(weights)), "--tokens", self.path("t.npy"), "--out", self.path("o.safetensors"), "--engine", engine)
        return read_safetensors(self.path("o.safetensors"))

    def test_in_place(self):
        rng = np.random.default_rng(4)
        weights = {"embed_0.table": rng.normal(size=(16, 4)).astype(np.float32), "head_0.w": np.concatenate([np.eye(4), np.zeros((12, 4))]).astype(np.float32)}
        tokens = rng.integers(0, 16, (3, 7))
        x = 2 * weights["embed_0.table"].astype(float)[tokens[:, :-1]]
        for layer, made in IN_PLACE:
            for engine in ("interp", "jit"):
                got = self.grad("fn near(e) = select(exists(index[3](e)), 1, 0)\n" + MODEL % (layer, 16, 1), weights, tokens, engine)["logits"][..., :4]
                self.assertLess(np.abs(got - made(x, tokens[:, :-1])).max(), 1e-5, (layer, engine))

    def test_where_a_number_is_wanted(self):
        for layer in WANTED:
            said = self.ok("check", self.write("m.bfm", MODEL % (layer, 16, 1)), code=1).stderr
            self.assertIn("E0408", said, layer)
            self.assertIn("this integer may be none", said, layer)
        for layer in LOST:
            self.assertIn("E0408", self.ok("check", self.write("m.bfm", MODEL % (layer.replace("{X}", X), 16, 1)), code=1).stderr, layer)
        for layer in ("loss q = index[6](5)\n    " + X, "metric q[b, l] = index[size(l)](size(l) - 1 - l) mean\n    " + X, "let k[b, l] = index[30](l)\n    return y[b, l, i in 0 ..< d] = k[b, l]",
                      f"let k[b, l] = index[24](l)\n    param w[24, d] = 1\n    {X} + w[k[b, l], i]"):
            self.ok("check", self.write("m.bfm", MODEL % (layer, 16, 1)))

    def test_decoding(self):
        data = self.pack()
        for layer in DECODED:
            shutil.rmtree(self.path("run"), ignore_errors=True)
            self.ok("train", self.write("m.bfm", MODEL % (layer, 256, 2)), data, "--out", self.path("run"), "-q")
            said = self.ok("generate", self.path("run"), "--prompt", "The naïve fox", "-n", 40, "--seed", 3, "--verify").stderr
            self.assertIn("agree in every bit", said, layer)
            loss = [self.json("eval", self.path("run"), data, "--engine", engine, "--eval-tokens", 200)["nats_per_token"] for engine in ("jit", "interp")]
            self.assertLess(abs(loss[0] - loss[1]), 1e-4 * loss[1], layer)

    def test_metrics(self):
        data = self.pack("ab" * 4000)  # 97 and 98; every row of an even length has as many of each
        self.ok("train", self.write("m.bfm", MODEL % (METRICS, 256, 50)), data, "--out", self.path("run"), "-q")
        last = log(self.path("run"), "metrics.jsonl")[-1]
        wanted = {"t_0.share": [1, 0] * 12, "t_0.near": [1, 0] * 12, "t_0.top": [97, 98] * 12, "t_0.one": 3}
        self.assertEqual({name: last[name] for name in wanted}, {k: v * 2 if isinstance(v, list) else v for k, v in wanted.items()})


if __name__ == "__main__":
    unittest.main()
