#!/usr/bin/env bash
# From `git clone` to the first painted picture, by the README's command: seconds, and megabytes on disk, of each step.
#   benchmarks/first_minute.sh [REPOSITORY]
set -euo pipefail
repository=${1:-$(cd "$(dirname "$0")/.." && pwd)}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export PIP_NO_CACHE_DIR=1 XDG_CACHE_HOME=$folder/cache

step() {
  local begun=$EPOCHREALTIME
  "${@:2}" >"$folder/said" 2>&1 || { cat "$folder/said"; exit 1; }
  awk -v what="$1" -v begun="$begun" -v ended="$EPOCHREALTIME" -v size="$(du -sm "$folder" | cut -f1)" \
    'BEGIN { printf "| %s | %.1f s | %d MB |\n", what, ended - begun, size }'
}

echo "| step | time | on disk after it |"
echo "|---|---|---|"
step "git clone" git clone --quiet --depth 1 "file://$repository" clone
cd clone
command=$(grep -m 1 'bin/impasto stylize' README.md)
step "environment" bash -c "${command%% && *}"
command=${command#* && }
step "pip install" bash -c "${command%% && *}"
step "the first picture" bash -c "${command#* && }"
step "the second" bash -c "${command#* && }"
test -s out.png
