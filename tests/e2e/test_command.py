"""Help, usage errors, and what is made from the table of options."""
import os
import subprocess
import unittest

from harness import BFMC, SOURCE, Case, bfmc

VERBS = [line.split('"')[1] for line in open(os.path.join(SOURCE, "compiler", "driver", "options.def")) if line.startswith("VERB(")]


class Command(Case):
    def test_help_of_everything(self):
        self.assertIn("check", self.ok("--help").stdout)
        self.assertIn("0.", self.ok("--version").stdout)
        for verb in VERBS:
            text = self.ok(*verb.split(), "--help").stdout
            self.assertIn(f"bfmc {verb}", text)
            self.assertIn("--help", text)
            self.assertTrue(all(len(line) <= 140 for line in text.splitlines()), verb)
            self.assertEqual(self.ok("help", *verb.split()).stdout, text)

    def test_no_verb_is_usage(self):
        done = bfmc()
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("VERB", done.stderr)

    def test_suggestions(self):
        self.fails(2, ["chek", "did you mean `check`"], "chek")
        self.fails(2, ["--bugdet", "did you mean `--budget`"], "train", "--bugdet", "1m")
        self.fails(2, "no verb", "frobnicate")

    def test_values_of_options(self):
        self.fails(2, ["--batch", "whole number", "`many`"], "check", "F.bfm", "--batch", "many")
        self.fails(2, ["--engine", "interp"], "grad", "F.bfm", "--engine", "gpu")
        self.fails(2, ["--budget", "30m"], "train", "F.bfm", "D", "--budget", "soon")
        self.fails(2, "--weights", "grad", "F.bfm")
        self.fails(2, "needs a value", "check", "F.bfm", "--batch")
        self.fails(2, "takes no value", "check", "F.bfm", "--json=1")

    def test_number_of_arguments(self):
        for verb in VERBS:
            done = bfmc(*verb.split(), *["x"] * 9)
            if "…" not in bfmc(*verb.split(), "--help").stdout.splitlines()[0].split("[OPTION")[0]:
                self.assertEqual(done.returncode, 2, verb)

    def test_completions(self):
        for shell in ("bash", "zsh", "man", "markdown"):
            text = self.ok("completions", shell).stdout
            for verb in VERBS:
                self.assertIn(verb.split()[-1].upper() if shell == "man" else verb.split()[-1], text)
        self.fails(2, "fish", "completions", "fish")
        script = self.write("c.bash", self.ok("completions", "bash").stdout)
        done = subprocess.run(["bash", "-c", f"source {script}; COMP_WORDS=(bfmc tr); COMP_CWORD=1; _bfmc; echo ${{COMPREPLY[*]}}"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout.strip()), (0, "train"), done.stderr)

    def test_every_report_has_diagnostics(self):
        """A list, which is empty where there is nothing to say, after success as after a failure."""
        model = self.write("m.bfm", "use std.layers\nmodel m { vocab = 61 context = 16 embed(d = 32) ffn() head() }\n")
        for verb, code in ((("check", model), 0), (("doctor",), 0), (("explain", "E0101"), 0), (("profile", model, "--steps", 1, "--batch", 1), 0), (("show", "--emit", "ir", model), 0),
                           (("check", self.path("nothing.bfm")), 1), (("eval", self.path("nothing"), self.path("nothing")), 1)):
            report = self.json(*verb, code=code)
            self.assertEqual((report["diagnostics"], report["ok"]), ([], code == 0), verb)

    def test_doctor(self):
        report = self.json("doctor")
        self.assertTrue(report["ok"])
        self.assertGreaterEqual(report["cpus"], 1)
        self.assertIn("version", self.ok("doctor").stdout)

    def test_library_elsewhere(self):
        self.fails(1, "std.layers", "check", os.path.join(SOURCE, "examples", "dense_tiny.bfm"), env={"BFM_STDLIB": self.folder})

    def test_closed_output(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([BFMC, "explain"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 3, done.stderr)


if __name__ == "__main__":
    unittest.main()
