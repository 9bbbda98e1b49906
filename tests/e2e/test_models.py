"""The library's models as a user meets them: counts, what checking a huge one takes, the twins for a CPU, capacities of routers."""
import os
import re
import resource
import subprocess
import unittest

from harness import BFMC, SOURCE, Case, log

MODELS = os.path.join(SOURCE, "stdlib", "models.bfm")
TWINS = ["dense_cpu", "primer_cpu", "glam_cpu", "glam_ec_cpu", "switch_cpu", "brainformer_1_cpu"]
LARGE = ["dense_8b", "glam_8b_64e", "glam_ec_8b_64e", "brainformer_1_8b_64e"]

TRAIN = """use std.models
use std.recipes

recipe quick {
    optimizer = adamw(rate = 0.003)
    schedule  = constant()
    batch     = 4
    context   = 32
    steps     = 12
    clip_norm = 1
}
"""

ROUTED = """use std.layers
use std.routers
use std.recipes
model m {
    vocab   = 256
    context = 8
    embed(d = 16)
    repeat 2 { moe(experts = EXPERTS, hidden = 16, router = ROUTER) }
    head()
}
recipe r {
    optimizer = adamw(rate = 0.001)
    schedule  = constant()
    batch     = 4
    context   = 8
    steps     = 2
}
"""


class Models(Case):
    def counts(self, name, *options):
        model, = self.json("check", f"{MODELS}:{name}", *options)["models"]
        return model["parameters"]["products"], model["parameters"]["activated"]

    def test_published_counts(self):
        """Total and activated, in the digits that numerics.md states."""
        for name, total, activated in [
            ("dense_0_1b", "113.2M", "113.2M"), ("glam_0_1b_32e", "976.9M", "127.5M"), ("dense_1_7b", "1.611B", "1.611B"), ("glam_1_7b_64e", "26.78B", "1.814B"),
            ("dense_8b", "8.590B", "8.590B"), ("glam_8b_64e", "142.8B", "9.668B"), ("brainformer_1_1b_64e", "29.92B", "1.386B"),
            ("brainformer_1_8b_64e", "159.6B", "7.388B"), ("brainformer_1_100m_32e", "1.929B", "173.3M"),
        ]:
            text = self.ok("check", f"{MODELS}:{name}").stdout
            spaced = lambda count: f"{count[:-1]} {count[-1]}"
            self.assertIn(f"parameters {spaced(total)} in products, of which a token meets {spaced(activated)};", text)
        self.assertEqual(self.counts("glam_ec_8b_64e"), self.counts("glam_8b_64e"))
        self.assertEqual(self.counts("fixed_expert_100m_32e"), (976896000, 99237888))

    def test_large_models_need_no_memory(self):
        """Their weights would take up to 640 GB: checking them gets by with half a gigabyte of addresses and a small part of that in memory."""
        if os.environ.get("BFM_SANITIZE") == "ON":
            self.skipTest("sanitizers take addresses and memory of their own")
        limit = 512 << 20
        for name in LARGE:
            done = subprocess.run([BFMC, "check", f"{MODELS}:{name}", "-q"], capture_output=True, text=True,
                                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"model {name}", done.stdout)
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, 200 << 10)

    def test_twins(self):
        """Both sizes, by one attribute: the larger has about four times the parameters, and the loss of each falls."""
        data, recipe = self.pack(), self.write("r.bfm", TRAIN)
        for name in TWINS:
            small, large = self.counts(name)[0], self.counts(name, "--set", "d=256")[0]
            self.assertEqual(self.counts(name, "--set", f"{name}.d=256")[0], large)
            self.assertTrue(3.9 < large / small <= 4, (name, small, large))
            for d, budget in ((128, "8step"), (256, "4step")):
                run = self.path(f"{name}_{d}")
                self.ok("train", f"{recipe}:{name}", data, "--recipe", "quick", "--set", f"d={d}", "--budget", budget, "--eval-tokens", "256", "--out", run, "-q")
                losses = [record["loss"] for record in log(run)]
                self.assertLess(losses[-1], losses[0] - 0.2, (name, d, losses))

    def test_twins_have_a_recipe(self):
        """As models.bfm says: nothing but the file, the model and the width."""
        self.ok("train", f"{MODELS}:glam_cpu", self.pack(), "--set", "d=256", "--set", "twins.batch=1", "--budget", "2step", "--eval-tokens", "256", "--out", self.path("run"), "-q")
        self.assertEqual(len(log(self.path("run"))), 2)

    def test_named_item_comes_first_in_set(self):
        path = self.write("two.bfm", "use std.layers\n" + "".join(
            f"model {name}(d: width = 16) {{\n    vocab = 11\n    context = 8\n    embed(d = d)\n    ffn()\n    head()\n}}\n" for name in ("a", "b")))
        width = lambda item, setting: self.json("check", f"{path}:{item}", "--set", setting)["models"][0]["parameters"]["tables"] / 11
        self.assertEqual([width("a", "d=32"), width("b", "d=32"), width("b", "a.d=32"), width("b", "b.d=32")], [32, 32, 16, 32])

    def test_members_of_the_report(self):
        """docs/check.md names them all."""
        with open(os.path.join(SOURCE, "docs", "check.md")) as file:
            documented = set(re.findall(r"`\.?([a-z_0-9]+)(?:\[\])?`", file.read().replace(".lines[].", "`").replace("`.", "`")))
        with open(self.routed("top2(capacity = 1)", 4)) as file:
            text = file.read()
        path = self.write("s.bfm", text + "block seed() {\n    ffn()\n}\nspace s {\n    let m in { 1, 2 }\n    length = 2\n    ffn { hidden = m }\n    start from seed\n    where parameters <= 1M\n}\n")
        report = self.json("check", path)
        self.assertEqual(report["schema"], "bfmc.check/1")
        names = set()

        def collect(value):
            if isinstance(value, dict):
                for name, inner in value.items():
                    names.update([name] if "." not in name else [])
                    collect(inner)
            elif isinstance(value, list):
                for inner in value:
                    collect(inner)

        for part in ("models", "spaces"):
            collect(report[part])
        shown = {line["definition"] for model in report["models"] for line in model["lines"]}
        metrics = {name for model in report["models"] for line in model["lines"] for name in line.get("fixed_metrics", {})}
        self.assertEqual(names - documented - shown - metrics, set())

    # ---- capacities ----

    def routed(self, router, experts=32):
        return self.write("r.bfm", ROUTED.replace("ROUTER", router).replace("EXPERTS", str(experts)))

    def test_capacity_is_told(self):
        """8 tokens over 4 experts; the line says what rounding makes of the capacity, and what can be served at best."""
        for router, says, sized in [
            ("top2(capacity = 1)", "slots per token 1, served at most 0.5", False),
            ("top2(capacity = 1.1)", "slots per token 1.5, served at most 0.75", False),
            ("top2(capacity = 1, convention = assignments)", "slots per token 2, served at most 1", False),
            ("topk(k = 3, capacity = 1)", "slots per token 1, served at most 0.3333", False),
            ("top1(capacity = 1.25)", "slots per token 1.5, served at most 1", False),
            ("loss_free(k = 2, capacity = 1)", "slots per token 1, served at most 0.5", False),
            ("expert_choice(capacity = 1)", "slots per token 1 at 8 × 8", True),
            ("expert_choice(capacity = 1, group = sequence)", "slots per token 1 at 8 × 8", True),
            ("expert_choice(capacity = 1, group = position)", "slots per token 1 at 8 × 8", True),
        ]:
            path = self.routed(router, 4)
            text = self.ok("check", path, "-q").stdout
            self.assertIn(f"known beforehand\n    moe_0\n      router: {says}", text, router)
            line = next(line for line in self.json("check", path)["models"][0]["lines"] if line["definition"] == "moe")
            self.assertEqual("router.slots_per_token" in line["fixed_by_sizes"], sized, router)
        self.assertNotIn("known beforehand", self.ok("check", self.routed("soft()", 4), "-q").stdout)

    def test_small_groups_of_the_context(self):
        """8 tokens over 32 experts at capacity 1 would get 4 experts each."""
        for router, left in [("top2(capacity = 1)", 32), ("top1(capacity = 1)", 32), ("topk(k = 4, capacity = 1)", 32), ("loss_free(capacity = 1)", 32),
                             ("expert_choice(group = sequence)", 32), ("expert_threshold(group = sequence)", 32)]:
            path = self.routed(router)
            report = self.json("check", path, code=1)
            self.assertEqual([d["code"] for d in report["diagnostics"]], ["E0407"], router)
            told = report["diagnostics"][0]
            self.assertIn(f"this requirement of `{router.split('(')[0]}` does not hold", told["message"])
            self.assertEqual(told["notes"][0], f"the left side is {left}, the right side 16")
            self.assertIn("`context` is 8, `experts` is 32", told["notes"][1])
            self.assertEqual(told["fix"] if isinstance(told["fix"], str) else told["fix"]["text"], "`small_groups = true` does without")
            self.assertEqual(told["labels"][-1]["text"], "for this line")
            text = self.ok("check", self.routed(router[:-1] + ", small_groups = true)"), "-q").stdout
            self.assertIn("slots per token 4", text)

    def test_small_groups_of_the_batch(self):
        """Known when it is trained: one warning, whatever the number of lines; none where the group is large enough or the attribute says so."""
        data = self.pack()
        train = lambda router: self.ok("train", self.routed(router), data, "--out", self.path("run" + str(len(os.listdir(self.folder))))).stderr
        text = train("expert_choice(group = position)")
        self.assertEqual(text.count("W0502"), 1, text)
        for says in ("a requirement of `expert_choice` does not hold for 4 × 8 tokens", "the left side is 32, the right side 8", "small_groups = true"):
            self.assertIn(says, text)
        for router in ("expert_choice(group = position, small_groups = true)", "expert_choice(group = batch)"):
            self.assertNotIn("W0502", train(router))
        self.assertNotIn("W0502", self.ok("check", self.routed("expert_choice(group = position)")).stderr)


if __name__ == "__main__":
    unittest.main()
