"""Converts modules of PyTorch. PyTorch is imported only here, when a module is converted."""

import numpy as np

from . import _layers
from ._errors import ConversionError, UnsupportedError


def from_torch(module, *, example=None, tolerance=1e-5, device="cpu"):
    """Converts a module of PyTorch into a ``Model``, and checks that it computes the same numbers.

    Converts ``nn.GRU``, ``nn.LSTM``, ``nn.RNN``, ``nn.Linear``, ``nn.Embedding``, ``nn.LayerNorm``, ``nn.ReLU``,
    ``nn.Tanh``, ``nn.Dropout`` and ``nn.Identity``; ``nn.Sequential`` of them; and a module of your own whose
    ``forward`` runs such layers in the order in which they were created. If that module takes the last step or the
    last state of a recurrent layer, the conversion finds out by comparing outputs.

    The check runs both on ``example``, by default random sequences, in evaluation mode. The module does not change.

    Raises ``UnsupportedError`` for layers that wgru does not have, and ``ConversionError`` if no network of these
    layers computes the module's numbers: the largest difference must be at most ``tolerance``, relative to outputs
    above 1.
    """
    try:
        import torch
    except ImportError as error:
        raise UnsupportedError("from_torch: PyTorch is not installed") from error
    if not isinstance(module, torch.nn.Module):
        raise UnsupportedError(f"from_torch: expected a torch.nn.Module, got {type(module).__name__}")
    layers = _flatten(torch, "", module)
    if not layers:
        raise UnsupportedError(f"from_torch: {type(module).__name__} has no layers")
    example = _example(torch, layers) if example is None else torch.as_tensor(example).detach().cpu()
    if example.is_floating_point():
        example = example.float()
    wanted = _run(torch, module, example)
    worst = None
    for model in _candidates(torch, module, layers, device):
        difference = _difference(model, example, wanted)
        if difference is not None and difference <= tolerance:
            return model
        if difference is not None and (worst is None or difference < worst):
            worst = difference
    found = "none has its shape" if worst is None else f"the closest one differs by {worst:.3g}"
    raise ConversionError(
        f"from_torch: expected a network of the layers {[name or type(layer).__name__ for name, layer in layers]} "
        f"that computes the outputs of {type(module).__name__} within {tolerance:g}, but {found}; its forward() does "
        f"something else. Convert its layers one by one, or export it to ONNX and use wgru.load"
    )


def _flatten(torch, name, module):
    """Returns the layers of a module with their names, in order of creation."""
    if _is_layer(torch, module):
        return [] if isinstance(module, torch.nn.Identity) else [(name, module)]
    children = list(module.named_children())
    if not children or list(module.parameters(recurse=False)):
        raise UnsupportedError(f"from_torch: {name or 'the module'}: {type(module).__name__} is not supported")
    return [
        layer
        for own, child in children
        for layer in _flatten(torch, f"{name}.{own}" if name else own, child)
    ]


def _is_layer(torch, module):
    nn = torch.nn
    kinds = (nn.RNNBase, nn.Linear, nn.Embedding, nn.LayerNorm, nn.ReLU, nn.Tanh, nn.Dropout, nn.Identity)
    return isinstance(module, kinds)


def _convert(torch, name, layer, device):
    """Returns the layer as a model with its weights."""
    nn = torch.nn
    if isinstance(layer, nn.RNNBase):
        model = _recurrent(torch, name, layer, device)
    elif isinstance(layer, nn.Linear):
        model = _layers.Linear(layer.in_features, layer.out_features, layer.bias is not None, device=device)
    elif isinstance(layer, nn.Embedding):
        if layer.max_norm is not None:
            raise UnsupportedError(f"from_torch: {name}: Embedding with max_norm is not supported")
        model = _layers.Embedding(layer.num_embeddings, layer.embedding_dim, layer.padding_idx, device=device)
    elif isinstance(layer, nn.LayerNorm):
        if len(layer.normalized_shape) != 1 or layer.weight is None or layer.bias is None:
            raise UnsupportedError(f"from_torch: {name}: expected a LayerNorm over one axis, with weight and bias")
        model = _layers.LayerNorm(layer.normalized_shape[0], layer.eps, device=device)
    elif isinstance(layer, nn.ReLU):
        return _layers.ReLU()
    elif isinstance(layer, nn.Tanh):
        return _layers.Tanh()
    else:
        return _layers.Dropout(min(layer.p, 0.999))
    model.load_state_dict({key: value.detach().cpu().float().numpy() for key, value in layer.state_dict().items()})
    return model


def _recurrent(torch, name, layer, device):
    options = {
        "num_layers": layer.num_layers,
        "bias": layer.bias,
        "batch_first": layer.batch_first,
        "dropout": float(layer.dropout),
        "bidirectional": layer.bidirectional,
        "device": device,
    }
    sizes = (layer.input_size, layer.hidden_size)
    if layer.mode == "GRU":
        return _layers.GRU(*sizes, **options)
    if layer.mode == "LSTM":
        return _layers.LSTM(*sizes, proj_size=layer.proj_size, **options)
    if layer.mode in ("RNN_TANH", "RNN_RELU"):
        return _layers.RNN(*sizes, nonlinearity=layer.mode[4:].lower(), **options)
    raise UnsupportedError(f"from_torch: {name}: a recurrent layer of mode {layer.mode!r} is not supported")


def _candidates(torch, module, layers, device):
    """Yields the networks that the module may be: with all steps, or the last state of the last recurrent layer."""
    converted = [(name, _convert(torch, name, layer, device)) for name, layer in layers]
    if len(layers) == 1 and module is layers[0][1]:
        yield converted[0][1]
        return
    yield _layers.Sequential(**{name: model for name, model in converted})
    recurrent = [i for i, (_, layer) in enumerate(layers) if isinstance(layer, torch.nn.RNNBase)]
    if recurrent:
        place = recurrent[-1] + 1
        network = converted[:place] + [("last_state", _layers.LastState())] + converted[place:]
        yield _layers.Sequential(**dict(network))


def _example(torch, layers):
    """Returns random sequences for the first layer."""
    generator = torch.Generator().manual_seed(0)
    first = layers[0][1]
    if isinstance(first, torch.nn.Embedding):
        return torch.randint(first.num_embeddings, (3, 7), generator=generator)
    widths = [getattr(layer, "input_size", getattr(layer, "in_features", None)) for _, layer in layers]
    widths += [layer.normalized_shape[-1] for _, layer in layers if isinstance(layer, torch.nn.LayerNorm)]
    width = next((width for width in widths if width is not None), 4)
    return torch.randn(3, 7, width, generator=generator)


def _run(torch, module, example):
    """Runs a module in evaluation mode, and returns its outputs as arrays."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        parameter = next(module.parameters(), None)
        x = example
        if parameter is not None:
            x = x.to(device=parameter.device, dtype=parameter.dtype if x.is_floating_point() else x.dtype)
        with torch.no_grad():
            output = module(x)
    except Exception as error:
        raise ConversionError(
            f"from_torch: {type(module).__name__} does not run on an example of shape {tuple(example.shape)}: "
            f"{error}. Pass a suitable one as `example`"
        ) from error
    finally:
        for part, training in modes:
            part.training = training
    output = _flat(output)
    if not output or not isinstance(output[0], torch.Tensor):
        raise ConversionError(f"from_torch: expected a {type(module).__name__} that returns a tensor")
    return [value.detach().cpu().double().numpy() for value in output if isinstance(value, torch.Tensor)]


def _flat(output):
    """Returns the values in nested tuples, such as an output and its states."""
    if isinstance(output, (tuple, list)):
        return [value for part in output for value in _flat(part)]
    return [output]


def _difference(model, example, wanted):
    """Returns the largest difference of a model's outputs, relative to values above 1; None for other shapes.

    A single recurrent layer is compared with its states, a network only with the module's first output.
    """
    try:
        outputs = _flat(model(example.numpy()))
    except ValueError:
        return None
    if any(got.shape != want.shape for got, want in zip(outputs, wanted)):
        return None
    difference = 0.0
    for got, want in zip(outputs, wanted):
        if got.size:
            difference = max(difference, float(np.max(np.abs(got - want) / np.maximum(1.0, np.abs(want)))))
    return difference if np.isfinite(difference) else float("inf")
