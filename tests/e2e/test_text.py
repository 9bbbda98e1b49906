"""Text comes out as it went in: pack to ids and back, what a tokenizer does not keep, the beginning and the end of what a model writes."""
import collections
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import time
import unittest

import numpy as np

from harness import BFMC, TINY, Case, bfmc, safetensors, sentencepiece

SPACE = "\u2581"
SPECIAL = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3)]
LETTERS = [(SPACE, -3, 1), (SPACE + "the", -2, 1)] + [(c, -4, 1) for c in "abcdefghijklmnopqrstuvwxyz"]
BYTES = [(f"<0x{b:02X}>", 0, 6) for b in range(256)]
CERTAIN = """use std.layers
model m { vocab = %d context = 16 embed(d = %d) head(tied = false) }
recipe r { optimizer = o(rate = 0) batch = 1 context = 8 steps = 1 }
use std.optimizers
optimizer o(w[n], g[n]; rate: real) { return w[i] - rate * g[i] }
"""
WHITE_SPACE = {*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}


def ids_of(path):
    """The ids of a token file, document by document, read as data/tokens.h lays it out."""
    with open(path, "rb") as file:
        raw = file.read()
    width, = struct.unpack_from("<I", raw, 12)
    _, count, documents, _, _, _, table, _ = struct.unpack_from("<8Q", raw, 16)
    ids = np.frombuffer(raw, "<u2" if width == 2 else "<i4", count, 128)
    starts = np.frombuffer(raw, "<u8", documents + 1, table)
    return [ids[int(a):int(b)].tolist() for a, b in zip(starts, starts[1:])]


def pieces_of(path):
    """(text, type) of each piece of a SentencePiece model."""
    with open(path, "rb") as file:
        raw = file.read()

    def varint(at):
        value = shift = 0
        while True:
            value |= (raw[at] & 127) << shift
            shift += 7
            at += 1
            if raw[at - 1] < 128:
                return value, at

    def fields(at, end):
        while at < end:
            key, at = varint(at)
            size, at = varint(at) if key & 7 in (0, 2) else (4 if key & 7 == 5 else 8, at)
            if key & 7 == 0:
                yield key >> 3, size
                continue
            yield key >> 3, (at, at + size)
            at += size

    for number, span in fields(0, len(raw)):
        if number == 1:
            piece = dict(fields(*span))
            yield raw[piece[1][0]:piece[1][1]].decode(), piece.get(3, 1)


def back(ids, pieces, strip):
    """What ids stand for: bytes as they are, U+2581 a space, control symbols nothing; `strip`: how many leading spaces are the model's own (None: all)."""
    out = b""
    for i in ids:
        text, kind = pieces[i]
        piece = bytes([int(text[1:-1], 16)]) if kind == 6 else b"" if kind == 3 else " \u2047 ".encode() if kind == 2 else text.replace(SPACE, " ").encode()
        if not out and kind == 1 and strip != 0 and piece[:1] == b" ":
            piece = piece[1:]
            strip = strip if strip is None else strip - 1
        out += piece
    return out


def lost(text, result):
    """The counts that data.json holds for one document."""
    was, now = (collections.Counter(map(ord, x.decode("utf-8", "surrogateescape"))) for x in (text, result))
    gone = was - now
    invalid = sum(n for c, n in gone.items() if 0xDC80 <= c <= 0xDCFF)
    white = sum(n for c, n in gone.items() if c in WHITE_SPACE)
    return {"documents": int(text != result), "white_space": white, "invalid_bytes": invalid, "characters": sum(gone.values()) - white - invalid, "added": sum((now - was).values())}


def texts(count, seed):
    units = [b" ", b"  ", b"\n", b"\n\n", b"\t", b"\r\n", b"    ", b"the ", b"a", b"word", "é".encode(), "日本".encode(), "😀".encode(), "👩‍👧".encode(), "e\u0301".encode(), "\ufeff".encode(),
             "\ue000".encode(), "\ufffd".encode(), "\u2581".encode(), "\u2585".encode(), "\u00a0\u3000".encode(), b"\x00", b"\x01\x7f", b"\xff", b"\x80", b"\xc3", b"\xe3\x81", b"\xf0\x9f\x98", b"\xed\xa0\x80",
             b"<s>", b"<0x41>", b"<unk>", b"z" * 5000]
    chance = random.Random(seed)
    return [b"".join(chance.choices(units, weights=[4] * 9 + [1] * (len(units) - 10) + [0.02], k=chance.randrange(1, 40))) for _ in range(count)]


class RoundTrip(Case):
    def packed(self, documents, tokenizer, folder="d"):
        """The ids of each document, in order, and data.json; each document ends in its number so that no two are equal."""
        out = self.path(folder)
        done = bfmc("data", "pack", self.write("t.txt", b"@@@".join(documents)), "--document-separator", "@@@", "--split", "100", "--tokenizer", tokenizer, "--out", out)
        if done.returncode == 3 and "without SentencePiece" in done.stderr:
            self.skipTest("no SentencePiece")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(out, "data.json")) as file:
            return ids_of(os.path.join(out, "train.tok")), json.load(file)["parts"]["train"], done.stderr

    def test_nothing_is_lost(self):
        documents = [t + b"%d" % i for i, t in enumerate(texts(150, 1))]
        ids, part, said = self.packed(documents, "byte")
        self.assertEqual([bytes(d) for d in ids], documents)
        self.assertEqual((part["lost"], said), ({"documents": 0, "white_space": 0, "invalid_bytes": 0, "characters": 0, "added": 0}, ""))
        for n in (300, 400):
            ids, part, said = self.packed(documents, f"train:{n}")
            pieces = list(pieces_of(self.path("d", "tokenizer.model")))
            self.assertEqual(len(pieces), n)
            self.assertEqual([back(d, pieces, 0) for d in ids], documents)
            self.assertEqual((set(part["lost"].values()), said), ({0}, ""))

    def test_what_is_lost_is_counted(self):
        documents = [t + b" %d" % i for i, t in enumerate(texts(150, 2))]
        for model, strip in ((sentencepiece(SPECIAL + LETTERS), None), (sentencepiece(SPECIAL + LETTERS + BYTES), None),
                             (sentencepiece(SPECIAL + LETTERS + BYTES, remove_extra_whitespaces=False), 1), (sentencepiece(SPECIAL + LETTERS, add_dummy_prefix=False, remove_extra_whitespaces=False), 0)):
            ids, part, said = self.packed(documents, self.write("given.model", model))
            pieces = list(pieces_of(self.path("d", "tokenizer.model")))
            right = collections.Counter()
            for text, d in zip(documents, ids):
                right.update(lost(text, back(d, pieces, strip)))
            self.assertEqual(part["lost"], dict(right))
            self.assertGreater(part["lost"]["documents"], 0)
            for name in ("documents", "white_space", "invalid_bytes", "characters"):
                self.assertIn(str(right[name]), said)
            self.assertEqual(self.json("data", "show", self.path("d"))["parts"]["train"]["lost"], dict(right))

    def test_a_lossless_model_of_others_is_used_so(self):
        documents = [t + b"%d" % i for i, t in enumerate(texts(100, 3))]
        ids, part, _ = self.packed(documents, self.write("given.model", sentencepiece(SPECIAL + LETTERS + BYTES, add_dummy_prefix=False, remove_extra_whitespaces=False)))
        pieces = list(pieces_of(self.path("d", "tokenizer.model")))
        self.assertEqual([back(d, pieces, 0) for d in ids], documents)
        self.assertEqual(part["lost"]["documents"], 0)

    def test_little_to_learn_from(self):
        for text in (b"a", b"ab", b"\n", b" \n\t", b"....", b"a" * 3000, b"\xff\xfe", "日本語".encode(), b"0123456789"):
            ids, _, said = self.packed([text], "train:300")
            pieces = list(pieces_of(self.path("d", "tokenizer.model")))
            self.assertEqual([back(d, pieces, 0) for d in ids], [text])
            self.assertLessEqual(len(pieces), 300)
            self.assertIn(f"gives {len(pieces)} pieces", said)
        done = self.fails(1, "300", "data", "pack", self.path("t.txt"), "--tokenizer", "train:299", "--out", self.path("e"))
        self.assertNotIn("character_coverage", done.stderr)
        for bad in (b"", b"no model", b"\x0a\xff\xff\xff\xff\x0f"):
            done = self.fails(1, "bad.model", "data", "pack", self.path("t.txt"), "--tokenizer", self.write("bad.model", bad), "--out", self.path("e"))
            self.assertNotIn(".cc", done.stderr)

    def test_little_to_split(self):
        four = self.write("four.txt", "\n\n\n\n")
        self.fails(1, ["1 of them different", "3 parts", "--split 100"], "data", "pack", four, "--out", self.path("x"))
        self.ok("data", "pack", four, "--split", "100", "--out", self.path("x"))
        self.fails(1, ["1 document", "2 parts"], "data", "pack", self.write("one.txt", "all of it"), "--document-separator", "@@", "--split", "90,10", "--out", self.path("y"))
        self.fails(1, "keeps nothing", "data", "pack", self.write("blank.txt", " " * 9), "--split", "100", "--tokenizer", self.write("m.model", sentencepiece(SPECIAL + LETTERS)), "--out",
                   self.path("y"))
        self.assertFalse(os.path.exists(self.path("y")))
        ids, _, _ = self.packed([b"", b"a", b"", b" ", b"b\n"], "byte")
        self.assertEqual([bytes(d) for d in ids], [b"a", b" ", b"b\n"])  # an empty document is none


class Writing(Case):
    """Models whose next token is certain: the table is the identity, the head maps a token to the next."""

    def craft(self, chain, vocab, tokenizer="byte", text="some words of a text\n" * 60):
        shutil.rmtree(self.path("run"), ignore_errors=True)
        model = self.write("m.bfm", CERTAIN % (vocab, vocab))
        self.ok("data", "pack", self.write("t.txt", text), "--tokenizer", tokenizer, "--split", "100", "--out", self.path("data"), "-q")
        follows = np.zeros((vocab, vocab), np.float32)
        for a, b in zip(chain, chain[1:]):
            follows[b, a] = 1
        weights = self.write("w.safetensors", safetensors({"embed_0.table": np.eye(vocab, dtype=np.float32), "head_0.w": follows}))
        self.ok("train", model, self.path("data"), "--init", weights, "--out", self.path("run"), "-q")
        return self.path("run")

    def written(self, run, n, *more, code=0):
        done = subprocess.run([BFMC, "generate", run, "-n", str(n), "--temperature", "0", *more], capture_output=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout

    def test_the_end(self):
        for chain in ("AあéB😀.".encode(), "A\ufffd.".encode(), b"A\xf0\x9fB\xe3\x81C\xff\x80D\xed\xa0\xc3", b"A\xf4\x90.\xc0\xaf", b"A\x00\x01\t\r\n"):
            self.assertEqual(len(set(chain)), len(chain))
            run = self.craft(chain, 256)
            for n in range(1, len(chain)):
                right = chain[:n + 1].decode(errors="replace")
                self.assertEqual(self.written(run, n, "--prompt", "A").decode(), right + "\n")
                report = json.loads(self.written(run, n, "--prompt", "A", "--json"))
                self.assertEqual((report["tokens"], report["prompt"] + report["text"]), (n, right))

    def test_a_prompt_that_ends_inside_a_character(self):
        run = self.craft("Aあ.".encode(), 256)
        prompt = "Aあ".encode()[:3]
        self.assertEqual(self.written(run, 2, "--prompt", prompt).decode(), "Aあ.\n")
        report = json.loads(self.written(run, 2, "--prompt", prompt, "--json"))
        self.assertEqual((report["prompt"], report["text"]), ("A", "あ."))
        self.assertEqual(self.written(run, 0, "--prompt", prompt), "A\ufffd".encode())

    def test_the_beginning(self):
        run = self.craft(b"\nAB", 256)
        self.assertEqual(self.written(run, 2), b"AB\n")
        self.assertEqual(self.written(run, 2, "--prompt", ""), b"AB\n")
        plain = [("<unk>", 0, 2)]
        for pieces, begins, more in ((SPECIAL + LETTERS, 1, {}), (plain + [("</s>", 0, 3)] + LETTERS, 1, {}), (plain + LETTERS, 1, {}),
                                     (plain + LETTERS + BYTES, 1 + len(LETTERS) + 10, dict(add_dummy_prefix=False, remove_extra_whitespaces=False))):
            a = [text for text, _, _ in pieces].index("a")
            run = self.craft([begins, a, a + 1], len(pieces), self.write("g.model", sentencepiece(pieces, **more)))
            self.assertEqual(self.written(run, 2), b"ab\n", (pieces[:4], begins, more))
            if more == {}:
                done = self.ok("generate", run, "-n", 2, "--temperature", 0, "--prompt", "  ")
                self.assertIn("keeps nothing of the prompt", done.stderr)

    def test_byte_pieces(self):
        """A character in byte pieces, cut at each place, between pieces of text."""
        pieces = SPECIAL + LETTERS + BYTES
        first = len(SPECIAL + LETTERS)
        place = {text: i for i, (text, _, _) in enumerate(pieces)}
        word = [place["a"]] + [first + b for b in "é😀".encode()] + [place[SPACE + "the"], first + 0xE3, place["b"], first + 0xF0, first + 0x9F]
        right = [b"a"] + [bytes([b]) for b in "é😀".encode()] + [b" the", b"\xe3", b"b", b"\xf0", b"\x9f"]
        run = self.craft([1] + word, len(pieces), self.write("g.model", sentencepiece(pieces)))
        for n in range(1, len(word) + 1):
            self.assertEqual(self.written(run, n).decode(), b"".join(right[:n]).decode(errors="replace") + "\n")

    def test_a_signal(self):
        chain = "あ".encode()
        run = self.craft(list(chain) + [chain[0]], 256)
        with subprocess.Popen([BFMC, "generate", run, "-n", "100000000", "--temperature", "0", "--prompt", "あ", "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            first = process.stdout.read(300)
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            rest, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 75, said)
        text = (first + rest).decode()  # whole characters but for the last
        self.assertIn(text, ("あ" * text.count("あ") + "\n", "あ" * text.count("あ") + "\ufffd\n"))


if __name__ == "__main__":
    unittest.main()
