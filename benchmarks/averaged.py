"""How much better do models that differ in their seeds predict together? `python
benchmarks/averaged.py [CONFIG] [--seeds 4] [--sweeps_dir FOLDER]`

Trains a config with each seed through `sweep.py --ensemble`, which averages the probabilities of
the models. The losses and the seconds of the runs go to averaged.json. A sweep that the folder has
already is not trained again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from record import ROOT, recorded, save

NAME = "averaged"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="?", default=ROOT / "configs" / "default.yaml", type=Path)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--sweeps_dir", default="sweeps")
    arguments = parser.parse_args()
    command = [sys.executable, str(ROOT / "sweep.py"), "--config", str(arguments.config)]
    command += ["--seeds", str(arguments.seeds), "--ensemble", "--json"]
    command += ["--sweeps_dir", arguments.sweeps_dir]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8")
    found = json.loads(done.stdout)
    (ensemble,) = found["ensembles"]
    row: dict[str, Any] = {"config": arguments.config.name, "seeds": arguments.seeds}
    others = [other for other in recorded(NAME) if not row.items() <= other.items()]
    row |= {"losses": [run["loss"] for run in found["runs"]]}
    row |= {"seconds": [run["seconds"] for run in found["runs"]]}
    row |= {name: ensemble[name] for name in ("mean", "loss", "gain")}
    print(row)
    print(save(NAME, [*others, row]))


if __name__ == "__main__":
    main()
