"""What a replica knows of members whose requests another one answered for until now.

Both have read the same log, but what follows from the order of reading is as the other decided it and stored it.
"""

from collections.abc import Callable
from dataclasses import replace

from services.matcher.domain.directory import Directory, assets_since
from services.matcher.domain.known import KnownMember, KnownNeed


def take_over(directory: Directory, stored: Directory, is_theirs: Callable[[str], bool]) -> set[str]:
    """Bring a directory to what is stored of these members, and what it has heard since to on top of that.

    Args:
        stored: what is stored of them, and nobody changes meanwhile.
        is_theirs: tells whether a member, by key, is one of them.

    Returns:
        The keys of members of whom something other than before is known.
    """
    known = directory.owners() | stored.owners() | stored.erased_members.keys()
    members = {key for key in known if is_theirs(key)}
    before = {owner: directory.mark(owner) for owner in members}
    for key in members & (directory.members.keys() | stored.members.keys() | stored.erased_members.keys()):
        _take_member(key, directory, stored)
    ahead = [need for key in _needs(directory, stored, members) if (need := _take_need(key, directory, stored))]
    for need in sorted(ahead, key=lambda need: need.seq):
        directory.publish_need(need.event)
    directory.decisions.learn(stored.decisions)
    return {owner for owner, mark in before.items() if directory.mark(owner) != mark}


def _take_member(key: str, directory: Directory, stored: Directory) -> None:
    heard, kept = directory.members.get(key), stored.members.get(key)
    if kept is None:
        if heard is None or heard.rev <= stored.erased_members.get(key, -1):
            directory.erase_member(key, stored.erased_members.get(key))
        return
    if heard is None:
        if directory.erased_members.get(key, -1) < kept.rev:
            directory.restore_member(key, kept)
    elif heard.rev <= kept.rev:
        directory.restore_member(key, _with_event(kept, heard))
    else:
        directory.restore_member(key, KnownMember.of(heard.event, assets_since(heard.event, kept)))


def _with_event(kept: KnownMember, heard: KnownMember) -> KnownMember:
    """Return what is kept with the event that was heard, if it is the same: it need not be read once more."""
    return replace(kept, read=heard.read) if heard.mark == kept.mark else kept


def _needs(directory: Directory, stored: Directory, members: set[str]) -> set[str]:
    heard = {key for owner in members for key in directory.need_keys_of(owner)}
    return heard | stored.needs.keys() | stored.erased_needs.keys()


def _take_need(key: str, directory: Directory, stored: Directory) -> KnownNeed | None:
    """Bring a need to what is stored of it; return what was heard of it since, to be published again."""
    heard, kept = directory.needs.get(key), stored.needs.get(key)
    directory.be_unsure_of(key)
    if kept is None:
        if heard is not None and heard.rev > stored.erased_needs.get(key, -1):
            directory.forget_need(key)
            return heard
        directory.erase_need(key, stored.erased_needs.get(key))
        return None
    if heard is None:
        if directory.erased_needs.get(key, -1) < kept.rev:
            directory.restore_need(key, kept)
        return None
    directory.restore_need(key, replace(kept, read=heard.read) if heard.mark == kept.mark else kept)
    return heard if heard.rev > kept.rev else None
