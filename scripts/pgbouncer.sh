#!/usr/bin/env bash
# Prints the path of PgBouncer: the one on the PATH, or the one of Debian's package, unpacked into the cache without being
# installed (no service, no rights needed). Exit 1 and one line where it cannot be had, or does not run.
#
#   scripts/pgbouncer.sh            fetch it unless it is there, print the path
#   scripts/pgbouncer.sh --path     print the path only (exit 1 if it is not there)
set -euo pipefail

if command -v pgbouncer; then exit 0; fi
cache=${CALLFARE_BINARY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/callfare}
folder=$cache/pgbouncer
program=$folder/pgbouncer
if [[ -x $program ]]; then echo "$program"; exit 0; fi
if [[ ${1:-} == --path ]]; then echo "$program"; exit 1; fi
if ! command -v apt-get >/dev/null; then
  echo "pgbouncer.sh: there is no pgbouncer on the PATH and no apt-get to fetch it with: install pgbouncer" >&2
  exit 1
fi

mkdir -p "$cache"
exec 9>"$cache/pgbouncer.lock"
flock -w 300 9
if [[ -x $program ]]; then echo "$program"; exit 0; fi
work=$(mktemp -d "$cache/pgbouncer-XXXXXX")
trap 'rm -rf "$work"' EXIT
# With the two libraries that no other package brings.
fetch() { (cd "$work" && timeout 200 apt-get download --quiet pgbouncer libc-ares2 libevent-2.1-7 >&2); }
# A fresh container has no package lists.
fetch || { [[ $(id -u) == 0 ]] && timeout 200 apt-get update --quiet >&2 && fetch; } ||
  { echo "pgbouncer.sh: apt-get could not fetch pgbouncer: install it, or run apt-get update" >&2; exit 1; }
for package in "$work"/*.deb; do dpkg-deb --extract "$package" "$work/unpacked"; done
mkdir -p "$work/folder/lib"
cp "$work"/unpacked/usr/sbin/pgbouncer "$work/folder/pgbouncer.real"
cp --no-dereference "$work"/unpacked/usr/lib/*/lib*.so.* "$work/folder/lib"
cat >"$work/folder/pgbouncer" <<'RUN'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
LD_LIBRARY_PATH="$here/lib" exec "$here/pgbouncer.real" "$@"
RUN
chmod +x "$work/folder/pgbouncer"
"$work/folder/pgbouncer" --version >&2 || { echo "pgbouncer.sh: Debian's pgbouncer does not run here: install it" >&2; exit 1; }
rm -rf "$folder"
mv "$work/folder" "$folder"
echo "$program"
