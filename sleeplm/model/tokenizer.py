"""Text to token ids and back: the CLIP vocabulary of the official weights, and a small one.

Both are made of the ``tokenizers`` library and stand as ``tokenizer.json`` beside their weights.
The CLIP vocabulary spends one token on every digit. The small one spends one on a whole number
and one on its first decimal (``39.1`` is ``39`` and ``.1``), because a small decoder learns
numbers that way and hardly at all digit by digit.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import tokenizers
import torch
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from torch import Tensor

from sleeplm.errors import WeightsError

__all__ = [
    "ClipTokenizer",
    "SmallTokenizer",
    "Tokenizer",
    "clean",
    "join_pieces",
    "load_tokenizer",
    "restore_names",
]

CLIP_VOCABULARY_FILE = "bpe_simple_vocab_16e6.txt.gz"
MERGES_FILE = "merges.txt"
"""The same merges as other CLIP repositories keep them."""
CLIP_VOCAB_SIZE = 49408
CLIP_SOT, CLIP_EOT = "<start_of_text>", "<end_of_text>"
CLIP_PATTERN = (
    r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
WORD_END = "</w>"
GZIP_MAGIC = b"\x1f\x8b"
CLIP_MERGES_SHA256 = "f61f2adf497e6f5357c347aeb4646fabe82f341e946de5bdec5d2858e41bef4a"
"""Of the 48,894 merges joined by line feeds, so that a vocabulary from anywhere can be trusted."""

SMALL_PAD, SMALL_SOT, SMALL_EOT = "<pad>", "<sot>", "<eot>"
LARGEST_NUMBER = 300
# A word with at most one digit behind it (c3, n2, spo2), a number, its first decimal, one sign.
SMALL_PATTERN = r" ?\p{L}+(?:\d(?!\d))?| ?\d+|\.\d| ?[^\s\p{L}\d]|\s+"
SPACE = "Ġ"  # how byte-level vocabularies write a space


class Tokenizer(Protocol):
    """What the model, the reader and training need of either vocabulary."""

    pad: int
    sot: int
    eot: int

    @property
    def vocab_size(self) -> int: ...

    def encode(self, text: str) -> list[int]:
        """Ids with the start token before and the end token behind."""

    def batch(self, texts: Sequence[str], length: int) -> Tensor:
        """Ids [len(texts), length], padded with 0; what is longer is cut and ends with the end
        token."""

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids, without start, end and pads, in lower case as the model writes it."""

    def readable(self, ids: Iterable[int]) -> str:
        """Text of ids as a person reads it: numbers joined, names and sentence case restored."""

    def save(self, path: Path | str) -> None:
        """Write ``tokenizer.json``."""


class _Base:
    """Rows of ids from a ``tokenizers.Tokenizer``."""

    pad = 0
    sot: int
    eot: int

    def __init__(self, inner: tokenizers.Tokenizer, sot: str, eot: str) -> None:
        self._inner = inner
        self.sot, self.eot = self._id(sot), self._id(eot)

    def _id(self, name: str) -> int:
        index = self._inner.token_to_id(name)
        if index is None:
            raise WeightsError(f"tokenizer.json: the vocabulary has no {name!r} token")
        return index

    @property
    def vocab_size(self) -> int:
        return self._inner.get_vocab_size()

    def _plain(self, text: str) -> str:
        return text

    def encode(self, text: str) -> list[int]:
        return [self.sot, *self._inner.encode(self._plain(text)).ids, self.eot]

    def batch(self, texts: Sequence[str], length: int) -> Tensor:
        rows = torch.full((len(texts), length), self.pad, dtype=torch.long)
        encodings = self._inner.encode_batch([self._plain(text) for text in texts])
        for row, encoding in zip(rows, encodings, strict=True):
            ids = [self.sot, *encoding.ids, self.eot]
            if len(ids) > length:
                ids = [*ids[: length - 1], self.eot]
            row[: len(ids)] = torch.tensor(ids)
        return rows

    def save(self, path: Path | str) -> None:
        self._inner.save(str(path))


class ClipTokenizer(_Base):
    """The byte-level BPE of CLIP: 49,408 tokens, lower case, every digit on its own.

    Parameters
    ----------
    inner : tokenizers.Tokenizer
        From :meth:`from_vocabulary` or a ``tokenizer.json``.
    """

    def __init__(self, inner: tokenizers.Tokenizer) -> None:
        super().__init__(inner, CLIP_SOT, CLIP_EOT)
        self._bytes = {char: byte for byte, char in byte_symbols().items()}

    @classmethod
    def from_vocabulary(cls, path: Path | str) -> ClipTokenizer:
        """Build from ``bpe_simple_vocab_16e6.txt.gz``, or from the same merges in ``merges.txt``.

        Raises
        ------
        WeightsError
            The file cannot be read or is not that vocabulary.
        """
        try:
            raw = Path(path).read_bytes()
            if raw.startswith(GZIP_MAGIC):
                raw = gzip.decompress(raw)
            lines = raw.decode("utf-8").split("\n")
        except (OSError, UnicodeDecodeError, EOFError) as error:
            raise WeightsError(f"{path}: not the CLIP vocabulary ({error})") from error
        symbols = list(byte_symbols().values())
        n_merges = CLIP_VOCAB_SIZE - 2 * len(symbols) - 2
        pairs = [line.split() for line in lines[1 : n_merges + 1]]
        merges = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]
        if len(merges) < n_merges:
            raise WeightsError(f"{path}: not the CLIP vocabulary (it needs {n_merges} merges)")
        joined = "\n".join(" ".join(merge) for merge in merges)
        if hashlib.sha256(joined.encode()).hexdigest() != CLIP_MERGES_SHA256:
            raise WeightsError(f"{path}: not the CLIP vocabulary (its merges are others)")
        tokens = [*symbols, *(symbol + WORD_END for symbol in symbols)]
        tokens += ["".join(merge) for merge in merges] + [CLIP_SOT, CLIP_EOT]
        inner = tokenizers.Tokenizer(
            models.BPE(
                vocab={token: index for index, token in enumerate(tokens)},
                merges=merges,
                end_of_word_suffix=WORD_END,
            )
        )
        inner.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(CLIP_PATTERN), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        # The release turns these words of a text into the special ids; so do we.
        inner.add_tokens([AddedToken(name, normalized=False) for name in (CLIP_SOT, CLIP_EOT)])
        return cls(inner)

    def _plain(self, text: str) -> str:
        return clean(text)

    def decode(self, ids: Iterable[int]) -> str:
        """Pieces with the spaces of the release: ``3 9 . 0 5 %``; see :meth:`readable`.

        Id 0 is left out like start and end: it is the pad, and ``!`` before a sign.
        """
        dropped = {self.pad, self.sot, self.eot}
        return self.decode_exactly(index for index in ids if index not in dropped).strip()

    def readable(self, ids: Iterable[int]) -> str:
        return restore_names(join_pieces(self.decode(ids)))

    def decode_exactly(self, ids: Iterable[int]) -> str:
        """Every id, start, end and pads included, as the release decodes."""
        pieces = [self._inner.id_to_token(int(index)) or "" for index in ids]
        joined = "".join(pieces)
        raw = bytearray()
        for part in re.split(f"({re.escape(CLIP_SOT)}|{re.escape(CLIP_EOT)})", joined):
            if part in (CLIP_SOT, CLIP_EOT):
                raw += part.encode()
            else:
                raw += bytes(self._bytes[char] for char in part)
        return raw.decode("utf-8", errors="replace").replace(WORD_END, " ")


class SmallTokenizer(_Base):
    """A vocabulary of whole words and whole numbers, with single bytes for all the rest.

    Pad is 0. Text is lower-cased; every text can be encoded, and decodes to itself in lower case
    with single spaces.
    """

    def __init__(self, inner: tokenizers.Tokenizer) -> None:
        super().__init__(inner, SMALL_SOT, SMALL_EOT)
        if inner.token_to_id(SMALL_PAD) != self.pad:
            raise WeightsError(f"tokenizer.json: {SMALL_PAD!r} must have id 0")

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 1536) -> SmallTokenizer:
        """A vocabulary of the words of ``texts``, most frequent first.

        Give it captions of every system and wording, and the prompts that will be asked: a word
        that is not in it costs one token per letter.

        Parameters
        ----------
        texts : iterable of str
        vocab_size : int
            Upper limit; 3 special tokens, 256 bytes and some 610 numbers come first.

        Raises
        ------
        ValueError
            ``vocab_size`` leaves no room for words.
        """
        fixed = [SMALL_PAD, SMALL_SOT, SMALL_EOT, *byte_symbols().values()]
        for number in range(LARGEST_NUMBER + 1):
            fixed += [f"{SPACE}{number}", str(number)]
        fixed += [f".{digit}" for digit in range(10)]
        tokens = dict.fromkeys(fixed)
        if vocab_size <= len(tokens):
            raise ValueError(f"vocab_size {vocab_size} must be above {len(tokens)}")
        counts: Counter[str] = Counter()
        splitter = _small_inner(tokens)
        for text in texts:
            normal = splitter.normalizer.normalize_str(text)
            counts.update(
                piece
                for piece, _ in splitter.pre_tokenizer.pre_tokenize_str(normal)
                if len(piece) > 1 and not piece.lstrip(SPACE).isdigit()
            )
        for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            if len(tokens) >= vocab_size:
                break
            tokens[word] = None
        return cls(_small_inner(tokens))

    @classmethod
    def load(cls, path: Path | str) -> SmallTokenizer:
        """Read a ``tokenizer.json``."""
        return cls(_read(path))

    def decode(self, ids: Iterable[int]) -> str:
        dropped = {self.pad, self.sot, self.eot}
        kept = [int(index) for index in ids if int(index) not in dropped]
        return self._inner.decode(kept, skip_special_tokens=False).removeprefix(" ")

    def readable(self, ids: Iterable[int]) -> str:
        return restore_names(self.decode(ids))


def _small_inner(tokens: Iterable[str]) -> tokenizers.Tokenizer:
    """Whole pieces where the vocabulary has them, else bytes: BPE without a single merge."""
    inner = tokenizers.Tokenizer(
        models.BPE(
            vocab={token: index for index, token in enumerate(tokens)},
            merges=[],
            ignore_merges=True,
        )
    )
    inner.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
            normalizers.Prepend(" "),  # so that a first word is the token it is elsewhere
        ]
    )
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SMALL_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    return inner


def _read(path: Path | str) -> tokenizers.Tokenizer:
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; a weights folder holds its tokenizer.json")
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise WeightsError(f"{path}: not a tokenizer.json ({error})") from error


def load_tokenizer(place: Path | str, kind: str) -> ClipTokenizer | SmallTokenizer:
    """The vocabulary in a weights folder: its ``tokenizer.json``, or for ``clip`` the merges file.

    Parameters
    ----------
    place : path
        The folder, or the file itself.
    kind : {"clip", "small"}

    Raises
    ------
    WeightsError
        Neither is there, or it is not of that kind.
    """
    place = Path(place)
    path = place if place.is_file() else place / "tokenizer.json"
    if kind == "small":
        return SmallTokenizer.load(path)
    if path.suffix == ".json" and path.is_file():
        return ClipTokenizer(_read(path))
    found = find_merges(place)
    if found is None:
        raise WeightsError(
            f"{place}: holds neither tokenizer.json nor {CLIP_VOCABULARY_FILE}; put the CLIP "
            "vocabulary there"
        )
    return ClipTokenizer.from_vocabulary(found)


def find_merges(place: Path) -> Path | None:
    """The CLIP merges in a folder (the release keeps them in one of its own), or ``place``."""
    if place.is_file():
        return place
    for name in (CLIP_VOCABULARY_FILE, MERGES_FILE):
        if (place / name).is_file():
            return place / name
    return next(iter(sorted(place.glob(f"*/{CLIP_VOCABULARY_FILE}"))), None)


@lru_cache
def byte_symbols() -> dict[int, str]:
    """A printable character for every byte, in the order of the CLIP and GPT-2 vocabularies."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    symbols = {byte: chr(byte) for byte in printable}
    symbols.update({byte: chr(256 + index) for index, byte in enumerate(others)})
    return symbols


def clean(text: str) -> str:
    """The release's cleaning: mend mojibake, unescape HTML twice, one space, lower case.

    Mending needs the ftfy package; plain ASCII text, all that captions use, does not.
    """
    if not text.isascii() or "&" in text:
        try:
            import ftfy
        except ImportError:  # a bare training machine
            pass
        else:
            text = ftfy.fix_text(text)
    text = html.unescape(html.unescape(text))
    return re.sub(r"\s+", " ", text.strip()).lower()


_NAMES: dict[str, str | Callable[[re.Match[str]], str]] = {
    r"\bc3-([am])2\b": lambda match: f"C3-{match[1].upper()}2",
    r"\bc4-([am])1\b": lambda match: f"C4-{match[1].upper()}1",
    r"\bspo2\b": "SpO2",
    r"\bn([123])\b": r"N\1",
    r"\beeg\b": "EEG",
    r"\beog\b": "EOG",
    r"\bemg\b": "EMG",
    r"\becg\b": "ECG",
    r"\brem\b": "REM",
    r"\bhrv\b": "HRV",
    r"\brmssd\b": "RMSSD",
    r"\bhz\b": "Hz",
    r"\brera\b": "RERA",
    r"\bcheyne-stokes\b": "Cheyne-Stokes",
}


def join_pieces(text: str) -> str:
    """The spaced pieces of the CLIP vocabulary as text: ``c 4 - a 1`` → ``c4-a1``."""
    text = " ".join(text.split())
    text = re.sub(r"(?<=\d) (?=\d)", "", text)
    text = re.sub(r"(?<=\d) ?\. (?=\d)", ".", text)
    text = re.sub(r"\b([acmn]) (?=[1-4]\b)", r"\1", text)
    text = re.sub(r"\bspo 2\b", "spo2", text)
    text = re.sub(r"(?<=\d) (?=%)", "", text)
    text = re.sub(r" +([.,;:)])", r"\1", text)
    text = re.sub(r"\( +", "(", text)
    text = re.sub(r"(?<=\w) ?' ?(?=(?:s|t|re|ve|m|ll|d)\b)", "'", text)
    return re.sub(r"(?<=\w) ([-/]) (?=\w)", r"\1", text)


def restore_names(text: str) -> str:
    """Capitals that lower-casing took: EEG, C3-A2, SpO2, N2 … and the start of a sentence."""
    for pattern, name in _NAMES.items():
        text = re.sub(pattern, name, text)
    return re.sub(r"(^|[.!?] )([a-z])", lambda match: match[1] + match[2].upper(), text)
