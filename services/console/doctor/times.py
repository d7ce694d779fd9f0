"""Clocks, and how long certificates last."""

from datetime import timedelta
from typing import Final

from services.console.doctor.findings import Finding, ok, problem, warning

# Order is by `rev` and never by clock. What clocks decide: deadlines, the schedule of deliveries, and how late is told.
_APART: Final = timedelta(seconds=2)
_FAR_APART: Final = timedelta(seconds=30)


def judge_clock(subject: str, *, ahead: timedelta, within: timedelta) -> Finding:
    """Return what is to be said of another clock.

    Args:
        ahead: how far it is ahead of ours; negative: behind.
        within: how much of that may come of the way there and back.
    """
    apart = max(timedelta(), abs(ahead) - within)
    says = f"{apart.total_seconds():.1f} s {'ahead of' if ahead > timedelta() else 'behind'} this machine"
    do = "Have both machines take the time from the same servers (chrony, systemd-timesyncd)."
    if apart > _FAR_APART:
        return problem("clock", subject, f"{says}: deadlines end and deliveries begin at the wrong time", do)
    if apart > _APART:
        return warning("clock", subject, says, do)
    return ok("clock", subject, "as this machine's")
