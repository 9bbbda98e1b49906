"""check, fmt, show, explain, grad, data on good and on hostile files: exit code, message, nothing half-written."""
import json
import os
import struct
import unittest

import numpy as np

from harness import EXAMPLES, GOLDEN, SOURCE, TINY, Case, bfmc, read_safetensors, safetensors

CASE = os.path.join(GOLDEN, "dense_rope")


class Models(Case):
    def test_missing_and_unreadable(self):
        self.fails(1, "nothere.bfm", "check", "nothere.bfm")
        self.fails(1, "", "check", self.folder)
        self.fails(1, "no model", "check", self.write("a.bfm", TINY) + ":other")
        self.fails(1, "did you mean `tiny`", "check", self.path("a.bfm") + ":tny")
        self.fails(1, "is a recipe", "show", self.path("a.bfm") + ":quick")
        self.fails(1, "say which", "show", self.write("b.bfm", TINY + TINY[TINY.index("model"):TINY.index("\nrecipe")].replace("tiny", "other")))

    def test_errors_of_the_text(self):
        for change, code in [(("ffn(hidden = 32", "ffn(hiden = 32"), "E0203"), (("ffn(", "fnn("), "E0201"), (("hidden = 32", "hidden = true"), "E0205"),
                             (("embed(d = 16)", "embed(d = 16"), "E01"), (("hidden = 32", "hidden = 99_999_999_999_999"), "E0414"), (("use std.layers", "use std.leyers"), "E0207")]:
            path = self.write("bad.bfm", TINY.replace(*change))
            self.fails(1, code, "check", path)
            report = self.json("check", path, code=1)
            self.assertFalse(report["ok"])
            self.assertTrue(report["diagnostics"][0]["code"].startswith(code), report)

    def test_deep_and_binary_texts(self):
        self.fails(1, "E0106", "check", self.write("deep.bfm", "fn f(x) = " + "(" * 5000 + "x" + ")" * 5000))
        self.fails(1, "E0105", "check", self.write("binary.bfm", bytes(range(256)) * 10))
        self.ok("check", self.write("empty.bfm", ""))

    def test_set(self):
        path = self.write("a.bfm", TINY)
        small, large = (self.json("check", path, "--set", f"tiny.ffn_0.hidden={n}")["models"][0]["parameters"]["total"] for n in (32, 64))
        self.assertEqual(large - small, 2 * 16 * 32)
        self.ok("check", path, "--set", "ffn_0.hidden=64")
        self.fails(1, "nothing.here", "check", path, "--set", "nothing.here=3")
        self.fails(2, "PATH=VALUE", "check", path, "--set", "hidden")
        self.assertIn("--set", self.ok("check", path, "--set", "ffn_0.hidden=)", code=1).stderr)

    def test_check_reports_costs(self):
        report = self.json("check", self.write("a.bfm", TINY))
        self.assertEqual(report["models"][0]["parameters"]["total"], 256 * 16 + 4 * 16 * 16 + 2 * 16 * 32 + 3 * 16)
        self.assertIn("attention_0", self.ok("check", self.path("a.bfm")).stdout)

    def test_show(self):
        path = self.write("a.bfm", TINY)
        self.assertIn("model", self.ok("show", path, "--emit", "ast").stdout)
        json.loads(self.ok("show", path, "--emit", "ast", "--json").stdout)
        self.assertIn("unit", self.ok("show", path, "--emit", "ir").stdout)
        self.assertIn("grad", self.ok("show", path, "--emit", "ir", "--grad").stdout)
        self.assertIn("product", self.ok("show", path, "--emit", "schedule").stdout)
        self.assertIn("define void @bfm_", self.ok("show", path, "--emit", "llvm", "--mode", "eval").stdout)
        self.assertIn(".text", self.ok("show", path, "--emit", "asm", "--mode", "eval").stdout)

    def test_explain(self):
        for line in self.ok("explain").stdout.splitlines():
            self.assertIn(line.split()[0], self.ok("explain", line.split()[0].lower()).stdout)
        self.assertEqual(self.json("explain", "E0201")["code"], "E0201")
        self.fails(1, "E9999", "explain", "E9999")

    def test_fmt(self):
        path = self.write("a.bfm", TINY.replace("embed(d = 16)", "embed( d=16 )"))
        self.assertEqual(self.ok("fmt", "--check", path, code=1).stdout, path + "\n")
        self.ok("fmt", path)
        self.ok("fmt", "--check", path)
        with open(path) as file:
            self.assertEqual(file.read(), TINY)
        bad = self.write("bad.bfm", "model m {\n  vocab=3\n")
        self.fails(1, "E01", "fmt", bad)
        with open(bad) as file:
            self.assertEqual(file.read(), "model m {\n  vocab=3\n")
        self.fails(1, "nothere", "fmt", "nothere.bfm")


class Examples(Case):
    def test_every_example_checks(self):
        for name in sorted(os.listdir(EXAMPLES)):
            if name.endswith(".bfm"):
                self.ok("check", os.path.join(EXAMPLES, name))

    def test_library_is_without_errors(self):
        for name in sorted(os.listdir(os.path.join(SOURCE, "stdlib"))):
            self.ok("check", os.path.join(SOURCE, "stdlib", name), "-q")


class Grad(Case):
    def grad(self, model=None, weights=None, tokens=None, out="g.safetensors", engine="interp"):
        return ("grad", model or os.path.join(CASE, "model.bfm"), "--weights", weights or os.path.join(CASE, "weights.safetensors"), "--tokens",
                tokens or os.path.join(CASE, "tokens.npy"), "--out", self.path(out), "--engine", engine)

    def refused(self, says, **given):
        self.fails(1, says, *self.grad(**given))
        self.assertFalse([name for name in os.listdir(self.folder) if name.startswith("g.safetensors")])

    def test_types_by_engine(self):
        for engine, dtype in (("interp", np.float64), ("jit", np.float32)):
            self.ok(*self.grad(engine=engine))
            tensors = read_safetensors(self.path("g.safetensors"))
            self.assertEqual({tensor.dtype.type for tensor in tensors.values()}, {dtype})
            self.assertEqual(tensors["loss"].shape, ())
            self.assertEqual(tensors["logits"].shape, (2, 24, 61))

    def test_tensors_named(self):
        good = read_safetensors(os.path.join(CASE, "weights.safetensors"))
        without = {k: v for k, v in good.items() if k != "ffn_0.w_in"}
        self.refused("ffn_0.w_in", weights=self.write("w", safetensors(without)))
        self.refused("surplus", weights=self.write("w", safetensors({**good, "surplus": np.zeros(3, np.float32)})))
        self.refused(["ffn_0.w_in", "[32, 96]"], weights=self.write("w", safetensors({**good, "ffn_0.w_in": good["ffn_0.w_in"].T})))

    def test_hostile_safetensors(self):
        with open(os.path.join(CASE, "weights.safetensors"), "rb") as file:
            good = file.read()
        size, = struct.unpack("<Q", good[:8])
        header = json.loads(good[8:8 + size])
        first = next(name for name in header if name != "__metadata__")

        def changed(**entry):
            text = json.dumps({**header, first: {**header[first], **entry}}).encode()
            return struct.pack("<Q", len(text)) + text + good[8 + size:]

        for data in (b"", good[:5], good[:200], good[:-1], struct.pack("<Q", 2 ** 63) + good[8:], struct.pack("<Q", 10) + b"{" * 100000, good[:8] + b"x" * size + good[8 + size:],
                     changed(data_offsets=[0, 2 ** 62]), changed(data_offsets=[-4, 0]), changed(shape=[2 ** 32, 2 ** 32]), changed(dtype="F99"), changed(shape="wide")):
            self.refused("", weights=self.write("w", data))
        self.refused("nothere", weights="nothere")

    def test_hostile_tokens(self):
        np.save(self.path("wide.npy"), np.zeros((2, 40), np.int32))
        self.refused("context", tokens=self.path("wide.npy"))
        np.save(self.path("large.npy"), np.full((2, 25), 61, np.int32))
        self.refused("61", tokens=self.path("large.npy"))
        np.save(self.path("floats.npy"), np.zeros((2, 25)))
        self.refused("", tokens=self.path("floats.npy"))
        np.save(self.path("flat.npy"), np.zeros(25, np.int32))
        self.refused("", tokens=self.path("flat.npy"))
        with open(os.path.join(CASE, "tokens.npy"), "rb") as file:
            good = file.read()
        for data in (b"", good[:20], good[:-3], b"\x93NUMPY\x09\x00" + good[8:], good.replace(b"(2, 25)", b"(9, 99)")):
            self.refused("", tokens=self.write("t.npy", data))

    def test_too_large(self):
        path = self.write("large.bfm", TINY.replace("vocab   = 256", "vocab = 2_000_000_000").replace("embed(d = 16)", "embed(d = 16_000)"))
        done = bfmc(*self.grad(model=path))
        self.assertIn(done.returncode, (1, 3), done.stderr)
        self.assertIn("embed_0.table" if done.returncode == 3 else "E0414", done.stderr)

    def test_unwritable(self):
        self.fails(1, "", *self.grad(out="no/such/folder/g"))


class Data(Case):
    def test_pack_and_show(self):
        data = self.pack()
        self.assertIn("train", self.ok("data", "show", data, "2").stdout)
        report = self.json("data", "show", data, "1")
        self.assertEqual(report["tokenizer"], "byte")
        self.assertEqual(len(report["samples"]), 1)
        self.assertEqual(sum(part["bytes"] for part in report["parts"].values()), 30000)

    def test_refused(self):
        text = self.write("t.txt", "some text\n" * 500)
        self.fails(2, "--out", "data", "pack", text)
        self.fails(1, "nothere", "data", "pack", "nothere", "--out", self.path("d"))
        self.fails(1, "", "data", "pack", self.write("empty", ""), "--out", self.path("d"))
        self.fails(1, "", "data", "pack", text, "--split", "a,b", "--out", self.path("d"))
        self.fails(1, "", "data", "pack", text, "--tokenizer", "letters", "--out", self.path("d"))
        self.fails(1, "", "data", "show", self.folder)
        self.assertFalse(os.path.exists(self.path("d")))

    def test_damaged_tokens(self):
        data = self.pack()
        path = os.path.join(data, "train.tok")
        with open(path, "rb") as file:
            good = file.read()
        for at, damage in ((0, b"X"), (8, b"\x09"), (24, b"\xff" * 8), (300, b"\xff\xff"), (len(good) - 9, b"\x01")):
            with open(path, "wb") as file:
                file.write(good[:at] + damage + good[at + len(damage):])
            self.fails(1, "train.tok", "train", self.write("a.bfm", TINY), data, "--out", self.path("run"))
            self.assertFalse(os.path.exists(self.path("run")))
        with open(path, "wb") as file:
            file.write(good[:1000])
        self.fails(1, "train.tok", "data", "show", data)


if __name__ == "__main__":
    unittest.main()
