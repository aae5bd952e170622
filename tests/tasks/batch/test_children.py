"""The pixel pool: whatever happens to a child happens to one piece of work."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.batch.children import PixelPool
from tasks.batch.pool import open_pool
from tasks.errors import KilledWorker, OutOfMemory, Reason, StageTimeout, TruncatedScan, reason_of
from tasks.settings import Settings
from tests.tasks.batch import childwork
from tests.tasks.scans.test_pixels_decide import FAULTS, plain_entries, write_entries

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def pool() -> Iterator[PixelPool]:
    """Two children that may work for four seconds and take two gigabytes."""
    pool = PixelPool(2, timeout_s=4, memory_bytes=2 << 30)
    yield pool
    pool.close()


def test_work_comes_back(pool: PixelPool) -> None:
    """The ordinary case."""
    assert pool.run(childwork.double, 21) == 42


def test_what_is_odd_about_tags_stays_off_the_terminal(
    pool: PixelPool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A library that finds tags odd logs it; nobody would know of which scan."""
    path = write_entries(tmp_path / "odd.tif", plain_entries(FAULTS["orientation 9"]))
    assert pool.run(childwork.read_twice, path) == 120
    assert capfd.readouterr() == ("", "")


def test_a_signal_to_the_run_s_group_leaves_the_children_at_work(pool: PixelPool) -> None:
    """Prefect's worker ends runs so; what was begun is finished with the children's help."""
    assert pool.run(childwork.group, None) != os.getpgid(0)


def test_a_crash_is_named_and_the_pool_goes_on(pool: PixelPool) -> None:
    """A decoder that reads address 0 takes down its child only."""
    with pytest.raises(KilledWorker, match="exit code"):
        pool.run(childwork.crash, None)
    assert pool.run(childwork.double, 1) == 2


def test_the_neighbours_of_a_crash_do_not_notice(pool: PixelPool) -> None:
    """Work before, beside and after it ends as if nothing were."""
    futures = [pool.submit(childwork.double, number) for number in range(5)]
    broken = pool.submit(childwork.crash, None)
    futures += [pool.submit(childwork.double, number) for number in range(5, 10)]
    assert [future.result() for future in futures] == [2 * number for number in range(10)]
    assert broken.exception() is not None


@pytest.mark.parametrize("work", [childwork.hang, childwork.hang_without_the_lock])
def test_a_hang_is_ended(pool: PixelPool, work: object) -> None:
    """Even where SIGTERM is not heard."""
    began = time.monotonic()
    with pytest.raises(StageTimeout, match="did not end within 4 s"):
        pool.run(work, None)  # type: ignore[arg-type]
    assert time.monotonic() - began < 40
    assert pool.run(childwork.double, 3) == 6


def test_memory_is_bounded(pool: PixelPool) -> None:
    """A bomb meets the limit of its child, not of the machine."""
    assert pool.run(childwork.hoard, 1 << 20) == 1 << 20
    with pytest.raises(OutOfMemory, match="AUTOCHROME_PIXEL_MEMORY_MB"):
        pool.run(childwork.hoard, 8 << 30)


def test_errors_of_ours_cross_the_border(pool: PixelPool) -> None:
    """With class, message and reason."""
    with pytest.raises(TruncatedScan, match=r"a\.tif: ends early"):
        pool.run(childwork.refuse, "a.tif")


def test_a_full_disk_is_still_known_as_one(pool: PixelPool) -> None:
    """The error number survives the way back."""
    with pytest.raises(OSError, match="No space") as caught:
        pool.run(childwork.fill_disk, None)
    assert reason_of(caught.value) is Reason.OUTPUT_FULL


def test_children_load_no_network_and_no_cloud(pool: PixelPool) -> None:
    """Torch and its like would cost each child seconds and hundreds of megabytes."""
    loaded = set(pool.run(childwork.loaded_modules, None))
    assert "tasks.batch.pixel_work" in loaded
    assert not loaded & {"torch", "prefect", "sqlalchemy", "boto3", "pydantic"}


def test_children_can_be_started_before_anything_large_is_loaded() -> None:
    """They load NumPy and the decoders while the parent loads the network, not after it."""
    code = (
        "import sys, tasks.batch.children; "
        "heavy = {'numpy', 'scipy', 'pyvips', 'torch', 'pydantic'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_children_end_with_their_parent(tmp_path: Path) -> None:
    """A killed worker leaves nobody behind who still writes."""
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(
            """
            import time
            from tasks.batch.children import PixelPool
            from tests.tasks.batch import childwork
            if __name__ == "__main__":
                pool = PixelPool(1, timeout_s=60, memory_bytes=2 << 30)
                print(pool.run(childwork.process_id, None), flush=True)
                pool.submit(childwork.hang, None)
                time.sleep(60)
            """
        )
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    for _ in range(50):
        if not _is_running(child):
            return
        time.sleep(0.1)
    pytest.fail(f"process {child} outlived its parent")


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_large_scan_may_take_longer() -> None:
    """The limit grows with the pixels; by default a gigapixel has an hour."""
    pool = open_pool(Settings(), workers=1)
    try:
        assert pool.timeout_s(0) == 600
        assert pool.timeout_s(1_000_000_000) == 3600
    finally:
        pool.close()


def test_a_child_is_one_thread_and_the_parent_is_left_alone(pool: PixelPool) -> None:
    """Ten children on ten cores start no hundred threads of libvips or OpenBLAS."""
    names = ["VIPS_CONCURRENCY", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"]
    before = dict(os.environ)
    assert pool.run(childwork.environment, names) == ["1", "1", "1"]
    assert dict(os.environ) == before
