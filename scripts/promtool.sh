#!/usr/bin/env bash
# Prints the path of `promtool`, which checks Prometheus rules: the one on the PATH, or the one of Debian's `prometheus`
# package, unpacked into the cache without being installed (no service, no dependencies, no rights needed).
#
#   scripts/promtool.sh            fetch it unless it is there, print the path
#   scripts/promtool.sh --path     print the path only (exit 1 if it is not there)
set -euo pipefail

if command -v promtool; then exit 0; fi
cache=${CALLFARE_BINARY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/callfare}
promtool=$cache/prometheus/usr/bin/promtool
if [[ -x $promtool ]]; then echo "$promtool"; exit 0; fi
if [[ ${1:-} == --path ]]; then echo "$promtool"; exit 1; fi
if ! command -v apt-get >/dev/null; then
  echo "promtool.sh: there is no promtool on the PATH and no apt-get to fetch it with: install Prometheus" >&2
  exit 1
fi

mkdir -p "$cache"
exec 9>"$cache/promtool.lock"
flock -w 300 9
if [[ -x $promtool ]]; then echo "$promtool"; exit 0; fi
work=$(mktemp -d "$cache/promtool-XXXXXX")
trap 'rm -rf "$work"' EXIT
fetch() { (cd "$work" && timeout 200 apt-get download --quiet prometheus >&2); }
# A fresh container has no package lists.
fetch || { [[ $(id -u) == 0 ]] && timeout 200 apt-get update --quiet >&2 && fetch; } ||
  { echo "promtool.sh: apt-get could not fetch the package prometheus: install Prometheus, or run apt-get update" >&2; exit 1; }
dpkg-deb --extract "$work"/prometheus_*.deb "$work/unpacked"
"$work/unpacked/usr/bin/promtool" --version >&2
rm -rf "$cache/prometheus"
mv "$work/unpacked" "$cache/prometheus"
echo "$promtool"
