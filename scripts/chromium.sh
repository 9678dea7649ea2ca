#!/usr/bin/env bash
# Prints the path of a Chromium for the tests of the pages: the one on the PATH, or the one of Debian's package, which is
# installed where that is allowed (root and apt-get). Exit 1 and one line where there is none.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
  if command -v "$name"; then exit 0; fi
done
if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
  install() { DEBIAN_FRONTEND=noninteractive timeout 400 apt-get install --quiet --yes --no-install-recommends chromium >&2; }
  # A fresh container has no package lists.
  install || { timeout 200 apt-get update --quiet >&2 && install; } || true
fi
command -v chromium || { echo "chromium.sh: there is no Chromium: apt-get install chromium" >&2; exit 1; }
