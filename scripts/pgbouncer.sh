#!/usr/bin/env bash
# Prints the path of PgBouncer: the one on the PATH, or Debian's. Exit 1 and one line where it cannot be had or run.
#
#   scripts/pgbouncer.sh            fetch it unless it is there, print the path
#   scripts/pgbouncer.sh --path     print the path only (exit 1 if it is not there)
source "$(dirname "$0")/debian.sh"

folder=$cache/pgbouncer
print_if_there pgbouncer "$folder/pgbouncer" "${1:-}"
# With the two libraries that no other package brings.
unpack "$folder/pgbouncer" pgbouncer libc-ares2 libevent-2.1-7
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
echo "$folder/pgbouncer"
