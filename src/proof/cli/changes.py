"""How changes of a record are shown."""

from typing import Any

import msgspec

from proof.cli.output import out, print_json
from proof.cli.terminal import printable
from proof.partners.records.changes import Difference


def print_changes(
    partner_id: str, changes: list[Difference], *, as_json: bool, planned: bool = False
) -> None:
    """What changed, or `planned` is to change."""
    if as_json:
        print_json(
            {
                "partner_id": partner_id,
                "applied": not planned,
                "changes": [msgspec.to_builtins(one) for one in changes],
            }
        )
        return
    if not changes:
        out.print(f"{partner_id} is so already", markup=False)
        return
    out.print(f"{partner_id} {'would change' if planned else 'changed'}:", markup=False)
    for one in changes:
        out.print(f"  {one.field}", markup=False, style="bold")
        out.print(f"    - {_shown(one.before)}", markup=False, style="red")
        out.print(f"    + {_shown(one.after)}", markup=False, style="green")


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return printable(msgspec.json.encode(value).decode())
