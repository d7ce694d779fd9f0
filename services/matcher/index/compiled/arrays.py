"""Types of the numeric layer, and how its functions are compiled."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

Bools = npt.NDArray[np.bool_]
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


NUMBA: Any = numba.config
"""Numba's settings; it says nothing of their types."""


_COMPILES = re.compile(rb"^@(compiled|intrinsic|structref)", re.MULTILINE)
"""What stands in a module whose source decides what machine code there is; their constants are their own too."""


def _cache_folder() -> str:
    """Return where machine code of just this source is kept.

    Numba looks only at the file of a function to see whether its machine code is out of date, not at those of the
    functions that it calls: after an upgrade it would mix old with new. So each state of the modules that hold compiled
    code has a folder.
    """
    index = Path(__file__).parent.parent
    digest = sha256()
    for path in sorted(index.rglob("*.py")):
        source = path.read_bytes()
        if _COMPILES.search(source):
            digest.update(source)
    return str(Path(NUMBA.CACHE_DIR or index / "__pycache__") / f"compiled-{digest.hexdigest()[:16]}")


def _writable(folder: str) -> bool:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


NUMBA.CACHE_DIR = _cache_folder()
_CACHED = _writable(NUMBA.CACHE_DIR)
"""Without a folder to write to each process compiles anew."""


def compiled(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile a numeric function on its first call; it runs without the GIL, and divides by zero as numpy does.

    The machine code is kept for the next process, beside the source or in the folder that NUMBA_CACHE_DIR names.
    """
    njit: Any = numba.njit  # its overloads know no function whose type is a variable
    result: Callable[Parameters, Result] = njit(cache=_CACHED, nogil=True, boundscheck=False, error_model="numpy")(
        function
    )
    return result


@intrinsic
def prefetch(_context: Any, array: Any, place: Any) -> Any:  # noqa: ARG001 # numba reads the names
    """Have the cache line that holds `array[place]` fetched while the program goes on; a place outside does no harm."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        flags = [ir.Constant(ir.IntType(32), flag) for flag in (0, 3, 1)]  # to read, keep in all caches, data
        kind = ir.FunctionType(ir.VoidType(), [address.type, *(flag.type for flag in flags)])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0"), [address, *flags])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


def with_room(array: npt.NDArray[Number], size: int, filler: float) -> npt.NDArray[Number]:
    """Return `array`, or a copy of `size` entries; the new ones hold `filler`."""
    if size <= array.size:
        return array
    larger = np.full(size, filler, array.dtype)
    larger[: array.size] = array
    return larger
