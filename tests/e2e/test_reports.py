"""Reports about unusual models: what a profile runs, parameters that only one mode has, gradients behind a stop, a context of one position."""
import os
import unittest

import numpy as np

from harness import Case, read_safetensors, safetensors

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
