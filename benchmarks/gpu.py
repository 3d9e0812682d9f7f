"""Everything that `speed.py` measures, on a GPU or any other device, and the shares of its ceilings reached.

    python benchmarks/gpu.py [--device cuda] [--repeats 5] [--json]

The ceilings are measured too: a large float32 product and a large sum of two arrays. Tokens a second are those
drawn (sampling) or learnt from (MLE).
"""

from __future__ import annotations

import argparse
import json

import speed
import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = speed.report(torch.device(options.device), options.repeats)
    for name, part in found["parts"].items():
        if name in ("sampling", "MLE epoch"):
            part["tokens_per_second"] = speed.N * speed.T / part["least"]
        if "operations" in part:
            part["share_of_matrix_rate"] = part["operations"] / part["least"] / found["matrix_rate"]
            part["share_of_bandwidth"] = part["bytes"] / part["least"] / found["bandwidth"]
    if options.json:
        print(json.dumps(found))
        return
    print(f"{found['machine']}, torch {found['torch']}: ", end="")
    print(f"{found['matrix_rate'] / 1e12:.2f} Tflop/s float32, {found['bandwidth'] / 1e9:.0f} GB/s")
    for name, part in found["parts"].items():
        line = f"{name:22}{part['least']:9.3f} s least{part['median']:9.3f} s median{part['floor']:9.3f} s floor"
        if "operations" in part:
            line += f", {part['share_of_matrix_rate']:.0%} of the rate"
            line += f", {part['share_of_bandwidth']:.0%} of the bandwidth"
        if "tokens_per_second" in part:
            line += f", {part['tokens_per_second']:,.0f} tokens a second"
        print(line)


if __name__ == "__main__":
    main()
