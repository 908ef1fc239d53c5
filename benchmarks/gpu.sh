#!/usr/bin/env bash
# A GPU against the processor of the same machine: one Markdown table, in under 150 seconds.
#   benchmarks/gpu.sh [--device cuda] [--seconds 145] [PART ...]     see benchmarks/gpu.py
# VGG19 is read from $IMPASTO_WEIGHTS_DIR/vgg19.safetensors. The package need not be installed.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH=$root/src${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
exec timeout --kill-after 3 150 "${PYTHON:-python3}" "$root/benchmarks/gpu.py" "$@"
