"""Numba's own numpy, loaded without scipy's linear algebra."""

import sys


def load_without_blas() -> None:
    """Load what numba knows of numpy, which it does with the first compiled function that is called.

    It looks whether there is a BLAS, for `np.dot`, by importing `scipy.linalg`: a fifth of a second of each start. No
    function here uses it, so numba is told that there is none.
    """
    if "scipy.linalg" in sys.modules:
        return
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment] # the import system's word for "cannot be imported"
    try:
        import numba.np.arraymath  # noqa: F401
    finally:
        del sys.modules["scipy.linalg"]
