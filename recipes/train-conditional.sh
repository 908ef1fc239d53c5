# The network of the engine fast as it is bundled: 4,900 photographs and flowers as content, 4,300 paintings as styles, one
# in twenty of each kept from training. The card of the weights says which steps were made with which weights of the losses.
impasto train conditional --content photos --content flowers --style paintings --style masterpieces -o conditional \
  --steps 2900 --batch 8 --crop 160 --style-weight 16 --grid-weight 1 --seed 0
