"""How fast SleepLM-Base runs, against the plain algorithm of the release and the machine's limits.

    python -m benchmarks.model                     # all of the table, minutes to an hour on a CPU
    python -m benchmarks.model --epochs 8 --every 16 --memory-epochs 24      # shorter pieces
    python -m benchmarks.model --device cuda       # a whole night in bf16

Random weights of the Base shape (385.4 M parameters), float32. The baseline is the algorithm of
the authors' inference code on our own modules: every token runs text tower (with CLS) and decoder
over the whole text again and gives logits of all its positions; the signal is encoded again for
each system; one epoch at a time; attention is not fused; an embedding costs a dummy text of 256
tokens with its logits. Both sides are measured in one process; figures are CPU seconds
(``time.process_time``), which a busy machine disturbs less than wall time.

``--every N`` runs the baseline at every N-th text length only and integrates between them, since
its cost is smooth in the length; ``--steps N`` runs only the first N tokens of the large batch and
scales up. What was so shortened is said beside the figure.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from sleeplm.model import checkpoint, precision
from sleeplm.model.config import ModelConfig
from sleeplm.model.drafts import Drafts
from sleeplm.model.generation import Sampling, generate
from sleeplm.model.recoca import ReCoCa
from sleeplm.reader import SleepLM

SOT, EOT = 49406, 49407
SYSTEMS = 5
PROMPT_TOKENS = 20
BARS = {
    "encode": 1.8,
    "caption_64": 12.0,
    "caption_128": 25.0,
    "five_systems": 120.0,
    "text": 5.0,
}


def random_base(seed: int = 0) -> ReCoCa:
    """Base shape with random weights, built without drawing the initialisation twice."""
    with torch.device("meta"):
        model = ReCoCa(ModelConfig.base())
    model.to_empty(device="cpu")
    checkpoint._restore_buffers(model)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.ndim >= 2 or name.endswith("freqs"):
            weight.data.normal_(std=0.03, generator=generator)
        elif name.endswith("bias"):
            weight.data.zero_()
        else:
            weight.data.fill_(1.0)
    return model.eval().requires_grad_(False)


def cpu_seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


# ── the machine ──────────────────────────────────────────────────────────────────────────────────
def copy_bandwidth() -> float:
    """Bytes read and written per CPU second while copying 256 MiB."""
    source = torch.ones(64 * 2**20)
    target = torch.empty_like(source)
    target.copy_(source)
    best = min(cpu_seconds(lambda: target.copy_(source)) for _ in range(5))
    return 2 * 4 * source.numel() / best


def read_bandwidth() -> float:
    """Bytes read per CPU second by products of one row with matrices beyond any cache."""
    matrices = [torch.ones(3072, 3072) for _ in range(16)]
    row = torch.ones(1, 3072)

    def work() -> None:
        for matrix in matrices:
            torch.mm(row, matrix)

    work()
    return 16 * 4 * 3072**2 / min(cpu_seconds(work) for _ in range(3))


def matmul_rate() -> float:
    """FLOPs per CPU second of a product of 2048 × 2048 matrices."""
    one, other = torch.ones(2048, 2048), torch.ones(2048, 2048)
    torch.mm(one, other)
    return 2 * 2048**3 / min(cpu_seconds(lambda: torch.mm(one, other)) for _ in range(3))


# ── what must be moved and computed ──────────────────────────────────────────────────────────────
def token_parameters(model: ReCoCa) -> int:
    """Weights that one new token runs through: no embeddings, no keys of the fixed memory."""
    width = model.config.width
    text = sum(p.numel() for p in model.text.transformer.parameters())
    decoder = sum(p.numel() for p in model.text_decoder.parameters())
    of_memory = 2 * width * width + 2 * width  # keys and values of cross-attention
    return text + decoder - model.config.multimodal_cfg.layers * of_memory


def encoder_flops(model: ReCoCa) -> float:
    """Of one epoch: projections, attention over channels and over time, poolers' keys."""
    config = model.config.biosignals_cfg
    width, tokens = config.transformer_width, config.input_channels * config.patches
    blocks = sum(p.numel() for p in model.biosignals.transformer_blocks.parameters() if p.ndim > 1)
    stem = model.biosignals.embed_projection.weight.numel() + config.patch_size * 256
    attention = 2 * width * (config.input_channels + config.patches) * config.transformer_layers
    return 2.0 * tokens * (blocks + stem + attention + 2 * 2 * width * width)


# ── the release's algorithm on our modules ───────────────────────────────────────────────────────
def plain() -> Any:
    """Attention by its formula, without fusion."""
    return sdpa_kernel(SDPBackend.MATH)


def plain_logits(
    model: ReCoCa, ids: torch.Tensor, memory: torch.Tensor, indices: torch.Tensor
) -> torch.Tensor:
    """Logits of all positions of ids [rows, n] and of the prefix, with CLS behind the text."""
    states = model.text._run(ids, with_cls=True)[:, :-1]
    x = torch.cat((model.prefix(indices, len(ids)), states), dim=1)
    n_prefix, size = indices.shape[1], x.shape[1]
    seen = torch.ones(size, size, dtype=torch.bool).tril()
    seen[:n_prefix, :n_prefix] = True
    for block, cross in model.text_decoder.layers():
        x = cross(block(x, seen), *cross.memory_keys_values(memory))
    return model.text_decoder.logits(x)[:, n_prefix:]


def plain_caption(
    model: ReCoCa, signals: torch.Tensor, tokens: int, every: int, beams: int = 1
) -> tuple[float, list[int]]:
    """CPU seconds of one caption: the signal, then text lengths 1 … tokens one after the other.

    Several ``beams``, each a group of its own as in the release's demo, repeat the signal before
    it is encoded and write the same greedy text so many times.
    """
    indices = torch.tensor([[0, -1]] * beams)
    signals = signals.expand(beams, -1, -1)
    with plain():
        encode = cpu_seconds(lambda: model.encode_signal(signals))
        memory = model.encode_signal(signals).memory
        ids = torch.tensor([[SOT]] * beams)
        costs = {}
        for length in range(1, tokens + 1):
            if (length - 1) % every and length != tokens:
                ids = F.pad(ids, (0, 1), value=320)
                continue
            start = time.process_time()
            logits = plain_logits(model, ids, memory, indices)[:, -1]
            logits[:, EOT] = -torch.inf
            chosen = logits.argmax(-1, keepdim=True)
            costs[length] = time.process_time() - start
            ids = torch.cat((ids, chosen), dim=1)
    lengths = np.arange(1, tokens + 1)
    return encode + float(np.interp(lengths, list(costs), list(costs.values())).sum()), ids[
        0
    ].tolist()


def plain_embedding(model: ReCoCa, signals: torch.Tensor) -> None:
    """One epoch's embedding as the release's notebook gets it: with a dummy text and its logits."""
    ids = torch.zeros(1, 256, dtype=torch.long)
    ids[0, :2] = torch.tensor([SOT, EOT])
    with plain():
        memory = model.encode_signal(signals).memory
        plain_logits(model, ids[:, :-1], memory, torch.tensor([[0, -1]]))


# ── the table ────────────────────────────────────────────────────────────────────────────────────
def tokens_of(count: int) -> Sampling:
    return Sampling(min_length=1 + count, max_length=1 + count)


def encoded(model: ReCoCa, signals: torch.Tensor) -> torch.Tensor:
    """Memory of epochs [B, C, samples], in the chunks that SleepLM takes."""
    chunk = SleepLM(model, None, "0" * 64, "cpu")._chunk
    return torch.cat([model.encode_signal(part).memory for part in signals.split(chunk)])


def own_caption(
    model: ReCoCa, signals: torch.Tensor, tokens: int
) -> tuple[float, float, list[int], Drafts]:
    """CPU seconds of one caption without and with drafts, its ids, and what became of these.

    Nothing was written before: drafts come from the caption itself.
    """
    costs = []
    for drafted in (False, True):
        drafts: dict[int, Drafts] = {}
        sampling = dataclasses.replace(tokens_of(tokens), drafted=drafted)
        start = time.process_time()
        (written,) = generate(
            model,
            encoded(model, signals),
            torch.tensor([[0, -1]]),
            sot=SOT,
            eot=EOT,
            sampling=sampling,
            drafts=drafts,
        )
        costs.append(time.process_time() - start)
    return costs[0], costs[1], written, drafts[0]


@torch.inference_mode()
def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(arguments.threads)
    model = random_base()
    generator = torch.Generator().manual_seed(1)
    signals = torch.randn(arguments.epochs, 10, 1920, generator=generator)
    result: dict[str, Any] = {
        "threads": arguments.threads,
        "torch": torch.__version__,
        "copy_gb_s": copy_bandwidth() / 1e9,
        "read_gb_s": read_bandwidth() / 1e9,
        "matmul_gflop_s": matmul_rate() / 1e9,
        "parameters": sum(p.numel() for p in model.parameters()),
        "token_parameters": token_parameters(model),
        "encoder_gflop": encoder_flops(model) / 1e9,
    }
    say(result)
    model.encode_signal(signals[:1])  # first call: threads, buffers
    rows: dict[str, dict[str, Any]] = {}

    def row(name: str, baseline_s: float, ours_s: float, limit_s: float, note: str = "") -> None:
        rows[name] = {
            "baseline_s": baseline_s,
            "ours_s": ours_s,
            "ratio": baseline_s / ours_s,
            "bar": BARS.get(name),
            "limit_s": limit_s,
            "note": note,
        }
        say({name: rows[name]})

    flops = result["matmul_gflop_s"] * 1e9
    token_flops = 2.0 * result["token_parameters"]
    token_bytes = 4.0 * result["token_parameters"]
    encode_limit = encoder_flops(model) / flops

    some = min(arguments.epochs, arguments.baseline_epochs)
    start = time.process_time()
    memory = encoded(model, signals)
    encode_s = time.process_time() - start
    start = time.process_time()
    for one in signals[:some]:
        plain_embedding(model, one[None])
    theirs = time.process_time() - start
    row(
        "encode",
        theirs / some,
        encode_s / len(signals),
        encode_limit,
        f"per epoch; baseline over {some}, ours over {len(signals)} epochs",
    )
    for tokens in arguments.tokens:
        cost, ids = plain_caption(model, signals[:1], tokens, arguments.every)
        undrafted, mine, written, drafts = own_caption(model, signals[:1], tokens)
        # One token reads every weight once, and the cache behind it.
        cache = 2 * 4 * model.config.width * (tokens / 2) * 24
        limit = encode_limit + tokens * (token_bytes + cache) / (result["read_gb_s"] * 1e9)
        note = "same ids" if arguments.every == 1 and ids == written else ""
        if arguments.every > 1:
            note = f"baseline at every {arguments.every}th length"
        if note:
            note += "; "
        note += (
            f"without drafts {undrafted:.2f} s ({cost / undrafted:.1f} ×); {drafts.run} drafted "
            f"tokens run, {drafts.written / drafts.passes:.2f} tokens per pass"
        )
        row(f"caption_{tokens}", cost, mine, limit, note)
        if tokens == 64:
            one_caption = cost
            demo, _ = plain_caption(model, signals[:1], tokens, max(arguments.every, 16), beams=3)
            row("demo_64", demo, mine, limit, "baseline at every 16th length or fewer")
    steps = min(arguments.steps, 64)
    indices = torch.tensor([[m, -1] for _ in range(len(signals)) for m in range(SYSTEMS)])
    start = time.process_time()
    captions = generate(model, memory, indices, sot=SOT, eot=EOT, sampling=tokens_of(steps))
    decode_s = time.process_time() - start
    count = SYSTEMS * len(signals)
    distinct = sum(len({tuple(text[:n]) for text in captions}) for n in range(1, steps + 1))
    row(
        "five_systems",
        one_caption,
        (encode_s + decode_s * 64 / steps) / count,
        encode_limit / SYSTEMS + 64 * token_flops / flops,
        f"per caption, {len(signals)} epochs; {steps} of 64 tokens run; the text tower ran "
        f"{distinct / (steps * count):.0%} of the rows",
    )
    prompt = torch.zeros(1, 256, dtype=torch.long)
    prompt[0, :PROMPT_TOKENS] = torch.arange(1000, 1000 + PROMPT_TOKENS)
    prompt[0, 0], prompt[0, PROMPT_TOKENS - 1] = SOT, EOT

    def whole_text() -> None:
        with plain():
            model.text.embed_cls(model.text._run(prompt, with_cls=True)[:, -1])

    text_parameters = sum(p.numel() for p in model.text.transformer.parameters())
    row(
        "text",
        min(cpu_seconds(whole_text) for _ in range(3)),
        min(cpu_seconds(lambda: model.encode_text(prompt)) for _ in range(3)),
        max(
            4 * text_parameters / (result["read_gb_s"] * 1e9),
            2 * text_parameters * (PROMPT_TOKENS + 2) / flops,
        ),
        f"{PROMPT_TOKENS} tokens",
    )
    result["rows"] = rows
    return result


# ── memory, formats ──────────────────────────────────────────────────────────────────────────────
MEMORY_CHILD = """
import json, pathlib, re, sys
import numpy as np, torch
from benchmarks.model import random_base
from sleeplm.reader import SleepLM

def mb(name):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(name + r":\\s+(\\d+)", status)[1]) / 1024

class Enough(Exception):
    pass

def told(share):
    if share * epochs >= run:
        raise Enough

threads, epochs, run = map(int, sys.argv[1:])
torch.set_num_threads(threads)
model = SleepLM(random_base(), None, "0" * 64, "cpu")
pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
before = mb("VmRSS")
signals = np.random.default_rng(0).standard_normal((epochs, 10, 1920), dtype=np.float32)
try:
    model.encode(signals, progress=told)
except Enough:
    pass
print(json.dumps({"before_mb": before, "peak_mb": mb("VmHWM"), "chunk": model._chunk}))
"""


def measure_memory(threads: int, epochs: int, run: int) -> dict[str, float]:
    """Peak memory of encoding a night of ``epochs``, of which the first ``run`` are read."""
    child = subprocess.run(
        [sys.executable, "-c", MEMORY_CHILD, str(threads), str(epochs), str(run)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    measured: dict[str, float] = json.loads(child.stdout)
    measured["above_weights_mb"] = measured["peak_mb"] - measured["before_mb"]
    measured["epochs_run"] = run
    return measured


@torch.inference_mode()
def measure_formats(epochs: int, tokens: int) -> dict[str, dict[str, float]]:
    """What bf16 and int8 cost in accuracy and in time, on the same random weights."""
    exact = random_base()
    generator = torch.Generator().manual_seed(2)
    signals = torch.randn(epochs, 10, 1920, generator=generator)
    text = torch.randint(1000, 40000, (4, PROMPT_TOKENS), generator=generator)
    reference = exact.encode_signal(signals)
    embedded = exact.encode_text(text)
    ids = torch.randint(1000, 40000, (epochs, tokens), generator=generator)
    indices = torch.tensor([[0, -1]] * epochs)
    logits = exact.decode(exact.text_states(ids), reference.memory, indices)
    found: dict[str, dict[str, float]] = {}
    for name in ("bf16", "int8"):
        model = random_base()
        precision.prepare(model, name, "cpu")
        start = time.process_time()
        features = model.encode_signal(signals)
        seconds = time.process_time() - start
        theirs = model.decode(model.text_states(ids), features.memory, indices)
        signal_cosines = (features.embedding * reference.embedding).sum(-1)
        text_cosines = (model.encode_text(text) * embedded).sum(-1)
        found[name] = {
            "encode_s": seconds / epochs,
            "smallest_signal_cosine": float(signal_cosines.min()),
            "smallest_text_cosine": float(text_cosines.min()),
            "rms_logit_error": float((theirs - logits).square().mean().sqrt() / logits.std()),
            "same_next_token": float((theirs.argmax(-1) == logits.argmax(-1)).float().mean()),
        }
        say({name: found[name]})
    return found


# ── a GPU ────────────────────────────────────────────────────────────────────────────────────────
@torch.inference_mode()
def measure_gpu(epochs: int, tokens: int) -> dict[str, Any]:
    """A night in bf16 on a GPU: seconds, tokens per second, share of its measured matmul rate."""
    device = torch.device("cuda")
    exact = SleepLM(random_base(), None, "0" * 64, device)
    model = random_base()
    precision.prepare(model, "bf16", device)
    fast = SleepLM(model, None, "0" * 64, device)
    signals = np.random.default_rng(0).standard_normal((epochs, 10, 1920), dtype=np.float32)
    cosines = (exact.encode(signals[:32]) * fast.encode(signals[:32])).sum(-1)
    one = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)

    def seconds(work: Callable[[], Any]) -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - start

    seconds(lambda: one @ one)
    rate = 2 * 8192**3 / min(seconds(lambda: one @ one) for _ in range(5))
    encode_s = seconds(lambda: fast._read_anew(signals, None))
    written = 0

    def captions() -> None:
        nonlocal written
        for part in torch.from_numpy(signals).to(device).split(64):
            memory = fast.model.encode_signal(part).memory
            indices = torch.tensor([[m, -1] for _ in part for m in range(SYSTEMS)], device=device)
            rows = generate(
                fast.model, memory, indices, sot=SOT, eot=EOT, sampling=tokens_of(tokens)
            )
            written += sum(len(row) - 1 for row in rows)

    caption_s = seconds(captions)
    flops = epochs * encoder_flops(model) + 2.0 * token_parameters(model) * written
    return {
        "device": torch.cuda.get_device_name(),
        "encode_s": encode_s,
        "encode_share_of_peak": epochs * encoder_flops(model) / encode_s / rate,
        "captions_s": caption_s,
        "tokens_per_s": written / caption_s,
        "captions_share_of_peak": flops / caption_s / rate,
        "matmul_tflop_s": rate / 1e12,
        "smallest_cosine_bf16": float(cosines.min()),
    }


NAMES = {
    "encode": "encode a batch of epochs",
    "caption_64": "one caption, 64 new tokens",
    "caption_128": "one caption, 128 new tokens",
    "five_systems": "five systems, 64 tokens each, per caption",
    "text": "text prompt of 20 tokens",
    "demo_64": "the release's demo setting (3 beams in 3 groups, the same ids), 64 new tokens",
}


def as_markdown(result: dict[str, Any]) -> str:
    lines = [
        "| what | baseline CPU s | ours CPU s | ratio | bar | limit CPU s | ours / limit | how |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in result["rows"].items():
        bar = f"{row['bar']:g} ×" if row["bar"] else "–"
        lines.append(
            f"| {NAMES.get(name, name)} | {row['baseline_s']:.2f} | {row['ours_s']:.3f} | "
            f"{row['ratio']:.1f} × | {bar} | {row['limit_s']:.3f} | "
            f"{row['ours_s'] / row['limit_s']:.1f} | {row['note']} |"
        )
    return "\n".join(lines)


def say(found: dict[str, Any]) -> None:
    print(json.dumps(found, default=float), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=32, help="of the batch")
    parser.add_argument("--baseline-epochs", type=int, default=32, help="encoded by the baseline")
    parser.add_argument("--tokens", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--every", type=int, default=1, help="baseline at every N-th length")
    parser.add_argument("--steps", type=int, default=64, help="tokens of the large batch")
    parser.add_argument("--memory-epochs", type=int, default=960, help="of 960, read by encode")
    parser.add_argument("--formats", action="store_true", help="also bf16 and int8")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    if 64 not in arguments.tokens:
        parser.error("--tokens must hold 64: the table of five systems compares with it")
    if arguments.device == "cuda":
        say(measure_gpu(960, 64))
        return
    memory = measure_memory(arguments.threads, 960, arguments.memory_epochs)
    say({"memory": memory})
    result = measure(arguments)
    if arguments.formats:
        result["formats"] = measure_formats(2, 24)
    print(as_markdown(result))


if __name__ == "__main__":
    main()
