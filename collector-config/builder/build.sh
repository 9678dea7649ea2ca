#!/usr/bin/env bash
# Builds the Collector or Jaeger from Go modules and prints the path of the binary.
#
#   collector-config/builder/build.sh otelcol|jaeger            build unless cached, print the path
#   collector-config/builder/build.sh otelcol|jaeger --path     print the path only (exit 1 if it is not built)
#
# Binaries live outside the checkout, named by what they are made of (the manifest without its comments), so a fresh
# clone finds them and an edited manifest is built again. Takes 10-30 minutes on two cores the first time.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
what=${1:?otelcol or jaeger}
cache=${CALLFARE_BINARY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/callfare}
limit_seconds=${CALLFARE_BUILD_TIMEOUT_SECONDS:-2700}

case $what in
  otelcol) recipe=$here/manifest.yaml ;;
  jaeger) recipe=$here/jaeger/go.mod ;;
  *) echo "build.sh: unknown program '$what': say otelcol or jaeger" >&2; exit 2 ;;
esac

# Comments and blank lines say nothing to the compiler.
key=$(sed -e 's/[[:space:]]*#.*$//' -e 's,^//.*$,,' -e '/^[[:space:]]*$/d' "$recipe" | sha256sum | cut -c1-16)
binary=$cache/$what-$key
if [[ -x $binary ]]; then echo "$binary"; exit 0; fi
if [[ ${2:-} == --path ]]; then echo "$binary"; exit 1; fi

mkdir -p "$cache"
# One build at a time on one machine: a second one waits and finds the result.
exec 9>"$cache/build.lock"
flock -w "$limit_seconds" 9 || { echo "build.sh: another build holds $cache/build.lock" >&2; exit 1; }
if [[ -x $binary ]]; then echo "$binary"; exit 0; fi

work=$(mktemp -d "$cache/build-$what-XXXXXX")
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0
# All steps together stay below the limit: bash counts SECONDS from the start.
run() { nice -n 10 timeout --kill-after=30 "$((limit_seconds > SECONDS ? limit_seconds - SECONDS : 1))" "$@" >&2; }
go_build() { run go build -p 2 -trimpath -ldflags "-s -w" -o "$work/out" "$@"; }

if [[ $what == otelcol ]]; then
  version=$(sed -n 's/^ *version: *//p' "$recipe")
  GOBIN=$work run go install -p 2 -trimpath "go.opentelemetry.io/collector/cmd/builder@v$version"
  cp "$recipe" "$work/manifest.yaml"
  # ocb writes the main package only. Its own `go mod tidy` would also fetch what the tests of our dependencies need
  # (half as much again, and not available everywhere): with a go.mod of the same lines, Go fetches what is linked.
  (cd "$work" && run ./builder --config=manifest.yaml --skip-get-modules --skip-compilation)
  {
    echo "module callfare.example/otelcol"
    echo "go $(go env GOVERSION | sed 's/^go//')"
    sed -n 's/^ *- gomod: */require /p' "$recipe"
    echo "require go.opentelemetry.io/collector/otelcol v$version"
  } > "$work/dist/go.mod"
  (cd "$work/dist" && GOFLAGS="${GOFLAGS:-} -mod=mod" go_build .)
else
  cp "$recipe" "$work/go.mod"
  # Jaeger's own go.sum, out of its checked module, has the sums of its dependencies: its release was built with them.
  source=$(cd "$work" && GOFLAGS="${GOFLAGS:-} -mod=mod" go mod download -json github.com/jaegertracing/jaeger |
    sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  install -m 644 "$source/go.sum" "$work/go.sum"
  (cd "$work" && GOFLAGS="${GOFLAGS:-} -mod=mod" go_build github.com/jaegertracing/jaeger/cmd/jaeger)
fi

mv "$work/out" "$binary"
echo "$binary"
