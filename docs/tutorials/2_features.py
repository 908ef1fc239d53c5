"""
Features, Gram matrices and a style transfer by hand
====================================================

What the engine ``gatys`` does, in thirty lines, with the parts that it is made of. The descriptor is the
compact one, which lies in the package; with VGG19 on this machine, ``load_descriptor("vgg19")`` does the same,
slower and better.
"""

# %%
# A descriptor network computes features: an image goes in, (1, 3, H, W) with values from 0 to 1, and every
# layer that is asked for gives (1, C, H', W').

import matplotlib.pyplot as plt
import torch

import impasto
from impasto.descriptors.catalog import load_descriptor
from impasto.images import resize_picture
from impasto.losses.functional import content_loss, gram_loss, gram_matrix, total_variation
from impasto.optimization.tensors import to_tensor

cpu = torch.device("cpu")
network = load_descriptor("compact")
content = to_tensor(resize_picture(impasto.read_picture("../../examples/pictures/harbour.jpg"), 160, 120).pixels, cpu)
style = to_tensor(resize_picture(impasto.read_picture("../../examples/pictures/swirls.jpg"), 160, 120).pixels, cpu)
layers = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
with torch.no_grad():
    features = network.forward(content, layers)
for layer in layers:
    print(layer, tuple(features[layer].shape))

# %%
# Each channel looks for something, everywhere in the picture: here, four of the second block. (Those of the
# compact descriptor are mixtures of VGG19's, chosen such that distances are the same.)

figure, axes = plt.subplots(1, 4, figsize=(12, 2.6), layout="constrained")
for axis, channel in zip(axes, (3, 9, 14, 20), strict=True):
    axis.imshow(features["relu2_1"][0, channel], cmap="magma")
    axis.set_title(f"relu2_1, channel {channel}")
    axis.axis("off")

# %%
# A Gram matrix says which channels respond together, wherever they do. Those of two pictures tell their
# styles apart.

with torch.no_grad():
    grams = {
        "content": gram_matrix(features["relu2_1"]),
        "style": gram_matrix(network.forward(style, layers)["relu2_1"]),
    }
figure, axes = plt.subplots(1, 2, figsize=(7, 3.2), layout="constrained")
for axis, (name, gram) in zip(axes, grams.items(), strict=True):
    axis.imshow(gram[0], cmap="viridis")
    axis.set_title(f"Gram matrix of the {name}")

# %%
# The targets: features of the content at one layer, Gram matrices of the style at five. Then the picture
# itself is what an optimiser changes.

with torch.no_grad():
    place = network.forward(content, ["relu4_2"])["relu4_2"]
    targets = {layer: gram_matrix(found) for layer, found in network.forward(style, layers).items()}

image = content.clone().requires_grad_()
optimizer = torch.optim.Adam([image], lr=0.02)
course = []
for _ in range(60):
    seen = network.forward(image, [*layers, "relu4_2"])
    likeness = content_loss(seen["relu4_2"], place, "relative")
    manner = sum(gram_loss(gram_matrix(seen[layer]), targets[layer], "relative") for layer in layers) / len(layers)
    loss = likeness + 10 * manner + 5 * total_variation(image)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        image.clamp_(0, 1)
    course.append((float(likeness.detach()), float(manner.detach())))

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
left.imshow(image.detach()[0].permute(1, 2, 0))
left.axis("off")
right.plot(course, label=("content", "style"))
right.set_xlabel("step")
right.set_yscale("log")
right.legend()

# %%
# ``impasto.stylize(..., engine="gatys")`` is this with better steps (L-BFGS), coarse sizes first, a guard
# against losses that explode, checkpoints, and pictures larger than memory.
