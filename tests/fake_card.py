"""A graphics card that is not there: mistakes that only a machine with a card would show.

Tensors sent to the card stay where they are and are marked. They say that they are on a card, and
every torch function that would fail on one for mixing them with tensors of the processor fails
here too, as does whatever reads their memory without asking torch to bring them back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CARD = torch.device("cuda", 0)
CPU = torch.device("cpu")
_READS = {"numpy", "__array__"}
_INDEXED = {"__getitem__", "__setitem__"}
_DEVICE = Tensor.device.__get__  # type: ignore[attr-defined] # a property written in C
_IS_CUDA = Tensor.is_cuda.__get__  # type: ignore[attr-defined] # likewise


class MixedError(RuntimeError):
    """Tensors of the processor and of the card met."""


class OnCard(Tensor):
    """A tensor that was sent to the card."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment] # torch's way


class FakeCard(TorchFunctionMode):
    """While it is entered, ``cuda`` is a device."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs, name = dict(kwargs or {}), getattr(function, "__name__", "")
        if function == _DEVICE:
            return CARD if isinstance(args[0], OnCard) else CPU
        if function == _IS_CUDA:
            return isinstance(args[0], OnCard)
        here = any(isinstance(one, OnCard) for one in _tensors((args, kwargs)))
        if here and name in _READS:
            raise TypeError("can't convert a tensor on the card to numpy: copy it first (.cpu())")
        if name == "cpu":
            return _plain(args[0]).clone() if here else args[0]
        if name == "to":
            here, args, kwargs = _sent(here, args, kwargs)
            return _marked(function(*args, **kwargs), here)
        wanted = kwargs.get("device")
        if wanted is not None:
            here = torch.device(wanted).type == "cuda"
            kwargs["device"] = CPU
        else:
            _checked(name, args, kwargs)
        return _marked(function(*args, **kwargs), here)


def _sent(
    here: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[bool, tuple[Any, ...], dict[str, Any]]:
    """Return where `to` sends its tensor, and its arguments without the device."""
    kept: list[Any] = [_plain(args[0])]
    for one in args[1:]:
        if isinstance(one, str | torch.device):
            here = torch.device(one).type == "cuda"
        elif isinstance(one, Tensor):
            here = isinstance(one, OnCard)
            kept.append(one.dtype)
        else:
            kept.append(one)
    if kwargs.get("device") is not None:
        here = torch.device(kwargs.pop("device")).type == "cuda"
    if here != isinstance(args[0], OnCard):
        kept[0] = kept[0].clone()
    return here, tuple(kept) if len(kept) > 1 or kwargs else (kept[0], kept[0].dtype), kwargs


def _checked(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse what a card would refuse."""
    parts: tuple[Any, ...] = (args, kwargs)
    if name in _INDEXED:  # numbers of places may be on the processor, but only those
        if not isinstance(args[0], OnCard) and any(
            isinstance(one, OnCard) for one in _tensors(args[1])
        ):
            raise MixedError(f"{name}: a tensor of the processor, indices of the card")
        parts = (args[0], *args[2:])
    found = [one for one in _tensors(parts) if one.ndim]
    marked = [isinstance(one, OnCard) for one in found]
    alone = any(isinstance(one, OnCard) for one in _tensors(parts))
    if (any(marked) or alone) and not all(marked):
        raise MixedError(f"{name}: {['card' if one else 'processor' for one in marked]}")


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _plain(tensor: Tensor) -> Tensor:
    return tensor.as_subclass(Tensor)  # type: ignore[arg-type] # torch asks for a subclass


def _marked(value: Any, here: bool) -> Any:
    if isinstance(value, Tensor):
        if here == isinstance(value, OnCard):
            return value
        return value.as_subclass(OnCard if here else Tensor)
    if isinstance(value, list | tuple) and type(value) in {list, tuple}:
        return type(value)(_marked(one, here) for one in value)
    return value
