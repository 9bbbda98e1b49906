"""What belongs together is checked: data, tokenizer, model, checkpoint and run, in every verb that takes two of them."""
import json
import os
import shutil
import signal
import subprocess
import time
import unittest

import numpy as np

from harness import BFMC, EXAMPLES, TINY, Case, bfmc, safetensors, sentencepiece, steps


class Belonging(Case):
    def setUp(self):
        super().setUp()
        with open(os.path.join(EXAMPLES, "data", "shakespeare.txt")) as file:
            self.text = file.read(40000)
        self.model = self.write("tiny.bfm", TINY)

    def train(self, data, out="run", *more, model=None, code=0):
        return self.ok("train", model or self.model, data, "--out", self.path(out), "-q", *more, code=code)

    def pack_with(self, name, tokenizer, text=None):
        done = bfmc("data", "pack", self.write(name + ".txt", text or self.text), "--tokenizer", tokenizer, "--split", "80,20", "--out", self.path(name), "-q")
        if done.returncode == 3:
            self.skipTest("no SentencePiece")
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.path(name)

    def test_data_of_another_tokenizer(self):
        first, second = self.pack_with("first", "train:300"), self.pack_with("second", "train:300", self.text.upper())
        other, model = self.pack_with("bytes", "byte"), self.write("wide.bfm", TINY.replace("vocab   = 256", "vocab   = 300"))
        self.train(first, model=model)
        run = self.path("run")
        self.ok("eval", run, first)
        own = self.pack_with("own", f"{run}/tokenizer.model", self.text[:9000])  # other text, the run's tokenizer
        self.ok("eval", run, own)
        for data in (second, other):
            for start in (run, f"{run}/ckpt/12"):
                self.fails(1, [data, "300 ids", "--tokenizer", "tokenizer.model"], "eval", start, data)
            for start in (run, f"{run}/ckpt/12", f"{run}/ckpt/12/", f"{run}/ckpt/12/model.safetensors"):
                self.fails(1, [data, "--tokenizer"], "train", model, data, "--init", start, "--out", self.path("next"))
                self.assertFalse(os.path.exists(self.path("next")))
            self.fails(1, "data", "train", model, data, "--out", run, "--resume")
        # Parameters in a file of its own are taken as they are.
        shutil.copy(f"{run}/ckpt/12/model.safetensors", self.path("w.safetensors"))
        self.train(second, "lone", "--init", self.path("w.safetensors"), model=model)
        for number, start in enumerate((run, f"{run}/", f"{run}/ckpt/12", f"{run}/ckpt/12/model.safetensors")):
            self.train(own, f"again{number}", "--init", start, model=model)

    def test_bytes_against_pieces(self):
        self.train(self.pack_with("data", "byte"))
        pieces = [("<unk>", 0, 2)] + [(chr(0x4E00 + i), -1, 1) for i in range(255)]
        data = self.pack_with("other", self.write("of256.model", sentencepiece(pieces)))
        self.fails(1, ["256 ids", "--tokenizer byte"], "eval", self.path("run"), data)

    def test_sizes_of_vocabularies(self):
        data = self.pack_with("data", "byte")
        small, large = (self.write(f"v{n}.bfm", TINY.replace("vocab   = 256", f"vocab   = {n}")) for n in (200, 1000))
        self.fails(1, ["256 ids", "vocab is 200", "at least 256"], "train", small, data, "--out", self.path("run"))
        done = self.ok("train", large, data, "--out", self.path("run"))
        self.assertIn("744 ids of the model never occur", done.stderr)
        self.ok("generate", self.path("run"), "-n", 3)

    def test_what_is_no_data(self):
        text = self.write("t.txt", self.text)
        self.train(self.pack_with("data", "byte"))
        run = self.path("run")
        for what, says in ((text, [text, "data pack"]), (self.path("absent"), ["no such folder", "data pack"]), (self.folder, ["data.json", "data pack"]), (run, ["a run", "data pack"])):
            self.fails(1, says, "train", self.model, what, "--out", self.path("x"))
            self.fails(1, says, "eval", run, what)
            self.fails(1, says, "data", "show", what)
        self.fails(1, "it is a data folder", "eval", self.path("data"), run)
        for what in (self.path("absent"), text, self.path("data")):
            self.fails(1, what, "train", self.model, self.path("data"), "--init", what, "--out", self.path("x"))
        self.assertFalse(os.path.exists(self.path("x")))

    def test_mixed_files_of_data(self):
        data, other = self.pack_with("data", "byte"), self.pack_with("other", "byte", self.text.upper())
        for name in ("train.tok", "valid.tok"):
            copy = shutil.copytree(data, self.path("copy"))
            shutil.copy(os.path.join(other, name), copy)
            self.fails(1, [name, "data.json"], "train", self.model, copy, "--out", self.path("x"))
            shutil.rmtree(copy)
        for name in ("train.tok", "data.json", "tokenizer.json"):
            copy = shutil.copytree(data, self.path("copy"))
            os.truncate(os.path.join(copy, name), os.path.getsize(os.path.join(copy, name)) // 2)
            self.fails(1, name, "data", "show", copy)
            shutil.rmtree(copy)

    def test_mixed_files_of_a_run(self):
        data, other = self.pack_with("data", "byte"), self.pack_with("other", "byte", self.text.upper())
        run, foreign = self.path("run"), self.path("foreign")
        self.train(data)
        self.train(other, "foreign", "--seed", 9)
        newest = steps(run)[-1]

        def refused(change, says):
            copy = shutil.copytree(run, self.path("copy"))
            change(copy)
            for verb in (("eval", copy, data), ("generate", copy, "-n", 3)):
                self.fails(1, says, *verb)
            shutil.rmtree(copy)

        def checkpoint(copy):
            shutil.rmtree(f"{copy}/ckpt/{newest}")
            shutil.copytree(f"{foreign}/ckpt/{newest}", f"{copy}/ckpt/{newest}")

        def parameters(copy):
            for name in os.listdir(f"{copy}/ckpt"):
                shutil.copy(f"{foreign}/ckpt/{newest}/model.safetensors", f"{copy}/ckpt/{name}/")

        def model(copy):
            with open(f"{copy}/model.bfm") as file:
                text = file.read()
            with open(f"{copy}/model.bfm", "w") as file:
                file.write(text.replace("gelu", "relu"))

        def tokenizer(copy):
            with open(f"{copy}/tokenizer.json") as file:
                found = json.load(file)
            with open(f"{copy}/tokenizer.json", "w") as file:
                json.dump({**found, "hash": "0123456789abcdef"}, file)

        refused(checkpoint, [f"ckpt/{newest}", "another run", "data", "seed"])
        refused(parameters, ["model.safetensors", "hash"])
        refused(model, ["model.bfm", "run.json"])
        refused(tokenizer, ["tokenizer.json"])
        refused(lambda copy: shutil.copy(f"{foreign}/run.json", copy), ["another run", "run.json"])

        # A tokenizer that is whole and not the run's.
        pieces = self.pack_with("pieces", self.write("g.model", sentencepiece([("<unk>", 0, 2)] + [(chr(97 + i), -1, 1) for i in range(26)])))

        def whole(copy):
            for name in ("tokenizer.json", "tokenizer.model"):
                shutil.copy(os.path.join(pieces, name), copy)
        refused(whole, ["tokenizer.json", "run.json"])

    def test_a_resume_goes_on_with_what_belongs(self):
        """FILE, DATA, --seed, --freeze and the files of the run's folder, one changed at a time; then none."""
        data, other = self.pack_with("data", "byte"), self.pack_with("other", "byte", self.text.upper())
        pieces = self.pack_with("pieces", self.write("g.model", sentencepiece([("<unk>", 0, 2)] + [(chr(97 + i), -1, 1) for i in range(26)])))
        run = self.path("run")
        self.train(data, "run", "--budget", "4step", "--freeze", "embed_0.*")
        self.train(other, "foreign", "--budget", "4step", "--seed", 3)

        def resume(path, *more, model=None, data=data, freeze=("--freeze", "embed_0.*")):
            return ("train", model or self.model, data, "--out", path, "--resume", "--budget", "6step", *freeze, *more)

        for says, args in (("another model", {"model": self.write("relu.bfm", TINY.replace("gelu", "relu"))}), ("another recipe", {"model": self.write("fast.bfm", TINY.replace("0.003", "0.004"))}),
                           ("another data", {"data": other}), ("another data", {"data": pieces}), (["--freeze 'embed_0.*'", "--init"], {"freeze": ()}),
                           ("--freeze 'embed_0.*'", {"freeze": ("--freeze", "ffn_0.*", "--freeze", "embed_0.*")})):
            self.fails(1, says, *resume(run, **args))
        self.fails(1, "another seed", *resume(run, "--seed", 2))

        def changed(name, change):
            copy = shutil.copytree(run, self.path("copy"))
            change(os.path.join(copy, name))
            self.fails(1, [name, "run.json"], *resume(copy))
            shutil.rmtree(copy)

        def rewritten(before, after):
            def change(path):
                with open(path) as file:
                    text = file.read()
                self.assertIn(before, text)
                with open(path, "w") as file:
                    file.write(text.replace(before, after))
            return change

        changed("model.bfm", rewritten("gelu", "relu"))
        changed("run.json", rewritten('"seed": 1', '"seed": 7'))
        changed("run.json", lambda path: shutil.copy(self.path("foreign", "run.json"), path))
        changed("tokenizer.json", lambda path: [shutil.copy(os.path.join(pieces, name), os.path.dirname(path)) for name in ("tokenizer.json", "tokenizer.model")])
        self.assertIn("has no part", self.ok(*resume(run, "--init", self.path("foreign"))).stderr)
        self.assertEqual(steps(run)[-1], 6)

    def test_weights_of_another_model(self):
        """--init and --weights against the model: a parameter that lacks, one too many, another shape."""
        data = self.pack_with("data", "byte")
        self.train(data, "run", "--budget", "1step")
        start = self.path("run", "ckpt", "1", "model.safetensors")
        np.save(self.path("t.npy"), np.zeros((1, 9), np.int32))
        for name, before, after, says in (("less", "    ffn(hidden = 32, act = gelu)\n", "", "ffn_0."), ("more", "    rms_norm()\n", "    ffn(hidden = 32, act = gelu)\n    rms_norm()\n", "ffn_1."),
                                          ("wide", "hidden = 32", "hidden = 48", ["ffn_0.w", "48", "32"]), ("vocab", "vocab   = 256", "vocab   = 300", ["embed_0.table", "300", "256"])):
            other = self.write(name + ".bfm", TINY.replace(before, after))
            for source in (self.path("run"), self.path("run", "ckpt", "1"), start):
                self.fails(1, says, "train", other, data, "--init", source, "--out", self.path("x"))
            self.fails(1, says, "grad", other, "--weights", start, "--tokens", self.path("t.npy"), "--out", self.path("g"))
        self.assertFalse(os.path.exists(self.path("x")))
        self.ok("grad", self.model, "--weights", start, "--tokens", self.path("t.npy"), "--out", self.path("g"))

    def test_tokens_and_recipe_of_another_model(self):
        data = self.pack_with("data", "byte")
        self.train(data, "run", "--budget", "1step")
        start = self.path("run", "ckpt", "1", "model.safetensors")
        for name, tokens, says in (("large", np.full((1, 9), 256, np.int32), "256"), ("long", np.zeros((1, 18), np.int32), ["17 inputs", "16"])):
            np.save(self.path(name + ".npy"), tokens)
            self.fails(1, says, "grad", self.model, "--weights", start, "--tokens", self.path(name + ".npy"), "--out", self.path("g"))
        self.fails(1, "32", "train", self.model, data, "--out", self.path("x"), "--set", "quick.context=32")
        for verb in (("train", self.model, data, "--out", self.path("x")), ("build", self.model, "-o", self.path("x.so")), ("profile", self.model)):
            self.fails(1, "no recipe `absent`", *verb, "--recipe", "absent")
        self.fails(1, "nothing.*", "train", self.model, data, "--out", self.path("x"), "--freeze", "nothing.*")
        self.assertFalse(os.path.exists(self.path("x")))

    def test_weights_and_gradients(self):
        """update: the same names, the same shapes behind the axis of steps."""
        def tensors(name, **values):
            return self.write(name, safetensors({key: np.asarray(value, np.float32) for key, value in values.items()}))
        weights = tensors("w", a=np.ones((2, 3)), b=np.ones(4))
        for says, gradients in (("b", tensors("g0", a=np.ones((5, 2, 3)))), ("c", tensors("g1", a=np.ones((5, 2, 3)), b=np.ones((5, 4)), c=np.ones((5, 1)))),
                                (["`b`", "4"], tensors("g2", a=np.ones((5, 2, 3)), b=np.ones((5, 3)))), ("a", tensors("g3", a=np.ones((2, 3)), b=np.ones((5, 4))))):
            self.fails(1, [gradients] + ([says] if isinstance(says, str) else []), "update", self.model, "--recipe", "quick", "--weights", weights, "--gradients", gradients, "--out", self.path("o"))
        self.ok("update", self.model, "--recipe", "quick", "--weights", weights, "--gradients", tensors("g", a=np.ones((5, 2, 3)), b=np.ones((5, 4))), "--out", self.path("o"))

    def test_a_damaged_checkpoint(self):
        data = self.pack_with("data", "byte")
        self.train(data, "run", "--checkpoint-every", 6)
        run = self.path("run")
        newest = steps(run)[-1]
        os.truncate(f"{run}/ckpt/{newest}/model.safetensors", 1000)
        for verb in (("eval", run, data), ("generate", run, "-n", 3)):
            done = self.ok(*verb)
            self.assertIn("1 newer checkpoint is damaged; this is step 6", done.stderr)
            self.assertEqual(self.json(*verb)["step"], 6)
        self.fails(1, f"{newest}/model.safetensors", "eval", f"{run}/ckpt/{newest}", data)
        done = self.ok("train", self.model, data, "--init", run, "--out", self.path("next"))
        self.assertIn("step 6", done.stderr)

    def test_data_that_a_run_needs_stay(self):
        data, run = self.pack_with("data", "byte"), self.path("run")
        self.train(data, "run", "--budget", "2step", code=0)
        before = {name: os.stat(os.path.join(data, name)).st_mtime_ns for name in os.listdir(data)}
        pack = ("data", "pack", self.write("new.txt", self.text[:9000]), "--split", "90,10", "--out", data)
        self.fails(1, [data, run, "--replace"], *pack)
        self.assertEqual(before, {name: os.stat(os.path.join(data, name)).st_mtime_ns for name in os.listdir(data)})
        self.train(data, "run", "--resume")
        self.ok(*pack, "--replace")
        self.ok(*pack)  # no run has seen the new data
        self.fails(1, "lies in the folder", "data", "pack", os.path.join(data, "tokenizer.json"), "--out", data)
        self.fails(1, "would replace", "data", "pack", self.path("new.txt"), "--out", self.path("new.txt"))
        self.fails(1, "new.txt", "data", "pack", self.path("new.txt"), "--out", self.folder)

    def test_packs_at_once_into_one_folder(self):
        """Each fills a folder of its own, or says that another fills it: what stands there is whole, and of one of them."""
        texts = [self.write(f"{n}.txt", (self.text + f"\nby {n}\n") * 60) for n in range(4)]
        whole = []
        for n, text in enumerate(texts):
            self.ok("data", "pack", text, "--out", self.path(f"alone{n}"), "-q")
            whole.append(self.json("data", "show", self.path(f"alone{n}"))["hash"])
        for _ in range(3):
            begun = [subprocess.Popen([BFMC, "data", "pack", text, "--out", self.path("one"), "-q"], stderr=subprocess.PIPE, text=True) for text in texts]
            ended = [(process.communicate(timeout=60)[1], process.returncode) for process in begun]
            self.assertIn(0, [code for _, code in ended])
            for said, code in ended:
                self.assertIn(code, (0, 3), said)
                if code:
                    self.assertIn("another process is writing this folder", said)
            self.assertIn(self.json("data", "show", self.path("one"))["hash"], whole)
            self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("one.")], [])

    def test_what_a_killed_pack_left(self):
        text = self.write("t.txt", self.text)
        os.mkdir(self.path("d.tmp"))
        self.write("d.tmp/train.tok", b"half")
        self.write("d.tmp/data.json.tmp.123.0", b"half")
        self.ok("data", "pack", text, "--out", self.path("d"), "-q")
        self.assertFalse(os.path.exists(self.path("d.tmp")))
        self.ok("data", "show", self.path("d"))
        os.mkdir(self.path("d.tmp"))
        self.write("d.tmp/letter.txt", "not ours")
        self.fails(1, "letter.txt", "data", "pack", text, "--out", self.path("d"), "-q")
        self.assertTrue(os.path.exists(self.path("d.tmp", "letter.txt")))

    def test_memory_of_a_long_document(self):
        """A document of any length is encoded in blocks: a line end begins no piece but its own."""
        model = os.path.join(self.pack_with("small", "train:400", self.text[:20000]), "tokenizer.model")
        for name, text in (("lines", self.text), ("line", self.text.replace("\n", " "))):
            long = self.write(name, text * 40)
            done = subprocess.run(["sh", "-c", 'exec /usr/bin/env python3 -c "$0" "$@"',
                                   "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)",
                                   BFMC, "data", "pack", long, "--tokenizer", model, "--split", "100", "--document-separator", "@@", "--out", self.path("long." + name), "-q"],
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            if os.environ.get("BFM_SANITIZE") != "ON":
                self.assertLess(int(done.stdout), 180 << 10)  # 160 bytes for each byte of text would be 256 MB more
            self.assertEqual(self.json("data", "show", self.path("long." + name))["parts"]["train"]["lost"]["documents"], 0)

    def test_a_stopped_pack(self):
        text = self.write("long.txt", self.text * 400)
        with subprocess.Popen([BFMC, "data", "pack", text, "--out", self.path("long")], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            for _ in range(1000):
                if os.path.exists(self.path("long.tmp")) or process.poll() is not None:
                    break
                time.sleep(0.002)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        self.assertIn(process.returncode, (0, 75))
        self.assertEqual(os.path.exists(self.path("long")), process.returncode == 0)
        self.assertFalse(os.path.exists(self.path("long.tmp")))


if __name__ == "__main__":
    unittest.main()
