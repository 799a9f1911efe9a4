import hashlib
import resource
import shutil
import stat
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

from avatar_worker.bundle_files import (
    MAX_FILE_BYTES,
    BundleContentError,
    BundleError,
    BundleUnreadableError,
    UnsafeBundleError,
    open_files,
)
from avatar_worker.bundle_manifest import Manifest, manifest_text, read_manifest
from avatar_worker.character import load_bundle
from avatar_worker.engines.synctalk import NETWORKS_BYTES, SyncTalkEngine
from avatar_worker.import_bundle import BundleOptions, write_bundle
from avatar_worker.only_run import FolderBusyError, only_run
from avatar_worker.render.data_folder import FootageScenes
from avatar_worker.render.finer_grid import FinerGrid
from avatar_worker.render.painters import kernel
from avatar_worker.render.renderer import FrameRequest
from avatar_worker.render.scene import track_of
from avatar_worker.trained import open_trained
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit

LOSSLESS = BundleOptions(name="mini", licence="Apache-2.0", consent="drawn, nobody", quality=None)


@pytest.fixture(scope="module")
def compiled():
    """For what only the compiled kernel does."""
    if kernel() is None:
        pytest.skip("this processor has no kernel, or there is no compiler")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The reference character, its val frames as pose loop, pictures kept exactly."""
    out = tmp_path_factory.mktemp("bundles") / "mini"
    trained = open_trained(mini.DATA, mini.WORKSPACE)
    write_bundle(trained, out, LOSSLESS, encoder=mini.ENCODER)
    return out


@pytest.fixture
def copied(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "copy")
    return tmp_path / "copy"


def relist(folder, name: str) -> None:
    """Let the manifest agree with a file that was changed."""
    manifest = folder / "character.toml"
    lines = [
        f'"{name}" = "{hashlib.sha256((folder / name).read_bytes()).hexdigest()}"'
        if line.startswith(f'"{name}" =') else line
        for line in manifest.read_text().splitlines()
    ]  # fmt: skip
    manifest.write_text("\n".join(lines) + "\n")


def zipped(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())
    return path


@pytest.fixture(scope="module")
def finer_bundle(tmp_path_factory, compiled):
    """The same with a finer grid: its fog fills nearly all of it, which is usually left out."""
    out = tmp_path_factory.mktemp("bundles") / "finer"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avatar_worker.trained.LEAST_EMPTY", -1.0)
        write_bundle(open_trained(mini.DATA, mini.WORKSPACE), out, LOSSLESS, encoder=mini.ENCODER)
    return out


def fast_pictures(character, frames=(1, 7)) -> np.ndarray:
    renderer = character.renderer(device="cpu", threads=1)
    enc_a = mini.golden("frames_head")["enc_a"]
    return np.stack([renderer.render(FrameRequest(enc_a[frame], frame)) for frame in frames])


def list_anew(folder) -> None:
    """Let the manifest list the finer grid as it is now."""
    manifest = folder / "character.toml"
    lines = [line for line in manifest.read_text().splitlines() if "finer_grid" not in line]
    digest = hashlib.sha256((folder / "finer_grid.npz").read_bytes()).hexdigest()
    manifest.write_text("\n".join([*lines, f'"finer_grid.npz" = "{digest}"']) + "\n")


def test_a_bundle_draws_exactly_what_its_data_folder_draws(bundle):
    reference = mini.golden("frames_portrait")["image_uint8"]
    renderer = load_bundle(bundle).renderer(device="cpu", precision="fp32")
    for frame in (1, 7):
        enc_a = mini.golden("frames_head")["enc_a"][frame]
        drawn = renderer.render(FrameRequest(enc_a, frame))
        mini.assert_reference_quality(drawn, reference[frame])


def test_a_bundle_hears_what_its_data_folder_hears(bundle):
    character = load_bundle(bundle)
    assert character.audio is not None
    np.testing.assert_array_equal(character.audio.silence(), mini.audio_model().silence())


def test_the_track_is_known_without_a_picture(bundle, monkeypatch):
    scenes = load_bundle(bundle).scenes
    read = track_of(FootageScenes(mini.footage("val"), portrait=False))
    monkeypatch.setattr(type(scenes), "scene", None)
    track = track_of(scenes)
    np.testing.assert_array_equal(track.poses, read.poses)
    np.testing.assert_array_equal(track.eyes, read.eyes)


def test_a_character_weighs_as_much_as_the_pictures_it_keeps(bundle):
    character = load_bundle(bundle)
    engine = SyncTalkEngine(character, device="cpu", threads=1)
    empty = engine.size_bytes
    assert empty == NETWORKS_BYTES
    kept = [character.scenes.scene(index).size_bytes for index in (0, 1, 0)]
    assert engine.size_bytes == empty + 9 * (kept[0] + kept[1]) // 8


def test_an_archive_is_the_same_character(bundle, tmp_path):
    packed = load_bundle(zipped(bundle, tmp_path / "mini.zip"))
    folder = load_bundle(bundle)
    assert packed.fingerprint == folder.fingerprint
    assert packed.scenes is not None
    assert folder.scenes is not None
    np.testing.assert_array_equal(packed.scenes.scene(3).original, folder.scenes.scene(3).original)


def test_a_lossy_archive_is_small_and_close(tmp_path):
    trained = open_trained(mini.DATA, mini.WORKSPACE, part=(0, 2))
    options = BundleOptions(name="mini", licence="Apache-2.0", consent="drawn, nobody")
    character = write_bundle(trained, tmp_path / "mini.zip", options, encoder=mini.ENCODER)
    assert character.scenes is not None
    assert character.scenes.n_scenes == 2
    drawn = character.renderer(precision="fp32", device="cpu").render(
        FrameRequest(mini.golden("frames_head")["enc_a"][1], 1)
    )
    assert mini.psnr(drawn, mini.golden("frames_portrait")["image_uint8"][1]) > 38.0


def test_a_bundle_can_be_drawn_at_another_size(bundle):
    character = load_bundle(bundle, width=64, height=64)
    assert (character.width, character.height) == (64, 64)
    drawn = character.renderer(precision="fp32", device="cpu").render(
        FrameRequest(mini.golden("frames_head")["enc_a"][1], 1)
    )
    whole = mini.golden("frames_portrait")["image_uint8"][1].astype(np.float64)
    halved = whole.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    assert mini.psnr(drawn, halved) > 30.0


def test_a_bundle_of_portraits_has_no_whole_head(bundle):
    with pytest.raises(BundleContentError, match="portraits only"):
        load_bundle(bundle, portrait=False)


def test_nothing_in_a_bundle_is_a_pickle(bundle):
    suffixes = {path.suffix for path in bundle.rglob("*") if path.is_file()}
    assert suffixes == {".toml", ".safetensors", ".npz", ".png", ".jpg"}
    with np.load(bundle / "tracks.npz", allow_pickle=False) as tracks:
        assert set(tracks.files) == {"poses", "eyes", "intrinsics"}


def test_a_character_of_fog_has_no_finer_grid(bundle):
    assert not (bundle / "finer_grid.npz").exists()
    assert load_bundle(bundle).finer is None


@pytest.mark.usefixtures("compiled")
def test_a_finer_grid_comes_with_the_import_and_is_drawn_with(bundle, finer_bundle):
    character = load_bundle(finer_bundle)
    assert character.finer is not None
    assert character.finer.filled_share > 0.99
    # Nothing of this head is empty: the pictures are the same to the last bit.
    assert np.array_equal(fast_pictures(character), fast_pictures(load_bundle(bundle)))


@pytest.mark.usefixtures("compiled")
def test_a_finer_grid_weighs_little(finer_bundle):
    content = (finer_bundle / "finer_grid.npz").read_bytes()
    assert len(content) < 10_000  # nothing to tell
    head = load_bundle(finer_bundle).head
    assert head is not None
    n_occupied = int(np.unpackbits(head.density_bitfield.numpy()).sum())
    at_random = np.random.default_rng(0).integers(0, 256, n_occupied, np.uint8)
    assert len(FinerGrid(at_random).to_bytes()) < 1.01 * n_occupied + 1000


@pytest.mark.usefixtures("compiled")
def test_only_the_compiled_kernel_leaves_out_what_the_grid_calls_empty(bundle, copied):
    head = load_bundle(bundle).head
    assert head is not None
    n_occupied = int(np.unpackbits(head.density_bitfield.numpy()).sum())
    nothing = FinerGrid(np.zeros(n_occupied, np.uint8))
    (copied / "finer_grid.npz").write_bytes(nothing.to_bytes())
    list_anew(copied)
    character = load_bundle(copied)
    assert not np.array_equal(fast_pictures(character), fast_pictures(load_bundle(bundle)))
    exact = character.renderer(device="cpu", precision="fp32")
    drawn = exact.render(FrameRequest(mini.golden("frames_head")["enc_a"][1], 1))
    mini.assert_reference_quality(drawn, mini.golden("frames_portrait")["image_uint8"][1])


def test_a_finer_grid_of_another_version_is_left_aside(copied):
    np.savez(copied / "finer_grid.npz", version=np.uint8(9), halves=np.zeros(3, np.uint8))
    list_anew(copied)
    assert load_bundle(copied).finer is None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no archive", "the finer grid cannot be read"),
        (FinerGrid(np.zeros(5, np.uint8)).to_bytes(), "has 5 cells; the head has"),
    ],
)
def test_a_broken_finer_grid_is_refused_with_a_sentence(copied, content, sentence):
    (copied / "finer_grid.npz").write_bytes(content)
    list_anew(copied)
    with pytest.raises(BundleContentError, match=sentence) as refusal:
        load_bundle(copied)
    assert "\n" not in str(refusal.value)


def test_a_finer_grid_that_was_changed_is_noticed(copied):
    (copied / "finer_grid.npz").write_bytes(b"before")
    list_anew(copied)
    (copied / "finer_grid.npz").write_bytes(b"after")
    with pytest.raises(BundleUnreadableError, match=r"finer_grid\.npz differs"):
        load_bundle(copied)


def test_without_sound_the_import_says_that_there_is_no_finer_grid(tmp_path, caplog):
    shutil.copytree(mini.DATA, tmp_path / "data")
    (tmp_path / "data" / "aud.wav").unlink()
    trained = open_trained(tmp_path / "data", mini.WORKSPACE, part=(0, 1))
    character = write_bundle(trained, tmp_path / "out", LOSSLESS, encoder=mini.ENCODER)
    assert character.finer is None
    assert "no finer grid" in caplog.text


def test_without_a_kernel_the_import_says_that_there_is_no_finer_grid(monkeypatch, caplog):
    monkeypatch.setattr("avatar_worker.trained.kernel", lambda: None)
    assert open_trained(mini.DATA, mini.WORKSPACE).finer_grid(mini.audio_model()) is None
    assert "no finer grid: it is made with the compiled kernel" in caplog.text


def test_moments_are_of_the_whole_footage_whatever_part_is_played():
    whole = open_trained(mini.DATA, mini.WORKSPACE).moments(mini.audio_model())
    part = open_trained(mini.DATA, mini.WORKSPACE, part=(0, 1)).moments(mini.audio_model())
    # 20480 samples are 32 frames, of which some hear the same; the train split's 24 see much.
    # Each counts twice: as it is heard, and half as far again from rest.
    assert [m.enc_a.tolist() for m in whole] == [m.enc_a.tolist() for m in part]
    assert 40 < len(whole) <= 67
    from_rest = [float(np.linalg.norm(m.enc_a - whole[0].enc_a)) for m in whole]
    assert any(own == pytest.approx(max(from_rest) / 1.5) for own in from_rest)
    assert len({moment.eye.tobytes() for moment in part}) > 10


def test_an_existing_bundle_is_not_overwritten(bundle):
    with pytest.raises(FileExistsError):
        write_bundle(open_trained(mini.DATA, mini.WORKSPACE), bundle, LOSSLESS)


def test_what_a_killed_import_left_goes_with_the_next(tmp_path):
    """A killed import left a folder for ever."""
    left = tmp_path / ".out.part" / "bundle" / "pictures"
    left.mkdir(parents=True)
    (left / "left.webp").touch()
    trained = open_trained(mini.DATA, mini.WORKSPACE, part=(0, 1))
    write_bundle(trained, tmp_path / "out", LOSSLESS, encoder=mini.ENCODER)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not (tmp_path / "out/pictures/left.webp").exists()


def test_one_bundle_is_made_by_one_run(tmp_path):
    trained = open_trained(mini.DATA, mini.WORKSPACE, part=(0, 1))
    with only_run(tmp_path / ".out.part"), pytest.raises(FolderBusyError, match="another run"):
        write_bundle(trained, tmp_path / "out", LOSSLESS, encoder=mini.ENCODER)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_a_full_disk_is_told_with_the_name_of_the_bundle(name, tmp_path):
    trained = open_trained(mini.DATA, mini.WORKSPACE, part=(0, 1))
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))  # the head alone has more
    try:
        with pytest.raises(OSError, match="too large") as refused:
            write_bundle(trained, tmp_path / name, LOSSLESS, encoder=mini.ENCODER)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert refused.value.filename == str(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_bundle_is_told_by_what_it_lacks(tmp_path):
    """It was the first file name that a bundle could not have."""
    (tmp_path / "my notes.txt").touch()
    with pytest.raises(BundleUnreadableError, match="is no character bundle"):
        load_bundle(tmp_path)


def test_a_name_that_cannot_be_leaves_nothing_behind(tmp_path):
    trained = open_trained(mini.DATA, mini.WORKSPACE, part=(0, 1))
    options = BundleOptions(name="Not A Name", licence="x", consent="y")
    with pytest.raises(BundleContentError, match="lower-case"):
        write_bundle(trained, tmp_path / "out", options, encoder=mini.ENCODER)
    assert not list(tmp_path.iterdir())


def test_a_changed_file_is_noticed(copied):
    path = copied / "pictures" / "00002.mask.png"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleUnreadableError, match=r"00002\.mask\.png differs"):
        load_bundle(copied)


@pytest.mark.parametrize(
    ("damage", "kind", "sentence"),
    [
        (lambda b: (b / "tensors.safetensors").unlink(), BundleUnreadableError, "no file tensors"),
        (
            lambda b: (b / "extra.txt").write_text("x"),
            BundleContentError,
            "extra.txt is not listed",
        ),
        (lambda b: (b / "character.toml").unlink(), BundleUnreadableError, "no character bundle"),
        (
            lambda b: (b / "character.toml").write_text("a = ["),
            BundleContentError,
            "cannot be read",
        ),
        (
            lambda b: (b / "character.toml").write_text("format = 9"),
            BundleContentError,
            "format is 9",
        ),
        (lambda b: (b / "link").symlink_to("/etc/passwd"), UnsafeBundleError, "is a link"),
        (lambda b: (b / "a b").write_text("x"), UnsafeBundleError, "not accepted"),
    ],
)
def test_a_damaged_bundle_is_refused_with_a_sentence(copied, damage, kind, sentence):
    damage(copied)
    with pytest.raises(kind, match=sentence) as refusal:
        load_bundle(copied)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("fps = 25", "fps = 30", "only 25"),
        ('engine = "synctalk"', 'engine = "magic"', "expected one of"),
        ("width = 128", "width = 100000", "size is"),
        ('licence = "Apache-2.0"', 'licence = ""', "licence is missing"),
        ('"attention" = 2', '"attention" = 7', "attention is 7"),
        ('"sha256" = "', '"sha256" = "0', "not the one the character was trained with"),
        ("width = 128", "width = 64", "expected 64 × 128"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(copied, old, new, sentence):
    manifest = copied / "character.toml"
    assert old in manifest.read_text()
    manifest.write_text(manifest.read_text().replace(old, new, 1))

    def load_and_look() -> None:
        character = load_bundle(copied)
        assert character.scenes is not None
        character.scenes.scene(0)

    with pytest.raises(BundleContentError, match=sentence):
        load_and_look()


def test_tensors_are_checked_even_when_the_checksum_agrees(copied):
    path = copied / "tensors.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors["sigma_net.net.1.weight"] = torch.zeros(64, 65)
    safetensors.torch.save_file(tensors, path)
    relist(copied, "tensors.safetensors")
    with pytest.raises(BundleContentError, match=r"sigma_net.net.1.weight has shape"):
        load_bundle(copied)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"poses": np.zeros((3, 4)), "eyes": np.zeros((3, 7)), "intrinsics": np.ones(4)}, "poses"),
        ({"poses": np.full((1, 4, 4), np.nan), "eyes": np.zeros((1, 7)), "intrinsics": np.ones(4)},
         "not finite"),
        ({"poses": np.zeros((1, 4, 4)), "eyes": np.zeros((1, 3)), "intrinsics": np.ones(4)},
         "expects 7"),
        ({"poses": np.array([{}], object), "eyes": np.zeros((1, 7)), "intrinsics": np.ones(4)},
         "cannot be read"),
        ({"poses": np.zeros((9, 4, 4)), "eyes": np.zeros((9, 7)), "intrinsics": np.ones(4)},
         "00008.original is missing"),
    ],
)  # fmt: skip
def test_tracks_are_checked_even_when_the_checksum_agrees(copied, arrays, sentence):
    np.savez(copied / "tracks.npz", **arrays)
    relist(copied, "tracks.npz")
    with pytest.raises(BundleContentError, match=sentence):
        load_bundle(copied)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a\\b", "dir/../../x", ".hidden"])
def test_an_archive_cannot_name_files_outside_itself(tmp_path, name):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(UnsafeBundleError, match="not accepted"):
        open_files(path)


def test_an_archive_cannot_hold_links_or_twins_or_giants(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UnsafeBundleError, match="link"):
        open_files(tmp_path / "link.zip")

    with zipfile.ZipFile(tmp_path / "twins.zip", "w") as archive:
        archive.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", b"2")
    with pytest.raises(UnsafeBundleError, match="twice"):
        open_files(tmp_path / "twins.zip")

    with (
        zipfile.ZipFile(tmp_path / "giant.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("zeros", "w") as file,
    ):
        for _ in range(MAX_FILE_BYTES // 2**24 + 1):
            file.write(bytes(2**24))
    with pytest.raises(UnsafeBundleError, match="at most"):
        open_files(tmp_path / "giant.zip")


def test_what_is_neither_folder_nor_archive_is_refused(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK no archive")
    for path in (tmp_path / "x.zip", tmp_path / "absent"):
        with pytest.raises(BundleError, match="neither"):
            load_bundle(path)


def test_a_test_card_needs_nothing_but_its_manifest(tmp_path):
    card = Manifest("card", "test-card", 320, 240, "Apache-2.0", "nobody")
    (tmp_path / "character.toml").write_text(manifest_text(card))
    character = load_bundle(tmp_path)
    assert character.engine == "test-card"
    assert (character.width, character.height) == (320, 240)
    assert character.head is None


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    odd = Manifest("x-1", "test-card", 32, 32, 'a "quoted" Ünicode\n licence\\', "none",
                   options={"gain": 1.5, "on": True, "n": 3, "text": "ä"})  # fmt: skip
    (tmp_path / "character.toml").write_text(manifest_text(odd))
    assert read_manifest(open_files(tmp_path)) == odd
