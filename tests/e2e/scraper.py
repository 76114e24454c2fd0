"""Scraping the pooler: HTTP on its port, and a strict reader of what it tells.

read() takes nothing that the formats do not allow, so a test that reads has checked the format:
Prometheus's "Exposition formats" (text 0.0.4) and OpenMetrics 1.0.0."""

import http.client
import re

from limits import reload
from machine import free_port
from waiting import DEADLINE, wait_until

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TYPES = {
    False: "text/plain; version=0.0.4; charset=utf-8",
    True: "application/openmetrics-text; version=1.0.0; charset=utf-8",
}

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
_ESCAPED = re.compile(r"\\(.)")

# What a sample's name may have behind the family's; in the older format a counter's family has _total.
_SUFFIXES = {"gauge": {""}, "info": {"_info"}, "histogram": {"_bucket", "_count", "_sum"}}


class Family:
    def __init__(self, name, kind):
        self.name, self.kind = name, kind
        self.help = self.unit = None
        self.samples = {}


def _labels(text):
    labels, at = {}, 0
    while at < len(text):
        found = _LABEL.match(text, at)
        assert found, f"labels {text!r} at {at}"
        name, value = found.group(1), found.group(2)
        assert name not in labels, text
        labels[name] = _ESCAPED.sub(lambda m: "\n" if m[1] == "n" else m[1], value)
        at = found.end()
    return labels


def _histogram_holds(family):
    """Buckets rise, the last is infinite and is the count."""
    series = {}
    for name, labels in family.samples:
        key = frozenset(pair for pair in labels if pair[0] != "le")
        series.setdefault(key, {})[name, dict(labels).get("le")] = family.samples[name, labels]
    for key, samples in series.items():
        bounds = [(float(le), v) for (name, le), v in samples.items() if le is not None]
        assert bounds == sorted(bounds) and bounds[-1][0] == float("inf"), key
        counts = [count for _, count in bounds]
        assert counts == sorted(counts) and counts[-1] == samples[f"{family.name}_count", None]
        assert (samples[f"{family.name}_sum", None] > 0) <= (counts[-1] > 0), key


def read(text, openmetrics=False):
    """Families by name, from a text that must be right to the letter."""
    families, family, described = {}, None, None
    assert text.endswith("\n") and "\r" not in text
    lines = text[:-1].split("\n")
    if openmetrics:
        assert lines.pop() == "# EOF"
    for line in lines:
        assert line and line == line.strip(), repr(line)
        if line.startswith("# HELP "):
            name, described = line[7:].split(" ", 1)
            assert name not in families and described, line
            family = None
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name not in families and kind in ("counter", *_SUFFIXES), line
            family = families[name] = Family(name, kind)
            family.help, described = described, None
        elif line.startswith("# UNIT "):
            name, unit = line[7:].split(" ")
            assert openmetrics and name == family.name and name.endswith("_" + unit), line
            assert not family.samples, line
            family.unit = unit
        else:
            found = _SAMPLE.fullmatch(line)
            assert found, repr(line)
            name, labels, value = found.groups()
            assert name.startswith(family.name), f"{line} in {family.name}"
            suffixes = _SUFFIXES.get(family.kind) or ({"_total"} if openmetrics else {""})
            assert name[len(family.name) :] in suffixes, line
            key = name, frozenset(_labels(labels or "").items())
            assert key not in family.samples, line
            family.samples[key] = float(value)
    for family in families.values():
        assert family.help, family.name
        if family.kind == "counter":
            assert openmetrics or family.name.endswith("_total"), family.name
            assert all(value >= 0 for value in family.samples.values()), family.name
        if family.kind == "histogram":
            _histogram_holds(family)
    return families


class Scraper:
    """The HTTP side of a pooler that has been given a port for it."""

    def __init__(self, pooler, host="127.0.0.1"):
        self.pooler = pooler
        self.host = host
        self.port = None

    def place(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def open(self, place=None):
        """Give it a port; another one when somebody has taken that meanwhile."""
        for _ in range(5):
            self.port = free_port()
            where = place(self.port) if place else self.place()
            reload(self.pooler, prometheus_listen=where)
            said = f"prometheus_listen: listening on {self.host} port {self.port}"
            log = wait_until(
                lambda: (log := self.pooler.log()) and (said in log or f"port {self.port}:" in log) and log,
                "a word about the port",
            )
            if said in log:
                return self
        raise AssertionError(f"no port:\n{self.pooler.log()}")

    def connection(self):
        return http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE)

    def ask(self, path, method="GET", **headers):
        """Status, headers, text."""
        connection = self.connection()
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def families(self, openmetrics=False):
        status, headers, text = self.ask("/metrics", **({"Accept": OPENMETRICS} if openmetrics else {}))
        assert (status, headers["Content-Type"]) == (200, TYPES[openmetrics])
        return read(text, openmetrics)

    def values(self, name, **wanted):
        """Samples of this name whose labels are among others these, by the labels left over."""
        found = {}
        for family in self.families().values():
            for (sample, labels), value in family.samples.items():
                if sample == f"perfkit_pooler_{name}" and set(wanted.items()) <= labels:
                    left = tuple(v for k, v in sorted(labels) if k not in wanted)
                    found[left] = value
        return found

    def value(self, name, **wanted):
        """The one sample with exactly these labels, or None."""
        return self.values(name, **wanted).get(())


def scraped(pooler, **more):
    return Scraper(pooler, **more).open()
