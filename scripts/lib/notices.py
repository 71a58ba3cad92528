#!/usr/bin/env python3
"""Prints the licences of everything inside the binary: what has to go along with it when it is passed on.

Every crate that is linked on Linux, by name, version and licence, with the licence files that it carries, those of the C
libraries inside it too (librdkafka, zstd, OpenSSL); then the font. Run from the top of the project, after a build.
"""

import json
import pathlib
import re
import subprocess
import sys

NAMED = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def linked(metadata):
    """The packages that the program's binary is made of: no tests, nothing that only builds it."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, left = set(), [metadata["resolve"]["root"]]
    while left:
        package = left.pop()
        if package in found:
            continue
        found.add(package)
        for dependency in nodes[package]["deps"]:
            kinds = {kind["kind"] for kind in dependency["dep_kinds"]}
            # The one thing that comes in by way of a build: OpenSSL's source.
            if None in kinds or dependency["name"] == "openssl_src":
                left.append(dependency["pkg"])
    return found - {metadata["resolve"]["root"]}


def files(folder):
    """Licence files at the top of a crate, and those of the sources that it carries in a folder of their own."""
    for path in sorted(folder.rglob("*")):
        depth = len(path.relative_to(folder).parts)
        if depth <= 3 and NAMED.match(path.name) and path.is_file() and path.suffix not in {".rs", ".c", ".h", ".py"}:
            yield path


def main():
    metadata = json.loads(
        run("cargo", "metadata", "--locked", "--format-version", "1", "--features", "vendored,aws",
            "--filter-platform", "x86_64-unknown-linux-gnu")
    )
    wanted = linked(metadata)
    seen = {}
    print("brokerbench is under MIT or Apache-2.0, at your choice. Inside it are:")
    for package in sorted(metadata["packages"], key=lambda package: package["name"]):
        if package["id"] not in wanted:
            continue
        print(f"\n{'=' * 100}\n{package['name']} {package['version']}: {package['license']}")
        folder = pathlib.Path(package["manifest_path"]).parent
        for path in files(folder):
            text = path.read_text(encoding="utf-8", errors="replace").strip()
            name = f"{package['name']}/{path.relative_to(folder)}"
            if text in seen:
                print(f"\n-- {name}: as {seen[text]}")
            else:
                seen[text] = name
                print(f"\n-- {name}\n\n{text}")
    font = pathlib.Path("assets/DejaVuSans.LICENSE.txt").read_text(encoding="utf-8")
    print(f"\n{'=' * 100}\nDejaVu Sans (parts of it)\n\n{font}")


if __name__ == "__main__":
    sys.exit(main())
