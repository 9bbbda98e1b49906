"""check --cost: the memory that a step plans is what `profile` lays out, and a model far too large for this machine is answered without it."""
import os
import unittest

from harness import EXAMPLES, TINY, Case

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
