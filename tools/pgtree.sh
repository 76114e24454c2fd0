#!/usr/bin/env bash
# pgtree.sh <dir> - a private copy of the PostgreSQL installation, to try an extension in.
#
# `CREATE EXTENSION` looks only into the installation's own folders, and before PostgreSQL 18 nothing
# can redirect it. To leave the system's PostgreSQL as it is (and to need no root), the programs are
# copied below <dir> under their full path, and the folders they look into, relative to their own
# place, are filled with links to the originals. An extension installed with DESTDIR=<dir> then
# exists for these programs only.
#
# Prints nothing; does nothing if the copy is up to date with the system's packages.
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

[ $# = 1 ] || die "usage: pgtree.sh <dir>"
tree=$1
use_postgresql

bindir=$("$PG_CONFIG" --bindir)
sharedir=$("$PG_CONFIG" --sharedir)
pkglibdir=$("$PG_CONFIG" --pkglibdir)
includedir=$("$PG_CONFIG" --includedir)

# fingerprint: changes whenever the packages, or what other extensions installed, change
fingerprint()
{
    printf '%s\n' "$PG_CONFIG"
    "$PG_CONFIG" --version
    stat -L -c '%n %s %Y' "$bindir"/* "$sharedir/extension" "$sharedir" "$pkglibdir"
}

# link_all <from> <to> [but]: links each entry of <from> in <to>, except the one named [but] and ours
link_all()
{
    mkdir -p "$2"
    find "$1" -mindepth 1 -maxdepth 1 ! -name 'perfkit*' ! -name "${3:-/}" \
        -exec ln -s -t "$2" {} +
}

if [ -f "$tree/stamp" ] && [ "$(fingerprint | cksum)" = "$(cat "$tree/stamp")" ]; then
    exit 0
fi
rm -rf "$tree"
mkdir -p "$tree$bindir" "$tree$(dirname "$includedir")"
cp -L "$bindir"/* "$tree$bindir/"
link_all "$sharedir" "$tree$sharedir" extension
link_all "$sharedir/extension" "$tree$sharedir/extension"
link_all "$pkglibdir" "$tree$pkglibdir" bitcode
if [ -d "$pkglibdir/bitcode" ]; then
    link_all "$pkglibdir/bitcode" "$tree$pkglibdir/bitcode"
fi
[ -e "$tree$includedir" ] || ln -s "$includedir" "$tree$includedir"
fingerprint | cksum > "$tree/stamp"
