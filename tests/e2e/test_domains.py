"""Every numeric attribute of the library has a domain: what lies outside is an error of the file, what lies inside trains a step of finite numbers.

The attributes are read from stdlib/*.bfm, so that a new one without a domain fails here.
"""
import json
import math
import os
import re
import shutil
import unittest

from harness import SOURCE, Case, bfmc, log

STDLIB = os.path.join(SOURCE, "stdlib")
HEAD = re.compile(r"^(layer|router|norm|optimizer|schedule) (\w+)\(", re.M)
HUGE = ["2 ^ 62"]
PROBES = {"count": ["0", *HUGE], "width": ["2 ^ 62"], "real": ["0", "-1", "1e30"]}
REJECTED_BY_TYPE = {"count": ["-1", "1/2", "1e30", "2 ^ 64"], "width": ["0", "-1", "1/2", "1e30", "2 ^ 64"], "real": ["1e300 * 1e300", "1e300 * 1e300 - 1e300 * 1e300"]}

# What is given beside the attribute that is tried.
GIVEN = {"attention": {"heads": 2, "head_dim": 4}, "ffn": {"hidden": 4}, "low_rank": {"rank": 2, "hidden": 4}, "multi_branch": {"branches": 2, "hidden": 4}, "gmlp": {"hidden": 4}, "token_mixer": {"hidden": 4},
         "dropout": {"rate": "0.1"}, "moe": {"experts": 4, "hidden": 4, "router": "soft"}, "project": {"d": 8}, "enter": {"inner": 8}, "leave": {"outer": 8}, "adafactor": {"rate": "0.01"}, "adamw": {"rate": "0.01"},
         "sgd": {"rate": "0.01"}, "lion": {"rate": "0.01"}, **{router: {"small_groups": "true"} for router in ("top2", "topk", "top1", "expert_choice", "expert_threshold", "loss_free")}}
# Where 0 has a meaning, which the page of the definition says.
ZERO = {"attention.conv", "head.z_loss", "dropout.rate", "top2.aux", "top2.z", "topk.aux", "topk.z", "top1.aux", "top1.z", "expert_threshold.decay", "loss_free.rate", "cosine.warmup", "cosine.floor", "cosine.steps",
        "linear.warmup", "linear.floor", "linear.steps", "adafactor.rate", "adafactor.beta1", "adafactor.beta2", "adafactor.weight_decay", "adamw.rate", "adamw.beta1", "adamw.beta2", "adamw.eps", "adamw.weight_decay",
        "sgd.rate", "sgd.momentum", "sgd.weight_decay", "lion.rate", "lion.beta1", "lion.beta2", "lion.weight_decay"}
# Factors that are as large as one wants them.
FREE = re.compile(r"\.(aux|z|z_loss|rate|weight_decay|eps|clip)$")


def signatures():
    """(kind, name, {attribute: type}) of every definition with attributes; numeric ones only."""
    for file in sorted(os.listdir(STDLIB)):
        with open(os.path.join(STDLIB, file), encoding="utf-8") as f:
            text = re.sub(r"//[^\n]*", "", f.read())
        for match in HEAD.finditer(text):
            depth, at = 1, match.end()
            while depth:
                depth += (text[at] in "({[") - (text[at] in ")}]")
                at += 1
            inside = text[match.end():at - 1]
            attributes = dict(re.findall(r"(\w+):\s*(count|width|real|int)\b", inside.split(";", 1)[1])) if ";" in inside else {}
            if attributes:
                yield match.group(1), match.group(2), attributes


def call(name, given):
    return f"{name}({', '.join(f'{k} = {v}' for k, v in given.items())})"


def model_with(kind, name, given):
    """The line of a model, or the setting of a recipe, that gives a definition these attributes; and the whole file."""
    lines, optimizer, schedule, embed, head = [], "sgd(rate = 0.01)", "", "embed(d = 8)", "head(tied = false)"
    if name == "embed":
        embed = call(name, {"d": 8, **given})
    elif name == "head":
        head = call(name, {"tied": "false", **given})
    elif kind in ("layer", "norm"):
        lines = [call(name, given)]
    elif kind == "router":
        experts = given.get("experts", 4)
        lines = [f"moe(experts = {experts}, hidden = 4, router = {call(name, {k: v for k, v in given.items() if k != 'experts'})})"]
    elif kind == "optimizer":
        optimizer = call(name, given)
    else:
        schedule = f"schedule = {call(name, given)}"
    return file_of(lines, optimizer, schedule, embed, head)


def file_of(lines, optimizer="sgd(rate = 0.01)", schedule="", embed="embed(d = 8)", head="head(tied = false)"):
    body = "\n    ".join([embed, *lines, head])
    return (f"use std.layers\nuse std.routers\nuse std.recipes\nmodel m {{\n    vocab = 256\n    context = 8\n    {body}\n}}\n"
            f"recipe r {{\n    optimizer = {optimizer}\n    {schedule}\n    batch = 4\n    steps = 1\n}}\n")


class Domains(Case):
    def verdict(self, text):
        """True: accepted; False: a clean error."""
        self.write("m.bfm", text)
        done = bfmc("check", self.path("m.bfm"), "-q", timeout=20)
        self.assertIn(done.returncode, (0, 1), f"{text}\n{done.stderr}")
        self.assertEqual(done.returncode == 1, "error[E" in done.stderr, f"{text}\n{done.stderr}")
        return done.returncode == 0

    def trains(self, text):
        """One step: finite numbers, and something to learn from."""
        self.write("m.bfm", text)
        if not os.path.exists(self.path("data")):
            self.pack("\n\n".join(f"line {i} of some text to train on" for i in range(200)))
        shutil.rmtree(self.path("run"), ignore_errors=True)
        self.ok("train", self.path("m.bfm"), self.path("data"), "--out", self.path("run"), "--engine", "interp", "--eval-every", 0, "--eval-tokens", 1, "-q")
        step = log(self.path("run"))[0]
        self.assertTrue(math.isfinite(step["loss"]) and math.isfinite(step["gradient_norm"]) and step["gradient_norm"] > 0, f"{text}\n{step}")

    def test_every_attribute(self):
        seen, lines = set(), []
        for kind, name, attributes in signatures():
            for attribute, type in attributes.items():
                key = f"{name}.{attribute}"
                if key in seen or key == "adamw.eps":  # whose 0 / 0 is a matter of the optimisers' tests
                    continue
                seen.add(key)
                for value in PROBES[type]:
                    text = model_with(kind, name, {**GIVEN.get(name, {}), attribute: value})
                    accepted = self.verdict(text)
                    with self.subTest(attribute=key, value=value):
                        if value == "0":
                            self.assertEqual(accepted, key in ZERO, text)
                        elif value == "-1":
                            self.assertFalse(accepted, text)
                        elif value == "1e30":
                            self.assertEqual(accepted, bool(FREE.search(key)) and key not in ("dropout.rate", "loss_free.rate", "rms_norm.eps", "layer_norm.eps"), text)
                        if accepted and value not in HUGE:
                            if kind in ("layer", "norm", "router") and name not in ("embed", "head"):
                                lines.append(re.search(r"embed\(.*?\)\n    (.*)\n", text).group(1))
                            else:
                                self.trains(text)
        self.assertGreater(len(seen), 60)
        self.trains(file_of(lines))

    def test_types(self):
        """What no attribute of a type takes."""
        for type, name, attribute in (("count", "multi_branch", "branches"), ("width", "ffn", "hidden"), ("real", "dropout", "rate")):
            for value in REJECTED_BY_TYPE[type]:
                self.assertFalse(self.verdict(model_with("layer", name, {**GIVEN[name], attribute: value})), (name, attribute, value))

    def test_attributes_that_bound_each_other(self):
        for line, holds in (("attention(heads = 4, kv_heads = 3, head_dim = 4)", False), ("attention(heads = 4, kv_heads = 8, head_dim = 4)", False), ("attention(heads = 2, head_dim = 5)", False),
                            ("attention(heads = 2, head_dim = 5, position = none)", True), ("multi_branch(branches = 3, hidden = 4)", False), ("gmlp(hidden = 5)", False),
                            ("moe(experts = 4, hidden = 4, router = topk(k = 5))", False), ("moe(experts = 4, hidden = 4, router = topk(k = 4))", True), ("moe(experts = 4, hidden = 4, router = loss_free(k = 5))", False),
                            ("moe(experts = 1, hidden = 4, router = top2)", False), ("moe(experts = 1, hidden = 4, router = top1)", True), ("moe(experts = 4, hidden = 4, router = soft(experts = 8))", False),
                            ("attention(heads = 2 ^ 61, head_dim = 8)", False), ("attention(heads = 2 ^ 31, head_dim = 2 ^ 31)", False), ("ffn(hidden = 2 ^ 61 * 8)", False), ("gmlp(hidden = 4, context = 4)", False)):
            self.assertEqual(self.verdict(file_of([line])), holds, line)
        self.assertFalse(self.verdict(file_of([], embed="embed(d = 8, vocab = 3)", head="head(tied = false)")))
        self.assertFalse(self.verdict(file_of([], embed="embed(d = 8, vocab = 3)", head="head(tied = true, vocab = 3)")))
        self.assertFalse(self.verdict(file_of([], head="head(tied = false, vocab = 300)")))

    def test_the_values_are_shown(self):
        done = self.fails(1, ["this requirement of `topk` does not hold", "`k` is 5, `experts` is 4"], "check", self.write("m.bfm", file_of(["moe(experts = 4, hidden = 4, router = topk(k = 5))"])), "-q")
        self.assertRegex(done.stderr, r"- +`?k`? is 5|`k` is 5")

    def test_recipes(self):
        for setting in ("batch", "context", "steps", "accumulate"):
            for value in ("0", "-1", "1/2", "1e30", "2 ^ 62", "2 ^ 64"):
                text = file_of([]).split("recipe r {")[0] + "recipe r {" + re.sub(rf"\n    {setting} = \d+\n", "\n", file_of([]).split("recipe r {")[1]).replace("optimizer", f"{setting} = {value}\n    optimizer", 1)
                self.assertFalse(self.verdict(text), (setting, value))
        for value, holds in (("0", False), ("-1", False), ("1e300 * 1e300", False), ("1e30", True), ("true", False), ("false", False), ("2 > 1", False)):
            self.assertEqual(self.verdict(file_of([]).replace("batch = 4", f"batch = 4\n    clip_norm = {value}")), holds, value)
        for value, holds in (("0", True), ("-1", False), ("1/2", False), ("2 ^ 62", False)):
            self.assertEqual(self.verdict(file_of([]).replace("batch = 4", f"batch = 4\n    seed = {value}")), holds, value)

    def test_what_no_float_holds(self):
        for value, holds in (("1e38", True), ("1e39", False)):
            for router in ("top1(aux = %s)", "topk(k = 2, z = %s)", "top2(aux = %s)"):
                self.assertEqual(self.verdict(file_of([f"moe(experts = 4, hidden = 4, router = {router % value})"])), holds, (router, value))
            self.assertEqual(self.verdict(file_of([], head=f"head(tied = false, z_loss = {value})")), holds, value)
            for optimizer in ("sgd", "adamw", "lion", "adafactor"):
                for given in ("rate = %s", "rate = 0.1, weight_decay = %s"):
                    self.assertEqual(self.verdict(file_of([], optimizer=f"{optimizer}({given % value})")), holds, (optimizer, given, value))
        for router in ("expert_choice(group = sequence, capacity = 1_000_000, context = 2 ^ 60)", "topk(k = 2, context = 2 ^ 31)"):
            said = self.ok("check", self.write("m.bfm", file_of([f"moe(experts = 4, hidden = 4, router = {router})"])), code=1).stderr
            self.assertIn("context <= 2_147_483_647", said)

    def test_searches(self):
        search = "use std.spaces\nuse std.recipes\nsearch q {{\n    space = cpu\n    baseline = dense_cpu\n    recipe = adamw\n    {}\n}}\n"
        for setting, holds in (("trials = 5", True), ("trials = 0", False), ("population = 0", False), ("sample = -1", False), ("budget = 60 s", True), ("budget = 0 s", False), ("budget = 1e300 * 1e300 s", False),
                               ("budget = 60 parsec", False), ("seed = -1", False), ("repeat = 0", False), ("population = 5\n    sample = 6", False)):
            self.assertEqual(self.verdict(search.format(setting)), holds, setting)


if __name__ == "__main__":
    unittest.main()
