"""The API's description, as a member organisation's tools read it."""

from typing import Any

from jsonschema import Draft202012Validator

from services.ingest.app import build
from services.ingest.settings import IngestSettings


def test_every_body_is_described_and_every_reference_leads_somewhere() -> None:
    description = build(IngestSettings()).app.openapi()
    schemas = description["components"]["schemas"]
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            if method in ("put", "post") and not path.endswith("/withdrawal"):
                assert "requestBody" in operation, (method, path)
    for reference in references(description):
        assert reference.removeprefix("#/components/schemas/") in schemas, reference
    validator = Draft202012Validator({"$ref": "#/components/schemas/MemberProfile", "components": {"schemas": schemas}})
    assert validator.is_valid({"name": "Lab", "kind": "laboratory"})
    assert not validator.is_valid({"name": "Lab", "kind": "lighthouse"})


def references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [found for value in part.values() for found in references(value)]
    return [found for value in part for found in references(value)] if isinstance(part, list) else []
