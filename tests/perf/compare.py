"""bfmc and a peer side by side, in turns A B B A, and the ratio of their times.

    python compare.py --bfmc build/release/bfmc --fma build/release/fma_loop --peer-python VENV/bin/python [WORKLOAD …]

Every sample takes at least 0.2 s. A loop of multiply-adds in registers runs before and after each: a turn during which its rate fell below
--calm of the best is thrown away. The figure is the median over turns of (time of the peer / time of bfmc): above 1, bfmc is faster."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
# workload: file and name, batch, length, width (0: a model), further arguments, the peer's workload
WORKLOADS = {
    "block": ("block.bfm:block", 2, 512, 512, [], "block"),
    "model": ("block.bfm:model", 2, 512, 0, ["--recipe", "adamw"], "model"),
    "gpt": ("gpt.bfm:gpt", 1, 1024, 768, [], "gpt"),
    "attn": ("attn.bfm:attn", 1, 1024, 1536, [], "attn"),
    "attn_unfused": ("attn.bfm:attn", 1, 1024, 1536, [], "attn_unfused"),
    "head": ("head.bfm:head_model", 1, 1024, 0, [], "head"),
    "adamw": ("adamw.bfm:weights", 1, 1, 64, ["--recipe", "adamw"], "adamw"),  # of bfmc's step the update alone
}


class Paced:
    """A process that takes one sample for each line it is given."""

    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def wait_ready(self):
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self.process.args))} ended with {self.process.wait()}")
        return json.loads(line)

    def sample(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()

    def finish(self):
        self.process.stdin.close()
        report = self.process.stdout.read()
        self.process.wait()
        return json.loads(report) if report.strip() else {}


def start_bfmc(options, workload, program=None):
    target, batch, length, width, more, _ = WORKLOADS[workload]
    file, _, name = target.partition(":")
    command = [program or options.bfmc, "profile", f"{HERE / file}:{name}", "--batch", str(batch), "--length", str(length), "--threads", str(options.threads)]
    return Paced(command + (["--width", str(width)] if width else []) + more + ["--json", "--quiet", "--steps", "3", "--paced"])


def start_peer(options, workload):
    if options.peer_bfmc:
        return start_bfmc(options, workload, options.peer_bfmc)
    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
    return Paced([options.peer_python, str(HERE / "peers.py"), WORKLOADS[workload][5], "--engine", options.engine, "--threads", str(options.threads), "--paced"], environment)


def turns(options, own, peer, fma, update_only):
    """One turn A B B A each: means of the times of both sides, on the clock and of all CPUs, and the lowest rate of the loop."""
    result = []
    for number in range(options.turns):
        rates, samples = [fma.sample()["gflops_per_s"]], {own: [], peer: []}
        for side in (own, peer, peer, own):
            samples[side].append(side.sample())
            if update_only and (side is own or options.peer_bfmc):
                samples[side][-1]["step_s"] = samples[side][-1]["update_s"]
            rates.append(fma.sample()["gflops_per_s"])
        mean = {side: {key: (first[key] + second[key]) / 2 for key in ("step_s", "cpu_s")} for side, (first, second) in samples.items()}
        result.append({"own": mean[own], "peer": mean[peer], "rate": min(rates)})
        print(f"  turn {number + 1}: bfmc {mean[own]['step_s']:.4f} s, peer {mean[peer]['step_s']:.4f} s, loop {min(rates):.0f} GFLOP/s", file=sys.stderr)
    return result


def spread(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def compare(options, workload):
    fma = Paced([options.fma, str(options.threads)])
    own = start_bfmc(options, workload)
    own.wait_ready()
    peer = start_peer(options, workload)
    peer.wait_ready()
    for side in (fma, own, peer):
        side.sample()
    measured = turns(options, own, peer, fma, workload == "adamw")
    report, other = own.finish(), peer.finish()
    fma.finish()
    best = max(turn["rate"] for turn in measured)
    calm = [turn for turn in measured if turn["rate"] >= options.calm * best]
    peer_memory, peer_first = (other["memory"], other["compile"]["cold"]) if options.peer_bfmc else (other, other)
    return {
        "workload": workload, "engine": options.engine, "threads": options.threads, "turns": len(measured), "calm_turns": len(calm),
        "ratio": spread([turn["peer"]["step_s"] / turn["own"]["step_s"] for turn in calm]),
        "ratio_of_cpu_time": spread([turn["peer"]["cpu_s"] / turn["own"]["cpu_s"] for turn in calm]),
        "bfmc_s": statistics.median(turn["own"]["step_s"] for turn in calm), "peer_s": statistics.median(turn["peer"]["step_s"] for turn in calm),
        "loop_gflops_per_s": spread([turn["rate"] for turn in calm]),
        "share_of_sgemm": report["sgemm"]["share"], "bfmc_resident_peak_bytes": report["memory"]["resident_peak_bytes"],
        "bfmc_planned_bytes": report["memory"]["planned_bytes"] + report["memory"]["formals_bytes"], "peer_resident_peak_bytes": peer_memory["resident_peak_bytes"],
        "bfmc_cold": report["compile"]["cold"], "bfmc_warm": report["compile"]["warm"], "peer_first_step_s": peer_first["first_step_s"],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--bfmc", default=HERE / "../../build/release/bfmc")
    parser.add_argument("--fma", default=HERE / "../../build/release/tests/perf/fma_loop")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--peer-bfmc", help="another bfmc as the peer: what a change of this project costs")
    parser.add_argument("--engine", choices=["eager", "compile"], default="eager")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--calm", type=float, default=0.8)
    options = parser.parse_args()
    for workload in options.workloads or WORKLOADS:
        if workload not in WORKLOADS:
            parser.error(f"no workload `{workload}`: {', '.join(WORKLOADS)}")
        print(json.dumps(compare(options, workload)), flush=True)


if __name__ == "__main__":
    main()
