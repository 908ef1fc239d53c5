# The compact descriptor as it is bundled. Photographs, paintings and flowers: 9,199 pictures of 224 to 256 pixels to learn
# from, 441 kept from training. (The bundled weights were trained for 800 steps, then resumed with --steps 1200.)
impasto train compact --data photos --data paintings --data flowers -o compact --steps 1200 --batch 16 --crop 128 --seed 0

# The wide descriptor. (The first 424 steps of the bundled weights ran with --steps 2000, which sets the learning rate.)
impasto train compact --width wide --data photos --data paintings --data flowers -o wide-begun --kept 120 \
    --steps 1000 --batch 16 --crop 128 --warmup 50 --learning-rate 5e-4 --seed 0

# Then on pictures that are painted through the descriptor itself, too.
impasto train compact --width wide --start wide-begun/wide.safetensors --data photos --data paintings --data flowers \
    -o wide --kept 120 --painted 0.33 --steps 400 --batch 16 --crop 128 --warmup 50 --learning-rate 1e-4 --seed 1
