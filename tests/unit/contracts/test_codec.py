"""What is written can be read, whatever it is; what does not follow the contract is refused."""

import dataclasses
import json
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar_contracts import beat, codec
from avatar_contracts import messages as m
from avatar_contracts.codec import ContractError

pytestmark = pytest.mark.unit

STREAM_TYPES = typing.get_args(codec.StreamMessage)
JSON_TYPES = (
    beat.WorkerBeat,
    beat.BeatAnswer,
    beat.ClaimRequest,
    beat.Claim,
    m.Conversation,
    m.DispatchMetadata,
    m.ReportBatch,
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def made(cls: type) -> st.SearchStrategy[typing.Any]:
    """Any value of a contract dataclass."""
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{f.name: _of(hints[f.name]) for f in dataclasses.fields(cls)})


def _of(hint: typing.Any) -> st.SearchStrategy[typing.Any]:
    if dataclasses.is_dataclass(hint):
        return made(typing.cast("type", hint))
    if typing.get_origin(hint) is tuple:
        return st.lists(_of(typing.get_args(hint)[0]), max_size=3).map(tuple)
    if typing.get_origin(hint) is dict:
        return st.dictionaries(st.text(), PLAIN, max_size=3)
    return FLOATS if hint is float else st.from_type(hint)


@given(st.one_of([made(cls) for cls in STREAM_TYPES]))
def test_a_stream_message_survives_encoding(message: codec.StreamMessage) -> None:
    assert codec.decode(codec.encode(message)) == message


@given(st.one_of([made(cls) for cls in JSON_TYPES]))
def test_a_json_message_survives_encoding(message: object) -> None:
    assert codec.from_json(type(message), codec.to_json(message)) == message


@given(st.one_of([made(cls) for cls in STREAM_TYPES]))
def test_fields_of_a_later_minor_change_are_ignored(message: codec.StreamMessage) -> None:
    assert codec.decode({**codec.encode(message), b"new": b"whatever"}) == message


@given(st.one_of([made(cls) for cls in STREAM_TYPES]), st.integers().filter(lambda v: v != 1))
def test_another_version_is_refused(message: codec.StreamMessage, version: int) -> None:
    with pytest.raises(ContractError, match="version"):
        codec.decode({**codec.encode(message), b"v": str(version).encode()})


@given(st.dictionaries(st.binary(max_size=8), st.binary(max_size=20)))
def test_garbage_in_a_stream_is_a_contract_error(entry: dict[bytes, bytes]) -> None:
    with pytest.raises(ContractError):
        codec.decode(entry)


@given(st.sampled_from(JSON_TYPES), PLAIN | st.dictionaries(st.text(), PLAIN))
def test_garbage_in_json_is_a_contract_error_or_a_message(cls: type, data: object) -> None:
    try:
        found: object = codec.from_json(cls, json.dumps(data))
    except ContractError:
        return
    assert isinstance(found, cls)


@pytest.mark.parametrize("cls", STREAM_TYPES)
def test_a_missing_field_is_named(cls: type) -> None:
    names = [field.name for field in dataclasses.fields(cls)]
    entry = codec.encode(cls(**dict.fromkeys(names, 1)))
    for name in names:
        without = {key: value for key, value in entry.items() if key != name.encode()}
        with pytest.raises(ContractError, match=name):
            codec.decode(without)


def test_a_value_of_another_type_is_named_with_its_place() -> None:
    text = codec.to_json(beat.BeatAnswer(dead=False, stop=(beat.StopOrder("s", 1, "r"),)))
    with pytest.raises(ContractError, match=r"BeatAnswer\.stop\[0\]\.epoch: expected int"):
        codec.from_json(beat.BeatAnswer, text.replace('"epoch":1', '"epoch":"1"'))


def test_a_claim_without_options_or_with_others_than_an_object() -> None:
    claim = beat.Claim("s", 1, "ws", "r", "t", "a", "g", "v", "", "test-card", 64, 64)
    written = json.loads(codec.to_json(claim))
    del written["options"]  # as a platform from before there were any writes it
    assert codec.from_json(beat.Claim, json.dumps(written)).options == {}
    with pytest.raises(ContractError, match=r"Claim\.options: expected an object, found list"):
        codec.from_json(beat.Claim, json.dumps({**written, "options": [1]}))


def test_pcm_travels_as_raw_bytes() -> None:
    pcm = bytes(range(256))
    assert codec.encode(m.AudioChunk(segment=1, chunk=2, pcm=pcm))[b"pcm"] == pcm
