"""What definitions mean where they are easily misread: recurrences, results with compound axes, initial values, new values of states. Values by NumPy."""
import os
import unittest

import numpy as np

from harness import BFMC, SOURCE, Case, read_safetensors, safetensors  # noqa: F401

HEAD = "use std.layers\nuse std.recipes\nrecipe r { optimizer = OPT batch = 1 context = 8 steps = 1 }\n"
MODEL = "\nmodel m {\n    vocab = 256\n    context = 8\n    embed(d = 6)\n    LINE\n    head(tied = false)\n}\n"


def program(layer, line="f() norm = none", optimizer="adamw(rate = 0.001)"):
    return HEAD.replace("OPT", optimizer) + layer + MODEL.replace("LINE", line)


class Definitions(Case):
    def refused(self, layer, code, *says, line="f() norm = none"):
        """With the code, at the place of `«…»` in the text."""
        begin = layer.index("«")
        plain = layer.replace("«", "").replace("»", "")
        text = program(plain, line)
        before = text[:text.index(plain) + begin]
        place = f"m.bfm:{before.count(chr(10)) + 1}:{begin - layer[:begin].rfind(chr(10))}"
        done = self.ok("check", self.write("m.bfm", text), code=1)
        self.assertIn(f"error[{code}]", done.stderr)
        self.assertIn(place, done.stderr)
        for word in says:
            self.assertIn(word, done.stderr)

    def recurrence(self, value, *says, left="h[b, l, i]", where=""):
        self.refused(f"layer f(x[b, l, d]) -> [b, l, d] {{\n    recur {left} = {value}{where}\n    return h\n}}\n", "E0409", *says)

    def logits(self, text, weights, engine):
        np.save(self.path("t.npy"), np.random.default_rng(1).integers(0, 256, (2, 9)).astype(np.int32))
        self.write("w.safetensors", safetensors({k: v.astype(np.float32) for k, v in weights.items()}))
        self.ok("grad", self.write("m.bfm", text), "--weights", self.path("w.safetensors"), "--tokens", self.path("t.npy"), "--engine", engine, "--out", self.path("o.safetensors"))
        return read_safetensors(self.path("o.safetensors"))["logits"], np.load(self.path("t.npy"))[:, :-1]

    # ---- what lines do of which nothing is said ----

    def test_defaults_of_lines(self):
        """`default norm`, `default wiring`: the nearest file's hold for all lines; x + f(norm(x)) by hand."""
        rng = np.random.default_rng(3)
        twice = "layer f(x[b, l, d]) -> [b, l, d] { return y[b, l, o] = 2 * x[b, l, o] }\n"
        half = "norm halved(x[n, l, d]) -> [n, l, d] { return y[n, l, o] = x[n, l, o] / 2 }\n"
        table, w = rng.normal(size=(256, 6)), rng.normal(size=(256, 6))
        weights = {"embed_0.table": table, "head_0.w": w}
        for declared, value in (("default norm = halved\n", lambda x: x + 2 * (x / 2)), ("default norm = halved\ndefault wiring = post\n", lambda x: (x + 2 * x) / 2),
                                ("default wiring = none\n", lambda x: 2 * x)):
            text = program(declared + half + twice, "f()")
            for engine in ("interp", "jit"):
                got, ids = self.logits(text, weights, engine)
                np.testing.assert_allclose(got, value(6 ** 0.5 * table[ids]) @ w.T, rtol=1e-5, atol=1e-5, err_msg=declared)
        # a used file's, and the file's own before it
        self.write("below.bfm", "use std.layers\n" + half + "default norm = halved\ndefault wiring = post\n")
        for own, value in (("", lambda x: (x + 2 * x) / 2), ("default wiring = pre\n", lambda x: 2 * x)):
            got, ids = self.logits("use below\n" + program(own + twice, "f()"), weights, "jit")
            np.testing.assert_allclose(got, value(6 ** 0.5 * table[ids]) @ w.T, rtol=1e-5, atol=1e-5, err_msg=own)

    def test_defaults_of_lines_in_a_run(self):
        """model.bfm of a run has the defaults that held; another default is another model."""
        self.write("below.bfm", "use std.layers\ndefault norm = layer_norm\ndefault wiring = post\n")
        text = "use below\n" + program("default wiring = pre\n", "ffn(hidden = 4)")
        data, run = self.pack(), self.path("run")
        self.ok("train", self.write("m.bfm", text), data, "--out", run, "-q")
        with open(os.path.join(run, "model.bfm")) as file:
            kept = file.read()
        self.assertEqual((kept.count("default norm = layer_norm"), kept.count("default wiring = pre"), kept.count("default wiring")), (1, 1, 1))
        self.assertIn("ffn_0.norm.b", read_safetensors(os.path.join(run, "ckpt", "1", "model.safetensors")))
        self.ok("eval", run, data)
        self.ok("train", self.path("m.bfm"), data, "--out", run, "--resume", "--budget", "2step", "-q")
        self.write("m.bfm", text.replace("default wiring = pre", "default wiring = post"))
        self.fails(1, "another model", "train", self.path("m.bfm"), data, "--out", run, "--resume", "--budget", "3step", "-q")

    def test_wrong_defaults_of_lines(self):
        layer = "layer f(x[b, l, d]) -> [b, l, d] { return x }\n"
        self.refused(layer + "default norm = «pre»\n", "E0202", "there is no norm named `pre`", line="f()")
        self.refused(layer + "default norm = layer_norm\ndefault «norm» = rms_norm\n", "E0206", line="f()")
        self.refused(layer + "default «layer» = rms_norm\n", "E0110", line="f()")
        done = self.ok("check", self.write("n.bfm", "use std.wirings\n" + layer + "model m { vocab = 4 context = 2 e(d = 2) f() }\n"
                       "layer e(; d: width, vocab: count, tokens[b, l]: vocab) -> [b, l, d] wiring = none { param t[vocab, d] = 1 return y[b, l, o] = t[tokens[b, l], o] }\n"), code=1)
        self.assertIn("no file declares `default norm = …`", done.stderr)

    # ---- recurrences ----

    def test_other_reads(self):
        """Each read of a recurrence's own value is the previous one, or an error there."""
        first = "0.5 * h[b, l - 1, i] + "
        self.recurrence(first + "0.25 * «h[b, l - 2, i]» + x[b, l, i]", "is not the previous value of `h[b, l, i]`")
        for read in ("h[b, l, i]", "h[b, l + 1, i]", "h[b, 0, i]", "h[b, l, i - 1]", "h[b, l - 1, 0]", "h[b, l - 1, i - 1]", "h[0, l - 1, i]", "h[b, l - 1, d - 1 - i]", "h[b, 2 * l - 1, i]"):
            self.recurrence(first + f"«{read}» * 0.25 + x[b, l, i]")
            if read != "h[b, l, i - 1]":  # alone, it runs along the width
                self.recurrence(f"«{read}» + x[b, l, i]")
        self.recurrence("x[b, l, i] + sqrt(2) * (0.5 * h[b, l - 1, i] - tanh(x[b, l, i]) * (1 + «h[b, l - 2, i]»))")
        self.recurrence(first + "select(x[b, l, i] > 0, 1, «h[b, l - 2, i]»)")
        self.recurrence(first + "x[b, l, i] * (if d > 2 { «h[b, l, i]» } else { 0 })")
        self.recurrence(first + "x[b, l, i]", where=" where «h[b, l - 1, i]» < 1 and i < d")

    def test_reductions(self):
        self.recurrence("h[b, l - 1, i] + (sum[k] x[b, l, k] * «h[b, l - 1, k]») * x[b, l, i]", "affine element by element", "`h[b, l - 1, k]` reads another element")
        self.recurrence("h[b, l - 1, i] + (sum[k] x[b, l, k] * «h[b, l - 1, i]») * x[b, l, i]", "stands outside of reductions")
        self.recurrence("h[b, l - 1, i] + (sum[i] «h[b, l - 1, i]») * x[b, l, i]", "reads another element")
        self.recurrence("x[b, l, i] + softmax[i](«h[b, l - 1, i]» + x[b, l, i])", "outside of reductions")

    def test_compound_axes(self):
        for read in ("h[b, (t, c - 1)]", "h[b, (t - 1, c)]", "h[b, (c, t) - 1]", "h[b, (t, c) - 2]", "h[b, (t, c)]"):
            self.refused("layer f(x[b, l, d]) -> [b, l, d] {\n    recur h[b, (t in 0 ..< 3, c in 0 ..< 5)] = 0.5 * h[b, (t, c) - 1] + 0.25 * «" + read +
                         "» + t + c + 0 * b\n    return y[b, l, i] = x[b, l, i] * h[b, 0]\n}\n", "E0409")

    def test_not_affine(self):
        for value in ("h[b, l - 1, i] ^ 2", "tanh(h[b, l - 1, i])", "1 / h[b, l - 1, i]", "select(h[b, l - 1, i] > 0, 1, 2)", "max(h[b, l - 1, i], 0)", "x[b, l, i] * h[b, l - 1, i] * h[b, l - 1, i]"):
            self.recurrence(f"«{value} + x[b, l, i]»", "affine in its own value")
        self.refused("layer f(x[b, l, d]) -> [b, l, d] {\n    «recur h[b, l, i] = x[b, l, i]»\n    return h\n}\n", "E0409", "does not read its own value")

    def test_several_reads(self):
        """a h + c h + …: one factor, whatever the order, the function or the arm."""
        layer = """fn blend(a, x, y) = a * x + (1 - a) * y
layer f(x[b, l, d]) -> [b, l, d] {
    recur h[b, l, i] = blend(0.25, h[b, l - 1, i], x[b, l, i]) - (x[b, l, i] - h[b, -1 + l, i] / 2) * 0.5 + select(i > 2, h[b, l - 1, i] * 0.125, -h[b, l - 1, i])
    return h
}
"""
        numbers = np.random.default_rng(2)
        table, w = numbers.normal(0, 1, (256, 6)).astype(np.float32), numbers.normal(0, 1, (256, 6)).astype(np.float32)
        for engine, tolerance in (("interp", 1e-10), ("jit", 2e-5)):
            got, tokens = self.logits(program(layer), {"embed_0.table": table, "head_0.w": w}, engine)
            x = 6 ** 0.5 * table.astype(float)[tokens]
            h, out = np.zeros((2, 6)), np.zeros((2, 8, 6))
            for l in range(8):
                h = 0.25 * h + 0.75 * x[:, l] - (x[:, l] - h / 2) * 0.5 + np.where(np.arange(6) > 2, h * 0.125, -h)
                out[:, l] = h
            right = (x + out) @ w.astype(float).T
            np.testing.assert_allclose(got, right, rtol=tolerance, atol=tolerance * np.abs(right).max())

    # ---- compound axes by position ----

    def test_joined(self):
        """A result is [b, l, d] whatever it is made of: added by each wiring, passed on, returned by a call, decoded."""
        halves = "layer f(x[b, l, d]) -> [b, l, d] {\n    return y[b, l, (s in 0 ..< 2, c in 0 ..< d / 2)] = x[b, l, (1 - s, c)]\n}\n"
        inner = halves.replace("layer f(", "layer halves(") + "layer f(x[b, l, d]) -> [b, l, d] {\n    let z = halves(x)\n    return y[b, l, (k in 0 ..< 3, e in 0 ..< d / 3)] = z[b, l, (k, e)] + z[b, l, (2 - k, e)]\n}\n"
        offset = "layer f(x[b, l, d]) -> [b, l, d] {\n    return y[b, l, i in 2 ..< d + 2] = x[b, l, i - 2] * i\n}\n"
        numbers = np.random.default_rng(3)
        table, w = numbers.normal(0, 1, (256, 6)).astype(np.float32), numbers.normal(0, 1, (256, 6)).astype(np.float32)

        def swap(x):
            return np.concatenate([x[..., 3:], x[..., :3]], -1)

        def folded(x):
            z = swap(x).reshape(x.shape[:-1] + (3, 2))
            return (z + z[..., ::-1, :]).reshape(x.shape)

        cases = [(halves, "f() norm = none", lambda x: x + swap(x)), (halves, "f() norm = none wiring = none", swap), (halves, "repeat 3 { f() norm = none }", lambda x: 4 * (x + swap(x))),
                 (halves, "parallel { f() | f() } norm = none", lambda x: x + 2 * swap(x)), (inner, "f() norm = none", lambda x: x + folded(x)),
                 (inner, "f() norm = none wiring = none\n    halves() norm = none", lambda x: folded(x) + swap(folded(x))), (offset, "f() norm = none", lambda x: x + x * (2 + np.arange(6)))]
        for layer, line, value in cases:
            for engine, tolerance in (("interp", 1e-10), ("jit", 2e-5)):
                with self.subTest(line=line, engine=engine):
                    got, tokens = self.logits(program(layer, line), {"embed_0.table": table, "head_0.w": w}, engine)
                    right = value(6 ** 0.5 * table.astype(float)[tokens]) @ w.astype(float).T
                    np.testing.assert_allclose(got, right, rtol=tolerance, atol=tolerance * np.abs(right).max())
        self.ok("check", self.write("m.bfm", program(inner)), "--gradients")
        data, run = self.pack(), self.path("run")
        self.ok("train", self.path("m.bfm"), data, "--recipe", "r", "--out", run, "-q")
        self.assertIn("agree in every bit", self.ok("generate", run, "-n", "6", "--verify").stderr)

    def test_other_sizes(self):
        layer = "layer f(x[b, l, d]) -> [b, l, e] {\n    let e = 5\n    return y[b, l, (s in 0 ..< 5, c in 0 ..< 1)] = x[b, l, 0] * s + c\n}\n"
        done = self.ok("check", self.write("m.bfm", program(layer.replace("-> [b, l, e]", "-> [b, l, d]"))), code=1)
        self.assertIn("error[E0406]", done.stderr)
        self.assertIn("axis 3 of the result is (5, 1)", done.stderr)

    # ---- initial values ----

    def initial(self, statement, *says):
        self.refused(f"layer f(x[b, l, d]) -> [b, l, d] {{\n    let r[b, l] = sum[i] x[b, l, i]\n    param g[d] = 1\n    state c[d] = 0\n    next c[e] = c[e] * 0.5\n    {statement}\n"
                     "    return y[b, l, i] = x[b, l, i] * w[i] * g[i]\n}\n", "E0410", *says)

    def test_initial_values(self):
        for read in ("x[0, 0, i]", "r[0, 0]", "g[i]", "c[i]", "next «c[i]»", "step", "draw(\"w\", i)", "l", "size(b)"):
            read = read if "«" in read else f"«{read}»"
            self.initial(f"param w[i in 0 ..< d] = {read}", "an initial value")
            self.initial(f"param w[i in 0 ..< d] = 1 + (sum[k in 0 ..< 2] k * {read})", "an initial value")
            self.initial(f"state w[i in 0 ..< d] = 2 * {read}\n    next w[i] = w[i] + 1", "an initial value")
        self.initial("param w[i in 0 ..< d] = «sum[t in 0 ..< l] i * t»", "an initial value")

    def test_constants_of_draws(self):
        for what in ("x[0, 0, 0]", "r[0, 0]", "g[0]"):
            self.initial(f"param w[d] ~ normal(«{what}», 1)")
            self.initial(f"param w[d] ~ normal(0, «{what}»)")

    def test_indices_of_the_shape(self):
        """Each index has its stated range, in a compound axis too."""
        layer = """layer f(x[b, l, d]) -> [b, l, d] {
    param p[i in 2 ..< d + 2]                 = i / 4
    param q[(s in 0 ..< 2, c in 0 ..< 3), d]  = 10 * s + c
    param r[3, j in 0 ..< 2]                  = sum[k in 0 ..< 4] k * j
    return y[b, l, i] = x[b, l, i] * p[i + 2] * q[i, 0] * r[0, 1]
}
"""
        run = self.path("run")
        self.ok("train", self.write("m.bfm", program(layer)), self.pack(), "--recipe", "r", "--freeze", "*", "--out", run, "-q")
        weights = read_safetensors(os.path.join(run, "ckpt", "1", "model.safetensors"))
        np.testing.assert_array_equal(weights["f_0.p"], np.arange(2, 8) / 4)
        np.testing.assert_array_equal(weights["f_0.q"], np.repeat([[0], [1], [2], [10], [11], [12]], 6, 1))
        np.testing.assert_array_equal(weights["f_0.r"], [[0, 6]] * 3)

    # ---- states ----

    def test_new_values(self):
        """`next` has the axes of its state, and a value at each element."""
        layer = "layer f(x[b, l, d]) -> [b, l, d] {{\n    state c[{0}] = 0\n    {1}\n    return y[b, l, i] = x[b, l, i] * c[{2}]\n}}\n"
        self.refused(layer.format("4", "next «c[e in 0 ..< 2]» = e", "0"), "E0404", "axis 1 of the new value of `c` is 2, that of the state 4")
        self.refused(layer.format("4", "next «c[e in 0 ..< 4, k in 0 ..< 2]» = e * k", "0"), "E0404", "has 2 axes, the state has 1")
        self.refused(layer.format("4", "«next c[e] = c[e] + 1 where e < 2»", "0"), "E0408", "does not exist everywhere")

    def test_state_with_parts(self):
        """A new value over a compound axis goes to the same elements."""
        layer = "layer f(x[b, l, d]) -> [b, l, d] {{\n    state c[{0}] = 0\n    next c[{1}] = {2}\n    return y[b, l, i] = x[b, l, i] + 0 * c[{3}]\n}}\n"
        for shape, left, value, read in (("d", "(s in 0 ..< 2, k in 0 ..< d / 2)", "10 * s + k", "i"), ("(2, 3)", "e in 0 ..< d", "10 * floor(e / 3) + e - 3 * floor(e / 3)", "i")):
            run = self.path("run" + shape[0])
            self.ok("train", self.write("m.bfm", program(layer.format(shape, left, value, read))), self.pack(name="data" + shape[0]), "--recipe", "r", "--out", run, "-q")
            states = read_safetensors(os.path.join(run, "ckpt", "1", "state.safetensors"))
            name, = [n for n in states if n.endswith("f_0.c")]
            np.testing.assert_array_equal(states[name], [0, 1, 2, 10, 11, 12])

    # ---- conditions that a pick needs ----

    def test_target_beyond_the_end(self):
        """Scores at the token after the next: the last position has none, and nothing past the end of the targets is read."""
        layer = """layer ahead(x[b, l, d]; vocab: count, targets[b, l]: vocab) -> logits[b, l, vocab]  wiring = none {
    param w[vocab, d] ~ normal(0, 1)
    let far[b, l, v] = sum[i] x[b, l, i] * w[v, i]
    let z[b, l] = lse[v] far[b, l, v]
    loss cross_entropy = mean[b, l | l + 1 < size(l)] (z[b, l] - far[b, l, targets[b, l + 1]])
    return far
}
"""
        text = program(layer).replace("f() norm = none", "").replace("head(tied = false)", "ahead()")
        numbers = np.random.default_rng(5)
        table, w = numbers.normal(0, 1, (256, 6)).astype(np.float32), numbers.normal(0, 1, (256, 6)).astype(np.float32)
        losses = {}
        for engine in ("interp", "jit"):
            logits, _ = self.logits(text, {"embed_0.table": table, "ahead_0.w": w}, engine)
            losses[engine] = read_safetensors(self.path("o.safetensors"))["loss"].reshape(-1)[0]
        targets = np.load(self.path("t.npy"))[:, 1:]
        x = 6 ** 0.5 * table.astype(float)[np.load(self.path("t.npy"))[:, :-1]] @ w.astype(float).T
        lse = np.log(np.exp(x).sum(2))[:, :-1]
        right = (lse - np.take_along_axis(x[:, :-1], targets[:, 1:, None], 2)[..., 0]).mean()
        np.testing.assert_allclose(losses["interp"], right, rtol=1e-10)
        np.testing.assert_allclose(losses["jit"], right, rtol=1e-5)

    # ---- optimisers ----

    def test_optimizer(self):
        """The new value of w over a compound axis, and states whose axes are not those of w."""
        plain = "optimizer o(w[m, n], g[m, n]; rate: real = 0.1) {\n    return w[i, j] - rate * g[i, j] * (1 + j)\n}\noptimizer o(w[n], g[n]; rate: real = 0.1) {\n    return w[j] - rate * g[j]\n}\n"
        weights = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.arange(4, dtype=np.float32)}
        self.write("w.safetensors", safetensors(weights))
        self.write("g.safetensors", safetensors({k: np.ones_like(v) for k, v in weights.items()}))
        for state in ("state s[m, 2] = 0", "state s[n / 2] = 0", "state s[3] = 0", "state s[m, n, m] = 0"):
            text = HEAD.replace("OPT", "o(rate = 0.1)") + plain.replace("{\n    return w[i, j]", "{\n    " + state + "\n    return w[i, j]", 1)
            done = self.ok("update", self.write("o.bfm", text), "--recipe", "r", "--weights", self.path("w.safetensors"), "--gradients", self.path("g.safetensors"), "--out", self.path("o.safetensors"), code=1)
            self.assertIn("error[E0410]", done.stderr)
            self.assertIn("each an axis of the tensor that is updated", done.stderr)


if __name__ == "__main__":
    unittest.main()
