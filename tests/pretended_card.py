"""A graphics card for tests of ONNX Runtime on machines that have none."""

from __future__ import annotations

import onnxruntime

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
OUT_OF_MEMORY = "Failed to allocate memory for requested buffer of size 402653184"


class Card:
    """Pretends that ONNX Runtime has been built for CUDA, and that there is a card; the processor computes.

    Attributes:
        opened: providers of every session.
    """

    def __init__(self, monkeypatch, *, opening=None, running=None, is_used=True):
        """On the card, sessions fail with the texts ``opening`` and ``running``, or are not used at all."""
        self.opened = []
        session, card = onnxruntime.InferenceSession, self
        create, run = session._create_inference_session, session.run

        def created(self, providers, *others):
            names = [name for name, _ in providers]
            card.opened.append(names)
            if CUDA in names and opening:
                raise RuntimeError(opening)  # which ONNX Runtime would catch, and print to stdout
            create(self, [CPU], *others)
            self._providers = names if is_used else [CPU]

        def ran(self, outputs, inputs):
            if CUDA in self._providers and running:
                raise RuntimeError(running)
            return run(self, outputs, inputs)

        monkeypatch.setattr(session, "_create_inference_session", created)
        monkeypatch.setattr(session, "run", ran)
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["TensorrtExecutionProvider", CUDA, CPU])
