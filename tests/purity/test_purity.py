"""What docs/architecture.md promises about the source, looked up in the source."""
import os
import re
import subprocess
import unittest

SOURCE = os.environ.get("BFM_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.environ.get("BFM_BUILD")

# Words of layers. The layers are programs in stdlib/: C that names one knows one.
WORDS = re.compile(r"(attention|expert|moe\b|moe_|gelu|geglu|adam|adafactor|\brope\b|softmax|top2|rms_norm|layer_norm|\bffn\b|swiglu|alibi)", re.IGNORECASE)

# Where such a word stands in C all the same: file, what may stand there, why.
ALLOWED = [
    ("compiler/support/diagnostics.def", r".*", "examples of the catalogue are .bfm texts that use the library"),
    ("compiler/lower/declarations.c", r"adamw\(rate = 0\.\d+\)", "an example in a message"),
    ("compiler/lower/model.c", r"`ffn\(hidden = 512\)`", "an example in a message"),
    ("compiler/driver/options.def", r'"[^"]*"', "help texts"),
    ("compiler/lower/model.c", r'"rms_norm"', "the default norm of a line, which language.md section 1 fixes"),
    ("compiler/lower/", r'softmax', "softmax[j](s) is syntax of the language (language.md section 3, rule 4): a map over an index, like the reductions"),
    ("grammar/", r'softmax', "the same"),
    ("compiler/tree/", r'softmax', "the same"),
    ("compiler/parse/", r'softmax', "the same"),
]

# What a folder of compiler/ may include besides itself.
BELOW = {
    "support": set(),
    "tree": {"support"},
    "parse": {"support", "tree"},
    "module": {"support", "tree", "parse"},
    "ir": {"support"},
    "opt": {"support", "ir"},
    "grad": {"support", "ir", "opt"},
    "schedule": {"support", "ir", "opt"},
    "decode": {"support", "ir", "opt"},
    "lower": {"support", "tree", "parse", "module", "ir"},
    "codegen": {"support", "ir", "opt", "schedule"},
    "run": {"support", "tree", "parse", "module", "ir", "opt", "grad", "schedule", "decode", "lower", "codegen"},
}
BELOW["space"] = BELOW["lower"] | {"lower"}
BELOW["train"] = BELOW["run"] | {"run"}
BELOW["report"] = BELOW["train"] | {"train", "space"}
BELOW["doc"] = BELOW["report"] | {"report"}
BELOW["build"] = BELOW["train"] | {"train"}
BELOW["api"] = BELOW["report"] | {"report", "doc", "build"}
BELOW["driver"] = set()  # a client of the library: its own headers and include/bfm, which is `<bfm/…>`
# What a folder of runtime/ may include besides itself and the ABI (include/bfm, which stands on nothing but for runtime.h, the header of programs).
RUNTIME_BELOW = {
    "include": set(),
    "memory": set(),
    "rng": set(),
    "file": set(),
    "file/json": {"file"},
    "comm": {"memory"},
    "device/cpu/pool": {"memory"},
    "device/cpu/gemm": {"memory", "file", "device/cpu/pool"},
    "device/cpu/templates": {"memory", "rng", "device/cpu/pool", "device/cpu/gemm"},
    "generate": {"memory", "rng", "device/cpu/templates"},
    "model": {"memory", "rng", "file", "comm", "device/cpu/templates", "generate"},
    "tokenizer": {"file", "file/json"},
    "data": {"file", "file/json", "tokenizer"},
    "checkpoint": {"file", "file/json"},
}
PUBLIC_HEADERS = {"error.h"} | set(os.listdir(os.path.join(SOURCE, "compiler/include/bfm")))
PUBLIC = "runtime/include/bfm/runtime.h"
PLUGINS = {"runtime/tokenizer/plugin/": "tokenizer", "runtime/device/cpu/gemm/plugin/": "device/cpu/gemm"}
# The runtime's headers that compiler folders see: the ABI, and for codegen what runs its plans.
KERNELS = {"device/cpu/templates", "device/cpu/gemm", "device/cpu/pool", "memory", "rng"}
RUNTIME_SEEN = {"ir": {"bfm"}, "lower": {"bfm"}, "space": {"bfm"}, "opt": {"bfm"}, "grad": {"bfm"}, "schedule": {"bfm"}, "decode": {"bfm"}, "codegen": {"bfm", "file"} | KERNELS, "run": {"bfm", "file"} | KERNELS,
                "train": {"bfm", "file", "file/json", "checkpoint", "data", "tokenizer", "generate"} | KERNELS, "report": {"bfm", "file", "file/json"} | KERNELS,
                "doc": {"bfm"}, "build": {"bfm", "file", "rng"}, "api": {"bfm", "file", "file/json", "data", "tokenizer", "generate"} | KERNELS, "driver": {"bfm"}}
OWNERS = {"llvm-c/": "compiler/codegen/", "llvm/": "compiler/codegen/", "cblas.h": "runtime/device/cpu/gemm/plugin/",
          "sentencepiece_processor.h": "runtime/tokenizer/plugin/", "sqlite3.h": "runtime/search/store", "libpq-fe.h": "runtime/search/store"}
ENDS = {"compiler/driver/main.c", "compiler/support/bug.c"}
STATE = {"stop.c.o": {"asked"}, "bug.c.o": {"handler", "handler_context"}, "context.c.o": {"current"}}  # compiler/driver/stop.c says why; the others are of a thread


def files(*folders, endings=(".c", ".h", ".re", ".y", ".def")):
    for folder in folders:
        for where, _, names in os.walk(os.path.join(SOURCE, folder)):
            for name in sorted(names):
                if name.endswith(endings):
                    path = os.path.join(where, name)
                    with open(path, encoding="utf-8") as file:
                        yield os.path.relpath(path, SOURCE), file.read()


SYSTEM = {"libc", "libm", "libpthread", "libdl", "libgcc_s", "ld-linux-x86-64", "ld-linux-aarch64", "libasan", "libubsan", "libgcov"}


def needed(name):
    """What the loader loads with it, without versions."""
    listing = subprocess.run(["readelf", "-d", os.path.join(BUILD, name)], capture_output=True, text=True, check=True).stdout
    return {library.split(".so")[0].split("-19")[0] for library in re.findall(r"\(NEEDED\).*\[([^\]]+)\]", listing)}


def room(path):
    """The folder as the tables name it."""
    top, folder = path.split("/", 1)
    if top == "compiler":
        return folder.split("/")[0]
    for plugin, owner in PLUGINS.items():
        if path.startswith(plugin):
            return owner
    return os.path.dirname(folder).removesuffix("/bfm") if top == "runtime" else folder


def code(text):
    """Without comments, which may speak of anything; lines keep their numbers."""
    pattern = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.DOTALL)
    return pattern.sub(lambda m: m.group(0) if m.group(0)[0] in "\"'" else "\n" * m.group(0).count("\n"), text)


class Purity(unittest.TestCase):
    maxDiff = None

    def test_limits_are_those_of_the_language(self):
        """docs/language.md lists each row of support/limits.h with its value, and nothing else."""
        source = open(os.path.join(SOURCE, "compiler/support/limits.h")).read()
        in_code = {name: eval(value.replace("(int64_t)", "")) for name, value in re.findall(r"^(?:    |#define )(\w+_MAX)(?: = | )([^,/]+?),?(?: */\*.*)?$", source, re.M)}
        text = open(os.path.join(SOURCE, "docs/language.md")).read().split("## Limits")[1].split("\n## ")[0]
        in_text = {name: eval(value.replace(" ", "").replace("^", "**")) for name, value in re.findall(r"^\| `(\w+)` \| ([^|]+) \|", text, re.M)}
        self.assertGreater(len(in_code), 15)
        self.assertEqual(in_text, in_code)

    def test_no_layer_in_c(self):
        found = []
        for path, text in files("compiler", "runtime", "grammar"):
            for number, line in enumerate(code(text).splitlines(), 1):
                rest = line
                for where, what, _ in ALLOWED:
                    if path.startswith(where):
                        rest = re.sub(what, "", rest)
                if WORDS.search(rest):
                    found.append(f"{path}:{number}: {line.strip()[:120]}")
        self.assertEqual(found, [], "layers belong into stdlib/; if C must say the word, ALLOWED says why")

    def test_direction_of_includes(self):
        found = []
        for path, text in files("compiler", "runtime", endings=(".c", ".cc", ".h", ".re", ".y", ".def")):
            top, folder = path.split("/")[0], room(path)
            for name in re.findall(r'^\s*#\s*include\s+["<]([^">]+)[">]', text, re.MULTILINE):
                for header, owner in OWNERS.items():
                    if name.startswith(header) and not path.startswith(owner):
                        found.append(f"{path}: {name} belongs to {owner}")
                target = os.path.dirname(name)
                if not target or target == folder:
                    continue
                if top == "runtime" and os.path.exists(os.path.join(SOURCE, "runtime", name)) and path != PUBLIC and target not in RUNTIME_BELOW[folder]:
                    found.append(f"{path}: {folder} may not include {name}")
                if top == "runtime" and not os.path.exists(os.path.join(SOURCE, "runtime", name)) and os.path.exists(os.path.join(SOURCE, "compiler", name)):
                    found.append(f"{path}: the runtime contains no compiler, and this includes {name}")
                if top == "compiler" and folder in BELOW:
                    if target in BELOW and target not in BELOW[folder]:
                        found.append(f"{path}: {folder} may not include {name}")
                    if target in set(RUNTIME_BELOW) - set(BELOW) | {"bfm"} and target not in RUNTIME_SEEN.get(folder, set()):
                        found.append(f"{path}: {folder} does not see the runtime's {name}")
                    if folder == "driver" and target == "bfm" and os.path.basename(name) not in PUBLIC_HEADERS:
                        found.append(f"{path}: {name} is no public header of the library")
        self.assertEqual(found, [])

    def test_every_folder_of_the_runtime_has_a_row(self):
        rows = set(RUNTIME_BELOW) | {path.rstrip("/").removeprefix("runtime/") for path in PLUGINS}
        folders = {os.path.dirname(path).removeprefix("runtime/") for path, _ in files("runtime", endings=(".c", ".cc", ".h", ".def"))}
        self.assertEqual({folder.removesuffix("/bfm") for folder in folders}, rows)

    def test_json_trees_only_where_training_is(self):
        """The folders of the library that models link hold no jansson: theirs is file/json_reader.h."""
        library = open(os.path.join(SOURCE, "runtime/CMakeLists.txt"), encoding="utf-8").read()
        folders = re.search(r"^bfm_runtime_library\(bfm_runtime ([^)]*)\)", library, re.M).group(1).split()
        self.assertIn("model", folders)
        found = [path for path, text in files("runtime") if room(path) in folders and "jansson.h" in text]
        self.assertEqual(found, [])

    def test_libraries_needed(self):
        """A compiled model needs our runtime, which needs a hash and the C library; OpenBLAS and SentencePiece come as plug-ins."""
        if not BUILD:
            self.skipTest("BFM_BUILD is not set")
        self.assertEqual(needed("libbfm_runtime.so") - SYSTEM, {"libxxhash"})
        self.assertEqual(needed("libbfm.so") - SYSTEM - {"libLLVM"}, {"libbfm_runtime", "libxxhash", "libjansson"})
        self.assertEqual(needed("bfmc") - SYSTEM, {"libbfm", "libjansson"})
        listing = subprocess.run(["nm", "-D", "--undefined-only", os.path.join(BUILD, "libbfm_runtime.so")], capture_output=True, text=True, check=True).stdout
        self.assertNotRegex(listing, r"\b(json_|cblas_|openblas_)")
        if os.path.exists(os.path.join(BUILD, "libbfm_openblas.so")):
            self.assertEqual(needed("libbfm_openblas.so") - SYSTEM, {"libopenblas"})

    def test_rows_of_the_runtime_have_an_order(self):
        """No circle: each folder's rows, followed down, end."""
        above = {}
        for folder in RUNTIME_BELOW:
            seen, open_ = set(), set(RUNTIME_BELOW[folder])
            while open_:
                seen |= open_
                open_ = {below for at in open_ for below in RUNTIME_BELOW[at]} - seen
            above[folder] = seen
        self.assertEqual([folder for folder in above if folder in above[folder]], [])

    def test_only_main_ends_the_process(self):
        found = [f"{path}: {call}" for path, text in files("compiler", "runtime", endings=(".c", ".h")) if path not in ENDS
                 for call in re.findall(r"\b(?:exit|_exit|_Exit|abort|quick_exit)\s*\(", code(text))]
        self.assertEqual(found, [])

    def test_no_changing_state_of_file_scope(self):
        """The sections .data and .bss of our objects are empty."""
        if not BUILD:
            self.skipTest("BFM_BUILD is not set")
        found = []
        for where, _, names in os.walk(BUILD):
            if not re.search(r"CMakeFiles/(bfm_\w+|bfmc)\.dir", where):
                continue
            for name in names:
                if not name.endswith(".c.o"):
                    continue
                listing = subprocess.run(["objdump", "-t", os.path.join(where, name)], capture_output=True, text=True).stdout
                for line in listing.splitlines():
                    match = re.search(r"\sO\s+(\.data|\.bss|\.tdata|\.tbss)\S*\s+[0-9a-f]+\s+(?:\.hidden\s+)?(\S+)$", line)
                    if match and not match.group(1).startswith(".data.rel.ro") and ".data.rel.ro" not in line and match.group(2) not in STATE.get(name, set()) \
                            and not match.group(2).startswith(("__gcov", "__asan", "*.L", ".L")):
                        found.append(f"{os.path.relpath(os.path.join(where, name), BUILD)}: {match.group(2)} in {match.group(1)}")
        self.assertEqual(found, [])

    def test_size_of_files_and_nothing_left_over(self):
        long, left = [], []
        for path, text in files("compiler", "runtime", "grammar"):
            if text.count("\n") > 900:
                long.append(path)
            left += [f"{path}: {word}" for word in re.findall(r"\b(TODO|FIXME|XXX|HACK)\b", text)]
        self.assertEqual((long, left), ([], []))


if __name__ == "__main__":
    unittest.main()
