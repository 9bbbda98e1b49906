"""Reference pages: those of the library are current and complete, its examples run; a file of one's own gets pages too."""
import os
import re
import unittest

from harness import BFMC, SOURCE, Case, bfmc

LIBRARY = sorted("stdlib/" + name for name in os.listdir(os.path.join(SOURCE, "stdlib")) if name.endswith(".bfm"))

OWN = """use std.layers

/// Adds a learnt bias, `times` over.
///
/// Formula: y = x + times · bias
///
/// - `times`: how often.
///
/// Source: none.
///
/// ```bfm
/// use own
/// block example { shift(times = 3) }
/// ```
layer shift(x[b, l, d]; times: count = 2, mix: bool = false) -> [b, l, d] {
    param bias[times, d] ~ normal(0, 1)
    if mix {
        return y[b, l, o] = x[b, l, o] + (sum[j, k | j <= l] bias[k, o] * x[b, j, o])
    } else {
        return y[b, l, o] = x[b, l, o] + (sum[k] bias[k, o])
    }
}
"""


class Doc(Case):
    def run_in_source(self, *args):
        return bfmc(*args, cwd=SOURCE)

    def test_library_is_complete_and_current(self):
        """Formula, source, every attribute, an example that runs; a page for each file and an index."""
        pages = self.path("library")
        for args in ("doc", *LIBRARY, "-o", pages), ("doc", "--check", *LIBRARY, "-o", pages):
            done = self.run_in_source(*args)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(set(os.listdir(pages)), {os.path.basename(path)[:-4] + ".md" for path in LIBRARY} | {"README.md"})

    def test_costs_of_the_library(self):
        """Expressions that can be worked out by hand."""
        page = self.run_in_source("doc", "stdlib/layers.bfm").stdout
        entries = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", page, re.M | re.S))
        self.assertIn("| parameters | `2·d·hidden` |", entries["ffn"])
        self.assertIn("| FLOPs in products, forward | `4·b·l·d·hidden` |", entries["ffn"])
        self.assertRegex(entries["ffn"], r"act = \w+` \(or any function of two arguments\) \| `\+ d·hidden` \| `\+ 2·b·l·d·hidden` \|")
        self.assertIn("`2·d·head_dim·(heads + kv_heads)`", entries["attention"])
        self.assertIn("| `position = relative` | `+ 32·heads` |", entries["attention"])
        self.assertRegex(entries["attention"], r"`causal = false` \| same \| `\+ 2·b·l·heads·head_dim·\(l − 1\)` \| future")
        self.assertIn("| of those, met by one token | `d·(experts + 4·hidden)` |", entries["moe"])
        self.assertIn("| parameters | `d·vocab` |", entries["embed"])

    def test_own_file(self):
        path = self.write("own.bfm", OWN)
        pages = self.path("pages")
        self.ok("doc", path, "-o", pages)
        with open(os.path.join(pages, "own.md")) as file:
            text = file.read()
        for words in ("# own", "## `shift`", "y = x + times · bias", "| `times` | count | `2` |", "| parameters | `d·times` |", "| `bias` | `[times, d]` | `~ normal(0, 1)` | always |",
                      "token-local", "| `mix = true` | same | `+ ", "**Source** none."):
            self.assertIn(words, text)
        with open(os.path.join(pages, "README.md")) as file:
            self.assertIn("[`shift`](own.md#shift)", file.read())
        self.assertEqual(self.ok("doc", path).stdout, text, "without -o the page goes to standard output")

    def test_no_polynomial(self):
        """What has none is said to have none; what is spread over the positions is a quotient."""
        path = self.write("own.bfm", OWN.replace("param bias[times, d]", "param bias[max(times, 7), d]"))
        text = self.ok("doc", path).stdout
        self.assertRegex(text, r"\| parameters \| 3584 in the example .* no polynomial in the attributes \|")
        taps = """use std.layers
layer taps(x[b, l, d]; n: count = 3) -> [b, l, d] {
    param w[n, d] ~ normal(0, 1)
    return y[b, l, o] = sum[s | s <= l] w[s, o] * x[b, l - s, o]
}
"""
        text = self.ok("doc", self.write("own.bfm", taps)).stdout
        self.assertIn("| parameters | `d·n` |", text)
        self.assertIn("| of those, met by one token | `(d·n·(2·l − n + 1) / 2) / l` |", text)
        self.assertIn("causal: every position sees itself and 2 before it", text)

    def test_what_is_missing(self):
        path = self.write("own.bfm", OWN)
        done = self.ok("doc", "--check", path, code=1)
        self.assertIn("own.bfm:15: layer `shift`: the comment has no entry - `mix`: …", done.stderr)
        complete = OWN.replace("/// Source:", "/// - `mix`: sums over earlier positions too.\n///\n/// Source:")
        self.ok("doc", "--check", self.write("own.bfm", complete))
        for was, now, says in (("Formula: ", "", "Formula"), ("Source: ", "", "Source"), ("```bfm", "```", "no example"), ("times = 3", "time = 3", "no attribute `time`"),
                               ("bias[times, d] ~ normal(0, 1)", "bias[times, d] = 1e300 * 1e300", "not finite"), ("{ shift(times = 3) }", "{ rms_norm() }", "does not use it")):
            self.fails(1, says, "doc", "--check", self.write("own.bfm", complete.replace(was, now)))

    def test_stale_page(self):
        path, pages = self.write("own.bfm", OWN), self.path("pages")
        self.ok("doc", path, "-o", pages)
        self.write("own.bfm", OWN.replace("learnt bias", "bias that is learnt"))
        done = self.ok("doc", "--check", path, "-o", pages, code=1)
        self.assertIn("own.md is not what its file gives now", done.stderr)
        self.fails(1, "cannot", "doc", self.path("absent.bfm"))


if __name__ == "__main__":
    unittest.main()
