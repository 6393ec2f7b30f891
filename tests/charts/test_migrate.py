"""The mlflow chart's migration program; that it waits and migrates is proven on the node."""

import runpy

import pytest

from tests.charts import helm


@pytest.mark.contract
def test_the_newest_revision_is_the_one_alembic_finds() -> None:
    import mlflow  # noqa: PLC0415 - a second to import
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    program = runpy.run_path(str(helm.CHARTS / "mlflow" / "files" / "migrate.py"), run_name="imported")
    scripts = ScriptDirectory(f"{mlflow.__path__[0]}/store/db_migrations")
    assert program["newest"]() == scripts.get_current_head()
