#!/usr/bin/env bash
# Instance against batch normalisation (docs/claims.md): two trainings of ten minutes on two cores, a sheet of each photograph, and
# the mean losses of the last 100 steps.
#   recipes/norms.sh PHOTOS PAINTING OUT PHOTO...
set -e
photos=$1 painting=$2 out=$3
for norm in instance batch; do
  impasto train transformer --content "$photos" -s "$painting" -o "$out/$norm" --norm $norm --width 16 --crop 192 --steps 600 --judge compact
  echo "$norm: $(python -c '
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))[-100:]
print(*(f"{name} {sum(float(row[name]) for row in rows) / len(rows):.2f}" for name in rows[0] if name != "step"))' "$out/$norm/losses.csv")"
done
for photo in "${@:4}"; do
  impasto compare "$photo" -s "$painting" --engine "transformer:$out/instance,transformer:$out/batch" -o "$out/norms-$(basename "${photo%.*}").png"
done
