"""What `bfmc train` says of recipes that are wrong: place, expectation, way out. BFM_UPDATE=1 rewrites errors.txt.

    test_errors.py BFMC [unittest arguments]
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

BFMC = sys.argv[1] if len(sys.argv) > 1 else "bfmc"
HERE = os.path.dirname(os.path.abspath(__file__))

MODEL = """use std.layers
use std.recipes

model m {
    vocab   = 256
    context = 16
    embed(d = 8)
    ffn(hidden = 16, act = gelu)
    head()
}
"""

# settings of a recipe, and options of the command
WRONG = [
    ("optimizer = adamw(rate = 0.1, beta3 = 0.9)", ()),
    ("optimizer = adamw()", ()),
    ("optimizer = adamw(rate = -0.1)", ()),
    ("optimizer = adamw(rate = 0.1, beta1 = 1)", ()),
    ("optimizer = adafactor(rate = 0.1, beta2 = -0.5)", ()),
    ("optimizer = adafactor(rate = 0.1, decay = pow)", ()),
    ("optimizer = adafactor(rate = 0.1, clip = 0)", ()),
    ("optimizer = sgd(rate = 0.1, momentum = 1)", ()),
    ("optimizer = sgd(rate = 0.1, weight_decay = -1)", ()),
    ("optimizer = lion(rate = 0.1, beta2 = 3/2)", ()),
    ("optimizer = sgd(rate = fast)", ()),
    ("optimizer = adamx(rate = 0.1)", ()),
    ("optimizer = newton(rate = 0.1)", ()),
    ("optimizer = cosine(warmup = 1)", ()),
    ("optimizer = 3", ()),
    ("batch = 2", ()),
    ("optimizer = sgd(rate = 0.1)  schedule = cosin(warmup = 10)", ()),
    ("optimizer = sgd(rate = 0.1)  schedule = zigzag()", ()),
    ("optimizer = sgd(rate = 0.1)  schedule = adamw()", ()),
    ("optimizer = sgd(rate = 0.1)  schedule = cosine(warmup = -1)", ()),
    ("optimizer = sgd(rate = 0.1)  schedule = linear(floor = 2)", ()),
    ("optimizer = sgd(rate = 0.1)  schedule = inverse_sqrt(hold = 0)", ()),
    ("optimizer = sgd(rate = 0.1)  schedule = linear(warmup = 20)  steps = 12", ()),
    ("optimizer = sgd(rate = 0.1)  clip_norm = 0", ()),
    ("optimizer = sgd(rate = 0.1)  clip_norm = -1", ()),
    ("optimizer = sgd(rate = 0.1)  accumulate = 0", ()),
    ("optimizer = sgd(rate = 0.1)  accumulate = 3/2", ()),
    ("optimizer = sgd(rate = 0.1)  batch = 1/2", ()),
    ("optimizer = sgd(rate = 0.1)  context = 17", ()),
    ("optimizer = sgd(rate = 0.1)  clip = 1", ()),
    ('optimizer = sgd(rate = 0.1)  on "*.g" { momentom = 0.5 }', ()),
    ('optimizer = sgd(rate = 0.1)  on "*.g" { optimizer = lion(rate = 0.1) }', ()),
    ('optimizer = sgd(rate = 0.1)  on "nothing" { weight_decay = 0  rate = -1 }', ()),
    ("optimizer = sgd(rate = 0.1)", ("--freeze", "norm")),
    ("optimizer = sgd(rate = 0.1)", ("--set", "r.clip_norm=-2")),
]
WARNED = ('optimizer = sgd(rate = 0.1)  on "norm" { weight_decay = 0 }', 'optimizer = sgd(rate = 0.1)  on "*.wq" { weight_decay = 0 }')


class Errors(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name
        with open(self.path("t.txt"), "w") as file:
            file.write("\n\n".join(f"line {i} of some text to train on" for i in range(200)))
        self.run_bfmc(0, "data", "pack", "t.txt", "--out", "data", "-q")

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_bfmc(self, code, *arguments):
        done = subprocess.run([BFMC, *arguments], capture_output=True, text=True, cwd=self.folder, timeout=60, env={**os.environ, "NO_COLOR": "1"})
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}{done.stderr}")
        return done.stderr

    def said(self, code, recipe, *options):
        with open(self.path("m.bfm"), "w") as file:
            file.write(f"{MODEL}\nrecipe r {{\n    {recipe}\n}}\n")
        text = self.run_bfmc(code, "train", "m.bfm", "data", "--out", "run", "--budget", "1step", *options)
        text = re.sub(r"[^ ]*/stdlib/(\w+\.bfm):[\d:]+", r"stdlib/\1", text)  # the library's lines may move
        return re.sub(r"^ *\d* \|", "|", re.sub(r"^ +(-->|:::|=) ", r"\1 ", text, flags=re.M), flags=re.M)

    def test_errors(self):
        text = ""
        for recipe, options in WRONG:
            text += f"==== {' '.join((recipe,) + options)}\n" + self.said(1, recipe, *options)
            self.assertFalse(os.path.exists(self.path("run")), recipe)
        golden = os.path.join(HERE, "errors.txt")
        if os.environ.get("BFM_UPDATE"):
            with open(golden, "w") as file:
                file.write(text)
        with open(golden) as file:
            self.assertEqual(text, file.read())

    def test_warnings(self):
        for recipe in WARNED:
            said = self.said(0, recipe)
            self.assertIn("warning[W0603]", said)
            self.assertIn("m.bfm:13:", said)
            self.assertIn("embed_0.table", said)
            self.assertIn("warning[W0603]", self.run_bfmc(0, "check", "m.bfm"))
            shutil.rmtree(self.path("run"))

    def test_one_model_suffices(self):
        """`check` asks whether any model of the file has what a group speaks of."""
        with open(self.path("m.bfm"), "w") as file:
            file.write(MODEL + MODEL[MODEL.index("model m"):].replace("model m", "model n").replace("ffn(", "attention(heads = 1)\n    ffn("))
            file.write('recipe r { optimizer = sgd(rate = 0.1)  on "*.wq" { weight_decay = 0 } }\n')
        self.assertNotIn("W0603", self.run_bfmc(0, "check", "m.bfm"))
        self.assertIn("W0603", self.run_bfmc(0, "train", "m.bfm:m", "data", "--out", "run", "--budget", "1step"))

    def test_the_library_is_not_warned_of(self):
        """Its recipes speak of parameters that a model need not have."""
        with open(self.path("m.bfm"), "w") as file:
            file.write(MODEL)
        self.assertNotIn("W0603", self.run_bfmc(0, "train", "m.bfm", "data", "--recipe", "adamw", "--set", "adamw.context=16", "--out", "run", "--budget", "1step"))

    def test_without_the_library(self):
        with open(self.path("m.bfm"), "w") as file:
            file.write(MODEL.replace("use std.recipes\n", "") + "recipe r { optimizer = adamw(rate = 0.1) }\n")
        self.assertIn("`use std.optimizers` brings the library's", self.run_bfmc(1, "train", "m.bfm", "data", "--out", "run"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
