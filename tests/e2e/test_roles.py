"""Groups by role: what a parameter is follows from how its definition uses it, not from its name."""
import os
import shutil
import unittest

import harness

# After one step every element is the `mark` of the group that its parameter belongs to.
RECIPE = """
optimizer mark(w[], g[]; rate: real, mark: real = 0) { return mark + 0 * (w + g) }
recipe r {
    optimizer = mark(rate = 1)
    batch     = 2
    steps     = 1
    on role matrix { mark = 1 }
    on role table  { mark = 2 }
    on role vector { mark = 3 }
}
"""
ROLES = {1: "matrix", 2: "table", 3: "vector"}

LIBRARY = """
use std.layers
use std.routers
model m {
    vocab   = 256
    context = 16
    embed(d = 16)
    attention(heads = 2, head_dim = 8, conv = 3, qk_norm = true, position = relative)
    moe(experts = 2, hidden = 8, act = swiglu, router = top2)
    low_rank(rank = 4, hidden = 8, act = gelu)
    multi_branch(branches = 2, hidden = 8, act = relu)
    ffn(hidden = 8, act = geglu)
    layer_norm()
    at 2 { ffn(hidden = 8) }
    head(tied = TIED)
}
"""

OWN = """
use std.layers
layer own(x[n, l, d]; context: count) -> [n, l, d] {
    param g[d, d]     ~ normal(0, 0.1)
    param b[d, 4]     ~ normal(0, 0.1)
    param back[4, d]  ~ normal(0, 0.1)
    param v[d]        ~ normal(0, 0.1)
    param scale[d]    = 1
    param shift[d]    = 0
    param by_place[context, d] = 0
    param kinds[8, d] = 0
    param temperature = 1
    let u[n, l, i]    = x[n, l, i] * scale[i] + shift[i] + by_place[l, i]
    let wide[i, o]    = g[i, o] * temperature
    let h[n, l, o]    = sum[i] u[n, l, i] * wide[i, o]
    let s[n, l]       = sum[i] u[n, l, i] * v[i]
    let near[n, l, m in 0 ..< 8] = s[n, l] * 0 - m
    let k[n, l, c]    = top[m; 1](near[n, l, m])
    return y[n, l, o] = h[n, l, o] * s[n, l] + (sum[c] (sum[i] u[n, l, i] * b[i, c]) * back[c, o]) + kinds[k[n, l, 0], o]
}
model m { vocab = 256 context = 16 embed(d = 16) own() rms_norm() head(tied = false) }
"""


CHOSEN = """
use std.layers
layer own(x[b, l, d]; tokens[b, l]: vocab, vocab: count) -> [b, l, d] {
    param guarded[vocab, d]  ~ normal(0, 0.1)
    param flipped[d, vocab]  ~ normal(0, 0.1)
    param both[vocab, d]     ~ normal(0, 0.1)
    param scaled[vocab, d]   ~ normal(0, 0.1)
    param one_hot[vocab, d]  ~ normal(0, 0.1)
    param chosen[vocab, d]   ~ normal(0, 0.1)
    param renamed[vocab, d]  ~ normal(0, 0.1)
    param of_token[vocab, d, d] ~ normal(0, 0.1)
    param summed[vocab, d]   ~ normal(0, 0.1)
    param before[vocab, d]   ~ normal(0, 0.1)
    let twice[v, o]   = renamed[v, o] * 2
    let a[b, l, o]    = sum[v | v == tokens[b, l]] guarded[v, o]
    let f[b, l, o]    = sum[v | tokens[b, l] == v and v > 0] flipped[o, v]
    let c[b, l, o]    = (sum[v | v == tokens[b, l]] both[v, o]) + both[tokens[b, l], o]
    let s[b, l, o]    = sum[v | v == tokens[b, l]] scaled[v, o] * x[b, l, o]
    let h[b, l, o]    = sum[v] (v == tokens[b, l]) * one_hot[v, o]
    let p[b, l, o]    = sum[v] select(v == tokens[b, l], chosen[v, o], 0)
    let r[b, l, o]    = sum[v | v == tokens[b, l]] twice[v, o]
    let m[b, l, o]    = sum[v, i | v == tokens[b, l]] of_token[v, i, o] * x[b, l, i]
    let w[b, l, o]    = sum[v] (v + 1) * summed[v, o] * x[b, l, o]
    let e[b, l, o]    = sum[v | v <= tokens[b, l]] before[v, o] * x[b, l, o]
    return y[b, l, o] = a[b, l, o] + f[b, l, o] + c[b, l, o] + s[b, l, o] + h[b, l, o] + p[b, l, o] + r[b, l, o] + m[b, l, o] + 0.001 * (w[b, l, o] + e[b, l, o])
}
model m { vocab = 256 context = 16 embed(d = 4) own() rms_norm() head(tied = false) }
"""


class Roles(harness.Case):
    def roles(self, text, *options):
        run = self.path("run")
        self.ok("train", self.write("m.bfm", text + RECIPE), self.pack(), "--out", run, "-q", "--set", "r.context=16", *options)
        return {name: ROLES[round(float(value.flat[0]))] for name, value in harness.read_safetensors(harness.checkpoint_files(run, 1)[0]).items()}

    def test_library(self):
        """The library's recipe leaves out what gains, biases and tables are called in the library; with a tied head and without."""
        for tied in ("true", "false"):
            with self.subTest(tied=tied):
                roles = self.roles(LIBRARY.replace("TIED", tied))
                names = {name: name.split(".")[-1] for name in roles}
                for name, last in names.items():
                    expected = "vector" if last in ("g", "b", "gq", "gk") else "table" if last in ("table", "relative") else "matrix"
                    self.assertEqual(roles[name], expected, name)
                self.assertEqual(set(roles.values()), set(ROLES.values()))
                shutil.rmtree(self.path("run"))

    def test_own_names(self):
        roles = {name.split(".")[-1]: role for name, role in self.roles(OWN).items() if name.startswith("own_0.") and ".norm." not in name}
        self.assertEqual(roles, {"g": "matrix", "b": "matrix", "back": "matrix", "v": "matrix", "scale": "vector", "shift": "vector", "by_place": "vector", "kinds": "table",
                                 "temperature": "vector"})

    def test_a_sum_of_one_term(self):
        """A sum that an integer reduces to one term looks up, however the condition is written; with another summed axis, or with more terms, it is a product."""
        roles = {name.split(".")[-1]: role for name, role in self.roles(CHOSEN).items() if name.startswith("own_0.") and ".norm." not in name}
        self.assertEqual(roles, {name: "matrix" if name in ("of_token", "summed", "before") else "table" for name in
                                 ("guarded", "flipped", "both", "scaled", "one_hot", "chosen", "renamed", "of_token", "summed", "before")})

    def test_unknown(self):
        self.fails(1, ["E0205", "there is no role `matrices`", "a matrix"], "train", self.write("m.bfm", OWN + RECIPE.replace("role matrix", "role matrices")), self.pack(),
                   "--out", self.path("run"), "-q")

    def test_none(self):
        text = "use std.layers\nmodel m { vocab = 256 context = 16 embed(d = 16) head(tied = true) }\n" + RECIPE
        done = self.ok("check", self.write("m.bfm", text))
        self.assertIn("W0603", str(done.stderr) + str(done.stdout))
        self.assertIn("no parameter is a matrix", str(done.stderr) + str(done.stdout))

    def test_round_trip(self):
        """The printer and the run folder's model.bfm keep groups by role."""
        run = self.path("run")
        self.ok("train", self.write("m.bfm", OWN + RECIPE), self.pack(), "--out", run, "-q", "--set", "r.context=16")
        with open(os.path.join(run, "model.bfm")) as file:
            self.assertIn("on role vector {", file.read())
        self.ok("train", self.path("m.bfm"), self.pack(), "--out", run, "--resume", "-q", "--set", "r.context=16")


if __name__ == "__main__":
    unittest.main()
