"""Random models beyond those of generate_cases.py: every layer and router of the library with any of its options, structures nested in each other,
masked targets and segments, several steps, named draws. Case I of seed S is always the same."""
import random
from fractions import Fraction

import numpy as np

import cases
import generate_cases
import layers
import routers

WIDTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 20, 21, 24, 31, 33]
KINDS = ["attention", "attention", "attention", "ffn", "moe", "moe", "moe", "low_rank", "multi_branch", "gmlp", "token_mixer", "dropout", "norm"]


LARGE_WIDTHS = [33, 40, 47, 48, 63, 64, 65, 72, 80, 96, 100, 127, 128, 129]


class Writer(generate_cases.Writer):
    def __init__(self, rng, large=False):
        super().__init__(rng, KINDS)
        self.context = rng.choice([24, 32, 33, 47, 64, 70] if large else [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 17, 20])
        self.widths = LARGE_WIDTHS if large else WIDTHS
        self.head_dims = ([16, 20, 32, 40, 64], [7, 16, 21, 32, 33, 40]) if large else ([2, 4, 6, 8, 10, 16], [1, 2, 3, 5, 7, 8, 11])  # even ones; any
        self.d = rng.choice(self.widths[2:])
        self.masked = rng.random() < 0.15
        self.needs = []

    def hidden(self):
        return self.rng.choice(self.widths)

    def attention(self):
        r = self.rng
        kv = r.choice([1, 1, 2, 3, 5])
        heads = kv * r.choice([1, 1, 2, 3, 4])
        position = r.choice(["rope", "relative", "alibi", "none", None])
        head_dim = r.choice(self.head_dims[position not in ("rope", None)])
        score = self.maybe(0.25, r.choice(["cap", "lean", "identity"])) if not self.masked else None
        if score in layers.SCORE_TEXT:
            self.needs.append(layers.SCORE_TEXT[score])
        return ("masked_" if self.masked else "") + "attention" + generate_cases.arguments([
            ("heads", heads), ("head_dim", head_dim), ("kv_heads", kv if kv != heads or r.random() < 0.2 else None), ("position", position),
            ("conv", self.maybe(0.4, r.choice([0, 1, 2, 3, 4, 7]))), ("qk_norm", self.maybe(0.4, r.choice(["true", "false"]))), ("causal", self.maybe(0.2, r.choice(["true", "false"]))), ("score", score)])

    def norm(self):
        return self.rng.choice(generate_cases.NORMS) + self.rng.choice(["()", "(eps = 0.01)", "(eps = 1/8)"])

    def plain_act(self):
        return self.maybe(0.8, self.rng.choice(list(layers.ACTIVATIONS)))

    def gmlp(self):
        return "gmlp" + generate_cases.arguments([("hidden", 2 * self.rng.choice(self.widths[:12])), ("act", self.plain_act())])

    def token_mixer(self):
        return "token_mixer" + generate_cases.arguments([("hidden", self.hidden()), ("act", self.plain_act())])

    def dropout(self):
        return f"dropout(rate = {self.rng.choice(['0', '0.1', '1/4', '0.5', '0.8'])})"

    def moe(self):
        experts = self.rng.choice([1, 2, 2, 3, 4, 5, 7, 9, 16])
        return ("masked_" if self.masked else "") + "moe" + generate_cases.arguments([("experts", experts), ("hidden", self.hidden()), ("act", self.maybe(0.8, self.act())), ("router", self.router(experts))])

    def router(self, experts):
        r = self.rng
        kind = r.choice([k for k in routers.ROUTERS if experts >= 2 or k not in ("top2", "loss_free", "topk")])
        spec = routers.ROUTERS[kind].attributes
        capacity = r.choice(["0.25", "0.5", "2/3", "0.75", "0.9", "1", "1.1", "1.25", "4/3", "2", "3", "5"])
        drawn = {"k": lambda: r.randint(1, min(5, experts)), "capacity": lambda: r.choice([capacity] * 3 + ["none"]) if kind in ("top2", "topk", "top1", "loss_free") else capacity,
                 "group": lambda: r.choice(["batch", "sequence", "position"]), "order": lambda: r.choice(["token", "choice"]), "convention": lambda: r.choice(["slots", "assignments"]),
                 "second": lambda: r.choice(["all", "sampled"]), "aux": lambda: r.choice(["0", "0.02", "0.5"]), "z": lambda: r.choice(["0", "0.001", "0.3"]), "decay": lambda: "0.8", "rate": lambda: "0.01"}
        out = {name: drawn[name]() for name in spec if name in drawn and r.random() < (1 if name == "k" else 0.6)}
        if self.coarse(kind, out, experts) or ("small_groups" in spec and r.random() < 0.1):
            out["small_groups"] = "true"
        return kind + generate_cases.arguments(list(out.items())) if out else kind + "()"

    def ratio(self):
        return self.rng.choice(["1/2", "3/4", "3/2", "2/3", "1/3", "5/4", "2", "4/3", "1"])

    def branch(self, depth):
        """A line alone, or a sequence, or something nested."""
        u = self.rng.random()
        if u < 0.65 or depth >= 3:
            return self.line(wired=False)
        if u < 0.75:
            return self.line(wired=False) + " " + self.line(wired=False)
        if u < 0.85:
            return " ".join(self.at_lines(depth))
        return self.block(depth)

    def at_lines(self, depth):
        ratios = [w for w in {self.ratio() for _ in range(4)} if (self.d * Fraction(w)).denominator == 1]
        if not ratios:
            return [self.line()]
        ratio, outer = self.rng.choice(sorted(ratios)), self.d
        self.d = int(outer * Fraction(ratio))
        out = [f"at {ratio} {{"] + ["    " + s for s in self.sequence(self.rng.randint(1, 2), depth + 1)] + ["}"]
        self.d = outer
        return out

    def sequence(self, count, depth):
        out, r = [], self.rng
        for _ in range(count):
            u = r.random()
            if depth >= 3 or u < 0.6:
                out.append(self.line())
            elif u < 0.72:
                out += [f"repeat {r.choice([1, 2, 2, 3])}{r.choice(['', ' shared'])} {{"] + ["    " + s for s in self.sequence(r.randint(1, 2), depth + 1)] + ["}"]
            elif u < 0.82:
                branches = " | ".join(self.branch(depth + 1) for _ in range(r.randint(1, 3)))
                out.append((f"fork_{self.serial()}: " if r.random() < 0.1 else "") + f"parallel {{ {branches} }}{self.wires()}")
            elif u < 0.9:
                out += self.at_lines(depth)
            elif u < 0.94 and depth == 0:
                self.d = r.choice(self.widths[1:])
                out.append(f"project(d = {self.d})")
            else:
                out.append(self.block(depth))
        return out or [self.line()]

    def model(self):
        text, vocab, length = super().model()
        before = list(dict.fromkeys(self.needs)) + ([layers.MASKED_TEXT] if self.masked else [])
        return text.replace("use std.routers\n", "use std.routers\n\n" + "\n".join(before) + "\n", 1), vocab, max(1, min(length, self.context))


def draw_case(seed, index, large=False):
    """The first draw that is decided."""
    for attempt in range(400):
        rng = random.Random(f"{'large' if large else 'wide'}/{seed}/{index}/{attempt}")
        writer = Writer(rng, large)
        try:
            text, _, length = writer.model()
            numbers = np.random.default_rng([seed, index, attempt])
            how = {"seed": rng.randrange(2**40), "step": rng.randrange(100)}
            if rng.random() < 0.3 or writer.masked:
                how["targets"] = masked_targets
            if writer.masked:
                how["segment"] = segments
            runs = rng.choice([1, 1, 1, 3]) if "expert_threshold" in text or "loss_free" in text or "dropout" in text else 1
            case = cases.draw(f"random {seed}/{index}", text, numbers, batch=rng.choice([1, 2, 3, 5]), length=length, runs=runs, rate=0.05 if runs > 1 else 0.0, tries=1, **how)
        except (ValueError, ZeroDivisionError):  # a capacity that small groups forbid, a width that does not divide
            continue
        if case is not None and sum(v.size for v in case.weights.values()) < (1_000_000 if large else 40_000) and case.steady():
            return case
    raise SystemExit(f"seed {seed}, case {index}: no draw was decided")


def masked_targets(rng, runs, batch, length, vocab):
    out = rng.integers(0, vocab, (runs, batch, length))
    out[rng.random(out.shape) < 0.3] = -1
    return out


def segments(rng, runs, batch, length, vocab):
    out = np.sort(rng.integers(0, 4, (runs, batch, length)), axis=2)
    out[rng.random(out.shape) < 0.2] = -1
    kind = rng.integers(0, 4)
    if kind == 1:  # whole rows
        out[rng.random((runs, batch)) < 0.4] = -1
    elif kind == 2:  # what is behind the last word
        out[np.arange(length) >= rng.integers(0, length + 1, (runs, batch, 1))] = -1
    return out
