#!/usr/bin/python3
"""check_meta.py META.json: judges it by the PGXN Meta Specification 1.0.0.

Checked are the required keys and the form of their values, that the files named under "provides"
exist, and that its version is the one of the extension's control file. Prints each fault; exits 1
if there is one.
"""
import json
import os
import re
import sys

SEMVER = re.compile(r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[A-Za-z][0-9A-Za-z-]*)?$")
TERM = re.compile(r"^[^\s/\\\x00-\x1f]{2,}$")
TAG = re.compile(r"^[^/\\\x00-\x1f]{1,255}$")
LICENSES = {
    "agpl_3", "apache_1_1", "apache_2_0", "artistic_1", "artistic_2", "bsd", "freebsd", "gfdl_1_2", "gfdl_1_3",
    "gpl_1", "gpl_2", "gpl_3", "lgpl_2_1", "lgpl_3_0", "mit", "mozilla_1_0", "mozilla_1_1", "openssl", "perl_5",
    "postgresql", "qpl_1_0", "ssleay", "sun", "zlib", "open_source", "restricted", "unrestricted", "unknown",
}
RELATIONS = {"requires", "recommends", "suggests", "conflicts"}
PHASES = {"configure", "build", "test", "runtime", "develop"}
KEYS = {
    "abstract", "description", "generated_by", "license", "maintainer", "meta-spec", "name", "no_index", "prereqs",
    "provides", "release_status", "resources", "tags", "version",
}


def is_text(value):
    """A string with something in it."""
    return isinstance(value, str) and value.strip() != ""


def is_text_or_list(value):
    """A text, or a list of at least one text."""
    return is_text(value) or (isinstance(value, list) and value != [] and all(is_text(v) for v in value))


def license_faults(value):
    """The license is a known word, a list of them, or a map of name to URL."""
    if isinstance(value, dict):
        if not value or not all(re.match(r"^https?://", str(url)) for url in value.values()):
            yield "license: a map must name a URL for each license"
        return
    for word in value if isinstance(value, list) else [value]:
        if word not in LICENSES:
            yield f"license: {word!r} is not a license of the specification"


def provides_faults(provides, root):
    """Each provided extension has a version and a file that is there."""
    if not isinstance(provides, dict) or not provides:
        yield "provides: must name at least one extension"
        return
    for name, entry in provides.items():
        if not TERM.match(name):
            yield f"provides: {name!r} is not a term"
        if not SEMVER.match(str(entry.get("version"))):
            yield f"provides.{name}.version: {entry.get('version')!r} is not a semantic version"
        for key in ("file", "docfile"):
            if key in entry and not os.path.isfile(os.path.join(root, entry[key])):
                yield f"provides.{name}.{key}: there is no {entry[key]}"
        if not is_text(entry.get("file")):
            yield f"provides.{name}.file: missing"


def prereqs_faults(prereqs):
    """Phases, relations and versions are of the specification's words."""
    for phase, relations in prereqs.items():
        if phase not in PHASES:
            yield f"prereqs: {phase!r} is not a phase"
        for relation, needs in relations.items():
            if relation not in RELATIONS:
                yield f"prereqs.{phase}: {relation!r} is not a relation"
            for name, version in needs.items():
                for part in str(version).split(","):
                    number = re.sub(r"^\s*(<=|<|==|>=|>|!=)\s*", "", part).strip()
                    if number != "0" and not SEMVER.match(number):
                        yield f"prereqs.{phase}.{relation}.{name}: {version!r} is not a version range"


def control_faults(meta, root):
    """The control file's default_version is the beginning of META.json's version."""
    with open(os.path.join(root, "pg_ext", "perfkit.control"), encoding="utf-8") as control:
        found = re.search(r"^default_version\s*=\s*'([^']+)'", control.read(), re.M)
    if not found or not str(meta.get("version")).startswith(found.group(1)):
        yield f"version: {meta.get('version')!r} does not fit the control file's default_version"


def faults(meta, root):
    """All that is wrong, one text each."""
    if not isinstance(meta, dict):
        yield "the document is not a map"
        return
    for key in meta:
        if key not in KEYS and not key.lower().startswith("x_"):
            yield f"{key}: not a key of the specification (X_ for own ones)"
    if not TERM.match(str(meta.get("name"))):
        yield "name: missing or not a term"
    if not SEMVER.match(str(meta.get("version"))):
        yield f"version: {meta.get('version')!r} is not a semantic version"
    if not is_text(meta.get("abstract")):
        yield "abstract: missing"
    if not is_text_or_list(meta.get("maintainer")):
        yield "maintainer: missing"
    if "license" not in meta:
        yield "license: missing"
    else:
        yield from license_faults(meta["license"])
    spec = meta.get("meta-spec")
    if not isinstance(spec, dict) or spec.get("version") != "1.0.0":
        yield "meta-spec.version: must be 1.0.0"
    if meta.get("release_status", "stable") not in ("stable", "testing", "unstable"):
        yield "release_status: must be stable, testing or unstable"
    for tag in meta.get("tags", []):
        if not is_text(tag) or not TAG.match(tag):
            yield f"tags: {tag!r} is not a tag"
    yield from provides_faults(meta.get("provides"), root)
    yield from prereqs_faults(meta.get("prereqs", {}))
    yield from control_faults(meta, root)


def main():
    """Reads, judges, tells."""
    path = sys.argv[1]
    with open(path, encoding="utf-8") as source:
        try:
            meta = json.load(source)
        except ValueError as error:
            sys.exit(f"{path}: not JSON: {error}")
    found = list(faults(meta, os.path.dirname(os.path.abspath(path))))
    for fault in found:
        print(f"{path}: {fault}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
