"""Trains the models of two examples in PyTorch: the same layers, data, noise, optimizer and schedule.

    python3 scripts/beside-pytorch.py generate input.txt          beside: example generate -- --text input.txt
    python3 scripts/beside-pytorch.py classify polarity.tsv       beside: example classify -- --data polarity.tsv

Prints the quality on the texts held out, and the time of an update. --updates N ends after N updates, to compare times
or losses without waiting for the rest. Needs torch and numpy. Random numbers and the split of classify differ from the
example's, so qualities agree only within the spread of seeds: run several with --seed.
"""

import argparse
import math
import random
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SPREAD = 0.3


class LanguageModel(nn.Module):
    """Vectors, a GRU and logits, with dropout of vectors and states."""

    def __init__(self, tokens, width=64, hidden=512, dropout=0.3):
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.embedding.weight.data.mul_(SPREAD)
        self.gru = nn.GRU(width, hidden, batch_first=True)
        self.head = nn.Linear(hidden, tokens)
        self.dropout = dropout

    def forward(self, x, state):
        x = F.dropout(self.embedding(x), self.dropout, self.training)
        y, state = self.gru(x, state)
        return self.head(F.dropout(y, self.dropout, self.training)), state.detach()


class Classifier(nn.Module):
    """Vectors, a bidirectional GRU, attention over its states, and class scores. Each word adds class scores of its own."""

    def __init__(self, tokens, classes, width=64, hidden=48, dropout=0.5):
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.embedding.weight.data.mul_(SPREAD)
        self.gru = nn.GRU(width, hidden, bidirectional=True)
        self.key, self.score = nn.Linear(2 * hidden, hidden), nn.Linear(hidden, 1, bias=False)
        self.head = nn.Linear(2 * hidden, classes)
        self.scores = nn.Embedding(tokens, classes, padding_idx=0)
        nn.init.zeros_(self.scores.weight)
        self.dropout = dropout

    def forward(self, x, lengths):
        word_scores = self.scores(x).sum(0)
        x = F.dropout(self.embedding(x), self.dropout, self.training)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        y, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0])
        y = F.dropout(y, self.dropout, self.training)
        scores = self.score(torch.tanh(self.key(y))).squeeze(2)
        padding = torch.arange(len(y)).unsqueeze(1) >= lengths
        weights = torch.softmax(scores.masked_fill(padding, -math.inf), 0)
        return self.head((weights.unsqueeze(2) * y).sum(0)) + word_scores


class Training:
    """AdamW with a cosine schedule to 0, and gradients of a norm of at most 1."""

    def __init__(self, model, updates, stop):
        self.model, self.updates, self.stop = model, updates, stop or updates
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, updates)
        self.times = []

    def update(self, loss_of):
        """Returns the loss, or None once all updates are made."""
        if len(self.times) == self.stop:
            return None
        start = time.perf_counter()
        self.optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.times.append(time.perf_counter() - start)
        if len(self.times) % 500 == 0:
            print(f"{len(self.times)} of {self.updates} updates: {loss.item():.3f} nats", flush=True)
        return loss.item()

    def time(self):
        return f"{np.median(self.times):.4f} s per update (median), {sum(self.times):.0f} s in {len(self.times)} updates"


def generate(args):
    text = open(args.data, encoding="utf-8", newline="").read()
    numbers = {c: i for i, c in enumerate(sorted(set(text)))}
    tokens = torch.tensor([numbers[c] for c in text])
    train = len(text) * 9 // 10
    rows, steps, epochs = 32, 64, args.epochs or 20
    model = LanguageModel(len(numbers))
    windows = (train - 1) // rows // steps
    training = Training(model, epochs * windows, args.updates)
    starts = torch.arange(rows).unsqueeze(1) * (windows * steps) + torch.arange(steps)
    for update in range(training.updates):
        at = starts + update % windows * steps
        state = None if update % windows == 0 else state

        def loss_of():
            nonlocal state
            logits, state = model(tokens[at], state)
            return F.cross_entropy(logits.flatten(0, 1), tokens[at + 1].flatten())

        if training.update(loss_of) is None:
            break
    model.eval()
    with torch.no_grad():
        _, state = model(tokens[None, train - 301 : train - 1], None)
        logits, _ = model(tokens[None, train - 1 : -1], state)
        nats = F.cross_entropy(logits[0], tokens[train:]).item()
    print(f"{nats:.3f} nats per character on the last tenth; {training.time()}")


def words(text):
    """Lower-case words and punctuation."""
    out, inside = [], False
    for c in text.lower():
        letter = c.isalnum() or c in "'’-"
        if inside and letter:
            out[-1] += c
        elif not c.isspace():
            out.append(c)
        inside = letter
    return out


def classify(args):
    lines = [line.split("\t") for line in open(args.data, encoding="utf-8").read().splitlines() if line]
    groups = {}
    for label, text in lines:
        groups.setdefault(tuple(words(text)), []).append(label)
    groups = [(text, labels) for text, labels in groups.items() if text]
    random.shuffle(groups)
    labels = sorted({label for _, all in groups for label in all})
    test, train = groups[: len(groups) // 10], groups[len(groups) // 10 :]
    counts = {}
    for text, _ in train:
        for word in text:
            counts[word] = counts.get(word, 0) + 1
    places = {word: i for i, word in enumerate(counts)}
    by_class = torch.zeros(len(counts), len(labels))
    for text, all in train:
        for label in all:
            for word in text:
                by_class[places[word], labels.index(label)] += 1
    numbers = {w: i + 1 for i, w in enumerate(sorted(w for w, n in counts.items() if n >= 2))}
    encode = lambda part: [
        (torch.tensor([numbers.get(w, 0) for w in text[:200]]), labels.index(label)) for text, all in part for label in all
    ]
    train, test = encode(train), encode(test)
    model = Classifier(len(numbers) + 1, len(labels))
    bayes = torch.log(by_class + 1) - torch.log(by_class.sum(0) + len(counts))
    known = torch.tensor([places[w] for w in numbers])
    model.scores.weight.data[1:] = args.bayes * (bayes - bayes.mean(1, keepdim=True))[known]
    batch, epochs = 32, args.epochs or 4
    training = Training(model, epochs * math.ceil(len(train) / batch), args.updates)

    def read(examples):
        lengths = torch.tensor([len(text) for text, _ in examples])
        x = nn.utils.rnn.pad_sequence([text for text, _ in examples])
        if model.training:
            x = torch.where(torch.rand(x.shape) < 0.2, 0, x)
        return model(x, lengths), torch.tensor([label for _, label in examples])

    for _ in range(epochs):
        random.shuffle(train)
        for first in range(0, len(train), batch):
            training.update(lambda: F.cross_entropy(*read(train[first : first + batch])))
    model.eval()
    with torch.no_grad():
        right = sum((logits.argmax(1) == labels).sum().item() for logits, labels in (read([one]) for one in test))
    print(f"{100 * right / len(test):.1f} % of {len(test)} right; {training.time()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("example", choices=["generate", "classify"])
    parser.add_argument("data", help="the text, or the table of labels and texts separated by a tab")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--updates", type=int, help="end after this many updates; the schedule stays that of all")
    parser.add_argument("--bayes", type=float, default=0.5, help="initial word scores: those of naive Bayes times this")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    (generate if args.example == "generate" else classify)(args)


if __name__ == "__main__":
    main()
