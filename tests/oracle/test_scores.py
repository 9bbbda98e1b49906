"""Scores of any size: softmax, log-sum-exp, cross-entropy and what is derived from them depend on differences of scores alone.

    test_scores.py BFMC interp|jit [unittest arguments]

Models are made so that every score is a number chosen here, exactly; expected values are closed forms in f64 of the differences.
"""
import os
import subprocess
import sys
import tempfile
import unittest

import numpy as np

import tensors

BFMC, ENGINE = (sys.argv[1], sys.argv[2]) if len(sys.argv) > 2 else ("bfmc", "interp")
SIZES = [1, 1e2, -1e4, 1e6, 1e8, -1e8, 1e12, 1e20, -1e30, 1e30]

HEAD = """use std.layers
model m {
    vocab   = %d
    context = 8
    embed(d = 4)
    %s
}
"""

# What a user may write of a log-sum-exp: s[b, l, v] are scores, z their log-sum-exp.
LOSSES = {
    "renamed": "let y[b, l] = z[b, l]   let nll[b, l] = y[b, l] - s[b, l, targets[b, l]]",
    "negated": "let nll[b, l] = -(s[b, l, targets[b, l]] - z[b, l])",
    "added": "let minus[b, l] = -s[b, l, targets[b, l]]   let nll[b, l] = minus[b, l] + z[b, l]",
    "probability": "let p[b, l, v] = exp(s[b, l, v] - z[b, l])   let nll[b, l] = -log(p[b, l, targets[b, l]])",
    "softmax": "let p[b, l, v] = softmax[v](s[b, l, v])   let nll[b, l] = -log(p[b, l, targets[b, l]])",
    "scaled": "let y[b, l] = 0.3 * z[b, l]   let nll[b, l] = (y[b, l] - 0.3 * s[b, l, targets[b, l]]) / 0.3",
    "divided": "let nll[b, l] = 7 * (z[b, l] / 7 - s[b, l, targets[b, l]] / 7)",
    "selected": "let nll[b, l] = select(targets[b, l] >= 0, z[b, l], 0) - s[b, l, targets[b, l]]",
    "shifted": "let nll[b, l] = (z[b, l] - s[b, l, targets[b, l]] + 0.25) - 0.25",
    "nested": "let t[b, l, k in 0 ..< 2, v] = s[b, l, v]   let y[b, l] = lse[k] (lse[v] t[b, l, k, v])   let nll[b, l] = y[b, l] - s[b, l, targets[b, l]] - log(2)",
    "constant": "let y[b, l] = z[b, l] + 0.1   let nll[b, l] = y[b, l] - s[b, l, targets[b, l]] - 0.1",
    "logarithm": "let y[b, l] = z[b, l] - log(3)   let nll[b, l] = y[b, l] - s[b, l, targets[b, l]] + log(3)",
    "tensor": "let e[b, l] = tanh(0.25 * l)   let y[b, l] = z[b, l] + e[b, l]   let nll[b, l] = y[b, l] - s[b, l, targets[b, l]] - e[b, l]",
    "larger": "let nll[b, l] = max(z[b, l], s[b, l, targets[b, l]]) - s[b, l, targets[b, l]]",
    "smaller": "let y[b, l] = min(-z[b, l], -s[b, l, targets[b, l]])   let nll[b, l] = -s[b, l, targets[b, l]] - y[b, l]",
    "written": "let m[b, l] = max[v] s[b, l, v]   let y[b, l] = log(sum[v] exp(s[b, l, v] - m[b, l])) + m[b, l]   let nll[b, l] = y[b, l] - s[b, l, targets[b, l]]",
    "means": "let a = (mean[b, l] z[b, l]) - (mean[b, l] s[b, l, targets[b, l]])   let nll[b, l] = 1 * a + 0 * z[b, l] * exists(targets[b, l])",
}

# Losses of what is made of log-sum-exps and other terms, and their values in f64 from scores S[l, v], log-sum-exps z[l] and targets t[l].
softplus = lambda x: np.logaddexp(0, x)
sigmoid = lambda x: 1 / (1 + np.exp(-x))
COMPOUND = {
    "sink": ("let y[b, l] = z[b, l] + softplus(z[b, 0] - z[b, l] - 1)   loss cross_entropy = mean[b, l] (y[b, l] - s[b, l, targets[b, l]])",
             lambda S, z, pick: np.mean(z + softplus(z[0] - z - 1) - pick)),
    "row": ("let y[b, l] = z[b, l] + tanh(0.5 * l)   let p[b, l, v] = exp(s[b, l, v] - y[b, l])   loss cross_entropy = mean[b, l] (-log(p[b, l, targets[b, l]]))",
            lambda S, z, pick: np.mean(z + np.tanh(0.5 * np.arange(len(z))) - pick)),
    "two": ("let c[b, l] = s[b, l, 0] + 1   let m[b, l] = max(z[b, l], c[b, l])   let y[b, l] = m[b, l] + log(exp(z[b, l] - m[b, l]) + exp(c[b, l] - m[b, l]))   "
            "loss cross_entropy = mean[b, l] (y[b, l] - s[b, l, targets[b, l]])", lambda S, z, pick: np.mean(np.logaddexp(z, S[:, 0] + 1) - pick)),
    "largest": ("let m[b] = max[l] z[b, l]   loss cross_entropy = sum[b, l] exp(z[b, l] - m[b]) * (l + 1)", lambda S, z, pick: np.sum(np.exp(z - z.max()) * (1 + np.arange(len(z))))),
    "smallest": ("let m[b] = min[l] z[b, l]   loss cross_entropy = sum[b, l] sigmoid(z[b, l] - m[b]) * (l + 1)", lambda S, z, pick: np.sum(sigmoid(z - z.min()) * (1 + np.arange(len(z))))),
    "mean": ("let m[b] = mean[l] z[b, l]   loss cross_entropy = sum[b, l] sigmoid(z[b, l] - m[b]) * (l + 1)", lambda S, z, pick: np.sum(sigmoid(z - z.mean()) * (1 + np.arange(len(z))))),
    "written": ("let m[b, l] = max[v] s[b, l, v]   let y[b, l] = m[b, l] + log(sum[v] exp(s[b, l, v] - m[b, l]))   loss cross_entropy = mean[b, l] (y[b, l] - s[b, l, targets[b, l]])",
                lambda S, z, pick: np.mean(z - pick)),
    "least": ("let m[b, l] = min[v] s[b, l, v]   let y[b, l] = m[b, l] - log(sum[v] exp(m[b, l] - s[b, l, v]))   loss cross_entropy = mean[b, l] (s[b, l, targets[b, l]] - y[b, l])",
              lambda S, z, pick: np.mean(pick + np.log(np.exp(S.min(-1, keepdims=True) - S).sum(-1)) - S.min(-1))),
    "pair": ("let m[b, l] = max(s[b, l, 0], s[b, l, 1])   let y[b, l] = m[b, l] + softplus(-abs(s[b, l, 0] - s[b, l, 1]))   "
             "loss cross_entropy = mean[b, l] (y[b, l] - s[b, l, targets[b, l]])", lambda S, z, pick: np.mean(np.logaddexp(S[:, 0], S[:, 1]) - pick)),
    "compared": ("let a[b, l] = z[b, l] - s[b, l, targets[b, l]]   loss cross_entropy = mean[b, l] select(z[b, l] > s[b, l, targets[b, l]] + 2.02, 3 * a[b, l], a[b, l])",
                 lambda S, z, pick: np.mean(np.where(z > pick + 2.02, 3, 1) * (z - pick))),
    "ranked": ("let k[b, n] = top[l; 2](z[b, l])   loss cross_entropy = mean[b] exp(z[b, k[b, 1]] - z[b, k[b, 0]]) * (k[b, 0] + 1)",
               lambda S, z, pick: np.exp(np.sort(z)[-2] - z.max()) * (np.argmax(z) + 1)),
}


def softmax(s):
    with np.errstate(over="ignore"):
        e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# Softmaxes some of whose rows have no score above -inf: those of the token 1. Over an axis of the layer's own, and over positions.
MASKED = {
    "rows": """
    param w[d, m in 0 ..< 3] ~ normal(0, 1)
    param v[m in 0 ..< 3, d] ~ normal(0, 1)
    let s[b, l, m] = select(tokens[b, l] == 1, log(0), sum[i] x[b, l, i] * w[i, m])
    return y[b, l, o] = x[b, l, o] / 8 + (sum[m] softmax[m](s[b, l, m]) * v[m, o])""",
    "positions": """
    param w[d, e in 0 ..< 3] ~ normal(0, 1)
    param v[d, e in 0 ..< 3] ~ normal(0, 1)
    let q[b, l, e] = sum[i] x[b, l, i] * w[i, e]
    let k[b, l, e] = sum[i] x[b, l, i] * v[i, e]
    let s[b, i, j] = select(tokens[b, i] == 1, log(0), sum[e] q[b, i, e] * k[b, j, e])   where j <= i
    return y[b, i, o] = x[b, i, o] / 8 + (sum[j] softmax[j](s[b, i, j]) * x[b, j, o])""",
}


class Scores(unittest.TestCase):
    def grad(self, model, weights, tokens):
        with tempfile.TemporaryDirectory() as folder:
            path = lambda name: os.path.join(folder, name)
            with open(path("m.bfm"), "w") as file:
                file.write(model)
            tensors.save(path("w.safetensors"), {k: np.array(v, dtype=np.float32, order="C") for k, v in weights.items()})
            np.save(path("t.npy"), np.asarray(tokens, dtype=np.int32))
            done = subprocess.run([BFMC, "grad", path("m.bfm"), "--weights", path("w.safetensors"), "--tokens", path("t.npy"), "--out", path("o.safetensors"), "--engine", ENGINE],
                                  capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, model + done.stdout + done.stderr)
            return {k: np.asarray(v, dtype=np.float64) for k, v in tensors.load(path("o.safetensors")).items()}

    def logits(self, rows, head="head(tied = false)", more=""):
        """Each token t stands for the logits rows[t]; tokens run through all of them. Returns results and what must come out."""
        rows = np.asarray(np.asarray(rows, dtype=np.float32), dtype=np.float64)
        count, vocab = rows.shape
        table = np.zeros((vocab, 4))
        table[:count] = np.eye(count, 4) / 2
        w = np.zeros((vocab, 4))
        w[:, :count] = rows.T
        tokens = [list(range(count)) + [0]]
        g = self.grad(HEAD % (vocab, head) + more, {"embed_0.table": table, head.split("(")[0] + "_0.w": w}, tokens)
        p, targets = softmax(rows), np.array(tokens[0][1:])
        with np.errstate(over="ignore"):
            e = np.exp(rows - rows.max(-1, keepdims=True))
        nll = (rows.max(-1) - rows[np.arange(count), targets]) + np.log(e.sum(-1))
        adjoint = (p - np.eye(vocab)[targets]) / count
        return g, nll.mean(), adjoint.T

    def check(self, got, right, what, tolerance=2e-6):
        np.testing.assert_allclose(got, right, rtol=tolerance, atol=tolerance, err_msg=what)

    def heads(self, rows, what, **how):
        g, loss, adjoint = self.logits(rows, **how)
        self.check(g["cross_entropy"] if not how else g["loss"], loss, what)
        name = next(k for k in g if k.endswith("_0.w"))
        self.check(g[name][:, :adjoint.shape[1]], adjoint, what)
        self.check(g[name].sum(0), np.zeros(4), what + ": the gradient of a constant added to all scores")

    def masked_loss(self, form, weights, tokens):
        inputs, targets = tokens[:-1], tokens[1:]
        x, w, v = 2 * weights["embed_0.table"][inputs], weights["odd_0.w"], weights["odd_0.v"]
        scores = x @ w if form == "rows" else np.where(np.tri(len(x)) > 0, (x @ w) @ (x @ v).T, -np.inf)
        p = np.zeros_like(scores)
        some = np.array(inputs) != 1
        p[some] = softmax(scores[some])
        logits = (x / 8 + p @ (v if form == "rows" else x)) @ weights["head_0.w"].T
        return np.mean(np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(targets)), targets])

    def test_rows_of_minus_infinity(self):
        """A softmax over nobody is 0, and so are its derivatives."""
        rng = np.random.default_rng(4)
        for form, body in MASKED.items():
            model = HEAD % (6, "odd()\n    head(tied = false)") + "layer odd(x[b, l, d]; tokens[b, l]: vocab, vocab: count) -> [b, l, d]  wiring = none {" + body + "\n}\n"
            shapes = {"embed_0.table": (6, 4), "head_0.w": (6, 4), "odd_0.w": (4, 3), "odd_0.v": (3, 4) if form == "rows" else (4, 3)}
            weights = {name: np.float64(np.float32(0.5 * rng.standard_normal(shape))) for name, shape in shapes.items()}
            for tokens in ([0, 1, 2, 1, 3, 4, 1, 5], [1, 1, 1, 1]):
                got = self.grad(model, weights, [tokens])
                self.check(got["loss"], self.masked_loss(form, weights, tokens), form, 2e-6)
                for name, value in weights.items():
                    slope, flat, h = np.zeros(value.size), value.reshape(-1), 1e-5
                    for i in range(value.size):
                        flat[i] += h
                        above = self.masked_loss(form, weights, tokens)
                        flat[i] -= 2 * h
                        slope[i] = (above - self.masked_loss(form, weights, tokens)) / (2 * h)
                        flat[i] += h
                    self.check(got[name].reshape(-1), slope, f"{form}, {tokens}: {name}", 5e-6)

    def test_equal(self):
        for c in SIZES:
            for vocab in (4, 300):
                self.heads(np.full((3, vocab), c), f"{vocab} logits of {c:g}")

    def test_close(self):
        """Neighbouring floats of the size: differences are multiples of its ulp."""
        for c in (1e4, 1e6, 1e8, -1e6):
            ulp = float(np.spacing(np.float32(abs(c))))
            rows = c + ulp * np.random.default_rng(1).integers(-3, 4, (4, 200))
            self.heads(rows, f"around {c:g}")

    def test_far(self):
        c = 3e38
        for rows in ([[c, c, -c, 0]] * 3, [[-c, -c, -c, -c], [c, c, c, c], [1e30, 1e30, 1, -1e30]], [[c, -c, c, -1], [c, c, 5, 5], [0, -c, 0, -c]]):
            targets = [1, 2, 0]
            rows = np.array([np.roll(r, t) for r, t in zip(rows, [t - int(np.argmax(r)) for r, t in zip(rows, targets)])])
            self.heads(rows, f"{rows}")

    def test_written_out(self):
        body = "layer mine(x[b, l, d]; vocab: count, targets[b, l]: vocab) -> [b, l, vocab]  wiring = none {\n    param w[vocab, d] = 0\n" \
               "    let s[b, l, v] = sum[i] x[b, l, i] * w[v, i]\n    let z[b, l] = lse[v] s[b, l, v]\n    %s\n    loss cross_entropy = mean[b, l] nll[b, l]\n    return s\n}\n"
        for name, line in LOSSES.items():
            for c in (1, 1e4, 1e8, -1e20):
                with self.subTest(name, c=c):
                    self.heads(np.full((3, 5), c), f"{name}, {c:g}", head="mine()", more=body % line)

    def test_compound(self):
        """Log-sum-exps and small terms, stored, reduced and compared: values and gradients are those of the differences."""
        body = "layer mine(x[b, l, d]; vocab: count, targets[b, l]: vocab) -> [b, l, vocab]  wiring = none {\n    param w[vocab, d] = 0\n" \
               "    let s[b, l, v] = sum[i] x[b, l, i] * w[v, i]\n    let z[b, l] = lse[v] s[b, l, v]\n    %s\n    return s\n}\n"
        small = np.random.default_rng(7).integers(-12, 13, (4, 5)) / 16
        picked = np.arange(4), np.array([1, 2, 3, 0])

        def value(right, S):
            return right(S, np.log(np.exp(S).sum(-1)), S[picked])

        for name, (line, right) in COMPOUND.items():
            slope, h = np.zeros_like(small), 1e-5
            for i in np.ndindex(small.shape):
                step = np.zeros_like(small)
                step[i] = h
                slope[i] = (value(right, small + step) - value(right, small - step)) / (2 * h)
            for c in (0, 2 ** 12, -2 ** 16, 2 ** 19):
                with self.subTest(name, c=c):
                    w = np.zeros((5, 4))
                    w[:, :4] = (small + c).T
                    g = self.grad(HEAD % (5, "mine()") + body % line, {"embed_0.table": np.eye(5, 4) / 2, "mine_0.w": w}, [[0, 1, 2, 3, 0]])
                    self.check(g["cross_entropy"], value(right, small), f"{name} at {c:g}", 5e-6)
                    self.check(g["mine_0.w"].T, slope, f"gradient of {name} at {c:g}", 1e-5)

    def test_router(self):
        for router in ("soft", "top2(capacity = none, aux = 0)", "topk(k = 2, capacity = none, aux = 0)", "loss_free(k = 2)", "expert_choice(capacity = 2)"):
            for c in (1, 1e2, 1e6, 1e8, -1e30):
                table = np.zeros((4, 4))
                table[0, :2], table[1, [0, 2]] = .5, .5
                r, w = np.zeros((4, 2)), np.zeros((4, 4))
                r[0], w[0, 0] = c, 1
                w_in, w_out = np.zeros((2, 4, 2)), np.zeros((2, 2, 4))
                w_in[:, 0, 0] = w_out[:, 0, 0] = 1
                text = HEAD % (4, f"moe(experts = 2, hidden = 2, act = relu, router = {router}) norm = none wiring = none\n    head(tied = false)")
                g = self.grad(text.replace("use std.layers", "use std.layers\nuse std.routers"),
                              {"embed_0.table": table, "moe_0.router.w": r, "moe_0.w_in": w_in, "moe_0.w_out": w_out, "head_0.w": w}, [[0, 1, 0, 1, 0]])
                self.check(g["logits"][0, :, 0], np.ones(4), f"weights of {router} at {c:g} add up to 1")

    def attention(self, c, line):
        table = np.zeros((4, 4))
        table[0, :2], table[1, [0, 2]] = .5, .5
        wq, wv, w = np.zeros((4, 2)), np.zeros((4, 2)), np.zeros((4, 4))
        wq[0, 0] = np.sqrt(c)
        wv[1, 0] = wv[2, 1] = w[0, 0] = w[1, 1] = 1
        weights = {"embed_0.table": table, "attention_0.wq": wq, "attention_0.wk": wq, "attention_0.wv": wv, "attention_0.wo": np.eye(2, 4), "head_0.w": w}
        return self.grad(HEAD % (4, line + "\n    head(tied = false)"), weights, [[0, 1, 0, 1, 0, 1, 0, 1, 0]])

    def test_attention(self):
        """Equal scores: results and what flows to the values are those of the mean, whatever the size."""
        for more in ("", ", causal = false", ", position = alibi"):
            text = f"attention(heads = 1, head_dim = 2{more}{'' if 'position' in more else ', position = none'}) norm = none wiring = none"
            sizes = (1, 1e2, 1e4, 1e6, 1e20, 1e30) if "position" not in more else (1,)
            right = self.attention(0, text)
            for c in sizes:
                got = self.attention(c, text)
                for name in ("logits", "cross_entropy"):
                    self.check(got[name], right[name], f"{name} at {c:g}{more}")
                self.check(got["attention_0.wv"][1:3], right["attention_0.wv"][1:3], f"wv at {c:g}{more}")

    def test_sink(self):
        """A sink as the share of the scores' log-sum-exp, at the size of the scores."""
        body = "layer sink(x[b, l, d]) -> [b, l, d]  wiring = none {\n    param w[d, 3] = 0\n    param k = 0\n    let s[b, l, n] = sum[i] x[b, l, i] * w[i, n]\n" \
               "    let z[b, l] = lse[n] s[b, l, n]\n    return y[b, l, o] = x[b, l, o] * sigmoid(z[b, l] - k)\n}\n"
        table, w = np.zeros((4, 4)), np.zeros((4, 4))
        table[:, 0] = .5
        w[0, 0] = 1
        for c in (1, 1e3, 1e6, 1e8, -1e20):
            scores = np.zeros((4, 3))
            scores[0] = c
            g = self.grad(HEAD % (4, "sink()\n    head(tied = false)") + body, {"embed_0.table": table, "sink_0.w": scores, "sink_0.k": np.float32(c), "head_0.w": w}, [[0, 1, 0]])
            self.check(g["logits"][0, :, 0], np.full(2, 0.75), f"a sink of the size {c:g}")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
