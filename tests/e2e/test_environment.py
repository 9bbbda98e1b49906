"""What surrounds the command: libraries and caches that others could have put there, processes beside it, streams, signals, limits."""
import glob
import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import time
import unittest

import harness

ROOT = os.path.dirname(os.path.abspath(harness.BFMC))
SANITIZE = os.environ.get("BFM_SANITIZE") == "ON"


def dynamic(path):
    return subprocess.run(["readelf", "-d", "-W", path], capture_output=True, text=True, check=True).stdout


class Installed(harness.Case):
    def hardened(self, path):
        text = dynamic(path)
        for entry in re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", text):
            for folder in entry.split(":"):
                self.assertTrue(folder.startswith("/") or folder.startswith("$ORIGIN"), f"{path}: search path {entry!r}")
        self.assertRegex(text, r"BIND_NOW|Flags:.*NOW", path)
        headers = subprocess.run(["readelf", "-l", "-W", path], capture_output=True, text=True, check=True).stdout
        self.assertIn("GNU_RELRO", headers, path)
        self.assertRegex(headers, r"GNU_STACK.* RW +0x", path)

    def test_search_paths_and_hardening(self):
        self.write("m.bfm", harness.TINY)
        done = harness.bfmc("build", self.path("m.bfm"), "--recipe", "quick", "-o", self.path("m.so"))
        self.assertEqual(done.returncode, 0, done.stderr)
        files = [harness.BFMC, self.path("m.so")] + glob.glob(os.path.join(ROOT, "libbfm*.so*"))
        self.assertGreater(len(files), 2)
        for file in files:
            with self.subTest(file):
                self.hardened(file)
        self.assertIn("PIE", dynamic(harness.BFMC))
        for file in [] if SANITIZE else [harness.BFMC] + [file for file in glob.glob(os.path.join(ROOT, "libbfm*.so*")) if "openblas" not in file]: # that one holds no array to protect
            with self.subTest(file):
                symbols = subprocess.run(["readelf", "-s", "-W", "--dyn-syms", file], capture_output=True, text=True, check=True).stdout
                self.assertIn("__stack_chk_fail", symbols)
                self.assertRegex(symbols, r"__\w+_chk")

    @unittest.skipUnless(shutil.which("cc"), "no compiler")
    def test_no_library_of_the_working_folder(self):
        self.write("e.c", '#include <unistd.h>\n__attribute__((constructor)) static void f(void) { write(2, "LOADED\\n", 7); _exit(99); }\n')
        for name in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic(harness.BFMC)):
            if name.startswith(("libc.", "libm.", "ld-", "libasan", "libubsan")):
                continue
            subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", self.path(name), self.path("e.c")], check=True)
        for plugin in ("libbfm_sentencepiece.so", "libbfm_openblas.so", "libopenblas.so.0"):
            subprocess.run(["cc", "-shared", "-fPIC", "-o", self.path(plugin), self.path("e.c")], check=True)
        done = harness.bfmc("doctor", cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("LOADED", done.stderr)


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Cache(harness.Case):
    def built(self, cache):
        self.write("m.bfm", harness.TINY)
        return harness.bfmc("build", self.path("m.bfm"), "--recipe", "quick", "-o", self.path("m.so"), env={"BFM_CACHE_DIR": cache})

    def test_made_for_the_user_alone(self):
        old = os.umask(0)
        self.addCleanup(os.umask, old)
        done = self.built(self.path("cache"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("warning", done.stderr)
        self.assertEqual(stat.S_IMODE(os.stat(self.path("cache")).st_mode), 0o700)
        for entry in os.scandir(self.path("cache")):
            self.assertEqual(stat.S_IMODE(entry.stat().st_mode), 0o600)

    def test_not_used_where_others_write(self):
        os.mkdir(self.path("real"), 0o700)
        os.mkdir(self.path("open"))
        os.chmod(self.path("open"), 0o777)
        os.symlink(self.path("real"), self.path("link"))
        for name, reason in (("open", "other users can write to it"), ("link", "symbolic link")):
            done = self.built(self.path(name))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(reason, done.stderr)
            self.assertEqual(os.listdir(self.path(name)), [])

    def test_damaged_objects_are_made_again(self):
        good = self.built(self.path("cache"))
        self.assertEqual(good.returncode, 0, good.stderr)
        objects = sorted(glob.glob(self.path("cache", "*.o")))
        before = [read(path) for path in objects]
        for i, path in enumerate(objects):
            data = bytearray(before[i])
            if i % 3 == 0:
                data = data[: len(data) // 2]
            elif i % 3 == 1:
                data[len(data) // 2] ^= 0x40
            else:
                data = bytearray(before[(i + 1) % len(before)])  # a good object under another's name
            with open(path, "wb") as file:
                file.write(data)
        done = self.built(self.path("cache"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([read(path) for path in objects], before)


    def test_another_object_under_the_same_name(self):
        """Whole objects, each under the name of the next: the texts in front of an object say whose it is."""
        self.assertEqual(self.built(self.path("cache")).returncode, 0)
        objects = sorted(glob.glob(self.path("cache", "*.o")))
        before = [read(path) for path in objects]
        self.assertGreater(len(set(before)), 3)
        self.assertTrue(all(len(os.path.basename(path)) == 32 + 2 for path in objects))
        for path, data in zip(objects, before[1:] + before[:1]):
            with open(path, "wb") as file:
                file.write(data)
        self.assertEqual(self.built(self.path("cache")).returncode, 0)
        self.assertEqual([read(path) for path in objects], before)

    def test_foreign_entries_are_left_alone(self):
        self.assertEqual(self.built(self.path("cache")).returncode, 0)
        objects = sorted(glob.glob(self.path("cache", "*.o")))
        victim = self.write("victim", b"not an object")
        for i, path in enumerate(objects[:3]):
            os.remove(path)
            if i == 0:
                os.symlink(victim, path)
            elif i == 1:
                os.mkfifo(path)
            else:
                os.mkdir(path)
        self.assertEqual(self.built(self.path("cache")).returncode, 0)
        self.assertEqual(read(victim), b"not an object")
        self.assertTrue(stat.S_ISREG(os.lstat(objects[0]).st_mode))

    def test_a_folder_that_others_read_is_closed(self):
        for mode in (0o755, 0o750, 0o711):
            os.makedirs(self.path("cache"), exist_ok=True)
            os.chmod(self.path("cache"), mode)
            done = self.built(self.path("cache"))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("warning", done.stderr)
            self.assertEqual(stat.S_IMODE(os.stat(self.path("cache")).st_mode), 0o700)

    @unittest.skipIf(os.geteuid() != 0, "only the superuser gives a folder away")
    def test_a_folder_of_another_user(self):
        os.mkdir(self.path("cache"), 0o700)
        os.chown(self.path("cache"), 12345, 12345)
        done = self.built(self.path("cache"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("belongs to another user", done.stderr)
        self.assertEqual(os.listdir(self.path("cache")), [])

    def test_writers_at_once(self):
        """Processes that make the same objects in the same empty folder: each entry is whole, and none is left over."""
        self.write("m.bfm", harness.TINY)
        env = {**os.environ, "BFM_CACHE_DIR": self.path("cache")}
        begun = [subprocess.Popen([harness.BFMC, "build", self.path("m.bfm"), "--recipe", "quick", "-q", "-o", self.path(f"m{i}.so")], env=env) for i in range(3)]
        self.assertEqual([process.wait(120) for process in begun], [0, 0, 0])
        names = os.listdir(self.path("cache"))
        self.assertTrue(all(name.endswith(".o") for name in names), names)
        self.assertEqual(self.built(self.path("alone")).returncode, 0)
        self.assertEqual(sorted(names), sorted(os.listdir(self.path("alone"))))
        for name in names:
            self.assertEqual(read(self.path("cache", name)), read(self.path("alone", name)))


@unittest.skipIf(SANITIZE, "the sanitizers need more address space than any limit leaves")
class Memory(harness.Case):
    """Under a limit on the address space a command succeeds, or ends with 3 and says what the memory was for. Below 200 MB the loader itself fails (127)."""

    def limited(self, megabytes, *args):
        size = megabytes << 20
        return subprocess.run([harness.BFMC, *args], capture_output=True, text=True, timeout=60, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)))

    def check(self, megabytes, *args):
        done = self.limited(megabytes, *args)
        self.assertIn(done.returncode, (0, 3, 127), f"{megabytes} MB: {args}\n{done.stderr[-2000:]}")
        if done.returncode == 3:
            self.assertRegex(done.stderr.splitlines()[-1], r"^error: .*(memory|mapped|loaded).*", f"{megabytes} MB: {args}")
            self.assertRegex(done.stderr.splitlines()[-1], r" for |by the|mapped \(|SentencePiece cannot|measure", f"{megabytes} MB: {args}")
        if done.returncode == 127:
            self.assertIn("shared object", done.stderr)
        return done.returncode

    def test_any_limit(self):
        self.write("m.bfm", harness.TINY)
        self.write("t.txt", "".join(f"line {i} of a small text to train on\n" for i in range(400)))
        self.assertEqual(harness.bfmc("data", "pack", self.path("t.txt"), "--out", self.path("d")).returncode, 0)
        self.assertEqual(harness.bfmc("train", self.path("m.bfm"), self.path("d"), "--out", self.path("run"), "-q").returncode, 0)
        codes = set()
        for megabytes in (100, 185, 190, 195, 200, 210, 220, 240):
            shutil.rmtree(self.path("new"), ignore_errors=True)
            for args in (["check", self.path("m.bfm"), "--cost"], ["show", self.path("m.bfm"), "--emit=asm"], ["build", self.path("m.bfm"), "-o", self.path("m.so")],
                         ["train", self.path("m.bfm"), self.path("d"), "--out", self.path("new"), "-q"], ["eval", self.path("run"), self.path("d")],
                         ["generate", self.path("run"), "-n", "2"], ["data", "pack", self.path("t.txt"), "--tokenizer", "train:320", "--out", self.path("d2")]):
                codes.add(self.check(megabytes, *args))
        self.assertIn(3, codes)

    def test_matrix_products_of_openblas(self):
        """Where OpenBLAS is measured: it starts threads as it is loaded and tries for ever to map its buffers."""
        self.write("m.bfm", harness.TINY)
        self.write("t.txt", "".join(f"line {i} of a small text to train on\n" for i in range(400)))
        self.assertEqual(harness.bfmc("data", "pack", self.path("t.txt"), "--out", self.path("d")).returncode, 0)
        for megabytes in (300, 700, 1150, 1300, 1700, 3000):
            with self.subTest(megabytes=megabytes):
                shutil.rmtree(self.path("run"), ignore_errors=True)
                done = self.limited(megabytes, "train", self.path("m.bfm"), self.path("d"), "--out", self.path("run"), "--budget", "2step")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(self.limited(megabytes, "doctor").returncode, 0)


class Streams(harness.Case):
    def test_output_that_does_not_arrive(self):
        self.write("m.bfm", harness.TINY)
        self.write("t.txt", "a small text to pack\n" * 50)
        harness.bfmc("data", "pack", self.path("t.txt"), "--out", self.path("d"))
        for args in (["--help"], ["--version"], ["check", "--help"], ["check", self.path("m.bfm")], ["check", "--json", self.path("m.bfm")], ["show", self.path("m.bfm")],
                     ["show", self.path("m.bfm"), "--emit=ir"], ["explain", "E0201"], ["doc", self.path("m.bfm")], ["doctor"], ["data", "show", self.path("d"), "2"],
                     ["completions", "bash"]):
            with self.subTest(args=args):
                with open("/dev/full", "w") as full:
                    self.assertEqual(subprocess.run([harness.BFMC, *args], stdout=full, stderr=subprocess.DEVNULL).returncode, 3)
                self.assertEqual(subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", harness.BFMC, *args], stderr=subprocess.DEVNULL).returncode, 3)
                read, write = os.pipe()
                os.close(read)
                self.assertEqual(subprocess.run([harness.BFMC, *args], stdout=write, stderr=subprocess.DEVNULL).returncode, 3)
                os.close(write)

    def test_outputs_never_replace_inputs(self):
        self.write("m.bfm", harness.TINY)
        self.write("w", b"weights")
        os.link(self.path("m.bfm"), self.path("hard"))
        os.symlink(self.path("m.bfm"), self.path("soft"))
        for args in (["show", "m.bfm", "-o", "m.bfm"], ["show", "m.bfm:tiny", "-o", "./m.bfm"], ["show", "m.bfm", "-o", "hard"], ["show", "m.bfm", "-o", "soft"],
                     ["build", "m.bfm", "-o", "m.bfm"], ["grad", "m.bfm", "--weights", "w", "--tokens", "t", "--out", "w"],
                     ["update", "m.bfm", "--recipe", "quick", "--weights", "w", "--gradients", "g", "--out", "w"], ["data", "pack", "m.bfm", "--out", "m.bfm"]):
            with self.subTest(args=args):
                done = harness.bfmc(*args, cwd=self.folder)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("would replace", done.stderr)
                self.assertEqual(read(self.path("m.bfm")).decode(), harness.TINY)
                self.assertEqual(read(self.path("w")), b"weights")

    def test_outputs_never_replace_what_a_module_uses(self):
        os.makedirs(self.path("lib"))
        self.write("lib/own.bfm", "fn twice(x) = 2 * x\n")
        self.write("m.bfm", "use lib.own\n" + harness.TINY)
        os.symlink("lib/own.bfm", self.path("soft"))
        self.write("w", b"weights")
        self.write("t.txt", "a small text to pack\n" * 50)
        self.assertEqual(harness.bfmc("data", "pack", self.path("t.txt"), "--out", self.path("d")).returncode, 0)
        for name in ("x.h", "x.ll", "x.o", "z.md", "folder/model.bfm"):
            os.makedirs(self.path(os.path.dirname(name)), exist_ok=True)
            self.write(name, harness.TINY)
        for args in (["show", "m.bfm", "-o", "lib/own.bfm"], ["show", "m.bfm:tiny", "--emit=ir", "-o", "./lib/../lib/own.bfm"], ["show", "m.bfm", "-o", "soft"],
                     ["build", "m.bfm", "-o", "lib/own.bfm"], ["grad", "m.bfm", "--weights", "w", "--tokens", "t", "--out", "lib/own.bfm"],
                     ["update", "m.bfm", "--recipe", "quick", "--weights", "w", "--gradients", "g", "--out", "lib/own.bfm"],
                     ["build", "x.h", "-o", "x.so"], ["build", "x.ll", "--emit=llvm", "-o", "x.so"], ["build", "x.o", "--emit=obj", "-o", "x.so"], ["doc", "z.md", "--out", "."],
                     ["train", "folder/model.bfm", "d", "--out", "folder"], ["train", "m.bfm", "d", "--out", "d"]):
            with self.subTest(args=args):
                done = harness.bfmc(*args, cwd=self.folder)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("would replace", done.stderr)
        self.assertEqual(read(self.path("lib", "own.bfm")), b"fn twice(x) = 2 * x\n")
        for name in ("x.h", "x.ll", "x.o", "z.md", "folder/model.bfm"):
            self.assertEqual(read(self.path(name)).decode(), harness.TINY)

    def test_fmt_keeps_mode_and_links(self):
        self.write("m.bfm", "fn  f( x )=x\n")
        os.chmod(self.path("m.bfm"), 0o640)
        os.symlink("m.bfm", self.path("link.bfm"))
        self.assertEqual(harness.bfmc("fmt", self.path("link.bfm")).returncode, 0)
        self.assertTrue(os.path.islink(self.path("link.bfm")))
        self.assertEqual(read(self.path("m.bfm")).decode(), "fn f(x) = x\n")
        self.assertEqual(stat.S_IMODE(os.stat(self.path("m.bfm")).st_mode), 0o640)

    @unittest.skipIf(os.geteuid() == 0, "the superuser may write everywhere")
    def test_fmt_leaves_what_is_read_only(self):
        self.write("m.bfm", "fn  f( x )=x\n")
        os.chmod(self.path("m.bfm"), 0o440)
        done = harness.bfmc("fmt", self.path("m.bfm"))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("cannot be written", done.stderr)
        self.assertEqual(read(self.path("m.bfm")).decode(), "fn  f( x )=x\n")


class Runs(harness.Case):
    def setUp(self):
        super().setUp()
        self.write("m.bfm", harness.TINY)
        self.write("t.txt", "".join(f"line {i} of a small text to train on\n" for i in range(400)))
        packed = harness.bfmc("data", "pack", self.path("t.txt"), "--out", self.path("d"))
        self.assertEqual(packed.returncode, 0, packed.stderr)

    def args(self, *more, steps=12):
        return ["train", self.path("m.bfm"), self.path("d"), "--out", self.path("run"), "--threads", "1", "-q", "--recipe", "quick", "--set", f"quick.steps={steps}", *more]

    def start(self, *more, **kwargs):
        process = subprocess.Popen([harness.BFMC, *self.args(*more, steps=1000000)], stderr=subprocess.PIPE, text=True, **kwargs)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for _ in range(600):
            if os.path.exists(self.path("run", "log.jsonl")) and os.path.getsize(self.path("run", "log.jsonl")) > 0:
                return process
            time.sleep(0.05)
        self.fail("it does not train")

    def test_one_process_trains_in_a_folder(self):
        first = self.start()
        for more in ([], ["--resume"]):
            second = harness.bfmc(*self.args(*more))
            self.assertEqual(second.returncode, 3 if more else 1, second.stderr)
            self.assertIn(f"process {first.pid} trains" if more else "holds a run already", second.stderr)
        self.assertEqual(harness.bfmc("eval", self.path("run"), self.path("d"), "--part", "train", "--max-tokens", "64").returncode in (0, 2), True)
        first.kill()
        first.wait()
        again = harness.bfmc(*self.args("--resume", "--budget", "1step", steps=1000000))
        self.assertEqual(again.returncode, 0, again.stderr)

    def test_two_that_begin_at_once(self):
        begun = [subprocess.Popen([harness.BFMC, *self.args(steps=200)], stderr=subprocess.PIPE, text=True) for _ in range(2)]
        codes = sorted(process.wait() for process in begun)
        for process in begun:
            process.stderr.close()
        self.assertEqual(codes[0], 0)
        self.assertIn(codes[1], (1, 3))
        self.assertFalse(os.path.exists(self.path("run", "lock")))
        lines = [json.loads(line)["step"] for line in read(self.path("run", "log.jsonl")).splitlines()]
        self.assertEqual(lines, list(range(1, 201)))

    def test_without_a_checkpoint_a_run_begins_anew(self):
        for more in (["--resume"], []):
            done = harness.bfmc(*self.args("--budget", "2step"))
            self.assertEqual(done.returncode, 0, done.stderr)
            shutil.rmtree(self.path("run", "ckpt"))
            again = harness.bfmc(*self.args(*more))
            self.assertEqual(again.returncode, 0, again.stderr)
            self.assertEqual(len(read(self.path("run", "log.jsonl")).splitlines()), 12)
            shutil.rmtree(self.path("run"))

    def test_a_finished_run_stays_as_it_is(self):
        self.assertEqual(harness.bfmc(*self.args()).returncode, 0)
        def files():
            return {path: read(path) for path in glob.glob(self.path("run", "**"), recursive=True) if os.path.isfile(path)}
        before = files()
        self.assertEqual(harness.bfmc(*self.args("--resume")).returncode, 0)
        self.assertEqual(files(), before)

    def test_a_terminal_that_closes(self):
        process = self.start()
        process.send_signal(signal.SIGHUP)
        self.assertEqual(process.wait(60), 75)
        step = max(map(int, os.listdir(self.path("run", "ckpt"))))
        self.assertEqual(json.loads(read(self.path("run", "log.jsonl")).splitlines()[-1])["step"], step)

    def test_a_limit_on_the_size_of_files(self):
        done = subprocess.run([harness.BFMC, *self.args(steps=1000000)], capture_output=True, text=True, timeout=300,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (120000, 120000)), env={**os.environ, "BFM_CACHE_DIR": ""})
        self.assertEqual(done.returncode, 75, done.stderr)
        self.assertGreater(max(map(int, os.listdir(self.path("run", "ckpt")))), 0)


if __name__ == "__main__":
    unittest.main()
