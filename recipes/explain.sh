#!/usr/bin/env bash
# The pictures of docs/explanation.md and docs/claims.md, into docs/images: about twenty minutes on two cores, with VGG19.
set -e
cd "$(dirname "$0")/.."
pictures=examples/pictures sheets=docs/images
small="--engine gatys --size 320 --steps 150"

compare() {
  impasto compare $pictures/harbour.jpg -s $pictures/swirls.jpg -o "$sheets/$1.jpg" "${@:2}"
  rm "$sheets/$1.html"
}

compare claims-pooling $small --sweep pooling=max,average
compare claims-optimizers --engine gatys --size 320 --steps 60 --scales 1 --sweep optimizer=lbfgs,adam,sgd
impasto reconstruct $pictures/harbour.jpg -o $sheets/explain-reconstructions.jpg --size 224 --steps 100
compare explain-style-layers $small \
  --sweep style-layers="relu1_1;relu1_1,relu2_1;relu1_1,relu2_1,relu3_1,relu4_1,relu5_1"
compare explain-content-layers $small --sweep content-layers="relu2_2;relu3_2;relu4_2;relu5_2"
compare explain-weights $small --sweep style-weight=1,10,100
