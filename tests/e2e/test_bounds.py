"""Short texts that come to large programs, and texts that are large themselves: each is refused, or done, soon and in little memory."""
import os
import resource
import subprocess
import time
import unittest

import harness

MEMORY = 2 << 30
SECONDS = 10  # generous: the machine may be busy; without the bounds each of these takes minutes or never ends

MODEL = "use std.layers\nmodel m {\n    vocab = 16\n    context = 8\n    embed(d = 8)\n%s\n    head(tied = true)\n}\n"
LAYER = "use std.layers\n%s\nlayer q(x[b, l, d]) -> [b, l, d] {\n%s\n}\nmodel m {\n    vocab = 16\n    context = 8\n    embed(d = 8)\n    q()\n    head(tied = true)\n}\n"


def doubling(count, form="%s * %s + %s", first="x * x + x"):
    """Functions of which each calls the one before several times."""
    lines = ["fn g0(x) = " + first]
    for i in range(1, count):
        call = f"g{i - 1}(x)"
        lines.append(f"fn g{i}(x) = " + form.replace("%s", call))
    return "\n".join(lines)


def squaring(count):
    lines = ["    let a0[b, l, o] = x[b, l, o]"]
    lines += [f"    let a{i}[b, l, o] = a{i - 1}[b, l, o] * a{i - 1}[b, l, o]" for i in range(1, count)]
    return "\n".join(lines) + f"\n    return y[b, l, o] = a{count - 1}[b, l, o]"


def blocks(count):
    lines = ["block b0() { ffn(hidden = 8) }"] + [f"block b{i}() {{ b{i - 1}() b{i - 1}() }}" for i in range(1, count)]
    return "\n".join(lines)


def layers(count):
    lines = ["layer l0(x[b, l, d]) -> [b, l, d] { return y[b, l, o] = x[b, l, o] + 1 }"]
    lines += [f"layer l{i}(x[b, l, d]) -> [b, l, d] {{\n    let p = l{i - 1} as u (x)\n    let q = l{i - 1} as v (p)\n    return q\n}}" for i in range(1, count)]
    return "\n".join(lines)


RETURN = "    return y[b, l, o] = x[b, l, o]"
# name: text, the code that refuses it
BOMBS = {
    "functions": (LAYER % (doubling(20), "    return y[b, l, o] = g19(x[b, l, o])"), "E0701"),
    "functions of constants": (doubling(40, "%s + %s", "x + x") + '\ncheck "c" { g39(1) > 0 }\n', "E0701"),
    "functions in an attribute": (doubling(40, "%s + %s", "x + x") + "\n" + MODEL % "    ffn(hidden = g39(1))", "E0701"),
    "functions in an optimiser": ("use std.optimizers\n" + doubling(40, "%s + %s", "x + x") + "\noptimizer o(w[], g[]; rate: real) { return w - rate * g39(g) }\nrecipe r { optimizer = o(rate = 1) }\n", "E0701"),
    "element-wise chain": (LAYER % ("", squaring(17)), "E0701"),
    "layers in layers": (MODEL.replace("model m", layers(30) + "\nmodel m") % "    l29()", "E0701"),
    "blocks in blocks": (MODEL.replace("model m", blocks(40) + "\nmodel m") % "    b39()", "E0701"),
    "repeat in repeat": (MODEL % ("    " + "repeat 2 { " * 20 + "ffn()" + " }" * 20), "E0701"),
    "a million lines": (MODEL % "    repeat 1000 { repeat 1000 { ffn(hidden = 8) } }", "E0701"),
    "a repetition without lines": (MODEL % ("    " + "repeat 20000 { " * 8 + "}" * 8), "E0701"),
    "a huge repetition": (MODEL % "    repeat 1000000000000000000 { ffn() }", "E0701"),
    "a block of itself": (MODEL.replace("model m", "block b() { b() b() }\nmodel m") % "    b()", "E0701"),
    "statements": (LAYER % ("", "\n".join(f"    param w{i}[d] = 1" for i in range(3000)) + "\n" + RETURN), "E0701"),
    "signs": (LAYER % ("", "    return y[b, l, o] = " + "-" * 100000 + "x[b, l, o]"), "E0106"),
    "terms": (LAYER % ("", RETURN + " + 1" * 100000), "E0106"),
    "axes": (LAYER % ("", "    let a[" + ", ".join(f"k{i} in 0 ..< 1" for i in range(70)) + "] = 1\n" + RETURN), "E0404"),
    "indices": (LAYER % ("", "    return y[b, l, o] = " + "".join(f"(sum[k{i} in 0 ..< 2] " for i in range(30)) + "x[b, l, o]" + "".join(f" * pos(k{i})" for i in range(30)) + ")" * 30), "E0404"),
    "unknown names": (LAYER % ("", "\n".join(f"    let a{i}[b, l, o] = x[b, l, o] + z{i}" for i in range(900)) + "\n" + RETURN), "E0201"),
    "syntax errors": ("\n".join(f"layer f{i}(x[b]) -> [b] {{ return y[b] = }}" for i in range(50000)), "E0110"),
    "bytes that are no text": ("@" * 1000000, "E0101"),
    "a long line": (LAYER % ("", "    let a[b, l, o] = x[b, l, o] + " + "z" * 5000000 + "\n" + RETURN), "E0201"),
    "settings": ("use std.optimizers\nrecipe r {\n    optimizer = adamw(rate = 0.001)\n" + "    batch = 8\n" * 20000 + "}\n", "E0206"),
    "dots": ("use " + ".".join(["a"] * 100000), "E0207"),
    "definitions": ("\n".join(["fn f(x) = x"] * 30000), "E0206"),
}
GOOD = {
    "lines": MODEL % "\n".join(f"    ffn(hidden = {8 + i})" for i in range(2000)),
    "values": "use std.layers\nspace s {\n    ffn * 0 .. 4 { hidden in { %s } }\n}\n" % ", ".join(str(i + 1) for i in range(20000)),
    "comments": "//\n" * 500000 + "fn f(x) = x\n",
    "definitions": "\n".join(f"fn f{i}(x) = x" for i in range(50000)) + "\n",
    "settings": (MODEL % ("\n".join(f"    s{i} = 1" for i in range(10000)))),
    "sets": "use std.layers\nspace s {\n" + "\n".join("    ffn * 0 .. 4 { hidden in { %s } }" % ", ".join(str(i + 1) for i in range(300)) for _ in range(10)) + "\n}\n",
}


class Bounds(harness.Case):
    def soon(self, *args):
        limit = None if os.environ.get("BFM_SANITIZE") == "ON" else lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        begin = time.monotonic()
        done = subprocess.run([harness.BFMC, *args], capture_output=True, text=True, errors="replace", timeout=120, preexec_fn=limit, env={**os.environ, "NO_COLOR": "1"})
        self.assertLess(time.monotonic() - begin, SECONDS, args)
        return done

    def test_refused(self):
        for name, (text, code) in BOMBS.items():
            with self.subTest(name):
                self.write("m.bfm", text)
                done = self.soon("check", self.path("m.bfm"))
                self.assertEqual(done.returncode, 1, done.stderr[-2000:])
                self.assertTrue(done.stderr.startswith(f"error[{code}]"), done.stderr[:500])
                self.assertTrue("m.bfm:" in done.stderr, done.stderr[:500])
                self.assertLess(len(done.stderr), 200000)

    def test_every_verb(self):
        for name in ("functions", "element-wise chain", "repeat in repeat"):
            self.write("m.bfm", BOMBS[name][0])
            for args in (["show"], ["show", "--emit=schedule"], ["doc"], ["train", self.path("none"), "--out", self.path("run")], ["build", "-o", self.path("m.so")],
                         ["grad", "--weights", "w", "--tokens", "t", "--out", self.path("o")]):
                with self.subTest(name, args=args):
                    done = self.soon(args[0], self.path("m.bfm"), *args[1:])
                    self.assertEqual(done.returncode, 1, done.stderr[-2000:])
            self.assertEqual(self.soon("fmt", self.path("m.bfm")).returncode, 0)

    def test_accepted(self):
        for name, text in GOOD.items():
            with self.subTest(name):
                self.write("m.bfm", text)
                done = self.soon("check", self.path("m.bfm"))
                self.assertEqual(done.returncode, 0, done.stderr[-2000:])
                self.assertEqual(self.soon("fmt", self.path("m.bfm")).returncode, 0)

    def checked(self, text, code, megabytes):
        """Large enough that a search per item, or memory kept per item, would never end: neither is timed here."""
        self.write("m.bfm", text)
        limit = None if os.environ.get("BFM_SANITIZE") == "ON" else lambda: resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))
        done = subprocess.run([harness.BFMC, "check", self.path("m.bfm")], capture_output=True, text=True, errors="replace", preexec_fn=limit, env={**os.environ, "NO_COLOR": "1"})
        self.assertEqual(done.returncode, code, done.stderr[-2000:])
        return done

    def test_many_of_a_kind(self):
        count = 80000
        several = lambda form, separator: separator.join(form.replace("#", str(i)) for i in range(count))
        line = lambda text: MODEL % ("    " + text)
        layer = lambda signature: MODEL.replace("model m", "layer f(x[b, l, d]; " + signature + ") -> [b, l, d] { return x }\nmodel m") % "    f()"
        self.checked('check "a" { 1 == 1 }\n' * count, 0, 1000)
        self.checked("\n".join(['check "f" { 1 == 1 }'] * count + ["fn f(x) = x"] * count), 1, 1000)
        done = self.checked(line("ffn(" + several("a# = 1", ", ") + ")"), 1, 1000)
        self.assertIn(f"and {count - 100} more errors", done.stderr)
        done = self.checked(line("ffn(" + several("hidden = 8", ", ") + ")"), 1, 1000)
        self.assertIn(f"and {count - 101} more errors", done.stderr)
        done = self.checked(layer(several("a#: count = 1", ", ")), 0, 1000)
        self.assertIn("nothing reads the attribute `a0`", done.stderr)
        self.checked(layer("k: { " + several("w#", ", ") + " } = w0"), 0, 1000)
        self.checked("use std.optimizers\nrecipe r { optimizer = adamw(" + several("a# = 1", ", ") + ") }\n", 1, 1000)
        self.checked("use std.layers\nspace s {\n    length = 1\n" + several("    a# = 1", "\n") + "\n    ffn { hidden = 8 }\n}\n", 1, 1000)

    def test_memory_of_declarations(self):
        """What checking one declaration takes is freed with it: kept, each of these would take more than a gigabyte."""
        recipe = "recipe r%d { optimizer = adamw(rate = 1) %s }\n"
        use = "use std.layers\nuse std.optimizers\n"
        self.checked(use + "".join(recipe % (i, "") for i in range(8000)), 0, 250)
        self.checked(use + recipe % (0, "\n".join('on "*%d" { rate = 1 }' % i for i in range(8000))), 0, 250)
        self.checked(use + "".join(f"model m{i} {{ vocab = 16 context = 8 embed(d = 8) ffn(hidden = 8) head() }}\n" for i in range(3000)), 0, 250)
        self.checked(use + "".join("space s%d {\n    length in 1 .. 128\n%s\n}\n" % (k, "\n".join("    ffn * 0 .. 128 { hidden in { %d } }" % (i + 1) for i in range(40))) for k in range(8)), 0, 250)

    def test_what_just_fits_is_compiled(self):
        """Below the bound the time grows with the text: shared values are looked at once, not once for each way to them."""
        self.write("m.bfm", LAYER % ("", squaring(11)))
        done = self.soon("show", self.path("m.bfm"), "--emit=schedule")
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])

    def test_chains_across_lines(self):
        """Each line reads the stream twice, element by element: written out, the last would take 2^60 operations."""
        for head in ("norm = none wiring = none", "norm = none"):
            with self.subTest(head):
                layer = "layer q(x[b, l, d]) -> [b, l, d] { return y[b, l, o] = x[b, l, o] * x[b, l, o] }\nblock k() %s { repeat 60 { q() } }\nmodel m" % head
                self.write("m.bfm", MODEL.replace("model m", layer) % "    k()")
                done = self.soon("show", self.path("m.bfm"), "--emit=schedule")
                self.assertEqual(done.returncode, 0, done.stderr[-2000:])
                self.assertLess(len(done.stdout), 200000)

    def test_many_results_and_parameters(self):
        """Each line has metrics and parameters of its own: what every result reads of every parameter would take gigabytes."""
        self.write("m.bfm", MODEL.replace("model m", "use std.routers\nmodel m") % "\n".join(f"    moe(experts = 2, hidden = {8 + i}, router = top1())" for i in range(400)))
        done = self.soon("check", self.path("m.bfm"))
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])

    def test_messages_are_counted(self):
        self.write("m.bfm", LAYER % ("", "\n".join(f"    let a{i}[b, l, o] = x[b, l, o] + z{i}" for i in range(900)) + "\n" + RETURN))
        done = self.soon("check", self.path("m.bfm"))
        self.assertEqual(done.stderr.count("error[E0201]"), 100)
        self.assertIn("and 800 more errors", done.stderr)

    def test_a_long_line_is_cut(self):
        self.write("m.bfm", LAYER % ("", "    let a[b, l, o] = " + "x[b, l, o] + " * 900 + "zz + " + "x[b, l, o] + " * 50 + "1\n" + RETURN))
        done = self.soon("check", self.path("m.bfm"))
        shown = next(line for line in done.stderr.splitlines() if "zz" in line and "|" in line)
        carets = next(line for line in done.stderr.splitlines() if "^^" in line)
        self.assertLess(len(shown), 300)
        self.assertEqual(shown.index("zz"), carets.index("^^"))


if __name__ == "__main__":
    unittest.main()
