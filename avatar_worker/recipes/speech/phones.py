"""The 38 phones that all sources are brought to, and the way there from IPA and ARPAbet.

The names are IPA letters, one per articulation that can be told apart on a face; sounds that look
alike and do not occur in English are mapped to the nearest one.
"""

from __future__ import annotations

from collections.abc import Sequence

from avatar_worker.recipes.speech.utterance import SILENCE, Mark

CONSONANTS = tuple("pbmfvθðtdnɾlszʃʒɹwjkɡŋh")
VOWELS = tuple("iɪeɛæɑaʌəɔoʊuɜ")
PHONES = (SILENCE, *CONSONANTS, *VOWELS)

_ALIKE = """
g:ɡ r:ɹ ɻ:ɹ ɫ:l ɬ:l ʍ:w x:k ʔ:h ɲ:n ɕ:ʃ ç:h β:v ʋ:v ʧ:tʃ ʤ:dʒ ʦ:ts ʣ:dz
ɣ:ɡ ʁ:ɡ ʀ:ɡ ʎ:l ʝ:j ɥ:w
ᵻ:ɪ ɨ:ɪ ɐ:ʌ ᵊ:ə ʉ:u y:u ø:u ɚ:ɜ ɝ:ɜ œ:ɜ ɒ:ɔ
"""
_ARPABET = """
p:p b:b m:m f:f v:v th:θ dh:ð t:t d:d n:n nx:n dx:ɾ l:l s:s z:z sh:ʃ zh:ʒ r:ɹ w:w y:j k:k g:ɡ
ng:ŋ hh:h hv:h ch:tʃ jh:dʒ el:əl en:ən em:əm
iy:i ih:ɪ ix:ɪ ey:eɪ eh:ɛ ae:æ aa:ɑ ay:aɪ aw:aʊ ah:ʌ ax:ə ao:ɔ ow:oʊ oy:ɔɪ uh:ʊ uw:u er:ɜ axr:ɜ
"""


def _table(lines: str) -> dict[str, tuple[str, ...]]:
    return {name: tuple(phones) for name, phones in (pair.split(":") for pair in lines.split())}


IPA: dict[str, tuple[str, ...]] = {p: (p,) for p in (*CONSONANTS, *VOWELS)} | _table(_ALIKE)
"""IPA letter → one or two of `PHONES`."""

ARPABET: dict[str, tuple[str, ...]] = _table(_ARPABET)
"""ARPAbet name in lower case → one or two of `PHONES`; every other name is a pause."""

_PAUSES = frozenset(',.!?;:—…^$_"“”()')
_LENGTH = frozenset("ːˑ")
_VOWEL_SHARE, _CONSONANT_SHARE = 0.6, 0.4


def split_pair(phones: Sequence[str], start_s: float, end_s: float) -> list[Mark]:
    """Share one stretch among the phones of a diphthong (60/40) or an affricate (40/60)."""
    if len(phones) == 1:
        return [Mark(phones[0], start_s, end_s)]
    share = _VOWEL_SHARE if phones[0] in VOWELS else _CONSONANT_SHARE
    middle_s = start_s + share * (end_s - start_s)
    return [Mark(phones[0], start_s, middle_s), Mark(phones[1], middle_s, end_s)]


def from_arpabet(marks: Sequence[Mark]) -> list[Mark]:
    """ARPAbet marks (any case, unknown names are pauses) as marks of `PHONES`."""
    folded: list[Mark] = []
    for mark in marks:
        phones = ARPABET.get(mark.phone.lower().strip("*"), (SILENCE,))
        folded += split_pair(phones, mark.start_s, mark.end_s)
    return folded


def from_ipa(marks: Sequence[Mark]) -> list[Mark]:
    """IPA marks as engines report them, as marks of `PHONES`.

    Engines give time of its own to signs that are no sound. A length sign lengthens the phone
    before it; punctuation is silence, and so is the space behind it; stress, other spaces and
    unknown signs are shared by the phones on both sides. A mark of several letters is shared
    evenly by its letters.
    """
    folded: list[Mark] = []
    gap_start_s: float | None = None
    for mark in marks:
        phones = [IPA[letter] for letter in mark.phone if letter in IPA and mark.phone != SILENCE]
        if mark.phone == SILENCE or (mark.phone and set(mark.phone) <= _PAUSES):
            phones = [(SILENCE,)]
        after_pause = bool(folded) and folded[-1].phone == SILENCE
        if not phones:
            belongs_before = mark.phone in _LENGTH or (mark.phone.isspace() and after_pause)
            if folded and belongs_before and gap_start_s is None:
                folded[-1] = Mark(folded[-1].phone, folded[-1].start_s, mark.end_s)
            elif gap_start_s is None:
                gap_start_s = mark.start_s
            continue
        start_s = mark.start_s
        if gap_start_s is not None:
            start_s = (gap_start_s + mark.start_s) / 2 if folded else gap_start_s
            if phones[0] == (SILENCE,):
                start_s = gap_start_s
            if folded:
                folded[-1] = Mark(folded[-1].phone, folded[-1].start_s, start_s)
            gap_start_s = None
        edge_s = mark.start_s if len(phones) > 1 else start_s
        step_s = (mark.end_s - edge_s) / len(phones)
        for index, pair in enumerate(phones):
            begin_s = start_s if index == 0 else edge_s + index * step_s
            folded += split_pair(pair, begin_s, edge_s + (index + 1) * step_s)
    return folded
