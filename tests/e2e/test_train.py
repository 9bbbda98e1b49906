"""Training: the same bits for any number of threads, after a kill and a resume; signals, budgets, refusals, bad numbers."""
import json
import os
import signal
import subprocess
import time
import unittest

from harness import BFMC, EXAMPLES, TINY, Case, checkpoint_files, log, read_safetensors, same_files, steps


class Train(Case):
    def setUp(self):
        super().setUp()
        self.data = self.pack()
        self.model = self.write("a.bfm", TINY)

    def train(self, run, *options, code=0, model=None, **kwargs):
        return self.ok("train", model or self.model, self.data, "--out", self.path(run), *options, code=code, **kwargs)

    def same(self, a, b, step):
        for x, y in zip(checkpoint_files(self.path(a), step), checkpoint_files(self.path(b), step)):
            self.assertTrue(same_files(x, y), f"{x} {y}")

    def test_run_folder(self):
        self.train("run")
        self.assertEqual(sorted(os.listdir(self.path("run"))), ["ckpt", "eval.jsonl", "log.jsonl", "metrics.jsonl", "model.bfm", "run.json", "tokenizer.json"])
        self.assertEqual([record["step"] for record in log(self.path("run"))], list(range(1, 13)))
        self.assertIn("bits_per_byte", log(self.path("run"), "eval.jsonl")[-1])
        self.assertLess(log(self.path("run"))[-1]["loss"], log(self.path("run"))[0]["loss"])
        with open(self.path("run", "run.json")) as file:
            self.assertEqual(json.load(file)["schema"], "bfm.run/1")
        self.ok("check", self.path("run", "model.bfm"))
        self.fails(1, "--resume", "train", self.model, self.data, "--out", self.path("run"))

    def test_interpreter_agrees(self):
        self.train("jit", "--budget", "3step")
        self.train("interp", "--budget", "3step", "--engine", "interp", "--eval-tokens", "64")
        for a, b in zip(log(self.path("jit")), log(self.path("interp"))):
            self.assertAlmostEqual(a["loss"], b["loss"], delta=1e-4 * abs(b["loss"]))

    def test_threads(self):
        for threads in (1, 2, 3):
            self.train(f"t{threads}", "--threads", threads)
        self.same("t1", "t2", 12)
        self.same("t1", "t3", 12)

    def test_resume_to_the_same_bits(self):
        self.train("whole")
        self.train("parts", "--budget", "5step")
        self.train("parts", "--resume")
        self.same("whole", "parts", 12)
        self.assertEqual([record["step"] for record in log(self.path("parts"))], list(range(1, 13)))

    def test_killed(self):
        model = self.write("long.bfm", TINY.replace("steps     = 12", "steps     = 200"))
        self.train("whole", model=model)
        process = subprocess.Popen([BFMC, "train", model, self.data, "--out", self.path("killed"), "--checkpoint-every", "20", "-q"])
        deadline = time.time() + 60
        while process.poll() is None and time.time() < deadline:
            if os.path.isdir(self.path("killed", "ckpt")) and steps(self.path("killed")) and steps(self.path("killed"))[-1] >= 40:
                process.kill()
            time.sleep(0.005)
        process.wait()
        self.train("killed", "--resume", model=model)
        self.same("whole", "killed", 200)
        self.assertEqual(len(log(self.path("killed"))), 200)

    def test_signals(self):
        model = self.write("long.bfm", TINY.replace("steps     = 12", "steps     = 1_000_000"))
        for number in (signal.SIGINT, signal.SIGTERM):
            run = self.path(f"signal{int(number)}")
            process = subprocess.Popen([BFMC, "train", model, self.data, "--out", run, "-q"])
            deadline = time.time() + 60
            while time.time() < deadline and not (os.path.exists(os.path.join(run, "log.jsonl")) and os.path.getsize(os.path.join(run, "log.jsonl"))):
                time.sleep(0.01)
            process.send_signal(number)
            self.assertEqual(process.wait(60), 75)
            self.assertEqual(steps(run)[-1], log(run)[-1]["step"])

    def test_budgets(self):
        report = json.loads(self.train("a", "--budget", "4step", "--json").stdout)
        self.assertEqual((report["step"], report["stopped"]), (4, "budget"))
        report = json.loads(self.train("b", "--budget", "0.0001Mtok", "--json").stdout)
        self.assertEqual(report["tokens"], 128)
        report = json.loads(self.train("c", "--budget", "1h", "--json").stdout)
        self.assertEqual((report["step"], report["stopped"]), (12, "steps"))

    def test_changed_resume_is_refused(self):
        self.train("run", "--budget", "2step")
        refused = ("train", self.model, self.data, "--out", self.path("run"), "--resume")
        self.fails(1, ["model", "hidden = 32", "hidden = 64"], *refused, "--set", "ffn_0.hidden=64")
        self.fails(1, "recipe", *refused, "--set", "quick.clip_norm=2")
        self.fails(1, "seed", *refused, "--seed", "9")
        with open(os.path.join(EXAMPLES, "data", "shakespeare.txt")) as file:
            other = self.pack(file.read(60000)[30000:], "other")
        self.fails(1, "data", "train", self.model, other, "--out", self.path("run"), "--resume")
        self.write("a.bfm", "// a comment changes nothing\n" + TINY)
        self.train("run", "--resume", "--budget", "4step")
        with open(self.path("run", "model.bfm")) as file:
            self.assertIn("position = rope", file.read())  # a default, written out
        self.train("run", "--resume", model=self.path("run", "model.bfm"))  # the run holds all that it needs
        self.train("whole")
        self.same("whole", "run", 12)

    def test_bad_numbers_keep_the_last_checkpoint(self):
        model = self.write("bad.bfm", TINY.replace("adamw(rate = 0.003)", "sgd(rate = 1e30)").replace("    clip_norm = 1\n", ""))
        done = self.fails(1, ["not finite", "checkpoint"], "train", model, self.data, "--out", self.path("run"), "-q")
        self.assertRegex(done.stderr, r"`[a-z_0-9]+` \(.*bad\.bfm:\d+\) gives a number that is not finite")
        self.assertEqual(steps(self.path("run")), [0])
        self.ok("eval", self.path("run"), self.data)

    def test_recipes(self):
        for name, text in (("adafactor", "adafactor(rate = 0.01, decay = power, scale_parameter = true)"), ("momentum", "adafactor(rate = 0.01, beta1 = 0.9)"),
                           ("sgd", "sgd(rate = 0.1, momentum = 0.9)"), ("lion", "lion(rate = 0.0003)")):
            self.train(name, model=self.write(name + ".bfm", TINY.replace("adamw(rate = 0.003)", text)))
            self.assertLess(log(self.path(name))[-1]["loss"], log(self.path(name))[0]["loss"])
        self.fails(1, ["E0203", "did you mean `batch`"], "train", self.write("x.bfm", TINY.replace("    batch  ", "    bach   ")), self.data, "--out", self.path("x"))
        self.fails(1, "E0205", "train", self.write("x.bfm", TINY.replace("batch     = 2", "batch = 0.5")), self.data, "--out", self.path("x"))
        self.fails(1, "E0201", "train", self.write("x.bfm", TINY.replace("adamw(", "adamv(")), self.data, "--out", self.path("x"))
        self.fails(1, "did you mean `quick`", "train", self.model, self.data, "--recipe", "quik", "--out", self.path("x"))
        self.assertFalse(os.path.exists(self.path("x")))

    def test_accumulation_is_the_larger_batch(self):
        self.train("whole", "--set", "quick.batch=4", "--budget", "1step")
        self.train("parts", "--set", "quick.accumulate=2", "--budget", "1step")
        self.assertEqual(log(self.path("parts"))[0]["tokens"], log(self.path("whole"))[0]["tokens"])

    def test_frozen_parameters_stay(self):
        self.train("run", "--freeze", "embed_0.*", "--budget", "2step")
        before, after = (read_safetensors(checkpoint_files(self.path("run"), step)[0]) for step in (0, 2))
        self.assertTrue((before["embed_0.table"] == after["embed_0.table"]).all())
        self.assertFalse((before["ffn_0.w_in"] == after["ffn_0.w_in"]).all())
        self.train("next", "--init", self.path("run", "ckpt", "2"), "--budget", "1step")
        begun = read_safetensors(checkpoint_files(self.path("next"), 0)[0])
        self.assertTrue(all((begun[name] == after[name]).all() for name in after))

    def test_refused_data(self):
        self.fails(1, "vocab", "train", self.write("v.bfm", TINY.replace("256", "61")), self.data, "--out", self.path("x"))
        self.fails(1, "context", "train", self.write("v.bfm", TINY.replace("    context   = 16", "    context   = 64")), self.data, "--out", self.path("x"))
        self.fails(1, "", "train", self.model, self.folder, "--out", self.path("x"))
        self.assertFalse(os.path.exists(self.path("x")))


if __name__ == "__main__":
    unittest.main()
