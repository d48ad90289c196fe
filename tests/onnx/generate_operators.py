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

# Comparisons, logic and selection; the outputs are booleans.
half = np.round(f(4, 1) * 4) / 4
for op in "Equal Less LessOrEqual Greater GreaterOrEqual".split():
    one(op, op, [2, 1, 3], "X p", constants=dict(p=half))
case("Equal_same", [2, 3], n("Identity", ["X"], ["a"]), n("Equal", ["X", "a"], ["Y"]))
less = n("Less", ["X", "z"], ["l"])
more = n("Greater", ["X", "o"], ["m"])
for op in "And Or Xor".split():
    case(op, [3, 5], less, more, n(op, ["l", "m"], ["Y"]), z=s(0.5), o=s(-0.5))
case("Not", [3, 5], less, n("Not", ["l"], ["Y"]), z=s(0.0))
case("Where", [2, 1, 3], less, n("Where", ["l", "X", "p"], ["Y"]), z=s(0.0), p=f(4, 1))
case("Where_nan", [5], less, n("Log", ["X"], ["b"]), n("Where", ["l", "z", "b"], ["Y"]), z=s(0.0))
case("IsNaN", [5], n("Log", ["X"], ["b"]), n("IsNaN", ["b"], ["Y"]))
case("IsInf", [5], n("Div", ["X", "z"], ["b"]), n("IsInf", ["b"], ["Y"]), z=s(0.0))
one("Mod", "Mod", [3, 5], "X p", constants=dict(p=s(0.37)), fmod=1)

# Functions.
for op in "Floor Ceil Round Sign Erf Sin Cos Tan Atan Sinh Cosh Reciprocal HardSwish Selu Celu ThresholdedRelu".split():
    one(op, op, [2, 3, 5])
one("Mish", "Mish", [7], opset=18)
case("Round_ties", [3], n("Mul", ["X", "z"], ["a"]), n("Add", ["a", "p"], ["b"]), n("Round", ["b"], ["Y"]), z=s(0.0), p=s([0.5, 1.5, -2.5]))
case("Sin_far", [9], n("Mul", ["X", "p"], ["a"]), n("Sin", ["a"], ["Y"]), p=s(50.0))
one("Gelu", "Gelu", [2, 3, 5], opset=20)
one("Gelu_tanh", "Gelu", [2, 3, 5], opset=20, approximate="tanh")
one("PRelu", "PRelu", [2, 3, 4], "X p", constants=dict(p=f(3, 1)))
one("Sum", "Sum", [2, 3], "X p X", constants=dict(p=f(3)))
one("Mean", "Mean", [2, 3], "X p q", constants=dict(p=f(3), q=f(2, 1)))
one("Max_several", "Max", [2, 3], "X p q", constants=dict(p=f(3), q=f(2, 1)))
one("Min_several", "Min", [2, 3], "p X", constants=dict(p=f(2, 3)))
case("Clip_computed", [9], n("ReduceMean", ["X"], ["lo"], keepdims=0), n("Clip", ["X", "lo"], ["Y"]))
case("Pow_tensor", [3, 4], n("Abs", ["X"], ["a"]), n("Pow", ["a", "p"], ["Y"]), p=f(4))
case("Cast_half", [2, 3], n("Cast", ["X"], ["a"], to=10), n("Cast", ["a"], ["Y"], to=1))
case("Cast_small_half", [2, 3], n("Mul", ["X", "p"], ["a"]), n("Cast", ["a"], ["b"], to=10), n("Cast", ["b"], ["Y"], to=1), p=s(1e-5))
case("Cast_int", [2, 3], n("Mul", ["X", "p"], ["a"]), n("Cast", ["a"], ["Y"], to=7), p=s(5.0))
case("Cast_bool", [2, 3], n("Relu", ["X"], ["a"]), n("Cast", ["a"], ["Y"], to=9))
case("half_sum", [3], n("Cast", ["X"], ["a"], to=10), n("Add", ["a", "h"], ["b"]), n("Cast", ["b"], ["Y"], to=1),
     h=np.array([0.1, 0.2, 0.3], np.float16))

# Whole numbers that the device computes.
whole = n("Floor", ["X"], ["w"])
case("whole", [3, 5], whole, n("Cast", ["w"], ["i"], to=7), n("Mul", ["i", "k"], ["a"]), n("Div", ["a", "m"], ["b"]), n("Sub", ["b", "i"], ["c"]),
     n("Neg", ["c"], ["Y"]), k=np.array(7, np.int64), m=np.array(3, np.int64))
case("whole_mod", [3, 5], n("Mul", ["X", "p"], ["w"]), n("Cast", ["w"], ["i"], to=7), n("Mod", ["i", "m"], ["Y"]), p=s(9.0), m=np.array(3, np.int64))
case("whole_moved", [3, 4], whole, n("Cast", ["w"], ["i"], to=7), n("Transpose", ["i"], ["a"]), n("Reshape", ["a", "r"], ["b"]),
     n("Concat", ["b", "b"], ["c"], axis=0), n("Gather", ["c", "g"], ["d"], axis=1), n("Slice", ["d", "z", "e"], ["Y"]),
     r=i(2, 6), g=i(3, 0, 5), z=i(1), e=i(3))

# Reductions.
for op in "ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSumExp".split():
    one(op, op, [2, 3, 4], axes=[0, -1])
    one(op + "_18", op, [2, 3, 5], "X a", opset=18, constants=dict(a=i(2)), keepdims=0)
case("ReduceLogSum", [2, 3, 4], n("Abs", ["X"], ["a"]), n("ReduceLogSum", ["a"], ["Y"], axes=[1]))
for op in "ArgMax ArgMin".split():
    one(op, op, [2, 5, 3], axis=1)
    one(op + "_flat", op, [2, 3, 140], axis=-1, keepdims=0)
case("ArgMax_last", [2, 5], n("Floor", ["X"], ["a"]), n("ArgMax", ["a"], ["Y"], axis=1, select_last_index=1))
case("ArgMax_first", [2, 5], n("Floor", ["X"], ["a"]), n("ArgMax", ["a"], ["Y"], axis=1))
one("TopK", "TopK", [2, 7], "X k", outputs="Y p", constants=dict(k=i(3)))
one("TopK_places", "TopK", [2, 7, 3], "X k", outputs="v Y", constants=dict(k=i(2)), axis=1, largest=0)

# Values by index.
case("Range", [3], n("Shape", ["X"], ["s"]), n("Squeeze", ["s"], ["e"]), n("Range", ["z", "e", "o"], ["r"]), n("Cast", ["r"], ["c"], to=1), n("Mul", ["X", "c"], ["Y"]),
     z=np.array(0, np.int64), o=np.array(1, np.int64))
one("Tile", "Tile", [2, 3], "X r", constants=dict(r=i(2, 3)))
one("Tile_rank", "Tile", [2, 1, 3, 2], "X r", constants=dict(r=i(1, 4, 1, 2)))
one("CumSum", "CumSum", [2, 3, 4], "X a", constants=dict(a=np.array(1, np.int64)))
one("CumSum_all", "CumSum", [2, 3, 4], "X a", constants=dict(a=np.array(-1, np.int64)), exclusive=1, reverse=1)
one("Trilu", "Trilu", [2, 3, 4])
one("Trilu_lower", "Trilu", [3, 4], "X k", constants=dict(k=np.array(-1, np.int64)), upper=0)
case("OneHot", [1], n("OneHot", ["ids", "d", "v"], ["a"]), n("Mul", ["a", "X"], ["Y"]), d=i(5), v=s([0.25, 2.0]))
case("OneHot_axis", [1], n("OneHot", ["ids", "d", "v"], ["a"], axis=0), n("Mul", ["a", "X"], ["Y"]), d=i(5), v=s([0.25, 2.0]))
case("EyeLike", [3, 4], n("EyeLike", ["X"], ["a"], k=1), n("Add", ["a", "X"], ["Y"]))
case("Size", [3, 4], n("Size", ["X"], ["a"]), n("Cast", ["a"], ["b"], to=1), n("Mul", ["X", "b"], ["Y"]))
case("NonZero", [2, 3], n("NonZero", ["ids"], ["a"]), n("Cast", ["a"], ["b"], to=1), n("ReduceSum", ["b"], ["c"]), n("Add", ["X", "c"], ["Y"]))
one("GatherND", "GatherND", [2, 3, 4], "X a", constants=dict(a=np.array([[0, 1], [1, -1], [0, 0]], np.int64)))
one("GatherND_batch", "GatherND", [2, 3, 4], "X a", constants=dict(a=np.array([[[1], [0]], [[2], [-3]]], np.int64)), batch_dims=1)
one("GatherElements", "GatherElements", [3, 4], "X a", constants=dict(a=np.array([[0, 1, -1, 2], [2, 2, 0, 1]], np.int64)), axis=0)
one("ScatterND", "ScatterND", [3, 4], "X a u", constants=dict(a=np.array([[2], [0]], np.int64), u=f(2, 4)))
one("ScatterND_deep", "ScatterND", [2, 3, 2], "X a u", constants=dict(a=np.array([[[1, 2], [0, -1]], [[0, 0], [1, 1]]], np.int64), u=f(2, 2, 2)))
one("ScatterND_add", "ScatterND", [3, 4], "X a u", constants=dict(a=np.array([[2], [0], [2]], np.int64), u=f(3, 4)), reduction="add")
one("ScatterElements", "ScatterElements", [3, 4], "X a u", constants=dict(a=np.array([[0, 3], [1, -2]], np.int64), u=f(2, 2)), axis=1)
one("ReverseSequence", "ReverseSequence", [4, 3, 2], "X l", constants=dict(l=i(4, 2, 1)))
one("Einsum", "Einsum", [2, 3, 4], "X p", constants=dict(p=f(4, 5)), equation="bij,jk->bik")
one("Einsum_batch", "Einsum", [2, 3, 4], "X p", constants=dict(p=f(2, 5, 4)), equation="bij,bkj->bki")
one("Einsum_sum", "Einsum", [2, 3, 4], "X p", constants=dict(p=f(2, 3)), equation="abc,db->ad")
one("Einsum_one", "Einsum", [2, 3, 4], equation="abc->ca")

# Padding and windows.
for mode in ("reflect", "edge", "wrap"):
    one("Pad_" + mode, "Pad", [2, 4], "X a", opset=19, constants=dict(a=i(1, 2, 0, 3)), mode=mode)
conv("2d", [2, 3, 5, 6], (4, 3, 3, 2), True)
conv("2d_all", [1, 4, 7, 9], (6, 2, 3, 2), True, strides=[2, 1], dilations=[1, 3], pads=[1, 2, 0, 3], group=2)
conv("2d_depth", [2, 3, 5, 6], (3, 1, 3, 3), False, group=3, pads=[1, 1, 1, 1])
conv("2d_same", [1, 2, 5, 6], (2, 2, 3, 4), False, auto_pad="SAME_UPPER", strides=[2, 2])
conv("2d_one", [2, 4, 3, 5], (3, 4, 1, 1), True)
conv("3d", [1, 2, 4, 3, 5], (3, 2, 2, 2, 3), True)


def transposed(name, dims, w, bias, **a):
    maps = w[1] * a.get("group", 1)
    one("ConvTranspose_" + name, "ConvTranspose", dims, "X w b" if bias else "X w",
        constants=dict(w=f(*w), **(dict(b=f(maps)) if bias else {})), **a)


transposed("1d", [2, 3, 5], (3, 4, 3), True)
transposed("1d_all", [1, 4, 5], (4, 2, 3), True, strides=[3], pads=[1, 2], output_padding=[1], group=2, dilations=[2])
transposed("2d", [1, 3, 4, 5], (3, 2, 3, 2), True, strides=[1, 2], pads=[1, 0, 2, 1])
transposed("2d_depth", [2, 4, 3, 5], (4, 1, 3, 3), False, group=4, dilations=[2, 1], pads=[2, 1, 2, 1])
transposed("same", [1, 2, 5], (2, 3, 4), False, auto_pad="SAME_UPPER", strides=[2])
transposed("shape", [1, 2, 5], (2, 3, 4), False, strides=[3], output_shape=[15])
transposed("cut", [1, 2, 5], (2, 3, 3), False, strides=[2], pads=[3, 4])
case("ConvTranspose_computed", [2, 3, 5], n("ConvTranspose", ["x", "X"], ["Y"], strides=[2]), x=f(1, 2, 4))
one("MaxPool", "MaxPool", [2, 3, 9], kernel_shape=[3], strides=[2])
one("MaxPool_2d", "MaxPool", [1, 2, 6, 7], kernel_shape=[2, 3], pads=[1, 1, 0, 1], strides=[2, 1], dilations=[1, 2])
one("MaxPool_ceil", "MaxPool", [1, 2, 8], kernel_shape=[3], strides=[2], ceil_mode=1)
one("AveragePool", "AveragePool", [2, 3, 9], kernel_shape=[3], pads=[1, 1], strides=[2])
one("AveragePool_counted", "AveragePool", [1, 2, 5, 6], kernel_shape=[2, 3], pads=[1, 1, 0, 1], count_include_pad=1)
one("GlobalAveragePool", "GlobalAveragePool", [2, 3, 4, 5])
one("GlobalMaxPool", "GlobalMaxPool", [2, 3, 4])
one("InstanceNormalization", "InstanceNormalization", [2, 3, 5], "X p q", constants=dict(p=f(3), q=f(3, stream=2)))
one("MeanVarianceNormalization", "MeanVarianceNormalization", [2, 3, 2, 4], axes=[0, 2, 3])
one("LpNormalization", "LpNormalization", [2, 5], axis=1, p=2)
one("Resize", "Resize", [1, 2, 3, 4], "X e t", constants=dict(e=np.zeros(0, np.float32), t=s([1, 1, 2, 1.5])), mode="nearest",
    coordinate_transformation_mode="asymmetric", nearest_mode="floor")
one("Resize_half", "Resize", [1, 2, 3, 4], "X e t", constants=dict(e=np.zeros(0, np.float32), t=s([1, 1, 3, 2])), mode="nearest")
one("Upsample", "Upsample", [1, 2, 3, 4], "X t", opset=9, constants=dict(t=s([1, 1, 2, 3])), mode="nearest")
one("DFT", "DFT", [2, 10, 1], axis=1)
one("DFT_onesided", "DFT", [2, 9, 3, 1], axis=1, onesided=1)
one("DFT_inverse", "DFT", [2, 8, 2], axis=1, inverse=1)
one("STFT", "STFT", [2, 20, 1], "X p w", constants=dict(p=np.array(4, np.int64), w=np.abs(f(8))))

# Quantization.
q8 = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
one("QuantizeLinear", "QuantizeLinear", [3, 5], "X t z", constants=dict(t=s(0.02), z=np.array(3, np.uint8)))
one("QuantizeLinear_axis", "QuantizeLinear", [2, 3, 4], "X t z", constants=dict(t=s([0.02, 0.01, 0.3]), z=np.array([3, -1, 0], np.int8)), axis=1)
case("DequantizeLinear", [3, 4], n("DequantizeLinear", ["q", "t", "z"], ["a"], axis=0), n("Add", ["X", "a"], ["Y"]), q=q8, t=s([0.02, 0.01, 0.3]), z=np.array([3, -1, 0], np.int8))
case("quantized_and_back", [3, 5], n("QuantizeLinear", ["X", "t", "z"], ["a"]), n("DequantizeLinear", ["a", "t", "z"], ["Y"]), t=s(0.02), z=np.array(128, np.uint8))
one("DynamicQuantizeLinear", "DynamicQuantizeLinear", [3, 5], outputs="Y s z")
case("DynamicQuantizeLinear_scale", [3, 5], n("DynamicQuantizeLinear", ["X"], ["q", "Y", "z"]))
dynamic = n("DynamicQuantizeLinear", ["X"], ["q", "s", "z"])
case("MatMulInteger", [2, 3], dynamic, n("MatMulInteger", ["q", "w", "z", "y"], ["Y"]), w=q8, y=np.array(2, np.int8))
case("MatMulInteger_scaled", [2, 3], dynamic, n("MatMulInteger", ["q", "w", "z"], ["a"]), n("Cast", ["a"], ["b"], to=1), n("Mul", ["b", "s"], ["Y"]), w=q8)
case("ConvInteger", [1, 2, 6], dynamic, n("ConvInteger", ["q", "w", "z"], ["Y"], pads=[1, 1]), w=np.arange(-9, 9, dtype=np.int8).astype(np.uint8).reshape(3, 2, 3))
case("QLinearMatMul", [2, 3], n("QuantizeLinear", ["X", "t", "z"], ["a"]), n("QLinearMatMul", ["a", "t", "z", "q", "u", "y", "v", "z"], ["Y"]),
     t=s(0.02), z=np.array(100, np.uint8), q=q8, u=s(0.1), y=np.array(1, np.int8), v=s(0.05))
case("QLinearConv", [1, 2, 6], n("QuantizeLinear", ["X", "t", "z"], ["a"]), n("QLinearConv", ["a", "t", "z", "w", "u", "y", "v", "z", "b"], ["Y"], pads=[1, 1]),
     t=s(0.02), z=np.array(100, np.uint8), w=np.arange(-9, 9, dtype=np.int8).reshape(3, 2, 3), u=s([0.1, 0.2, 0.05]), y=np.zeros(3, np.int8), v=s(0.1),
     b=np.array([5, -100, 9], np.int32))
case("empty_part", [3, 2], n("Slice", ["X", "z", "z"], ["a"]), n("Concat", ["a", "X"], ["Y"], axis=0), z=i(0))
case("Pad_computed", [2, 3], n("ReduceMax", ["X"], ["m"], keepdims=0), n("Pad", ["X", "a", "m"], ["Y"]), a=i(1, 0, 0, 2))


# Subgraphs.
def graph(name, nodes, inputs, outputs, constants=None):
    kinds = lambda list: [helper.make_tensor_value_info(v, k, d) for v, k, d in list]  # noqa: E731
    weights = [numpy_helper.from_array(v, k) for k, v in (constants or {}).items()]
    return helper.make_graph(nodes, name, kinds(inputs), kinds(outputs), weights)


F, I, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
double = graph("double", [n("Mul", ["X", "two"], ["d"])], [], [("d", F, None)])
minus = graph("minus", [n("Sub", ["X", "one"], ["e0"]), n("Tanh", ["e0"], ["e"])], [], [("e", F, None)], dict(one=s(1.0)))
for name, limit in (("then", 3), ("else", 9)):
    case("If_" + name, [4, 2], n("Shape", ["X"], ["s"]), n("Gather", ["s", "z"], ["b"]), n("Greater", ["b", "l"], ["c"]),
         n("If", ["c"], ["Y"], then_branch=double, else_branch=minus), z=np.array(0, np.int64), l=np.array(limit, np.int64), two=s(2.0))
case("If_known", [4, 2], n("If", ["c"], ["Y"], then_branch=double, else_branch=minus), c=np.array(True), two=s(2.0))
constant = graph("constant", [n("Add", ["two", "two"], ["g"])], [], [("g", F, None)])
case("If_folded", [4], n("If", ["c"], ["k"], then_branch=double, else_branch=constant), n("Mul", ["X", "k"], ["Y"]), c=np.array(False), two=s(2.0))
inner = graph("inner", [n("Add", ["d2", "X"], ["h"])], [], [("h", F, None)])
outer = graph("outer", [n("Mul", ["X", "two"], ["d2"]), n("If", ["c"], ["j"], then_branch=inner, else_branch=inner)], [], [("j", F, None)])
case("If_nested", [3], n("Shape", ["X"], ["s"]), n("Squeeze", ["s"], ["b"]), n("Equal", ["b", "l"], ["c"]),
     n("If", ["c"], ["Y"], then_branch=outer, else_branch=double), l=np.array(3, np.int64), two=s(2.0))
# A running sum, as tf2onnx writes it: the condition is a comparison of counters.
body = graph("body", [n("Gather", ["X", "i"], ["x"]), n("Add", ["h", "x"], ["a"]), n("Tanh", ["a"], ["h1"]), n("Add", ["i", "one"], ["i1"]), n("Less", ["i1", "n"], ["l"]),
                      n("And", ["l", "c0"], ["c1"]), n("Identity", ["h1"], ["o"])],
             [("i", I, []), ("c0", B, []), ("h", F, [2])], [("c1", B, []), ("h1", F, [2]), ("o", F, [2])], dict(one=np.array(1, np.int64)))
loop = [n("Shape", ["X"], ["s"]), n("Gather", ["s", "z"], ["n"]), n("Loop", ["m", "t", "h0"], ["last", "all"], body=body), n("Concat", ["last1", "all"], ["Y"], axis=0)]
case("Loop", [4, 2], *loop[:3], n("Unsqueeze", ["last", "z1"], ["last1"]), loop[3], z=np.array(0, np.int64), z1=i(0), m=np.array(99, np.int64), t=np.array(True), h0=f(2))
free = graph("free", [n("Add", ["h", "X"], ["h1"]), n("Not", ["never"], ["c1"])], [("i", I, []), ("c0", B, []), ("h", F, [3])], [("c1", B, []), ("h1", F, [3])],
             dict(never=np.array(False)))
case("Loop_counted", [3], n("Loop", ["m", "", "X"], ["Y"], body=free), m=np.array(3, np.int64))
scan = graph("scan", [n("Add", ["h", "x"], ["h1"]), n("Mul", ["h1", "two"], ["o"])], [("h", F, [2]), ("x", F, [2])], [("h1", F, [2]), ("o", F, [2])])
case("Scan", [4, 2], n("Scan", ["h0", "X"], ["l", "Y"], body=scan, num_scan_inputs=1), h0=f(2), two=s(2.0))
case("Scan_axes", [2, 4], n("Scan", ["h0", "X"], ["l", "Y"], body=scan, num_scan_inputs=1, scan_input_axes=[1], scan_input_directions=[1], scan_output_axes=[1],
                            scan_output_directions=[1]), h0=f(2), two=s(2.0))

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
    weights = [numpy_helper.from_array(v, k) for k, v in constants.items()]
    # The type of the output is what ONNX Runtime infers.
    out = helper.make_empty_tensor_value_info("Y")
    graph = helper.make_graph(list(nodes), "g", free, [out], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return model


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
