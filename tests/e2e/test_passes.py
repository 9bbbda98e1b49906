"""Looking on while passes run: texts between them, times, passes left out, and the search for the one at fault."""
import json
import unittest

from harness import Case, TINY, bfmc


class Passes(Case):
    def setUp(self):
        super().setUp()
        self.write("tiny.bfm", TINY)
        self.file = self.path("tiny.bfm")

    def test_after(self):
        run = bfmc("show", self.file, "--emit=ir", "--after=differentiate")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertTrue(run.stdout.startswith("# after differentiate, the program\n"), run.stdout[:200])
        self.assertTrue("output grad embed_0.table =" in run.stdout, "the derivative is there")
        before = bfmc("show", self.file, "--emit=ir", "--after=lower").stdout
        self.assertFalse("output grad" in before)
        inlined = bfmc("show", self.file, "--emit=ir", "--after=inline").stdout
        self.assertTrue("# after inline, unit attention.1\n" in inlined, [line for line in inlined.splitlines() if line.startswith("#")])
        wrong = bfmc("show", self.file, "--emit=ir", "--after=tidy")
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("there is no pass `tidy`; there are lower, dce,", wrong.stderr)
        wrong = bfmc("show", self.file, "--after=dce")
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("--after goes with --emit=ir", wrong.stderr)

    def test_times_and_verification(self):
        run = bfmc("show", self.file, "--emit=schedule", "--time-passes", "--verify-passes")
        self.assertEqual(run.returncode, 0, run.stderr)
        rows = {line.split()[0]: line.split()[1:] for line in run.stderr.splitlines() if line}
        for name in ("lower", "dce", "cse", "inline", "differentiate", "schedule"):
            self.assertGreater(int(rows[name][0]), 0)
        total = float(rows["all"][0])
        self.assertAlmostEqual(sum(float(row[2]) for name, row in rows.items() if name not in ("pass", "all")), total, delta=0.02 * total + 0.1)

    def test_left_out(self):
        whole = bfmc("show", self.file, "--emit=schedule").stdout
        apart = bfmc("show", self.file, "--emit=schedule", "--without-pass=inline", "--without-pass=raise").stdout
        self.assertGreater(apart.count("\n"), whole.count("\n"))
        wrong = bfmc("show", self.file, "--emit=schedule", "--without-pass=dce")
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("there is no optional pass `dce`", wrong.stderr)

    def test_bisect(self):
        run = bfmc("bisect", self.file, "--json", "--length=5")
        self.assertEqual(run.returncode, 0, run.stderr)
        report = json.loads(run.stdout)
        self.assertEqual(report["verdict"], "agree")
        self.assertLess(report["difference"], 1e-4)
        self.assertGreater(report["passes"], 30)
        strict = bfmc("bisect", self.file, "--tolerance=1e-13")
        self.assertEqual(strict.returncode, 4)
        self.assertIn("without any optional pass", strict.stdout)


if __name__ == "__main__":
    unittest.main()
