"""bfmc build: shared objects run by a C program that is compiled as the header says. Usage: test_build.py BFMC GOLDEN [C FLAGS…]"""
import itertools, json, os, shlex, struct, subprocess, sys, tempfile
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "optimizers"))
import batches

BFMC, GOLDEN, FLAGS = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3:]
HERE = os.path.dirname(os.path.abspath(__file__))

RECIPE_MODEL = """use std.layers
use std.optimizers

model m {
    vocab   = 256
    context = 16
    embed(d = 32)
    attention(heads = 2, head_dim = 16)
    ffn(hidden = 64, act = gelu)
    rms_norm()
    head(tied = true)
}

recipe still {
    optimizer = adamw(rate = 0, weight_decay = 0)
    batch     = 2
    steps     = 1
    seed      = 7
}

recipe moving {
    optimizer = adamw(rate = 0.01, weight_decay = 0)
    batch     = 2
    steps     = 100
}
"""


def run(*command, code=0, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    assert done.returncode == code, f"{command} gave {done.returncode}, not {code}:\n{done.stdout}{done.stderr}"
    return done


def safetensors(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    kinds = {"F32": np.float32, "F64": np.float64}
    return {name: np.frombuffer(data[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]], kinds[t["dtype"]]).reshape(t["shape"])
            for name, t in json.loads(data[8:8 + size]).items() if name != "__metadata__"}


def save(path, arrays):
    header, at = {}, 0
    for name, value in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
    text = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + b"".join(np.ascontiguousarray(v, "<f4").tobytes() for v in arrays.values()))


def compile_embedder(folder, *defines, program="embed"):
    """With exactly the words of the header's command line."""
    line = next(line.strip() for line in open(f"{folder}/libx.h") if line.strip().startswith("cc main.c"))
    words = shlex.split(line)
    assert words[:3] == ["cc", "main.c", "libx.so"], words
    run("cc", "-std=c17", "-Wall", "-Wextra", "-Werror", *FLAGS, *defines, '-DMODEL_HEADER="libx.h"', "-I.", f"{HERE}/{program}.c", *words[2:], "-o", program, cwd=folder)


def embed(folder, weights, tokens):
    tokens.astype("<i4").tofile(f"{folder}/tokens")
    run(f"{folder}/embed", weights, f"{folder}/tokens", tokens.shape[0], tokens.shape[1] - 1, folder)
    return lambda name: np.fromfile(f"{folder}/{name}", np.float32)


def largest(a, b):
    return np.abs(a.ravel() - b.ravel()).max() / max(np.abs(b).max(), 1e-30)


def check_golden(case):
    with tempfile.TemporaryDirectory() as folder:
        model, weights, tokens = (f"{GOLDEN}/{case}/{name}" for name in ("model.bfm", "weights.safetensors", "tokens.npy"))
        report = json.loads(run(BFMC, "build", model, "-o", f"{folder}/libx.so", "--emit=so,header,obj,llvm", "--json").stdout)
        assert report["entries"] == ["forward", "backward", "decode"] and not report["step"], report
        assert sorted(os.listdir(folder)) == ["libx.h", "libx.ll", "libx.o", "libx.so"], os.listdir(folder)
        assert "There is no `step`" in open(f"{folder}/libx.h").read()
        compile_embedder(folder)
        got, expected = embed(folder, weights, np.load(tokens)), safetensors(f"{GOLDEN}/{case}/expected.safetensors")
        run(BFMC, "grad", model, "--weights", weights, "--tokens", tokens, "--out", f"{folder}/g.safetensors")
        jit = safetensors(f"{folder}/g.safetensors")
        assert largest(got("logits"), expected["logits"]) < 3e-4
        assert largest(got("cross_entropy"), expected["cross_entropy"]) < 3e-4
        assert largest(got("table_gradient"), expected["embed_0.table"]) < 3e-4
        same = {name: bool((got(name).view(np.int32) == jit[of].ravel().view(np.int32)).all()) for name, of in
                (("logits", "logits"), ("cross_entropy", "cross_entropy"))}
        assert same == {"logits": True, "cross_entropy": True}, f"{case}: not the JIT's bits: {same}"
        assert largest(got("table_gradient"), jit["embed_0.table"]) < 1e-5 # `grad` keeps the logits, `backward` streams them: other sums
        assert (got("decoded").view(np.int32) == got("logits").view(np.int32)).all(), f"{case}: decode differs from forward"
        assert all((safetensors(f"{folder}/saved.safetensors")[name] == value).all() for name, value in safetensors(weights).items())


def check_init_and_step():
    with tempfile.TemporaryDirectory() as folder:
        model, tokens = f"{folder}/model.bfm", np.random.default_rng(1).integers(0, 256, (2, 17))
        open(model, "w").write(RECIPE_MODEL)
        open(f"{folder}/text", "w").write("\n\n".join(f"line {i} of some text to train on" for i in range(400)))
        assert "several recipes" in run(BFMC, "build", model, "-o", f"{folder}/libx.so").stderr
        run(BFMC, "build", model, "-o", f"{folder}/libx.so", "--recipe", "moving")
        compile_embedder(folder, "-DWITH_STEP")
        got = embed(folder, "-", tokens)
        run(BFMC, "data", "pack", f"{folder}/text", "--out", f"{folder}/data")
        run(BFMC, "train", model, f"{folder}/data", "--recipe", "still", "--out", f"{folder}/run")
        trained, begun = safetensors(f"{folder}/run/ckpt/1/model.safetensors"), safetensors(f"{folder}/saved.safetensors")
        assert sorted(trained) == sorted(begun)
        for name, value in trained.items(): # one step of rate 0: the initial values
            assert (value.view(np.int32) == begun[name].view(np.int32)).all(), name
        gradient, losses = got("gradient"), got("losses")
        moved = got("after_one") - begun["ffn_0.w_in"].ravel() # the first step of Adam: the rate against the sign
        assert largest(got("gradient_of_ranks"), gradient) < 1e-5 # the mean over two ranks with one row each
        clear = np.abs(gradient) > 1e-5
        assert clear.mean() > 0.5 and np.allclose(moved[clear], -0.01 * np.sign(gradient[clear]), atol=2e-4)
        assert np.isfinite(losses).all() and losses[-1] < losses[0] - 1, losses


RESUMED = """use std.layers
use std.routers
use std.recipes

layer of_one_mode(x[b, l, d]) -> [b, l, d] {
    if mode == train {
        param a[d] = 0.5
        return y[b, l, o] = x[b, l, o] * a[o]
    } else {
        param e[d] = 0.25
        return y[b, l, o] = x[b, l, o] * e[o]
    }
}

model m {
    vocab   = 256
    context = 16
    embed(d = 16)
    attention(heads = 2, head_dim = 8)
    LINE
    head()
}

recipe r {
    optimizer = OPTIMIZER
    SCHEDULE
    batch     = 2
    context   = 16
    steps     = 8
    seed      = 3
    clip_norm = 0.5
    on "*.norm.*" { weight_decay = 0  rate = 0.001 }
}
"""


def check_resume(optimizer, line, schedule=""):
    """Steps 4 to 8 in a C program, from the files of `bfmc train` after step 4 and then from its own after step 6: the same bits, or nearly so with a
    schedule, which is in f32 there."""
    with tempfile.TemporaryDirectory() as folder:
        model, run_folder = f"{folder}/model.bfm", f"{folder}/run"
        open(model, "w").write(RESUMED.replace("OPTIMIZER", optimizer).replace("SCHEDULE", schedule).replace("LINE", line))
        open(f"{folder}/text", "w").write("\n\n".join(f"line {i} of some text to train on" for i in range(200)))
        run(BFMC, "data", "pack", f"{folder}/text", "--out", f"{folder}/data", "-q")
        run(BFMC, "train", model, f"{folder}/data", "--out", run_folder, "--checkpoint-every", "4", "-q")
        run(BFMC, "build", model, "-o", f"{folder}/libx.so", "-q")
        compile_embedder(folder, program="resume")
        ids = batches.read_ids(f"{folder}/data/train.tok")

        def resume(first, last, source, out):
            np.concatenate([batches.batch(ids, 2, 16, 3, step) for step in range(first, last)]).astype("<i4").tofile(f"{folder}/tokens")
            os.makedirs(out)
            run(f"{folder}/resume", source, f"{folder}/tokens", 2, 16, first, last, out)
            return out

        middle = resume(4, 6, f"{run_folder}/ckpt/4", f"{folder}/six")
        got, expected = resume(6, 8, middle, f"{folder}/eight"), f"{run_folder}/ckpt/8"
        for name in ("model", "state"):
            mine, theirs = safetensors(f"{got}/{name}.safetensors"), safetensors(f"{expected}/{name}.safetensors")
            assert sorted(mine) == sorted(theirs), (sorted(mine), sorted(theirs))
            for tensor, value in theirs.items():
                assert mine[tensor].shape == value.shape, tensor
                same = (mine[tensor].view(np.int32) == value.view(np.int32)).all()
                assert same if not schedule else largest(mine[tensor], value) < 1e-5, (optimizer, schedule, tensor)
        assert any(tensor.startswith("layer/") for tensor in theirs) == ("loss_free" in line) and any(tensor.startswith("optimizer/") for tensor in theirs), sorted(theirs)
        run(f"{folder}/resume", f"{folder}/nowhere", f"{folder}/tokens", 2, 16, 6, 8, f"{folder}/none", code=1)
        os.replace(f"{middle}/model.safetensors", f"{middle}/state.safetensors") # a file of other tensors
        open(f"{middle}/model.safetensors", "wb").write(open(f"{run_folder}/ckpt/4/model.safetensors", "rb").read())
        assert "is missing; the file holds" in run(f"{folder}/resume", middle, f"{folder}/tokens", 2, 16, 6, 8, f"{folder}/none", code=1).stderr


MULTIPLES = """use std.layers
use std.recipes
layer patch_mean(x[b, l, d]; patch: count = 4) -> [b, l, d] {
    let z[b, p in 0 ..< size(l) / patch, c] = mean[s in 0 ..< patch] x[b, (p, s), c]
    let y[b, (p in 0 ..< size(l) / patch, s in 0 ..< patch), c] = z[b, p, c]
    return u[b, l in 0 ..< size(l), c] = y[b, l, c]
}
model m { vocab = 16 context = 32 embed(d = 8) patch_mean() wiring = none head(tied = false) }
"""


SHORT = """use std.layers
layer steps(x[b, l, d]) -> [b, l, d] {
    param w[4, d] ~ normal(0, 1)
    let z[b, q in 0 ..< size(l) - 3, c in 0 ..< d] = x[b, q + 3, c] - x[b, q + 2, c]
    let k[b, l] = index[4](l - 2)
    let p[b, l, c] = x[b, l, c] * w[k[b, l], c]
    let none[b, l, c] = x[b, l, c] * select(exists(index[5](l - 1)), 1, 0.5) + (mean[q | q <= l] z[b, q, c])
    return y[b, l, c] = none[b, l, c] + (sum[v | v == k[b, l]] w[v, c]) + (sum[t | t <= l] p[b, t, c])
}
model m { vocab = 16 context = 32 embed(d = 8) steps() wiring = none norm = none head(tied = false) }
"""


def patch_mean(x, _):
    return np.repeat(x.reshape(2, x.shape[1] // 4, 4, 8).mean(2), 4, axis=1)


def short_steps(x, w):
    """The layer of SHORT, position by position: a reduction leaves out the points whose integer is none, an empty mean is 0."""
    y = np.zeros(x.shape)
    for l in range(x.shape[1]):
        found = {t: w["steps_0.w"][t - 2].astype(float) for t in range(l + 1) if 2 <= t < 6}
        far = [x[:, q + 3] - x[:, q + 2] for q in range(x.shape[1] - 3) if q <= l]
        y[:, l] = x[:, l] * (1 if 1 <= l <= 5 else 0.5) + (sum(far) / len(far) if far else 0) + found.get(l, 0) + sum(x[:, t] * row for t, row in found.items())
    return y


def check_lengths(text, need, bad, good, made, **params):
    """Lengths that the program was not made for are refused when they are bound, and the same instances go on with good ones."""
    with tempfile.TemporaryDirectory() as folder:
        model, rng = f"{folder}/model.bfm", np.random.default_rng(3)
        open(model, "w").write(text)
        weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in {"embed_0.table": (16, 8), "head_0.w": (16, 8), **params}.items()}
        save(f"{folder}/weights.safetensors", weights)
        tokens = rng.integers(0, 16, 2 * 32)
        tokens.astype("<i4").tofile(f"{folder}/tokens")
        run(BFMC, "build", model, "-o", f"{folder}/libx.so", "-q")
        compile_embedder(folder, program="sizes")
        order = [l for pair in itertools.zip_longest(bad, good) for l in pair if l]
        said = run(f"{folder}/sizes", f"{folder}/weights.safetensors", f"{folder}/tokens", 2, folder, *order).stdout.splitlines()
        wanted = [f"{entry} {l}: " + ("ran" if l in good else f"model.bfm:4: the length must be {need}; it is {l}") for l in order for entry in ("forward", "backward")]
        assert len(said) == len(wanted) and all(line.startswith(w.split(": ")[0]) and line.endswith(w.split(": ", 1)[1]) for line, w in zip(said, wanted)), said
        for l in good:
            x = weights["embed_0.table"].astype(float)[tokens[:2 * l].reshape(2, l)] * 8 ** 0.5
            assert largest(np.fromfile(f"{folder}/logits_{l}", np.float32), made(x, weights) @ weights["head_0.w"].astype(float).T) < 1e-5, l
        assert all(not os.path.exists(f"{folder}/logits_{l}") for l in bad)


SMALL = """use std.layers
use std.routers
model m {
    vocab = VOCAB
    context = CONTEXT
    embed(d = 6)
    attention(heads = 1, head_dim = 2)
    ffn(hidden = 1, act = gelu)
    moe(experts = 1, hidden = 1, act = gelu, router = topk(k = 1, capacity = none))
    moe(experts = 2, hidden = 1, act = gelu, router = topk(k = 2, capacity = none)) wiring = pre_post norm = layer_norm
    head(tied = false)
}
"""


def check_small(vocab, context, batch, length):
    """Models with one of something: the interpreter's numbers, and the decoder's are the forward pass's bits."""
    with tempfile.TemporaryDirectory() as folder:
        model, tokens = f"{folder}/model.bfm", np.random.default_rng(5).integers(0, vocab, (batch, length + 1)).astype(np.int32)
        open(model, "w").write(SMALL.replace("VOCAB", str(vocab)).replace("CONTEXT", str(context)))
        run(BFMC, "build", model, "-o", f"{folder}/libx.so", "-q")
        compile_embedder(folder)
        got = embed(folder, "-", tokens)
        np.save(f"{folder}/tokens.npy", tokens)
        run(BFMC, "grad", model, "--weights", f"{folder}/saved.safetensors", "--tokens", f"{folder}/tokens.npy", "--out", f"{folder}/g.safetensors", "--engine", "interp")
        expected = safetensors(f"{folder}/g.safetensors")
        for name, of in (("logits", "logits"), ("cross_entropy", "cross_entropy"), ("table_gradient", "embed_0.table")):
            right = expected[of].ravel()
            assert got(name).shape == right.shape and np.abs(got(name) - right).max() <= 2e-5 * max(1, np.abs(right).max()), (vocab, context, batch, length, name)
        assert (got("decoded").view(np.int32) == got("logits").view(np.int32)).all(), (vocab, context, batch, length)


def check_errors():
    model = f"{GOLDEN}/dense_rope/model.bfm"
    with tempfile.TemporaryDirectory() as folder:
        for arguments, code, says in (
                ([model, "-o", f"{folder}/none/libx.so"], 3, "cannot be written"),
                ([model, "-o", f"{folder}/x.o"], 1, "must end in .so"),
                ([f"{model}:nothing", "-o", f"{folder}/libx.so"], 1, "nothing"),
                ([f"{folder}/no.bfm", "-o", f"{folder}/libx.so"], 1, "no.bfm"),
                ([model, "-o", f"{folder}/libx.so", "--emit=exe"], 2, "exe"),
                ([model, "-o", f"{folder}/libx.so", "--recipe", "nothing"], 1, "nothing")):
            done = run(BFMC, "build", *arguments, code=code)
            assert says in done.stderr, done.stderr
            assert os.listdir(folder) == [], os.listdir(folder)


check_errors()
for case in ("dense_rope", "dense_untied"):
    check_golden(case)
check_lengths(MULTIPLES, "a multiple of 4", (7, 3, 30, 1, 2), (8, 4, 32), patch_mean)
check_lengths(SHORT, "at least 3", (1, 2), (3, 4, 8, 32), short_steps, **{"steps_0.w": (4, 8)})
for small in ((2, 1, 2, 1), (1, 1, 1, 1), (3, 4, 1, 1), (3, 4, 3, 4)):
    check_small(*small)
check_init_and_step()
check_resume("adamw(rate = 0.01)", "moe(experts = 4, hidden = 16, act = gelu, router = loss_free(k = 1, capacity = 2, group = batch))")
check_resume("adamw(rate = 0.01)", "of_one_mode()")
check_resume("adafactor(rate = 0.01, beta1 = 0.9, decay = power)", "ffn(hidden = 32, act = gelu)", "schedule = cosine(warmup = 2, floor = 0.1)")
print("ok")
