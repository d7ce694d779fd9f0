"""`maillage member|contact|need|key`: publish and look from the shell.

Exit status: 0 done, 1 refused, 2 wrong use, 3 the service is away and was for as long as `--patience` says.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.client import AwayError, IssuedKey, Maillage, MisuseError, RefusedError, Taken
from services.console.system import DEFAULT_PORT
from services.ingest.rows import content_of, need_claim

AWAY: Final = 3

AGAIN: Final = "Ask again later: nothing is done twice."
MADE: Final = "It may have been issued all the same: look by `maillage key list`, and revoke what nobody has."

# Wider than any line: who reads from a pipe has no edge where it would have to be cut.
_NO_EDGE: Final = 100_000

_say = Console(stderr=True, highlight=False)

Url = Annotated[str, typer.Option(help="Where ingest listens.", envvar="MAILLAGE_URL")]
ApiKey = Annotated[str, typer.Option(help="The operator's key, or an organisation's.", envvar="MAILLAGE_KEY")]
Cluster = Annotated[str, typer.Option(help="The cluster that it is about.", envvar="MAILLAGE_CLUSTER")]
Patience = Annotated[float, typer.Option(min=0, help="Seconds for which a service that is away is asked again.")]
MemberId = Annotated[str, typer.Argument(help="The member's id.")]
NeedId = Annotated[str, typer.Argument(help="The need's id.")]
KeyId = Annotated[str, typer.Argument(help="The key's id: what stands between the first two underscores.")]
File = Annotated[
    typer.FileText,
    typer.Argument(help="Its content as JSON, see docs/ingest.md; - reads standard input.", encoding="utf-8"),
]
IfMatch = Annotated[int | None, typer.Option(help="Only if this is its revision now.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON rather than a table.")]


@dataclass(frozen=True, slots=True)
class Access:
    """Whom to ask, as whom, about which cluster."""

    url: str
    key: str
    cluster: str
    patience: float


def _access(
    context: typer.Context,
    key: ApiKey,
    cluster: Cluster,
    url: Url = f"http://127.0.0.1:{DEFAULT_PORT}",
    patience: Patience = 60.0,
) -> None:
    context.obj = Access(url, key, cluster, patience)


def _group(name: str, about: str) -> typer.Typer:
    return typer.Typer(name=name, help=about, no_args_is_help=True, callback=_access)


member_commands = _group("member", "A member's profile.")
contact_commands = _group("contact", "Who answers for a member when it is introduced.")
need_commands = _group("need", "What members ask for and offer.")
key_commands = _group("key", "The keys of members.")


@member_commands.command("show")
def show_member(context: typer.Context, member_id: MemberId) -> None:
    """Show a profile as it is published, in the form in which it can be put again."""
    with _maillage(context) as maillage:
        _print(maillage.get_member(member_id).content)


@member_commands.command("put")
def put_member(context: typer.Context, member_id: MemberId, file: File, if_match: IfMatch = None) -> None:
    """Publish a profile, whole."""
    with _maillage(context) as maillage:
        _taken(maillage.put_member(member_id, _content(file), if_match=if_match))


@member_commands.command("erase")
def erase_member(context: typer.Context, member_id: MemberId) -> None:
    """Erase a member with its contact, its needs and its keys."""
    with _maillage(context) as maillage:
        _taken(maillage.erase_member(member_id))


@contact_commands.command("show")
def show_contact(context: typer.Context, member_id: MemberId) -> None:
    """Show a member's contact."""
    with _maillage(context) as maillage:
        _print(maillage.get_contact(member_id).content)


@contact_commands.command("put")
def put_contact(context: typer.Context, member_id: MemberId, file: File, if_match: IfMatch = None) -> None:
    """Publish a member's contact."""
    with _maillage(context) as maillage:
        _taken(maillage.put_contact(member_id, _content(file), if_match=if_match))


@contact_commands.command("erase")
def erase_contact(context: typer.Context, member_id: MemberId) -> None:
    """Erase a member's contact."""
    with _maillage(context) as maillage:
        _taken(maillage.erase_contact(member_id))


@need_commands.command("list")
def list_needs(
    context: typer.Context,
    member: Annotated[str | None, typer.Option(help="Those of this member.")] = None,
    status: Annotated[str | None, typer.Option(help="open or withdrawn.")] = None,
    as_json: AsJson = False,
) -> None:
    """List needs: one's own, or with the operator's key the cluster's."""
    with _maillage(context) as maillage:
        needs = maillage.needs(member_id=member, status=status)
        _list(needs, ("id", "member_id", "status", "deadline", "title"), as_json=as_json)


@need_commands.command("show")
def show_need(context: typer.Context, need_id: NeedId) -> None:
    """Show a need as it is published, in the form in which it can be put again."""
    with _maillage(context) as maillage:
        _print(maillage.get_need(need_id).content)


@need_commands.command("post")
def post_need(
    context: typer.Context,
    file: File,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="The same, with the same content, is one need. Unless said, the same content is."),
    ] = None,
) -> None:
    """Publish a new need. The same content is the same need, as in an import: posted again, it is there once."""
    with _maillage(context) as maillage:
        content = _content(file)
        if idempotency_key is None and content.get("need_id") is None:
            idempotency_key = need_claim(context.obj.cluster, content_of(content))
        _taken(maillage.post_need(content, idempotency_key=idempotency_key))


@need_commands.command("put")
def put_need(context: typer.Context, need_id: NeedId, file: File, if_match: IfMatch = None) -> None:
    """Publish a need under an id of one's own, whole."""
    with _maillage(context) as maillage:
        _taken(maillage.put_need(need_id, _content(file), if_match=if_match))


@need_commands.command("withdraw")
def withdraw_need(context: typer.Context, need_id: NeedId) -> None:
    """Let a need stand no more; its text is kept."""
    with _maillage(context) as maillage:
        _taken(maillage.withdraw_need(need_id))


@need_commands.command("erase")
def erase_need(context: typer.Context, need_id: NeedId) -> None:
    """Erase a need."""
    with _maillage(context) as maillage:
        _taken(maillage.erase_need(need_id))


@key_commands.command("list")
def list_keys(context: typer.Context, member_id: MemberId, as_json: AsJson = False) -> None:
    """List the keys of a member, and when each was last used."""
    with _maillage(context) as maillage:
        keys = map(asdict, maillage.keys(member_id))
        _list(keys, ("key_id", "label", "scopes", "issued_at", "used_at", "ends_at"), as_json=as_json)


@key_commands.command("issue")
def issue_key(
    context: typer.Context,
    member_id: MemberId,
    scope: Annotated[list[str] | None, typer.Option(help="profile, contact, needs or keys; may be repeated.")] = None,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    ends_at: Annotated[datetime | None, typer.Option(help="From then on it opens nothing.")] = None,
) -> None:
    """Issue a key. It is told once, on standard output."""
    with _maillage(context, away=MADE) as maillage:
        ends = ends_at.astimezone() if ends_at else None
        _issued(maillage.issue_key(member_id, scopes=scope or None, label=label, ends_at=ends))


@key_commands.command("rotate")
def rotate_key(
    context: typer.Context,
    key_id: KeyId,
    overlap: Annotated[int, typer.Option(min=0, help="Seconds for which the old one opens yet.")] = 86_400,
) -> None:
    """Have a key give way to another, which is told once, on standard output."""
    with _maillage(context, away=MADE) as maillage:
        _issued(maillage.rotate_key(key_id, overlap_seconds=overlap))


@key_commands.command("revoke")
def revoke_key(context: typer.Context, key_id: KeyId) -> None:
    """Make a key worthless, at once."""
    with _maillage(context) as maillage:
        maillage.revoke_key(key_id)
        _say.print("Revoked.")


@contextmanager
def _maillage(context: typer.Context, *, away: str = AGAIN) -> Iterator[Maillage]:
    access: Access = context.obj
    try:
        with Maillage(access.url, key=access.key, cluster=access.cluster, patience_seconds=access.patience) as maillage:
            yield maillage
    except RefusedError as refused:
        _say.print(str(refused), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except MisuseError as misuse:
        raise typer.BadParameter(str(misuse)) from None
    except AwayError as error:
        _say.print(f"{str(error).rstrip('.')}. {away}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(AWAY) from None


def _content(file: typer.FileText) -> dict[str, Any]:
    try:
        content = json.loads(file.read().removeprefix("\ufeff"))  # what Windows puts before UTF-8
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{file.name} is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise typer.BadParameter(f"{file.name} is no JSON object.")
    return content


def _taken(taken: Taken) -> None:
    _print({"id": taken.id, "rev": taken.rev})
    for note in taken.notes:
        _say.print(f"{note.field}: {note.detail}. {note.remedy}", style="yellow", markup=False, soft_wrap=True)


def _issued(key: IssuedKey) -> None:
    _print({name: value for name, value in asdict(key).items() if value is not None})


def _print(content: Any) -> None:
    json.dump(content, sys.stdout, ensure_ascii=False, indent=1)
    print()


def _list(rows: Iterable[dict[str, Any]], columns: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _NO_EDGE
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=not console.is_terminal)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    console.print(table)


def _cell(value: Any) -> Text:
    """Return a value as it is: somebody's words are no markup."""
    return Text(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or ""))
