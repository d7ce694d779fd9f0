"""Types of the numeric layer, and how its functions are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

Floats32 = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]
Ints8 = npt.NDArray[np.int8]
Ints32 = npt.NDArray[np.int32]
Ints64 = npt.NDArray[np.int64]
UInts8 = npt.NDArray[np.uint8]
UInts32 = npt.NDArray[np.uint32]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Number = TypeVar("Number", np.int8, np.uint8, np.int32, np.uint32, np.int64, np.float64)


def compiled(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile a numeric function on its first call; it runs without the GIL.

    The machine code is kept beside the source (or in NUMBA_CACHE_DIR) for the next process.
    """
    result: Callable[Parameters, Result] = numba.njit(cache=True, nogil=True, boundscheck=False)(function)
    return result


def reordering(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile as `compiled` does, and let sums be reordered, so that the processor adds several numbers at once.

    For scores that are computed again exactly before anybody sees them.
    """
    result: Callable[Parameters, Result] = numba.njit(cache=True, nogil=True, boundscheck=False, fastmath=True)(
        function
    )
    return result


@intrinsic
def prefetch(_context: Any, array: Any, place: Any) -> Any:
    """Have the cache line that holds `array[place]` fetched while the program goes on; a place outside does no harm."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        flags = [ir.Constant(ir.IntType(32), flag) for flag in (0, 3, 1)]  # to read, keep in all caches, data
        kind = ir.FunctionType(ir.VoidType(), [address.type, *(flag.type for flag in flags)])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0"), [address, *flags])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


def with_room(array: npt.NDArray[Number], size: int, filler: int) -> npt.NDArray[Number]:
    """Return `array`, or a copy of `size` entries; the new ones hold `filler`."""
    if size <= array.size:
        return array
    larger = np.full(size, filler, array.dtype)
    larger[: array.size] = array
    return larger
