"""An attempt resumes from the newest checkpoint that is complete."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.inpod.checkpoints import newest_checkpoint
from tests.inpod.artifact_server import ArtifactServer
from tests.inpod.launched import Pod, said

SHOW = ("sh", "-c", 'echo "from=${RUNWRIGHT_RESUME_FROM-unset}"')


def fill(folder: Path, *names: str) -> None:
    """Make entries, each a second younger than the one before: ``a/`` a folder with a file, ``a=`` an empty file."""
    for second, name in enumerate(names):
        path = folder / name.rstrip("/=")
        if name.endswith("/"):
            path.mkdir()
            (path / "model.bin").write_text("x")
        else:
            path.write_text("" if name.endswith("=") else "x")
        os.utime(path, (1_700_000_000 + second,) * 2)


@pytest.mark.parametrize(
    ("names", "newest"),
    [
        ([], None),
        (["a.pt", "b.pt"], "b.pt"),  # by time
        (["b.pt", "a.pt"], "a.pt"),
        (["step-10.pt", "step-9.pt"], "step-10.pt"),  # by number, not by name or time
        (["checkpoint-500/", "checkpoint-1000/", "checkpoint-999/"], "checkpoint-1000"),  # transformers
        (["epoch=3-step=1200.ckpt", "epoch=2-step=900.ckpt", "last.ckpt"], "epoch=3-step=1200.ckpt"),  # Lightning
        (["7.tar.gz", "6.tar.gz"], "7.tar.gz"),
        (["iter_0000100/", "latest_checkpointed_iteration.txt"], "iter_0000100"),  # Megatron
        (["global_step5/", "latest"], "global_step5"),  # DeepSpeed
        (["0/", "10/", "9/"], "10"),  # Orbax
        (["step-3.pt", "best.pt"], "step-3.pt"),
        (["model.h5", "weights.h5"], "weights.h5"),  # an extension is no step
        (["step-1.pt", "step-2.pt.tmp"], "step-1.pt"),  # still being written
        (["step-1.pt", "step-2.partial"], "step-1.pt"),
        (["step-1.pt", "step-2.tmp/"], "step-1.pt"),
        (["5/", "6.orbax-checkpoint-tmp-17/"], "5"),
        (["checkpoint-1/", "tmp-checkpoint-2/"], "checkpoint-1"),
        (["step-1.pt", "step-2.pt="], "step-1.pt"),  # empty
        (["step-1.pt", ".step-9.pt"], "step-1.pt"),
        (["step-2.pt="], None),
        (["optimizer-5.pt", "model-5.pt"], "model-5.pt"),  # a tie: the later
        (["template-1.pt"], "template-1.pt"),  # "temp" is no word in it
        (["step-1.pt", "step-" + "9" * 40 + ".pt"], "step-" + "9" * 40 + ".pt"),
    ],
)
def test_the_rule(tmp_path: Path, names: list[str], newest: str | None) -> None:
    fill(tmp_path, *names)
    found = newest_checkpoint(str(tmp_path))
    assert (found and found.path) == (newest and str(tmp_path / newest))


def test_an_empty_folder_is_not_complete(tmp_path: Path) -> None:
    fill(tmp_path, "step-1/")
    (tmp_path / "step-2").mkdir()
    (tmp_path / "lost+found").mkdir()
    found = newest_checkpoint(str(tmp_path))
    assert found is not None
    assert found.path == str(tmp_path / "step-1")


def test_a_distributed_checkpoint_without_its_metadata_is_not_complete(tmp_path: Path) -> None:
    fill(tmp_path, "step-1/", "step-2/")
    (tmp_path / "step-1" / ".metadata").write_text("x")
    for step in (1, 2):
        (tmp_path / f"step-{step}" / "__0_0.distcp").write_text("x")
    found = newest_checkpoint(str(tmp_path))
    assert found is not None
    assert found.step == 1


def test_a_link_to_nothing_is_passed_over(tmp_path: Path) -> None:
    fill(tmp_path, "a.pt")
    (tmp_path / "last.pt").symlink_to("gone.pt")
    found = newest_checkpoint(str(tmp_path))
    assert found is not None
    assert found.path == str(tmp_path / "a.pt")


@given(steps=st.lists(st.integers(0, 10**6), min_size=1, unique=True))
def test_the_highest_step_wins_whatever_the_order(steps: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), *[f"ckpt_{step}.safetensors" for step in steps])
        found = newest_checkpoint(folder)
        assert found is not None
        assert found.step == max(steps)


@given(names=st.sets(st.text("ab.-_tmpart019", min_size=1, max_size=12).filter(lambda n: set(n) - {"."}), max_size=6))
def test_any_name_is_taken_or_passed_over(names: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            (Path(folder) / name).write_text("x")
        found = newest_checkpoint(folder)
        assert found is None or Path(found.path).name in names
        assert found is None or not found.path.endswith((".tmp", ".partial"))


def test_the_script_is_told_and_the_log_says_so(pod: Pod) -> None:
    folder = pod.folder / "checkpoints"
    folder.mkdir()
    fill(folder, "step-3.pt", "step-12.pt")
    launched = pod.run(*SHOW, env={"RUNWRIGHT_CHECKPOINT_DIR": str(folder)})
    assert launched.out.decode() == f"from={folder}/step-12.pt\n"
    assert launched.err.decode() == f"[runwright] resuming from {folder}/step-12.pt (step 12)\n"
    assert launched.told.resumed_from == f"{folder}/step-12.pt"


@pytest.mark.parametrize("folder", ["empty", "missing", ""])
def test_without_a_checkpoint_the_variable_is_not_set(pod: Pod, folder: str) -> None:
    (pod.folder / "empty").mkdir()
    env = {"RUNWRIGHT_CHECKPOINT_DIR": str(pod.folder / folder) if folder else "", "RUNWRIGHT_RESUME_FROM": "stale"}
    launched = pod.run(*SHOW, env=env)
    assert launched.out == b"from=unset\n"
    assert launched.err == b""
    assert launched.told.resumed_from == ""


def test_a_folder_that_cannot_be_read_is_said(pod: Pod) -> None:
    (pod.folder / "file").write_text("x")
    launched = pod.run(*SHOW, env={"RUNWRIGHT_CHECKPOINT_DIR": str(pod.folder / "file")})
    assert launched.process.returncode == 0
    assert launched.err.decode() == f"[runwright] checkpoints in {pod.folder}/file cannot be read: Not a directory\n"


def test_the_last_checkpoint_is_told_at_the_end(tracked: Pod, server: ArtifactServer) -> None:
    folder = tracked.folder / "checkpoints"
    folder.mkdir()
    script = "echo 1 > checkpoints/step-7.pt; touch -d @1700000000.25 checkpoints/step-7.pt; exit 1"
    launched = tracked.run("sh", "-c", script, env={"RUNWRIGHT_CHECKPOINT_DIR": str(folder)})
    assert said(launched)["checkpoint"] == {"path": f"{folder}/step-7.pt", "step": 7, "time": 1700000000.25}
    assert launched.told.checkpoint_step == 7
    assert launched.told.checkpoint_time is not None
    assert launched.told.checkpoint_time.isoformat() == "2023-11-14T22:13:20.250000+00:00"
    assert launched.told.resumed_from == ""
