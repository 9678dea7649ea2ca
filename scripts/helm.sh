#!/usr/bin/env bash
# Prints the path of `helm`, which renders and checks charts/callfare: the one on the PATH, or one built from its Go module
# into the cache (some minutes, once).
#
#   scripts/helm.sh            build it unless it is there, print the path
#   scripts/helm.sh --path     print the path only (exit 1 if it is not there)
set -euo pipefail

version=v3.19.0
if command -v helm; then exit 0; fi
cache=${CALLFARE_BINARY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/callfare}
helm=$cache/helm-$version/helm
if [[ -x $helm ]]; then echo "$helm"; exit 0; fi
if [[ ${1:-} == --path ]]; then echo "$helm"; exit 1; fi
if ! command -v go >/dev/null; then
  echo "helm.sh: there is no helm on the PATH and no Go to build it with: install Helm 3" >&2
  exit 1
fi

mkdir -p "$cache"
exec 9>"$cache/helm.lock"
flock -w 1200 9
if [[ -x $helm ]]; then echo "$helm"; exit 0; fi
work=$(mktemp -d "$cache/helm-XXXXXX")
trap 'rm -rf "$work"' EXIT
GOBIN=$work go install "helm.sh/helm/v3/cmd/helm@$version" >&2
rm -rf "$(dirname "$helm")"
mkdir "$(dirname "$helm")"
mv "$work/helm" "$helm"
echo "$helm"
