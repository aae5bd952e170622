"""The device that networks compute on: by name, and what it can do."""

from collections.abc import Callable

import torch


class DeviceError(Exception):
    """The named compute device is not there, or failed; the message says what to do."""


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16, rather than make believe that it does."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    ask: Callable[[], dict[str, object]] = getattr(
        torch.cpu, "get_capabilities", dict
    )  # since 2.11
    found = ask()
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))


def resolve_device(name: str) -> torch.device:
    """Turn the name of a device into one that is there.

    Raises:
        DeviceError: It is not there, or there is no such name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind == "cpu" and not number:
        return torch.device("cpu")
    if kind != "cuda" or not (number.isdecimal() or name == "cuda"):
        raise DeviceError(f"no device is called {name!r}; give auto, cpu, cuda or cuda:0")
    if int(number or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"{name} is not there ({torch.cuda.device_count()} CUDA devices are seen); "
            "give auto or cpu, or install a driver and a torch build with CUDA"
        )
    return torch.device(name)
