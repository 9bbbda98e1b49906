#!/usr/bin/python3
"""The systematic cases themselves: is every definition of the library among them, with every attribute and choice? Are draws fair?"""
import unittest
from unittest import mock

import numpy as np

import draws
import grid
import library


class Text:
    """In a case's place where only its model is looked at."""

    def __init__(self, text):
        self.text = text

    def aim(self, seed):
        return self


class Coverage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with mock.patch.object(grid, "built", lambda family, texts, **how: [Text(text) for _, text, *_ in texts]):
            cls.models = [case.text for make in grid.FAMILIES.values() for case in make()]

    def test_every_definition_has_a_case(self):
        self.assertEqual(library.uncovered(library.text_of(), self.models), [])

    def test_a_new_definition_is_missed(self):
        for new in ("layer fresh(x[b, l, d]; hidden: width) -> [b, l, d] { return x }", "router fresh(x[g, t, d]; experts: count) -> pairs { }", "norm fresh(x[n, l, d]) -> [n, l, d] { }",
                    "fn fresh(x) = x", "wiring fresh(x, f, norm) = f(x)"):
            self.assertIn(f"{new.split()[0]} fresh", library.uncovered(library.text_of() + "\n" + new + "\n", self.models))

    def test_a_new_attribute_or_choice_is_missed(self):
        text = library.text_of().replace("layer ffn(x[b, l, d]; ", "layer ffn(x[b, l, d]; bias: bool = false, mood: { calm, wild } = calm, ")
        self.assertEqual(library.uncovered(text, self.models), ["layer ffn: bias = true", "layer ffn: bias = false", "layer ffn: mood = calm", "layer ffn: mood = wild"])


class Covering(unittest.TestCase):
    def test_all_pairs_and_all_of_what_is_full(self):
        options = {"a": [1, 2, 3], "b": [1, 2], "c": [1, 2, 3, 4], "d": [1, 2, 3]}
        rows = grid.covering(1, options, full=("a", "c"))
        self.assertEqual({(r["a"], r["c"]) for r in rows}, {(x, y) for x in options["a"] for y in options["c"]})
        for p in options:
            for q in options:
                if p < q:
                    self.assertEqual({(r[p], r[q]) for r in rows}, {(x, y) for x in options[p] for y in options[q]})


class Draws(unittest.TestCase):
    """That engines draw the same numbers as these is what the family `sampled` checks; here, that these are uniform and do not repeat."""

    def test_uniform(self):
        u = draws.uniform(7, "moe_0.router", "expert", 3, (100, 1000))
        counts = np.histogram(u, 20, (0, 1))[0]
        self.assertLess(((counts - 5000) ** 2 / 5000).sum(), 50)  # chi squared, 19 degrees: beyond this once in 10,000
        self.assertLess(abs(np.corrcoef(u[:, :-1].ravel(), u[:, 1:].ravel())[0, 1]), 0.015)

    def test_dropout_keeps_its_share_and_its_mean(self):
        keep = draws.uniform(1, "dropout_0", "keep", 0, (300, 300)) >= 0.3
        self.assertLess(abs(keep.mean() - 0.7), 4 * (0.21 / 90000) ** 0.5)

    def test_seed_step_path_and_name_all_matter(self):
        base = (7, "moe_0.router", "expert", 3)
        first = draws.uniform(*base, (50,))
        for at, other in enumerate((8, "moe_1.router", "second", 4)):
            changed = draws.uniform(*[other if i == at else x for i, x in enumerate(base)], (50,))
            self.assertFalse((first == changed).any())


if __name__ == "__main__":
    unittest.main()
