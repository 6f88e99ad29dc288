"""Write the gradients of a recipe's first step: run plainly, or under torchrun by the tests."""

import sys
from pathlib import Path

import torch

from train.distributed import joined
from train.loop import _Run
from train.recipe import load_recipe

recipe, corpus, out, target = map(Path, sys.argv[1:])
ranks = joined()
run = _Run(load_recipe(recipe), out, ranks, lambda line: None, corpus)
run.model.eval()  # dropout would draw otherwise in each process
terms = run.gradients(run.batches(0))
found = {
    name: parameter.grad.full_tensor() if hasattr(parameter.grad, "full_tensor") else parameter.grad
    for name, parameter in run.model.named_parameters()
    if parameter.grad is not None
}
if ranks.leads:
    torch.save(found, target)
if ranks.world > 1:
    torch.distributed.destroy_process_group()
