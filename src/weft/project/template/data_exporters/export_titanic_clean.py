from pathlib import Path

import pandas as pd

if "data_exporter" not in globals():
    from mage_ai.data_preparation.decorators import data_exporter


@data_exporter
def export_titanic_clean(passengers: pd.DataFrame, *args, **kwargs) -> None:
    """Write the passengers to `exports/titanic_clean.csv` in the project."""
    path = Path(kwargs["repo_path"]) / "exports" / "titanic_clean.csv"
    path.parent.mkdir(exist_ok=True)
    passengers.to_csv(path, index=False)
    print(f"{len(passengers)} passengers written to {path}")
