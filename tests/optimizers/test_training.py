"""`bfmc train` against a training loop in NumPy: batches, accumulation, clipping, schedule, groups and optimiser together; then resumption.

    test_training.py BFMC [unittest arguments]

With the interpreter every parameter agrees after several steps within 1e-10 of its largest value.
"""
import filecmp
import fnmatch
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np

import batches
import optimizers
import reference
import tensors

BFMC = sys.argv[1] if len(sys.argv) > 1 else "bfmc"
STEPS, CONTEXT, SEED = 6, 8, 5

# Matrices, stacks of them (experts, taps of a head), a compound axis, vectors, gains of one element, a table.
MODEL = """use std.layers
use std.routers
use std.recipes

model m {
    vocab   = 256
    context = 8
    embed(d = 6)
    attention(heads = 2, head_dim = 4, kv_heads = 1, conv = 3, qk_norm = true)
    moe(experts = 3, hidden = 5, act = geglu, router = ROUTER)
    layer_norm()
    at 1/6 { ffn(hidden = 2, act = relu) }
    head(tied = false, z_loss = 0.001)
}
"""
SEQUENCE = "top2(capacity = 2, group = sequence, small_groups = true)"
BATCH = "top2(capacity = 1, group = batch)"


class Recipe:
    """What both sides are told."""

    def __init__(self, optimizer, schedule=None, groups=(), clip=None, batch=2, accumulate=1):
        self.optimizer, self.schedule, self.groups, self.clip, self.batch, self.accumulate = optimizer, schedule, groups, clip, batch, accumulate

    def text(self):
        lines = [f"optimizer = {self.optimizer}", f"batch = {self.batch}", f"context = {CONTEXT}", f"steps = {STEPS}", f"seed = {SEED}", f"accumulate = {self.accumulate}"]
        lines += [f"schedule = {self.schedule}"] if self.schedule else []
        lines += [f"clip_norm = {self.clip}"] if self.clip else []
        lines += [f'on "{glob}" {{ {settings} }}' for glob, settings in self.groups]
        return "recipe r {\n    " + "\n    ".join(lines) + "\n}\n"

    def optimizer_of(self, path):
        """The optimiser of a parameter: settings of every group that matches, later ones over earlier ones."""
        name, attributes = self.optimizer[:-1].split("(", 1)
        settings = dict(part.split(" = ") for part in attributes.split(", "))
        for glob, changes in self.groups:
            if fnmatch.fnmatchcase(path, glob):
                settings.update(part.split(" = ") for part in changes.split("  "))
        return optimizers.make(f"{name}({', '.join(f'{k} = {v}' for k, v in settings.items())})")


RECIPES = {
    "adafactor": Recipe("adafactor(rate = 0.02, decay = power, scale_parameter = true)", "inverse_sqrt(hold = 3)"),
    "adafactor_adam": Recipe("adafactor(rate = 0.01, beta1 = 0.9, weight_decay = 0.1)", clip=1.5),
    "adamw": Recipe("adamw(rate = 0.02, weight_decay = 0.5)", "cosine(warmup = 2, floor = 0.1)", clip=1,
                    groups=(("*.norm.*", "weight_decay = 0"), ("moe_*", "rate = 0.005"), ("*.g", "weight_decay = 0  beta1 = 0.5"), ("moe_0.router.w", "rate = 0.001  eps = 0.01"))),
    "sgd": Recipe("sgd(rate = 0.5, momentum = 0.9)", "linear(warmup = 2)", groups=(("*.table", "rate = 0.1  momentum = 0"),)),
    "lion": Recipe("lion(rate = 0.01, weight_decay = 0.1)", "constant()", batch=3),
}


class Training(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name
        with open(self.path("t.txt"), "w") as file:
            file.write("\n\n".join(f"line {i * i} of some text to train on" for i in range(12)))
        self.bfmc("data", "pack", "t.txt", "--out", "data", "--split", "80,10,10", "-q")

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def bfmc(self, *arguments, code=0):
        done = subprocess.run([BFMC, *arguments], capture_output=True, text=True, cwd=self.folder, timeout=120)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}{done.stderr}")
        return done.stderr

    def train(self, recipe, run="run", router=SEQUENCE, engine="interp", options=(), code=0):
        with open(self.path("m.bfm"), "w") as file:
            file.write(MODEL.replace("ROUTER", router) + recipe.text())
        return self.bfmc("train", "m.bfm", "data", "--out", run, "--engine", engine, "--eval-tokens", "8", "-q", *options, code=code)

    def trained(self, run, step=STEPS):
        return tensors.load(self.path(run, "ckpt", str(step), "model.safetensors"))

    def loop(self, recipe, router=SEQUENCE):
        """Parameters after the steps, in NumPy, from those of the run's first checkpoint; and the largest gradient norm."""
        with open(self.path("block.bfm"), "w") as file:
            file.write(MODEL.replace("ROUTER", router))
        model = reference.load_model(self.path("block.bfm"))
        at = {name: np.asarray(value, np.float64) for name, value in self.trained("run", 0).items()}
        made = {name: recipe.optimizer_of(name) for name in at}
        factor = optimizers.make_schedule(recipe.schedule, STEPS) if recipe.schedule else lambda step: 1.0
        ids = batches.read_ids(self.path("data", "train.tok"))
        for step in range(STEPS):
            total = {name: 0.0 for name in at}
            for micro in range(recipe.accumulate):
                tokens = batches.batch(ids, recipe.batch, CONTEXT, SEED, step * recipe.accumulate + micro)
                gradients, _ = reference.gradients(model, at, tokens)
                total = {name: total[name] + gradients[name] / recipe.accumulate for name in at}
            if recipe.clip:
                total = optimizers.clip_norm(total, recipe.clip)
            at = {name: made[name].step(value, total[name], factor(step)) for name, value in at.items()}
        return at

    def agree(self, got, expected, tolerance=1e-10):
        self.assertEqual(sorted(got), sorted(expected))
        begun = self.trained("run", 0)
        for name, value in expected.items():
            self.assertEqual(got[name].dtype, np.float64)
            self.assertEqual(got[name].shape, value.shape, name)
            self.assertLessEqual(np.abs(got[name] - value).max() / np.abs(value).max(), tolerance, name)
            self.assertGreater(np.abs(begun[name] - value).max(), 1e-6, f"{name} was not trained")

    def test_recipes(self):
        for name, recipe in RECIPES.items():
            with self.subTest(name):
                shutil.rmtree(self.path("run"), ignore_errors=True)
                self.train(recipe)
                self.agree(self.trained("run"), self.loop(recipe))

    def test_log(self):
        """The rate that is logged is the recipe's, scheduled, whatever groups have; the norm is that before clipping."""
        recipe = Recipe("sgd(rate = 0.5)", "linear(warmup = 2)", clip=0.01, groups=(("embed_*", "rate = 0.001"),))
        self.train(recipe)
        with open(self.path("run", "log.jsonl")) as file:
            log = [json.loads(line) for line in file]
        for step, record in enumerate(log):
            self.assertAlmostEqual(record["rate"], 0.5 * optimizers.make_schedule(recipe.schedule, STEPS)(step), places=9)  # as many digits as are logged
            self.assertGreater(record["gradient_norm"], 0.1)

    def test_accumulated_micro_batches_are_one_batch(self):
        """Where no router chooses among the tokens of a batch."""
        whole = Recipe("adamw(rate = 0.01)", clip=1, batch=4)
        self.train(whole)
        expected = self.loop(whole)
        self.agree(self.trained("run"), expected)
        for batch, accumulate in ((2, 2), (1, 4)):
            parts = Recipe("adamw(rate = 0.01)", clip=1, batch=batch, accumulate=accumulate)
            self.train(parts, f"parts{batch}")
            self.agree(self.trained(f"parts{batch}"), expected)

    def test_a_group_of_the_batch_is_the_micro_batch(self):
        parts, whole = Recipe("sgd(rate = 0.5)", batch=2, accumulate=2), Recipe("sgd(rate = 0.5)", batch=4)
        self.train(parts, router=BATCH)
        expected = self.loop(parts, BATCH)
        self.agree(self.trained("run"), expected)
        other = self.loop(whole, BATCH)
        self.assertGreater(max(np.abs(other[name] - value).max() for name, value in expected.items()), 1e-6)

    def test_states_are_not_accumulated(self):
        said = self.train(Recipe("sgd(rate = 0.5)", accumulate=2), router="loss_free(k = 1, capacity = 2, group = sequence, small_groups = true)", code=1)
        self.assertIn("accumulate = 1", said)

    def test_resume_to_the_same_bits(self):
        for engine in ("interp", "jit"):
            for name, recipe in RECIPES.items():
                with self.subTest(name, engine=engine):
                    whole, parts = f"{engine}_{name}_whole", f"{engine}_{name}_parts"
                    self.train(recipe, whole, engine=engine)
                    self.train(recipe, parts, engine=engine, options=("--budget", "3step"))
                    self.train(recipe, parts, engine=engine, options=("--resume",))
                    for kind in ("model", "state"):
                        files = [self.path(run, "ckpt", str(STEPS), f"{kind}.safetensors") for run in (whole, parts)]
                        self.assertTrue(filecmp.cmp(*files, shallow=False), f"{name}: {kind}")
                        self.assertGreater(len(tensors.load(files[0])), 0, kind)

    def test_other_engine(self):
        """Checkpoints of one engine serve the other; the compiled one stays near."""
        recipe = RECIPES["adamw"]
        self.train(recipe)
        for first, second in (("interp", "jit"), ("jit", "interp")):
            self.train(recipe, first, engine=first, options=("--budget", "3step"))
            self.train(recipe, first, engine=second, options=("--resume",))
            for name, value in self.trained("run").items():
                self.assertLessEqual(np.abs(self.trained(first)[name] - value).max() / np.abs(value).max(), 1e-3, name)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
