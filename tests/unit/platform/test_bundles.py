"""Bundles at the door: the right ones come in whole, the others not at all."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from avatar_platform.characters import bundles
from avatar_platform.characters.bundles import opened
from avatar_platform.errors import BundleError
from tests.unit.platform import bundle_files as make

pytestmark = pytest.mark.unit


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bundle.zip"


def test_a_folder_and_its_archive_say_the_same(tmp_path: Path, path: Path) -> None:
    with opened(make.folder(tmp_path / "folder")) as from_folder:
        assert zipfile.is_zipfile(from_folder.archive)
        assert from_folder.size_bytes == from_folder.archive.stat().st_size
        folder_facts = (from_folder.name, from_folder.engine, from_folder.persona)
    with opened(make.archive(path)) as from_archive:
        assert (from_archive.name, from_archive.engine, from_archive.persona) == folder_facts
        assert from_archive.persona.knowledge == [
            {"questions": ["Who are you?", "What is your name?"], "answer": "My name is Grace."}
        ]
        assert from_archive.preview == ("preview.png", b"\x89PNG not really")
    assert not from_folder.archive.exists(), "the scratch archive is removed"


def test_the_same_folder_makes_the_same_archive(tmp_path: Path) -> None:
    sums = set()
    for name in ("a", "b"):
        with opened(make.folder(tmp_path / name)) as bundle:
            sums.add(bundle.sha256)
    assert len(sums) == 1


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "a/../../evil",
        "a\\..\\evil",
        ".hidden",
        "a//b",
        "ü",
        "a b",
        "C:evil",
    ],
)
def test_a_name_that_leaves_the_bundle_is_refused(path: Path, name: str) -> None:
    with (
        pytest.raises(BundleError, match="not an allowed file name"),
        opened(make.archive(path, {**make.files(), name: b"x"})),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({**make.files(), "extra.bin": b"x"}, "extra.bin is not listed"),
        ({k: v for k, v in make.files().items() if k != "preview.png"}, "listed but missing"),
        ({k: v for k, v in make.files().items() if k != "character.toml"}, "is missing"),
        ({**make.files(), "tensors.safetensors": b"other"}, "differs from its checksum"),
        (make.files(engine='"pickle"'), "expected one of synctalk, test-card"),
        (make.files(fps="30"), "only 25"),
        (make.files(format="2"), "this version reads 1"),
        (make.files(width="100000"), "16 to 4096"),
        (make.files(width="true"), "16 to 4096"),
        (make.files(name='"../x"'), "lower-case letters"),
        (make.files(licence='""'), "licence is missing"),
        (make.files(consent=""), "consent is missing"),
        (make.files(persona=b"not toml ["), "persona.toml cannot be read"),
        (make.files(persona=b"persona = 3"), "expected [persona]"),
        (make.files(persona=b"[persona]\nvoice = 3"), "are texts"),
        (make.files(persona=b"[[knowledge]]\nanswer = 'x'"), "a list of questions"),
        (
            make.files(persona=b'[[knowledge]]\nquestions = ["\\u0000"]\nanswer = "x"'),
            "persona.toml: knowledge.0.questions.0: expected a text without NUL characters",
        ),
        (
            make.files(persona=b'[persona]\ninstructions = "\\u0000"'),
            "persona.toml: instructions: expected a text without NUL characters",
        ),
        (
            make.files(persona=b'[persona]\nvoice = "' + b"v" * 121 + b'"'),
            "voice: String should have at most 120 characters, found 121 characters",
        ),
        (
            make.files(persona=b'[persona]\nlanguage = "' + b"v" * 21 + b'"'),
            "language: String should have at most 20 characters",
        ),
        (make.files(licence='"\\u0000 x"'), "licence: expected a text without NUL"),
        (make.files(consent='"\\u0000 x"'), "consent: expected a text without NUL"),
        (make.files(width="9" * 5000), "character.toml cannot be read"),
        ({"character.toml": b"\xff\xfe"}, "cannot be read"),
        ({"character.toml": b"format = 1\nfps = 25\nfiles = 3"}, "every file with its sha256"),
    ],
)
def test_what_does_not_add_up_is_refused_with_a_sentence(
    path: Path, content: dict[str, bytes], said: str
) -> None:
    with pytest.raises(BundleError) as refused, opened(make.archive(path, content)):
        pass
    assert said in refused.value.message


@pytest.mark.parametrize(
    "spoil",
    [make.link, make.bomb, make.flipped, lambda p: make.cut(p, 0.5), lambda p: make.cut(p, 0.99)],
    ids=["link", "bomb", "flipped byte", "half", "almost whole"],
)
def test_a_malicious_or_damaged_archive_is_refused(
    path: Path, spoil: Callable[[Path], Path]
) -> None:
    with pytest.raises(BundleError), opened(spoil(path)):
        pass


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_nonsense_where_compressed_bytes_should_be_is_refused(path: Path, compression: int) -> None:
    with pytest.raises(BundleError), opened(make.garbled(path, compression)):
        pass


@pytest.mark.parametrize("content", [b"", b"PK", b"%PDF-1.7", b"\x80\x04K\x01."])
def test_what_is_no_archive_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(BundleError, match="not a readable zip archive"), opened(path):
        pass


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    folder = make.folder(tmp_path / "folder")
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match="is a link"), opened(folder):
        pass


def test_two_files_of_one_name_are_refused(path: Path) -> None:
    make.archive(path)
    with zipfile.ZipFile(path, "a") as packed, pytest.warns(UserWarning, match="Duplicate name"):
        packed.writestr("preview.png", b"another")
    with pytest.raises(BundleError, match="occurs twice"), opened(path):
        pass


def test_too_many_entries_are_refused_before_they_are_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "MAX_FILES", 3)
    with pytest.raises(BundleError, match="at most 3"), opened(make.archive(path)):
        pass


def test_nothing_is_there_when_nothing_was_given(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="neither a folder nor a file"), opened(tmp_path / "no"):
        pass
