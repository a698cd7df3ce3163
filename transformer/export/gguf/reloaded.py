"""A GGUF file as llama.cpp loads it: its server, within this process, on this machine alone."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cached_property
from http.client import HTTPConnection
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from gguf import GGUFReader, LlamaFileType, ReaderField
from jaxtyping import Float, Int
from torch import Tensor

from transformer.export.gguf.architectures import ARCHITECTURES
from transformer.export.gguf.number_formats import NUMBER_FORMATS
from transformer.export.gguf.vocabulary import SUPPRESSED
from transformer.export.reloaded import Reloaded
from transformer.system.errors import UserError

_ALL = 10_000_000  # the server gives no more than there are
_MOST = 2_000_000  # probabilities that are asked for: in JSON, more take minutes


class ReloadedFile(Reloaded):
    def __init__(self, path: Path) -> None:
        fields = GGUFReader(path).fields
        self.tolerance = _tolerance(fields)
        self._num_added = int(SUPPRESSED in fields)
        self._server = _server(path)
        self._address = urlsplit(self._server.listening_address).netloc
        self._next([0], 1)  # a server that is left before its loop has begun never ends

    def logits(self, tokens: Int[Tensor, "1 T"]) -> Float[Tensor, "1 N V"]:
        """Logarithms of probabilities: logits but for one number at each position.

        N positions, of the whole context all but the last, after which the server draws nothing. Of
        V tokens: one that was added to the model's is left out.
        """
        row = tokens[0].tolist()
        given = [self._next(row[: at + 1], _ALL) for at in self._positions(len(row))]
        by_id = [{token["id"]: token["logprob"] for token in one} for one in given]
        found = [[one[id_] for id_ in range(self._num_tokens)] for one in by_id]
        return torch.tensor([found], dtype=torch.float64).log_softmax(-1)

    def comparable(self, ours: Float[Tensor, "1 T V"]) -> Float[Tensor, "1 N V"]:
        return ours[:, self._positions(ours.shape[1])].log_softmax(-1)

    def continued(self, tokens: Sequence[int], num_new: int) -> list[int]:
        row = list(tokens)
        for _ in range(num_new):
            row.append(self._next(row, 1)[0]["id"])
        return row[len(tokens) :]

    def encode(self, text: str) -> list[int]:
        return self._asked("/tokenize", {"content": text, "parse_special": False})["tokens"]

    def decode(self, ids: Sequence[int]) -> str:
        return self._asked("/detokenize", {"tokens": list(ids)})["content"]

    def _positions(self, length: int) -> list[int]:
        return list(range(0, length - 1, 1 + length * self._num_tokens // _MOST))

    @cached_property
    def _num_tokens(self) -> int:
        return len(self._next([0], _ALL)) - self._num_added

    @cached_property
    def _drawn(self) -> int:
        """A token that is one or more whole characters."""
        return next(id_ for id_ in count() if self.encode(self.decode([id_])) == [id_])

    def _next(self, tokens: list[int], number: int) -> list[dict[str, Any]]:
        """The `number` likeliest tokens that follow, the likeliest first."""
        given = {"prompt": tokens, "n_predict": 1, "n_probs": number, "temperature": 0.0}
        # The server leaves out the probabilities where the token that it draws ends the text or is
        # a part of a character. So it is made to draw another, which changes no probability.
        given["logit_bias"] = [[self._drawn, 1e9]]
        return self._asked("/completion", given)["completion_probabilities"][0]["top_logprobs"]

    def _asked(self, path: str, given: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        # Each on its own: the server leaves a connection that waits for some seconds.
        with closing(HTTPConnection(self._address)) as connection:
            connection.request("POST", path, json.dumps(given).encode(), headers)
            answer = json.load(connection.getresponse())
        if "error" in answer:
            raise _failed(f"answers: {answer['error'].get('message')}")
        return answer


def _tolerance(fields: Mapping[str, ReaderField]) -> float:
    architecture = ARCHITECTURES[fields["general.architecture"].contents()]
    file_type = LlamaFileType(fields["general.file_type"].contents()).name
    stored = (kind for kind in NUMBER_FORMATS.values() if kind.file_type_name == file_type)
    return max(architecture.tolerance, *(kind.tolerance for kind in stored))


def _server(path: Path) -> Any:
    """Computes in float32, keys and values included, and keeps no file open.

    With one thread: several wait for each other, which takes longer where others use the machine.
    """
    xllamacpp: Any = import_module("xllamacpp")  # compiled, without types
    given = xllamacpp.CommonParams()
    given.model.path = str(path)
    given.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
    given.n_ctx = 0  # as the file says
    given.n_parallel = 1
    given.n_gpu_layers = 0
    given.cpuparams.n_threads = given.cpuparams_batch.n_threads = 1
    given.cache_ram_mib = 0
    given.warmup = False
    given.verbosity = -1
    given.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    given.cache_type_k = given.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    try:
        return xllamacpp.Server(given)
    except RuntimeError as error:
        raise _failed(f"does not load the file: {error}") from None


def _failed(reason: str) -> UserError:
    return UserError(
        f"nothing is written: llama.cpp {' '.join(reason.split())}; try the version of xllamacpp "
        "that requirements-dev.txt names"
    )
