"""Training as torchrun starts it, watched: writes down every window read or trained on, and dies where it is told to.

WATCH names the folder to write to; DIE_AT the optimiser step at which every process kills itself.
"""

import hashlib
import os
import signal
from pathlib import Path

from chromhub.datasets_scripts.dataset import WindowDataset
from chromhub.finetune.train import main
from chromhub.finetune.trainer import ChromTrainer

gather, set_epoch, training_step = WindowDataset.batch, WindowDataset.set_epoch, ChromTrainer.training_step


def watched_gather(self, indices):
    part = "train" if self.reverse_complement else "valid"
    with (Path(os.environ["WATCH"]) / f"{part}-{self.watched_epoch}").open("a") as file:  # one write a line: atomic
        file.write("".join(f"{os.environ['RANK']} {index}\n" for index in indices))
    return gather(self, indices)


def watched_epoch(self, epoch):
    self.watched_epoch = epoch
    set_epoch(self, epoch)


def watched_step(self, model, inputs, *args, **kwargs):
    step = self.state.global_step
    if step == int(os.environ.get("DIE_AT", -1)):
        os.kill(os.getpid(), signal.SIGKILL)
    if "mask" not in inputs:  # else a window of N, of a rank that has none left
        names = [hashlib.sha256(window.numpy().tobytes()).hexdigest() for window in inputs["inputs"]]
        with (Path(os.environ["WATCH"]) / f"trained-{int(self.state.epoch or 0)}").open("a") as file:
            file.write("".join(f"{os.environ['RANK']} {step} {name}\n" for name in names))
    return training_step(self, model, inputs, *args, **kwargs)


WindowDataset.batch = watched_gather
WindowDataset.set_epoch = watched_epoch
ChromTrainer.training_step = watched_step

if __name__ == "__main__":
    main()
