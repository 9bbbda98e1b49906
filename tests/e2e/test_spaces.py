"""Spaces: their sizes against writing every block out, what is wrong with them, the library's own."""
import itertools
import os
import random
import unittest

from harness import SOURCE, Case

HEADER = "use std.layers\nuse std.routers\n"


def expand(value):
    """The values of a domain as texts that are equal where the values are: a router with domains of its own is expanded."""
    if isinstance(value, tuple):  # (router, {attribute: values})
        name, attributes = value
        standard = {"top2": {"capacity": "2"}, "top1": {"capacity": "1.25"}}[name]
        names = sorted({**standard, **attributes})
        options = [attributes.get(one, [standard.get(one)]) for one in names]
        return {(name, *zip(names, (normal(v) for v in choice))) for choice in itertools.product(*options)}
    return {normal(value)}


def normal(value):
    """3/4 and 0.75 are one value."""
    try:
        return str(eval(value)) if value[0].isdigit() else value
    except SyntaxError:
        return value


def spelled(value):
    if not isinstance(value, tuple):
        return value
    return value[0] + "(" + ", ".join(name + (f" in {braced(values)}" if len(values) > 1 and not isinstance(values, str) else f" = {values[0]}") for name, values in value[1].items()) + ")"


def braced(values):
    return "{ " + ", ".join(values) + " }"


def domain(name, values):
    return f"{name} = {values}" if isinstance(values, str) else f"{name} in {braced(map(spelled, values))}"


class Sketch:
    """A random small space: its text, and all its members."""

    def __init__(self, rng):
        pick = lambda values, most: rng.sample(values, rng.randint(1, min(most, len(values))))
        self.lets = {"m": pick(["64", "96", "128"], 2), "a": pick(["relu", "gelu", "geglu"], 2), "c": pick(["1", "3/2"], 2)}
        self.once = {name: pick(values, 2) for name, values in {"d": ["32", "64"], "norm": ["rms_norm", "layer_norm"]}.items() if rng.random() < 0.4}
        if rng.random() < 0.2:
            self.once["d"] = "m"
        self.width = pick(["3/4", "1", "0.75", "1/2"], 3) if rng.random() < 0.3 else None
        self.lengths = sorted(pick([1, 2, 3], 2))
        routers = [("top2", {"capacity": ["1", "2"]}), ("top2", {}), ("top1", {"capacity": ["1", "5/4"]}), ("top1", {}), ("top1", {"capacity": "c"}), ("top2", {"capacity": "c"})]
        some = {
            "attention": lambda: {"heads": pick(["2", "4", "2"], 2)},
            "ffn": lambda: {"hidden": rng.choice(["m", pick(["64", "128"], 2)]), "act": rng.choice(["a", pick(["relu", "gelu"], 2)])},
            "moe": lambda: {"experts": ["4"], "hidden": rng.choice(["m", ["64"]]), "router": pick(routers, 2)},
        }
        self.kinds = [(kind, some[kind](), self.times(rng)) for kind in pick(list(some), 3)]

    @staticmethod
    def times(rng):
        least = rng.choice([0, 0, 1])
        return rng.choice([None, (least, least + rng.randint(0, 2))])

    def text(self, name):
        lines = [f"space {name} {{"]
        inside = lambda domain, let: domain == let or any(isinstance(value, tuple) and let in value[1].values() for value in domain)
        used = lambda let: let in self.once.values() or any(inside(domain, let) for _, attributes, _ in self.kinds for domain in attributes.values())
        lines += ["    let " + domain(let, values) for let, values in self.lets.items() if used(let)]
        lines += ["    " + domain("length", list(map(str, self.lengths)))]
        lines += ["    " + domain(name, values) for name, values in self.once.items()]
        if self.width:
            lines.append("    " + domain("width", self.width))
        for kind, attributes, times in self.kinds:
            count = f" * {times[0]} .. {times[1]}" if times else ""
            lines.append(f"    {kind}{count} " + braced(domain(name, values) for name, values in attributes.items()))
        return "\n".join(lines + ["}"])

    def members(self):
        found = set()
        for chosen in itertools.product(*self.lets.values()):
            lets = dict(zip(self.lets, chosen))
            bound = lambda value: (value[0], {name: [lets[v]] if isinstance(v, str) else v for name, v in value[1].items()}) if isinstance(value, tuple) else value
            values = lambda domain: {lets[domain]} if isinstance(domain, str) else set().union(*(expand(bound(value)) for value in domain))
            lines = []
            for kind, attributes, _ in self.kinds:
                lines += [(kind, *line, width) for line in itertools.product(*map(values, attributes.values())) for width in (values(self.width) if self.width else ["1"])]
            for length in self.lengths:
                for block in itertools.product(lines, repeat=length):
                    counts = {kind: sum(line[0] == kind for line in block) for kind, _, _ in self.kinds}
                    if all(times is None or times[0] <= counts[kind] <= times[1] for kind, _, times in self.kinds):
                        found.update((block, once) for once in itertools.product(*map(values, self.once.values())))
        return found


class Overlap:
    """Random alternatives of one domain that share values, on two levels: as text, and written out."""

    HEADER = "router q(x[g, t, d]; inner: router, k: count) -> pairs {\n    return inner(x)\n}\nlayer f(x[b, l, d]; router: router, n: count) -> [b, l, d] {\n    return x\n}\n"

    def __init__(self, rng):
        self.rng = rng

    def numbers(self):
        if self.rng.random() < 0.6:
            low = self.rng.randint(1, 20)
            high = low + self.rng.randint(0, 12)
            return f"in {low} .. {high}", range(low, high + 1)
        values = [self.rng.randint(1, 30) for _ in range(self.rng.randint(1, 5))]
        return "in " + braced(map(str, values)), values

    def simple(self):
        (capacity, capacities), orders = self.numbers(), self.rng.sample(["token", "choice"], self.rng.randint(1, 2))
        return f"top2(capacity {capacity}, order in {braced(orders)})", set(itertools.product(["top2"], capacities, orders))

    def deep(self):
        inner = [self.simple() for _ in range(self.rng.randint(1, 4))]
        k, ks = self.numbers()
        return f"q(inner in {braced(text for text, _ in inner)}, k {k})", set(itertools.product(["q"], set().union(*(values for _, values in inner)), ks))

    def entry(self, most):
        routers = [self.rng.choice([self.simple, self.deep])() for _ in range(self.rng.randint(1, most))]
        n, ns = self.numbers()
        return f"f {{ router in {braced(text for text, _ in routers)} n {n} }}", set(itertools.product(set().union(*(values for _, values in routers)), ns))


class Spaces(Case):
    def report(self, text, code=0):
        return self.json("check", self.write("s.bfm", HEADER + text), code=code)

    def messages(self, text, code):
        return [(d["code"], d["message"]) for d in self.report(text, code).get("diagnostics", [])]

    def test_sizes_against_enumeration(self):
        rng = random.Random(5)
        sketches, texts = {}, []
        while len(sketches) < 80:
            sketch = Sketch(rng)
            size = len(sketch.members())
            if 0 < size < 20000:
                name = f"s{len(sketches)}"
                sketches[name] = size
                texts.append(sketch.text(name))
        report = self.report("\n".join(texts))
        exact = {space["space"]: int(space["size"]) for space in report["spaces"] if space["exact"]}
        self.assertEqual(exact, {name: sketches[name] for name in exact}, "\n".join(texts))
        self.assertGreater(len(exact), 70)
        for space in report["spaces"]:
            self.assertGreaterEqual(int(space["size"]), sketches[space["space"]], texts)

    def test_overlapping_alternatives_against_enumeration(self):
        rng = random.Random(7)
        entries = [Overlap(rng).entry(9) for _ in range(60)]
        text = Overlap.HEADER + "\n".join(f"space s{i} {{\n    length = 1\n    {entry}\n}}" for i, (entry, _) in enumerate(entries))
        for space, (entry, members) in zip(self.report(text)["spaces"], entries):
            self.assertEqual((int(space["size"]), space["exact"]), (len(members), True), entry)

    def test_two_entries_that_overlap_deep_inside(self):
        """Whether two entries allow an equal line is known from their alternatives."""
        rng = random.Random(8)
        pairs = [(Overlap(rng).entry(2), Overlap(rng).entry(2)) for _ in range(60)]
        text = Overlap.HEADER + "\n".join(f"space s{i} {{\n    length = 1\n    {a}\n    {b}\n}}" for i, ((a, _), (b, _)) in enumerate(pairs))
        found = [space["exact"] for space in self.report(text)["spaces"]]
        self.assertEqual(found, [not a & b for (_, a), (_, b) in pairs])
        self.assertTrue(any(found) and not all(found))

    def test_many_overlapping_alternatives(self):
        """Neither equal nor staggered alternatives are counted set by set of them: 2^300 would never end."""
        space = lambda routers: HEADER + "space s {\n    length = 1\n    moe { experts = 4, hidden = 8, router in { " + ", ".join(routers) + " } }\n}"
        for routers, size in [
            (["top2(capacity in 1 .. 1000000000)"] * 300, 10 ** 9),
            ([f"top2(capacity in {1 + i} .. {1000 + i})" for i in range(300)], 1299),
            ([f"top2(capacity in {1 + i} .. {600 - i})" for i in range(300)], 600),
            ([f"top2(capacity in {{ {i + 1}, {i + 2} }})" for i in range(300)], 301),
            ([f"topk(k in 1 .. {i}, capacity in {i} .. 300)" for i in range(1, 301)], 300 * 301 // 2),
            ([f"topk(k in {i} .. {i + 99}, capacity in {i} .. {i + 99})" for i in range(1, 201)], 100 ** 2 + 199 * (2 * 100 - 1)),
        ]:
            found, = self.json("check", self.write("s.bfm", space(routers)))["spaces"]
            self.assertEqual((int(found["size"]), found["exact"]), (size, True), routers[:2])

    def test_counting_is_bounded(self):
        entries = "\n".join(f"    ffn * 0 .. 128 {{ hidden in {{ {i + 1} }} }}" for i in range(3000))
        lets = "\n".join(f"    let m{i} in {{ 1, 2 }}" for i in range(16)) + "\n" + "\n".join(f"    ffn * 0 .. 128 {{ hidden = m{i} }}" for i in range(16))
        rng = random.Random(3)
        box = lambda: f"q(inner = topk(k in {rng.randint(1, 500)} .. {rng.randint(500, 999)}, capacity in {rng.randint(1, 500)} .. {rng.randint(500, 999)}), k in {rng.randint(1, 500)} .. {rng.randint(500, 999)})"
        crossing = "    f { router in { " + ", ".join(box() for _ in range(2000)) + " } n = 1 }"
        for body in (entries, lets, crossing):
            text = "space s {\n    length in 1 .. 128\n" + body + "\n}\nspace t {\n    length = 1\n    ffn { hidden = 8 }\n}"
            found = self.messages(Overlap.HEADER + text, 1)
            self.assertEqual([code for code, _ in found], ["E0701"])
            self.assertIn("`s` take more than 16777216 steps to count", found[0][1])

    def test_library(self):
        report = self.json("check", os.path.join(SOURCE, "stdlib", "spaces.bfm"))
        spaces = {space["space"]: space for space in report["spaces"]}
        # table 1: eight lines, each at one of 3 widths: attention 3, networks 4·4, mixtures 4·4·(4 + 4); 3 widths of the block
        self.assertEqual(int(spaces["table1"]["size"]), 3 * (3 * (3 + 16 + 16 * 8)) ** 8)
        # equation 2: m and a once, orders as multinomials, 2 norms
        factorial = lambda n: 1 if n < 2 else n * factorial(n - 1)
        total = sum(factorial(a + m + f) // (factorial(a) * factorial(m) * factorial(f)) * 3 ** a * 2 ** m * 2 ** f
                    for a in (1, 2, 3) for m in (1, 2, 3, 4) for f in (1, 2, 3, 4) if 4 <= a + m + f <= 12)
        self.assertEqual(int(spaces["equation2"]["size"]), 2 * 4 * 4 * total)
        self.assertEqual((spaces["equation2"]["shortest"], spaces["equation2"]["longest"], spaces["equation2"]["bounds"]), (4, 11, 2))
        self.assertFalse(spaces["equation2"]["start"]["member"])
        self.assertEqual(int(spaces["cpu"]["size"]), 10187618982336)
        text = self.ok("check", os.path.join(SOURCE, "stdlib", "spaces.bfm") + ":table1").stdout
        self.assertIn("4_291_706_070_725_955_984_963 (4.2e21) blocks", text)
        self.assertNotIn("equation2", text)

    def test_settings_of_a_search(self):
        """Amounts have bounds, words are of a list; the command line's budgets have the same domain."""
        text = "space s {\n    length = 1\n    ffn { hidden in { 64, 128 } }\n}\nsearch t {\n    space = s   %s\n}"
        for setting in ("budget = 60 s", "budget = 1.5 h", "budget = 1e9 s", "budget = 2 Kstep", "budget = 1.1 Ktok", "budget = 1e30 flop", "rank = constraint", "rank = absolute", "rank = hard", "rank = soft",
                        "step_time = train", "step_time = forward", "step_time = decode"):
            self.report(text % setting)
        for setting, says in (("budget = 1e300 s", "at most 1e9 seconds"), ("budget = 0 s", "more than 0"), ("budget = 1/2 step", "an amount"), ("budget = 0.5 step", "a whole number of steps"),
                              ("budget = 1e16 step", "to 1e15"), ("budget = 1e31 flop", "at most 1e30"), ("budget = 1e19 tok", "to 1e18"), ("budget = 60", "an amount with its unit"),
                              ("rank = constrained", "constraint, absolute, hard, soft"), ("rank = 3", "one of the words"), ("step_time = trane", "train, forward, decode")):
            (code, message), = self.messages(text % setting, 1)
            self.assertEqual(code, "E0205")
            self.assertIn(says, message)
        for budget, says in (("1e300s", "at most 1e9 seconds"), ("0s", "more than 0"), ("-1s", "more than 0"), ("nans", "a budget such as"), ("0.5step", "a whole number of steps"), ("5", "a budget such as")):
            self.fails(2, says, "train", "m.bfm", "data", "--out", "run", "--budget=" + budget)

    def test_ranges_need_no_list(self):
        space, = self.report("space s {\n    length = 128\n    ffn { hidden in 1 .. 1_000_000 }\n    attention { heads in { 2, 4 } }\n}")["spaces"]
        self.assertEqual(int(space["size"]), 1000002 ** 128)

    def test_equal_lines_of_two_entries(self):
        space, = self.report("space s {\n    length = 1\n    ffn * 0 .. 1 { hidden in { 64, 128 } }\n    ffn * 0 .. 1 { hidden in { 128, 256 } }\n}")["spaces"]
        self.assertEqual((int(space["size"]), space["exact"]), (4, False))
        space, = self.report("space s {\n    length = 1\n    ffn * 0 .. 1 { hidden in { 64, 128 } }\n    ffn * 0 .. 1 { hidden in { 192, 256 } }\n}")["spaces"]
        self.assertEqual((int(space["size"]), space["exact"]), (4, True))

    def test_lets_inside_values(self):
        """A let chooses for every router of the block, or is one itself; where it may equal a value beside it, the number is a bound."""
        lines = "space s {\n    let c in { 1, 2 }\n    length = 2\n    moe { experts = 4, hidden = 64, router in { ROUTERS } }\n    ffn { hidden = 64 }\n}"
        space, = self.report(lines.replace("ROUTERS", "top2(capacity = c), top1(capacity = c)"))["spaces"]
        self.assertEqual((int(space["size"]), space["exact"]), (1 + 2 * (3 ** 2 - 1), True))
        space, = self.report(lines.replace("ROUTERS", "top2(capacity = c), top1()"))["spaces"]
        self.assertEqual((int(space["size"]), space["exact"]), (2 ** 2 + 2 * (3 ** 2 - 2 ** 2), True))  # a block with top1 alone has no c
        space, = self.report(lines.replace("ROUTERS", "top2(capacity = c), top2(capacity = 1)"))["spaces"]
        self.assertEqual((int(space["size"]), space["exact"]), (2 ** 2 + 2 * (3 ** 2 - 2 ** 2), False))
        space, = self.report(lines.replace("ROUTERS", "top2(capacity = c, order = token), top2(capacity = 1, order = choice)"))["spaces"]
        self.assertTrue(space["exact"])
        space, = self.report("space s {\n    let r in { top1(), top2(capacity in { 1, 2 }), topk(k in 1 .. 3) }\n    length = 2\n    moe { experts in { 4, 8 }, hidden = 64, router = r }\n    ffn { hidden = 64 }\n}")["spaces"]
        self.assertEqual((int(space["size"]), space["exact"]), (1 + 6 * (3 ** 2 - 1), True))

    def test_length_from_counts(self):
        space, = self.report("space s {\n    attention * 1 .. 2 { heads = 2 }\n    ffn * 1 { hidden = 64 }\n}")["spaces"]
        self.assertEqual((int(space["size"]), space["shortest"], space["longest"]), (2 + 3, 2, 3))

    def test_errors(self):
        body = lambda line, more="": f"space s {{\n    length = 2\n    {more}\n    {line}\n}}"
        for text, code, says in [
            (body("ffn { hidden in { 64, wide } }"), "E0201", "wide"),
            (body("ffn { hidden in { 64, 0 } }"), "E0205", "`hidden` must be a width"),
            (body("ffn { hidden = 64, act in { gelu, softmax_of } }"), "E0201", "softmax_of"),
            (body("ffn { hidden = 64, activation in { gelu } }"), "E0203", "no attribute `activation`"),
            (body("ffn { hiden in { 64 } }"), "E0203", "no attribute `hiden`"),
            (body("moe { experts = 4, router = top2(2) }"), "E0203", "given by name"),
            (body("ffn { hidden in { } }"), "E0602", "empty"),
            (body("ffn { hidden in 128 .. 64 }"), "E0602", "empty: 128 is more than 64"),
            (body("ffn { hidden in { 64 }, hidden = 64 }"), "E0206", "given twice"),
            (body("moe { experts = 4, router in { top2(capasity in { 1, 2 }) } }"), "E0203", "no attribute `capasity`"),
            (body("moe { experts = 4, router in { top2(order in { token, best }) } }"), "E0205", "one of token, choice"),
            (body("moe { experts = 4, router in { gelu } }"), "E0202", "no router named `gelu`"),
            (body("moe { router = top2() }"), "E0204", "needs the attribute `experts`"),
            (body("attention { head_dim = 32 }"), "E0204", "needs the attribute `heads`"),
            (body("ffn * 2 .. 1 { hidden = 64 }"), "E0602", "empty: 2 is more than 1"),
            (body("ffn * 1/2 { hidden = 64 }"), "E0205", "whole number from 0"),
            (body("ffn * 3 .. 4 { hidden = 64 }"), "E0602", "has no members"),
            (body("fnn { hidden = 64 }"), "E0201", "no layer `fnn`"),
            (body("ffn { hidden in { m, 64 } }", "let m in { 64, 128 }"), "E0602", "cannot be one value among others"),
            (body("ffn { hidden = m }", "let m in { 64, 128 }\n    let m in { 1 }"), "E0206", "introduced twice"),
            (body("ffn { hidden = m }", "let m in { 64, gelu }"), "E0205", "not gelu"),
            (body("ffn { hidden = 64 }", "depth in { 1, 2 }"), "E0601", "no domain `depth`"),
            (body("ffn { hidden = 64 }", "norm in { gelu }"), "E0202", "no norm named `gelu`"),
            ("space s {\n    ffn { hidden = 64 }\n}", "E0602", "how long"),
            ("space s {\n    length in 0 .. 4\n    ffn { hidden = 64 }\n}", "E0602", "1 to 128 lines"),
            ("space s {\n    length = 2\n    length = 3\n    ffn { hidden = 64 }\n}", "E0206", "given twice"),
        ]:
            found = self.messages(text, 1)
            self.assertTrue(any(c == code and says in message for c, message in found), f"{text}\nexpected {code} {says}\n{found}")
            self.assertEqual(len(found), 1, f"one cause gives one error\n{text}\n{found}")

    def test_start(self):
        space = "space s {\n    length in 2 .. 3\n    attention * 1 .. 2 { heads in { 2, 4 } }\n    ffn { hidden = m, act in { gelu, relu } }\n    let m in { 64, 128 }\n    start from seed\n}\n"
        for block, says in [
            ("block seed() {\n    attention(heads = 2)\n    ffn(hidden = 64)\n}", None),
            ("block seed(h: count = 4) {\n    repeat 2 { attention(heads = h, head_dim = 64) }\n    ffn(hidden = 64, act = relu)\n}", None),
            ("block inner(n: width) {\n    ffn(hidden = n)\n}\nblock seed() {\n    attention(heads = 2)\n    inner(n = 128)\n}", None),
            ("block seed() {\n    attention(heads = 3)\n    ffn(hidden = 64)\n}", "line 1, `attention`, has heads = 3; the space has one of 2, 4"),
            ("block seed() {\n    attention(heads = 2)\n    ffn(hidden = 64)\n    ffn(hidden = 128)\n}", "line 3, `ffn`, has hidden = 128; the space has 64 (`m`"),
            ("block seed() {\n    attention(heads = 2, conv = 3)\n    ffn(hidden = 64)\n}", "has conv = 3; the space has 0"),
            ("block seed() {\n    attention(heads = 2, kv_heads = 1)\n    ffn(hidden = 64)\n}", "has kv_heads = 1; the space has the default"),
            ("block seed() {\n    ffn(hidden = 64)\n    ffn(hidden = 64)\n}", "it has 0 of `attention`, fewer than 1"),
            ("block seed() {\n    repeat 3 { attention(heads = 2) }\n}", "it has more than 2 of `attention`"),
            ("block seed() {\n    attention(heads = 2)\n}", "it has 1 line"),
            ("block seed() {\n    attention(heads = 2)\n    low_rank(rank = 8)\n}", "`low_rank`, which the space does not list"),
            ("block seed() {\n    attention(heads = 2)\n    at 1/2 { ffn(hidden = 64) }\n}", "at a width of 1/2"),
            ("block seed() {\n    attention(heads = 2)\n    parallel { ffn(hidden = 64) | ffn(hidden = 64) }\n}", "parallel"),
            ("block seed() norm = layer_norm {\n    attention(heads = 2)\n    ffn(hidden = 64)\n}", "its norm is layer_norm"),
            ("block seed(h: count) {\n    attention(heads = h)\n    ffn(hidden = 64)\n}", "its attribute `h` has no value"),
        ]:
            found = self.messages(block + "\n" + space, 0)
            self.assertEqual([code for code, _ in found], ["W0601"] if says else [], f"{block}\n{found}")
            self.assertTrue(not says or says in found[0][1], f"{block}\n{found}")

    def test_unused_let(self):
        self.assertEqual([code for code, _ in self.messages("space s {\n    let m in { 1, 2 }\n    length = 1\n    ffn { hidden = 64 }\n}", 0)], ["W0602"])


if __name__ == "__main__":
    unittest.main()
