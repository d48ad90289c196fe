"""Writes operators.safetensors beside this file: small models of one or a few nodes, and ONNX Runtime's results.

    .venv/bin/pip install numpy onnx onnxruntime safetensors
    .venv/bin/python tests/onnx/generate_operators.py

A case `name` is stored as "name.model" (the file, as bytes) and "name.Y" (the output, or its integers as int64). The input
`X` is fill(0, dims, 1.5), with dims in "name.dims"; `ids`, where the model has it, is (5 j + 2) % 4.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import safetensors.numpy
from onnx import TensorProto, helper, numpy_helper

from generate_recurrent import fill

HERE = Path(__file__).resolve().parent
NODES = []  # of (name, opset, dims of X, nodes, constants)


def f(*shape, stream=1, scale=0.8):
    return fill(stream, shape, scale)


def case(name, dims, *nodes, opset=17, **constants):
    NODES.append((name, opset, dims, nodes, constants))


def one(name, operator, dims, inputs="X", opset=17, outputs="Y", constants=None, **attributes):
    node = helper.make_node(operator, inputs.split(), outputs.split(), **attributes)
    case(name, dims, node, opset=opset, **(constants or {}))


i = lambda *v: np.array(v, np.int64)  # noqa: E731
s = lambda v: np.array(v, np.float32)  # noqa: E731
n = helper.make_node

# Unary elementwise functions.
for op in "Neg Abs Exp Relu Sigmoid Tanh Softplus Softsign Elu LeakyRelu HardSigmoid Identity".split():
    one(op, op, [2, 3, 5])
one("Elu_alpha", "Elu", [7], alpha=0.3)
one("LeakyRelu_alpha", "LeakyRelu", [7], alpha=0.3)
one("HardSigmoid_both", "HardSigmoid", [7], alpha=0.4, beta=0.3)
case("Sqrt_Log", [9], n("Abs", ["X"], ["a"]), n("Sqrt", ["a"], ["b"]), n("Log", ["b"], ["Y"]))
for power in (0.0, 1.0, 2.0, 3.0, -1.0, -2.0):
    one(f"Pow_{power}", "Pow", [3, 4], "X p", constants=dict(p=s(power)))
for power in (0.5, 1.7):
    case(f"Pow_{power}", [3, 4], n("Abs", ["X"], ["a"]), n("Pow", ["a", "p"], ["Y"]), p=s(power))
one("Clip_6", "Clip", [9], opset=7, min=-0.3, max=0.5)
one("Clip", "Clip", [9], "X lo hi", constants=dict(lo=s(-0.3), hi=s(0.5)))
one("Clip_max", "Clip", [9], inputs="X  hi".replace("  ", " lo "), constants=dict(lo=s(-9), hi=s(0.5)))
one("Max", "Max", [9], "X p", constants=dict(p=s(0.2)))
one("Min", "Min", [2, 9], "p X q", constants=dict(p=s(0.2), q=s([0.1])))
one("Pow_rank", "Pow", [3], "X p", constants=dict(p=s([[2.0]])))
one("Pow_rank_root", "Pow", [], "X p", constants=dict(p=s([[[0.0]]])))
one("Max_rank", "Max", [2], "p X q", constants=dict(p=s([[0.2]]), q=s([[[-0.5]]])))
one("Min_rank", "Min", [2, 3], "X p", constants=dict(p=s([[[0.2]]])))
one("Min_one", "Min", [2, 3], "X")
one("Dropout_7", "Dropout", [5], opset=7, ratio=0.4)
one("Dropout", "Dropout", [5], "X r", constants=dict(r=s(0.4)))

# Binary elementwise functions, with broadcasting.
for op in "Add Sub Mul Div".split():
    one(op, op, [2, 1, 3], "X p", constants=dict(p=f(4, 1)))
    one(op + "_scalar", op, [2, 3], "p X", constants=dict(p=s(1.25)))

# Products.
for name, a, b in [("2_2", [3, 4], (4, 5)), ("3_2", [2, 3, 4], (4, 5)), ("3_3", [2, 3, 4], (2, 4, 5)), ("4_3", [2, 3, 4, 5], (3, 5, 2)),
                   ("3_3b", [1, 3, 4], (2, 4, 5)), ("1_2", [4], (4, 5)), ("2_1", [3, 4], (4,)), ("1_1", [4], (4,)), ("4_1", [2, 2, 3, 4], (4,)),
                   ("1_3", [4], (2, 4, 3))]:
    one(f"MatMul_{name}", "MatMul", a, "X p", constants=dict(p=f(*b)))
one("Gemm", "Gemm", [3, 4], "X p", constants=dict(p=f(4, 5)))
one("Gemm_linear", "Gemm", [3, 4], "X p q", constants=dict(p=f(5, 4), q=f(5)), transB=1)
one("Gemm_all", "Gemm", [4, 3], "X p q", constants=dict(p=f(5, 4), q=f(3, 1)), transA=1, transB=1, alpha=0.5, beta=2.0)
conv = lambda name, dims, w, bias, **a: one(  # noqa: E731
    "Conv_" + name, "Conv", dims, "X w b" if bias else "X w", constants=dict(w=f(*w), **(dict(b=f(w[0])) if bias else {})), **a)
conv("plain", [2, 3, 9], (4, 3, 3), True)
conv("all", [2, 4, 11], (6, 2, 3), True, strides=[2], dilations=[2], pads=[1, 3], group=2, kernel_shape=[3])
conv("depth", [1, 3, 7], (3, 1, 2), False, group=3)
conv("same_upper", [1, 2, 8], (2, 2, 4), False, auto_pad="SAME_UPPER")
conv("same_lower", [1, 2, 8], (2, 2, 4), False, auto_pad="SAME_LOWER", strides=[3])
conv("valid", [1, 2, 8], (2, 2, 4), False, auto_pad="VALID")

# Over axes.
for op in ("Softmax", "LogSoftmax"):
    one(op, op, [2, 3, 4])
    one(op + "_axis", op, [2, 3, 4], axis=1)
    one(op + "_flat", op, [2, 3, 4], opset=11)
    one(op + "_flat0", op, [2, 3, 4], opset=11, axis=0)
for op, opset in (("ReduceMean", 17), ("ReduceSum", 11), ("ReduceMean", 11)):
    one(f"{op}_{opset}", op, [2, 3, 4], opset=opset, axes=[0, -1])
    one(f"{op}_{opset}_all", op, [2, 3, 4], opset=opset, keepdims=0)
one("ReduceSum", "ReduceSum", [2, 3, 4], "X a", constants=dict(a=i(1)), keepdims=0)
one("ReduceSum_noop", "ReduceSum", [2, 3], noop_with_empty_axes=1)
one("ReduceMean_18", "ReduceMean", [2, 3, 4], "X a", opset=18, constants=dict(a=i(-2)))
one("LayerNormalization", "LayerNormalization", [2, 3, 8], "X p q", constants=dict(p=f(8), q=f(8, stream=2)))
one("LayerNormalization_axis", "LayerNormalization", [2, 3, 4], "X p", constants=dict(p=f(3, 4)), axis=1, epsilon=0.1)
one("BatchNormalization", "BatchNormalization", [2, 3, 4], "X p q m v", epsilon=0.01,
    constants=dict(p=f(3), q=f(3, stream=2), m=f(3, stream=3), v=np.abs(f(3, stream=4))))
one("BatchNormalization_9", "BatchNormalization", [2, 3], "X p q m v", opset=9,
    constants=dict(p=f(3), q=f(3, stream=2), m=f(3, stream=3), v=np.abs(f(3, stream=4))))

# Shapes.
one("Transpose", "Transpose", [2, 3, 4, 5], perm=[2, 0, 3, 1])
one("Transpose_reversed", "Transpose", [2, 3, 4])
one("Squeeze_11", "Squeeze", [1, 3, 1, 2], opset=11, axes=[0, -2])
one("Squeeze", "Squeeze", [1, 3, 1, 2], "X a", constants=dict(a=i(2)))
one("Squeeze_all", "Squeeze", [1, 3, 1, 2])
one("Squeeze_none", "Squeeze", [1, 3, 1, 2], "X a", constants=dict(a=i()))
one("Unsqueeze_11", "Unsqueeze", [3, 2], opset=11, axes=[0, 3])
one("Unsqueeze", "Unsqueeze", [3, 2], "X a", constants=dict(a=i(-1, 0)))
one("Flatten", "Flatten", [2, 3, 4])
one("Flatten_axis", "Flatten", [2, 3, 4], axis=-1)
one("Flatten_0", "Flatten", [2, 3], axis=0)
one("Reshape", "Reshape", [2, 3, 4], "X a", constants=dict(a=i(0, -1)))
one("Reshape_flat", "Reshape", [2, 3, 4], "X a", constants=dict(a=i(4, 3, 2)), opset=7)
one("Expand", "Expand", [3, 1], "X a", constants=dict(a=i(2, 1, 4)))
one("Slice_9", "Slice", [4, 5], opset=9, starts=[1, -3], ends=[9, 4], axes=[0, 1])
one("Slice", "Slice", [4, 5], "X b e", constants=dict(b=i(1, 0), e=i(3, -1)))
one("Slice_steps", "Slice", [6, 7], "X b e a t", constants=dict(b=i(-1, 1), e=i(-100, 6), a=i(0, 1), t=i(-2, 2)))
one("Slice_reversed", "Slice", [3, 4, 2], "X b e a t", constants=dict(b=i(-1), e=i(-(2**63)), a=i(1), t=i(-1)))
case("Split", [2, 6], n("Split", ["X", "z"], ["a", "b", "c"], axis=1), n("Concat", ["c", "a", "b"], ["Y"], axis=-1), z=i(1, 3, 2))
case("Split_11", [6, 2], n("Split", ["X"], ["a", "b"], split=[2, 4]), n("Concat", ["b", "a"], ["Y"], axis=0), opset=11)
case("Split_18", [7, 2], n("Split", ["X"], ["a", "b", "c"], num_outputs=3), n("Concat", ["c", "b", "a"], ["Y"], axis=0), opset=18)
one("Slice_far", "Slice", [4, 3], "X b e a t", constants=dict(b=i(1), e=i(2**63 - 1), a=i(0), t=i(2**40)))
one("Slice_back", "Slice", [7], "X b e a t", constants=dict(b=i(2**63 - 1), e=i(0), a=i(-1), t=i(-3)))
one("Gather", "Gather", [3, 4, 2], "X a", constants=dict(a=np.array([[0, -1, 2], [1, 1, 3]], np.int64)), axis=1)
one("Gather_scalar", "Gather", [3, 4], "X a", constants=dict(a=np.array(-1, np.int64)))
one("Gather_ids", "Gather", [3], "p ids", constants=dict(p=f(4, 3)))
one("Pad_10", "Pad", [2, 3], opset=10, pads=[0, 1, 2, 0], value=0.5)
one("Pad", "Pad", [2, 4], "X a v", constants=dict(a=i(1, -1, 0, 2), v=s(-1.5)))
one("Pad_axes", "Pad", [2, 3, 2], "X a v x", opset=18, constants=dict(a=i(2, 1), v=s(0.25), x=i(1)))

# Shape arithmetic as exporters write it; the outputs are integers.
one("Shape", "Shape", [2, 3, 4])
one("Shape_part", "Shape", [2, 3, 4], start=-2, end=3)
shape = n("Shape", ["X"], ["s"])
case("ints_arithmetic", [2, 3, 4], shape, n("Mul", ["s", "two"], ["a"]), n("Sub", ["a", "s"], ["b"]), n("Div", ["b", "two"], ["c"]),
     n("Add", ["c", "a"], ["d"]), n("Neg", ["d"], ["e"]), n("Abs", ["e"], ["g"]), n("Max", ["g", "two"], ["h"]), n("Min", ["h", "a"], ["Y"]), two=i(2))
case("ints_parts", [2, 3, 4], shape, n("Gather", ["s", "k"], ["a"]), n("Unsqueeze", ["a", "z"], ["b"]), n("Slice", ["s", "z", "k1"], ["c"]),
     n("Concat", ["b", "c", "m"], ["Y"], axis=0), k=np.array(2, np.int64), z=i(0), k1=i(2), m=i(-1, 7))
case("ints_moved", [2, 3, 4], shape, n("Reshape", ["s", "r"], ["a"]), n("Expand", ["a", "x"], ["b"]), n("Transpose", ["b"], ["c"]),
     n("Squeeze", ["c", "q"], ["Y"]), r=i(3, 1), x=i(1, 3, 2), q=i(-1))
case("state", [2, 3, 4], shape, n("Gather", ["s", "k"], ["a"]), n("Unsqueeze", ["a", "z"], ["b"]), n("Concat", ["w", "b", "w"], ["c"], axis=0),
     n("ConstantOfShape", ["c"], ["h"], value=numpy_helper.from_array(s([0.75]))), n("Cast", ["s"], ["g"], to=1), n("ReduceSum", ["g"], ["t"], keepdims=0),
     n("Add", ["h", "t"], ["Y"]), k=np.array(1, np.int64), z=i(0), w=i(2))
case("constants", [2], n("Constant", [], ["a"], value_floats=[1.5, 2.5]), n("Constant", [], ["b"], value_float=3.0), n("Constant", [], ["c"], value_ints=[1, 2]),
     n("Constant", [], ["d"], value_int=4), n("Cast", ["c"], ["e"], to=TensorProto.FLOAT), n("Cast", ["d"], ["g"], to=TensorProto.FLOAT),
     n("Mul", ["X", "a"], ["h"]), n("Add", ["h", "b"], ["k"]), n("Add", ["k", "e"], ["l"]), n("Mul", ["l", "g"], ["Y"]))
case("half", [3], n("Add", ["X", "a"], ["Y"]), a=s([0.5, -2.0, 1e-3]))


def build(opset, dims, nodes, constants):
    used = {name for node in nodes for name in node.input}
    free = [helper.make_tensor_value_info("X", TensorProto.FLOAT, dims)]
    if "ids" in used:
        free.append(helper.make_tensor_value_info("ids", TensorProto.INT64, [2, 3]))
    integers = nodes[-1].output[0] == "Y" and any(node.op_type == "Shape" for node in nodes) and nodes[-1].op_type != "Add"
    out = helper.make_tensor_value_info("Y", TensorProto.INT64 if integers else TensorProto.FLOAT, None)
    weights = [numpy_helper.from_array(v, k) for k, v in constants.items()]
    graph = helper.make_graph(list(nodes), "g", free, [out], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def main():
    stored = {}
    for name, opset, dims, nodes, constants in NODES:
        model = build(opset, dims, nodes, constants)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        feed = dict(X=fill(0, dims, 1.5))
        if any(v.name == "ids" for v in session.get_inputs()):
            feed["ids"] = ((5 * np.arange(6) + 2) % 4).reshape(2, 3)
        y = session.run(None, feed)[0]
        if name == "half":
            # The same numbers, stored as 16 and 64 bits.
            for kind, array in (("half", constants["a"].astype(np.float16)), ("double", constants["a"].astype(np.float64))):
                other = build(opset, dims, nodes, {})
                other.graph.initializer.append(numpy_helper.from_array(array, "a"))
                stored[f"{kind}.model"], stored[f"{kind}.Y"] = np.frombuffer(other.SerializeToString(), np.uint8), (
                    feed["X"] + array.astype(np.float32))
                stored[f"{kind}.dims"] = np.array(dims, np.int64)
            continue
        assert f"{name}.model" not in stored, name
        stored[f"{name}.model"], stored[f"{name}.Y"] = np.frombuffer(model.SerializeToString(), np.uint8), np.array(y, order="C")
        stored[f"{name}.dims"] = np.array(dims, np.int64)
    safetensors.numpy.save_file(stored, HERE / "operators.safetensors")
    print(len(stored) // 3, "cases,", (HERE / "operators.safetensors").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
