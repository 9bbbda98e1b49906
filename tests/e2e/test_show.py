"""Pictures: on a terminal, as SVG, as JSON; of the whole library and of every structure."""
import os
import re
import unicodedata
import unittest
import xml.etree.ElementTree as xml

from harness import SOURCE, Case

MODELS = os.path.join(SOURCE, "stdlib", "models.bfm")
SVG = "{http://www.w3.org/2000/svg}"
STRUCTURE = """use std.layers
use std.routers
block part(d: width = 64) norm = layer_norm {
    parallel { ffn(hidden = 128, act = geglu) | moe(experts = 4, hidden = 128, router = top1(capacity = 1.25)) | low_rank(rank = 4, hidden = 64) }
    at 3/4 {
        attention(heads = 2, head_dim = 24)
        mix: ffn(hidden = 96) wiring = post
    }
}
model m {
    vocab   = 256
    context = 64
    embed(d = 64)
    repeat 2 {
        attention(heads = 2, head_dim = 32, position = relative)
        repeat 3 shared { ffn(hidden = 64) norm = none }
    }
    part()
    project(d = 96)
    repeat 5 { repeat 7 { ffn() } }
    parallel {
        attention(heads = 4, head_dim = 24)
        ffn()
        | attention(heads = 2)
    }
    rms_norm()
    head(tied = false)
}
"""


def columns(line):
    return sum(unicodedata.category(c) != "Mn" for c in line)


class Show(Case):
    def lines(self, *args):
        text = self.ok("show", *args).stdout
        for line in text.splitlines():
            self.assertLessEqual(columns(line), 80, line)
        self.assertNotIn("\033", text)
        return text

    def svg(self, *args):
        """Well-formed, described, and nothing outside the sheet."""
        text = self.ok("show", *args, "--emit", "svg").stdout
        root = xml.fromstring(text)
        self.assertEqual((root.tag, root.get("role")), (SVG + "svg", "img"))
        self.assertEqual(root.get("aria-labelledby"), "title desc")
        self.assertTrue(root.find(SVG + "title").text and root.find(SVG + "desc").text)
        _, _, width, height = map(float, root.get("viewBox").split())
        for rect in root.iter(SVG + "rect"):
            x, y, w, h = (float(rect.get(name, 0)) for name in ("x", "y", "width", "height"))
            self.assertTrue(0 <= x and x + w <= width and 0 <= y and y + h <= height and w > 0 and h > 0, xml.tostring(rect))
            self.assertTrue(rect.get("class") != "paper" or w >= 110, xml.tostring(rect))
        for item in root.iter(SVG + "text"):
            self.assertTrue(0 < float(item.get("x")) <= width and 0 < float(item.get("y")) < height, item.text)
        return root

    def test_library(self):
        with open(MODELS) as file:
            text = file.read()
        names = re.findall(r"^model (\w+)", text, re.M) + [name for name in re.findall(r"^block (\w+)", text, re.M) if name != "residual_moe"]
        self.assertGreater(len(names), 25)
        for name in names:
            drawn = self.lines(f"{MODELS}:{name}")
            self.assertIn(name, drawn.splitlines()[0])
            self.svg(f"{MODELS}:{name}")
        drawn = self.lines(f"{MODELS}:glam_0_1b_32e")
        for says in ("6 × glam_pair", "router top2(capacity = 2)", "experts 32 · hidden 3072", "head_dim 64", "83.2 %   976.9 M", "z_loss 0.0001", "768 wide"):
            self.assertIn(says, drawn)
        self.assertIn("layer ffn", self.lines(os.path.join(SOURCE, "stdlib", "layers.bfm") + ":ffn"))

    def test_structure(self):
        path = self.write("s.bfm", STRUCTURE)
        drawn = self.lines(path)
        for says in ("2 ×", "3 × with the same weights", "5 ×", "7 ×", "part", "parallel", "at 48 wide", "added, 64 wide", "mix: ffn", "norm layer_norm", "wiring post", "norm none", "96 wide"):
            self.assertIn(says, drawn)
        side_by_side = next(line for line in drawn.splitlines() if "low_rank" in line)
        self.assertIn("■ ffn", side_by_side)
        self.assertIn("■ moe", side_by_side)
        texts = "\n".join(item.text for item in self.svg(path).iter(SVG + "text"))
        for says in ("2 ×", "3 ×", "5 ×", "7 ×", "part", "at 48 wide", "mix: ffn", "the same weights each time", "wiring post", "96 wide"):
            self.assertIn(says, texts)
        self.assertIn("parallel", self.lines(path + ":part"))

    def test_nests_of_branches(self):
        """The sheet is as wide as branches within branches need."""
        path = self.write("n.bfm", """use std.layers
block inner() {
    attention(heads = 2, head_dim = 32, qk_norm = true, position = alibi, conv = 3, kv_heads = 1)
    ffn(hidden = 64, act = swiglu)
}
block outer() {
    parallel {
        repeat 2 { ffn(hidden = 64) }
        inner()
        | at 1/2 { ffn(hidden = 32)  inner() }
        | parallel { ffn(hidden = 32) | repeat 3 { ffn(hidden = 64) } | inner() }
    }
}
""")
        root = self.svg(path + ":outer")
        self.assertGreater(float(root.get("width")), 1000)
        self.assertEqual([item.text for item in root.iter(SVG + "text") if item.text and "×" in item.text], ["2 ×", "3 ×"])
        self.lines(path + ":outer")

    def test_json(self):
        picture = self.json("show", self.write("s.bfm", STRUCTURE))["picture"]
        kinds = [child["kind"] for child in picture["children"]]
        self.assertEqual(kinds, ["line", "repeat", "block", "line", "repeat", "parallel", "line", "line"])
        repeat, part, nest = picture["children"][1], picture["children"][2], picture["children"][4]
        self.assertEqual((repeat["count"], repeat["shared"], repeat["children"][1]["shared"]), (2, False, True))
        self.assertEqual((nest["count"], nest["children"][0]["count"], nest["children"][0]["children"][0]["name"]), (5, 7, "ffn"))
        self.assertEqual([len(branch["children"]) for branch in picture["children"][5]["children"]], [2, 1])
        self.assertEqual(part["children"][1]["width"], 48)
        self.assertEqual(nest["parameters"], 35 * (2 * 96 * 384 + 96))
        total = self.json("check", self.path("s.bfm"))["models"][0]["parameters"]["total"]
        norms = 96  # of the parallel, which is no line
        self.assertEqual(sum(child["parameters"] for child in picture["children"]), total)
        self.assertEqual(picture["children"][5]["parameters"] - sum(line["parameters"] for branch in picture["children"][5]["children"] for line in branch["children"]), norms)
        self.assertAlmostEqual(sum(child["share"] for child in picture["children"]), 1)

    def test_colour(self):
        path = self.write("s.bfm", STRUCTURE)
        coloured = self.ok("show", path, "--color", "always").stdout
        self.assertIn("\033[0;1;38;5;", coloured)
        self.assertEqual(re.sub(r"\033\[[0-9;]*m", "", coloured), self.lines(path))
        self.assertNotIn("\033", self.ok("show", path, env={"NO_COLOR": "1"}).stdout)

    def test_files(self):
        path, out = self.write("s.bfm", STRUCTURE), self.path("a.svg")
        self.assertEqual(self.ok("show", path, "-o", out).stdout, "")
        with open(out) as file:
            self.assertEqual(file.read(), self.ok("show", path, "--emit", "svg").stdout)
        self.ok("show", path, "-o", self.path("a.txt"))
        with open(self.path("a.txt")) as file:
            self.assertEqual(file.read(), self.lines(path))
        self.assertEqual(self.json("show", path, "-o", out)["file"], out)
        self.fails(1, "nowhere", "show", path, "-o", self.path("nowhere", "a.svg"))

    def test_errors(self):
        path = self.write("e.bfm", STRUCTURE.replace("heads = 4, head_dim", "heds = 4, head_dim"))
        self.fails(1, ["E0203", "heds"], "show", path)
        self.assertFalse(self.json("show", path, code=1)["ok"])
        self.fails(1, "has no model `q`", "show", path + ":q")

    def test_quotients_are_decimals(self):
        done = self.svg(self.write("f.bfm", STRUCTURE.replace("norm = none", "norm = layer_norm(eps = 1e-3)")))
        self.assertTrue(any("layer_norm(eps = 0.001)" in (item.text or "") for item in done.iter(SVG + "text")))

    def test_picture_of_the_docs(self):
        path = os.path.join(SOURCE, "docs", "brainformer_1.svg")
        made = self.ok("show", f"{MODELS}:brainformer_1_100m_32e", "--emit", "svg").stdout
        if os.environ.get("BFM_UPDATE"):
            with open(path, "w") as file:
                file.write(made)
        with open(path) as file:
            self.assertEqual(file.read(), made, "bfmc show stdlib/models.bfm:brainformer_1_100m_32e -o docs/brainformer_1.svg rewrites it")


if __name__ == "__main__":
    unittest.main()
