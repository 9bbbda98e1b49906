"""Declarations that cannot mean what they say: each gives its one message, at its place, from `check`, and nothing is run."""
import json
import os
import unittest

from harness import EXAMPLES, SOURCE, Case, bfmc

MODEL = "model m { vocab = 256 context = 32 embed(d = 32) %s rms_norm() head() }\n"
RECIPE = "recipe r { optimizer = o(rate = 0.1) batch = 2 context = 16 steps = 2 }\n"
LAYER = "layer a(x[b, l, d]%s) -> [b, l, d] { %s }\n"

# what it shows: text before the model, its line, text behind it; the code and the text that the message points at (its last line, where it spans several)
WRONG = {
    "a function with a body": ("fn f(x) { return x }\n", "ffn(act = f)", "", "E0208", "{ return x }"),
    "a function with a body that nothing uses": ("fn f(x) { return x }\n", "ffn()", "", "E0208", "{ return x }"),
    "a function of tensors": ("fn f(x[b]) = x\n", "ffn(act = f)", "", "E0208", "x[b]"),
    "a function with attributes": ("fn f(x; k: real = 2) = k * x\n", "ffn(act = f)", "", "E0208", "k: real = 2"),
    "a wiring with a body": ("wiring w(x, f, norm) { return x }\n", "ffn() wiring = w", "", "E0208", "{ return x }"),
    "a wiring of two": ("wiring w(x, f) = x + f(x)\n", "ffn() wiring = w", "", "E0208", "x, f"),
    "a wiring with attributes": ("wiring w(x, f, norm; k: real = 2) = x + f(x)\n", "ffn() wiring = w", "", "E0208", "k: real = 2"),
    "a layer after `=`": ("layer a(x[b, l, d]) -> [b, l, d] = x\n", "a()", "", "E0208", "x"),
    "a norm after `=`": ("norm n(x[b, l, d]) = x\n", "ffn() norm = n", "", "E0208", "x"),
    "a layer without a return": ("layer a(x[b, l, d]) -> [b, l, d] { let y[b, l, o] = x[b, l, o] }\n", "a()", "", "E0406", "a"),
    "a router without a return": ("use std.routers\nrouter q(x[g, t, d]; group: { sequence } = sequence, experts: count) -> pairs { let y = x }\n",
                                  "moe(experts = 4, router = q())", "", "E0406", "q"),
    "an optimizer without a return": ("optimizer o(w[], g[]; rate: real) { state m = 0 next m = g }\n", "ffn()", RECIPE, "E0406", "o"),
    "an optimizer that returns in one arm": ("optimizer o(w[], g[]; rate: real, on: bool = false) { if on { return w - g * rate } else { let u = w } }\n", "ffn()", RECIPE, "E0406", "o"),
    "an optimizer with two results": ("optimizer o(w[], g[]; rate: real) { return w, g }\n", "ffn()", RECIPE, "E0406", "o"),
    "an optimizer whose form for vectors is wrong": (
        "optimizer o(w[m, n], g[m, n]; rate: real) { return u[i, j] = w[i, j] - rate * g[i, j] }\noptimizer o(w[n], g[n]) { return s = sum[i] w[i] * g[i] * rate }\n",
        "ffn()", RECIPE, "E0406", "s = sum[i] w[i] * g[i] * rate"),
    "an optimizer with a parameter": ("optimizer o(w[], g[]; rate: real) { param q[3] = 1 return w - rate * g }\n", "ffn()", RECIPE, "E0412", "param q[3] = 1"),
    "an optimizer with two forms of one rank": ("optimizer o(w[], g[]; rate: real) { return w - rate * g }\noptimizer o(w[], g[]) { return w }\n", "ffn()", RECIPE, "E0206", "o"),
    "an optimizer of three axes": ("optimizer o(w[a, b, c], g[a, b, c]; rate: real) { return w }\n", "ffn()", RECIPE, "E0208", "w[a, b, c]"),
    "an optimizer whose gradient lies crosswise": ("optimizer o(w[m, n], g[n, m]; rate: real) { return w }\n", "ffn()", RECIPE, "E0208", "g[n, m]"),
    "a schedule of an input": ("optimizer o(w[], g[]; rate: real) { return w - rate * g }\nschedule s(x) = 2\n", "ffn()",
                               RECIPE.replace("batch", "schedule = s() batch"), "E0208", "x"),
    "a layer and a block of one name": ("block a() { ffn() }\n" + LAYER % ("", "return x"), "a()", "", "E0206", "a"),
    "an attribute twice": (LAYER % ("; k: real = 1, k: real = 2", "return y[b, l, i] = k * x[b, l, i]"), "a()", "", "E0206", "k: real = 2"),
    "an attribute and an axis": (LAYER % ("; d: width = 64", "return x"), "a()", "", "E0206", "d: width = 64"),
    "an attribute of a block twice": ("block q(k: width = 8, k: width = 16) { ffn(hidden = k) }\n", "q()", "", "E0206", "k: width = 16"),
    "a word twice": (LAYER % ("; k: { p, p } = p", "if k == p { return x } else { return x }"), "a()", "", "E0206", "p"),
    "a tensor twice": (LAYER % ("", "let y[b, l, i] = x[b, l, i] let y[b, l, i] = 2 * x[b, l, i] return y"), "a()", "", "E0206", "y[b, l, i]"),
    "a constant twice": (LAYER % ("", "let r = 2 let r = 3 return y[b, l, i] = r * x[b, l, i]"), "a()", "", "E0206", "r"),
    "a value and an attribute": (LAYER % ("; k: real = 1", "let k = 3 return y[b, l, i] = k * x[b, l, i]"), "a()", "", "E0206", "k"),
    "a parameter twice": (LAYER % ("", "param w[d] = 1 param w[d] = 2 return y[b, l, i] = w[i] * x[b, l, i]"), "a()", "", "E0206", "param w[d] = 2"),
    "a state twice": (LAYER % ("", "state w[d] = 1 state w[d] = 2 next w[i] = w[i] + 1 return y[b, l, i] = w[i] * x[b, l, i]"), "a()", "", "E0206", "state w[d] = 2"),
    "a loss twice": (LAYER % ("", "loss q = mean[b, l, i] x[b, l, i] loss q = mean[b, l, i] x[b, l, i] ^ 2 return x"), "a()", "", "E0206", "q"),
    "half a range": (LAYER % ("", "return y[b, l, i] = x[b, l, i] + (sum[j in 0 ..< 2.5] j)"), "a()", "", "E0410", "2.5"),
    "a third of a width": (LAYER % ("", "return y[b, l, i] = x[b, l, i] + (sum[j in 0 ..< d / 3] x[b, l, j])"), "a()", "", "E0410", "d / 3"),
    "a range that begins at a half": (LAYER % ("", "return y[b, l, i] = x[b, l, i] + (sum[j in 1 / 2 ..< 3] j)"), "a()", "", "E0410", "1 / 2"),
    "a range of less than nothing": (LAYER % ("", "return y[b, l, i] = x[b, l, i] + (sum[j in 0 ..< 2 - d] j)"), "a()", "", "E0410", "j in 0 ..< 2 - d"),
    "one and a half chosen": (LAYER % ("", "let t[b, l, k] = top[j in 0 ..< d; 1.5](x[b, l, j]) return y[b, l, i in 0 ..< d] = sum[k] x[b, l, t[b, l, k]]"), "a()", "", "E0410", "1.5"),
    "none chosen": (LAYER % ("", "let t[b, l, k] = top[j in 0 ..< d; d - 32](x[b, l, j]) return y[b, l, i in 0 ..< d] = sum[k] x[b, l, t[b, l, k]]"), "a()", "", "E0410", "d - 32"),
    "an index into half an axis": (LAYER % ("", "let t[b, l] = index[2.5](x[b, l, 0]) return y[b, l, i] = x[b, l, i] + t[b, l]"), "a()", "", "E0410", "2.5"),
    "half a parameter": (LAYER % ("", "param w[d / 3] = 1 return x"), "a()", "", "E0410", "d / 3"),
    "half a repetition": ("", "repeat 5 / 2 { ffn() }", "", "E0303", "5 / 2"),
}

UNREAD = {
    "a parameter": (LAYER % ("", "param w[d] = 1 return x"), "a()", ["w"]),
    "a parameter that only an unread value reads": (LAYER % ("", "param w[d] = 1 let u[b, l, i] = w[i] * x[b, l, i] let v[b, l, i] = u[b, l, i] return x"), "a()", ["w", "u", "v"]),
    "a recurrence": (LAYER % ("", "recur h[b, l, i] = 0.5 * h[b, l - 1, i] + x[b, l, i] return x"), "a()", ["h"]),
    "a sum": (LAYER % ("; tokens[b, l]: vocab, vocab: count", "y[tokens[b, l], i] += x[b, l, i] return x"), "a()", ["y"]),
    "an attribute": (LAYER % ("; dead: real = 3", "return x"), "a()", ["dead"]),
    "an attribute of a block": ("block q(z: real = 1, h: width = 4) { ffn(hidden = h) }\n", "q()", ["z"]),
    "names that are read": (LAYER % ("; k: real = 2, on: bool = false",
                                     "param w[d] = 1 let u[b, l, i] = w[i] * x[b, l, i] if on { return y[b, l, i] = k * u[b, l, i] } else { return u }"), "a()", []),
    "a name that says so": (LAYER % ("", "let _u[b, l, i] = x[b, l, i] return x"), "a()", []),
    "an attribute that a line takes by name": ("block q(heads: count = 2) { attention(head_dim = 8) }\n", "q()", []),
    "the width of a block": ("block q(d: width = 32) { ffn(hidden = 8) }\n", "q()", []),
    "a value that only a metric reads": (LAYER % ("", "let u[b, l, i] = x[b, l, i] ^ 2 metric size = (mean[b, l, i] u[b, l, i]) mean return x"), "a()", []),
    "a parameter that only a loss reads": (LAYER % ("", "param w[d] = 1 loss q = sum[i] w[i] ^ 2 return x"), "a()", []),
}


class Declarations(Case):
    def found(self, text):
        """(code, text pointed at) of every diagnostic."""
        path = self.write("a.bfm", text)
        done = bfmc("check", path, "--json")
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return done.returncode, [(d["code"], d) for d in json.loads(done.stdout).get("diagnostics", [])], path

    def place(self, text, diagnostic):
        lines = text.split("\n")
        self.assertIn("line", diagnostic, diagnostic)
        return lines[diagnostic["line"] - 1][diagnostic["column"] - 1:]

    def test_wrong_declarations(self):
        for what, (before, line, behind, code, at) in WRONG.items():
            with self.subTest(what):
                text = "use std.layers\nuse std.recipes\n" + before + MODEL % line + behind
                exit_code, found, _ = self.found(text)
                self.assertEqual(exit_code, 1, what)
                self.assertEqual([c for c, _ in found], [code], f"{what}: {[d['message'] for _, d in found]}")
                self.assertTrue(self.place(text, found[0][1]).startswith(at), f"{what}: points at {self.place(text, found[0][1])!r}, not at {at!r}")

    def test_every_kind_in_every_form(self):
        """Whatever a definition consists of, `check` ends with a verdict about the text."""
        uses = {"layer": ("q()", ""), "norm": ("ffn() norm = q", ""), "router": ("moe(experts = 4, router = q())", ""), "fn": ("ffn(act = q)", ""), "wiring": ("ffn() wiring = q", ""),
                "optimizer": ("ffn()", RECIPE.replace("o(rate = 0.1)", "q(rate = 0.1)")), "schedule": ("ffn()", "recipe r { optimizer = adamw(rate = 0.1) schedule = q() }\n")}
        inputs = ["", "x", "x[b, l, d]", "w[], g[]", "x, f, norm", "x[m, n], y[m, n]", "x[b, l, d], f, norm, z"]
        bodies = ["{ }", "{ return x }", "= x", "{ return x, x }", "{ let x = 2 }", "= 2", "{ return y[b, l, o] = x[b, l, o] where l >= 1 }"]
        ends = set()
        for number, (kind, given, body) in list(enumerate((k, i, b) for k in uses for i in inputs for b in bodies))[::2]:
            line, behind = uses[kind]
            extra = ["", "; k: real = 2", "; segment[b, l] = 0"][number % 3]
            result = ["", " -> [b, l, d]", " -> pairs"][number // 3 % 3]
            text = f"use std.layers\nuse std.routers\nuse std.recipes\n{kind} q({given}{extra}){result} {body}\n" + MODEL % line + behind
            done = bfmc("check", self.write("a.bfm", text))
            ends.add(done.returncode)
            self.assertIn(done.returncode, (0, 1), text + done.stderr)
            self.assertEqual(done.returncode == 1, "error[" in done.stderr, text + done.stderr)
        self.assertEqual(ends, {0, 1})

    def test_nothing_is_trained_with_them(self):
        data = self.pack()
        for what in ("an optimizer without a return", "a wiring with a body", "an optimizer whose form for vectors is wrong"):
            before, line, behind, code, _ = WRONG[what]
            path = self.write("a.bfm", "use std.layers\nuse std.recipes\n" + before + MODEL % line + behind)
            done = self.ok("train", path, data, *(["--recipe", "r"] if behind else ["--recipe", "adamw", "--set", "adamw.context=16"]), "--out", self.path("run"), code=1)
            self.assertIn(code, done.stderr)
            self.assertFalse(os.path.exists(self.path("run")))

    def test_unread_names(self):
        for what, (before, line, names) in UNREAD.items():
            with self.subTest(what):
                text = "use std.layers\n" + before + MODEL % line
                exit_code, found, _ = self.found(text)
                self.assertEqual(exit_code, 0, f"{what}: {found}")
                said = [d["message"].split("`")[1] for c, d in found if c == "W0506"]
                self.assertEqual(sorted(said), sorted(names), what)
                self.assertEqual(len(found), len(names), f"{what}: {[d['message'] for _, d in found]}")

    def test_the_library_and_the_examples_read_what_they_declare(self):
        for folder in (EXAMPLES, os.path.join(SOURCE, "stdlib")):
            for name in sorted(os.listdir(folder)):
                if not name.endswith(".bfm"):
                    continue
                done = bfmc("check", os.path.join(folder, name))
                self.assertNotIn("W0506", done.stderr, name)
                self.assertNotIn("W0507", done.stderr, name)

    def test_a_definition_where_a_constant_is_needed(self):
        """Called as a function of numbers, which it is not: an error wherever constants are computed."""
        own = "norm f(x[n, l, d]) -> [n, l, d] { return y[n, l, o] = x[n, l, o] }\n"
        places = ['check "a" { %s == 1 }', "block k { ffn(hidden = %s) }", "block k { repeat %s { ffn() } }", "model m { vocab = %s context = 4 embed(d = 8) head() }",
                  "block k { at %s { ffn() } }", "layer a(x[b, l, d], k: count = %s) -> [b, l, d] { return y[b, l, o] = k * x[b, l, o] }\nblock k { a() }",
                  "layer a(x[b, l, d]) -> [b, l, d] { param w[%s] = 1\n return y[b, l, o] = w[0] * x[b, l, o] }\nblock k { a() }",
                  "layer a(x[b, l, d]) -> [b, l, d] { require %s == 1\n return x }\nblock k { a() }", "recipe r { optimizer = adamw(rate = 1) batch = %s }",
                  "recipe r { optimizer = adamw(rate = %s) }", "space s { length in 1 .. %s\n ffn * 1 .. 2 { hidden in {8} } }", "space s { length in 1 .. 2\n ffn * 1 .. 2 { hidden in { %s } } }",
                  'fn g(x) = %s\ncheck "a" { g(1) == 1 }']
        for what in ("ffn(1)", "f(1)", "top2(1)", "pre(1)", "adamw(1)", "cosine(1)", "ffn(width = 1)", "ffn(hidden = nothing)", "ffn", "ffn()"):
            for place in places:
                with self.subTest(what=what, place=place):
                    text = "use std.layers\nuse std.routers\nuse std.recipes\n" + own + place % what + "\n"
                    path = self.write("a.bfm", text)
                    names = [":k"] if "block k" in place else [""]
                    for name in names:
                        done = bfmc("check", path + name)
                        self.assertEqual(done.returncode, 1, f"{text}\n{done.stderr[:400]}")
                        self.assertIn("error[E", done.stderr)

    def test_a_model_without_a_loss(self):
        path = self.write("a.bfm", "use std.layers\nuse std.recipes\nmodel m { vocab = 256 context = 32 embed(d = 32) ffn() rms_norm() }\n")
        done = self.ok("check", path)
        self.assertIn("W0507", done.stderr)
        self.assertIn("head()", done.stderr)
        data = self.pack()
        done = self.ok("train", path, data, "--recipe", "adamw", "--set", "adamw.context=16", "--out", self.path("run"), code=1)
        self.assertIn("no loss", done.stderr)
        self.assertFalse(os.path.exists(self.path("run")))


if __name__ == "__main__":
    unittest.main()
