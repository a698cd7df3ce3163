"""The tensors of a folder: one file of them, or several with an index. Runs no code of a file."""

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from os.path import isfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from transformer.storage.pretrained.places import INDEX, PICKLED, WEIGHTS, weights_of
from transformer.storage.pretrained.values import Values
from transformer.storage.tensor_file import read_tensor
from transformer.storage.training_state import READ_ERRORS, read_training_state
from transformer.system.errors import UserError
from transformer.system.files import read_bytes

_AGAIN = "copy or download the file again"


class TensorFile(ABC):
    """Tensors by name; a tensor is read when it is asked for."""

    shapes: Mapping[str, tuple[int, ...]]

    @abstractmethod
    def get(self, name: str) -> torch.Tensor: ...


class SafetensorsFile(TensorFile):
    """Raises: UserError for a file that is truncated or damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                names = file.keys()
                self.shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        except (SafetensorError, OSError, ValueError) as error:
            raise UserError(f"{path}: truncated or damaged ({error}); {_AGAIN}") from None

    def get(self, name: str) -> torch.Tensor:
        return read_tensor(self._path, name)


class PickledFile(TensorFile):
    """A `pytorch_model.bin`, from which torch reads plain numbers and no code.

    Raises: UserError for a file that is truncated or damaged, or that holds something else.
    """

    def __init__(self, path: Path) -> None:
        content = read_training_state(path) if zipfile.is_zipfile(path) else self._of_old(path)
        self._tensors = {str(name): value for name, value in content.items()}
        if not all(isinstance(value, torch.Tensor) for value in self._tensors.values()):
            raise UserError(f"{path}: holds more than tensors; use model.safetensors instead")
        # With strides of 0, a few numbers can be a tensor of any size.
        by_storage = {t.untyped_storage().data_ptr(): t for t in self._tensors.values()}
        if sum(tensor.nbytes for tensor in by_storage.values()) > path.stat().st_size:
            raise UserError(f"{path}: damaged: its tensors are larger than the file; {_AGAIN}")
        self.shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}

    @staticmethod
    def _of_old(path: Path) -> Mapping[str, torch.Tensor]:
        """The format before torch 1.6 is no archive of files."""
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # pickle's and torch's are of many types
            reason = str(error).splitlines()[0][:150] if str(error) else type(error).__name__
            raise UserError(f"{path}: truncated or damaged ({reason}); {_AGAIN}") from None
        if not isinstance(content, dict):
            raise UserError(f"{path}: holds no tensors by name; use model.safetensors instead")
        return content

    def get(self, name: str) -> torch.Tensor:
        return self._tensors[name]


class ShardedFiles(TensorFile):
    """Several files, and an index that says which of them holds which tensor.

    Raises: UserError for an index that is damaged, and for a file that is missing or lacks a
    tensor.
    """

    def __init__(self, index: Path) -> None:
        places = Values.read(index, "index of weights").inner("weight_map")
        names = places.names()
        files = {name: self._file(index, name, places.get(name)) for name in names}
        opened = {path: open_tensors(path) for path in dict.fromkeys(files.values())}
        self._files = {name: opened[path] for name, path in files.items()}
        for name, path in files.items():
            if name not in opened[path].shapes:
                raise UserError(f"{path}: lacks the tensor {name}, which {index.name} names")
        if len(names) != sum(len(file.shapes) for file in opened.values()):
            extra = next(_not_named(opened, set(names)))
            raise UserError(f"{extra}, which {index.name} does not name; {_AGAIN}")
        self.shapes = {name: self._files[name].shapes[name] for name in names}

    @staticmethod
    def _file(index: Path, name: str, value: object) -> Path:
        if not isinstance(value, str) or Path(value).name != value:
            raise UserError(f"{index}: damaged: the file of {name} is {value!r}; {_AGAIN}")
        return index.with_name(value)

    def get(self, name: str) -> torch.Tensor:
        return self._files[name].get(name)


def _not_named(opened: Mapping[Path, TensorFile], names: set[str]) -> Iterator[str]:
    for path, file in opened.items():
        yield from (f"{path}: has the tensor {name}" for name in file.shapes if name not in names)


def open_tensors(path: Path) -> TensorFile:
    """Raises: UserError for a file that is missing, truncated or damaged."""
    if not isfile(path):
        read_bytes(path, "file of weights")
    if path.name.endswith(INDEX):
        return ShardedFiles(path)
    return PickledFile(path) if path.suffix == Path(PICKLED).suffix else SafetensorsFile(path)


def tensors_of(folder: Path) -> TensorFile:
    """Raises: UserError for a folder without weights, and as `open_tensors`."""
    path = weights_of(folder)
    if path is None:
        raise UserError(f"{folder}: has no weights ({WEIGHTS} or {PICKLED}); copy them there")
    return open_tensors(path)


READ_TENSOR_ERRORS = (*READ_ERRORS, SafetensorError)
