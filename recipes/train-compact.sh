# The compact descriptor as it is bundled. Photographs, paintings and flowers: 9,199 pictures of 224 to 256 pixels to learn
# from, 441 kept from training. Its card tells at which step the bundled weights were taken.
impasto train compact --data photos --data paintings --data flowers -o compact --steps 800 --batch 16 --crop 128 --seed 0
