#!/usr/bin/env bash
# Writes development.lock: every package that development and tests install, with the hashes of its files. Run it after
# pyproject.toml or constraints.txt changed, and look at the difference before it is committed.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.venv/bin/python -m venv "$work/uv"
"$work/uv/bin/pip" install --quiet uv
.venv/bin/python - >"$work/dev.txt" <<'PYTHON'
import pathlib, sys, tomllib
sys.stdout.write("\n".join(tomllib.loads(pathlib.Path("pyproject.toml").read_text())["dependency-groups"]["dev"]))
PYTHON
{
  echo '# What development and tests install, each file with its hash. Made by `scripts/lock.sh` from pyproject.toml and'
  echo '# constraints.txt, for Python 3.11 to 3.13.'
  # The manual's builder needs 3.11.5; nothing else does.
  "$work/uv/bin/uv" pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
    --python-version 3.11.5 --extra all --constraint constraints.txt pyproject.toml "$work/dev.txt"
} >"$work/development.lock"
mv "$work/development.lock" development.lock
