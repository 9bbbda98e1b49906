"""What belongs together is checked: data, tokenizer, model, checkpoint and run, in every verb that takes two of them."""
import json
import os
import shutil
import signal
import subprocess
import time
import unittest

from harness import BFMC, EXAMPLES, TINY, Case, bfmc, sentencepiece, steps


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
