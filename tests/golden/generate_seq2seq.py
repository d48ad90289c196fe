"""Writes seq2seq.json beside this file: loss, logits, weights and gradients of small translation models, by PyTorch.

    python -m venv .venv
    .venv/bin/pip install torch numpy
    .venv/bin/python tests/golden/generate_seq2seq.py

The encoder and the decoder are torch.nn.GRU in float64; the rest is written out. Parameter i of the model, in the
model's order, is fill(3000 + i, shape, 0.6); see generate_attention.py for `fill`. The gradients are those of the loss.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from generate_attention import fill, listed

START, END, VOCABULARY, SOURCES, TARGETS = 0, 1, 6, [[2, 5, 3, 4], [3], [4, 4, 2]], [[5, 2], [3, 4, 2, 2], [2]]


def model(name, context, score, bidirectional, layers, scaled=False, units=0, embedding=2, hidden=3):
    dirs = 1 + bidirectional
    encoded = dirs * hidden
    fed = embedding + (encoded if context == "input" else 0)
    encoder = torch.nn.GRU(embedding, hidden, layers, bidirectional=bidirectional, dtype=torch.float64)
    decoder = torch.nn.GRU(fed, hidden, layers, dtype=torch.float64)
    shapes = {"source_embedding.weight": (VOCABULARY, embedding)}
    shapes |= {"encoder." + k: tuple(p.shape) for k, p in encoder.named_parameters()}
    shapes |= {"bridge.weight": (hidden, encoded), "bridge.bias": (hidden,)}
    if score == "general":
        shapes |= {"attention.key.weight": (hidden, encoded)}
    elif score == "additive":
        shapes |= {"attention.key.weight": (units, encoded), "attention.query.weight": (units, hidden),
                   "attention.score.weight": (1, units)}
    shapes |= {"target_embedding.weight": (VOCABULARY, embedding)}
    shapes |= {"decoder." + k: tuple(p.shape) for k, p in decoder.named_parameters()}
    shapes |= {"combine.weight": (hidden, encoded + hidden), "combine.bias": (hidden,),
               "output.weight": (VOCABULARY, hidden), "output.bias": (VOCABULARY,)}
    w = {key: fill(3000 + i, shape, 0.6) for i, (key, shape) in enumerate(shapes.items())}
    for part, gru in [("encoder.", encoder), ("decoder.", decoder)]:
        gru.load_state_dict({k: w[part + k].detach() for k, _ in gru.named_parameters()})

    lengths = torch.tensor([len(s) for s in SOURCES])
    x = w["source_embedding.weight"][pad_sequence([torch.tensor(s) for s in SOURCES])]
    packed, ends = encoder(pack_padded_sequence(x, lengths, enforce_sorted=False))
    keys = pad_packed_sequence(packed)[0].transpose(0, 1)  # [B, S, D H]
    ends = ends.reshape(layers, dirs, len(SOURCES), hidden).transpose(1, 2).flatten(2)
    h = torch.tanh(ends @ w["bridge.weight"].T + w["bridge.bias"])
    masked = torch.arange(keys.shape[1])[None] >= lengths[:, None]

    def attend(q):  # [B, H]
        if score == "dot":
            scores, products = torch.einsum("bi,bsi->bs", q, keys), hidden
        elif score == "general":
            scores, products = torch.einsum("bi,ij,bsj->bs", q, w["attention.key.weight"], keys), hidden
        else:
            sums = (q @ w["attention.query.weight"].T)[:, None] + keys @ w["attention.key.weight"].T
            scores, products = torch.tanh(sums) @ w["attention.score.weight"][0], units
        scores = scores / products**0.5 if scaled else scores
        weights = torch.softmax(scores.masked_fill(masked, -torch.inf), -1)
        return torch.einsum("bs,bsd->bd", weights, keys), weights

    steps = 1 + max(map(len, TARGETS))
    fed_tokens = torch.tensor([[START] + t + [END] * (steps - 1 - len(t)) for t in TARGETS])
    labels = torch.tensor([t + [END] + [-100] * (steps - 1 - len(t)) for t in TARGETS])
    logits, weights = [], []
    for t in range(steps):
        e = w["target_embedding.weight"][fed_tokens[:, t]]
        if context == "input":
            c, a = attend(h[-1])
            out, h = decoder(torch.cat([e, c], -1)[None], h)
        else:
            out, h = decoder(e[None], h)
            c, a = attend(out[0])
        both = torch.cat([c, out[0]], -1)
        combined = torch.tanh(both @ w["combine.weight"].T + w["combine.bias"])
        logits.append(combined @ w["output.weight"].T + w["output.bias"])
        weights.append(a)
    logits, weights = torch.stack(logits), torch.stack(weights, 1)
    loss = F.cross_entropy(logits.transpose(0, 1).flatten(0, 1), labels.flatten())
    loss.backward()
    for part, gru in [("encoder.", encoder), ("decoder.", decoder)]:
        for k, p in gru.named_parameters():
            w[part + k].grad = p.grad
    return dict(name=name, context=context, score=score, units=units, scaled=scaled, bidirectional=bidirectional,
                layers=layers, embedding=embedding, hidden=hidden, loss=loss.item(), logits=listed(logits),
                weights=listed(weights), gradients={k: listed(t.grad) for k, t in w.items()})


if __name__ == "__main__":
    cases = [
        model("general_output", "output", "general", True, 1),
        model("additive_input_two_layers", "input", "additive", True, 2, units=4),
        model("dot_scaled_input", "input", "dot", False, 1, scaled=True),
        model("additive_output_two_layers", "output", "additive", False, 2, units=5, scaled=True),
    ]
    data = dict(versions=dict(torch=torch.__version__), start=START, end=END, vocabulary=VOCABULARY, sources=SOURCES,
                targets=TARGETS)
    head = ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in data.items())
    text = "{\n" + head + ',\n"cases": [\n' + ",\n".join(map(json.dumps, cases)) + "\n]\n}\n"
    (Path(__file__).resolve().parent / "seq2seq.json").write_text(text)
    print(len(cases), "models", len(text), "bytes")
