#!/usr/bin/env bash
# Instance against batch normalisation (docs/claims.md), the picture and the numbers: two trainings of ten minutes on two cores.
#   recipes/norms.sh PHOTOS PAINTING PHOTO OUT
set -e
photos=$1 painting=$2 photo=$3 out=$4
for norm in instance batch; do
  impasto train transformer --content "$photos" -s "$painting" -o "$out/$norm" --norm $norm --width 16 --crop 192 --steps 600
done
impasto compare "$photo" -s "$painting" --engine "transformer:$out/instance,transformer:$out/batch" -o "$out/norms.png"
