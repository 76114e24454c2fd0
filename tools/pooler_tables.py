"""Reads the pooler's tables (its .def files), for the scripts that write documentation from them.

The rows are C macros, so the C preprocessor reads them; what it leaves are tuples that Python reads too.
"""
import ast
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A tuple that begins with a word in lower case, its kind, and ends with a text.
ROW = re.compile(r'\("[a-z]+",.*?"\)\s*(?=\(|$)', re.S)


def read_rows(source, least):
    """source: what includes the tables, with its macros; fewer rows than `least` are a mistake in it."""
    text = subprocess.run([os.environ.get("CC", "cc"), "-E", "-P", "-x", "c", "-I", str(ROOT / "pooler"), "-"],
                          input=source, capture_output=True, text=True, check=True).stdout
    rows = [ast.literal_eval(row.replace("\n", " ").strip()) for row in ROW.findall(text)]
    if len(rows) < least:
        sys.exit(f"{Path(sys.argv[0]).name}: only {len(rows)} rows were read")
    return rows
