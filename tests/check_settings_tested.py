#!/usr/bin/env python3
"""check_settings_tested.py - each setting of the pooler that has an effect stands in an end-to-end test.

It can only see that a name is there, not what is asserted about it; a setting that nobody thought of
is what it finds. Where a name stands among PgBouncer's keys in test_config.py (a file that is merely
read) it does not count. Prints each one that is missing; exits 1 if there is one.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Has an effect by its row, but nothing that a test could see yet, and why.
UNSEEN = {}


def settings():
    """The keys with an effect."""
    for name in ("options", "database_keys", "user_keys", "peer_keys"):
        text = (ROOT / "pooler" / "conf" / f"{name}.def").read_text()
        for row in re.split(r"^(?=(?:OPTION|KEY)\()", text, flags=re.M)[1:]:
            if re.search(r"\bEFFECT\b", row):
                yield re.match(r"\w+\(\w+, (\w+)", row).group(1)


def tests():
    text = "\n".join(p.read_text() for p in sorted((ROOT / "tests" / "e2e").glob("*.py")))
    return re.sub(r"^PGBOUNCER_KEYS = \(.*?^\)", "", text, flags=re.S | re.M)


def main():
    text = tests()
    wanted = set(settings())
    missing = [k for k in sorted(wanted) if k not in UNSEEN and not re.search(rf"\b{k}\b", text)]
    for key in missing:
        print(f"{key}: in no end-to-end test")
    for key in sorted(UNSEEN):
        if key not in wanted or re.search(rf"\b{key}\b", text):
            print(f"{key}: take it out of the exceptions of {Path(__file__).name}")
            missing.append(key)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
