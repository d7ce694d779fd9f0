"""`maillage dlq`: what could not be handled, for whoever has to see to it."""

import asyncio
import base64
import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeAlias, TypeVar

import typer
from rich.console import Console

from services.console.letter_log import KafkaLetterLog, open_letter_log
from services.console.replaying import Refused, Settled, drop, replay
from services.runtime.clock import utc_now
from services.runtime.errors import MaillageError, PermanentError
from services.runtime.letters import SUFFIX, Filter, Letter, Shelf, by_topic
from services.runtime.settings import KafkaSettings, load

dead_letter_commands = typer.Typer(
    name="dlq", help="Dead letters: see them, put them back, or drop them.", no_args_is_help=True
)

# What is said goes to standard error; standard output is for what a program may read.
_say = Console(stderr=True, highlight=False)

# A few screens; --json has all of it.
_BODY_CHARACTERS: Final = 4_000

_PERSONAL: Final = "The record may hold personal data: do not paste it where others read."

_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def _moment(text: str) -> datetime:
    """Read a moment, or how long ago it was."""
    if ago := re.fullmatch(r"(\d{1,6})([mhd])", text):
        return utc_now() - int(ago[1]) * _UNITS[ago[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("expected 30m, 2h, 7d, or a moment as in 2026-01-31T08:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _identity(text: str) -> str:
    if re.fullmatch(r"[^/\s]+/\d{1,10}/\d{1,19}", text):
        return text
    raise typer.BadParameter("expected topic/partition/offset, as `maillage dlq list` prints it")


def _topic(text: str) -> str:
    return text.removesuffix(SUFFIX)


Kafka = Annotated[str, typer.Option(help="Broker, host:port.", envvar="MAILLAGE_KAFKA")]
Topic = Annotated[str | None, typer.Option(help="Of this topic alone, as in members.v1.", parser=_topic, metavar="T")]
Service = Annotated[str | None, typer.Option(help="Set aside by this service.")]
Reason = Annotated[str | None, typer.Option(help="With this in the reason.")]
Since = Annotated[
    datetime | None,
    typer.Option(help="First seen since: 30m, 2h, 7d, or a moment (UTC).", parser=_moment, metavar="ISO|2h"),
]
Limit = Annotated[int | None, typer.Option(min=1, help="The newest so many.")]
Ids = Annotated[
    list[str] | None, typer.Argument(help="topic/partition/offset, as listed.", parser=_identity, metavar="[ID]...")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]

DEFAULT_KAFKA: Final = "127.0.0.1:9092"

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which letters a command is about: those of `ids`, or those that the filter means."""

    ids: tuple[str, ...]
    topic: str | None
    filter: Filter

    @property
    def narrowed(self) -> bool:
        return any((self.topic, self.filter.service, self.filter.reason, self.filter.since))

    async def choose(self, log: KafkaLetterLog) -> "_Chosen":
        """Read the letters, and what else lies on the topics concerned.

        Raises:
            PermanentError: a topic is not there.
        """
        if not self.ids:
            shelf = await log.shelf(self.topic)
            return _Chosen(self.filter.choose(shelf.letters.values()), list(shelf.letters.values()), {})
        chosen = _Chosen([], [], {})
        for topic in dict.fromkeys(identity.split("/")[0] for identity in self.ids):
            shelf = await log.shelf(topic)
            chosen.known.extend(shelf.letters.values())
            for identity in dict.fromkeys(one for one in self.ids if one.split("/")[0] == topic):
                if letter := shelf.letters.get(identity):
                    chosen.letters.append(letter)
                else:
                    chosen.missing[identity] = _missing(identity, shelf)
        return chosen


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The letters meant, all letters known, and why some are missing."""

    letters: list[Letter]
    known: list[Letter]
    missing: dict[str, str]


def _missing(identity: str, shelf: Shelf) -> str:
    if settlement := shelf.gone.get(identity):
        return f"it is settled ({settlement}), and compaction has removed it"
    return "no such dead letter: `maillage dlq list --all` names those that there are"


@dead_letter_commands.command("list")
def list_command(
    kafka: Kafka = DEFAULT_KAFKA,
    topic: Topic = None,
    service: Service = None,
    reason: Reason = None,
    since: Since = None,
    limit: Limit = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what was replayed or dropped.")] = False,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first. Never shows what is in them."""
    wanted = Filter(service=service, reason=reason, since=since)
    shelf = _run(kafka, lambda log: log.shelf(topic))
    letters = wanted.choose(shelf.letters.values(), settled=everything)
    shown = letters[:limit]
    for letter in shown:
        print(json.dumps(_summary(letter)) if as_json else _line(letter))
    counts = ", ".join(f"{_plain(name)} {count:,}" for name, count in by_topic(letters).items())
    _tell(f"{len(letters):,} dead letter{'' if len(letters) == 1 else 's'}{': ' if counts else '.'}{counts}")
    if len(shown) < len(letters):
        _tell(f"The newest {len(shown):,} are shown.")
    if shelf.strangers:
        _tell(f"{shelf.strangers:,} more records there are no dead letters of ours.")
    raise typer.Exit(0 if letters else 1)


@dead_letter_commands.command("show")
def show_command(
    identity: Annotated[str, typer.Argument(help="topic/partition/offset, as listed.", parser=_identity, metavar="ID")],
    kafka: Kafka = DEFAULT_KAFKA,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object; the whole body, in base64.")] = False,
) -> None:
    """Show one dead letter with its body."""

    async def show(log: KafkaLetterLog) -> tuple[Letter, bytes | None]:
        chosen = await _Wanted((identity,), None, Filter()).choose(log)
        for why in chosen.missing.values():
            raise PermanentError(f"{identity}: {why}")
        return chosen.letters[0], await log.body(chosen.letters[0])

    letter, body = _run(kafka, show)
    _tell(_PERSONAL, style="yellow")
    if as_json:
        print(json.dumps(_summary(letter) | _contents(letter, body)))
        return
    for line in _description(letter, body):
        print(line)


@dead_letter_commands.command("replay")
def replay_command(
    ids: Ids = None,
    kafka: Kafka = DEFAULT_KAFKA,
    topic: Topic = None,
    service: Service = None,
    reason: Reason = None,
    since: Since = None,
    limit: Limit = None,
    yes: Yes = False,
    again: Annotated[bool, typer.Option("--again", help="Also what is settled already; with IDs.")] = False,
    over_newer: Annotated[
        bool, typer.Option("--over-newer", help="Also where a newer record of the same key is on the log; with IDs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put records back onto their topics, once what kept them from being handled is mended."""
    wanted = _wanted(ids, topic, Filter(service=service, reason=reason, since=since, limit=limit))
    if (again or over_newer) and not wanted.ids:
        raise typer.BadParameter("--again and --over-newer are for letters named by their ids")

    def act(log: KafkaLetterLog, chosen: _Chosen) -> AsyncIterator[Settled | Refused]:
        return replay(chosen.letters, log=log, dead=chosen.known, again=again, over_newer=over_newer)

    _settle(kafka, wanted, act, question=None if yes or wanted.ids else "Replay", as_json=as_json)


@dead_letter_commands.command("drop")
def drop_command(
    ids: Ids = None,
    kafka: Kafka = DEFAULT_KAFKA,
    topic: Topic = None,
    service: Service = None,
    reason: Reason = None,
    since: Since = None,
    limit: Limit = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Settle dead letters without handling their records."""
    wanted = _wanted(ids, topic, Filter(service=service, reason=reason, since=since, limit=limit))

    def act(log: KafkaLetterLog, chosen: _Chosen) -> AsyncIterator[Settled | Refused]:
        return drop(chosen.letters, log=log)

    _settle(kafka, wanted, act, question=None if yes else "Drop", as_json=as_json)


_Act: TypeAlias = Callable[[KafkaLetterLog, _Chosen], AsyncIterator[Settled | Refused]]


def _wanted(ids: list[str] | None, topic: str | None, meant: Filter) -> _Wanted:
    wanted = _Wanted(tuple(ids or ()), topic, meant)
    if wanted.ids and (wanted.narrowed or meant.limit):
        raise typer.BadParameter("name letters by their ids, or choose them by filters: not both")
    if not wanted.ids and not wanted.narrowed:
        raise typer.BadParameter("name letters by their ids, or choose them: --topic, --service, --reason, --since")
    return wanted


def _settle(kafka: str, wanted: _Wanted, act: _Act, *, question: str | None, as_json: bool) -> None:
    """Choose letters, ask, act on each and tell; end with status 1 unless each was settled."""
    if question and not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask on: say --yes")

    async def work(log: KafkaLetterLog) -> tuple[int, int]:
        chosen = await wanted.choose(log)
        log.on_progress(None)
        for identity, why in chosen.missing.items():
            _report(identity, why, as_json=as_json)
        if chosen.letters and question and not _agreed(question, chosen.letters):
            return 0, len(chosen.letters)
        done, refused = 0, len(chosen.missing)
        async for outcome in act(log, chosen):
            _tell_outcome(outcome, as_json=as_json)
            done, refused = done + isinstance(outcome, Settled), refused + isinstance(outcome, Refused)
        return done, refused

    done, refused = _run(kafka, work)
    _tell(f"{done:,} settled, {refused:,} not." if done or refused else "No dead letter is meant.")
    raise typer.Exit(0 if done and not refused else 1)


def _agreed(question: str, letters: Sequence[Letter]) -> bool:
    for letter in letters:
        print(_line(letter), file=sys.stderr)
    return typer.confirm(f"{question} {len(letters):,}?", err=True)


def _run(kafka: str, work: Callable[[KafkaLetterLog], Awaitable[_Found]]) -> _Found:
    """Do `work` on a broker, showing progress; an error is one line and status 1."""
    connection = load(KafkaSettings, kafka=kafka).connection
    status = _say.status(f"Asking {kafka}...")

    def show(text: str | None) -> None:
        if text is None:
            status.stop()
        else:
            status.update(text)
            status.start()

    async def job() -> _Found:
        async with open_letter_log(connection, clock=utc_now, on_progress=show) as log:
            return await work(log)

    try:
        with status:
            return asyncio.run(job())
    except MaillageError as error:
        _tell(str(error), style="red")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        _tell("Ended. What was not settled is still open; run it again.", style="red")
        raise typer.Exit(130) from None


def _tell(text: str, *, style: str = "") -> None:
    _say.print(_plain(text), style=style, markup=False, soft_wrap=True)


def _tell_outcome(outcome: Settled | Refused, *, as_json: bool) -> None:
    match outcome:
        case Refused(letter, why):
            _report(letter.id, why, as_json=as_json)
        case Settled(letter, put_back, earlier):
            if as_json:
                print(json.dumps({"id": letter.id, "settled": True, "put_back": put_back}), flush=True)
            elif put_back is None:
                print(f"{letter.id}  dropped", flush=True)
            else:
                print(f"{letter.id}  {'had been put back' if earlier else 'put back'} at {put_back}", flush=True)


def _report(identity: str, why: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"id": identity, "settled": False, "why": why}), flush=True)
    else:
        _tell(f"{identity}  not settled: {why}", style="red")


def _summary(letter: Letter) -> dict[str, object]:
    """Return what may be told of a letter anywhere."""
    return {
        "id": letter.id,
        "first_seen": letter.first_seen.isoformat(),
        "service": letter.service,
        "group": letter.group,
        "reason": letter.reason,
        "cut": list(letter.cut),
        "copies": letter.copies,
        "replayed_from": letter.replayed_from,
        "settled": None if letter.settled is None else {"how": letter.settled.how, "at": letter.settled.at},
    }


def _contents(letter: Letter, body: bytes | None) -> dict[str, object]:
    """Return what a letter holds, for `show` alone."""
    return {
        "key_base64": _base64(letter.key),
        "headers_base64": [[name, _base64(value)] for name, value in letter.headers],
        "body_base64": _base64(body),
    }


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _line(letter: Letter) -> str:
    notes = [f"replayed from {letter.replayed_from}"] if letter.replayed_from else []
    notes += [str(letter.settled)] if letter.settled else []
    noted = f"  [{'; '.join(notes)}]" if notes else ""
    return _plain(f"{letter.id}  {letter.first_seen:%Y-%m-%dT%H:%M:%SZ}  {letter.service}  {letter.reason}{noted}")


def _description(letter: Letter, body: bytes | None) -> Iterator[str]:
    """Yield the lines that `show` prints."""
    facts = {
        "letter": letter.id,
        "first seen": letter.first_seen.isoformat(),
        "service": f"{letter.service} (group {letter.group})",
        "reason": letter.reason,
        "key": "none" if letter.key is None else _text(letter.key),
        "lies at": f"{letter.dead_letters}/{letter.place[0]}/{letter.place[1]}",
        "copies": str(letter.copies),
        "cut": " and ".join(letter.cut) or "nothing",
        "replayed from": letter.replayed_from or "nothing",
        "settled": str(letter.settled or "no"),
    }
    for name, fact in facts.items():
        yield f"{name:<14} {_plain(fact)}"
    yield "headers" if letter.headers else "headers        none"
    for header, value in letter.headers:
        yield f"  {_plain(header)}: {_plain(_shortened(_text(value), as_a_whole=len(value)))}"
    yield "body           none" if body is None else f"body           {len(body):,} bytes"
    yield from (_plain(line) for line in _shown(body or b"").split("\n"))


def _shown(body: bytes) -> str:
    try:
        pretty = json.dumps(json.loads(body), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        pretty = _text(body[: _BODY_CHARACTERS + 1])
    return _shortened(pretty, as_a_whole=len(body))


def _shortened(text: str, *, as_a_whole: int) -> str:
    if len(text) <= _BODY_CHARACTERS:
        return text
    return f"{text[:_BODY_CHARACTERS]}\n... cut here; `--json` has all {as_a_whole:,} bytes"


def _text(value: bytes) -> str:
    r"""Return bytes as text, what is not UTF-8 as `\xff`."""
    return value.decode(errors="backslashreplace")


def _plain(text: str) -> str:
    r"""Return text that a terminal prints as it stands: control characters as `\x1b`."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
