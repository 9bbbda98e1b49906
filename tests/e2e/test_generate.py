"""bfmc generate: decoding agrees with the forward pass in every bit, bits do not depend on threads, what cannot be written is refused."""
import os
import shutil
import unittest

from harness import Case, steps

MODEL = """use std.layers
use std.routers
use std.optimizers

model m {
    vocab   = 256
    context = 32
    embed(d = 32)
    repeat 2 {
        attention(heads = 2, head_dim = 16, conv = 3)
        moe(experts = 4, hidden = 32, act = gelu, router = %s)
        ffn(hidden = 48, act = geglu)
    }
    rms_norm()
    head(tied = true)
}

recipe few {
    optimizer = adamw(rate = 0.003)
    batch     = 4
    context   = 32
    steps     = 6
    seed      = 1
}
"""


class Generate(Case):
    def train(self, router, code=0, *more):
        model = self.write("model.bfm", MODEL % router)
        self.ok("train", model, self.pack(), "--out", self.path("run"), "-q", *more, code=code)
        return self.path("run")

    def text(self, run, *more):
        return self.ok("generate", run, "-n", 90, "--seed", 3, *more).stdout

    def test_decoding_is_the_forward_pass(self):
        run = self.train("top2(capacity = 1)")
        done = self.ok("generate", run, "--prompt", "The naïve fox", "-n", 90, "--seed", 3, "--verify")
        self.assertTrue(done.stdout.startswith("The naïve fox"))
        self.assertIn("agree in every bit", done.stderr)
        self.assertGreater(len(done.stdout), 60)

        # The same seed writes the same text: on any number of threads, from the checkpoint by name.
        for threads in (1, 2, 3):
            self.assertEqual(self.text(run, "--prompt", "The naïve fox", "--threads", threads), done.stdout)
        self.assertEqual(self.text(f"{run}/ckpt/{steps(run)[-1]}", "--prompt", "The naïve fox"), done.stdout)
        self.assertNotEqual(self.ok("generate", run, "--prompt", "The naïve fox", "-n", 90, "--seed", 4).stdout, done.stdout)
        cold = [self.ok("generate", run, "-n", 30, "--temperature", 0, "--seed", seed).stdout for seed in (1, 2)]
        self.assertEqual(*cold)
        self.assertEqual(self.ok("generate", run, "-n", 30, "--temperature", 0, "--prompt", "").stdout, cold[0])

        # A prompt longer than the context, texts of several contexts, a report.
        report = self.json("generate", run, "--prompt", "All the world's a stage, and all the men and women merely players.", "-n", 100, "--verify")
        self.assertEqual((report["tokens"], report["verify"]["same"], report["verify"]["differences"]), (100, True, 0))
        self.assertGreater(report["windows"], 4)
        self.assertGreater(report["verify"]["positions"], 100)
        self.assertEqual(self.ok("generate", run, "-n", 0).stdout, "")

        # What cannot be asked.
        self.fails(1, "temperature", "generate", run, "--temperature", "-1")
        self.fails(1, "top-p", "generate", run, "--top-p", "1.5")
        self.fails(1, "neither a run", "generate", f"{run}/ckpt/5")
        self.fails(2, "whole number", "generate", run, "-n", "many")
        shutil.copytree(run, self.path("broken"))
        with open(self.path("broken", "ckpt", str(steps(run)[-1]), "model.safetensors"), "r+b") as file:
            file.seek(5000)
            file.write(b"x")
        self.fails(1, "model.safetensors", "generate", f"{self.path('broken')}/ckpt/{steps(run)[-1]}")

    def test_a_context_of_one(self):
        """Every position stands alone, so whatever the layers do with positions is decoded, and two texts that end alike go on alike."""
        lines = {"expert_choice": "moe(experts = 2, hidden = 4, router = expert_choice(group = sequence, small_groups = true))", "order": "moe(experts = 4, hidden = 4, router = topk(k = 2, order = choice, small_groups = true))",
                 "usual": "attention(heads = 1, head_dim = 4, conv = 3, position = relative) token_mixer(hidden = 2, act = gelu)",
                 "ahead": "ahead()", "backwards": "backwards()"}
        own = """
layer ahead(x[b, l, d]) -> [b, l, d] {
    param w[d, d] ~ normal(0, 1)
    let s[b, i, j] = (sum[e, f] x[b, i, e] * w[e, f] * x[b, j, f])
    return y[b, l, o] = sum[j] softmax[j](s[b, j, l] + s[b, l, j]) * x[b, j, o]
}
layer backwards(x[b, l, d]) -> [b, l, d] {
    param w[d] ~ normal(0, 1)
    let m[b, o] = mean[l] x[b, l, o]
    return y[b, l, o] = m[b, o] * w[o]
}
"""
        for name, line in lines.items():
            with self.subTest(name):
                model = self.write(f"{name}.bfm", f"use std.layers\nuse std.routers\nuse std.optimizers\n{own}model m {{ vocab = 256 context = 1 embed(d = 8) {line} rms_norm() head(tied = true) }}\n"
                                   "recipe few { optimizer = adamw(rate = 0.003) batch = 4 context = 1 steps = 2 seed = 1 }\n")
                self.assertEqual(self.json("check", model)["models"][0]["effects"]["verdict"].split(":")[0], "token-local")
                run = self.path(name)
                self.ok("train", model, self.pack(), "--out", run, "-q")
                self.assertIn("agree in every bit", self.ok("generate", run, "-n", 9, "--seed", 1, "--verify", "--prompt", "ab").stderr)
                first, second = (self.json("generate", run, "-n", 9, "--temperature", 0, "--prompt", prompt)["text"] for prompt in ("ab", "xyzb"))
                self.assertEqual(first, second)

    def test_a_prompt_that_is_no_utf8(self):
        """Wherever the bytes stand, one U+FFFD for each maximal subpart, in the text as in the report."""
        run = self.train("top1()", 0, "--budget", "1step")
        for prompt in (b"\xff", b"a\xffb", b"\xc0\x80z", b"\xf0\x9f", b"ab\xe2\x82", b"\xf0\x9fA\xe2\x82", b"\xed\xa0\x80", "é€😀".encode(), b"\xff\xf0\x9f\x98"):
            text = os.fsdecode(prompt)
            self.assertEqual(self.ok("generate", run, "-n", 0, "-p", text).stdout, prompt.decode("utf-8", "replace"), prompt)
            report = self.json("generate", run, "-n", 0, "-p", text)
            self.assertEqual(report["prompt"] + report["text"], prompt.decode("utf-8", "replace"), prompt)

    def test_what_reads_the_future_is_refused(self):
        run = self.train("expert_choice(group = sequence)", 0, "--budget", "1step")
        self.fails(1, ["reads the future", "moe_0", "best reads later positions"], "generate", run)
        self.fails(1, "neither a run", "generate", self.path("nothing"))


if __name__ == "__main__":
    unittest.main()
