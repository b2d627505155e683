"""Several processes train one model: the group that torchrun describes, or none.

Under ``torchrun --nproc-per-node W -m posetx train ...`` each of the W processes takes 1/W of
every batch, and their gradients are averaged (:func:`average_gradients`); all else (weights, their
average, optimiser states, schedule) is then the same on all of them without being sent. Without
torchrun every function here does nothing, at no cost.

DistributedDataParallel would send gradients while others are computed. It is not used, as it wants
every parameter to have one in every step; which have depends on what a batch knows.

What one process learns, W learn:

* Every term of the loss is a mean over the batch, and the mean of the means of equal slices is
  the batch's own; but for means over points that are known or that count more than others, of
  which slices have not equally many: :mod:`posetx.training.losses` divides by :func:`mean`'s
  number there.
* The samples are as many and of the same kind, but not the same ones: each process draws its own
  from :func:`step_seed`. Drawing the same ones would mean that everyone draws the whole batch, a
  tenth of a step on one process and almost half of one on eight.
* Whatever depends on a clock, the schedule and the end of the run, goes by the first process's
  (:func:`agreed`): processes that disagree about the last step would wait for each other forever.

The run's folder has to be on a disk that all processes see.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from posetx.errors import FieldError, UsageError

#: a host's numbers go through gloo also where gradients go through nccl: no GPU is waited for
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}


def start(device: torch.device) -> torch.device:
    """Join torchrun's group, if this process is of one; returns the device that it is to use.

    Raises
    ------
    UsageError
        If processes outnumber this machine's GPUs, or `device` is one that cannot be shared out.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched():
        return device
    if device.type not in BACKENDS:
        raise FieldError("device", device, "several processes train on cpu or cuda")
    if device.type == "cuda":
        if device.index is not None:
            raise FieldError("device", device, "torchrun's processes share the GPUs out; use cuda")
        here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if here > gpus:
            raise UsageError(f"torchrun: {here} processes a machine, but it has {gpus} CUDA GPU(s)")
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group(BACKENDS[device.type])
    return device


def finish() -> bool:
    """Leave the group; returns whether this process is the first, which does what is left."""
    if world() == 1:
        return True
    last_word = first()
    mean(torch.zeros(()))  # nobody leaves while another still waits for an answer
    dist.destroy_process_group()
    return last_word


def world() -> int:
    """How many processes train this model."""
    return dist.get_world_size() if _joined() else 1


def first() -> bool:
    """Whether this process is the one that writes, shows and exports."""
    return not _joined() or dist.get_rank() == 0


def own_share(batch: int) -> int:
    """How many of a global batch's samples are this process's.

    Raises UsageError where the batch is not divisible by the number of processes. Only the first
    process does: the others, who know as much, leave with the same exit code and without a word.
    """
    if batch % world() == 0:
        return batch // world()
    agreed(batch)  # that is, the first process is here and about to say it
    if not first():
        raise SystemExit(UsageError.exit_code)
    raise FieldError(
        "batch",
        batch,
        f"not divisible by torchrun's {world()} processes; take another batch or number of them",
    )


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Give each parameter the mean of its gradients on all processes.

    Those without a gradient stay without; they have to be the same ones everywhere.
    """
    if world() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    # one message: a model has some hundred tensors, most of them small
    means = mean(torch.cat([g.flatten() for g in gradients]))
    for gradient, part in zip(gradients, means.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def agreed(number: float) -> float:
    """The first process's ``number``, on all of them."""
    if world() == 1:
        return number
    told = torch.tensor(number, dtype=torch.float64)
    dist.broadcast(told, src=0)
    return float(told)


def mean(value: Tensor) -> Tensor:
    """The mean over the processes of a float tensor of any shape; without a gradient."""
    if world() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world()


def step_seed(seed: int, samples: int) -> int:
    """What this process draws the samples of one step from, ``samples`` being those before it.

    It follows from a run's seed alone, so that a checkpoint needs to hold no process's random
    state, and a resumed run may have another number of processes.
    """
    rank = dist.get_rank() if _joined() else 0
    state = np.random.SeedSequence([seed, samples, rank]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))  # torch's seeds are signed


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()
