"""Settings of publications for the engine 'gatys', by name."""

from __future__ import annotations

from typing import Any

ALL_STYLE_LAYERS = "relu1_1:1,relu2_1:1,relu3_1:1,relu4_1:1,relu5_1:1"

PRESETS: dict[str, dict[str, Any]] = {
    # Gatys, Ecker and Bethge (2016), section 3 and figure 2. With the ratio of the weights printed there, 1e-3, no
    # content is left; 1e-1 gives pictures like those of the figure.
    "gatys2016": {
        "style_margin": 0.0,
        "init": "noise",
        "optimizer": "lbfgs",
        "pooling": "average",
        "rescale_activations": True,
        "normalization": "paper",
        "content_layers": "relu4_2:1",
        "style_layers": ALL_STYLE_LAYERS,
        "content_weight": 100.0,
        "style_weight": 1000.0,
        "tv_weight": 0.0,
        "scales": 1,
        "steps": 500,
    },
    # The theses' scripts: Adam from the content image mixed with noise, 20 epochs of 100 steps, a picture after each.
    "thesis": {
        "style_margin": 0.0,
        "init": "content+noise",
        "optimizer": "adam",
        "content_layers": "relu4_2:1",
        "style_layers": "relu1_1:0.1,relu2_1:0.1,relu3_1:0.2,relu4_1:0.3,relu5_1:0.3",
        "scales": 1,
        "steps": 2000,
        "save_every": 100,
    },
    # One of the theses takes its features after the pooling layers.
    "thesis-pooling": {
        "style_margin": 0.0,
        "init": "content+noise",
        "optimizer": "adam",
        "content_layers": "pool4:1",
        "style_layers": "pool1:0.1,pool2:0.1,pool3:0.2,pool4:0.3,pool5:0.3",
        "scales": 1,
        "steps": 2000,
        "save_every": 100,
    },
}
