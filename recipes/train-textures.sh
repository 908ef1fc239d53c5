# The two texture networks as they are bundled: Wassily Kandinsky, Composition VII (1913), and the gold of Gustav Klimt's
# The Kiss (1908), both in the public domain; from the second, 410x430 pixels of the scan of 1023x1024, from 330,330 on.
# (The first 100 steps of the bundled weights were made with --steps 1000, the others resumed with --steps 600.)
vips crop klimt_the-kiss_1908.jpg gold.png 330 330 410 430
for style in kandinsky_composition-vii_1913.jpg gold.png; do
  impasto train texture -s "$style" -o "$(basename "${style%.*}")" --judge vgg19 --batch 2 --steps 600 --learning-rate 0.003
done
