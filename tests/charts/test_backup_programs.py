"""The backup's programs between real stores: PostgreSQL 16 and two MinIOs; what was backed up starts on version 18."""

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg2  # type: ignore[import-untyped]
import pytest

from tests.charts import helm
from tests.support.bucket import Place
from tests.support.object_store import ObjectStore
from tests.support.postgres import Postgres, postgres

pytestmark = pytest.mark.contract

FILES = helm.CHARTS / "mlflow" / "files" / "backup"
MIB = 1024 * 1024
# Part boundaries, names that have to be quoted, nothing at all.
FILES_OF_RUNS = {
    "1/a/artifacts/model.bin": os.urandom(17 * MIB + 5),
    "1/a/artifacts/one part.bin": os.urandom(8 * MIB),
    "1/a/artifacts/empty": b"",
    "1/b/artifacts/ü + &?=%41'\"\n.txt": b"odd",
    "1/b/artifacts/a-b": b"-",
    "1/b/artifacts/a/b": b"/",
}


@dataclass(frozen=True)
class Programs:
    """Runs the programs as the containers do."""

    work: Path
    more: Mapping[str, str] = field(default_factory=dict)

    def run(self, program: str, database: Postgres, **environment: str) -> subprocess.CompletedProcess[str]:
        interpreter = sys.executable if program.endswith(".py") else "sh"
        return subprocess.run(
            [interpreter, str(FILES / program)],
            env=self.environment(database) | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def environment(self, database: Postgres) -> dict[str, str]:
        settings = {"WORK": str(self.work), "PARALLEL": "4", "KEEP": "2", "WAIT_SECONDS": "60", "BACKUP": "latest"}
        return {**database.environment, "PYTHONUNBUFFERED": "1", **settings, **self.more}

    def ok(self, program: str, database: Postgres, **environment: str) -> str:
        done = self.run(program, database, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def backup(self, database: Postgres, source: Place, destination: Place, name: str, **environment: str) -> str:
        """Make a backup of this name: names are seconds, which tests do not wait for."""
        self.ok("dump.sh", database)
        (self.work / "name").write_text(name)
        return self.ok("backup.py", database, **source.end("SOURCE"), **destination.end("DESTINATION"), **environment)

    def restore(self, database: Postgres, source: Place, destination: Place, **environment: str) -> str:
        ends = source.end("SOURCE") | destination.end("DESTINATION")
        told = self.ok("restore.py", database, **(ends | environment))
        return told + self.ok("load.sh", database)


@pytest.fixture(scope="module")
def old() -> Iterator[Postgres]:
    with postgres(16) as server:
        yield server


@pytest.fixture(scope="module")
def new() -> Iterator[Postgres]:
    with postgres(18) as server:
        yield server


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ObjectStore, ObjectStore]]:
    here, there = (ObjectStore(tmp_path_factory.mktemp("store")) for _ in range(2))
    try:
        for store in (here, there):
            store.start()
        for store in (here, there):
            store.wait()
        yield here, there
    finally:
        for store in (here, there):
            store.stop()


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> str:
    """A name of the test's own."""
    return f"t{abs(hash(request.node.nodeid)) % 10**9}"


@pytest.fixture
def filled(old: Postgres) -> Postgres:
    old.new_database()
    old.sql("CREATE TABLE runs (id text PRIMARY KEY, metric float); INSERT INTO runs VALUES ('a', 0.98), ('b', 'NaN')")
    return old


@pytest.mark.parametrize("same_store", [False, True], ids=["streamed", "within one store"])
def test_what_was_backed_up_comes_back_on_the_next_major_version(
    stores: tuple[ObjectStore, ObjectStore],
    filled: Postgres,
    new: Postgres,
    programs: Programs,
    bucket: str,
    same_store: bool,
) -> None:
    here, there = stores
    source = Place(here, bucket, "team/mlflow/").make(FILES_OF_RUNS)
    replace(source, prefix="").put({"team/other": b"not ours"})
    destination = Place(here if same_store else there, f"{bucket}-backups", "a/b/").make()
    told = programs.backup(filled, source, destination, "20261121T020000Z")
    assert f"6 of 6 files copied ({sum(map(len, FILES_OF_RUNS.values()))} bytes)" in told
    assert destination.below("artifacts") == FILES_OF_RUNS
    assert set(destination.objects()) - {f"artifacts/{key}" for key in FILES_OF_RUNS} == {
        "databases/20261121T020000Z.dump",
        "indexes/20261121T020000Z.json.gz",
    }

    new.new_database()
    fresh = Place(here if same_store else there, f"{bucket}-fresh").make()
    told = programs.restore(new, destination, fresh)
    assert "6 of 6 files copied" in told
    assert fresh.objects() == FILES_OF_RUNS
    assert new.sql("SELECT id, metric FROM runs ORDER BY id") == "a|0.98\nb|NaN"

    new.sql("DELETE FROM runs")
    told = programs.restore(new, destination, fresh)
    assert "holds 1 tables already: nothing is restored" in told
    assert new.sql("SELECT count(*) FROM runs") == "0"


def test_only_what_changed_is_copied_and_only_what_nobody_needs_is_deleted(
    stores: tuple[ObjectStore, ObjectStore], filled: Postgres, programs: Programs, bucket: str
) -> None:
    source = Place(stores[0], bucket).make({"kept": b"1", "changed": b"22", "gone": b"333"})
    destination = Place(stores[1], bucket).make({"unrelated": b"mine"})
    programs.backup(filled, source, destination, "20261121T010000Z")
    source.delete("gone")
    source.put({"changed": b"44", "new": b"5"})
    told = programs.backup(filled, source, destination, "20261121T020000Z")
    assert "2 of 3 files copied (3 bytes); 1 were there" in told
    assert destination.below("artifacts") == {"kept": b"1", "changed": b"44", "new": b"5", "gone": b"333"}
    told = programs.backup(filled, source, destination, "20261121T030000Z")
    assert "0 of 3 files copied" in told
    assert "2 backups are kept: 20261121T020000Z, 20261121T030000Z; 1 backups and 1 files deleted" in told
    assert destination.objects().keys() == {
        "unrelated",
        *(f"artifacts/{key}" for key in ("kept", "changed", "new")),
        *(f"databases/20261121T0{hour}0000Z.dump" for hour in (2, 3)),
        *(f"indexes/20261121T0{hour}0000Z.json.gz" for hour in (2, 3)),
    }


def test_what_is_not_whole_in_the_mirror_is_copied_again(
    stores: tuple[ObjectStore, ObjectStore], filled: Postgres, programs: Programs, bucket: str
) -> None:
    source = Place(stores[0], bucket).make({"lost": b"1", "cut": b"22", "whole": b"333"})
    destination = Place(stores[1], bucket).make()
    programs.backup(filled, source, destination, "20261121T010000Z")
    destination.delete("artifacts/lost")
    destination.put({"artifacts/cut": b"2"})
    told = programs.backup(filled, source, destination, "20261121T020000Z")
    assert "2 of 3 files copied" in told
    assert destination.below("artifacts") == source.objects()


def test_a_backup_that_failed_is_none(
    stores: tuple[ObjectStore, ObjectStore], filled: Postgres, programs: Programs, bucket: str
) -> None:
    source = Place(stores[0], bucket).make({"a": b"1"})
    destination = Place(stores[1], bucket).make()
    programs.backup(filled, source, destination, "20261121T010000Z")
    gone = replace(source, bucket="never-made")
    (programs.work / "name").write_text("20261121T020000Z")
    failed = programs.run("backup.py", filled, **gone.end("SOURCE"), **destination.end("DESTINATION"))
    assert failed.returncode == 1
    assert "NoSuchBucket" in failed.stderr
    assert "never-made" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert destination.below("indexes").keys() == {"20261121T010000Z.json.gz"}
    assert destination.below("databases").keys() == {"20261121T010000Z.dump", "20261121T020000Z.dump"}
    # The next one takes away what the failed one left.
    programs.backup(filled, source, destination, "20261121T030000Z")
    assert destination.below("databases").keys() == {"20261121T010000Z.dump", "20261121T030000Z.dump"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"DESTINATION_SECRET_ACCESS_KEY": "no"}, "check the keys in the existingSecret"),
        ({"DESTINATION_BUCKET": "never-made"}, "make the bucket"),
        ({"DESTINATION_ENDPOINT": "http://127.0.0.1:1"}, "http://127.0.0.1:1"),
    ],
    ids=["keys", "bucket", "endpoint"],
)
def test_a_wrong_place_is_said_with_the_remedy(
    stores: tuple[ObjectStore, ObjectStore],
    filled: Postgres,
    programs: Programs,
    bucket: str,
    wrong: dict[str, str],
    said: str,
) -> None:
    source, destination = Place(stores[0], bucket).make({"a": b"1"}), Place(stores[1], bucket).make()
    programs.ok("dump.sh", filled)
    ends = source.end("SOURCE") | destination.end("DESTINATION") | wrong
    failed = programs.run("backup.py", filled, **ends)
    assert failed.returncode == 1
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_backup_within_the_artifacts_is_refused(
    stores: tuple[ObjectStore, ObjectStore], filled: Postgres, programs: Programs, bucket: str
) -> None:
    whole = Place(stores[0], bucket).make({"a": b"1"})
    below = replace(whole, prefix="backups/")
    artifacts = replace(whole, prefix="artifacts/x/")
    # The same store by another name: seen when the dump turns up among the artifacts.
    alias = {"DESTINATION_ENDPOINT": stores[0].endpoint.replace("127.0.0.1", "localhost")}
    programs.ok("dump.sh", filled)
    for source, destination, more in ((whole, below, {}), (artifacts, whole, {}), (whole, below, alias)):
        ends = source.end("SOURCE") | destination.end("DESTINATION") | more
        refused = programs.run("backup.py", filled, **ends)
        assert refused.returncode == 1
        assert "give the backup a bucket of its own" in refused.stderr
    assert not below.below("indexes")


def test_two_backups_at_once_go_one_after_the_other(
    stores: tuple[ObjectStore, ObjectStore], filled: Postgres, programs: Programs, bucket: str
) -> None:
    source, destination = Place(stores[0], bucket).make({"a": b"1"}), Place(stores[1], bucket).make()
    programs.ok("dump.sh", filled)
    environment = programs.environment(filled) | source.end("SOURCE") | destination.end("DESTINATION")
    address = {"host": "127.0.0.1", "port": filled.port, "user": "mlflow", "password": environment["PGPASSWORD"]}
    other = psycopg2.connect(dbname="mlflow", **address)
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (0x72776261,))
    command = [sys.executable, str(FILES / "backup.py")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        assert "Another backup is under way" in waiting.stdout.readline()
        assert not destination.objects()
        other.close()
        rest, _ = waiting.communicate(timeout=120)
    assert waiting.returncode == 0
    assert "is complete" in rest


def test_a_restore_that_was_cut_short_goes_on(
    stores: tuple[ObjectStore, ObjectStore], filled: Postgres, new: Postgres, programs: Programs, bucket: str
) -> None:
    source = Place(stores[0], bucket).make({"a": b"1", "b": b"22", "c": b"333"})
    destination = Place(stores[1], bucket).make()
    programs.backup(filled, source, destination, "20261121T010000Z")
    new.new_database()
    fresh = Place(stores[1], f"{bucket}-fresh").make({"a": b"1", "b": b"2"})
    ends = destination.end("SOURCE") | fresh.end("DESTINATION")
    told = programs.ok("restore.py", new, **ends)
    assert "2 of 3 files copied (5 bytes), 1 were there" in told
    assert fresh.objects() == source.objects()
    # Another pod of the server was faster with the database.
    new.sql("CREATE TABLE runs (id text)")
    assert "nothing is restored" in programs.ok("load.sh", new)
    assert new.sql("SELECT count(*) FROM runs") == "0"


def test_a_chosen_backup_is_restored_and_what_it_lacks_is_told(
    stores: tuple[ObjectStore, ObjectStore], filled: Postgres, new: Postgres, programs: Programs, bucket: str
) -> None:
    source = Place(stores[0], bucket).make({"a": b"1", "b": b"22"})
    destination = Place(stores[1], bucket).make()
    programs.backup(filled, source, destination, "20261121T010000Z")
    filled.sql("INSERT INTO runs VALUES ('later', 1)")
    source.put({"later": b"4444"})
    programs.backup(filled, source, destination, "20261121T020000Z")
    destination.delete("artifacts/b")
    new.new_database()
    fresh = Place(stores[1], f"{bucket}-fresh").make()
    told = programs.restore(new, destination, fresh, BACKUP="20261121T010000Z")
    assert "1 files are missing in the backup, or newer there: b" in told
    assert fresh.objects() == {"a": b"1"}
    assert new.sql("SELECT count(*) FROM runs") == "2"


def test_no_such_backup(
    stores: tuple[ObjectStore, ObjectStore], filled: Postgres, new: Postgres, programs: Programs, bucket: str
) -> None:
    source, destination = Place(stores[0], bucket).make(), Place(stores[1], bucket).make()
    new.new_database()
    ends = destination.end("SOURCE") | source.end("DESTINATION")
    nothing = programs.run("restore.py", new, **ends)
    assert (nothing.returncode, "restore.enabled to false" in nothing.stderr) == (1, True)
    programs.backup(filled, source, destination, "20261121T010000Z")
    unknown = programs.run("restore.py", new, **ends, BACKUP="20200101T000000Z")
    assert unknown.returncode == 1
    assert "No backup 20200101T000000Z" in unknown.stderr
    assert "there are 20261121T010000Z (1 in all)" in unknown.stderr


def test_a_dump_that_is_not_the_indexs_is_refused(
    stores: tuple[ObjectStore, ObjectStore], filled: Postgres, new: Postgres, programs: Programs, bucket: str
) -> None:
    source, destination = Place(stores[0], bucket).make(), Place(stores[1], bucket).make()
    programs.backup(filled, source, destination, "20261121T010000Z")
    destination.put({"databases/20261121T010000Z.dump": b"something else"})
    new.new_database()
    refused = programs.run("restore.py", new, **destination.end("SOURCE"), **source.end("DESTINATION"))
    assert refused.returncode == 1
    assert "is not the one its index names" in refused.stderr
    assert programs.ok("load.sh", new) == "No dump to load.\n"


def test_a_load_that_fails_leaves_the_database_empty(filled: Postgres, new: Postgres, programs: Programs) -> None:
    filled.sql("CREATE TABLE zz AS SELECT repeat('x', 100000) || i AS text FROM generate_series(1, 20) i")
    programs.ok("dump.sh", filled)
    dump = programs.work / "database.dump"
    dump.write_bytes(dump.read_bytes()[:-500])
    new.new_database()
    assert programs.run("load.sh", new).returncode != 0
    assert new.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"


def test_no_dump_of_a_database_that_does_not_answer(filled: Postgres, programs: Programs) -> None:
    failed = programs.run("dump.sh", filled, PGPORT="1")
    assert failed.returncode != 0
    assert "port 1" in failed.stderr
    assert not (programs.work / "database.dump").exists()


def test_an_index_is_plain_json(
    stores: tuple[ObjectStore, ObjectStore], filled: Postgres, programs: Programs, bucket: str
) -> None:
    import json  # noqa: PLC0415 - what a reader without these programs has

    source = Place(stores[0], bucket).make({"ü\n": b"1", "b": b"22"})
    destination = Place(stores[1], bucket).make()
    programs.backup(filled, source, destination, "20261121T010000Z")
    index = json.loads(gzip.decompress(destination.below("indexes")["20261121T010000Z.json.gz"]))
    assert (index["version"], index["name"]) == (1, "20261121T010000Z")
    assert index["database"]["size"] == len(destination.below("databases")["20261121T010000Z.dump"])
    assert [(key, size) for key, size, _ in index["objects"]] == [("b", 2), ("ü\n", 1)]
