"""What check, check --cost, show and profile count, against counts made here; the memory that a step plans is what `profile` lays out, and a model far too large
for this machine is answered without it."""
import os
import unittest

from harness import EXAMPLES, TINY, Case

COUNTED = """use std.layers

model m {
    vocab   = 32
    context = 8
    embed(d = 6)
    attention(heads = 2, head_dim = 4)
    ffn(hidden = 10, act = relu)
    head(tied = false)
}
"""
# Parameters that not every mode has, two in each of two places, and one that has its own in evaluation and in decoding.
MODES = """use std.layers

layer odd(x[b, l, d]) -> [b, l, d] {
    param q[d] = 1
    if mode == train {
        param t[d, k in 0 ..< 5] ~ normal(0, 1)
        let z[b, l, o] = x[b, l, o] * (sum[k] t[o, k])
    } else {
        param e[d, k in 0 ..< 3] ~ normal(0, 1)
        let z[b, l, o] = x[b, l, o] * (sum[k] e[o, k])
    }
    if mode == decode {
        param c = 1
        let y[b, l, o] = z[b, l, o] * c
    } else { let y[b, l, o] = z[b, l, o] }
    return u[b, l, o] = y[b, l, o] * q[o]
}
model m {
    vocab   = 16
    context = 8
    embed(d = 4)
    repeat 2 { odd() }
    head(tied = false)
}
"""

HUGE = """use std.layers

model huge {
    vocab   = 32_000
    context = 2048
    embed(d = 4096)
    repeat 32 {
        attention(heads = 32, head_dim = 128)
        ffn(hidden = 11_008, act = swiglu)
    }
    rms_norm()
    head(tied = true)
}
"""


class Cost(Case):
    def step(self, *args):
        return self.json("check", "--cost", *args)["models"][0]["step"]

    def test_planned_as_laid_out(self):
        model = self.write("model.bfm", TINY)
        step, memory = self.step(model, "--batch", 2), self.json("profile", "--batch", 2, "--steps", 1, model)["memory"]
        for key in ("formals_bytes", "planned_bytes", "unshared_bytes"):
            self.assertEqual(step[key], memory[key])
        self.assertGreater(step["predicted_s"], 0)
        self.assertGreater(step["kernels"], 10)

    def test_shared_repetitions(self):
        """The weights of `repeat … shared` count once, at the first; the work is of every repetition, and scopes add up to the total."""
        text = """use std.layers
block p() { ffn(hidden = 8) ffn(hidden = 9) }
model m {
    vocab = 16
    context = 8
    embed(d = 8)
    repeat 3 %s { p() ffn(hidden = 10) }
    head(tied = true)
}
"""
        found = {}
        for word in ("shared", ""):
            report = self.json("check", self.write(f"m{word}.bfm", text % word))["models"][0]
            rows = [row for row in report["lines"] if row["depth"] == 0]
            found[word] = {key: sum(row.get("repeats", 1) * value(row) for row in rows) for key, value in
                           (("parameters", lambda row: row["parameters"]["total"]), ("forward", lambda row: row["work"]["forward_flops"]))}
            self.assertEqual(found[word]["parameters"], report["parameters"]["total"])
            self.assertAlmostEqual(found[word]["forward"] / report["work"]["forward_flops"], 1, places=9)
        once = 8 + 2 * 8 * 8 + 8 + 2 * 8 * 9 + 8 + 2 * 8 * 10  # norms and matrices of one repetition
        self.assertEqual(found["shared"]["parameters"], 16 * 8 + once)
        self.assertEqual(found[""]["parameters"], 16 * 8 + 3 * once)
        self.assertEqual(found["shared"]["forward"], found[""]["forward"])

    def test_counted_by_hand(self):
        model, batch, length, vocab, d, heads, head_dim, hidden = self.write("m.bfm", COUNTED), 4, 8, 32, 6, 2, 4, 10
        report = self.json("check", "--cost", "--batch", batch, model)["models"][0]
        parameters = {"embed_0": vocab * d, "attention_0": 4 * d * heads * head_dim + d, "ffn_0": 2 * d * hidden + d, "head_0": vocab * d}
        self.assertEqual({line["path"]: line["parameters"]["total"] for line in report["lines"]}, parameters)
        self.assertEqual(report["parameters"], {"total": sum(parameters.values()), "products": 4 * d * heads * head_dim + 2 * d * hidden, "tables": 2 * vocab * d, "others": 2 * d,
                                                "activated": 4 * d * heads * head_dim + 2 * d * hidden, "untrained": 0})
        tokens, pairs = batch * length, batch * length * (length + 1) // 2
        norm = 2 * tokens * d  # the squares of its mean are products too
        products = {"embed_0": 0, "attention_0": 4 * 2 * tokens * d * heads * head_dim + 2 * 2 * pairs * heads * head_dim + norm, "ffn_0": 2 * 2 * tokens * d * hidden + norm,
                    "head_0": 2 * tokens * d * vocab}
        self.assertEqual({line["path"]: line["work"]["product_flops"] for line in report["lines"]}, products)
        self.assertEqual(report["work"]["product_flops"], sum(products.values()))
        whole = lambda elements: -(-4 * elements // 64) * 64  # each begins a line of the cache
        tensors = [vocab * d] * 2 + [d] * 2 + [d * heads * head_dim] * 4 + [d * hidden] * 2 + [tokens] * 2  # with tokens and targets
        self.assertEqual(report["step"]["formals_bytes"], sum(map(whole, tensors)))
        profile = self.json("profile", "--batch", batch, "--steps", 1, model)
        self.assertEqual(profile["memory"]["formals_bytes"], report["step"]["formals_bytes"])
        self.assertEqual(profile["step"]["flops"], report["step"]["flops"])
        self.assertEqual(profile["step"]["flops"], sum(kernel["flops"] for kernel in profile["kernels"]))
        for kernel in profile["kernels"]:
            if kernel["kind"] == "product":
                m, n, k = map(int, kernel["shape"].split("×"))
                self.assertEqual(kernel["flops"], 2 * m * n * k, kernel)
        of_ffn = [kernel["flops"] for kernel in profile["kernels"] if kernel["kind"] == "product" and kernel["name"].startswith("ffn_0")]
        self.assertEqual(sorted(of_ffn), [2 * tokens * d * hidden] * 6)  # two forward, each with two gradients
        embed, = (kernel["bytes"] for kernel in profile["kernels"] if kernel["name"] == "embed_0.y")
        self.assertEqual(embed, 4 * (2 * tokens * d + tokens))  # rows written, rows of the table, tokens
        self.assertEqual(self.ok("show", model).stdout.splitlines()[1].split(" ")[0], str(sum(parameters.values())))

    def test_parameters_of_every_mode(self):
        """A checkpoint holds what any mode reads: so does the total, with what training does not have told apart."""
        model = self.write("m.bfm", MODES)
        report = self.json("check", model)["models"][0]
        line, other = 4 + 4 + 4 * 5 + 4 * 3 + 1, 4 * 3 + 1  # with the gain of its norm
        self.assertEqual((report["parameters"]["total"], report["parameters"]["untrained"]), (2 * 16 * 4 + 2 * line, 2 * other))
        self.assertEqual([row["parameters"]["total"] for row in report["lines"] if row["definition"] == "odd"], [line, line])
        self.assertIn("26 of them only evaluation or decoding reads", self.ok("check", model).stdout)
        self.assertNotIn("only evaluation", self.ok("check", self.write("c.bfm", COUNTED)).stdout)

    def test_profile_begins_with_the_initial_values(self):
        """Not with others in their place: one that f32 cannot hold is refused."""
        layer = "layer odd(x[b, l, d]) -> [b, l, d] {\n    param q[d] = %s\n    return y[b, l, o] = x[b, l, o] * q[o]\n}\n"
        model = COUNTED.replace("ffn(hidden = 10, act = relu)", "odd()")
        self.fails(1, ["odd_0.q", "inf at [0]"], "profile", "--steps", 1, self.write("m.bfm", model + layer % "1e39"))
        self.ok("profile", "--steps", 1, self.write("m.bfm", model + layer % "0"))

    def test_larger_than_the_machine(self):
        step = self.step(self.write("huge.bfm", HUGE))
        self.assertGreater(step["formals_bytes"], 4 * 6.0e9)
        self.assertGreater(step["planned_bytes"], 4 * 6.0e9)

    def test_text_and_blocks(self):
        done = self.ok("check", "--cost", os.path.join(EXAMPLES, "dense_tiny.bfm"))
        self.assertIn("a training step of 8 × 128 tokens", done.stdout)
        done = self.ok("check", "--cost", os.path.join(EXAMPLES, "brainformer_tiny.bfm") + ":brainformer_tiny_block", code=2)
        self.assertIn("--cost is about models", done.stderr)


if __name__ == "__main__":
    unittest.main()
