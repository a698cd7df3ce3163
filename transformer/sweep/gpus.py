"""The CUDA devices of --gpus. Imports torch only to count them."""

import os
from collections.abc import Mapping

from transformer.sweep.options import SweepOptions
from transformer.sweep.plan import Plan
from transformer.system.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"


def variables_of(place: str | None, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a run that sees one device alone; None for all devices.

    A number counts the devices that the sweep itself sees: of `CUDA_VISIBLE_DEVICES=4,5`, the
    device 1 is 5.

    Raises: UserError for a number beyond them.
    """
    if place is None:
        return {}
    seen = inherited.get(VISIBLE)
    if seen is None or not place.isdecimal():
        return {VISIBLE: place}
    names = [name.strip() for name in seen.split(",") if name.strip()]
    if int(place) >= len(names):
        raise UserError(
            f"--gpus {place}: {VISIBLE}={seen} shows {len(names)} devices, counted from 0"
        )
    return {VISIBLE: names[int(place)]}


def check_gpus(options: SweepOptions, plan: Plan) -> None:
    """Raises: UserError for runs of other devices, and for a number that no CUDA device has."""
    if options.gpus is None:
        return
    accelerator = plan.base["accelerator"]
    if accelerator not in ("auto", "cuda") or "accelerator" in plan.keys:
        given = "varied" if "accelerator" in plan.keys else accelerator
        raise UserError(
            f"--gpus trains every run on a CUDA device, and accelerator is {given}: leave out one"
        )
    for place in options.places:
        variables_of(place)
    from torch import cuda

    number = cuda.device_count()
    for place in options.places:
        if not number or (place and place.isdecimal() and int(place) >= number):
            raise UserError(
                f"--gpus {options.gpus}: torch finds {number} CUDA devices here"
                + (f": give numbers from 0 to {number - 1}" if number else ": leave it out")
            )
