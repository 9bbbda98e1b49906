"""The newcomer's way at small size: pack, train, evaluate, write; every example takes a step; layers of a user's own train."""
import os
import unittest

from harness import EXAMPLES, TINY, Case, log

OWN_LAYERS = '''use std.layers

/// A user's own activation and positions: no compiler was changed.
fn squared_relu_of_mine(x) = max(x, 0) ^ 2

layer alibi_of_mine(x[b, l, d]; heads: count = 2, head_dim: width = 8) -> [b, l, d] {
    param wq[d, (heads, head_dim)] ~ normal(0, d ^ -0.5)
    param wk[d, (heads, head_dim)] ~ normal(0, d ^ -0.5)
    param wv[d, (heads, head_dim)] ~ normal(0, d ^ -0.5)
    param wo[(heads, head_dim), d] ~ normal(0, (heads * head_dim) ^ -0.5)
    let q[b, l, h, e] = sum[i] x[b, l, i] * wq[i, (h, e)]
    let k[b, l, h, e] = sum[i] x[b, l, i] * wk[i, (h, e)]
    let v[b, l, h, e] = sum[i] x[b, l, i] * wv[i, (h, e)]
    let s[b, h, i, j] = head_dim ^ -0.5 * (sum[e] q[b, i, h, e] * k[b, j, h, e]) - 2 ^ (-8 * (pos(h) + 1) / heads) * (pos(i) - pos(j)) where j <= i
    let o[b, i, h, e] = sum[j] softmax[j](s[b, h, i, j]) * v[b, j, h, e]
    return y[b, l, o2] = sum[h, e] o[b, l, h, e] * wo[(h, e), o2]
}

'''


class Way(Case):
    def test_quickstart_at_small_size(self):
        data, run = self.pack(), self.path("run")
        model = os.path.join(EXAMPLES, "brainformer_tiny.bfm")
        self.ok("train", model, data, "--out", run, "--budget", "12step")
        self.assertLess(log(run)[-1]["loss"], log(run)[0]["loss"])
        report = self.json("eval", run, data)
        self.assertGreater(report["bits_per_byte"], 0)
        self.assertIn("bits per byte", self.ok("eval", run, data, "--part", "test").stdout)
        text = self.ok("generate", run, "--prompt", "ROMEO:", "-n", "40", "--verify", "--seed", "1").stdout
        self.assertTrue(text.startswith("ROMEO:"), text)
        self.assertEqual(text, self.ok("generate", run, "--prompt", "ROMEO:", "-n", "40", "--seed", "1", "--threads", "1").stdout)
        self.ok("generate", run, "-n", "200", "--temperature", "0")
        self.fails(1, "neither a run", "eval", self.folder, data)
        self.fails(1, "nothere", "generate", "nothere")

    def test_every_small_example_takes_steps(self):
        data = self.pack()
        for name in sorted(os.listdir(EXAMPLES)):
            if name.endswith("_tiny.bfm"):
                run = self.path(name)
                self.ok("train", os.path.join(EXAMPLES, name), data, "--out", run, "--budget", "6step")
                self.assertLess(log(run)[-1]["loss"], log(run)[0]["loss"], name)

    def test_own_definitions_train(self):
        model = self.write("own.bfm", OWN_LAYERS + TINY.split("\n", 1)[1].replace("attention(heads = 2, head_dim = 8)", "alibi_of_mine()").replace("act = gelu", "act = squared_relu_of_mine"))
        data, run = self.pack(), self.path("run")
        self.ok("train", model, data, "--out", run)
        self.assertLess(log(run)[-1]["loss"], log(run)[0]["loss"])
        self.ok("generate", run, "-n", "20", "--verify")

    def test_a_model_that_reads_the_future_does_not_write(self):
        model = self.write("leaky.bfm", TINY.replace("attention(heads = 2, head_dim = 8)", "attention(heads = 2, head_dim = 8, causal = false)"))
        data, run = self.pack(), self.path("run")
        self.ok("train", model, data, "--out", run)
        self.assertTrue(self.json("eval", run, data)["leaky"])
        self.assertIn("leaky", self.ok("eval", run, data).stdout)
        self.fails(1, "future", "generate", run, "-n", "20")
        self.assertIn("W0501", self.ok("check", model).stderr)


if __name__ == "__main__":
    unittest.main()
