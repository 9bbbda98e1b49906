"""What the library is scheduled to: nothing that has a template is left to loops, whatever the options of a definition.

Every layer, router, norm, activation and wiring stands in a model of its own here, once as it is and once for each option that changes its structure.
A definition that is missing fails the test."""
import os
import re
import unittest

from harness import SOURCE, Case

MODEL = "model {name} {{\n    vocab   = 256\n    context = 512\n    embed(d = 128)\n    {body}\n    {norm}()\n    {head}\n}}\n"
SCORES = """fn capped(s, i, j, h) = 30 * tanh(s / 30)
fn windowed(s, i, j, h) = select(i - j < 64, s, -1e9)
"""
# A window cut from the domain, a learned slope for every head: what users write themselves.
OWN = """layer window(x[b, l, d]; span: count) -> [b, l, d] {
    param w[d, d] ~ normal(0, d ^ -0.5)
    param slope[1] = 1
    let q[b, l, e] = sum[i] x[b, l, i] * w[i, e]
    let s[b, i, j] = slope[0] * (sum[e] q[b, i, e] * x[b, j, e]) where j <= i and i - j < span
    return y[b, i, o] = sum[j] softmax[j](s[b, i, j]) * x[b, j, o]
}
"""
ATTENTION = "attention(heads = 4, head_dim = 32%s)"
MOE = "moe(experts = 8, hidden = 128, router = %s)"
LAYERS = {
    "attention": [ATTENTION % option for option in ("", ", kv_heads = 2", ", kv_heads = 2, position = relative", ", conv = 3", ", score = capped", ", score = windowed",
                                                    ", conv = 3, qk_norm = true, position = relative, score = capped")],
    "ffn": ["ffn(hidden = 256)"],
    "low_rank": ["low_rank(rank = 32, hidden = 256)", "low_rank(rank = 32, hidden = 256, act = geglu)"],
    "multi_branch": ["multi_branch(branches = 4, hidden = 256)", "multi_branch(branches = 4, hidden = 256, act = swiglu)"],
    "gmlp": ["gmlp(hidden = 256)"],
    "token_mixer": ["token_mixer(hidden = 256)"],
    "dropout": ["dropout(rate = 0.1)"],
    "moe": [MOE % "top2()", "moe(experts = 8, hidden = 128, act = geglu, router = top2())"],
    "project": ["project(d = 64)\n    project(d = 128)"],
    "window": ["window(span = 64)"],
    "enter": ["at 0.5 { ffn(hidden = 128) }"],
}
LAYERS["leave"] = LAYERS["enter"]
ROUTERS = {
    "top2": ["z = 0.001", "capacity = none", "aux = 0"], "topk": ["k = 3", "capacity = none", "z = 0.001"], "top1": ["capacity = none", "z = 0.001"],
    "expert_choice": ["capacity = 2"], "expert_threshold": [], "loss_free": ["capacity = 2"], "soft": [], "hash": [], "random": [],
}
HEADS = ["head(tied = true)", "head(tied = false)", "head(tied = true, z_loss = 0.0001)", "head(tied = false, z_loss = 0.0001)"]
# No layer of its own: told apart by name, so that what is new is looked at.
HELPERS = {"identity", "sign", "plogp", "slots_of", "tokens_of"}

LOOP_POINTS = 1 << 20      # a nest of so many points that touches each element …
LOOP_REUSE = 16            # … so many times should have been a product
SCALAR_POINTS = 1 << 16    # more points than that are taken several at once
STORED_ELEMENTS = 1 << 23  # scores of 8 × 4 heads × 512² would be that many


def library(kind):
    """{name: text of its attributes} of every definition of the kind."""
    found = {}
    for file in sorted(os.listdir(os.path.join(SOURCE, "stdlib"))):
        with open(os.path.join(SOURCE, "stdlib", file)) as text:
            for match in re.finditer(r"^%s (\w+)\(([^{]*?(?:\{[^}]*\}[^{]*?)*)\)" % kind, text.read(), re.M):
                found.setdefault(match[1], match[2])
    return found


def options(attributes):
    """One setting for every other value of an attribute that is a choice or true or false."""
    settings = []
    for name, choices, default in re.findall(r"(\w+): \{ ([\w, ]+) \} = (\w+)", attributes):
        settings += ["%s = %s" % (name, choice) for choice in choices.split(", ") if choice != default]
    for name, default in re.findall(r"(\w+): bool = (\w+)", attributes):
        settings.append("%s = %s" % (name, "false" if default == "true" else "true"))
    return settings


def with_option(call, setting):
    return call[:-1] + (", " if not call.endswith("()") else "") + setting + ")"


def bodies():
    """(what, body, norm, head) for every model."""
    for layer, calls in LAYERS.items():
        choices = [] if layer in ("moe", "project", "enter", "leave", "window") else options(library("layer")[layer])
        for call in calls + [with_option(calls[0], setting) for setting in choices]:
            yield layer, call, "rms_norm", HEADS[0]
    for router, settings in ROUTERS.items():
        for setting in [""] + settings + options(library("router")[router]):
            yield router, MOE % (router + "(" + setting + ")"), "rms_norm", HEADS[0]
    for act in set(library("fn")) - HELPERS:
        yield act, "ffn(hidden = 256, act = %s)" % act, "rms_norm", HEADS[0]
    for norm in library("norm"):
        yield norm, "ffn(hidden = 256)", norm, HEADS[0]
    for wiring in library("wiring"):
        yield wiring, "ffn(hidden = 256) wiring = %s" % wiring, "rms_norm", HEADS[0]
    for head in HEADS:
        yield "head", "ffn(hidden = 256)", "rms_norm", head


class Scheduling(Case):
    def check(self, what, model):
        schedule = model["schedule"]
        for note in schedule["stored"]:
            self.assertFalse(note["slow"], (what, note))
            self.assertLess(note["elements"], STORED_ELEMENTS, (what, note))
        for step in schedule["steps"]:
            if step["lanes"] == 0:
                continue
            self.assertFalse(step["points"] > LOOP_POINTS and step["points"] > LOOP_REUSE * step["elements"], (what, step))
            self.assertFalse(step["points"] > SCALAR_POINTS and step["lanes"] == 1, (what, step))

    def test_every_definition(self):
        written, whats = SCORES + OWN, {}
        for i, (what, body, norm, head) in enumerate(bodies()):
            whats["m%d" % i] = (what, body, norm, head)
            written += MODEL.format(name="m%d" % i, body=body, norm=norm, head=head)
        uses = "".join("use std.%s\n" % name for name in ("layers", "routers", "norms", "activations", "wirings"))
        report = self.json("check", self.write("all.bfm", uses + written), "--explain-schedule", "--batch", "8", "-q")
        self.assertEqual(len(report["models"]), len(whats))
        for model in report["models"]:
            with self.subTest(model=whats[model["model"]]):
                self.check(whats[model["model"]], model)

    def test_nothing_is_left_out(self):
        self.assertEqual(set(library("layer")) - {"embed", "head"}, set(LAYERS) - {"window"})
        self.assertEqual(set(library("router")), set(ROUTERS))

    def test_streams(self):
        """Both passes of every kind of attention keep their scores in tiles, and so does the head."""
        calls = [call for layer, call, _, _ in bodies() if layer in ("attention", "window")]
        models = "".join(MODEL.format(name="m%d" % i, body=call, norm="rms_norm", head=HEADS[0]) for i, call in enumerate(calls))
        report = self.json("check", self.write("streams.bfm", "use std.layers\n" + SCORES + OWN + models), "--explain-schedule", "-q")
        for model, call in zip(report["models"], calls):
            kinds = [step["kind"] for step in model["schedule"]["steps"]]
            self.assertEqual((kinds.count("stream"), kinds.count("stream backward")), (2, 2), call)


if __name__ == "__main__":
    unittest.main()
