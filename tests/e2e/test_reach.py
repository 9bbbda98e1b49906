"""Parameters that no loss reaches: exactly those whose gradient is 0 are warned of, with the reason."""
import os
import random
import re
import shutil
import unittest

import numpy as np

from harness import Case, read_safetensors, safetensors

LAYERS = ["attention(heads = 2, head_dim = 4)", "attention(heads = 1, head_dim = 4, position = relative, conv = 2, qk_norm = true)", "attention(heads = 2, head_dim = 2, kv_heads = 1, position = alibi, causal = false)",
          "ffn(hidden = 6, act = geglu)", "low_rank(rank = 2, hidden = 4, act = gelu)", "multi_branch(branches = 2, hidden = 4, act = silu)", "gmlp(hidden = 4)", "token_mixer(hidden = 3, act = gelu)",
          "ffn(hidden = 6, act = gelu) norm = layer_norm wiring = pre_post", "project(d = 8)", "at 1/2 { ffn(hidden = 4, act = gelu) }", "parallel { ffn(hidden = 2, act = gelu) | gmlp(hidden = 2) }"]
ROUTERS = ["top2", "topk(k = 1)", "topk(k = 1, aux = 0, capacity = none)", "topk(k = 2, aux = 0)", "top1", "top1(aux = 0)", "expert_choice", "expert_threshold", "loss_free(k = 1)", "loss_free(k = 2)", "soft", "hash",
           "random"]

# Definitions of a file, and which of their parameters no loss reaches.
OWN = """
layer renormalised(x[b, l, d]; k: count = 1) -> [b, l, d] {
    param w[d, 4] ~ normal(0, d ^ -0.5)
    param v[d, 4] ~ normal(0, d ^ -0.5)
    let p[b, l, e] = softmax[e](sum[i] x[b, l, i] * w[i, e])
    let pick[b, l, c] = top[e; k](p[b, l, e])
    let g[b, l, c] = p[b, l, pick[b, l, c]] / ((sum[m] p[b, l, pick[b, l, m]]) + 1e-9)
    return y[b, l, o] = sum[c] g[b, l, c] * v[o, pick[b, l, c]]
}
layer shares(x[b, l, d]; k: count = 1) -> [b, l, d] {
    param w[d, k] ~ normal(0, d ^ -0.5)
    param v[k, d] ~ normal(0, 1)
    let s[b, l, e] = exp(sum[i] x[b, l, i] * w[i, e])
    let whole[b, l] = sum[e] s[b, l, e]
    let part[b, l, e] = s[b, l, e] * (1 / whole[b, l])
    return y[b, l, o] = sum[e] part[b, l, e] * v[e, o]
}
layer centred(x[b, l, d]; k: count = 1) -> [b, l, d] {
    param w[d, k] ~ normal(0, d ^ -0.5)
    param v[k, d] ~ normal(0, 1)
    let s[b, l, e] = sum[i] x[b, l, i] * w[i, e]
    let h[b, l, e] = s[b, l, e] - (max[a] s[b, l, a])
    return y[b, l, o] = sum[e] (1 + h[b, l, e]) * v[e, o]
}
layer partly(x[b, l, d]) -> [b, l, d] {
    param w[d] ~ normal(0, 1)
    let h[b, l, o] = x[b, l, o] * w[o]
    return y[b, l, o] = h[b, l, o] - (sum[j in 0 ..< 1 | j <= l - 1] h[b, l, o])
}
layer stopped(x[b, l, d]) -> [b, l, d] {
    param w[d] ~ normal(0, 1)
    param u[d] ~ normal(0, 1)
    return y[b, l, o] = x[b, l, o] * stop(w[o]) + u[o] * stop(u[o])
}
layer compared(x[b, l, d]) -> [b, l, d] {
    param w[d] ~ normal(0, 1)
    return y[b, l, o] = select(x[b, l, o] > w[o], x[b, l, o], 0) + floor(w[o])
}
layer measured(x[b, l, d]) -> [b, l, d] {
    param w[d] ~ normal(0, 1)
    state m[d] = 0
    next m[i] = 0.5 * m[i] + w[i]
    metric size = (sum[i] w[i] ^ 2) mean
    return y[b, l, o] = x[b, l, o] + m[o]
}
layer forgotten(x[b, l, d]) -> [b, l, d]  wiring = none {
    param w[d] ~ normal(0, 1)
    return y[b, l, o] = w[o] + stop(x[b, l, o])
}
layer rounds(x[b, l, d]) -> [b, l, d] {
    param w[d] ~ normal(0, 1)
    recur h[b, l, o] = 0.5 * h[b, l - 1, o] + x[b, l, o] * w[o]
    return h
}
"""
OWN_LINES = {"renormalised()": ["renormalised_0.norm.g", "renormalised_0.w"], "renormalised(k = 2)": [], "shares()": ["shares_0.norm.g", "shares_0.w"], "shares(k = 2)": [], "centred()": ["centred_0.norm.g", "centred_0.w"], "centred(k = 2)": [], "partly()": [],
             "stopped()": ["stopped_0.w"], "compared()": ["compared_0.w"], "measured()": ["measured_0.w"], "rounds()": []}


# Bodies of layers in which the loss does not depend on c, and does on w. u is x times w.
SCORES = "let s[b, i, j] = %s where j <= i\n    return y[b, l, o] = sum[j] softmax[j](s[b, l, j]) * u[b, j, o]"
DOT = "(sum[e] u[b, i, e] * x[b, j, e])"
CANCELS = {
    "shift": SCORES % f"{DOT} + c[0]",
    "shift_by_query": SCORES % f"{DOT} - (sum[e] x[b, i, e] * c[e]) / 3",
    "shift_inside": SCORES % "(sum[e] (u[b, i, e] * x[b, j, e] + c[e]))",
    "key_bias": SCORES % "(sum[e] u[b, i, e] * (x[b, j, e] + c[e]))",
    "key_bias_scaled": SCORES % "(sum[e] 2 * u[b, i, e] * (x[b, j, e] - c[e] * x[b, i, e]))",
    "diagonal": "let s[b, i, j] = (sum[e] x[b, i, e] * c[e] * x[b, j, e]) where j == i\n    return y[b, l, o] = sum[j] softmax[j](s[b, l, j]) * u[b, j, o]",
    "first": "let s[b, i, j] = (sum[e] x[b, i, e] * c[e] * x[b, j, e]) where j <= 0\n    return y[b, l, o] = sum[j] softmax[j](s[b, l, j]) * u[b, j, o]",
    "centred_shift": "let v[b, l, o] = u[b, l, o] + c[0]\n    let m[b, l] = mean[o] v[b, l, o]\n    return y[b, l, o] = (v[b, l, o] - m[b, l]) ^ 3",
    "centred_by_max": "let v[b, l, o] = u[b, l, o] + 3 * c[0]\n    let m[b, l] = max[o] v[b, l, o]\n    return y[b, l, o] = exp(v[b, l, o] - m[b, l])",
    "own_softmax": "let v[b, l, o] = u[b, l, o] - c[1]\n    let m[b, l] = max[o] v[b, l, o]\n    let n[b, l, o] = exp(v[b, l, o] - m[b, l])\n    return y[b, l, o] = n[b, l, o] / (sum[a] n[b, l, a])",
    "whole": "let p[b, l, o] = softmax[o](c[o] * x[b, l, o])\n    return y[b, l, o] = u[b, l, o] * (sum[a] p[b, l, a])",
    "whole_scaled": "let p[b, l, o] = softmax[o](c[o] * x[b, l, o])\n    return y[b, l, o] = sum[a] 3 * p[b, l, a] * u[b, l, o]",
    "minus_itself": "return y[b, l, o] = u[b, l, o] + c[o] - c[o]",
    "minus_parts": "let a[b, l, o] = u[b, l, o] + 2 * c[o]\n    return y[b, l, o] = a[b, l, o] * x[b, l, o] - c[o] * x[b, l, o] * 2",
    "times_0": "return y[b, l, o] = u[b, l, o] + 0 * c[o]",
    "power_0": "return y[b, l, o] = u[b, l, o] * c[o] ^ 0",
    "nowhere": "v[b, l, o] += c[o] * x[b, l, o] where tokens[b, l] < 0\n    return y[b, l, o] = u[b, l, o] + v[b, l, o]",
    "beyond": "v[b, l, o] += c[o] * x[b, l, o] where tokens[b, l] >= 256\n    return y[b, l, o] = u[b, l, o] + v[b, l, o]",
}
# The loss depends on c and on w.
REMAINS = {
    "by_key": SCORES % f"{DOT} + (sum[e] x[b, j, e] * c[e])",
    "by_distance": SCORES % f"{DOT} + c[0] * (i - j)",
    "two_points": "let s[b, i, j] = (sum[e] u[b, i, e] * c[e] * x[b, j, e]) where j <= i and j >= i - 1\n    return y[b, l, o] = sum[j] softmax[j](s[b, l, j]) * x[b, j, o]",
    "query_bias": SCORES % "(sum[e] (u[b, i, e] + c[e]) * x[b, j, e])",
    "not_centred": "let v[b, l, o] = u[b, l, o] + c[0]\n    let m[b, l] = mean[o] v[b, l, o]\n    return y[b, l, o] = (v[b, l, o] - 0.5 * m[b, l]) ^ 3",
    "centred_vector": "let v[b, l, o] = u[b, l, o] + c[o]\n    let m[b, l] = mean[o] v[b, l, o]\n    return y[b, l, o] = (v[b, l, o] - m[b, l]) ^ 3",
    "sum_not_mean": "let v[b, l, o] = u[b, l, o] + c[0]\n    let m[b, l] = sum[o] v[b, l, o]\n    return y[b, l, o] = (v[b, l, o] - m[b, l]) ^ 3",
    "causal_mean": "let v[b, l, o] = u[b, l, o] + c[o] * x[b, l, o]\n    let m[b, l, o] = sum[j | j <= l] v[b, j, o]\n    return y[b, l, o] = (v[b, l, o] - m[b, l, o]) ^ 3",
    "half": "let p[b, l, o] = softmax[o](c[o] * x[b, l, o])\n    return y[b, l, o] = u[b, l, o] * (sum[a | a < 3] p[b, l, a])",
    "squares": "let p[b, l, o] = softmax[o](c[o] * x[b, l, o])\n    return y[b, l, o] = u[b, l, o] * (sum[a] p[b, l, a] ^ 2)",
    "weighed": "let p[b, l, o] = softmax[o](c[o] * x[b, l, o])\n    return y[b, l, o] = sum[a] p[b, l, a] * u[b, l, a] * x[b, l, o]",
    "over_another_axis": SCORES.replace("softmax[j](s[b, l, j]) * u[b, j, o]", "exp(s[b, l, j] - (lse[i] s[b, i, j])) * u[b, j, o]") % f"{DOT} + (sum[e] x[b, i, e] * c[e])",
    "minus_another": "return y[b, l, o] = u[b, l, o] + c[o] - c[0] * x[b, l, o]",
    "minus_less": "return y[b, l, o] = (u[b, l, o] + 2 * c[o] - c[o]) ^ 3",
    "product_of_equals": "let a[b, l] = sum[e] c[e] * u[b, l, e]\n    return y[b, l, o] = a[b, l] * a[b, l] * x[b, l, o] - (sum[e] (c[e] * u[b, l, e]) * (c[e] * u[b, l, e])) * x[b, l, o]",
    "somewhere": "v[b, l, o] += c[o] * x[b, l, o] where tokens[b, l] < 128\n    return y[b, l, o] = u[b, l, o] + v[b, l, o]",
}


def layers_of(bodies):
    return "".join(f"layer {name}(x[b, l, d]; tokens[b, l]: vocab, vocab: count) -> [b, l, d] {{\n    param w[d] = 1\n    param c[d] = 1\n    let u[b, l, o] = x[b, l, o] * w[o]\n    {body}\n}}\n"
                   for name, body in bodies.items())


def moe(router, experts=3):
    return f"moe(experts = {experts}, hidden = 4, act = silu, router = {router})"


def roomy(router):
    """Where rounding up may offer more slots than were asked for."""
    name, _, rest = router.partition("(")
    return router if name in ("soft", "hash", "random") else f"{name}(small_groups = true, {rest}" if rest else f"{name}(small_groups = true)"


class Reach(Case):
    def write_model(self, lines, own="", context=5, d=6, vocab=256):
        body = "\n    ".join(lines)
        return self.write("m.bfm", f"use std.layers\nuse std.recipes\nuse std.routers\n{own}\nmodel m {{\n    vocab = {vocab}\n    context = {context}\n    embed(d = {d})\n    {body}\n    rms_norm()\n"
                                   "    head(tied = false)\n}\nrecipe r {\n    optimizer = sgd(rate = 0)\n    batch = 1\n    steps = 1\n}\n")

    def warned(self, path):
        """The parameters that the warnings name."""
        names = set()
        for told in self.json("check", path).get("diagnostics", []):
            if told["code"] == "W0508":
                names |= set(re.findall(r"`([^`]*)`", told["message"]))
                self.assertNotIn("more like", told["message"])
        return names

    def still(self, path, context):
        """The parameters whose gradient is 0 but for rounding, at random weights, in f64."""
        if not os.path.exists(self.path("data")):
            self.pack("\n\n".join(f"line {i} of some text to train on" for i in range(200)))
        shutil.rmtree(self.path("run"), ignore_errors=True)
        self.ok("train", path, self.path("data"), "--out", self.path("run"), "--engine", "interp", "--eval-every", 0, "-q")
        rng = np.random.default_rng(7)
        weights = {name: w + 0.3 * rng.standard_normal(w.shape) for name, w in read_safetensors(self.path("run", "ckpt", "0", "model.safetensors")).items()}
        self.write("w.safetensors", safetensors(weights))
        np.save(self.path("t.npy"), rng.integers(0, 256, (4, context + 1)).astype(np.int32))
        self.ok("grad", path, "--weights", self.path("w.safetensors"), "--tokens", self.path("t.npy"), "--out", self.path("g.safetensors"), "--engine", "interp")
        gradients = read_safetensors(self.path("g.safetensors"))
        sizes = {name: np.abs(gradients[name]).max() for name in weights}
        return {name for name, size in sizes.items() if size <= 1e-7 * max(sizes.values())}

    def agree(self, lines, own="", context=5):
        path = self.write_model(lines, own, context)
        warned = self.warned(path)
        self.assertEqual(warned, self.still(path, context))
        return warned

    def test_layers(self):
        self.assertEqual(self.agree(LAYERS), set())

    def test_routers(self):
        self.assertEqual(self.agree([moe(router) for router in ROUTERS]), set())

    def test_one_expert(self):
        """The softmax has one point. A balance loss of one expert is constant too."""
        routers = [router for router in ROUTERS if router != "top2" and "k = 2" not in router]
        self.assertEqual(self.agree([moe(router, 1) for router in routers]), {f"moe_{i}.router.w" for i, router in enumerate(routers) if router not in ("hash", "random")})

    def test_one_position(self):
        """Attention over one position is that position, whatever its query and key; other mixing has weights of its own."""
        expected = {f"attention_0.{name}" for name in ("wq", "wk")} | {f"attention_1.{name}" for name in ("wq", "wk", "relative", "conv_q", "conv_k", "gq", "gk")} | {"attention_2.wq", "attention_2.wk"}
        self.assertEqual(self.agree([line for line in LAYERS if "head_dim" in line or "g" == line[0]] + [moe(roomy("top1"))], context=1), expected)

    def test_definitions_of_the_file(self):
        for lines in list(OWN_LINES)[::2], list(OWN_LINES)[1::2]:  # one of each name
            self.assertEqual(self.agree(lines, OWN), {name for line in lines for name in OWN_LINES[line]})

    def test_what_cancels(self):
        """Shifts of what a softmax, a mean or a maximum is taken of, shares of a whole, one point that a condition chooses, terms that are subtracted again."""
        self.assertEqual(self.agree([f"{name}()" for name in CANCELS], layers_of(CANCELS), 7), {f"{name}_0.c" for name in CANCELS})

    def test_what_does_not_cancel(self):
        self.assertEqual(self.agree([f"{name}()" for name in REMAINS], layers_of(REMAINS), 7), set())

    def test_what_stands_before_a_line_that_forgets(self):
        """A line that replaces the stream and reads it inside stop() cuts off all before it."""
        warned = self.agree(["ffn(hidden = 4, act = gelu)", "forgotten()", "ffn(hidden = 4, act = gelu)"], OWN)
        self.assertEqual(warned, {"embed_0.table", "ffn_0.norm.g", "ffn_0.w_in", "ffn_0.w_out"})

    def test_random_models(self):
        rng = random.Random(3)
        for _ in range(4):
            lines = rng.sample(LAYERS, 3) + [moe(roomy(router), rng.choice([1, 2, 4])) for router in rng.sample([r for r in ROUTERS if r != "top2" and "k = 2" not in r], 3)]
            rng.shuffle(lines)
            self.agree(lines, context=rng.choice([1, 4]))

    def test_reasons(self):
        for line, says in (("stopped()", "`y` reads it inside `stop`"), ("compared()", "`y` only ranks, compares or rounds by it"), ("measured()", "the metric `size` reads it and is no loss"),
                           ("measured()", "the new value of the state `m` reads it and is no loss"), ("renormalised()", "`g` is the same whatever it is"), ("renormalised()", "`pick` only ranks"),
                           ("minus_itself()", "`y` subtracts it again or multiplies it by 0"), ("nowhere()", "`v` has no point: nothing satisfies its conditions")):
            told = [d for d in self.json("check", self.write_model([line], OWN + layers_of({name: CANCELS[name] for name in ("minus_itself", "nowhere")})))["diagnostics"] if d["code"] == "W0508"]
            self.assertEqual(len(told), 1)
            self.assertIn(says, " ".join(told[0]["notes"]))

    def test_one_warning_for_all_repetitions(self):
        done = self.ok("check", self.write_model(["repeat 3 { renormalised() }"], OWN))
        self.assertIn("no loss reaches `renormalised_0[0].norm.g`, `renormalised_0[0].w` (and 4 more like them)", done.stderr)
        self.assertEqual(done.stderr.count("W0508"), 1)

    def test_train(self):
        """Warned of once; not where it is frozen."""
        path, data = self.write_model([moe("soft", 1)]), self.pack()
        done = self.ok("train", path, data, "--out", self.path("a"), "--engine", "interp", "--eval-every", 0)
        self.assertEqual(done.stderr.count("no loss reaches `moe_0.router.w`"), 1)
        self.assertNotIn("W0508", self.ok("train", path, data, "--out", self.path("b"), "--engine", "interp", "--eval-every", 0, "--freeze", "*.router.w").stderr)

    def test_a_vocabulary_of_one(self):
        """There is nothing to predict: the cross-entropy is 0 whatever the parameters are."""
        self.assertEqual(self.warned(self.write_model(["ffn(hidden = 4)"], vocab=1)), {"embed_0.table", "ffn_0.norm.g", "ffn_0.w_in", "ffn_0.w_out", "rms_norm_0.g", "head_0.w"})

    def test_blocks_by_themselves(self):
        """They have no cross-entropy: nothing is missing."""
        self.write("b.bfm", "use std.layers\nuse std.routers\nblock b() {\n    attention(heads = 2, head_dim = 4)\n    moe(experts = 4, hidden = 4, router = top2())\n}\n")
        self.assertNotIn("W0508", self.ok("check", self.path("b.bfm") + ":b").stderr)


if __name__ == "__main__":
    unittest.main()
