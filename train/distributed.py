"""One process or many: who I am, sums over all ranks, and rows gathered with their gradients.

Started by ``torchrun`` (which sets RANK, LOCAL_RANK and WORLD_SIZE) a run uses every process of
the job; started plainly it is alone, and everything here passes its argument through.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Ranks", "all_sum", "gathered", "joined"]


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def rows(self, size: int) -> range:
        """The rows of a global batch that are this process's share.

        Raises
        ------
        ValueError
            The batch does not divide among the processes.
        """
        if size % self.world:
            raise ValueError(
                f"batch_size {size} does not divide among {self.world} processes; "
                "choose a multiple of them"
            )
        share = size // self.world
        return range(self.rank * share, (self.rank + 1) * share)

    def wait(self) -> None:
        """Until every process has come here."""
        if self.world > 1:
            dist.barrier()


def joined() -> Ranks:
    """Join the processes of a torchrun job, by NCCL where there are GPUs, else by gloo."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
    if world == 1:
        return Ranks(0, 1, device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Ranks(dist.get_rank(), dist.get_world_size(), device)


def _world() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def all_sum(value: Tensor) -> Tensor:
    """A number summed over all ranks, without a gradient."""
    value = value.detach().clone()
    if _world() > 1:
        dist.all_reduce(value)
    return value


def mean_over_ranks(total: Tensor, count: Tensor) -> Tensor:
    """This rank's share of a mean over the global batch.

    ``total`` and ``count`` are this rank's sum and number of terms. The result is scaled so that
    its average over the ranks, which is what DDP takes of gradients, is the global mean, however
    unevenly the terms lie.
    """
    return total * _world() / all_sum(count.to(total.dtype)).clamp(min=1)


def gathered(rows: Tensor) -> Tensor:
    """Rows [B, …] of every rank as [world · B, …], in rank order; gradients find their way back."""
    if _world() == 1:
        return rows
    if not rows.requires_grad:
        parts = [torch.empty_like(rows) for _ in range(_world())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(rows.contiguous()))
