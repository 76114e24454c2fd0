"""Helpers of the tests of limits: where they are set, how they refuse, how they are shown."""

import wire
from test_config import by_command


def refused(client, message, code="53300"):
    """A login that is refused with this message."""
    fields = wire.error(client)
    assert (fields["S"], fields["C"]) == ("FATAL", code)
    assert message in fields["M"]


def by_name(pooler, what, name):
    (row,) = [row for row in pooler.show(what) if row["name"] == name]
    return row


def reload(pooler, **settings):
    pooler.settings.update(settings)
    pooler.write()
    by_command(pooler)


def limit(where, name, value):
    """Settings that put this limit on app and alice: globally, for the database, or for the user."""
    return {
        "global": {name: value},
        "database": {name: 0, "databases": {"app": {name: value}}},
        "user": {name: 0, "users": {"alice": f"{name}={value}"}},
    }[where]
