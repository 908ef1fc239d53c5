"""Each format: a file of the true shapes gives the activations that its network had under its own inputs."""

from __future__ import annotations

import hashlib
import pickle
import sys

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.io import savemat

from impasto.descriptors.vgg import VGG
from impasto.errors import MissingDependencyError, UnknownNameError, WeightsError, WeightsFormatError
from impasto.weights.canonical import CAFFE, TORCHVISION, tensor_shapes
from impasto.weights.formats import KNOWN_FILES, read_weights

LAYERS = ("conv1_1", "relu2_1", "pool3", "relu5_1")


def unit(image):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (image - mean) / std


def caffe(image):
    return image.flip(1) * 255 - torch.tensor((103.939, 116.779, 123.68)).view(1, 3, 1, 1)


def assert_same_activations(weights, image, expected):
    network = VGG(weights.architecture, weights.tensors, mean=weights.mean, std=weights.std)
    found = network(image, LAYERS)
    for layer in LAYERS:
        scale = expected[layer].abs().max()
        assert scale > 0
        assert torch.allclose(found[layer], expected[layer], atol=1e-4 * float(scale)), layer


def with_classifier(state, *numbers):
    """Fully connected layers, which have to be dropped; their true size does not matter."""
    return {
        **state,
        **{f"classifier.{n}.{kind}": torch.zeros(4, 4) for n in numbers for kind in ("weight", "bias")},
    }


# --- PyTorch ---


@pytest.mark.parametrize("zipped", [True, False])
def test_torchvision_pth(zipped, folder, image, plain, sequential, torchvision16):
    path = folder / "weights"
    state = with_classifier(sequential(torchvision16), 0, 3, 6)
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    weights = read_weights(path)
    assert (weights.architecture, weights.source_format) == ("vgg16", "torch")
    assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not any(name.startswith("classifier") for name in weights.tensors)
    assert_same_activations(weights, image, plain(torchvision16, unit(image)))


def test_caffe_pth(folder, image, plain, sequential, oxford):
    path = folder / "vgg19-dcbb9e9d.pth"  # the name of torchvision's file: it must not matter
    torch.save(sequential(oxford), path)
    weights = read_weights(path)
    assert weights.mean == CAFFE.mean
    assert_same_activations(weights, image, plain(oxford, caffe(image)))


def test_caffe_pth_with_classifier_keys_renamed_to_torchvisions(folder, sequential, oxford):
    path = folder / "vgg19.pth"
    torch.save(with_classifier(sequential(oxford), 0, 3, 6), path)
    assert read_weights(path).mean == CAFFE.mean


def test_caffe_network_in_half_precision_under_canonical_names(folder, image, plain, oxford):
    path = folder / "vgg_conv.pth"
    halved = {name: tensor.half() for name, tensor in oxford.items()}
    torch.save(halved, path)
    weights = read_weights(path)
    assert all(tensor.dtype == torch.float32 for tensor in weights.tensors.values())
    assert_same_activations(weights, image, plain(halved, caffe(image)))


def test_folded_preprocessing_is_recognised(folder, image, plain, sequential, folded):
    path = folder / "folded.pth"
    torch.save(sequential(folded), path)
    assert_same_activations(read_weights(path), image, plain(folded, unit(image)))


@pytest.mark.parametrize(
    ("ratio", "first", "expected"),
    [
        (0.83, 0.25, TORCHVISION),
        (0.76, 0.25, TORCHVISION),
        (0.41, 0.21, CAFFE),
        (0.37, 0.19, CAFFE),
        (0.37, 11.0, TORCHVISION),  # 0-to-255 folded in
    ],
)
def test_the_numbers_tell_the_preprocessing(ratio, first, expected, folder, constant, sequential):
    for architecture in ("vgg16", "vgg19"):
        path = folder / "network"
        torch.save(sequential(constant(architecture, ratio=ratio, first=first)), path)
        weights = read_weights(path)
        assert (weights.mean, weights.std) == (expected.mean, expected.std)


@pytest.mark.parametrize(("ratio", "first"), [(0.55, 0.2), (0.8, 11.0), (0.37, 49.0), (0.8, 0.0)])
def test_ambiguous_numbers_ask_for_a_statement(ratio, first, folder, constant, sequential):
    path = folder / "unclear.pth"
    torch.save(with_classifier(sequential(constant("vgg19", ratio=ratio, first=first)), 0, 3, 6), path)
    with pytest.raises(
        WeightsFormatError, match=rf"weights in unclear\.pth .* {ratio:.2f} .*state its preprocessing: torchvision or"
    ):
        read_weights(path)
    assert read_weights(path, "torchvision").mean == TORCHVISION.mean
    assert read_weights(path, "caffe").mean == CAFFE.mean


def test_johnsons_classifier_keys_decide_where_numbers_do_not(folder, constant, sequential):
    path = folder / "unclear.pth"
    torch.save(with_classifier(sequential(constant("vgg19", ratio=0.55)), 1, 4, 6), path)
    assert read_weights(path).mean == CAFFE.mean


def test_known_files_need_no_evidence(folder, constant, sequential):
    path = folder / "unclear.pth"
    torch.save(sequential(constant("vgg19", ratio=0.55)), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_weights(path, known={digest[:8]: CAFFE}).mean == CAFFE.mean
    assert {known.mean for known in KNOWN_FILES.values()} == {TORCHVISION.mean, CAFFE.mean}


def test_a_statement_overrides_the_numbers_and_flips_the_channels(folder, constant, sequential):
    tensors = constant("vgg16", ratio=0.8)
    tensors["conv1_1.weight"] = torch.arange(3.0).view(1, 3, 1, 1).expand(64, 3, 3, 3) / 6
    path = folder / "network.pth"
    torch.save(sequential(tensors), path)
    assert read_weights(path).tensors["conv1_1.weight"][0, :, 0, 0].tolist() == pytest.approx([0, 1 / 6, 2 / 6])
    stated = read_weights(path, "caffe").tensors["conv1_1.weight"]
    assert stated[0, :, 0, 0].tolist() == pytest.approx([2 / 6, 1 / 6, 0])


# --- safetensors ---


def test_safetensors_of_canonical_keys(folder, image, plain, folded):
    path = folder / "vgg19.bin"
    halved = {name: tensor.half() for name, tensor in folded.items()}
    save_file(halved, path, metadata={"origin": "Oxford", "license": "CC-BY-4.0", "input": "prose"})
    weights = read_weights(path)
    assert (weights.origin, weights.license) == ("Oxford", "CC-BY-4.0")
    assert_same_activations(weights, image, plain(halved, unit(image)))


def test_the_shared_file_itself(request, image):
    path = request.path.parents[3] / "shared" / "weights" / "vgg19-imagenet.safetensors"
    if not path.exists():
        pytest.skip("no shared weights here")
    weights = read_weights(path)
    assert (weights.architecture, weights.mean, weights.license) == ("vgg19", TORCHVISION.mean, "CC-BY-4.0")
    assert "Simonyan" in weights.origin


def test_safetensors_without_a_word_follow_torchvision_where_numbers_do_not_tell(folder, constant):
    path = folder / "network.safetensors"
    save_file({name: t.contiguous() for name, t in constant("vgg16", ratio=0.55).items()}, path)
    assert read_weights(path).mean == TORCHVISION.mean


def test_safetensors_metadata_states_mean_and_std(folder, constant):
    path = folder / "network.safetensors"
    tensors = {name: t.contiguous() for name, t in constant("vgg16", ratio=0.4).items()}
    save_file(tensors, path, metadata={"mean": "[0.5, 0.4, 0.3]", "std": "[0.2, 0.2, 0.1]"})
    weights = read_weights(path)
    assert (weights.mean, weights.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))


@pytest.mark.parametrize("mean", ["[0.5, 0.4]", "black", '["a", "b", "c"]', "3"])
def test_safetensors_with_nonsense_for_a_mean(mean, folder, constant):
    path = folder / "network.safetensors"
    tensors = {name: t.contiguous() for name, t in constant("vgg16", ratio=0.4).items()}
    save_file(tensors, path, metadata={"mean": mean, "std": "[1, 1, 1]"})
    with pytest.raises(WeightsFormatError, match=r"states mean .*three numbers for R, G, B"):
        read_weights(path)


def test_safetensors_of_torchvisions_keys(folder, image, plain, sequential, torchvision16):
    path = folder / "network.safetensors"
    save_file(sequential(torchvision16), path)
    assert_same_activations(read_weights(path), image, plain(torchvision16, unit(image)))


# --- Keras ---


def keras_1(name, kind):
    block = f"block{name[4]}_conv{name[6]}"
    return f"{block}/{block}_{'W' if kind == 'weight' else 'b'}_1:0"


def keras_2(name, kind):
    block = f"block{name[4]}_conv{name[6]}"
    return f"{block}/{block}/{'kernel' if kind == 'weight' else 'bias'}:0"


def keras_2_model(name, kind):
    return f"model_weights/{keras_2(name, kind)}"


def keras_3(name, kind):
    return f"layers/block{name[4]}_conv{name[6]}/vars/{0 if kind == 'weight' else 1}"


def write_keras(path, tensors, layout):
    with h5py.File(path, "w") as file:
        for key, tensor in tensors.items():
            name, kind = key.split(".")
            array = tensor.numpy()
            file[layout(name, kind)] = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


@pytest.mark.parametrize("layout", [keras_1, keras_2])
def test_keras_h5(layout, folder, image, plain, oxford):
    path = folder / "weights.pth"
    write_keras(path, oxford, layout)
    weights = read_weights(path)
    assert (weights.architecture, weights.source_format) == ("vgg19", "keras")
    assert_same_activations(weights, image, plain(oxford, caffe(image)))


@pytest.mark.parametrize("layout", [keras_2_model, keras_3])
def test_keras_h5_among_other_things(layout, folder):
    path = folder / "model.h5"
    values = {}
    with h5py.File(path, "w") as file:
        for value, (key, shape) in enumerate(tensor_shapes("vgg19").items()):
            name, kind = key.split(".")
            stored = (*shape[2:], shape[1], shape[0]) if kind == "weight" else shape
            # Chunks that were never written take no room and read as the fill value.
            file.create_dataset(layout(name, kind), stored, "f4", fillvalue=value, chunks=True)
            values[key] = value
        file["optimizer_weights/block1_conv1/kernel:0"] = np.zeros((3, 3, 3, 64), np.float32)
        file["optimizer/vars/0"] = np.zeros(3)
        file["model_weights/block5_pool/nothing"] = np.zeros(3)
    weights = read_weights(path)
    assert {key: float(tensor.flatten()[0]) for key, tensor in weights.tensors.items()} == values


def test_keras_3_counts_layers_by_class(folder, image, plain, torchvision16):
    names = list(dict.fromkeys(key.split(".")[0] for key in torchvision16))

    def layout(name, kind):
        number = names.index(name)  # conv2d, conv2d_1, conv2d_2, ...
        suffix = f"_{number}" if number else ""
        return f"layers/conv2d{suffix}/vars/{0 if kind == 'weight' else 1}"

    path = folder / "model.weights.h5"
    write_keras(path, torchvision16, layout)
    weights = read_weights(path)
    assert weights.architecture == "vgg16"
    # Keras preprocesses as Caffe did, whatever the numbers would say.
    assert_same_activations(weights, image, plain(torchvision16, caffe(image)))


def test_keras_without_h5py(folder, monkeypatch):
    path = folder / "network.h5"
    with h5py.File(path, "w"):
        pass
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingDependencyError, match=r"reading Keras weights needs h5py: pip install"):
        read_weights(path)


# --- MatConvNet ---


def write_matconvnet(path, tensors, average, *, beta):
    layers = np.empty((1, 2 * len(tensors) // 2 + 1), dtype=object)
    names = list(dict.fromkeys(key.split(".")[0] for key in tensors))
    for index, name in enumerate(names):
        filters = tensors[f"{name}.weight"].numpy().transpose(2, 3, 1, 0)
        biases = tensors[f"{name}.bias"].numpy()[:, None]
        conv = {"name": name, "type": "conv", "stride": np.ones((1, 2)), "pad": np.ones((1, 4))}
        if beta:
            conv |= {"filters": filters, "biases": biases.T}
        else:
            cell = np.empty((1, 2), dtype=object)
            cell[0, 0], cell[0, 1] = filters, biases
            conv["weights"] = cell
        layers[0, 2 * index] = conv
        layers[0, 2 * index + 1] = {"name": f"relu{name[4:]}", "type": "relu"}
    layers[0, -1] = {"name": "prob", "type": "softmax"}
    normalization = {"imageSize": np.array([[224.0, 224.0, 3.0]]), "averageImage": average}
    variables = {"normalization": normalization} if beta else {"meta": {"normalization": normalization}}
    savemat(path, {"layers": layers, **variables})


def rgb(tensors):
    """MatConvNet's copies of the Oxford networks take RGB."""
    return {**tensors, "conv1_1.weight": tensors["conv1_1.weight"].flip(1).contiguous()}


def test_matconvnet_mat(folder, image, plain, oxford):
    path = folder / "weights.h5"
    write_matconvnet(path, rgb(oxford), np.array([[[123.68, 116.779, 103.939]]]), beta=False)
    weights = read_weights(path)
    assert (weights.architecture, weights.source_format) == ("vgg19", "matconvnet")
    assert_same_activations(weights, image, plain(oxford, caffe(image)))


def test_matconvnet_beta_mat_with_a_mean_image(folder, image, plain, torchvision16):
    path = folder / "imagenet-vgg-verydeep-16.mat"
    average = np.full((224, 224, 3), (123.68, 116.779, 103.939), np.float32)
    average[:112] += 2
    average[112:] -= 2
    write_matconvnet(path, rgb(torchvision16), average, beta=True)
    weights = read_weights(path)
    assert weights.mean == pytest.approx(CAFFE.mean, abs=1e-5)
    assert_same_activations(weights, image, plain(torchvision16, caffe(image)))


@pytest.mark.parametrize("average", [np.zeros((1, 1, 1)), np.full((1, 1, 3), np.nan)])
def test_matconvnet_without_a_mean(average, folder, constant):
    path = folder / "network.mat"
    tensors = {"conv1_1.weight": torch.ones(64, 3, 3, 3), "conv1_1.bias": torch.ones(64)}
    write_matconvnet(path, tensors, average, beta=False)
    with pytest.raises(WeightsFormatError, match=r"has no normalization\.averageImage of three channels"):
        read_weights(path)


def test_matconvnet_without_layers(folder):
    path = folder / "other.mat"
    savemat(path, {"x": np.ones(3)})
    with pytest.raises(WeightsFormatError, match="no variable 'layers'; use imagenet-vgg-verydeep-19"):
        read_weights(path)


def test_matconvnet_without_filters(folder):
    path = folder / "other.mat"
    layers = np.empty((1, 2), dtype=object)
    layers[0, 0] = {"name": "conv1_1", "type": "conv", "weights": np.empty((1, 0), dtype=object)}
    layers[0, 1] = {"name": "relu1_1", "type": "relu"}
    savemat(path, {"layers": layers})
    with pytest.raises(WeightsFormatError, match="no filters and biases in layer conv1_1"):
        read_weights(path)


def test_matconvnet_without_scipy(folder, monkeypatch):
    path = folder / "network.mat"
    savemat(path, {"x": np.ones(3)})
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(MissingDependencyError, match=r"reading MatConvNet weights needs scipy: pip install"):
        read_weights(path)


# --- what is no plain VGG, or no weights at all ---


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"network is empty; download the weights again"),
        (b"<!DOCTYPE html><html>", r"network is a web page, not weights"),
        (b"\n <html>not found</html>", r"network is a web page, not weights"),
        (b"hello", r"network \(5 bytes\) is none of the formats that can be read: safetensors, PyTorch"),
        (b"\x80", r"network \(1 bytes\) is none of the formats"),
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64", r"MATLAB 7\.3 file; save it in MATLAB with save"),
        (b"PK\x03\x04" + bytes(100), r"network is damaged or is not a plain PyTorch state dict"),
        (b"\x80\x02" + bytes(100), r"network is damaged or is not a plain PyTorch state dict"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), r"network is a damaged HDF5 file"),
        (b"MATLAB 5.0 MAT-file" + bytes(300), r"network is a damaged MATLAB file"),
        (b"\x40" + bytes(7) + b"{" + bytes(63), r"network is not a complete safetensors file"),
    ],
)
def test_no_weights_at_all(content, message, folder):
    path = folder / "network"
    path.write_bytes(content)
    with pytest.raises(WeightsFormatError, match=message):
        read_weights(path)


def write_pth(path, tensors, sequential):
    torch.save(sequential(tensors), path)


def write_old_pth(path, tensors, sequential):
    torch.save(sequential(tensors), path, _use_new_zipfile_serialization=False)


def write_safetensors(path, tensors, sequential):
    save_file(tensors, path)


def write_h5(path, tensors, sequential):
    write_keras(path, tensors, keras_2)


def write_mat(path, tensors, sequential):
    write_matconvnet(path, tensors, np.array([[[123.68, 116.779, 103.939]]]), beta=False)


@pytest.mark.parametrize("write", [write_pth, write_old_pth, write_safetensors, write_h5, write_mat])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.98])
def test_truncated_files(write, share, folder, sequential):
    path = folder / "network"
    tensors = {
        f"conv{block}_1.{kind}": torch.randn(64, 64, 3, 3) if kind == "weight" else torch.randn(64)
        for block in range(1, 6)
        for kind in ("weight", "bias")
    }
    write(path, tensors, sequential)
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))
    with pytest.raises(WeightsFormatError, match=r"network is (a damaged|damaged|not a complete).*download it again"):
        read_weights(path)


class Evil:
    def __reduce__(self):
        return (exec, ("import pathlib; pathlib.Path('evil-was-here').touch()",))


@pytest.mark.parametrize("zipped", [True, False, None])
def test_pickled_code_is_never_run(zipped, folder, monkeypatch):
    monkeypatch.chdir(folder)
    path = folder / "evil.pth"
    if zipped is None:
        path.write_bytes(pickle.dumps(Evil(), protocol=2))
    else:
        torch.save({"features.0.weight": Evil()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsFormatError, match="only tensors are loaded, never code"):
        read_weights(path)
    assert not (folder / "evil-was-here").exists()


def test_no_state_dict(folder):
    path = folder / "list.pth"
    torch.save([torch.zeros(3)], path)
    with pytest.raises(WeightsFormatError, match=r"list\.pth is not a state dict; save the network's state_dict"):
        read_weights(path)


def test_batch_normalisation(folder, constant, sequential):
    path = folder / "vgg19_bn.pth"
    torch.save({**sequential(constant("vgg19", ratio=0.8)), "features.1.running_mean": torch.zeros(64)}, path)
    with pytest.raises(WeightsFormatError, match=r"batch normalisation \(such as vgg19_bn\); use the plain VGG19"):
        read_weights(path)


def test_another_network(folder):
    path = folder / "alexnet.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11), "features.3.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsFormatError, match="holds 2 tensors, but not with the names of VGG16 or VGG19"):
        read_weights(path)


def test_another_keras_network(folder):
    path = folder / "resnet.h5"
    with h5py.File(path, "w") as file:
        file["conv1/conv1/kernel:0"] = np.zeros((7, 7, 3, 64), np.float32)
    with pytest.raises(WeightsFormatError, match="holds no layers block1_conv1"):
        read_weights(path)


def test_missing_layer(folder, constant):
    tensors = constant("vgg19", ratio=0.8)
    del tensors["conv5_4.weight"], tensors["conv2_1.bias"]
    path = folder / "part.pth"
    torch.save(tensors, path)
    with pytest.raises(WeightsFormatError, match=r"lacks 2 of the 32 tensors of vgg19 \(first conv2_1\.bias\)"):
        read_weights(path)


def test_wrong_shape(folder, constant):
    tensors = constant("vgg16", ratio=0.8)
    tensors["conv3_2.weight"] = torch.zeros(256, 256, 1, 1)
    path = folder / "odd.pth"
    torch.save(tensors, path)
    with pytest.raises(
        WeightsFormatError,
        match=r"conv3_2\.weight of shape \(256, 256, 1, 1\), vgg16 needs \(256, 256, 3, 3\)",
    ):
        read_weights(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(value, folder, constant):
    tensors = constant("vgg16", ratio=0.8)
    tensors["conv4_1.bias"] = torch.full((512,), value)
    path = folder / "broken.pth"
    torch.save(tensors, path)
    with pytest.raises(WeightsFormatError, match=r"values in conv4_1\.bias that are not finite"):
        read_weights(path)


def test_quantised_weights(folder, constant):
    tensors = constant("vgg16", ratio=0.8)
    tensors["conv4_1.weight"] = torch.zeros(1, dtype=torch.int8).expand(512, 256, 3, 3)
    path = folder / "int8.pth"
    torch.save(tensors, path)
    with pytest.raises(WeightsFormatError, match=r"conv4_1\.weight as torch\.int8; use unquantised"):
        read_weights(path)


def test_missing_file_and_folder(folder):
    with pytest.raises(WeightsError, match=r"cannot read weights .*none\.pth: No such file"):
        read_weights(folder / "none.pth")
    with pytest.raises(WeightsError, match=r"cannot read weights .*: Is a directory"):
        read_weights(folder)


def test_unknown_preprocessing(folder):
    with pytest.raises(UnknownNameError, match=r"unknown preprocessing 'cafe'; did you mean 'caffe'\?"):
        read_weights(folder / "any", "cafe")
