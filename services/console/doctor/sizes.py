"""Room on disks."""

from typing import Final

from services.console.doctor.findings import Finding, ok, problem, warning

_GIB: Final = 1 << 30

# A tenth of a small disk is little, a gibibyte of a large one too: whichever is less room.
_FULL_SHARE: Final = 0.05
_FULL_BYTES: Final = _GIB // 2
_NARROW_SHARE: Final = 0.15
_NARROW_BYTES: Final = 2 * _GIB


def judge_space(subject: str, *, free: int, size: int) -> Finding:
    """Return what is to be said of a file system."""
    says = f"{_words(free)} of {_words(size)} are free"
    do = "Enlarge the disk, or free some of it. When it is full, nothing can be acknowledged any more."
    if free < _FULL_BYTES or free < size * _FULL_SHARE:
        return problem("disk", subject, f"full, or nearly: {says}", do)
    if free < _NARROW_BYTES or free < size * _NARROW_SHARE:
        return warning("disk", subject, f"getting full: {says}", do)
    return ok("disk", subject, says)


def _words(size: int) -> str:
    return f"{size / _GIB:.1f} GiB" if size >= _GIB else f"{size / (1 << 20):.0f} MiB"
