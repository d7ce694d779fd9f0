"""The settings of every service as one table, written from the code into `docs/operating.md`.

python -m services.console.settings_table [--check]
"""

from collections.abc import Iterator

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from services.console.generated_part import GeneratedPart
from services.ingest.settings import IngestSettings
from services.matcher.settings import MatcherSettings
from services.notifier.settings import NotifierSettings
from services.runtime.settings import PREFIX, RuntimeSettings


def table() -> str:
    """Return the table in Markdown."""
    rows = ["| variable | of | meaning | default |", "|---|---|---|---|"]
    rows.extend(_rows("all", RuntimeSettings, set()))
    shared = set(RuntimeSettings.model_fields)
    for name, settings in (("ingest", IngestSettings), ("matcher", MatcherSettings), ("notifier", NotifierSettings)):
        rows.extend(_rows(name, settings, shared))
    return "\n".join(rows) + "\n"


def _rows(service: str, settings: type[RuntimeSettings], known: set[str]) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        if name not in known:
            yield f"| `{PREFIX}{name.upper()}` | {service} | {field.description} | {_default(field)} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    return "" if value in (None, "") else f"`{value}`"


if __name__ == "__main__":
    GeneratedPart("operating.md", "settings", table).main("services.console.settings_table")
