"""A stand-in for Topaz that checks what it is given, and darkens or brightens halves of it."""

from __future__ import annotations

import sys
from pathlib import Path

TEXT = """#!{python}
import sys
from pathlib import Path
from vitreous.io import read_header, read_mrc, write_mrc
words = sys.argv[1:]
Path({log!r}).open("a").write(" ".join(words) + chr(10))
if words[:1] != ["denoise"]:
    sys.exit("wanted denoise")
if words[words.index("--patch-size") + 1] != "2048":
    sys.exit("wanted patches")
out, given = words[words.index("-o") + 1], Path(words[-1])
if not Path(out).is_dir() or read_header(given).mode != 2:
    sys.exit("wanted a folder and a micrograph of float32")
image = read_mrc(given)[0].squeeze()
if {fails!r}:
    sys.exit("no model was found")
image[:] = 0
image[:, : image.shape[1] // 2] = 1  # black on the right, white on the left
write_mrc(Path(out) / given.name, image, 2.0)
"""


def install(folder: Path, *, fails: bool = False) -> Path:
    """Write the stand-in; what it was called with is in ``calls.txt`` beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    stub = folder / "topaz"
    text = TEXT.format(python=sys.executable, log=str(folder / "calls.txt"), fails=fails)
    stub.write_text(text)
    stub.chmod(0o755)
    return stub


def calls(stub: Path) -> list[str]:
    """Return the lines that it was called with."""
    log = stub.with_name("calls.txt")
    return log.read_text().splitlines() if log.is_file() else []
