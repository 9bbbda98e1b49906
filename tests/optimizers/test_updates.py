"""`bfmc update` against optimizers.py: every optimiser, option and schedule, groups and clipping, on awkward shapes over many steps.

    test_updates.py BFMC interp|jit [unittest arguments]

Differences are relative to the largest value of a tensor: 1e-10 with the interpreter (f64), 1e-5 with the compiled engine (f32). The compiled
engine is also given tensors that it cuts into pieces (runtime/device/cpu/templates/update.c).
"""
import os
import subprocess
import sys
import tempfile
import unittest

import numpy as np

import optimizers
import tensors

BFMC, ENGINE = (sys.argv[1], sys.argv[2]) if len(sys.argv) > 2 else ("bfmc", "interp")
WIDE = ENGINE == "interp"
TOLERANCE = 1e-10 if WIDE else 1e-5
STEPS = 50

SHAPES = {"scalar": (), "one": (1,), "vector": (7,), "row": (1, 9), "column": (9, 1), "point": (1, 1), "matrix": (6, 5), "stack": (3, 4, 5), "rows": (4, 1, 6),
          "columns": (4, 6, 1), "ones": (3, 1, 1), "deep": (2, 3, 5, 4)}
LARGE = {"long": (40_001,), "wide": (3, 12_007), "pieces": (200, 7, 31), "aligned": (50, 24, 40), "large": (130, 129)}

OPTIMIZERS = [
    "adafactor(rate = 0.01)",
    "adafactor(rate = 0.01, decay = power)",
    "adafactor(rate = 0.02, beta1 = 0.9, beta2 = 0.9)",
    "adafactor(rate = 0.02, decay = power, beta1 = 0.5, scale_parameter = true)",
    "adafactor(rate = 0.01, decay = power, scale_parameter = true, weight_decay = 0.1)",
    "adafactor(rate = 0.01, clip = 0.25, eps = 0.001)",
    "adafactor(rate = 0.01, decay = power, clip = 3, weight_decay = 0.3, beta1 = 0.8)",
    "adafactor(rate = 0.01, beta2 = 0.999, scale_parameter = true, beta1 = 0.9, weight_decay = 0.01, eps = 1e-8)",
    "adamw(rate = 0.003)",
    "adamw(rate = 0.003, beta1 = 0, beta2 = 0.9, weight_decay = 0)",
    "adamw(rate = 0.01, beta1 = 0.8, beta2 = 0.999, eps = 0.01, weight_decay = 0.5)",
    "sgd(rate = 0.01)",
    "sgd(rate = 0.01, momentum = 0.9)",
    "sgd(rate = 0.01, momentum = 0.9, weight_decay = 0.1)",
    "sgd(rate = 0.01, weight_decay = 0.1)",
    "lion(rate = 0.003)",
    "lion(rate = 0.003, beta1 = 0.95, beta2 = 0.98, weight_decay = 0.1)",
]

SCHEDULES = ["constant()", "inverse_sqrt()", "inverse_sqrt(hold = 7)", "inverse_sqrt(hold = 1)", "cosine()", "cosine(warmup = 10)", "cosine(warmup = 10, floor = 0.1)",
             "cosine(warmup = 1, floor = 1)", "cosine(warmup = 100, floor = 0.5)", "cosine(warmup = 120)", "cosine(warmup = 5, steps = 20)", "linear()", "linear(warmup = 10)",
             "linear(warmup = 10, floor = 0.1)", "linear(warmup = 100, floor = 0.25)", "linear(floor = 0.9, steps = 30)"]


def number(x):
    return np.asarray(x, np.float64 if WIDE else np.float32)


class Updates(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def command(self, recipe, w, g, *options, more=""):
        """The finished process; what it writes goes to o.safetensors."""
        path = lambda name: os.path.join(self.folder, name)
        with open(path("r.bfm"), "w") as file:
            file.write("use std.recipes\n\nrecipe r {\n" + recipe + "\n}\n" + more)
        tensors.save(path("w.safetensors"), w)
        tensors.save(path("g.safetensors"), g)
        return subprocess.run([BFMC, "update", path("r.bfm"), "--recipe", "r", "--weights", path("w.safetensors"), "--gradients", path("g.safetensors"), "--out",
                               path("o.safetensors"), "--engine", ENGINE, "-q", *options], capture_output=True, text=True, timeout=120)

    def run_update(self, recipe, w, g, *options, more=""):
        done = self.command(recipe, w, g, *options, more=more)
        self.assertEqual(done.returncode, 0, recipe + "\n" + done.stdout + done.stderr)
        return tensors.load(os.path.join(self.folder, "o.safetensors"))

    def close(self, got, expected, what, tolerance=TOLERANCE):
        self.assertEqual(got.shape, expected.shape, what)
        worst = np.abs(got - expected).max(initial=0) / max(np.abs(expected).max(initial=0), 1e-30)
        self.assertLessEqual(worst, tolerance, what)

    def inputs(self, shapes, steps=STEPS, seed=3):
        rng = np.random.default_rng(seed)
        w = {name: number(rng.standard_normal(shape)) for name, shape in shapes.items()}
        g = {name: number(optimizers.gradients(shape, steps, seed + i)) for i, (name, shape) in enumerate(shapes.items())}
        return w, g

    def reference(self, texts, w, g, factor=lambda step: 1.0, clip=0):
        """Weights after every step; texts: {name: optimiser with its rate}."""
        made = {name: optimizers.make(text) for name, text in texts.items()}
        at = {name: np.asarray(v, np.float64) for name, v in w.items()}
        steps = len(next(iter(g.values())))
        out, norms = {name: [] for name in w}, []
        for step in range(steps):
            now = {name: np.asarray(v[step], np.float64) for name, v in g.items()}
            norms.append(np.sqrt(sum((v * v).sum() for v in now.values())))
            now = optimizers.clip_norm(now, clip) if clip else now
            for name in w:
                at[name] = made[name].step(at[name], now[name], factor(step))
                out[name].append(at[name])
        return {name: np.stack(v) for name, v in out.items()}, np.array(norms)

    def check(self, text, shapes, lines="", options=(), steps=STEPS, seed=3, tolerance=TOLERANCE, **how):
        w, g = self.inputs(shapes, steps, seed)
        got = self.run_update(f"    optimizer = {text}\n    steps = {steps}\n{lines}", w, g, *options)
        expected, norms = self.reference({name: text for name in w}, w, g, **how)
        for name in w:
            self.close(got[name], expected[name], f"{text}: {name} {shapes[name]}", tolerance)
        self.close(got["gradient_norm"], norms, "norms")
        return got

    def test_optimizers(self):
        for text in OPTIMIZERS:
            with self.subTest(text):
                self.check(text, SHAPES)

    def test_betas_near_one(self):
        """Bias corrections cancel: with a constant gradient of 1 and no eps the weight is -t after t steps."""
        for beta in (0.95, 0.999, 0.9999, 0.99999, 0.999999, 0.9999999):
            for text in (f"adamw(rate = 1, beta2 = {beta}, weight_decay = 0, eps = 0)", f"adamw(rate = 1, beta1 = {beta}, beta2 = {beta}, weight_decay = 0, eps = 0)",
                         f"adafactor(rate = 1, beta2 = {beta})"):
                got = self.run_update(f"    optimizer = {text}\n    steps = 30", {"w": number([0.0])}, {"w": number(np.ones((20, 1)))})
                self.close(got["w"][:, 0], -np.arange(1.0, 21), text, 1e-12 if WIDE and beta < 0.999 else 1e-8 if WIDE else 2e-6)

    def test_far_apart(self):
        """Gradients that fall to nothing of what they were, columns and elements of different decades, weights whose squares overflow."""
        rng = np.random.default_rng(12)
        g = rng.standard_normal((5, 4, 3))
        falling = g * np.array([1e30, 1, 1, 1e-20, 1e10])[:, None, None]
        columns = g * np.array([1e25, 1e-20, 1])
        single = np.zeros_like(g)
        single[:, 0, 0], single[:, 2, 1] = 1e20, 1e-15
        wide = g * np.array([1e32, 1e-14, 1, 1e-14])[:, None]
        small = number(rng.standard_normal((4, 3)))
        cases = [(text, small, seen) for seen in (g, falling) for text in
                 ("adamw(rate = 0.5, beta1 = 0, beta2 = 0, eps = 1e-30)", "adamw(rate = 0.5, beta2 = 0, beta1 = 0)", "adamw(rate = 0.5, beta2 = 1e-20, beta1 = 0, weight_decay = 0)",
                  "adafactor(rate = 0.5, beta2 = 0)", "adafactor(rate = 0.5, beta2 = 0, eps = 1e-38)")]
        cases += [(text, small, seen) for seen in (columns, single, wide) for text in
                  ("adafactor(rate = 0.5)", "adafactor(rate = 0.5, eps = 1e-45)", "adafactor(rate = 0.5, eps = 1e-60, clip = 100)", "adafactor(rate = 0.5, decay = power, beta1 = 0.5)")]
        cases += [(f"adafactor(rate = 0.1, scale_parameter = true{more})", number(size * small), g)
                  for size in (1e-30, 1e19, 1e20, 1e30, 1e37) for more in ("", ", beta1 = 0.5, decay = power", ", weight_decay = 0.1")]
        for text, w, seen in cases:
            with self.subTest(text, w=np.abs(w).max()):
                w = {"m": w, "v": number(w[:, 0])}
                seen = {"m": number(seen), "v": number(seen[:, :, 0])}
                got = self.run_update(f"    optimizer = {text}\n    steps = 5", w, seen)
                expected, _ = self.reference({name: text for name in w}, w, seen)
                for name in w:
                    self.close(got[name], expected[name], f"{text}: {name}", 1e-9 if WIDE else 2e-5)

    def test_sizes_of_gradients(self):
        """Neither squares that overflow nor such that vanish, and elements, rows and columns without any gradient."""
        rng = np.random.default_rng(9)
        for size in (0, 1e-37, 1e-30, 1e-20, 1, 1e15, 1e20, 1e30, 1e37):
            for text, how in (("adamw(rate = 0.5, eps = 1e-37, weight_decay = 0.1)", {}), ("adamw(rate = 0.5)", {}), ("adafactor(rate = 0.5)", {}),
                              ("adafactor(rate = 0.5, decay = power, beta1 = 0.5)", {}), ("lion(rate = 0.5)", {}), ("sgd(rate = 1e-30, momentum = 0.5)", {}), ("adamw(rate = 0.5)", {"clip": 1.0})):
                w = {"m": number(rng.standard_normal((4, 6))), "v": number(rng.standard_normal(7))}
                g = {k: number(size * rng.standard_normal((6, *v.shape))) for k, v in w.items()}
                g["m"][:, 1], g["m"][:, :, 2], g["v"][:, 3] = 0, 0, 0
                if size == 1:  # one row of another size by far
                    g["m"][:, 0] *= number(1e12)
                got = self.run_update(f"    optimizer = {text}\n    steps = 6\n" + ("    clip_norm = 1\n" if how else ""), w, g)
                with np.errstate(divide="ignore", invalid="ignore"):
                    expected, norms = self.reference({name: text for name in w}, w, g, **how)
                for name in w:
                    self.assertTrue(np.isfinite(got[name]).all(), f"{text} {how}, {size:g}: {name}")
                    self.close(got[name], expected[name], f"{text} {how}, {size:g}: {name}", 1e-9 if WIDE else 2e-5)

    @unittest.skipIf(WIDE, "the interpreter has no pieces")
    def test_pieces(self):
        for text in OPTIMIZERS[1:9:2] + OPTIMIZERS[13:17:3]:
            for lines, clip in (("", 0), ("    clip_norm = 2", 2)):
                with self.subTest(text, clip=clip):
                    one = self.check(text, LARGE, lines, ("--threads", "1"), steps=6, clip=clip)
                    two = self.check(text, LARGE, lines, ("--threads", "3"), steps=6, clip=clip)
                    for name in one:
                        self.assertEqual(one[name].tobytes(), two[name].tobytes(), name)

    def test_schedules(self):
        w, g = {"w": number(0.0)}, {"w": number(-np.ones(150))}
        for text in SCHEDULES:
            with self.subTest(text):
                got = self.run_update(f"    optimizer = sgd(rate = 0.5)\n    schedule = {text}\n    steps = 120", w, g)
                factors = np.array([optimizers.make_schedule(text, 120)(step) for step in range(150)])
                self.close(got["schedule"], factors, text, 1e-12 if WIDE else 1e-6)
                self.close(got["w"], 0.5 * np.cumsum(factors), text)

    def test_ends_of_schedules(self):
        """The warm-up rises to 1 at its last step, the fall starts at 1 in the step after and reaches the floor at the last of all."""
        w, g = {"w": np.zeros(2)}, {"w": np.zeros((12, 2))}
        for name in ("cosine", "linear"):
            for steps, warmup in ((1, 0), (2, 0), (2, 1), (3, 1), (12, 0), (12, 1), (12, 5), (12, 11)):
                got = self.run_update(f"    optimizer = sgd(rate = 0.5)\n    schedule = {name}(warmup = {warmup}, floor = 0.25)\n    steps = {steps}", w, g)["schedule"]
                text = f"{name}, {warmup} of {steps}"
                self.close(got[:warmup], np.arange(1, warmup + 1) / max(warmup, 1), text)
                self.close(got[steps - 1:], np.full(13 - steps, 0.25), text)
                if steps - warmup > 1:
                    self.close(got[warmup:warmup + 1], np.ones(1), text)
                self.assertTrue((np.diff(got[max(warmup - 1, 0):]) <= 1e-7).all(), text)
            got = self.run_update(f"    optimizer = sgd(rate = 0.5)\n    schedule = {name}(warmup = 12, floor = 0.25)\n    steps = 12", w, g)["schedule"]
            self.close(got, np.arange(1, 13) / 12, f"{name}, a warm-up of all steps")

    def test_clipping_comes_before_the_optimizer(self):
        for text in ("sgd(rate = 0.1, momentum = 0.9, weight_decay = 0.1)", "adamw(rate = 0.01)", "adafactor(rate = 0.01, eps = 0.01)", "lion(rate = 0.001)"):
            for limit in (0.5, 30, 1e6):
                with self.subTest(text, limit=limit):
                    self.check(text, SHAPES, f"    clip_norm = {limit}\n    schedule = linear(warmup = 5)", clip=limit,
                               factor=optimizers.make_schedule("linear(warmup = 5)", STEPS))

    def test_groups(self):
        """Later groups win, attribute by attribute; globs are matched against whole names."""
        shapes = {"a.norm.g": (5,), "a.w": (4, 5), "b.norm.g": (5,), "b.w": (4, 5), "b.out.w": (5, 4), "table": (6, 5)}
        groups = """
    on "*.w"        { rate = 0.02  beta1 = 0.5 }
    on "*.norm.*"   { weight_decay = 0 }
    on "b.*"        { rate = 0.005  beta2 = 0.8 }
    on "b.???.w"    { rate = 0.001 }
    on "table"      { eps = 0.01  weight_decay = 1 }"""
        texts = {"a.norm.g": "adamw(rate = 0.01, weight_decay = 0)", "a.w": "adamw(rate = 0.02, beta1 = 0.5)",
                 "b.norm.g": "adamw(rate = 0.005, beta2 = 0.8, weight_decay = 0)", "b.w": "adamw(rate = 0.005, beta1 = 0.5, beta2 = 0.8)",
                 "b.out.w": "adamw(rate = 0.001, beta1 = 0.5, beta2 = 0.8)", "table": "adamw(rate = 0.01, eps = 0.01, weight_decay = 1)"}
        w, g = self.inputs(shapes)
        got = self.run_update("    optimizer = adamw(rate = 0.01)\n    schedule = cosine(warmup = 4, floor = 0.2)\n    clip_norm = 3\n    steps = 50" + groups, w, g)
        expected, _ = self.reference(texts, w, g, optimizers.make_schedule("cosine(warmup = 4, floor = 0.2)", STEPS), 3)
        for name in shapes:
            self.close(got[name], expected[name], name)

    def test_groups_of_words_and_truths(self):
        shapes = {"a.w": (4, 5), "b.w": (4, 5), "b.g": (5,)}
        w, g = self.inputs(shapes)
        got = self.run_update('    optimizer = adafactor(rate = 0.01)\n    on "b.*" { decay = power  scale_parameter = true  beta1 = 0.9  clip = 1/2 }', w, g)
        other = "adafactor(rate = 0.01, decay = power, scale_parameter = true, beta1 = 0.9, clip = 0.5)"
        expected, _ = self.reference({"a.w": "adafactor(rate = 0.01)", "b.w": other, "b.g": other}, w, g)
        for name in shapes:
            self.close(got[name], expected[name], name)

    def test_states(self):
        got = self.check("adafactor(rate = 0.01, beta1 = 0.9)", {"w": (3, 4, 5), "v": (6,), "s": ()})
        states = {name: value.shape for name, value in got.items() if name.startswith("optimizer/")}
        self.assertEqual(states, {"optimizer/w.row": (3, 4), "optimizer/w.column": (3, 5), "optimizer/w.mom": (3, 4, 5), "optimizer/v.root": (1, 6), "optimizer/v.mom": (1, 6),
                                  "optimizer/s.root": (1, 1), "optimizer/s.mom": (1, 1)})

    def test_frozen(self):
        w, g = self.inputs({"a.w": (4, 5), "b.w": (4, 5)})
        got = self.run_update("    optimizer = sgd(rate = 0.1)\n    clip_norm = 1", w, g, "--freeze", "a.*")
        self.assertTrue((got["a.w"] == w["a.w"]).all())
        expected, norms = self.reference({"b.w": "sgd(rate = 0.1)"}, {"b.w": w["b.w"]}, {"b.w": g["b.w"]}, clip=1)
        self.close(got["b.w"], expected["b.w"], "b.w")
        self.close(got["gradient_norm"], norms, "a frozen parameter has no part in the norm")

    def test_an_optimizer_of_the_file(self):
        """One form for matrices as they are, one for vectors; requirements of the first hold for both."""
        text = """
optimizer signs(w[m, n], g[m, n]; rate: real, power: count = 1) {
    require power >= 1
    state seen[m] = 2
    next seen[i] = seen[i] + 1
    return w[i, j] - rate * power * select(g[i, j] > 0, 1, -1) / next seen[i]
}
optimizer signs(w[n], g[n]) { return w[i] - rate * power * (step + 1) * g[i] }
"""
        w, g = self.inputs({"m": (3, 4), "v": (5,)}, 4)
        got = self.run_update("    optimizer = signs(rate = 0.5, power = 2)", w, g, more=text)
        self.close(got["m"], w["m"] - np.cumsum([np.where(x > 0, 1, -1) / (3 + step) for step, x in enumerate(g["m"])], axis=0), "m")
        self.close(got["v"], w["v"] - np.cumsum([(step + 1) * x for step, x in enumerate(g["v"])], axis=0), "v")
        self.assertTrue((got["optimizer/m.seen"] == 6).all())
        self.assertIn("E0407", self.command("    optimizer = signs(rate = 0.5, power = 0)", w, g, more=text).stderr)

    def test_squares_of_quotients(self):
        """What an optimiser of the file's own divides by before it squares stays divided by: squares of the numbers themselves do not fit a float."""
        forms = {
            "let r = (sum[i, j] (g[i, j] / c) ^ 2) ^ 0.5": lambda g, c: np.sqrt(((g / c) ** 2).sum()),
            "let r = (mean[i, j] (g[i, j] / c) ^ 2) ^ 0.5": lambda g, c: np.sqrt(((g / c) ** 2).mean()),
            "let r = (sum[i, j] (g[i, j] / c) * (g[i, j] / c)) ^ 0.5": lambda g, c: np.sqrt(((g / c) ** 2).sum()),
            "let r = (sum[i, j] (-g[i, j] / c) * (3 * (g[i, j] / c))) * -1/3": lambda g, c: ((g / c) ** 2).sum(),
            "let r = (sum[i, j] abs(g[i, j] / c) ^ 3)": lambda g, c: (np.abs(g / c) ** 3).sum(),
            "let u[i, j] = g[i, j] / c   let r = 2 * (sum[i, j] u[i, j] ^ 2 / 2)": lambda g, c: ((g / c) ** 2).sum(),
        }
        text = "\noptimizer own(w[m, n], g[m, n]; rate: real) {\n    let c = max[i, j] abs(g[i, j])\n    %s\n    return w[i, j] - rate * r\n}\n"
        vectors = "optimizer own(w[n], g[n]) { return w[i] - rate * g[i] }\n"
        rng = np.random.default_rng(2)
        for size in (1e-30, 1, 1e30):
            g = number(size * rng.standard_normal((1, 3, 5)))
            wide = np.float64(g[0])
            for form, value in forms.items():
                got = self.run_update("    optimizer = own(rate = 1)", {"m": number(np.zeros((3, 5)))}, {"m": g}, more=text % form + vectors)
                expected = np.full((1, 3, 5), -value(wide, np.abs(wide).max()))
                self.close(got["m"], expected, f"{form}, {size:g}", 1e-12 if WIDE else 2e-6)

    def test_files_that_do_not_fit(self):
        one = {"w": number(np.ones((2, 3)))}
        wrong = [({}, "holds no gradient"), ({"w": number(np.ones(()))}, "leading axis"), ({"w": number(np.ones((0, 2, 3)))}, "leading axis"),
                 ({"w": number(np.ones((4, 3, 2)))}, "w"), ({"v": number(np.ones((4, 2, 3)))}, "w"),
                 ({"w": number(np.ones((4, 2, 3))), "x": number(np.ones(4))}, "x"), ({"w": number(np.ones((4, 2, 3))).astype(np.float16)}, None)]
        for g, says in wrong:
            done = self.command("    optimizer = sgd(rate = 1)", one, g)
            self.assertEqual(done.returncode, 0 if says is None else 1, done.stderr)
            self.assertIn(says or "", done.stderr)
        nan = {"w": number(np.full((1, 2, 3), np.nan))}
        self.assertEqual(self.command("    optimizer = sgd(rate = 1)", one, nan).returncode, 0)  # a door for checking lets numbers through
        none = {"w": number(np.zeros((0, 3))), "v": number(np.ones(2))}
        got = self.run_update("    optimizer = adafactor(rate = 1)", none, {"w": number(np.zeros((2, 0, 3))), "v": number(np.ones((2, 2)))})
        self.assertEqual(got["w"].shape, (2, 0, 3))

    def test_a_gradient_of_zeros(self):
        """0 everywhere: nothing but the decay moves a weight, and nothing is divided by 0."""
        w = {"w": number(np.ones((3, 4))), "v": number(np.ones(3))}
        g = {name: number(np.zeros((5,) + value.shape)) for name, value in w.items()}
        for text in ("adafactor(rate = 0.1)", "adafactor(rate = 0.1, decay = power, scale_parameter = true)", "adamw(rate = 0.1, weight_decay = 0)", "lion(rate = 0.1)"):
            got = self.run_update(f"    optimizer = {text}\n    clip_norm = 1", w, g)
            for name in w:
                self.assertTrue((got[name] == 1).all(), f"{text}: {name}")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
