"""What pages are generated from: settings, commands, the OpenAPI document."""

import pytest

from proof.web.reference import reference_markdown
from proof.web.tables import Command, Option, commands_markdown, settings_markdown, table

DEFAULTS = """\
# About the file.

# One | two.
mode = "one"

# --- Addresses ------------------

# What it
# listens on.
host = "::1"
port = 1

nothing = []
"""

OPENAPI = {
    "paths": {
        "/v1/things/{sha256}": {
            "patch": {
                "summary": "Change a thing",
                "tags": ["timestamps"],
                "security": [{"api_key_bearer": []}, {"api_key": []}],
                "parameters": [
                    {
                        "name": "sha256", "in": "path", "required": True,
                        "description": "which", "schema": {"type": "string"},
                    },
                    {
                        "name": "currencyId", "in": "query", "required": False,
                        "description": "the chain", "schema": {"type": "integer"},
                    },
                ],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
                },
                "responses": {
                    "200": {
                        "description": "changed",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                    },
                    "404": {"description": "unknown here"},
                },
            }
        },
        "/healthz": {
            "get": {
                "summary": "Lives", "tags": ["system"],
                "responses": {"200": {"description": "it does"}},
            }
        },
    },
    "components": {
        "schemas": {
            "Thing": {
                "type": "object",
                "required": ["year"],
                "properties": {
                    "year": {"type": "integer", "minimum": 1, "maximum": 9},
                    "month": {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "a|b"},
                    "inner": {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}},
                },
            },
            "Inner": {"type": "object", "properties": {"level": {"type": "integer"}}},
        }
    },
}  # fmt: skip


def test_a_setting_shows_its_variable_its_default_and_its_comment() -> None:
    lines = settings_markdown(DEFAULTS).splitlines()
    assert '| `mode` `PROOF_MODE` | `"one"` | One \\| two. |' in lines
    assert '| `host` `PROOF_HOST` | `"::1"` | What it listens on. |' in lines


def test_settings_below_one_comment_share_it_and_an_empty_line_ends_it() -> None:
    lines = settings_markdown(DEFAULTS).splitlines()
    assert "| `port` `PROOF_PORT` | `1` | What it listens on. |" in lines
    assert "| `nothing` `PROOF_NOTHING` | `[]` |  |" in lines


def test_sections_follow_the_file() -> None:
    titles = [line for line in settings_markdown(DEFAULTS).splitlines() if line.startswith("#")]
    assert titles == ["### General", "### Addresses"]


def test_a_command_shows_what_it_takes() -> None:
    command = Command(
        "proof do it",
        "Does it.\n\nTwice,\nif told to.",
        (Option("--twice, -t", required=False, about="Again."), Option("FILE", True, "Which.")),
    )
    text = commands_markdown([command])
    assert text.startswith("### `proof do it`\n\nDoes it.\n\nTwice, if told to.\n\n")
    assert "| `--twice, -t` | Again. |" in text
    assert "| `FILE` | Required. Which. |" in text


def test_an_operation_shows_fields_statuses_and_a_call() -> None:
    text = reference_markdown(OPENAPI, "https://proof.example")
    assert "### `PATCH` `/v1/things/{sha256}`\n\nChange a thing. Needs an `api_key`." in text
    assert "| `year` | integer, 1 to 9 | yes |  |" in text
    assert "| `month` | integer or null | no | a\\|b |" in text
    assert "| `inner[].level` | integer | no |  |" in text
    assert "| `404` | unknown here |" in text
    assert "curl -X PATCH 'https://proof.example/v1/things/853ff937" in text
    assert '?currencyId=900\' \\\n  -H "x-api-key: $PROOF_API_KEY"' in text
    assert """-d '{"year": 2026, "month": 11, "inner": [{"level": 0}]}'""" in text


def test_an_open_operation_needs_nothing() -> None:
    text = reference_markdown(OPENAPI, "https://proof.example")
    assert "Lives. Open to anybody." in text
    assert "```sh\ncurl 'https://proof.example/healthz'\n```" in text


def test_a_field_without_an_example_is_not_passed_over() -> None:
    schema = {"type": "object", "properties": {"unheardOf": {"type": "string"}}}
    operation = {
        "summary": "S", "tags": ["log"], "responses": {},
        "requestBody": {"content": {"application/json": {"schema": schema}}},
    }  # fmt: skip
    with pytest.raises(KeyError, match="unheardOf"):
        reference_markdown({"paths": {"/x": {"post": operation}}}, "")


def test_a_cell_stays_in_its_row_and_column() -> None:
    assert table(("a",), [("x | y\nz",)]) == "| a |\n| --- |\n| x \\| y z |"
