# AdaIN and SANet as they are bundled: the compact encoder, 2,029 photographs, 4,300 paintings; on one core each, side by side,
# about an hour.
impasto train adain --content photos --style paintings -o adain --crop 192 --steps 3000 --show-every 250
impasto train sanet --content photos --style paintings -o sanet --crop 192 --steps 1200 --show-every 100
