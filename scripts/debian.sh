#!/usr/bin/env bash
# Sourced by promtool.sh and pgbouncer.sh: a program of a Debian package, unpacked into the cache without being installed
# (no service, no rights needed).
set -euo pipefail

cache=${CALLFARE_BINARY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/callfare}

# print_if_there COMMAND PATH [--path]: print where the program is and end; else go on, unless only the path is asked for.
print_if_there() {
  if command -v "$1"; then exit 0; fi
  if [[ -x $2 ]]; then echo "$2"; exit 0; fi
  if [[ ${3:-} == --path ]]; then echo "$2"; exit 1; fi
}

# unpack PATH PACKAGE...: unpack the packages into $work/unpacked, with the cache locked until this process ends.
# Prints the path and ends where another process has made the program meanwhile.
unpack() {
  local path=$1 script; script=$(basename "$0")
  shift
  command -v apt-get >/dev/null ||
    { echo "$script: there is no apt-get to fetch $1 with: install $1" >&2; exit 1; }
  mkdir -p "$cache"
  exec 9>"$cache/${script%.sh}.lock"
  flock -w 300 9
  if [[ -x $path ]]; then echo "$path"; exit 0; fi
  work=$(mktemp -d "$cache/${script%.sh}-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  # A fresh container has no package lists.
  fetch "$@" || { [[ $(id -u) == 0 ]] && timeout 200 apt-get update --quiet >&2 && fetch "$@"; } ||
    { echo "$script: apt-get could not fetch $1: install it, or run apt-get update" >&2; exit 1; }
  for package in "$work"/*.deb; do dpkg-deb --extract "$package" "$work/unpacked"; done
}

fetch() { (cd "$work" && timeout 200 apt-get download --quiet "$@" >&2); }
