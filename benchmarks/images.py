"""Random batches out of a large stack: ours, mrcfile's memory map, and one read per image.

    python benchmarks/images.py [--gib 2] [--box 256] [--folder DIR]

Prints one JSON line. `warm` reads from the page cache; `cold` after the kernel was told to drop
the file's pages (which it may ignore). Writing ends with fsync. Each reader gets the same batches,
in turn, and their sums are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mrcfile
import numpy as np
import numpy.typing as npt

from vitreous.io import ImageRef, StackWriter, read_header, read_images

Reader = Callable[[Path, npt.NDArray[np.int64]], npt.NDArray[np.float32]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=2.0)
    parser.add_argument("--box", type=int, default=256)
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "stack.mrcs"
        written_s = make_stack(path, options.gib, options.box)
        result = {
            "box_px": options.box,
            "GiB": round(path.stat().st_size / 2**30, 3),
            "write_MB_per_s": round(path.stat().st_size / written_s / 1e6),
            "MB_per_s": measure(path, options.batch),
        }
    print(json.dumps(result))


def make_stack(path: Path, gib: float, box_px: int) -> float:
    n = int(gib * 2**30 / (4 * box_px**2))
    noise = np.random.default_rng(0).normal(size=(64, box_px, box_px)).astype(np.float32)
    begin = time.perf_counter()
    with StackWriter(path, (box_px, box_px), 1.0) as stack:
        while stack.n_written < n:
            stack.write(noise[: n - stack.n_written])
    return time.perf_counter() - begin


def measure(path: Path, batch: int) -> dict[str, dict[str, int]]:
    readers: dict[str, Reader] = {"ours": ours, "mrcfile_mmap": mrcfile_mmap, "naive": naive}
    figures: dict[str, dict[str, int]] = {}
    checks = set()
    for kind in ("cold", "warm"):
        for name, reader in readers.items():
            n_bytes, seconds, check = 0, 0.0, 0.0
            if kind == "warm":
                for indices in batches(path, batch, 4):
                    reader(path, indices)
            for indices in batches(path, batch, 4):
                if kind == "cold":
                    forget(path)
                begin = time.perf_counter()
                images = reader(path, indices)
                seconds += time.perf_counter() - begin
                n_bytes += images.nbytes
                check += float(images[:, ::16, ::16].sum(dtype=np.float64))
            checks.add(round(check, 3))
            figures.setdefault(kind, {})[name] = round(n_bytes / seconds / 1e6)
    assert len(checks) == 1, "the readers disagree"
    return figures


def batches(path: Path, size: int, n_batches: int) -> Iterator[npt.NDArray[np.int64]]:
    """Particles of a few micrographs each, in random order: runs of about ten neighbours."""
    rng = np.random.default_rng(1)
    n = read_header(path).shape[0]
    for _ in range(n_batches):
        starts = rng.choice(n - 10, size // 10, replace=False)
        indices = (starts[:, None] + np.arange(10)).ravel()
        rng.shuffle(indices)
        yield indices


def forget(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def ours(path: Path, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    return read_images([ImageRef(str(path), int(index)) for index in indices])


def mrcfile_mmap(path: Path, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    with mrcfile.mmap(path, mode="r", permissive=True) as stack:
        images: npt.NDArray[np.float32] = stack.data[indices]
        return images


def naive(path: Path, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    images = []
    for index in indices:
        header = read_header(path)
        with path.open("rb") as stream:
            stream.seek(header.offset + int(index) * header.image_bytes)
            raw = stream.read(header.image_bytes)
        images.append(np.frombuffer(raw, header.dtype).reshape(header.shape[1:]))
    return np.stack(images)


if __name__ == "__main__":
    main()
