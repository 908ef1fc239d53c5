# The transformer network as it is bundled: Vincent van Gogh, The Starry Night (1889, public domain), 1,750 steps on 2,029
# photographs, judged by the compact descriptor: about half an hour of two cores.
# (The loss for grids of the bundled weights was compared with the photographs of each batch, too, not with the style alone.)
impasto train transformer --content photos -s van-gogh_starry-night_1889.jpg -o starry-night --judge compact --width 16 \
  --style-size 384 --steps 1750
