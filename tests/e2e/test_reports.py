"""Reports about unusual models: what a profile runs, parameters that only one mode has, gradients behind a stop, a context of one position."""
import os
import unittest

import numpy as np

from harness import SOURCE, Case, read_safetensors, safetensors

BLOCKS = """use std.layers
use std.routers
block plain(d: width = 64)    { moe(experts = 4, hidden = 96, router = top1(capacity = none, aux = 0)) ffn(hidden = 80) }
block balanced(d: width = 64) { moe(experts = 4, hidden = 96, router = top1(capacity = none)) ffn(hidden = 80) }
block choosing(d: width = 64) { moe(experts = 4, hidden = 96, router = top2(capacity = none)) }
"""

MODES = """use std.layers
use std.recipes
layer train_only(x[b, l, d]) -> [b, l, d] {
    if mode == train {
        param a[d] = 0.5
        state seen = 0
        next seen = seen + 1
        return y[b, l, o] = x[b, l, o] * a[o]
    } else { return y[b, l, o] = 0.25 * x[b, l, o] }
}
layer eval_only(x[b, l, d]) -> [b, l, d] {
    if mode == train { return y[b, l, o] = 0.25 * x[b, l, o] }
    else {
        param e[d] = 0.25
        state s[d] = 1
        return y[b, l, o] = e[o] * s[o] * x[b, l, o]
    }
}
layer decode_only(x[b, l, d]) -> [b, l, d] {
    if mode == decode {
        param q[d] = 0.25
        return y[b, l, o] = q[o] * x[b, l, o]
    } else { return y[b, l, o] = 0.25 * x[b, l, o] }
}
model m { vocab = 256 context = 16 embed(d = 16) train_only() eval_only() decode_only() rms_norm() head(tied = false) }
recipe r { optimizer = sgd(rate = 0.1) batch = 2 context = 16 steps = 4 }
"""

STOPS = """use std.layers
layer stopped(x[b, l, d]) -> [b, l, d] {
    param t[d] = 1
    let h[b, l, i] = x[b, l, i] * t[i]
    return y[b, l, i] = stop(h[b, l, i]) * x[b, l, i]
}
layer unmoved(x[b, l, d]) -> [b, l, d] { return y[b, l, i] = stop(3) * x[b, l, i] ^ 2 }
layer broken(x[b, l, d]) -> [b, l, d] { return y[b, l, i] = stop(x[b, l, i]) * floor(1e8 * x[b, l, i]) * 1e-8 }
"""

ONE = """use std.layers
use std.routers
use std.recipes
model one { vocab = 256 context = 1 embed(d = 16) attention(heads = 2, head_dim = 8) moe(experts = 2, hidden = 16, router = expert_choice(group = sequence, small_groups = true)) head(tied = true) }
recipe r { optimizer = adamw(rate = 0.003) batch = 4 context = 1 steps = 3 }
"""


class Lengths(Case):
    """The length of a report is that of its costs alone: what a layer sees, and how many parameters it has, stays."""
    OWN = """use std.layers
layer later(x[b, l, d]) -> [b, l, d] { return y[b, l, o] = sum[j | j == l + 5] x[b, j, o] }
layer near(x[b, l, d]) -> [b, l, d] { return y[b, l, o] = sum[s in 0 ..< 9 | s <= l] x[b, l - s, o] }
layer whole(x[b, l, d]) -> [b, l, d] { return y[b, l, o] = mean[j] x[b, j, o] }
"""

    def test_lengths(self):
        own = self.write("own.bfm", self.OWN)
        library = os.path.join(SOURCE, "stdlib", "layers.bfm")
        for file, layer, verdict in ((library, "attention", "causal"), (library, "token_mixer", "causal"), (library, "ffn", "token-local"), (own, "later", "future"), (own, "near", "causal"), (own, "whole", "future")):
            given = ["--set", "attention.heads=1"] if layer == "attention" else []
            reports = [self.json("check", f"{file}:{layer}", *given, *(["--length", str(length)] if length else []))["models"][0] for length in (0, 1, 2, 7, 40, 2000)]
            for report in reports:
                self.assertEqual(report["effects"], reports[0]["effects"], layer)
                self.assertIn(verdict, str(report["effects"]), layer)
            for report in reports[:-1]:
                self.assertEqual(report["parameters"]["total"], reports[0]["parameters"]["total"], layer)
            self.assertLess(reports[1]["work"]["forward_flops"], reports[2]["work"]["forward_flops"])
            self.assertEqual(reports[1]["length"], 1)


class Profiles(Case):
    def products(self, block, batch=2, length=32):
        report = self.json("profile", self.blocks + ":" + block, "--batch", batch, "--length", length, "--steps", 2, "--threads", 1)
        return {k["name"].split(".", 1)[1]: k["flops"] for k in report["kernels"] if k["kind"].startswith("product")}

    def test_experts_are_run(self):
        """Forward: 2 multiplications of k tokens by 64 × 96; each has two products in its derivative."""
        self.blocks = self.write("blocks.bfm", BLOCKS)
        tokens = 2 * 32
        for block, chosen in ("plain", 1), ("balanced", 1), ("choosing", 2):
            products = self.products(block)
            ffn = sum(flops for name, flops in products.items() if name.startswith("ffn_0"))
            experts = sum(flops for name, flops in products.items() if name.startswith("moe_0") and flops >= 2 * 64 * 96)
            router = 3 * 2 * tokens * 64 * 4
            self.assertEqual(experts, 6 * 2 * chosen * tokens * 64 * 96 + router, products)
            self.assertEqual(ffn, 0 if block == "choosing" else 6 * 2 * tokens * 64 * 80)


    def test_dropped_rows_are_no_work(self):
        """Of products by key only the rows that a capacity serves count, in kernel, sub-layer and step."""
        self.blocks = self.write("blocks.bfm", BLOCKS + "".join(f"block d{k}(d: width = 64) {{ moe(experts = 4, hidden = 96, router = {router}) }}\n" for k, router in enumerate(
            ("top1(capacity = 1/4)", "top2(capacity = 1/4)", "top2(capacity = none)"))))
        for block, chosen, capacity in ("d0", 1, 1 / 4), ("d1", 2, 1 / 4), ("d2", 2, None):
            report = self.json("profile", self.blocks + ":" + block, "--batch", 2, "--length", 64, "--steps", 2, "--threads", 1)
            keyed = [k for k in report["kernels"] if k["kind"] in ("product by key", "product into keys")]
            self.assertEqual(len(keyed), 6)
            whole = 2.0 * chosen * 128 * 64 * 96
            for kernel in keyed:
                if capacity is None:
                    self.assertEqual(kernel["served"], 1)
                else: # each expert has 1/4 · 128 / 4 slots
                    self.assertLessEqual(kernel["served"], capacity / chosen + 1e-9, kernel)
                    self.assertGreater(kernel["served"], 0)
                    self.assertEqual(kernel["served"] * chosen * 128 % 1, 0)
                self.assertAlmostEqual(kernel["flops"], whole * kernel["served"], delta=1e-6 * whole)
            self.assertEqual({k["served"] for k in report["kernels"] if k not in keyed}, {1})
            self.assertAlmostEqual(report["step"]["flops"], sum(k["flops"] for k in report["kernels"]), delta=1)
            self.assertAlmostEqual(sum(p["flops"] for p in report["sub_layers"]), report["step"]["flops"], delta=1)
            text = self.ok("profile", self.blocks + ":" + block, "--batch", 2, "--length", 64, "--steps", 2, "--threads", 1).stdout
            self.assertEqual("% of its rows" in text, capacity is not None)


class Modes(Case):
    def setUp(self):
        super().setUp()
        self.model, self.data, self.run_path = self.write("modes.bfm", MODES), self.pack(), self.path("run")

    def train(self, *args, **kwargs):
        return self.ok("train", self.model + ":m", self.data, "--out", self.run_path, "--threads", 1, "-q", *args, **kwargs)

    def test_every_verb_reads_the_run(self):
        self.train("--checkpoint-every", 2)
        weights = read_safetensors(os.path.join(self.run_path, "ckpt", "4", "model.safetensors"))
        self.assertTrue(np.all(weights["eval_only_0.e"] == 0.25) and np.all(weights["decode_only_0.q"] == 0.25))
        self.assertFalse(np.all(weights["train_only_0.a"] == 0.5))
        figures = self.json("eval", self.run_path, self.data)
        self.ok("generate", self.run_path, "--prompt", "A", "-n", 8, "--verify", "-q")
        # evaluation multiplies by e: what the file says counts
        weights["eval_only_0.e"] = np.zeros(16, np.float32)
        self.ok("train", self.model + ":m", self.data, "--out", self.path("other"), "--init", self.write("w.safetensors", safetensors(weights)), "--threads", 1, "-q",
                "--freeze", "*")
        self.assertNotEqual(self.json("eval", self.path("other"), self.data)["nats_per_token"], figures["nats_per_token"])
        self.assertTrue(np.all(read_safetensors(os.path.join(self.path("other"), "ckpt", "4", "model.safetensors"))["eval_only_0.e"] == 0))

    def test_resumes_to_the_same_bits(self):
        self.train()
        whole = read_safetensors(os.path.join(self.run_path, "ckpt", "4", "model.safetensors"))
        self.run_path = self.path("halves")
        self.ok("train", self.model + ":m", self.data, "--out", self.run_path, "--threads", 1, "-q", "--budget", "2step", )
        self.train("--resume")
        for name, value in read_safetensors(os.path.join(self.run_path, "ckpt", "4", "model.safetensors")).items():
            self.assertEqual(value.tobytes(), whole[name].tobytes(), name)

    def test_gradients_with_and_without_the_others(self):
        """`grad` takes a checkpoint, and weights that lack what training does not have."""
        self.train()
        tokens, weights = self.path("t.npy"), read_safetensors(os.path.join(self.run_path, "ckpt", "4", "model.safetensors"))
        np.save(tokens, np.arange(18, dtype=np.int32).reshape(2, 9))
        results = []
        for left in weights, {name: value for name, value in weights.items() if name not in ("eval_only_0.e", "decode_only_0.q")}:
            self.ok("grad", self.model + ":m", "--weights", self.write("w.safetensors", safetensors(left)), "--tokens", tokens, "--out", self.path("g.safetensors"))
            results.append(read_safetensors(self.path("g.safetensors")))
        self.assertEqual(sorted(results[0]), sorted(results[1]))
        self.assertNotIn("eval_only_0.e", results[0])
        self.assertTrue(np.any(results[0]["train_only_0.a"]))
        del weights["train_only_0.a"]
        self.fails(1, "train_only_0.a", "grad", self.model + ":m", "--weights", self.write("w.safetensors", safetensors(weights)), "--tokens", tokens, "--out", self.path("g.safetensors"))

    def test_modes_that_disagree(self):
        layer = """layer two(x[b, l, d]) -> [b, l, d] {
    if mode == train {
        param a[d] = 1
        return y[b, l, o] = a[o] * x[b, l, o]
    } else {
        param a[2, d] = 1
        return y[b, l, o] = a[1, o] * x[b, l, o]
    }
}
"""
        text = MODES.replace("model m", layer + "model m").replace("eval_only()", "two()")
        self.fails(1, ["two_0.a", "[16]", "[2, 16]", "different names"], "train", self.write("bad.bfm", text) + ":m", self.data, "--out", self.path("bad"), "-q")


class Gradients(Case):
    def rows(self, name, code=0):
        report = self.json("check", self.write("stops.bfm", STOPS) + ":" + name, "--gradients", "--width", 8, code=code)
        return {row["tensor"]: row for row in report["models"][0]["gradients"]}

    def test_stops_differ_by_intention(self):
        rows = self.rows("stopped")
        self.assertTrue(all(row["by_intention"] and not row["agrees"] for row in rows.values()), rows)
        self.assertEqual(rows["stopped_0.t"]["norm"], 0)
        text = self.ok("check", self.path("stops.bfm") + ":stopped", "--gradients", "--width", 8).stdout
        self.assertIn("3 differ by intention", text)

    def test_a_stop_that_hides_nothing(self):
        self.assertTrue(all(row["agrees"] and not row["by_intention"] for row in self.rows("unmoved").values()))

    def test_an_error_beside_a_stop(self):
        row = self.rows("broken", code=1)["x"]
        self.assertFalse(row["agrees"] or row["by_intention"])


VALUES = """use std.layers
layer by_token(x[b, l, d]; heads: count = 2, head_dim: width = 4, vocab: count, tokens[b, l]: vocab) -> [b, l, d] {
    param wq[d, (heads, head_dim)] ~ normal(0, 1)
    param ve[vocab, (heads, head_dim)] ~ normal(0, 1)
    let q[b, l, h, e] = sum[i] x[b, l, i] * wq[i, (h, e)]
    let v[b, l, h, e] = ve[tokens[b, l], (h, e)]
    let s[b, h, i, j] = (sum[e] q[b, i, h, e] * q[b, j, h, e]) where j <= i
    let o[b, i, h, e] = sum[j] softmax[j](s[b, h, i, j]) * v[b, j, h, e]
    return y[b, l, (h, e)] = o[b, l, h, e]
}
layer by_token_before(x[b, l, d]; heads: count = 2, head_dim: width = 4, vocab: count, tokens[b, l]: vocab) -> [b, l, d] {
    param wq[d, (heads, head_dim)] ~ normal(0, 1)
    param ve[vocab, (heads, head_dim)] ~ normal(0, 1)
    let q[b, l, h, e] = sum[i] x[b, l, i] * wq[i, (h, e)]
    let v[b, l, h, e] = ve[tokens[b, l - 1], (h, e)]   where l >= 1
    let s[b, h, i, j] = (sum[e] q[b, i, h, e] * q[b, j, h, e]) where j <= i
    let o[b, i, h, e] = sum[j] softmax[j](s[b, h, i, j]) * v[b, j, h, e]
    return y[b, l, (h, e)] = o[b, l, h, e]
}
model m { vocab = 17 context = 70 embed(d = 8) LAYER() wiring = none rms_norm() head(tied = false) }
"""


class ValuesByToken(Case):
    """Attention to values that a table holds by token: no scores are stored, and gradients are those of NumPy."""

    def reference(self, w, tokens, shift):
        """dL/d(ve) and dL/d(wq), the loss being the mean cross-entropy."""
        ids, targets = tokens[:, :-1], tokens[:, 1:]
        b, l = ids.shape
        x = w["embed_0.table"][ids] * np.sqrt(8)
        q = (x @ w["by_0.wq"]).reshape(b, l, 2, 4)
        v = w["by_0.ve"][np.roll(ids, shift, axis=1)].reshape(b, l, 2, 4)
        if shift:
            v[:, 0] = 0
        mask = np.tril(np.ones((l, l), bool))
        s = np.where(mask, np.einsum("bihe,bjhe->bhij", q, q), -np.inf)
        p = np.exp(s - s.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        y = np.einsum("bhij,bjhe->bihe", p, v).reshape(b, l, 8)
        r = 1 / np.sqrt((y ** 2).mean(-1, keepdims=True) + 1e-6)
        n = y * r * w["rms_norm_0.g"]
        z = n @ w["head_0.w"].T
        e = np.exp(z - z.max(-1, keepdims=True))
        dz = (e / e.sum(-1, keepdims=True) - np.eye(17)[targets]) / (b * l)
        dn = dz @ w["head_0.w"] * w["rms_norm_0.g"]
        dy = r * dn - y * r ** 3 * (dn * y).mean(-1, keepdims=True)
        do = dy.reshape(b, l, 2, 4)
        dv = np.einsum("bhij,bihe->bjhe", p, do)
        if shift:
            dv[:, 0] = 0
        dve = np.zeros((17, 8))
        np.add.at(dve, np.roll(ids, shift, axis=1), dv.reshape(b, l, 8))
        dp = np.einsum("bihe,bjhe->bhij", do, v)
        ds = p * (dp - (dp * p).sum(-1, keepdims=True))
        dq = np.einsum("bhij,bjhe->bihe", ds, q) + np.einsum("bhij,bihe->bjhe", ds, q)
        return dve, np.einsum("bld,blk->dk", x, dq.reshape(b, l, 8))

    def test_streams(self):
        rng = np.random.default_rng(4)
        tokens = rng.integers(0, 17, (2, 71))
        np.save(self.path("t.npy"), tokens.astype(np.int32))
        weights = {"embed_0.table": rng.normal(size=(17, 8)) / 3, "by_0.wq": rng.normal(size=(8, 8)) / 3, "by_0.ve": rng.normal(size=(17, 8)), "rms_norm_0.g": rng.normal(size=8),
                   "head_0.w": rng.normal(size=(17, 8))}
        for layer, shift in ("by_token", 0), ("by_token_before", 1):
            model = self.write("v.bfm", VALUES.replace("LAYER", layer))
            text = self.ok("check", model, "--explain-schedule").stdout
            self.assertRegex(text, layer + "_0 .* stream 1, .*stream backward 1")
            self.assertNotIn("scores stored", text)
            named = {name.replace("by_0", layer + "_0"): value.astype(np.float32) for name, value in weights.items()}
            self.write("w.safetensors", safetensors(named))
            dve, dwq = self.reference({name.replace(layer + "_0", "by_0"): value.astype(float) for name, value in named.items()}, tokens, shift)
            for engine, tolerance in ("interp", 1e-10), ("jit", 1e-4):
                self.ok("grad", model, "--weights", self.path("w.safetensors"), "--tokens", self.path("t.npy"), "--out", self.path("g.safetensors"), "--engine", engine)
                got = read_safetensors(self.path("g.safetensors"))
                for name, right in (layer + "_0.ve", dve), (layer + "_0.wq", dwq):
                    self.assertLess(np.abs(got[name] - right).max(), tolerance * np.abs(right).max(), (engine, name))


SHIFTS = """use std.layers
use std.recipes
layer before(x[b, l, d]; patch: count = 4) -> [b, l, d] {
    let z[b, p in 0 ..< size(l) / patch, c] = mean[s in 0 ..< patch] x[b, (p, s), c]
    let y[b, (p in 0 ..< size(l) / patch, s in 0 ..< patch), c] = sum[t in 1 ..< 2 | t <= p] z[b, p - t, c]
    return u[b, l in 0 ..< size(l), c] = y[b, l, c]
}
layer behind(x[b, l, d]; patch: count = 4) -> [b, l, d] {
    let z[b, p in 0 ..< size(l) / patch, c] = mean[s in 0 ..< patch] x[b, (p, s), c]
    let y[b, (p in 0 ..< size(l) / patch, s in 0 ..< patch), c] = z[b, p, c]
    return u[b, l in 0 ..< size(l), c] = y[b, l, c]
}
layer zeroed(x[b, l, d]) -> [b, l, d] { return y[b, l, i] = sum[j] x[b, j, i] * (j <= l) }
layer hidden(x[b, l, d]) -> [b, l, d] {
    let s[b, l, j] = sum[i] x[b, l, i] * x[b, j, i]
    return y[b, l, i] = sum[j] softmax[j](s[b, l, j] + select(j <= l, 0, -1e9)) * x[b, j, i]
}
layer pointed(x[b, l, d]) -> [b, l, d] {
    let at[b, l] = index[size(l)](floor(l * sigmoid(x[b, l, 0])))
    return y[b, l, i] = x[b, at[b, l], i]
}
layer best(x[b, l, d]) -> [b, l, d] {
    let s[b, l, j] = x[b, j, 0]   where j <= l
    let pick[b, l, k] = top[j; 2](s[b, l, j])
    return y[b, l, i] = sum[k] x[b, pick[b, l, k], i]
}
layer best_of_all(x[b, l, d]) -> [b, l, d] {
    let pick[b, k] = top[l; 2](x[b, l, 0])
    let z[b, k, i] = x[b, pick[b, k], i]
    return y[b, l, i] = x[b, l, i] + (sum[k] z[b, k, i])
}
layer after(x[b, l, d]) -> [b, l, d] { return y[b, l, i] = sum[s in 0 ..< 2 | l + s < size(l)] x[b, l + s, i] }
layer there_and_back(x[b, l, d]) -> [b, l, d] {
    let z[b, l, i] = sum[s in 1 ..< 2 | l + s < size(l)] x[b, l + s, i]
    return y[b, l, i] = sum[s in 1 ..< 2 | s <= l] z[b, l - s, i]
}
MODELS
recipe r { optimizer = sgd(rate = 0.1) batch = 2 context = 8 steps = 1 }
"""


class Verdicts(Case):
    """What is said about each layer, against which logits change with a token, in double precision."""
    SHOWN = {"after": "future", "behind": "future", "best_of_all": "future", "there_and_back": "causal"}
    LAYERS = ["before", "behind", "zeroed", "hidden", "pointed", "best", "best_of_all", "after", "there_and_back"]

    def setUp(self):
        super().setUp()
        models = "".join(f"model m_{n} {{ vocab = 9 context = 8 embed(d = 6) {n}() wiring = none rms_norm() head(tied = false) }}\n" for n in self.LAYERS)
        self.file = self.write("shifts.bfm", SHIFTS.replace("MODELS", models))

    def logits(self, model, tokens):
        np.save(self.path("t.npy"), tokens.astype(np.int32))
        self.ok("grad", f"{self.file}:{model}", "--weights", self.path("w.safetensors"), "--tokens", self.path("t.npy"), "--out", self.path("g.safetensors"), "--engine", "interp")
        return read_safetensors(self.path("g.safetensors"))["logits"]

    def future_is_read(self, model):
        """Whether a later token changes the logits of an earlier position, for one of a few tokens."""
        rng = np.random.default_rng(3)
        names = self.json("check", f"{self.file}:{model}")
        self.assertTrue(names["ok"])
        weights = {"embed_0.table": rng.normal(size=(9, 6)), "rms_norm_0.g": np.ones(6), "head_0.w": rng.normal(size=(9, 6))}
        weights = {name: value.astype(np.float32) for name, value in weights.items()}
        self.write("w.safetensors", safetensors(weights))
        seen = False
        for trial in range(4):
            tokens = rng.integers(0, 9, (1, 9))
            changed, at = tokens.copy(), int(rng.integers(1, 8))
            changed[0, at] = (changed[0, at] + 1 + trial) % 9
            a, b = self.logits(model, tokens), self.logits(model, changed)
            seen = seen or bool(np.any(a[0, :at] != b[0, :at]))
        return seen

    def test_against_reality(self):
        for layer in self.LAYERS:
            effects = self.json("check", f"{self.file}:m_{layer}")["models"][0]["effects"]
            said = "causal" if effects["causal"] else "future" if effects["reads_future"] else "unknown"
            reality = self.future_is_read(f"m_{layer}")
            self.assertEqual(said, self.SHOWN.get(layer, "causal" if effects["causal"] else "unknown"), layer)
            self.assertEqual(reality, said == "future", layer)

    def test_words(self):
        text = self.ok("check", self.file + ":m_zeroed")
        self.assertIn("cannot be shown to be causal", text.stdout)
        self.assertNotIn("reads the future", text.stdout + text.stderr)
        self.assertIn("W0509", text.stderr)
        data = self.pack("abcdefgh " * 400)
        bytes_model = self.write("z.bfm", SHIFTS.replace("MODELS", "model m { vocab = 256 context = 8 embed(d = 6) zeroed() rms_norm() head(tied = false) }\n"))
        run = self.path("run")
        self.assertIn("W0509", self.ok("train", bytes_model, data, "--out", run, "--threads", 1).stderr)
        figures = self.json("eval", run, data)
        self.assertEqual((figures["leaky"], figures["may_be_leaky"]), (False, True))
        self.assertIn("may be leaky", self.ok("eval", run, data).stdout)
        done = self.fails(1, ["cannot be shown to be causal", "nothing bounds"], "generate", run, "-n", 3)
        self.assertNotIn("reads the future", done.stderr)


class OnePosition(Case):
    def test_a_context_of_one_is_causal(self):
        model, data = self.write("one.bfm", ONE), self.pack()
        report = self.json("check", model)["models"][0]
        for effects in report["effects"], report["training_effects"]:
            self.assertTrue(effects["causal"] and effects["token_local"] and not effects["length_dependent"], effects)
        self.ok("train", model + ":one", data, "--out", self.path("run"), "--threads", 1, "-q")
        self.assertFalse(self.json("eval", self.path("run"), data)["leaky"])

    def test_generates(self):
        model, data = self.write("one.bfm", ONE.replace("expert_choice(group = sequence, small_groups = true)", "top1(small_groups = true)")), self.pack()
        self.ok("train", model, data, "--out", self.path("run"), "--threads", 1, "-q")
        self.ok("generate", self.path("run"), "--prompt", "A", "-n", 5, "--verify", "-q")


if __name__ == "__main__":
    unittest.main()
