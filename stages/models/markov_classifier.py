"""A Markov chain over letters for each language.

By Bayes' rule P(language | name) ~ P(language) P(name | language) (Dunning, Statistical
Identification of Language, 1994). The probability of a letter after its context, the few letters
before it, is estimated from counts. It is interpolated with the probability after the next shorter
context, which has more weight after a rare context and one with many different followers (Witten &
Bell, The Zero-Frequency Problem, 1991). Training is counting.
"""

from collections.abc import Iterable, Iterator
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

_NOTHING = 2**62  # no n-gram: sorts behind all of them
_LONGEST = 8  # letters of an n-gram whose number stays below _NOTHING, for an alphabet of some 100


class MarkovClassifier(nn.Module):
    """Letters -> probability of the name by each language's chains -> language.

    One chain reads forwards, the other backwards, and their log-probabilities are averaged.

    Args:
        num_letters: V, size of the alphabet.
        num_languages: L.
        num_ngrams: N, most different n-grams of a chain.
        longest: length of the longest n-gram: a context and the letter after it.
        doubt: weight of the shorter context, in counts.
        doubt_per_follower: further weight for each different letter that has followed.
        sharpness: factor of the log-probabilities; below 1, since letters are not independent.
    """

    names: Tensor

    def __init__(
        self,
        num_letters: int,
        num_languages: int,
        num_ngrams: int,
        longest: int,
        doubt: float,
        doubt_per_follower: float,
        sharpness: float,
    ) -> None:
        super().__init__()
        if num_ngrams < 1 or not 1 <= longest <= _LONGEST:
            raise ValueError(f"{num_ngrams=} must be at least 1, {longest=} in 1..{_LONGEST}")
        if (num_letters + 3) ** longest > _NOTHING:
            raise ValueError(f"{longest=} is too long for an alphabet of {num_letters} symbols")
        if doubt <= 0 or doubt_per_follower < 0 or sharpness <= 0:
            raise ValueError(
                f"{doubt=} and {sharpness=} must be above 0, {doubt_per_follower=} at least 0"
            )
        self.sharpness = sharpness
        self.register_buffer("names", torch.zeros(num_languages))  # of each language
        sizes = (num_letters, num_languages, num_ngrams, longest)
        self.forwards = Chain(*sizes, doubt, doubt_per_follower)
        self.backwards = Chain(*sizes, doubt, doubt_per_follower)

    def forward(self, letters: Tensor, lengths: Tensor) -> Tensor:
        """Symbols `(B, T)`, padded on the right, lengths `(B,)` -> log-probabilities `(B, L)`."""
        read_forwards: Tensor = self.forwards(letters, lengths)
        read_backwards: Tensor = self.backwards(_reverse_names(letters, lengths), lengths)
        prior = (self.names + 1).log()  # no language is impossible
        log_joint = (read_forwards + read_backwards) / 2 + prior
        return (self.sharpness * log_joint).log_softmax(1)

    def count(self, letters: Tensor, lengths: Tensor, languages: Tensor) -> None:
        """Learn names `(B, T)` of known languages `(B,)`.

        Raises:
            ValueError: if they have more than num_ngrams n-grams.
        """
        self.names += languages.bincount(minlength=len(self.names))
        self.forwards.count(letters, lengths, languages)
        self.backwards.count(_reverse_names(letters, lengths), lengths, languages)

    def count_ngrams(self, batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> int:
        """Return the num_ngrams for counting batches of letters, lengths and languages."""
        forwards = backwards = torch.empty(0, dtype=torch.int64)
        for letters, lengths, _ in batches:
            read = self.forwards.list_ngrams(letters, lengths)
            forwards = torch.cat([forwards, read]).unique()
            read = self.backwards.list_ngrams(_reverse_names(letters, lengths), lengths)
            backwards = torch.cat([backwards, read]).unique()
        return max(len(forwards), len(backwards))


class Chain(nn.Module):  # public, since training prints its name
    """Counts of all n-grams of 1 to `longest` letters, and probabilities from them.

    An n-gram is a number whose digits are its letters, so n-grams of one context are neighbours.
    """

    ngrams: Tensor
    counts: Tensor

    def __init__(
        self,
        num_letters: int,
        num_languages: int,
        num_ngrams: int,
        longest: int,
        doubt: float,
        doubt_per_follower: float,
    ) -> None:
        super().__init__()
        self.num_symbols = num_letters + 1  # that may follow: the letters, and the end
        self.begin = num_letters + 1  # boundary markers are digits of their own; 0 is none
        self.end = num_letters + 2
        self.base = num_letters + 3
        self.longest = longest
        self.doubt = doubt
        self.doubt_per_follower = doubt_per_follower
        self.register_buffer("ngrams", torch.full((num_ngrams,), _NOTHING))  # sorted
        self.register_buffer("counts", torch.zeros(num_ngrams, num_languages))
        self._sums: tuple[Tensor, Tensor] | None = None  # kept between answers: 40 ms each

    def forward(self, letters: Tensor, lengths: Tensor) -> Tensor:
        """Log-probability of each name in each language, `(B, L)`."""
        counted_before, kinds_before = self._sums or self._sum_rows()
        if not self.training:
            self._sums = counted_before, kinds_before
        probability = torch.tensor(1 / self.num_symbols)
        for contexts, ngrams in self.walk(letters, lengths):
            first = torch.searchsorted(self.ngrams, contexts * self.base)
            last = torch.searchsorted(self.ngrams, (contexts + 1) * self.base)
            total = counted_before[last] - counted_before[first]  # (B, T + 1, L)
            followers = kinds_before[last] - kinds_before[first]
            doubt = self.doubt + self.doubt_per_follower * followers
            rows = torch.searchsorted(self.ngrams, ngrams).clamp(max=len(self.ngrams) - 1)
            count = self.counts[rows] * (self.ngrams[rows] == ngrams).unsqueeze(2)
            probability = (count + doubt * probability) / (total + doubt)
        is_inside = torch.arange(letters.shape[1] + 1) <= lengths.unsqueeze(1)
        return probability.log().masked_fill(~is_inside.unsqueeze(2), 0).sum(1)

    def train(self, mode: bool = True) -> Self:
        """Drop cached sums too, since weights may have been loaded."""
        self._sums = None
        return super().train(mode)

    def _sum_rows(self) -> tuple[Tensor, Tensor]:
        """Return cumulative counts before each row, `(N + 1, L)`, and of counts above 0."""
        counted = functional.pad(self.counts, (0, 0, 1, 0))
        kinds = (counted > 0).float()
        return counted.cumsum_(0), kinds.cumsum_(0)

    def count(self, letters: Tensor, lengths: Tensor, languages: Tensor) -> None:
        """Read names of known languages.

        Raises:
            ValueError: if they have more than num_ngrams n-grams.
        """
        is_inside = torch.arange(letters.shape[1] + 1) <= lengths.unsqueeze(1)
        read = self.list_ngrams(letters, lengths)
        language = languages.unsqueeze(1).expand_as(is_inside)[is_inside].repeat(self.longest)
        known = torch.cat([self.ngrams[self.ngrams < _NOTHING], read]).unique()
        if len(known) > len(self.ngrams):
            raise ValueError(f"num_ngrams ({len(self.ngrams)}) is below {len(known)}: raise it")
        counts = torch.zeros_like(self.counts)
        kept = self.counts.any(1)
        counts[torch.searchsorted(known, self.ngrams[kept])] = self.counts[kept]
        rows = torch.searchsorted(known, read)
        counts.index_put_((rows, language), torch.ones(len(read)), accumulate=True)
        self.counts.copy_(counts)
        self._sums = None
        self.ngrams[: len(known)] = known

    def list_ngrams(self, letters: Tensor, lengths: Tensor) -> Tensor:
        """Return all n-grams of names, the shortest first."""
        is_inside = torch.arange(letters.shape[1] + 1) <= lengths.unsqueeze(1)
        return torch.cat([ngrams[is_inside] for _, ngrams in self.walk(letters, lengths)])

    def walk(self, letters: Tensor, lengths: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield contexts of 0, 1, … letters, and n-grams: a context and the letter after it.

        Both are numbers `(B, T + 1)`, for each letter and for the end of names `(B, T)`.
        """
        num_before = self.longest - 1
        marked = functional.pad(letters + 1, (num_before, 1), value=self.begin)
        marked = marked.scatter(1, (lengths + num_before).unsqueeze(1), self.end)
        contexts = torch.zeros_like(marked)
        for _ in range(self.longest):
            ngrams = contexts * self.base + marked
            yield contexts[:, num_before:].contiguous(), ngrams[:, num_before:].contiguous()
            contexts = functional.pad(ngrams, (1, -1))


def _reverse_names(letters: Tensor, lengths: Tensor) -> Tensor:
    """Write each name backwards and leave the padding behind it, `(B, T)` -> `(B, T)`."""
    positions = torch.arange(letters.shape[1])
    return letters.gather(1, (lengths.unsqueeze(1) - 1 - positions) % letters.shape[1])
