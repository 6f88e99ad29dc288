"""How weights compute: number formats, threads, compilation.

float32 is exact and the default everywhere. What the others cost in accuracy is measured by
``python -m benchmarks.model`` and stated in ``docs/model.md``. The head that gives logits stays
in float32 in every format: half precision makes ties of close tokens.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

import torch
from torch import nn

from sleeplm.errors import WeightsError
from sleeplm.model.recoca import ReCoCa

__all__ = ["FORMATS", "has_bf16", "one_thread_for", "prepare"]

FORMATS = ("fp32", "bf16", "int8", "auto")

# Rows · width² of a pass that one thread does best: one row of the Base shape, which waits for
# memory, and up to 36 rows of the embedded model, whose products take microseconds.
ONE_THREAD_WORK = 768**2

logger = logging.getLogger(__name__)
_threads_lock = threading.RLock()


@contextlib.contextmanager
def one_thread_for(rows: int, width: int, device: torch.device) -> Iterator[None]:
    """Compute on one CPU thread within, if a pass of so many rows gains nothing from more.

    The other threads would not help: they spin between dozens of tiny parallel pieces (attention
    of one query, one row of GELU), which doubles the CPU time and, on a busy machine, multiplies
    the wall time. The number of threads is the process's: it is put back after each pass.
    """
    if device.type != "cpu" or rows * width**2 > ONE_THREAD_WORK:
        yield
        return
    with _threads_lock:
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(1)
            yield
        finally:
            torch.set_num_threads(before)


def prepare(
    model: ReCoCa,
    dtype: str = "fp32",
    device: str | torch.device | None = None,
    *,
    threads: int | None = None,
    compiled: bool = False,
) -> str:
    """Bring a model, freshly loaded in float32 on the CPU, into the form that will compute.

    Parameters
    ----------
    model : ReCoCa
        Changed in place.
    dtype : {"fp32", "bf16", "int8", "auto"}
        ``bf16``: weights and activations of encoder, text tower and decoder in bfloat16.
        ``int8``: their plain linear layers with int8 weights and dynamically quantized
        activations, CPU only. ``auto``: bf16 where the hardware computes it, else fp32.
    device : str or torch.device, optional
        Where it will run; by default a GPU where there is one.
    threads : int, optional
        CPU threads of torch, for the whole process.
    compiled : bool
        Compile the encoder on first use.

    Returns
    -------
    str
        The format chosen.

    Raises
    ------
    WeightsError
        The format is not known, or cannot be had for this model on this device.
    """
    if dtype not in FORMATS:
        raise WeightsError(f"dtype {dtype!r} is not known; use one of {', '.join(FORMATS)}")
    if threads is not None:
        if threads < 1:
            raise WeightsError(f"threads must be at least 1, not {threads}")
        torch.set_num_threads(threads)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    extended = any(True for _ in model.extensions.parameters())
    if dtype == "auto":
        dtype = "bf16" if has_bf16(device) and not extended else "fp32"
    if dtype != "fp32" and extended:
        raise WeightsError(
            f"{model.config.name}: dtype {dtype} is for weights without extensions; these are "
            "small, use fp32"
        )
    if dtype == "int8" and device.type != "cpu":
        raise WeightsError(f"dtype int8 computes on the CPU only, not on {device}; use bf16")
    if dtype == "bf16":
        if not has_bf16(device):
            logger.warning("%s emulates bfloat16: expect it to be slower than float32", device)
        _cast(model, torch.bfloat16)
    elif dtype == "int8":
        _quantize(model)
    if compiled:
        encoder = model.biosignals
        encoder.contextualise = torch.compile(  # type: ignore[method-assign]
            encoder.contextualise
        )
    return dtype


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in checks)


def _cast(model: ReCoCa, dtype: torch.dtype) -> None:
    decoder = model.text_decoder
    kept = {
        id(weight)
        for weight in (
            model.logit_scale,
            decoder.text_projection,
            *decoder.ln_final.parameters(),
            model.biosignals.shared_channel_rope.freqs,
        )
    }
    for weight in model.parameters():
        if id(weight) not in kept:
            weight.data = weight.data.to(dtype)


def _quantize(model: ReCoCa) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces another home for this
        from torch.ao.quantization import quantize_dynamic

        for part in (model.biosignals.transformer_blocks, model.text, model.text_decoder):
            quantize_dynamic(part, {nn.Linear}, dtype=torch.qint8, inplace=True)
