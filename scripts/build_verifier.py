"""Build `proof-verify.pyz`: the verifier alone, in one file that any Python 3.11 or newer runs.

The same sources give the same bytes, so that anyone can rebuild the file and compare: entries are
sorted, carry one fixed date and are stored without compression, whose output varies with zlib.
"""

import argparse
import sys
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src"
SHEBANG = b"#!/usr/bin/env python3\n"
ENTRY = b"import sys\n\nfrom proof.verify.cli import run\n\nsys.exit(run())\n"
UNIX = 3
DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip file can carry


def build(target: Path) -> None:
    """Write the archive to `target`, making its folder, and mark it executable."""
    modules = sorted((SOURCES / "proof" / "verify").rglob("*.py"))
    files = {"__main__.py": ENTRY}
    for path in [SOURCES / "proof" / "__init__.py", *modules]:
        files[path.relative_to(SOURCES).as_posix()] = path.read_bytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        stream.write(SHEBANG)
        with ZipFile(stream, "w", ZIP_STORED) as archive:
            for name in sorted(files):
                archive.writestr(_entry(name), files[name])
    target.chmod(0o755)


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(name, DATE)
    entry.create_system = UNIX
    entry.external_attr = 0o644 << 16
    return entry


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the stand-alone verifier.")
    parser.add_argument(
        "target",
        nargs="?",
        type=Path,
        default=ROOT / "dist" / "proof-verify.pyz",
        help="where to write it (default: dist/proof-verify.pyz)",
    )
    target = parser.parse_args().target
    build(target)
    print(f"{target}: the verifier, {target.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
