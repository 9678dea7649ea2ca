#!/usr/bin/env bash
# Prints the path of `promtool`, which checks Prometheus rules: the one on the PATH, or the one of Debian's `prometheus`.
#
#   scripts/promtool.sh            fetch it unless it is there, print the path
#   scripts/promtool.sh --path     print the path only (exit 1 if it is not there)
source "$(dirname "$0")/debian.sh"

promtool=$cache/prometheus/usr/bin/promtool
print_if_there promtool "$promtool" "${1:-}"
unpack "$promtool" prometheus
"$work/unpacked/usr/bin/promtool" --version >&2
rm -rf "$cache/prometheus"
mv "$work/unpacked" "$cache/prometheus"
echo "$promtool"
