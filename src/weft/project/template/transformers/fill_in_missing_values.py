import pandas as pd

if "transformer" not in globals():
    from mage_ai.data_preparation.decorators import transformer
if "test" not in globals():
    from mage_ai.data_preparation.decorators import test


@transformer
def fill_in_missing_values(passengers: pd.DataFrame, *args, **kwargs) -> pd.DataFrame:
    """Give each unknown age the median age of the same class and sex."""
    alike = passengers.groupby(["passenger_class", "sex"])["age"]
    missing = passengers["age"].isna()
    print(f"{missing.sum()} of {len(passengers)} ages are missing")
    return passengers.assign(
        age=passengers["age"].fillna(alike.transform("median")),
        age_is_known=~missing,
    )


@test
def test_every_age_is_filled_in(passengers, *args) -> None:
    assert passengers["age"].notna().all(), "some ages are still missing"
