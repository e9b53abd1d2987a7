from pathlib import Path

import pandas as pd

if "data_loader" not in globals():
    from mage_ai.data_preparation.decorators import data_loader
if "test" not in globals():
    from mage_ai.data_preparation.decorators import test


@data_loader
def load_titanic(*args, **kwargs) -> pd.DataFrame:
    """Load the 1,309 passengers of the Titanic; 263 ages are not known."""
    return pd.read_csv(Path(kwargs["repo_path"]) / "titanic.csv")


@test
def test_everybody_is_there(passengers, *args) -> None:
    assert len(passengers) == 1309, f"expected 1309 passengers, found {len(passengers)}"
    assert passengers["name"].notna().all(), "every passenger has a name"
