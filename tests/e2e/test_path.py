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


PEEK = """use std.layers
use std.recipes
layer peek(x[b, l, d]; vocab: count, targets[b, l]: vocab) -> [b, l, d] {
    param w[vocab, d] ~ normal(0, 1)
    return y[b, l, i] = x[b, l, i] + (sum[v, j | j == PLACE and v == targets[b, j]] w[v, i])
}
model m { vocab = 256 context = 16 embed(d = 16) peek() head() }
recipe r { optimizer = adamw(rate = 0.01) batch = 4 context = 16 steps = 3 }
"""


class Targets(Case):
    def run_of(self, place):
        model, data, run = self.write("peek.bfm", PEEK.replace("PLACE", place)), self.pack(), self.path("run")
        checked = self.json("check", model)
        trained = self.ok("train", model, data, "--out", run, "--threads", 1)
        return checked, trained.stdout + trained.stderr, self.json("eval", run, data), log(run, "eval.jsonl"), run

    def test_a_line_that_reads_its_target_is_leaky(self):
        checked, told, evaluated, log_of_evaluations, run = self.run_of("l")
        self.assertEqual([d["code"] for d in checked["diagnostics"]], ["W0501"])
        self.assertIn("peek_0", checked["diagnostics"][0]["message"])
        self.assertIn("`targets`", checked["diagnostics"][0]["fix"])
        effects = checked["models"][0]["effects"]
        self.assertTrue(effects["reads_future"] and not effects["causal"] and not effects["token_local"], effects)
        self.assertTrue([line for line in checked["models"][0]["lines"] if line["path"] == "peek_0"][0]["effects"]["reads_future"])
        self.assertTrue(checked["models"][0]["leak"])
        self.assertIn("W0501", told)
        self.assertIs(evaluated["leaky"], True)
        self.assertTrue(log_of_evaluations and all(e["leaky"] is True for e in log_of_evaluations))
        self.fails(1, "reads the future", "generate", run, "-n", 2)

    def test_an_earlier_target_is_a_token_that_is_known(self):
        checked, told, evaluated, _, run = self.run_of("l - 1")
        self.assertEqual(checked["diagnostics"], [])
        self.assertTrue(checked["models"][0]["effects"]["causal"])
        self.assertNotIn("W0501", told)
        self.assertIs(evaluated["leaky"], False)
        self.fails(1, "targets", "generate", run, "-n", 2)


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
