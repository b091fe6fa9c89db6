"""``python -m vitreous.gui.openapi``: the OpenAPI document, from which the front end has types."""

from __future__ import annotations

import json
import sys

from vitreous.gui.server import bare_app


def document() -> str:
    """Return the document as JSON with sorted keys, the same each time."""
    return json.dumps(bare_app().openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
