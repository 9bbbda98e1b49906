"""Installs the package and uses nothing else: headers alone, pkg-config, CMake, programs that edit, train, run and link compiled blocks."""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD, CMAKE, CC = sys.argv[1:4]
HERE = os.path.dirname(os.path.abspath(__file__))

MODEL = """use std.layers
use std.routers
use std.recipes

block pair(hidden: count = 64) {
    attention(heads = 2, head_dim = 8)
    ffn(hidden = hidden)
}

model tiny {
    vocab   = 256
    context = 16
    embed(d = 16)
    pair()
    ffn(hidden = 32)
    rms_norm()
    head(tied = true)
}

recipe quick {
    optimizer = adamw(rate = 0.003)
    schedule  = cosine(warmup = 4, floor = 0.1)
    batch     = 2
    context   = 16
    steps     = 50
    clip_norm = 1
}
"""

ZOO = """use std.layers
block spaced { ffn(hidden = 16) attention(heads = 2) }
"""


def content(path):
    with open(path, "rb") as file:
        return file.read()


def run(*command, code=0, env=None, cwd=None):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, errors="replace", timeout=300, env={**os.environ, **(env or {})}, cwd=cwd)
    if done.returncode != code:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
    return done


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="bfm_install_")
        cls.prefix = os.path.join(cls.folder, "usr")
        run(CMAKE, "--install", BUILD, "--prefix", cls.prefix)
        cls.lib = os.path.dirname(glob.glob(os.path.join(cls.prefix, "lib", "**", "libbfm.so"), recursive=True)[0])
        cls.env = {"LD_LIBRARY_PATH": cls.lib, "PKG_CONFIG_PATH": os.path.join(cls.lib, "pkgconfig"), "BFM_CACHE_DIR": os.path.join(cls.folder, "cache"), "PATH": os.environ["PATH"]}
        cls.bfmc = os.path.join(cls.prefix, "bin", "bfmc")
        cls.model = os.path.join(cls.folder, "tiny.bfm")
        with open(cls.model, "w") as file:
            file.write(MODEL)
        cls.data = os.path.join(cls.folder, "data")
        text = os.path.join(cls.folder, "text.txt")
        with open(text, "w") as file:
            file.write("".join(f"line {i} of {i * i % 97} words\n\n" for i in range(600)))
        run(cls.bfmc, "data", "pack", text, "--split", "80,10,10", "--out", cls.data, "-q", env=cls.env)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def flags(self, package):
        """What pkg-config says, with the prefix that the files were really installed to."""
        return run("pkg-config", f"--define-variable=prefix={self.prefix}", "--cflags", "--libs", package, env=self.env).stdout.split()

    def build(self, name, *more):
        out = os.path.join(self.folder, name)
        run(CC, "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", os.path.join(HERE, name + ".c"), "-o", out, *self.flags("bfm"), "-lm", "-pthread", *more, env=self.env)
        return out

    def test_headers_alone(self):
        headers = sorted(os.listdir(os.path.join(self.prefix, "include", "bfm")))
        self.assertEqual(len(headers), 15, headers)
        for header in headers:
            for language, compiler, standard in (("c", CC, "-std=c11"), ("cpp", "c++", "-std=c++17")):
                source = os.path.join(self.folder, f"alone.{language}")
                with open(source, "w") as file:
                    file.write(f"#include <bfm/{header}>\n#include <bfm/{header}>\nint main(void) {{ return 0; }}\n")
                run(compiler, standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-c", source, "-o", os.devnull, f"-I{self.prefix}/include")

    def test_exports(self):
        """What the headers declare, and nothing else."""
        names = {line.split()[-1] for line in run("nm", "-D", "--defined-only", os.path.join(self.lib, "libbfm.so")).stdout.splitlines()}
        text = "".join(content(path).decode() for path in glob.glob(os.path.join(self.prefix, "include", "bfm", "*.h")))
        self.assertTrue(all(name.startswith("bfm_") for name in names), names)
        for name in names:
            self.assertIn(f"{name}(", text)
        self.assertGreater(len(names), 30)
        self.assertIn("libbfm.so.0", run("readelf", "-d", os.path.join(self.lib, "libbfm.so")).stdout)

    def test_edit(self):
        done = run(self.build("edit"), self.model, "tiny.ffn_0.hidden", "48", "tiny", env=self.env).stdout
        lines = done.splitlines()
        # table, attention with its norm, pair's ffn, own ffn, final norm
        expected = 256 * 16 + (16 + 4 * 16 * 16) + (16 + 2 * 16 * 64) + (16 + 2 * 16 * 48) + 16
        self.assertEqual(lines[0], f"parameters {expected}")
        self.assertGreater(float(lines[2].split()[1]), 0)
        self.assertEqual(lines[3], "tiny.ffn_0.hidden = 48")
        edited = os.path.join(self.folder, "edited.bfm")
        with open(edited, "w") as file:
            file.write("\n".join(lines[4:]) + "\n")
        run(self.bfmc, "fmt", "--check", edited, env=self.env)
        self.assertIn("ffn(hidden = 48)", done)
        wrong = run(os.path.join(self.folder, "edit"), self.model, "tiny.ffn_0.hidden", "0 +", "tiny", code=1, env=self.env)
        self.assertIn("is no expression", wrong.stderr)
        wrong = run(os.path.join(self.folder, "edit"), self.model, "tiny.ffn_0.hidden", "-3", "tiny", code=1, env=self.env)
        self.assertIn("error[E", wrong.stderr)

    def test_train(self):
        """The same bits as the command's, and a stop that a resume continues."""
        program, ours, theirs, apart = self.build("train"), *(os.path.join(self.folder, n) for n in ("ours", "theirs", "apart"))
        stopped, step, checkpoint, steps, evaluations, loss, seen, nats = run(program, self.model, "tiny", self.data, ours, 1000, env=self.env).stdout.split()
        self.assertEqual((stopped, step, checkpoint, steps, evaluations), ("0", "50", "50", "50", "1"))
        self.assertEqual(loss, seen)
        run(self.bfmc, "train", f"{self.model}:tiny", self.data, "--out", theirs, "--threads", "1", "-q", env=self.env)
        parts = [run(program, self.model, "tiny", self.data, apart, 20, env=self.env).stdout.split(), run(program, self.model, "tiny", self.data, apart, 1000, "resume", env=self.env).stdout.split()]
        self.assertEqual(parts[0][:4], ["2", "20", "20", "20"])
        self.assertEqual(parts[1][:4], ["0", "50", "50", "30"])
        for name in ("model.safetensors", "state.safetensors"):
            bits = [content(os.path.join(run_folder, "ckpt", "50", name)) for run_folder in (ours, theirs, apart)]
            self.assertEqual(bits[0], bits[1], name)
            self.assertEqual(bits[0], bits[2], name)
        wrong = run(program, self.model, "tiny", self.folder + "/nothing", ours, 1, code=1, env=self.env)
        self.assertIn("nothing", wrong.stderr)

    def test_program(self):
        run(self.build("program"), self.model, "tiny", env=self.env)

    def test_threads(self):
        path = os.path.join(self.folder, "zoo.bfm")
        with open(path, "w") as file:
            file.write(ZOO)
        first, last = map(int, run(self.build("threads"), path, "spaced", env=self.env).stdout.split())
        self.assertEqual(last - first, 2 * 512 * (160 - 8))

    def test_failure(self):
        run(self.build("failure"), env=self.env)

    def test_cmake(self):
        source, build = os.path.join(self.folder, "project"), os.path.join(self.folder, "project-build")
        os.makedirs(source)
        with open(os.path.join(source, "CMakeLists.txt"), "w") as file:
            file.write("cmake_minimum_required(VERSION 3.20)\nproject(user C)\nfind_package(bfm 0.1 REQUIRED)\n"
                       f"add_executable(edit {HERE}/edit.c)\ntarget_link_libraries(edit bfm::bfm)\n"
                       "file(WRITE ${CMAKE_BINARY_DIR}/run.c \"#include <bfm/runtime.h>\\nint main(void) { bfm_buffer_free(0); return 0; }\\n\")\n"
                       "add_executable(run ${CMAKE_BINARY_DIR}/run.c)\ntarget_link_libraries(run bfm::runtime)\n")
        run(CMAKE, "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DCMAKE_C_COMPILER={CC}")
        run(CMAKE, "--build", build)
        self.assertIn("parameters", run(os.path.join(build, "edit"), self.model, "tiny.ffn_0.hidden", "48", "tiny", env=self.env).stdout)
        run(os.path.join(build, "run"), env=self.env)

    def test_compiled_block(self):
        """A shared object of `bfmc build`, from C and from C++."""
        library = os.path.join(self.folder, "libtiny.so")
        run(self.bfmc, "build", f"{self.model}:tiny", "--out", library, "-q", env=self.env)
        text = ('#include "libtiny.h"\n#include <stdio.h>\nint main(void) {\n    BfmError error;\n    BfmTensors *tensors = bfm_tensors_new(&tiny_model, &error);\n'
                '    if (!tensors) { fprintf(stderr, "%s\\n", error.message); return 1; }\n    bfm_tensors_init(tensors, 1);\n'
                '    printf("%d\\n", bfm_tensors_find(tensors, "ffn_0.w_in") != NULL);\n    bfm_tensors_free(tensors);\n    return 0;\n}\n')
        for language, compiler in (("c", CC), ("cpp", "c++")):
            source, out = os.path.join(self.folder, f"block.{language}"), os.path.join(self.folder, f"block_{language}")
            with open(source, "w") as file:
                file.write(text)
            run(compiler, source, "-o", out, f"-I{self.folder}", f"-L{self.folder}", "-ltiny", *self.flags("bfm-runtime"), f"-Wl,-rpath,{self.folder}", env=self.env)
            self.assertEqual(run(out, env=self.env).stdout, "1\n")

    def test_pages(self):
        self.assertIn("bfmc", content(os.path.join(self.prefix, "share", "man", "man1", "bfmc.1")).decode())
        self.assertIn("complete", content(os.path.join(self.prefix, "share", "bash-completion", "completions", "bfmc")).decode())
        self.assertTrue(os.path.exists(os.path.join(self.prefix, "share", "zsh", "site-functions", "_bfmc")))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
