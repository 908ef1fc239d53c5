# Photographs as pointillists would paint them, and the reverse: 2,029 photographs, 244 paintings, one core, about 80 minutes.
# The bundled compact descriptor is what the discriminators see with. Kept: examples/networks/to-pointillism.
impasto train cyclegan --domain-a photos --domain-b pointillism -o cycle --width 16 --blocks 4 \
    --cycle-weight 1 --identity-weight 0 --learning-rate 5e-4 --steps 8000 --show-every 200
