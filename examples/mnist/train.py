"""Train 784-128-64-10 on MNIST, tracked by MLflow: in one process or, under torchrun, in many; on CPU or CUDA."""

from __future__ import annotations

import gzip
import math
import os
import random
import shutil
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import hyperparameters
import mlflow
import mlflow.pytorch
import numpy as np
import torch
import torch.distributed as dist
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torchvision.datasets import MNIST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MEAN, STD = 0.1307, 0.3081  # of the training images' pixels, scaled to 0..1


@dataclass(frozen=True)
class Process:
    """This process's place among those that train together."""

    rank: int
    world_size: int
    device: torch.device


@dataclass(frozen=True)
class Images:
    """Normalized pixels (N, 784) and labels (N,), in the memory of the device that trains."""

    pixels: Tensor
    labels: Tensor

    def __getitem__(self, index: slice | Tensor) -> Images:
        """Return the chosen images."""
        return Images(self.pixels[index], self.labels[index])


def unpacked_data() -> Path:
    """Return the folder whose MNIST/raw holds the four unpacked files, after unpacking what is still packed.

    The data folder is $MNIST_DATA, else `data` beside this file; where it is read-only, files are unpacked below
    the temporary folder.
    """
    source = Path(os.environ.get("MNIST_DATA") or Path(__file__).resolve().parent / "data")
    packed = [file for file in (source / "MNIST/raw").glob("*-ubyte.gz") if not file.with_suffix("").exists()]
    if not packed:
        return source
    raw = source / "MNIST/raw"
    if not os.access(raw, os.W_OK):
        raw = Path(tempfile.gettempdir(), f"mnist-{os.getuid()}", "MNIST/raw")
        raw.mkdir(parents=True, exist_ok=True)
    for file in packed:
        target = raw / file.stem
        if not target.exists():
            part = raw / f"{file.stem}.{os.getpid()}"  # several processes may unpack at once
            with gzip.open(file) as reader, part.open("wb") as writer:
                shutil.copyfileobj(reader, writer)
            part.replace(target)
    return raw.parents[1]


def load(root: Path, device: torch.device, *, train: bool) -> Images:
    """Return the training or the test images, normalized once for all epochs."""
    try:
        data = MNIST(root, train=train)
    except RuntimeError:
        sys.exit(f"train.py: error: the MNIST files are not in {root}/MNIST/raw; set MNIST_DATA to where MNIST/raw is")
    pixels = data.data.to(device, torch.float32).div_(255).sub_(MEAN).div_(STD)
    return Images(pixels.flatten(1), data.targets.to(device))


def seed_everything(seed: int) -> None:
    """Seed every source of random numbers and choose deterministic algorithms."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries may use the global generator)
    torch.manual_seed(seed)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs to be deterministic
    torch.use_deterministic_algorithms(mode=True)


def make_network(hidden_sizes: Sequence[int]) -> nn.Sequential:
    """Return fully connected layers with ReLU between them."""
    sizes = pairwise([28 * 28, *hidden_sizes, 10])
    layers = [layer for wide, narrow in sizes for layer in (nn.Linear(wide, narrow), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def evaluate(network: nn.Module, images: Images) -> tuple[float, float]:
    """Return mean loss and accuracy."""
    output = network(images.pixels)
    correct = (output.argmax(1) == images.labels).sum().item()
    return cross_entropy(output, images.labels).item(), correct / len(images.labels)


def fit(
    network: nn.Module, images: Images, params: hyperparameters.Params, process: Process
) -> Iterator[dict[str, float]]:
    """Train the network in place; yield the metrics of each epoch, the same in every process.

    All processes draw the same batches and each takes its share of every batch: their number changes the result
    by rounding only.
    """
    count = len(images.labels) - params.validation_size
    train, validation = images[:count], images[count:]
    model = DistributedDataParallel(network) if process.world_size > 1 else network
    fast = params.recipe == "fast"
    optimizer = torch.optim.SGD(model.parameters(), params.lr, params.momentum, nesterov=fast and params.momentum > 0)
    schedule = None
    if fast:
        steps = params.epochs * math.ceil(count / params.batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, params.lr, steps, div_factor=10, final_div_factor=1000, cycle_momentum=False
        )
    shuffle = torch.Generator().manual_seed(params.seed)
    for epoch in range(1, params.epochs + 1):
        start = time.perf_counter()
        sums = torch.zeros(2, dtype=torch.float64, device=process.device)
        for batch in torch.randperm(count, generator=shuffle).to(process.device).split(params.batch_size):
            share = train[batch[process.rank :: process.world_size]]
            output = model(share.pixels)
            loss = cross_entropy(output, share.labels, reduction="sum", label_smoothing=params.label_smoothing)
            optimizer.zero_grad()
            (loss * process.world_size / len(batch)).backward()  # DDP averages: together, the mean of the batch
            optimizer.step()
            if schedule:
                schedule.step()
            sums += torch.stack([loss.detach(), (output.argmax(1) == share.labels).sum()])
        if process.world_size > 1:
            dist.all_reduce(sums)
        loss_mean, accuracy = (sums / count).tolist()
        metrics = {"epoch": epoch, "loss": loss_mean, "accuracy": accuracy}
        if params.validation_size:
            metrics["val_loss"], metrics["val_accuracy"] = evaluate(network, validation)
        yield metrics | {"epoch_seconds": time.perf_counter() - start}


def join() -> Process:
    """Join the processes that torchrun started; alone without torchrun."""
    rank, local_rank, world_size = (
        int(os.environ.get(name, default)) for name, default in [("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1)]
    )
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if world_size > 1:
        dist.init_process_group("nccl" if cuda else "gloo", device_id=device if cuda else None)
    return Process(rank, world_size, device)


def leave(process: Process) -> None:
    """Wait until every process has trained, and part."""
    if process.world_size > 1:
        dist.barrier()
        dist.destroy_process_group()


class Classifier(nn.Module):
    """The trained network as it is logged: for plain images, with pixels from 0 to 255."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return ten logits for each image of 28 x 28 pixels."""
        logits: Tensor = self.network((images.flatten(1) / 255 - MEAN) / STD)
        return logits


def log_model(network: nn.Module) -> None:
    """Log the network to MLflow as an exported graph: it loads without this file and without unpickling code."""
    float32 = np.dtype(np.float32)
    mlflow.pytorch.log_model(
        Classifier(network).cpu().eval(),
        name="model",
        serialization_format="pt2",
        signature=ModelSignature(
            inputs=Schema([TensorSpec(float32, (-1, 28, 28))]), outputs=Schema([TensorSpec(float32, (-1, 10))])
        ),
        input_example=np.zeros((2, 28, 28), float32),
        pip_requirements=[f"torch>={torch.__version__.partition('+')[0]}"],
    )


def main() -> None:
    """Train as the parameters say. All processes train; the first one tracks."""
    params, recorded = hyperparameters.read()
    if not os.environ.keys() & {"MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"}:
        os.environ["MLFLOW_EXPERIMENT_NAME"] = "mnist"
    process = join()
    first = process.rank == 0
    seed_everything(params.seed)
    root = unpacked_data()
    network = make_network(params.hidden_sizes).to(process.device)
    with mlflow.start_run() if first else nullcontext():
        if first:
            mlflow.log_params({name: value for name, value in asdict(params).items() if name not in recorded})
            mlflow.log_params({"device": process.device.type, "world_size": process.world_size})
        for metrics in fit(network, load(root, process.device, train=True), params, process):
            if first:
                epoch = int(metrics["epoch"])
                mlflow.log_metrics(metrics | {"progress": epoch / params.epochs}, step=epoch)
                shown = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items() if name != "epoch")
                print(f"epoch {epoch}/{params.epochs}  {shown}", flush=True)
        leave(process)
        if first:  # the test images are read here only, when nothing is left to choose
            loss, accuracy = evaluate(network, load(root, process.device, train=False))
            mlflow.log_metrics({"test_loss": loss, "test_accuracy": accuracy}, step=params.epochs)
            print(f"test  loss {loss:.4f}  accuracy {accuracy:.4f}", flush=True)
            log_model(network)


if __name__ == "__main__":
    main()
